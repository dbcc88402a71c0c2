# SPDX-License-Identifier: Apache-2.0
"""Objects come back: on demand, after kill -9, from a replica, or with an error that says why; never a
wrong byte. On a real file system with a real S3 client."""
import contextlib
import glob
import http.client
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site, wait_for

DATA = os.urandom(6_000_000)


@contextlib.contextmanager
def make():
    with Site(fs=os.environ.get('FIRN_TEST_FS', 'ext4'), recall_wait=5) as site:
        site.start()
        site.assign('pool1', 2, first=0)
        site.assign('pool2', 2, first=2)
        site.acc = site.account('user1')
        site.firn('bucket', 'create', 'buck', '--owner', 'user1')
        site.client = site.boto(site.acc, signature_version='s3v4')
        yield site


def put_migrated(site, key, data=DATA, pools='pool1@lib1'):
    site.client.put_object(Bucket='buck', Key=key, Body=data)
    site.firn('file', 'migrate', site.path('buck', key), '-p', pools)
    assert site.state_of(site.path('buck', key)) == 'migrated'
    assert os.stat(site.path('buck', key)).st_blocks <= 8, 'blocks besides that of the attributes'


def get(site, key, **kw):
    return site.client.get_object(Bucket='buck', Key=key, **kw)['Body'].read()


def status_of(site, key):
    """(status, S3 error code, headers) of a GET by a presigned URL, without a client's retries."""
    url = site.client.generate_presigned_url('get_object', Params={'Bucket': 'buck', 'Key': key})
    c = http.client.HTTPConnection('127.0.0.1', site.port, timeout=60)
    c.request('GET', '/' + url.split('/', 3)[3])
    r = c.getresponse()
    body = r.read().decode('utf-8', 'replace')
    code = body.split('<Code>')[1].split('<')[0] if '<Code>' in body else ''
    return r.status, code, dict(r.getheaders())


def test_migrate_and_recall_keep_mtime_inode_etag_owner_and_attributes(site):
    path = site.path('buck', 'keep')
    site.client.put_object(Bucket='buck', Key='keep', Body=DATA, Metadata={'a': 'b'})
    before, head = os.stat(path), site.client.head_object(Bucket='buck', Key='keep')
    attrs = {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith('user.')}
    site.firn('file', 'migrate', path, '-p', 'pool1@lib1')
    stub = site.client.head_object(Bucket='buck', Key='keep')
    assert stub['ETag'] == head['ETag'] and stub['ContentLength'] == len(DATA) and stub['LastModified'] == head['LastModified']
    assert get(site, 'keep') == DATA
    after = os.stat(path)
    for field in ('st_mtime_ns', 'st_ino', 'st_uid', 'st_gid', 'st_mode', 'st_size'):
        assert getattr(before, field) == getattr(after, field), field
    assert {n: os.getxattr(path, n) for n in os.listxattr(path) if n.startswith('user.')} == attrs
    assert site.client.head_object(Bucket='buck', Key='keep')['ETag'] == head['ETag']
    assert site.state_of(path) == 'premigrated'


def test_a_plan_tells_what_a_recall_takes_and_recalls_nothing(site):
    put_migrated(site, 'planned')
    path = site.path('buck', 'planned')
    text = site.firn('file', 'recall', '--plan', path).stdout
    assert f'Bytes:       {len(DATA)}' in text and 'Tapes:       1' in text and 'Files:       1' in text, text
    assert site.state_of(path) == 'migrated'
    plan = site.firn_json('file', 'recall', '--plan', path)['payload']
    plan = plan[0] if isinstance(plan, list) else plan
    assert plan['files'] == 1 and plan['volumes'][0]['library'] == 'lib1', plan
    site.firn('file', 'recall', path)
    assert 'On disk:     1' in site.firn('file', 'recall', '--plan', path).stdout


def test_a_range_of_a_migrated_object_is_right(site):
    put_migrated(site, 'range')
    assert get(site, 'range', Range='bytes=1000000-1999999') == DATA[1000000:2000000]


def test_head_list_and_tags_of_a_stub_recall_nothing(site):
    put_migrated(site, 'still')
    site.client.head_object(Bucket='buck', Key='still')
    sizes = {o['Key']: o['Size'] for o in site.client.list_objects_v2(Bucket='buck')['Contents']}
    assert sizes['still'] == len(DATA)
    site.client.put_object_tagging(Bucket='buck', Key='still', Tagging={'TagSet': [{'Key': 'action', 'Value': 'recall'}]})
    site.client.get_object_tagging(Bucket='buck', Key='still')
    assert site.state_of(site.path('buck', 'still')) == 'migrated'


