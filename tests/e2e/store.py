# SPDX-License-Identifier: Apache-2.0
"""The S3 store client against real stores ($FIRN_TEST_STORES names one), directly and through the fault proxy: what
passes is tried again from a clean start, what is definite fails at once, and nothing wrong is ever accepted."""
import concurrent.futures
import contextlib
import errno
import os
import signal
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from s3stores import names, store
from storetool import ABSENT, Tool

BUCKET = 'bucket-1'
DATA = os.urandom(3_000_000)
KEYS = ['plain', 'with blank', 'a+b', 'percent%2Fcent', 'ümläut/☃', "quote'\"&<>", 'tilde~(x)!*,;=:@$', 'UPPER', 'q?x#y']
# What firn-s3 and s3rver, which keep objects as files, refuse or change.
ODD_KEYS = ['a//b', '/begin', '../up', 'dots/./x', 'end/', 'back\\slash']


class Fixture:
    def __init__(self, s, directory):
        self.s, self.dir = s, directory
        self.tool = Tool(s.endpoint, s.access_key, s.secret_key, ca=s.ca_file)
        self.out = os.path.join(directory, 'out')
        self.data = self.file('data', DATA)

    def file(self, name, data):
        path = os.path.join(self.dir, name)
        with open(path, 'wb') as f:
            f.write(data)
        return path

    def got(self):
        with open(self.out, 'rb') as f:
            return f.read()

    def forget(self):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.out)

    def stored(self, key):
        return self.s.boto().get_object(Bucket=BUCKET, Key=key)['Body'].read()

    def through(self, proxy):
        return Tool(f'http://127.0.0.1:{proxy.port}', self.s.access_key, self.s.secret_key)


@contextlib.contextmanager
def make():
    with tempfile.TemporaryDirectory() as directory, store(names()[0]) as s:
        s.make_bucket(BUCKET)
        yield Fixture(s, directory)


def test_bodies_of_all_sizes_come_back(f):
    for size in (0, 1, 65535, 1 << 20, 3_000_000):
        path = f.file('body', DATA[:size])
        r = f.tool.ok('put', BUCKET, f'size-{size}', path, 'one=1', 'two=b c', 'empty=')
        assert r.fields['proven'] == '1' and r.tries == 1, r
        assert f.stored(f'size-{size}') == DATA[:size]
        r = f.tool.ok('get', BUCKET, f'size-{size}', f.out, size)
        assert f.got() == DATA[:size] and r.meta['one'] == '1' and r.meta['two'] == 'b c', r
        r = f.tool.ok('head', BUCKET, f'size-{size}')
        assert int(r.fields['size']) == size and abs(int(r.fields['modified']) / 1e9 - time.time()) < 3600, r
        f.tool.ok('small', BUCKET, f'size-{size}', f.out, 3_000_000)
        assert f.got() == DATA[:size]


def test_keys_of_any_bytes_are_signed_and_listed_right(f):
    keys = KEYS + (ODD_KEYS if f.s.name == 'radosgw' else [])
    if f.s.name == 's3rver':
        keys.remove("quote'\"&<>")  # it escapes such a key twice in its lists
    path = f.file('body', b'x')
    f.s.make_bucket('bucket-keys')
    for key in keys:
        f.tool.ok('put', 'bucket-keys', key, path)
        f.tool.ok('get', 'bucket-keys', key, f.out, 1)
    r = f.tool.ok('list', 'bucket-keys', '', '')
    assert sorted(i[0] for i in r.items) == sorted(keys), r.items
    f.tool.ok('delete-many', 'bucket-keys', *keys, 'never-there')
    assert not f.tool.ok('list', 'bucket-keys', '', '').items


