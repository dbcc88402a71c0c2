# SPDX-License-Identifier: Apache-2.0
"""firn tape, drive, pool and library: tables that tools read by fields, and JSON in their members."""
import json
import os
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Fake, same  # noqa: E402

GIB = 1 << 30
TAPES = [{'barcode': 'FIRN01L8', 'library': 'lib1', 'pool': 'pool1', 'state': 'appendable', 'status': 'ok', 'media_type': 'L8',
          'capacity': 8 * GIB, 'used': 2 * GIB, 'available': 6 * GIB, 'reclaimable': GIB, 'appendable': True, 'location': 'FIRND1',
          'location_type': 'drive', 'address': 257, 'drive': 'FIRND1', 'task_id': 1026, 'uuid': 'u', 'generation': 4, 'files': 12},
         {'barcode': 'FIRN02L8', 'library': 'lib1', 'pool': '', 'state': 'unassigned', 'status': 'info', 'media_type': 'L8',
          'capacity': 12000 * GIB, 'used': 0, 'available': 12000 * GIB, 'reclaimable': 0, 'appendable': False, 'location': 'homeslot',
          'location_type': 'homeslot', 'address': 1025, 'drive': '', 'task_id': 0, 'uuid': '', 'generation': 0, 'files': 0}]
DRIVES = [{'id': 'FIRND1', 'serial': 'FIRND1', 'status': 'ok', 'state': 'mounted', 'type': 'LTO8', 'role': 'mrg', 'library': 'lib1',
           'address': 257, 'barcode': 'FIRN01L8', 'task_id': 1026, 'node': 1},
          {'id': 'FIRND2', 'serial': 'FIRND2', 'status': 'ok', 'state': 'not_mounted', 'type': 'ULT3580-TD8', 'role': 'mrg', 'library': 'lib1',
           'address': 258, 'barcode': '', 'task_id': 0, 'node': 1}]
POOL = {'id': 'b5a0', 'name': 'pool1', 'library': 'lib1', 'tapes': 2, 'capacity': 24 << 40, 'used': 1 << 40, 'available': 23 << 40,
        'reclaimable': 0, 'type': 'LTO', 'mount_limit': 0, 'mode': 'normal'}
LIBRARY = {'name': 'lib1', 'kind': 'dir', 'path': '/srv/lib1', 'slots': 8, 'drives': 2, 'volumes': 8, 'problem': ''}


def test_tapes_are_listed_in_fields():
    with Fake({'tape.list': {'tapes': TAPES}}) as f:
        want = ('Tape ID   Status  State       Usable(GiB)  Used(GiB)  Available(GiB)  Reclaimable%  Pool   Library  Location  Task ID\n'
                'FIRN01L8  ok      appendable  8            2          6               12%           pool1  lib1     FIRND1    1026\n'
                'FIRN02L8  info    unassigned  12000        0          12000           0%            -      lib1     homeslot  -\n')
        same(f.run('tape', 'list', name='eeadm').stdout, want)
        same(f.run('tape', 'list', '-l', 'lib1', '--no-header', name='eeadm').stdout.splitlines()[0].split()[8], 'lib1')
        f.run('tape', 'list', '-p', 'pool1@lib1')
        assert f.asked('tape.list') == [{}, {'library': 'lib1'}, {'library': 'lib1', 'pool': 'pool1'}]


def test_tapes_have_the_members_that_tools_know():
    with Fake({'tape.list': {'tapes': TAPES}}) as f:
        got = json.loads(f.run('tape', 'list', '--json', name='eeadm').stdout)['payload']
        assert got[0] == {'id': 'FIRN01L8@lib1', 'barcode': 'FIRN01L8', 'state': 'appendable', 'status': 'ok', 'media_type': 'L8',
                          'media_generation': 'LTO-Gen8', 'format_density': 'L8', 'worm': False, 'pool_name': 'pool1',
                          'pool_id': 'pool1@lib1', 'appendable': 'yes', 'capacity': 8 * GIB, 'used_space': 2 * GIB,
                          'free_space': 6 * GIB, 'non_appendable_space': 0, 'reclaimable_space': GIB, 'reclaimable%': 12,
                          'active_space': GIB, 'address': '257', 'library_name': 'lib1', 'library_id': 'lib1', 'drive_id': 'FIRND1',
                          'task_id': '1026', 'offline_msg': '', 'location_type': 'drive'}, got[0]
        assert got[1]['appendable'] == 'no' and got[1]['task_id'] == '' and got[1]['pool_id'] == '', got[1]
        assert f.run('--json', 'tape', 'list').stdout == f.run('tape', 'list', '--json').stdout


