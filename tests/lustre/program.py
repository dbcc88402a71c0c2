# SPDX-License-Identifier: Apache-2.0
"""lhsmtool_firn as it is started: background, pid file, lock, configuration in the working directory, tasks of
administrators, and the wiring of its options. Tier kind dir; live and reading as in core.py."""
import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from tool import BUILD, LustreFake, until  # noqa: E402

TOOL = os.path.join(BUILD, 'src', 'bin', 'lhsmtool_firn')


class Place:
    """A configuration, a directory for copies, a fake Lustre."""

    def __init__(self, lustre):
        self.lustre = lustre
        self.dir = tempfile.mkdtemp(prefix='firn-program-', dir='/var/tmp')
        self.path = lambda name: os.path.join(self.dir, name)
        with open(self.path('firn.conf'), 'w', encoding='utf-8') as f:
            f.write(f'state_dir = "{self.dir}/state"; run_dir = "{self.dir}/run";\n'
                    f'lustre = {{ heartbeat = 1; drain = 5; metrics_file = "{self.dir}/metrics"; }};\n')
        self.args = [TOOL, '-C', self.path('firn.conf'), '--tier', 'dir', '--hsm-root', self.path('copies')]
        self.pid = None

    def run(self, *args):
        return subprocess.run([*self.args, *args], env=self.lustre.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True, timeout=60, cwd=self.dir)

    def serve(self, *args, program=None):
        """In the background, as the test suite of Lustre starts it."""
        with open(self.path('log'), 'ab') as log:
            r = subprocess.run([*([program] + self.args[1:] if program else self.args), '--daemon', '--pid-file', self.path('pid'),
                                *args, self.lustre.mount], env=self.lustre.env(), stderr=log, cwd=self.dir, timeout=60)
        assert r.returncode == 0, self.log()
        self.lustre.wait_agents(1)
        with open(self.path('pid'), encoding='ascii') as f:
            self.pid = int(f.read())

    def log(self):
        with open(self.path('log'), encoding='utf-8') as f:
            return f.read()

    def metrics(self):
        with contextlib.suppress(OSError), open(self.path('metrics'), encoding='ascii') as f:
            return f.read()
        return ''

    def gone(self):
        try:
            with open(f'/proc/{self.pid}/stat', encoding='ascii') as f:
                return f.read().rsplit(')', 1)[1].split()[0] == 'Z'
        except OSError:
            return True

    def stop(self):
        os.kill(self.pid, signal.SIGTERM)
        until(self.gone, 'the end')
        self.lustre.wait_agents(0)
        self.pid = None

    def close(self):
        if self.pid is not None and not self.gone():
            os.kill(self.pid, signal.SIGKILL)
        shutil.rmtree(self.dir, ignore_errors=True)


@contextlib.contextmanager
def place(lustre):
    p = Place(lustre)
    try:
        yield p
    except BaseException:
        if os.path.exists(p.path('log')):
            print('# ' + p.log()[-3000:].replace('\n', '\n# '))
        raise
    finally:
        p.close()


@contextlib.contextmanager
def fakes():
    with LustreFake(size='1G') as lustre:
        yield lustre


def test_in_the_background_it_serves_and_ends_by_its_pid_file(lustre):
    """reading: sanity-hsm starts it so"""
    with place(lustre) as p:
        p.serve('-v', '--archive', '1', '--update_interval=5')
        lustre.write_file('a', b'program')
        lustre.archive('a')
        lustre.wait_idle()
        lustre.release('a')
        assert lustre.read('a') == b'program'
        until(lambda: 'start copy' in p.log() and 'copied' in p.log(), 'the lines that test 60 looks for')
        p.stop()
        assert not os.path.exists(p.path('pid'))


def test_a_second_one_is_refused_with_the_pid_of_the_first(lustre):
    """live"""
    with place(lustre) as p:
        p.serve()
        r = p.run(lustre.mount)
        assert r.returncode == errno.EBUSY and f'process {p.pid} ' in r.stderr, r
        p.stop()
        assert p.run('--max-sequence', lustre.mount).returncode == 0


