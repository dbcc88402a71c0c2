# SPDX-License-Identifier: Apache-2.0
"""firn-watch's command line, configuration, manual and unit file."""
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
import tap  # noqa: E402
from firnsite import program  # noqa: E402

SOURCE = os.environ.get('FIRN_SOURCE', os.path.join(HERE, '..', '..', '..'))


def run(*args):
    return subprocess.run([program('firn-watch'), *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=20)


def source(*parts):
    with open(os.path.join(SOURCE, *parts), encoding='utf-8') as f:
        return f.read()


def test_version_and_help_are_printed():
    assert run('--version').stdout.startswith('firn-watch ')
    r = run('--help')
    assert r.returncode == 0 and '--check-config' in r.stdout


def test_wrong_usage_has_status_2():
    for args in (['--no-such-option'], ['argument'], ['-c']):
        r = run(*args)
        assert r.returncode == 2 and 'firn-watch' in r.stderr, (args, r)


def test_the_manual_names_every_option_of_the_help_and_no_other():
    lines = '\n'.join(re.findall(r'^\.It Fl .*$', source('man', 'firn-watch.8'), re.M))
    documented = set(re.findall(r'-(-[a-z-]+)', lines.replace('Fl -', '--').replace(', -', ' --')))
    helped = set(h[1:] for h in re.findall(r'--[a-z-]+', run('--help').stdout))
    assert documented == helped, (documented, helped)


def test_a_wrong_configuration_is_named_and_nothing_is_started():
    with tempfile.TemporaryDirectory() as d:
        conf = os.path.join(d, 'firn.conf')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(f'site = "t";\nstate_dir = "{d}/state";\nrun_dir = "{d}/run";\nwatch = {{ deadline = -1; }};\n')
        for args in (['-c', conf], ['--check-config', '-c', conf]):
            r = run(*args)
            assert r.returncode == 78 and f'{conf}:4' in r.stderr and 'deadline' in r.stderr, r
        assert not os.path.exists(os.path.join(d, 'run'))
        r = run('-c', conf + '.absent')
        assert r.returncode == 78 and '.absent' in r.stderr, r


def test_the_unit_keeps_the_group_and_never_kills():
    unit = source('dist', 'firn-watch.service')
    for line in ('Type=notify', 'FileDescriptorStoreMax=4', 'FileDescriptorStorePreserve=yes', 'SendSIGKILL=no',
                 'Restart=always', 'OOMScoreAdjust=-1000', 'LimitNOFILE=524288', 'Before=firnd.service'):
        assert f'\n{line}\n' in unit, line
    # A mount name space of its own would hide what it mounts.
    assert not re.search(r'^(Private|Protect|ReadOnly|ReadWrite|Inaccessible|Bind|Mount|Temporary|RootDirectory)', unit, re.M)
    assert re.search(r'^After=.*firn-watch\.service', source('dist', 'firnd.service'), re.M)


if __name__ == '__main__':
    tap.main(globals())
