#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Machine descriptions and bad plugins as file pairs; prints TAP.

  fail-*.cfg  + .ok    `check` exits with 2 and prints exactly .ok on stderr, nothing on stdout
  pass-*.cfg  + .show  `show` prints exactly .show, and prints the same again when given that
  bad-*.so    + .ok    `plugins FILE` exits with 2 and prints exactly .ok on stderr

A line "# args: ..." in a .cfg adds arguments; @PLUGINS@ in it is the directory of the test plugins. Before they are compared, the directories of the test's
files and of its plugins are replaced by @DIR@ and @PLUGINS@, the tail of the list of plugin directories
(build tree, installation) by @INSTALLED@. `run.py --update` writes the .ok and .show files instead:
read them before they are committed."""
import argparse
import glob
import os
import re
import shlex
import subprocess
import sys
import tempfile


def leak_options():
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return f'suppressions={tests}/lsan.supp:print_suppressions=0'


class Runner:
    def __init__(self, options):
        self.program = os.path.abspath(options.program)
        self.directory = options.directory
        self.plugins = options.plugins
        self.update = options.update
        self.environment = dict(os.environ, LC_ALL='C', LSAN_OPTIONS=leak_options())
        self.environment.pop('BACKPLANE_PLUGIN_PATH', None)

    def run(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, text=True, timeout=60,
                              cwd=self.directory, env=self.environment, check=False)
        return done.returncode, self.clean(done.stdout), self.clean(done.stderr)

    def clean(self, text):
        text = text.replace(self.plugins, '@PLUGINS@').replace(self.directory, '@DIR@')
        text = re.sub(r'(; searched: @PLUGINS@).*', r'\1, @INSTALLED@', text)
        return re.sub(r'(of which this core) \(ABI [0-9.]+\) has [0-9]+', r'\1 has @SIZE@', text)

    def expect(self, path, text):
        if self.update:
            with open(path, 'w', encoding='utf-8') as file:
                file.write(text)
            return []
        if not os.path.exists(path):
            return [f'{path} is missing; the text is:', *text.splitlines()]
        with open(path, encoding='utf-8') as file:
            wanted = file.read()
        if text == wanted:
            return []
        return ['wanted:', *wanted.splitlines(), 'got:', *text.splitlines()]

    def arguments(self, path):
        with open(path, encoding='utf-8', errors='replace') as file:
            found = re.search(r'^# args: (.*)$', file.read(), re.MULTILINE)
        return shlex.split(found.group(1).replace('@PLUGINS@', self.plugins)) if found else []

    def fail_pair(self, path):
        name = os.path.basename(path)
        status, out, err = self.run('check', '--plugin-path', self.plugins, *self.arguments(path),
                                    name)
        problems = self.expect(path[:-4] + '.ok', err)
        if status != 2:
            problems.append(f'exit status {status}, not 2')
        if out:
            problems.append(f'unexpected output: {out}')
        return problems

    def pass_pair(self, path):
        name = os.path.basename(path)
        more = self.arguments(path)
        status, out, err = self.run('check', '--plugin-path', self.plugins, *more, name)
        problems = []
        if (status, out, err) != (0, f'{name}: ok\n', ''):
            problems += [f'check: exit status {status}', out, err]
        status, out, err = self.run('show', '--plugin-path', self.plugins, *more, name)
        if status != 0:
            problems += [f'show: exit status {status}', err]
        problems += self.expect(path[:-4] + '.show', out)
        problems += self.again(out)
        return problems

    def again(self, shown):
        """What show prints is a description with the same meaning."""
        with tempfile.NamedTemporaryFile('w', suffix='.cfg') as file:
            file.write(shown.replace('@DIR@', self.directory).replace('@PLUGINS@', self.plugins))
            file.flush()
            status, out, err = self.run('show', '--plugin-path', self.plugins, file.name)
        if status != 0 or out != shown:
            return ['show of what show printed differs:', *out.splitlines(), *err.splitlines()]
        return []

    def bad_plugin(self, path):
        name = os.path.basename(path)[:-3]
        status, out, err = self.run('plugins', f'{self.plugins}/bad/{name}.so')
        problems = self.expect(path, err)
        if status != 2:
            problems.append(f'exit status {status}, not 2')
        if out:
            problems.append(f'unexpected output: {out}')
        return problems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--program', required=True)
    parser.add_argument('--directory', required=True, help='where the pairs are')
    parser.add_argument('--plugins', required=True, help='where the test plugins are')
    parser.add_argument('--update', action='store_true')
    parser.add_argument('kind', choices=['config', 'bad-plugins'])
    options = parser.parse_args()
    runner = Runner(options)
    tests = []
    if options.kind == 'config':
        for path in sorted(glob.glob(f'{options.directory}/fail-*.cfg')):
            tests.append((path, runner.fail_pair))
        for path in sorted(glob.glob(f'{options.directory}/pass-*.cfg')):
            tests.append((path, runner.pass_pair))
    else:
        found = glob.glob(f'{options.plugins}/bad/bad-*.so') + glob.glob(f'{options.directory}/*.ok')
        for name in sorted({os.path.splitext(os.path.basename(path))[0] for path in found}):
            tests.append((f'{options.directory}/{name}.ok', runner.bad_plugin))
    print(f'1..{len(tests)}')
    failed = not tests
    for number, (path, test) in enumerate(tests, 1):
        problems = test(path)
        failed = failed or bool(problems)
        print(f'{"not ok" if problems else "ok"} {number} - {os.path.basename(path)}')
        for problem in problems:
            print(f'# {problem}')
    sys.exit(1 if failed else 0)


main()
