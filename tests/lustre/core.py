# SPDX-License-Identifier: Apache-2.0
"""The core of the copytool against a fake coordinator. Each test says how far it proves something: "live" where the
fake does what a running Lustre 2.17.57 was seen to do, "reading" where it does what sources and documents say."""
import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from tool import BUILD, LustreFake, Tool, metric, running, until  # noqa: E402

NAMES = iter(range(1000000))


def new_file(lustre, data=b'snow'):
    name = f'f{next(NAMES)}'
    lustre.write_file(name, data)
    return name


@contextlib.contextmanager
def settings(lustre, **changes):
    before = lustre.settings()
    lustre.settings(**changes)
    try:
        yield
    finally:
        lustre.settings(**{k: before[k] for k in changes})


@contextlib.contextmanager
def fakes():
    with LustreFake(size='1G') as lustre:
        yield lustre


def started(tool, cookie):
    until(lambda: tool.has(f'cookie=0x{cookie:x} '), 'the begin')


def test_files_are_archived_released_read_again_and_removed(lustre):
    """live"""
    with running(lustre, ids=1) as tool:
        a, b = new_file(lustre, b'firn' * 5000), new_file(lustre, b'')
        lustre.archive(a, b)
        lustre.wait_idle()
        assert (lustre.state(a), lustre.state(b)) == (0x9, 0x9)
        lustre.release(a)
        assert lustre.state(a) == 0xd
        assert lustre.read(a) == b'firn' * 5000
        lustre.remove(b)
        lustre.wait_idle()
        assert lustre.state(b) == 0
        assert len(os.listdir(tool.store)) == 1


def test_a_second_copytool_on_the_mount_is_refused_by_pid(lustre):
    """live: two registrations would both get every action"""
    with running(lustre) as tool:
        second = Tool(lustre, state=tool.dir, wait=False)
        assert second.wait() == errno.EBUSY
        assert f'process {tool.proc.pid} ' in second.log(), second.log()
        assert lustre.counters()['agents'] == 1


def test_a_waiting_action_is_cancelled_before_the_others_end(lustre):
    """live: cancel by cookie; reading: of an action that the copytool has not begun"""
    with running(lustre, workers=1, archives=1, slow_ms=1500) as tool:
        names = [new_file(lustre) for _ in range(3)]
        cookies = [lustre.archive(n)[0] for n in names]
        started(tool, cookies[0])
        until(lambda: lustre.record(cookies[2])['status'] == 'STARTED', 'the third')
        begin = time.monotonic()
        lustre.cancel(names[2])
        assert lustre.wait(cookies[2])['status'] == 'CANCELED'
        assert time.monotonic() - begin < 1.0
        assert lustre.record(cookies[0])['running']
        lustre.wait_idle()
        assert [lustre.state(n) for n in names] == [9, 9, 1]


def test_a_running_action_is_cancelled_at_once(lustre):
    """live"""
    with running(lustre, slow_ms=20000) as tool:
        name = new_file(lustre)
        cookie = lustre.archive(name)[0]
        started(tool, cookie)
        begin = time.monotonic()
        lustre.cancel(name)
        assert lustre.wait(cookie)['status'] == 'CANCELED'
        assert time.monotonic() - begin < 1.0
        assert lustre.state(name) == 0x1


def test_a_cancel_of_nothing_is_not_answered(lustre):
    """live"""
    with running(lustre) as tool:
        name = new_file(lustre)
        lustre.inject('cancel', cookie=12345, fid=lustre.fid(name))
        cookie = lustre.archive(name)[0]
        assert lustre.wait(cookie)['status'] == 'SUCCEED'
        lustre.inject('cancel', cookie=cookie, fid=lustre.fid(name))
        name = new_file(lustre)
        assert lustre.wait(lustre.archive(name)[0])['status'] == 'SUCCEED'
        assert not tool.has('failed')


def test_a_file_that_changes_meanwhile_is_not_archived(lustre):
    """reading: EBUSY of end"""
    with running(lustre, slow_ms=600) as tool:
        name = new_file(lustre)
        cookie = lustre.archive(name)[0]
        started(tool, cookie)
        lustre.write(name, b'other')
        assert lustre.wait(cookie)['status'] == 'FAILED'
        assert lustre.state(name) & 0x8 == 0
        until(lambda: tool.has('the file changed meanwhile'), 'the line')


