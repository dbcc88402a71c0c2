# SPDX-License-Identifier: Apache-2.0
"""Runs the tests of a script inside of a fake Lustre: starts one of the version that is argument 1, then the script
again in its environment, so that the library and the shim are loaded as they are by a copytool. Each test gets the
attached LustreFake and leaves no agent, no request and no fault behind."""
import contextlib
import os
import subprocess
import sys
import threading

import lustrect
import tap
from lustrefake import LustreFake

NAME = 'test'
SETTINGS = dict(max_requests=100, loop_period_ms=20, wake_ms=2)


def check(got, wanted):
    assert got == wanted, f'got {got!r}, wanted {wanted!r}'


@contextlib.contextmanager
def tool(lustre, ids=(), flags=0):
    """A registered copytool, unregistered at the end."""
    ct = lustrect.Copytool(lustrect.Api(), lustre.mount, ids, flags)
    check(ct.rc, 0)
    try:
        yield ct
    finally:
        if ct.ct:
            ct.unregister()


@contextlib.contextmanager
def reading(lustre, name):
    """Reads name in a thread, as a process on another client; yields a list that gets the data or the errno."""
    got = []

    def read():
        try:
            got.append(lustre.read(name, timeout=20))
        except OSError as e:
            got.append(e.errno)
    thread = threading.Thread(target=read)
    before = len(lustre.actions())
    thread.start()
    with contextlib.suppress(TimeoutError):
        lustre._until(lambda: len(lustre.actions()) > before or not thread.is_alive(), 'the reader', 0.1)
    yield got
    thread.join()


@contextlib.contextmanager
def version(lustre, **changes):
    """Other settings for a while."""
    before = lustre.settings()
    lustre.settings(**changes)
    try:
        yield
    finally:
        before.pop('version')
        lustre.settings(**before)


def clean(lustre):
    """Nothing of one test may be seen by the next."""
    lustre.control('enabled')
    lustre.mangle()
    lustre.control('purge')
    for a in lustre.actions():
        if a['running']:
            lustre.settings(timeout_ms=0)
            lustre.wait_idle()
            lustre.settings(timeout_ms=3600000)
            break
    lustre.settings(grace_ms=0)
    lustre._until(lambda: not lustre.actions(), 'the records to go')
    lustre.settings(grace_ms=60000)
    subprocess.run(['find', lustre.mount, '-mindepth', '1', '-not', '-path', f'{lustre.mount}/.lustre*', '-delete'], check=True)


def guarded(function, lustre):
    def run(_=None):
        try:
            function(lustre)
        finally:
            clean(lustre)
    return run


def main(namespace):
    if os.environ.get('FAKE_LUSTRE_SOCKET'):
        lustre = LustreFake.attach()
        namespace = {n: guarded(f, lustre) if n.startswith('test_') else f for n, f in namespace.items()}
        tap.main(namespace, setup=lambda: contextlib.nullcontext(lustre))
    wanted = sys.argv[1] if len(sys.argv) > 1 else '2.17.57'
    with LustreFake(wanted, size='1G', **SETTINGS) as lustre:
        sys.exit(subprocess.run([sys.executable, sys.argv[0], *sys.argv[2:]], env=lustre.env()).returncode)
