# SPDX-License-Identifier: Apache-2.0
"""firn file state, firn attr, mmlsattr: the layouts of the document, names of all kinds."""
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Fake, Refuse, run, same  # noqa: E402

COPY = {'volume': 'DO0060L7', 'pool': 'pool1', 'library': 'lib1', 'volume_state': 'appendable', 'tier': 'tape'}
ID = '8642704550425025024-3560302634690375993-598196208-4380-0'


def state(path, kind='resident', copies=1, **more):
    if kind == 'resident':
        return {'path': path, 'state': kind, 'size': 1, 'copies': [], **more}
    return {'path': path, 'state': kind, 'id': ID, 'size': 1, 'copies': [COPY] * copies, **more}


def test_states_are_blocks_with_a_blank_line_between_them():
    files = [state('/ibm/fs1/buckets/test1/file0', 'migrated'), state('/ibm/fs1/buckets/test1/file1', 'premigrated', 2),
             state('/ibm/fs1/buckets/test1/file2')]
    want = f'''Name: /ibm/fs1/buckets/test1/file0
State: migrated
ID: {ID}
Replicas: 1
Tape 1: DO0060L7@pool1@lib1 (tape state=appendable)

Name: /ibm/fs1/buckets/test1/file1
State: premigrated
ID: {ID}
Replicas: 2
Tape 1: DO0060L7@pool1@lib1 (tape state=appendable)
Tape 2: DO0060L7@pool1@lib1 (tape state=appendable)

Name: /ibm/fs1/buckets/test1/file2
State: resident
'''
    with Fake({'file.state': {'files': files}}) as f:
        paths = [x['path'] for x in files]
        same(f.run('file', 'state', *paths).stdout, want)
        same(f.run('file', 'state', *paths, name='eeadm').stdout, want)
        assert f.asked('file.state') == [{'paths': paths}] * 2


def test_a_copy_in_a_store_is_told_from_one_on_tape():
    s3 = {'volume': 's3a', 'pool': 'cloud', 'library': 's3a', 'volume_state': 'unreachable', 'tier': 's3'}
    with Fake({'file.state': {'files': [{**state('/a', 'migrated'), 'copies': [COPY, s3]}]}}) as f:
        assert f.run('file', 'state', '/a').stdout.splitlines()[-2:] == [
            'Tape 1: DO0060L7@pool1@lib1 (tape state=appendable)', 'Store 2: s3a@cloud@s3a (store state=unreachable)']


def test_json_gives_the_files_as_payload():
    with Fake({'file.state': {'files': [state('/a')]}}) as f:
        same(f.run('--json', 'file', 'state', '/a').stdout, '{"payload":[{"path":"/a","state":"resident","size":1,"copies":[]}]}\n')


def test_a_file_that_cannot_be_read_is_told_and_the_others_are_shown():
    with Fake({'file.state': {'files': [{'path': '/gone', 'error': 'no such file'}, state('/a')]}}) as f:
        r = f.run('file', 'state', '/gone', '/a')
        assert r.returncode == 1
        same(r.stdout, 'Name: /a\nState: resident\n')
        same(r.stderr, 'firn: /gone: no such file\n')


def test_names_are_made_absolute_and_kept_as_they_are_otherwise():
    with Fake({'file.state': {'files': []}}) as f, tempfile.TemporaryDirectory() as d:
        d = os.path.realpath(d)
        os.makedirs(os.path.join(d, 'real', 'sub'))
        os.symlink('real', os.path.join(d, 'link'))
        f.run('file', 'state', 'x', './x', '.', 'link/x', '../y', 'link/../y', '..', d + '/link/z', cwd=os.path.join(d))
        up = os.path.dirname(d)
        same('\n'.join(f.asked('file.state')[0]['paths']),
             '\n'.join([d + '/x', d + '/x', d, d + '/link/x', os.path.join(up, 'y'), d + '/y', up, d + '/link/z']))


