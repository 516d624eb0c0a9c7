#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/check-plugins is content with every plugin that was built, and notices what it is there for in
plugins made badly on purpose. Speaks TAP.

usage: test_lint.py SOURCE_ROOT PLUGIN.so..."""

import os
import shutil
import subprocess
import sys
import tempfile

GOOD = """
#include <backplane/backplane.h>
static const struct bp_class *const classes[] = {NULL};
BP_EXPORT const struct bp_plugin backplane_plugin_v1 = {.magic = BP_PLUGIN_MAGIC, .classes = classes};
"""
NOTE = 'BP_PLUGIN_NOTE(.id = "bad", .version = "1");\n'
STRICT = ["-fvisibility=hidden", "-Wl,-z,defs", "-Wl,-z,now"]

BAD = [
    ("a plugin with nothing wrong", "", NOTE, STRICT, ""),
    ("no note", "", "", STRICT, "has no section .note.backplane"),
    ("a second export", "__attribute__((visibility(\"default\"))) int more(void) { return 1; }\n",
     NOTE, STRICT, "exports "),
    ("a forbidden import", "#include <signal.h>\nvoid f(void); __attribute__((used)) void f(void)"
     " { signal(SIGINT, SIG_IGN); }\n", NOTE, STRICT, "imports signal"),
    ("a symbol of the core", "void th_new(void); void f(void); __attribute__((used)) void f(void)"
     " { th_new(); }\n", NOTE, ["-fvisibility=hidden", "-Wl,-z,now"], "imports th_new"),
    ("file-scope variables", "static char big[4096]; char *f(void);"
     " __attribute__((used)) char *f(void) { return big; }\n", NOTE, STRICT, "warning: 4"),
    ("lazy binding", "#include <string.h>\nunsigned long f(const char *); __attribute__((used))"
     " unsigned long f(const char *s) { return strlen(s); }\n", NOTE,
     ["-fvisibility=hidden", "-Wl,-z,defs", "-Wl,-z,lazy"], "not linked with -z now"),
    ("a run path", "", NOTE, STRICT + ["-Wl,-rpath,/tmp"], "has a run path"),
    ("an executable stack", "", NOTE, STRICT + ["-Wl,-z,execstack"], "has an executable stack"),
    ("no unloading", "", NOTE, STRICT + ["-Wl,-z,nodelete"], "nodelete"),
]


def make_bad(compiler, root, folder, number, case):
    _, extra, note, flags, _ = case
    source, target = os.path.join(folder, "%d.c" % number), os.path.join(folder, "%d.so" % number)
    with open(source, "w", encoding="utf-8") as file:
        file.write(GOOD + extra + note)
    subprocess.run([compiler, "-std=gnu11", "-shared", "-fPIC", "-O1",
                    "-I" + os.path.join(root, "sdk/include"), source, "-o", target] + flags,
                   check=True, stderr=subprocess.DEVNULL)
    return target


def main():
    root, plugins = os.path.abspath(sys.argv[1]), sys.argv[2:]
    lint = os.path.join(root, "tools/check-plugins")
    compiler = shutil.which("gcc") or shutil.which("clang")
    results = []
    run = subprocess.run([lint] + plugins, capture_output=True, text=True)
    results.append(("%d plugins of this tree pass" % len(plugins),
                    run.returncode == 0 and len(plugins) > 0, run.stderr))
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(BAD):
            run = subprocess.run([lint, make_bad(compiler, root, folder, number, case)],
                                 capture_output=True, text=True)
            wanted = case[4]
            good = (run.returncode == 0) == (wanted == "" or wanted.startswith("warning"))
            results.append((case[0], good and wanted in run.stderr, run.stderr))
    print("1..%d" % len(results))
    for number, (title, good, text) in enumerate(results, 1):
        print("%sok %d - %s" % ("" if good else "not ", number, title))
        for line in text.splitlines():
            print("# " + line)
    return 0 if all(good for _, good, _ in results) else 1


sys.exit(main())
