# SPDX-License-Identifier: Apache-2.0
"""Trees through the copytool: archived, released, restored, and the same afterwards, in all that a file is.

With the fake Lustre. Proven live elsewhere: layouts of two stripes and composite come back through lustre.lov of the
volatile file; trusted attributes can be written through the archive's descriptor and read by FID; archive, release,
implicit restore, empty files. By reading only: the stub's own layout blob, sparse files on Lustre, ACLs over a restore."""
import contextlib
import hashlib
import os
import random
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402

SIZES = (0, 1, 4095, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17)
BATCH = 50
ACL = struct.pack('<I' + 'HHI' * 5, 2, 1, 6, 0xffffffff, 2, 4, 1234, 4, 4, 0xffffffff, 16, 4, 0xffffffff, 32, 0, 0xffffffff)


@contextlib.contextmanager
def site():
    with Site(size='16G') as s:
        s.start()
        yield s
        assert s.stop() == 0
        c = s.lustre.counters()
        wrong = {k: c[k] for k in ('leaked_fd', 'poisoned_handle', 'null_handle', 'negative_errval', 'enosys', 'retries',
                                   'canceled_unasked', 'stalls', 'agent_open_files') if c[k]}
        assert not wrong, wrong


def content(size, seed):
    """Half of it compressible, half not, so that both ways of storing are used."""
    r = random.Random(seed)
    piece = bytes([seed % 251]) * 65536
    out = b''.join(piece if r.random() < 0.5 else r.randbytes(65536) for _ in range(size // 65536 + 1))
    return out[:size]


def facts(path):
    """All of a file that must come back; reading it restores it."""
    digest = hashlib.sha256()
    with open(path, 'rb') as f:
        while piece := f.read(1 << 20):
            digest.update(piece)
    st = os.stat(path)
    xattrs = {n: os.getxattr(path, n) for n in os.listxattr(path)
              if n.startswith(('user.', 'security.', 'system.posix_acl')) or n == 'trusted.kept'}
    return dict(size=st.st_size, mode=st.st_mode, uid=st.st_uid, gid=st.st_gid, mtime=st.st_mtime_ns, links=st.st_nlink,
                xattrs=xattrs, sha256=digest.hexdigest())


def dress(path, i):
    os.chown(path, 1000 + i, 2000 + i)
    os.chmod(path, 0o640 + i % 8)
    os.setxattr(path, 'user.note', b'n%d' % i)
    os.setxattr(path, 'user.firn.odd', b'like one of ours')
    os.setxattr(path, 'trusted.kept', bytes(range(i % 256)))
    os.utime(path, ns=(1600000000123456789 + i, 1500000000987654321 + i))


def in_batches(files):
    for i in range(0, len(files), BATCH):
        yield files[i:i + BATCH]


def test_every_size_and_name_comes_back_with_all_it_had(s):
    lustre = s.lustre
    names = [f'dir {i}/n\u00e4me \u5317\u4eac \U0001f9ca {i}' for i in range(len(SIZES))] + ['a"b\'c\\d', 'new\nline', ' lead', '%2F+&?#']
    for i, name in enumerate(names):
        lustre.write_file(name, content(SIZES[i % len(SIZES)], i))
        dress(lustre.path(name), i)
    os.setxattr(lustre.path(names[0]), 'system.posix_acl_access', ACL)
    before = {n: facts(lustre.path(n)) for n in names}
    for batch in in_batches(names):
        s.archive(*batch)
    lustre.release(*names)
    for n in names:
        assert lustre.state(n) == 0xd, (n, lustre.state(n))
        lustre.read(n)
        assert lustre.state(n) == 0x9, n
        assert facts(lustre.path(n)) == before[n], n


def test_layouts_come_back(s):
    lustre = s.lustre
    lustre.setstripe('two', count=2, size=1 << 18)
    parts = [struct.pack('<II16sIHH', 0x0BD10BD0, 1, b'', 1 << 20, n, 0xffff) for n in (1, 4)]
    head = 32 + 48 * 2
    entries = b''.join(struct.pack('<IIQQIIIQI', i + 1, 0, (0, 1 << 20)[i], (1 << 20, 2 ** 64 - 1)[i], head + 32 * i, 32, 0, 0, 0)
                       for i in range(2))
    lustre.setstripe('pfl', blob=struct.pack('<IIIHHH14s', 0x0BD60BD0, head + 64, 0, 0, 2, 0, b'') + entries + b''.join(parts))
    for name in ('two', 'pfl'):
        data = content(2 * CHUNK + 5, 3)
        with open(lustre.path(name), 'r+b') as f:
            f.write(data)
        before = layout(lustre.getstripe(name))
        s.archive(name)
        lustre.release(name)
        assert lustre.read(name) == data
        assert layout(lustre.getstripe(name)) == before, name


def layout(blob):
    """What of a layout must stay: not which OSTs and objects."""
    magic, = struct.unpack_from('<I', blob)
    if magic == 0x0BD60BD0:
        count, = struct.unpack_from('<H', blob, 14)
        out = []
        for i in range(count):
            start, end, at, size = struct.unpack_from('<QQII', blob, 32 + 48 * i + 8)
            out.append((start, end, layout(blob[at:at + size])))
        return out
    pattern, = struct.unpack_from('<I', blob, 4)
    return (hex(magic), pattern & 0x7fffffff, *struct.unpack_from('<IH', blob, 24))


def test_a_file_keeps_its_copy_over_renames_and_links(s):
    lustre = s.lustre
    lustre.write_file('link/one', content(5000, 1))
    os.link(lustre.path('link/one'), lustre.path('link/two'))
    before = facts(lustre.path('link/one'))
    s.archive('link/one')
    lustre.release('link/two')
    os.makedirs(lustre.path('elsewhere'))
    os.rename(lustre.path('link/one'), lustre.path('elsewhere/three'))
    lustre.read('elsewhere/three')
    assert facts(lustre.path('elsewhere/three')) == before
    assert facts(lustre.path('link/two')) == before


def test_a_sparse_file_of_5_gib_stays_sparse(s):
    lustre = s.lustre
    size = 5 << 30
    pieces = {0: b'begin', 1 << 30: content(3 * CHUNK, 9), (4 << 30) + 12345: b'x' * 70000, size - 3: b'end'}
    with open(lustre.path('sparse'), 'wb') as f:
        f.truncate(size)
        for off, data in pieces.items():
            f.seek(off)
            f.write(data)
    s.archive('sparse', timeout=300)
    lustre.release('sparse')
    lustre.ask('open', path='sparse', timeout_ms=300000, timeout=310)
    st = os.stat(lustre.path('sparse'))
    assert st.st_size == size and st.st_blocks * 512 < 64 << 20, st
    with open(lustre.path('sparse'), 'rb') as f:
        for off, data in pieces.items():
            f.seek(off)
            assert f.read(len(data)) == data, off
            assert f.read(4096) == bytes(4096) or off + len(data) == size, off


def test_many_small_files(s):
    lustre = s.lustre
    count = 100000 if tap.long_run() else 2000
    names = [f'many/{i // 1000}/{i}' for i in range(count)]
    for i, n in enumerate(names):
        lustre.write_file(n, b'%d ' % i * (i % 300))
    cookies = [c for batch in in_batches(names) for c in lustre.archive(*batch)]
    lustre.wait_idle(timeout=60 + count / 20)
    assert len(cookies) == count
    wrong = [n for n in names if lustre.state(n) != 0x9]
    assert not wrong, wrong[:5]
    for batch in in_batches(names):
        lustre.release(*batch)
        lustre.restore(*batch)
    lustre.wait_idle(timeout=60 + count / 20)
    for i, n in enumerate(names):
        with open(lustre.path(n), 'rb') as f:
            assert f.read() == b'%d ' % i * (i % 300), n


if __name__ == '__main__':
    tap.main(globals(), setup=site)
