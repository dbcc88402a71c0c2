# SPDX-License-Identifier: Apache-2.0
"""Each fault of tests/lib/faults.py is shown to happen: boto3 sends through the proxy to a real store (Ceph radosgw), and what
the client saw and what the store holds afterwards, asked past the proxy, are compared."""
import contextlib
import http.client
import os
import socket
import subprocess
import sys
import time

LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib')
sys.path.insert(0, LIB)
import tap
from botocore.exceptions import BotoCoreError, ClientError
from faults import FAULTS
from s3stores import store

DATA = bytes(range(256)) * 1024  # 256 KiB
SEED = int(os.environ.get('FIRN_TEST_SEED', '20260101'))


class Bench:
    """A store, a proxy before it, clients of both, and which faults have been seen."""

    def __init__(self, real, proxy):
        self.real, self.proxy, self.seen, self.n = real, proxy, set(), 0
        self.direct = real.boto()
        self.client = real.boto(proxy.endpoint, retries={'max_attempts': 0}, read_timeout=3, connect_timeout=3)

    def key(self):
        self.n += 1
        return f'k{self.n}'

    def stored(self, key):
        try:
            return self.direct.get_object(Bucket='bbb', Key=key)['Body'].read()
        except ClientError:
            return None

    def put(self, key, body=DATA, **kw):
        return self.client.put_object(Bucket='bbb', Key=key, Body=body, **kw)

    def get(self, key):
        return self.client.get_object(Bucket='bbb', Key=key)['Body'].read()

    @contextlib.contextmanager
    def fault(self, name, /, **a):
        rule = self.proxy.add(name, **a)
        try:
            yield rule
        finally:
            self.proxy.clear()
        assert rule.hits > 0, f'{name} never hit'
        self.seen.add(name)


@contextlib.contextmanager
def make():
    with store('radosgw') as real, real.faults(SEED) as proxy:
        print(f'# seed {proxy.seed}; radosgw was up in {real.start_seconds:.1f} s')
        real.make_bucket('bbb')
        yield Bench(real, proxy)


def fails(call, *args, **kw):
    """The exception of a call that must fail."""
    try:
        call(*args, **kw)
    except (BotoCoreError, ClientError, OSError, http.client.HTTPException) as e:
        return e
    raise AssertionError('it did not fail')


def refused(call, *args, **kw):
    """(status, code) of a call that the store, or who speaks for it, refuses."""
    e = fails(call, *args, **kw)
    assert isinstance(e, ClientError), e
    return e.response['ResponseMetadata']['HTTPStatusCode'], e.response['Error']['Code']


def unsigned_body(b, key, body):
    """PUT by a presigned URL: the signature does not cover the body, so damage is the store's to take."""
    url = b.client.generate_presigned_url('put_object', Params={'Bucket': 'bbb', 'Key': key}, ExpiresIn=600)
    c = http.client.HTTPConnection('127.0.0.1', b.proxy.port, timeout=10)
    with contextlib.closing(c):
        c.request('PUT', '/' + url.split('/', 3)[3], body)
        r = c.getresponse()
        r.read()
        return r.status


# -- without a fault ----------------------------------------------------------------------------------------
def test_without_a_rule_nothing_changes(b):
    key = b.key()
    b.put(key, Metadata={'a': 'b'})
    r = b.client.get_object(Bucket='bbb', Key=key)
    assert r['Body'].read() == DATA and r['Metadata'] == {'a': 'b'}
    assert b.client.head_object(Bucket='bbb', Key=key)['ContentLength'] == len(DATA)
    assert [o['Key'] for o in b.client.list_objects_v2(Bucket='bbb')['Contents']] == [key]
    assert refused(b.get, 'none') == (404, 'NoSuchKey')
    b.client.delete_object(Bucket='bbb', Key=key)
    assert b.stored(key) is None
    big = b.key()
    b.put(big, DATA * 80)
    assert b.get(big) == DATA * 80 == b.stored(big)
    b.direct.delete_object(Bucket='bbb', Key=big)


def test_a_refusal_before_the_body_reaches_a_client_that_expects_100(b):
    c = b.real.boto(b.proxy.endpoint, retries={'max_attempts': 0})
    assert refused(c.put_object, Bucket='missing', Key='k', Body=DATA * 40) == (404, 'NoSuchBucket')


# -- connections --------------------------------------------------------------------------------------------
def test_cut_before_request(b):
    key = b.key()
    with b.fault('cut_before_request', method='PUT'):
        fails(b.put, key)
    assert b.stored(key) is None


