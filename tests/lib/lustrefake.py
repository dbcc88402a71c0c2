# SPDX-License-Identifier: Apache-2.0
"""A Lustre file system with HSM that is none: the fake MDT on a loop device, and the fake liblustreapi.so.1 that
copytools load. Needs root. Programs come from $FIRN_BUILD. See doc/design/lustre-fake.md for what it proves.

    with LustreFake(version='2.17.57', max_requests=50) as lustre:
        copytool = subprocess.Popen([..., lustre.mount], env=lustre.env())
        lustre.wait_agents(1)
        lustre.write_file('a', b'hello')
        lustre.archive('a')            # queues; .wait_idle() or .wait(cookie) to see it through
        lustre.wait_idle()
        assert lustre.state('a') == 0x9
        lustre.release('a')
        assert lustre.read('a') == b'hello'   # blocks as a reader does; OSError(ENODATA) when the restore fails

Times are scaled: settings loop_period_ms (100), wake_ms (10), grace_ms, timeout_ms (active_request_timeout)."""
import contextlib
import errno
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time

BUILD = os.environ.get('FIRN_BUILD', os.path.join(os.getcwd(), 'build'))
MKFS = {'ext4': ['mkfs.ext4', '-q', '-F'], 'xfs': ['mkfs.xfs', '-q', '-f'], 'btrfs': ['mkfs.btrfs', '-q', '-f']}
EXISTS, DIRTY, RELEASED, ARCHIVED, NORELEASE, NOARCHIVE, LOST = 1, 2, 4, 8, 0x10, 0x20, 0x40
VERSIONS = ('2.12', '2.15', '2.17', '2.17.57')


