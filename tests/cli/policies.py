# SPDX-License-Identifier: Apache-2.0
"""firn policy, mmapplypolicy and firn schedule: what is asked, what is printed, how a wrong policy is shown."""
import json
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Events, Fake, Refuse, same  # noqa: E402

RESULT = {'candidates': 2, 'chosen': 2, 'chosen_kb': 8, 'executed': 2, 'failed': 0, 'exit': 0, 'rules': []}
LINES = ['[I] GPFS Current Data Pool Utilization in KB and %', 'system\t1\t2\t50.000000%', '     0            2  RULE \'mig\'']
RUN = Events([{'kind': 'line', 'text': t} for t in LINES[:2]] + [{'kind': 'progress', 'done': 1, 'total': 2, 'stage': 'scan'}] +
             [{'kind': 'line', 'text': LINES[2]}], RESULT)


def policy_file(directory, text="RULE 'x' LIST 'y'\n", name='mig-tagged.policy'):
    path = os.path.join(directory, name)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


def test_the_documents_command_prints_what_firnd_says():
    with Fake({'policy.run': RUN}) as f, tempfile.TemporaryDirectory() as d:
        policy_file(d)
        r = f.run('fs1', '-P', 'mig-tagged.policy', name='mmapplypolicy', cwd=d)
        assert r.returncode == 0, r
        same(r.stdout, '\n'.join(LINES) + '\n')
        same(r.stderr, '')
        assert f.asked('policy.run') == [{'macros': {}, 'target': 'fs1', 'file': 'mig-tagged.policy', 'text': "RULE 'x' LIST 'y'\n",
                                          'mode': 'yes', 'level': 1}]
        r = f.run('policy', 'run', 'fs1', '-P', 'mig-tagged.policy', cwd=d)
        same(r.stdout, '\n'.join(LINES) + '\n')


def test_every_option_of_mmapplypolicy_is_taken():
    with Fake({'policy.run': RUN}) as f, tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        policy_file(d)
        with open(os.path.join(d, 'in'), 'w', encoding='utf-8') as out:
            out.write('/fs1/a\n/fs1/b\n')
        r = f.run('.', '-A', '7', '-a', '2', '-B', '100', '-D', '2024-03-01@12:00', '-e', '-f', 'lists/x', '-g', '/g', '-I', 'defer', '-i', 'in',
                  '-L', '3', '-M', 'A=b c', '-M', 'X=1=2', '-M', 'A=d', '-m', '4', '-N', 'n1', '-n', '8', '-P', 'mig-tagged.policy', '-q', '-s', '/s',
                  '--choice-algorithm', 'fast', '--allow-scan-on-remote', '--max-merge-files', '3', '--max-sort-bytes', '1',
                  '--qos', 'other', '--single-instance', '--scope', 'inodespace', '--sort-buffer-size', '5%', '--other-sort-options', '-x',
                  '--sort-command', 'sort', '--split-filelists-by-weight', '--split-margin', '1.1', '--silent-on-delete',
                  name='mmapplypolicy', cwd=d)
        assert r.returncode == 0, r
        assert f.asked('policy.run') == [{'macros': {'A': 'd', 'X': '1=2'}, 'target': d, 'file': 'mig-tagged.policy', 'text': "RULE 'x' LIST 'y'\n",
                                          'mode': 'defer', 'level': 3, 'batch_files': 100, 'parallel': 4, 'single_instance': True, 'as_of': '2024-03-01@12:00',
                                          'prefix': d + '/lists/x', 'input_paths': ['/fs1/a', '/fs1/b']}], f.asked('policy.run')