def test_drives_are_listed():
    with Fake({'drive.list': {'drives': DRIVES}}) as f:
        same(f.run('drive', 'list').stdout,
             'Drive S/N  Status  State        Type  Role  Library  Node ID  Tape      Node Group  Task ID\n'
             'FIRND1     ok      mounted      LTO8  mrg   lib1     1        FIRN01L8  G0          1026\n'
             'FIRND2     ok      not_mounted  LTO8  mrg   lib1     1        -         G0          -\n')
        got = json.loads(f.run('drive', 'list', '--json', name='eeadm').stdout)['payload'][1]
        assert got['id'] == 'FIRND2' and got['type'] == 'LTO8' and got['address'] == 258 and got['node_hostname'] == socket.gethostname() and got['tape_barcode'] == '', got


def test_pools_are_listed():
    with Fake({'pool.list': {'pools': [POOL]}}) as f:
        same(f.run('pool', 'list', name='eeadm').stdout,
             'Pool Name  Usable(TiB)  Used(TiB)  Available(TiB)  Reclaimable%  Tapes  Type  Library  Node Group\n'
             'pool1      24           1          23              0%            2      LTO   lib1     G0\n')
        got = json.loads(f.run('--json', 'pool', 'list').stdout)['payload'][0]
        assert (got['num_of_tapes'], got['worm'], got['mode'], got['reclaimable%'], got['free_space']) == (2, 'no', 'normal', 0, 23 << 40), got


def test_a_pool_is_shown_made_and_deleted():
    with Fake({'pool.show': {**POOL, 'volumes': [{'barcode': 'FIRN01L8', 'state': 'appendable'}]}, 'pool.create': {}, 'pool.delete': {}}) as f:
        text = f.run('pool', 'show', 'pool1@lib1').stdout
        assert 'Usable:              24.0 TiB\n' in text and text.endswith('Volumes:\n  FIRN01L8 appendable\n'), text
        same(f.run('pool', 'create', 'p2', '-g', 'G0', '-l', 'lib1', name='eeadm').stdout, 'Created pool p2.\n')
        same(f.run('pool', 'delete', 'p2@lib1').stdout, 'Deleted pool p2@lib1.\n')
        assert f.asked('pool.show') == [{'name': 'pool1', 'library': 'lib1'}]
        assert f.asked('pool.create') == f.asked('pool.delete') == [{'name': 'p2', 'library': 'lib1'}]


def test_tapes_are_assigned_and_taken_out():
    with Fake({'tape.assign': {'tapes': [{'barcode': 'FIRN01L8', 'ok': True, 'message': ''}, {'barcode': 'FIRN02L8', 'ok': False, 'message': 'holds a foreign volume'}]},
               'tape.unassign': {'tapes': [{'barcode': 'FIRN01L8', 'ok': True}]}}) as f:
        r = f.run('tape', 'assign', 'FIRN01L8', 'FIRN02L8', '-p', 'pool1', '-l', 'lib1', '-f', name='eeadm')
        assert r.returncode == 1
        same(r.stdout[20:], 'GLESL360I: Assigned tape FIRN01L8 to pool pool1 successfully.\n')
        same(r.stderr, 'eeadm: tape FIRN02L8: holds a foreign volume\n')
        assert f.asked('tape.assign') == [{'pool': 'pool1', 'library': 'lib1', 'barcodes': ['FIRN01L8', 'FIRN02L8'], 'force': True}]
        for words in (['tape', 'unassign', 'FIRN01L8', '-p', 'pool1@lib1', '-E'], ['pool', 'unassign', 'FIRN01L8', '-p', 'pool1@lib1', '-E']):
            assert f.run(*words).returncode == 0
        assert f.asked('tape.unassign') == [{'pool': 'pool1', 'library': 'lib1', 'barcodes': ['FIRN01L8'], 'check_empty': True}] * 2