def test_more_than_the_queue_holds_is_refused_with_ebusy(lustre):
    """live: begin with an error and end"""
    with running(lustre, workers=1, archives=1, queue=2, slow_ms=300) as tool:
        names = [new_file(lustre) for _ in range(8)]
        cookies = lustre.archive(*names)
        records = [lustre.wait(c) for c in cookies]
        busy = [r for r in records if r['errno'] == errno.EBUSY]
        assert len(busy) >= 4 and all(r['status'] == 'FAILED' for r in busy), records
        assert [r['status'] for r in records if r not in busy] == ['SUCCEED'] * (8 - len(busy))
        until(lambda: tool.has('Device or resource busy'), 'the line')


def test_a_second_archive_of_a_file_at_work_is_refused_with_ealready(lustre):
    """reading: duplicates are not filtered by newer servers"""
    with running(lustre, slow_ms=600) as tool:
        name = new_file(lustre)
        first = lustre.archive(name)[0]
        started(tool, first)
        second = lustre.archive(name)[0]
        assert lustre.wait(second)['errno'] == errno.EALREADY
        assert lustre.wait(first)['status'] == 'SUCCEED'
        assert lustre.state(name) == 0x9


def test_a_message_that_comes_twice_is_done_once(lustre):
    """reading"""
    with running(lustre, slow_ms=300) as tool:
        name = new_file(lustre)
        before = lustre.counters()['ends']
        lustre.mangle(duplicate=1)
        cookie = lustre.archive(name)[0]
        assert lustre.wait(cookie)['status'] == 'SUCCEED'
        assert lustre.counters()['ends'] == before + 1
        until(lambda: tool.has('came twice'), 'the line')


def test_two_restores_of_a_file_bring_it_back_once(lustre):
    """reading: a second request for the same file"""
    with running(lustre) as tool:
        name = new_file(lustre, b'deep snow')
        lustre.archive(name)
        lustre.wait_idle()
        lustre.release(name)
        tool.stop()
    with running(lustre, state=tool.dir if os.path.isdir(tool.dir) else None, store='/nonexistent') as tool:
        cookie = lustre.restore(name)[0]
        assert lustre.wait(cookie)['errno'] == errno.ENOENT
    store = tool.store
    os.makedirs(store)
    with open(os.path.join(store, '[' + lustre.fid(name) + ']'), 'wb') as f:
        f.write(b'deep snow')
    with running(lustre, state=tool.dir, slow_ms=500) as tool:
        first = lustre.restore(name)[0]
        started(tool, first)
        got = []
        reader = threading.Thread(target=lambda: got.append(lustre.read(name)))
        reader.start()
        second = lustre.restore(name)
        assert lustre.wait(first)['status'] == 'SUCCEED'
        reader.join(10)
        assert got == [b'deep snow']
        for cookie in second:
            assert lustre.wait(cookie)['errno'] in (0, errno.EALREADY)
        lustre.wait_idle()
        assert lustre.read(name) == b'deep snow'
    subprocess.run(['rm', '-r', tool.dir], check=True)


def test_readers_that_wait_go_before_everything_else(lustre):
    """live: REQ_BLOCKING; lanes are the copytool's own"""
    with running(lustre, workers=8, archives=6, slow_ms=300):
        name = new_file(lustre, b'wanted')
        lustre.archive(name)
        lustre.wait_idle()
        lustre.release(name)
        lustre.archive(*[new_file(lustre) for _ in range(40)])
        time.sleep(0.2)
        begin = time.monotonic()
        assert lustre.read(name) == b'wanted'
        assert time.monotonic() - begin < 1.2
        lustre.wait_idle()


def test_heartbeats_keep_a_slow_action_alive(lustre):
    """reading: active_request_timeout; live: a progress refreshes the record"""
    with settings(lustre, timeout_ms=1200), running(lustre, slow_ms=4000, heartbeat_ms=300):
        name = new_file(lustre)
        cookie = lustre.archive(name)[0]
        record = lustre.wait(cookie)
        assert record['status'] == 'SUCCEED', record
        assert record['heartbeats'] >= 5 and record['max_gap_ms'] < 1200, record


def test_an_action_that_the_coordinator_gave_up_is_stopped(lustre):
    """reading: time-out; its progress and its end are answered ENOENT"""
    with settings(lustre, timeout_ms=400), running(lustre, slow_ms=20000, heartbeat_ms=1500) as tool:
        cookie = lustre.archive(new_file(lustre))[0]
        assert lustre.wait(cookie)['status'] != 'SUCCEED'
        until(lambda: tool.has('does not know of it any more') or tool.has('cancelled'), 'the stop')


