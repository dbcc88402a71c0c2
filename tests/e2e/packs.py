# SPDX-License-Identifier: Apache-2.0
"""Small files that share objects of a store (pack_size): few objects, every file as it was; a copy counts only once its pack is
in the store, whatever ends before; a pack is deleted only when all in it is garbage. FIRN_TEST_STORE names the store."""
import contextlib
import hashlib
import io
import json
import os
import shutil
import sys
import time
import uuid
import zipfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import s3pool
import tap
from firnsite import Site, wait_for

KIND = os.environ.get('FIRN_TEST_STORE', 'firn')
CLOUD = 'cloud@store1'


@contextlib.contextmanager
def make():
    with s3pool.Pool(KIND) as pool:
        with pool.store.faults(seed=12) as proxy, \
                Site(extra=pool.conf(endpoint=proxy.endpoint, pack_size='1MiB'), pools=[pool.pool], fs_size='1G') as site:
            site.store, site.proxy, site.round = pool.store, proxy, 0
            site.start_firnd()
            yield site


class Files:
    """n new files in a folder of their own, with what is in them."""

    def __init__(self, site, n, size=2000):
        site.round += 1
        folder = site.path(f'packs{site.round}')
        os.makedirs(folder)
        self.paths = [os.path.join(folder, f'f{i}') for i in range(n)]
        self.facts = {}
        for i, path in enumerate(self.paths):
            with open(path, 'wb') as f:
                f.write(os.urandom(size + i))
            os.setxattr(path, 'user.colour', f'{i}'.encode())
            os.utime(path, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321 + i))
            self.facts[path] = facts(path)

    def check(self, paths=None):
        for path in self.paths if paths is None else paths:
            assert facts(path) == self.facts[path], path


def facts(path):
    st = os.stat(path)
    with open(path, 'rb') as f:
        return hashlib.sha256(f.read()).hexdigest(), st.st_size, st.st_mtime_ns, st.st_mode, os.getxattr(path, 'user.colour')


def states(site, paths):
    return {f['state'] for f in site.firn_json('file', 'state', *paths)['payload']}


def migrate(site, files):
    site.firn('file', 'migrate', '-p', CLOUD, *files.paths)
    assert states(site, files.paths) == {'migrated'}


def keys(site):
    return set(site.store.list_objects(s3pool.BUCKET))


def body(site, key):
    return site.store.boto().get_object(Bucket=s3pool.BUCKET, Key=key)['Body'].read()


def put(site, key, data, like):
    client = site.store.boto()
    meta = client.get_object(Bucket=s3pool.BUCKET, Key=like)['Metadata']
    meta.pop('storage_class', None)
    client.put_object(Bucket=s3pool.BUCKET, Key=key, Body=data, Metadata=meta)


def packed(site, n, **kw):
    """n files in a pack of their own, and its key."""
    before = keys(site)
    files = Files(site, n, **kw)
    migrate(site, files)
    new = keys(site) - before
    assert len(new) == 1 and next(iter(new)).endswith('.pack'), new
    return files, next(iter(new))


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
            wait_for('the store to be up', lambda: is_up(site))


def gc(site, *more):
    return site.firn_json('tier', 'gc', 'store1', '--min-age', '0', *more)['payload'][0]


def test_many_small_files_take_few_objects_and_requests(site):
    files = Files(site, 300)
    before, asked = keys(site), len(site.proxy.log)
    migrate(site, files)
    new = keys(site) - before
    assert 1 <= len(new) <= 3 and all(k.endswith('.pack') for k in new), new
    puts = sum(e['method'] == 'PUT' for e in site.proxy.log[asked:])
    assert puts <= 3, puts
    site.firn('file', 'recall', *files.paths)
    files.check()
    shown = site.firn('tier', 'show', 'store1').stdout
    assert 'Size of pack:        1.0 MiB' in shown, shown


def test_packs_hold_small_files_only_and_full_ones_go_before_the_end(site):
    small, large = Files(site, 20, size=100_000), Files(site, 2, size=300_000)
    before = keys(site)
    site.firn('file', 'migrate', '-p', CLOUD, *small.paths, *large.paths)
    new = keys(site) - before
    packs = [k for k in new if k.endswith('.pack')]
    assert len(packs) == 2 or len(packs) == 3, new
    assert len(new) - len(packs) == 2, new
    assert all(len(body(site, k)) <= 1 << 20 for k in packs)
    site.firn('file', 'recall', *small.paths, *large.paths)
    small.check()
    large.check()


def test_a_death_before_or_after_the_pack_is_sent_costs_nothing_but_work(site):
    for point, sent in (('migrate_copied', 0), ('migrate_synced', 1)):
        files = Files(site, 50)
        before = keys(site)
        site.stop('firnd')
        site.start_firnd(env={'FIRN_CRASH_POINT': point})
        wait_for('the store to be up', lambda: is_up(site))
        site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths, check=False)
        assert site.wait_death('firnd') == -9, point
        assert len(keys(site) - before) == sent, point
        site.start_firnd()
        wait_for('the migration', lambda files=files: states(site, files.paths) == {'migrated'}, 60)
        site.firn('file', 'recall', *files.paths)
        files.check()
        assert len(keys(site) - before) == sent + 1
        r = gc(site, '--delete')
        assert r['deleted'] == 50 * sent and r['objects'] == sent, r
        assert len(keys(site) - before) == 1


