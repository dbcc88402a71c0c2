# SPDX-License-Identifier: Apache-2.0
"""The S3 store client against answers that well-behaved stores do not give (a server of scripted answers) and behind TLS
and virtual-host names (radosgw): what is no S3 answer is never taken for one."""
import email.utils
import errno
import hashlib
import os
import socket
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from s3stores import store
from storetool import ABSENT, Tool

HTML = b'<html><body><h1>Welcome to the wireless network</h1></body></html>'


def answer(status, body=b'', **headers):
    lines = [f'HTTP/1.1 {status} X', f'Content-Length: {len(body)}']
    lines += [f'{k.replace("_", "-")}: {v}' for k, v in headers.items()]
    return '\r\n'.join(lines).encode() + b'\r\n\r\n' + body


def error(status, code, more='', **headers):
    return answer(status, f'<Error><Code>{code}</Code><Message>m</Message>{more}</Error>'.encode(), **headers)


class Script:
    """Gives the answers in order, the last one for ever; keeps the requests."""

    def __init__(self, *answers, wait_body=True):
        self.answers, self.requests, self.wait_body = list(answers), [], wait_body
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()

    def serve(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.client, args=(conn,), daemon=True).start()

    def client(self, conn):
        data = b''
        with conn:
            while True:
                while b'\r\n\r\n' not in data:
                    more = conn.recv(65536)
                    if not more:
                        return
                    data += more
                head, _, data = data.partition(b'\r\n\r\n')
                text = head.decode()
                self.requests.append(text)
                length = next((int(line.split(':')[1]) for line in text.split('\r\n') if line.lower().startswith('content-length')), 0)
                reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                if self.wait_body:
                    while len(data) < length:
                        more = conn.recv(65536)
                        if not more:
                            return
                        data += more
                    body, data = data[:length], data[length:]
                    reply = reply(body) if callable(reply) else reply
                if text.startswith('HEAD'):
                    reply = reply.partition(b'\r\n\r\n')[0] + b'\r\n\r\n'
                conn.sendall(reply)
                if not self.wait_body:
                    return

    def tool(self, **options):
        return Tool(f'http://127.0.0.1:{self.port}', base_ms=1, retry_max_ms=5, **options)


def body_file(size=100):
    path = os.path.join(tempfile.gettempdir(), f'firn-store-{os.getpid()}')
    with open(path, 'wb') as f:
        f.write(b'x' * size)
    return path


def test_a_page_of_a_proxy_is_no_answer():
    path = body_file()
    try:
        for status in (200, 404):
            with Script(answer(status, HTML, Content_Type='text/html')) as s:
                tool = s.tool(retries=1)
                for words in (('put', 'bucket', 'key', path), ('get', 'bucket', 'key', path + '.out', len(HTML)),
                              ('get', 'bucket', 'key', path + '.out', 5), ('small', 'bucket', 'key', path + '.out', 1000),
                              ('head', 'bucket', 'key'), ('list', 'bucket', '', ''), ('check', 'bucket'), ('buckets',),
                              ('delete', 'bucket', 'key'), ('delete-many', 'bucket', 'a', 'b')):
                    r = tool.run(*words)
                    assert r.rc == 1 and not os.path.exists(path + '.out'), (status, words, r)
    finally:
        os.unlink(path)


def test_another_region_is_named():
    for reply in (error(400, 'AuthorizationHeaderMalformed', '<Region>eu-west-9</Region>'),
                  error(301, 'PermanentRedirect', '<Endpoint>x.example.org</Endpoint>', x_amz_bucket_region='eu-west-9')):
        with Script(reply) as s:
            r = s.tool().run('list', 'bucket', '', '')
            assert r.rc == 1 and 'region eu-west-9, not in us-east-1' in r.error and 'set region' in r.error, r
            assert len(s.requests) == 1
    with Script(answer(301, x_amz_bucket_region='eu-west-9')) as s:
        r = s.tool().run('head', 'bucket', 'key')
        assert 'region eu-west-9' in r.error, r


def test_a_redirect_is_not_followed():
    with Script(error(403, 'AccessDenied')) as other, Script(answer(307, Location=f'http://127.0.0.1:{other.port}/bucket/key')) as s:
        r = s.tool().run('get', 'bucket', 'key', '/dev/null', 1)
        assert r.rc == 1 and f'127.0.0.1:{other.port}' in r.error and 'not followed' in r.error and not other.requests, r