def test_unknown_and_impossible_options_are_refused():
    with Fake({'policy.run': RUN}) as f, tempfile.TemporaryDirectory() as d:
        path = policy_file(d)
        for words, say in ((['-Z'], 'unknown option -Z'), (['--frobnicate'], 'unknown option --frobnicate'),
                           (['-r', 'x'], 'candidate files'), (['-S', 'snap'], 'snapshots'), (['--maxdepth', '2'], '--maxdepth'),
                           (['-I', 'perhaps'], 'yes, test, defer or prepare'), (['--choice-algorithm', 'worst'], 'best, exact or fast'),
                           (['-M', 'A'], 'NAME=VALUE'), (['-L', '7'], 'no number from 0 to 6')):
            r = f.run('fs1', '-P', path, *words, name='mmapplypolicy')
            assert r.returncode == 2 and say in r.stderr, (words, r)
        assert f.run('fs1', name='mmapplypolicy').returncode == 2
        assert f.asked('policy.run') == []


def test_a_dry_run_is_mode_test():
    with Fake({'policy.run': RUN}) as f, tempfile.TemporaryDirectory() as d:
        path = policy_file(d)
        assert f.run('policy', 'run', 'fs1', '-P', path, '--dry-run').returncode == 0
        assert f.asked('policy.run')[0]['mode'] == 'test'
        assert f.run('policy', 'run', 'fs1', '-P', path, '--dry-run', '-I', 'yes').returncode == 2


def test_files_that_failed_make_the_status_1():
    with Fake({'policy.run': Events([], {**RESULT, 'failed': 1, 'exit': 1})}) as f, tempfile.TemporaryDirectory() as d:
        assert f.run('fs1', '-P', policy_file(d), name='mmapplypolicy').returncode == 1


def test_json_gives_the_result_alone():
    with Fake({'policy.run': RUN}) as f, tempfile.TemporaryDirectory() as d:
        assert json.loads(f.run('--json', 'policy', 'run', 'fs1', '-P', policy_file(d)).stdout) == {'payload': [RESULT]}


CARET = ("mig.policy:2:37: error: unknown word TOO\n"
         "  RULE 'm' MIGRATE FROM POOL 'system' TOO POOL 'x'\n"
         "                                      ^\n"
         "  expected TO POOL\n")
WRONG = Refuse('EINVAL', 'mig.policy:2:37: unknown word TOO; expected TO POOL', file='mig.policy', line=2, column=37, caret=CARET,
               expected='TO POOL')


def test_a_wrong_policy_is_shown_with_a_caret():
    with Fake({'policy.run': WRONG, 'policy.check': WRONG}) as f, tempfile.TemporaryDirectory() as d:
        path = policy_file(d)
        for words, name in ((['policy', 'check', path], 'firn'), (['policy', 'run', 'fs1', '-P', path], 'firn'), (['fs1', '-P', path], 'mmapplypolicy')):
            r = f.run(*words, name=name)
            assert r.returncode == 1, r
            same(r.stderr, CARET)
            same(r.stdout, '')


def test_a_run_that_is_refused_otherwise_is_told_in_one_line():
    with Fake({'policy.run': Refuse('EBUSY', 'another run is on file system fs1')}) as f, tempfile.TemporaryDirectory() as d:
        r = f.run('fs1', '-P', policy_file(d), '--single-instance', name='mmapplypolicy')
        assert r.returncode == 1
        same(r.stderr, 'mmapplypolicy: another run is on file system fs1\n')


def test_a_right_policy_is_told_with_its_warnings():
    with Fake({'policy.check': {'rules': 2, 'warnings': ["substr is SUBSTR here"]}}) as f, tempfile.TemporaryDirectory() as d:
        path = policy_file(d)
        r = f.run('policy', 'check', path, '-M', 'A=b')
        assert r.returncode == 0
        same(r.stdout, f'[W] substr is SUBSTR here\n{path}: 2 rules, no error\n')
        assert f.asked('policy.check')[0]['macros'] == {'A': 'b'}


def test_a_policy_that_cannot_be_read_is_named():
    with Fake({}) as f:
        r = f.run('fs1', '-P', '/no/such.policy', name='mmapplypolicy')
        assert r.returncode == 1 and '/no/such.policy' in r.stderr and 'No such file' in r.stderr, r
        assert f.requests == []


