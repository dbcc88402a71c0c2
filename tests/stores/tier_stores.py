# SPDX-License-Identifier: Apache-2.0
"""The S3 tier through firnd, on a real store ($FIRN_TEST_STORE: radosgw, s3rver or firn): what is migrated comes back as it
was, and through the proxy, whatever happens between: nothing wrong is ever taken for right, and every accepted job ends.

For each fault, files are migrated while it hits the writes, and recalled while it hits the reads. What a store or a network
does once or twice must not be noticed by the user; what goes on must end as a failure with a reason, with the file as it was.
In both cases, once the fault is over, each file is read back whole."""
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from cloudsite import CLOUD, CloudSite
from faults import FAULTS
from firnsite import program
from s3stores import store

STORE = os.environ.get('FIRN_TEST_STORE', 'radosgw')
SEED = int(os.environ.get('FIRN_TEST_SEED', '20260101'))
CHUNK = 64 * 1024
SIZES = {'one': 1, 'less': CHUNK - 1, 'chunk': CHUNK, 'more': CHUNK + 1, 'many': 5 * CHUNK + 777}
PATIENCE = 10 if tap.long_run() else 1  # seconds given to a job while a fault lasts, before it is lifted
ENDS = 90  # seconds within which every job must have ended

# Faults that a client must get over when they happen twice: the work is done in the end.
PASSING = ['cut_before_request', 'cut_request_body', 'cut_after_work', 'cut_response_body', 'garbage', 'latency',
           'trickle_request', 'trickle_response', 'stall_before', 'stall_after_work', 'stall_request', 'stall_response',
           'slow_down', 'internal_error', 'bad_gateway', 'too_many', 'request_timeout', 'repeat', 'missing_etag',
           'drop_checksums', 'flip_response', 'truncate_response', 'zero_response']
# How a fault of the table is made when it needs arguments.
ARGUMENTS = {'trickle_request': {'rate': 400000}, 'trickle_response': {'rate': 400000}, 'latency': {'seconds': 0.3},
             'drop_header': {'name': '^x-amz-meta-'}, 'put_header': {'name': 'x-amz-meta-firn', 'value': 'v=1;size=7'},
             'redirect': {'to': 'http://127.0.0.1:1/'}}


class Bench:
    def __init__(self, real, proxy, site):
        self.real, self.proxy, self.site, self.n = real, proxy, site, 0
        self.show_log = site.show_log

    def files(self, sizes=None, seed=0):
        """Fresh files in a directory of their own; returns {path: facts}."""
        self.n += 1
        folder = os.path.join(self.site.mount, f'd{self.n}')
        os.mkdir(folder)
        for name, size in (sizes or SIZES).items():
            path = os.path.join(folder, name)
            with open(path, 'wb') as f:
                f.write(content(size, f'{SEED}:{self.n}:{name}:{seed}'))
            os.setxattr(path, 'user.colour', b'blue\x00and green')
            os.chown(path, 1234, 2345)
            os.chmod(path, 0o640)
            os.utime(path, ns=(1_600_000_000_123_456_789, 1_500_000_000_987_654_321 + self.n))
        return {os.path.join(folder, name): facts(os.path.join(folder, name)) for name in (sizes or SIZES)}

    def do(self, verb, files, *more, seconds=ENDS):
        """firn file VERB FILES; it must end in time, how is the caller's to judge. Prints nothing."""
        pool = ['-p', CLOUD] if verb != 'recall' else []
        return self.site.firn('file', verb, *files, *pool, *more, check=False, timeout=seconds)

    def states(self, files):
        r = self.site.firn_json('file', 'state', *files)
        return {f['path']: f['state'] for f in r['payload']}

    def whole(self, files):
        """With no fault any more, each file comes back, as it was."""
        self.proxy.clear()
        r = self.do('recall', files)
        assert r.returncode == 0, r.stdout + r.stderr
        for path, was in files.items():
            now = facts(path)
            assert now == was, f'{path}: {differences(was, now)}'

    def unhurt(self, files):
        """No file is in a state that lies: what is on disk is what was written, what is not on disk has a copy."""
        states = self.states(files)
        for path, state in states.items():
            if state in ('resident', 'premigrated'):
                assert facts(path) == files[path], f'{path} ({state}): {differences(files[path], facts(path))}'
            else:
                assert state == 'migrated', f'{path} is {state}'
                assert os.stat(path).st_size == files[path]['size']
        return states


