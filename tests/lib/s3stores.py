# SPDX-License-Identifier: Apache-2.0
"""S3 stores for tests, all started the same way, so that one test runs over each:

    with store('radosgw') as s:
        client = s.boto()                      # or anything else: s.endpoint, s.access_key, s.secret_key, s.region, s.style
        s.make_bucket('lustre_hsm_0')
        ...
        with s.faults(seed=7) as proxy:        # a FaultProxy before it; proxy.endpoint instead of s.endpoint
            ...

names() says which there are. Each store has all its state in a temporary directory, a free port, and may run any number
of times at once; stop() (or the end of the with) ends its processes and removes everything."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import firnsite  # noqa: E402
from faultproxy import FaultProxy  # noqa: E402


class Store:
    """What every store offers. A kind sets host, port, access_key and secret_key, and defines pids() and stop()."""
    name = ''
    region = 'us-east-1'
    style = 'path'
    ca_file = None       # of a store behind TLS: what its certificate is signed by
    underscores = False  # bucket names as lustre_hsm_0 are allowed
    md5_etag = True      # the ETag of a single PUT is the MD5 of its body
    checksums = ()       # the x-amz-checksum-* algorithms that the store verifies on PUT and keeps

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def endpoint(self):
        return f'{"https" if self.ca_file else "http"}://{self.host}:{self.port}'

    def boto(self, endpoint=None, **kw):
        """A boto3 client (Debian's python3-boto3) that does not retry; to endpoint instead of the store itself."""
        import boto3
        from botocore.config import Config
        kw.setdefault('retries', {'max_attempts': 1})
        kw.setdefault('s3', {'addressing_style': 'path'})
        return boto3.client('s3', endpoint_url=endpoint or self.endpoint, aws_access_key_id=self.access_key,
                            aws_secret_access_key=self.secret_key, region_name=self.region, verify=self.ca_file,
                            config=Config(**kw))

    def make_bucket(self, bucket):
        """Makes a bucket as an administrator would with s3cmd, by path, so that names with _ pass."""
        rawhttp_check(self.request('PUT', '/' + bucket))

    def request(self, method, target, body=b''):
        """One signed request by the test's own signer; returns (status, headers, body)."""
        import hashlib
        import http.client
        import ssl
        from rawhttp import Signer
        host = f'{self.host}:{self.port}'
        path, _, query = target.partition('?')
        signer = Signer({'access_key': self.access_key, 'secret_key': self.secret_key}, host, self.region)
        headers = signer.headers(method, path, query, payload=hashlib.sha256(body).hexdigest())
        if self.ca_file:
            trust = ssl.create_default_context(cafile=self.ca_file)
            connection = http.client.HTTPSConnection(self.host, self.port, timeout=60, context=trust)
        else:
            connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        try:
            connection.request(method, target, body, headers)
            r = connection.getresponse()
            return r.status, dict(r.getheaders()), r.read()
        finally:
            connection.close()

    def list_objects(self, bucket, prefix=''):
        """{key: size} of a whole bucket."""
        out, token = {}, {}
        client = self.boto()
        while True:
            r = client.list_objects_v2(Bucket=bucket, Prefix=prefix, **token)
            out.update({o['Key']: o['Size'] for o in r.get('Contents', ())})
            if not r.get('IsTruncated'):
                return out
            token = {'ContinuationToken': r['NextContinuationToken']}

    def faults(self, seed=None, **kw):
        """A fault proxy before this store."""
        return FaultProxy(self.host, self.port, seed, **kw)


def make_certificate(directory, host):
    """An authority of its own and a certificate of it for host; returns the paths (ca, certificate, key)."""
    ca, cakey, cert, key, request, names = (os.path.join(directory, n) for n in (
        'ca.pem', 'ca.key', 'cert.pem', 'cert.key', 'cert.csr', 'cert.ext'))
    with open(names, 'w', encoding='ascii') as f:
        f.write(f'subjectAltName = DNS:{host}, DNS:*.{host}, IP:127.0.0.1\n')
    for argv in (
            ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '30', '-subj', '/CN=firn test', '-keyout', cakey, '-out', ca],
            ['req', '-newkey', 'rsa:2048', '-nodes', '-subj', f'/CN={host}', '-keyout', key, '-out', request],
            ['x509', '-req', '-in', request, '-CA', ca, '-CAkey', cakey, '-CAcreateserial', '-days', '30', '-extfile', names,
             '-out', cert]):
        subprocess.run(['openssl', *argv], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return ca, cert, key


def rawhttp_check(answer):
    status, _, body = answer
    if status >= 300:
        raise RuntimeError(f'status {status}: {body.decode(errors="replace")}')


class Firn(Store):
    """firn-s3 itself, with a file system of its own on a loop device. fs_size as truncate takes it."""
    name, host, md5_etag = 'firn', '127.0.0.1', False
    checksums = ('crc32c', 'crc64nvme', 'sha256')

    def __init__(self, fs_size='4G', **kw):
        self.site = firnsite.Site(fs_size=fs_size, **kw)
        self.site.__enter__()
        try:
            self.site.start()
            account = self.site.account('store')
        except BaseException:
            self.site.close()
            raise
        self.port = self.site.port
        self.access_key, self.secret_key = account['access_key'], account['secret_key']

    def make_bucket(self, bucket):
        self.site.firn('bucket', 'create', bucket, '--owner', 'store')

    def pids(self):
        return [p.pid for p in self.site.procs.values()]

    def log(self):
        self.site.show_log('firn-s3')

    def stop(self):
        self.site.close()


def _radosgw(**kw):
    from radosgw import Radosgw
    return Radosgw(**kw)


def _s3rver(**kw):
    from s3rver import S3rver
    return S3rver(**kw)


KINDS = {'radosgw': _radosgw, 's3rver': _s3rver, 'firn': Firn}


def names():
    """The stores there are, or those that $FIRN_TEST_STORES names (words)."""
    chosen = os.environ.get('FIRN_TEST_STORES', '').split()
    return chosen or list(KINDS)


def store(name, **kw):
    """Starts the store of that name. The caller stops it."""
    return KINDS[name](**kw)
