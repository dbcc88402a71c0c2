# SPDX-License-Identifier: Apache-2.0
"""firn-watch is killed, its engine is killed, both are: a reader of a stub waits, or has its data, or
an error. Never zeros. The engine here is tests/lib/watchpeer.py; FIRN_TEST_FS names the file system."""
import contextlib
import errno
import os
import random
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from firnsite import program, wait_for  # noqa: E402
from watchpeer import AGAIN, COVERED, GATED, KEPT, MOUNTED, OPEN, Front, Peer  # noqa: E402

FS = os.environ.get('FIRN_TEST_FS', 'ext4')
DATA = b'data'


def refill(path):
    """As firnd does, whose own threads are never stopped."""
    with open(path, 'r+b') as f:
        f.write(DATA)
    os.removexattr(path, 'security.bpf.firn.stub')


@contextlib.contextmanager
def front(stubs=1, store=False, **kw):
    """A front that runs, and paths of stubs that were there before it."""
    with Front(fs=FS, mounted=True, **kw) as f:
        paths = [f.stub(f'stub{i}') for i in range(stubs)]
        if kw.get('gated'):
            f.unmount_it()
        with contextlib.ExitStack() as stack:
            if store:
                stack.enter_context(under_store(f))
            else:
                f.start()
            yield f, paths


@contextlib.contextmanager
def under_store(f):
    f.states = os.path.join(f.dir, 'states')
    f.store = subprocess.Popen(['/usr/bin/python3', os.path.join(HERE, '..', 'lib', 'fdstore.py'),
                                os.path.join(f.dir, 'notify'), os.path.join(f.dir, 'log'), f.states,
                                program('firn-watch'), '-c', f.conf], stdin=subprocess.DEVNULL)
    try:
        wait_for('READY', lambda: ready(f) == 1)
        yield
    finally:
        for r in f.readers:
            r.kill()
        f.store.terminate()
        f.store.wait(60)


def states(f):
    try:
        with open(f.states, encoding='utf-8') as s:
            return s.read().splitlines()
    except FileNotFoundError:
        return []


def ready(f):
    return sum('READY=1' in line for line in states(f))


def front_pid(f):
    return int([line for line in states(f) if 'READY=1' in line][-1].split('pid=')[1])


def kill_front(f, wait=True):
    n = ready(f)
    os.kill(front_pid(f), signal.SIGKILL)
    if wait:
        wait_for('the next firn-watch', lambda: ready(f) > n)


