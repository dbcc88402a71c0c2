# SPDX-License-Identifier: Apache-2.0
"""The command line of lhsmtool_firn, without a Lustre: help and manual, configuration files, what is missing."""
import errno
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402

SOURCE = os.environ.get('FIRN_SOURCE', os.getcwd())
TOOL = os.path.join(os.environ.get('FIRN_BUILD', 'build'), 'src', 'bin', 'lhsmtool_firn')
SAMPLE = '''access_key = "AKIA";
secret_key = "s3cr3t";
host = "localhost:80";
bucket_prefix = "lustre_hsm";
bucket_count = 8;
chunk_size = 104857600;
ssl = false;
'''


def run(*args, cwd=None, **env):
    return subprocess.run([TOOL, *args], cwd=cwd, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=30)


def in_dir(**files):
    d = tempfile.TemporaryDirectory(prefix='firn-copytool-')
    for name, text in files.items():
        with open(os.path.join(d.name, name.replace('_', '.')), 'w', encoding='utf-8') as f:
            f.write(text)
    return d


def test_help_and_manual_name_the_same_options():
    r = run('--help')
    assert r.returncode == 0 and r.stdout.startswith('usage: lhsmtool_firn')
    helped = {m.group(2): (m.group(1) or '', m.group(3) or '')
              for m in re.finditer(r'^  (?:-(\w), |    )--([\w-]+)(?: ([A-Z]+))?  ', r.stdout, re.M)}
    with open(os.path.join(SOURCE, 'man', 'lhsmtool_firn.1'), encoding='utf-8') as f:
        page = f.read()
    paged = {m.group(2): (m.group(1) or '', m.group(3) or '')
             for m in re.finditer(r'^\.It Fl (?:(\w) , )?-([\w-]+)(?: Ar (\w+))?$', page, re.M)}
    assert helped == paged, set(helped.items()) ^ set(paged.items())
    assert len(helped) > 25


def test_config_cfg_in_the_working_directory_is_enough():
    with in_dir(config_cfg=SAMPLE) as d:
        r = run('--check-config', cwd=d)
        assert (r.returncode, r.stdout) == (0, 'lhsmtool_firn: ok, archives go to s3\n'), r


def test_config_files_are_taken_by_each_option_that_had_them():
    with in_dir(old_cfg=SAMPLE, posix_yml='archive_path: /srv/hsm\narchive_format: v2\n') as d:
        for option in ('-c', '-b', '-C', '--config'):
            assert run(option, 'old.cfg', '--check-config', cwd=d).returncode == 0, option
        r = run('-C', 'posix.yml', '--check-config', cwd=d)
        assert r.stdout == 'lhsmtool_firn: ok, archives go to posix\n', r


def test_a_wrong_configuration_is_named_with_file_and_line():
    with in_dir(config_cfg=SAMPLE.replace('bucket_count = 8', 'bucket_count = "8"')) as d:
        r = run('/mnt/lustre', cwd=d)
        assert r.returncode == errno.EINVAL and 'config.cfg:5: bucket_count' in r.stderr, r
    with in_dir(config_cfg=SAMPLE.replace('ssl = false;\n', '')) as d:
        r = run('/mnt/lustre', cwd=d)
        assert r.returncode == errno.EINVAL and 'ssl is missing' in r.stderr, r


def test_no_store_and_no_directory_is_told():
    with in_dir(firn_conf='site = "a";\n') as d:
        r = run('-C', 'firn.conf', '/mnt/lustre', cwd=d)
        assert r.returncode == errno.EINVAL and 'firn.conf: lustre.store' in r.stderr and '--hsm-root' in r.stderr, r


def test_a_wrong_command_line_is_einval():
    for args in ([], ['--nonsense', '/m'], ['/a', '/b'], ['-A', 'x', '/m'], ['--import', 'a', '/m']):
        r = run(*args)
        assert r.returncode == errno.EINVAL and r.stderr.startswith('lhsmtool_firn: '), (args, r)


def test_a_node_without_lustre_is_told_what_to_install():
    with in_dir(config_cfg=SAMPLE) as d:
        r = run('/mnt/lustre', cwd=d, LD_LIBRARY_PATH='/nonexistent')
        assert r.returncode == errno.ENOENT, r
        assert 'liblustreapi.so.1' in r.stderr and 'install the Lustre client (2.12 or later)' in r.stderr, r


def test_it_answers_to_the_name_of_lhsmtool_posix():
    with in_dir() as d:
        os.symlink(TOOL, os.path.join(d, 'lhsmtool_posix'))
        r = subprocess.run([os.path.join(d, 'lhsmtool_posix'), '-A'], stderr=subprocess.PIPE, text=True)
        assert r.stderr.startswith('lhsmtool_posix: '), r


def test_its_crash_points_are_listed():
    assert 'lustre_action_journaled' in run('--list-crash-points').stdout
    assert run('--version').stdout.startswith('lhsmtool_firn ')


if __name__ == '__main__':
    tap.main(globals())