def test_cut_request_body(b):
    key = b.key()
    with b.fault('cut_request_body', method='PUT', fraction=0.5):
        fails(b.put, key)
    assert b.stored(key) is None


def test_cut_after_work(b):
    key = b.key()
    with b.fault('cut_after_work', method='PUT'):
        fails(b.put, key)
    assert b.stored(key) == DATA, 'the store did the work all the same'


def test_cut_response_body(b):
    key = b.key()
    b.put(key)
    for reset in ('0', '1'):
        with b.fault('cut_response_body', method='GET', after=70000, reset=reset):
            fails(b.get, key)


def test_garbage(b):
    key = b.key()
    with b.fault('garbage', method='PUT'):
        fails(b.put, key)
    assert b.stored(key) == DATA


# -- time ---------------------------------------------------------------------------------------------------
def took(call, *args):
    start = time.monotonic()
    call(*args)
    return time.monotonic() - start


def test_latency(b):
    key = b.key()
    with b.fault('latency', method='PUT', seconds=0.4):
        assert took(b.put, key) >= 0.4
    with b.fault('latency', method='GET', seconds=0.4, where='answer'):
        assert took(b.get, key) >= 0.4
    assert b.stored(key) == DATA


def test_trickle_request(b):
    key = b.key()
    with b.fault('trickle_request', method='PUT', rate=2000):
        assert took(b.put, key, b'x' * 1000) >= 0.4
    assert b.stored(key) == b'x' * 1000


def test_trickle_response(b):
    key = b.key()
    b.put(key, b'x' * 1000)
    with b.fault('trickle_response', method='GET', rate=2000):
        assert took(b.get, key) >= 0.4


def test_stall_before(b):
    key = b.key()
    with b.fault('stall_before', method='PUT'):
        assert 'timeout' in type(fails(b.put, key)).__name__.lower()
    assert b.stored(key) is None


def test_stall_after_work(b):
    key = b.key()
    with b.fault('stall_after_work', method='PUT'):
        assert 'timeout' in type(fails(b.put, key)).__name__.lower()
    assert b.stored(key) == DATA


def test_stall_request(b):
    key = b.key()
    with b.fault('stall_request', method='PUT', after=100000):
        fails(b.put, key)
    assert b.stored(key) is None


def test_stall_response(b):
    key = b.key()
    b.put(key)
    with b.fault('stall_response', method='GET', after=100000):
        fails(b.get, key)


# -- damage -------------------------------------------------------------------------------------------------
def differing(a, b):
    assert len(a) == len(b)
    return [i for i in range(len(a)) if a[i] != b[i]]


def test_flip_request(b):
    key = b.key()
    with b.fault('flip_request', method='PUT', after=12345):
        assert unsigned_body(b, key, DATA) == 200
    assert differing(b.stored(key), DATA) == [12345]
    with b.fault('flip_request', method='PUT'):
        assert refused(b.put, b.key())[0] == 400, 'radosgw compares Content-MD5 or the signed digest'


def test_flip_response(b):
    key = b.key()
    b.put(key)
    with b.fault('flip_response', method='GET'):
        assert len(differing(b.get(key), DATA)) == 1
    assert b.get(key) == DATA


def test_the_seed_chooses_the_byte(b):
    key = b.key()
    b.put(key)
    places = []
    for seed in (1, 1, 2):
        with b.real.faults(seed) as proxy:
            proxy.add('flip_response', method='GET')
            got = b.real.boto(proxy.endpoint).get_object(Bucket='bbb', Key=key)['Body'].read()
            places.append(differing(got, DATA))
    assert places[0] == places[1] != places[2], places


def test_truncate_request(b):
    key = b.key()
    with b.fault('truncate_request', method='PUT', after=1000, length='right'):
        assert unsigned_body(b, key, DATA) == 200
    assert b.stored(key) == DATA[:1000]
    key = b.key()
    with b.fault('truncate_request', method='PUT', after=1000, length='wrong'):
        fails(unsigned_body, b, key, DATA)
    assert b.stored(key) is None


def test_truncate_response(b):
    key = b.key()
    b.put(key)
    with b.fault('truncate_response', method='GET', after=1000, length='right'):
        assert b.get(key) == DATA[:1000]
    with b.fault('truncate_response', method='GET', after=1000, length='wrong'):
        fails(b.get, key)


def test_zero_response(b):
    key = b.key()
    b.put(key)
    with b.fault('zero_response', method='GET', after=100001):
        assert b.get(key) == DATA[:100001] + bytes(len(DATA) - 100001)