def test_parts_are_exactly_what_was_asked_for(f):
    f.tool.ok('put', BUCKET, 'parts', f.data)
    for off, size in ((0, 2), (0, 3_000_000), (1000, 5), (2_999_999, 1), (1 << 20, 1 << 20)):
        f.tool.ok('range', BUCKET, 'parts', f.out, off, size)
        assert f.got() == DATA[off:off + size]
    for off, size in ((2_999_999, 2), (3_000_000, 1), (9_000_000, 10)):
        f.forget()
        r = f.tool.run('range', BUCKET, 'parts', f.out, off, size)
        assert r.rc == 1 and r.errno == errno.EMSGSIZE and not os.path.exists(f.out), r
    for size in (0, 2_999_999, 3_000_001):
        r = f.tool.run('get', BUCKET, 'parts', f.out, size)
        assert r.rc == 1 and r.errno == errno.EMSGSIZE and int(r.fields['size']) == 3_000_000, r
    r = f.tool.run('small', BUCKET, 'parts', f.out, 2_999_999)
    assert r.rc == 1 and r.errno == errno.EMSGSIZE, r


def test_what_is_not_there_is_told_apart(f):
    for words in (('get', BUCKET, 'nokey', f.out, 1), ('head', BUCKET, 'nokey'), ('small', BUCKET, 'nokey', f.out, 1)):
        r = f.tool.run(*words)
        assert r.rc == ABSENT and r.fields['code'] == 'NoSuchKey', r
    for words in (('get', 'no-bucket', 'nokey', f.out, 1), ('head', 'no-bucket', 'nokey')):
        r = f.tool.run(*words)
        assert r.rc == ABSENT and r.fields['code'] == 'NoSuchBucket', r
    assert f.tool.run('list', 'no-bucket', '', '').rc == ABSENT
    assert f.tool.run('check', 'no-bucket').rc == ABSENT
    f.tool.ok('check', BUCKET)
    f.tool.ok('delete', BUCKET, 'nokey')
    for words in (('put', 'no-bucket', 'key', f.data), ('delete', 'no-bucket', 'key')):
        r = f.tool.run(*words)
        assert r.rc == 1 and r.errno == errno.ENOENT and 'no-bucket/key' in r.error and 'create the bucket' in r.error, r


def test_definite_refusals_fail_at_once_and_say_what_to_do(f):
    r = f.tool.run('put', BUCKET, 'key', f.data, secret_key='wrong')
    assert r.errno == errno.EACCES and r.tries == 1 and 'SignatureDoesNotMatch' in r.error and 'secret_key' in r.error, r
    r = f.tool.run('put', BUCKET, 'key', f.data, access_key='NOBODY')
    assert r.errno == errno.EACCES and r.tries == 1 and 'InvalidAccessKeyId' in r.error, r
    assert f.tool.run('head', BUCKET, 'key', access_key='NOBODY').errno == errno.EACCES
    with f.s.faults() as proxy:
        tool = f.through(proxy)
        for fault, number, text in (('denied', errno.EACCES, 'AccessDenied'), ('full', errno.ENOSPC, 'quota'),
                                    ('no_bucket', errno.ENOENT, 'NoSuchBucket'), ('expired', errno.EACCES, 'renew')):
            proxy.add(fault)
            r = tool.run('put', BUCKET, 'refused', f.data)
            assert r.rc == 1 and r.errno == number and r.tries == 1 and text in r.error and f'{BUCKET}/refused' in r.error, r
            proxy.clear()


def test_pages_of_a_list_are_put_together(f):
    f.s.make_bucket('bucket-pages')
    client = f.s.boto()
    wanted = [f'dir/{i:05}' for i in range(1050)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket='bucket-pages', Key=key, Body=b''), wanted))
    r = f.tool.ok('list', 'bucket-pages', '', '')
    assert [i[0] for i in r.items] == wanted, len(r.items)
    assert int(r.fields['requests']) == 2, r.fields
    r = f.tool.ok('list', 'bucket-pages', 'dir/000', 'dir/00049')
    assert [i[0] for i in r.items] == wanted[50:100], r.items
    f.tool.ok('delete-many', 'bucket-pages', *wanted[:1000])
    assert [i[0] for i in f.tool.ok('list', 'bucket-pages', '', '').items] == wanted[1000:]


