# SPDX-License-Identifier: Apache-2.0
"""firn-watch as a process, and an engine of a few lines that speaks its protocol (src/watch/proto.h).

    with Front(fs='ext4') as front:
        path = front.stub('a', b'data')
        with Peer(front.socket) as peer:
            reader = front.reader(path)
            event = peer.event()
            peer.answer(event, 0)
"""
import array
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile

from firnsite import MKFS, program, wait_for

STUB = 'security.bpf.firn.stub'
VERSION = 1
ATTACH, HELLO, FS, EVENT, ANSWER, UNCOVER, COVER, RETIRE = range(1, 9)
CAN_PRE_ACCESS, CAN_ERRNO, KEPT = 1, 2, 4
MOUNTED, GATED, COVERED = 1, 2, 4
OPEN, ACCESS, AGAIN = 1, 2, 4
LAYOUT = struct.Struct('=IIQIiiIQQQQ64s')

# Opens and reads argv[1]; says what it found. Reads a file as cat does, and tells zeros from data.
READER = r'''
import os, sys
try:
    fd = os.open(sys.argv[1], os.O_RDONLY)
    data = os.read(fd, 1 << 20)
except OSError as e:
    print('errno', e.errno)
else:
    print('zeros' if data.count(0) else 'data', len(data))
'''


class Message:
    def __init__(self, raw, fds):
        (self.version, self.type, self.seq, self.flags, self.code, self.tid, _, self.offset, self.count, self.dev, self.value,
         name) = LAYOUT.unpack(raw)
        self.name = name.rstrip(b'\0').decode()
        self.fds = fds

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def pack(kind, seq=0, code=0, name='', version=VERSION):
    return LAYOUT.pack(version, kind, seq, 0, code, 0, 0, 0, 0, 0, 0, name.encode())


class Peer:
    """What firnd is to firn-watch. Its own threads are never stopped: readers are other processes."""

    def __init__(self, path, groups=(), attach=True):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(20)
        self.sock.connect(path)
        self.fs, self.group, self.flags, self.held = {}, -1, 0, []
        if attach:
            self.send(pack(ATTACH), groups)
            hello = self.receive()
            assert hello.type == HELLO, hello.type
            self.group, self.flags = hello.fds[0], hello.flags
            for _ in range(hello.count):
                self.take_fs(self.receive())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self, keep_group=False):
        self.sock.close()
        for m in self.held:
            m.close()
        if self.group >= 0 and not keep_group:
            os.close(self.group)
            self.group = -1

    def send(self, raw, fds=()):
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
        self.sock.sendmsg([raw], rights)

    def receive(self, seconds=20):
        self.sock.settimeout(seconds)
        raw, rights, _, _ = self.sock.recvmsg(LAYOUT.size + 1, socket.CMSG_SPACE(16), socket.MSG_CMSG_CLOEXEC)
        if not raw:
            raise EOFError('firn-watch has closed the connection')
        fds = array.array('i')
        for _, _, data in rights:
            fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
        return Message(raw, list(fds))

    def take_fs(self, m):
        assert m.type == FS, m.type
        self.fs[m.name] = m

    def event(self, seconds=20):
        """The next event; what is told about file systems meanwhile is noted."""
        while True:
            m = self.receive(seconds)
            if m.type == EVENT:
                self.held.append(m)
                return m
            self.take_fs(m)

    def quiet(self, seconds=0.5):
        """No event comes for so long."""
        try:
            m = self.event(seconds)
        except (socket.timeout, BlockingIOError):
            return True
        m.close()
        return False

    def wait_fs(self, name, flags):
        """Until the file system is told to be so."""
        while self.fs[name].flags != flags:
            self.take_fs(self.receive())

    def answer(self, event, code=0):
        event.close()
        self.send(pack(ANSWER, seq=event.seq, code=code))

    def uncover(self, name):
        self.send(pack(UNCOVER, name=name))
        self.wait_fs(name, self.fs[name].flags & ~COVERED)