def test_each_byte_is_reported_once(lustre):
    """reading: extents"""
    with running(lustre, slow_ms=2000, heartbeat_ms=300, update_ms=400):
        cookie = lustre.archive(new_file(lustre, b'x' * 100000))[0]
        record = lustre.wait(cookie)
        assert record['moved'] == '100000', record
        assert record['progresses'] > record['heartbeats'], record


def test_no_bytes_are_reported_before_the_update_interval(lustre):
    """reading: test 60 of sanity-hsm"""
    with running(lustre, slow_ms=1500, heartbeat_ms=300, update_ms=60000) as tool:
        cookie = lustre.archive(new_file(lustre, b'x' * 100000))[0]
        started(tool, cookie)
        time.sleep(1.2)
        record = lustre.record(cookie)
        assert record['heartbeats'] > 0 and record['moved'] == '0', record
        assert lustre.wait(cookie)['moved'] == '100000'


def test_a_restarting_coordinator_is_waited_for(lustre):
    """reading: EAGAIN while the MDT is away; agents come back by themselves"""
    with running(lustre, slow_ms=1500, heartbeat_ms=300) as tool:
        cookie = lustre.archive(new_file(lustre))[0]
        started(tool, cookie)
        lustre.restart(down=0.6)
        assert lustre.wait(cookie)['status'] == 'SUCCEED'
        assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED'


def test_an_end_that_did_not_arrive_is_made_again(lustre):
    """reading: end says EAGAIN, the record stays; archives run again, restores end with an error"""
    with running(lustre, lost_ms=300) as tool:
        name = new_file(lustre)
        lustre.fail('end', errno.EAGAIN, count=1)
        assert lustre.wait(lustre.archive(name)[0])['status'] == 'SUCCEED'
        assert lustre.state(name) == 0x9 and tool.has('it will be told again')
        lustre.release(name)
        lustre.fail('end', errno.EAGAIN, count=1)
        cookie = lustre.restore(name)[0]
        assert lustre.wait(cookie)['status'] == 'FAILED'
        assert lustre.read(name) == b'snow'


def test_sighup_registers_again_after_the_coordinator_forgot(lustre):
    """reading: hsm_control shutdown and enabled; also while an action is open"""
    with running(lustre, slow_ms=1500) as tool:
        cookie = lustre.archive(new_file(lustre))[0]
        started(tool, cookie)
        before = lustre.counters()['registered']
        lustre.control('shutdown')
        lustre.control('enabled')
        tool.send(signal.SIGHUP)
        until(lambda: lustre.counters()['registered'] > before, 'the new registration')
        assert lustre.wait(cookie)['status'] == 'SUCCEED'
        assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED'
        tool.send(signal.SIGHUP)
        until(lambda: lustre.counters()['registered'] > before + 1, 'the third registration')
        assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED'


def test_the_end_of_the_pipe_and_a_forced_unmount_make_it_register_again(lustre):
    """reading: EPIPE and ESHUTDOWN of recv"""
    with running(lustre) as tool:
        for kind in ('end', 'shutdown'):
            before = tool.log().count('registered at')
            lustre.inject(kind)
            until(lambda: tool.log().count('registered at') > before, 'a new registration')
            lustre.wait_agents(1)
            assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED', kind


def test_bad_messages_do_no_harm(lustre):
    """reading: what recv refuses; the rest is the copytool's own check"""
    kinds = ['magic', 'transport', 'type', 'tiny', 'version', 'fsname', 'fsname_endless', 'count', 'item_short', 'item_long',
             'item_wrap', 'truncated', 'action', 'archive', 'empty']
    with running(lustre) as tool:
        for kind in kinds:
            lustre.inject(kind)
            time.sleep(0.15)
            lustre.wait_agents(1)
            cookie = lustre.archive(new_file(lustre))[0]
            assert lustre.wait(cookie)['status'] == 'SUCCEED', kind
        assert tool.has('is refused: action') and tool.has('says it has'), tool.log()
        assert tool.log().count('registering again') < 2 * len(kinds)


