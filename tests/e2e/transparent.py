#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs that know nothing of firn read migrated files, with the real firn-watch and firnd. $FIRN_TEST_FS is the file
system."""
import contextlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap  # noqa: E402
from firnsite import wait_for  # noqa: E402
from watchsite import WatchSite, drop_caches, is_stub  # noqa: E402

FS = os.environ.get('FIRN_TEST_FS', 'ext4')
SIZE = 300000


def data_of(seed, size=SIZE):
    return b''.join((f'{seed}:{n:09d}|').encode() for n in range(size // 8))[:size]


def stubs(site, *names):
    paths = [os.path.join(site.mount, n) for n in names]
    for n, p in zip(names, paths):
        with open(p, 'wb') as f:
            f.write(data_of(n))
    site.migrate(paths)
    drop_caches()
    return paths


def cat(path, program='cat', **kw):
    return subprocess.run([program, path], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, **kw)


def reader(path):
    return subprocess.Popen(['cat', path], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def waits(p, seconds=0.7):
    """Whether p has not ended after a while."""
    try:
        p.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def shown_tasks(site):
    tasks = site.firn_json('task', 'list')['payload']
    return ''.join(site.firn('task', 'show', str(t['task_id'])).stdout for t in tasks)


def watch_of(site):
    return site.firn_json('status')['payload'][0]['watch']


def attention(site):
    return ' '.join(site.firn_json('status')['payload'][0]['attention'])


def marked(site):
    wait_for('marks', lambda: watch_of(site)['filesystems'][0]['state'] == 'marked')


@contextlib.contextmanager
def setup():
    with WatchSite(fs=FS) as site:
        site.start_all()
        marked(site)
        yield site


def test_cat_gets_the_bytes_and_the_file_is_premigrated(site):
    path, = stubs(site, 'a')
    before = os.stat(path)
    r = cat(path)
    assert r.returncode == 0 and r.stdout == data_of('a'), r
    assert site.states([path]) == {path: 'premigrated'} and not is_stub(path)
    after = os.stat(path)
    assert (after.st_mtime_ns, after.st_ino, after.st_size) == (before.st_mtime_ns, before.st_ino, before.st_size)


def test_programs_that_look_for_holes_first_get_the_bytes(site):
    paths = stubs(site, 'cp', 'tar')
    copy = os.path.join(site.dir, 'copy')
    subprocess.run(['cp', '--sparse=always', paths[0], copy], check=True)
    with open(copy, 'rb') as f:
        assert f.read() == data_of('cp')
    subprocess.run(['tar', '-S', '-C', site.mount, '-cf', copy + '.tar', 'tar'], check=True)
    out = subprocess.run(['tar', '-xOf', copy + '.tar'], stdout=subprocess.PIPE, check=True).stdout
    assert out == data_of('tar')


def test_a_write_goes_into_the_old_data(site):
    path, = stubs(site, 'write')
    with open(path, 'r+b') as f:
        f.seek(1000)
        f.write(b'new')
    want = bytearray(data_of('write'))
    want[1000:1003] = b'new'
    with open(path, 'rb') as f:
        assert f.read() == bytes(want)
    assert site.states([path]) == {path: 'resident'}


def test_truncate_keeps_the_first_bytes(site):
    path, = stubs(site, 'cut')
    os.truncate(path, 5000)
    assert cat(path).stdout == data_of('cut')[:5000]


def test_a_file_that_is_written_anew_is_resident(site):
    path, = stubs(site, 'anew')
    with open(path, 'wb') as f:
        f.write(b'short')
    assert cat(path).stdout == b'short'
    assert site.states([path]) == {path: 'resident'} and not is_stub(path)


def test_a_migrated_program_runs(site):
    path = os.path.join(site.mount, 'echo')
    shutil.copy('/bin/echo', path)
    site.migrate([path])
    drop_caches()
    assert subprocess.run([path, 'runs'], stdout=subprocess.PIPE, check=True).stdout == b'runs\n'


def test_many_readers_of_one_file_all_get_it(site):
    path, = stubs(site, 'many')
    before = watch_of(site)['recalled']
    readers = [reader(path) for _ in range(12)]
    for r in readers:
        assert r.communicate(timeout=30)[0] == data_of('many')
    assert 1 <= watch_of(site)['recalled'] - before <= 12


def test_a_mapping_of_a_migrated_file_has_its_bytes(site):
    path, = stubs(site, 'mapped')
    with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        assert m[:] == data_of('mapped')


def test_the_queue_tells_which_program_of_which_user_waits(site):
    path = os.path.join(site.mount, 'asked')
    with open(path, 'wb') as f:
        f.write(data_of('asked'))
    site.assign('pool1', 1)
    site.firn('file', 'migrate', '-p', 'pool1@lib1', path)
    site.each_drive('unassign')
    try:
        r = subprocess.Popen(['cat', path], stdout=subprocess.PIPE, user=12345)
        want = f'cat, process {r.pid} of user 12345'
        wait_for('the request', lambda: want in shown_tasks(site))
        assert watch_of(site)['waiting'] == 1 and waits(r)
    finally:
        site.each_drive('assign')
    assert r.communicate(timeout=90)[0] == data_of('asked')


def test_an_indexer_gets_an_error_at_once_and_nothing_is_recalled(site):
    path, = stubs(site, 'indexed')
    program = os.path.join(site.dir, 'updatedb')
    shutil.copy(shutil.which('cat'), program)
    before = watch_of(site)['denied']
    r = cat(path, program)
    assert r.returncode != 0 and r.stdout == b'' and b'not permitted' in r.stderr, r
    assert is_stub(path) and watch_of(site)['denied'] == before + 1


def test_the_attribute_allow_transparent_recall_is_obeyed(site):
    path, = stubs(site, 'attribute')
    site.firn('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'no')
    try:
        r = cat(path)
        assert r.returncode != 0 and r.stdout == b'' and b'not permitted' in r.stderr, r
        assert is_stub(path)
    finally:
        site.firn('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'yes')
    assert cat(path).stdout == data_of('attribute')


def test_who_waits_gets_the_data_of_the_next_firnd(site):
    path, = stubs(site, 'killed')
    os.kill(site.procs['firnd'].pid, signal.SIGSTOP)
    r = reader(path)
    assert waits(r)
    site.kill('firnd')
    assert waits(r)
    site.start_firnd()
    assert r.communicate(timeout=30)[0] == data_of('killed')


def test_without_firnd_readers_wait(site):
    path, = stubs(site, 'absent')
    site.stop('firnd')
    r = reader(path)
    assert waits(r)
    assert cat(os.path.join(site.mount, 'a')).stdout == data_of('a'), 'resident files are free'
    site.start_firnd()
    assert r.communicate(timeout=30)[0] == data_of('absent')


def test_without_firn_watch_readers_wait_and_nothing_is_released(site):
    path, = stubs(site, 'front')
    kept = os.path.join(site.mount, 'kept')
    with open(kept, 'wb') as f:
        f.write(data_of('kept'))
    site.kill('firn-watch')
    wait_for('the loss', lambda: 'firn-watch is not there' in attention(site))
    r = reader(path)
    assert waits(r)
    out = site.firn('file', 'migrate', '-p', 'cloud@store1', kept, check=False)
    assert out.returncode != 0 and 'firn-watch is not there' in out.stdout + out.stderr, out
    assert not is_stub(kept)
    site.start_watch()
    assert r.communicate(timeout=30)[0] == data_of('front')
    marked(site)
    site.migrate([kept])
    assert cat(kept).stdout == data_of('kept')


def test_status_counts_marks(site):
    marked(site)
    known = [p for p in site.states([os.path.join(site.mount, n) for n in os.listdir(site.mount)
                                     if os.path.isfile(os.path.join(site.mount, n))]).values()]
    wait_for('the count', lambda: watch_of(site)['stubs'] == known.count('migrated'))
    before = watch_of(site)
    paths = stubs(site, *(f'mark{n}' for n in range(5)))
    w = watch_of(site)
    assert w['stubs'] == before['stubs'] + 5 and w['memory_bytes'] > before['memory_bytes'], (before, w)
    assert cat(paths[0]).returncode == 0
    assert watch_of(site)['stubs'] == before['stubs'] + 4


def test_status_tells_of_the_guard_and_of_snapshots_without_it(site):
    guard = watch_of(site)['guard']
    assert guard['refused'] == 0 or guard['active'], guard
    assert ('a snapshot taken of migrated files' in attention(site)) == (FS == 'btrfs' and not guard['active'])


tap.main(globals(), setup)
