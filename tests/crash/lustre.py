# SPDX-License-Identifier: Apache-2.0
"""The copytool killed at every crash point of the mover: after the next start every action that the coordinator still
holds has ended, each file has exactly one copy or none, nothing is lost and nothing is left over.

With the fake Lustre. Proven live elsewhere: kill -9 in archive and restore with what follows at the coordinator (the
request stays STARTED, an archive may run again, a restore may not). By reading only: removes that run again."""
import errno
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'lib'))
import tap  # noqa: E402
from moversite import CHUNK, Site  # noqa: E402

ARCHIVE_POINTS = ('lustre_archive_data:2', 'lustre_archive_stored', 'lustre_archive_keyed', 'lustre_archive_ending',
                  'lustre_archive_ended')
RESTORE_POINTS = ('lustre_restore_half', 'lustre_restore_written')
REMOVE_POINTS = ('lustre_remove_noted', 'lustre_remove_ended')
SIZE = 3 * CHUNK + 77
HELD = ('WAITING', 'STARTED')


def settled(s):
    """All that the coordinator holds has ended."""
    s.wait_for('every action to end', lambda: not [a for a in s.lustre.actions() if a['status'] in HELD], 60)


def crash_archive(s, name, point):
    s.start(crash=point)
    s.lustre.archive(name)
    s.wait_crash()
    s.start()
    settled(s)


def archive_again(s, name):
    """EALREADY is an answer while the copytool is still at what it was killed in."""
    def done():
        r, = s.over(s.lustre.archive(name))
        assert r['status'] == 'SUCCEED' or r['errno'] == errno.EALREADY, r
        return r['status'] == 'SUCCEED'
    s.wait_for('the file to be archived', done)


def check(s, name, data):
    """Archived with exactly one copy, which is right."""
    assert s.lustre.state(name) == 0x9, hex(s.lustre.state(name))
    s.wait_copies(1)
    s.release(name)
    assert s.lustre.read(name) == data
    assert s.admin_ok(), s.report


def each_archive_point(s, again):
    for point in ARCHIVE_POINTS:
        data = os.urandom(SIZE)
        s.lustre.write_file('f', data)
        if again:
            s.start()
            s.archive('f')
            data = b'changed' + data[7:]
            s.lustre.write('f', b'changed')
            s.stop()
        crash_archive(s, 'f', point)
        check(s, 'f', data)
        forget(s, 'f')


def forget(s, name):
    if s.proc is None:
        s.start()
    assert s.over(s.lustre.remove(name))[0]['status'] == 'SUCCEED'
    s.wait_copies(0)
    s.stop()
    os.unlink(s.lustre.path(name))


class CrashSite(Site):
    def admin_ok(self):
        """Stops the copytool; whether verify finds nothing to say."""
        self.stop()
        r = self.admin('--verify', check=False)
        self.report = r.stdout + r.stderr
        return r.returncode == 0 and 'copy that' not in self.report and 'never finished' not in self.report


def test_a_first_archive_killed_anywhere(s):
    each_archive_point(s, again=False)


def test_a_second_archive_killed_anywhere(s):
    each_archive_point(s, again=True)


def test_a_first_archive_killed_and_the_file_changed_before_the_restart(s):
    for point in ARCHIVE_POINTS:
        s.lustre.write_file('f', os.urandom(SIZE))
        s.start(crash=point)
        s.lustre.archive('f')
        s.wait_crash()
        s.lustre.write('f', b'later')
        with open(s.lustre.path('f'), 'rb') as f:
            data = f.read()
        s.start()
        settled(s)
        if s.lustre.state('f') != 0x9:
            archive_again(s, 'f')
        check(s, 'f', data)
        forget(s, 'f')


def test_an_archive_killed_and_the_file_deleted_before_the_restart(s):
    for point in ARCHIVE_POINTS:
        s.lustre.write_file('f', os.urandom(SIZE))
        fid = s.lustre.fid('f')
        s.start(crash=point)
        s.lustre.archive('f')
        s.wait_crash()
        os.unlink(s.lustre.path('f'))
        s.start()
        settled(s)
        s.over(s.lustre.remove(fid, archive_id=1))
        s.wait_copies(0)
        s.stop()


def test_a_restore_killed_anywhere_fails_its_reader_and_the_next_one_reads(s):
    for point in RESTORE_POINTS:
        data = os.urandom(SIZE)
        s.lustre.write_file('f', data)
        s.start()
        s.archive('f')
        s.release('f')
        s.stop()
        s.start(crash=point)
        seen = []
        t = threading.Thread(target=lambda: seen.append(read_errno(s, 'f')))
        t.start()
        s.wait_crash()
        s.start()
        t.join(60)
        assert seen == [errno.ENODATA], (point, seen)
        assert s.lustre.state('f') == 0xd
        assert s.lustre.read('f') == data
        s.wait_copies(1)
        s.stop()
        forget(s, 'f')


def read_errno(s, name):
    try:
        s.lustre.read(name)
    except OSError as e:
        return e.errno
    return 0


def test_a_remove_killed_anywhere_removes(s):
    for point in REMOVE_POINTS:
        data = os.urandom(SIZE)
        s.lustre.write_file('f', data)
        s.start()
        s.archive('f')
        s.stop()
        s.start(crash=point)
        s.lustre.remove('f')
        s.wait_crash()
        s.start()
        settled(s)
        assert s.lustre.state('f') == 0, hex(s.lustre.state('f'))
        s.wait_copies(0)
        assert s.lustre.read('f') == data
        s.stop()
        os.unlink(s.lustre.path('f'))


if __name__ == '__main__':
    tap.main(globals(), setup=CrashSite)
