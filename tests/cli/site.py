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


def test_drain_waits():
    with Fake({'drain': {}}) as f:
        same(f.run('drain', '-t', '5').stdout, 'No drive works, and all indexes are written.\n')
        assert f.asked('drain') == [{'wait_ms': 5000}]


if __name__ == '__main__':
    tap.main(globals())