def test_if_absent_keeps_what_is_there(f):
    first, second = f.file('first', b'first'), f.file('second', b'second')
    f.tool.ok('put-absent', BUCKET, 'once', first)
    if f.s.name == 's3rver':  # it does not know the condition: the object is written, as before there was one
        f.tool.ok('put-absent', BUCKET, 'once', second)
        assert f.stored('once') == b'second'
        return
    r = f.tool.run('put-absent', BUCKET, 'once', second)
    assert r.errno == errno.EEXIST and f.stored('once') == b'first', r
    # The answer to the first try is lost; the second finds what the first wrote.
    with f.s.faults() as proxy:
        proxy.add('cut_after_work', method='PUT', count=1)
        r = f.through(proxy).ok('put-absent', BUCKET, 'twice', second)
        assert r.tries == 2 and r.fields['proven'] == '1' and f.stored('twice') == b'second', r


PUT_FAULTS = [('cut_before_request', {}), ('cut_request_body', {}), ('cut_request_body', {'reset': '0'}), ('cut_after_work', {}),
              ('garbage', {}), ('slow_down', {}), ('internal_error', {}), ('bad_gateway', {}), ('too_many', {}),
              ('request_timeout', {}), ('error_in_200', {}), ('empty_ok', {}), ('missing_etag', {}), ('flip_request', {}),
              ('truncate_request', {}), ('stall_after_work', {}), ('stall_request', {}), ('repeat', {}),
              ('latency', {'seconds': 2})]


def test_a_put_is_made_again_until_it_is_proven(f):
    with f.s.faults(seed=3) as proxy:
        tool = f.through(proxy)
        for n, (fault, more) in enumerate(PUT_FAULTS):
            rule = proxy.add(fault, method='PUT', count=1, **more)
            r = tool.run('put', BUCKET, f'fault-{n}', f.data, stall_timeout=1 if 'stall' in fault else 5)
            assert r.rc == 0 and r.fields['proven'] == '1', (fault, r)
            assert rule.hits == 1 and r.tries == (1 if fault in ('repeat', 'latency') else 2), (fault, r)
            assert f.stored(f'fault-{n}') == DATA, fault
            proxy.clear()


def test_a_wrong_etag_or_checksum_proves_nothing(f):
    with f.s.faults() as proxy:
        tool = f.through(proxy)
        proxy.add('drop_checksums')
        proxy.add('wrong_etag')
        r = tool.run('put', BUCKET, 'unproven', f.data, retries=1)
        assert r.rc == 1 and r.errno == errno.EBADMSG and r.tries == 2 and 'other bytes' in r.error, r
        proxy.clear()
        proxy.add('put_header', name='x-amz-checksum-crc64nvme', value='AAAAAAAAAAA=')
        r = tool.run('put', BUCKET, 'unproven', f.data, retries=1)
        assert r.rc == 1 and r.errno == errno.EBADMSG, r
        proxy.clear()
        proxy.add('drop_checksums')
        proxy.add('put_header', name='etag', value='"not-an-md5"')
        r = tool.run('put', BUCKET, 'unproven', f.data)
        assert r.rc == 0 and r.fields['proven'] == '0', r


GET_FAULTS = [('cut_before_request', {}), ('cut_after_work', {}), ('cut_response_body', {}), ('cut_response_body', {'reset': '0'}),
              ('garbage', {}), ('slow_down', {}), ('internal_error', {}), ('bad_gateway', {}), ('error_in_200', {}),
              ('empty_ok', {}), ('missing_etag', {}), ('flip_response', {}), ('zero_response', {}),
              ('truncate_response', {'length': 'wrong'}), ('stall_response', {}), ('stall_after_work', {}), ('repeat', {})]


def test_a_get_is_made_again_until_it_is_right(f):
    f.tool.ok('put', BUCKET, 'source', f.data)
    with f.s.faults(seed=5) as proxy:
        tool = f.through(proxy)
        for fault, more in GET_FAULTS:
            proxy.add(fault, method='GET', count=1, **more)
            f.forget()
            r = tool.run('get', BUCKET, 'source', f.out, len(DATA), stall_timeout=1 if 'stall' in fault else 5)
            assert r.rc == 0 and f.got() == DATA, (fault, r)
            assert r.tries == (1 if fault == 'repeat' else 2), (fault, r)
            proxy.clear()
        for fault, more in GET_FAULTS:
            if fault in ('repeat', 'flip_response', 'zero_response'):
                continue
            proxy.add(fault, method='GET', count=1, **more)
            r = tool.run('range', BUCKET, 'source', f.out, 1_000_000, 500_000, stall_timeout=1 if 'stall' in fault else 5)
            assert r.rc == 0 and f.got() == DATA[1_000_000:1_500_000], (fault, r)
            proxy.clear()


