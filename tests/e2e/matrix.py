# SPDX-License-Identifier: Apache-2.0
"""Every operation on a stub does what it does on an ordinary file: the operations of the kernel by tests/watch/ops, and
programs as people use them. FIRN_TEST_FS names the file system, FIRN_TEST_EVENTS the events: auto, open (as on Linux
before 6.14), or none: ordinary files without any daemon, which shows what the expectations here are worth."""
import contextlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import matrixtools
import tap
from watchsite import WatchSite, is_stub

FS = os.environ.get('FIRN_TEST_FS', 'ext4')
EVENTS = os.environ.get('FIRN_TEST_EVENTS', 'auto')
OPS = os.path.join(os.environ.get('FIRN_BUILD', 'build'), 'tests', 'watch', 'ops')
SIZE = 300_777  # no multiple of anything
# Without an event of their own on older kernels: the stub is as long as it was cut to, and recalled when it is opened.
SILENT = {'truncate', 'truncate-aligned', 'truncate-empty', 'truncate-longer', 'truncate-twice'} if EVENTS == 'open' else set()
# Emptied by its open, which goes on at once; whether it is taken for a resident file now or when it is used is firnd's affair.
EITHER = {'open-trunc-alone'}
# Cut and grown again: looks like a file that was cut once, and gets back what it had (doc/design/file.md).
UNSEEN = {'truncate-twice'} if EVENTS == 'open' else set()


class Case:
    """A file, its twin that is never migrated, and what is done to both."""

    def __init__(self, name, kind):
        self.name, self.kind = name, kind
        self.data = matrixtools.special(name, OPS) or os.urandom(SIZE)

    def make(self, mount, scratch):
        self.path = os.path.join(mount, 'stubs', self.name)
        self.twin = os.path.join(mount, 'twins', self.name)
        self.near = os.path.join(mount, 'near', self.name)
        self.far = os.path.join(scratch, self.name)
        for folder in (self.near, self.far):
            os.makedirs(folder)
        for path in (self.path, self.twin):
            with open(path, 'wb') as f:
                f.write(self.data)
            os.chmod(path, 0o755)
            os.setxattr(path, 'user.matrix.name', self.name.encode())

    def facts(self):
        st = os.stat(self.path)
        attrs = {n: os.getxattr(self.path, n) for n in os.listxattr(self.path) if n.startswith('user.')}
        return {'ino': st.st_ino, 'mode': st.st_mode, 'uid': st.st_uid, 'gid': st.st_gid, 'size': st.st_size,
                'mtime': st.st_mtime_ns, 'links': st.st_nlink, 'attrs': attrs}


def content(path):
    with open(path, 'rb') as f:
        return f.read()


def same(got, want, what):
    """Equal, or a text that says where not and whether zeros are there."""
    if got == want:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, want)) if a != b), min(len(got), len(want)))
    zeros = ', zeros there' if got[at:at + 64] == bytes(64) else ''
    raise AssertionError(f'{what}: {len(got)} bytes, wanted {len(want)}; different from byte {at} on{zeros}: {got[:80]!r}')


class Matrix:
    def __init__(self, site, cases):
        self.site, self.cases = site, cases
        for folder in ('stubs', 'twins'):
            os.mkdir(os.path.join(site.mount, folder))
        for case in cases:
            case.make(site.mount, os.path.join(site.dir, 'far'))
        self.done = []

    def become_stubs(self):
        self.site.migrate([c.path for c in self.cases])
        for c in self.cases:
            assert os.stat(c.path).st_blocks <= 8, f'{c.name}: blocks besides that of the attributes'

    def show_log(self, name, lines):
        self.site.show_log(name, lines)

    def op(self, case):
        """Runs the operation on the twin, then on the stub. Returns (status, output) of the stub's."""
        results = []
        for path in (case.twin, case.path):
            r = subprocess.run([OPS, case.name, path, os.path.join(case.near, 'other')], stdout=subprocess.PIPE, timeout=60)
            results.append((r.returncode, r.stdout))
        assert results[0][0] == results[1][0], f'on an ordinary file {results[0]!r:.200}, on a stub {results[1]!r:.200}'
        same(results[1][1], results[0][1], 'output, compared with that for an ordinary file')
        return results[1]