def content(size, seed):
    """Bytes that are half of them compressible, another for each seed."""
    out = bytearray()
    n = 0
    while len(out) < size:
        block = hashlib.sha512(f'{seed}:{n}'.encode()).digest()
        out += block + block[:8] * 8
        n += 1
    return bytes(out[:size])


def facts(path):
    st = os.stat(path)
    with open(path, 'rb') as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    xattrs = {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith('user.')}
    return {'size': st.st_size, 'mtime': st.st_mtime_ns, 'uid': st.st_uid, 'gid': st.st_gid, 'mode': st.st_mode, 'ino': st.st_ino,
            'sha256': digest, 'xattrs': xattrs}


def differences(a, b):
    return {k: (a[k], b[k]) for k in a if a[k] != b[k]}


@contextlib.contextmanager
def make():
    with store(STORE) as real, real.faults(SEED, narrow=True) as proxy, CloudSite(real, proxy.endpoint, fs_size='1G') as site:
        print(f'# {STORE}, seed {proxy.seed}')
        site.start_firnd()
        yield Bench(real, proxy, site)


# -- without faults -----------------------------------------------------------------------------------------
def test_files_come_back_with_bytes_times_owner_mode_and_attributes(b):
    files = b.files()
    r = b.do('migrate', files)
    assert r.returncode == 0, r.stdout + r.stderr
    states = b.states(files)
    assert set(states.values()) == {'migrated'}, states
    assert all(os.stat(p).st_blocks <= 8 for p in files), 'a block of attributes may be there, none of data'
    b.whole(files)


def test_objects_lie_in_all_buckets_and_say_whose_they_are(b):
    files = b.files({f'f{i}': CHUNK * 2 + i for i in range(12)})
    assert b.do('migrate', files).returncode == 0
    objects = b.site.objects()
    assert {bucket for bucket, _ in objects} == set(b.site.buckets)
    client = b.real.boto()
    for bucket, key in list(objects)[:20]:
        meta = client.head_object(Bucket=bucket, Key=key)['Metadata']
        assert any(k.startswith('firn') for k in meta), f'{bucket}/{key} carries {meta}'
    b.whole(files)


def test_a_small_file_takes_one_request_each_way(b):
    assert b.do('migrate', b.files({'first': 1})).returncode == 0  # buckets are made with the first
    files = b.files({'one': 1, 'text': CHUNK})
    for verb, method in (('migrate', 'PUT'), ('recall', 'GET')):
        before = len(b.proxy.log)
        assert b.do(verb, files).returncode == 0
        assert [e['method'] for e in b.proxy.log[before:]] == [method] * 2, b.proxy.log[before:]
    b.whole(files)


def test_a_premigrated_file_that_is_written_to_is_resident(b):
    files = b.files({'f': 200000})
    path = next(iter(files))
    assert b.do('premigrate', files).returncode == 0
    assert b.states(files)[path] == 'premigrated'
    with open(path, 'ab') as f:
        f.write(b'more')
    assert b.states(files)[path] == 'resident'
    files[path] = facts(path)
    assert b.do('migrate', files).returncode == 0
    b.whole(files)


def test_a_sparse_file_stays_sparse(b):
    files = b.files({'sparse': 0})
    path = next(iter(files))
    with open(path, 'r+b') as f:
        f.truncate(64 << 20)
        f.seek(20 << 20)
        f.write(b'island' * 1000)
    files[path] = facts(path)
    assert b.do('migrate', files).returncode == 0
    b.whole(files)
    assert os.stat(path).st_blocks * 512 < 1 << 20, os.stat(path).st_blocks


def test_a_restart_of_firnd_forgets_nothing(b):
    files = b.files()
    assert b.do('migrate', files).returncode == 0
    b.site.stop('firnd')
    b.site.start_firnd()
    b.whole(files)


# -- firn tier ----------------------------------------------------------------------------------------------
def test_tier_list_and_show_tell_of_the_store(b):
    files = b.files({'f': 3 * CHUNK})
    assert b.do('migrate', files).returncode == 0
    listed = next(t for t in b.site.firn_json('tier', 'list')['payload'] if t['name'] == 'store1')
    assert (listed['kind'], listed['state'], listed['pools']) == ('s3', 'up', ['cloud']), listed
    assert listed['copies'] > 0 and listed['bytes'] > 0 and listed['endpoint'] == b.proxy.endpoint, listed
    shown = b.site.firn('tier', 'show', 'store1').stdout
    for word in ('store1', 's3', 'up', 'firn-tier', b.proxy.endpoint, '64.0 KiB'):
        assert word in shown, f'{word}:\n{shown}'
    b.whole(files)


