# SPDX-License-Identifier: Apache-2.0
"""firn lustre against the fake coordinator: batches, the window, ends, failures, interruption and going on. The fake
proves what its list of behaviours says; requests per FID, windows and states are its own counts, not firn's."""
import contextlib
import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from lustrefake import LustreFake  # noqa: E402

BUILD = os.environ.get('FIRN_BUILD', os.path.join(os.getcwd(), 'build'))
FIRN = os.path.join(BUILD, 'src', 'bin', 'firn')
TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib', 'nullcopytool.py')


class Site:
    def __init__(self, lustre):
        self.lustre = lustre
        self.number = 0

    def files(self, n, name='f'):
        """n new files in a directory of their own; their paths."""
        self.number += 1
        out = []
        for i in range(n):
            p = f'd{self.number}/{name}{i}'
            self.lustre.write_file(p, b'hello')
            out.append(self.lustre.path(p))
        return out

    def list(self, paths, end='\n'):
        self.number += 1
        name = os.path.join(self.lustre.dir, f'list{self.number}')
        with open(name, 'w', encoding='utf-8') as f:
            f.write(''.join(p + end for p in paths))
        return name

    def environment(self):
        return {**{k: v for k, v in self.lustre.env().items() if k not in ('FIRN_CONFIG', 'FIRN_SOCKET')}, 'LC_ALL': 'C.UTF-8'}

    def run(self, *words, stdin=''):
        return subprocess.run([FIRN, 'lustre', *words], env=self.environment(), input=stdin, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=110)

    def start(self, *words):
        return subprocess.Popen([FIRN, 'lustre', *words], env=self.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True)

    @contextlib.contextmanager
    def tool(self, **options):
        p = subprocess.Popen([sys.executable, TOOL, json.dumps({'mount': self.lustre.mount, **options})], env=self.lustre.env(),
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        try:
            assert p.stdout.readline() == 'ready\n'
            yield p
        finally:
            p.stdin.close()
            p.wait(20)
            p.stdout.close()
            self.lustre.wait_agents(0)

    def archived(self, n):
        paths = self.files(n)
        with self.tool():
            ok(self.run('archive', *paths))
        return paths

    def forget(self):
        """Drops the records of requests that are over."""
        self.lustre.settings(grace_ms=0)
        self.lustre._until(lambda: not self.lustre.actions(), 'the records to go')
        self.lustre.settings(grace_ms=600000)


@contextlib.contextmanager
def site():
    version = os.environ.get('FIRN_LUSTRE_VERSION', '2.17.57')
    with LustreFake(version, loop_period_ms=20, wake_ms=2, max_requests=200, grace_ms=600000, size='2G') as lustre:
        yield Site(lustre)


def ok(r):
    assert r.returncode == 0, (r.returncode, r.stdout[-2000:], r.stderr[-2000:])
    return r


def rows(path):
    with open(path, newline='', encoding='utf-8') as f:
        return list(csv.DictReader(f))


def test_ten_thousand_files_never_pass_the_window(s):
    paths = s.files(10000)
    with s.tool():
        r = ok(s.run('archive', '--json', '--from-list', s.list(paths), '--window', '100'))
    told = json.loads(r.stdout)['payload'][0]
    assert told['done'] == 10000 and told['failed'] == 0 and told['complete'], told
    assert s.lustre.counters()['live_max'] == 100, s.lustre.counters()
    assert told['requests'] < 1000, told
    for p in paths[::997]:
        assert s.lustre.state(p) == 0x9
    s.forget()


def test_a_killed_run_goes_on_where_it_was(s):
    paths = s.files(2000)
    names = s.list(paths)
    report = os.path.join(s.lustre.dir, 'resumed.csv')
    words = ('archive', '--from-list', names, '--window', '60', '--report', report)
    resume = names + '.archive.resume'
    ends = s.lustre.counters()['ends']
    with s.tool(delay=0.001):
        p = s.start(*words)
        s.lustre._until(lambda: s.lustre.counters()['ends'] - ends > 400, 'some files')
        p.kill()
        p.communicate()
        assert os.path.exists(resume)
        before = s.lustre.counters()['ends'] - ends
        assert before < 2000
        r = ok(s.run(*words))
    assert 'going on with' in r.stderr and 'archive: ' in r.stdout, r
    assert not os.path.exists(resume)
    asked = [a['fid'] for a in s.lustre.actions()]
    assert len(asked) == len(set(asked)) == 2000, (len(asked), len(set(asked)))
    got = rows(report)
    assert sorted(g['path'] for g in got) == sorted(paths)
    assert {g['result'] for g in got} <= {'done', 'already'}
    s.forget()


def test_an_interrupted_run_says_how_to_go_on(s):
    paths = s.files(300)
    names = s.list(paths)
    with s.tool(hold=True):
        p = s.start('archive', '--from-list', names, '--window', '50')
        s.lustre._until(lambda: len(s.lustre.actions()) >= 50, 'requests')
        p.send_signal(signal.SIGTERM)
        out, err = p.communicate(timeout=20)
        assert p.returncode == 1
        assert '50 files are in the coordinator\'s queue' in err and names + '.archive.resume' in err, err
        assert 'archive: 0 done' in out
        ok(s.run('cancel', *paths[:300]))
    s.lustre.wait_idle()
    s.forget()
    with s.tool():
        ok(s.run('archive', '--from-list', names))
        assert all(s.lustre.state(p) == 0x9 for p in paths)
    s.forget()


def test_failures_are_reported_and_the_others_go_on(s):
    paths = s.files(60)
    names = s.list(paths)
    bad = {s.lustre.fid(paths[7]): errno.ENOSPC, s.lustre.fid(paths[33]): errno.EIO}
    report, failed = os.path.join(s.lustre.dir, 'r.json'), os.path.join(s.lustre.dir, 'failed')
    with s.tool(fail=bad):
        r = s.run('archive', '--from-list', names, '--retries', '0', '--report', report, '--failed', failed)
    assert r.returncode == 1 and 'archive: 58 done, 0 already, 0 queued, 2 failed' in r.stdout, r
    for p in (paths[7], paths[33]):
        assert f'{p}: the archive ended without a copy; the copytool\'s log says why' in r.stderr, r.stderr
    with open(report, encoding='utf-8') as f:
        got = {j['path']: j for j in map(json.loads, f)}
    assert len(got) == 60 and got[paths[7]]['result'] == 'failed' and got[paths[7]]['error'] == 'EIO' and got[paths[7]]['reason']
    assert got[paths[8]]['result'] == 'done' and got[paths[8]]['fid'].startswith('[0x')
    with open(failed, encoding='utf-8') as f:
        assert sorted(f.read().split()) == sorted([paths[7], paths[33]])
    with s.tool():
        ok(s.run('archive', '--from-list', failed))
    assert s.lustre.state(paths[7]) == 0x9
    s.forget()


def test_a_coordinator_that_refuses_for_a_moment_is_no_failure(s):
    paths = s.files(3)
    s.lustre.fail('request', errno.EAGAIN, count=2)
    with s.tool():
        r = ok(s.run('archive', '--json', *paths))
    assert json.loads(r.stdout)['payload'][0]['done'] == 3
    s.forget()


def test_a_cancel_stops_what_runs_and_what_waits(s):
    paths = s.files(10)
    s.lustre.settings(max_requests=4)
    with s.tool(hold=True):
        r = ok(s.run('archive', '--no-wait', *paths))
        assert 'archive: 0 done, 0 already, 10 queued' in r.stdout, r
        s.lustre._until(lambda: len(s.lustre.actions(status='STARTED')) >= 4, 'running ones')
        state = ok(s.run('state', '--actions', *paths)).stdout
        assert 'archive running' in state and 'archive waiting' in state, state
        r = ok(s.run('cancel', *paths))
        assert 'cancel: 10 done' in r.stdout, r
        assert 'cancel: 0 done, 10 already' in ok(s.run('cancel', *paths)).stdout
    s.lustre.settings(max_requests=200)
    s.lustre.wait_idle()
    assert all(s.lustre.state(p) & 8 == 0 for p in paths)
    s.forget()


def test_a_restore_answered_with_enodata_is_a_restore(s):
    paths = s.archived(120)
    ok(s.run('release', *paths))
    assert all(s.lustre.state(p) == 0xd for p in paths)
    s.lustre.settings(non_blocking_restore=True)
    with s.tool():
        r = ok(s.run('restore', *paths))
        assert 'restore: 120 done' in r.stdout, r
        assert 'restore: 0 done, 120 already' in ok(s.run('restore', *paths)).stdout
    s.lustre.settings(non_blocking_restore=False)
    assert all(s.lustre.state(p) == 0x9 for p in paths)
    s.forget()


def test_a_dry_run_changes_nothing(s):
    paths = s.files(5)
    names = s.list(paths)
    r = ok(s.run('archive', '-n', '--from-list', names))
    assert r.stdout.splitlines()[:5] == [f'would archive: {p}' for p in paths], r.stdout
    assert '5 would be requested' in r.stdout
    assert s.lustre.actions() == [] and not os.path.exists(names + '.archive.resume')
    assert all(s.lustre.state(p) == 0 for p in paths)


def test_a_release_needs_a_current_copy_and_says_so(s):
    paths = s.archived(3)
    s.lustre.write(paths[1], b'changed')
    fresh = s.files(1)
    r = s.run('release', *paths, *fresh)
    assert r.returncode == 1 and 'release: 2 done, 0 already, 0 queued, 2 failed' in r.stdout, r
    assert f'{paths[1]}: it was written to since it was archived; archive it again with "firn lustre archive"' in r.stderr
    assert f'{fresh[0]}: it is not archived; archive it first' in r.stderr
    assert [s.lustre.state(p) for p in paths] == [0xd, 0xb, 0xd]
    r = s.run('remove', paths[0])
    assert r.returncode == 1 and 'its copy is all there is; restore it first' in r.stderr, r
    s.forget()


def test_hints_and_the_archive_id_reach_the_copytool(s):
    paths = s.files(60)
    ok(s.run('archive', '--no-wait', '--archive-id', '3', '--data', 'tag=hello,family=s3', *paths))
    records = s.lustre.actions()
    assert len(records) == 60 and {r['archive_id'] for r in records} == {3}, records[0]
    assert {bytes.fromhex(r['data']) if 'data' in r else bytes.fromhex(r['data_hex']) for r in records} == {b'tag=hello,family=s3'}
    with s.tool():
        s.lustre.wait_idle()
    s.forget()


def test_fids_and_names_with_line_feeds_are_taken(s):
    paths = s.files(3, name='a\nb')
    fids = [f'[{s.lustre.fid(p)}]' for p in paths[:2]]
    with s.tool():
        r = ok(s.run('archive', '--mount', s.lustre.mount, '--null', '--from-list', '-', stdin='\0'.join([*fids, paths[2], ''])))
        assert 'archive: 3 done' in r.stdout, r
    r = ok(s.run('state', '--mount', s.lustre.mount, fids[0]))
    assert r.stdout == paths[0].replace('\n', '\\n') + ': (0x00000009) exists archived, archive_id:1\n', r.stdout
    s.forget()


def test_the_copies_of_an_unlinked_file_are_removed_by_fid(s):
    paths = s.archived(1)
    fid = s.lustre.fid(paths[0])
    os.unlink(paths[0])
    r = s.run('remove', '--mount', s.lustre.mount, '--archive-id', '1', f'[{fid}]')
    assert r.returncode == 0 and '1 queued' in r.stdout, r
    with s.tool():
        s.lustre.wait_idle()
    s.forget()


def test_a_policy_chooses_files_without_a_daemon(s):
    paths = s.files(10, name='x.dat') + s.files(4, name='x.tmp')
    top = os.path.dirname(os.path.dirname(paths[0]))
    rules = os.path.join(s.lustre.dir, 'policy')
    with open(rules, 'w', encoding='utf-8') as f:
        f.write(f"""RULE EXTERNAL POOL 'hsm' EXEC '' OPTS '--release --data origin=policy'
RULE EXTERNAL LIST 'all' EXEC ''
RULE 'out' MIGRATE FROM POOL 'system' TO POOL 'hsm' WHERE PATH_NAME LIKE '{os.path.dirname(paths[0])}/%' AND NAME LIKE 'x.dat%'
RULE 'back' MIGRATE FROM POOL 'hsm' TO POOL 'system' WHERE XATTR('lustre.hsm.state') LIKE 'released%' AND NAME LIKE 'x.dat%'
RULE 'list' LIST 'all' WHERE XATTR('lustre.hsm.state') LIKE '%archived%' AND NAME LIKE 'x.dat%'
""")
    r = ok(s.run('archive', '-n', '--policy', rules, top))
    assert r.stdout.count('would archive: ') == 10, (r.stdout, r.stderr)
    with s.tool():
        r = ok(s.run('archive', '--policy', rules, top))
        assert 'archive: 10 done' in r.stdout, r
        assert [s.lustre.state(p) for p in paths] == [0xd] * 10 + [0] * 4
        r = ok(s.run('state', '--policy', rules, top))
        assert len(r.stdout.splitlines()) == 10, r.stdout
        r = ok(s.run('restore', '--policy', rules, top))
        assert 'restore: 10 done' in r.stdout, r
        assert [s.lustre.state(p) for p in paths] == [0x9] * 10 + [0] * 4
    with open(rules, 'w', encoding='utf-8') as f:
        f.write("RULE 'x' MIGRATE FROM\n")
    r = s.run('archive', '--policy', rules, top)
    assert r.returncode == 1 and rules + ':' in r.stderr and '^' in r.stderr, r
    s.forget()


def test_a_coordinator_that_is_off_is_told(s):
    paths = s.files(2)
    names = s.list(paths)
    s.lustre.control('shutdown')
    r = s.run('archive', '--from-list', names, '--patience', '2')
    s.lustre.control('enabled')
    assert r.returncode == 1 and 'has taken no request for' in r.stderr and 'hsm_control' in r.stderr, r
    assert 'the same command goes on' in r.stderr and os.path.exists(names + '.archive.resume')
    with s.tool():
        ok(s.run('archive', '--from-list', names))
    assert not os.path.exists(names + '.archive.resume')
    s.forget()


def test_wrong_files_are_named(s):
    paths = s.files(1)
    gone = paths[0] + '.gone'
    r = s.run('archive', '-n', os.path.dirname(paths[0]), gone, paths[0])
    assert r.returncode == 1, r
    assert f'{os.path.dirname(paths[0])}: it is no regular file' in r.stderr
    assert f'{gone}: it cannot be found: No such file or directory' in r.stderr, r.stderr
    r = s.run('state', gone)
    assert r.returncode == 1 and gone in r.stderr
    r = s.run('state', '/etc/passwd')
    assert r.returncode == 1 and 'lies on no Lustre file system' in r.stderr and '--mount' in r.stderr, r


def test_another_list_is_not_gone_on_with(s):
    paths = s.files(3)
    names = s.list(paths)
    s.lustre.control('shutdown')
    assert s.run('archive', '--from-list', names, '--patience', '1').returncode == 1
    s.lustre.control('enabled')
    with open(names, 'a', encoding='utf-8') as f:
        f.write(s.files(1)[0] + '\n')
    r = s.run('archive', '--from-list', names)
    assert r.returncode == 1 and '--restart' in r.stderr, r
    with s.tool():
        assert '4 done' in ok(s.run('archive', '--from-list', names, '--restart')).stdout
    s.forget()


def test_a_node_without_lustre_is_told(s):
    env = {k: v for k, v in s.environment().items() if k not in ('LD_LIBRARY_PATH', 'LD_PRELOAD')}
    r = subprocess.run([FIRN, 'lustre', 'state', '/etc'], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert r.returncode == 1 and 'liblustreapi.so.1 cannot be opened' in r.stderr and 'install the Lustre client' in r.stderr, r


def test_a_wrong_command_line_begins_nothing(s):
    for words, text in ((['archive'], 'no file is named'), (['archive', '--from-list', 'x', 'y'], 'no operands'),
                        (['archive', '--policy', 'x'], 'TARGET'), (['archive', '--window', '5001', 'x'], 'from 1 to 5000'),
                        (['archive', '--data', 'hello', 'x'], 'KEY=VALUE'), (['restore', '--wait', '--no-wait', 'x'], 'exclude'),
                        (['archive', '--resume', 'x', 'y'], '--from-list'), (['release', '--order', 'size', 'x'], 'fid or list')):
        r = s.run(*words)
        assert r.returncode == 2 and text in r.stderr, (words, r)


def test_status_shows_agents_queue_and_limits(s):
    top = os.path.join(s.lustre.dir, 'params')
    hsm = os.path.join(top, 'mdt', 'lustre-MDT0000', 'hsm')
    os.makedirs(hsm)
    agent = 'uuid=3a7c0e5e-18f2-4f7b-9a44-1f7d9a1f2c11 archive_id=1,2 requests=[current:3 ok:40 errors:5]\n'
    action = ('lrh=[type=10680000 len=136 idx=1/3] fid=[0x200000401:0x{:x}:0x0] dfid=[0x200000401:0x1:0x0] '
              'compound/cookie=0x0/0x5f action={} archive#=1 flags=0x0 extent=0x0-0xffffffffffffffff gid=0x0 datalen=0 '
              'status={} data=[]\n')
    for name, text in {'agents': agent, 'max_requests': '3\n', 'loop_period': '10\n', 'active_request_timeout': '3600\n',
                       'policy': 'NonBlockingRestore [NoRetryAction]\n',
                       'actions': action.format(1, 'ARCHIVE', 'STARTED') + action.format(2, 'ARCHIVE', 'WAITING') * 2
                       + action.format(3, 'RESTORE', 'FAILED') + 'nonsense\n'}.items():
        with open(os.path.join(hsm, name), 'w', encoding='utf-8') as f:
            f.write(text)
    metrics = os.path.join(top, 'metrics')
    with open(metrics, 'w', encoding='utf-8') as f:
        f.write('# HELP firn_lustre_actions_total x\nfirn_lustre_actions_total{action="archive"} 12\nfirn_lustre_open 3\n')
    r = ok(s.run('status', '--params', top, '--metrics', metrics))
    assert 'lustre-MDT0000  -        3      10      -      3600     -        NonBlockingRestore [NoRetryAction]' in r.stdout, r.stdout
    assert '3a7c0e5e-18f2-4f7b-9a44-1f7d9a1f2c11  1,2       3        40    5' in r.stdout, r.stdout
    assert 'lustre-MDT0000  ARCHIVE  2        1        0     0       0' in r.stdout, r.stdout
    assert 'firn_lustre_open' in r.stdout
    j = json.loads(ok(s.run('status', '--json', '--params', top, '--metrics', metrics)).stdout)['payload'][0]
    assert j['targets'][0]['queue']['RESTORE']['FAILED'] == 1 and j['targets'][0]['agents'][0]['errors'] == 5
    assert j['metrics']['firn_lustre_actions_total{action="archive"}'] == 12
    r = s.run('status', '--params', s.lustre.mount)
    assert r.returncode == 1 and 'mdt/NAME/hsm/' in r.stderr, r


def test_the_progress_line_tells_what_is_in_work(s):
    import pty
    paths = s.files(400)
    names = s.list(paths)
    with s.tool(delay=0.01):
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(FIRN, [FIRN, 'lustre', 'archive', '--from-list', names, '--window', '20'], s.environment())
        text = b''
        with contextlib.suppress(OSError):
            while more := os.read(fd, 65536):
                text += more
        os.close(fd)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, text
    assert b'20 in work' in text and b'/400' in text, text[-500:]
    s.forget()


if __name__ == '__main__':
    tap.main(globals(), setup=site)