def test_a_fault_that_stays_gives_an_error_and_no_data(f):
    f.tool.ok('put', BUCKET, 'source', f.data)
    with f.s.faults(seed=6) as proxy:
        tool = f.through(proxy)
        for fault, more in [*GET_FAULTS, ('truncate_response', {}), ('redirect', {}), ('not_found', {}), ('denied', {})]:
            if fault == 'repeat':
                continue
            proxy.add(fault, method='GET', **more)
            f.forget()
            r = tool.run('get', BUCKET, 'source', f.out, len(DATA), retries=1, stall_timeout=1)
            assert r.rc != 0 and not os.path.exists(f.out), (fault, r)
            proxy.clear()


def test_requests_without_bodies_survive_faults_too(f):
    f.tool.ok('put', BUCKET, 'source', f.data)
    with f.s.faults(seed=9) as proxy:
        tool = f.through(proxy)
        for fault in ('cut_before_request', 'cut_after_work', 'garbage', 'slow_down', 'internal_error', 'bad_gateway', 'empty_ok'):
            for words in (('head', BUCKET, 'source'), ('list', BUCKET, 'source', ''), ('check', BUCKET)):
                proxy.add(fault, count=1)
                r = tool.run(*words)
                assert r.rc == 0 and int(r.fields['retries']) == 1, (fault, words, r)
                assert words[0] != 'list' or [i[0] for i in r.items] == ['source'], r
                proxy.clear()
        proxy.add('cut_response_body', method='GET', count=1)
        assert [i[0] for i in tool.ok('list', BUCKET, 'source', '').items] == ['source']
        proxy.clear()
        proxy.add('truncate_response', method='GET', count=1)
        assert [i[0] for i in tool.ok('list', BUCKET, 'source', '').items] == ['source']
        proxy.clear()
        proxy.add('bad_gateway', method='GET|HEAD', status=404, code='')
        r = tool.run('head', BUCKET, 'source')
        assert r.rc == 1, r  # a 404 that no S3 store gave is no absence


def test_a_storm_of_faults_lets_nothing_wrong_pass(f):
    """Every fault by chance; a call may fail, but what it says is done is done, and what it gives is right."""
    kinds = {name: more for name, more in PUT_FAULTS + GET_FAULTS if 'stall' not in name and name not in ('latency', 'too_many')}
    with f.s.faults(seed=int.from_bytes(os.urandom(4), 'big')) as proxy:
        print(f'# seed {proxy.seed}', flush=True)
        tool = f.through(proxy)
        done = 0
        for fault, more in kinds.items():
            proxy.add(fault, probability=0.04, **more)
        for n in range(20):
            data = os.urandom(1 + 50_000 * n)
            path = f.file('storm', data)
            r = tool.run('put', BUCKET, f'storm-{n}', path, retries=6)
            if r.rc == 0 and r.fields['proven'] == '1':
                done += 1
                assert f.stored(f'storm-{n}') == data, r
                f.forget()
                r = tool.run('get', BUCKET, f'storm-{n}', f.out, len(data), retries=6)
                assert r.rc != 0 or f.got() == data, r
            assert tool.run('head', BUCKET, f'storm-{n}', retries=6).rc != ABSENT or r.rc != 0, n
        assert done > 5, done


def test_retry_after_is_honoured(f):
    with f.s.faults() as proxy:
        proxy.add('slow_down', count=1, retry_after=2)
        r = f.through(proxy).ok('put', BUCKET, 'later', f.data)
        assert r.seconds >= 2 and r.tries == 2, r


