# SPDX-License-Identifier: Apache-2.0
"""A copytool between the fake Lustre and a tier, for end-to-end tests:

    with Site(store='firn') as site:        # or 'radosgw', 's3rver'; kinds 'dir' and 'null' need no store
        site.start()
        site.lustre.write_file('a', b'x'); site.archive('a'); site.release('a'); site.lustre.read('a')

What the fake proves, and what it cannot, stands in doc/design/lustre-fake.md. Needs root."""
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

import firnsite
import s3stores
from lustrefake import LustreFake

CHUNK = 1 << 20
KIND = os.environ.get('FIRN_TEST_TIER', 's3')
STORE = os.environ.get('FIRN_TEST_STORE', 'firn')


class Site:
    def __init__(self, kind=KIND, store=STORE, version='2.17.57', buckets=3, chunk=CHUNK, garbage_delay=0, fs='xfs',
                 size='8G', conf='', lustre='', **settings):
        self.kind, self.store_name, self.buckets, self.chunk = kind, store, buckets, chunk
        self.garbage_delay, self.extra, self.extra_lustre = garbage_delay, conf, lustre
        self.fake = dict(version=version, fs=fs, size=size, **settings)
        self.dir = self.lustre = self.store = self.proc = self.endpoint = None
        self.runs = 0

    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.show_log()
        self.close()

    def _make(self):
        self.dir = tempfile.mkdtemp(prefix='firn-ct-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        self.root = os.path.join(self.dir, 'tier')
        self.log = os.path.join(self.dir, 'copytool.log')
        self.conf = os.path.join(self.dir, 'firn.conf')
        self.state = os.path.join(self.dir, 'state')
        if self.kind == 'posix':
            os.mkdir(self.root)
        if self.kind == 's3':
            self.store = s3stores.store(self.store_name)
            self.store.__enter__()
            self.prefix = 'hsm_' if self.store.underscores else 'hsm-'
            for name in self.bucket_names():
                self.store.make_bucket(name)
        self.lustre = LustreFake(**self.fake)
        self.lustre.__enter__()
        self.write_conf()

    def bucket_names(self):
        return [f'{self.prefix}{i}' for i in range(self.buckets)]

    def write_conf(self):
        stores = ''
        if self.kind == 's3':
            s = self.store
            stores = f'''stores = ( {{ name = "s1"; endpoint = "{self.endpoint or s.endpoint}"; region = "{s.region}";
  style = "path"; bucket_prefix = "{self.prefix[:-1]}"; bucket_count = {self.buckets}; bucket_separator = "{self.prefix[-1]}";
  access_key = "{s.access_key}"; secret_key = "{s.secret_key}"; chunk_size = {self.chunk}; buffers = 32;
  retries = 3; retry_max_ms = 200; stall_timeout = 10; }} );'''
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(f'''site = "test";
state_dir = "{self.state}";
run_dir = "{self.dir}/run";
{stores}
lustre = {{ state_dir = "{self.state}/lustre"; garbage_delay = {self.garbage_delay}; heartbeat = 1; {self.extra_lustre} }};
{self.extra}
''')

    def close(self):
        self.kill()
        for part in (self.lustre, self.store):
            if part is not None:
                part.__exit__(None, None, None)
        if self.dir and not os.environ.get('FIRN_TEST_KEEP'):
            shutil.rmtree(self.dir, ignore_errors=True)

    def show_log(self, name='', lines=60):
        if os.path.exists(self.log):
            with open(self.log, encoding='utf-8', errors='replace') as f:
                for line in f.read().splitlines()[-lines:]:
                    print('# ' + line)

    # -- the copytool ---------------------------------------------------------------------------------
    def command(self, *args):
        root = ['--hsm-root', self.root] if self.kind in ('dir', 'posix') else []
        return [firnsite.program('lhsmtool_firn'), '--config', self.conf, '--tier', self.kind, *root, *args,
                self.lustre.mount]

    def start(self, crash=None, agents=1, bandwidth=None, extra=()):
        """crash: the crash point to die at. bandwidth: bytes (whole KiB) a second, so that a test can do something meanwhile."""
        env = self.lustre.env()
        args = [*extra, *(['--bandwidth', f'{bandwidth >> 10}K'] if bandwidth else [])]
        if crash:
            env['FIRN_CRASH_POINT'] = crash
        with open(self.log, 'ab') as log:
            self.proc = subprocess.Popen(self.command(*args), env=env, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.lustre.wait_agents(agents)

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        rc = self.proc.wait(60)
        self.proc = None
        return rc

    def kill(self):
        if self.proc is not None and self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        self.proc = None

    def wait_crash(self, seconds=30):
        """Waits until a crash point has killed it."""
        rc = self.proc.wait(seconds)
        assert rc == -signal.SIGKILL, f'ended with {rc}, not at a crash point'
        self.proc = None
        self.lustre.wait_agents(0)

    def admin(self, *args, check=True):
        """An administrator's command; no copytool may run."""
        r = subprocess.run(self.command(*args), env=self.lustre.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                           text=True)
        if check and r.returncode != 0:
            raise RuntimeError(f'{args}: {r.returncode}\n{r.stdout}{r.stderr}')
        return r

    def logged(self, text):
        with open(self.log, encoding='utf-8', errors='replace') as f:
            return text in f.read()

    def wait_logged(self, text, seconds=30):
        """Waits until the log holds text."""
        firnsite.wait_for(f'"{text}" in the log', lambda: self.logged(text), seconds)

    # -- requests -------------------------------------------------------------------------------------
    def over(self, cookies, timeout=60):
        """Waits; the records of these cookies."""
        return [self.lustre.wait(c, timeout) for c in cookies]

    def archive(self, *files, timeout=120):
        """Archives and waits; every one must succeed."""
        for r in self.over(self.lustre.archive(*files), timeout):
            assert r['status'] == 'SUCCEED', r

    def begin(self, action, *files, **more):
        """Asks for action ('archive', 'restore', 'remove') of one file and waits until it runs. Returns the cookie."""
        cookie, = self.lustre.request(action, *files, **more)
        self.wait_logged(f'{action.upper()} cookie={cookie:#x}')
        return cookie

    def wait_for(self, what, condition, seconds=30):
        firnsite.wait_for(what, condition, seconds)

    def release(self, *files):
        self.lustre.release(*files)

    def key(self, name):
        """The archive id that a file names, or None."""
        try:
            return os.getxattr(self.lustre.path(name), 'trusted.firn').decode()
        except OSError:
            return None

    # -- the tier -------------------------------------------------------------------------------------
    def objects(self):
        """{(bucket, key): size} of all that the store has."""
        return {(b, k): n for b in self.bucket_names() for k, n in self.store.list_objects(b).items()}

    def copies(self):
        """How many copies the tier has, whole ones or parts."""
        if self.kind == 'posix':
            return sum(f.startswith('0x') and ':' in f and not f.endswith('.lov') for _, _, fs in os.walk(self.root) for f in fs)
        if self.kind == 'dir':
            return sum(f.endswith('.json') for _, _, fs in os.walk(self.root) for f in fs)
        return len({i for _, key in self.objects() for i in re.findall(r'[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}', key)})

    def wait_copies(self, n, seconds=30):
        """Waits until collecting has left exactly n copies."""
        end = time.monotonic() + seconds
        while self.copies() != n:
            assert time.monotonic() < end, f'{self.copies()} copies, not {n}'
            time.sleep(0.1)

    def objects_of(self, key):
        """Files or (bucket, key) of one copy's data, sorted."""
        if self.kind == 'dir':
            return [os.path.join(self.root, key[:2], key)]
        return sorted((b, k) for b, k in self.objects() if key in k)

    def destroy(self, key):
        """Takes a copy away behind the copytool's back."""
        for o in self.objects_of(key):
            if self.kind == 'dir':
                os.unlink(o)
                os.unlink(o + '.json')
            else:
                self.store.boto().delete_object(Bucket=o[0], Key=o[1])

    def damage(self, key, n=0):
        """Turns one byte of the n-th object of a copy."""
        o = self.objects_of(key)[n]
        if self.kind == 'dir':
            with open(o, 'r+b') as f:
                f.seek(os.path.getsize(o) // 2)
                b = f.read(1)
                f.seek(-1, 1)
                f.write(bytes([b[0] ^ 1]))
            return
        client = self.store.boto()
        r = client.get_object(Bucket=o[0], Key=o[1])
        data = bytearray(r['Body'].read())
        data[len(data) // 2] ^= 1
        client.put_object(Bucket=o[0], Key=o[1], Body=bytes(data), Metadata=r['Metadata'], ContentType=r['ContentType'])

    def lose_index(self):
        """The index of copies is gone; the copytool must not run."""
        shutil.rmtree(os.path.join(self.state, 'lustre', 'catalog'))

    def forget(self, name):
        """The file stays archived, but all that firn has of it is gone: as when another copytool had archived it."""
        key = self.key(name)
        os.removexattr(self.lustre.path(name), 'trusted.firn')
        self.stop()
        self.destroy(key)
        self.lose_index()
        self.start()
