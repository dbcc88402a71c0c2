# SPDX-License-Identifier: Apache-2.0
"""lhsmtool_firn between the fake Lustre and a real store ($FIRN_TEST_STORE), through the proxy, under each fault: every
action that the coordinator gave out has an end, an archive that succeeded is the file's bytes, a restore that succeeded gave
them back, and one that failed left the file as it was. What passes is not noticed."""
import contextlib
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from faults import FAULTS
from moversite import Site

STORE = os.environ.get('FIRN_TEST_STORE', 'radosgw')
SEED = int(os.environ.get('FIRN_TEST_SEED', '20260101'))
CHUNK = 65536
SIZES = (0, 1, CHUNK, 3 * CHUNK + 77)
PATIENCE = 10 if tap.long_run() else 1  # seconds that a fault which lasts is given before it is lifted
ENDS = 90  # seconds within which every action must have ended
PASSING = ['cut_before_request', 'cut_request_body', 'cut_after_work', 'cut_response_body', 'garbage', 'slow_down', 'bad_gateway',
           'request_timeout', 'repeat', 'missing_etag', 'drop_checksums', 'flip_request', 'truncate_request', 'flip_response',
           'truncate_response', 'zero_response', 'error_in_200', 'stall_after_work', 'stall_response']
LASTING = [f for f in FAULTS if f not in ('lose_entry', 'redirect')]
# Those whose end depends on what the store itself verifies; the others last on one store only, but with --long on all.
BY_STORE = ['flip_request', 'truncate_request', 'empty_ok', 'error_in_200', 'wrong_etag', 'missing_etag', 'repeat', 'not_found',
            'flip_response', 'other_object']
ARGUMENTS = {'trickle_request': {'rate': 400000}, 'trickle_response': {'rate': 400000}, 'latency': {'seconds': 0.2},
             'drop_header': {'name': '^x-amz-meta-'}, 'put_header': {'name': 'x-amz-meta-firn', 'value': 'v=1;size=7'}}
RELEASED, ARCHIVED = 0x4, 0x8


class Bench:
    def __init__(self, site, proxy):
        self.site, self.lustre, self.proxy, self.n = site, site.lustre, proxy, 0

    def show_log(self, name, _lines=0):
        if name == 'firnd':
            self.site.show_log(lines=15)

    def files(self):
        self.n += 1
        out = {f'd{self.n}/f{size}': os.urandom(size) for size in SIZES}
        for name, data in out.items():
            self.lustre.write_file(name, data)
        return out

    def run(self, action, files, patience):
        """Asks for action of all files; the fault is lifted after patience seconds. {name: whether it succeeded}."""
        cookies = dict(zip(files, self.lustre.request(action, *files)))
        end = time.monotonic() + patience
        while time.monotonic() < end and any(a['status'] in ('WAITING', 'STARTED') for a in self.lustre.actions()):
            time.sleep(0.05)
        self.proxy.clear()
        records = {name: self.lustre.wait(cookie, ENDS) for name, cookie in cookies.items()}
        assert all(r['status'] in ('SUCCEED', 'FAILED') for r in records.values()), records
        return {name: r['status'] == 'SUCCEED' for name, r in records.items()}

    def readable(self, files):
        """With no fault any more, whatever was archived is released and comes back as it was."""
        self.proxy.clear()
        for name, data in files.items():
            state = self.lustre.state(name)
            if state & ARCHIVED and not state & RELEASED:
                self.lustre.release(name)
            got = self.lustre.read(name)
            assert got == data, f'{name}: {len(got)} bytes are not the {len(data)} written'

    def archive(self, fault, must, patience, **rule):
        files = self.files()
        self.proxy.keep_answers()
        self.proxy.add(fault, method='PUT|POST|GET|HEAD', key=r'^/[^/?]+/.', **{**ARGUMENTS.get(fault, {}), **rule})
        done = self.run('archive', files, patience)
        assert not must or all(done.values()), done
        for name, ok in done.items():
            assert ok == bool(self.lustre.state(name) & ARCHIVED), (name, ok, hex(self.lustre.state(name)))
        self.readable(files)

    def restore(self, fault, must, patience, **rule):
        files = self.files()
        self.site.archive(*files)
        self.lustre.release(*files)
        self.proxy.keep_answers()
        if fault == 'other_object':
            other = self.files()
            self.site.archive(*other)
            self.readable(other)
        methods = 'GET' if fault == 'request_timeout' else 'GET|HEAD'  # in an answer to HEAD it has no name
        self.proxy.add(fault, method=methods, key=r'^/[^/?]+/.', **{**ARGUMENTS.get(fault, {}), **rule})
        done = self.run('restore', files, patience)
        assert not must or all(done.values()), done
        for name, ok in done.items():
            assert ok == (not self.lustre.state(name) & RELEASED), (name, ok, hex(self.lustre.state(name)))
        self.readable(files)


@contextlib.contextmanager
def make():
    with Site(kind='s3', store=STORE, chunk=CHUNK, size='2G') as site, site.store.faults(SEED, narrow=True) as proxy:
        print(f'# {STORE}, seed {proxy.seed}')
        site.endpoint = proxy.endpoint
        site.write_conf()
        with open(site.conf, encoding='utf-8') as f:
            text = f.read()
        assert 'stall_timeout = 10;' in text
        with open(site.conf, 'w', encoding='utf-8') as f:
            f.write(text.replace('stall_timeout = 10;', 'stall_timeout = 2;'))
        site.start()
        yield Bench(site, proxy)
        assert site.stop() == 0


def test_files_go_and_come_back_through_the_proxy(b):
    files = b.files()
    b.site.archive(*files)
    b.readable(files)


def passing(fault):
    def test(b):
        b.archive(fault, True, ENDS, count=2)
        b.restore(fault, True, ENDS, count=2)
    return test


def lasting(fault):
    def test(b):
        b.archive(fault, False, PATIENCE)
        b.restore(fault, False, PATIENCE)
    return test


for _fault in FAULTS:
    if _fault in PASSING:
        globals()[f'test_a_passing_{_fault}_is_not_noticed'] = passing(_fault)
    if _fault in LASTING and (STORE == 'radosgw' or _fault in BY_STORE or tap.long_run()):
        globals()[f'test_under_a_lasting_{_fault}_nothing_wrong_is_accepted'] = lasting(_fault)


def test_under_chance_of_everything_nothing_wrong_is_accepted(b):
    for _ in range(20 if tap.long_run() else 4):
        files = b.files()
        b.proxy.keep_answers()
        for fault in LASTING:
            if 'stall' not in fault:
                b.proxy.add(fault, probability=0.02, key=r'^/[^/?]+/.', **ARGUMENTS.get(fault, {}))
        done = b.run('archive', files, 3)
        assert all(ok == bool(b.lustre.state(name) & ARCHIVED) for name, ok in done.items())
        b.readable(files)


if __name__ == '__main__':
    tap.main(globals(), setup=make)
