# SPDX-License-Identifier: Apache-2.0
"""What comes through the pipe of the fake Lustre: layout of messages, bad ones, lost and doubled ones, the pipe itself."""
import errno
import fcntl
import os
import signal
import struct
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import lustrect
from flow import make
from lustrect import ARCHIVE, Copytool, NullStore, parse
from lustresite import NAME, check, main, tool, version


def raw(ct):
    assert ct.ready(10)
    rc, message = ct.recv_raw()
    check(rc, 0)
    return message


def test_one_item_is_112_bytes_and_with_9_of_data_128(lustre):
    make(lustre, NAME)
    fid = lustre.fid(NAME)
    with tool(lustre) as ct:
        for data, size in ((b'', 112), (b'tag=hello', 128)):
            lustre.archive(NAME, data=data)
            message = raw(ct)
            head, (item,) = parse(message)
            check(len(message), size)
            check((head['version'], head['count'], head['fsname'], head['archive_id']), (1, 1, 'lustre', 1))
            check((item.len, item.data, item.extent, item.gid), (72 + len(data), data, (0, lustrect.ALL), 0))
            check((lustrect.fid_text(item.fid), item.dfid), (fid, item.fid))
            check(ct.begin(item, is_error=True)[1].end(errno.EIO), 0)


def test_data_of_every_length_with_NUL_inside(lustre):
    with tool(lustre) as ct:
        for length in (1, 2, 3, 5, 7, 8, 9, 63, 64, 1000):
            data = (b'a\0b\xff' * length)[:length]
            make(lustre, NAME + str(length))
            lustre.archive(NAME + str(length), data=data)
            check(ct.items(1)[0].data, data)


def test_items_with_odd_data_follow_each_other_in_one_message(lustre):
    names = [f'f{i}' for i in range(5)]
    for n in names:
        make(lustre, n)
    lustre.archive(*names, data=b'abc')
    with tool(lustre) as ct:
        head, items = parse(raw(ct))
        check([i.data for i in items], [b'abc'] * 5)


def test_70_items_fill_a_message_of_5080_bytes(lustre):
    names = [f'f{i}' for i in range(100)]
    for n in names:
        make(lustre, n, b'')
    with version(lustre, max_requests=200):
        lustre.request_many('archive', names)
        with tool(lustre) as ct:
            first, second = raw(ct), raw(ct)
            check((len(first), len(parse(first)[1]), len(parse(second)[1])), (5080, 70, 30))


