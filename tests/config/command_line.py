#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the commands do with their command lines: exit statuses, help, JSON, side effects. Prints TAP."""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

OPTIONS = None
GOOD = 'pass-09-stack.cfg'
BAD = 'fail-75-many-at-once.cfg'
COMMANDS = ['run', 'check', 'show', 'plugins', 'sdk', 'ctl']


def run(*arguments, cwd=None, **environment):
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    env = dict(os.environ, LC_ALL='C', BACKPLANE_PLUGIN_PATH=OPTIONS.plugins,
               LSAN_OPTIONS=f'suppressions={tests}/lsan.supp:print_suppressions=0')
    env.update(environment)
    return subprocess.run([OPTIONS.program, *arguments], capture_output=True, text=True, timeout=60,
                          cwd=cwd or OPTIONS.directory, env=env, check=False)


class CommandLine(unittest.TestCase):
    def test_help_fits_a_screen_and_names_every_command(self):
        done = run('--help')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        self.assertLessEqual(len(done.stdout.splitlines()), 24)
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 80)
        for command in COMMANDS:
            self.assertIn(f'  {command} ', done.stdout)

    def test_each_command_has_its_own_help(self):
        for command in COMMANDS + ['sdk new', 'sdk check']:
            done = run(*command.split(), '--help')
            self.assertEqual((done.returncode, done.stderr), (0, ''), command)
            self.assertIn(f'backplane {command}', done.stdout)
            self.assertTrue(done.stdout.isascii(), command)

    def test_version_names_program_and_abi(self):
        done = run('--version')
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r'^backplane \d+\.\d+\.\d+ \(plugin ABI \d+\.\d+\)\n$')

    def test_no_command_prints_help_on_stderr(self):
        done = run()
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('Usage:', done.stderr)

    def test_misspelt_command_is_recognised(self):
        done = run('chekc', GOOD)
        self.assertEqual((done.returncode, done.stdout), (2, ''))
        self.assertIn('(did you mean "check"?)', done.stderr)

    def test_unknown_option_and_missing_file_name_are_usage_errors(self):
        for arguments in (['check'], ['check', 'a', 'b'], ['show'], ['plugins', 'a', 'b'],
                          ['check', '--frobnicate', GOOD], ['plugins', '-s', 'a=b']):
            done = run(*arguments)
            self.assertEqual((done.returncode, done.stdout), (2, ''), arguments)
            self.assertIn('try --help', done.stderr)

    def test_missing_description_is_named(self):
        for command in ('check', 'show', 'run'):
            done = run(command, 'nothing.cfg')
            self.assertEqual((done.returncode, done.stdout), (2, ''))
            self.assertEqual(done.stderr,
                             'cannot open "nothing.cfg": No such file or directory\n')

    def test_run_refuses_what_check_refuses(self):
        self.assertEqual(run('run', BAD).returncode, 2)
        self.assertEqual(run('run', BAD).stderr, run('check', BAD).stderr)
        self.assertEqual(run('show', BAD).stderr, run('check', BAD).stderr)

    def test_check_json_lists_places_and_messages(self):
        done = run('check', '--json', BAD)
        answer = json.loads(done.stdout)
        self.assertEqual((done.returncode, done.stderr, answer['ok']), (2, '', False))
        self.assertEqual(len(answer['errors']), 6)
        self.assertEqual(answer['errors'][0], {
            'file': BAD, 'line': 5, 'path': 'machine.cpsu',
            'message': 'unknown option (did you mean "cpus"?)'})
        good = json.loads(run('check', '--json', GOOD).stdout)
        self.assertEqual((good['ok'], good['errors']), (True, []))

    def test_show_json_is_the_same_machine(self):
        answer = json.loads(run('show', '--json', GOOD).stdout)
        self.assertEqual(list(answer), ['machine', 'backends', 'devices'])
        self.assertEqual(answer['machine']['memory'], 128 << 20)
        self.assertEqual(answer['backends']['middle']['iops'], 4000000000000)
        self.assertEqual(answer['devices']['card0']['address'], '02.0')

    def test_show_reads_what_another_show_writes_to_a_pipe(self):
        shown = run('show', GOOD).stdout
        again = subprocess.run([OPTIONS.program, 'show', '/dev/stdin'], input=shown, text=True,
                               capture_output=True, timeout=60, check=False,
                               env=dict(os.environ, BACKPLANE_PLUGIN_PATH=OPTIONS.plugins))
        self.assertEqual((again.stdout, again.stderr), (shown, ''))

    def test_plugins_lists_what_it_can_and_reports_the_rest(self):
        done = run('plugins')
        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r'(?m)^testblock +2\.1 +backend +bp\.block/1,bp\.char/1 ')
        self.assertRegex(done.stdout, r'(?m)^testfilter +1\.0 +filter +bp\.block/1 ')
        done = run('plugins', BACKPLANE_PLUGIN_PATH=f'{OPTIONS.plugins}:{OPTIONS.plugins}/bad')
        self.assertEqual(done.returncode, 2)
        self.assertIn('testblock', done.stdout)
        self.assertIn('bad-truncated.so: truncated', done.stderr)

    def test_manifest_tells_types_defaults_and_ranges(self):
        done = run('plugins', 'testdev-pci')
        self.assertEqual((done.returncode, done.stderr), (0, ''))
        for line in ('slot disk: bp.block/1, 0 to 3', 'count: unsigned, 1 to 16, default 4',
                     'window: size, 4K to 1G, default 64K',
                     'mode: safe | fast | reckless, default safe'):
            self.assertIn(line, done.stdout)

    def test_manifest_json_is_complete(self):
        answer = json.loads(run('plugins', '--json', 'testblock').stdout)
        self.assertEqual((answer['id'], answer['version']), ('testblock', '2.1'))
        block = answer['classes'][0]
        self.assertEqual(block['promises'], ['sandbox', 'upgrade'])
        self.assertEqual(block['provides'], ['bp.block/1'])
        self.assertEqual([option['name'] for option in block['options']], ['path', 'readonly'])
        self.assertTrue(block['options'][0]['required'])
        everything = json.loads(run('plugins', '--json').stdout)
        self.assertIn('testfilter', [plugin['id'] for plugin in everything])

    def test_missing_plugin_names_the_directories_searched(self):
        with tempfile.TemporaryDirectory() as empty:
            done = run('plugins', '--plugin-path', empty, 'testblokc')
        self.assertEqual(done.returncode, 2)
        self.assertIn('no plugin "testblokc" (did you mean "testblock"?); searched: '
                      f'{empty}, {OPTIONS.plugins}, ', done.stderr)

    def test_a_plugin_that_is_deleted_is_missed_and_nothing_else(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ('testdev-pci', 'testblock', 'testfilter'):
                shutil.copy(f'{OPTIONS.plugins}/{name}.so', directory)
            arguments = ['--plugin-path', directory]
            self.assertEqual(run('check', *arguments, GOOD, BACKPLANE_PLUGIN_PATH='').returncode, 0)
            os.remove(f'{directory}/testfilter.so')
            done = run('check', *arguments, GOOD, BACKPLANE_PLUGIN_PATH='')
            self.assertEqual(done.returncode, 2)
            self.assertIn('no plugin "testfilter"; searched: ' + directory, done.stderr)
            done = run('check', *arguments, 'pass-08-values.cfg', BACKPLANE_PLUGIN_PATH='')
            self.assertEqual((done.returncode, done.stderr), (0, ''))

    def test_check_and_show_touch_nothing(self):
        with tempfile.TemporaryDirectory() as directory:
            with open(f'{directory}/machine.cfg', 'w', encoding='utf-8') as file:
                file.write('machine = { control = "qmp.sock"; boot = { kernel = "machine.cfg"; }; };\n'
                           'backends = { disk = { plugin = "testblock"; path = "new.img"; }; };\n')
            for command in ('check', 'show'):
                self.assertEqual(run(command, 'machine.cfg', cwd=directory).returncode, 0)
            self.assertEqual(os.listdir(directory), ['machine.cfg'])

    def test_includes_that_nest_too_deep_are_refused(self):
        with tempfile.TemporaryDirectory() as directory:
            for depth in range(20):
                with open(f'{directory}/{depth}.cfg', 'w', encoding='utf-8') as file:
                    file.write(f'@include "{depth + 1}.cfg"\n' if depth < 19 else 'machine = { };\n')
            done = run('check', '0.cfg', cwd=directory)
            self.assertEqual(done.stderr, '15.cfg:1: cannot read "16.cfg": files include each other '
                             'more than 16 levels deep\n')
            self.assertEqual(run('check', '4.cfg', cwd=directory).returncode, 0)

    def test_includes_cannot_multiply_without_end(self):
        for content, message in (('# nothing\n', 'includes more than 256 files'),
                                 ('# x\n' * 50000, 'larger than 4 MiB with its includes')):
            with tempfile.TemporaryDirectory() as directory:
                for depth in range(8):
                    with open(f'{directory}/{depth}.cfg', 'w', encoding='utf-8') as file:
                        file.write(f'@include "{depth + 1}.cfg"\n' * 16)
                with open(f'{directory}/8.cfg', 'w', encoding='utf-8') as file:
                    file.write(content)
                done = run('check', '0.cfg', cwd=directory)
            self.assertEqual(done.returncode, 2)
            self.assertIn(message, done.stderr)

    def test_endless_files_are_refused(self):
        for file in ('/dev/zero', '/dev/urandom'):
            done = run('check', file)
            self.assertEqual(done.returncode, 2)
            self.assertIn('larger than 1 MiB', done.stderr)

    def test_errors_are_limited(self):
        with tempfile.NamedTemporaryFile('w', suffix='.cfg') as file:
            file.write('machine = {\n' + ''.join(f'x{i} = 1;\n' for i in range(2000)) + '};\n')
            file.flush()
            done = run('check', file.name)
        self.assertEqual(done.returncode, 2)
        self.assertEqual(len(done.stderr.splitlines()), 501)
        self.assertIn('too many errors', done.stderr)

    def test_output_that_cannot_be_written_is_a_failure(self):
        if not os.path.exists('/dev/full'):
            self.skipTest('no /dev/full')
        with open('/dev/full', 'w', encoding='utf-8') as full:
            done = subprocess.run([OPTIONS.program, 'show', GOOD], stdout=full, text=True,
                                  stderr=subprocess.PIPE, cwd=OPTIONS.directory, timeout=60,
                                  env=dict(os.environ, BACKPLANE_PLUGIN_PATH=OPTIONS.plugins),
                                  check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn('No space left', done.stderr)


def main():
    global OPTIONS
    parser = argparse.ArgumentParser()
    parser.add_argument('--program', required=True)
    parser.add_argument('--plugins', required=True)
    parser.add_argument('--directory', required=True)
    OPTIONS = parser.parse_args()
    OPTIONS.program = os.path.abspath(OPTIONS.program)
    tests = list(unittest.defaultTestLoader.loadTestsFromTestCase(CommandLine))
    print(f'1..{len(tests)}')
    failed = False
    for number, test in enumerate(tests, 1):
        result = unittest.TestResult()
        test.run(result)
        problems = [text for _, text in result.failures + result.errors]
        failed = failed or bool(problems)
        skip = ''.join(f' # SKIP {reason}' for _, reason in result.skipped)
        name = test.id().split('.')[-1]
        print(f'{"not ok" if problems else "ok"} {number} - {name}{skip}')
        for line in '\n'.join(problems).splitlines():
            print(f'# {line}')
    sys.exit(1 if failed else 0)


main()
