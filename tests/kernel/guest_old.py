# SPDX-License-Identifier: Apache-2.0
"""Runs inside Linux 6.1 (kernel.py): programs open stubs where FAN_OPEN_PERM is all there is. FIRN_TEST_FS names the
file system."""
import contextlib
import errno
import mmap
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap  # noqa: E402
from watchsite import WatchSite, is_stub  # noqa: E402

FS = os.environ.get('FIRN_TEST_FS', 'ext4')
DATA = bytes(range(1, 251)) * 800  # 200,000 bytes, none of them zero


@contextlib.contextmanager
def setup():
    with WatchSite(fs=FS, fs_size='400M', events='open', deadline=30) as site:
        site.start_all()
        yield site


def stubs(site, *names, data=DATA):
    paths = [site.path(n) for n in names]
    for p in paths:
        with open(p, 'wb') as f:
            f.write(data)
        os.chmod(p, 0o755)
    time.sleep(1.2)  # the age rule
    site.migrate(paths)
    assert all(is_stub(p) for p in paths)
    return paths


def content(path):
    with open(path, 'rb') as f:
        return f.read()


def run(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout


def test_this_is_an_older_kernel_and_status_says_so(site):
    assert os.uname().release.startswith('6.1.'), os.uname().release
    text = site.firn('status').stdout
    assert 'open' in text.lower(), text


def test_cat_cp_tar_and_sparse_copies_read_the_data(site):
    a, b, c, d, e = stubs(site, 'cat', 'cp', 'sparse', 'tar', 'reflink')
    assert run('cat', a) == DATA
    run('cp', b, site.path('cp.copy'))
    run('cp', '--sparse=always', c, site.path('sparse.copy'))
    packed = run('tar', '-S', '-cf', '-', '-C', os.path.dirname(d), os.path.basename(d))
    assert DATA in packed
    assert subprocess.run(['cp', '--reflink=auto', e, site.path('reflink.copy')]).returncode == 0
    for name in ('cp.copy', 'sparse.copy', 'reflink.copy'):
        assert content(site.path(name)) == DATA, name
    assert not any(is_stub(p) for p in (a, b, c, d, e))


def test_a_mapping_shows_the_data(site):
    path, = stubs(site, 'mapped')
    with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        assert m[:] == DATA


def test_append_ftruncate_and_partial_writes_keep_the_rest(site):
    a, b, c = stubs(site, 'append', 'ftruncate', 'written')
    with open(a, 'ab') as f:
        f.write(b'more')
    fd = os.open(b, os.O_RDWR)
    os.ftruncate(fd, 1000)
    os.close(fd)
    fd = os.open(c, os.O_RDWR)
    os.pwrite(fd, b'XYZ', 100)
    os.close(fd)
    assert content(a) == DATA + b'more'
    assert content(b) == DATA[:1000]
    assert content(c) == DATA[:100] + b'XYZ' + DATA[103:]


def test_a_stub_cut_by_path_is_read_up_to_its_new_size(site):
    path, = stubs(site, 'cut')
    os.truncate(path, 70000)
    assert content(path) == DATA[:70000]


def test_a_stub_opened_with_truncation_holds_what_is_written(site):
    path, = stubs(site, 'rewritten')
    with open(path, 'wb') as f:
        f.write(b'new')
    assert content(path) == b'new'


def test_a_program_is_recalled_and_runs(site):
    path, = stubs(site, 'program', data=content('/bin/true') + b'x' * 70000)
    assert subprocess.run([path]).returncode == 0


def test_an_error_is_eperm(site):
    path, = stubs(site, 'lost')
    for d, _, names in os.walk(site.copies.dir):
        for name in names:
            os.unlink(os.path.join(d, name))
    try:
        content(path)
        raise AssertionError('read without its copy')
    except OSError as e:
        assert e.errno == errno.EPERM, e
    assert is_stub(path)


if __name__ == '__main__':
    tap.main(globals(), setup=setup)
