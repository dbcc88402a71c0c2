# SPDX-License-Identifier: Apache-2.0
"""The gates on how the code reads. Prints what is wrong, then one line "gate ok NAME" or "gate failed NAME"
for each gate. Exit status 1 when one failed."""
import argparse
import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_FUNCTION_LINES, MAX_COMPLEXITY, MAX_FILE_LINES = 80, 15, 800
# What a module may include, besides itself; the layers of doc/design/architecture.md.
LAYERS = {
    'base': '',
    'conf': 'base',
    'codec': 'base',
    'file': 'base codec',
    'catalog': 'base',
    'tape': 'base codec',
    'scan': 'base',
    'policy': 'base',
    'store': 'base codec',
    'watch': 'base',
    'tier': 'base codec file catalog tape store',
    'engine': 'base conf codec file catalog tape scan policy store tier watch',
    'lustre': 'base conf codec catalog scan policy store tier',
    'ctl': 'base conf engine',
    's3': 'base conf codec ctl',
    'cmd': 'base conf ctl tape lustre',
    'bin': 'base conf codec catalog engine ctl s3 cmd lustre watch',
}
# ctl has two ends; the client's must not see the engine, nor may s3 and cmd see the server's.
CTL_CLIENT_SIDE = {'proto', 'client'}
BANNED = ('strcpy', 'strcat', 'sprintf', 'vsprintf', 'strtok', 'atoi', 'atol', 'gets', 'system', 'mktemp', 'tmpnam')
# Places that may break a limit, each with its reason: {'file:function': 'reason'}.
EXCEPTIONS = {}
problems = []


def complain(gate, path, line, text):
    problems.append(gate)
    print(f'{path}:{line}: {text}')


def files(*endings, under=('src', 'tests', 'bench')):
    out = []
    for top in under:
        for d, dirs, names in os.walk(os.path.join(ROOT, top)):
            dirs.sort()
            out += [os.path.relpath(os.path.join(d, n), ROOT) for n in sorted(names) if n.endswith(endings)]
    return out


def read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8', errors='replace') as f:
        return f.read()


