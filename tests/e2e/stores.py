# SPDX-License-Identifier: Apache-2.0
"""A site with an S3 pool beside its tapes: what goes to the store comes back byte for byte, a store that is away makes
work wait, damaged and missing objects cost nothing but a try, garbage is proven. FIRN_TEST_STORE names the store."""
import contextlib
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import agree
import s3pool
import tap
from firnsite import Site, program, wait_for

KIND = os.environ.get('FIRN_TEST_STORE', 'firn')
MIB = 1 << 20
CLOUD, TAPE = 'cloud@store1', 'pool1@lib1'


@contextlib.contextmanager
def make():
    with s3pool.Pool(KIND) as pool:
        with pool.store.faults(seed=11) as proxy, \
                Site(extra=pool.conf(endpoint=proxy.endpoint), pools=[pool.pool], fs_size='2G', recall_wait=3) as site:
            site.store, site.proxy, site.pool = pool.store, proxy, pool
            site.start()
            site.assign('pool1', 2)
            site.round = 0
            yield site


class Files:
    """New files in a folder of their own, with what is in them."""

    def __init__(self, site, **sizes):
        site.round += 1
        self.folder = site.path(f'stores{site.round}')
        os.makedirs(self.folder)
        self.paths, self.sums, self.stats = [], {}, {}
        for name, size in sizes.items():
            path = os.path.join(self.folder, name)
            with open(path, 'wb') as f:
                for _ in range(size // MIB):
                    f.write(os.urandom(MIB))
                f.write(os.urandom(size % MIB))
            self.add(path)

    def add(self, path):
        self.paths.append(path)
        with open(path, 'rb') as f:
            self.sums[path] = hashlib.sha256(f.read()).hexdigest()
        st = os.stat(path)
        self.stats[path] = (st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid, st.st_gid)

    def check(self):
        for path, want in self.sums.items():
            with open(path, 'rb') as f:
                assert hashlib.sha256(f.read()).hexdigest() == want, path
            st = os.stat(path)
            assert (st.st_size, st.st_mtime_ns, st.st_mode, st.st_uid, st.st_gid) == self.stats[path], path


def states(site, paths):
    return {f['state'] for f in site.firn_json('file', 'state', *paths)['payload']}


def migrate(site, files, *pools):
    site.firn('file', 'migrate', '-p', ','.join(pools or [CLOUD]), *files.paths)
    assert states(site, files.paths) == {'migrated'}


def objects_of(site, path):
    """Keys of the store that belong to the archive of a file."""
    archive = site.firn_json('file', 'state', path)['payload'][0]['archive_id']
    return [k for k in site.store.list_objects(s3pool.BUCKET) if archive in k]


def change(site, key, fn):
    client = site.store.boto()
    r = client.get_object(Bucket=s3pool.BUCKET, Key=key)
    client.put_object(Bucket=s3pool.BUCKET, Key=key, Body=fn(r['Body'].read()), Metadata=r['Metadata'])


def largest(site, path):
    """The key of the object with the most data: a chunk, not a manifest."""
    sizes = site.store.list_objects(s3pool.BUCKET)
    return max(objects_of(site, path), key=lambda k: sizes[k])


def spoil(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1:]


def attention(site):
    return '\n'.join(site.firn_json('status')['payload'][0]['attention'])


def is_up(site):
    return site.firn_json('tier', 'show', 'store1')['payload'][0]['state'] == 'up'


@contextlib.contextmanager
def down(site):
    """The store does not answer: every connection ends before the request."""
    rule = site.proxy.add('cut_before_request')
    try:
        yield
    finally:
        site.proxy.remove(rule.id)
        if 'firnd' in site.procs:
            site.firn('library', 'rescan', 'store1')  # looks at once


def test_files_of_all_sizes_come_back_as_they_were(site):
    files = Files(site, one=1, small=100, below=MIB - 1, chunk=MIB, above=MIB + 1, many=5 * MIB + 12345)
    sparse = os.path.join(files.folder, 'sparse')
    with open(sparse, 'wb') as f:
        f.seek(3 * MIB)
        f.write(b'island')
        f.truncate(20 * MIB)
    files.add(sparse)
    os.setxattr(files.paths[2], 'user.colour', b'red')
    os.chown(files.paths[1], 1234, 4321)
    os.chmod(files.paths[1], 0o640)
    os.utime(files.paths[3], ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    for path in list(files.sums):
        files.paths.remove(path)
        files.add(path)
    migrate(site, files)
    site.firn('file', 'recall', *files.paths)
    files.check()
    assert os.stat(sparse).st_blocks * 512 < 2 * MIB
    assert os.getxattr(files.paths[2], 'user.colour') == b'red'


def test_many_small_files_go_over_all_lanes(site):
    files = Files(site, **{f'f{i}': 1000 + i for i in range(400)})
    migrate(site, files)
    site.firn('file', 'recall', *files.paths)
    files.check()
    tier = site.firn_json('tier', 'show', 'store1')['payload'][0]
    assert tier['copies'] >= 400 and tier['kind'] == 's3', tier
    assert tier['memory']['peak'] <= tier['memory']['bound'], tier['memory']


def test_a_get_of_a_migrated_object_recalls_it_from_the_store(site):
    account = site.account('reader')
    site.firn('bucket', 'create', 'front', '--owner', 'reader')
    body = os.urandom(2 * MIB + 77)
    client = site.boto(account)
    client.put_object(Bucket='front', Key='x', Body=body)
    site.firn('file', 'migrate', '-p', CLOUD, site.path('front', 'x'))
    assert site.state_of(site.path('front', 'x')) == 'migrated'
    assert client.get_object(Bucket='front', Key='x')['Body'].read() == body


def test_a_reader_goes_before_many_recalls(site):
    files = Files(site, **{f'f{i}': 5000 + i for i in range(300)}, wanted=7000)
    wanted = files.paths.pop()
    migrate(site, files)
    site.firn('file', 'migrate', '-p', CLOUD, wanted)
    rule = site.proxy.add('latency', method='GET', seconds=0.1)
    try:
        site.firn('file', 'recall', '--async', *files.paths)
        wait_for('recalls', lambda: rule.hits > 3)
        begin = time.monotonic()
        assert site.ask_recall(wanted, 20_000)['result']['state'] == 'premigrated'
        taken = time.monotonic() - begin
        left = sum(f['state'] == 'migrated' for f in site.firn_json('file', 'state', *files.paths)['payload'])
        assert left > 100, f'the reader waited {taken:.1f} s until {left} recalls were left'
    finally:
        site.proxy.remove(rule.id)
    wait_for('the others', lambda: states(site, files.paths) == {'premigrated'}, 60)
    files.check()


def assert_waits(site, why):
    """The only open task says why it waits, when it is shown and to who waits for it."""
    task, = site.firn_json('task', 'list')['payload']
    wait_for('the reason', lambda: f'Waits For:           {why}' in site.firn('task', 'show', str(task['task_id'])).stdout)
    r = site.firn('task', 'wait', str(task['task_id']), '-t', '1', check=False)
    assert f'firn: task {task["task_id"]} waits: {why}' in r.stderr, r


def test_a_task_says_that_its_library_has_no_drive_for_it(site):
    files = Files(site, a=1000)
    site.each_drive('unassign')
    site.firn('file', 'migrate', '--async', '-p', TAPE, *files.paths)
    assert_waits(site, 'library lib1 has no drive that may migrate (firn drive list)')
    site.each_drive('assign', '-r', 'm')
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    wait_for('the task to end', lambda: not site.firn_json('task', 'list')['payload'])
    site.firn('file', 'recall', '--async', *files.paths)
    assert_waits(site, 'library lib1 has no drive that may recall (firn drive list)')
    site.each_drive('assign', '-r', 'mrg')
    wait_for('the recall', lambda: states(site, files.paths) == {'premigrated'}, 60)
    files.check()


def test_a_store_that_is_away_makes_work_wait_and_says_so(site):
    files = Files(site, a=MIB + 5, b=333, c=4 * MIB)
    with down(site):
        site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        assert states(site, files.paths) == {'resident'}
        assert_waits(site, 'store store1 is down: ')
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    wait_for('the store to be up', lambda: 'store1' not in attention(site))
    with down(site):
        site.firn('file', 'recall', '--async', *files.paths)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        assert states(site, files.paths) == {'migrated'}
        assert_waits(site, 'store store1 is down: ')
    wait_for('the recall', lambda: states(site, files.paths) == {'premigrated'}, 60)
    files.check()


def test_recalls_go_to_another_copy_while_the_store_is_away(site):
    files = Files(site, a=MIB + 5, b=333)
    migrate(site, files, CLOUD, TAPE)
    with down(site):
        site.firn('file', 'recall', *files.paths)
        files.check()
    wait_for('the store to be up', lambda: is_up(site), 90)


def test_tapes_go_on_while_the_store_is_away(site):
    stuck, tape = Files(site, a=MIB, b=MIB), Files(site, c=MIB)
    with down(site):
        for path in stuck.paths * 5:  # more tasks than batches are held in memory
            site.firn('file', 'migrate', '--async', '-p', CLOUD, path, check=False)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        for _ in range(8):
            more = Files(site, x=1000)
            site.firn('file', 'migrate', '--async', '-p', CLOUD, *more.paths)
        migrate(site, tape, TAPE)
        site.firn('file', 'recall', *tape.paths)
        tape.check()
    wait_for('the migration', lambda: states(site, stuck.paths + more.paths) == {'migrated'}, 90)


def test_a_reader_is_told_while_the_store_is_away_and_served_afterwards(site):
    site.firn('bucket', 'create', 'front2', '--owner', 'reader')
    account = site.firn_json('account', 'show', 'reader', '--secrets')['payload'][0]
    body = os.urandom(MIB)
    client = site.boto(account)
    client.put_object(Bucket='front2', Key='x', Body=body)
    site.firn('file', 'migrate', '-p', CLOUD, site.path('front2', 'x'))
    with down(site):
        try:
            client.get_object(Bucket='front2', Key='x')
            assert False, 'there was an answer'
        except client.exceptions.ClientError as e:
            assert e.response['ResponseMetadata']['HTTPStatusCode'] == 503, e.response
        assert site.state_of(site.path('front2', 'x')) == 'migrated'
    wait_for('the recall', lambda: site.state_of(site.path('front2', 'x')) == 'premigrated', 90)
    assert client.get_object(Bucket='front2', Key='x')['Body'].read() == body


def test_firnd_starts_without_its_store_and_finds_it_later(site):
    files = Files(site, a=MIB + 5)
    assert site.stop('firnd') == 0
    with down(site):
        site.start_firnd()
        site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    site.firn('file', 'recall', *files.paths)
    files.check()


def slow_stop(site, what):
    """Seconds that a stop takes while the store hangs, once what has begun."""
    rule = site.proxy.add('stall_before')
    try:
        what(rule)
        begin = time.monotonic()
        assert site.stop('firnd') == 0
        return time.monotonic() - begin
    finally:
        site.proxy.remove(rule.id)
        site.start_firnd()
        wait_for('the store to be up', lambda: is_up(site))


def test_a_stop_waits_neither_for_a_look_nor_for_garbage_at_a_store_that_hangs(site):
    def look(rule):
        site.stop('firnd')
        site.start_firnd()
        wait_for('a look', lambda: rule.hits > 0)
    assert slow_stop(site, look) < 4
    running = []

    def gc(rule):
        running.append(subprocess.Popen([program('firn'), '--config', site.conf, 'tier', 'gc', 'store1'],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        wait_for('a list', lambda: rule.hits > 0)
    took = slow_stop(site, gc)
    running[0].wait(10)
    assert took < 8


def test_a_stop_does_not_wait_for_a_store_that_hangs(site):
    files = Files(site, a=8 * MIB)
    rule = site.proxy.add('stall_before', method='PUT')
    site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths)
    wait_for('a request', lambda: rule.hits > 0)
    begin = time.monotonic()
    assert site.stop('firnd') == 0
    assert time.monotonic() - begin < 8, 'it waited'
    site.proxy.remove(rule.id)
    site.start_firnd()
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_full_store_fails_the_files_with_its_reason(site):
    files = Files(site, a=MIB + 5, b=77)
    rule = site.proxy.add('skewed', method='PUT', code='QuotaExceeded')
    r = site.firn('file', 'migrate', '-p', CLOUD, *files.paths, check=False)
    site.proxy.remove(rule.id)
    assert r.returncode == 1 and 'store1 (pool cloud) is full' in r.stdout + r.stderr, r.stdout + r.stderr
    assert 'store store1 is full' in attention(site)
    assert states(site, files.paths) == {'resident'}
    migrate(site, files)
    assert 'store1' not in attention(site), attention(site)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_store_whose_disk_is_full_takes_what_it_can_and_loses_nothing(_):
    with s3pool.Pool('firn', fs_size='100M') as pool, Site(extra=pool.conf(), pools=[pool.pool], fs_size='600M') as site:
        site.start_firnd()
        site.round = 0
        files = Files(site, **{f'f{i}': 10 * MIB for i in range(14)})
        assert site.firn('file', 'migrate', '-p', CLOUD, *files.paths, check=False).returncode == 1
        got = [f['state'] for f in site.firn_json('file', 'state', *files.paths)['payload']]
        assert set(got) == {'migrated', 'resident'}, got
        assert 'store store1 is full' in attention(site)
        site.firn('file', 'recall', *files.paths)
        files.check()


def test_a_damaged_only_copy_is_named_and_the_file_stays_as_it_was(site):
    files = Files(site, a=2 * MIB + 5)
    migrate(site, files)
    key = largest(site, files.paths[0])
    good = site.store.boto().get_object(Bucket=s3pool.BUCKET, Key=key)['Body'].read()
    change(site, key, spoil)
    r = site.firn('file', 'recall', *files.paths, check=False)
    assert r.returncode == 1 and s3pool.BUCKET in r.stdout + r.stderr and key in r.stdout + r.stderr, r.stdout + r.stderr
    assert states(site, files.paths) == {'migrated'}
    assert site.firn('tier', 'verify', 'store1', '--read', *files.paths, check=False).returncode == 1
    change(site, key, lambda _: good)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_with_a_replica_on_tape_a_damaged_or_missing_object_costs_nothing(site):
    files = Files(site, a=2 * MIB + 5, b=300, c=MIB)
    migrate(site, files, CLOUD, TAPE)
    change(site, largest(site, files.paths[0]), spoil)
    for path in files.paths[1:]:
        for key in objects_of(site, path):
            site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=key)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_verify_marks_what_is_missing_only_with_repair(site):
    files = Files(site, a=2 * MIB + 5, b=300)
    migrate(site, files, CLOUD, TAPE)
    key = objects_of(site, files.paths[1])[0]
    site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=key)

    def replicas():
        return len(site.firn_json('file', 'state', files.paths[1])['payload'][0]['copies'])
    r = site.firn('tier', 'verify', 'store1', *files.paths, check=False)
    assert r.returncode == 1 and 'is not in the store' in r.stdout and replicas() == 2, r.stdout
    assert site.firn('tier', 'verify', 'store1', '--repair', *files.paths, check=False).returncode == 1
    assert replicas() == 1
    site.firn('file', 'recall', *files.paths)
    migrate(site, files, CLOUD, TAPE)
    assert replicas() == 2
    site.firn('tier', 'verify', 'store1', '--read', *files.paths)


def test_gc_finds_garbage_and_deletes_it_only_when_asked(site):
    files = Files(site, keep=MIB + 1, drop=2 * MIB)
    keep, dropped = files.paths
    migrate(site, files)
    before = objects_of(site, dropped)
    site.firn('file', 'recall', '--resident', dropped)
    assert before

    def here():
        return set(site.store.list_objects(s3pool.BUCKET))
    r = site.firn_json('tier', 'gc', 'store1')['payload'][0]
    assert r['deleted'] == 0 and r['garbage_count'] == 0 and r['recent'] > 0, r
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0')['payload'][0]
    assert r['garbage_count'] >= 1 and r['deleted'] == 0 and set(before) <= here(), r
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0', '--delete')['payload'][0]
    assert r['deleted'] >= 1 and not set(before) & here(), r
    site.firn('file', 'recall', keep)
    files.check()
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0')['payload'][0]
    assert r['garbage_count'] == 0, json.dumps(r)


def test_copies_of_deleted_files_are_garbage_when_asked_for(site):
    files = Files(site, keep=MIB + 7, gone=2 * MIB)
    migrate(site, files, CLOUD, TAPE)
    keep, gone = files.paths
    keys = objects_of(site, gone)
    os.unlink(gone)
    del files.sums[gone]
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0', '--delete')['payload'][0]
    assert r['garbage_count'] == 0, r
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0', '--unreferenced')['payload'][0]
    assert gone.endswith(r['garbage'][0]['path']) or r['garbage_count'] > 1, r
    site.firn('tier', 'gc', 'store1', '--min-age', '0', '--unreferenced', '--delete')
    assert not set(keys) & set(site.store.list_objects(s3pool.BUCKET))
    site.firn('file', 'recall', keep)
    files.check()


def put_again(site, key, other, drop=()):
    """A copy of an object under another archive id, as a put of this file system that ended there."""
    client = site.store.boto()
    r = client.get_object(Bucket=s3pool.BUCKET, Key=key)
    mine = agree.own(r['Metadata'])['archive']
    meta = {k: v.replace(mine, other) for k, v in r['Metadata'].items() if k not in drop and k != 'storage_class'}
    client.put_object(Bucket=s3pool.BUCKET, Key=key.replace(mine, other), Metadata=meta,
                      Body=r['Body'].read().replace(mine.encode(), other.encode()))


def test_gc_deletes_rests_of_puts_but_neither_damaged_copies_nor_those_of_others(site):
    files = Files(site, a=2 * MIB + 9)
    migrate(site, files)
    keys = objects_of(site, files.paths[0])
    manifest = next(k for k in keys if k.endswith('manifest'))
    chunk = next(k for k in keys if not k.endswith('manifest'))
    rest, foreign = '11111111-2222-4333-8444-555555555555', '66666666-7777-4888-8999-aaaaaaaaaaaa'
    put_again(site, chunk, rest)
    client = site.store.boto()
    r = client.get_object(Bucket=s3pool.BUCKET, Key=chunk)
    meta = {k: v for k, v in r['Metadata'].items() if k != 'storage_class'}
    own = agree.own(meta)
    text = ';'.join(f'{k}={v}' for k, v in {**own, 'archive': foreign, 'fs': 'elsewhere'}.items())
    client.put_object(Bucket=s3pool.BUCKET, Key=chunk.replace(own['archive'], foreign), Body=r['Body'].read(),
                      Metadata={**meta, 'firn': text})
    client.put_object(Bucket=s3pool.BUCKET, Key='readme.txt', Body=b'not of firn')
    r = site.firn_json('tier', 'gc', 'store1', '--min-age', '0', '--delete')['payload'][0]
    assert r['deleted'] == 1 and r['garbage'][0]['reason'] == 'incomplete', r
    assert r['garbage'][0]['id'] == rest and r['foreign'] >= 2, r
    left = set(site.store.list_objects(s3pool.BUCKET))
    assert set(keys) <= left and 'readme.txt' in left and any(foreign in k for k in left), left
    for key in [k for k in left if foreign in k]:
        client.delete_object(Bucket=s3pool.BUCKET, Key=key)
    site.firn('file', 'recall', *files.paths)
    files.check()


@contextlib.contextmanager
def without_catalogue(site):
    assert site.stop('firnd') == 0
    catalogue = os.path.join(site.state, 'catalog')
    os.rename(catalogue, catalogue + '.lost')
    site.start_firnd()
    wait_for('the store to be up', lambda: is_up(site))
    try:
        yield
    finally:
        assert site.stop('firnd') == 0
        shutil.rmtree(catalogue)
        os.rename(catalogue + '.lost', catalogue)
        site.start_firnd()


def test_without_a_catalogue_gc_keeps_what_files_name_and_what_is_damaged(site):
    files = Files(site, a=2 * MIB + 9, b=3 * MIB)
    migrate(site, files)
    kept, gone = files.paths
    key = next(k for k in objects_of(site, gone) if not k.endswith('manifest'))
    archive = site.firn_json('file', 'state', gone)['payload'][0]['archive_id']
    site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=key)
    os.unlink(gone)
    del files.sums[gone], files.stats[gone]
    os.rename(kept, kept + '.moved')
    files.sums[kept + '.moved'], files.stats[kept + '.moved'] = files.sums.pop(kept), files.stats.pop(kept)
    with without_catalogue(site):
        r = site.firn('tier', 'gc', 'store1', '--min-age', '0', '--delete', check=False)
        assert r.returncode == 1 and archive in r.stdout and 'it is kept' in r.stdout, r.stdout
    assert any(archive in k for k in site.store.list_objects(s3pool.BUCKET))
    site.firn('file', 'recall', kept + '.moved')
    files.check()


