# SPDX-License-Identifier: Apache-2.0
"""migrate, premigrate, recall and firn task: streaming of names, messages, results, NooBaa's contract."""
import errno
import json
import os
import pty
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Events, Fake, Hangup, Refuse, same  # noqa: E402

NOW = r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d '
COUNTS = {'succeeded': 0, 'failed': 0, 'duplicate': 0, 'not_found': 0, 'too_small': 0, 'too_early': 0, 'changed': 0, 'not_migrated': 0}


def task(**more):
    return {'task_id': 1026, 'uid': '1026@2026-02-18T20:02:38', 'type': 'migrate', 'priority': 'medium', 'status': 'completed',
            'result': 'succeeded', 'created': '2026-02-18T20:02:38.491Z', 'started': '2026-02-18T20:02:39.000Z',
            'completed': '2026-02-18T20:03:00.000Z', 'parameters': 'eeadm migrate l -p pool1@lib1', 'files': 2, 'done': 2, 'failed': 0,
            'bytes_total': 2048, 'bytes_done': 2048, 'inuse_tapes': [], 'inuse_pools': [], 'inuse_drives': [], 'inuse_libs': [],
            'counts': COUNTS, 'results': [], **more}


def answers(end, events=(), **more):
    def show(args):
        return {**end, 'results': end['results'][args.get('offset', 0):][:args.get('limit', 1000)]} if args.get('files') else end
    return {'task.begin': {'draft': 7}, 'task.add': {}, 'task.commit': {'task_id': 1026, 'uid': end['uid'], 'files': 2, 'duplicates': 0},
            'task.wait': Events(list(events), end), 'task.show': show, **more}


def lines(text, *patterns):
    got = text.splitlines()
    assert len(got) == len(patterns), text
    for g, p in zip(got, patterns):
        assert re.fullmatch(p, g), f'{g!r} is not {p!r}'


STAGES = [NOW + re.escape(f'GLESL896I: Starting the stage 1 of 3 for migration task 1026 (qualifying the state of migration candidate files).'),
          NOW + re.escape('GLESL897I: Starting the stage 2 of 3 for migration task 1026 (copying the files to the tape pools).'),
          NOW + re.escape('GLESL898I: Starting the stage 3 of 3 for migration task 1026 (changing the state of files on disk).')]
CREATED = NOW + r'GLESL700I: Task %s was created successfully, task ID is 1026\.'
RESULT = NOW + (r'GLESL038I: Migration result: %d succeeded, %d failed, 0 duplicate, 0 duplicate wrong pool, %d not found, '
                r'0 too small to qualify for migration, 0 too early for migration\.')


def test_a_migration_prints_its_task_its_stages_and_its_result():
    end = task(counts={**COUNTS, 'succeeded': 2})
    events = [{'stage': 'qualify', 'done': 0, 'failed': 0, 'total': 2}, {'stage': 'copy', 'done': 0, 'failed': 0, 'total': 2}]
    with Fake(answers(end, events)) as f:
        r = f.run('file', 'migrate', '-p', 'pool1@lib1,pool2@lib2', '/a', '/b')
        assert r.returncode == 0, r
        lines(r.stdout, CREATED % 'migrate', *STAGES, RESULT % (2, 0, 0))
        same(r.stderr, '')
        assert f.asked('task.begin') == [{'type': 'migrate', 'pools': ['pool1@lib1', 'pool2@lib2'],
                                          'parameters': 'firn file migrate -p pool1@lib1,pool2@lib2 /a /b'}]
        assert f.asked('task.add') == [{'draft': 7, 'paths': ['/a', '/b']}]
        assert f.asked('task.commit') == [{'draft': 7}]


def test_a_premigration_has_two_stages():
    with Fake(answers(task(type='premigrate', counts={**COUNTS, 'succeeded': 1}))) as f:
        lines(f.run('file', 'premigrate', '-p', 'p', '/a').stdout, CREATED % 'premigrate', *STAGES[:2], RESULT % (1, 0, 0))