def strip_code(text):
    """Blanks comments, strings and characters, keeping lines and columns."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
    return pattern.sub(lambda m: re.sub(r'[^\n]', ' ', m.group()), text)


def gate_format():
    r = subprocess.run(['clang-format-14', '--dry-run', '-Werror'] + files('.c', '.h'), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        problems.append('format')
        print('\n'.join(l for l in r.stderr.splitlines() if 'error:' in l))
        print('mend with: clang-format-14 -i FILE')


def gate_layering():
    for path in files('.c', '.h', under=('src',)):
        module = path.split('/')[1]
        allowed = set(LAYERS[module].split()) | {module}
        for n, line in enumerate(read(path).splitlines(), 1):
            m = re.match(r'#include "([^"]+)"', line)
            if not m:
                continue
            target = m.group(1).split('/')[0]
            stem = os.path.splitext(os.path.basename(m.group(1)))[0]
            if '/' not in m.group(1):
                complain('layering', path, n, f'include "{m.group(1)}" without its module')
            elif target not in allowed:
                complain('layering', path, n, f'{module} may not include {m.group(1)}')
            elif target == 'ctl' and module in ('s3', 'cmd') and stem not in CTL_CLIENT_SIDE:
                complain('layering', path, n, f'{module} may use the client side of ctl only')
            elif m.group(1).endswith('_impl.h') and target != module:
                complain('layering', path, n, f'{m.group(1)} stays inside {target}')


def gate_banned():
    pattern = re.compile(r'(?<![\w.>])(' + '|'.join(BANNED) + r')\s*\(|\bgoto\b')
    for path in files('.c', '.h'):
        for n, line in enumerate(strip_code(read(path)).splitlines(), 1):
            m = pattern.search(line)
            if m:
                complain('banned', path, n, f'banned: {m.group().strip("( ")}')


def functions(text):
    """(name, first line, lines, complexity) of each function; the format gate keeps braces in column 0."""
    lines = strip_code(text).splitlines()
    start = None
    for i, line in enumerate(lines):
        if line == '{':
            start = i
        elif line.startswith('}') and start is not None:
            head = ' '.join(lines[max(0, start - 6):start])
            if ')' in head.rstrip()[-1:]:
                names = re.findall(r'(\w+)\s*\(', re.split(r'[;}]', head)[-1])
                body = ' '.join(lines[start:i])
                complexity = 1 + len(re.findall(r'\b(?:if|for|while|case)\b|&&|\|\||\?', body))
                yield names[0] if names else '?', start + 1, i - start + 1, complexity
            start = None


def gate_limits():
    for path in files('.c', '.h'):
        text = read(path)
        count = text.count('\n')
        if count > MAX_FILE_LINES and path not in EXCEPTIONS:
            complain('limits', path, 1, f'{count} lines; at most {MAX_FILE_LINES}')
        for name, line, length, complexity in functions(text):
            if f'{path}:{name}' in EXCEPTIONS:
                continue
            if length > MAX_FUNCTION_LINES:
                complain('limits', path, line, f'{name}: {length} lines; at most {MAX_FUNCTION_LINES}')
            if complexity > MAX_COMPLEXITY:
                complain('limits', path, line, f'{name}: complexity {complexity}; at most {MAX_COMPLEXITY}')


def gate_contracts():
    """Every prototype of a header has a comment, every header a first paragraph."""
    for path in files('.h', under=('src',)):
        text = read(path)
        lines = text.splitlines()
        if not re.match(r'/\* SPDX[^\n]*\n/\*', text):
            complain('contracts', path, 1, 'the header opens with SPDX and a paragraph that says what this is')
        code = strip_code(text).splitlines()
        depth = 0
        for i, line in enumerate(code):
            opens = depth == 0 and re.match(r'[A-Za-z_][\w\s\*]*?\b\w+\(', line) and not line.startswith(('static', 'typedef', 'DEFINE'))
            # A run of prototypes without a blank line between them shares the comment above it.
            shared = i > 0 and (lines[i - 1].rstrip().endswith('*/') or code[i - 1].rstrip().endswith(';'))
            if opens and not shared:
                complain('contracts', path, i + 1, 'a prototype without a comment')
            depth += line.count('{') - line.count('}')


def gate_spdx():
    every = files('.c', '.h', '.py', '.sh', '.build', '.def') + files('.py', '.sh', under=('scripts',)) + ['meson.build']
    for path in every:
        if 'SPDX-License-Identifier: Apache-2.0' not in read(path)[:200]:
            complain('spdx', path, 1, 'no SPDX line')


def gate_manuals():
    for path in [os.path.join('man', n) for n in sorted(os.listdir(os.path.join(ROOT, 'man'))) if re.search(r'\.[1-8]$', n)]:
        r = subprocess.run(['mandoc', '-Tlint', '-W', 'warning', path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        if r.returncode != 0:
            problems.append('manuals')
            print(r.stdout)


def gate_paths():
    """The repository speaks of the project alone: no paths of one machine."""
    r = subprocess.run(['git', 'ls-files', '-z'], cwd=ROOT, stdout=subprocess.PIPE)
    pattern = re.compile(r'/work/|/root/|/home/\w+/|\.library/')
    for path in r.stdout.decode().split('\0'):
        if not path or path == 'scripts/lint.py' or '/corpus/' in path or not os.path.isfile(os.path.join(ROOT, path)):
            continue
        for n, line in enumerate(read(path).splitlines(), 1):
            if pattern.search(line):
                complain('paths', path, n, 'a path of one machine')


def each(argv_of, paths, gate):
    def run(path):
        return path, subprocess.run(argv_of(path), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        for _, r in pool.map(run, paths):
            if r.returncode != 0:
                problems.append(gate)
                print(r.stdout)


def gate_tidy(build):
    with open(os.path.join(build, 'compile_commands.json'), encoding='utf-8') as f:
        known = {os.path.relpath(os.path.join(e['directory'], e['file']), ROOT) for e in json.load(f)}
    paths = [p for p in files('.c', under=('src',)) if p in known]
    each(lambda p: ['clang-tidy-14', '--quiet', '-p', build, p], paths, 'clang-tidy')


def gate_cppcheck():
    r = subprocess.run(['cppcheck', '--quiet', '--std=c11', '--enable=warning,performance,portability', '--inline-suppr',
                        # glibc's NULL is a pointer, so it may end a variadic list.
                        '--suppress=missingIncludeSystem', '--suppress=normalCheckLevelMaxBranches', '--suppress=varFuncNullUB',
                        '--error-exitcode=1', '-D_GNU_SOURCE', '-DFIRN_VERSION=""',
                        '--library=scripts/cppcheck.cfg', '-I', 'src', '-j', str(max(2, os.cpu_count() or 2)),
                        '--template={file}:{line}: {severity}: {message} [{id}]', 'src'],
                       cwd=ROOT, stderr=subprocess.PIPE, text=True)
    if r.returncode != 0:
        problems.append('cppcheck')
        print(r.stderr)


def main():
    p = argparse.ArgumentParser()
    p.add_argument('--build', help='a clang build directory, for clang-tidy')
    p.add_argument('--fast', action='store_true', help='leave clang-tidy and cppcheck out')
    a = p.parse_args()
    gates = {'format': gate_format, 'layering': gate_layering, 'banned': gate_banned, 'limits': gate_limits,
             'contracts': gate_contracts, 'spdx': gate_spdx, 'manuals': gate_manuals, 'paths': gate_paths}
    if not a.fast:
        gates['cppcheck'] = gate_cppcheck
        if a.build:
            gates['clang-tidy'] = lambda: gate_tidy(a.build)
    for name, gate in gates.items():
        gate()
        print(f"gate {'failed' if name in problems else 'ok'} {name}", flush=True)
    return 1 if problems else 0


sys.exit(main())