def test_gc_reads_the_records_of_hidden_folders_too(site):
    files = Files(site, a=2 * MIB + 9)
    migrate(site, files)
    path = files.paths[0]
    keys = objects_of(site, path)
    hidden = site.path('.firn-aside')
    os.mkdir(hidden)
    os.rename(path, os.path.join(hidden, 'a'))
    with without_catalogue(site):
        site.firn('tier', 'gc', 'store1', '--min-age', '0', '--delete', check=False)
        assert set(keys) <= set(site.store.list_objects(s3pool.BUCKET))
    os.rename(os.path.join(hidden, 'a'), path)
    site.firn('file', 'recall', path)
    files.check()


def test_gc_reads_the_records_of_files_that_something_is_mounted_over(site):
    files = Files(site, a=2 * MIB + 9)
    migrate(site, files)
    keys = objects_of(site, files.paths[0])
    for place in (site.path(), site.mount):
        with without_catalogue(site):
            subprocess.run(['mount', '-t', 'tmpfs', 'tmpfs', place], check=True)
            try:
                site.firn('tier', 'gc', 'store1', '--min-age', '0', '--delete', check=False)
            finally:
                subprocess.run(['umount', place], check=True)
            assert set(keys) <= set(site.store.list_objects(s3pool.BUCKET)), place
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_gc_deletes_nothing_while_a_record_cannot_be_read(site):
    files = Files(site, a=2 * MIB + 9)
    migrate(site, files)
    path = files.paths[0]
    keys = objects_of(site, path)
    record = os.getxattr(path, 'trusted.firn.hsm')
    os.setxattr(path, 'trusted.firn.hsm', record[:-1] + bytes([record[-1] ^ 1]))
    with without_catalogue(site):
        r = site.firn('tier', 'gc', 'store1', '--min-age', '0', '--delete', check=False)
        assert set(keys) <= set(site.store.list_objects(s3pool.BUCKET))
        assert r.returncode == 1 and 'its state record is damaged' in r.stdout, r.stdout
    os.setxattr(path, 'trusted.firn.hsm', record)
    site.firn('file', 'recall', path)
    files.check()


