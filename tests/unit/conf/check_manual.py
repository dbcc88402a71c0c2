# SPDX-License-Identifier: Apache-2.0
"""Holds man/firn.conf.5 against the table of keys, both ways. check_manual.py CONF_DUMP MANUAL [--print]
prints the manual's section KEYS anew, for whoever changed the table."""
import subprocess
import sys


def mdoc(text):
    return text.replace('\\', '\\e')


def section_of(rows):
    out, current = [], None
    for section, name, default, allows, what in rows:
        if section != current:
            if current is not None:
                out.append('.El')
            title = section if section else 'Top level'
            out += [f'.Ss {title}', '.Bl -tag -width Ds']
            current = section
        out += [f'.It Ic {name}',
                f'{mdoc(what[0].upper() + what[1:])}.', f'Allowed: {mdoc(allows)}.', f'Default: {mdoc(default) if default else "none"}.']
    out.append('.El')
    return out


def main():
    dump, manual = sys.argv[1:3]
    rows = [l.split('\t') for l in subprocess.run([dump], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
    want = section_of(rows)
    if '--print' in sys.argv:
        print('\n'.join(want))
        return 0
    with open(manual, encoding='utf-8') as f:
        lines = f.read().splitlines()
    have = lines[lines.index('.\\" keys begin') + 1:lines.index('.\\" keys end')]
    for i, (a, b) in enumerate(zip(want, have)):
        if a != b:
            print(f'{manual}: line {i + 1} of KEYS is "{b}"; the table says "{a}"')
            return 1
    if len(want) != len(have):
        print(f'{manual}: KEYS has {len(have)} lines; the table makes {len(want)}')
        return 1
    return 0


sys.exit(main())
