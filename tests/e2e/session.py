# SPDX-License-Identifier: Apache-2.0
"""The session of examples/session.sh on a fresh site, its output held against what administrators and
their scripts rely on: layouts of head-object, mmlsattr, file state, the cluster table, message lines. With
FIRN_TEST_STORE (a store of tests/lib/s3stores.py, or "dir") the objects go to an S3 pool in place of tape."""
import contextlib
import os
import re
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import s3pool
import tap
from firnsite import Command, Site, program

SOURCE = os.environ.get('FIRN_SOURCE', os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))


class Played:
    """What the session printed, cut at its commands."""

    def __init__(self, text):
        self.steps = []
        for part in re.split(r'^# ', text, flags=re.M)[1:]:
            command, _, rest = part.partition('\n')
            self.steps.append((command, re.split(r'\n\n(?!Name: )(?=[A-Z][^\n]{20,})', rest)[0].rstrip('\n')))

    def after(self, pattern, nth=0):
        """The output of the nth command that matches."""
        found = [out for command, out in self.steps if re.search(pattern, command)]
        assert len(found) > nth, f'no command matches {pattern}: {[c for c, _ in self.steps]}'
        return found[nth]


def play(site):
    bin_dir = os.path.join(site.dir, 'bin')
    work = os.path.join(site.dir, 'work')
    for d in (bin_dir, work):
        os.makedirs(d)
    for name in ('firn', 'eeadm', 'mmapplypolicy', 'mmlsattr'):
        os.symlink(program('firn'), os.path.join(bin_dir, name))
    os.symlink('/usr/bin/aws', os.path.join(bin_dir, 'aws'))
    account = site.account('user1')
    site.firn('bucket', 'create', 'test1', '--owner', 'user1')
    site.firn('bucket', 'create', 'test2', '--owner', 'user1')
    policies = shutil.copytree(os.path.join(SOURCE, 'examples', 'policies'), os.path.join(site.dir, 'policies'))
    with open(os.path.join(policies, 'mig-tagged.policy'), 'r+', encoding='utf-8') as f:
        text = f.read().replace('pool1@lib1', site.pool)
        f.seek(0)
        f.write(text)
        f.truncate()
    env = {**os.environ, **site.s3env(account), 'PATH': bin_dir + ':/usr/sbin:/usr/bin:/sbin:/bin', 'FIRN_CONFIG': site.conf,
           'FS': site.mount, 'NAME': 'fs1', 'KEY': account['access_key'], 'SECRET': account['secret_key'],
           'ENDPOINT': site.endpoint, 'POLICIES': policies, 'WORK': work, 'TZ': 'UTC'}
    r = subprocess.run(['bash', os.path.join(SOURCE, 'examples', 'session.sh')], env=env, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, text=True, timeout=600)
    if r.returncode != 0:
        raise Command(r.stdout)
    site.played = Played(r.stdout)


@contextlib.contextmanager
def make():
    kind = os.environ.get('FIRN_TEST_STORE')
    if kind:
        with s3pool.Pool(kind) as pool, Site(extra=pool.conf(), pools=[pool.pool]) as site:
            site.start()
            site.pool, site.copy = '@'.join(pool.pool), (r'Store 1', r'store1@cloud@store1 \(store state=appendable\)')
            yield site
        return
    with Site() as site:
        site.start()
        site.assign('pool1', 4)
        site.pool, site.copy = 'pool1@lib1', (r'Tape 1', r'\w{8}@pool1@lib1 \(tape state=appendable\)')
        yield site


def expect(text, *patterns):
    lines = text.splitlines()
    assert len(lines) == len(patterns), f'{len(lines)} lines, {len(patterns)} expected:\n{text}'
    for line, pattern in zip(lines, patterns):
        assert re.fullmatch(pattern, line), f'"{line}" is not like "{pattern}"'


def test_the_session_runs_to_its_end(site):
    play(site)


