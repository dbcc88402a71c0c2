# SPDX-License-Identifier: Apache-2.0
"""Programs and S3 clients read stubs while firnd, firn-watch and firn-s3 are killed at random and start again: nobody
ever reads a zero or another wrong byte. Every try ends with the data or an error. FIRN_TEST_FS names the file system,
FIRN_SEED repeats a run, FIRN_TRIES sets how many times a stub is opened (400; 10,000 under ./check --long)."""
import collections
import contextlib
import mmap
import os
import random
import signal
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import tap  # noqa: E402
from firnsite import program, wait_for  # noqa: E402
from watchsite import POOL, WatchSite, is_stub  # noqa: E402

FS = os.environ.get('FIRN_TEST_FS', 'ext4')
TRIES = int(os.environ.get('FIRN_TRIES', '10000' if tap.long_run() else '400'))
SEED = int(os.environ.get('FIRN_SEED', random.SystemRandom().randrange(1 << 32)))
FILES, BYTES, READERS = 60, 40000, 6
DEADLINE_S = 4   # of a waiting program, in firn.conf
HANG_S = 90      # a try that takes longer has hung
PAUSE_S = (0.01, 0.25)


def content(i):
    """Bytes of file i, none of them zero, no two files alike."""
    line = b'file %06d is whole; ' % i
    return (line * (BYTES // len(line) + 1))[:BYTES]


def read_whole(path):
    with open(path, 'rb', buffering=0) as f:
        return b''.join(iter(lambda: f.read(16384), b''))


def read_mapped(path):
    with open(path, 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
        return bytes(m)


def read_holes(path):
    """As cp does: what the file system calls a hole is taken for zeros."""
    out = bytearray(os.stat(path).st_size)
    fd = os.open(path, os.O_RDONLY)
    try:
        at = 0
        while at < len(out):
            try:
                at = os.lseek(fd, at, os.SEEK_DATA)
            except OSError as e:
                if e.errno != 6:  # ENXIO: no more data
                    raise
                break
            end = os.lseek(fd, at, os.SEEK_HOLE)
            while at < end:
                part = os.pread(fd, min(65536, end - at), at)
                if not part:
                    return bytes(out)
                out[at:at + len(part)] = part
                at += len(part)
    finally:
        os.close(fd)
    return bytes(out)


def read_cat(path):
    r = subprocess.run(['cat', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    if r.returncode != 0:
        raise OSError(0, 'cat failed')
    return r.stdout


WAYS = [read_whole, read_mapped, read_holes, read_cat]


def reader(paths, seed):
    """A process of its own: a line for each try, "FILE WAY OUTCOME"; ends when its output is closed."""
    rng = random.Random(seed)
    while True:
        i = rng.randrange(len(paths))
        if not is_stub(paths[i]):
            time.sleep(0.002)
            continue
        way = rng.choice(WAYS)
        print(f'{i} {way.__name__} begin', flush=True)
        try:
            got = way(paths[i])
            outcome = 'data' if got == content(i) else 'zeros' if b'\0' in got else 'wrong'
        except OSError as e:
            outcome = f'errno={e.errno}'
        print(f'{i} {way.__name__} {outcome}', flush=True)


class Storm:
    def __init__(self, site, paths, keys, account):
        self.site, self.paths, self.keys, self.account = site, paths, keys, account
        self.rng = random.Random(SEED)
        self.outcomes, self.s3_outcomes, self.kills = (collections.Counter() for _ in range(3))
        self.bad, self.slowest = [], 0.0
        self.lock, self.stop = threading.Lock(), threading.Event()
        self.store = None

    # -- processes ----------------------------------------------------------------------------------
    def start_watch(self):
        site = self.site
        self.store = subprocess.Popen(['/usr/bin/python3', os.path.join(HERE, '..', 'lib', 'fdstore.py'),
                                       os.path.join(site.dir, 'notify'), os.path.join(site.dir, 'firn-watch.log'),
                                       os.path.join(site.dir, 'states'), program('firn-watch'), '-c', site.conf],
                                      stdin=subprocess.DEVNULL)
        wait_for('firn-watch', lambda: os.path.exists(os.path.join(site.dir, 'run', 'watch.sock')))

    def kill_watch(self):
        with open(f'/proc/{self.store.pid}/task/{self.store.pid}/children', encoding='ascii') as f:
            for pid in f.read().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)

    def kill_some(self):
        victims = self.rng.choice([['firnd'], ['firnd'], ['firn-watch'], ['firn-watch'], ['firn-s3'], ['firnd', 'firn-watch'],
                                   ['firnd', 'firn-watch', 'firn-s3']])
        for name in victims:
            self.kills[name] += 1
            if name == 'firn-watch':
                self.kill_watch()
            elif name in self.site.procs:
                self.site.kill(name)
        self.stop.wait(self.rng.uniform(0, 0.3))
        for name in victims:
            if name != 'firn-watch':
                self.site._spawn(name, ['-c', self.site.conf], None)

    # -- threads ------------------------------------------------------------------------------------
    def kill_loop(self):
        try:
            self.kill_all_the_time()
        except BaseException as e:
            self.bad.append(f'the killer itself: {e!r}')
            raise

    def kill_all_the_time(self):
        while not self.stop.wait(self.rng.uniform(*PAUSE_S)):
            self.kill_some()
            if self.rng.random() < 0.3:  # long enough to become useful again
                self.stop.wait(1)

    def migrate_loop(self):
        """Makes stubs again of what was recalled; fails whenever firnd dies."""
        listing = os.path.join(self.site.dir, 'list')
        while not self.stop.is_set():
            resident = [p for p in self.paths if not is_stub(p)]
            with open(listing, 'w', encoding='utf-8') as f:
                f.writelines(p + '\n' for p in resident)
            if not resident or self.site.firn('file', 'migrate', '-p', POOL, '--list', listing, check=False).returncode != 0:
                self.stop.wait(0.1)

    def s3_loop(self):
        client, rng = self.site.boto(self.account), random.Random(SEED + 1)
        while not self.stop.is_set():
            i = rng.randrange(len(self.keys))
            try:
                got = client.get_object(Bucket='test1', Key=self.keys[i])['Body'].read()
                outcome = 'data' if got == content(i) else 'wrong'
            except Exception as e:  # a server that is not there, in all its forms
                outcome = type(e).__name__
                self.stop.wait(0.05)
            with self.lock:
                self.s3_outcomes[outcome] += 1
                if outcome == 'wrong':
                    self.bad.append(f'{self.keys[i]} by S3')

    def read_loop(self, n):
        argv = ['/usr/bin/python3', os.path.abspath(__file__), '--reader', str(SEED + 100 + n), *self.paths]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as p:
            begun = time.monotonic()
            for line in p.stdout:
                i, way, outcome = line.split()
                now = time.monotonic()
                if outcome == 'begin':
                    begun = now
                    continue
                with self.lock:
                    self.outcomes[outcome] += 1
                    self.slowest = max(self.slowest, now - begun)
                    if outcome in ('zeros', 'wrong'):
                        self.bad.append(f'{self.paths[int(i)]} by {way}: {outcome}')
                if self.stop.is_set():
                    break
            p.kill()

    def run(self):
        threads = [threading.Thread(target=self.read_loop, args=(n,)) for n in range(READERS)]
        threads += [threading.Thread(target=t) for t in (self.kill_loop, self.migrate_loop, self.s3_loop)]
        for t in threads:
            t.start()
        last, since = 0, time.monotonic()
        try:
            while sum(self.outcomes.values()) < TRIES and not self.bad:
                self.stop.wait(0.2)
                now = sum(self.outcomes.values())
                if now != last:
                    last, since = now, time.monotonic()
                assert time.monotonic() - since < HANG_S, f'nothing was read for {HANG_S} s'
        finally:
            self.stop.set()
            for t in threads[READERS:]:
                t.join(120)
            for name in ('firnd', 'firn-s3'):  # waiting readers end by the deadline, or here
                if name not in self.site.procs:
                    self.site._spawn(name, ['-c', self.site.conf], None)
            for t in threads[:READERS]:
                t.join(HANG_S)
        assert not any(t.is_alive() for t in threads), 'a reader hangs'


@contextlib.contextmanager
def setup():
    print(f'# {FS}, seed {SEED}, {TRIES} tries', flush=True)
    with WatchSite(fs=FS, deadline=DEADLINE_S, recall_wait=5) as site:
        os.environ['NOTIFY_SOCKET'] = ''
        storm = Storm(site, [], [], None)
        storm.start_watch()
        try:
            site.start_firnd()
            site.start_s3()
            storm.account = site.account()
            client = site.boto(storm.account)
            client.create_bucket(Bucket='test1')
            for i in range(FILES):
                storm.keys.append(f'f{i:03}')
                storm.paths.append(site.path('test1', storm.keys[-1]))
                client.put_object(Bucket='test1', Key=storm.keys[-1], Body=content(i))
            site.migrate(storm.paths)
            yield storm
        finally:
            for name in list(site.procs):
                site.kill(name)
            storm.store.terminate()
            storm.store.wait(60)


def test_no_reader_sees_a_wrong_byte_whoever_is_killed(storm):
    storm.run()
    print(f'# programs: {dict(storm.outcomes)}; slowest {storm.slowest:.1f} s')
    print(f'# S3: {dict(storm.s3_outcomes)}; kills: {dict(storm.kills)}')
    assert not storm.bad, (SEED, storm.bad[:5])
    assert storm.outcomes['data'] > TRIES // 20, 'hardly anything was read'


def test_afterwards_every_file_is_read(storm):
    for name in ('firnd', 'firn-s3'):
        if name in storm.site.procs:
            storm.site.kill(name)
    storm.site.start_firnd()
    end = time.monotonic() + 60
    for i, path in enumerate(storm.paths):
        while True:
            try:
                assert read_whole(path) == content(i), (SEED, path)
                break
            except OSError:
                assert time.monotonic() < end, path
                time.sleep(0.2)


if __name__ == '__main__':
    if sys.argv[1:2] == ['--reader']:
        with contextlib.suppress(BrokenPipeError):
            reader(sys.argv[3:], int(sys.argv[2]))
    else:
        tap.main(globals(), setup=setup)
