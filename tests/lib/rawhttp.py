# SPDX-License-Identifier: Apache-2.0
"""Requests as bytes: an independent SigV4 signer and a socket that sends exactly what it is told, for tests that
no well-behaved client library can express."""
import datetime
import hashlib
import hmac
import socket
import urllib.parse
import zlib
from base64 import b64encode

EMPTY = hashlib.sha256(b'').hexdigest()


def amz_now(offset_s=0):
    t = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=offset_s)
    return t.strftime('%Y%m%dT%H%M%SZ')


def _hmac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def quote(text, safe='-_.~'):
    return urllib.parse.quote(text, safe=safe)


class Signer:
    """Signs for one account; every ingredient can be replaced to make it wrong."""

    def __init__(self, account, host, region='us-east-1'):
        self.key, self.secret = account['access_key'], account['secret_key']
        self.host, self.region = host, region

    def signing_key(self, date, region=None, service='s3', terminator='aws4_request'):
        k = _hmac(('AWS4' + self.secret).encode(), date)
        return _hmac(_hmac(_hmac(k, region or self.region), service), terminator)

    def _signature(self, method, path, query, headers, signed, payload, date, scope, key):
        canonical = '\n'.join([method, path, query] + [f'{h}:{headers.get(h, "").strip()}' for h in signed] +
                              ['', ';'.join(signed), payload])
        text = '\n'.join(['AWS4-HMAC-SHA256', date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
        return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()

    def headers(self, method, path, query='', headers=None, payload=EMPTY, date=None, unsigned=(), **wrong):
        """All headers of a signed request, Authorization last. wrong: algorithm, access, scope_date, region, service,
        terminator, signature, drop (names left out of SignedHeaders), auth (the whole value)."""
        date = date or amz_now()
        h = {'host': self.host, 'x-amz-date': date, 'x-amz-content-sha256': payload, **(headers or {})}
        signed = sorted(n for n in h if (n == 'host' or n.startswith('x-amz-')) and n not in wrong.get('drop', ()) and
                        n not in unsigned)
        scope_date = wrong.get('scope_date', date[:8])
        region, service = wrong.get('region', self.region), wrong.get('service', 's3')
        end = wrong.get('terminator', 'aws4_request')
        scope = f'{scope_date}/{region}/{service}/{end}'
        signature = self._signature(method, path, query, h, signed, payload, date, scope,
                                    self.signing_key(scope_date, region, service, end))
        self.seed, self.date, self.scope = signature, date, scope
        h['authorization'] = wrong.get('auth') or (
            f'{wrong.get("algorithm", "AWS4-HMAC-SHA256")} Credential={wrong.get("access", self.key)}/{scope}, '
            f'SignedHeaders={";".join(signed)}, Signature={wrong.get("signature", signature)}')
        return h

    def presign(self, method, path, expires='60', date=None, **extra):
        date = date or amz_now()
        scope = f'{date[:8]}/{self.region}/s3/aws4_request'
        q = {'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': f'{self.key}/{scope}', 'X-Amz-Date': date,
             'X-Amz-Expires': str(expires), 'X-Amz-SignedHeaders': 'host', **extra}
        query = '&'.join(f'{quote(k)}={quote(v)}' for k, v in sorted(q.items()))
        sig = self._signature(method, path, query, {'host': self.host}, ['host'], 'UNSIGNED-PAYLOAD', date, scope,
                              self.signing_key(date[:8]))
        return f'{path}?{query}&X-Amz-Signature={sig}'

    # -- aws-chunked bodies; headers() must have been called for the seed ---------------------------------
    def chunk_signature(self, previous, data):
        text = '\n'.join(['AWS4-HMAC-SHA256-PAYLOAD', self.date, self.scope, previous, EMPTY,
                          hashlib.sha256(data).hexdigest()])
        return hmac.new(self.signing_key(self.date[:8]), text.encode(), hashlib.sha256).hexdigest()

    def signed_chunks(self, pieces, seed=None):
        """The chunks of pieces and the last one, as a list of bytes without the final CRLF."""
        out, previous = [], seed or self.seed
        for data in list(pieces) + [b'']:
            previous = self.chunk_signature(previous, data)
            out.append(b'%x;chunk-signature=%s\r\n' % (len(data), previous.encode()) + (data + b'\r\n' if data else b''))
        self.last = previous
        return out

    def trailer_signature(self, line):
        text = '\n'.join(['AWS4-HMAC-SHA256-TRAILER', self.date, self.scope, self.last,
                          hashlib.sha256(line.encode() + b'\n').hexdigest()])
        return hmac.new(self.signing_key(self.date[:8]), text.encode(), hashlib.sha256).hexdigest()


def crc32(data):
    return b64encode(zlib.crc32(data).to_bytes(4, 'big')).decode()


def request(method, target, headers):
    lines = [f'{method} {target} HTTP/1.1'] + [f'{k}: {v}' for k, v in headers.items()]
    return ('\r\n'.join(lines) + '\r\n\r\n').encode('latin1')


class Reply:
    def __init__(self, status, headers, body, closed):
        self.status, self.headers, self.body, self.closed = status, headers, body, closed

    @property
    def code(self):
        text = self.body.decode('utf-8', 'replace')
        return text.split('<Code>')[1].split('</Code>')[0] if '<Code>' in text else ''

    def __repr__(self):
        return f'{self.status} {self.code} {self.body[:200]!r}'


class Raw:
    """One connection."""

    def __init__(self, port, timeout=20):
        self.s = socket.create_connection(('127.0.0.1', port), timeout)
        self.s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.f = self.s.makefile('rb')

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.f.close()
        self.s.close()

    def send(self, data):
        try:
            self.s.sendall(data)
        except OSError:
            pass  # refused early: the reply says why
        return self

    def end(self):
        try:
            self.s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        return self

    def reply(self, head=False):
        """The next reply, or None when the connection ended without one."""
        try:
            line = self.f.readline()
        except OSError:
            return None
        if not line:
            return None
        status, headers = int(line.split()[1]), {}
        while True:
            line = self.f.readline()
            if line in (b'\r\n', b''):
                break
            name, value = line.decode('latin1').split(':', 1)
            headers[name.lower()] = value.strip()
        body = b''
        if not head and status >= 200:
            body = self.f.read(int(headers.get('content-length', 0)))
        return Reply(status, headers, body, headers.get('connection', '').lower() == 'close')

    def at_end(self):
        """True when the server has closed and nothing more comes."""
        try:
            return self.f.read(1) == b''
        except ConnectionResetError:
            return True
