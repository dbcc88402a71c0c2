# SPDX-License-Identifier: Apache-2.0
"""What an administrator does: import, rebind, verify, and index and name space built again from the tier alone.

With the fake Lustre. Import makes released files as liblustreapi does; of the live service only the call's result is
known (by reading). The same tree on a fresh file system is proven with the fake only."""
import contextlib
import errno
import os
import shutil
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from lustrefake import LustreFake  # noqa: E402
from lustre_trees import content, dress, facts  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402

NAMES = ['a', 'd/b', 'd/e/n\u00e4me \u5317\u4eac', 'd/empty', 'big']
SIZES = [100, 4096, CHUNK + 5, 0, 3 * CHUNK]


def tree(s):
    """Files with all that they can have, archived. Returns what is known of them."""
    for i, (name, size) in enumerate(zip(NAMES, SIZES)):
        s.lustre.write_file(name, content(size, i))
        dress(s.lustre.path(name), i)
    os.link(s.lustre.path('a'), s.lustre.path('d/link to a'))
    s.archive(*NAMES)
    return {n: facts(s.lustre.path(n)) for n in [*NAMES, 'd/link to a']}


@contextlib.contextmanager
def fresh(s):
    """The same tier under a new, empty file system and without any state: another instance."""
    old, s.state = s.lustre, s.state + '2'
    with LustreFake(**s.fake) as new:
        s.lustre = new
        s.write_conf()
        try:
            yield new
        finally:
            s.kill()
            s.lustre = old
            shutil.rmtree(s.state, ignore_errors=True)
            s.state = s.state[:-1]
            s.write_conf()


def verify(s, *flags, check=True):
    return s.admin('--scrub' if 'data' in flags else '--verify', *(['--repair'] if 'repair' in flags else []), check=check)


def rebuild(s, dst, dry=False):
    return s.admin('--rebuild', dst, *(['--dry-run'] if dry else []))


def test_a_fresh_file_system_gets_the_whole_tree_from_the_tier_alone(s):
    s.start()
    before = tree(s)
    s.stop()
    with fresh(s) as lustre:
        out = rebuild(s, lustre.mount, dry=True)
        assert not [n for n in os.listdir(lustre.mount) if not n.startswith('.')], os.listdir(lustre.mount)
        assert 'would be made' in out.stdout, out.stdout
        rebuild(s, lustre.mount)
        for name in NAMES:
            assert lustre.state(name) == 0xd, (name, hex(lustre.state(name)))
        s.start()
        for name, want in before.items():
            lustre.read(name)
            got = facts(lustre.path(name))
            assert got == want, (name, got, want)
        s.stop()
        again = rebuild(s, lustre.mount)
        assert again.stdout.count('would be made') == 0
        assert not verify(s, 'data').stdout.strip()
    assert_tree_usable(s, before)


def assert_tree_usable(s, before):
    """Another file system that used the tier took nothing away."""
    s.start()
    for name in NAMES:
        s.release(name)
        s.lustre.read(name)
        assert facts(s.lustre.path(name)) == before[name], name
    s.stop()


def test_a_lost_index_is_built_again_and_removes_go_on_working(s):
    shutil.rmtree(os.path.join(s.state, 'lustre', 'catalog'))
    rebuild(s, s.lustre.mount)
    assert not verify(s).stdout.strip()
    fid = s.lustre.fid('big')
    before = s.copies()
    os.unlink(s.lustre.path('big'))
    s.start()
    assert s.over(s.lustre.remove(fid, archive_id=1))[0]['status'] == 'SUCCEED'
    s.wait_copies(before - 1)
    s.stop()


def test_import_makes_a_released_file_by_fid_archive_id_and_path(s):
    data = {f'i{i}/x': content(3000 + i, i) for i in range(4)}
    s.start()
    for name, d in data.items():
        s.lustre.write_file(name, d)
        os.setxattr(s.lustre.path(name), 'user.note', name.encode())
    s.archive(*data)
    s.stop()
    sources = {'i0/x': s.lustre.fid('i0/x'), 'i1/x': s.key('i1/x'), 'i2/x': 'i2/x', 'i3/x': 'i3'}
    r = s.admin('--import', sources['i0/x'], s.lustre.path('imported'), check=False)
    assert r.returncode != 0 and 'still there' in r.stdout + r.stderr, 'one copy for two files'
    for name, src in sources.items():
        os.unlink(s.lustre.path(name))
        os.rmdir(os.path.dirname(s.lustre.path(name)))
        dst = os.path.dirname(name) if src == 'i3' else name
        s.admin('--import', src, s.lustre.path('imported/' + dst))
    s.start()
    for name, d in data.items():
        path = 'imported/' + name
        assert s.lustre.state(path) == 0xd, name
        assert s.lustre.read(path) == d, name
        assert os.getxattr(s.lustre.path(path), 'user.note') == name.encode()
    s.stop()


