# SPDX-License-Identifier: Apache-2.0
"""Hostile requests over raw sockets: every one gets the right refusal, and nothing is stored or leaks."""
import contextlib
import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site, wait_for
from rawhttp import EMPTY, Raw, Signer, amz_now, crc32, request

DATA = b'the object that is there'
BODY = b'hello world, this body comes in chunks of several sizes'
PIECES = [BODY[:7], BODY[7:8], BODY[8:]]
KEY = '/hostile/key'


@contextlib.contextmanager
def make():
    with Site(fs_size='1G') as site:
        site.start()
        prepare(site, site.account('mallory'))
        yield site


def prepare(site, account):
    site.acc = account
    s3 = site.boto(account)
    s3.create_bucket(Bucket='hostile')
    s3.put_object(Bucket='hostile', Key='key', Body=DATA)
    site.signer = Signer(account, f'127.0.0.1:{site.port}')


def stored(site):
    """Every file below the bucket: name and content."""
    found = {}
    for where, _, names in os.walk(site.path('hostile')):
        for n in names:
            with open(os.path.join(where, n), 'rb') as f:
                found[os.path.relpath(os.path.join(where, n), site.path('hostile'))] = f.read()
    return found


def once(site, data, end=False):
    with Raw(site.port) as c:
        c.send(data)
        if end:
            c.end()
        return c.reply()


def get(site, **kw):
    return once(site, request('GET', KEY, site.signer.headers('GET', KEY, **kw)))


def expect(reply, status, code, what):
    assert reply is not None and reply.status == status and (not code or reply.code == code), f'{what}: {reply}'


# -- signatures ---------------------------------------------------------------------------------------------
def test_a_good_signature_is_accepted(site):
    r = get(site)
    assert r.status == 200 and r.body == DATA, r


def test_each_wrong_field_of_a_signature_is_refused(site):
    malformed = 'AuthorizationHeaderMalformed'
    sig = 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41'
    for what, status, code in [
            (dict(algorithm='AWS4-HMAC-SHA512'), 400, 'InvalidRequest'),
            (dict(algorithm='AWS4-ECDSA-P256-SHA256'), 400, 'InvalidRequest'),
            (dict(access='AKIANOBODY'), 403, 'InvalidAccessKeyId'),
            (dict(access='a/b'), 400, malformed),
            (dict(access=''), 400, malformed),
            (dict(scope_date='20130524'), 400, malformed),
            (dict(scope_date='2013'), 400, malformed),
            (dict(region='eu-west-1'), 400, malformed),
            (dict(service='ec2'), 400, malformed),
            (dict(terminator='aws3_request'), 400, malformed),
            (dict(drop=('host',)), 403, 'AccessDenied'),
            (dict(drop=('x-amz-date',)), 403, 'AccessDenied'),
            (dict(signature=''), 400, malformed),
            (dict(signature=sig), 403, 'SignatureDoesNotMatch'),
            (dict(signature=sig.upper()), 403, 'SignatureDoesNotMatch'),
            (dict(signature=sig[:-1]), 403, 'SignatureDoesNotMatch'),
            (dict(date=amz_now(-905)), 403, 'RequestTimeTooSkewed'),
            (dict(date=amz_now(905)), 403, 'RequestTimeTooSkewed'),
            (dict(date='yesterday', scope_date=amz_now()[:8]), 403, 'AccessDenied'),
            (dict(auth='AWS4-HMAC-SHA256'), 400, malformed),
            (dict(auth='AWS AKIA:c2ln'), 400, 'InvalidRequest'),
            (dict(headers={'x-amz-security-token': 't'}), 400, 'InvalidToken')]:
        expect(get(site, **what), status, code, what)
    assert get(site, date=amz_now(-890)).status == 200
    assert get(site, date=amz_now(890)).status == 200