def test_a_message_in_two_parts_is_one(lustre):
    """reading: since 2.17.53 recv puts parts together"""
    with running(lustre):
        lustre.mangle(split=2)
        for _ in range(3):
            assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED'


def test_a_stream_that_an_old_library_lost_is_begun_again(lustre):
    """reading: before 2.17.53 a part of a message is EPROTO; the message is gone"""
    with LustreFake(version='2.12', size='1G') as other, running(other) as tool:
        other.mangle(split=1, split_delay=0.5)
        other.archive(new_file(other))
        until(lambda: tool.log().count('registered at') == 2, 'a new registration')
        assert other.wait(other.archive(new_file(other))[0])['status'] == 'SUCCEED'


def test_old_versions_are_served(lustre):
    """reading: 2.12 and 2.15"""
    for version in ('2.12', '2.15', '2.17'):
        with LustreFake(version=version, size='1G') as other, running(other) as tool:
            name = new_file(other, b'old snow')
            other.archive(name)
            other.wait_idle()
            other.release(name)
            assert other.read(name) == b'old snow', version
            other.remove(name)
            other.wait_idle()
            assert other.state(name) == 0, (version, tool.log())


def test_a_coordinator_that_is_not_there_yet_is_waited_for(lustre):
    """reading: ENXIO of register"""
    lustre.fail('register', errno.ENXIO, count=3)
    with running(lustre) as tool:
        assert tool.has('trying again')
        assert lustre.wait(lustre.archive(new_file(lustre))[0])['status'] == 'SUCCEED'


def test_a_registration_that_can_never_be_ends_the_start(lustre):
    """reading: EPERM of register"""
    lustre.fail('register', errno.EPERM, count=1)
    tool = Tool(lustre, wait=False)
    try:
        assert tool.wait() == errno.EPERM, tool.log()
        assert tool.has('register at ')
    finally:
        tool.close()


def test_a_refused_privilege_ends_the_copytool(lustre):
    """reading: EPERM of end"""
    with LustreFake(size='1G') as other, running(other, status=errno.EPERM) as tool:
        other.fail('end', errno.EPERM, count=1)
        other.archive(new_file(other))
        tool.wait()


def test_it_leaves_while_the_coordinator_is_away(lustre):
    """reading: ends that did not arrive stay in the journal"""
    with LustreFake(size='1G') as other:
        tool = Tool(other, slow_ms=300, drain_ms=1000, force_ms=2000)
        try:
            cookie = other.archive(new_file(other))[0]
            started(tool, cookie)
            other.fail('end', errno.EAGAIN, count=-1)
            other.fail('register', errno.ENXIO, count=-1)
            other.inject('end')
            until(lambda: tool.has('register at'), 'the loss of the registration')
            assert tool.stop(seconds=10) == 0, tool.log()
            other.fail('end', count=0)
            other.fail('register', count=0)
            with running(other, state=tool.dir):
                other.wait_idle()
                assert other.record(cookie)['status'] == 'SUCCEED'
        finally:
            tool.close()


def test_it_leaves_although_an_action_waits_for_a_registration(lustre):
    """reading: what could not begin stays in the journal"""
    with LustreFake(size='1G') as other:
        tool = Tool(other, slow_ms=500, workers=1, archives=1, drain_ms=300, force_ms=1000)
        try:
            cookies = [other.archive(new_file(other))[0] for _ in range(2)]
            started(tool, cookies[0])
            other.fail('register', errno.ENXIO, count=-1)
            other.inject('end')
            until(lambda: tool.has('register at'), 'the loss of the registration')
            until(lambda: other.record(cookies[0])['status'] == 'SUCCEED', 'the end of the first')
            time.sleep(0.2)
            assert tool.stop(seconds=10) == 0, tool.log()
            other.fail('register', count=0)
            with running(other, state=tool.dir):
                other.wait_idle()
                assert other.record(cookies[1])['status'] == 'SUCCEED'
        finally:
            tool.close()


def test_archive_ids_that_were_not_asked_for_stay_with_the_coordinator(lustre):
    """reading: agents by archive id"""
    with LustreFake(size='1G') as other, running(other, archive=2):
        cookie = other.archive(new_file(other), archive_id=1)[0]
        assert other.wait(other.archive(new_file(other), archive_id=2)[0])['status'] == 'SUCCEED'
        assert other.record(cookie)['status'] == 'WAITING'


