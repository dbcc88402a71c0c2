# SPDX-License-Identifier: Apache-2.0
"""Policy runs on a real file system and a real library: what is chosen is carried out, by the engine, by
scripts or as lists, and a wrong policy moves nothing."""
import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import tap
from firnsite import Site, program, wait_for

MIGRATE = """/* RULE 1: define external pool */
RULE 'extpool' EXTERNAL POOL 'ltfs' EXEC '/opt/ibm/ltfsee/bin/eeadm'
OPTS '-p pool1@lib1'

/* RULE 2: Migration rule */
RULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs' WHERE
  (KB_ALLOCATED > 0) AND
  ( XATTR('user.noobaa.tag.action') like 'migrate' OR
  XATTR('user.action') like 'migrate' )
"""
RECALL = """/* MACRO: defining migrated state */
define(is_migrated, (MISC_ATTRIBUTES LIKE '%V%'))

/* RULE 1: define external pool */
RULE 'extpool' EXTERNAL POOL 'ltfs' EXEC '/opt/ibm/ltfsee/bin/eeadm'

/* RULE 2: Migration rule */
RULE 'rec' MIGRATE FROM POOL 'ltfs' TO POOL 'system' WHERE
  is_migrated AND XATTR('user.noobaa.tag.action') like 'recall'
"""
# Writes its arguments and its list into a directory; fails when a file "fail" is there.
SCRIPT = """#!/bin/sh
dir=$(dirname "$0")/log
[ -e "$dir/unusable" ] && [ "$1" = TEST ] && exit 1
n=$(ls "$dir" | wc -l)
printf '%s\\n' "$@" > "$dir/$$.args"
[ "$1" = TEST ] || cp "$2" "$dir/$$.list"
echo "script saw $1"
echo "and said so" >&2
[ -e "$dir/fail" ] && [ "$1" != TEST ] && exit 7
exit 0
"""


class Runs(Site):
    def __enter__(self):
        super().__enter__()
        self.start_firnd()
        self.assign('pool1', 2)
        self.script = os.path.join(self.dir, 'scripts', 'take')
        os.makedirs(os.path.join(self.dir, 'scripts', 'log'))
        with open(self.script, 'w', encoding='utf-8') as f:
            f.write(SCRIPT)
        os.chmod(self.script, 0o755)
        return self

    def make(self, *names, size=3000, **xattrs):
        paths = []
        for n in names:
            path = os.path.join(self.mount, n)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'wb') as f:
                f.write(os.urandom(size))
            for k, v in xattrs.items():
                os.setxattr(path, 'user.' + k.replace('__', '.'), v.encode())
            paths.append(path)
        subprocess.run(['sync', '-f', self.mount], check=True)
        return paths

    def ask(self, op, **args):
        """The answer and the events before it."""
        events = []
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(120)
            s.connect(self.socket)
            s.sendall(json.dumps({'id': 1, 'op': op, 'args': args}).encode() + b'\n')
            f = s.makefile('rb')
            while True:
                answer = json.loads(f.readline())
                if 'event' not in answer:
                    return answer, events
                events.append(answer['event'])

    def policy(self, text, **args):
        answer, events = self.ask('policy.run', **{'target': 'fs1', 'text': text, **args})
        assert 'result' in answer, answer
        return answer['result'], [e['text'] for e in events if e['kind'] == 'line']

    def refused(self, text, **args):
        answer, _ = self.ask('policy.run', **{'target': 'fs1', 'text': text, **args})
        assert 'error' in answer, answer
        return answer['error']

    def states(self, *paths):
        answer, _ = self.ask('file.state', paths=list(paths))
        return [f['state'] for f in answer['result']['files']]

    def script_log(self, forget=True):
        """(arguments, list lines) of each call in the order of their names, TEST calls first."""
        d = os.path.join(os.path.dirname(self.script), 'log')
        calls = []
        for name in sorted(os.listdir(d)):
            if name.endswith('.args'):
                with open(os.path.join(d, name), encoding='utf-8') as f:
                    args = f.read().splitlines()
                lines = []
                with contextlib.suppress(FileNotFoundError):
                    with open(os.path.join(d, name[:-5] + '.list'), encoding='utf-8') as f:
                        lines = f.read().splitlines()
                calls.append((args, lines))
        if forget:
            for name in os.listdir(d):
                os.unlink(os.path.join(d, name))
        return sorted(calls, key=lambda c: (c[0][0] != 'TEST', c[1]))

    def flag(self, name):
        path = os.path.join(os.path.dirname(self.script), 'log', name)
        open(path, 'w', encoding='utf-8').close()


