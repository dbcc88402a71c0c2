# SPDX-License-Identifier: Apache-2.0
"""The flows of the fake Lustre, with a copytool played by hand, on each version."""
import errno
import os
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import lustrect
from lustrect import ARCHIVE, CANCEL, REMOVE, RESTORE, Copytool, NullStore
from lustresite import NAME, check, main, reading, tool, version


def make(lustre, name, data=b'hello'):
    lustre.write_file(name, data)
    return name


def archived(lustre, name, data=b'hello'):
    """A file that is archived, and the store that holds it."""
    make(lustre, name, data)
    with tool(lustre) as ct:
        store = NullStore(ct)
        lustre.archive(name)
        check(store.serve(1), [0])
    check(lustre.state(name), 0x9)
    return store.store


def released(lustre, name, data=b'hello'):
    store = archived(lustre, name, data)
    lustre.release(name)
    check(lustre.state(name), 0xd)
    check(open(lustre.path(name), 'rb').read(), bytes(len(data)))
    return store


def test_archive_release_read_remove(lustre):
    store = released(lustre, NAME)
    with tool(lustre) as ct:
        null = NullStore(ct, store)
        with reading(lustre, NAME) as got:
            items = ct.items(1)
            check(items[0].action, RESTORE)
            check(items[0].flags, 4 if lustre.version.startswith('2.17') else 0)
            check(lustre.full_state(NAME)['in_progress_action'], 11)
            check(null.restore(items[0]), 0)
        check(got, [b'hello'])
        check(lustre.state(NAME), 0x9)
        lustre.release(NAME)  # a restored file can go again without an archive
        lustre.restore(NAME)
        check(null.serve(1), [0])
        lustre.remove(NAME)
        check(null.serve(1), [0])
    check((lustre.state(NAME), lustre.full_state(NAME)['archive_id']), (0, 1))


def test_lfs_prints_states_as_the_real_one(lustre):
    released(lustre, NAME)
    check(lustre.lfs('hsm_state', NAME).stdout, f'{NAME}: (0x0000000d) released exists archived, archive_id:1\n')
    check(lustre.lfs('hsm_release', NAME).returncode, 0)
    check(lustre.lfs('path2fid', NAME).stdout, f'[{lustre.fid(NAME)}]\n')
    check(lustre.lfs('fid2path', lustre.fid(NAME)).stdout, NAME + '\n')
    check(lustre.lfs('hsm_action', NAME).stdout, f'{NAME}: NOOP\n')


