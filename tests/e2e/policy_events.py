# SPDX-License-Identifier: Apache-2.0
"""Installed policies act at once on what S3 clients change: the tape document's two policies, unchanged.
Scans and events do nothing twice, and no crash loses a change. Real firnd, firn-s3 and S3 clients."""
import contextlib
import json
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site, wait_for

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
SCRIPT = """#!/bin/sh
[ "$1" = LIST ] && sed 's/.* -- //' "$2" >> "$(dirname "$0")/taken"
exit 0
"""
WINDOW_S = 3.0  # twenty tags come within it on a busy machine too
RACES = int(os.environ.get('FIRN_TEST_RACES', '100'))


class Events(Site):
    def rules(self, name, text, *more):
        path = os.path.join(self.dir, name + '.policy')
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        return self.firn('policy', 'install', name, 'fs1', '-P', path, *more)

    def tag(self, key, value):
        self.client.put_object_tagging(Bucket='buck', Key=key, Tagging={'TagSet': [{'Key': 'action', 'Value': value}]})

    def put(self, *keys, size=3000, **kw):
        for key in keys:
            self.client.put_object(Bucket='buck', Key=key, Body=os.urandom(size), **kw)

    def migrate(self, *keys):
        self.firn('file', 'migrate', *[self.path('buck', k) for k in keys], '-p', 'pool1@lib1')

    def states(self, keys):
        r = self.firn_json('file', 'state', *[self.path('buck', k) for k in keys])
        return [f['state'] for f in r['payload']]

    def all_are(self, keys, state):
        return set(self.states(keys)) == {state}

    def tasks(self):
        """{id: task} of all tasks."""
        return {t['id']: t for t in self.firn_json('task', 'list', '--all')['payload']}

    def reclaimable(self):
        return sum(t['reclaimable'] for t in self.ask('tape.list')['tapes'])

    def ask(self, op, **args):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(json.dumps({'id': 1, 'op': op, 'args': args}).encode() + b'\n')
            return json.loads(s.makefile('rb').readline())['result']

    def shown(self, name):
        return self.firn_json('policy', 'show', name)['payload'][0]

    def copies_on_tape(self):
        """Files on all tapes, also those that nobody needs any more."""
        return sum(t['files'] for t in self.ask('tape.list')['tapes'])


@contextlib.contextmanager
def make():
    with Events(extra=f'policy = {{ event_window = {int(WINDOW_S * 1000)}; }};', recall_wait=5) as site:
        site.start()
        site.assign('pool1', 2, first=0)
        site.acc = site.account('user1')
        site.firn('bucket', 'create', 'buck', '--owner', 'user1')
        site.client = site.boto(site.acc, signature_version='s3v4')
        site.rules('mig', MIGRATE)
        site.rules('rec', RECALL)
        yield site


def wait_heard(site):
    """Until firn-s3 knows that changes are wanted."""
    log = os.path.join(site.dir, 'firn-s3.log')

    def told():
        with open(log, encoding='utf-8', errors='replace') as f:
            lines = [l for l in f if 'changes of tags' in l]
        return bool(lines) and ' are told' in lines[-1]
    wait_for('firn-s3 to tell changes', told)


def test_what_changes_before_the_gateway_knows_of_the_first_policy_is_found(site):
    site.put('early', Metadata={'action': 'migrate'})
    wait_for('the early object', lambda: site.all_are(['early'], 'migrated'), 30)
    wait_heard(site)


def recall_by_tag(site, key):
    """Returns the seconds from the reply to the tag till its task is there."""
    site.put(key)
    site.migrate(key)
    before = set(site.tasks())
    began = time.monotonic()
    site.tag(key, 'recall')
    replied = time.monotonic()
    wait_for('a task', lambda: set(site.tasks()) - before, 10)
    started = time.monotonic() - replied
    wait_for('the recall', lambda: site.all_are([key], 'premigrated'))
    print(f'# reply after {replied - began:.3f} s, task known {started:.3f} s later, data back after {time.monotonic() - replied:.2f} s')
    new = [site.tasks()[i] for i in set(site.tasks()) - before]
    assert [t['type'] for t in new] == ['recall'], new
    return started