def test_the_documents_policies_migrate_and_recall_what_is_tagged(s):
    tagged = s.make('buckets/test1/file1', noobaa__tag__action='migrate') + s.make('buckets/test1/file0', action='migrate')
    other = s.make('buckets/test1/file2', 'buckets/test1/file3', noobaa__tag__project='x')
    result, lines = s.policy(MIGRATE)
    assert (result['chosen'], result['executed'], result['failed'], result['exit']) == (2, 2, 0, 0), result
    assert result['rules'][0]['chosen'] == 2 and "RULE 'mig' MIGRATE" in result['rules'][0]['summary']
    assert s.states(*tagged) == ['migrated'] * 2 and s.states(*other) == ['resident'] * 2
    text = '\n'.join(lines)
    for expected in ('[I] GPFS Current Data Pool Utilization in KB and %', '[I] Summary of Rule Applicability',
                     ' Rule#      Hit_Cnt', 'GLESL700I: Task migrate was created successfully, task ID is 1',
                     'GLESL038I: Migration result: 2 succeeded, 0 failed'):
        assert expected in text, (expected, text)
    assert s.policy(MIGRATE)[0]['chosen'] == 0  # they hold no blocks any more
    os.setxattr(tagged[0], 'user.noobaa.tag.action', b'recall')
    result, lines = s.policy(RECALL)
    assert (result['executed'], result['failed']) == (1, 0), lines
    assert s.states(*tagged) == ['premigrated', 'migrated']
    assert any('GLESL263I: Recall result: 1 succeeded' in l for l in lines), lines
    assert s.policy(RECALL)[0]['chosen'] == 0  # it is not in migrated state any more


def test_the_tapes_of_a_migrated_file_can_be_asked_for(s):
    path = s.make('tps/file', action='migrate')[0]
    s.policy(MIGRATE)
    assert s.states(path) == ['migrated']
    prefix = os.path.join(s.dir, 'tps')
    s.policy("RULE 'a' LIST 'on' SHOW(XATTR('dmapi.IBMTPS')) WHERE XATTR('dmapi.IBMTPS') LIKE '%@pool1@lib1%' "
             "AND FILESET_NAME = 'tps'\n"
             "RULE 'b' LIST 'pre' WHERE XATTR('dmapi.IBMPMig') IS NOT NULL AND FILESET_NAME = 'tps'", mode='defer', prefix=prefix)
    lines = open(prefix + '.list.on', encoding='utf-8').read().splitlines()
    assert len(lines) == 1 and re.search(r' 0  1 \w+@pool1@lib1 -- ' + re.escape(path), lines[0]), lines
    assert not os.path.exists(prefix + '.list.pre')


def test_a_program_that_is_firn_by_another_name_goes_straight_into_the_engine(s):
    path = s.make('mover/a')[0]
    link = os.path.join(s.dir, 'scripts', 'mover')
    os.symlink(program('firn'), link)
    text = (f"RULE 'e' EXTERNAL POOL 'x' EXEC '{link}' OPTS '-p pool1@lib1'\n"
            "RULE 'm' MIGRATE FROM POOL 'system' THRESHOLD(0,100,0) TO POOL 'x' WHERE FILESET_NAME = 'mover'")
    result, lines = s.policy(text)
    assert any('GLESL700I: Task premigrate' in l for l in lines), lines
    assert result['executed'] == 1 and s.states(path) == ['premigrated'], (result, lines)
    s.ask('attr.set', name='allow_premigrate', value='no')
    assert s.refused(text)['code'] == 'EACCES'
    s.ask('attr.set', name='allow_premigrate', value='yes')