def resident(case, before):
    """After reading: data is there and nothing else changed."""
    after = case.facts()
    assert after == before, f'{before} became {after}'
    assert not is_stub(case.path), 'it is a stub still'
    assert os.stat(case.path).st_blocks * 512 >= len(case.data), 'only a part is there'
    same(content(case.path), case.data, 'the file')


def read_by_kernel_call(m, case):
    before = case.facts()
    status, output = m.op(case)
    if status == 0:
        same(output, case.data, 'what was read')
    resident(case, before)


def write_by_kernel_call(m, case):
    before = case.facts()
    m.op(case)
    if EVENTS != 'none' and case.name not in EITHER:
        assert is_stub(case.path) == (case.name in SILENT), 'stub or not'
    wanted = case.data[:os.stat(case.path).st_size] if case.name in UNSEEN else content(case.twin)
    same(content(case.path), wanted, 'the file')
    assert not is_stub(case.path)
    after = case.facts()
    for field in ('ino', 'mode', 'uid', 'gid', 'links', 'attrs'):
        assert after[field] == before[field], field
    assert after['size'] == os.stat(case.twin).st_size


def quiet_kernel_call(m, case):
    before = case.facts()
    status, _ = m.op(case)
    assert status == 0
    assert case.facts() == before
    assert is_stub(case.path) == (EVENTS != 'none'), 'it was recalled for nothing'
    same(content(case.path), case.data, 'the file')


def by_program(m, case):
    before = case.facts()
    tool = matrixtools.TOOLS[case.name]
    got = tool.run(case)
    if tool.quiet:
        assert is_stub(case.path) == (EVENTS != 'none'), 'it was recalled for nothing'
    else:
        same(got, tool.wanted(case), 'what the program made')
    if os.path.exists(case.path):
        if tool.writes:
            assert not is_stub(case.path)
        else:
            if tool.quiet:
                content(case.path)
            resident(case, before)


RUN = {'reads': read_by_kernel_call, 'writes': write_by_kernel_call, 'quiet': quiet_kernel_call, 'program': by_program}


def all_cases():
    listing = subprocess.run([OPS, '--list'], stdout=subprocess.PIPE, text=True, check=True).stdout
    cases = [Case(name, kind) for kind, name in (line.split() for line in listing.splitlines())]
    return cases + [Case(name, 'program') for name, tool in matrixtools.TOOLS.items() if tool.fits(FS)]


@contextlib.contextmanager
def make():
    with WatchSite(fs=FS, events='auto' if EVENTS == 'none' else EVENTS) as site:
        m = Matrix(site, CASES)
        if EVENTS != 'none':
            site.start_all()
            m.become_stubs()
        try:
            yield m
        finally:
            shutil.rmtree(os.path.join(site.dir, 'far'), ignore_errors=True)


def test_for(case):
    def run(m):
        RUN[case.kind](m, case)
        m.done.append(case)
    return run


def states_at_the_end(m):
    """What was only read is premigrated: its copies are good. Nothing is left a stub."""
    if EVENTS == 'none':
        return
    there = [c for c in m.done if os.path.exists(c.path)]
    states = m.site.states([c.path for c in there])
    for c in there:
        read_only = c.kind in ('reads', 'quiet') or (c.kind == 'program' and not matrixtools.TOOLS[c.name].writes)
        wanted = ('premigrated',) if read_only else ('premigrated', 'resident')
        assert states[c.path] in wanted, f'{c.name} is {states[c.path]}'


if __name__ == '__main__':
    CASES = all_cases()
    tests = {f'test_{c.kind}_{c.name}': test_for(c) for c in CASES}
    tests['test_what_was_read_is_premigrated_afterwards'] = states_at_the_end
    tap.main(tests, setup=make)