def test_presigned_urls_hold_only_what_they_say(site):
    s = site.signer

    def fetch(target, headers=''):
        return once(site, f'GET {target} HTTP/1.1\r\nHost: {s.host}\r\n{headers}\r\n'.encode())
    assert fetch(s.presign('GET', KEY)).body == DATA
    query = 'AuthorizationQueryParametersError'
    for target, status, code in [
            (s.presign('PUT', KEY), 403, 'SignatureDoesNotMatch'),
            (s.presign('GET', '/hostile/other'), 404, 'NoSuchKey'),
            (s.presign('GET', KEY) + '&tagging', 403, 'SignatureDoesNotMatch'),
            (s.presign('GET', KEY, expires='-1'), 400, query),
            (s.presign('GET', KEY, expires='604801'), 400, query),
            (s.presign('GET', KEY, expires='99999999999999999999'), 400, query),
            (s.presign('GET', KEY, date=amz_now(-62)), 403, 'AccessDenied'),
            (s.presign('GET', KEY, date=amz_now(1000)), 403, 'AccessDenied'),
            (s.presign('GET', KEY).split('&X-Amz-Signature')[0], 400, query),
            (s.presign('GET', KEY, **{'X-Amz-Security-Token': 't'}), 400, 'InvalidToken'),
            (s.presign('GET', KEY) + '&AWSAccessKeyId=a&Signature=b', 400, 'InvalidArgument')]:
        expect(fetch(target), status, code, target)
    auth = s.headers('GET', KEY)['authorization']
    expect(fetch(s.presign('GET', KEY), f'Authorization: {auth}\r\n'), 400, 'InvalidArgument', 'both')
    for header in ('x-amz-copy-source: /hostile/key', 'x-amz-meta-a: b', 'x-amz-tagging: a=b', 'x-amz-acl: private'):
        r = fetch(s.presign('GET', KEY), header + '\r\n')
        expect(r, 403, 'AccessDenied', header)
        assert b'<HeadersNotSigned>' + header.split(':')[0].encode() in r.body, r.body


def test_unsigned_headers_that_change_meaning_are_refused(site):
    before = stored(site)
    for name, value in [('x-amz-copy-source', '/hostile/key'), ('x-amz-tagging', 'action=migrate'),
                        ('x-amz-storage-class', 'GLACIER'), ('x-amz-acl', 'private'), ('x-amz-meta-a', 'b')]:
        h = site.signer.headers('PUT', '/hostile/new', headers={name: value, 'content-length': '0'}, unsigned=(name,))
        expect(once(site, request('PUT', '/hostile/new', h)), 403, 'AccessDenied', name)
    assert stored(site) == before


def test_repeated_and_folded_headers_are_refused(site):
    h = site.signer.headers('GET', KEY)
    plain = request('GET', KEY, h)
    for what, data in [
            ('two Authorization', plain[:-2] + f'Authorization: {h["authorization"]}\r\n\r\n'.encode()),
            ('two x-amz-date', plain[:-2] + f'x-amz-date: {h["x-amz-date"]}\r\n\r\n'.encode()),
            ('two Host', plain[:-2] + b'Host: other\r\n\r\n'),
            ('folded', plain[:-2] + b'x-a: b\r\n c\r\n\r\n')]:
        with Raw(site.port) as c:
            r = c.send(data).reply()
            assert r.status == 400 and r.closed and c.at_end(), f'{what}: {r}'


# -- streaming ----------------------------------------------------------------------------------------------
def put_signed(site, path, alter=lambda chunks: chunks, tail=b'\r\n', length=len(BODY), seed=None, chunked=True,
               more=None, payload='STREAMING-AWS4-HMAC-SHA256-PAYLOAD'):
    """A PUT with signed chunks, as bytes (head, body); alter changes the list of chunks."""
    h = {'content-encoding': 'aws-chunked', **(more or {})}
    if length is not None:
        h['x-amz-decoded-content-length'] = str(length)
    head = site.signer.headers('PUT', path, headers=h, payload=payload)
    body = b''.join(alter(site.signer.signed_chunks(PIECES, seed)))
    body += tail(site.signer) if callable(tail) else tail
    if chunked:
        head['transfer-encoding'] = 'chunked'
        body = b''.join(b'%x\r\n%s\r\n' % (len(body[i:i + 40]), body[i:i + 40]) for i in range(0, len(body), 40))
        body += b'0\r\n\r\n'
    else:
        head['content-length'] = str(len(body))
    return request('PUT', path, head), body


