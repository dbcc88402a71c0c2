# SPDX-License-Identifier: Apache-2.0
"""Every command on a real firnd: the command line and the daemon agree on the protocol. Needs root, a loop
device and mkfs.ext4."""
import contextlib
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import firnsite  # noqa: E402
import tap  # noqa: E402
from fakefirnd import FIRN, needs, same  # noqa: E402

needs('mkfs.ext4', 'mount')


@contextlib.contextmanager
def a_site():
    with firnsite.Site(fs_size='512M', cartridges=4, cartridge_size='64MiB') as site:
        site.names = os.path.join(site.dir, 'names')
        os.mkdir(site.names)
        for name in ('eeadm', 'mmapplypolicy', 'mmlsattr', 'firn'):
            os.symlink(FIRN, os.path.join(site.names, name))
        site.start_firnd()
        yield site


def run(site, *words, status=0, name='firn', cwd=None, stdin=''):
    import subprocess
    env = {**os.environ, 'FIRN_CONFIG': site.conf, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
    env.pop('FIRN_SOCKET', None)
    r = subprocess.run([os.path.join(site.names, name), *words], env=env, cwd=cwd, input=stdin, text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert r.returncode == status, (words, r.returncode, r.stdout, r.stderr)
    return r.stdout


def payload(site, *words, name='firn'):
    return json.loads(run(site, *words, '--json', name=name))['payload']


def make(site, name, size=1000):
    path = os.path.join(site.mount, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'wb') as f:
        f.write(os.urandom(size))
    return path


def test_status_knows_file_systems_and_libraries(site):
    text = run(site, 'status')
    assert re.search(r'^fs1 +\S+/fs1 +none ', text, re.M) and re.search(r'^lib1 +dir +2 +4 ', text, re.M), text
    assert payload(site, 'status')[0]['site'] == 'test'


def test_tapes_are_assigned_and_listed(site):
    tapes = sorted(t['barcode'] for t in payload(site, 'tape', 'list', name='eeadm'))
    assert len(tapes) == 4, tapes
    text = run(site, 'tape', 'assign', *tapes[:2], '-p', 'pool1', '-l', 'lib1', name='eeadm')
    assert [l[20:] for l in text.splitlines()] == [f'GLESL360I: Assigned tape {t} to pool pool1 successfully.' for t in tapes[:2]], text
    run(site, 'pool', 'assign', tapes[2], '-p', 'pool2@lib1')
    rows = [l.split() for l in run(site, 'tape', 'list', '--no-header', name='eeadm').splitlines()]
    assert [r[0] for r in rows] == tapes and all(len(r) == 11 for r in rows), rows
    assert [r[1:3] for r in rows[:3]] == [['ok', 'appendable']] * 3 and [r[7] for r in rows] == ['pool1', 'pool1', 'pool2', '-'], rows
    assert [r[8] for r in rows] == ['lib1'] * 4
    assert {t['barcode']: t['pool_name'] for t in payload(site, 'tape', 'list')}[tapes[0]] == 'pool1'
    assert len(run(site, 'tape', 'list', '-p', 'pool1').splitlines()) == 3
    assert f'Tape ID:             {tapes[0]}\n' in run(site, 'tape', 'show', tapes[0])
    same(run(site, 'tape', 'verify', tapes[0]), f'{tapes[0]}: whole, 0 files\n')


def test_drives_pools_libraries_and_the_node_are_listed(site):
    drives = payload(site, 'drive', 'list', name='eeadm')
    assert len(drives) == 2 and drives[0]['type'] == 'LTO8' and drives[0]['status'] == 'ok', drives
    assert all(len(l.split()) == 10 for l in run(site, 'drive', 'list').splitlines()[1:])
    assert drives[0]['id'] in run(site, 'drive', 'show', drives[0]['id'])
    run(site, 'drive', 'unassign', drives[1]['id'])
    run(site, 'drive', 'assign', drives[1]['id'], '-r', 'mrg')
    pools = payload(site, 'pool', 'list', name='eeadm')
    assert {p['name']: p['num_of_tapes'] for p in pools} == {'pool1': 2, 'pool2': 1}, pools
    assert 'Volumes:\n' in run(site, 'pool', 'show', 'pool1@lib1')
    run(site, 'pool', 'create', 'pool9', '-l', 'lib1', name='eeadm')
    run(site, 'pool', 'delete', 'pool9@lib1')
    assert [x['name'] for x in payload(site, 'library', 'list')] == ['lib1']
    assert run(site, 'library', 'rescan', 'lib1') == '4 cartridges found, 0 missing.\n'
    assert payload(site, 'node', 'list', name='eeadm')[0]['num_of_drives'] == 2


def test_files_go_to_tape_and_come_back(site):
    a, b = make(site, 'd/a'), make(site, 'd/b', 300000)
    same(run(site, 'file', 'state', a), f'Name: {a}\nState: resident\n')
    run(site, 'file', 'premigrate', '-p', 'pool1@lib1', 'a', cwd=os.path.dirname(a))
    assert 'State: premigrated\n' in run(site, 'file', 'state', a)
    text = run(site, 'migrate', '-', '-p', 'pool1@lib1,pool2@lib1', name='eeadm', stdin=f'1 2 0   -- {a}\n{b}\n')
    assert re.search(r'GLESL700I: Task migrate was created successfully, task ID is (\d+)\.$', text, re.M), text
    assert '2 succeeded, 0 failed' in text, text
    text = run(site, 'file', 'state', a, b, name='eeadm')
    block = (r'Name: %s\nState: migrated\nID: \d+-\d+-\d+-\d+-0\nReplicas: 2\nTape 1: \w{8}@pool\d@lib1 \(tape state=appendable\)\n'
             r'Tape 2: \w{8}@pool\d@lib1 \(tape state=appendable\)\n')
    assert re.fullmatch(block % a + '\n' + block % b, text), text
    text = run(site, 'recall', '-', name='eeadm', stdin=a + '\n')
    assert re.search(r'GLESL263I: Recall result: 1 succeeded, 0 failed', text), text
    run(site, 'file', 'recall', '--resident', b)
    same(run(site, 'file', 'state', b), f'Name: {b}\nState: resident\n')


def test_a_missing_file_fails_with_its_code(site):
    import subprocess
    gone = os.path.join(site.mount, 'd', 'gone')
    r = subprocess.run([FIRN, '--config', site.conf, 'file', 'migrate', '-p', 'pool1@lib1', gone], text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=120)
    assert r.returncode == 1 and '1 not found' in r.stdout and r.stderr == f'GLESL400E: {gone}: file not found\n', r
    task = re.search(r'task ID is (\d+)', r.stdout).group(1)
    lines = run(site, 'task', 'show', task, '-r', name='eeadm').splitlines()
    assert re.fullmatch(r'Fail      GLESL400E     \d{4}/\d\d/\d\dT\d\d:\d\d:\d\d +1 -- ' + re.escape(gone), lines[1]), lines


def test_tasks_are_listed_shown_and_forgotten(site):
    done = payload(site, 'task', 'list', '-c', name='eeadm')
    assert done and done[0]['status'] == 'completed' and done[0]['result'] in ('succeeded', 'failed'), done
    assert run(site, 'task', 'list').splitlines()[0].split() == ['TaskID', 'Type', 'Priority', 'Status', '#DRV', 'CreatedTime', 'StartedTime']
    number = str(done[-1]['task_id'])
    assert f'Task ID:             {number}\n' in run(site, 'task', 'show', number)
    assert 'Success' in run(site, 'task', 'show', '-r', number)
    run(site, 'task', 'wait', number)
    number = re.search(r'task ID is (\d+)', run(site, 'file', 'migrate', '--async', '-p', 'pool1', make(site, 'd/c'))).group(1)
    run(site, 'task', 'wait', number, '-t', '60')
    assert 'State: migrated' in run(site, 'file', 'state', os.path.join(site.mount, 'd/c'))
    run(site, 'task', 'clearhistory', name='eeadm')
    assert payload(site, 'task', 'list', '-a') == []


def test_attributes_of_files_and_of_the_site(site):
    a = os.path.join(site.mount, 'd/a')
    run(site, 'attr', 'set', 'user.action=migrate', a)
    text = run(site, '-L', '-d', a, name='mmlsattr')
    assert text.splitlines()[0] == f'file name:            {a}' and text.endswith('user.action:          "migrate"\n'), text
    assert re.search(r'^creation time:        [A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$', text, re.M), text
    assert 'trusted' not in text and 'user.firn' not in text
    same(run(site, 'attr', a), text)
    table = run(site, 'cluster', 'show', name='eeadm').splitlines()
    assert len(table) == 19 and table[0] == 'Attribute                 Value', table
    assert 'GLESL802I: Updated attribute recall_use_rao.' in run(site, 'cluster', 'set', '-a', 'recall_use_rao', '-v', 'no', name='eeadm')
    assert run(site, 'cluster', 'show', 'recall_use_rao').splitlines()[1].split() == ['recall_use_rao', 'no']
    run(site, 'cluster', 'set', '-a', 'recall_use_rao', '-v', 'perhaps', status=1)


POLICY = "RULE 'ext' EXTERNAL POOL 'ltfs' EXEC 'eeadm' OPTS '-p pool1@lib1'\nRULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs' WHERE NAME LIKE 'NAMES'\n"


def test_policies_run_and_are_checked(site):
    path = os.path.join(site.dir, 'mig.policy')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(POLICY)
    p = make(site, 'd/p1')
    assert run(site, 'policy', 'check', path, '-M', 'NAMES=p%').endswith(' no error\n')
    assert '[I] Summary of Rule Applicability and File Choices:' in run(site, 'policy', 'run', 'fs1', '-P', path, '-M', 'NAMES=p%', '-n')
    same(run(site, 'file', 'state', p), f'Name: {p}\nState: resident\n')
    assert ' 1 of 1 candidates;' in run(site, 'fs1', '-P', 'mig.policy', '-M', 'NAMES=p%', name='mmapplypolicy', cwd=site.dir)
    assert 'State: migrated\n' in run(site, 'file', 'state', p)
    assert payload(site, 'policy', 'run', 'fs1', '-P', path, '-M', 'NAMES=p%', '-I', 'test')[0]['executed'] == 0
    with open(path, 'a', encoding='utf-8') as f:
        f.write("RULE 'x' MIGRATE WHERE\n")
    run(site, 'policy', 'check', path, status=1)
    run(site, 'fs1', '-P', path, name='mmapplypolicy', status=1)


def test_lists_of_a_policy_are_taken_back(site):
    make(site, 'l/one')
    make(site, 'l/two\nlines')
    path = os.path.join(site.dir, 'list.policy')
    with open(path, 'w', encoding='utf-8') as f:
        f.write("RULE EXTERNAL LIST 'x' EXEC ''\nRULE 'l' LIST 'x' SHOW('kb') WHERE PATH_NAME LIKE '%/l/%'\n")
    run(site, 'fs1', '-P', path, '-I', 'defer', '-f', 'out', name='mmapplypolicy', cwd=site.dir)
    text = run(site, 'LIST', os.path.join(site.dir, 'out.list.x'), name='eeadm')
    assert sorted(l for l in text.splitlines() if l.startswith('Name')) == [f'Name: {site.mount}/l/one', f'Name: {site.mount}/l/two\\nlines'], text
    assert '2 succeeded' in run(site, 'MIGRATE', os.path.join(site.dir, 'out.list.x'), '-p', 'pool1@lib1', name='eeadm')
    run(site, 'TEST', site.mount, name='eeadm')


def test_schedules_accounts_and_buckets(site):
    path = os.path.join(site.dir, 'list.policy')
    assert re.match(r'Schedule s1: next run \d{4}-', run(site, 'schedule', 'add', 's1', 'fs1', '--when', '0 * * * *', '-P', path))
    same(run(site, 'schedule', 'disable', 's1'), 'Schedule s1 does not run now.\n')
    run(site, 'schedule', 'enable', 's1')
    assert run(site, 'schedule', 'list').splitlines()[1].split()[0] == 's1'
    assert re.fullmatch(r'Started schedule s1\.\nSchedule s1: ok: .*\n', run(site, 'schedule', 'run', 's1'))
    run(site, 'schedule', 'remove', 's1')
    run(site, 'schedule', 'add', 's2', 'fs1', '--when', '99 * * * *', '-P', path, status=1)
    account = payload(site, 'account', 'create', 'user1', '--uid', '12001', '--gid', '12001')[0]
    assert account['access_key'] and account['secret_key']
    assert 'Secret' not in run(site, 'account', 'show', 'user1')
    assert account['secret_key'] in run(site, 'account', 'show', 'user1', '--secrets')
    second = payload(site, 'account', 'rotate', 'user1')[0]['access_key2']
    run(site, 'account', 'set', 'user1', '--promote')
    assert payload(site, 'account', 'list')[0]['access_key'] == second
    run(site, 'bucket', 'create', 'b-one', '-o', 'user1')
    assert [b['owner'] for b in payload(site, 'bucket', 'list', '-a', 'user1')] == ['user1']
    run(site, 'account', 'delete', 'user1', status=1)
    run(site, 'bucket', 'delete', 'b-one')
    run(site, 'account', 'delete', 'user1')


def test_the_catalogue_is_drained_and_rebuilt(site):
    run(site, 'drain', '-t', '60')
    assert re.match(r'Found \d+ files, \d+ copies, \d+ volumes; 0 problems\n', run(site, 'rebuild', '--dry-run'))
    assert re.match(r'Rebuilt from \d+ files', run(site, 'rebuild'))


if __name__ == '__main__':
    tap.main(globals(), setup=a_site)
