#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Actions a second that lhsmtool_firn ends with the null tier on the fake coordinator. Wanted: 1,000 archives a second.

  bench/bench_lustre.py [--files N] [--rounds N]

Beside it what the fake alone allows: a loop of begin, read, end that keeps no journal, no index and no attribute. The
fake answers in microseconds where a coordinator takes milliseconds, so the loop is a bound and no peer. Needs root and
a release build in $FIRN_BUILD. Never a test: nothing fails here."""
import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('FIRN_BUILD', os.path.join(ROOT, 'build', 'bench'))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))
from firnsite import program  # noqa: E402
from lustrefake import LustreFake  # noqa: E402

BATCH = 52  # FIDs in a request, at most
SERIAL = '''
import sys
sys.path.insert(0, sys.argv[2])
import lustrect
api = lustrect.Api()
tool = lustrect.Copytool(api, sys.argv[1])
assert tool.rc == 0
class Nothing(dict):
    def __setitem__(self, key, value):
        dict.__setitem__(self, key, b'')
store = lustrect.NullStore(tool, Nothing())
while True:
    for item in tool.recv(3600):
        store.archive(item)
'''


def one(command, files):
    """(archives a second, CPU seconds, peak MiB) of a copytool."""
    with LustreFake(size='2G', max_requests=4000, loop_period_ms=50) as lustre:
        names = [f'f{i}' for i in range(files)]
        for name in names:
            lustre.write_file(name, b'x' * 16)
        proc = subprocess.Popen(command(lustre), env=lustre.env(), stderr=subprocess.DEVNULL)
        lustre.wait_agents(1)
        begin = time.monotonic()
        for at in range(0, files, BATCH):
            lustre.archive(*names[at:at + BATCH])
        lustre.wait_idle(600)
        seconds = time.monotonic() - begin
        with open(f'/proc/{proc.pid}/stat', encoding='ascii') as f:
            words = f.read().rsplit(')', 1)[1].split()
        with open(f'/proc/{proc.pid}/status', encoding='ascii') as f:
            peak = next(int(line.split()[1]) for line in f if line.startswith('VmHWM')) / 1024
        proc.kill()
        proc.wait()
        assert all(lustre.state(n) == 9 for n in names[::97]), 'not archived'
    return files / seconds, (int(words[11]) + int(words[12])) / os.sysconf('SC_CLK_TCK'), peak


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--files', type=int, default=10000)
    p.add_argument('--rounds', type=int, default=3)
    a = p.parse_args()
    work = tempfile.mkdtemp(prefix='firn-bench-lustre-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
    conf = os.path.join(work, 'firn.conf')

    def firn(lustre):
        state = tempfile.mkdtemp(dir=work)
        with open(conf, 'w', encoding='ascii') as f:
            f.write(f'state_dir = "{state}"; run_dir = "{state}/run";\n')
        return [program('lhsmtool_firn'), '-C', conf, '--tier', 'null', lustre.mount]

    def serial(lustre):
        return ['/usr/bin/python3', '-c', SERIAL, lustre.mount, os.path.join(ROOT, 'tests', 'lib')]
    try:
        rows = [(one(firn, a.files), one(serial, a.files)) for _ in range(a.rounds)]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    for i, (what, unit) in enumerate((('archives', '/s'), ('CPU', 's'), ('peak memory', 'MiB'))):
        x, y = (statistics.median(r[k][i] for r in rows) for k in (0, 1))
        print(f'{what:12} firn {x:10.1f} {unit:4} the fake alone {y:10.1f} {unit:4}', flush=True)


if __name__ == '__main__':
    main()
