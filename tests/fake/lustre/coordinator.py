# SPDX-License-Identifier: Apache-2.0
"""The coordinator of the fake Lustre: limits, how ends are judged, deaths, restarts."""
import errno
import fcntl
import os
import signal
import struct
import sys
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import lustrect
from flow import archived, make, released
from lustrect import ALL, ARCHIVE, CANCEL, REMOVE, RESTORE, RETRY, NullStore
from lustresite import NAME, check, main, reading, tool, version


def in_child(function):
    """Runs function in a child that is killed when it has returned, by SIGKILL."""
    r, w = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(w, repr(function()).encode())
        finally:
            os.kill(os.getpid(), signal.SIGKILL)
    os.close(w)
    with os.fdopen(r, 'rb') as f:
        said = f.read()
    os.waitpid(pid, 0)
    assert said, 'the child failed'
    return said.decode()


def test_both_of_two_copytools_get_every_item_and_the_second_end_is_ENOENT(lustre):
    make(lustre, NAME)
    with tool(lustre) as one, tool(lustre) as two:
        check(lustre.counters()['already_registered'] > 0, True)
        lustre.archive(NAME)
        actions = [t.begin(t.items(1)[0]) for t in (one, two)]
        check([rc for rc, _ in actions], [0, 0])
        check([a.end() for _, a in actions], [0, -errno.ENOENT])


def test_a_killed_archive_stays_started_and_runs_again(lustre):
    make(lustre, NAME)
    cookie, = lustre.archive(NAME)

    def die():
        ct = lustrect.Copytool(lustrect.Api(), lustre.mount)
        item, = ct.items(1)
        check(ct.begin(item)[1].progress(), 0)
        return item.raw
    raw = eval(in_child(die))
    lustre.wait_agents(0)  # gone at once
    check(lustre.record(cookie)['status'], 'STARTED')
    with tool(lustre) as ct:
        check(ct.ready(0.2), False)  # and nobody is told
        check(NullStore(ct).archive(lustrect.Item(raw)), 0)
    check((lustre.state(NAME), lustre.record(cookie)['status']), (0x9, 'SUCCEED'))


def test_a_killed_restore_cannot_run_again_but_can_be_failed(lustre):
    store = released(lustre, NAME)

    def die():
        ct = lustrect.Copytool(lustrect.Api(), lustre.mount)
        item, = ct.items(1)
        rc, action = ct.begin(item)
        check((rc, action.progress()), (0, 0))
        return item.raw
    with reading(lustre, NAME) as got:
        item = lustrect.Item(eval(in_child(die)))
        lustre.wait_agents(0)
        with tool(lustre) as ct:
            rc, action = ct.begin(item)
            check((rc, action.progress(), action.end()), (0, -errno.EINVAL, -errno.EINVAL))
            check(got, [])  # the reader still hangs
            rc, action = ct.begin(item, is_error=True)
            check((rc, action.end(errno.EIO)), (0, 0))
    check(got, [errno.ENODATA])
    with tool(lustre) as ct, reading(lustre, NAME) as got:
        check(NullStore(ct, store).serve(1), [0])
    check(got, [b'hello'])


def test_the_volatile_dies_with_its_process(lustre):
    released(lustre, NAME)
    lustre.restore(NAME)

    def die():
        ct = lustrect.Copytool(lustrect.Api(), lustre.mount)
        rc, action = ct.begin(ct.items(1)[0])
        rc, dfid = action.dfid()
        fd = ct.api.open_by_fid(lustre.mount.encode(), dfid, os.O_RDONLY)  # as long as it lives
        assert fd >= 0, fd
        return dfid
    dfid = eval(in_child(die))
    fd = lustrect.Api().open_by_fid(lustre.mount.encode(), dfid, os.O_RDONLY)
    assert fd < 0, fd


def test_retry_of_a_restore_comes_back_with_the_dead_volatile(lustre):
    released(lustre, NAME)
    with version(lustre, no_retry=False), tool(lustre) as ct:
        with reading(lustre, NAME) as got:
            item, = ct.items(1)
            rc, action = ct.begin(item)
            rc, dfid = action.dfid()
            check((action.progress(), action.end(errno.EAGAIN, RETRY)), (0, 0))
            again, = ct.items(1)
            check((again.cookie, again.dfid), (item.cookie, dfid))
            if lustre.settings()['restore_dfid']:
                check(ct.begin(again)[0], -errno.ENOENT)
            rc, action = ct.begin(again, is_error=True)
            check((rc, action.end(errno.EIO)), (0, 0))
        check(got, [errno.ENODATA])


