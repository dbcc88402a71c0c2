# SPDX-License-Identifier: Apache-2.0
"""Many small files and one large one go to tape and come back whole, with memory bounded by the buffer pool.
The large file is 1 GiB, and 8 GiB under ./check --long."""
import contextlib
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site

COUNT = 10000
LARGE_GIB = 8 if tap.long_run() else 1
# firnd at rest, its pool of 32 x 1 MiB, and the tree of the volumes' files; far below the data moved.
BOUND_MIB = 220


@contextlib.contextmanager
def make():
    with Site(fs_size='20G', cartridge_size='24GiB', cartridges=4, drives=2) as site:
        site.start_firnd()
        site.assign('pool1', 2)
        yield site


def peak_mib(site):
    with open(f'/proc/{site.procs["firnd"].pid}/status', encoding='ascii') as f:
        return next(int(l.split()[1]) for l in f if l.startswith('VmHWM')) / 1024


def listing(site, paths):
    path = os.path.join(site.dir, 'list')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(''.join(p + '\n' for p in paths))
    return path


def digest(path):
    h = hashlib.sha256()
    with open(path, 'rb') as f:
        for block in iter(lambda: f.read(1 << 20), b''):
            h.update(block)
    return h.hexdigest()


def there_and_back(site, paths):
    before = {p: (digest(p), os.stat(p).st_mtime_ns) for p in paths}
    names = listing(site, paths)
    site.firn('file', 'migrate', '--list', names, '-p', 'pool1@lib1', timeout=900)
    assert sum(os.stat(p).st_blocks for p in paths) <= 8 * len(paths), 'something was not released'
    site.firn('file', 'recall', '--list', names, timeout=900)
    for p in paths:
        assert (digest(p), os.stat(p).st_mtime_ns) == before[p], p


def test_ten_thousand_small_files_come_back_whole(site):
    top = os.path.join(site.mount, 'small')
    paths = []
    for d in range(10):
        os.makedirs(os.path.join(top, str(d)))
        for i in range(COUNT // 10):
            path = os.path.join(top, str(d), f'f{i}')
            with open(path, 'wb') as f:
                f.write(os.urandom(1 + (i * 37) % 9000))
            paths.append(path)
    there_and_back(site, paths)
    site.small_peak = peak_mib(site)
    assert site.small_peak < BOUND_MIB, site.small_peak


def test_one_large_file_comes_back_whole(site):
    path = os.path.join(site.mount, 'large')
    with open(path, 'wb') as f:
        for _ in range(LARGE_GIB * 1024):
            f.write(os.urandom(1 << 20))
    there_and_back(site, [path])


def test_memory_stays_within_its_bound(site):
    peak = peak_mib(site)
    print(f'# peak {peak:.0f} MiB')
    assert peak < BOUND_MIB, peak
    assert peak - site.small_peak < 64, 'the large file cost memory that the small ones did not'


if __name__ == '__main__':
    tap.main(globals(), make)