class LustreFake:
    """fs: 'xfs' (restores are reflinks: fast), 'ext4', 'btrfs' on a loop device, or None for directory (an existing
    one, or a new one under /var/tmp). settings: any of `settings()`, e.g. max_requests, loop_period_ms, timeout_ms,
    no_retry, non_blocking_restore, raolu, stall_limit_ms,
    kernel_reads (plain reads of released files by any process wait for a restore, instead of seeing zeros). max_requests is 100 here (the MDT's own default is 3)."""

    def __init__(self, version='2.17.57', fs='xfs', size='4G', fsname='lustre', directory=None, library=None, **settings):
        self.version, self.fs, self.size, self.fsname, self.directory = version, fs, size, fsname, directory
        self.library = library or version  # 'broken': lacks llapi_hsm_action_end
        self.first = {'max_requests': 100, **settings}
        self.dir = self.mount = self.proc = None
        self.mounted = False

    @classmethod
    def attach(cls):
        """The fake of this process's environment, for programs started with env()."""
        self = cls()
        self.mount, self.socket = os.environ['FAKE_LUSTRE_MOUNT'], os.environ['FAKE_LUSTRE_SOCKET']
        text = self.settings()['version']
        self.version = self.library = max((v for v in VERSIONS if text.startswith(v)), key=len)
        return self

    # -- making and removing ------------------------------------------------------------------------
    def __enter__(self):
        try:
            self._make()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def _make(self):
        self.dir = tempfile.mkdtemp(prefix='firn-lustre-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        os.chmod(self.dir, 0o755)
        self.mount = self.directory or os.path.join(self.dir, 'mnt')
        os.makedirs(self.mount, exist_ok=True)
        if self.fs and not self.directory:
            image = os.path.join(self.dir, 'image')
            subprocess.run(['truncate', '-s', self.size, image], check=True)
            subprocess.run(MKFS[self.fs] + [image], check=True, stdout=subprocess.DEVNULL)
            subprocess.run(['mount', '-o', 'loop', image, self.mount], check=True)
            self.mounted = True
            with contextlib.suppress(OSError):
                os.rmdir(os.path.join(self.mount, 'lost+found'))
        self.socket = os.path.join(self.dir, 'mdt')
        self.log = open(os.path.join(self.dir, 'mdt.log'), 'wb')
        self.proc = subprocess.Popen([self.program('fakemdt'), '-m', self.mount, '-s', self.socket, '-f', self.fsname,
                                      '-v', self.version], stderr=self.log)
        self._until(lambda: self._listens() or self.proc.poll() is not None, 'the fake MDT')
        if self.proc.poll() is not None:
            raise RuntimeError('the fake MDT did not start')
        if self.first:
            self.settings(**self.first)

    def _listens(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket + '.ctl') == 0

    def close(self):
        if self.proc and self.proc.poll() is not None:
            print(f'# the fake MDT died: {self.proc.returncode}')
            with open(os.path.join(self.dir, 'mdt.log'), errors='replace') as f:
                print('# ' + '\n# '.join(f.read().splitlines()[-40:]), flush=True)
        elif self.proc:
            self.proc.terminate()
            try:
                self.proc.wait(10)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        if self.dir and getattr(self, 'log', None):
            self.log.close()
        if self.mounted:
            for _ in range(100):
                if subprocess.run(['umount', self.mount], stderr=subprocess.DEVNULL).returncode == 0:
                    break
                time.sleep(0.05)
            else:
                subprocess.run(['umount', '-l', self.mount])
            self.mounted = False
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    @staticmethod
    def program(name):
        return os.path.join(BUILD, 'tests', 'fake', 'lustre', name)

    @staticmethod
    def _until(condition, what, seconds=20):
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f'gave up waiting for {what}')
            time.sleep(0.005)

    def env(self, client='client0', preload=(), library=None, scheduler=False, **more):
        """The environment of a program that shall see this file system as Lustre. client: which client (node) it
        is; programs of one client share one agent and get the same messages. preload: further libraries. scheduler:
        with a scheduler's preload in front of the library, as coordinatool has one."""
        e = dict(os.environ)
        shims = [*preload, *([self.program('libfakesched.so')] if scheduler else []), self.program('libfakexattr.so')] + ([e['LD_PRELOAD']] if e.get('LD_PRELOAD') else [])
        e.update(FAKE_LUSTRE_SOCKET=self.socket, FAKE_LUSTRE_MOUNT=self.mount, FAKE_LUSTRE_CLIENT=client,
                 LD_LIBRARY_PATH=os.path.dirname(self.library_path(library)), LD_PRELOAD=':'.join(shims), **more)
        e['ASAN_OPTIONS'] = e.get('ASAN_OPTIONS', '') + ':verify_asan_link_order=0'  # the shim comes first
        return e

    def library_path(self, library=None):
        """The liblustreapi.so.1 of this version (or of another one, or 'broken')."""
        return self.program(os.path.join(library or self.library, 'liblustreapi.so.1'))

    # -- control ------------------------------------------------------------------------------------
    def call(self, cmd, timeout=120, **args):
        """One control command; returns the answer, whatever its rc."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(timeout)
            s.connect(self.socket + '.ctl')
            s.sendall(json.dumps({'cmd': cmd, **args}).encode() + b'\n')
            data = b''
            while not data.endswith(b'\n'):
                more = s.recv(1 << 20)
                if not more:
                    raise ConnectionError(f'the fake MDT went away during {cmd}')
                data += more
        return json.loads(data)

    def ask(self, cmd, **args):
        """One control command; raises OSError for a negative rc."""
        answer = self.call(cmd, **args)
        if answer['rc'] < 0:
            raise OSError(-answer['rc'], f"{cmd} {args}: {answer['error']}")
        return answer

    @staticmethod
    def target(what):
        """{'fid': ...} for '[0x..]' and '0x..', else {'path': ...}."""
        if what.startswith('[') or what.startswith('0x'):
            return {'fid': what.strip('[]')}
        return {'path': what}

    def settings(self, **changes):
        """Changes settings; returns all of them."""
        return self.ask('settings', set=changes)['settings']

    # -- what lfs does ------------------------------------------------------------------------------
    def request(self, action, *files, archive_id=0, data=b'', uid=0, flags=0):
        """Queues action for files (paths relative to the mount or absolute, or FIDs). Returns the new cookies."""
        paths = [f for f in files if 'path' in self.target(f)]
        fids = [self.target(f)['fid'] for f in files if 'fid' in self.target(f)]
        if isinstance(data, str):
            data = data.encode()
        return self.ask('request', action=action, paths=paths, fids=fids, archive_id=archive_id, data_hex=data.hex(),
                        uid=uid, flags=flags)['cookies']

    def archive(self, *files, **more):
        return self.request('archive', *files, **more)

    def request_many(self, action, files, window=None, **more):
        """request() in lists of 52, as many as a request holds; with window, never more than so many outstanding.
        Returns all cookies."""
        cookies = []
        for i in range(0, len(files), 52):
            while window and sum(self.outstanding()) > window:
                time.sleep(0.002)
            cookies += self.request(action, *files[i:i + 52], **more)
        return cookies

    def outstanding(self):
        """(waiting, active)."""
        answer = self.ask('actions', counts_only=True)
        return answer['waiting'], answer['active']

    def restore(self, *files, **more):
        return self.request('restore', *files, **more)

    def remove(self, *files, **more):
        return self.request('remove', *files, **more)

    def cancel(self, *files):
        return self.request('cancel', *files)

    def release(self, *files):
        """Releases at once; OSError(EPERM) when a file is not clean and archived."""
        self.request('release', *files)

    def state(self, what):
        """The state bits, e.g. 0x9 archived, 0xd released."""
        return self.full_state(what)['states']

    def full_state(self, what):
        """states, archive_id, fid, in_progress_*, data_version, archived_version, alive."""
        return self.ask('state', **self.target(what))

    def set_state(self, what, set=0, clear=0, archive_id=0):
        self.ask('set_state', **self.target(what), set=set, clear=clear, archive_id=archive_id)

    def fid(self, what):
        """FID as text without brackets."""
        return self.full_state(what)['fid']

    def paths(self, what):
        """All names of a file."""
        return self.ask('fid2path', **self.target(what))['paths']

    def unlink(self, path):
        """Unlinks as a client does: with the setting raolu the archive copy is removed too."""
        self.ask('unlink', path=path)

    def getstripe(self, what):
        """The lustre.lov blob."""
        return bytes.fromhex(self.ask('getstripe', **self.target(what))['blob'])

    def setstripe(self, path, count=1, size=1 << 20, pool=None, blob=None):
        """A new empty file with that layout (or the default of a directory that exists)."""
        full = self.path(path)
        if not os.path.isdir(full):
            os.close(os.open(full, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
        args = {'blob': blob.hex()} if blob else {'count': count, 'size': size}
        self.ask('setstripe', path=path, **args, **({'pool': pool} if pool else {}))

    # -- files --------------------------------------------------------------------------------------
    def path(self, name):
        return os.path.join(self.mount, name)

    def write_file(self, name, data):
        """An ordinary file of this content (a new version of it when it was there)."""
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), 'wb') as f:
            f.write(data)

    def read(self, name, timeout=60):
        """Reads as a process on a client: a released file is restored first (a blocking request); ENODATA when that
        fails, ETIMEDOUT when timeout (s) passes."""
        self.ask('open', **self.target(name), timeout_ms=int(timeout * 1000), timeout=timeout + 10)
        with open(self.path(name), 'rb') as f:
            return f.read()

    def write(self, name, data, offset=0, timeout=60):
        """Writes as a process on a client: restores first; always a new data version."""
        self.ask('write', **self.target(name), offset=offset, data_hex=data.hex(), timeout_ms=int(timeout * 1000))

    def truncate(self, name, size, timeout=60):
        self.ask('truncate', **self.target(name), size=size, timeout_ms=int(timeout * 1000))

    # -- coordinator --------------------------------------------------------------------------------
    def actions(self, **only):
        """All records: waiting, running, finished (till grace_ms). only: fid=, status=."""
        return self.ask('actions', **only)['actions']

    def record(self, cookie, action=None):
        """The record of a cookie (of its cancel with action='cancel')."""
        for a in self.actions():
            if a['cookie'] == cookie and a['action'] == (action or a['action']) and (action or a['action'] != 'cancel'):
                return a
        return None

    def wait(self, cookie, timeout=30):
        """Waits until a request is over; returns its record."""
        return self.ask('wait', **{'for': 'request'}, cookie=cookie, timeout_ms=int(timeout * 1000))['request']

    def wait_idle(self, timeout=30):
        """Waits until nothing is queued or running."""
        try:
            self.ask('wait', **{'for': 'idle'}, timeout_ms=int(timeout * 1000))
        except TimeoutError as e:
            left = [a for a in self.actions() if a['status'] == 'WAITING' or a['running']]
            raise TimeoutError(f'{e}; {self.agents()}; still there: {left[:5]}') from e

    def wait_agents(self, count=1, timeout=30):
        """Waits until exactly count copytools are registered."""
        self.ask('wait', **{'for': 'agents'}, count=count, timeout_ms=int(timeout * 1000))

    def agents(self):
        return self.ask('agents')['agents']

    def counters(self):
        """Counts by name, 0 for what never happened: stalls, stall_max_ms, leaked_fd, poisoned_handle, null_handle,
        cancel_answered, negative_errval, unknown_ends, refused_ends, canceled_unasked, enosys, retries, timed_out,
        agents_died, live_max (requests queued and running at once), registered, messages, progresses, ends,
        agent_open_files, ..."""
        import collections
        return collections.Counter(self.ask('counters')['counters'])

    def control(self, word):
        """hsm_control: enabled, disabled, shutdown, purge."""
        self.ask('control', word=word)

    def restart(self, down=0.1):
        """The MDT fails over: EAGAIN for down seconds, then everything is as before."""
        self.ask('restart', down_ms=int(down * 1000))

    def forget_agents(self, back=False):
        self.ask('forget_agents', back=back)

    def fail(self, call, err=errno.EIO, skip=0, count=1):
        """Makes a call of the library fail: after skip hits, count times (-1: always, 0: no more). Calls: register,
        unregister, recv, begin, open_by_fid, volatile, copy_start, progress, end, end_fsync, end_times, swap, get_fd,
        get_dfid, fid2path, fd2fid, mdt_index, search_fsname, state_get, state_set, request, import, data_version,
        event_fifo."""
        self.ask('fail', call=call, errno=err, skip=skip, count=count)

    def mangle(self, lose=0, duplicate=0, split=0, split_at=4, split_delay=0.02):
        """The next messages: so many are lost, come twice, come in two parts."""
        self.ask('mangle', lose=lose, duplicate=duplicate, split=split, split_at=split_at,
                 split_delay_ms=int(split_delay * 1000))

    def inject(self, kind, client='client0', **more):
        """Sends a bad message beside the real ones. Kinds: magic, transport, type, shutdown, tiny, version, fsname,
        fsname_endless, count, item_short, item_long, item_wrap, truncated, action, archive, empty, cancel (cookie=,
        fid=), raw (hex=), end (the pipe's end of file)."""
        self.ask('inject', kind=kind, client=client, **more)

    def behaviours(self):
        """What the fake shows and how that is known: name, item, proof (live or reading), text."""
        return self.ask('behaviours')['behaviours']

    def lfs(self, *args, check=True):
        """Runs fakelfs; returns the completed process."""
        return subprocess.run([self.program('fakelfs'), *args], env=self.env(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, check=check, cwd=self.mount)