def test_sigterm_finishes_what_runs_and_refuses_what_waits(lustre):
    """live: error ends; reading: sanity-hsm expects the exit in time"""
    with running(lustre, workers=2, archives=2, slow_ms=800) as tool:
        cookies = [lustre.archive(new_file(lustre))[0] for _ in range(6)]
        started(tool, cookies[0])
        time.sleep(0.2)
        assert tool.stop() == 0
        records = [lustre.record(c) for c in cookies]
        done = [r for r in records if r['status'] == 'SUCCEED']
        refused = [r for r in records if r['status'] == 'FAILED' and r['errno'] == errno.EINTR]
        assert len(done) == 2 and len(refused) == 4, records
        assert lustre.counters()['agents'] == 0


def test_a_second_sigterm_ends_what_runs_with_eintr(lustre):
    """live"""
    with running(lustre, slow_ms=60000) as tool:
        cookie = lustre.archive(new_file(lustre))[0]
        started(tool, cookie)
        tool.send(signal.SIGTERM)
        time.sleep(0.3)
        assert tool.proc.poll() is None
        assert tool.stop(seconds=5) == 0
        record = lustre.record(cookie)
        assert (record['status'], record['errno']) == ('FAILED', errno.EINTR), record


def test_sigint_and_the_end_of_the_drain_do_so_too(lustre):
    """live"""
    for sig, knobs in ((signal.SIGINT, {}), (signal.SIGTERM, {'drain_ms': 300})):
        with running(lustre, slow_ms=60000, **knobs) as tool:
            cookie = lustre.archive(new_file(lustre))[0]
            started(tool, cookie)
            assert tool.stop(sig, seconds=5) == 0
            record = lustre.record(cookie)
            assert (record['status'], record['errno']) == ('FAILED', errno.EINTR), record


def test_a_cancel_during_the_drain_is_heard(lustre):
    """live"""
    with running(lustre, slow_ms=60000) as tool:
        name = new_file(lustre)
        cookie = lustre.archive(name)[0]
        started(tool, cookie)
        tool.send(signal.SIGTERM)
        time.sleep(0.2)
        lustre.cancel(name)
        assert lustre.wait(cookie)['status'] == 'CANCELED'
        assert tool.wait(5) == 0


def test_an_action_whose_worker_hangs_is_ended_all_the_same(lustre):
    """live"""
    tool = Tool(lustre, hang=1, drain_ms=200, force_ms=300)
    try:
        cookie = lustre.archive(new_file(lustre))[0]
        started(tool, cookie)
        assert tool.stop(seconds=15) == errno.EINTR, tool.log()
        record = lustre.record(cookie)
        assert (record['status'], record['errno']) == ('FAILED', errno.EINTR), record
    finally:
        tool.close()


def test_an_action_that_its_mover_leaves_open_is_ended_with_eio(lustre):
    """live"""
    with running(lustre, forget=1) as tool:
        record = lustre.wait(lustre.archive(new_file(lustre))[0])
        assert (record['status'], record['errno']) == ('FAILED', errno.EIO), record
        until(lambda: tool.has('was not ended by its mover'), 'the line')


def test_errors_that_would_mean_something_else_are_replaced(lustre):
    """reading: ENOSYS, ECANCELED and large numbers"""
    for given, told in ((errno.ENOSYS, errno.EOPNOTSUPP), (errno.ECANCELED, errno.EINTR), (131, errno.EIO), (errno.EDQUOT, errno.EDQUOT)):
        with running(lustre, error=given):
            record = lustre.wait(lustre.archive(new_file(lustre))[0])
            assert (record['status'], record['errno']) == ('FAILED', told), record


def test_a_begin_that_fails_is_ended(lustre):
    """reading: COPY_START"""
    with running(lustre):
        lustre.fail('begin', errno.ENOMEM, count=1)
        record = lustre.wait(lustre.archive(new_file(lustre))[0])
        assert (record['status'], record['errno']) == ('FAILED', errno.ENOMEM), record


def test_the_writer_of_the_pipe_never_waits_under_load(lustre):
    """reading: a full pipe stalls the client"""
    with settings(lustre, max_requests=5000), running(lustre, workers=16, archives=16, queue=5000, slow_ms=20, ids=1) as tool:
        names = [new_file(lustre) for _ in range(1500)]
        before = lustre.counters()
        for at in range(0, len(names), 50):
            lustre.archive(*names[at:at + 50])
        lustre.wait_idle(60)
        after = lustre.counters()
        assert after['stalls'] == before['stalls'] and after['stall_max_ms'] < 200, after
        assert all(lustre.state(n) == 9 for n in names[::100])
        assert tool.proc.poll() is None