def test_a_wrong_clock_is_corrected_from_the_answer():
    date = email.utils.formatdate(time.time() + 7200, usegmt=True)
    for refusal in (error(403, 'RequestTimeTooSkewed', Date=date), answer(403, Date=date)):
        with Script(refusal, answer(200, b'', ETag='"x"', Date=date)) as s:
            r = s.tool(retries=0).run('head', 'bucket', 'key')
            assert r.rc == 0 and r.tries == 2, r
            stamps = [line[12:] for q in s.requests for line in q.split('\r\n') if line.lower().startswith('x-amz-date: ')]
            then, now = (time.mktime(time.strptime(x, '%Y%m%dT%H%M%SZ')) for x in stamps)
            assert 7100 < now - then < 7300, stamps
    with Script(error(403, 'RequestTimeTooSkewed')) as s:
        r = s.tool().run('head', 'bucket', 'key')
        assert r.rc == 1 and len(s.requests) == 1, r


def test_tries_are_counted_and_pauses_bounded():
    with Script(error(500, 'InternalError')) as s:
        r = s.tool(retries=5).run('check', 'bucket', base_ms=100, retry_max_ms=100)
        assert r.rc == 1 and len(s.requests) == 6 and 'failed 6 times' in r.error and r.seconds < 2, r
        assert r.fields['retries'] == '5', r
    with Script(answer(417), answer(200, b'', ETag='"x"')) as s:
        r = s.tool().run('head', 'bucket', 'key')
        assert r.rc == 0 and r.fields['failures'] == '0', r


def test_an_absent_object_is_no_failure():
    with Script(error(404, 'NoSuchKey')) as s:
        r = s.tool().run('head', 'bucket', 'key')
        assert r.rc == ABSENT and r.fields['failures'] == '0' and len(s.requests) == 2, r
    # It came into being between the two questions.
    with Script(answer(404), answer(206, b'x', ETag='"x"', Content_Range='bytes 0-0/1'), answer(200, b'x', ETag='"x"')) as s:
        r = s.tool().run('head', 'bucket', 'key')
        assert r.rc == 0 and r.fields['size'] == '1', r


def test_a_list_of_the_first_form_is_read():
    def page(keys, truncated):
        items = ''.join(f'<Contents><Key>{k}</Key><Size>1</Size><ETag>"e"</ETag></Contents>' for k in keys)
        return answer(200, (f'<ListBucketResult><Marker/><IsTruncated>{truncated}</IsTruncated>{items}</ListBucketResult>').encode())
    with Script(page('ab', 'true'), page('cd', 'true'), page('e', 'false')) as s:
        r = s.tool().run('list', 'bucket', '', '')
        assert r.rc == 0 and [i[0] for i in r.items] == list('abcde'), r
        assert 'marker=b' in s.requests[1] and 'list-type' not in s.requests[1] and 'marker=d' in s.requests[2], s.requests
    with Script(error(501, 'NotImplemented'), page('a', 'false')) as s:
        assert [i[0] for i in s.tool().run('list', 'bucket', '', '').items] == ['a'] and 'list-type' not in s.requests[1]
    with Script(page('ab', 'true')) as s:
        r = s.tool().run('list', 'bucket', '', '')
        assert r.rc == 1 and 'does not go on' in r.error, r


def test_hostile_documents_are_refused():
    laughs = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><ListBucketResult>&b;</ListBucketResult>'
    deep = b'<ListBucketResult>' + b'<a>' * 100 + b'</a>' * 100 + b'</ListBucketResult>'
    many = b'<ListBucketResult>' + b'<a/>' * 50000 + b'</ListBucketResult>'
    broken = b'<ListBucketResult><Contents><Key>a</Key><Size>x</Size></Contents></ListBucketResult>'
    for body in (laughs, deep, many, broken, b'', b'\xff\xfe', b'<ListBucketResult>'):
        with Script(answer(200, body)) as s:
            r = s.tool(retries=0).run('list', 'bucket', '', '')
            assert r.rc == 1 and r.errno == errno.EPROTO, (body[:40], r)
    with Script(b'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n' + b''.join(b'x-amz-meta-%d: %s\r\n' % (i, b'v' * 200) for i in range(400)) + b'\r\n') as s:
        r = s.tool(retries=0).run('head', 'bucket', 'key')
        assert r.rc == 1 and 'too long' in r.error, r


def test_a_text_shows_no_control_characters():
    with Script(error(403, 'AccessDenied', '').replace(b'<Message>m<', b'<Message>a\nb\tc<').replace(b'Length: ', b'Length: ').replace(
            b'Content-Length: ', b'X-Was: ').replace(b'HTTP/1.1 403 X\r\n', b'HTTP/1.1 403 X\r\nConnection: close\r\n')) as s:
        s.wait_body = False
        r = s.tool().run('get', 'bucket', 'key\x01\x1b[31m', '/dev/null', 1)
        assert 'a?b?c' in r.error and '\x1b' not in r.error and 'key??[31m' in r.error, r