def test_signed_chunks_are_stored_whole(site):
    for chunked in (True, False):
        path = f'/hostile/good{chunked}'
        head, body = put_signed(site, path, chunked=chunked)
        expect(once(site, head + body), 200, '', path)
        assert stored(site).pop(path[9:]) == BODY


def test_altered_chunks_store_nothing(site):
    def sig(i):
        def f(c):
            at = c[i].index(b'=') + 1
            return c[:i] + [c[i][:at] + (b'1' if c[i][at:at + 1] == b'0' else b'0') + c[i][at + 1:]] + c[i + 1:]
        return f

    def resize(new):
        return lambda c: [new + c[0][c[0].index(b';'):]] + c[1:]
    before = stored(site)
    for what, kw in [
            ('wrong seed', dict(seed='0' * 64)),
            ('first signature', dict(alter=sig(0))), ('second signature', dict(alter=sig(1))),
            ('last signature', dict(alter=sig(3))),
            ('last chunk missing', dict(alter=lambda c: c[:3], tail=b'')),
            ('chunk missing', dict(alter=lambda c: [c[0]] + c[2:])),
            ('chunks swapped', dict(alter=lambda c: [c[1], c[0]] + c[2:])),
            ('no signature', dict(alter=lambda c: [b'7\r\n' + BODY[:7] + b'\r\n'] + c[1:])),
            ('trailing bytes', dict(tail=b'\r\nGET / HTTP/1.1\r\n')),
            ('overflow', dict(alter=resize(b'fffffffffffffffff'))), ('negative', dict(alter=resize(b'-7'))),
            ('leading zeros', dict(alter=resize(b'0007'))), ('no size', dict(alter=resize(b''))),
            ('plus', dict(alter=resize(b'+7'))), ('hex prefix', dict(alter=resize(b'0x7'))),
            ('huge extension', dict(alter=lambda c: [c[0].replace(b'\r\n', b';' + b'x' * 5000 + b'\r\n', 1)] + c[1:])),
            ('bare LF', dict(alter=lambda c: [c[0].replace(b'\r\n', b'\n')] + c[1:])),
            ('length too small', dict(length=len(BODY) - 1)), ('length too large', dict(length=len(BODY) + 1)),
            ('length absent', dict(length=None)), ('length negative', dict(length=-1)),
            ('trailer not announced', dict(tail=f'x-amz-checksum-crc32:{crc32(BODY)}\r\n\r\n'.encode()))]:
        for chunked in (True, False):
            head, body = put_signed(site, '/hostile/bad', chunked=chunked, **kw)
            r = once(site, head + body, end=True)
            assert r is not None and r.status in (400, 403, 411), f'{what}: {r}'
            assert r.status != 411 or what == 'length absent', f'{what}: {r}'
    assert stored(site) == before


def test_trailers_must_be_as_announced_and_signed(site):
    line = f'x-amz-checksum-crc32:{crc32(BODY)}'
    wrong = f'x-amz-checksum-crc32:{crc32(b"other")}'

    def tail(text, sign=None):
        def f(signer):
            t = text
            if sign:
                t += f'\r\nx-amz-trailer-signature:{signer.trailer_signature(sign)}'
            return (t + '\r\n\r\n').encode()
        return f
    kw = dict(payload='STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER', more={'x-amz-trailer': 'x-amz-checksum-crc32'})
    head, body = put_signed(site, '/hostile/trailer', tail=tail(line, line), **kw)
    expect(once(site, head + body), 200, '', 'good trailer')
    before = stored(site)
    for what, t, status in [
            ('no signature', tail(line), 400), ('no trailer', b'\r\n', 400),
            ('signature of another', tail(line, wrong), 403), ('wrong sum', tail(wrong, wrong), 400),
            ('twice', tail(line + '\r\n' + line, line), 400),
            ('another algorithm', tail(f'x-amz-checksum-sha1:{crc32(BODY)}', line), 400),
            ('one more', tail(line + '\r\nx-amz-meta-a:b', line), 400)]:
        head, body = put_signed(site, '/hostile/bad', tail=t, **kw)
        expect(once(site, head + body, end=True), status, '', what)
    for name in ('x-amz-meta-a', 'x-amz-checksum-md5', 'x-amz-checksum-crc32, x-amz-checksum-sha1'):
        head, body = put_signed(site, '/hostile/bad', tail=tail(line, line), payload=kw['payload'],
                                more={'x-amz-trailer': name})
        expect(once(site, head + body, end=True), 400, 'InvalidRequest', name)
    assert stored(site) == before


