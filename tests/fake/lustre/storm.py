# SPDX-License-Identifier: Apache-2.0
"""Everything at once: several threads of a copytool that fails at times, cancels, readers, releases, changes, a restart.
Whatever happens, nothing hangs, nothing is lost, and every file has its data at the end."""
import collections
import contextlib
import errno
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
import lustrect
from flow import make
from lustrect import ARCHIVE, CANCEL, RESTORE, NullStore
from lustresite import check, main, tool, version

FILES, SECONDS = 40, 4


class Storm:
    def __init__(self, lustre, ct, seed):
        self.lustre, self.ct, self.random = lustre, ct, random.Random(seed)
        self.store, self.ending, self.lanes, self.stop = {}, threading.Lock(), {True: [], False: []}, False
        self.locks = collections.defaultdict(threading.Lock)
        self.wake, self.results, self.errors = threading.Condition(), {}, []

    def work(self, restores):
        items = self.lanes[restores]  # an archive of a released file waits for a restore
        null = NullStore(self.ct, self.store, self.ending)
        while True:
            with self.wake:
                while not items and not self.stop:
                    self.wake.wait(0.1)
                if not items:
                    return
                item = items.pop(self.random.randrange(len(items)))
            rc = self.one(null, item)
            with self.wake:
                self.results[rc] = self.results.get(rc, 0) + 1

    def one(self, null, item):
        if self.random.random() < 0.1:
            rc, action = self.ct.begin(item, is_error=True)
            return rc or action.end(errno.EIO)
        does = {ARCHIVE: null.archive, RESTORE: null.restore}[item.action]
        with contextlib.nullcontext() if item.action == RESTORE else self.locks[item.fid]:
            rc = does(item)
        if rc in (-errno.ENOENT, -errno.ECANCELED, -errno.EAGAIN):  # begin refused, or too late
            rc, action = self.ct.begin(item, is_error=True)
            rc = rc or action.end(errno.EIO)
        return rc

    def read_messages(self):
        while not self.stop:
            got = self.ct.recv(0.1)
            with self.wake:
                for i in got:
                    if i.action != CANCEL:
                        self.lanes[i.action == RESTORE].append(i)
                self.wake.notify_all()

    def read(self, name):
        """A read that has begun while the file is released may see zeros, once: Lustre has a lock there."""
        got = []
        for _ in range(2):
            got.append(self.lustre.read(name, timeout=0.2))
            if len(got[-1]) == 6 and b'\0' not in got[-1]:
                return
        self.errors.append((name, got))

    def users(self):
        # No removes: one that runs while the file is released takes the only copy, in Lustre too.
        choices = ('archive', 'archive', 'restore', 'release', 'release', 'cancel', 'write', 'read')
        end = time.monotonic() + SECONDS
        r = random.Random(self.random.random())
        while time.monotonic() < end:
            what, name = r.choice(choices), f'f{r.randrange(FILES)}'
            try:
                if what == 'write':
                    self.lustre.write(name, b'%d' % r.randrange(10), timeout=0.2)
                elif what == 'read':
                    self.read(name)
                else:
                    self.lustre.request(what, name)
            except OSError as e:
                if e.errno not in (errno.EPERM, errno.ENODATA, errno.ETIMEDOUT, errno.EAGAIN, errno.EIO):
                    self.errors.append((what, e))


def test_a_storm_ends_with_every_record_closed(lustre):
    for i in range(FILES):
        make(lustre, f'f{i}', b'data%02d' % i)
    with version(lustre, max_requests=20, kernel_reads=True), tool(lustre) as ct:
        storm = Storm(lustre, ct, 1)
        workers = [threading.Thread(target=storm.work, args=(r,)) for r in (True, True, False, False, False)]
        reader = threading.Thread(target=storm.read_messages)
        users = [threading.Thread(target=storm.users) for _ in range(3)]
        for t in (*workers, reader, *users):
            t.start()
        time.sleep(1)
        lustre.restart(down=0.05)
        for t in users:
            t.join()
        with version(lustre, timeout_ms=2000):  # what an end at the restart has left
            lustre.wait_idle()
        storm.stop = True
        for t in (*workers, reader):
            t.join()
        check(storm.errors, [])
        assert set(storm.results) <= {0, -errno.EBUSY, -errno.ENOENT, -errno.EAGAIN, -errno.EINVAL}, storm.results
        assert storm.results[0] > 50, storm.results
        print('#', storm.results)
    check([a for a in lustre.actions() if a['status'] in ('WAITING', 'STARTED')], [])
    counters = lustre.counters()
    check([n for n in ('poisoned_handle', 'cancel_answered', 'negative_errval', 'stalls') if counters[n]], [])


if __name__ == '__main__':
    main(globals())