def test_a_recall_tells_how_many_names_and_the_result():
    end = task(type='recall', result='failed', counts={**COUNTS, 'succeeded': 1, 'failed': 1, 'not_migrated': 1},
               results=[{'path': '/b', 'result': 'Fail', 'code': 'GLESM451W', 'time': '2026-01-08T02:38:47.000Z', 'node': '1',
                         'message': 'cartridge FIRN01L8, block 7: checksum differs'}])
    with Fake(answers(end)) as f:
        r = f.run('file', 'recall', '--resident', '/a', '/b')
        assert r.returncode == 1, r
        lines(r.stdout, NOW + r'GLESL268I: 2 file name\(s\) have been provided to recall\.', CREATED % 'recall',
              NOW + r'GLESL263I: Recall result: 1 succeeded, 1 failed, 0 duplicate, 1 not migrated, 0 not found, 0 unknown\.')
        same(r.stderr, 'GLESM451W: /b: cartridge FIRN01L8, block 7: checksum differs\n')
        assert f.asked('task.begin')[0]['resident'] is True and 'pools' not in f.asked('task.begin')[0]


def test_eeadm_takes_a_list_of_records_and_the_script_form():
    end = task(counts={**COUNTS, 'succeeded': 2})
    with Fake(answers(end)) as f, tempfile.TemporaryDirectory() as d:
        listed = os.path.join(d, 'list')
        with open(listed, 'w', encoding='utf-8') as out:
            out.write('1 2 0   -- /a b\n3 4 0   -- /c\n')
        for words in (['migrate', listed, '-p', 'pool1@lib1'], ['MIGRATE', listed, '-p', 'pool1@lib1'], ['PREMIGRATE', listed, '-p', 'pool1@lib1'],
                      ['premigrate', listed, '-p', 'pool1@lib1'], ['recall', listed], ['RECALL', listed], ['recall', listed, '-l', 'lib1', '--resident']):
            r = f.run(*words, name='eeadm')
            assert r.returncode == 0, (words, r)
            assert 'task ID is 1026' in r.stdout
        assert [a['type'] for a in f.asked('task.begin')] == ['migrate', 'migrate', 'premigrate', 'premigrate', 'recall', 'recall', 'recall']
        assert all(a['paths'] == ['/a b', '/c'] for a in f.asked('task.add'))


def test_the_node_is_tested_by_asking_firnd():
    with Fake({'status': {}}) as f:
        assert f.run('TEST', '/fs1', '-p', 'x@y', name='eeadm').returncode == 0
    with Fake({'status': Refuse('EIO', 'broken')}) as f:
        assert f.run('TEST', '/fs1', name='eeadm').returncode == 1


def test_thousands_of_names_stream_in_batches():
    with Fake(answers(task(counts={**COUNTS, 'succeeded': 4500}))) as f:
        r = f.run('file', 'migrate', '-p', 'p', '--list', '-', '/first', stdin=''.join(f'/f{i}\n' for i in range(4500)))
        assert r.returncode == 0, r
        assert [len(a['paths']) for a in f.asked('task.add')] == [1000, 1000, 1000, 1000, 501]
        assert sum((a['paths'] for a in f.asked('task.add')), [])[:2] == ['/first', '/f0']


def test_no_names_is_no_task():
    with Fake(answers(task())) as f:
        r = f.run('file', 'recall', '--list', '-', stdin='\n')
        assert r.returncode == 0 and 'nothing to do' in r.stderr, r
        assert f.asked('task.commit') == []


def test_async_prints_the_task_and_does_not_wait():
    with Fake(answers(task())) as f:
        r = f.run('file', 'migrate', '-p', 'p', '--async', '/a')
        assert r.returncode == 0
        lines(r.stdout, CREATED % 'migrate')
        assert f.asked('task.wait') == []
        r = f.run('--json', 'file', 'migrate', '-p', 'p', '--async', '/a')
        assert json.loads(r.stdout)['payload'][0]['task_id'] == 1026


def test_what_firnd_refuses_begins_nothing():
    with Fake(answers(task(), **{'task.begin': Refuse('EACCES', 'allow_migrate is no')})) as f:
        r = f.run('file', 'migrate', '-p', 'p', '/a')
        assert r.returncode == 1
        same(r.stderr, 'firn: allow_migrate is no\n')
        assert f.asked('task.add') == []


def test_a_wait_goes_on_when_it_timed_out_and_when_firnd_came_back():
    end = task(counts={**COUNTS, 'succeeded': 1})
    with Fake(answers(end, **{'task.wait': [{**end, 'status': 'running'}, Hangup(), end]})) as f:
        r = f.run('file', 'migrate', '-p', 'p', '/a')
        assert r.returncode == 0, r
        assert len(f.asked('task.wait')) == 3


FAILED = task(result='failed', results=[
    {'path': '/fs1/b/one', 'result': 'Fail', 'code': 'GLESM451W', 'time': '2026-01-08T02:38:47.000Z', 'node': '1', 'message': 'why'},
    {'path': '/fs1/b/two', 'result': 'Success', 'code': '', 'time': '2026-01-08T02:38:48.000Z', 'node': '1', 'message': ''}])


