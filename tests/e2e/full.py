# SPDX-License-Identifier: Apache-2.0
"""Full disks under the catalogue, the virtual library and the managed file system: work fails with its
reason or waits, no cartridge is given up for it, and nothing is lost or read wrong."""
import contextlib
import hashlib
import os
import subprocess
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import agree
import tap
from firnsite import Site, wait_for


@contextlib.contextmanager
def on_tmpfs(path, size):
    os.makedirs(path, exist_ok=True)
    subprocess.run(['mount', '-t', 'tmpfs', '-o', f'size={size}', 'firn-test', path], check=True)
    try:
        yield
    finally:
        subprocess.run(['umount', '-l', path], check=True)
        with contextlib.suppress(OSError):  # what a site that ended before could not remove
            os.rmdir(path)
            os.rmdir(os.path.dirname(path))


@contextlib.contextmanager
def filled(folder):
    """The disk under folder has no byte left meanwhile."""
    path = os.path.join(folder, 'ballast')
    with open(path, 'wb', buffering=0) as f:
        for block in (1 << 20, 4096):
            with contextlib.suppress(OSError):
                while True:
                    f.write(b'x' * block)
    try:
        yield
    finally:
        os.unlink(path)


def write_files(site, names, size):
    os.makedirs(site.path('d'), exist_ok=True)
    contents = {}
    for name in names:
        path = site.path('d', name)
        data = os.urandom(size)
        with open(path, 'wb') as f:
            f.write(data)
        contents[path] = hashlib.sha256(data).hexdigest()
    return contents


def assert_whole(site, contents):
    site.firn('file', 'recall', *contents)
    for path, digest in contents.items():
        with open(path, 'rb') as f:
            assert hashlib.sha256(f.read()).hexdigest() == digest, path


def assert_tapes_usable(site, tapes):
    states = {t['barcode']: t['state'] for t in site.firn_json('tape', 'list')['payload']}
    assert {states[t] for t in tapes} == {'appendable'}, states


def test_a_full_disk_under_the_catalogue_costs_no_cartridge():
    site = Site(fs_size='600M')
    with contextlib.ExitStack() as stack:
        stack.enter_context(site)
        stack.enter_context(on_tmpfs(site.state, '24M'))
        stack.callback(lambda: site.kill('firnd') if 'firnd' in site.procs else None)
        site.start_firnd()
        tapes = site.assign('pool1', 2)
        contents = write_files(site, [f'f{i}' for i in range(30)], 8_000_000)
        results = []
        client = threading.Thread(target=lambda: results.append(
            site.firn('file', 'migrate', '-p', 'pool1@lib1', *contents, check=False)))
        client.start()
        wait_for('the task', lambda: site.firn_json('task', 'list')['payload'])
        with filled(site.state):
            wait_for('the catalogue to refuse', lambda: 'cannot be stored' in open(
                os.path.join(site.dir, 'firnd.log'), encoding='utf-8').read(), 60)
            assert_tapes_usable(site, tapes)
        client.join(60)
        assert results and results[0].returncode == 1, results
        assert 'full' in results[0].stderr, results[0].stderr
        assert_tapes_usable(site, tapes)
        site.firn('file', 'migrate', '-p', 'pool1@lib1', *contents)
        assert_whole(site, contents)
        assert site.stop('firnd') == 0
        problems = agree.check(site.state, site.mount, site.library, contents)
        assert not problems, problems


def test_a_full_disk_under_the_library_costs_no_cartridge_and_what_is_there_recalls():
    site = Site(fs_size='600M', cartridges=2)
    with on_tmpfs(site.library, '60M'), site:
        site.start_firnd()
        tapes = site.assign('pool1', 2)
        contents = write_files(site, ['first', 'second'], 4_000_000)
        site.firn('file', 'migrate', '-p', 'pool1@lib1', *contents)
        more = write_files(site, [f'f{i}' for i in range(20)], 1_000_000)
        with filled(site.library):
            r = site.firn('file', 'migrate', '-p', 'pool1@lib1', *more, check=False)
            assert r.returncode == 1 and 'No space left on device' in r.stderr, r.stderr
            assert_tapes_usable(site, tapes)
            assert_whole(site, contents)
        assert_tapes_usable(site, tapes)
        site.firn('file', 'migrate', '-p', 'pool1@lib1', *more)
        assert_whole(site, more)
        assert site.stop('firnd') == 0
        problems = agree.check(site.state, site.mount, site.library, {**contents, **more})
        assert not problems, problems


def test_a_get_without_room_for_the_data_is_told_to_come_again():
    with Site(fs_size='200M') as site:
        site.start()
        site.assign('pool1', 1)
        account = site.account()
        site.firn('bucket', 'create', 'buck', '--owner', 'user1')
        client = site.boto(account)
        data = os.urandom(30_000_000)
        client.put_object(Bucket='buck', Key='a', Body=data)
        path = site.path('buck', 'a')
        site.firn('file', 'migrate', '-p', 'pool1@lib1', path)
        with filled(site.mount):
            r = site.s3(account, 'get-object', '--bucket', 'buck', '--key', 'a', os.path.join(site.dir, 'out'), check=False)
            assert r.returncode != 0 and 'ServiceUnavailable' in r.stderr and 'no room' in r.stderr, r.stderr
            assert site.state_of(path) == 'migrated'
            assert os.stat(path).st_blocks <= 8
        assert client.get_object(Bucket='buck', Key='a')['Body'].read() == data


if __name__ == '__main__':
    tap.main(globals())
