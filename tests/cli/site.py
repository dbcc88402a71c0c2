# SPDX-License-Identifier: Apache-2.0
"""firn status, cluster, account, bucket, drain and rebuild."""
import json
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Events, Fake, Refuse, same  # noqa: E402

ATTRIBUTES = [('allow_migrate', 'yes'), ('allow_premigrate', 'yes'), ('allow_save', 'yes'), ('allow_selective_recall', 'yes'),
              ('allow_tape_assign', 'yes'), ('allow_tape_datamigrate', 'yes'), ('allow_tape_export', 'yes'), ('allow_tape_import', 'yes'),
              ('allow_tape_offline', 'yes'), ('allow_tape_online', 'yes'), ('allow_tape_reclaim', 'yes'), ('allow_tape_reconcile', 'yes'),
              ('allow_tape_replace', 'yes'), ('allow_tape_unassign', 'yes'), ('allow_transparent_recall', 'no'), ('filehash_enable', 'yes'),
              ('filehash_verify_on_read', 'yes'), ('recall_use_rao', 'auto')]
TABLE = '''Attribute                 Value
allow_migrate             yes
allow_premigrate          yes
allow_save                yes
allow_selective_recall    yes
allow_tape_assign         yes
allow_tape_datamigrate    yes
allow_tape_export         yes
allow_tape_import         yes
allow_tape_offline        yes
allow_tape_online         yes
allow_tape_reclaim        yes
allow_tape_reconcile      yes
allow_tape_replace        yes
allow_tape_unassign       yes
allow_transparent_recall  no
filehash_enable           yes
filehash_verify_on_read   yes
recall_use_rao            auto
'''


def test_the_cluster_table_is_the_documents():
    with Fake({'attr.list': {'attributes': [{'name': n, 'value': v, 'values': [], 'help': ''} for n, v in ATTRIBUTES]}}) as f:
        same(f.run('cluster', 'show', name='eeadm').stdout, TABLE)
        same(f.run('cluster', 'show').stdout, TABLE)
        same(f.run('cluster', 'show', 'recall_use_rao').stdout, 'Attribute                 Value\nrecall_use_rao            auto\n')
        r = f.run('cluster', 'show', 'nope')
        assert r.returncode == 1 and 'no attribute "nope"' in r.stderr, r


