# SPDX-License-Identifier: Apache-2.0
"""What systemd does for firn-watch, in a process of its own: listens on NOTIFY_SOCKET, keeps the
descriptors of FDSTORE=1, starts the program, and starts it again when it ends (Restart=always),
handing the descriptors back (sd_listen_fds). Run as a program:

    fdstore.py NOTIFY_SOCKET LOG STATES PROGRAM [ARG ...]

LOG takes the program's output, STATES a line for each message. Ends at SIGTERM, killing the program;
the descriptors go with it. Its signal SIGUSR1 makes it drop them (systemctl stop on systemd 252)."""
import array
import os
import signal
import socket
import sys
import time

FIRST_FD = 3


def receive(sock):
    """Text and descriptors of one message; None when there is none."""
    try:
        raw, rights, _, _ = sock.recvmsg(65536, socket.CMSG_SPACE(4 * 64), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    fds = array.array('i')
    for _, _, data in rights:
        fds.frombytes(data[:len(data) - len(data) % fds.itemsize])
    return raw.decode(), list(fds)


def same(a, b):
    """One open file: a flag that is set on one shows on the other."""
    import fcntl
    flags = fcntl.fcntl(a, fcntl.F_GETFL)
    fcntl.fcntl(a, fcntl.F_SETFL, flags ^ os.O_APPEND)
    seen = (fcntl.fcntl(b, fcntl.F_GETFL) ^ flags) & os.O_APPEND
    fcntl.fcntl(a, fcntl.F_SETFL, flags)
    return bool(seen)


class Store:
    def __init__(self, path, log, states, argv):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(path)
        self.path, self.log, self.states, self.argv = path, log, states, argv
        self.kept = []  # (name, descriptor)
        self.proc = None

    def start(self):
        fds = [os.dup(fd) for _, fd in self.kept]
        names = ':'.join(name for name, _ in self.kept)
        env = {**os.environ, 'NOTIFY_SOCKET': self.path}

        def child():
            # Numbers from 3 on, in order; first out of the way of each other.
            high = [os.dup2(fd, 200 + i, inheritable=True) for i, fd in enumerate(fds)]
            for i, fd in enumerate(high):
                os.dup2(fd, FIRST_FD + i, inheritable=True)
                os.close(fd)
            if fds:
                os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(fds)), LISTEN_FDNAMES=names)
            os.environ.update(env)
            os.execv(self.argv[0], self.argv)

        pid = os.fork()
        if pid == 0:
            try:
                os.dup2(self.log, 1)
                os.dup2(self.log, 2)
                child()
            finally:
                os._exit(127)
        for fd in fds:
            os.close(fd)
        self.proc = pid

    def take(self):
        while True:
            got = receive(self.sock)
            if got is None:
                return
            text, fds = got
            fields = dict(line.split('=', 1) for line in text.splitlines() if '=' in line)
            for fd in fds:
                if fields.get('FDSTORE') == '1' and not any(same(fd, k) for _, k in self.kept):
                    self.kept.append((fields.get('FDNAME', 'stored'), fd))
                else:
                    os.close(fd)
            self.states.write(text.replace('\n', ' ') + f' pid={self.proc}\n')
            self.states.flush()

    def drop(self):
        for _, fd in self.kept:
            os.close(fd)
        self.kept = []


def main():
    log = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with open(sys.argv[3], 'a', encoding='utf-8') as states:
        store = Store(sys.argv[1], log, states, sys.argv[4:])
        end = []
        signal.signal(signal.SIGTERM, lambda *_: end.append(1))
        signal.signal(signal.SIGUSR1, lambda *_: store.drop())
        store.start()
        while not end:
            store.take()
            pid, status = os.waitpid(store.proc, os.WNOHANG)
            if pid:
                store.take()
                states.write(f'ended status={status} pid={pid}\n')
                states.flush()
                time.sleep(0.1)  # RestartSec
                store.start()
            time.sleep(0.005)
        os.kill(store.proc, signal.SIGKILL)
        os.waitpid(store.proc, 0)
        store.drop()


if __name__ == '__main__':
    main()