def verify(b, *more):
    r = b.site.firn('tier', 'verify', 'store1', *more, check=False)
    return r.returncode, r.stdout + r.stderr


def test_tier_verify_finds_a_chunk_that_is_gone_or_damaged(b):
    assert verify(b, '--read')[0] == 0
    client = b.real.boto()
    for what in ('gone', 'damaged'):
        before = set(b.site.objects())
        files = b.files({'f': 5 * CHUNK})
        assert b.do('migrate', files).returncode == 0
        objects = b.site.objects()
        bucket, key = max(set(objects) - before, key=lambda o: objects[o])
        kept = client.get_object(Bucket=bucket, Key=key)
        data, meta = kept['Body'].read(), kept['Metadata']
        if what == 'gone':
            client.delete_object(Bucket=bucket, Key=key)
        else:
            client.put_object(Bucket=bucket, Key=key, Body=data[:100] + bytes([data[100] ^ 1]) + data[101:], Metadata=meta)
        status, told = verify(b, '--read')
        assert status == 1 and key in told and bucket in told, told
        r = b.do('recall', files)
        assert r.returncode != 0 and key in r.stdout + r.stderr, r.stdout + r.stderr
        assert set(b.unhurt(files).values()) == {'migrated'}, 'the stub is left as it was'
        client.put_object(Bucket=bucket, Key=key, Body=data, Metadata=meta)
        b.whole(files)