def test_an_attribute_is_set_as_in_the_document():
    with Fake({'attr.set': {}}) as f:
        r = f.run('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'no', name='eeadm')
        assert re.fullmatch(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GLESL802I: Updated attribute allow_transparent_recall\.\n', r.stdout), r
        assert f.asked('attr.set') == [{'name': 'allow_transparent_recall', 'value': 'no'}]
    with Fake({'attr.set': Refuse('EINVAL', 'attribute allow_transparent_recall: "maybe" is not yes or no')}) as f:
        r = f.run('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'maybe')
        assert r.returncode == 1
        same(r.stderr, 'firn: attribute allow_transparent_recall: "maybe" is not yes or no\n')


STATUS = {'version': '0.1.0', 'pid': 42, 'uptime_s': 3723, 'site': 'demo',
          'filesystems': [{'name': 'fs1', 'path': '/srv/fs1', 'posix_readers': 'none', 'total_bytes': 8 << 30, 'free_bytes': 6 << 30}],
          'libraries': [{'name': 'lib1', 'kind': 'dir', 'path': '/srv/lib1', 'drives': 2, 'volumes': 8, 'problem': ''}],
          'tasks': {'waiting': 1, 'running': 2}, 'queue': {'recall': 3, 'migrate': 4},
          'buffers': {'count': 64, 'size': 1 << 20, 'free': 60}, 'attention': ['tape FIRN01L8: read error']}


def test_status_says_what_needs_attention():
    with Fake({'status': [STATUS, {**STATUS, 'attention': []}]}) as f:
        same(f.run('status').stdout, '''firnd 0.1.0, site demo, process 42, up 1:02:03

File system  Path      POSIX readers  Size     Free
fs1          /srv/fs1  none           8.0 GiB  6.0 GiB

Library  Kind  Drives  Tapes  Path       Problem
lib1     dir   2       8      /srv/lib1  -

Tasks:    2 running, 1 waiting
Queue:    3 files to recall, 4 to migrate
Buffers:  64 of 1.0 MiB, 60 free

Needs attention:
  tape FIRN01L8: read error
''')
        assert f.run('status').stdout.endswith('\nNothing needs attention.\n')
        assert json.loads(f.run('status', '--json').stdout)['payload'][0]['pid'] == 42


def test_status_shows_who_reads_migrated_files():
    watch = {'attached': True, 'events': 'open+access', 'stubs': 1000, 'memory_bytes': 1370000, 'waiting': 2, 'recalled': 40,
             'denied': 3, 'denied_by': {'program': 2, 'user': 1, 'attribute': 0}, 'failed': 1, 'guard': {'active': True, 'refused': 7},
             'filesystems': [{'name': 'fs1', 'state': 'covered', 'gated': True, 'problem': ''}]}
    with Fake({'status': [{**STATUS, 'watch': watch}]}) as f:
        text = f.run('status').stdout
        assert '''
Watched  State    Mounted by  Problem
fs1      covered  firn-watch  -
Readers:  events open+access, 2 wait; 40 recalled, 1 failed
Denied:   3: 2 by program, 1 by user, 0 by attribute
Marks:    1000 migrated files, 1.3 MiB of memory
Guard:    active, 7 refused
''' in text, text
    watch['guard'] = {'active': False, 'refused': 0}
    with Fake({'status': [{**STATUS, 'watch': watch}]}) as f:
        assert 'Guard:    none; were firn-watch' in f.run('status').stdout


ACCOUNT = {'name': 'user1', 'uid': 1001, 'gid': 1002, 'access_key': 'AK', 'secret_key': 'SK', 'access_key2': None, 'enabled': True,
           'new_buckets': '/srv/fs1/buckets', 'created': '2024-03-01T12:00:00.000Z', 'md5_etag': False}


def test_accounts():
    with Fake({'account.list': {'accounts': [ACCOUNT], 'generation': 3}, 'account.show': {'accounts': [ACCOUNT]}, 'account.create': ACCOUNT,
               'account.set': {}, 'account.rotate': {**ACCOUNT, 'access_key2': 'AK2', 'secret_key2': 'SK2'}, 'account.delete': {}}) as f:
        same(f.run('account', 'list').stdout,
             'Name   UID   GID   Access key  Second key  Enabled  Created\nuser1  1001  1002  AK          -           yes      2024-03-01 12:00:00\n')
        text = f.run('account', 'create', 'user1', '--uid', '1001', '--gid', '1002', '--access-key', 'AK', '--secret-key', 'SK', '--new-buckets', '/srv/b').stdout
        assert 'Access key:          AK\nSecret key:          SK\n' in text and 'Created:             2024-03-01 12:00:00\n' in text, text
        assert f.asked('account.create') == [{'name': 'user1', 'access_key': 'AK', 'secret_key': 'SK', 'uid': 1001, 'gid': 1002, 'new_buckets': '/srv/b'}]
        assert json.loads(f.run('--json', 'account', 'create', 'u', '--user', 'nobody').stdout)['payload'] == [ACCOUNT]
        assert f.asked('account.create')[1] == {'name': 'u', 'user': 'nobody'}
        assert f.run('account', 'show', 'user1', '--secrets').returncode == 0
        assert f.asked('account.show') == [{'name': 'user1', 'secrets': True}]
        same(f.run('account', 'set', 'user1', '--enabled', 'no').stdout, 'Changed account user1.\n')
        assert f.asked('account.set') == [{'name': 'user1', 'enabled': False}]
        assert f.run('account', 'set', 'user1', '--promote', '--md5-etag', 'yes').returncode == 0
        assert f.asked('account.set')[1] == {'name': 'user1', 'promote': True, 'md5_etag': True}
        assert f.run('account', 'set', 'user1').returncode == 2
        assert f.run('account', 'set', 'user1', '--enabled', 'perhaps').returncode == 2
        assert 'AK2' in f.run('account', 'rotate', 'user1').stdout
        same(f.run('account', 'delete', 'user1').stdout, 'Deleted account user1.\n')


def test_buckets():
    bucket = {'name': 'test1', 'owner': 'user1', 'path': '/srv/fs1/buckets/test1', 'created': '2024-03-01T12:00:00.000Z', 'exported': False}
    with Fake({'bucket.list': {'buckets': [bucket], 'generation': 1}, 'bucket.create': {'bucket': bucket}, 'bucket.delete': Refuse('ENOTEMPTY', 'bucket test1 holds objects')}) as f:
        same(f.run('bucket', 'list').stdout,
             'Name   Owner  Exported  Created              Path\ntest1  user1  no        2024-03-01 12:00:00  /srv/fs1/buckets/test1\n')
        same(f.run('bucket', 'create', 'test1', '--owner', 'user1', '--path', 'sub', cwd='/srv').stdout,
             'Created bucket test1 of user1 in /srv/fs1/buckets/test1.\n')
        assert f.asked('bucket.create') == [{'name': 'test1', 'owner': 'user1', 'path': '/srv/sub'}]
        r = f.run('bucket', 'delete', 'test1')
        assert r.returncode == 1
        same(r.stderr, 'firn: bucket test1 holds objects\n')


def test_rebuild_tells_problems():
    found = {'files': 3, 'copies': 4, 'volumes': 2, 'problems': ['volume X: no index']}
    with Fake({'rebuild': [Events([{'stage': 'scan', 'done': 1, 'total': 2}], found), {**found, 'problems': []}]}) as f:
        r = f.run('rebuild', '--dry-run')
        assert r.returncode == 1
        same(r.stdout, 'volume X: no index\nFound 3 files, 4 copies, 2 volumes; 1 problems\n')
        r = f.run('rebuild')
        assert r.returncode == 0
        same(r.stdout, 'Rebuilt from 3 files, 4 copies, 2 volumes; 0 problems\n')
        assert f.asked('rebuild') == [{'dry_run': True}, {'dry_run': False}]


TIERS = [{'name': 'lib1', 'kind': 'tape', 'endpoint': '/srv/lib1', 'state': 'up', 'problem': '', 'pools': ['pool1', 'pool2'],
          'copies': 12, 'bytes': 3 << 20, 'memory': {'used': 0, 'peak': 0, 'bound': 0}, 'requests': 0, 'retries': 0, 'failures': 0},
         {'name': 's3a', 'kind': 's3', 'endpoint': 'https://s3.example', 'state': 'down', 'problem': 'no route', 'pools': ['cloud'],
          'copies': 7, 'bytes': 1 << 30, 'memory': {'used': 1 << 20, 'peak': 8 << 20, 'bound': 512 << 20}, 'requests': 90,
          'retries': 2, 'failures': 1}]


def test_tiers_are_listed():
    with Fake({'tier.list': {'tiers': TIERS}}) as f:
        same(f.run('tier', 'list').stdout,
             'Tier  Kind  State  Pools        Copies  Bytes    Endpoint            Problem\n'
             'lib1  tape  up     pool1,pool2  12      3.0 MiB  /srv/lib1           -\n'
             's3a   s3    down   cloud        7       1.0 GiB  https://s3.example  no route\n')
        assert json.loads(f.run('--json', 'tier', 'list').stdout)['payload'] == TIERS


def test_a_tier_is_shown_in_full():
    with Fake({'tier.show': {**TIERS[1], 'garbage_copies': 3, 'lanes': {'count': 16, 'copying': 4, 'recalling': 1}}}) as f:
        shown = dict(l.split(':', 1) for l in f.run('tier', 'show', 's3a').stdout.splitlines())
        shown = {k: v.strip() for k, v in shown.items()}
        assert shown['Memory bound'] == '512 MiB' and shown['Lanes'] == '16' and shown['Garbage copies'] == '3', shown
        assert shown['Pools'] == 'cloud' and shown['Problem'] == 'no route', shown
        assert f.asked('tier.show') == [{'name': 's3a'}]


def test_a_verify_of_a_store_fails_with_problems():
    good = {'copies': 9, 'ok': 9, 'lost': 0, 'found': 0, 'unreferenced': 2, 'problem_count': 0, 'problems': []}
    bad = {**good, 'ok': 8, 'lost': 1, 'problem_count': 1, 'problems': ['d/f: is not in the store']}
    with Fake({'tier.verify': [Events([{'stage': 'verify', 'done': 1, 'failed': 0}], bad), good]}) as f:
        r = f.run('tier', 'verify', 's3a', '--read', '--limit', '5', '/mnt/x')
        assert r.returncode == 1
        same(r.stdout, 'd/f: is not in the store\ns3a: 9 copies, 8 as they should be, 1 problems; 2 of files that are gone or have '
                       'newer copies\n')
        assert f.run('tier', 'verify', 's3a').returncode == 0
        assert f.asked('tier.verify') == [{'name': 's3a', 'read': True, 'limit': 5, 'paths': ['/mnt/x']},
                                          {'name': 's3a', 'paths': []}], f.asked('tier.verify')


def test_gc_deletes_only_when_asked():
    found = {'copies_kept': 5, 'recent': 1, 'foreign': 2, 'garbage_count': 1, 'objects': 3, 'bytes': 4096, 'deleted': 0, 'problems': [],
             'garbage': [{'id': 'u1', 'reason': 'incomplete', 'objects': 3, 'bytes': 4096, 'path': 'd/f'}]}
    with Fake({'tier.gc': [found, {**found, 'deleted': 1}]}) as f:
        same(f.run('tier', 'gc', 's3a').stdout,
             'Archive  Why         Objects  Bytes    Path\nu1       incomplete  3        4.0 KiB  d/f\n\n'
             's3a: 5 copies kept, 1 too recent, 2 of others; 1 garbage, not deleted (--delete does): 3 objects, 4.0 KiB\n')
        assert f.run('tier', 'gc', 's3a', '--delete', '--min-age', '60').stdout.endswith('1 garbage, deleted: 3 objects, 4.0 KiB\n')
        assert f.asked('tier.gc') == [{'name': 's3a', 'min_age_s': 86400}, {'name': 's3a', 'delete': True, 'min_age_s': 60}]


def test_drain_waits():
    with Fake({'drain': {}}) as f:
        same(f.run('drain', '-t', '5').stdout, 'No drive works, and all indexes are written.\n')
        assert f.asked('drain') == [{'wait_ms': 5000}]


if __name__ == '__main__':
    tap.main(globals())