def test_import_leaves_a_name_that_is_taken_alone(s):
    s.lustre.write_file('taken', b'precious')
    r = s.admin('--import', key_of_deleted(s, 'spare 2'), s.lustre.path('taken'), check=False)
    assert r.returncode != 0 and 'exists' in r.stdout + r.stderr, r
    assert s.lustre.read('taken') == b'precious'
    assert os.listdir(os.path.dirname(s.lustre.path('taken'))).count('taken') == 1


def test_import_of_what_is_not_there_says_so(s):
    r = s.admin('--import', 'no/such/path', s.lustre.path('x'), check=False)
    assert r.returncode != 0 and 'no/such/path' in r.stdout + r.stderr, r
    assert not os.path.exists(s.lustre.path('x'))


def key_of_deleted(s, name):
    """A copy whose file is gone, of 5000 bytes."""
    s.start()
    s.lustre.write_file(name, content(5000, 99))
    s.archive(name)
    s.stop()
    key = s.key(name)
    os.unlink(s.lustre.path(name))
    return key


def test_rebind_gives_the_copy_to_another_file(s):
    data = content(5000, 7)
    s.start()
    s.lustre.write_file('old', data)
    s.archive('old')
    s.stop()
    old = s.lustre.fid('old')
    s.admin('--import', key_of_deleted(s, 'spare'), s.lustre.path('new'))
    new = s.lustre.fid('new')
    r = s.admin('--rebind', old, new, check=False)
    assert r.returncode != 0 and 'still there' in r.stdout + r.stderr, r
    os.unlink(s.lustre.path('old'))
    s.admin('--rebind', old, new)
    s.start()
    assert s.lustre.read('new') == data
    s.stop()


def test_verify_finds_what_is_missing_and_marks_it_only_when_asked(s):
    s.start()
    for name in ('v1', 'v2'):
        s.lustre.write_file(name, content(3000, 5))
    s.archive('v1', 'v2')
    s.release('v2')
    s.stop()
    verify(s)
    for name in ('v1', 'v2'):
        s.destroy(s.key(name))
    r = verify(s, check=False)
    assert r.returncode != 0 and r.stdout.count('no good copy') == 2, r.stdout
    assert s.lustre.state('v1') == 0x9 and s.lustre.state('v2') == 0xd
    verify(s, 'repair', check=False)
    assert s.lustre.state('v1') & 2, 'not dirty'
    assert s.lustre.state('v2') & 0x40, 'not lost'
    s.start()
    s.archive('v1')
    s.release('v1')
    assert s.lustre.read('v1') == content(3000, 5)
    s.stop()


def test_verify_reads_all_data_when_asked(s):
    s.start()
    s.lustre.write_file('rot', os.urandom(10000))
    s.archive('rot')
    s.stop()
    s.damage(s.key('rot'))
    r = verify(s, 'data', check=False)
    assert r.returncode != 0 and 'no good copy' in r.stdout, r.stdout
    os.unlink(s.lustre.path('rot'))


def test_verify_collects_copies_that_no_file_needs(s):
    s.start()
    s.lustre.write_file('orphan', b'x' * 1000)
    s.archive('orphan')
    s.stop()
    before = s.copies()
    os.unlink(s.lustre.path('orphan'))
    assert 'file is gone' in verify(s, check=False).stdout
    assert s.copies() == before
    verify(s, 'repair', check=False)
    s.start()
    s.wait_for('the copy to go', lambda: s.copies() < before)
    s.stop()


def test_verify_after_a_lost_index_keeps_what_imported_files_name(s):
    """The label of such a copy names a file that is gone."""
    s.admin('--import', key_of_deleted(s, 'left'), s.lustre.path('adopted'))
    shutil.rmtree(os.path.join(s.state, 'lustre', 'catalog'))
    verify(s, 'repair', check=False)
    key_of_deleted(s, 'nobody needs it')
    verify(s, 'repair', check=False)
    before = s.copies()
    s.start()
    s.wait_for('the other copy to go', lambda: s.copies() < before)
    assert s.lustre.read('adopted') == content(5000, 99)
    s.stop()
    assert not verify(s).stdout.strip()


def test_the_highest_sequence_is_told(s):
    out = s.admin('--max-sequence').stdout
    want = max(int(s.lustre.fid(n).split(':')[0], 16) for n in ('a', 'd/b'))
    assert int(out.split(':')[1], 16) >= want, out


if __name__ == '__main__':
    tap.main(globals(), setup=Site)
