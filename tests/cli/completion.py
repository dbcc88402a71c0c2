# SPDX-License-Identifier: Apache-2.0
"""Completion rules for bash: dist/firn.bash-completion is what the program prints, and bash completes by it."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'lib'))
import tap  # noqa: E402
from fakefirnd import needs, run, same  # noqa: E402

needs('bash')
SOURCE = os.environ.get('FIRN_SOURCE', os.getcwd())
RULES = os.path.join(SOURCE, 'dist', 'firn.bash-completion')


def complete(*words):
    """What bash offers for the last of words."""
    script = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _firn "$1"; printf "%s\\n" "${COMPREPLY[@]}"')
    r = subprocess.run(['bash', '-c', script, 'bash', RULES, *words], stdout=subprocess.PIPE, text=True, check=True, cwd='/')
    return r.stdout.split()


def test_the_rules_are_current():
    with open(RULES, encoding='utf-8') as f:
        same(f.read(), run('completion', 'bash').stdout)


def test_commands_are_completed():
    assert 'file' in complete('firn', '') and 'tape' in complete('firn', '')
    assert complete('firn', 'sta') == ['status']
    assert complete('firn', 'file', 'mig') == ['migrate']
    assert complete('firn', '--socket', 'x', 'task', 'can') == ['cancel']
    assert complete('eeadm', 'task', 'clear') == ['clearhistory']


def test_options_are_completed():
    assert complete('firn', 'file', 'migrate', '--po') == ['--pool']
    assert '--json' in complete('firn', 'status', '--')
    assert complete('eeadm', 'recall', '--res') == ['--resident']


def test_files_are_completed():
    assert 'etc' in complete('firn', 'file', 'migrate', 'et')


if __name__ == '__main__':
    tap.main(globals())