def test_a_body_may_be_split_anywhere(site):
    head, body = put_signed(site, '/hostile/split')
    data = head + body
    with Raw(site.port) as c:
        for i in list(range(1, len(data), 5)) + [len(head) - 1, len(head), len(head) + 1]:
            c.send(data[:i])
            c.send(data[i:])
            expect(c.reply(), 200, '', f'split at {i}')
    assert stored(site)['split'] == BODY


def test_framing_that_two_readers_could_see_differently_is_refused(site):
    before = stored(site)
    for what, lines, status in [
            ('both', 'content-length: 5\r\ntransfer-encoding: chunked', 400),
            ('gzip', 'transfer-encoding: gzip', 501), ('gzip, chunked', 'transfer-encoding: gzip, chunked', 501),
            ('twice', 'content-length: 5\r\ncontent-length: 5', 400),
            ('different', 'content-length: 5\r\ncontent-length: 6', 400),
            ('list', 'content-length: 5, 5', 400), ('plus', 'content-length: +5', 400),
            ('negative', 'content-length: -5', 400), ('hex', 'content-length: 0x5', 400),
            ('overflow', 'content-length: 18446744073709551621', 400),
            ('space before colon', 'content-length : 5', 400), ('space in TE', 'transfer-encoding : chunked', 400)]:
        h = site.signer.headers('PUT', '/hostile/bad', payload='UNSIGNED-PAYLOAD')
        data = request('PUT', '/hostile/bad', h)[:-2] + lines.encode() + b'\r\n\r\nhello'
        with Raw(site.port) as c:
            r = c.send(data).reply()
            assert r.status == status and r.closed and c.at_end(), f'{what}: {r}'
    bare = request('PUT', '/hostile/bad', site.signer.headers('PUT', '/hostile/bad')).replace(b'\r\n', b'\n')
    with Raw(site.port) as c:
        assert c.send(bare).reply().status == 400 and c.at_end()
    assert stored(site) == before


def test_a_request_hidden_in_an_aborted_body_is_never_run(site):
    before = stored(site)
    hidden = request('DELETE', KEY, site.signer.headers('DELETE', KEY))
    h = site.signer.headers('PUT', '/no-such-bucket/k', payload='UNSIGNED-PAYLOAD')
    h['content-length'] = str(len(hidden))
    with Raw(site.port) as c:
        r = c.send(request('PUT', '/no-such-bucket/k', h) + hidden).reply()
        assert r.status in (403, 404), r
        if not r.closed:  # the body was read: then the connection must still be in step
            r = c.send(request('GET', KEY, site.signer.headers('GET', KEY))).reply()
            assert r.status == 200 and r.body == DATA
    head, body = put_signed(site, '/hostile/bad', alter=lambda c: [c[0][:-3] + b'XXX'] + c[1:])
    with Raw(site.port) as c:
        r = c.send(head + body + hidden).reply()
        assert r.status in (400, 403) and r.closed and c.at_end(), r
    assert stored(site) == before


def test_an_error_after_100_continue_closes(site):
    h = site.signer.headers('PUT', '/hostile/bad', payload=EMPTY)
    h.update({'content-length': '1000000', 'expect': '100-continue'})
    with Raw(site.port) as c:
        assert c.send(request('PUT', '/hostile/bad', h)).reply().status == 100
        r = c.send(b'x' * 1000).end().reply()
        expect(r, 400, 'IncompleteBody', 'cut after 100')
        assert r.closed and c.at_end()
    h['authorization'] = h['authorization'][:-4] + 'beef'
    with Raw(site.port) as c:
        r = c.send(request('PUT', '/hostile/bad', h)).reply()
        assert r.status == 403 and r.closed and c.at_end(), r
    assert 'bad' not in stored(site)


