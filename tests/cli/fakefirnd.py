# SPDX-License-Identifier: Apache-2.0
"""A scripted firnd for tests of what the command line asks and prints: newline-delimited JSON on a Unix
socket, one answer prepared per operation. The real firnd is used in tests/e2e; this one is for answers
that it gives seldom.

    with Fake({'attr.list': {'attributes': []}}) as f:
        r = f.run('cluster', 'show')
        f.asked('attr.list')    # the arguments of each request
"""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading

BUILD = os.environ.get('FIRN_BUILD', os.path.join(os.getcwd(), 'build'))
FIRN = os.path.join(BUILD, 'src', 'bin', 'firn')


def environment():
    return {**{k: v for k, v in os.environ.items() if k != 'FIRN_CONFIG'}, 'LC_ALL': 'C.UTF-8'}


class Refuse(Exception):
    """An error answer."""

    def __init__(self, code, message, **details):
        super().__init__(message)
        self.answer = {'code': code, 'message': message, 'details': details}


class Events:
    """Event lines and then a result (or a Refuse)."""

    def __init__(self, events, result):
        self.events, self.result = events, result


class Hangup:
    """The connection is closed instead of an answer."""


class Fake:
    def __init__(self, answers):
        self.answers = answers
        self.requests = []
        self.dir = tempfile.mkdtemp(prefix='firn-cli-')
        self.socket = os.path.join(self.dir, 's')
        self.bin = os.path.join(self.dir, 'bin')

    def __enter__(self):
        os.mkdir(self.bin)
        for name in ('eeadm', 'mmapplypolicy', 'mmlsattr', 'firn'):
            os.symlink(FIRN, os.path.join(self.bin, name))
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.socket)
        self.listener.listen(8)
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes the acceptor; its number may be used again
        self.acceptor.join()
        self.listener.close()
        shutil.rmtree(self.dir)

    def _accept(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        out = conn.makefile('wb')
        for line in conn.makefile('rb'):
            req = json.loads(line.decode('utf-8', 'surrogateescape'))
            args = req.get('args', {})
            self.requests.append((req['op'], args))
            if not self._answer(out, req, args):
                conn.shutdown(socket.SHUT_RDWR)
                return

    def _answer(self, out, req, args):
        def send(**what):
            out.write(json.dumps({'id': req['id'], **what}, ensure_ascii=False).encode('utf-8', 'surrogateescape') + b'\n')
            out.flush()
        answer = self.answers.get(req['op'], Refuse('ENOSYS', f'no answer is prepared for {req["op"]}'))
        try:
            if isinstance(answer, list):  # one after the other, the last one stays
                answer = answer.pop(0) if len(answer) > 1 else answer[0]
            if callable(answer):
                answer = answer(args)
            if isinstance(answer, Events):
                for e in answer.events:
                    send(event=e)
                answer = answer.result
            if isinstance(answer, Refuse):
                raise answer
            if isinstance(answer, Hangup):
                return False
            send(result=answer)
        except Refuse as e:
            send(error=e.answer)
        return True

    def asked(self, op):
        return [a for o, a in self.requests if o == op]

    def run(self, *args, name='firn', stdin='', env=None, cwd=None, tz='UTC'):
        """Runs a program of this name; its result has returncode, stdout and stderr."""
        env = {**environment(), 'FIRN_SOCKET': self.socket, 'TZ': tz, **(env or {})}
        return subprocess.run([os.path.join(self.bin, name), *args], input=stdin, env=env, cwd=cwd, text=True,
                              errors='surrogateescape', stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)


def run(*args, name='firn', env=None, **kw):
    """Runs a program without any firnd."""
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, name)
        os.symlink(FIRN, path)
        env = {**environment(), 'FIRN_SOCKET': os.path.join(d, 'none'), 'TZ': 'UTC', **(env or {})}
        return subprocess.run([path, *args], env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, timeout=60, **kw)


def same(got, want):
    """Exact comparison, with a readable difference."""
    if got != want:
        import difflib
        raise AssertionError('\n' + '\n'.join(difflib.unified_diff(want.splitlines(), got.splitlines(), 'wanted', 'got',
                                                                   lineterm='')) + f'\n{got!r}')


def needs(*programs):
    """Names what a script needs besides Python and firn, and fails at once when it is not there."""
    for p in programs:
        if shutil.which(p) is None:
            raise SystemExit(f'{p} is needed for this test and not installed')
