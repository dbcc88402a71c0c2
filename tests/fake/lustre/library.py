# SPDX-License-Identifier: Apache-2.0
"""Calls of the fake liblustreapi: handles, descriptors, FIDs, states, layouts, import, events, symbols."""
import ctypes
import errno
import json
import os
import stat
import struct
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import lustrect
from flow import archived, make, released
from lustrect import DELAY_CREATE, RESTORE, Api, NullStore
from lustrefake import VERSIONS
from lustresite import NAME, check, main, reading, tool, version

LOV_V1, LOV_COMP = 0x0BD10BD0, 0x0BD60BD0


def begun(ct, lustre, name, flags=0):
    """An action of the next item."""
    rc, action = ct.begin(ct.items(1)[0], flags)
    check(rc, 0)
    return action


def test_a_second_end_and_late_use_are_seen(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        action = begun(ct, lustre, NAME)
        kept = ctypes.c_void_p(action.hcp.value)
        check((action.end(), action.hcp.value), (0, None))
        before = lustre.counters()
        check(action.end(), -errno.EINVAL)  # of NULL
        action.hcp = kept
        check((action.progress(), action.fd(), action.end()), (-errno.EINVAL,) * 3)
        after = lustre.counters()
        check((after['null_handle'] - before['null_handle'], after['poisoned_handle'] - before['poisoned_handle']), (1, 3))


def test_get_fd_is_a_dup_and_a_leak_is_counted(lustre):
    make(lustre, NAME)
    before = lustre.counters()['leaked_fd']
    with tool(lustre) as ct:
        lustre.archive(NAME)
        action = begun(ct, lustre, NAME)
        one, two = action.fd(), action.fd()
        assert one != two and one >= 0
        os.close(one)
        check(os.pread(two, 10, 0), b'hello')
        check(action.end(), 0)
        time.sleep(3.1)  # what is closed within 2 s of the end is no leak
    check(lustre.counters()['leaked_fd'] - before, 1)
    os.close(two)


def test_descriptors_and_fids_of_actions(lustre):
    store = archived(lustre, NAME)
    fid = lustre.fid(NAME)
    with tool(lustre) as ct:
        lustre.remove(NAME)
        action = begun(ct, lustre, NAME)
        check((action.fd(), action.dfid()[0]), (-errno.EINVAL, -errno.EINVAL))
        check(action.end(errno.EIO), 0)
        lustre.release(NAME)
        lustre.restore(NAME)
        action = begun(ct, lustre, NAME)
        rc, dfid = action.dfid()
        assert rc == 0 and lustrect.fid_text(dfid) != fid
        fd = action.fd()
        st = os.fstat(fd)
        check((st.st_nlink, stat.S_IMODE(st.st_mode), st.st_size), (0, 0o600, 0))
        other = ct.api.open_by_fid(lustre.mount.encode(), dfid, os.O_RDWR)  # another node could write too
        os.pwrite(other, store[action.item.fid], 0)
        os.close(other)
        check(action.end(), 0)
        os.close(fd)
    check(lustre.read(NAME), b'hello')


def test_open_by_fid_follows_the_inode(lustre):
    make(lustre, NAME)
    api = Api()
    fid = ctypes.create_string_buffer(16)
    check(api.path2fid(lustre.path(NAME).encode(), fid), 0)
    check(lustrect.fid_text(fid.raw), lustre.fid(NAME))
    opened = lambda: api.open_by_fid(lustre.mount.encode(), fid, os.O_RDONLY)
    os.rename(lustre.path(NAME), lustre.path('renamed'))
    fd = opened()
    check(os.read(fd, 10), b'hello')
    os.close(fd)
    os.unlink(lustre.path('renamed'))
    check(opened(), -1 if lustre.version == '2.12' else -errno.ENOENT)


def test_names_of_a_fid_one_by_one(lustre):
    make(lustre, 'd/one')
    os.link(lustre.path('d/one'), lustre.path('two'))
    api, link, names = Api(), ctypes.c_int(0), []
    text = f"[{lustre.fid('two')}]".encode()
    while True:
        buf, before = ctypes.create_string_buffer(4096), link.value
        check(api.fid2path(lustre.mount.encode(), text, buf, 4096, ctypes.byref(ctypes.c_longlong(-1)), ctypes.byref(link)), 0)
        names.append(buf.value.decode())
        if link.value == before:
            break
    check(sorted(names), ['d/one', 'two'])
    check(api.fid2path(lustre.mount.encode(), b'[0x1:0x2:0x3]', buf, 4096, None, None), -errno.ENOENT)
    check(api.fid2path(lustre.mount.encode(), text, buf, 3, None, None), -errno.EOVERFLOW)
    parent, name = ctypes.create_string_buffer(16), ctypes.create_string_buffer(256)
    os.unlink(lustre.path('two'))
    check(api.path2parent(lustre.path('d/one').encode(), 0, parent, name, 256), 0)
    check((name.value, lustrect.fid_text(parent.raw)), (b'one', lustre.fid('d')))


def test_the_site_is_told(lustre):
    api, name, text = Api(), ctypes.create_string_buffer(129), ctypes.create_string_buffer(64)
    check((api.search_fsname(lustre.mount.encode(), name), name.value), (0, b'lustre'))
    check(api.search_fsname(b'/', name), -errno.ENODEV)
    check(api.get_version_string(text, 64), 0)
    assert text.value.decode().startswith(lustre.version), text.value
    idx = ctypes.c_int(-1)
    fd = os.open(lustre.mount, os.O_RDONLY)
    check((api.get_mdt_index_by_fid(fd, ctypes.create_string_buffer(16), ctypes.byref(idx)), idx.value), (0, 0))
    os.close(fd)


def test_states_are_read_and_set(lustre):
    make(lustre, NAME)
    api, hus = Api(), ctypes.create_string_buffer(32)
    path = lustre.path(NAME).encode()
    u64 = ctypes.c_uint64
    check(api.hsm_state_set(path, u64(0x9), u64(0), 7), 0)
    check(api.hsm_state_get(path, hus), 0)
    check(struct.unpack_from('<IIII', hus), (0x9, 7, 0, 1))
    check(api.hsm_state_set(path, u64(0x10), u64(0), 0), 0)
    fd = os.open(path, os.O_RDONLY)
    check((api.hsm_state_get_fd(fd, hus), struct.unpack_from('<II', hus)), (0, (0x19, 7)))
    check(api.hsm_state_set_fd(fd, u64(0), u64(0x10), 0), 0)
    dv = u64()
    check(api.get_data_version(fd, ctypes.byref(dv), u64(1)), 0)
    check(dv.value, lustre.full_state(NAME)['data_version'])
    os.close(fd)
    try:  # archived by its state alone: no version to compare with
        lustre.release(NAME)
        assert False, 'released'
    except PermissionError:
        pass
    if lustre.version.startswith('2.17'):
        fd = os.open(path, os.O_RDONLY)
        check(api.hsm_data_version_set(fd, dv), 0)
        os.close(fd)
        lustre.release(NAME)


def test_52_fids_fit_a_request_and_53_do_not(lustre):
    api = Api()
    api.hsm_user_request_alloc.restype = ctypes.POINTER(ctypes.c_char)
    for count, data, rc in ((52, b'', 0), (53, b'', -errno.E2BIG), (52, b'12345678901234567', 0),
                            (52, b'123456789012345678', -errno.E2BIG)):
        for i in range(count):
            make(lustre, f'f{i}', b'')
        size = 24 + 32 * count + len(data)
        hur = api.hsm_user_request_alloc(count, len(data))
        body = struct.pack('<IIQII', 10, 0, 0, count, len(data))
        for i in range(count):
            seq, oid, ver = (int(x, 16) for x in lustre.fid(f'f{i}').split(':'))
            body += struct.pack('<QIIQQ', seq, oid, ver, 0, lustrect.ALL)
        ctypes.memmove(hur, body + data, size)
        check((count, len(data), api.hsm_request(lustre.mount.encode(), hur)), (count, len(data), rc))
        ctypes.CDLL(None).free(hur)
        check(sum(lustre.outstanding()), count if rc == 0 else 0)
        lustre.control('purge')


def test_import_makes_a_released_stub(lustre):
    store = archived(lustre, 'source', b'imported data')
    api = Api()
    st = os.stat(lustre.path('source'))
    # struct stat of x86_64 and arm64 differ: let the C library fill it.
    raw = ctypes.create_string_buffer(256)
    check(ctypes.CDLL(None, use_errno=True).stat(lustre.path('source').encode(), raw), 0)
    out = ctypes.create_string_buffer(16)
    dst = lustre.path(NAME).encode()
    args = (ctypes.c_ulonglong(0), -1, 0, 0, None, out)
    check(api.hsm_import(dst, 5, raw, *args), 0)
    check((lustre.state(NAME), lustre.full_state(NAME)['archive_id'], lustre.fid(NAME)), (0xd, 5, lustrect.fid_text(out.raw)))
    stub = os.stat(dst)
    check((stub.st_size, stub.st_mode, stub.st_mtime_ns), (13, st.st_mode, st.st_mtime_ns))
    check(api.hsm_import(dst, 5, raw, *args), -errno.EEXIST)
    lustre.fail('import', errno.EPERM)
    check(api.hsm_import(dst + b'2', 5, raw, *args), -errno.EPERM)
    assert not os.path.exists(dst + b'2')
    with tool(lustre) as ct, reading(lustre, NAME) as got:
        item, = ct.items(1)
        check(NullStore(ct, {item.fid: b'imported data'}).restore(item), 0)
    check(got, [b'imported data'])


def comp_blob():
    """Two components: 1 stripe to 1 MiB, 2 stripes behind."""
    v1 = lambda count: struct.pack('<IIQQIHH', LOV_V1, 1, 0, 0, 1 << 20, count, 0)
    entry = lambda i, start, end, at: struct.pack('<IIQQIIIIQ', i, 0, start, end, at, 32, 0, 0, 0)
    head = struct.pack('<IIIHHH14x', LOV_COMP, 192, 1, 0, 2, 0)
    return head + entry(1, 0, 1 << 20, 128) + entry(2, 1 << 20, lustrect.ALL, 160) + v1(1) + v1(2)


def test_layouts_of_files_and_stubs(lustre):
    make(lustre, NAME)
    blob = os.getxattr(lustre.path(NAME), 'lustre.lov')
    check((len(blob), struct.unpack_from('<I', blob)[0]), (56, LOV_V1))
    lustre.setstripe('two', count=2)
    check(len(os.getxattr(lustre.path('two'), 'lustre.lov')), 80)
    lustre.setstripe('pfl', blob=comp_blob())
    blob = os.getxattr(lustre.path('pfl'), 'lustre.lov')
    check((struct.unpack_from('<II', blob), len(blob)), ((LOV_COMP, 216), 216))
    assert 'lustre.lov' in os.listxattr(lustre.path('two'))
    assert not [n for n in os.listxattr(lustre.path('two')) if 'fakelustre' in n]
    store = archived(lustre, 'two')
    lustre.release('two')
    stub = os.getxattr(lustre.path('two'), 'lustre.lov')
    magic, pattern = struct.unpack_from('<II', stub)
    check((len(stub), pattern >> 31, struct.unpack_from('<H', stub, 28)[0]), (32, 1, 2))


def test_a_restored_file_takes_the_layout_of_the_volatile(lustre):
    for blob, size in ((comp_blob(), 216), (struct.pack('<IIQQIHH', LOV_V1, 0x80000001, 0, 0, 1 << 20, 2, 7), 80)):
        store = released(lustre, NAME)
        with tool(lustre) as ct:
            lustre.restore(NAME)
            check(NullStore(ct, store).restore(ct.items(1)[0], layout=blob), 0)
        got = os.getxattr(lustre.path(NAME), 'lustre.lov')
        check((len(got), struct.unpack_from('<I', got)), (size, struct.unpack_from('<I', blob)))
        if size == 80:
            check(struct.unpack_from('<IxxxxxxxxxxxxxxxxIHH', got, 4), (1, 1 << 20, 2, 0))
        os.unlink(lustre.path(NAME))


def test_a_layout_that_comes_too_late_changes_nothing(lustre):
    store = released(lustre, NAME)
    blob = comp_blob()
    with tool(lustre) as ct:
        lustre.restore(NAME)
        action = begun(ct, lustre, NAME, DELAY_CREATE)
        fd = action.fd()
        for bad, err in ((blob[:100], errno.ERANGE), (blob[:2], errno.ERANGE), (b'\x13' * 56, errno.EINVAL)):
            try:
                os.setxattr(fd, 'lustre.lov', bad, os.XATTR_CREATE)
                assert False, bad
            except OSError as e:
                check(e.errno, err)
        os.pwrite(fd, b'hello', 0)
        os.setxattr(fd, 'lustre.lov', blob, os.XATTR_CREATE)
        check(action.end(), 0)
        os.close(fd)
    check(len(os.getxattr(lustre.path(NAME), 'lustre.lov')), 56)
    lustre.release(NAME)
    with tool(lustre) as ct:  # and without the flag the objects are there from the beginning
        lustre.restore(NAME)
        action = begun(ct, lustre, NAME)
        fd = action.fd()
        os.setxattr(fd, 'lustre.lov', blob, os.XATTR_CREATE)
        check((action.end(), os.close(fd)), (0, None))
    check(len(os.getxattr(lustre.path(NAME), 'lustre.lov')), 56)


def test_events_come_through_the_fifo(lustre):
    fifo = os.path.join(os.path.dirname(lustre.socket), f'events{os.getpid()}')
    api = Api()
    with open(fifo, 'w') as f:
        f.write('x')
    check(api.hsm_register_event_fifo(fifo.encode()), -errno.EINVAL)
    os.unlink(fifo)
    check(api.hsm_register_event_fifo(fifo.encode()), 0)
    check(stat.S_IMODE(os.stat(fifo).st_mode), 0o644)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with tool(lustre) as ct:
        null = NullStore(ct)
        make(lustre, NAME)
        lustre.archive(NAME)
        check(null.serve(1), [0])
        lustre.release(NAME)
        lustre.restore(NAME)
        check(null.serve(1), [0])
        lustre.write(NAME, b'J')
        lustre.archive(NAME)
        check(begun(ct, lustre, NAME).end(errno.EIO), 0)
    events = [json.loads(l) for l in os.read(reader, 65536).decode().splitlines()]
    os.close(reader)
    check([e['event_type'] for e in events],
          ['REGISTER', 'ARCHIVE_START', 'ARCHIVE_RUNNING', 'ARCHIVE_FINISH', 'RESTORE_START', 'RESTORE_RUNNING',
           'RESTORE_FINISH', 'ARCHIVE_START', 'ARCHIVE_ERROR', 'UNREGISTER'])
    by = {e['event_type']: e for e in events}
    check(by['REGISTER']['mount_point'], lustre.mount)
    check((by['ARCHIVE_RUNNING']['total_bytes'], by['ARCHIVE_RUNNING']['current_bytes'], by['ARCHIVE_RUNNING']['lustre_path']),
          (5, 5, NAME))
    same = {t: by[t]['source_fid'] == by[t]['data_fid'] for t in ('ARCHIVE_FINISH', 'RESTORE_START', 'RESTORE_RUNNING', 'RESTORE_FINISH')}
    check(same, {'ARCHIVE_FINISH': True, 'RESTORE_START': True, 'RESTORE_RUNNING': False, 'RESTORE_FINISH': True})
    check(by['ARCHIVE_ERROR']['errno'], errno.EIO)
    check(api.hsm_unregister_event_fifo(fifo.encode()), 0)
    assert not os.path.exists(fifo)


def test_logged_messages_are_events(lustre):
    fifo = os.path.join(os.path.dirname(lustre.socket), f'log{os.getpid()}')
    os.mkfifo(fifo, 0o644)
    os.chmod(fifo, 0o644)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    subprocess.run([lustre.program('logevent'), fifo], env=lustre.env(), check=True)
    one, two = (json.loads(line) for line in os.read(reader, 65536).decode().splitlines())
    os.close(reader)
    check((one['event_type'], one['level'], one['message'], one['errno']), ('LOGGED_MESSAGE', 'ERROR', 'bad "thing"\n', 5))
    check((two['message'], 'errno' in two), ('fine', False))
    assert os.path.exists(fifo)  # it was there before


SCHEDULED = '''
import errno, os, sys
sys.path.insert(0, sys.argv[1])
from lustrect import *
ct = Copytool(Api(None), os.environ['FAKE_LUSTRE_MOUNT'])
assert ct.rc == 0, ct.rc
assert ct.fd() == -errno.EINVAL, ct.fd()
rc, message = ct.recv_raw()
assert rc == 0, rc
item = parse(message)[1][0]
if sys.argv[2] == 'good':
    print(NullStore(ct).archive(item), ct.unregister())
elif sys.argv[2] == 'replay':
    rc, action = ct.begin(item.with_dfid(b'x' * 16), is_error=True)
    action.end(errno.EIO)
else:
    rc, action = ct.begin(item)
    print(action.end(), flush=True)
    action.end()
'''


def test_a_scheduler_in_front_of_the_library(lustre):
    """By reading."""
    before = lustre.counters()
    for how, code, said in (('good', 0, '0 0'), ('replay', -6, ''), ('twice', -6, '0')):
        make(lustre, how)
        lustre.archive(how)
        env = lustre.env(scheduler=True)
        env['LD_PRELOAD'] += ':' + lustre.library_path()  # in place of dlopen with RTLD_GLOBAL
        r = subprocess.run([sys.executable, '-c', SCHEDULED, os.path.dirname(lustrect.__file__), how], env=env, timeout=20,
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        check((how, r.returncode, r.stdout.strip()), (how, code, said))
        lustre.control('purge')
    after = lustre.counters()
    check((after['sched_abort'] - before['sched_abort'], after['sched_done_lost'] - before['sched_done_lost']), (2, 1))


def test_each_version_has_its_symbols(lustre):
    later = {'llapi_fid_parse': 1, 'llapi_fid2path_at': 1, 'llapi_open_by_fid_at': 2, 'llapi_hsm_data_version_set': 2}
    for n, v in enumerate((*VERSIONS, 'broken')):
        out = subprocess.run(['nm', '-D', '--defined-only', lustre.library_path(v)], stdout=subprocess.PIPE, text=True, check=True)
        names = {l.split()[2] for l in out.stdout.splitlines()}
        assert not [x for x in names if not x.startswith('llapi_')], names
        for symbol, since in later.items():
            check((v, symbol, symbol in names), (v, symbol, n >= since))
        check('llapi_hsm_action_end' in names, v != 'broken')


def test_the_table_of_behaviours(lustre):
    rows = lustre.behaviours()
    check({r['item'] for r in rows}, set(range(1, 17)))
    check({r['proof'] for r in rows}, {'live', 'reading'})
    for r in rows:
        print(f"# {r['proof']:7} {r['name']}: {r['text']}")


def test_old_and_new_versions_differ_in_begin_of_removes(lustre):
    archived(lustre, NAME)
    with tool(lustre) as ct:
        lustre.remove(NAME)
        item, = ct.items(1)
        lustre.fail('open_by_fid', errno.EACCES)
        rc, action = ct.begin(item)
        check(rc, -errno.EACCES if lustre.settings()['remove_open'] else 0)
        lustre.fail('open_by_fid', count=0)


if __name__ == '__main__':
    main(globals())
