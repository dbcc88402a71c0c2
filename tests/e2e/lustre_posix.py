# SPDX-License-Identifier: Apache-2.0
"""An archive of kind posix, as lhsmtool_posix has it: where its files lie, files that lhsmtool_posix left, import of
plain files by path and of archives by FID. Where sanity-hsm looks for files is known by reading."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402


def place(s, fid):
    seq, oid, _ = (int(x, 16) for x in fid.split(':'))
    return os.path.join(s.root, '%04x' % ((oid ^ seq) & 0xffff), fid)


def site():
    return Site(kind='posix')


def start(s):
    s.start(extra=('--archive-format', 'v2'))


def test_an_archive_lies_where_lhsmtool_posix_has_it(s):
    start(s)
    data = os.urandom(CHUNK + 7)
    s.lustre.write_file('a', data)
    s.archive('a')
    with open(place(s, s.lustre.fid('a')), 'rb') as f:
        assert f.read() == data
    assert os.path.exists(place(s, s.lustre.fid('a')) + '.lov')
    s.release('a')
    assert s.lustre.read('a') == data


def test_what_lhsmtool_posix_left_is_restored(s):
    data = os.urandom(5000)
    s.lustre.write_file('old', data)
    s.archive('old')
    s.release('old')
    s.stop()
    os.removexattr(place(s, s.lustre.fid('old')), 'user.firn.archive')
    os.removexattr(s.lustre.path('old'), 'trusted.firn')
    s.lose_index()
    start(s)
    assert s.lustre.read('old') == data
    s.stop()


def test_plain_files_below_the_root_are_imported_by_path(s):
    os.makedirs(os.path.join(s.root, 'in/sub'))
    data = {f'in/{n}': os.urandom(1000 + len(n)) for n in ('x', 'sub/y', 'sub/z')}
    for name, d in data.items():
        with open(os.path.join(s.root, name), 'wb') as f:
            f.write(d)
        os.chown(os.path.join(s.root, name), 77, 88)
        os.utime(os.path.join(s.root, name), ns=(10 ** 18, 10 ** 18 + 5))
    s.admin('--archive-format', 'v2', '--import', 'in/x', s.lustre.path('got/x'))
    s.admin('--archive-format', 'v2', '--import', 'in/sub', s.lustre.path('got/sub'))
    start(s)
    for name, d in data.items():
        got = 'got' + name[2:]
        st = os.stat(s.lustre.path(got))
        assert (st.st_uid, st.st_gid, st.st_mtime_ns, st.st_size) == (77, 88, 10 ** 18 + 5, len(d)), st
        assert s.lustre.state(got) == 0xd
        assert s.lustre.read(got) == d
        assert os.path.exists(place(s, s.lustre.fid(got)))
    s.stop()


def test_an_archive_is_imported_by_fid_when_its_file_is_gone(s):
    start(s)
    data = os.urandom(3000)
    s.lustre.write_file('f', data)
    s.archive('f')
    s.stop()
    fid = s.lustre.fid('f')
    r = s.admin('--archive-format', 'v2', '--import', fid, s.lustre.path('again'), check=False)
    assert r.returncode != 0 and 'still there' in r.stdout + r.stderr, r
    os.unlink(s.lustre.path('f'))
    s.admin('--archive-format', 'v2', '--import', fid, s.lustre.path('again'))
    start(s)
    assert s.lustre.read('again') == data
    s.stop()


def test_a_path_outside_of_the_root_is_refused(s):
    r = s.admin('--import', '../firn.conf', s.lustre.path('no'), check=False)
    assert r.returncode != 0 and not os.path.exists(s.lustre.path('no')), r
    assert os.path.exists(s.conf)


if __name__ == '__main__':
    tap.main(globals(), setup=site)
