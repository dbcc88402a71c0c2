# SPDX-License-Identifier: Apache-2.0
"""Wrong command lines: what is said, and the exit status."""
import os
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import Fake, Hangup, Refuse, run, same  # noqa: E402


def wrong(want, *args, name='firn'):
    r = run(*args, name=name)
    assert r.returncode == 2, (r.returncode, r.stderr)
    same(r.stdout, '')
    same(r.stderr.splitlines()[0], want)


def test_an_unknown_command_is_suggested():
    wrong('firn: unknown command "fiel"; perhaps "file" was meant', 'fiel', 'state')
    wrong('firn file: unknown command "migrat"; perhaps "migrate" was meant', 'file', 'migrat')
    wrong('firn tape: unknown command "lst"; perhaps "list" was meant', 'tape', 'lst')
    wrong('firn: unknown command "zzzzzz"', 'zzzzzz')


def test_what_is_done_to_files_need_not_say_so():
    wrong('firn file recall: unknown option --plann; perhaps --plan was meant', 'recall', '--plann', 'f')
    same(run('recall', '--help').stdout, run('file', 'recall', '--help').stdout)
    same(run('state', '--help').stdout, run('file', 'state', '--help').stdout)


def test_an_unknown_option_is_suggested():
    wrong('firn file migrate: unknown option --polo; perhaps --pool was meant', 'file', 'migrate', '--polo', 'x', 'f')
    wrong('firn file migrate: unknown option -x', 'file', 'migrate', '-x', 'f')
    wrong('firn: unknown option --jsn before the command', '--jsn', 'status')


def test_a_missing_value_and_a_needless_one_are_named():
    wrong('firn file migrate: option -p needs a value: -p POOL@LIBRARY[,...]', 'file', 'migrate', 'f', '-p')
    wrong('firn cluster set: option --value needs a value: --value VALUE', 'cluster', 'set', '--value')
    wrong('firn file recall: option --resident takes no value', 'file', 'recall', '--resident=yes', 'f')


def test_what_is_missing_and_what_is_too_much_is_named():
    wrong('firn file migrate: option -p POOL@LIBRARY[,...] is needed: copy to these pools, one copy each (1 to 3)',
          'file', 'migrate', 'f')
    wrong('firn file recall: no file is named; give PATH... or --list FILE', 'file', 'recall')
    wrong('firn account show: something is missing: NAME', 'account', 'show')
    wrong('firn account show: "b" is one word too many', 'account', 'show', 'a', 'b')


def test_numbers_and_words_out_of_bounds_are_refused():
    wrong('firn policy run: option level: "9" is no number from 0 to 6', 'policy', 'run', 'fs1', '-P', 'x', '-L', '9')
    wrong('firn policy run: -I "maybe": yes, test, defer or prepare is wanted', 'policy', 'run', 'fs1', '-P', 'x', '-I', 'maybe')
    wrong('firn task show: "abc" is no task\'s number', 'task', 'show', 'abc')
    wrong('firn library create: --size "1KiB": a size of 4MiB or more is wanted, like 8GiB',
          'library', 'create', '--size', '1KiB', '/nowhere')
    wrong('firn account create: whose files are the account\'s? Give --user USER or --uid N', 'account', 'create', 'a')


def test_no_command_shows_the_help_and_fails():
    r = run()
    assert r.returncode == 2 and 'usage: firn' in r.stderr and r.stdout == '', r
    r = run('file')
    assert r.returncode == 2 and 'migrate' in r.stderr, r


def test_help_is_on_standard_output():
    for words in (['--help'], ['help'], ['file', '--help'], ['file', 'migrate', '--help'], ['help', 'file', 'migrate'], ['help', 'tape']):
        r = run(*words)
        assert r.returncode == 0 and r.stderr == '' and 'firn' in r.stdout, (words, r)
    assert run('help', 'file', 'migrate').stdout == run('file', 'migrate', '-h').stdout


def test_the_version_is_told():
    r = run('--version')
    assert r.returncode == 0 and r.stdout.startswith('firn 0.'), r


def test_without_firnd_the_status_is_3_and_the_way_to_start_it_is_told():
    for words in (['status'], ['file', 'state', '/x'], ['policy', 'run', 'fs1', '-P', __file__]):
        r = run(*words)
        assert r.returncode == 3, (words, r)
        assert 'cannot reach firnd' in r.stderr and 'systemctl start firnd' in r.stderr, r.stderr
        same(r.stdout, '')


def test_an_error_answer_is_told_once_and_the_status_is_1():
    with Fake({'status': Refuse('EIO', 'catalogue cannot be read')}) as f:
        r = f.run('status')
        assert r.returncode == 1
        same(r.stderr, 'firn: catalogue cannot be read\n')


def test_a_connection_that_breaks_is_told_with_the_socket():
    with Fake({'status': Hangup()}) as f:
        r = f.run('status')
        assert r.returncode == 3, r
        assert f.socket in r.stderr and 'status' in r.stderr, r.stderr


def test_the_socket_comes_from_the_option_then_the_environment_then_the_configuration():
    with Fake({'attr.list': {'attributes': []}}) as f, tempfile.TemporaryDirectory() as d:
        none = {'FIRN_SOCKET': os.path.join(d, 'none')}
        assert f.run('cluster', 'show', env=none).returncode == 3
        r = f.run('--socket', f.socket, 'cluster', 'show', env=none)
        assert r.returncode == 0, r
        r = f.run('--socket=' + f.socket, 'cluster', 'show', env=none)
        assert r.returncode == 0, r
        assert f.run('cluster', 'show', '--socket', f.socket, env=none).returncode == 0
        conf = os.path.join(d, 'firn.conf')
        os.mkdir(os.path.join(d, 'fs'))
        with open(conf, 'w', encoding='utf-8') as c:
            c.write(f'site = "x"; state_dir = "{d}/state"; socket = "{f.socket}";\n'
                    f'filesystems = ( {{ name = "fs1"; path = "{d}/fs"; }} );\n')
        r = f.run('--config', conf, 'cluster', 'show', env=none)
        assert r.returncode == 0, r.stderr
        r = f.run('cluster', 'show', env={'FIRN_CONFIG': conf, 'FIRN_SOCKET': ''})
        assert r.returncode == 0, r.stderr


def test_a_wrong_configuration_is_named():
    with tempfile.TemporaryDirectory() as d:
        conf = os.path.join(d, 'firn.conf')
        with open(conf, 'w', encoding='utf-8') as c:
            c.write('sight = "x";\n')
        r = run('--config', conf, 'status')
        assert r.returncode == 1 and f'{conf}:1' in r.stderr, r.stderr


def test_output_that_cannot_be_written_is_a_failure():
    with Fake({'attr.list': {'attributes': [{'name': 'a', 'value': 'b'}]}}) as f, open('/dev/full', 'w', encoding='utf-8') as full:
        import subprocess
        r = subprocess.run([os.path.join(f.bin, 'firn'), '--socket', f.socket, 'cluster', 'show'], stdout=full,
                           stderr=subprocess.PIPE, text=True)
        assert r.returncode == 1 and 'standard output' in r.stderr, r


if __name__ == '__main__':
    tap.main(globals())