def test_a_recall_tag_starts_the_recall_within_a_second(site):
    took = []
    for key in ('r1', 'r2', 'r3'):  # a machine with other work may be late once
        took.append(recall_by_tag(site, key))
        if took[-1] < 1.0:
            return
    raise AssertionError(f'tasks began {took} s after the tags')


def test_twenty_migrate_tags_are_one_task(site):
    keys = [f'm{i}' for i in range(20)]
    site.put(*keys)
    before = set(site.tasks())
    began = time.monotonic()
    for k in keys:
        site.tag(k, 'migrate')
    windows = 1 + int((time.monotonic() - began) / WINDOW_S)  # the first tag opens one; 1 unless tagging was slow
    wait_for('migration', lambda: site.all_are(keys, 'migrated'), 60)
    new = [site.tasks()[i]['type'] for i in set(site.tasks()) - before]
    assert 1 <= len(new) <= windows and set(new) == {'migrate'}, (new, windows)
    mig = site.shown('mig')['counts']
    assert mig['waiting'] == 0 and mig['rules'][0]['name'] == 'mig' and mig['rules'][0]['started'] >= 20, mig


def test_metadata_class_copies_uploads_and_other_clients_raise_events(site):
    site.put('meta', Metadata={'action': 'migrate'})
    site.put('copy')
    site.client.copy_object(Bucket='buck', Key='copy', CopySource='buck/copy', MetadataDirective='REPLACE',
                            Metadata={'action': 'migrate'})
    up = site.client.create_multipart_upload(Bucket='buck', Key='multi', Metadata={'action': 'migrate'})['UploadId']
    part = site.client.upload_part(Bucket='buck', Key='multi', UploadId=up, PartNumber=1, Body=b'x' * 5000)
    site.client.complete_multipart_upload(Bucket='buck', Key='multi', UploadId=up,
                                          MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part['ETag']}]})
    site.put('tagged', Tagging='action=migrate')
    site.put('cli')
    site.s3(site.acc, 'put-object-tagging', '--bucket', 'buck', '--key', 'cli', '--tagging', 'TagSet=[{Key=action,Value=migrate}]')
    keys = ['meta', 'copy', 'multi', 'tagged', 'cli']
    wait_for('all of them', lambda: site.all_are(keys, 'migrated'), 60)
    site.rules('cold', MIGRATE.replace("XATTR('user.action') like 'migrate'", "XATTR('user.storage_class') = 'GLACIER'"))
    site.put('cold', StorageClass='GLACIER')
    site.put('warm')
    site.client.copy_object(Bucket='buck', Key='warm', CopySource='buck/warm', StorageClass='GLACIER')
    wait_for('the cold ones', lambda: site.all_are(['cold', 'warm'], 'migrated'), 60)
    site.firn('policy', 'remove', 'cold')
    assert [p['name'] for p in site.firn_json('policy', 'list')['payload']] == ['mig', 'rec']


def test_a_plain_object_raises_no_event(site):
    before = site.shown('mig')['counts']['evaluated']
    site.put('plain1', 'plain2')
    site.put('mark', Metadata={'other': 'thing'})
    wait_for('the one that is looked at', lambda: site.shown('mig')['counts']['evaluated'] > before)
    assert site.shown('mig')['counts']['evaluated'] == before + 1


def test_a_tag_that_stays_starts_nothing_more_on_a_resident_file(site):
    site.rules('rec', RECALL.replace('is_migrated AND', ''))  # an administrator who forgot it
    wait_for('the earlier recall', lambda: site.all_are(['r1'], 'premigrated'))
    before, looked = set(site.tasks()), site.shown('rec')['counts']['evaluated']
    for _ in range(5):
        site.tag('r1', 'recall')
        time.sleep(0.3)
    wait_for('events', lambda: site.shown('rec')['counts']['evaluated'] > looked)
    time.sleep(WINDOW_S + 1)
    assert set(site.tasks()) == before
    site.rules('rec', RECALL)


def test_what_posix_tools_tag_is_found_by_the_scan_alone(site):
    site.put('posix')
    os.setxattr(site.path('buck', 'posix'), 'user.noobaa.tag.action', b'migrate')
    time.sleep(WINDOW_S + 1)
    assert site.all_are(['posix'], 'resident')
    site.firn('schedule', 'run', 'mig')
    assert site.all_are(['posix'], 'migrated')


