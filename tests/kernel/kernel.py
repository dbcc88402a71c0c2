# SPDX-License-Identifier: Apache-2.0
"""Boots another kernel and relays what tests say there: kernel.py KERNEL SECONDS, with a kernel of guest.KERNELS.

old: Debian 12's 6.1, where events come at open alone; new: one that takes the guard's program."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import guest  # noqa: E402

KINDS = ('ext4', 'xfs', 'btrfs')
# What runs on each: a script of this folder or a program of the build, and a file system.
RUNS = {
    'old': [['guest_old.py', k] for k in KINDS],
    'new': [['tests/kernel/kernel_guard', k] for k in KINDS],
}


def command(build, run):
    if run[0].endswith('.py'):
        here = os.path.dirname(os.path.abspath(__file__))
        return f'FIRN_TEST_FS={run[1]} /usr/bin/python3 {here}/{run[0]}'
    return f'{build}/{" ".join(run)}'


def main():
    name, seconds = sys.argv[1], int(sys.argv[2])
    build = os.environ['FIRN_BUILD']
    runs = RUNS[name]
    kernel = guest.fetch(name, os.path.join(build, 'kernels'))
    script = 'uname -r\n' + ''.join(f'echo "run {" ".join(r)}"\n{command(build, r)}\necho "ended $?"\n' for r in runs)
    out, console, status = guest.run(kernel, ['/bin/sh', '-c', script], seconds,
                                     {'FIRN_BUILD': build, 'FIRN_SOURCE': os.environ['FIRN_SOURCE']})
    n = failed = 0
    where, ended = '', 0
    for line in out.splitlines():
        m = re.match(r'(not ok|ok) \d+ - (.*)', line)
        if line.startswith('run '):
            where = line[4:]
        ended += line == 'ended 0'
        if m is None:
            print(line if line.startswith('#') else '# ' + line)
            continue
        n += 1
        failed += m.group(1) != 'ok'
        print(f'{m.group(1)} {n} - {where}: {m.group(2)}')
    n += 1
    good = status is not None and ended == len(runs)
    print(f'{"ok" if good else "not ok"} {n} - kernel {name} comes to an end')
    if not good:
        print('\n'.join('# ' + line for line in console.splitlines()[-60:]))
    print(f'1..{n}')
    sys.exit(0 if good and failed == 0 else 1)


main()
