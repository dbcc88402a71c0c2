# SPDX-License-Identifier: Apache-2.0
"""Every command and option is in its manual page, and every option of a page exists: the pages against
--help, in both directions."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import needs, run  # noqa: E402

needs('mandoc')
SOURCE = os.environ.get('FIRN_SOURCE', os.getcwd())
COMMON = {'json', 'socket', 'config', 'help', 'h'}


def page(name):
    with open(os.path.join(SOURCE, 'man', name), encoding='utf-8') as f:
        return f.read()


def options_of_help(*words, name='firn'):
    """{option: argument or ''} of --help, without the common ones. Short and long forms are options each."""
    r = run(*words, '--help', name=name)
    assert r.returncode == 0, (words, r)
    found = {}
    for line in r.stdout.splitlines():
        m = re.match(r'  (?:-(\w)(?:, (?=--)|(?= )))?(?:    )?(?:--([\w-]+))?(?: ([A-Z][^ ]*))?', line)
        if m and (m.group(1) or m.group(2)):
            for o in (m.group(1), m.group(2)):
                if o and o not in COMMON:
                    found[o] = m.group(3) or ''
    return found


def options_of_text(text):
    """The same of a part of a page: .It Fl p , Fl -pool Ar POOL."""
    found = {}
    for line in re.findall(r'^\.It (Fl .*)$', text, re.M):
        arg = re.search(r' Ar (.+)$', line)
        for o in re.findall(r'Fl -?([\w-]+)', line):
            if o not in COMMON:
                found[o] = arg.group(1) if arg else ''
    return found


def sections(text):
    """{name: text} of the .Ss parts of a page, without what follows the next .Sh."""
    parts = re.split(r'^\.Ss (.*)$', text, flags=re.M)
    return {parts[i]: re.split(r'^\.Sh ', parts[i + 1], flags=re.M)[0] for i in range(1, len(parts), 2)}


def words_of_help(*words, name='firn'):
    out = run(*words, '--help', name=name).stdout
    return [m for m in re.findall(r'^  ([\w-]+)', out, re.M)]


def agree(where, page_options, help_options):
    assert page_options == help_options, (f'{where}: only in the page {sorted(set(page_options.items()) - set(help_options.items()))}, '
                                          f'only in --help {sorted(set(help_options.items()) - set(page_options.items()))}')


def groups():
    return words_of_help()


def alone(group):
    """True for a word that is a command by itself and has no commands below it."""
    return 'COMMAND --help' not in run(group, '--help').stdout and group != 'attr'


SHARED = {'compat': 'firn-compat.7', 'completion': 'firn.1', 'help': 'firn.1', 'cluster': 'firn-cluster.1', 'drain': 'firn-rebuild.1'}


def page_of(group):
    return SHARED.get(group, f'firn-{group}.1')


def test_every_command_is_in_firn_1():
    text = page('firn.1')
    listed = re.findall(r'^\.It Cm ([\w-]+)', text, re.M)
    assert listed == groups(), (listed, groups())


def test_every_command_has_its_options_in_its_page():
    for group in groups():
        text = page(page_of(group))
        parts = sections(text)
        if alone(group):
            own = parts.get(f'firn {group}', text if page_of(group) == f'firn-{group}.1' else None)
            assert own is not None, f'{page_of(group)} has no part "firn {group}"'
            agree(f'firn {group}', options_of_text(own), options_of_help(group))
            continue
        commands = ['', 'set'] if group == 'attr' else words_of_help(group)
        named = [n.split(' ', 1)[1] for n in parts if n.startswith('firn ' + group)]
        assert named == [f'{group} {c}'.strip() for c in commands], (group, named, commands)
        for c in commands:
            words = [group] + ([c] if c else [])
            agree('firn ' + ' '.join(words), options_of_text(parts['firn ' + ' '.join(words)]), options_of_help(*words))


def test_the_common_options_are_in_firn_1():
    text = page('firn.1')
    for o in ('json', 'socket', 'config', 'help'):
        assert re.search(rf'^\.It (?:Fl h , )?Fl -{o}\b', text, re.M), o


def test_exit_statuses_and_environment_are_documented():
    text = page('firn.1')
    for n in '0123':
        assert f'.It {n}\n' in text, n
    for e in ('FIRN_SOCKET', 'FIRN_CONFIG'):
        assert f'.It Ev {e}' in text, e


def test_compatible_programs_are_in_firn_compat_7():
    parts = sections(page('firn-compat.7'))
    for name in ('mmapplypolicy', 'mmlsattr'):
        agree(name, options_of_text(parts[name]), options_of_help(name=name))
    for group in words_of_help(name='eeadm'):
        probe = run(group, '--help', name='eeadm').stdout
        commands = words_of_help(group, name='eeadm') if 'COMMAND --help' in probe else ['']
        for c in commands:
            words = ' '.join(filter(None, ['eeadm', group, c]))
            assert words in parts, f'firn-compat(7) has no part "{words}"'
            agree(words, options_of_text(parts[words]), options_of_help(*filter(None, [group, c]), name='eeadm'))
    for part in parts:
        if part.startswith('eeadm ') and not part.startswith('eeadm, '):
            assert run(*part.split()[1:], '--help', name='eeadm').returncode == 0, part


def test_the_pages_are_clean():
    for name in sorted(os.listdir(os.path.join(SOURCE, 'man'))):
        if re.match(r'firn(-(file|attr|policy|cluster|tape|drive|pool|library|lustre|account|bucket|task|status|schedule|rebuild))?\.1$|firn-compat\.7$', name):
            r = subprocess.run(['mandoc', '-Tlint', '-W', 'warning', os.path.join(SOURCE, 'man', name)], stdout=subprocess.PIPE, text=True)
            assert r.returncode == 0, r.stdout


if __name__ == '__main__':
    tap.main(globals())
