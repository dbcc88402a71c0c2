#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What watching costs: calls on resident files of a watched file system beside the same on one that nobody watches, and
the time from a reader's open of a stub to its first byte.

  bench/bench_watch.py [--fs ext4,xfs,btrfs] [--rounds N] [--cycles N] [--stubs N]
                       [--recalls N]

The pair is measured without daemons (two file systems of a kind are never quite equal) and while they run and
stubs carry marks; the quotient is the figure. Needs root and a release build in $FIRN_BUILD (default
build/bench). Never a test: nothing fails here."""
import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('FIRN_BUILD', os.path.join(ROOT, 'build', 'bench'))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))
from firnsite import MKFS  # noqa: E402
from watchsite import WatchSite, drop_caches  # noqa: E402

BENCH = os.path.join(os.environ['FIRN_BUILD'], 'bench', 'bench_watch')
KIB, MIB = 1024, 1024 * 1024


class Peer:
    """A file system like the site's that no daemon knows."""

    def __init__(self, site):
        self.mount, image = os.path.join(site.dir, 'peer'), os.path.join(site.dir, 'peer.img')
        os.mkdir(self.mount)
        subprocess.run(['truncate', '-s', site.fs_size, image], check=True)
        subprocess.run(MKFS[site.fs_kind] + [image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['mount', '-o', 'loop', image, self.mount], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(['umount', self.mount], check=True)


def write(path, size):
    with open(path, 'wb') as f:
        f.write(os.urandom(size))
        os.fsync(f.fileno())
    return path


def measure(a, b, rounds):
    r = subprocess.run([BENCH, a, b, str(rounds)], stdout=subprocess.PIPE, text=True, check=True)
    return {name: tuple(map(float, rest)) for name, *rest in (line.split() for line in r.stdout.splitlines())}


def make_stubs(site, n, size):
    folder = tempfile.mkdtemp(dir=site.mount)
    paths = [write(os.path.join(folder, str(i)), size) for i in range(n)]
    site.migrate(paths)
    return paths


def overhead(site, rounds, stubs, cycles):
    """In each cycle the pair is measured with and without daemons; a cycle's figure is the quotient of the two ratios."""
    quotients, last = {}, {}
    with Peer(site) as peer:
        ours, theirs = write(os.path.join(site.mount, 'resident'), 4 * MIB), write(os.path.join(peer.mount, 'resident'), 4 * MIB)
        for cycle in range(cycles):
            without = measure(ours, theirs, rounds)
            site.start_all()
            if cycle == 0:
                make_stubs(site, stubs, 4 * KIB)
            time.sleep(2)  # the mark of the whole file system goes when all stubs have their own
            last = measure(ours, theirs, rounds)
            for name in last:
                quotients.setdefault(name, []).append(last[name][2] / without[name][2])
            if cycle < cycles - 1:
                site.stop('firnd')
                site.kill('firn-watch')  # it does not end by itself while stubs are mounted
    for name, (a, b, _) in last.items():
        q = sorted(quotients[name])
        print(f'{site.fs_kind:6} {name:16} watched {a:10.1f} ns  unwatched {b:10.1f} ns  overhead {100 * (statistics.median(q) - 1):+.1f} %'
              f' ({100 * (q[0] - 1):+.1f} to {100 * (q[-1] - 1):+.1f} in {cycles} cycles)  wanted <= 2', flush=True)


def first_byte(path):
    begin = time.perf_counter()
    fd = os.open(path, os.O_RDONLY)
    os.read(fd, 1)
    took = time.perf_counter() - begin
    os.close(fd)
    return took * 1000


def latency(site, n):
    for size in (4 * KIB, 1 * MIB, 16 * MIB):
        count = n if size < 16 * MIB else max(n // 8, 3)
        paths = make_stubs(site, count, size)
        drop_caches()
        took = sorted(first_byte(p) for p in paths)
        again = [first_byte(p) for p in paths]
        print(f'{site.fs_kind:6} stub of {size // KIB:6} KiB to first byte: median {statistics.median(took):8.2f} ms, worst of'
              f' {len(took)} {took[-1]:8.2f} ms; resident {statistics.median(again):.3f} ms', flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--fs', default='ext4,xfs,btrfs')
    p.add_argument('--rounds', type=int, default=501)
    p.add_argument('--stubs', type=int, default=1000)
    p.add_argument('--cycles', type=int, default=5)
    p.add_argument('--recalls', type=int, default=100)
    a = p.parse_args()
    for fs in a.fs.split(','):
        with WatchSite(fs=fs, fs_size='3G') as site:
            overhead(site, a.rounds, a.stubs, a.cycles)
            latency(site, a.recalls)


main()
