# SPDX-License-Identifier: Apache-2.0
"""The stores of tests/lib/s3stores.py themselves: that they start, are what their pages say, run beside each other, and leave
nothing. What one of them is weak at is asserted too, for tests of firn rest on it."""
import atexit
import base64
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from botocore.exceptions import ClientError
from rawhttp import Signer
from s3stores import names, store

# A place of its own, for other tests may make and remove theirs meanwhile.
PLACE = tempfile.mkdtemp(prefix='firn-stores-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
os.chmod(PLACE, 0o755)
os.environ['FIRN_TEST_DIR'] = PLACE
atexit.register(shutil.rmtree, PLACE, ignore_errors=True)


def left_behind():
    return os.listdir(PLACE)


def refused(call, **kw):
    try:
        call(**kw)
    except ClientError as e:
        return e.response['Error']['Code']
    raise AssertionError('it was not refused')


def raw_put(s, key, body, payload='UNSIGNED-PAYLOAD', **headers):
    signer = Signer({'access_key': s.access_key, 'secret_key': s.secret_key}, f'{s.host}:{s.port}')
    h = signer.headers('PUT', '/tests/' + key, '', headers={k.replace('_', '-'): v for k, v in headers.items()}, payload=payload)
    c = http.client.HTTPConnection(s.host, s.port, timeout=30)
    try:
        c.request('PUT', '/tests/' + key, body, h)
        r = c.getresponse()
        r.read()
        return r.status
    finally:
        c.close()


def basics(s):
    s.make_bucket('tests')
    c = s.boto()
    data = os.urandom(300000)
    put = c.put_object(Bucket='tests', Key='a/b c', Body=data, Metadata={'size': '300000'})
    assert (put['ETag'] == '"' + hashlib.md5(data).hexdigest() + '"') == s.md5_etag
    got = c.get_object(Bucket='tests', Key='a/b c')
    assert got['Body'].read() == data and got['Metadata']['size'] == '300000'
    part = c.get_object(Bucket='tests', Key='a/b c', Range='bytes=1000-1999')
    assert part['Body'].read() == data[1000:2000]
    assert refused(c.get_object, Bucket='tests', Key='none') == 'NoSuchKey'
    assert refused(c.list_objects_v2, Bucket='nosuchbucket') == 'NoSuchBucket'
    for i in range(25):
        c.put_object(Bucket='tests', Key=f'many/{i:02}', Body=b'x' * i)
    assert s.list_objects('tests', 'many/') == {f'many/{i:02}': i for i in range(25)}
    page = c.list_objects_v2(Bucket='tests', Prefix='many/', MaxKeys=10)
    assert page['IsTruncated'] and len(page['Contents']) == 10
    c.delete_object(Bucket='tests', Key='many/00')
    c.delete_object(Bucket='tests', Key='many/00')
    assert 'many/00' not in s.list_objects('tests', 'many/')


def signatures(s):
    other = type('wrong', (), {})()
    other.__dict__.update(host=s.host, port=s.port, access_key=s.access_key, secret_key=s.secret_key + 'x')
    status = raw_put(other, 'forged', b'x')
    assert status == 403, status
    assert refused(s.boto().head_object, Bucket='tests', Key='forged') == '404'


def underscores(s):
    if s.underscores:
        for i in (0, 256):
            s.make_bucket(f'lustre_hsm_{i}')
            s.boto().put_object(Bucket=f'lustre_hsm_{i}', Key='0000000200000401_00000001_00000000.0', Body=b'x')
        assert list(s.list_objects('lustre_hsm_256')) == ['0000000200000401_00000001_00000000.0']
    else:
        status, _, _ = s.request('PUT', '/lustre_hsm_0')
        assert status == 400, status


# What each store does about a body that is not what its headers say: the status of the PUT.
VERIFIES = {
    'radosgw': {'content-md5': 400, 'payload': 400, 'checksum': 200},
    's3rver': {'content-md5': 200, 'payload': 200, 'checksum': 200},
    'firn': {'content-md5': 400, 'payload': 400, 'checksum': 400},
}


def checks(s):
    digest = base64.b64encode(hashlib.sha256(b'right').digest()).decode()
    found = {
        'content-md5': raw_put(s, 'x', b'wrong', content_md5=base64.b64encode(hashlib.md5(b'right').digest()).decode()),
        'payload': raw_put(s, 'x', b'wrong', payload=hashlib.sha256(b'right').hexdigest()),
        'checksum': raw_put(s, 'x', b'wrong', x_amz_checksum_sha256=digest),
    }
    assert found == VERIFIES[s.name], found
    assert bool(s.checksums) == (found['checksum'] == 400)


def one_store(name):
    def test():
        assert left_behind() == []
        start = time.monotonic()
        with store(name) as s:
            print(f'# {name} was up in {time.monotonic() - start:.1f} s')
            for step in (basics, signatures, underscores, checks):
                step(s)
        assert left_behind() == []
    return test


for _name in names():
    globals()[f'test_{_name}_is_the_store_its_page_says'] = one_store(_name)


def test_radosgw_behind_tls_is_trusted_by_its_authority_alone():
    with store('radosgw', tls=True) as s:
        s.make_bucket('tests')
        assert s.request('PUT', '/tests/k', b'x')[0] == 200
        assert s.endpoint.startswith('https:') and s.list_objects('tests') == {'k': 1}
        r = subprocess.run(['curl', '-sS', s.endpoint], capture_output=True, text=True, check=False)
        assert r.returncode == 60, r
        r = subprocess.run(['curl', '-sS', '--cacert', s.ca_file, s.endpoint], capture_output=True, text=True, check=False)
        assert r.returncode == 0 and 'ListAllMyBucketsResult' in r.stdout, r


def test_radosgw_finds_a_bucket_in_the_host_name():
    with store('radosgw', virtual=True) as s:
        s.make_bucket('tests')
        s.boto().put_object(Bucket='tests', Key='k', Body=b'x' * 99, ACL='public-read')
        r = subprocess.run(['curl', '-sS', f'http://tests.localhost:{s.port}/k'], capture_output=True, text=True, check=False)
        assert r.stdout == 'x' * 99, r


def test_each_store_runs_twice_at_once():
    assert left_behind() == []
    for name in names():
        with store(name) as a, store(name) as b:
            a.make_bucket('mine')
            b.make_bucket('mine')
            a.boto().put_object(Bucket='mine', Key='k', Body=b'a')
            assert a.list_objects('mine') == {'k': 1} and b.list_objects('mine') == {}
    assert left_behind() == []


def test_no_port_is_below_20000():
    for name in names():
        with store(name) as s:
            assert s.port >= 20000


if __name__ == '__main__':
    tap.main(globals())