def test_figures_are_written_for_prometheus(lustre):
    """the copytool's own"""
    path = f'/var/tmp/firn-metrics-{os.getpid()}'
    try:
        with running(lustre, metrics=path):
            lustre.archive(new_file(lustre, b'x' * 1000), new_file(lustre))
            lustre.wait_idle()
        assert metric(path, 'actions_total{kind="archive",errno="0"}') == 2
        assert metric(path, 'bytes_total{kind="archive"}') == 1004
        assert metric(path, 'open_actions') == 0
        assert metric(path, 'lane_actions{lane="archive",state="waiting"}') == 0
        assert metric(path, 'heartbeat_lag_seconds') is not None and metric(path, 'journal_bytes') > 0
    finally:
        os.unlink(path)


def test_events_come_through_the_library(lustre):
    """reading: tests 70 to 72 of sanity-hsm"""
    fifo = f'/var/tmp/firn-events-{os.getpid()}'
    os.mkfifo(fifo)
    os.chmod(fifo, 0o644)
    fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with running(lustre, fifo=fifo):
            name = new_file(lustre, b'event')
            lustre.archive(name)
            lustre.wait_idle()
        data = b''
        with contextlib.suppress(BlockingIOError):
            while more := os.read(fd, 65536):
                data += more
        events = [json.loads(line) for line in data.decode().splitlines()]
        types = [e['event_type'] for e in events]
        for wanted in ('REGISTER', 'ARCHIVE_START', 'ARCHIVE_RUNNING', 'ARCHIVE_FINISH', 'UNREGISTER'):
            assert wanted in types, types
    finally:
        os.close(fd)
        os.unlink(fifo)


def test_a_scheduler_in_front_of_the_library_is_served(lustre):
    """reading: coordinatool's preload; it ends the process at an end of what it did not hand out"""
    with LustreFake(size='1G') as other:
        with running(other, env={'scheduler': True}, slow_ms=300) as tool:
            until(lambda: tool.has('(through coordinatool)'), 'the registration')
            names = [new_file(other, b'pulled') for _ in range(20)]
            other.archive(*names)
            other.wait_idle()
            assert all(other.state(n) == 9 for n in names)
            other.release(names[0])
            assert other.read(names[0]) == b'pulled'
            cookie = other.archive(new_file(other))[0]
            started(tool, cookie)
            assert tool.stop() == 0
            assert other.record(cookie)['status'] == 'SUCCEED'
            assert not [f for f in os.listdir(tool.dir) if f.endswith('.journal')]


def test_no_journal_is_replayed_behind_a_scheduler(lustre):
    """reading: coordinatool's preload"""
    with LustreFake(size='1G') as other:
        tool = Tool(other, env={'FIRN_CRASH_POINT': 'lustre_action_begun'})
        try:
            other.archive(new_file(other))
            assert tool.wait() == -signal.SIGKILL
            other.wait_agents(0)
            with running(other, state=tool.dir, env={'scheduler': True}) as second:
                assert other.wait(other.archive(new_file(other))[0])['status'] == 'SUCCEED'
                assert not second.has('had no end')
        finally:
            tool.close()


def test_a_library_that_lacks_a_function_is_named(lustre):
    """the copytool's own"""
    tool = subprocess.run([os.path.join(BUILD, 'tests', 'lustre', 'nulltool'), lustre.mount, '/nonexistent'],
                          env=lustre.env(library='broken'), stderr=subprocess.PIPE, text=True, timeout=20)
    assert tool.returncode == errno.ENOTSUP, tool
    assert 'llapi_hsm_action_end' in tool.stderr and 'Lustre 2.1' in tool.stderr, tool.stderr
    env = dict(lustre.env(), LD_LIBRARY_PATH='/nonexistent')
    tool = subprocess.run([os.path.join(BUILD, 'tests', 'lustre', 'nulltool'), lustre.mount, '/nonexistent'],
                          env=env, stderr=subprocess.PIPE, text=True, timeout=20)
    assert tool.returncode == errno.ENOENT and 'install the Lustre client' in tool.stderr, tool


if __name__ == '__main__':
    tap.main(globals(), setup=fakes)
