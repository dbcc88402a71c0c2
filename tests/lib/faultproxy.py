#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A proxy between an S3 client and a store that does on command what networks and stores do by accident.

In a test:
    with FaultProxy('127.0.0.1', store_port, seed=7) as proxy:
        client = ...  # to 127.0.0.1:proxy.port; what it signs stays right, for Host goes on as it came
        rule = proxy.add('flip_response', method='GET', key=r'^/bucket/', nth=2, count=1)
        ...
        assert rule.hits == 1
        proxy.clear()

By hand, and for tests in C:
    faultproxy.py --to 127.0.0.1:PORT [--seed N]     prints "proxy=PORT control=PORT seed=N", ends with its standard input
    faultproxy.py --list                             names the faults
The control port takes lines and answers each with one line:
    add FAULT [method=RE] [key=RE] [nth=N] [every=N] [count=N] [probability=P] [FAULT'S ARGUMENTS]   ->  ok ID
    hits ID -> ok N        remove ID -> ok       clear -> ok       log -> ok JSON       counts -> ok JSON
Words with blanks are quoted as in a shell. What is wrong is answered "error TEXT".

A rule hits the requests whose method and target (path and query as sent, or with %XX decoded) match, from the nth on, each
every-th, count times, each time with the probability given. Which ones is a function of the seed and of the number of the
match. Several rules may hit one request. The seed is printed by the CLI and stands in .seed."""
import argparse
import json
import os
import random
import re
import select
import shlex
import socket
import struct
import sys
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from faults import FAULTS, Cut, Plan, Stall, drop_headers, first_part, set_header  # noqa: E402

PIECE = 64 * 1024
MAX_HEAD = 64 * 1024
SELECTORS = ('method', 'key', 'nth', 'every', 'count', 'probability')


class Gone(Exception):
    """The other side ended the connection."""


class Rule:
    def __init__(self, number, name, arguments, seed):
        if name not in FAULTS:
            raise ValueError(f'no fault {name}; there are {" ".join(sorted(FAULTS))}')
        self.id, self.name, self.seed = number, name, seed
        self.method = re.compile(arguments.get('method') or '.*')
        self.key = re.compile(arguments.get('key') or '')
        self.nth, self.every = int(arguments.get('nth') or 1), int(arguments.get('every') or 1)
        self.count = int(arguments['count']) if arguments.get('count') else None
        self.probability = float(arguments.get('probability', 1))
        self.arguments = {k: str(v) for k, v in arguments.items() if k not in SELECTORS}
        self.matches = self.hits = 0
        self.lock = threading.Lock()

    def apply(self, plan, method, target):
        """Changes plan if this rule hits the request."""
        if not self.method.fullmatch(method):
            return
        if not self.key.search(target) and not self.key.search(urllib.parse.unquote(target)):
            return
        with self.lock:
            self.matches += 1
            n = self.matches
            chance = random.Random(f'{self.seed}:{self.name}:{self.id}:{n}')
            if n < self.nth or (n - self.nth) % self.every or (self.count is not None and self.hits >= self.count):
                return
            if chance.random() >= self.probability:
                return
            self.hits += 1
        FAULTS[self.name](plan, self.arguments, chance)
        plan.names.append(self.name)


class Stream:
    """A socket with what has been read from it too early."""

    def __init__(self, sock):
        self.sock, self.rest = sock, b''
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def more(self):
        try:
            data = self.sock.recv(PIECE)
        except OSError as e:
            raise Gone(str(e)) from e
        if not data:
            raise Gone('end of stream')
        return data

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError as e:
            raise Gone(str(e)) from e

    def line(self):
        while b'\n' not in self.rest:
            if len(self.rest) > MAX_HEAD:
                raise Gone('a line without an end')
            self.rest += self.more()
        line, self.rest = self.rest.split(b'\n', 1)
        return line.rstrip(b'\r')

    def head(self):
        """(first line, [[name, value], ...]), or None at an orderly end before any byte."""
        try:
            first = self.line()
        except Gone:
            if self.rest:
                raise
            return None
        headers = []
        while True:
            line = self.line()
            if not line:
                return first.decode('latin-1'), headers
            name, _, value = line.decode('latin-1').partition(':')
            headers.append([name, value.strip()])

    def exactly(self, n):
        """Yields n bytes in pieces."""
        while n > 0:
            piece, self.rest = self.rest[:n], self.rest[n:]
            if not piece:
                self.rest = self.more()
                continue
            n -= len(piece)
            yield piece

    def chunks(self):
        """Yields the payload of a chunked body; trailers are dropped."""
        while True:
            size = int(self.line().split(b';')[0], 16)
            if size == 0:
                while self.line():
                    pass
                return
            yield from self.exactly(size)
            self.line()

    def until_end(self):
        if self.rest:
            piece, self.rest = self.rest, b''
            yield piece
        while True:
            try:
                yield self.more()
            except Gone:
                return

    def readable(self, seconds=0.0):
        return bool(self.rest) or bool(select.select([self.sock], [], [], seconds)[0])

    def close(self, reset=False):
        if reset:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        else:
            try:
                self.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.sock.close()


def header(headers, name):
    return next((v for n, v in headers if n.lower() == name), None)


def head_bytes(first, headers):
    return (first + '\r\n' + ''.join(f'{n}: {v}\r\n' for n, v in headers) + '\r\n').encode('latin-1')


def body_of(stream, headers, bodyless=False, response=False):
    """(pieces, length or None, how it ends: 'length', 'chunked' or 'close')."""
    if bodyless:
        return iter(()), 0, 'length'
    if 'chunked' in (header(headers, 'transfer-encoding') or '').lower():
        return stream.chunks(), None, 'chunked'
    length = header(headers, 'content-length')
    if length is not None:
        return stream.exactly(int(length)), int(length), 'length'
    if response:
        return stream.until_end(), None, 'close'
    return iter(()), 0, 'length'


def framed(pieces, how):
    if how != 'chunked':
        yield from pieces
        return
    for p in pieces:
        if p:
            yield b'%x\r\n' % len(p) + p + b'\r\n'
    yield b'0\r\n\r\n'


class Exchange(threading.Thread):
    """One connection of a client, with one to the store behind it."""

    def __init__(self, proxy, sock):
        super().__init__(daemon=True)
        self.proxy, self.client, self.store = proxy, Stream(sock), None

    def run(self):
        reset = False
        try:
            while self.one():
                pass
        except Cut:
            reset = self.plan.reset
        except (Gone, ValueError, OSError):
            pass
        finally:
            self.client.close(reset)
            if self.store:
                self.store.close(reset)
            self.proxy.forget(self)

    def connect(self):
        """A new connection to the store for each request: one that is used again may just be ending, and the client would
        see a fault that no rule asked for."""
        if self.store:
            self.store.close()
        self.store = Stream(socket.create_connection(self.proxy.to, timeout=None))

    def one(self):
        """One request. False when the client wants no more."""
        head = self.client.head()
        if head is None:
            return False
        first, headers = head
        method, target, _ = first.split(' ', 2)
        self.plan = plan = self.proxy.plan(method, target)
        self.entry = entry = {'method': method, 'target': target, 'faults': plan.names, 'status': None, 'outcome': 'begun'}
        self.proxy.record(entry)
        try:
            again = self.serve(first, method, target, headers, plan)
            entry['outcome'] = 'done'
            return again
        except Cut:
            entry['outcome'] = 'cut'
            raise
        except Gone as e:
            entry['outcome'] = f'gone: {e}'
            raise

    def serve(self, first, method, target, headers, plan):
        keep = 'close' not in (header(headers, 'connection') or '').lower()
        self.pause(plan.wait_before)
        if plan.cut == 'request':
            raise Cut()
        if plan.stall == 'request':
            self.stall()
        if plan.answer and not plan.do_work:
            self.drain_request(headers)
            self.answer_here(method, plan)
            return keep
        if plan.times > 1:
            status, answer, body, complete = self.several_times(first, method, headers, plan)
        else:
            status, answer, body, complete = self.forward(first, method, headers, plan)
        self.entry['status'] = int(status.split(' ')[1])
        if not complete:
            set_header(answer, 'Connection', 'close')
        if plan.cut == 'answer' or plan.garbage is not None or plan.answer or plan.stall == 'answer':
            for _ in body[0]:
                pass
            self.instead_of_the_answer(method, plan)
        else:
            self.give_back(method, target, status, answer, body, plan)
        ends = 'close' in (header(answer, 'connection') or '').lower()
        return keep and complete and not ends and body[2] != 'close'

    # -- to the store --------------------------------------------------------------------------------------
    def forward(self, first, method, headers, plan):
        """Sends the request. Returns (status line, headers, body, whether all of the request went)."""
        self.connect()
        pieces, length, how = body_of(self.client, headers)
        sent = [list(h) for h in headers]
        if plan.request_length and length:
            set_header(sent, 'Content-Length', str(plan.request_length(length)))
        for change in plan.request_changes:
            change(sent)
        self.store.send(head_bytes(first, sent))
        expects = '100-continue' in (header(headers, 'expect') or '').lower()
        if expects and length != 0:
            early = self.await_continue()
            if early:
                return (*early, body_of(self.store, early[1], method == 'HEAD', True), False)
        if plan.request_keep and length:
            pieces = first_part(pieces, plan.request_keep(length))
        for f in plan.request_filters:
            pieces = f(pieces, length)
        for data in self.guarded(framed(pieces, how)):
            if self.store.readable():  # before all of the body has gone
                early = self.final_head()
                if early:
                    return (*early, body_of(self.store, early[1], method == 'HEAD', True), False)
            self.store.send(data)
        if plan.request_keep and not plan.request_length and length:
            raise Cut()
        status, answer = self.final_head(wait=True)
        return status, answer, self.answer_body(method, status, answer), True

    def answer_body(self, method, status, answer):
        bodyless = method == 'HEAD' or status.split(' ')[1] in ('204', '304')
        return body_of(self.store, answer, bodyless, True)

    def await_continue(self):
        """Waits for 100 from the store, or for the body of a client that does not. Returns an early final answer."""
        while not self.client.readable():
            if self.store.readable(0.05):
                return self.final_head()
            self.watch_client()
        return None

    def watch_client(self):
        if self.client_is_gone():
            raise Gone('the client ended the connection')

    def final_head(self, wait=False):
        """The store's answer; 100 goes on to the client. None when it was only that and wait is false."""
        while True:
            head = self.store.head()
            if head is None:
                raise Cut()
            if head[0].split(' ')[1] != '100':
                return head
            self.client.send(head_bytes(*head))
            if not wait:
                return None

    def several_times(self, first, method, headers, plan):
        if '100-continue' in (header(headers, 'expect') or '').lower():
            self.client.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        pieces, _, how = body_of(self.client, headers)
        body = b''.join(framed(pieces, how))
        sent = [list(h) for h in headers]
        drop_headers(sent, '^expect$')
        kept = []
        for _ in range(plan.times):
            self.connect()
            self.store.send(head_bytes(first, sent) + body)
            status, answer = self.final_head(wait=True)
            data, length, how = self.answer_body(method, status, answer)
            kept.append((status, answer, [b''.join(data)], length, how))
        status, answer, data, length, how = kept[plan.give]
        return status, answer, (iter(data), length, how), True

    # -- to the client -------------------------------------------------------------------------------------
    def give_back(self, method, target, status, answer, body, plan):
        pieces, length, how = body
        self.pause(plan.wait_answer)
        if self.proxy.keeps_answers or plan.rewrite:
            whole = b''.join(pieces)
            status, answer, whole = self.proxy.exchange_answers(method, target, plan, status, answer, whole)
            for change in plan.rewrite:
                whole = change(whole)
            if method != 'HEAD':
                pieces, length, how = iter([whole]), len(whole), 'length'
                drop_headers(answer, '^transfer-encoding$')
                set_header(answer, 'Content-Length', str(length))
        if plan.response_length and length:
            set_header(answer, 'Content-Length', str(plan.response_length(length)))
        if plan.response_keep and length:
            pieces = first_part(pieces, plan.response_keep(length))
        for change in plan.response_changes:
            change(answer)
        self.client.send(head_bytes(status, answer))
        for f in plan.response_filters:
            pieces = f(pieces, length)
        for data in self.guarded(framed(pieces, how)):
            self.client.send(data)
        if plan.response_keep and not plan.response_length and length:
            plan.reset = False
            raise Cut()

    def instead_of_the_answer(self, method, plan):
        if plan.cut == 'answer':
            raise Cut()
        if plan.stall == 'answer':
            self.stall()
        if plan.garbage is not None:
            self.client.send(plan.garbage)
            plan.reset = False
            raise Cut()
        self.answer_here(method, plan)

    def drain_request(self, headers):
        """Takes the body, so that the client is in the state to read an answer."""
        pieces, length, _ = body_of(self.client, headers)
        if '100-continue' in (header(headers, 'expect') or '').lower() and length != 0:
            self.client.send(b'HTTP/1.1 100 Continue\r\n\r\n')
        for _ in pieces:
            pass

    def answer_here(self, method, plan):
        status, reason, headers, body = plan.answer
        self.entry['status'] = status
        headers = headers + [['Content-Length', str(len(body))]]
        self.client.send(head_bytes(f'HTTP/1.1 {status} {reason}', headers) + (b'' if method == 'HEAD' else body))

    # -- waiting -------------------------------------------------------------------------------------------
    def guarded(self, pieces):
        """pieces, where a Stall becomes a wait until somebody gives up."""
        try:
            yield from pieces
        except Stall:
            self.stall()

    def client_is_gone(self):
        poll = select.poll()
        poll.register(self.client.sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
        return bool(poll.poll(0))

    def pause(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.proxy.stopping or self.client_is_gone():
                raise Cut()
            time.sleep(min(0.02, max(0.0, end - time.monotonic())))

    def stall(self):
        self.entry['outcome'] = 'stalled'
        while not self.proxy.stopping and not self.client_is_gone():
            time.sleep(0.02)
        raise Cut()


class FaultProxy:
    """Serves from the moment it is made until stop(). Safe to call from any thread. narrow: what clients send is taken
    into a small buffer, so that they feel a trickle_request at once, not when some hundred KiB are under way."""

    def __init__(self, host, port, seed=None, log_limit=100000, narrow=False):
        self.to, self.seed = (host, port), random.SystemRandom().randrange(1 << 32) if seed is None else seed
        self.rules, self.every_rule, self.log, self.threads = [], {}, [], set()
        self.lock, self.next_id, self.stopping, self.log_limit = threading.Lock(), 1, False, log_limit
        self.keeps_answers, self.kept = False, {}
        self.listener = socket.socket()
        if narrow:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # connections inherit it
        self.listener.bind(('127.0.0.1', 0))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        self.endpoint = f'http://127.0.0.1:{self.port}'
        self.control = None
        threading.Thread(target=self._accept, args=(self.listener, self._client), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # -- rules ---------------------------------------------------------------------------------------------
    def add(self, name, /, **arguments):
        """Adds a rule; returns it (its .hits counts). ValueError for what no fault knows."""
        with self.lock:
            rule = Rule(self.next_id, name, arguments, self.seed)
            self.next_id += 1
            self.rules.append(rule)
            self.every_rule[rule.id] = rule
            self.keeps_answers = self.keeps_answers or name == 'other_object'
        return rule

    def keep_answers(self):
        """From now on answers to GET and HEAD are remembered, for other_object to have one to give."""
        self.keeps_answers = True

    def remove(self, number):
        with self.lock:
            self.rules = [r for r in self.rules if r.id != number]

    def clear(self):
        """Removes every rule; the log stays."""
        with self.lock:
            self.rules = []
            self.keeps_answers, self.kept = False, {}

    def plan(self, method, target):
        plan = Plan()
        for rule in list(self.rules):
            rule.apply(plan, method, target)
        return plan

    def record(self, entry):
        with self.lock:
            if len(self.log) < self.log_limit:
                self.log.append(entry)

    def counts(self):
        """How often each fault has hit, over all rules that ever were."""
        out = {}
        for e in list(self.log):
            for name in e['faults']:
                out[name] = out.get(name, 0) + 1
        return out

    def exchange_answers(self, method, target, plan, status, answer, whole):
        """Remembers this answer, and gives that of another key when the plan says so."""
        path = target.split('?')[0]
        with self.lock:
            other = next((v for (m, p), v in self.kept.items() if m == method and p != path), None)
            if method in ('GET', 'HEAD') and status.split(' ')[1] == '200' and len(self.kept) < 64:
                self.kept.setdefault((method, path), (status, [list(h) for h in answer], whole))
        if plan.other_object and other:
            return other[0], [list(h) for h in other[1]], other[2]
        return status, answer, whole

    # -- serving -------------------------------------------------------------------------------------------
    def _accept(self, listener, serve):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            serve(sock)

    def _client(self, sock):
        exchange = Exchange(self, sock)
        with self.lock:
            self.threads.add(exchange)
        exchange.start()

    def forget(self, exchange):
        with self.lock:
            self.threads.discard(exchange)

    def stop(self):
        """Ends all connections and the listener."""
        self.stopping = True
        for listener in (self.listener, self.control):
            if listener:
                try:
                    listener.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                listener.close()
        with self.lock:
            threads = list(self.threads)
        for t in threads:
            for stream in (t.client, t.store):
                try:
                    if stream:
                        stream.sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        for t in threads:
            t.join(5)

    # -- control by lines ------------------------------------------------------------------------------------
    def open_control(self):
        """Opens the control port on loopback and returns it."""
        self.control = socket.create_server(('127.0.0.1', 0))
        threading.Thread(target=self._accept, args=(self.control, self._controller), daemon=True).start()
        return self.control.getsockname()[1]

    def _controller(self, sock):
        threading.Thread(target=self._control_lines, args=(sock,), daemon=True).start()

    def _control_lines(self, sock):
        with sock, sock.makefile('rw', encoding='utf-8', newline='\n') as f:
            for line in f:
                try:
                    answer = 'ok ' + self.command(shlex.split(line))
                except (ValueError, KeyError, IndexError, re.error) as e:
                    answer = f'error {e}'.replace('\n', ' ')
                f.write(answer.rstrip() + '\n')
                f.flush()

    def command(self, words):
        """One command of the control port as words; returns the answer's text."""
        verb, rest = words[0], words[1:]
        if verb == 'add':
            return str(self.add(rest[0], **dict(w.split('=', 1) for w in rest[1:])).id)
        if verb == 'hits':
            return str(self.every_rule[int(rest[0])].hits)
        if verb == 'remove':
            self.remove(int(rest[0]))
        elif verb == 'clear':
            self.clear()
        elif verb == 'log':
            return json.dumps(self.log)
        elif verb == 'counts':
            return json.dumps(self.counts())
        else:
            raise ValueError(f'no command {verb}; there are add, hits, remove, clear, log, counts')
        return ''


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--to', metavar='HOST:PORT')
    p.add_argument('--seed', type=int)
    p.add_argument('--list', action='store_true')
    a = p.parse_args()
    if a.list:
        for name, function in FAULTS.items():
            print(f'{name:20} {" ".join(function.__doc__.split())}')
        return 0
    if not a.to:
        p.error('--to HOST:PORT is missing')
    host, port = a.to.rsplit(':', 1)
    with FaultProxy(host, int(port), a.seed) as proxy:
        print(f'proxy={proxy.port} control={proxy.open_control()} seed={proxy.seed}', flush=True)
        sys.stdin.read()
    return 0


if __name__ == '__main__':
    sys.exit(main())
