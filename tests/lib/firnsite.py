# SPDX-License-Identifier: Apache-2.0
"""A temporary firn site for tests: a real file system on a loop device, a virtual library, firnd and
firn-s3 on loopback. Needs root. Programs come from $FIRN_BUILD (the meson build directory).

    with Site(fs='xfs') as site:
        site.start()
        acc = site.account('user1')
        site.s3(acc, 'create-bucket', '--bucket', 'test1')
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

BUILD = os.environ.get('FIRN_BUILD', os.path.join(os.getcwd(), 'build'))
MKFS = {'ext4': ['mkfs.ext4', '-q', '-F'], 'xfs': ['mkfs.xfs', '-q', '-f'], 'btrfs': ['mkfs.btrfs', '-q', '-f']}


def program(name):
    return os.path.join(BUILD, 'src', 'bin', name)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


def wait_for(what, condition, seconds=30.0):
    """Waits until condition() is true; fails with what when it never is."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f'gave up waiting for {what}')
        time.sleep(0.02)


class Command(Exception):
    """A command that failed, with all it printed."""


class Site:
    def __init__(self, fs='ext4', fs_size='3G', drives=2, cartridges=8, cartridge_size='2GiB', posix_readers='none',
                 min_age=0, recall_wait=20, extra='', mkfs=(), pools=()):
        self.dir = tempfile.mkdtemp(prefix='firn-test-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        os.chmod(self.dir, 0o755)
        self.fs_kind, self.fs_size, self.mkfs = fs, fs_size, list(mkfs)
        self.mount = os.path.join(self.dir, 'fs1')
        self.library = os.path.join(self.dir, 'lib1')
        self.state = os.path.join(self.dir, 'state')
        self.socket = os.path.join(self.dir, 'run', 'firnd.sock')
        self.conf = os.path.join(self.dir, 'firn.conf')
        self.drives, self.cartridges, self.cartridge_size = drives, cartridges, cartridge_size
        self.port = free_port()
        self.procs = {}
        self.settings = dict(posix_readers=posix_readers, min_age=min_age, recall_wait=recall_wait, extra=extra, pools=pools)
        self.mounted = False

    # -- making and removing ------------------------------------------------------------------------
    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            for name in ('firnd', 'firn-s3'):
                self.show_log(name)
        self.close()

    def _make(self):
        os.mkdir(self.mount)
        image = os.path.join(self.dir, 'fs.img')
        subprocess.run(['truncate', '-s', self.fs_size, image], check=True)
        subprocess.run(MKFS[self.fs_kind] + self.mkfs + [image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['mount', '-o', 'loop', image, self.mount], check=True)
        self.mounted = True
        os.mkdir(os.path.join(self.mount, 'buckets'))
        os.makedirs(os.path.dirname(self.socket))
        self.write_conf()
        self.firn('library', 'create', '--kind', 'dir', '--drives', str(self.drives), '--cartridges',
                  str(self.cartridges), '--size', self.cartridge_size, self.library)

    def write_conf(self):
        s = self.settings
        pools = ''.join(f', {{ name = "{name}"; library = "{library}"; }}' for name, library in s['pools'])
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(f'''site = "test";
state_dir = "{self.state}";
run_dir = "{os.path.dirname(self.socket)}";
filesystems = ( {{ name = "fs1"; path = "{self.mount}"; posix_readers = "{s['posix_readers']}"; }} );
libraries = ( {{ name = "lib1"; kind = "dir"; path = "{self.library}"; }} );
pools = ( {{ name = "pool1"; library = "lib1"; }}, {{ name = "pool2"; library = "lib1"; }}{pools} );
migrate = {{ min_age = {s['min_age']}; }};
recall = {{ wait = {s['recall_wait']}; }};
s3 = {{ listen = "127.0.0.1:{self.port}"; show_storage_class_metadata = true; }};
{s['extra']}
''')

    def close(self):
        for name in list(self.procs):
            self.kill(name)
        if self.mounted:
            for _ in range(50):
                if subprocess.run(['umount', self.mount], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.1)
            else:
                subprocess.run(['umount', '-l', self.mount])
        if os.environ.get('FIRN_TEST_KEEP'):
            print('kept', self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)

    # -- daemons ------------------------------------------------------------------------------------
    def start(self, env=None):
        self.start_firnd(env)
        self.start_s3()

    def _spawn(self, name, args, env):
        log = open(os.path.join(self.dir, name + '.log'), 'ab')
        self.procs[name] = subprocess.Popen([program(name)] + args, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env={**os.environ, **(env or {})})
        log.close()

    def start_firnd(self, env=None, wait=True):
        self._spawn('firnd', ['-c', self.conf], env)
        if wait:
            wait_for('firnd', lambda: self._alive('firnd') and self.firn('status', check=False).returncode == 0)

    def start_s3(self, env=None):
        self._spawn('firn-s3', ['-c', self.conf], env)

        def listening():
            self._alive('firn-s3')
            with socket.socket() as s:
                return s.connect_ex(('127.0.0.1', self.port)) == 0
        wait_for('firn-s3', listening)

    def _alive(self, name):
        rc = self.procs[name].poll()
        if rc is not None:
            self.show_log(name)
            raise Command(f'{name} ended with status {rc}')
        return True

    def show_log(self, name, lines=40):
        try:
            with open(os.path.join(self.dir, name + '.log'), encoding='utf-8', errors='replace') as f:
                print(f'--- last lines of {name}.log')
                print(''.join(f.readlines()[-lines:]))
        except OSError:
            pass

    def stop(self, name, seconds=60):
        p = self.procs.pop(name)
        p.send_signal(signal.SIGTERM)
        return p.wait(seconds)

    def kill(self, name):
        """kill -9; also reaps a daemon that died at a crash point. Returns its wait status."""
        p = self.procs.pop(name)
        p.kill()
        return p.wait(60)

    def wait_death(self, name, seconds=60):
        """Waits for a daemon to die by itself (at a crash point). Returns its status, -9 for SIGKILL."""
        return self.procs.pop(name).wait(seconds)

    # -- commands -----------------------------------------------------------------------------------
    def run(self, argv, check=True, env=None, timeout=300, **kw):
        kw.setdefault('stdin', subprocess.DEVNULL)
        r = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout,
                           env={**os.environ, **(env or {})}, **kw)
        if check and r.returncode != 0:
            raise Command(f'{" ".join(argv)}\nstatus {r.returncode}\n{r.stdout}{r.stderr}')
        return r

    def firn(self, *args, check=True, **kw):
        return self.run([program('firn'), '--config', self.conf, *args], check=check, **kw)

    def firn_json(self, *args):
        return json.loads(self.firn('--json', *args).stdout)

    def assign(self, pool='pool1', count=2, first=0):
        """Assigns (formats) count cartridges of the library, from the first-th on, to a pool."""
        tapes = sorted(t['barcode'] for t in self.firn_json('tape', 'list')['payload'])
        self.firn('tape', 'assign', *tapes[first:first + count], '-p', pool, '-l', 'lib1')
        return tapes[first:first + count]

    def each_drive(self, *args):
        """firn drive ARGS for every drive."""
        for d in self.firn_json('drive', 'list')['payload']:
            self.firn('drive', *args, d['id'].split('@')[0])

    def account(self, name='user1', uid=12001):
        r = self.firn_json('account', 'create', name, '--uid', str(uid), '--gid', str(uid))
        return r['payload'][0] if 'payload' in r else r

    def s3env(self, account):
        home = os.path.join(self.dir, 'home')
        os.makedirs(home, exist_ok=True)
        return {'AWS_ACCESS_KEY_ID': account['access_key'], 'AWS_SECRET_ACCESS_KEY': account['secret_key'],
                'AWS_DEFAULT_REGION': 'us-east-1', 'AWS_EC2_METADATA_DISABLED': 'true', 'AWS_MAX_ATTEMPTS': '1',
                'AWS_CONFIG_FILE': '/dev/null', 'AWS_SHARED_CREDENTIALS_FILE': '/dev/null', 'HOME': home}

    @property
    def endpoint(self):
        return f'http://127.0.0.1:{self.port}'

    def aws(self, account, *args, check=True, **kw):
        return self.run(['/usr/bin/aws', '--endpoint-url', self.endpoint, *args], check=check, env=self.s3env(account), **kw)

    def s3(self, account, *args, check=True, **kw):
        """aws s3api ARGS; returns the parsed answer, or the finished process when check is off."""
        r = self.aws(account, 's3api', *args, check=check, **kw)
        if not check:
            return r
        return json.loads(r.stdout) if r.stdout.strip() else {}

    def boto(self, account, **kw):
        import boto3  # Debian's python3-boto3
        from botocore.config import Config
        return boto3.client('s3', endpoint_url=self.endpoint, aws_access_key_id=account['access_key'],
                            aws_secret_access_key=account['secret_key'], region_name='us-east-1',
                            config=Config(retries={'max_attempts': 1}, **kw))

    def path(self, *parts):
        return os.path.join(self.mount, 'buckets', *parts)

    def ask_recall(self, path, wait_ms):
        """What a gateway does for a reader: op recall on the control socket. None when firnd died."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.socket)
            s.sendall(json.dumps({'id': 1, 'op': 'recall', 'args': {'path': path, 'wait_ms': wait_ms}}).encode() + b'\n')
            line = s.makefile('rb').readline()
        return json.loads(line) if line else None

    def state_of(self, path):
        r = self.firn_json('file', 'state', path)
        return r['payload'][0]['state']