def test_retry_is_refused_by_the_default_policy(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        cookie, = lustre.archive(NAME)
        check(ct.begin(ct.items(1)[0])[1].end(errno.EIO, RETRY), 0)
        check(ct.ready(0.1), False)
        check(lustre.record(cookie)['status'], 'FAILED')
        with version(lustre, no_retry=False):
            lustre.archive(NAME)
            check(ct.begin(ct.items(1)[0])[1].end(errno.EIO, RETRY), 0)
            check(NullStore(ct).serve(1), [0])


def test_ends_are_judged(lustre):
    for err, status in ((errno.EIO, 'FAILED'), (errno.ENOSYS, 'FAILED'), (errno.ECANCELED, 'SUCCEED')):
        make(lustre, NAME)
        with tool(lustre) as ct:
            cookie, = lustre.archive(NAME)
            check(ct.begin(ct.items(1)[0])[1].end(err), 0)
        record = lustre.record(cookie)
        check((record['status'], record['errno'], lustre.state(NAME)), (status, err, 1))


def test_a_failed_archive_of_a_clean_file_makes_it_dirty_from_2_17_51(lustre):
    for err in (errno.EIO, errno.EALREADY):
        archived(lustre, NAME)
        with version(lustre, dup_filter=False), tool(lustre) as ct:
            lustre.write(NAME, b'J')
            lustre.archive(NAME)
            lustre.archive(NAME)
            one, two = ct.items(2)
            check(NullStore(ct).archive(one), 0)
            check(lustre.state(NAME), 0x9)
            rc, action = ct.begin(two, is_error=True)
            check((rc, action.end(err)), (0, 0))
        dirty = lustre.settings()['fail_dirty'] and err != errno.EALREADY
        check(lustre.state(NAME), 0xb if dirty else 0x9)


def test_duplicates_are_dropped_by_2_12_and_taken_later(lustre):
    make(lustre, NAME)
    with version(lustre, dup_filter=lustre.version == '2.12'):
        check(len(lustre.archive(NAME) + lustre.archive(NAME)), 1 if lustre.version == '2.12' else 2)


def test_a_request_that_times_out_is_unknown_afterwards(lustre):
    released(lustre, NAME)
    with version(lustre, timeout_ms=150), tool(lustre) as ct:
        with reading(lustre, NAME) as got:
            rc, action = ct.begin(ct.items(1)[0])
            for _ in range(4):  # as long as it shows life it stays
                time.sleep(0.06)
                check(action.progress(), 0)
            time.sleep(0.3)
            check((action.progress(), action.end()), (-errno.ENOENT, -errno.ENOENT))
        check(got, [errno.ENODATA])


def test_progress_counts_heartbeats_and_bytes(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        cookie, = lustre.archive(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        for offset, length in ((0, 10), (0, 0), (5, 10), (0, 0), (100, 1)):
            check(action.progress(offset, length), 0)
        check(action.progress(5, ALL), -errno.EINVAL)
        record = lustre.record(cookie)
        check((record['progresses'], record['heartbeats']), (5, 2))
        check(record['moved'], '16' if lustre.settings()['merge_extents'] else '21')
        check(action.end(0, 0, 0, 0), 0)


def test_a_stopped_coordinator_says_EAGAIN_and_forgets_agents(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        lustre.control('shutdown')
        check(action.progress(), -errno.EAGAIN)
        check(lustrect.Copytool(ct.api, lustre.mount).rc, -errno.ENXIO)
        lustre.control('enabled')
        check(action.end(), 0)
        make(lustre, 'other')
        lustre.archive('other')
        check(ct.ready(0.2), False)  # nobody told the agent that it is forgotten
        with tool(lustre) as again:
            check(NullStore(again).serve(1), [0])


def test_a_restarted_MDT_keeps_records_and_agents(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        lustre.restart(down=0.2)
        check(action.progress(), -errno.EAGAIN)
        deadline = time.monotonic() + 5
        while action.progress() != 0:
            assert time.monotonic() < deadline
        check(action.end(), 0)
        make(lustre, 'other')
        lustre.archive('other')
        check(NullStore(ct).serve(1), [0])


def test_an_end_while_the_MDT_is_down_is_lost(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        cookie, = lustre.archive(NAME)
        item, = ct.items(1)
        rc, action = ct.begin(item)
        lustre.restart(down=0.2)
        check(action.end(), -errno.EAGAIN)
        lustre._until(lambda: ct.begin(item)[0] == 0, 'the MDT')
        check(lustre.record(cookie)['status'], 'STARTED')
        check(NullStore(ct).archive(item), 0)


def test_purge_cancels_all_and_the_running_leave_with_their_end(lustre):
    for n in 'abc':
        make(lustre, n)
    with version(lustre, max_requests=1), tool(lustre) as ct:
        cookies = [lustre.archive(n)[0] for n in 'abc']
        rc, action = ct.begin(ct.items(1)[0])
        lustre.control('purge')
        cancel, = ct.items(1)
        check((cancel.action, cancel.cookie), (CANCEL, cookies[0]))
        check([lustre.record(c)['status'] for c in cookies], ['CANCELED'] * 3)
        check(lustre.outstanding(), (0, 1))
        check((action.progress(), action.end(errno.ECANCELED)), (-errno.ECANCELED, 0))
        check(lustre.outstanding(), (0, 0))


def test_requests_are_first_in_first_out_up_to_max_requests(lustre):
    names = [str(i) for i in range(6)]
    for n in names:
        make(lustre, n)
    with version(lustre, max_requests=3), tool(lustre) as ct:
        cookies = lustre.archive(*names)
        items = ct.items(3)
        check([i.cookie for i in items], cookies[:3])
        check(ct.ready(0.1), False)
        check(NullStore(ct).archive(items[1]), 0)
        check(ct.items(1)[0].cookie, cookies[3])


def test_one_restore_a_pass_is_forced_past_the_limit(lustre):
    store = released(lustre, NAME)
    make(lustre, 'other')
    make(lustre, 'third')
    with version(lustre, max_requests=1), tool(lustre) as ct:
        lustre.archive('other', 'third')
        check(len(ct.items(1)), 1)
        lustre.restore(NAME)
        item, = ct.items(1)
        check((item.action, NullStore(ct, store).restore(item)), (RESTORE, 0))


def test_the_table_of_what_may_be_requested(lustre):
    def refused(action, err, **more):
        try:
            cookies = lustre.request(action, NAME, **more)
        except OSError as e:
            check(e.errno, err)
            return
        check((cookies, 0), ([], err))  # not needed: silently skipped
    make(lustre, NAME)
    refused('restore', 0)
    refused('remove', 0)
    refused('release', errno.EPERM)
    refused('archive', errno.EPERM, uid=1000)
    lustre.set_state(NAME, set=0x20)
    refused('archive', errno.EPERM)
    os.unlink(lustre.path(NAME))
    archived(lustre, NAME)
    refused('archive', 0)
    lustre.set_state(NAME, set=0x10)
    refused('release', errno.EPERM)
    lustre.set_state(NAME, clear=0x10)
    lustre.write(NAME, b'J')
    refused('archive', errno.EPERM, archive_id=2)  # it exists in archive 1
    refused('release', errno.EPERM)
    os.unlink(lustre.path(NAME))
    released(lustre, NAME)
    refused('remove', errno.EPERM)
    refused('archive', 0)
    lustre.set_state(NAME, set=0x40)
    refused('restore', errno.EPERM)


def test_NonBlockingRestore_queues_and_says_ENODATA(lustre):
    released(lustre, NAME)
    with version(lustre, non_blocking_restore=True):
        try:
            lustre.restore(NAME)
            assert False
        except OSError as e:
            check(e.errno, errno.ENODATA)
        check(sum(lustre.outstanding()), 1)


def test_a_remove_for_archive_0_goes_to_every_archive(lustre):
    archived(lustre, NAME)
    fid = lustre.fid(NAME)
    os.unlink(lustre.path(NAME))
    with tool(lustre, ids=(3, 4)) as ct, tool(lustre, ids=(5,)):
        lustre.remove(fid)
        items = ct.items(2)
        check(sorted(i.archive_id for i in items), [3, 4])
        check({i.action for i in items}, {REMOVE})
        check(sum(lustre.outstanding()), 3)


def test_a_request_waits_for_an_agent_of_its_archive(lustre):
    make(lustre, NAME)
    with tool(lustre, ids=(7,)) as wrong:
        lustre.archive(NAME, archive_id=9)
        check(wrong.ready(0.1), False)
        with tool(lustre, ids=(9, 10)) as right:
            check(NullStore(right).serve(1), [0])
    check(lustre.full_state(NAME)['archive_id'], 9)


def bytes_in(pipe):
    return struct.unpack('i', fcntl.ioctl(pipe, termios.FIONREAD, b'\0' * 4))[0]


def test_a_reader_that_stalls_is_seen(lustre):
    """The writer is let go by a larger pipe, and only then something is read: before, half of a message lies in the
    pipe, which a recv of up to 2.17.52 answers with EPROTO when it comes there before the writer goes on."""
    names = [f'{i}' for i in range(1200)]
    for n in names:
        make(lustre, n, b'')
    before = lustre.counters()['stalls']
    with version(lustre, max_requests=5000, stall_limit_ms=100), tool(lustre) as ct:
        lustre.request_many('archive', names)
        lustre._until(lambda: lustre.counters()['stalls'] > before, 'the stall')  # 64 KiB are full
        fcntl.fcntl(ct.fd(), fcntl.F_SETPIPE_SZ, 1 << 20)
        lustre._until(lambda: bytes_in(ct.fd()) >= 72 * 1200 and lustre.counters()['stall_now_ms'] == 0, 'all messages')
        for i in ct.items(1200):
            ct.begin(i, is_error=True)[1].end(errno.EIO)
    assert lustre.counters()['stall_max_ms'] >= 100


def test_faults_on_demand(lustre):
    make(lustre, NAME)
    for call, err in (('register', errno.ENOTCONN), ('register', errno.EPERM), ('register', errno.ENXIO)):
        lustre.fail(call, err)
        check(lustrect.Copytool(lustrect.Api(), lustre.mount).rc, -err)
    with tool(lustre) as ct:
        cookie, = lustre.archive(NAME)
        item, = ct.items(1)
        lustre.fail('begin', errno.ENOMEM)
        check(ct.begin(item)[0], -errno.ENOMEM)
        lustre.fail('progress', errno.EAGAIN, skip=1)
        rc, action = ct.begin(item)
        check([action.progress() for _ in range(3)], [0, -errno.EAGAIN, 0])
        lustre.fail('end', errno.EPERM)
        check(action.end(), -errno.EPERM)
        check(action.hcp.value, None)  # freed all the same
        lustre.fail('copy_start', errno.EIO)
        check(ct.begin(item)[0], -errno.EIO)
        check(lustre.record(cookie)['status'], 'FAILED')  # by the kernel already
        check(ct.begin(item, is_error=True)[1].end(errno.EIO), -errno.ENOENT)


def test_a_failed_fsync_is_recorded_while_end_says_0(lustre):
    store = released(lustre, NAME)
    for step, result in (('end_fsync', 0), ('end_times', 0), ('swap', -errno.ENOSPC)):
        with tool(lustre) as ct:
            cookie, = lustre.restore(NAME)
            item, = ct.items(1)
            lustre.fail(step, errno.ENOSPC)
            check(NullStore(ct, store).restore(item), result)
        check((lustre.record(cookie)['status'], lustre.state(NAME)), ('FAILED', 0xd))


def test_agents_of_two_clients_share_the_work(lustre):
    names = [str(i) for i in range(10)]
    for n in names:
        make(lustre, n)
    with tool(lustre) as one:
        os.environ['FAKE_LUSTRE_CLIENT'] = 'client1'
        lustrect.ctypes.CDLL(None).setenv(b'FAKE_LUSTRE_CLIENT', b'client1', 1)
        try:
            with tool(lustre) as two:
                for n in names:
                    lustre.archive(n)
                    lustre._until(lambda: lustre.outstanding()[0] == 0, 'the pass')
                check((len(one.items(5)), len(two.items(5))), (5, 5))
        finally:
            lustrect.ctypes.CDLL(None).setenv(b'FAKE_LUSTRE_CLIENT', b'client0', 1)


if __name__ == '__main__':
    main(globals())