def test_other_object(b):
    one, two = b.key(), b.key()
    b.put(one, b'the one')
    b.put(two, b'the other')
    b.proxy.keep_answers()
    assert b.get(one) == b'the one'
    with b.fault('other_object', method='GET', key=two):
        assert b.get(two) == b'the one'


def test_lose_entry(b):
    for name in ('list/1', 'list/2', 'list/3'):
        b.put(name, b'')
    with b.fault('lose_entry', method='GET', key='prefix=list', entry='2$'):
        r = b.client.list_objects_v2(Bucket='bbb', Prefix='list/')
    assert [o['Key'] for o in r['Contents']] == ['list/1', 'list/3']


# -- twice --------------------------------------------------------------------------------------------------
def test_repeat(b):
    b.direct.create_bucket(Bucket='versions')
    b.direct.put_bucket_versioning(Bucket='versions', VersioningConfiguration={'Status': 'Enabled'})
    with b.fault('repeat', method='PUT'):
        b.client.put_object(Bucket='versions', Key='k', Body=DATA)
    assert len(b.direct.list_object_versions(Bucket='versions')['Versions']) == 2
    upload = b.client.create_multipart_upload(Bucket='bbb', Key='m')['UploadId']
    part = b.client.upload_part(Bucket='bbb', Key='m', UploadId=upload, PartNumber=1, Body=DATA)['ETag']
    with b.fault('repeat', method='POST', give='first', times=3) as rule:
        b.client.complete_multipart_upload(Bucket='bbb', Key='m', UploadId=upload,
                                           MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': part}]})
    assert rule.hits == 1 and b.stored('m') == DATA


# -- answers ------------------------------------------------------------------------------------------------
ANSWERS = {'slow_down': (503, 'SlowDown'), 'internal_error': (500, 'InternalError'), 'bad_gateway': (502, 'BadGateway'),
           'too_many': (429, 'TooManyRequests'), 'skewed': (403, 'RequestTimeTooSkewed'), 'expired': (400, 'ExpiredToken'),
           'denied': (403, 'AccessDenied'), 'request_timeout': (400, 'RequestTimeout'), 'not_found': (404, 'NoSuchKey'),
           'no_bucket': (404, 'NoSuchBucket'), 'full': (507, 'InsufficientStorage')}


def test_answers_of_a_store_that_did_nothing(b):
    for name, wanted in ANSWERS.items():
        key = b.key()
        with b.fault(name, method='PUT'):
            assert refused(b.put, key) == wanted, name
        assert b.stored(key) is None, name


def test_answers_of_a_store_that_did_the_work(b):
    key = b.key()
    with b.fault('internal_error', method='PUT', work='1'):
        assert refused(b.put, key) == (500, 'InternalError')
    assert b.stored(key) == DATA


def test_retry_after_is_said(b):
    with b.fault('slow_down', method='GET', retry_after=7):
        e = fails(b.get, 'none')
    assert e.response['ResponseMetadata']['HTTPHeaders']['retry-after'] == '7'
    with b.fault('too_many', method='GET'):
        e = fails(b.get, 'none')
    assert e.response['ResponseMetadata']['HTTPHeaders']['retry-after'] == '1'


def test_error_in_200(b):
    key = b.key()
    with b.fault('error_in_200', method='PUT'):
        assert unsigned_body(b, key, DATA) == 200
    assert b.stored(key) is None


def test_empty_ok(b):
    key = b.key()
    with b.fault('empty_ok', method='PUT'):
        assert 'ETag' not in b.put(key)
    assert b.stored(key) is None


def test_redirect(b):
    with b.fault('redirect', method='GET', to='http://127.0.0.1:1/elsewhere'):
        c = http.client.HTTPConnection('127.0.0.1', b.proxy.port)
        c.request('GET', '/bbb/x')
        r = c.getresponse()
    assert (r.status, r.getheader('Location')) == (307, 'http://127.0.0.1:1/elsewhere')


# -- headers ------------------------------------------------------------------------------------------------
def test_wrong_etag(b):
    key = b.key()
    with b.fault('wrong_etag', method='PUT'):
        assert b.put(key)['ETag'] == '"0123456789abcdef0123456789abcdef"'


def test_missing_etag(b):
    with b.fault('missing_etag', method='PUT'):
        assert 'ETag' not in b.put(b.key())


def test_put_header_and_drop_checksums(b):
    with b.fault('put_header', method='PUT', name='x-amz-checksum-crc32c', value='AAAAAA=='):
        headers = b.put(b.key())['ResponseMetadata']['HTTPHeaders']
        assert headers['x-amz-checksum-crc32c'] == 'AAAAAA=='
    b.proxy.add('put_header', method='PUT', name='x-amz-checksum-crc32c', value='AAAAAA==')
    with b.fault('drop_checksums', method='PUT'):
        headers = b.put(b.key())['ResponseMetadata']['HTTPHeaders']
    assert not [h for h in headers if h.startswith('x-amz-checksum')] and 'etag' in headers


def test_drop_header(b):
    key = b.key()
    b.put(key, Metadata={'length': '1', 'other': '2'})
    with b.fault('drop_header', method='HEAD', name='^x-amz-meta-length$'):
        assert b.client.head_object(Bucket='bbb', Key=key)['Metadata'] == {'other': '2'}


# -- selection ----------------------------------------------------------------------------------------------

def pattern(b, n, **rule):
    """n requests, '.' for each that passed and 'x' for each that was hit."""
    b.direct.put_object(Bucket='bbb', Key='s', Body=b'1')
    out = ''
    b.proxy.add('slow_down', **rule)
    for _ in range(n):
        try:
            b.client.head_object(Bucket='bbb', Key='s')
            out += '.'
        except ClientError:
            out += 'x'
    b.proxy.clear()
    return out


def test_a_rule_chooses_by_method_key_number_count_and_chance(b):
    assert pattern(b, 4, method='GET') == '....'
    assert pattern(b, 4, method='GET|HEAD') == 'xxxx'
    assert pattern(b, 4, key='^/bbb/other') == '....'
    assert pattern(b, 4, key='^/bbb/s$') == 'xxxx'
    assert pattern(b, 5, nth=2, count=2) == '.xx..'
    assert pattern(b, 7, nth=2, every=3) == '.x..x..'
    some = pattern(b, 40, probability=0.5)
    assert 5 < some.count('x') < 35, some


def test_chance_is_a_function_of_the_seed(b):
    b.direct.put_object(Bucket='bbb', Key='s', Body=b'1')

    def run(seed):
        with b.real.faults(seed) as proxy:
            own = Bench(b.real, proxy)
            return pattern(own, 20, probability=0.5)
    assert run(5) == run(5) != run(6)


def test_faults_add_up(b):
    key = b.key()
    b.put(key)
    b.proxy.add('missing_etag', method='GET')
    with b.fault('flip_response', method='GET'):
        r = b.client.get_object(Bucket='bbb', Key=key)
        assert 'ETag' not in r and len(differing(r['Body'].read(), DATA)) == 1


def test_the_log_says_what_was_done(b):
    before = len(b.proxy.log)
    with b.fault('slow_down', method='PUT'):
        fails(b.put, 'logged')
    entry = b.proxy.log[before]
    assert (entry['method'], entry['target'], entry['faults'], entry['status']) == ('PUT', '/bbb/logged', ['slow_down'], 503)
    assert b.proxy.counts()['slow_down'] > 0


# -- by its control port ------------------------------------------------------------------------------------
def test_a_test_in_another_language_drives_it_by_lines(b):
    argv = ['/usr/bin/python3', os.path.join(LIB, 'faultproxy.py'), '--to', f'{b.real.host}:{b.real.port}', '--seed', '9']
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as p:
        said = dict(w.split('=') for w in p.stdout.readline().split())
        assert said['seed'] == '9'
        with socket.create_connection(('127.0.0.1', int(said['control']))) as s, s.makefile('rw') as f:
            def ask(line):
                f.write(line + '\n')
                f.flush()
                return f.readline().strip()
            assert ask('add slow_down method=PUT "key=/a b$" count=1') == 'ok 1'
            client = b.real.boto(f'http://127.0.0.1:{said["proxy"]}', retries={'max_attempts': 0})
            assert refused(client.put_object, Bucket='bbb', Key='a b', Body=b'x') == (503, 'SlowDown')
            client.put_object(Bucket='bbb', Key='a b', Body=b'x')
            assert ask('hits 1') == 'ok 1'
            assert ask('counts') == 'ok {"slow_down": 1}'
            assert ask('remove 1') == 'ok' and ask('clear') == 'ok' and ask('log').startswith('ok [{')
            assert ask('add nonsense').startswith('error no fault nonsense')
            assert ask('add slow_down key=(').startswith('error')
            assert ask('dance').startswith('error no command dance')
        p.stdin.close()
        assert p.wait(10) == 0


def test_every_fault_has_been_seen(b):
    missing = set(FAULTS) - b.seen
    assert not missing, f'no test shows {sorted(missing)}'


if __name__ == '__main__':
    tap.main(globals(), setup=make)
