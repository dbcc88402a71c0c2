# SPDX-License-Identifier: Apache-2.0
"""Stubs that are given to the network: by Samba, and by an NFS server (nfs-ganesha). Their clients get the data, wait,
and hold nobody else up. FIRN_TEST_SHARE names the server, FIRN_TEST_FS the file system."""
import contextlib
import os
import signal
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import shares
import tap
from watchsite import WatchSite, is_stub

SERVER = {'samba': shares.Samba, 'nfs': shares.Ganesha}[os.environ.get('FIRN_TEST_SHARE', 'samba')]
NAMES = ('read', 'again', 'listed', 'over', 'waiting')
DATA = {name: os.urandom(1_300_777) for name in (*NAMES, 'resident')}


@contextlib.contextmanager
def make():
    with WatchSite(fs=os.environ.get('FIRN_TEST_FS', 'ext4')) as site:
        site.folder = os.path.join(site.mount, 'exported')
        os.mkdir(site.folder)
        os.chmod(site.folder, 0o777)
        for name, data in DATA.items():
            with open(os.path.join(site.folder, name), 'wb') as f:
                f.write(data)
        site.start_all()
        site.migrate([path(site, name) for name in NAMES])
        with SERVER(site.folder, site.dir) as site.share:
            yield site


def path(site, name):
    return os.path.join(site.folder, name)


def local(site, name):
    return os.path.join(site.dir, f'got-{name}')


def test_a_listing_shows_sizes_and_recalls_nothing(site):
    for line in site.share.list().splitlines():
        for name in NAMES:
            assert name not in line.split() or str(len(DATA[name])) in line, line
    assert all(is_stub(path(site, name)) for name in NAMES)


def test_a_client_gets_the_data_of_a_stub(site):
    assert site.share.get('read', local(site, 'read')) == DATA['read']
    assert site.state_of(path(site, 'read')) == 'premigrated'


def test_it_gets_them_again_after_another_release(site):
    assert site.share.get('again', local(site, 'again')) == DATA['again']
    end = time.monotonic() + 60  # a server may keep the file open for a while, and then it is not released
    while not is_stub(path(site, 'again')):
        assert time.monotonic() < end
        site.firn('file', 'migrate', '-p', 'cloud@store1', path(site, 'again'), check=False)
    assert site.share.get('again', local(site, 'again2')) == DATA['again']


def test_a_client_writes_a_file_over_a_stub_where_it_can(site):
    source = local(site, 'source')
    with open(source, 'wb') as f:
        f.write(b'new' * 1000)
    name = 'over' if site.share.replaces else 'new'
    site.share.put(source, name)
    with open(path(site, name), 'rb') as f:
        assert f.read() == b'new' * 1000


def test_other_files_are_served_while_a_client_waits(site):
    firnd = site.procs['firnd'].pid
    os.kill(firnd, signal.SIGSTOP)
    try:
        waiting = site.share.start_get('waiting', local(site, 'waiting'))
        time.sleep(0.5)
        assert site.share.get('resident', local(site, 'resident'), timeout=10) == DATA['resident']
        assert waiting.poll() is None, 'nothing was waited for'
    finally:
        os.kill(firnd, signal.SIGCONT)
    assert waiting.wait(60) == 0
    with open(local(site, 'waiting'), 'rb') as f:
        assert f.read() == DATA['waiting']


if __name__ == '__main__':
    tap.main(globals(), setup=make)