class Front:
    """A file system on a loop device with some stubs in it, and firn-watch over it."""

    def __init__(self, fs='ext4', gated=False, deadline=60, events='auto', mounted=None):
        self.dir = tempfile.mkdtemp(prefix='firn-test-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        self.fs, self.gated, self.deadline, self.events = fs, gated, deadline, events
        self.mount = os.path.join(self.dir, 'fs1')
        self.image = os.path.join(self.dir, 'fs.img')
        self.conf = os.path.join(self.dir, 'firn.conf')
        self.socket = os.path.join(self.dir, 'run', 'watch.sock')
        self.mounted_by_us = not gated if mounted is None else mounted
        self.loop, self.proc, self.readers = None, None, []

    def __enter__(self):
        os.mkdir(self.mount)
        subprocess.run(['truncate', '-s', '512M', self.image], check=True)
        subprocess.run(MKFS[self.fs] + [self.image], check=True, stdout=subprocess.DEVNULL)
        self.loop = subprocess.run(['losetup', '-f', '--show', self.image], check=True, stdout=subprocess.PIPE,
                                   text=True).stdout.strip()
        self.write_conf()
        if self.mounted_by_us:
            self.mount_it()
        return self

    def write_conf(self, extra=''):
        device = f'device = "{self.loop}"; type = "{self.fs}"; options = "noatime,nofail";' if self.gated else ''
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(f'''site = "test";
state_dir = "{self.dir}/state";
run_dir = "{self.dir}/run";
filesystems = ( {{ name = "fs1"; path = "{self.mount}"; posix_readers = "recall"; {device} }} );
watch = {{ deadline = {self.deadline}; events = "{self.events}"; }};
{extra}
''')

    def mount_it(self):
        subprocess.run(['mount', self.loop, self.mount], check=True)

    def unmount_it(self):
        wait_for('umount', lambda: subprocess.run(['umount', self.mount], stderr=subprocess.DEVNULL).returncode == 0)

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_log()
        for r in self.readers:
            r.kill()
        if self.proc is not None:
            self.kill()
        for r in self.readers:
            r.wait(20)
        while os.path.ismount(self.mount):
            if subprocess.run(['umount', self.mount], stderr=subprocess.DEVNULL).returncode != 0:
                subprocess.run(['umount', '-l', self.mount])
        if self.loop:
            subprocess.run(['losetup', '-d', self.loop])
        shutil.rmtree(self.dir, ignore_errors=True)

    # -- the process --------------------------------------------------------------------------------
    def start(self, env=None, **kw):
        with open(os.path.join(self.dir, 'log'), 'ab') as log:
            self.proc = subprocess.Popen([program('firn-watch'), '-c', self.conf], stdin=subprocess.DEVNULL, stdout=log,
                                         stderr=log, env={**os.environ, **(env or {})}, **kw)
        self.wait_ready(self.proc)

    def wait_ready(self, proc):
        def ready():
            assert proc is None or proc.poll() is None, f'firn-watch ended with {proc.returncode}'
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
                return s.connect_ex(self.socket) == 0
        wait_for('firn-watch', ready)

    def stop(self, seconds=20):
        self.proc.send_signal(signal.SIGTERM)
        p, self.proc = self.proc, None
        return p.wait(seconds)

    def kill(self):
        p, self.proc = self.proc, None
        p.kill()
        return p.wait(60)

    def log(self):
        with open(os.path.join(self.dir, 'log'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def show_log(self, *_):
        try:
            print('--- firn-watch\n' + self.log()[-4000:])
        except OSError:
            pass

    # -- files --------------------------------------------------------------------------------------
    def path(self, name):
        return os.path.join(self.mount, name)

    def resident(self, name, data=b'data'):
        with open(self.path(name), 'wb') as f:
            f.write(data)
        return self.path(name)

    def stub(self, name, size=4):
        """A file that is a hole, and says stub: zeros for whom nothing stops. Made before the front."""
        with open(self.path(name), 'wb') as f:
            f.truncate(size)
        os.setxattr(self.path(name), STUB, b'1')
        return self.path(name)

    def reader(self, path):
        p = subprocess.Popen(['/usr/bin/python3', '-c', READER, path], stdout=subprocess.PIPE, text=True)
        self.readers.append(p)
        return p

    @staticmethod
    def result(reader, seconds=20):
        """("data", bytes), ("zeros", bytes) or ("errno", number)"""
        word, number = reader.communicate(timeout=seconds)[0].split()
        return word, int(number)