def test_a_name_with_a_line_feed_cannot_forge_a_line():
    evil = '/a\nState: migrated\x1b[2J'
    with Fake({'file.state': {'files': [state(evil)]}}) as f:
        same(f.run('file', 'state', evil).stdout, 'Name: /a\\nState: migrated\\x1b[2J\nState: resident\n')
        assert json.loads(f.run('--json', 'file', 'state', evil).stdout)['payload'][0]['path'] == evil


def test_a_name_that_is_no_utf8_goes_through():
    name = '/b\udcff\udc80'
    with Fake({'file.state': lambda a: {'files': [state(a['paths'][0])]}}) as f:
        same(f.run('file', 'state', name).stdout, f'Name: {name}\nState: resident\n')


def test_many_names_travel_in_batches():
    def answer(args):
        assert len(args['paths']) <= 1000
        return {'files': [state(p) for p in args['paths']]}
    with Fake({'file.state': answer}) as f:
        r = f.run('file', 'state', '--list', '-', stdin=''.join(f'/f{i}\n' for i in range(2500)))
        assert r.returncode == 0, r.stderr
        assert [len(a['paths']) for a in f.asked('file.state')] == [1000, 1000, 500]
        blocks = r.stdout.split('\n\n')
        assert len(blocks) == 2500 and blocks[2499] == 'Name: /f2499\nState: resident\n', blocks[-1]


def test_long_names_do_not_make_a_request_too_long():
    name = '/' + '/'.join(['\x01' * 250] * 15)  # six bytes each once escaped
    with Fake({'file.state': lambda a: {'files': [state('/x') for _ in a['paths']]}}) as f:
        r = f.run('file', 'state', '--list', '-', stdin=(name + '\n') * 1000)
        assert r.returncode == 0, r.stderr
        assert sum(len(a['paths']) for a in f.asked('file.state')) == 1000


def test_a_list_holds_policy_records_or_plain_names():
    records = ('48131 977215488 0   -- /srv/fs1/docs/report 1.pdf\n'
               '9663676512 1400551090 0  uid=1000 kb=128 -- /srv/b -- c\n'
               '1 2 0   -- /new\\nline and \\\\ back\n'
               '\n'
               '/plain -- name\\n\n'
               '12 is no record\n')
    with Fake({'file.state': {'files': []}}) as f:
        f.run('file', 'state', '--list', '-', stdin=records, cwd='/')
        same('|'.join(f.asked('file.state')[0]['paths']),
             '|'.join(['/srv/fs1/docs/report 1.pdf', '/srv/b -- c', '/new\nline and \\ back', '/plain -- name\\n', '/12 is no record']))


def test_a_list_of_nul_ended_names_is_taken_as_it_is():
    with Fake({'file.state': {'files': []}}) as f:
        f.run('file', 'state', '-0', '--list', '-', stdin='/a\nb\0 1 2 0  -- /c\0', cwd='/')
        assert f.asked('file.state')[0]['paths'] == ['/a\nb', '/ 1 2 0  -- /c'], f.asked('file.state')


def test_a_list_that_is_not_there_is_named():
    with Fake({}) as f:
        r = f.run('file', 'state', '--list', '/no/such/list')
        assert r.returncode == 1
        same(r.stderr, 'firn: list file /no/such/list: No such file or directory\n')


LSATTR = {'path': '/ibm/fs1/buckets/test1/file0', 'pool': 'system', 'fileset': 'buckets',
          'created': '2024-02-29T11:22:49.304Z', 'misc': 'FA', 'size': 8688640,
          'xattrs': [{'name': 'user.storage_class', 'value': 'STANDARD', 'base64': False},
                     {'name': 'trusted.firn.hsm', 'value': 'x'}, {'name': 'security.bpf.firn.stub', 'value': '1'},
                     {'name': 'user.firn.s3', 'value': '{}'},
                     {'name': 'user.noobaa.content_type', 'value': 'application/octet-stream', 'base64': False},
                     {'name': 'user.action', 'value': 'migrate', 'base64': False}]}
