# SPDX-License-Identifier: Apache-2.0
"""A site whose stubs any program may read: firn-watch beside firnd, copies in a directory.

    with WatchSite(fs='xfs', events='open') as site:
        site.start_all()
        site.migrate(paths)
        open(paths[0]).read()
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import s3pool  # noqa: E402
from firnsite import Site, wait_for  # noqa: E402

STUB = 'security.bpf.firn.stub'
POOL = 'cloud@store1'


def is_stub(path):
    """As the attribute says, which never opens the file."""
    try:
        return os.getxattr(path, STUB, follow_symlinks=False) != b''
    except OSError:
        return False


class WatchSite(Site):
    def __init__(self, fs='ext4', events='auto', deadline=60, watch='', extra='', fs_size='1G', **kw):
        self.copies = s3pool.Pool('dir')
        self.copies.__enter__()
        conf = f'watch = {{ events = "{events}"; deadline = {deadline}; {watch} }};\n'
        super().__init__(fs=fs, fs_size=fs_size, posix_readers='recall', extra=self.copies.conf() + conf + extra,
                         pools=[self.copies.pool], **kw)

    def close(self):
        super().close()
        self.copies.__exit__()

    def start_watch(self, env=None):
        self._spawn('firn-watch', ['-c', self.conf], env)
        socket = os.path.join(self.dir, 'run', 'watch.sock')
        wait_for('firn-watch', lambda: self._alive('firn-watch') and os.path.exists(socket))

    def start_all(self, env=None):
        self.start_watch(env)
        self.start_firnd(env)

    def show_log(self, name, lines=40):
        super().show_log(name, lines)
        if name == 'firnd':
            super().show_log('firn-watch', lines)

    def migrate(self, paths):
        """All of paths become stubs."""
        listing = os.path.join(self.dir, 'list')
        with open(listing, 'w', encoding='utf-8') as f:
            f.writelines(p + '\n' for p in paths)
        self.firn('file', 'migrate', '-p', POOL, '--list', listing)
        left = [p for p in paths if not is_stub(p)]
        assert not left, left[:5]

    def states(self, paths):
        """{path: state}, by one command."""
        return {f['path']: f['state'] for f in self.firn_json('file', 'state', *paths)['payload']}


def drop_caches():
    """Pages, and inodes that nothing holds: the next read asks the file system."""
    subprocess.run(['sync'], check=True)
    with open('/proc/sys/vm/drop_caches', 'w', encoding='ascii') as f:
        f.write('3')