def lose_catalogue(site):
    assert site.stop('firnd') == 0
    shutil.rmtree(os.path.join(site.state, 'catalog'))
    site.start_firnd()
    wait_for('the store to be up', lambda: is_up(site))


def test_the_catalogue_is_rebuilt_from_files_and_store(site):
    files = Files(site, a=2 * MIB + 5, b=300)
    migrate(site, files)
    moved = files.paths[1] + '.moved'
    os.rename(files.paths[1], moved)
    files.sums[moved], files.stats[moved] = files.sums.pop(files.paths[1]), files.stats.pop(files.paths[1])
    lose_catalogue(site)
    site.firn('rebuild')
    site.firn('file', 'recall', files.paths[0], moved)
    files.check()


def test_files_that_one_rebuild_could_not_see_are_found_by_the_next(site):
    files = Files(site, a=300, b=400)
    migrate(site, files)
    lose_catalogue(site)
    subprocess.run(['mount', '-t', 'tmpfs', 'none', files.folder], check=True)
    site.firn('rebuild')
    subprocess.run(['umount', files.folder], check=True)
    garbage = site.firn_json('tier', 'show', 'store1')['payload'][0]['garbage_copies']
    site.firn('rebuild')
    left = site.firn_json('tier', 'show', 'store1')['payload'][0]['garbage_copies']
    assert left == garbage - 2, (garbage, left)
    site.firn('file', 'recall', *files.paths)
    files.check()


if __name__ == '__main__':
    tap.main(globals(), make)
