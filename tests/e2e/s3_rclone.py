# SPDX-License-Identifier: Apache-2.0
"""rclone (Debian's) copies a tree to a bucket and back, also when its objects went to tape meanwhile."""
import contextlib
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Command, Site


@contextlib.contextmanager
def make():
    with Site(fs_size='1G') as site:
        site.start()
        site.assign('pool1', 1)
        a = site.account('user1')
        site.firn('bucket', 'create', 'bucket1', '--owner', 'user1')
        # A certificate bundle for AWS clients would make this rclone refuse to start.
        site.env = {k: v for k, v in os.environ.items() if k != 'AWS_CA_BUNDLE'}
        site.env.update({'RCLONE_CONFIG_FIRN_TYPE': 's3', 'RCLONE_CONFIG_FIRN_PROVIDER': 'Other',
                         'RCLONE_CONFIG_FIRN_ACCESS_KEY_ID': a['access_key'], 'RCLONE_CONFIG_FIRN_REGION': 'us-east-1',
                         'RCLONE_CONFIG_FIRN_SECRET_ACCESS_KEY': a['secret_key'],
                         'RCLONE_CONFIG_FIRN_ENDPOINT': site.endpoint, 'HOME': site.dir})
        site.src = os.path.join(site.dir, 'src')
        os.makedirs(os.path.join(site.src, 'sub dir'))
        for i in range(20):
            with open(os.path.join(site.src, f'f{i}'), 'wb') as f:
                f.write(os.urandom(i * 7000))
        for name, size in (('sub dir/ü & x', 5), ('large', 12_000_000)):
            with open(os.path.join(site.src, name), 'wb') as f:
                f.write(os.urandom(size))
        yield site


def rclone(site, *args):
    r = subprocess.run(['/usr/bin/rclone', *([] if '-v' in args else ['-q']), '--retries', '1', *args], env=site.env, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=120)
    if r.returncode != 0:
        raise Command(f'rclone {" ".join(args)}: status {r.returncode}\n{r.stdout}')
    return r.stdout


def test_a_tree_is_copied_and_compared(site):
    rclone(site, 'copy', site.src, 'firn:bucket1/x')
    rclone(site, 'check', '--download', site.src, 'firn:bucket1/x')
    assert len(rclone(site, 'lsf', '-R', '--files-only', 'firn:bucket1').splitlines()) == 22


def test_a_second_copy_moves_nothing(site):
    out = rclone(site, 'copy', '-v', site.src, 'firn:bucket1/x')
    assert 'There was nothing to transfer' in out, out


def test_a_tree_on_tape_comes_back(site):
    paths = [os.path.join(d, f) for d, _, names in os.walk(site.path('bucket1', 'x')) for f in names]
    paths = [p for p in paths if os.path.getsize(p) > 0]
    site.firn('file', 'migrate', *paths, '-p', 'pool1@lib1')
    assert all(site.state_of(p) == 'migrated' for p in paths)
    back = os.path.join(site.dir, 'back')
    rclone(site, 'sync', 'firn:bucket1/x', back)
    assert subprocess.run(['diff', '-r', site.src, back]).returncode == 0


def test_objects_and_buckets_are_removed(site):
    rclone(site, 'delete', 'firn:bucket1/x/sub dir')
    assert 'sub dir' not in rclone(site, 'lsf', '-R', 'firn:bucket1')
    rclone(site, 'mkdir', 'firn:bucket2')
    rclone(site, 'rmdir', 'firn:bucket2')
    assert 'bucket2' not in rclone(site, 'lsf', 'firn:')


if __name__ == '__main__':
    tap.main(globals(), make)