def test_a_tag_taken_back_in_time_migrates_nothing(site):
    site.put('back')
    site.tag('back', 'migrate')
    site.client.delete_object_tagging(Bucket='buck', Key='back')
    time.sleep(WINDOW_S + 2)
    assert site.all_are(['back'], 'resident')


def test_deletes_and_thresholds_are_left_to_the_run(site):
    site.rules('del', "RULE 'd' DELETE WHERE XATTR('user.noobaa.tag.action') = 'gone'\n")
    site.put('gone')
    site.tag('gone', 'gone')
    wait_for('the hit', lambda: site.shown('del')['counts']['left'] == 1)
    assert os.path.exists(site.path('buck', 'gone'))
    site.firn('schedule', 'run', 'del')
    assert not os.path.exists(site.path('buck', 'gone'))
    site.firn('policy', 'remove', 'del')


def test_a_wrong_policy_is_refused_and_one_that_turns_wrong_says_so(site):
    path = os.path.join(site.dir, 'turn.policy')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('RULE oops\n')
    r = site.firn('policy', 'install', 'turn', 'fs1', '-P', path, check=False)
    assert r.returncode != 0 and '^' in r.stdout + r.stderr, r
    site.rules('turn', MIGRATE.replace("'migrate'", "'turn'"))
    with open(path, 'w', encoding='utf-8') as f:
        f.write('RULE oops\n')
    site.put('turn')
    site.tag('turn', 'turn')
    wait_for('the problem', lambda: 'turn.policy' in site.shown('turn').get('problem', ''))
    assert site.shown('turn')['counts']['waiting'] == 1
    with open(path, 'w', encoding='utf-8') as f:
        f.write(MIGRATE.replace("'migrate'", "'turn'"))
    wait_for('the second try', lambda: site.all_are(['turn'], 'migrated'), 60)
    assert site.shown('turn')['problem'] == ''
    site.firn('policy', 'remove', 'turn')


def test_an_event_decides_as_a_scan_does(site):
    seed = int(os.environ.get('FIRN_TEST_SEED', random.randrange(1 << 32)))
    print(f'# seed {seed}')
    rnd = random.Random(seed)
    scripts = os.path.join(site.dir, 'scripts')
    os.makedirs(scripts)
    exec_ = os.path.join(scripts, 'take')
    taken = os.path.join(scripts, 'taken')
    with open(exec_, 'w', encoding='utf-8') as f:
        f.write(SCRIPT)
    os.chmod(exec_, 0o755)
    policy = f"""RULE EXTERNAL LIST 'a' EXEC '{exec_}'
RULE 'x' LIST 'a' EXCLUDE WHERE XATTR('user.noobaa.tag.hold') = 'yes'
RULE 'l' LIST 'a' WHERE NAME LIKE 'rnd%' AND (FILE_SIZE > 2000 OR XATTR('user.color') IN ('red', 'blue'))
  AND NOT (XATTR('user.storage_class') = 'GLACIER' AND MISC_ATTRIBUTES LIKE '%F%' AND USER_ID = 12001)
"""
    site.rules('list', policy)
    keys = [f'd{i % 7}/rnd{i}' if rnd.random() < 0.8 else f'other{i}' for i in range(200)]
    for key in keys:
        kw = {'Metadata': {'color': rnd.choice(['red', 'blue', 'green'])}, 'StorageClass': rnd.choice(['STANDARD', 'GLACIER'])}
        if rnd.random() < 0.4:
            kw['Tagging'] = 'hold=' + rnd.choice(['yes', 'no'])
        site.put(key, size=rnd.randrange(1, 4000), **kw)
    wait_for('events', lambda: site.shown('list')['counts']['evaluated'] >= len(keys) and site.shown('list')['counts']['waiting'] == 0, 60)

    def lines():
        with open(taken, encoding='utf-8') as f:
            return f.read().splitlines()
    wait_for('the script', lambda: os.path.exists(taken))
    sizes = [-1]
    while sizes[-5:] != sizes[-1:] * 5:  # the last list is with the script
        sizes.append(len(lines()))
        time.sleep(0.4)
    by_event = set(lines())
    os.unlink(taken)
    site.firn('policy', 'remove', 'list')
    site.firn('policy', 'run', 'fs1', '-P', os.path.join(site.dir, 'list.policy'))
    by_scan = set(lines())
    assert by_event == by_scan and by_scan, (sorted(by_event ^ by_scan)[:5], len(by_scan))
    assert len(by_scan) < len(keys)
    print(f'# {len(keys)} objects, {len(by_scan)} taken by both')