SCHEDULES = [{'name': 'recall', 'when': '0 * * * *', 'target': 'fs1', 'file': '/pol/rec.policy', 'macros': {'A': 'b'}, 'enabled': True,
              'last_run': '2024-03-01T12:00:00.000Z', 'last_result': 'ok', 'next_run': '2024-03-01T13:00:00.000Z', 'log': '/log/r.log'},
             {'name': 'migrate', 'when': '30 0,4 * * *', 'target': 'fs1', 'file': '/pol/mig.policy', 'macros': {}, 'enabled': False,
              'last_run': None, 'last_result': '', 'next_run': None, 'log': ''}]


INSTALLED = [{**SCHEDULES[0], 'events': True, 'problem': 'gone', 'last_error': '2024-03-01T12:01:00.000Z',
              'counts': {'evaluated': 5, 'matched': 4, 'started': 3, 'left': 1, 'waiting': 2, 'last_event': '2024-03-01T12:00:01.000Z',
                         'rules': [{'rule': 1, 'name': 'rec', 'matched': 4, 'started': 3}]}}, {**SCHEDULES[1], 'events': False}]


def test_installed_policies_are_listed_and_shown():
    with Fake({'policy.list': {'schedules': INSTALLED}}) as f:
        same(f.run('policy', 'list').stdout,
             'Name     File system  Policy           At once  When          Looked at  Hits  Started  Waiting  Last event           Last error\n'
             'recall   fs1          /pol/rec.policy  yes      0 * * * *     5          4     3        2        2024-03-01 12:00:01  gone\n'
             'migrate  fs1          /pol/mig.policy  off      30 0,4 * * *  -          -     -        -        -                    -\n')
        out = f.run('policy', 'show', 'recall').stdout
        assert "Rule 1 'rec': 4 hits, 3 started\n" in out and 'gone' in out and '/pol/rec.policy' in out, out
        assert 'Looked at' not in f.run('policy', 'show', 'migrate').stdout
        r = f.run('policy', 'show', 'nope')
        assert r.returncode == 1 and 'no installed policy "nope"' in r.stderr, r


def test_a_policy_is_installed_and_removed():
    with Fake({'policy.check': {'rules': 2, 'warnings': []}, 'schedule.set': {'next_run': ''}, 'schedule.delete': {}}) as f, \
            tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        path = policy_file(d)
        r = f.run('policy', 'install', 'x', 'fs1', '-P', os.path.basename(path), '-M', 'A=b', cwd=d)
        same(r.stdout, 'Policy x is installed: objects that S3 clients change are held against it at once.\n')
        assert f.asked('schedule.set')[0] == {'name': 'x', 'when': '', 'target': 'fs1', 'file': path, 'macros': {'A': 'b'}, 'enabled': True,
                                              'events': True}
        f.answers['schedule.set'] = {'next_run': '2024-03-01T13:00:00.000Z'}
        r = f.run('policy', 'install', 'x', 'fs1', '-P', path, '--when', '0 * * * *', '--no-events')
        same(r.stdout, 'Policy x is installed: next scan 2024-03-01 13:00:00.\n')
        assert f.run('policy', 'install', 'x', 'fs1', '-P', path, '--no-events').returncode == 2
        same(f.run('policy', 'remove', 'x').stdout, 'Removed policy x.\n')
        assert f.asked('schedule.delete') == [{'name': 'x'}]


def test_schedules_are_listed():
    with Fake({'schedule.list': {'schedules': SCHEDULES}}) as f:
        same(f.run('schedule', 'list').stdout,
             'Name     When          File system  Policy           Enabled  Last run             Result  Next run\n'
             'recall   0 * * * *     fs1          /pol/rec.policy  yes      2024-03-01 12:00:00  ok      2024-03-01 13:00:00\n'
             'migrate  30 0,4 * * *  fs1          /pol/mig.policy  no       -                    -       -\n')


