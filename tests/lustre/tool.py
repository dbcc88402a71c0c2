# SPDX-License-Identifier: Apache-2.0
"""A copytool of the tests: nulltool (the core of lhsmtool_firn over a mover of its own) on a fake Lustre."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
from lustrefake import BUILD, LustreFake  # noqa: E402,F401

OVER = ('SUCCEED', 'FAILED', 'CANCELED')


def until(condition, what, seconds=15):
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f'gave up waiting for {what}'
        time.sleep(0.01)


class Tool:
    """One nulltool. knobs: its name=value arguments."""

    def __init__(self, lustre, state=None, env=None, wait=True, **knobs):
        self.lustre = lustre
        self.own = state is None
        self.dir = state or tempfile.mkdtemp(prefix='firn-nulltool-', dir='/var/tmp')
        self.store = os.path.join(self.dir, 'store')
        os.makedirs(self.store, exist_ok=True)
        knobs.setdefault('store', self.store)
        self.log_path = os.path.join(self.dir, 'log')
        with open(self.log_path, 'ab') as log:
            self.proc = subprocess.Popen([os.path.join(BUILD, 'tests', 'lustre', 'nulltool'), lustre.mount, self.dir] +
                                         [f'{k}={v}' for k, v in knobs.items()], env=lustre.env(**(env or {})), stderr=log)
        if wait:
            lustre.wait_agents(1)

    def log(self):
        with open(self.log_path, encoding='utf-8', errors='replace') as f:
            return f.read()

    def has(self, text):
        return text in self.log()

    def send(self, number):
        self.proc.send_signal(number)

    def wait(self, seconds=20):
        return self.proc.wait(seconds)

    def stop(self, number=signal.SIGTERM, seconds=20):
        if self.proc.poll() is None:
            self.send(number)
        return self.wait(seconds)

    def close(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()
        if self.own:
            shutil.rmtree(self.dir, ignore_errors=True)


@contextlib.contextmanager
def running(lustre, status=0, **knobs):
    """A tool for the time of a test; afterwards it stops by SIGTERM with that status, nothing is open, and the
    library was used as it wants."""
    tool = Tool(lustre, **knobs)
    before = lustre.counters()
    try:
        yield tool
        if tool.proc.poll() is None:
            tool.stop()
        assert tool.proc.returncode == status, (tool.proc.returncode, tool.log()[-2000:])
        after = lustre.counters()
        for bad in ('poisoned_handle', 'null_handle', 'cancel_answered', 'negative_errval', 'enosys', 'retries',
                    'canceled_unasked', 'leaked_fd', 'stalls'):
            assert after[bad] == before[bad], (bad, after[bad], tool.log()[-2000:])
    except BaseException:
        print('# ' + tool.log()[-3000:].replace('\n', '\n# '))
        raise
    finally:
        tool.close()


def metric(path, name):
    """The value of a line of a metrics file."""
    with open(path, encoding='utf-8') as f:
        m = re.search(r'^firn_copytool_' + re.escape(name) + r' (\S+)$', f.read(), re.M)
    return float(m.group(1)) if m else None