def test_results_have_the_shape_that_noobaa_reads():
    with Fake(answers(FAILED)) as f:
        for words, name in ((['task', 'show', '-r', '1026'], 'firn'), (['task', 'show', '1026', '-r'], 'eeadm'),
                            (['task', 'show', '1026@2026-02-18T20:02:38', '-r'], 'eeadm')):
            same(f.run(*words, name=name).stdout,
                 'Result    Failure Code  Failed time               Node -- File name\n'
                 'Fail      GLESM451W     2026/01/08T02:38:47          1 -- /fs1/b/one\n'
                 'Success   -             -                            - -- /fs1/b/two\n')


def test_noobaa_finds_the_task_and_the_codes():
    """The reading of NooBaa's tape backend, word for word."""
    with Fake(answers(FAILED)) as f:
        r = f.run('migrate', '/dev/stdin', '-p', 'pool1@lib1', name='eeadm', stdin='/fs1/b/one\n/fs1/b/two\n')
        assert r.returncode != 0
        found = re.search(r'task ID is ([\w]+(:[\w]+)*)', r.stdout)
        assert found.group(1) == '1026'
        rows = []
        for line in f.run('task', 'show', found.group(1), '-r', name='eeadm').stdout.splitlines():
            if line.startswith(('Fail', 'Success')):
                left, _, path = line.partition(' -- ')
                assert len(left.split()) >= 4
                rows.append((*left.split()[:2], path))
        assert rows == [('Fail', 'GLESM451W', '/fs1/b/one'), ('Success', '-', '/fs1/b/two')]


def test_results_are_read_page_by_page():
    end = task(results=[{'path': f'/f{i}', 'result': 'Success', 'code': ''} for i in range(2300)])
    with Fake(answers(end)) as f:
        assert len(f.run('task', 'show', '-r', '1026').stdout.splitlines()) == 2301
        assert [a['offset'] for a in f.asked('task.show')] == [0, 500, 1000, 1500, 2000]


def test_json_gives_the_task_with_its_counts():
    with Fake(answers(FAILED)) as f:
        r = f.run('--json', 'file', 'migrate', '-p', 'p', '/a')
        assert r.returncode == 1
        got = json.loads(r.stdout)['payload'][0]
        assert (got['id'], got['result'], got['files'], got['counts']) == ('1026@2026-02-18T20:02:38', 'failed', 2, COUNTS), got
        same(r.stderr, 'GLESM451W: /fs1/b/one: why\n')
        got = json.loads(f.run('task', 'show', '1026', '-r', '--json', name='eeadm').stdout)['payload'][0]
        assert [x['path'] for x in got['results']] == ['/fs1/b/one', '/fs1/b/two'], got


def test_options_may_follow_operands_whatever_the_environment_says():
    with Fake(answers(task())) as f:
        assert f.run('file', 'migrate', '/a', '-p', 'p', env={'POSIXLY_CORRECT': '1'}).returncode == 0


def test_a_task_is_shown_with_all_its_facts():
    with Fake(answers(task(counts={**COUNTS, 'succeeded': 2}, inuse_tapes=['FIRN01L8']))) as f:
        same(f.run('task', 'show', '1026').stdout, '''Task ID:             1026
Task UID:            1026@2026-02-18T20:02:38
Task Type:           migrate
Command Parameters:  eeadm migrate l -p pool1@lib1
Priority:            medium
Status:              completed
Result:              succeeded
Created Time:        2026-02-18 20:02:38
Started Time:        2026-02-18 20:02:39
Completed Time:      2026-02-18 20:03:00
In-use Tapes:        FIRN01L8
In-use Pools:        -
In-use Drives:       -
In-use Libraries:    -
Progress:            2 of 2 files, 0 failed
Data:                2.0 KiB of 2.0 KiB
Result Summary:      succeeded=2
''')


