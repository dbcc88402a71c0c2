# SPDX-License-Identifier: Apache-2.0
"""Files that change while they are archived, cancels, lost ends, removes: the copy that a file had stays until the
coordinator has taken the next one, and nothing that anybody needs is deleted.

With the fake Lustre. Proven live elsewhere: cancel with the same cookie, remove after unlink, the trusted key by FID,
archives that are run again. By reading only: EBUSY at the end of an archive whose file changed, EAGAIN and what
follows, the broadcast remove, DIRTY after a failed archive."""
import contextlib
import errno
import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402

RATE = 2 << 20
SIZE = 4 * CHUNK + 123
DIRTY, RELEASED, ARCHIVED = 2, 4, 8


@contextlib.contextmanager
def site():
    with Site() as s:
        s.start(bandwidth=RATE)
        yield s
        assert s.stop() == 0
        c = s.lustre.counters()
        wrong = {k: c[k] for k in ('leaked_fd', 'poisoned_handle', 'negative_errval', 'enosys', 'retries', 'canceled_unasked',
                                   'stalls', 'agent_open_files') if c[k]}
        assert not wrong, wrong


def new(s, name, seed=1, size=SIZE):
    data = (b'%s %d;' % (name.encode(), seed) * (size // 4))[:size]
    s.lustre.write_file(name, data)
    return data


def clean(s):
    """Nothing is left of earlier tests: unlinked files' copies are removed."""
    for name in os.listdir(s.lustre.mount):
        path = s.lustre.path(name)
        if not os.path.isfile(path):
            continue
        if s.lustre.state(name) & RELEASED:
            s.lustre.read(name)
        if s.lustre.state(name) & (1 | ARCHIVED):
            s.over(s.lustre.remove(name))
        os.unlink(path)
    s.wait_copies(0)


def test_a_write_during_the_archive_fails_it_with_EBUSY_and_the_old_copy_stays(s):
    first = new(s, 'f')
    s.archive('f')
    old = s.key('f')
    s.lustre.write('f', b'changed')
    cookie = s.begin('archive', 'f')
    s.lustre.write('f', b'again', offset=100)
    r = s.lustre.wait(cookie)
    assert r['status'] == 'FAILED' and r['errno'] == errno.EBUSY, r
    s.wait_copies(1)  # the end comes first, then the new copy goes
    s.wait_for('the old key', lambda: s.key('f') == old)
    assert s.lustre.state('f') & DIRTY
    s.archive('f')
    assert s.key('f') not in (old, None)
    s.wait_copies(1)
    s.release('f')
    want = bytearray(first)
    want[:7], want[100:105] = b'changed', b'again'
    assert s.lustre.read('f') == bytes(want)
    clean(s)


def test_a_truncate_during_the_first_archive_leaves_no_copy(s):
    new(s, 'f')
    cookie = s.begin('archive', 'f')
    s.lustre.truncate('f', 10)
    r = s.lustre.wait(cookie)
    assert r['status'] == 'FAILED' and r['errno'] in (errno.EBUSY, errno.ESTALE), r
    s.wait_copies(0)
    s.wait_for('the key to go', lambda: s.key('f') is None)
    s.archive('f')
    s.release('f')
    assert len(s.lustre.read('f')) == 10
    clean(s)


def test_rename_link_and_chmod_do_not_disturb_an_archive(s):
    data = new(s, 'f')
    cookie = s.begin('archive', 'f')
    os.rename(s.lustre.path('f'), s.lustre.path('g'))
    os.link(s.lustre.path('g'), s.lustre.path('h'))
    os.chmod(s.lustre.path('g'), 0o600)
    assert s.lustre.wait(cookie)['status'] == 'SUCCEED'
    s.release('g')
    assert s.lustre.read('h') == data
    os.unlink(s.lustre.path('h'))
    clean(s)


def test_an_unlink_during_the_archive_leaves_no_copy_for_good(s):
    new(s, 'f')
    fid = s.lustre.fid('f')
    cookie = s.begin('archive', 'f')
    os.unlink(s.lustre.path('f'))
    r = s.lustre.wait(cookie)
    if r['status'] == 'SUCCEED':
        s.over(s.lustre.remove(fid))
    s.wait_copies(0)


def test_a_cancelled_archive_leaves_nothing(s):
    new(s, 'f')
    cookie = s.begin('archive', 'f')
    s.lustre.cancel('f')
    r = s.lustre.wait(cookie)
    assert r['status'] == 'CANCELED', r
    assert s.key('f') is None
    s.wait_copies(0)
    clean(s)


def test_a_cancelled_archive_of_a_changed_file_keeps_its_old_copy(s):
    new(s, 'f')
    s.archive('f')
    old = s.key('f')
    s.lustre.write('f', b'x')
    cookie = s.begin('archive', 'f')
    s.lustre.cancel('f')
    assert s.lustre.wait(cookie)['status'] == 'CANCELED'
    assert s.key('f') == old
    s.wait_copies(1)
    clean(s)


def test_a_cancelled_restore_leaves_the_file_released_and_the_next_read_works(s):
    data = new(s, 'f')
    s.archive('f')
    s.release('f')
    cookie = s.begin('restore', 'f')
    s.lustre.cancel('f')
    assert s.lustre.wait(cookie)['status'] == 'CANCELED'
    assert s.lustre.state('f') & RELEASED
    assert s.lustre.read('f') == data
    clean(s)


def test_an_end_that_is_lost_is_sent_again_and_one_copy_is_left(s):
    data = new(s, 'f', size=1000)
    s.lustre.fail('end', errno.EAGAIN)
    cookie, = s.lustre.archive('f')
    r = s.lustre.wait(cookie)
    assert r['status'] == 'SUCCEED', r
    s.wait_copies(1)
    s.release('f')
    assert s.lustre.read('f') == data
    clean(s)


def test_a_failed_restore_never_succeeds_and_the_next_one_does(s):
    data = new(s, 'f', size=CHUNK)
    s.archive('f')
    s.release('f')
    for call in ('swap', 'end_fsync', 'copy_start', 'mdt_index', 'volatile'):
        s.lustre.fail(call, errno.EIO)
        try:
            s.lustre.read('f')
            raise AssertionError(f'read in spite of a failed {call}')
        except OSError as e:
            assert e.errno == errno.ENODATA, (call, e)
        assert s.lustre.state('f') & RELEASED, call
    assert s.lustre.read('f') == data
    clean(s)


def test_remove_keeps_the_data_and_takes_the_copy(s):
    data = new(s, 'f', size=1000)
    s.archive('f')
    assert s.over(s.lustre.remove('f'))[0]['status'] == 'SUCCEED'
    assert s.lustre.state('f') == 0 and s.key('f') is None
    s.wait_copies(0)
    assert s.lustre.read('f') == data
    clean(s)


def test_remove_works_after_unlink_and_again(s):
    new(s, 'f', size=1000)
    s.archive('f')
    fid = s.lustre.fid('f')
    os.unlink(s.lustre.path('f'))
    for _ in range(2):
        assert s.over(s.lustre.remove(fid, archive_id=1))[0]['status'] == 'SUCCEED'
    s.wait_copies(0)


def test_a_remove_whose_end_is_refused_keeps_the_copy(s):
    data = new(s, 'f', size=1000)
    s.archive('f')
    s.lustre.fail('end', errno.EPROTO)
    before = s.lustre.counters()['ends']
    s.lustre.remove('f')
    s.wait_for('the end', lambda: s.lustre.counters()['ends'] > before)
    s.lustre.wait_idle(timeout=90)
    if s.lustre.state('f') & ARCHIVED:
        s.release('f')
        assert s.lustre.read('f') == data
        assert s.copies() == 1
    else:
        s.wait_copies(0)
    clean(s)


def test_a_file_that_is_released_while_its_remove_waits_keeps_its_copy(s):
    data = new(s, 'f', size=1000)
    s.archive('f')
    os.kill(s.proc.pid, signal.SIGSTOP)
    cookies = s.lustre.remove('f')
    s.wait_for('its delivery', lambda: s.lustre.record(cookies[0])['running'])
    s.release('f')
    os.kill(s.proc.pid, signal.SIGCONT)
    assert s.over(cookies)[0]['status'] == 'FAILED'
    assert s.lustre.read('f') == data and s.copies() == 1
    clean(s)


def test_a_file_that_is_released_while_its_archive_waits_is_not_read(s):
    data = new(s, 'f', size=100000)
    s.archive('f')
    s.lustre.set_state('f', set=DIRTY)
    os.kill(s.proc.pid, signal.SIGSTOP)
    cookies = s.lustre.archive('f')
    s.wait_for('its delivery', lambda: s.lustre.record(cookies[0])['running'])
    s.lustre.set_state('f', clear=DIRTY)
    s.release('f')
    os.kill(s.proc.pid, signal.SIGCONT)
    assert s.over(cookies)[0]['status'] == 'FAILED'
    assert s.lustre.read('f') == data and s.copies() == 1
    clean(s)


def test_a_hint_chooses_a_copy_of_the_same_file_only(s):
    mine, other = new(s, 'f', size=1000), new(s, 'g', size=2000)
    s.archive('f', 'g')
    s.release('f')
    r, = s.over(s.lustre.restore('f', data=f'key={s.key("g")}'))
    assert r['status'] == 'FAILED' and r['errno'] == errno.ENOENT, r
    assert s.lustre.state('f') & RELEASED
    r, = s.over(s.lustre.restore('f', data=b'tag=x,key=' + s.key('f').encode() + b'\0'))
    assert r['status'] == 'SUCCEED', r
    assert s.lustre.read('f') == mine and s.lustre.read('g') == other
    clean(s)


def test_a_file_without_a_copy_is_an_error_and_not_an_empty_file(s):
    new(s, 'f', size=1000)
    s.archive('f')
    s.release('f')
    os.removexattr(s.lustre.path('f'), 'trusted.firn')
    data = s.lustre.read('f')  # the index knows it too
    assert len(data) == 1000
    s.release('f')
    os.setxattr(s.lustre.path('f'), 'trusted.firn', b'00000000-0000-4000-8000-000000000000')
    try:
        s.lustre.read('f')
        raise AssertionError('a file whose copy nobody knows was read')
    except OSError as e:
        assert e.errno == errno.ENODATA, e
    os.removexattr(s.lustre.path('f'), 'trusted.firn')
    assert s.lustre.read('f') == data
    clean(s)


def test_a_full_file_system_fails_the_restore_and_not_the_file(s):
    data = new(s, 'f', size=8 * CHUNK)
    s.archive('f')
    s.release('f')
    v = os.statvfs(s.lustre.mount)
    with open(s.lustre.path('filler'), 'wb') as f:
        left = v.f_bavail * v.f_frsize
        while left > 1 << 16:
            try:
                os.posix_fallocate(f.fileno(), f.seek(0, 2), left)
            except OSError:
                left //= 2
    cookie, = s.lustre.restore('f')
    r = s.lustre.wait(cookie, 60)
    assert r['status'] == 'FAILED' and r['errno'] == errno.ENOSPC, r
    assert s.lustre.state('f') & RELEASED
    os.unlink(s.lustre.path('filler'))
    assert s.lustre.read('f') == data
    clean(s)


def restarted(s, *extra):
    s.stop()
    s.start(bandwidth=RATE, extra=extra)


def test_of_a_request_to_all_archives_one_succeeds(s):
    new(s, 'f', size=1000)
    s.archive('f')
    restarted(s, '--archive', '1', '--archive', '2')
    results = sorted((r['archive_id'], r['status'], r['errno']) for r in s.over(s.lustre.remove('f')))
    if len(results) == 1:  # the file's own archive id was taken
        assert results[0][1] == 'SUCCEED', results
    else:
        assert results == [(1, 'SUCCEED', 0), (2, 'FAILED', errno.ENOENT)], results
    s.wait_copies(0)
    restarted(s)
    clean(s)


def test_a_dry_run_changes_nothing(s):
    new(s, 'f', size=1000)
    new(s, 'g', size=1000)
    s.archive('g')
    key = s.key('g')
    restarted(s, '--dry-run')
    for r in s.over(s.lustre.archive('f')) + s.over(s.lustre.remove('g')):
        assert r['status'] == 'FAILED', r
    assert s.key('f') is None and s.key('g') == key
    assert s.copies() == 1
    restarted(s)
    clean(s)


def test_an_end_that_the_coordinator_refuses_undoes_the_archive(s):
    # The last test: for the fake the action stays open.
    new(s, 'f', size=1000)
    s.lustre.fail('end', errno.ENOENT)
    s.lustre.archive('f')
    s.wait_logged('does not know of it any more')
    s.wait_copies(0)
    s.wait_for('the key to go', lambda: s.key('f') is None)


if __name__ == '__main__':
    tap.main(globals(), setup=site)
