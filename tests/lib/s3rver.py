#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""s3rver, an S3 store in JavaScript from npm, for tests.

    with S3rver() as s: s.endpoint, s.access_key, s.secret_key ...           (see s3stores.py)

By hand: s3rver.py    prints what a client needs, ends with its standard input or SIGTERM.

It is the s3rver that 20 Minutes keeps up: s3rver 3.7.1 itself takes any SigV4 signature unread. The version, and that of
all it needs, is pinned with digests in s3rver/package-lock.json; npm installs it once into $FIRN_TEST_CACHE (default
~/.cache/firn-tests), never into the repository, and runs no package's scripts. What it is worth as a store: it verifies
SigV4, and has path style, ranges, metadata, listings with pages, multipart. It verifies neither Content-MD5 nor
x-amz-content-sha256 nor x-amz-checksum-*: what arrives damaged is stored, and its ETag is the MD5 of what arrived. So a
client that trusts the store alone is found out here."""
import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from firnsite import free_port, wait_for  # noqa: E402
from s3stores import Store  # noqa: E402

PACKAGE = os.path.join(HERE, 's3rver')
NODE = ['--openssl-legacy-provider']  # it makes continuation tokens with a cipher that OpenSSL 3 keeps there
RUN = "require(process.argv[1]).parse(process.argv.slice(2), {from: 'user'})"
ATTEMPTS = 3  # a port that was free may be taken before it is bound


def installed():
    """The directory in which the pinned s3rver is installed; installs it first when it is not there."""
    with open(os.path.join(PACKAGE, 'package-lock.json'), 'rb') as f:
        digest = hashlib.sha256(f.read()).hexdigest()[:12]
    cache = os.environ.get('FIRN_TEST_CACHE') or os.path.join(os.path.expanduser('~'), '.cache', 'firn-tests')
    place = os.path.join(cache, f's3rver-{digest}')
    if os.path.isdir(place):
        return place
    os.makedirs(cache, exist_ok=True)
    fresh = tempfile.mkdtemp(prefix='s3rver-', dir=cache)
    try:
        for name in ('package.json', 'package-lock.json'):
            shutil.copy(os.path.join(PACKAGE, name), fresh)
        r = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund'], cwd=fresh, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
        if r.returncode != 0:
            raise RuntimeError(f's3rver: npm could not install it (npm\'s words below); with FIRN_TEST_CACHE a directory may '
                               f'be named in which an earlier run has\n{r.stdout}')
        try:
            os.rename(fresh, place)
        except OSError:
            if not os.path.isdir(place):  # else another run was first
                raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return place


class S3rver(Store):
    name, host = 's3rver', '127.0.0.1'
    access_key = secret_key = 'S3RVER'  # the one account that it has
    underscores = True

    def __init__(self, directory=None):
        begin = time.monotonic()
        program = os.path.join(installed(), 'node_modules', '@20minutes', 's3rver', 'lib', 'cli.js')
        self.dir = tempfile.mkdtemp(prefix='firn-s3rver-', dir=directory or os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        self.proc = None
        atexit.register(self.stop)
        try:
            self._start(program)
        except BaseException:
            self.log()
            self.stop()
            raise
        self.start_seconds = time.monotonic() - begin

    def _start(self, program):
        data = os.path.join(self.dir, 'data')
        os.mkdir(data)
        for _ in range(ATTEMPTS):
            self.port = free_port()
            with open(os.path.join(self.dir, 'log'), 'ab') as log:
                self.proc = subprocess.Popen(['node', *NODE, '-e', RUN, program, '--silent', '--no-vhost-buckets', '-a', self.host,
                                              '-p', str(self.port), '-d', data], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                             cwd=self.dir, start_new_session=True)
            if self._answers():
                return
        raise RuntimeError('s3rver does not answer')

    def _answers(self):
        def up():
            if self.proc.poll() is not None:
                return True
            try:
                return self.request('GET', '/')[0] == 200
            except OSError:
                return False
        wait_for('s3rver', up, 60)
        return self.proc.poll() is None

    def pids(self):
        return [self.proc.pid]

    def log(self):
        with open(os.path.join(self.dir, 'log'), encoding='utf-8', errors='replace') as f:
            print('# --- last lines of s3rver\n' + ''.join('# ' + line for line in f.readlines()[-20:]))

    def stop(self):
        atexit.unregister(self.stop)
        if self.proc:
            self.proc.kill()  # it has nothing to keep
            self.proc.wait()
            self.proc = None
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with S3rver() as s:
        print(f'endpoint={s.endpoint} access_key={s.access_key} secret_key={s.secret_key} region={s.region} '
              f'started_in={s.start_seconds:.1f}s', flush=True)
        sys.stdin.read()


if __name__ == '__main__':
    main()