def test_a_body_that_is_not_what_was_signed_stores_nothing(site):
    before = stored(site)
    h = site.signer.headers('PUT', KEY, payload=EMPTY)
    h['content-length'] = '5'
    expect(once(site, request('PUT', KEY, h) + b'hello'), 400, 'XAmzContentSHA256Mismatch', 'other body')
    for name, value, code in [('content-md5', 'AAAAAAAAAAAAAAAAAAAAAA==', 'BadDigest'),
                              ('content-md5', 'short', 'InvalidDigest'),
                              ('x-amz-checksum-crc32', 'AAAAAA==', 'BadDigest'),
                              ('x-amz-checksum-crc32', 'AAAA', 'InvalidRequest'),
                              ('x-amz-checksum-crc64nvme', 'AAAAAAAAAAA=', 'BadDigest'),
                              ('x-amz-checksum-sha512', 'AAAA', 'InvalidRequest')]:
        h = site.signer.headers('PUT', KEY, headers={name: value}, payload='UNSIGNED-PAYLOAD')
        h['content-length'] = '5'
        expect(once(site, request('PUT', KEY, h) + b'hello'), 400, code, f'{name}: {value}')
    assert stored(site) == before


# -- numbers ------------------------------------------------------------------------------------------------
def test_ranges_are_never_misread(site):
    n = len(DATA)
    for text, status, want in [
            ('bytes=0-', 206, DATA), ('bytes=-1', 206, DATA[-1:]), ('bytes=-0', 416, None), ('bytes=5-3', 200, DATA),
            (f'bytes={n}-', 416, None), (f'bytes={n - 1}-{n + 100}', 206, DATA[-1:]), (f'bytes=-{n + 50}', 206, DATA),
            ('bytes=9223372036854775807-', 416, None), ('bytes=0-18446744073709551616', None, DATA),
            ('bytes=18446744073709551616-', None, None), ('bytes=0-0,2-3', 200, DATA), ('bytes=--1', 200, DATA),
            ('chars=0-1', 200, DATA), ('bytes=a-b', 200, DATA), ('bytes=', 200, DATA)]:
        r = get(site, headers={'range': text})
        assert r.status in (200, 206, 416) and (status is None or r.status == status), f'{text}: {r}'
        assert r.status == 416 or want is None or r.body == want, f'{text}: {r}'


def test_list_numbers_are_never_misread(site):
    for text, status in [('-1', 400), ('0', 200), ('1000000000000', 200), ('abc', 400), ('1%00', 400),
                         ('9223372036854775808', (200, 400))]:
        path, query = '/hostile', f'list-type=2&max-keys={text}'
        h = site.signer.headers('GET', path, query=query)
        r = once(site, request('GET', f'{path}?{query}', h))
        assert r.status in (status if isinstance(status, tuple) else (status,)), f'{text}: {r}'


# -- resources ----------------------------------------------------------------------------------------------
def test_heads_that_are_too_large_are_refused(site):
    h = site.signer.headers('GET', KEY)
    plain = request('GET', KEY, h)[:-2]
    for what, more, status in [
            ('64 KiB in one', b'x-a: ' + b'v' * 65536 + b'\r\n\r\n', 431),
            ('64 KiB in many', b''.join(b'x-%d: %s\r\n' % (i, b'v' * 1000) for i in range(64)) + b'\r\n', 431),
            ('1000 headers', b''.join(b'x-%d: v\r\n' % i for i in range(1000)) + b'\r\n', (400, 431)),
            ('9 KiB', b'x-a: ' + b'v' * 9000 + b'\r\n\r\n', 400)]:
        with Raw(site.port) as c:
            r = c.send(plain + more).reply()
            assert r.status in (status if isinstance(status, tuple) else (status,)) and r.closed, f'{what}: {r}'
    expect(once(site, b'GET /' + b'a' * 9000 + b' HTTP/1.1\r\nHost: a\r\n\r\n'), 414, '', 'target')