def test_under_the_name_of_lhsmtool_posix_it_is_found_by_it(lustre):
    """reading: the suite looks for processes named *hsmtool*"""
    with place(lustre) as p:
        link = p.path('lhsmtool_posix')
        os.symlink(TOOL, link)
        p.serve(program=link)
        with open(f'/proc/{p.pid}/comm', encoding='ascii') as f:
            assert 'hsmtool' in f.read()
        p.stop()


def test_after_kill_9_the_next_one_starts_at_once(lustre):
    """live: the agent is gone, locks are free"""
    with place(lustre) as p:
        p.serve()
        os.kill(p.pid, signal.SIGKILL)
        lustre.wait_agents(0)
        p.serve()
        lustre.write_file('b', b'again')
        assert lustre.wait(lustre.archive('b')[0])['status'] == 'SUCCEED'
        p.stop()


def test_killed_at_each_point_of_the_core_it_archives_all_the_same(lustre):
    """live: an archive runs again; tests/crash/lustre.py has the mover's points"""
    for point in ('journaled', 'begun', 'ids', 'ending', 'ended'):
        with place(lustre) as p:
            name = f'killed-{point}'
            lustre.write_file(name, point.encode() * 1000)
            env = {**lustre.env(), 'FIRN_CRASH_POINT': f'lustre_action_{point}'}
            with open(p.path('log'), 'ab') as log:
                proc = subprocess.Popen([*p.args, lustre.mount], env=env, stderr=log)
            lustre.wait_agents(1)
            cookie = lustre.archive(name)[0]
            assert proc.wait(20) == -signal.SIGKILL, point
            lustre.wait_agents(0)
            p.serve()
            assert lustre.wait(cookie)['status'] == 'SUCCEED', point
            lustre.release(name)
            assert lustre.read(name) == point.encode() * 1000, point
            p.stop()
            assert 'open_actions 0\n' in p.metrics(), (point, p.metrics())


def test_a_directory_that_is_no_lustre_mount_is_refused(lustre):
    """the copytool's own"""
    with place(lustre) as p:
        r = p.run(p.dir)
        assert r.returncode != 0 and 'no mount point of a Lustre file system' in r.stderr, r
        r = p.run('/nonexistent')
        assert r.returncode == errno.ENOENT and 'mount point /nonexistent' in r.stderr, r


def test_the_config_cfg_of_the_working_directory_is_read(lustre):
    """the document's own start: lhsmtool_firn MOUNT"""
    with place(lustre) as p:
        with open(p.path('config.cfg'), 'w', encoding='utf-8') as f:
            f.write('access_key = "a"; secret_key = "b"; host = "localhost:1";\nbucket_prefix = "p"; bucket_count = 2;\n'
                    'chunk_size = 0; ssl = maybe;\n')
        r = subprocess.run([TOOL, lustre.mount], env=lustre.env(), cwd=p.dir, stderr=subprocess.PIPE, text=True, timeout=60)
        assert r.returncode == errno.EINVAL and 'config.cfg:3' in r.stderr, r


def test_rebind_takes_a_list_and_names_its_wrong_line(lustre):
    """the copytool's own"""
    with place(lustre) as p:
        p.serve()
        lustre.write_file('old', b'data')
        lustre.archive('old')
        lustre.wait_idle()
        p.stop()
        lustre.write_file('new', b'')
        with open(p.path('list'), 'w', encoding='ascii') as f:
            f.write('# pairs\n\n0x1:0x2:0x0\n')
        r = p.run('--rebind', 'list', lustre.mount)
        assert r.returncode == errno.EINVAL and 'list:3: two FIDs' in r.stderr, r
        r = p.run('--max-sequence', lustre.mount)
        assert r.returncode == 0 and r.stdout.startswith('max_sequence: 0x000000020000'), r


def test_a_drain_ends_in_time_with_a_slow_copy(lustre):
    """reading: the suite expects the end within 200 s; here the bound is 5 s"""
    with place(lustre) as p:
        p.serve('--bandwidth', '64K')
        lustre.write_file('slow', os.urandom(4 << 20))
        cookie = lustre.archive('slow')[0]
        until(lambda: 'start copy' in p.log(), 'the copy')
        begin = time.monotonic()
        p.stop()
        assert time.monotonic() - begin < 15
        record = lustre.record(cookie)
        assert (record['status'], record['errno']) == ('FAILED', errno.EINTR), record


if __name__ == '__main__':
    tap.main(globals(), setup=fakes)