def test_tier_gc_deletes_what_nobody_needs_and_nothing_else(b):
    kept = b.files()
    assert b.do('migrate', kept).returncode == 0
    before = set(b.site.objects())
    changed = b.files()
    assert b.do('migrate', changed).returncode == 0
    theirs = set(b.site.objects()) - before
    assert theirs
    b.whole(changed)
    for path in changed:
        with open(path, 'ab') as f:
            f.write(b'!')
        changed[path] = facts(path)
    assert b.do('migrate', changed).returncode == 0
    b.real.boto().put_object(Bucket=b.site.buckets[0], Key='foreign/object', Body=b'not of firn')
    for argv in (['--min-age', '0'], ['--delete']):  # a dry run; all is younger than a day
        r = b.site.firn('tier', 'gc', *argv, 'store1', check=False)
        assert r.returncode == 0, r.stdout + r.stderr
        assert theirs <= set(b.site.objects()), r.stdout + r.stderr
    r = b.site.firn('tier', 'gc', '--delete', '--min-age', '0', 'store1', check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    left = set(b.site.objects())
    assert not theirs & left, r.stdout + r.stderr
    assert (b.site.buckets[0], 'foreign/object') in left
    b.whole({**kept, **changed})


# -- faults -------------------------------------------------------------------------------------------------
def reads(fault):
    """What a fault of reads hits: with HEAD an answer has no body, nor an error a name."""
    return 'GET|HEAD' if fault not in ('cut_response_body', 'garbage', 'request_timeout') else 'GET'


def ends(b, verb, files, patience):
    """Runs a job while faults hit. A job that still waits after patience seconds (a store that is away makes work wait) must
    end by itself when they are over. Returns (status, what it said, whether it waited)."""
    pool = ['-p', CLOUD] if verb != 'recall' else []
    start = time.monotonic()
    argv = [program('firn'), '--config', b.site.conf, 'file', verb, *files, *pool]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
        try:
            told, waited = p.communicate(timeout=patience)[0], False
        except subprocess.TimeoutExpired:
            problem = next(t for t in b.site.firn_json('tier', 'list')['payload'] if t['name'] == 'store1')
            print(f"# still at work: store {problem['state']}, {problem['problem']}")
            for path in files:  # also meanwhile
                assert os.stat(path).st_size == files[path]['size']
            b.proxy.clear()
            b.site.firn('library', 'rescan', '-l', 'store1', check=False)  # or it is looked for in some seconds
            try:
                told, waited = p.communicate(timeout=ENDS)[0], True
            except subprocess.TimeoutExpired:
                p.kill()
                raise AssertionError(f'{verb} does not end after the fault is over') from None
    b.proxy.clear()
    print(f'# {verb}: status {p.returncode} in {time.monotonic() - start:.1f} s{", waited" if waited else ""}')
    return p.returncode, told, waited


def migrate_under(b, fault, must_succeed, **rule):
    files = b.files()
    b.proxy.keep_answers()
    b.proxy.add(fault, method='PUT|POST|GET|HEAD', **{**ARGUMENTS.get(fault, {}), **rule})
    status, told, _ = ends(b, 'migrate', files, ENDS if must_succeed else PATIENCE)
    states = b.unhurt(files)
    if must_succeed:
        assert status == 0, told
    if status == 0:
        assert set(states.values()) == {'migrated'}, states
    else:
        failed = [p for p in files if states[p] != 'migrated']
        assert failed and all(p in told for p in failed), told
    b.whole(files)


def recall_under(b, fault, must_succeed, **rule):
    files = b.files()
    assert b.do('migrate', files).returncode == 0
    b.proxy.keep_answers()
    if fault == 'other_object':
        other = b.files(seed=1)
        assert b.do('migrate', other).returncode == 0 and b.do('recall', other).returncode == 0
    b.proxy.add(fault, method=reads(fault), **{**ARGUMENTS.get(fault, {}), **rule})
    status, told, _ = ends(b, 'recall', files, ENDS if must_succeed else PATIENCE)
    states = b.unhurt(files)
    if must_succeed:
        assert status == 0, told
    if status == 0:
        assert 'migrated' not in states.values(), states
    else:
        failed = [p for p in files if states[p] == 'migrated']
        assert failed and all(p in told for p in failed), told
    b.whole(files)


def passing_fault(fault):
    def test(b):
        migrate_under(b, fault, True, count=2)
        recall_under(b, fault, True, count=2)
    return test


def lasting_fault(fault):
    def test(b):
        migrate_under(b, fault, False)
        recall_under(b, fault, False)
    return test


# Faults whose end depends on what the store itself verifies; the others last on one store only, but with --long on all.
BY_STORE = ['flip_request', 'truncate_request', 'empty_ok', 'error_in_200', 'wrong_etag', 'missing_etag', 'drop_header',
            'put_header', 'repeat', 'not_found', 'flip_response', 'zero_response', 'truncate_response', 'other_object']
for _fault in FAULTS:
    if _fault in PASSING:
        globals()[f'test_a_passing_{_fault}_is_not_noticed'] = passing_fault(_fault)
    if STORE != 'radosgw' and _fault not in BY_STORE and not tap.long_run():
        continue
    globals()[f'test_under_a_lasting_{_fault}_nothing_wrong_is_accepted'] = lasting_fault(_fault)


def test_under_chance_of_everything_nothing_wrong_is_accepted(b):
    rounds = 20 if tap.long_run() else 4
    for _ in range(rounds):
        files = b.files()
        b.proxy.keep_answers()
        for fault in FAULTS:
            if 'stall' not in fault:
                b.proxy.add(fault, probability=0.02, **ARGUMENTS.get(fault, {}))
        b.do('migrate', files)
        b.unhurt(files)
        b.do('recall', files)
        b.unhurt(files)
        b.whole(files)
    print(f'# {json.dumps(b.proxy.counts())}')


def test_a_store_that_is_away_makes_work_wait_and_says_so(b):
    files = b.files()
    b.proxy.add('cut_before_request')
    status, told, waited = ends(b, 'migrate', files, 8)
    assert waited and status == 0, told
    assert set(b.unhurt(files).values()) == {'migrated'}
    b.whole(files)


def test_a_slow_transfer_that_goes_on_is_alive(b):
    """Each way takes longer than the stall timeout of 2 s, with bytes moving each half second; the document's tool died of less."""
    files = b.files({'f': CHUNK})
    for verb, fault, method in (('migrate', 'trickle_request', 'PUT'), ('recall', 'trickle_response', 'GET')):
        rule = b.proxy.add(fault, method=method, key=r'^/[^/]+/.', rate=10000)
        before = len(b.proxy.log)
        start = time.monotonic()
        r = b.do(verb, files)
        assert r.returncode == 0, r.stdout + r.stderr
        log = b.proxy.log[before:]
        assert time.monotonic() - start > 3 and rule.hits == 1, (verb, time.monotonic() - start, log)
        b.proxy.clear()
    b.whole(files)


if __name__ == '__main__':
    tap.main(globals(), setup=make)