def test_events_and_scans_at_once_do_nothing_twice(site):
    done, garbage = site.copies_on_tape(), site.reclaimable()
    keys = []
    for i in range(RACES):
        key = f'race{i}'
        keys.append(key)
        site.put(key, size=500)
        scan = threading.Thread(target=lambda: site.firn('policy', 'run', 'fs1', '-P', os.path.join(site.dir, 'mig.policy'), check=False))
        if i % 2:
            scan.start()
        site.tag(key, 'migrate')
        if not i % 2:
            scan.start()
        scan.join()
    wait_for('all', lambda: site.all_are(keys, 'migrated'), 120)
    time.sleep(WINDOW_S + 2)
    results = site.copies_on_tape() - done
    print(f'# {RACES} files, {results} copies')
    assert results == RACES, (results, RACES)
    assert site.reclaimable() == garbage, 'a copy that nobody needs'


def test_changes_while_firnd_is_away_are_told_when_it_is_back(site):
    site.put('away')
    site.migrate('away')
    site.stop('firnd')
    site.tag('away', 'recall')
    site.start_firnd()
    began = time.monotonic()
    wait_for('the recall', lambda: site.all_are(['away'], 'premigrated'), 30)
    print(f'# data back {time.monotonic() - began:.2f} s after firnd')


def test_firnd_killed_with_files_gathered_finds_them_again(site):
    site.put('killed')
    site.tag('killed', 'migrate')
    wait_for('it to be gathered', lambda: site.shown('mig')['counts']['waiting'] > 0)
    site.kill('firnd')
    site.start_firnd()
    wait_for('the migration', lambda: site.all_are(['killed'], 'migrated'), 30)


def test_firn_s3_killed_with_changes_that_firnd_never_heard_of(site):
    site.put('silent')
    site.migrate('silent')
    time.sleep(3)  # nothing is at hand
    site.kill('firnd')
    site.tag('silent', 'recall')
    site.kill('firn-s3')  # the queue dies with it
    site.start_firnd()
    site.start_s3()
    began = time.monotonic()
    wait_for('the recall', lambda: site.all_are(['silent'], 'premigrated'), 40)
    took = time.monotonic() - began
    print(f'# found {took:.1f} s after the restart')
    assert took > 5, 'it was told, not found'
    wait_heard(site)


def test_a_clean_end_of_firn_s3_costs_no_catch_up(site):
    def looked():
        with open(os.path.join(site.dir, 'firnd.log'), encoding='utf-8', errors='replace') as f:
            return f.read().count('catch-up found')
    before = looked()
    site.stop('firn-s3')
    time.sleep(12)
    site.start_s3()
    assert looked() == before


def test_a_file_too_young_to_migrate_waits_for_its_age(site):
    site.stop('firn-s3')
    site.stop('firnd')
    site.settings['min_age'] = 6
    site.write_conf()
    site.start()
    site.client = site.boto(site.acc, signature_version='s3v4')  # firn-s3 may not have met firnd yet
    began = time.monotonic()
    site.put('young', Metadata={'action': 'migrate'})
    wait_for('the migration', lambda: site.all_are(['young'], 'migrated'), 30)
    print(f'# migrated {time.monotonic() - began:.1f} s after PUT, min_age 6')
    assert time.monotonic() - began >= 6


def test_without_policies_nothing_is_told(site):
    site.firn('policy', 'remove', 'mig')
    site.firn('policy', 'remove', 'rec')
    log = os.path.join(site.dir, 'firn-s3.log')

    def quiet():
        with open(log, encoding='utf-8', errors='replace') as f:
            return 'are not told' in [l for l in f if 'changes of tags' in l][-1]
    wait_for('firn-s3 to hear that nobody asks', quiet, 10)
    site.put('none', Metadata={'action': 'migrate'})
    time.sleep(WINDOW_S + 1)
    assert site.all_are(['none'], 'resident')


if __name__ == '__main__':
    tap.main(globals(), make)