def test_a_slow_transfer_lives_and_a_dead_one_is_noticed(f):
    f.tool.ok('put', BUCKET, 'slow', f.file('slow', DATA[:400]))
    with f.s.faults() as proxy:
        tool = f.through(proxy)
        proxy.add('trickle_response', rate=100, method='GET')
        r = tool.ok('get', BUCKET, 'slow', f.out, 400, stall_timeout=1, retries=0)
        assert r.seconds > 3 and f.got() == DATA[:400], r
        r = tool.run('get', BUCKET, 'slow', f.out, 400, stall_timeout=1, retries=0, min_speed=1000)
        assert r.rc == 1 and r.errno == errno.ETIMEDOUT and r.seconds < 4, r
        proxy.clear()
        for fault in ('stall_before', 'stall_after_work', 'stall_request'):
            proxy.add(fault, method='PUT')
            r = tool.run('put', BUCKET, 'dead', f.data, stall_timeout=1, retries=0)
            assert r.rc == 1 and r.errno == errno.ETIMEDOUT and 1 <= r.seconds < 4 and 'stall_timeout' in r.error, r
            proxy.clear()


def test_an_upload_into_a_slow_reader_lives(f):
    """The peer takes 20 kB a second: far less than a socket's buffer in stall_timeout, yet it moves."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(('127.0.0.1', 0))
        listener.listen()
        end = threading.Event()

        def read_slowly():
            conn, _ = listener.accept()
            with conn:
                while not end.is_set() and conn.recv(2000):
                    time.sleep(0.1)
        thread = threading.Thread(target=read_slowly)
        thread.start()
        tool = Tool(f'http://127.0.0.1:{listener.getsockname()[1]}')
        since = time.monotonic()
        process = tool.start('put', BUCKET, 'x', f.data, stall_timeout=2, retries=0)
        time.sleep(6)
        assert process.poll() is None, process.communicate()
        process.send_signal(signal.SIGTERM)
        r = tool.finish(process, since)
        assert r.errno == errno.ECANCELED and r.seconds < 7.5, r
        end.set()
        thread.join()


def test_a_cancelled_call_ends_at_once(f):
    with f.s.faults() as proxy:
        tool = f.through(proxy)
        f.tool.ok('put', BUCKET, 'source', f.data)
        cases = [('stall_before', {}, ('put', BUCKET, 'x', f.data)), ('stall_response', {}, ('get', BUCKET, 'source', f.out, len(DATA))),
                 ('slow_down', {'retry_after': 30}, ('put', BUCKET, 'x', f.data))]
        for fault, more, words in cases:
            proxy.add(fault, **more)
            since = time.monotonic()
            process = tool.start(*words, stall_timeout=30)
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            r = tool.finish(process, since)
            assert r.errno == errno.ECANCELED and r.seconds < 2, (fault, r)
            proxy.clear()


def test_credentials_are_read_again_when_the_store_refuses_them(f):
    path = f.file('credentials', b'[x]\naws_access_key_id = OLD\naws_secret_access_key = old\n')
    os.chmod(path, 0o600)
    with f.s.faults() as proxy:
        tool = Tool(f'http://127.0.0.1:{proxy.port}', credentials=path, profile='x', access_key='', secret_key='')
        proxy.add('latency', seconds=1, count=1)
        since = time.monotonic()
        process = tool.start('put', BUCKET, 'renewed', f.data)
        time.sleep(0.5)
        f.file('credentials', f'[x]\naws_access_key_id = {f.s.access_key}\naws_secret_access_key = {f.s.secret_key}\n'.encode())
        r = tool.finish(process, since)
        assert r.rc == 0 and r.tries == 2, r


def test_connections_are_used_again_and_bounded(f):
    r = f.tool.ok('times', 40, 8, 100_000, 'put', BUCKET, 'many', connections=3)
    assert 1 <= int(r.fields['connects']) <= 3 and int(r.fields['requests']) == 40, r
    r = f.tool.ok('times', 40, 8, 100_000, 'get', BUCKET, 'many-1', connections=3)
    assert int(r.fields['connects']) <= 3, r


def test_buckets_are_made_and_listed(f):
    f.tool.ok('create', 'bucket-new')
    assert 'bucket-new' in f.tool.ok('buckets').buckets
    r = f.tool.run('create', 'bucket-new')
    assert r.rc in (0, 4) or r.errno == errno.EEXIST, r
    assert not f.tool.ok('list', 'bucket-new', '', '').items


if __name__ == '__main__':
    tap.main(globals(), setup=make)