DOCUMENT = '''file name:            /ibm/fs1/buckets/test1/file0
metadata replication: 1 max 2
data replication:     1 max 2
immutable:            no
appendOnly:           no
flags:
storage pool name:    system
fileset name:         buckets
snapshot name:
creation time:        Thu Feb 29 12:22:49 2024
Misc attributes:      ARCHIVE
Encrypted:            no
user.action:          "migrate"
user.noobaa.content_type: "application/octet-stream"
user.storage_class:   "STANDARD"
'''


def test_mmlsattr_prints_the_document():
    with Fake({'file.lsattr': LSATTR}) as f:
        same(f.run('-L', '-d', LSATTR['path'], name='mmlsattr', tz='CET').stdout, DOCUMENT)
        same(f.run('attr', LSATTR['path'], tz='CET').stdout, DOCUMENT)
        same(f.run('mmlsattr', '-L', '-d', LSATTR['path'], tz='CET').stdout, DOCUMENT)
        same(f.run('-L', LSATTR['path'], name='mmlsattr', tz='CET').stdout, ''.join(DOCUMENT.splitlines(True)[:12]))


def test_object_tags_come_last_as_in_the_document():
    tagged = {**LSATTR, 'xattrs': [{'name': n, 'value': v} for n, v in (
        ('user.noobaa.tag.action', 'migrate'), ('user.storage_class', 'STANDARD'),
        ('user.noobaa.content_type', 'application/octet-stream'))]}
    with Fake({'file.lsattr': tagged}) as f:
        same(''.join(f.run('-L', '-d', '/x', name='mmlsattr').stdout.splitlines(True)[12:]),
             'user.noobaa.content_type: "application/octet-stream"\nuser.storage_class:   "STANDARD"\n'
             'user.noobaa.tag.action: "migrate"\n')


def test_several_files_and_a_missing_one():
    def answer(args):
        if args['path'] == '/gone':
            raise Refuse('ENOENT', '/gone: no such file')
        return {**LSATTR, 'path': args['path'], 'misc': 'FAMV', 'xattrs': []}
    with Fake({'file.lsattr': answer}) as f:
        r = f.run('-L', '/a', '/gone', '/b', name='mmlsattr')
        assert r.returncode == 1
        names = [x for x in r.stdout.splitlines() if x.startswith(('file name', 'Misc')) or not x]
        assert names == ['file name:            /a', 'Misc attributes:      ARCHIVE OFFLINE', '',
                         'file name:            /b', 'Misc attributes:      ARCHIVE OFFLINE'], names
        same(r.stderr, 'mmlsattr: /gone: no such file\n')


def test_without_L_a_short_table_is_printed():
    with Fake({'file.lsattr': lambda a: {**LSATTR, 'path': a['path']}}) as f:
        same(f.run('/a', '/b', name='mmlsattr').stdout,
             '  replication factors\nmetadata(max) data(max) file    [flags]\n------------- --------- ---------------\n'
             '      1 (  2)   1 (  2) /a\n      1 (  2)   1 (  2) /b\n')


def test_binary_values_are_hexadecimal():
    attrs = {**LSATTR, 'xattrs': [{'name': 'user.bin', 'value': 'AP8Q', 'base64': True},
                                  {'name': 'user.quote', 'value': 'a"\nb', 'base64': False}]}
    with Fake({'file.lsattr': attrs}) as f:
        same(''.join(f.run('attr', '/x').stdout.splitlines(True)[12:]), 'user.bin:             0x00FF10\nuser.quote:           "a"\\nb"\n')


def test_a_user_attribute_is_set_and_removed():
    with tempfile.NamedTemporaryFile(dir='/var/tmp') as file:
        assert run('attr', 'set', 'user.action=migrate', file.name).returncode == 0
        assert os.getxattr(file.name, 'user.action') == b'migrate'
        assert run('attr', 'set', '--remove', 'user.action', file.name).returncode == 0
        assert os.listxattr(file.name) == []
        for name in ('trusted.firn.hsm=x', 'security.bpf.firn.stub=1', 'user.firn.s3=x', 'user.x'):
            assert run('attr', 'set', name, file.name).returncode == 2, name
        assert os.listxattr(file.name) == []


if __name__ == '__main__':
    tap.main(globals())