def test_slow_and_idle_clients_stop_nobody(site):
    clients = [Raw(site.port) for _ in range(200)]
    for i, c in enumerate(clients):
        if i % 2:
            c.send(b'GET /hostile/key HTTP/1.1\r\nHos')
    h = site.signer.headers('PUT', '/hostile/slow', payload='UNSIGNED-PAYLOAD')
    h['content-length'] = '1000'
    uploads = [Raw(site.port).send(request('PUT', '/hostile/slow', h) + b'x') for _ in range(8)]
    start = time.monotonic()
    for _ in range(20):
        assert get(site).status == 200
    assert time.monotonic() - start < 10
    for c in clients + uploads:
        c.close()
    assert 'slow' not in stored(site)


def test_without_descriptors_it_answers_503_and_recovers(site):
    pid = site.procs['firn-s3'].pid

    def used():
        return {int(n) for n in os.listdir(f'/proc/{pid}/fd')}

    def unnamed():
        found = 0
        for n in used():
            with contextlib.suppress(FileNotFoundError):
                found += os.readlink(f'/proc/{pid}/fd/{n}').endswith(' (deleted)')
        return found

    def first_free():
        taken, n = used(), 0
        while n in taken:
            n += 1
        return n
    # Busy connections cannot make room as resting ones do. Each holds its socket and its unnamed file.
    h = site.signer.headers('PUT', '/hostile/busy', payload='UNSIGNED-PAYLOAD')
    h['content-length'] = '1000'
    uploads = [Raw(site.port).send(request('PUT', '/hostile/busy', h) + b'x') for _ in range(8)]
    wait_for('the uploads to begin', lambda: unnamed() == 8)
    old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    try:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free(), old[1]))
        for _ in range(3):
            expect(once(site, b'GET /hostile/key HTTP/1.1\r\nHost: a\r\n\r\n'), 503, 'SlowDown', 'no descriptor')
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
    assert get(site).body == DATA
    for c in uploads:
        c.close()
    assert 'busy' not in stored(site)


def test_a_full_disk_stores_nothing_and_keeps_the_old_object(site):
    fill = os.path.join(site.mount, 'fill')
    fd = os.open(fill, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        size, step = 0, 64 << 20
        while step >= 1 << 20:  # until less than 4 MiB are left for those who are not root
            v = os.statvfs(site.mount)
            if v.f_bavail * v.f_frsize < step + (2 << 20):
                step //= 2
                continue
            os.posix_fallocate(fd, size, step)
            size += step
        body = b'x' * (16 << 20)
        h = site.signer.headers('PUT', KEY, payload='UNSIGNED-PAYLOAD')
        h['content-length'] = str(len(body))
        r = once(site, request('PUT', KEY, h) + body)
        assert r is not None and r.status in (503, 507), r
    finally:
        os.close(fd)
        os.unlink(fill)
    assert get(site).body == DATA


def test_a_new_account_is_known_at_once(site):
    signer = Signer(site.account('eve', uid=12002), f'127.0.0.1:{site.port}')
    r = once(site, request('GET', KEY, signer.headers('GET', KEY)))
    expect(r, 403, 'AccessDenied', 'another account')


def test_nothing_secret_is_logged(site):
    get(site, signature='c0ffee' + '0' * 58)
    once(site, f'GET {site.signer.presign("GET", KEY)} HTTP/1.1\r\nHost: {site.signer.host}\r\n\r\n'.encode())
    once(site, b'GET /hostile/a%0Afirn-s3:%20forged HTTP/1.1\r\nHost: a\r\n\r\n')
    def text():
        with open(os.path.join(site.dir, 'firn-s3.log'), encoding='utf-8', errors='replace') as f:
            return f.read()
    wait_for('the line of the last request', lambda: 'a%0Afirn-s3%3A%20forged' in text())  # it follows the answer
    log = text()
    assert site.acc['secret_key'] not in log and 'c0ffee' not in log and 'X-Amz-Signature' not in log
    assert '\nfirn-s3: forged' not in log


if __name__ == '__main__':
    tap.main(globals(), setup=make)
