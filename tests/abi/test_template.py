#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""backplane sdk new: each kind of plugin, made outside this tree and built from the installed SDK alone,
by gcc and by clang, passes its own test and `backplane sdk check`. Speaks TAP.

usage: test_template.py BACKPLANE BUILD_DIR SANITIZER
With a sanitizer other than "none" the static libraries cannot be used by a project without it, so those
steps are skipped."""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from backplane import Failure  # noqa: E402
from registers import TestMachine, equal  # noqa: E402

KINDS = ["pci-device", "isa-device", "virtio-device", "block-backend", "char-backend"]


def run(command, cwd, env):
    result = subprocess.run(command, cwd=cwd, env=env, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
    if result.returncode != 0:
        raise RuntimeError("%s\n%s" % (" ".join(command), result.stdout[-4000:]))
    return result.stdout


def find_pkgconfig(root):
    for folder, _, files in os.walk(root):
        if "backplane-sdk.pc" in files:
            return folder
    raise RuntimeError("meson install put no backplane-sdk.pc under " + root)


def build(backplane, kind, compiler, work, env):
    name = "demo-" + kind
    folder = os.path.join(work, compiler)
    os.makedirs(folder, exist_ok=True)
    run([backplane, "sdk", "new", name, "--kind=" + kind, "--directory=" + folder], folder, env)
    env = dict(env, CC=compiler)
    project = os.path.join(folder, name)
    run(["meson", "setup", "build"], project, env)
    run(["meson", "compile", "-C", "build"], project, env)
    run(["meson", "test", "-C", "build"], project, env)
    run([backplane, "sdk", "check", "build/%s.so" % name], project, env)
    run([backplane, "plugins", "./build/%s.so" % name], project, env)


def run_in_machine(plugin, work):
    """The PCI device of the template, put into a machine: its register squares a number."""
    config = 'machine = { memory = "8M"; };\ndevices = { demo0 = { plugin = "%s"; }; };\n' % plugin
    bar, value, result = 0xe0000000, 0x0c, 0x10
    try:
        with TestMachine(config, work) as machine:
            found = [f for f in machine.functions() if machine.config_read(f, 0) == 0x0b9c1234]
            equal(len(found), 1, "functions 1234:0b9c")
            machine.config_write(found[0], 0x10, bar)
            machine.config_write(found[0], 0x04, 0x2, 2)
            machine.write(bar + value, (1234).to_bytes(4, "little"))
            machine.step(1000000)
            equal(int.from_bytes(machine.read(bar + result, 4), "little"), 1234 * 1234, "RESULT")
    except Failure as failure:
        raise RuntimeError(str(failure)) from failure


def check_in_tree(backplane, work, env):
    """In a source root the plugin becomes a folder and a line of the list, in order."""
    root = os.path.join(work, "tree")
    os.makedirs(os.path.join(root, "plugins"))
    os.makedirs(os.path.join(root, "sdk/include/backplane"))
    open(os.path.join(root, "sdk/include/backplane/abi.h"), "w").close()
    listing = os.path.join(root, "plugins/meson.build")
    with open(listing, "w") as out:
        out.write("all_plugins = [\n  'block-null',\n  'serial',\n]\nwanted = 1\n")
    run([backplane, "sdk", "new", "my-card", "--kind=pci-device"], root, env)
    with open(listing) as lines:
        text = lines.read()
    if text != "all_plugins = [\n  'block-null',\n  'my-card',\n  'serial',\n]\nwanted = 1\n":
        raise RuntimeError("the list is now: " + text)
    if sorted(os.listdir(os.path.join(root, "plugins/my-card"))) != [
            "meson.build", "my-card.c", "my-card.md", "test_my-card.c"]:
        raise RuntimeError("unexpected files")


def check_errors(backplane, work, env):
    for arguments, text in [
            (["Bad_Name", "--kind=pci-device"], "cannot be a plugin's name"),
            (["good", "--kind=pci-devcie"], 'did you mean "pci-device"'),
            (["good"], "it takes a NAME and --kind"),
            (["tree", "--kind=isa-device"], "cannot make the folder"),
            (["good", "--kind=isa-device", "--directory=/nonexistent"], "cannot make the folder")]:
        result = subprocess.run([backplane, "sdk", "new"] + arguments, cwd=work, env=env,
                                capture_output=True, text=True)
        if result.returncode != 2 or text not in result.stderr:
            raise RuntimeError("%s: status %d, %s" % (arguments, result.returncode, result.stderr))


def main():
    backplane, build_dir = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2])
    compilers = [c for c in ("gcc", "clang") if shutil.which(c)]
    cases = [(kind, compiler) for kind in KINDS for compiler in compilers]
    failed = 0
    print("1..%d" % (len(cases) + 4))
    with tempfile.TemporaryDirectory() as work:
        stage = os.path.join(work, "stage")
        env = dict(os.environ)
        env.pop("CC", None)
        steps = [("the SDK installs", lambda: run(
            ["meson", "install", "-C", build_dir, "--no-rebuild", "--quiet", "--destdir", stage],
            work, env))]
        for kind, compiler in cases:
            steps.append(("%s builds and passes with %s" % (kind, compiler),
                          lambda k=kind, c=compiler: build(backplane, k, c, work, env)))
        outside = os.path.join(work, compilers[-1], "demo-pci-device", "build", "demo-pci-device.so")
        steps.append(("a machine runs the pci-device that %s built" % compilers[-1],
                      lambda: run_in_machine(outside, work)))
        steps.append(("in a source root a line of the list is added",
                      lambda: check_in_tree(backplane, work, env)))
        steps.append(("mistakes are explained", lambda: check_errors(backplane, work, env)))
        for number, (title, step) in enumerate(steps, 1):
            if sys.argv[3] != "none" and 1 < number <= len(cases) + 2:
                print("ok %d - %s # SKIP built with a sanitizer" % (number, title))
                continue
            try:
                step()
                print("ok %d - %s" % (number, title), flush=True)
            except RuntimeError as error:
                failed += 1
                print("not ok %d - %s" % (number, title))
                for line in str(error).splitlines():
                    print("# " + line, flush=True)
            if number == 1 and not failed:
                env["PKG_CONFIG_PATH"] = find_pkgconfig(stage)
                env["PKG_CONFIG_SYSROOT_DIR"] = stage
    return 1 if failed else 0


sys.exit(main())
