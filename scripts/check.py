# SPDX-License-Identifier: Apache-2.0
"""Runs the gates and tests that ./check names, and counts them one by one."""
import argparse
import json
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Suites in the order in which ./check runs them. 'lint' and 'sanitize' are no meson suites.
SUITES = {
    'lint': 'format, warnings on gcc and clang, clang-tidy, cppcheck, layering, limits, contracts, manuals',
    'unit': 'unit tests and replay of the fuzz corpora',
    'contract': 'one suite an interface, run on every kind',
    'cli': 'the command line',
    'crash': 'kills at every crash point',
    'e2e': 'whole sites with real S3 clients on real file systems',
    'stores': 'the S3 tier on Ceph radosgw, s3rver and firn-s3, and through a proxy that makes faults',
    'sanitize': 'unit and contract tests under AddressSanitizer and UndefinedBehaviorSanitizer',
    'kernel': 'on other kernels under emulation: Linux 6.1, and one that takes the guard (with --long, or by name)',
    'tape': 'what belongs to tape, of any kind',
    'policy': 'what belongs to policies and scans, of any kind',
    's3': 'what belongs to S3, of any kind',
    'lustre': 'what belongs to the Lustre copytool, of any kind',
    'watch': 'what belongs to kernel events and transparent recall, of any kind',
}
TOPICS = ('tape', 'policy', 's3', 'lustre', 'watch')
JOBS = str(max(2, os.cpu_count() or 2))


class Tally:
    def __init__(self):
        self.passed = self.failed = 0
        self.failures = []

    def add(self, name, ok, detail=''):
        if ok:
            self.passed += 1
            return
        self.failed += 1
        self.failures.append(name)
        print(f'FAILED: {name}')
        if detail:
            print(detail[-6000:])