def test_head_object_shows_the_metadata_and_the_opaque_etag(site):
    expect(site.played.after('head-object'),
           r'\{', r'    "AcceptRanges": "bytes",', r'    "LastModified": ".*",', r'    "ContentLength": 8688640,',
           r'    "ETag": "\\"mtime-[0-9a-z]+-ino-[0-9a-z]+\\"",', r'    "ContentType": "application/octet-stream",',
           r'    "Metadata": \{', r'        "action": "migrate",', r'        "storage_class": "STANDARD"', r'    \}', r'\}')


def lsattr_lines(site, name, *xattrs):
    stamp = r'[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d \d{4}'
    return [f'file name:            {site.mount}/buckets/test1/{name}', 'metadata replication: 1 max 2',
            'data replication:     1 max 2', 'immutable:            no', 'appendOnly:           no', r'flags:\s*',
            'storage pool name:    system', 'fileset name:         buckets', r'snapshot name:\s*',
            f'creation time:        {stamp}', 'Misc attributes:      ARCHIVE', 'Encrypted:            no', *xattrs]


def test_mmlsattr_shows_metadata_and_tags_as_extended_attributes(site):
    expect(site.played.after('mmlsattr', 0),
           *lsattr_lines(site, 'file0', 'user.action:          "migrate"', 'user.noobaa.content_type: "application/octet-stream"',
                         'user.storage_class:   "STANDARD"'))
    expect(site.played.after('mmlsattr', 1),
           *lsattr_lines(site, 'file1', 'user.noobaa.content_type: "application/octet-stream"',
                         'user.storage_class:   "STANDARD"', 'user.noobaa.tag.action: "migrate"'))


def blocks(text):
    return [dict(l.split(': ', 1) for l in b.splitlines()) for b in text.strip().split('\n\n')]


def test_file_state_shows_id_replicas_and_place(site):
    for nth, state in ((0, 'migrated'), (1, 'premigrated')):
        files = blocks(site.played.after(r'^eeadm file state \S+\*$', nth))
        assert len(files) == 5, files
        for f in files[:2]:
            assert list(f) == ['Name', 'State', 'ID', 'Replicas', site.copy[0]], f
            assert f['State'] == state and f['Replicas'] == '1', f
            assert re.fullmatch(r'\d+-\d+-\d+-\d+-0', f['ID']), f
            assert re.fullmatch(site.copy[1], f[site.copy[0]]), f
        for f in files[2:]:
            assert list(f) == ['Name', 'State'] and f['State'] == 'resident', f


def test_the_policy_run_prints_the_table_that_tools_read(site):
    text = site.played.after('^mmapplypolicy .*mig-tagged')
    assert '[I] GPFS Current Data Pool Utilization in KB and %' in text, text
    assert 'Evaluating MIGRATE/DELETE/EXCLUDE rules with CURRENT_TIMESTAMP = ' in text, text
    assert '[I] Summary of Rule Applicability and File Choices:' in text, text
    row = re.search(r"^ {5}0 +2 +\d+ +2 +\d+ +0    RULE 'mig' MIGRATE FROM POOL 'system' TO POOL 'ltfs' WHERE\(\.\)$", text, re.M)
    assert row, text
    assert len(row.group().split('    RULE')[0]) == 6 + 13 + 16 * 4, row.group()


def test_cluster_attributes_are_set_and_shown(site):
    expect(site.played.after('cluster set', 0),
           r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d GLESL802I: Updated attribute allow_transparent_recall\.')
    table = site.played.after('cluster show').splitlines()
    assert table[0] == 'Attribute                 Value', table[0]
    names = [l.split()[0] for l in table[1:]]
    assert names == sorted(names) and len(names) == 18, names
    assert 'allow_transparent_recall  no' in table, table
    assert 'recall_use_rao            auto' in table, table


def test_a_get_that_may_not_recall_is_refused_as_invalid_object_state(site):
    assert '(InvalidObjectState)' in site.played.after(r'^s3u1 cp .*file0\.back', 0), site.played.after(r'^s3u1 cp .*file0\.back', 0)


def test_schedules_show_the_next_run(site):
    text = site.played.after('schedule list')
    assert re.search(r'recall\s.*0 \* \* \* \*', text) and re.search(r'migrate\s.*30 0,4,8,16,20 \* \* \*', text), text


if __name__ == '__main__':
    tap.main(globals(), make)