def test_a_store_that_is_down_when_the_pack_is_to_go_makes_it_wait(site):
    files = Files(site, 60)
    before = keys(site)
    with down(site):
        site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        assert states(site, files.paths) == {'resident'}
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    assert len(keys(site) - before) == 1
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_stop_while_the_pack_waits_leaves_the_work_to_the_next_start(site):
    files = Files(site, 30)
    with down(site):
        site.firn('file', 'migrate', '--async', '-p', CLOUD, *files.paths)
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        assert site.stop('firnd') == 0
    site.start_firnd()
    wait_for('the migration', lambda: states(site, files.paths) == {'migrated'}, 60)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_task_is_cancelled_while_the_pack_waits(site):
    files = Files(site, 30)
    with down(site):
        task = site.firn_json('file', 'migrate', '--async', '-p', CLOUD, *files.paths)['payload'][0]['task_id']
        wait_for('the store to be down', lambda: 'store store1 is down' in attention(site))
        site.firn('task', 'cancel', str(task))
        wait_for('the end', lambda: site.firn_json('task', 'show', str(task))['payload'][0]['status'] == 'completed')
        assert not is_up(site)
        assert states(site, files.paths) == {'resident'}
    migrate(site, files)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_cancel_does_not_wait_for_a_store_that_hangs_while_the_pack_is_sent(site):
    files = Files(site, 30)
    rule = site.proxy.add('stall_before', method='PUT')
    task = site.firn_json('file', 'migrate', '--async', '-p', CLOUD, *files.paths)['payload'][0]['task_id']
    wait_for('a request', lambda: rule.hits > 0)
    begin = time.monotonic()
    site.firn('task', 'cancel', str(task))
    wait_for('the end', lambda: site.firn_json('task', 'show', str(task))['payload'][0]['status'] == 'completed', 60)
    took = time.monotonic() - begin
    site.proxy.remove(rule.id)
    assert took < 5, took
    assert states(site, files.paths) == {'resident'}
    migrate(site, files)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_a_full_store_fails_the_files_of_the_pack_with_its_reason(site):
    files = Files(site, 30)
    rule = site.proxy.add('skewed', method='PUT', code='QuotaExceeded')
    r = site.firn('file', 'migrate', '-p', CLOUD, *files.paths, check=False)
    site.proxy.remove(rule.id)
    assert r.returncode == 1 and 'store1 (pool cloud) is full' in r.stdout + r.stderr, r.stdout + r.stderr
    assert states(site, files.paths) == {'resident'}
    files.check()
    migrate(site, files)
    assert 'store1' not in attention(site), attention(site)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_gc_deletes_a_pack_when_all_in_it_is_garbage_and_tells_of_the_others(site):
    gc(site, '--delete')
    first = gc(site)
    assert first['garbage_count'] == 0, first
    whole, dead = packed(site, 40)
    half, alive = packed(site, 40)
    dropped, kept = half.paths[:15], half.paths[15:]
    site.firn('file', 'recall', '--resident', *whole.paths, *dropped)
    r = gc(site)
    assert r['garbage_count'] == 40 and r['objects'] == 1 and r['deleted'] == 0, r
    assert {g['pack'] for g in r['garbage']} == {f'{s3pool.BUCKET}/{dead}'}, r
    assert r['in_packs']['count'] == first['in_packs']['count'] + 15, r
    assert r['in_packs']['bytes'] > first['in_packs']['bytes'] + 15 * 2000, r
    told = site.firn('tier', 'gc', 'store1', '--min-age', '0').stdout
    assert 'in packs that also hold wanted copies' in told, told
    size = len(body(site, dead))
    r = gc(site, '--delete')
    assert r['deleted'] == 40 and r['objects'] == 1 and r['bytes'] == size, r
    assert dead not in keys(site) and alive in keys(site)
    site.firn('file', 'recall', *kept)
    half.check()
    site.firn('file', 'recall', '--resident', *kept)
    r = gc(site, '--delete')
    assert r['deleted'] == 40 and r['in_packs'] == first['in_packs'], r
    assert alive not in keys(site)
    whole.check()


def test_gc_takes_packs_of_deleted_files_only_when_asked_and_keeps_young_ones(site):
    files, key = packed(site, 25)
    for path in files.paths:
        os.unlink(path)
    assert gc(site)['garbage_count'] == 0
    r = site.firn_json('tier', 'gc', 'store1', '--unreferenced', '--delete')['payload'][0]
    assert r['deleted'] == 0 and key in keys(site), r
    r = gc(site, '--unreferenced', '--delete')
    assert r['deleted'] >= 25 and key not in keys(site), r