def test_a_policy_that_is_nested_beyond_reason_is_refused(s):
    for text in ("RULE 'x' LIST 'l' WHERE " + '(' * 300000, "RULE 'x' LIST 'l' WHERE " + 'NOT ' * 200000 + 'TRUE',
                 "define(a,[b])" * 1 + 'define(b,[a a])a', "RULE 'x' LIST 'l' WHERE 1" + '+1' * 300000 + ' > 3',
                 "RULE 'x' LIST 'l' WHERE TRUE" + ' OR TRUE' * 100000, '[' * 500000, "RULE 'x' LIST '" + 'y' * 900000):
        answer, _ = s.ask('policy.check', text=text)
        assert 'error' in answer or answer['result']['rules'] == 1, (text[:60], answer)
    assert s.ask('attr.list')[0]['result']


def test_a_dry_run_moves_nothing_but_tells_what_it_would(s):
    path = s.make('dry/a', action='migrate')[0]
    result, lines = s.policy(MIGRATE, mode='test')
    assert (result['chosen'], result['executed']) == (1, 0), result
    assert s.states(path) == ['resident']
    assert any('Chose to migrate' in l for l in lines), lines
    os.unlink(path)


def test_a_wrong_policy_is_shown_with_line_column_and_caret_and_moves_nothing(s):
    path = s.make('wrong/a', action='migrate')[0]
    e = s.refused(MIGRATE + "RULE 'bad' MIGRATE FROM POOL 'system' TO POOL 'ltfs' WHERE NOSUCH > 3\n")
    assert e['code'] == 'EINVAL', e
    d = e['details']
    assert d['line'] == 10 and d['column'] > 1 and 'NOSUCH' in d['source'], d
    caret = d['caret'].splitlines()
    assert any(l.strip() == '^' or '^' in l for l in caret), caret
    e = s.refused("RULE 'extpool' EXTERNAL POOL 'ltfs' EXEC '/x/eeadm' OPTS '-p nopool@lib1'\n\n"
                  "RULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs'")
    assert 'nopool' in e['message'] and e['details']['line'] == 3, e
    e = s.refused("RULE 'extpool' EXTERNAL POOL 'ltfs' EXEC '/x/eeadm'\nRULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs'")
    assert '-p POOL@LIBRARY' in e['message'], e
    e = s.refused("RULE 'e' EXTERNAL POOL 'x' EXEC '/no/such/program'\nRULE 'm' MIGRATE FROM POOL 'system' TO POOL 'x'")
    assert '/no/such/program' in e['message'], e
    assert s.states(path) == ['resident']
    assert s.refused(MIGRATE, target='fs9')['code'] == 'ENOENT'
    assert s.refused(MIGRATE, target='/etc')['code'] == 'ENOENT'
    assert s.refused(MIGRATE, target=s.mount + '/../..')['code'] in ('EINVAL', 'ENOENT')
    assert s.refused(MIGRATE, mode='maybe')['code'] == 'EINVAL'
    answer, _ = s.ask('policy.check', text=MIGRATE)
    assert answer['result']['rules'] == 1, answer
    answer, _ = s.ask('policy.check', text="RULE 'x' LIST 'l' WHERE (")
    assert answer['error']['details']['line'] == 1, answer
    os.unlink(path)


def test_migration_that_is_switched_off_is_refused_before_the_scan(s):
    s.ask('attr.set', name='allow_migrate', value='no')
    try:
        assert s.refused(MIGRATE)['code'] == 'EACCES'
    finally:
        s.ask('attr.set', name='allow_migrate', value='yes')


def test_a_script_gets_test_then_lists_by_the_documented_protocol(s):
    paths = s.make('scr/a b', 'scr/c', 'scr/new\nline')
    text = (f"RULE 'e' EXTERNAL LIST 'l' EXEC '{s.script}' OPTS '-x \"two words\" y'\n"
            "RULE 'r' LIST 'l' SHOW('s=' || VARCHAR(FILE_SIZE)) WHERE FILESET_NAME = 'scr'")
    result, lines = s.policy(text)
    assert (result['executed'], result['failed']) == (3, 0), (result, lines)
    test, call = s.script_log()
    assert test[0] == ['TEST', s.mount, '-x', 'two words', 'y'], test
    assert call[0][0] == 'LIST' and call[0][2:] == ['-x', 'two words', 'y'], call
    assert re.search(r'/mmPolicy\.ix\.\d+\.[0-9A-F]{8}\.\d+$', call[0][1]), call
    assert not os.path.exists(call[0][1])
    inos = {os.stat(p).st_ino: p for p in paths}
    assert len(call[1]) == 3
    for line in call[1]:
        m = re.fullmatch(r'(\d+) (\d+) 0  s=3000 -- (/.*)', line)
        assert m, line
        assert m.group(3).replace('\\n', '\n') == inos[int(m.group(1))], line
    assert 'script saw LIST' in lines and 'and said so' in lines, lines