def build(name, tally, options=('--werror',), env=None):
    """Configures and builds in build/NAME. Returns the directory, or None."""
    directory = os.path.join(ROOT, 'build', name)
    env = {**os.environ, **(env or {})}
    steps = []
    if not os.path.exists(os.path.join(directory, 'build.ninja')):
        steps.append(['meson', 'setup', directory, ROOT, *options])
    steps.append(['ninja', '-C', directory])
    for step in steps:
        r = subprocess.run(step, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if r.returncode != 0:
            tally.add(f'build {name}', False, r.stdout)
            return None
    tally.add(f'build {name}', True)
    return directory


def count_tap(text):
    ok = bad = 0
    for line in text.splitlines():
        if line.startswith('ok '):
            ok += 1
        elif line.startswith('not ok '):
            bad += 1
    return ok, bad


def count_log(directory, tally):
    """Adds the results of the last meson test run, subtest by subtest where a test printed TAP."""
    with open(os.path.join(directory, 'meson-logs', 'testlog.json'), encoding='utf-8') as f:
        for line in f:
            t = json.loads(line)
            ok, bad = count_tap(t.get('stdout', ''))
            good = t['result'] in ('OK', 'EXPECTEDFAIL')
            if ok + bad == 0 or (not good and bad == 0):
                bad, ok = (0, ok + 1) if good else (1, ok)
            tally.passed += ok
            if bad:
                tally.failed += bad
                tally.failures.append(t['name'])
                print(f"FAILED: {t['name']} ({t['result']})")
                print((t.get('stdout', '') + t.get('stderr', ''))[-6000:])


def run_tests(directory, suites, tally, env=None, timeout_multiplier=2):
    """Runs the meson suites named (all when empty)."""
    argv = ['meson', 'test', '-C', directory, '--no-rebuild', '--num-processes', JOBS, '-t', str(timeout_multiplier)]
    for s in suites:
        argv += ['--suite', s]
    e = {**os.environ, 'FIRN_BUILD': directory, 'FIRN_SOURCE': ROOT, 'PYTHONDONTWRITEBYTECODE': '1', **(env or {})}
    log = os.path.join(directory, 'meson-logs', 'testlog.json')
    if os.path.exists(log):
        os.unlink(log)
    r = subprocess.run(argv, cwd=ROOT, env=e, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if not os.path.exists(log):
        no_tests = 'No suitable tests' in r.stdout or 'No tests' in r.stdout
        tally.add(f'suites {" ".join(suites)}', no_tests, r.stdout)
        return
    count_log(directory, tally)


def lint(tally, directory):
    r = subprocess.run([sys.executable, os.path.join(ROOT, 'scripts', 'lint.py'), '--build', directory],
                       cwd=ROOT, stdout=subprocess.PIPE, text=True)
    for line in r.stdout.splitlines():
        if line.startswith('gate '):
            _, state, name = line.split(' ', 2)
            tally.add(f'lint: {name}', state == 'ok')
        else:
            print(line)
    if r.returncode not in (0, 1):
        tally.add('lint', False, r.stdout)


def sanitize(tally, env):
    # Without --werror: gcc sees phantoms in code that the sanitizers have rewritten.
    directory = build('sanitize', tally, ['-Db_sanitize=address,undefined', '-Db_lundef=false'])
    if directory:
        env = {'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=1', 'UBSAN_OPTIONS': 'halt_on_error=1:print_stacktrace=1', **env}
        run_tests(directory, ['unit', 'contract'], tally, env, timeout_multiplier=6)


def long_runs(tally, directory):
    """What ./check --long adds beside FIRN_LONG: tests whose packages are large, the thread sanitizer, and a minute of
    each fuzz harness."""
    run_tests(directory, ['long'], tally, {'FIRN_LONG': '1'}, timeout_multiplier=40)
    directory = build('tsan', tally, ['-Db_sanitize=thread', '-Db_lundef=false'])
    if directory:
        options = f'halt_on_error=1:report_thread_leaks=0:suppressions={ROOT}/tests/tsan.supp'  # a second signal leaves threads
        run_tests(directory, ['unit'], tally, {'TSAN_OPTIONS': options}, timeout_multiplier=20)
    r = subprocess.run([os.path.join(ROOT, 'scripts', 'fuzz'), '60'], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                       text=True)
    tally.add('fuzz', r.returncode == 0, r.stdout)


def main():
    p = argparse.ArgumentParser(prog='./check', description='Runs the tests; the last line is "N passed, N failed".')
    p.add_argument('suites', nargs='*', metavar='SUITE')
    p.add_argument('--list', action='store_true', help='name the suites')
    p.add_argument('--long', action='store_true', help='add the long runs')
    a = p.parse_args()
    if a.list:
        for name, what in SUITES.items():
            print(f'{name:10} {what}')
        return 0
    unknown = [s for s in a.suites if s not in SUITES]
    if unknown:
        p.error(f'no suite {" ".join(unknown)}; there are {" ".join(SUITES)}')
    wanted = a.suites or [s for s in SUITES if s not in TOPICS and (s != 'kernel' or a.long)]
    tally, env, begun = Tally(), {'FIRN_LONG': '1'} if a.long else {}, time.monotonic()
    directory = build('check', tally)
    if directory is None:
        print(f'{tally.passed} passed, {tally.failed} failed')
        return 1
    for name in wanted:
        start = time.monotonic()
        before = (tally.passed, tally.failed)
        if name == 'lint':
            clang = build('clang', tally, env={'CC': 'clang-14'})
            lint(tally, clang or directory)
        elif name == 'sanitize':
            sanitize(tally, env)
        else:
            run_tests(directory, [name], tally, env, timeout_multiplier=40 if a.long else 2)
        print(f'{name}: {tally.passed - before[0]} passed, {tally.failed - before[1]} failed '
              f'in {time.monotonic() - start:.0f} s', flush=True)
    if a.long:
        long_runs(tally, directory)
    for f in tally.failures:
        print(f'failed: {f}')
    print(f'took {time.monotonic() - begun:.0f} s')
    print(f'{tally.passed} passed, {tally.failed} failed')
    return 1 if tally.failed else 0


sys.exit(main())
