#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The ABI's headers: each one alone is accepted without a warning as C11, C17 and C++17 by gcc and clang;
the rules of tools/check-headers hold; and the checker itself notices each tag that goes missing.

usage: test_headers.py SOURCE_ROOT"""

import glob
import importlib.machinery
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wundef", "-Wcast-qual", "-Werror"]
LANGUAGES = [("c", "c11"), ("c", "c17"), ("c++", "c++17")]


def compile_alone(compiler, language, standard, includes, header):
    """Twice, so that the include guard is tested, too."""
    source = "#include <%s>\n#include <%s>\n" % (header, header)
    result = subprocess.run(
        [compiler, "-x", language, "-std=" + standard, "-fsyntax-only"] + WARNINGS +
        ["-I" + path for path in includes] + ["-"],
        input=source, capture_output=True, text=True)
    return "" if result.returncode == 0 else "%s as %s by %s:\n%s" % (
        header, standard, compiler, result.stderr[:2000])


def check_alone(root, compilers):
    roots = [os.path.join(root, "sdk", part, "include") for part in ("lib", "block", "testhost")]
    roots = [os.path.join(root, "sdk/include")] + [path for path in roots if os.path.isdir(path)]
    problems, count = [], 0
    for path in roots:
        for header in sorted(glob.glob(path + "/**/*.h", recursive=True)):
            for compiler in compilers:
                for language, standard in LANGUAGES:
                    count += 1
                    problems.append(compile_alone(compiler, language, standard, roots,
                                                  os.path.relpath(header, path)))
    problems = [problem for problem in problems if problem]
    return problems if count > 0 else ["no header found"]


def run_checker(root, header):
    return subprocess.run([os.path.join(root, "tools/check-headers")] + header, capture_output=True,
                          text=True)


def check_rules(root):
    headers = sorted(glob.glob(os.path.join(root, "sdk/include/backplane/**/*.h"), recursive=True))
    result = run_checker(root, headers)
    return [] if result.returncode == 0 else [result.stderr]


def check_build(root):
    """The build runs the checker on a list, which no header may be missing from."""
    with open(os.path.join(root, "sdk/meson.build"), encoding="utf-8") as file:
        text = file.read()
    folder = os.path.join(root, "sdk")
    names = [os.path.relpath(path, folder) for path in
             glob.glob(os.path.join(folder, "include/backplane/**/*.h"), recursive=True)]
    return ["sdk/meson.build does not list " + name for name in names if "'%s'" % name not in text]


def load_checker(root):
    loader = importlib.machinery.SourceFileLoader("check_headers",
                                                  os.path.join(root, "tools/check-headers"))
    module = importlib.util.module_from_spec(
        importlib.util.spec_from_loader("check_headers", loader))
    loader.exec_module(module)
    return module


def check_checker(root):
    """Takes away one tag after the other; each time the checker must say so."""
    problems, mutants = [], 0
    checker = load_checker(root)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "mutant.h")
        for header in glob.glob(os.path.join(root, "sdk/include/backplane/*.h")):
            with open(header, encoding="utf-8") as file:
                text = file.read()
            if os.path.basename(header) == "abi.h":
                continue  # explains the tags and declares no function
            for match in re.finditer(r"^ *\* (\[(control|vcpu|loop|any)\])", text, re.M):
                mutants += 1
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text[:match.start(1)] + text[match.end(1):])
                if not checker.check(path):
                    problems.append("%s: nobody misses the tag at %d: %s" %
                                    (header, match.start(), text[match.start() - 60:match.end()]))
    return problems if mutants > 100 else ["only %d tags were tried" % mutants]


def main():
    root = os.path.abspath(sys.argv[1])
    compilers = [name for name in ("gcc", "clang") if shutil.which(name)]
    steps = [("each header alone is C11, C17 and C++17", lambda: check_alone(root, compilers)),
             ("every function has a comment and one thread tag", lambda: check_rules(root)),
             ("the build checks every header", lambda: check_build(root)),
             ("a missing tag does not go unnoticed", lambda: check_checker(root))]
    failed = 0
    print("1..%d" % len(steps))
    for number, (title, step) in enumerate(steps, 1):
        problems = step()
        failed += bool(problems)
        print("%sok %d - %s" % ("not " if problems else "", number, title), flush=True)
        for problem in problems[:20]:
            for line in problem.splitlines():
                print("# " + line, flush=True)
    return 1 if failed else 0


sys.exit(main())