def test_lists_are_cut_at_batch_files_and_several_scripts_run(s):
    s.make(*[f'cut/{i}' for i in range(25)])
    text = f"RULE 'e' EXTERNAL LIST 'l' EXEC '{s.script}'\nRULE 'r' LIST 'l' WHERE FILESET_NAME = 'cut'"
    result, _ = s.policy(text, batch_files=10, parallel=2)
    assert result['executed'] == 25, result
    calls = s.script_log()[1:]
    assert sorted(len(c[1]) for c in calls) == [5, 10, 10], calls
    assert len({l for c in calls for l in c[1]}) == 25


def test_a_size_clause_closes_lists(s):
    s.make(*[f'size/{i}' for i in range(6)], size=65536)
    text = f"RULE 'e' EXTERNAL LIST 'l' EXEC '{s.script}' SIZE 128\nRULE 'r' LIST 'l' WHERE FILESET_NAME = 'size'"
    assert s.policy(text)[0]['executed'] == 6
    assert [len(c[1]) for c in s.script_log()[1:]] == [2, 2, 2]


def test_an_escape_clause_encodes_paths(s):
    s.make('esc/a b%ü')
    text = f"RULE 'e' EXTERNAL LIST 'l' EXEC '{s.script}' ESCAPE '%/'\nRULE 'r' LIST 'l' WHERE FILESET_NAME = 'esc'"
    s.policy(text)
    assert s.script_log()[1][1][0].endswith(f'-- {s.mount}/esc/a%20b%25%C3%BC')


def test_a_script_that_fails_counts_its_files_as_errors(s):
    s.make('bad/a', 'bad/b')
    text = f"RULE 'e' EXTERNAL LIST 'l' EXEC '{s.script}'\nRULE 'r' LIST 'l' WHERE FILESET_NAME = 'bad'"
    s.flag('fail')
    result, lines = s.policy(text)
    assert (result['executed'], result['failed'], result['exit']) == (0, 2, 1), result
    assert any(l.startswith('[E]') and 'status 7' in l for l in lines), lines
    s.script_log()
    s.flag('unusable')
    result, lines = s.policy(text)
    assert (result['executed'], result['failed']) == (0, 2), result
    assert not s.script_log()


def test_migrate_premigrate_recall_and_purge_reach_scripts_as_words(s):
    a, b = s.make('words/a', action='migrate') + s.make('words/b')
    s.policy(MIGRATE)
    assert s.states(a, b) == ['migrated', 'resident']
    pool = f"RULE 'e' EXTERNAL POOL 'x' EXEC '{s.script}' OPTS '-q'\n"
    where = "WHERE FILESET_NAME = 'words'"
    s.policy(pool + f"RULE 'm' MIGRATE FROM POOL 'system' TO POOL 'x' {where} AND NAME = 'b'")
    assert [c[0][0] for c in s.script_log()] == ['TEST', 'MIGRATE']
    s.policy(pool + f"RULE 'm' MIGRATE FROM POOL 'system' THRESHOLD(0,100,0) TO POOL 'x' {where} AND NAME = 'b'")
    assert [c[0][0] for c in s.script_log()] == ['TEST', 'PREMIGRATE']
    s.policy(pool + f"RULE 'm' MIGRATE FROM POOL 'x' TO POOL 'system' {where}")
    calls = s.script_log()
    assert [c[0][0] for c in calls] == ['TEST', 'RECALL'] and calls[1][1][0].endswith(' -- ' + a), calls
    s.policy(pool + f"RULE 'm' DELETE FROM POOL 'x' {where}")
    assert [c[0][0] for c in s.script_log()] == ['TEST', 'PURGE']


