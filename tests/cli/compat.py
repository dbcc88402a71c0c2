# SPDX-License-Identifier: Apache-2.0
"""firn compat, firn library create: what the command line does without firnd."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import FIRN, run, same  # noqa: E402

NAMES = ['eeadm', 'mmapplypolicy', 'mmlsattr']


def test_links_are_made_and_work_and_are_made_again():
    with tempfile.TemporaryDirectory() as d:
        for _ in range(2):
            r = run('compat', 'install', '--dir', d)
            assert r.returncode == 0, r
            same(r.stdout, ''.join(f'{d}/{n} -> {os.path.realpath(FIRN)}\n' for n in NAMES))
        assert sorted(os.listdir(d)) == NAMES and all(os.path.islink(os.path.join(d, n)) for n in NAMES)
        import subprocess
        out = subprocess.run([os.path.join(d, 'mmlsattr'), '--help'], stdout=subprocess.PIPE, text=True, check=True).stdout
        assert out.startswith('usage: mmlsattr '), out
        r = run('compat', 'remove', '--dir', d)
        assert r.returncode == 0 and os.listdir(d) == [], r


def test_what_is_not_firns_is_left_alone():
    with tempfile.TemporaryDirectory() as d:
        os.symlink('/bin/true', os.path.join(d, 'mmlsattr'))
        r = run('compat', 'install', '--dir', d)
        assert r.returncode == 1 and f'{d}/mmlsattr exists and is not firn\'s' in r.stderr, r
        assert os.listdir(d) == ['mmlsattr'] and os.readlink(os.path.join(d, 'mmlsattr')) == '/bin/true'
        assert run('compat', 'remove', '--dir', d).returncode == 0
        assert os.listdir(d) == ['mmlsattr']
        os.unlink(os.path.join(d, 'mmlsattr'))
        with open(os.path.join(d, 'eeadm'), 'w', encoding='utf-8') as f:
            f.write('mine')
        assert run('compat', 'install', '--dir', d).returncode == 1 and os.listdir(d) == ['eeadm']


def test_a_directory_that_is_not_there_is_named():
    r = run('compat', 'install', '--dir', '/no/such/dir')
    assert r.returncode == 1 and '/no/such/dir' in r.stderr, r


def test_the_words_eeadm_mmapplypolicy_and_mmlsattr_choose_the_program():
    for name in NAMES:
        assert run(name, '--help').stdout == run('--help', name=name).stdout != '', name


def test_a_library_is_made_without_firnd():
    with tempfile.TemporaryDirectory() as d:
        path = os.path.join(d, 'lib1')
        r = run('library', 'create', '--kind', 'dir', '--drives', '2', '--cartridges', '8', '--media', 'L8', '--size', '8GiB', path)
        assert r.returncode == 0, r
        same(r.stdout, f'Created library {path}: 2 drives, 8 cartridges of 8.0 GiB.\n')
        assert os.listdir(path)
        r = run('library', 'create', path)
        assert r.returncode == 1 and path in r.stderr, r
        assert run('library', 'create', '--kind', 'scsi', os.path.join(d, 'x')).returncode == 2
        assert run('library', 'create', '--drives', '65', os.path.join(d, 'x')).returncode == 2


if __name__ == '__main__':
    tap.main(globals())
