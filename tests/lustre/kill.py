# SPDX-License-Identifier: Apache-2.0
"""The copytool is killed at every point of an action; the next one ends what the coordinator still holds. live: the
coordinator's part (agent gone, requests stay STARTED, archive and remove run again, restore can only be failed) was
seen on a running Lustre 2.17.57."""
import contextlib
import errno
import glob
import os
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from tool import LustreFake, OVER, Tool, metric, running, until  # noqa: E402

ITEM_BYTES = 24 + 16 + 72  # of a record in the journal
POINTS = ('journaled', 'begun', 'ids', 'ending', 'ended')


@contextlib.contextmanager
def fakes():
    with LustreFake(size='1G') as lustre:
        yield lustre


@contextlib.contextmanager
def state_dir():
    path = tempfile.mkdtemp(prefix='firn-kill-', dir='/var/tmp')
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def killed_at(lustre, state, point, request):
    """A copytool dies at point while it does what request asks for. Returns the cookie."""
    tool = Tool(lustre, state=state, env={'FIRN_CRASH_POINT': f'lustre_action_{point}'}, ids=1)
    try:
        cookie = request()
        assert tool.wait() == -signal.SIGKILL, tool.log()
    finally:
        tool.close()
    lustre.wait_agents(0)
    return cookie


def nothing_open(tool, path):
    assert metric(path, 'open_actions') == 0, tool.log()


def archived(lustre, state, name, data):
    lustre.write_file(name, data)
    with running(lustre, state=state):
        assert lustre.wait(lustre.archive(name)[0])['status'] == 'SUCCEED'


def test_an_archive_runs_again(lustre):
    for point in POINTS:
        with state_dir() as state:
            name, path = f'archive-{point}', os.path.join(state, 'metrics')
            lustre.write_file(name, b'new snow')
            cookie = killed_at(lustre, state, point, lambda: lustre.archive(name)[0])
            if point != 'ended':
                assert lustre.record(cookie)['status'] == 'STARTED', point
            with running(lustre, state=state, metrics=path, ids=1) as tool:
                lustre.wait_idle()
                assert lustre.record(cookie)['status'] == 'SUCCEED', (point, lustre.record(cookie))
                assert lustre.state(name) == 0x9, point
                if point in ('ids', 'ending', 'ended'):
                    until(lambda: tool.has('settle cookie'), f'what was left at {point}')
                else:
                    assert not tool.has('settle cookie'), point
            nothing_open(tool, path)


def test_a_restore_is_ended_with_an_error_and_the_next_reader_gets_its_data(lustre):
    for point in ('journaled', 'begun', 'ending', 'ended'):
        with state_dir() as state:
            name, path = f'restore-{point}', os.path.join(state, 'metrics')
            archived(lustre, state, name, b'old snow')
            lustre.release(name)
            cookie = killed_at(lustre, state, point, lambda: lustre.restore(name)[0])
            with running(lustre, state=state, metrics=path) as tool:
                lustre.wait_idle()
                record = lustre.record(cookie)
                wanted = ('SUCCEED', 0) if point == 'ended' else ('FAILED', errno.EINTR)
                assert (record['status'], record['errno']) == wanted, (point, record, tool.log())
                assert lustre.read(name) == b'old snow', point
            nothing_open(tool, path)


def test_a_waiting_reader_gets_an_answer_at_once(lustre):
    with state_dir() as state:
        archived(lustre, state, 'reader', b'read me')
        lustre.release('reader')
        got = []

        def read():
            try:
                got.append(lustre.read('reader'))
            except OSError as e:
                got.append(e.errno)
        tool = Tool(lustre, state=state, env={'FIRN_CRASH_POINT': 'lustre_action_begun'})
        reader = threading.Thread(target=read)
        reader.start()
        assert tool.wait() == -signal.SIGKILL
        lustre.wait_agents(0)
        assert not got
        with running(lustre, state=state):
            reader.join(10)
            assert got == [errno.ENODATA], got
            assert lustre.read('reader') == b'read me'


def test_a_removal_runs_again(lustre):
    for point in ('journaled', 'begun', 'ending', 'ended'):
        with state_dir() as state:
            name, path = f'remove-{point}', os.path.join(state, 'metrics')
            archived(lustre, state, name, b'melting snow')
            cookie = killed_at(lustre, state, point, lambda: lustre.remove(name)[0])
            with running(lustre, state=state, metrics=path) as tool:
                lustre.wait_idle()
                assert lustre.record(cookie)['status'] == 'SUCCEED', (point, lustre.record(cookie))
                assert lustre.state(name) == 0
            nothing_open(tool, path)


def test_what_the_coordinator_gave_up_meanwhile_is_dropped(lustre):
    with state_dir() as state:
        path = os.path.join(state, 'metrics')
        before = lustre.settings()['timeout_ms']
        lustre.write_file('late', b'late snow')
        cookie = killed_at(lustre, state, 'begun', lambda: lustre.archive('late')[0])
        lustre.settings(timeout_ms=100)
        until(lambda: lustre.record(cookie) is None or lustre.record(cookie)['status'] in OVER, 'the time-out')
        lustre.settings(timeout_ms=before)
        with running(lustre, state=state, metrics=path) as tool:
            until(lambda: tool.has('cookie=0x'), 'the replay')
            until(lambda: tool.has('does not know of it any more'), 'the answer')
        nothing_open(tool, path)


def journaled(state):
    """Bytes in the journal."""
    return sum(os.path.getsize(p) for p in glob.glob(os.path.join(state, '*journal*')))


def test_a_copytool_that_is_killed_under_load_leaves_nothing_open(lustre):
    with state_dir() as state:
        path = os.path.join(state, 'metrics')
        lustre.settings(max_requests=400)
        names = [f'load{i}' for i in range(400)]
        for name in names:
            lustre.write_file(name, name.encode())
        cookies = []
        for turn, delay in enumerate((0.05, 0.15, 0.3)):
            tool = Tool(lustre, state=state, slow_ms=20, ids=1)
            if turn == 0:
                for at in range(0, len(names), 50):
                    cookies += lustre.archive(*names[at:at + 50])
                until(lambda: journaled(state) > ITEM_BYTES * len(names), 'all requests in the journal')
            time.sleep(delay)
            tool.close()
            lustre.wait_agents(0)
        with running(lustre, state=state, metrics=path, ids=1) as tool:
            lustre.wait_idle(60)
        # what lay in the pipe when the copytool was killed was received by nobody: only a time-out ends that
        records = [lustre.record(c) for c in cookies]
        assert all(r['status'] == 'SUCCEED' for r in records), [r for r in records if r['status'] != 'SUCCEED'][:3]
        assert all(lustre.state(n) == 9 for n in names)
        nothing_open(tool, path)


if __name__ == '__main__':
    tap.main(globals(), setup=fakes)
