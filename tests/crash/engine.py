# SPDX-License-Identifier: Apache-2.0
"""firnd is killed at each crash point of migrate, index write, release and recall: after a restart it ends
all work by itself, every file is whole, and catalogue, files and copies agree. The copies are on two pools of
tapes; with FIRN_TEST_STORE (a store of tests/lib/s3stores.py, or "dir") on one of tapes and one in that store,
or, recalled from there, in the store alone; with FIRN_TEST_PACKS small ones of them share objects."""
import contextlib
import hashlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import agree
import s3pool
import tap
from firnsite import Site, program, wait_for

STORE = os.environ.get('FIRN_TEST_STORE')
POOLS = 'pool1@lib1,cloud@store1' if STORE else 'pool1@lib1,pool2@lib1'
PACKS = {'pack_size': '1MiB'} if os.environ.get('FIRN_TEST_PACKS') else {}
RECALL_POOLS = 'cloud@store1' if STORE else POOLS
SIZES = [1, 100, 4096, 70_000, 524_288, 1_500_000, 3_000_000]


@contextlib.contextmanager
def make():
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(s3pool.Pool(STORE)) if STORE else None
        site = stack.enter_context(Site(fs_size='600M', drives=2, cartridges=4, cartridge_size='512MiB',
                                        extra=pool.conf(**PACKS) if pool else '', pools=[pool.pool] if pool else []))
        site.stores = {pool.name: pool.reader()} if pool else {}
        site.start_firnd()
        site.assign('pool1', 1, 0)
        site.assign('pool2', 1, 1)
        site.round = 0
        site.contents = {}
        yield site


def write_files(site):
    """New files of this round: plain ones and a sparse one. Remembers what is in them."""
    site.round += 1
    folder = site.path(f'round{site.round}')
    os.makedirs(folder)
    files = {}
    for i, size in enumerate(SIZES):
        files[os.path.join(folder, f'f{i}')] = os.urandom(size)
    files[os.path.join(folder, 'sparse')] = None
    for path, data in files.items():
        with open(path, 'wb') as f:
            if data is None:
                f.seek(2_000_000)
                f.write(b'island')
                f.truncate(5_000_000)
            else:
                f.write(data)
        with open(path, 'rb') as f:
            site.contents[path] = hashlib.sha256(f.read()).hexdigest()
    return list(files)


def idle(site):
    return not site.firn_json('task', 'list')['payload']


def states(site, paths):
    return {f['path']: f['state'] for f in site.firn_json('file', 'state', *paths)['payload']}


def settle(site, paths, wanted):
    """Restarts firnd plainly, lets it end its work, and holds everything against everything."""
    site.start_firnd()
    wait_for('the queue to become empty', lambda: idle(site), 60)
    got = states(site, paths)
    assert set(got.values()) <= set(wanted), got
    assert site.stop('firnd') == 0
    problems = agree.check(site.state, site.mount, site.library, site.contents, site.stores)
    assert not problems, '\n'.join(problems)
    return got


def recall_and_compare(site, paths):
    site.start_firnd()
    site.firn('file', 'recall', *paths)
    for path in paths:
        with open(path, 'rb') as f:
            assert hashlib.sha256(f.read()).hexdigest() == site.contents[path], path


def forget(site, paths):
    for path in paths:
        os.unlink(path)
        del site.contents[path]


def killed(site, point, *command):
    if 'firnd' in site.procs:
        assert site.stop('firnd') == 0
    site.start_firnd({'FIRN_CRASH_POINT': point})
    # The client waits for a new firnd to come; it is not asked again here.
    with subprocess.Popen([program('firn'), '--config', site.conf, *command], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
        try:
            assert site.procs['firnd'].wait(60) == -9, f'{point} was not reached'
        finally:
            client.kill()
    del site.procs['firnd']


def migrate_killed_at(site, point):
    paths = write_files(site)
    killed(site, point, 'file', 'migrate', '-p', POOLS, *paths)
    settle(site, paths, ['migrated'])
    recall_and_compare(site, paths)
    forget(site, paths)


def recall_killed_at(site, point, *options):
    paths = write_files(site)
    if 'firnd' not in site.procs:
        site.start_firnd()
    site.firn('file', 'migrate', '-p', RECALL_POOLS, *paths)
    killed(site, point, 'file', 'recall', *options, *paths)
    settle(site, paths, ['resident'] if options else ['premigrated'])
    recall_and_compare(site, paths)
    forget(site, paths)


def define():
    """A test for each point, named after it."""
    migrate = ['migrate_planned', 'migrate_copied', 'migrate_copied:2', 'migrate_synced', 'migrate_synced:2',
               'migrate_catalogued', 'migrate_catalogued:2', 'migrate_recorded', 'index_data_begin',
               'index_data_begin:2', 'index_data_done', 'index_index_begin', 'index_index_done', 'release_marked',
               'release_marked:4', 'release_punched', 'release_punched:5']
    recall = ['recall_begun', 'recall_begun:3', 'recall_half', 'recall_half:4', 'recall_written', 'recall_written:2',
              'recall_synced', 'recall_synced:2', 'recall_recorded']
    tests = {}
    if STORE:  # one index is enough; the others are shown with tapes alone
        migrate = [p for p in migrate if not p.startswith('index_') or p == 'index_data_begin']
    if STORE and STORE != 'dir':
        migrate += ['s3_chunk_put', 's3_chunk_put:3', 's3_before_manifest', 's3_after_manifest', 's3_after_manifest:2']
    for p in migrate:
        tests[f'test_migrate_killed_at_{p}'] = lambda site, p=p: migrate_killed_at(site, p)
    for p in recall:
        tests[f'test_recall_killed_at_{p}'] = lambda site, p=p: recall_killed_at(site, p)
    for p in ['recall_synced', 'recall_recorded']:
        tests[f'test_recall_to_resident_killed_at_{p}'] = lambda site, p=p: recall_killed_at(site, p, '--resident')
    return tests


def test_a_reader_whose_recall_is_killed_gets_no_answer_and_the_recall_finishes_by_itself(site):
    paths = write_files(site)
    if 'firnd' not in site.procs:
        site.start_firnd()
    site.firn('file', 'migrate', '-p', RECALL_POOLS, *paths)
    assert site.stop('firnd') == 0
    site.start_firnd({'FIRN_CRASH_POINT': 'recall_half'})
    assert site.ask_recall(paths[-2], 10_000) is None
    assert site.wait_death('firnd') == -9
    got = settle(site, paths, ['migrated', 'premigrated'])
    assert got[paths[-2]] == 'premigrated', got
    assert got[paths[0]] == 'migrated', got
    recall_and_compare(site, paths)
    forget(site, paths)


def test_a_second_kill_during_the_repair_of_the_first_loses_nothing(site):
    paths = write_files(site)
    killed(site, 'release_marked:2', 'file', 'migrate', '-p', POOLS, *paths)
    for point in ['migrate_recorded', 'release_punched', 'release_marked']:
        site._spawn('firnd', ['-c', site.conf], {'FIRN_CRASH_POINT': point})
        try:
            wait_for('death or idleness', lambda: site.procs['firnd'].poll() is not None or
                     (site.firn('status', check=False).returncode == 0 and idle(site)), 60)
        except Exception:
            pass
        site.kill('firnd')
    settle(site, paths, ['migrated'])
    recall_and_compare(site, paths)
    forget(site, paths)


if __name__ == '__main__':
    tap.main({**define(), **globals()}, setup=make)