def test_a_refusal_before_the_body_is_heard():
    path = body_file(8_000_000)
    try:
        with Script(error(403, 'AccessDenied', Connection='close'), wait_body=False) as s:
            r = s.tool(retries=0).run('put', 'bucket', 'key', path)
            assert r.errno == errno.EACCES and int(r.fields['bytes_out']) == 0, r
            assert 'expect: 100-continue' in s.requests[0].lower()
    finally:
        os.unlink(path)


def test_a_store_that_says_nothing_before_a_body_costs_one_second_once():
    path = body_file(2_000_000)
    try:
        with Script(lambda body: answer(200, b'', ETag=f'"{hashlib.md5(body).hexdigest()}"')) as s:
            r = s.tool(retries=0).run('times', 6, 1, 2_000_000, 'put', 'bucket', 'key')
            assert r.rc == 0 and 1 <= r.seconds < 3, r
            assert ['100-continue' in q for q in s.requests] == [True] + [False] * 5
    finally:
        os.unlink(path)


def test_archived_objects_are_an_outcome():
    with Script(error(403, 'InvalidObjectState')) as s:
        assert s.tool().run('get', 'bucket', 'key', '/dev/null', 1).rc == 5
    with Script(answer(202)) as s:
        assert s.tool().run('restore', 'bucket', 'key').rc == 0 and '?restore' in s.requests[0]
    with Script(error(409, 'RestoreAlreadyInProgress')) as s:
        assert s.tool().run('restore', 'bucket', 'key').rc == 0
    with Script(error(404, 'NoSuchKey')) as s:
        assert s.tool().run('restore', 'bucket', 'key').rc == ABSENT


def test_many_keys_are_deleted_one_by_one_where_it_must_be():
    with Script(error(501, 'NotImplemented'), answer(204)) as s:
        assert s.tool().run('delete-many', 'bucket', 'a', 'b').rc == 0
        assert [q.split()[0] for q in s.requests] == ['POST', 'DELETE', 'DELETE'], s.requests
    with Script(answer(200, b'<DeleteResult><Error><Key>b</Key><Code>InternalError</Code></Error></DeleteResult>'), answer(204)) as s:
        assert s.tool().run('delete-many', 'bucket', 'a', 'b').rc == 0
        assert s.requests[1].startswith('DELETE /bucket/b '), s.requests
    with Script(answer(200, b'<DeleteResult><Error><Key>b</Key><Code>AccessDenied</Code></Error></DeleteResult>'),
                error(403, 'AccessDenied')) as s:
        r = s.tool().run('delete-many', 'bucket', 'a', 'b')
        assert r.errno == errno.EACCES and 'bucket/b' in r.error, r
    with Script(answer(204)) as s:  # no XML 1.0 holds this key
        assert s.tool().run('delete-many', 'bucket', 'a\x01').rc == 0 and '/bucket/a%01 ' in s.requests[0], s.requests


def test_a_session_token_is_sent_and_signed():
    with Script(answer(200, b'', ETag='"x"')) as s:
        s.tool(token='TOKEN', region='eu-x').ok('head', 'bucket', 'key')
        assert 'x-amz-security-token: TOKEN' in s.requests[0] and ';x-amz-security-token,' in s.requests[0], s.requests
        assert '/eu-x/s3/aws4_request' in s.requests[0]


def test_credentials_come_from_the_environment_and_from_files():
    with Script(answer(200, b'', ETag='"x"')) as s, tempfile.TemporaryDirectory() as directory:
        tool = s.tool(access_key='', secret_key='')
        env = {**tool.environment(), 'HOME': directory}
        r = tool.run('head', 'bucket', 'key', env=env)
        assert r.rc == 1 and 'access_key' in r.error and 'AWS_ACCESS_KEY_ID' in r.error and not s.requests, r
        tool.run('head', 'bucket', 'key', env={**env, 'AWS_ACCESS_KEY_ID': 'FROMENV', 'AWS_SECRET_ACCESS_KEY': 's'})
        assert 'Credential=FROMENV/' in s.requests[-1]
        os.mkdir(os.path.join(directory, '.aws'))
        path = os.path.join(directory, '.aws', 'credentials')
        with open(path, 'w', encoding='ascii') as f:
            f.write('[default]\naws_access_key_id=DFLT\naws_secret_access_key=s\n'
                    '[other]\naws_access_key_id = OTHER\naws_secret_access_key = s\naws_session_token = T\n'
                    '[old]\naws_access_key_id = OLD\naws_secret_access_key = s\naws_expiration = 2020-01-01T00:00:00Z\n')
        tool.run('head', 'bucket', 'key', env=env)
        assert 'Credential=DFLT/' in s.requests[-1]
        tool.run('head', 'bucket', 'key', env={**env, 'AWS_PROFILE': 'other'})
        assert 'Credential=OTHER/' in s.requests[-1] and 'x-amz-security-token: T' in s.requests[-1]
        tool.run('head', 'bucket', 'key', env=env, credentials=path, profile='other')
        assert 'Credential=OTHER/' in s.requests[-1]
        n = len(s.requests)
        r = tool.run('head', 'bucket', 'key', env=env, profile='old')
        assert r.errno == errno.EACCES and 'expired at 2020-01-01' in r.error and len(s.requests) == n, r
        r = tool.run('head', 'bucket', 'key', env=env, profile='none')
        assert r.rc == 1 and '[none]' in r.error and path in r.error, r