def test_many_readers_of_one_stub_share_one_recall(site):
    put_migrated(site, 'shared')
    results = []
    threads = [threading.Thread(target=lambda: results.append(get(site, 'shared') == DATA)) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert results == [True] * 8, results


def test_a_get_is_refused_at_once_when_transparent_recall_is_off(site):
    put_migrated(site, 'refused')
    site.firn('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'no')
    begin = time.monotonic()
    status, code, _ = status_of(site, 'refused')
    assert (status, code) == (403, 'InvalidObjectState'), (status, code)
    assert time.monotonic() - begin < 2
    assert site.state_of(site.path('buck', 'refused')) == 'migrated'
    site.firn('cluster', 'set', '-a', 'allow_transparent_recall', '-v', 'yes')


def test_a_get_waits_within_its_bound_and_then_answers_503_with_retry_after(site):
    put_migrated(site, 'slow')
    pid = site.procs['firnd'].pid
    os.kill(pid, signal.SIGSTOP)
    try:
        begin = time.monotonic()
        status, code, headers = status_of(site, 'slow')
        took = time.monotonic() - begin
        assert status == 503 and int(headers['Retry-After']) > 0, (status, code, headers)
        assert 3 < took < 20, took
        assert status_of(site, 'keep')[0] == 200, 'objects that are on disk need no firnd'
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for('the recall to end by itself', lambda: site.state_of(site.path('buck', 'slow')) == 'premigrated')
    assert get(site, 'slow') == DATA


def restart_with(site, point):
    site.stop('firnd')
    site.start_firnd({'FIRN_CRASH_POINT': point})


def test_firnd_killed_in_the_middle_of_a_recall_gives_an_error_or_the_data(site):
    for point in ('recall_begun', 'recall_half', 'recall_written', 'recall_synced', 'recall_recorded'):
        key = 'killed-' + point
        put_migrated(site, key)
        restart_with(site, point)
        answers = []

        def reader(key=key):
            url = site.client.generate_presigned_url('get_object', Params={'Bucket': 'buck', 'Key': key})
            c = http.client.HTTPConnection('127.0.0.1', site.port, timeout=60)
            c.request('GET', '/' + url.split('/', 3)[3])
            r = c.getresponse()
            answers.append((r.status, r.read()))
        t = threading.Thread(target=reader)
        t.start()
        assert site.wait_death('firnd') == -9, point
        site.start_firnd()
        t.join(60)
        status, body = answers[0]
        assert status in (200, 500, 503), (point, status)
        assert status != 200 or body == DATA, f'{point}: wrong bytes'
        wait_for(f'{point}: the recall to end by itself', lambda: site.state_of(site.path('buck', key)) == 'premigrated')
        with open(site.path('buck', key), 'rb') as f:
            assert f.read() == DATA, point
        assert get(site, key) == DATA, point


def cartridge_dirs(site, barcode):
    return [d for d in glob.glob(site.library + '/**/' + barcode, recursive=True) if os.path.isdir(d)]


def damage(site, barcode):
    """Flips bytes in every data record of a cartridge, behind the labels and the first index."""
    n = 0
    for d in cartridge_dirs(site, barcode):
        for record in glob.glob(d + '/1_*_R'):
            if int(os.path.basename(record).split('_')[1]) < 7:
                continue
            with open(record, 'r+b') as f:
                head = f.read(64)
                if b'<?xml' in head or b'ltfsindex' in head:
                    continue
                f.seek(100)
                f.write(b'damaged by the test')
                n += 1
    assert n > 0, f'nothing to damage on {barcode}'


def volume_of(site, path, pool):
    f = site.firn_json('file', 'state', path)['payload'][0]
    return next(c['volume'] for c in f['copies'] if c['pool'] == pool)


def test_a_damaged_cartridge_is_named_and_the_file_is_left_alone(site):
    put_migrated(site, 'damaged')
    volume = volume_of(site, site.path('buck', 'damaged'), 'pool1')
    damage(site, volume)
    status, _, _ = status_of(site, 'damaged')
    assert status >= 500, status
    r = site.firn('file', 'recall', site.path('buck', 'damaged'), check=False)
    assert r.returncode == 1 and volume in r.stdout + r.stderr, r.stdout + r.stderr
    assert site.state_of(site.path('buck', 'damaged')) == 'migrated'


def test_a_replica_is_used_when_the_first_copy_is_damaged(site):
    data = os.urandom(3_000_000)
    site.firn('file', 'recall', site.path('buck', 'still'), check=False)
    put_migrated(site, 'replica', data, 'pool1@lib1,pool2@lib1')
    f = site.firn_json('file', 'state', site.path('buck', 'replica'))['payload'][0]
    assert len(f['copies']) == 2, f
    damage(site, volume_of(site, site.path('buck', 'replica'), 'pool1'))
    assert get(site, 'replica') == data


if __name__ == '__main__':
    tap.main(globals(), make)
