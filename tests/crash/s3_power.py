# SPDX-License-Identifier: Apache-2.0
"""The power goes while firn-s3 takes objects: images of its disk as it is at a moment (a reflink of the file under the loop
device, so the kernel's journal recovers each), taken under load. Every object that was acknowledged before is there, every
object that is there is whole, the old one or a newer one, with its own metadata."""
import contextlib
import fcntl
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site

FICLONE = 0x40049409
WRITERS, KEYS, IMAGES = 8, 12, 12
OPTIONS = {'ext4': 'loop', 'xfs': 'loop,nouuid'}


@contextlib.contextmanager
def host():
    """A directory whose files can be cloned in an instant."""
    with tempfile.TemporaryDirectory(prefix='firn-power-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp')) as d:
        image, mount = os.path.join(d, 'host.img'), os.path.join(d, 'host')
        os.mkdir(mount)
        subprocess.run(['truncate', '-s', '6G', image], check=True)
        subprocess.run(['mkfs.xfs', '-q', '-f', image], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(['mount', '-o', 'loop', image, mount], check=True)
        before = os.environ.get('FIRN_TEST_DIR')
        os.environ['FIRN_TEST_DIR'] = mount
        try:
            yield mount
        finally:
            os.environ.pop('FIRN_TEST_DIR')
            if before is not None:
                os.environ['FIRN_TEST_DIR'] = before
            subprocess.run(['umount', mount], check=True)


def body(key, seq):
    """What the seq-th object of a key holds: its size and every part of it tell."""
    rng = random.Random(f'{key} {seq}')
    line = f'{key} {seq} {rng.random()}\n'.encode()
    return line * rng.randrange(1, 8000)


class Load:
    """Writers that replace their keys again and again, and what they know."""

    def __init__(self, site, account):
        self.clients = [site.boto(account) for _ in range(WRITERS)]  # boto makes them in one thread only
        self.acknowledged, self.errors, self.ended = {}, [], threading.Event()
        self.threads = [threading.Thread(target=self.write, args=(i,)) for i in range(WRITERS)]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for t in self.threads:
            t.join()

    def write(self, i):
        seq = 0
        try:
            while not self.ended.is_set():
                key = f'w{i}/k{seq % KEYS}' if i % 2 else f'w{i}-k{seq % KEYS}'
                self.clients[i].put_object(Bucket='buck', Key=key, Body=body(key, seq), Metadata={'seq': str(seq)})
                self.acknowledged[key] = seq
                seq += 1
        except Exception as e:
            self.errors.append(e)


def take_image(site, to):
    with open(os.path.join(site.dir, 'fs.img'), 'rb') as image, open(to, 'wb') as f:
        fcntl.ioctl(f, FICLONE, image.fileno())


def check_object(path, key, acknowledged):
    """Returns whether the object is there; it must be whole, and no older than what was acknowledged."""
    try:
        with open(path, 'rb') as f:
            data = f.read()
    except FileNotFoundError:
        assert acknowledged is None, f'{key}: number {acknowledged} was acknowledged and is gone'
        return False
    assert data, f'{key}: the object is empty'
    found, seq, _ = data[:data.index(b'\n')].decode().split(' ')
    assert found == key and data == body(key, int(seq)), f'{key}: torn after {len(data)} bytes'
    assert acknowledged is None or int(seq) >= acknowledged, f'{key}: number {seq}, but {acknowledged} was acknowledged'
    meta = json.loads(os.getxattr(path, 'user.firn.s.meta'))
    assert meta['m']['seq'] == seq, f'{key}: number {seq} with the metadata {meta}'
    return True


def check_image(image, kind, acknowledged, mount):
    subprocess.run(['mount', '-o', OPTIONS[kind], image, mount], check=True)
    try:
        keys = [f'w{i}/k{k}' if i % 2 else f'w{i}-k{k}' for i in range(WRITERS) for k in range(KEYS)]
        return sum(check_object(os.path.join(mount, 'buckets', 'buck', key), key, acknowledged.get(key)) for key in keys)
    finally:
        subprocess.run(['umount', mount], check=True)


def pull_the_plug(kind):
    with host() as place, Site(fs=kind, fs_size='1G') as site:
        site.start()
        account = site.account('user1')
        site.firn('bucket', 'create', 'buck', '--owner', 'user1')
        mount = os.path.join(place, 'look')
        os.mkdir(mount)
        images = []
        with Load(site, account) as load:
            for n in range(IMAGES):
                time.sleep(random.uniform(0.1, 0.4))
                known = dict(load.acknowledged)
                images.append((os.path.join(place, f'image{n}'), known))
                take_image(site, images[-1][0])
        assert not load.errors, load.errors
        found = [check_image(image, kind, known, mount) for image, known in images]
        print(f'# {sum(load.acknowledged.values())} objects written, {found} found in the images')
        assert found[-1] > WRITERS * KEYS // 2
        shutil.rmtree(mount)


def test_power_loss_on_ext4():
    pull_the_plug('ext4')


def test_power_loss_on_xfs():
    pull_the_plug('xfs')


if __name__ == '__main__':
    tap.main(globals())