def test_gc_keeps_a_pack_one_of_whose_files_is_named_by_nothing_but_its_record(site):
    files, key = packed(site, 10)
    one, rest = files.paths[0], files.paths[1:]
    os.rename(one, one + '.moved')
    for path in rest:
        os.unlink(path)
    with without_catalogue(site):
        r = gc(site, '--delete')
        assert key in keys(site) and r['in_packs']['count'] >= 9, r
        site.firn('rebuild')
        site.firn('file', 'recall', one + '.moved')
        assert facts(one + '.moved') == files.facts[one]


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
        wait_for('the store to be up', lambda: is_up(site))


def test_the_catalogue_is_rebuilt_from_packs_alone_even_if_one_is_there_twice(site):
    files, key = packed(site, 30)
    again = f'{uuid.uuid4()}.pack'
    put(site, again, body(site, key), key)
    moved = files.paths[0] + '.moved'
    os.rename(files.paths[0], moved)
    files.facts[moved] = files.facts[files.paths[0]]
    files.paths[0] = moved
    with without_catalogue(site):
        r = site.firn_json('rebuild')['payload'][0]
        assert r['copies'] >= 60 and not r['problems'], r
        site.firn('tier', 'verify', 'store1', '--read', *files.paths)
        r = gc(site, '--delete')
        assert key in keys(site) and again in keys(site), 'neither is garbage: a file names what is in both'
        site.firn('file', 'recall', *files.paths)
        files.check()
    site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=again)
    site.firn('file', 'recall', '--resident', *files.paths)


def test_a_pack_whose_directory_is_damaged_is_kept_and_named(site):
    files, key = packed(site, 6)
    good = body(site, key)
    put(site, key, good[:-10], key)
    site.firn('file', 'recall', '--resident', *files.paths)
    gc(site, '--delete')
    assert key in keys(site)
    with open(os.path.join(site.dir, 'firnd.log'), encoding='utf-8', errors='replace') as f:
        assert f'{s3pool.BUCKET}/{key}' in f.read()
    put(site, key, good, key)
    files.check()


def test_verify_and_recall_find_a_damaged_member_and_only_that(site):
    files, key = packed(site, 12)
    good = body(site, key)
    archive = site.firn_json('file', 'state', files.paths[5])['payload'][0]['archive_id']
    with zipfile.ZipFile(io.BytesIO(good)) as z:
        info = next(i for i in z.infolist() if i.filename.startswith(archive))
    head = good[info.header_offset:info.header_offset + 30]
    at = info.header_offset + 30 + int.from_bytes(head[26:28], 'little') + int.from_bytes(head[28:30], 'little') + 100
    put(site, key, good[:at] + bytes([good[at] ^ 1]) + good[at + 1:], key)
    r = site.firn('tier', 'verify', 'store1', '--read', *files.paths, check=False)
    assert r.returncode == 1 and key in r.stdout and archive in r.stdout and ' 11 as they should be, 1 problems' in r.stdout, r.stdout
    r = site.firn('file', 'recall', *files.paths, check=False)
    assert r.returncode == 1 and key in r.stdout + r.stderr, r.stdout + r.stderr
    files.check([p for p in files.paths if p != files.paths[5]])
    assert states(site, [files.paths[5]]) == {'migrated'}
    put(site, key, good, key)
    site.firn('file', 'recall', files.paths[5])
    files.check()


def test_verify_finds_a_pack_that_is_gone(site):
    files, key = packed(site, 5)
    good = body(site, key)
    spare = f'spare/{key}'
    put(site, spare, good, key)
    site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=key)
    r = site.firn('tier', 'verify', 'store1', *files.paths, check=False)
    assert r.returncode == 1 and r.stdout.count('is not in the store') == 5, r.stdout
    put(site, key, good, spare)
    site.store.boto().delete_object(Bucket=s3pool.BUCKET, Key=spare)
    site.firn('tier', 'verify', 'store1', '--read', *files.paths)
    site.firn('file', 'recall', *files.paths)
    files.check()


def test_garbage_that_is_known_from_a_rebuild_goes_with_its_pack(site):
    files, key = packed(site, 8)
    site.firn('file', 'recall', '--resident', *files.paths)
    os.unlink(files.paths.pop())
    with without_catalogue(site):
        site.firn('rebuild')
        r = gc(site, '--delete')
        assert r['deleted'] >= 8 and key not in keys(site), r
    files.check()


def test_the_memory_of_packs_is_told(site):
    tier = site.firn_json('tier', 'show', 'store1')['payload'][0]
    assert tier['pack_size'] == 1 << 20, tier
    assert tier['memory']['bound'] > 16 << 20, json.dumps(tier['memory'])
    assert tier['memory']['peak'] <= tier['memory']['bound'], tier['memory']


if __name__ == '__main__':
    tap.main(globals(), make)