def test_defer_writes_lists_and_runs_nothing(s):
    s.make('def/a', 'def/b', action='migrate')
    out = os.path.join(s.dir, 'lists')
    os.makedirs(out)
    text = (MIGRATE + f"RULE EXTERNAL LIST 'l' EXEC '{s.script}'\nRULE LIST 'l' WHERE FILESET_NAME = 'def'\n"
            "RULE LIST 'loose' WHERE FILESET_NAME = 'def' AND NAME = 'a'")
    result, _ = s.policy(text, mode='defer', prefix=out)
    assert result['executed'] == 0 and not s.script_log()
    names = sorted(os.listdir(out))
    assert names == ['list.l', 'list.loose', 'migrate.ltfs'], names
    assert len(open(out + '/list.l', encoding='utf-8').readlines()) == 2
    assert len(open(out + '/list.loose', encoding='utf-8').readlines()) == 1
    s.policy(text, mode='defer', prefix=out + '/p')
    assert os.path.exists(out + '/p.list.l') and os.path.exists(out + '/p.migrate.ltfs')
    s.policy(text, mode='prepare', prefix=out + '/q')
    assert re.search(r'^0:[0-9a-f]+:[0-9a-f]+:.*!/.*:4!ltfs$', open(out + '/q.prepared', encoding='utf-8').read(), re.M)
    assert s.refused(text, mode='defer')['code'] == 'EINVAL'
    assert s.states(s.mount + '/def/a') == ['resident']
    s.policy("RULE 'd' DELETE WHERE FILESET_NAME = 'def'")


def test_delete_rules_delete_from_disk_only_what_they_name(s):
    s.make('del/a.tmp', 'del/b.dat', 'del/sub/c.tmp')
    result, _ = s.policy("RULE 'd' DELETE FROM POOL 'system' WHERE NAME LIKE '%.tmp' AND FILESET_NAME = 'del'")
    assert (result['executed'], result['failed']) == (2, 0), result
    assert sorted(os.listdir(s.mount + '/del')) == ['b.dat', 'sub'] and not os.listdir(s.mount + '/del/sub')


def test_a_directory_or_a_list_of_paths_limits_the_run(s):
    a = s.make('lim/x/a', 'lim/y/b', 'lim/c')
    text = f"RULE EXTERNAL LIST 'l' EXEC '{s.script}'\nRULE LIST 'l'"
    assert s.policy(text, target=s.mount + '/lim/x/')[0]['chosen'] == 1
    assert s.policy(text, target=s.mount + '/lim')[0]['chosen'] == 3
    assert s.policy(text, input_paths=a[:2])[0]['chosen'] == 2
    s.script_log()


def test_macros_from_outside_and_the_time_of_the_run_are_used(s):
    s.make('mac/old', 'mac/new')
    os.utime(s.mount + '/mac/old', (86400 * 365, 86400 * 365))
    text = (f"RULE EXTERNAL LIST 'l' EXEC '{s.script}'\n"
            "RULE LIST 'l' WHERE FILESET_NAME = 'FSET' AND DAYS(CURRENT_TIMESTAMP) - DAYS(MODIFICATION_TIME) > AGE")
    macros = {'FSET': 'mac', 'AGE': '30'}
    assert s.policy(text, macros=macros)[0]['chosen'] == 1
    assert s.policy(text, macros=macros, as_of='1971-01-05')[0]['chosen'] == 0
    assert s.policy(text, macros=macros, as_of='1971-03-05@12:30')[0]['chosen'] == 1
    assert s.refused(text, macros=macros, as_of='yesterday')['code'] == 'EINVAL'
    s.script_log()


def test_one_run_per_file_system_when_asked(s):
    s.make('one/a')
    slow = os.path.join(s.dir, 'scripts', 'slow')
    with open(slow, 'w', encoding='utf-8') as f:
        f.write(f'#!/bin/sh\n[ "$1" = TEST ] && exit 0\ntouch {s.dir}/begun\nwhile [ ! -e {s.dir}/go ]; do sleep 0.05; done\n')
    os.chmod(slow, 0o755)
    text = f"RULE EXTERNAL LIST 'l' EXEC '{slow}'\nRULE LIST 'l' WHERE FILESET_NAME = 'one'"
    t = threading.Thread(target=lambda: s.policy(text))
    t.start()
    wait_for('the first run', lambda: os.path.exists(s.dir + '/begun'))
    try:
        assert s.refused(text, single_instance=True)['code'] == 'EBUSY'
        assert s.policy(text, mode='test')[0]['chosen'] == 1
    finally:
        open(s.dir + '/go', 'w', encoding='utf-8').close()
        t.join()
    assert s.policy(text, single_instance=True)[0]['executed'] == 1


