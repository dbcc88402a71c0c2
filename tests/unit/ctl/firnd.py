# SPDX-License-Identifier: Apache-2.0
"""The daemon from outside: options, exit statuses, lock, signals, control socket over plain bytes."""
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import tap
from firnsite import program, wait_for

FIRND = program('firnd')


class Place:
    """A directory with a configuration and a directory to manage; no tape library."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='firn-test-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        self.conf = os.path.join(self.dir, 'firn.conf')
        self.fs = os.path.join(self.dir, 'fs1')
        self.state = os.path.join(self.dir, 'state')
        self.socket = os.path.join(self.dir, 'run', 'firnd.sock')
        self.log = os.path.join(self.dir, 'firnd.log')
        os.makedirs(os.path.join(self.fs, 'buckets'))
        self.write()

    def write(self, extra='', state=None):
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(f'''state_dir = "{state or self.state}";
run_dir = "{os.path.dirname(self.socket)}";
filesystems = ( {{ name = "fs1"; path = "{self.fs}"; }} );
{extra}
''')

    def run(self, *args, **kw):
        return subprocess.run([FIRND, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60, **kw)

    @contextlib.contextmanager
    def running(self, *args, env=None):
        with open(self.log, 'ab') as log:
            p = subprocess.Popen([FIRND, '-f', '-c', self.conf, *args], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                 env={**os.environ, **(env or {})})
        try:
            wait_for('the socket', lambda: p.poll() is not None or self.answers())
            assert p.poll() is None, f'firnd ended with {p.returncode}: {open(self.log).read()}'
            yield p
        finally:
            if p.poll() is None:
                p.kill()
            p.wait()

    def answers(self):
        try:
            return 'result' in self.ask('attr.list')
        except OSError:
            return False

    def connect(self):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(60)
        s.connect(self.socket)
        return s

    def ask(self, op, on=None, **args):
        """The answer to one request, events left out."""
        with contextlib.ExitStack() as stack:
            s = on or stack.enter_context(self.connect())
            s.sendall(json.dumps({'id': 7, 'op': op, 'args': args}).encode() + b'\n')
            f = s.makefile('rb')
            while True:
                line = f.readline()
                assert line, 'firnd hung up'
                answer = json.loads(line)
                if 'event' not in answer:
                    return answer


def make_place():
    @contextlib.contextmanager
    def place():
        p = Place()
        try:
            yield p
        finally:
            subprocess.run(['rm', '-rf', '--one-file-system', p.dir], check=True)
    return place()


def test_version_help_and_crash_points_are_printed(p):
    assert p.run('--version').stdout.startswith('firnd ')
    r = p.run('--help')
    assert r.returncode == 0 and '--check-config' in r.stdout
    names = [line.split()[0] for line in p.run('--list-crash-points').stdout.splitlines()]
    assert 'release_punched' in names and 'recall_half' in names, names


def test_wrong_usage_has_status_2(p):
    for args in (['--no-such-option'], ['argument'], ['-c']):
        r = p.run(*args)
        assert r.returncode == 2, (args, r)
        assert 'firnd' in r.stderr


def test_the_manual_names_every_option_of_the_help_and_no_other(p):
    import re
    source = os.environ.get('FIRN_SOURCE', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..'))
    man = open(os.path.join(source, 'man', 'firnd.8'), encoding='utf-8').read()
    documented = set(re.findall(r'-(-[a-z-]+)', '\n'.join(re.findall(r'^\.It Fl .*$', man, re.M)).replace('Fl -', '--').replace(', -', ' --')))
    helped = set(h[1:] for h in re.findall(r'--[a-z-]+', p.run('--help').stdout))
    assert documented == helped, (documented, helped)


def test_a_wrong_configuration_is_named_and_nothing_is_started(p):
    for extra, word in (('no_such_key = 1;', 'no_such_key'), ('buffers = { count = "many"; };', 'count'),
                        ('s3 = { workers = -5; };', 'workers')):
        p.write(extra)
        for args in (['-c', p.conf], ['--check-config', '-c', p.conf]):
            r = p.run(*args)
            assert r.returncode == 78, r
            assert f'{p.conf}:4' in r.stderr and word in r.stderr, r.stderr
        assert not os.path.exists(p.state) and not os.path.exists(p.socket)
    r = p.run('-c', p.conf + '.absent')
    assert r.returncode == 78 and '.absent' in r.stderr, r.stderr
    p.write()
    r = p.run('--check-config', '-c', p.conf)
    assert r.returncode == 0 and 'ok' in r.stdout, r
    assert not os.path.exists(p.state)


def test_a_state_directory_on_a_managed_file_system_is_refused_also_through_a_link(p):
    link = os.path.join(p.dir, 'link')
    os.symlink(os.path.join(p.fs, 'buckets'), link)
    for state in (os.path.join(p.fs, 'state'), os.path.join(link, 'a', 'b')):
        p.write(state=state)
        r = p.run('-c', p.conf)
        assert r.returncode == 78 and 'state_dir' in r.stderr and 'fs1' in r.stderr, r
        assert not os.path.exists(state)
    p.write()


def test_a_second_instance_does_not_start_and_names_the_first(p):
    with p.running() as first:
        r = p.run('-c', p.conf)
        assert r.returncode == 1 and f'process {first.pid}' in r.stderr, r
        assert p.answers()


def test_sigterm_stops_cleanly_and_a_killed_daemon_leaves_nothing_in_the_way(p):
    with p.running() as d:
        assert p.ask('account.create', name='user1', uid=1001, gid=1001)['result']['name'] == 'user1'
        d.kill()
        d.wait()
        assert os.path.exists(p.socket)
    with p.running() as d:
        accounts = p.ask('account.list')['result']['accounts']
        assert [a['name'] for a in accounts] == ['user1']
        d.send_signal(signal.SIGTERM)
        assert d.wait(30) == 0
    assert not os.path.exists(p.socket)


def test_the_service_manager_is_told(p):
    path = os.path.join(p.dir, 'notify')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(path)
        s.settimeout(20)
        with p.running(env={'NOTIFY_SOCKET': path}) as d:
            assert b'READY=1' in s.recv(200)
            d.send_signal(signal.SIGTERM)
            assert b'STOPPING=1' in s.recv(200)
            assert d.wait(30) == 0
    os.unlink(path)


def test_sighup_opens_the_log_again(p):
    log = os.path.join(p.dir, 'rotated.log')
    with p.running('-l', log) as d:
        wait_for('the first lines', lambda: 'serves site' in open(log).read())
        os.rename(log, log + '.1')
        d.send_signal(signal.SIGHUP)
        wait_for('the new log', lambda: os.path.exists(log) and 'log opened' in open(log).read())
        assert p.answers()


def test_sigpipe_and_sigio_do_no_harm(p):
    with p.running() as d:
        d.send_signal(signal.SIGPIPE)
        d.send_signal(signal.SIGIO)
        d.send_signal(signal.SIGURG)
        assert p.answers()


def test_a_bare_connection_is_served_and_garbage_is_survived(p):
    with p.running():
        with p.connect() as s:
            f = s.makefile('rb')
            s.sendall(b'\xff\x00garbage\n{"id":1,"op":"status"}\n{"id":2,"op":"no.such"}\n')
            assert json.loads(f.readline())['error']['code'] == 'EPROTO'
            status = json.loads(f.readline())['result']
            assert status['pid'] > 0 and [x['name'] for x in status['filesystems']] == ['fs1'], status
            assert json.loads(f.readline())['error']['code'] == 'ENOSYS'
        for _ in range(50):
            with p.connect() as s:
                s.sendall(os.urandom(3000))
        assert p.answers()


def test_every_operation_refuses_empty_arguments_politely_or_answers(p):
    """No operation takes the daemon down, whatever members are absent or of the wrong kind."""
    import re
    source = os.environ.get('FIRN_SOURCE', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', '..'))
    rows = re.findall(r'CTL_OP\(\w+, "([^"]+)", \w+, "([^"]*)"', open(os.path.join(source, 'src', 'ctl', 'ops.def')).read())
    assert len(rows) > 40
    with p.running() as d:
        for name, members in rows:
            for value in (None, 'x', -1, 1e300, [], [1, None], {}, True, '/', 'fs1', ['/nowhere']):
                args = {} if value is None else {m: value for m in members.split()}
                if name in ('rebuild', 'drain') or (name == 'task.wait' and value == -1):
                    continue
                answer = p.ask(name, **args)
                assert ('result' in answer) != ('error' in answer), (name, value, answer)
                assert d.poll() is None, (name, value)


def test_drafts_belong_to_their_connection(p):
    with p.running():
        with p.connect() as s, p.connect() as other:
            draft = p.ask('task.begin', on=s, type='recall')['result']['draft']
            assert p.ask('task.add', on=s, draft=draft, paths=[p.fs + '/absent'])['result'] == {}
            assert p.ask('task.add', on=other, draft=draft, paths=['/x'])['error']['code'] == 'ENOENT'
            assert p.ask('task.commit', on=other, draft=draft)['error']['code'] == 'ENOENT'
        assert p.ask('task.list', all=True)['result']['tasks'] == []
        with p.connect() as s:
            draft = p.ask('task.begin', on=s, type='recall')['result']['draft']
            p.ask('task.add', on=s, draft=draft, paths=[p.fs + '/absent'])
            task = p.ask('task.commit', on=s, draft=draft)['result']
            assert p.ask('task.commit', on=s, draft=draft)['error']['code'] == 'ENOENT'
        shown = p.ask('task.wait', task_id=task['task_id'], timeout_ms=20000)['result']
        assert shown['status'] == 'completed' and shown['failed'] == 1, shown


def test_buckets_get_their_directories(p):
    with p.running():
        p.ask('account.create', name='user9', uid=1009, gid=1010)
        b = p.ask('bucket.create', name='test1', owner='user9')['result']['bucket']
        st = os.stat(b['path'])
        assert (st.st_uid, st.st_gid, st.st_mode & 0o7777) == (1009, 1010, 0o770)
        assert p.ask('bucket.delete', name='test1')['result'] == {}
        assert not os.path.exists(b['path'])


def test_a_waiting_request_does_not_hold_up_a_stop(p):
    script = os.path.join(p.dir, 'slow')
    with open(script, 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\ntrap "exit 3" TERM\n[ "$1" = TEST ] && exit 0\necho begun > "$3"\nsleep 600 & wait\n')
    os.chmod(script, 0o755)
    with open(os.path.join(p.fs, 'a'), 'w', encoding='utf-8') as f:
        f.write('x')
    begun = os.path.join(p.dir, 'begun')
    text = f"RULE EXTERNAL LIST 'l' EXEC '{script}' OPTS '{begun}'\nRULE LIST 'l'"
    answers = []
    with p.running() as d:
        t = threading.Thread(target=lambda: answers.append(p.ask('policy.run', target='fs1', text=text)))
        t.start()
        wait_for('the script', lambda: os.path.exists(begun))
        before = time.monotonic()
        d.send_signal(signal.SIGTERM)
        assert d.wait(30) == 0
        assert time.monotonic() - before < 20
        t.join(30)
    assert len(answers) == 1, answers
    answer = answers[0]
    assert answer.get('error', {}).get('code') == 'ESHUTDOWN' or answer['result']['failed'] == 1, answer


def test_a_second_signal_ends_at_once(p):
    script = os.path.join(p.dir, 'deaf')
    with open(script, 'w', encoding='utf-8') as f:
        f.write('#!/bin/sh\n[ "$1" = TEST ] && exit 0\ntrap "" TERM\necho $$ > "$3"\nexec sleep 600\n')
    os.chmod(script, 0o755)
    with open(os.path.join(p.fs, 'a'), 'w', encoding='utf-8') as f:
        f.write('x')
    begun = os.path.join(p.dir, 'deaf.pid')
    text = f"RULE EXTERNAL LIST 'l' EXEC '{script}' OPTS '{begun}'\nRULE LIST 'l'"
    with p.running() as d:
        with p.connect() as s:
            s.sendall(json.dumps({'id': 1, 'op': 'policy.run', 'args': {'target': 'fs1', 'text': text}}).encode() + b'\n')
            wait_for('the script', lambda: os.path.exists(begun) and open(begun).read().strip())
            try:
                d.send_signal(signal.SIGTERM)
                wait_for('the stop', lambda: 'stopping:' in open(p.log).read())
                time.sleep(0.2)
                assert d.poll() is None
                d.send_signal(signal.SIGTERM)
                assert d.wait(10) == 1
            finally:
                os.kill(int(open(begun).read()), signal.SIGKILL)


if __name__ == '__main__':
    tap.main(globals(), setup=make_place)