def test_wrong_configuration_is_named():
    for options, text in (({'endpoint': 'host:80'}, 'http://'), ({'endpoint': ''}, 'endpoint is missing'),
                          ({'endpoint': 'http://u:p@host'}, 'access_key'), ({'endpoint': 'http://host/path'}, 'bucket_prefix'),
                          ({'endpoint': 'ftp://host'}, 'https://'), ({'ca': '/nonexistent'}, 'ca_file /nonexistent'),
                          ({'secret_key': ''}, 'secret_key is missing')):
        r = Tool(options.get('endpoint', 'http://127.0.0.1:9')).run('check', 'bucket', **options)
        assert r.rc == 1 and text in r.error, (options, r)


def test_nobody_there_is_said_so():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        r = Tool(f'http://127.0.0.1:{s.getsockname()[1]}').run('check', 'bucket', retries=2)
        assert r.errno == errno.ECONNREFUSED and 'failed 3 times' in r.error and 'see whether the store runs' in r.error, r
    r = Tool('http://no-such-host.invalid').run('check', 'bucket', retries=0)
    assert r.errno == errno.EHOSTUNREACH and 'no-such-host.invalid' in r.error, r


def test_tls_is_verified_against_the_authority():
    from radosgw import Radosgw
    with tempfile.TemporaryDirectory() as directory, Radosgw(tls=True, virtual=True) as s:
        s.make_bucket('bucket-1')
        path = os.path.join(directory, 'data')
        with open(path, 'wb') as f:
            f.write(os.urandom(2_000_000))
        tool = Tool(s.endpoint, s.access_key, s.secret_key, ca=s.ca_file)
        assert tool.ok('put', 'bucket-1', 'a//ü', path).fields['proven'] == '1'
        tool.ok('get', 'bucket-1', 'a//ü', path + '.out', 2_000_000)
        assert open(path, 'rb').read() == open(path + '.out', 'rb').read()
        assert int(tool.ok('times', 20, 2, 100_000, 'put', 'bucket-1', 'k').fields['connects']) == 2
        r = Tool(s.endpoint, s.access_key, s.secret_key).run('check', 'bucket-1')
        assert r.rc == 1 and r.errno == errno.EPROTO and 'ca_file' in r.error, r
        Tool(s.endpoint, s.access_key, s.secret_key, verify=0).ok('check', 'bucket-1')
        r = tool.run('check', 'bucket-1', endpoint=s.endpoint.replace('https', 'http'), retries=0)
        assert r.rc == 1, r
        # Its certificate holds for *.localhost, which no TLS library takes for a name: a domain has two labels.
        r = Tool(f'https://localhost:{s.port}', s.access_key, s.secret_key, ca=s.ca_file, style='virtual').run('check', 'bucket-1')
        assert r.rc == 1 and 'bucket-1.localhost' in r.error and 'style' in r.error, r


def test_buckets_may_be_names_of_hosts():
    from radosgw import Radosgw
    with tempfile.TemporaryDirectory() as directory, Radosgw(virtual=True) as s:
        path = os.path.join(directory, 'data')
        with open(path, 'wb') as f:
            f.write(b'x' * 1000)
        virtual = Tool(f'http://localhost:{s.port}', s.access_key, s.secret_key, style='virtual')
        virtual.ok('create', 'bucket-1')
        for key in ('plain', '/slash//', 'a b+c%2F'):
            virtual.ok('put', 'bucket-1', key, path)
            virtual.ok('get', 'bucket-1', key, path + '.out', 1000)
        assert len(virtual.ok('list', 'bucket-1', 'plain', '').items) == 1
        by_path = Tool(s.endpoint, s.access_key, s.secret_key)
        assert len(by_path.ok('list', 'bucket-1', '', '').items) == 3
        by_path.ok('create', 'lustre_hsm_0')
        by_path.ok('put', 'lustre_hsm_0', 'k', path)
        r = virtual.run('check', 'lustre_hsm_0')
        assert r.rc == 1 and 'style = "path"' in r.error, r


if __name__ == '__main__':
    tap.main(globals())