def waits(reader, seconds=0.4):
    try:
        reader.wait(seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


# ---- the engine ----

def test_an_event_is_sent_again_when_the_engine_was_killed():
    with front() as (f, (path,)):
        first = Peer(f.socket)
        reader = f.reader(path)
        assert first.event().flags == OPEN
        first.close()
        assert waits(reader)
        with Peer(f.socket) as peer:
            event = peer.event()
            assert event.flags == OPEN | AGAIN, event.flags
            refill(path)
            peer.answer(event)
            assert f.result(reader) == ('data', 4)


def test_an_engine_that_is_stopped_with_an_event_in_its_socket_loses_nothing():
    with front() as (f, (path,)):
        first = Peer(f.socket)
        reader = f.reader(path)
        time.sleep(0.3)
        first.close()
        with Peer(f.socket) as peer:
            peer.answer(peer.event(), errno.ENOSPC)
            assert f.result(reader) == ('errno', errno.ENOSPC)


def test_a_newer_connection_takes_over_and_the_older_is_closed():
    with front() as (f, (path,)):
        old, new = Peer(f.socket), Peer(f.socket)
        try:
            old.receive()
            raise AssertionError('the older connection is open')
        except (EOFError, ConnectionResetError):
            pass
        reader = f.reader(path)
        new.answer(new.event(), errno.EAGAIN)
        assert f.result(reader) == ('errno', errno.EAGAIN)
        old.close()
        new.close()


def test_without_an_engine_readers_get_an_error_at_the_deadline():
    with front(deadline=1) as (f, (path,)):
        begun = time.monotonic()
        assert f.result(f.reader(path)) == ('errno', errno.EIO)
        assert 0.9 < time.monotonic() - begun < 5
        wait_for('the log', lambda: 'firnd does not run' in f.log(), 10)


def test_an_engine_that_hangs_does_not_keep_readers_beyond_the_deadline():
    with front(deadline=1) as (f, (path,)):
        with Peer(f.socket) as peer:
            reader = f.reader(path)
            event = peer.event()
            assert f.result(reader) == ('errno', errno.EIO)
            peer.answer(event)  # too late: there is nothing to answer
            reader = f.reader(path)
            peer.answer(peer.event(), errno.EBUSY)
            assert f.result(reader) == ('errno', errno.EBUSY)


def test_files_that_are_no_stubs_are_read_without_an_engine():
    with front() as (f, _):
        assert f.result(f.reader(f.resident('plain'))) == ('data', 4)


def test_a_reader_that_was_killed_is_forgotten():
    with front() as (f, (path,)):
        with Peer(f.socket) as peer:
            reader = f.reader(path)
            peer.event()
            reader.kill()
            reader.wait(10)
            peer.close()
        # Its event held the file open, and so the file system.
        f.unmount_it()


def test_a_lease_on_one_file_does_not_stop_the_readers_of_others():
    """A release holds a lease while it syncs, and the kernel opens the file for the front inside read()."""
    import fcntl
    with front(stubs=2) as (f, (leased, other)):
        with Peer(f.socket) as peer:
            fd = os.open(leased, os.O_RDWR)
            signal.signal(signal.SIGIO, signal.SIG_IGN)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            first = f.reader(leased)
            time.sleep(0.5)
            begun = time.monotonic()
            second = f.reader(other)
            peer.answer(peer.event(), errno.EBUSY)
            assert f.result(second) == ('errno', errno.EBUSY)
            assert time.monotonic() - begun < 10, 'it waited for the lease'
            assert waits(first)
            fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            os.close(fd)
            peer.answer(peer.event(), errno.EAGAIN)
            assert f.result(first) == ('errno', errno.EAGAIN)


# ---- the front ----

def test_what_the_dead_front_had_read_gets_an_error_and_who_comes_later_waits():
    with front(stubs=2, store=True) as (f, (one, two)):
        reader = f.reader(one)
        with Peer(f.socket) as peer:
            peer.event()
            assert not peer.flags & KEPT
        os.kill(f.store.pid, signal.SIGSTOP)  # no new front yet
        os.kill(front_pid(f), signal.SIGKILL)
        late = f.reader(two)
        assert waits(late) and waits(reader)
        n = ready(f)
        os.kill(f.store.pid, signal.SIGCONT)
        wait_for('the next firn-watch', lambda: ready(f) > n)
        assert f.result(reader) == ('errno', errno.EIO)
        with Peer(f.socket) as peer:
            assert peer.flags & KEPT
            event = peer.event()
            refill(two)
            peer.answer(event)
            assert f.result(late) == ('data', 4)


def test_engine_and_front_killed_together_leave_the_group_with_the_store():
    with front(store=True) as (f, (path,)):
        Peer(f.socket).close()
        kill_front(f, wait=False)
        reader = f.reader(path)
        assert waits(reader, 0.05)
        with_peer_answers(f, path, reader)


def with_peer_answers(f, path, reader):
    wait_for('a second READY', lambda: ready(f) >= 2)
    with Peer(f.socket) as peer:
        event = peer.event()
        refill(path)
        peer.answer(event)
        assert f.result(reader) == ('data', 4)


def test_without_a_store_the_engine_brings_the_group_and_it_is_served():
    with front(stubs=2) as (f, (one, two)):
        old = Peer(f.socket)
        lost = f.reader(one)
        old.event()
        f.kill()
        late = f.reader(two)
        assert waits(late)
        f.start()
        with Peer(f.socket, groups=[old.group]) as peer:
            assert not peer.flags & KEPT
            assert f.result(lost) == ('errno', errno.EIO)  # swept
            # In the old group, and in the new one, which covers too.
            refill(two)
            peer.answer(peer.event())
            with contextlib.suppress(TimeoutError):
                while late.poll() is None:
                    peer.answer(peer.event(2))
            assert f.result(late) == ('data', 4)
            assert 'groups of earlier fronts taken over: 1' in f.log()
        old.close()


def test_the_fronts_own_group_is_known_when_it_is_brought_back():
    with front(store=True) as (f, (path,)):
        old = Peer(f.socket)
        kill_front(f)
        with Peer(f.socket, groups=[old.group, old.group]) as peer:
            wait_for('the log', lambda: 'taken over: 0' in f.log().splitlines()[-1])
            reader = f.reader(path)
            event = peer.event()
            refill(path)
            peer.answer(event)
            assert f.result(reader) == ('data', 4)
        old.close()


def test_killed_again_and_again_no_reader_sees_a_zero():
    seed = int(os.environ.get('FIRN_TEST_SEED', time.time_ns() % 1000000))
    print(f'# seed {seed}')
    rng = random.Random(seed)
    rounds = 400 if tap.long_run() else 40
    seen = {}
    with front(stubs=4, store=True) as (f, paths):
        peer, readers = Peer(f.socket), []
        for _ in range(rounds):
            readers += [f.reader(rng.choice(paths)) for _ in range(rng.randrange(1, 4))]
            time.sleep(rng.random() * 0.1)
            what = rng.choice(['engine', 'front', 'both', 'answer'])
            if what in ('engine', 'both'):
                peer.close()
            if what in ('front', 'both'):
                kill_front(f)
            if what == 'answer':
                with contextlib.suppress(Exception):
                    peer.answer(peer.event(0.5), errno.EAGAIN)
                continue
            peer.close()
            peer = Peer(f.socket)
        deny_all(peer, readers)
        for r in readers:
            result = f.result(r)
            seen[result] = seen.get(result, 0) + 1
        peer.close()
    print('# ' + ', '.join(f'{k[0]} {k[1]}: {n}' for k, n in sorted(seen.items())))
    assert not any(word == 'zeros' for word, _ in seen), seen
    assert seen.get(('errno', errno.EIO), 0) > 0, seen


def deny_all(peer, readers):
    while any(r.poll() is None for r in readers):
        with contextlib.suppress(TimeoutError):
            peer.answer(peer.event(1), errno.EBUSY)


def test_a_hand_over_by_signal_leaves_the_mount_and_the_group():
    with front(store=True, gated=True) as (f, (path,)):
        with Peer(f.socket) as peer:
            assert peer.fs['fs1'].flags == MOUNTED | GATED | COVERED, peer.fs['fs1'].flags
        n = ready(f)
        os.kill(front_pid(f), signal.SIGUSR1)
        wait_for('the next firn-watch', lambda: ready(f) > n)
        assert os.path.ismount(f.mount)
        with Peer(f.socket) as peer:
            assert peer.flags & KEPT
            assert peer.fs['fs1'].flags == MOUNTED | GATED | COVERED, peer.fs['fs1'].flags
            reader = f.reader(path)
            peer.answer(peer.event(), errno.EBUSY)
            assert f.result(reader) == ('errno', errno.EBUSY)


def test_a_hand_over_is_refused_when_nobody_keeps_the_group():
    with front() as (f, _):
        f.proc.send_signal(signal.SIGUSR1)
        wait_for('the log', lambda: 'nobody keeps the group' in f.log())
        assert f.proc.poll() is None


# ---- mounts ----

def test_a_gated_file_system_is_never_there_without_a_mark():
    """From before the mount until after the unmount, a reader tries again and again."""
    with front(gated=True) as (f, (path,)):
        assert f.stop() == 0
        loop = subprocess.Popen(['/usr/bin/python3', '-c', '''
import os, sys, time
seen = {}
while not os.path.exists(sys.argv[2]):
    try:
        fd = os.open(sys.argv[1], os.O_RDONLY)
        word = 'zeros' if os.read(fd, 4).count(0) else 'data'
        os.close(fd)
    except OSError as e:
        word = str(e.errno)
    seen[word] = seen.get(word, 0) + 1
    time.sleep(0.0005)
print(seen)
''', path, os.path.join(f.dir, 'enough')], stdout=subprocess.PIPE, text=True)
        f.readers.append(loop)
        for _ in range(5):
            f.start()
            with Peer(f.socket) as peer:
                for _ in range(20):
                    peer.answer(peer.event(), errno.EBUSY)
            f.proc.send_signal(signal.SIGTERM)
            f.proc.wait(60)
        with open(os.path.join(f.dir, 'enough'), 'w', encoding='ascii'):
            pass
        seen = eval(loop.communicate(timeout=30)[0])  # pylint: disable=eval-used
        print('#', seen)
        assert 'zeros' not in seen and 'data' not in seen, seen
        assert seen[str(errno.EBUSY)] >= 90 and seen[str(errno.ENOENT)] > 0, seen


def test_a_file_system_in_use_keeps_the_front_until_it_is_free():
    with front(gated=True) as (f, _):
        busy = open(f.resident('busy'), 'rb')
        f.proc.send_signal(signal.SIGTERM)
        wait_for('the log', lambda: 'is in use (fuser -vm' in f.log())
        assert f.proc.poll() is None and os.path.ismount(f.mount)
        f.proc.send_signal(signal.SIGTERM)
        wait_for('the log', lambda: f.log().count('is in use (fuser -vm') == 2)
        busy.close()
        assert f.proc.wait(20) == 0
        assert not os.path.ismount(f.mount)


def test_a_file_system_that_others_mounted_keeps_the_front_while_it_may_hold_stubs():
    with front() as (f, (path,)):
        f.proc.send_signal(signal.SIGTERM)
        wait_for('the log', lambda: 'unmount it (umount' in f.log())
        assert f.proc.poll() is None
        # Nobody will come for it: an error at once.
        assert f.result(f.reader(path)) == ('errno', errno.EIO)
        assert f.result(f.reader(f.resident('plain'))) == ('data', 4)
        f.unmount_it()
        assert f.proc.wait(20) == 0


def test_a_mount_elsewhere_keeps_the_front_too():
    with front(gated=True) as (f, (path,)):
        other = os.path.join(f.dir, 'other')
        os.mkdir(other)
        subprocess.run(['mount', '--bind', f.mount, other], check=True)
        try:
            f.proc.send_signal(signal.SIGTERM)
            wait_for('the log', lambda: 'is mounted elsewhere still' in f.log())
            assert f.proc.poll() is None and not os.path.ismount(f.mount)
            assert f.result(f.reader(os.path.join(other, os.path.basename(path)))) == ('errno', errno.EIO)
        finally:
            subprocess.run(['umount', other], check=True)
        assert f.proc.wait(20) == 0


def test_a_read_only_bind_mount_is_watched():
    with front() as (f, (path,)):
        other = os.path.join(f.dir, 'other')
        os.mkdir(other)
        subprocess.run(['mount', '--bind', f.mount, other], check=True)
        subprocess.run(['mount', '-o', 'remount,bind,ro', other], check=True)
        try:
            with Peer(f.socket) as peer:
                reader = f.reader(os.path.join(other, os.path.basename(path)))
                event = peer.event()
                refill(path)
                peer.answer(event)
                assert f.result(reader) == ('data', 4)
        finally:
            subprocess.run(['umount', other], check=True)


def test_what_is_mounted_anew_is_covered_and_the_engine_comes_again():
    with front() as (f, (path,)):
        with Peer(f.socket) as peer:
            peer.uncover('fs1')
            f.unmount_it()
            peer.wait_fs('fs1', 0)
            f.mount_it()
            try:
                while True:
                    peer.receive()
            except EOFError:
                pass
        with Peer(f.socket) as peer:
            assert peer.fs['fs1'].flags == MOUNTED | COVERED
            reader = f.reader(path)
            peer.answer(peer.event(), errno.EBUSY)
            assert f.result(reader) == ('errno', errno.EBUSY)


def test_a_device_that_is_missing_or_mounted_elsewhere_is_told():
    with Front(fs=FS, gated=True, mounted=False) as f:
        elsewhere = os.path.join(f.dir, 'elsewhere')
        os.mkdir(elsewhere)
        subprocess.run(['mount', f.loop, elsewhere], check=True)
        try:
            f.start()
            with Peer(f.socket) as peer:
                assert peer.fs['fs1'].flags == 0 and peer.fs['fs1'].code == errno.EBUSY, peer.fs['fs1'].code
            assert 'mounted already; unmount it first' in f.log()
            assert f.stop() == 0
        finally:
            subprocess.run(['umount', elsewhere], check=True)


# ---- who may run and connect ----

def test_a_second_front_is_refused():
    with front() as (f, _):
        second = subprocess.run([program('firn-watch'), '-c', f.conf], stderr=subprocess.PIPE, text=True)
        assert second.returncode == 1 and 'is running already' in second.stderr, second.stderr
        # Another run_dir, the same socket.
        f.write_conf()
        with open(f.conf, encoding='utf-8') as c:
            text = c.read().replace(f'{f.dir}/run"', f'{f.dir}/run2"').replace('watch = {', f'watch = {{ socket = "{f.socket}";')
        other = os.path.join(f.dir, 'other.conf')
        with open(other, 'w', encoding='utf-8') as c:
            c.write(text)
        second = subprocess.run([program('firn-watch'), '-c', other], stderr=subprocess.PIPE, text=True)
        assert second.returncode == 1 and 'another firn-watch answers there' in second.stderr, second.stderr
        Peer(f.socket).close()


def test_only_root_may_connect():
    with front() as (f, _):
        os.chmod(f.dir, 0o755)
        os.chmod(os.path.dirname(f.socket), 0o755)
        os.chmod(f.socket, 0o666)
        code = ('import socket, sys; s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET); s.settimeout(5)\n'
                's.connect(sys.argv[1]); sys.exit(7 if s.recv(10) == b"" else 1)')
        r = subprocess.run(['/usr/bin/python3', '-c', code, f.socket], user=65534, group=65534)
        assert r.returncode == 7, r
        wait_for('the log', lambda: 'may not connect' in f.log())


def test_connections_that_say_nothing_or_nonsense_do_not_keep_the_engine_out():
    with front() as (f, (path,)):
        silent = [Peer(f.socket, attach=False) for _ in range(20)]
        wrong = Peer(f.socket, attach=False)
        wrong.send(b'hello')
        assert wrong.sock.recv(10) == b''
        with Peer(f.socket) as peer:
            reader = f.reader(path)
            peer.answer(peer.event(), errno.EBUSY)
            assert f.result(reader) == ('errno', errno.EBUSY)
        for p in silent + [wrong]:
            p.close()


if __name__ == '__main__':
    tap.main(globals())