def test_exists_is_set_when_the_item_is_sent(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        item, = ct.items(1)
        check(lustre.state(NAME), 0x1)
        rc, action = ct.begin(item)
        check((rc, action.end(errno.EIO)), (0, 0))
    check(lustre.state(NAME), 0x1)


def test_a_failed_restore_gives_readers_ENODATA_and_the_next_works(lustre):
    store = released(lustre, NAME)
    with tool(lustre) as ct:
        with reading(lustre, NAME) as got:
            item, = ct.items(1)
            rc, action = ct.begin(item)
            check((rc, action.progress(), action.end(errno.EIO)), (0, 0, 0))
        check(got, [errno.ENODATA])
        check(lustre.state(NAME), 0xd)
        with reading(lustre, NAME) as got:
            check(NullStore(ct, store).serve(1), [0])
        check(got, [b'hello'])


def test_a_second_reader_waits_for_the_same_restore(lustre):
    store = released(lustre, NAME)
    with tool(lustre) as ct:
        with reading(lustre, NAME) as one, reading(lustre, NAME) as two:
            item, = ct.items(1)
            check(ct.ready(0.2), False)
            check(NullStore(ct, store).restore(item), 0)
        check(one + two, [b'hello', b'hello'])


def test_plain_reads_and_writes_of_any_process_wait_with_kernel_reads(lustre):
    """By reading; the errno of a failure is not Lustre's."""
    with version(lustre, kernel_reads=True):
        store = archived(lustre, NAME)
        with tool(lustre) as ct:
            new_kernel = [int(n) for n in os.uname().release.split('-')[0].split('.')[:2]] >= [6, 14]
            for command, after in ((['cat', lustre.path(NAME)], b'hello'),
                                   (['cat', lustre.path(NAME)], b'hello') if not new_kernel else
                                   (['dd', 'if=/dev/zero', 'of=' + lustre.path(NAME), 'bs=1', 'count=1', 'conv=notrunc'], b'\0ello')):
                lustre.release(NAME)
                os.stat(lustre.path(NAME))  # asks for nothing
                os.getxattr(lustre.path(NAME), 'lustre.lov')
                check(ct.ready(0.05), False)
                with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
                    item, = ct.items(1)
                    check(p.poll(), None)
                    check(NullStore(ct, store).restore(item), 0)
                    out = p.stdout.read()
                check((p.returncode, out if command[0] == 'cat' else b''), (0, b'hello' if command[0] == 'cat' else b''))
                check(open(lustre.path(NAME), 'rb').read(), after)
            lustre.write(NAME, b'h')
            lustre.archive(NAME)
            check(NullStore(ct, store).serve(1), [0])
            lustre.release(NAME)
            with subprocess.Popen(['cat', lustre.path(NAME)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as p:
                check(ct.begin(ct.items(1)[0])[1].end(errno.EIO), 0)
            check(p.returncode, 1)
        lustre.set_state(NAME, set=0x40)  # lost: nothing can wait for it
    subprocess.run(['rm', '-f', lustre.path(NAME)], check=True)


def test_without_protection_two_readers_queue_two_restores(lustre):
    """Versions between 2.13.57 and 2.15; by reading."""
    with version(lustre, restore_protect=False, dup_filter=False):
        store = released(lustre, NAME)
        with tool(lustre) as ct:
            with reading(lustre, NAME) as one, reading(lustre, NAME) as two:
                items = ct.items(2)
                check([NullStore(ct, store).restore(i) for i in items], [0, 0])
            check(one + two, [b'hello', b'hello'])


def test_cancel_has_cookie_and_fid_of_its_target(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        cookie, = lustre.archive(NAME)
        item, = ct.items(1)
        rc, action = ct.begin(item)
        check((rc, action.progress()), (0, 0))
        lustre.cancel(NAME)
        cancel, = ct.items(1)
        check((cancel.action, cancel.cookie, cancel.fid), (CANCEL, item.cookie, item.fid))
        check(action.progress(), -errno.ECANCELED)
        check(action.end(errno.ECANCELED), 0)
    check(lustre.record(cookie)['status'], 'CANCELED')
    check(lustre.record(cookie, 'cancel')['status'], 'SUCCEED')
    check(lustre.state(NAME), 0x1)


def test_cancel_of_a_waiting_request_sends_nothing(lustre):
    make(lustre, NAME)
    cookie, = lustre.archive(NAME)
    lustre.cancel(NAME)
    check(lustre.wait(cookie)['status'], 'CANCELED')
    with tool(lustre) as ct:
        check(ct.ready(0.1), False)


def test_end_0_of_a_cancelled_archive_still_archives(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        lustre.cancel(NAME)
        check(ct.items(1)[0].action, CANCEL)
        check(action.end(), 0)
    check(lustre.state(NAME), 0x9)


def test_content_changes_raise_the_data_version_and_nothing_else_does(lustre):
    make(lustre, NAME)
    dv = lambda: lustre.full_state(NAME)['data_version']
    before = dv()
    os.chmod(lustre.path(NAME), 0o600)
    os.setxattr(lustre.path(NAME), 'trusted.firn', b'x')
    os.rename(lustre.path(NAME), lustre.path('renamed'))
    os.rename(lustre.path('renamed'), lustre.path(NAME))
    check(dv(), before)
    for change in (lambda: lustre.write(NAME, b'J'), lambda: lustre.truncate(NAME, 3),
                   lambda: os.truncate(lustre.path(NAME), 2), lambda: open(lustre.path(NAME), 'ab').write(b'!')):
        change()
        after = dv()
        assert after > before, (after, before)
        before = after


def test_a_change_during_archive_ends_with_EBUSY(lustre):
    for change in (lambda: lustre.write(NAME, b'J'), lambda: lustre.truncate(NAME, 1)):
        make(lustre, NAME)
        with tool(lustre) as ct:
            cookie, = lustre.archive(NAME)
            rc, action = ct.begin(ct.items(1)[0])
            change()
            check((rc, action.end(0, lustrect.RETRY)), (0, -errno.EBUSY))
        check(lustre.record(cookie)['status'], 'FAILED')
        assert not lustre.state(NAME) & 8


def test_an_archive_that_meets_a_release_or_a_restore_ends_with_EBUSY(lustre):
    """By reading."""
    store = archived(lustre, NAME)
    for release_first in (False, True):
        with version(lustre, dup_filter=False), tool(lustre) as ct:
            lustre.write(NAME, b'J')
            lustre.archive(NAME)
            lustre.archive(NAME)
            one, two = ct.items(2)
            check(NullStore(ct, store).archive(one), 0)
            if release_first:
                lustre.release(NAME)
            rc, action = ct.begin(two)
            if release_first:
                lustre.restore(NAME)
                check(NullStore(ct, store).serve(1), [0])
            else:
                lustre.release(NAME)
            check((rc, action.end()), (0, -errno.EBUSY))
        if not release_first:
            with tool(lustre) as ct, reading(lustre, NAME) as got:
                check(NullStore(ct, store).serve(1), [0])
            check(got, [b'Jello'])


def test_chmod_and_xattrs_during_archive_do_no_harm(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        fd = action.fd()
        os.setxattr(fd, 'trusted.firn', b'key')  # works on the read-only descriptor
        os.close(fd)
        os.chmod(lustre.path(NAME), 0o640)
        check((rc, action.end()), (0, 0))
    check(lustre.state(NAME), 0x9)
    lustre.release(NAME)


def test_a_changed_archived_file_is_dirty_and_stays(lustre):
    archived(lustre, NAME)
    open(lustre.path(NAME), 'ab').write(b'more')
    check(lustre.state(NAME), 0xb)
    try:
        lustre.release(NAME)
        assert False, 'released a dirty file'
    except PermissionError:
        pass


def test_fids_stay_over_renames_and_links(lustre):
    make(lustre, NAME)
    fid = lustre.fid(NAME)
    os.link(lustre.path(NAME), lustre.path('second'))
    os.rename(lustre.path(NAME), lustre.path('third'))
    check((lustre.fid('second'), lustre.fid('third')), (fid, fid))
    check(sorted(lustre.paths(fid)), ['second', 'third'])
    with tool(lustre) as ct:
        lustre.archive('second')
        item, = ct.items(1)
        os.unlink(lustre.path('second'))
        os.rename(lustre.path('third'), lustre.path(NAME))
        check(NullStore(ct).archive(item), 0)
    check(lustre.paths(fid), [NAME])
    os.unlink(lustre.path(NAME))
    make(lustre, NAME)
    assert lustre.fid(NAME) != fid


def test_remove_works_after_unlink(lustre):
    store = archived(lustre, NAME)
    fid = lustre.fid(NAME)
    os.unlink(lustre.path(NAME))
    with tool(lustre) as ct:
        lustre.remove(fid, archive_id=1, data='key=abc')
        item, = ct.items(1)
        check((item.action, lustrect.fid_text(item.fid), item.data), (REMOVE, fid, b'key=abc'))
        check(NullStore(ct, store).remove(item), 0)
        check(store, {})


def test_the_last_unlink_removes_where_the_setting_says_so(lustre):
    archived(lustre, NAME)
    with version(lustre, raolu=True), tool(lustre) as ct:
        lustre.unlink(NAME)
        check(ct.items(1)[0].action, REMOVE)


def test_unlink_during_restore(lustre):
    released(lustre, NAME)
    with tool(lustre) as ct:
        cookie, = lustre.restore(NAME)
        rc, action = ct.begin(ct.items(1)[0])
        check(rc, 0)
        os.unlink(lustre.path(NAME))
        check(action.end(), -errno.ENOENT)
    check(lustre.record(cookie)['status'], 'FAILED')


def test_archive_of_an_unlinked_file_cannot_begin(lustre):
    make(lustre, NAME)
    with tool(lustre) as ct:
        lustre.archive(NAME)
        item, = ct.items(1)
        os.unlink(lustre.path(NAME))
        check(ct.begin(item)[0], -errno.ENOENT)
        rc, action = ct.begin(item, is_error=True)
        check((rc, action.end(errno.ENOENT)), (0, 0))


def test_empty_and_sparse_files(lustre):
    for size in (0, 1 << 20):
        make(lustre, NAME, b'')
        os.truncate(lustre.path(NAME), size)
        with tool(lustre) as ct:
            null = NullStore(ct)
            lustre.archive(NAME)
            check(null.serve(1), [0])
            lustre.release(NAME)
            lustre.restore(NAME)
            check(null.serve(1), [0])
        check((lustre.state(NAME), os.path.getsize(lustre.path(NAME))), (0x9, size))
        os.unlink(lustre.path(NAME))


def test_a_large_restore_is_moved_beside_the_loop(lustre):
    data = os.urandom(3 << 20)
    store = released(lustre, NAME, data)
    st = os.stat(lustre.path(NAME))
    with tool(lustre) as ct, reading(lustre, NAME) as got:
        check(NullStore(ct, store).serve(1), [0])
    check(got, [data])
    check(os.stat(lustre.path(NAME)).st_mtime_ns, st.st_mtime_ns)


def test_many_actions_a_second(lustre):
    """The fake must not be what a benchmark of archives measures."""
    names = [f'many/{i}' for i in range(5000)]
    for n in names:
        make(lustre, n, b'')
    with version(lustre, max_requests=2000, wake_ms=2), tool(lustre) as ct:
        done = []

        def work():
            while len(done) < len(names):
                for item in ct.recv():
                    rc, action = ct.begin(item)
                    done.append((rc, action.end()))
        threads = [threading.Thread(target=work)]
        begin = time.monotonic()
        for t in threads:
            t.start()
        lustre.request_many('archive', names)
        for t in threads:
            t.join()
        took = time.monotonic() - begin
    check(set(done), {(0, 0)})
    print(f'# {len(names) / took:.0f} archives/s by a copytool in Python')
    assert len(names) / took > 1000, took


if __name__ == '__main__':
    main(globals())