def test_tasks_are_listed_active_or_completed():
    running = task(task_id=1027, status='running', result='', completed='', inuse_drives=['FIRND1'])
    with Fake({'task.list': {'tasks': [running, task()]}}) as f:
        same(f.run('task', 'list').stdout,
             'TaskID  Type     Priority  Status     #DRV  CreatedTime          StartedTime\n'
             '1027    migrate  medium    running    1     2026-02-18T20:02:38  2026-02-18T20:02:39\n'
             '1026    migrate  medium    completed  0     2026-02-18T20:02:38  2026-02-18T20:02:39\n')
        same(f.run('task', 'list', '-c', name='eeadm').stdout,
             'TaskID  Type     Result     CreatedTime          StartedTime          CompletedTime\n'
             '1026    migrate  succeeded  2026-02-18T20:02:38  2026-02-18T20:02:39  2026-02-18T20:03:00\n')
        assert f.asked('task.list') == [{}, {'all': True}]
        first = json.loads(f.run('task', 'list', '--json', name='eeadm').stdout)['payload'][1]
        assert first == {'inuse_tapes': [], 'inuse_pools': [], 'inuse_node_groups': [], 'inuse_drives': [], 'inuse_libs': [],
                         'cmd_param': 'eeadm migrate l -p pool1@lib1', 'result': 'succeeded', 'status': 'completed',
                         'created_time': '2026-02-18T20:02:38.491Z', 'started_time': '2026-02-18T20:02:39.000Z',
                         'completed_time': '2026-02-18T20:03:00.000Z', 'type': 'migrate', 'task_id': 1026,
                         'id': '1026@2026-02-18T20:02:38'}, first


def test_a_task_is_waited_for_cancelled_and_forgotten():
    with Fake(answers(task(counts={**COUNTS, 'succeeded': 2}), **{'task.cancel': {}, 'task.clear': {'removed': 3}})) as f:
        lines(f.run('task', 'wait', '1026').stdout, RESULT % (2, 0, 0))
        assert f.run('task', 'cancel', '1026').returncode == 0
        assert f.asked('task.cancel') == [{'task_id': 1026}]
        same(f.run('task', 'clearhistory', name='eeadm').stdout, '3 completed tasks were removed from the history.\n')
    with Fake(answers(task(status='running', result='', completed=''))) as f:
        r = f.run('task', 'wait', '1026', '-t', '0')
        assert r.returncode == 1 and 'is still running' in r.stderr, r


def test_many_failures_are_cut_short():
    end = task(result='failed', results=[{'path': f'/f{i}', 'result': 'Fail', 'code': 'GLESL400E', 'message': 'not found'} for i in range(1500)])
    with Fake(answers(end)) as f:
        r = f.run('file', 'recall', '/a')
        assert r.returncode == 1
        assert len(r.stderr.splitlines()) == 101 and 'firn task show -r 1026' in r.stderr.splitlines()[-1], r.stderr[-300:]


def test_what_a_task_waits_for_is_told_once():
    away = 'store s3a is down: no bucket'
    events = [{'stage': 'waiting', 'done': 0, 'failed': 0, 'total': 1, 'reason': reason} for reason in ('', away, away, '', away)]
    with Fake(answers(task(counts={**COUNTS, 'succeeded': 1}), events)) as f:
        r = f.run('file', 'migrate', '-p', 'p', '/a')
        assert r.returncode == 0, r
        same(r.stderr, f'firn: task 1026 waits: {away}\n' * 2)
    with Fake(answers(task(status='waiting', result='', completed='', reason=away))) as f:
        assert f'\nWaits For:           {away}\n' in f.run('task', 'show', '1026').stdout


def everything(master):
    """What a terminal was sent, whose other end is closed: a pty gives it in pieces, and EIO behind the last."""
    data = b''
    try:
        while piece := os.read(master, 65536):
            data += piece
    except OSError as e:
        assert e.errno == errno.EIO, e
    os.close(master)
    return data.decode()


def test_a_terminal_gets_a_progress_line_and_a_pipe_none():
    events = [{'stage': 'copy', 'done': 1, 'failed': 0, 'total': 4, 'bytes_done': 1 << 20, 'bytes_total': 4 << 20}]
    with Fake(answers(task(counts={**COUNTS, 'succeeded': 4}), events)) as f:
        master, slave = pty.openpty()
        env = {**os.environ, 'FIRN_SOCKET': f.socket}
        r = subprocess.run([os.path.join(f.bin, 'firn'), 'file', 'migrate', '-p', 'p', '/a'], stdout=subprocess.PIPE, stderr=slave,
                           env=env, text=True, timeout=60)
        os.close(slave)
        drawn = everything(master)
        assert r.returncode == 0
        assert re.search(r'\r\x1b\[Kcopy +\[######> {17}\]  25% 1/4', drawn), repr(drawn)
        assert drawn.endswith('\r\x1b[K'), repr(drawn)
        assert '\x1b' not in r.stdout
        assert '\x1b' not in f.run('file', 'migrate', '-p', 'p', '/a').stderr


if __name__ == '__main__':
    tap.main(globals())