def test_a_schedule_runs_a_policy_and_keeps_its_result(s):
    path = s.make('sched/a', action='migrate')[0]
    policy = os.path.join(s.dir, 'mig.policy')
    log = os.path.join(s.dir, 'mig.log')
    with open(policy, 'w', encoding='utf-8') as f:
        f.write(MIGRATE)
    answer, _ = s.ask('schedule.set', name='migrate', when='30 0,4,8,16,20  *  *  *', target='fs1', file=policy, log=log)
    assert answer['result']['next_run'].endswith(':30:00.000Z'), answer
    s.ask('schedule.run', name='migrate')

    def shown():
        return s.ask('schedule.list')[0]['result']['schedules'][0]
    wait_for('the run', lambda: shown()['last_result'].startswith('ok'), 60)
    assert '1 executed, 0 failed' in shown()['last_result'], shown()
    assert s.states(path) == ['migrated']
    assert 'GLESL038I' in open(log, encoding='utf-8').read()
    s.ask('schedule.delete', name='migrate')


def test_progress_is_told_while_many_files_are_migrated(s):
    s.make(*[f'many/{i // 500}/{i}' for i in range(3000)], size=100, action='migrate')
    answer, events = s.ask('policy.run', target='fs1', text=MIGRATE)
    assert answer['result']['executed'] == 3000, answer
    progress = [e for e in events if e['kind'] == 'progress']
    assert progress and progress[-1]['total'] == 3000, progress[-3:]
    assert set(s.states(*[f'{s.mount}/many/{i // 500}/{i}' for i in range(0, 3000, 100)])) == {'migrated'}


def test_the_levels_show_objects(s):
    s.make('lev/a')
    text = "RULE 'r' LIST 'l' WHERE FILESET_NAME = 'lev'"
    assert s.policy(text, level=0, mode='test')[1] == []
    assert not any('/lev/a' in l for l in s.policy(text, level=1, mode='test')[1])
    for level in (2, 3):
        assert any(f"{s.mount}/lev/a" in l and "RULE 'r'" in l for l in s.policy(text, level=level, mode='test')[1]), level


def test_a_client_that_leaves_while_it_waits_gives_its_connection_back(s):
    drives = [d['serial'] for d in s.ask('drive.list')[0]['result']['drives']]
    for d in drives:
        assert 'result' in s.ask('drive.unassign', serial=d)[0]
    path = s.make('wait/a', action='migrate')[0]
    with socket.socket(socket.AF_UNIX) as c:
        c.connect(s.socket)
        f = c.makefile('rb')

        def call(op, **args):
            c.sendall(json.dumps({'id': 1, 'op': op, 'args': args}).encode() + b'\n')
            return json.loads(f.readline())
        draft = call('task.begin', type='migrate', pools=['pool1@lib1'])['result']['draft']
        call('task.add', draft=draft, paths=[path])
        task = call('task.commit', draft=draft)['result']['task_id']

    def threads():
        return len(os.listdir(f"/proc/{s.procs['firnd'].pid}/task"))
    assert s.ask('task.wait', task_id=task, timeout_ms=50)[0]['result']['status'] != 'completed'
    before = min(threads() for _ in range(50) if not time.sleep(0.01))  # earlier connections are ending
    waiting = []
    for _ in range(5):
        c = socket.socket(socket.AF_UNIX)
        c.connect(s.socket)
        c.sendall(json.dumps({'id': 1, 'op': 'task.wait', 'args': {'task_id': task}}).encode() + b'\n')
        waiting.append(c)
    wait_for('five more threads', lambda: threads() >= before + 5)
    for c in waiting:
        c.close()
    wait_for('the threads to end', lambda: threads() <= before, 10)
    for d in drives:
        assert 'result' in s.ask('drive.assign', serial=d, role='mrg')[0]
    assert s.ask('task.wait', task_id=task, timeout_ms=60000)[0]['result']['status'] == 'completed'
    assert s.states(path) == ['migrated']


def test_after_all_that_the_daemon_stops_cleanly(s):
    assert s.stop('firnd') == 0
    s.start_firnd()


if __name__ == '__main__':
    tap.main(globals(), setup=lambda: Runs(fs=os.environ.get('FIRN_TEST_FS', 'ext4')))
