# SPDX-License-Identifier: Apache-2.0
"""What is wrong is named, and nothing moves."""
import contextlib
import os
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import tap
from firnsite import Site, program


@contextlib.contextmanager
def make():
    with Site(posix_readers='any', fs_size='1G') as site:
        site.start_firnd()
        site.assign('pool1', 1)
        site.file = os.path.join(site.mount, 'f')
        with open(site.file, 'wb') as f:
            f.write(os.urandom(100000))
        os.setxattr(site.file, 'user.action', b'migrate')
        yield site


def run_policy(site, text):
    path = os.path.join(site.dir, 'p.policy')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return site.firn('policy', 'run', 'fs1', '-P', path, check=False)


def test_release_is_refused_unless_no_other_readers_are_promised(site):
    r = site.firn('file', 'migrate', site.file, '-p', 'pool1@lib1', check=False)
    text = r.stdout + r.stderr
    assert r.returncode == 1 and 'posix_readers' in text, text
    assert os.stat(site.file).st_blocks > 0
    assert site.firn('file', 'premigrate', site.file, '-p', 'pool1@lib1').returncode == 0
    assert site.state_of(site.file) == 'premigrated'


def test_a_wrong_policy_shows_file_line_column_and_caret_and_moves_nothing(site):
    cases = [
        ("RULE 'a' EXTERNAL POOL 'x' EXEC 'eeadm' OPTS '-p pool1@lib1'\n"
         "RULE 'b' MIGRATE FROM POOL 'system' TO POOL 'x' WHERE KB_ALOCATED > 0\n", 'p.policy:2:', 'KB_ALOCATED'),
        ("RULE 'b' MIGRATE FROM POOL 'system' WHERE TRUE\n", 'p.policy:1:', 'TO POOL'),
        ("RULE 'b' LIST 'x' WHERE NAME LIKE 'a\n", 'p.policy:1:', 'string'),
        ("/* never closed\n", 'p.policy:1:', 'comment'),
    ]
    for text, where, what in cases:
        r = run_policy(site, text)
        said = r.stdout + r.stderr
        assert r.returncode != 0 and where in said and what in said and '^' in said, said
    assert site.state_of(site.file) == 'premigrated'


def test_an_unknown_pool_is_named(site):
    r = site.firn('file', 'migrate', site.file, '-p', 'nopool@lib1', check=False)
    assert r.returncode != 0 and 'nopool' in r.stdout + r.stderr, r.stdout + r.stderr


def test_a_file_that_is_not_there_is_named(site):
    r = site.firn('file', 'migrate', os.path.join(site.mount, 'none'), '-p', 'pool1@lib1', check=False)
    assert r.returncode == 1 and 'GLESL400E' in r.stdout + r.stderr, r.stdout + r.stderr


def test_a_path_outside_every_managed_file_system_is_refused(site):
    r = site.firn('file', 'migrate', '/etc/passwd', '-p', 'pool1@lib1', check=False)
    assert r.returncode != 0 and '/etc/passwd' in r.stdout + r.stderr, r.stdout + r.stderr


def test_an_unknown_key_is_named_and_nothing_starts(site):
    conf = os.path.join(site.dir, 'bad.conf')
    with open(site.conf, encoding='utf-8') as f:
        text = f.read()
    with open(conf, 'w', encoding='utf-8') as f:
        f.write(text.replace('min_age', 'min_aeg'))
    for name in ('firnd', 'firn-s3'):
        r = subprocess.run([program(name), '-c', conf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
        assert r.returncode != 0 and 'bad.conf:' in r.stdout and 'min_aeg' in r.stdout, r.stdout


def test_a_second_firnd_is_refused_and_names_the_first(site):
    r = subprocess.run([program('firnd'), '-c', site.conf], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    assert r.returncode != 0 and str(site.procs['firnd'].pid) in r.stdout, r.stdout


def test_a_stranger_may_not_use_the_control_socket(site):
    firn = shutil.copy(program('firn'), site.dir)  # the build may lie where strangers cannot go
    r = subprocess.run([firn, '--config', site.conf, 'status'], user=12345, group=12345, extra_groups=[],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=20)
    assert r.returncode == 3, r.stdout


def test_a_full_pool_is_named_and_the_files_stay(site):
    big = os.path.join(site.mount, 'big')
    with open(big, 'wb') as f:
        f.truncate(0)
        for _ in range(300):
            f.write(os.urandom(1 << 20))
    r = site.firn('pool', 'create', 'empty', '-l', 'lib1', check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    r = site.firn('file', 'premigrate', big, '-p', 'empty@lib1', check=False, timeout=60)
    assert r.returncode == 1 and 'empty' in r.stdout + r.stderr, r.stdout + r.stderr
    assert site.state_of(big) == 'resident'


if __name__ == '__main__':
    tap.main(globals(), make)