def test_a_tape_is_shown_and_verified():
    with Fake({'tape.show': {**TAPES[0], 'problem': '', 'garbage_bytes': GIB},
               'tape.verify': [{'ok': True, 'files': 12, 'problems': [], 'recovered': 0},
                               {'ok': False, 'files': 11, 'problems': ['block 7: checksum differs'], 'recovered': 1}]}) as f:
        text = f.run('tape', 'show', 'FIRN01L8').stdout
        assert 'Tape ID:             FIRN01L8\n' in text and 'Garbage:             1.0 GiB\n' in text, text
        r = f.run('tape', 'verify', 'FIRN01L8', 'FIRN02L8', '--repair')
        assert r.returncode == 1
        same(r.stdout, 'FIRN01L8: whole, 12 files\nFIRN02L8: block 7: checksum differs\nFIRN02L8: damaged, 11 files, recovered\n')
        f.answers['tape.verify'] = {'ok': True, 'files': 3, 'problems': [], 'recovered': 0, 'state': 'full', 'was': 'need_replace'}
        same(f.run('tape', 'verify', 'FIRN01L8').stdout, 'FIRN01L8: whole, 3 files, full after need_replace\n')
        assert f.asked('tape.verify')[0] == {'barcode': 'FIRN01L8', 'repair': True}


def test_drives_are_given_and_taken():
    with Fake({'drive.assign': {}, 'drive.unassign': {}, 'drive.show': DRIVES[0]}) as f:
        assert f.run('drive', 'assign', 'FIRND1', '-r', 'mr').returncode == 0
        assert f.run('drive', 'assign', 'FIRND1', '-n', '1', '-r', 'mr', name='eeadm').returncode == 0
        assert f.run('drive', 'set', 'FIRND1', '-a', 'role', '-v', 'mr', name='eeadm').returncode == 0
        assert f.run('drive', 'set', 'FIRND1', '-a', 'colour', '-v', 'mr', name='eeadm').returncode == 2
        assert f.asked('drive.assign') == [{'serial': 'FIRND1', 'role': 'mr'}] * 3
        same(f.run('drive', 'unassign', 'FIRND1').stdout, 'Unassigned drive FIRND1.\n')
        assert 'Tape:                FIRN01L8\n' in f.run('drive', 'show', 'FIRND1').stdout


def test_libraries_and_the_node():
    with Fake({'library.list': {'libraries': [LIBRARY]}, 'library.rescan': {'found': 8, 'missing': 1}}) as f:
        same(f.run('library', 'list').stdout,
             'Library  Kind  Slots  Drives  Tapes  Path       Problem\nlib1     dir   8      2       8      /srv/lib1  -\n')
        r = f.run('library', 'show', 'lib2', name='eeadm')
        assert r.returncode == 1 and 'no library "lib2"' in r.stderr, r
        same(f.run('library', 'rescan', 'lib1').stdout, '8 cartridges found, 1 missing.\n')
        node = json.loads(f.run('node', 'list', '--json', name='eeadm').stdout)['payload']
        assert len(node) == 1 and set(node[0]) == {'id', 'ip', 'hostname', 'port', 'enabled', 'num_of_drives', 'library_id', 'library_name',
                                                   'nodegroup_id', 'nodegroup_name', 'state', 'control_node', 'active_control_node'}, node
        assert f.run('node', 'list', name='eeadm').stdout.splitlines()[1].startswith('1        available  127.0.0.1  2 ')


def test_what_firn_has_not_is_refused_with_the_nearest():
    with Fake({}) as f:
        for words, say in ((['tape', 'reclaim', 'X', '-p', 'p'], '"tape reclaim": "firn tape list"'), (['cluster', 'stop', '-f'], 'firn drain'),
                           (['nodegroup', 'list'], 'firn library list'), (['PURGE', '/list'], 'garbage'), (['tape', 'move', 'X'], 'firnd moves')):
            r = f.run(*words, name='eeadm')
            assert r.returncode == 2 and 'firn has no operation' in r.stderr and say in r.stderr, (words, r)
        same(f.run('tape', 'lst', name='eeadm').stderr.splitlines()[0], 'eeadm: firn has no operation "tape lst"; perhaps "tape list" was meant')
        assert f.requests == []


if __name__ == '__main__':
    tap.main(globals())