def test_a_schedule_is_added_switched_run_and_removed():
    with Fake({'schedule.list': {'schedules': SCHEDULES}, 'schedule.set': {'next_run': '2024-03-01T13:00:00.000Z'}, 'schedule.delete': {},
               'schedule.run': {'started': '2024-03-01T12:10:00.000Z'}}) as f, tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        path = policy_file(d)
        r = f.run('schedule', 'add', 'x', 'fs1', '--when', '0 * * * *', '-P', os.path.basename(path), '-M', 'A=b', '--log', 'x.log', cwd=d)
        same(r.stdout, 'Schedule x: next run 2024-03-01 13:00:00.\n')
        assert f.asked('schedule.set')[0] == {'name': 'x', 'when': '0 * * * *', 'target': 'fs1', 'file': path, 'log': d + '/x.log',
                                              'macros': {'A': 'b'}, 'enabled': True}
        f.answers['schedule.set'] = {'next_run': None}
        same(f.run('schedule', 'disable', 'recall').stdout, 'Schedule recall does not run now.\n')
        assert f.asked('schedule.set')[1] == {'name': 'recall', 'when': '0 * * * *', 'target': 'fs1', 'file': '/pol/rec.policy',
                                              'macros': {'A': 'b'}, 'log': '/log/r.log', 'enabled': False}
        assert f.run('schedule', 'enable', 'migrate').returncode == 0
        assert f.asked('schedule.set')[2]['enabled'] is True
        r = f.run('schedule', 'enable', 'nope')
        assert r.returncode == 1 and 'no schedule "nope"' in r.stderr, r
        same(f.run('schedule', 'run', '--async', 'recall').stdout, 'Started schedule recall.\n')
        same(f.run('schedule', 'remove', 'recall').stdout, 'Removed schedule recall.\n')
        assert f.asked('schedule.delete') == f.asked('schedule.run') == [{'name': 'recall'}]


def test_a_run_of_a_schedule_is_waited_for():
    def now(result, last_run='2024-03-01T14:00:00.000Z'):
        return {'schedules': [{**SCHEDULES[0], 'last_run': last_run, 'last_result': result}]}
    before = {'schedules': SCHEDULES}
    with Fake({'schedule.run': {}, 'schedule.list': [before, before, now('running'), now('running'), now('ok: 2 chosen, 2 executed, 0 failed')]}) as f:
        r = f.run('schedule', 'run', 'recall')
        assert r.returncode == 0
        same(r.stdout, 'Started schedule recall.\nSchedule recall: ok: 2 chosen, 2 executed, 0 failed\n')
        assert len(f.asked('schedule.list')) == 5
    with Fake({'schedule.run': {}, 'schedule.list': [before, now('failed: no such pool')]}) as f:
        r = f.run('schedule', 'run', 'recall')
        assert r.returncode == 1
        same(r.stdout, 'Started schedule recall.\nSchedule recall: failed: no such pool\n')
    with Fake({'schedule.run': {}, 'schedule.list': [before, now('ok: 10 chosen, 10 executed, 10 failed')]}) as f:
        assert f.run('schedule', 'run', 'recall').returncode == 1
    with Fake({'schedule.run': {}, 'schedule.list': [before, {'schedules': []}]}) as f:
        r = f.run('schedule', 'run', 'recall')
        assert r.returncode == 1 and 'was removed meanwhile' in r.stderr, r
    with Fake({'schedule.run': {}, 'schedule.list': before}) as f:  # began and ended in the second of the run before
        assert f.run('schedule', 'run', 'recall').stdout.endswith('Schedule recall: ok\n')


def test_a_schedule_of_a_missing_policy_is_not_added():
    with Fake({'schedule.set': {}}) as f:
        r = f.run('schedule', 'add', 'x', 'fs1', '--when', '0 * * * *', '-P', '/no/such.policy')
        assert r.returncode == 1 and re.search('/no/such.policy', r.stderr), r
        assert f.requests == []


if __name__ == '__main__':
    tap.main(globals())