def test_a_list_has_one_archive_id(lustre):
    for n in 'abcd':
        make(lustre, n)
    for i, n in enumerate('abcd'):
        lustre.archive(n, archive_id=1 + i // 2)
    with tool(lustre) as ct:
        heads = [parse(raw(ct))[0] for _ in range(2)]
        check([(h['archive_id'], h['count']) for h in heads], [(1, 2), (2, 2)])


def test_the_buffer_of_recv_is_overwritten_by_the_next(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        ct.ready(10)
        hal, size = lustrect.ctypes.c_void_p(), lustrect.ctypes.c_int()
        call = lambda: ct.api.hsm_copytool_recv(ct.ct, lustrect.ctypes.byref(hal), lustrect.ctypes.byref(size))
        check(call(), 0)
        address, before = hal.value, lustrect.ctypes.string_at(hal, size.value)
        lustre.inject('cancel')
        ct.ready(10)
        check(call(), 0)
        assert hal.value == address and lustrect.ctypes.string_at(address, len(before)) != before


def test_what_recv_says_to_bad_messages(lustre):
    for kind, rc in (('magic', -errno.EPROTO), ('transport', -errno.EPROTO), ('type', -errno.EPROTO),
                     ('tiny', -errno.EPROTO), ('shutdown', -errno.ESHUTDOWN)):
        with tool(lustre) as ct:
            lustre.inject(kind)
            assert ct.ready(10)
            check((kind, ct.recv_raw()[0]), (kind, rc))


def test_bad_contents_pass_recv_as_they_are(lustre):
    with tool(lustre) as ct:
        for kind in ('version', 'fsname', 'fsname_endless', 'count', 'item_short', 'item_long', 'item_wrap', 'truncated',
                     'action', 'archive', 'empty', 'cancel'):
            lustre.inject(kind)
            message = raw(ct)
            try:
                head, items = parse(message)
                parses = True
            except (AssertionError, struct.error, ValueError):
                parses = False
            check((kind, parses), (kind, kind in ('version', 'fsname', 'action', 'archive', 'empty', 'cancel')))


def test_a_cancel_for_a_cookie_that_nobody_has(lustre):
    with tool(lustre) as ct:
        lustre.inject('cancel', cookie=4711, fid='0x200000401:0x99:0x0')
        item, = ct.items(1)
        check((item.action, item.cookie, lustrect.fid_text(item.fid)), (23, 4711, '0x200000401:0x99:0x0'))


def test_archive_ids_that_were_not_registered_are_skipped(lustre):
    with tool(lustre, ids=(1, 2)) as ct:
        lustre.inject('archive')
        lustre.inject('cancel')
        check(parse(raw(ct))[1][0].action, 23)


def test_the_end_of_the_pipe(lustre):
    with tool(lustre) as ct:
        lustre.inject('end')
        assert ct.ready(10)
        check(ct.recv_raw()[0], -errno.EPIPE if lustre.settings()['recv_whole'] else -errno.EPROTO)
        check(ct.recv_raw()[0] < 0, True)  # and again


def test_a_message_in_two_parts(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.mangle(split=1, split_at=60)
        lustre.archive(NAME)
        assert ct.ready(10)
        rc, message = ct.recv_raw()
        # By reading: up to 2.17.52 a short read of the payload loses the stream.
        check(rc, 0 if lustre.settings()['recv_whole'] else -errno.EPROTO)


def test_without_waiting_recv_says_EAGAIN(lustre):
    with tool(lustre, flags=os.O_NONBLOCK) as ct:
        check(ct.recv_raw()[0], -errno.EAGAIN)


def test_signals_interrupt_recv_of_old_versions(lustre):
    """By reading."""
    class Interrupted(Exception):
        pass

    def handler(*_):
        pass
    old = signal.signal(signal.SIGALRM, handler)
    signal.siginterrupt(signal.SIGALRM, True)
    try:
        with tool(lustre) as ct:
            threading.Timer(0.4, lambda: lustre.inject('cancel')).start()
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            check(ct.recv_raw()[0], 0 if lustre.settings()['recv_whole'] else -errno.EINTR)
            if not lustre.settings()['recv_whole']:
                check(ct.recv_raw()[0], 0)
    finally:
        signal.signal(signal.SIGALRM, old)


def test_lost_and_doubled_messages(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.mangle(lose=1)
        cookie, = lustre.archive(NAME)
        check(ct.ready(0.2), False)
        check(lustre.record(cookie)['status'], 'STARTED')
        make(lustre, 'other')
        lustre.mangle(duplicate=1)
        lustre.archive('other')
        one, two = ct.items(2)
        check(one.raw, two.raw)
        actions = [ct.begin(i)[1] for i in (one, two)]
        check([a.end() for a in actions], [0, -errno.ENOENT])


def test_the_pipe_is_a_real_one(lustre):
    with tool(lustre) as ct:
        check(fcntl.fcntl(ct.fd(), 1032), 65536)  # F_GETPIPE_SZ
        check(fcntl.fcntl(ct.fd(), 1031, 1 << 20), 1 << 20)  # F_SETPIPE_SZ


def test_register_refuses_what_is_wrong(lustre):
    api = lustrect.Api()
    check(Copytool(api, lustre.mount, (-1,)).rc, -errno.EINVAL)
    check(Copytool(api, lustre.mount + '/none').rc, -errno.ENOENT)
    check(Copytool(api, '/').rc, -errno.ENOENT)
    os.rename(lustre.path('.lustre'), lustre.path('away'))
    check(Copytool(api, lustre.mount).rc, -errno.ENOENT)
    os.rename(lustre.path('away'), lustre.path('.lustre'))


def test_id_0_means_any_archive(lustre):
    make(lustre, NAME)
    with tool(lustre, ids=(3, 0)) as ct:
        lustre.archive(NAME, archive_id=77)
        check(NullStore(ct).serve(1), [0])


def test_unregister_clears_the_handle_and_the_agent(lustre):
    with tool(lustre) as ct:
        lustre.wait_agents(1)
        check((ct.unregister(), ct.ct.value), (0, None))
        lustre.wait_agents(0)


if __name__ == '__main__':
    main(globals())
