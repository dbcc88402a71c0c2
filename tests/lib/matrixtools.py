# SPDX-License-Identifier: Apache-2.0
"""Programs that meet a stub, for tests/e2e/matrix.py: how each is run, and what it must make of the file.

A row is Tool(shell text): $f is the file, $twin an ordinary file with the same bytes, $near a folder on the same file
system, $far one on another; the result is standard output, or the file named by result."""
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from firnsite import wait_for  # noqa: E402


class Failed(Exception):
    """A program that ended with an error, with its words."""


class Tool:
    def __init__(self, script, result=None, quiet=False, writes=None, fs=None, wanted=None):
        """writes: a function from the bytes before to those afterwards; wanted: from the case to the result; both default
        to: the bytes of the file. quiet: needs no data. fs: only on these."""
        self.script, self.result, self.quiet, self.writes, self.kinds = script, result, quiet, writes, fs
        self.want = wanted

    def fits(self, fs):
        return self.kinds is None or fs in self.kinds

    def wanted(self, case):
        if self.want is not None:
            return self.want(case)
        return self.writes(case.data) if self.writes else case.data

    def run(self, case):
        if callable(self.script):
            return self.script(case)
        out = shell(self.script, case)
        if self.quiet:
            return out
        path = {'$f': case.path}.get(self.result, os.path.expandvars(self.result) if self.result else None)
        if path is None:
            return out
        with open(path.replace('$near', case.near).replace('$far', case.far), 'rb') as f:
            return f.read()


def shell(script, case):
    env = {**os.environ, 'f': case.path, 'twin': case.twin, 'near': case.near, 'far': case.far, 'LC_ALL': 'C',
           'python': sys.executable, 'd': os.path.dirname(case.path), 'b': os.path.basename(case.path)}
    r = subprocess.run(['bash', '-euc', 'set -o pipefail\n' + script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                       stdin=subprocess.DEVNULL, timeout=120)
    if r.returncode != 0:
        raise Failed(f'{script}\nstatus {r.returncode}\n{r.stdout[:500]!r}\n{r.stderr.decode(errors="replace")}')
    return r.stdout


# ---- mounts ----

@contextlib.contextmanager
def mounted(*argv):
    """Mounts on a new folder of its own."""
    folder = tempfile.mkdtemp(prefix='firn-matrix-')
    try:
        subprocess.run(['mount', *argv, folder], check=True)
        try:
            yield folder
        finally:
            unmount(folder)
    finally:
        os.rmdir(folder)


def unmount(folder):
    """On older kernels firn-watch keeps a file open for a tenth of a second after its answer."""
    wait_for(f'umount of {folder}', lambda: subprocess.run(['umount', folder], stderr=subprocess.DEVNULL).returncode == 0)


def content(path):
    with open(path, 'rb') as f:
        return f.read()


def read_only_bind(case):
    with mounted('--bind', os.path.dirname(case.path)) as folder:
        subprocess.run(['mount', '-o', 'remount,bind,ro', folder], check=True)
        return content(os.path.join(folder, case.name))


@contextlib.contextmanager
def overlay(case):
    """The file as a container sees it: in the lower layer."""
    lower = os.path.join(case.near, 'lower')
    os.mkdir(lower)
    os.link(case.path, os.path.join(lower, 'file'))
    # The upper layer must be on a file system that overlayfs takes; the system's own may be an overlay itself.
    with mounted('-t', 'tmpfs', 'tmpfs') as top:
        upper, work = os.path.join(top, 'upper'), os.path.join(top, 'work')
        os.mkdir(upper)
        os.mkdir(work)
        with mounted('-t', 'overlay', '-o', f'lowerdir={lower},upperdir={upper},workdir={work}', 'overlay') as merged:
            yield os.path.join(merged, 'file')
    os.unlink(os.path.join(lower, 'file'))


def overlay_read(case):
    with overlay(case) as path:
        return content(path)


def overlay_mmap(case):
    with overlay(case) as path:
        return subprocess.run([OPS, 'mmap-shared', path], stdout=subprocess.PIPE, check=True).stdout


def overlay_cp(case):
    with overlay(case) as path:
        subprocess.run(['cp', path, os.path.join(case.far, 'r')], check=True)
        return content(os.path.join(case.far, 'r'))


def overlay_copy_up(case):
    with overlay(case) as path:
        with open(path, 'ab') as f:
            f.write(b'up')
        return content(path)


def loop_device(case):
    """A disk image: the kernel's driver reads it, unseen by any event after the open."""
    r = subprocess.run(['losetup', '-f', '-r', '--show', case.path], stdout=subprocess.PIPE, text=True, check=True)
    device = r.stdout.strip()
    try:
        return content(device)
    finally:
        subprocess.run(['losetup', '-d', device], check=True)


# ---- programs that are files ----

OPS = ''
SCRIPT = b'#!/bin/sh\necho it runs\nexit 0\n' + b'# padding\n' * 20000
LIBRARY = '/lib/x86_64-linux-gnu/libcrypto.so.3'


def special(name, ops):
    """Bytes for files that must be of some form; None for others."""
    global OPS
    OPS = ops
    if name in ('script', 'sh'):
        return SCRIPT
    if name == 'program':
        return content(ops) + os.urandom(200_000)
    if name == 'library':
        return content(os.path.realpath(shutil.which('bash'))) if not os.path.exists(LIBRARY) else content(LIBRARY)
    if name == 'loop-device':
        return os.urandom(512 * 700)
    if name == 'grep':
        return os.urandom(250_000) + b'\nthe needle\n' + os.urandom(50_000)
    return None


def prints(text):
    return lambda case: text.encode()


def listed(case):
    return subprocess.run([OPS, '--list'], stdout=subprocess.PIPE, check=True).stdout


def python_reads(code):
    return f'$python -c \'import sys, os, mmap\np = sys.argv[1]\nout = sys.stdout.buffer\n{code}\' "$f"'


FAR, NEAR = '$far/r', '$near/r'
TOOLS = {
    # readers
    'cat': Tool('cat "$f"'),
    'dd': Tool('dd if="$f" bs=5000 status=none'),
    'dd-direct': Tool('dd if="$f" bs=64k iflag=direct status=none'),
    'dd-sparse': Tool('dd if="$f" of="$far/r" conv=sparse status=none', FAR),
    'cmp': Tool('cmp "$f" "$twin"; cat "$twin"'),
    'grep': Tool('grep -a -o "the needle" "$f"', wanted=prints('the needle\n')),
    'tail': Tool('tail -c 300777 "$f"'),
    'sha256sum': Tool('sha256sum <"$f" | cmp - <(sha256sum <"$twin") && cat "$twin"'),
    'gzip': Tool('gzip -c "$f" | gzip -dc'),
    'python': Tool(python_reads('out.write(open(p, "rb").read())')),
    'python-mmap': Tool(python_reads('out.write(mmap.mmap(os.open(p, 0), 0, prot=mmap.PROT_READ))')),
    'another-user': Tool('setpriv --reuid 12345 --regid 12345 --clear-groups cat "$f"'),
    'another-namespace': Tool('unshare --mount --pid --fork cat "$f"'),
    'read-only-bind-mount': Tool(read_only_bind),
    'overlay-read': Tool(overlay_read),
    'overlay-mmap': Tool(overlay_mmap),
    'overlay-cp': Tool(overlay_cp),
    'overlay-copy-up': Tool(overlay_copy_up, wanted=lambda case: case.data + b'up'),
    'loop-device': Tool(loop_device),
    # programs that are stubs
    'script': Tool('"$f"', wanted=prints('it runs\n')),
    'sh': Tool('sh "$f"', wanted=prints('it runs\n')),
    'program': Tool('"$f" --list', wanted=listed),
    'library': Tool('$python -c \'import ctypes, sys; ctypes.CDLL(sys.argv[1]); print("loaded")\' "$f"', wanted=prints('loaded\n')),
    # copies: coreutils ask for holes first
    'cp': Tool('cp "$f" "$far/r"', FAR),
    'cp-a': Tool('cp -a "$f" "$far/r"', FAR),
    'cp-sparse': Tool('cp --sparse=always "$f" "$far/r"', FAR),
    'cp-sparse-never': Tool('cp --sparse=never "$f" "$far/r"', FAR),
    'cp-near': Tool('cp "$f" "$near/r"', NEAR),
    'cp-a-near': Tool('cp -a "$f" "$near/r"', NEAR),
    'cp-reflink': Tool('cp --reflink=always "$f" "$near/r"', NEAR, fs=('xfs', 'btrfs')),
    'mv': Tool('mv "$f" "$far/r"', FAR),
    'install': Tool('install -m 600 "$f" "$far/r"', FAR),
    'tar': Tool('tar -cf - -C "$d" "$b" | tar -xOf -'),
    'tar-sparse': Tool('tar -cSf - -C "$d" "$b" | tar -xOf -'),
    'tar-xattrs': Tool('tar --xattrs --xattrs-include="*" -cf - -C "$d" "$b" | tar --xattrs --xattrs-include="*" -xf - -C "$near"',
                       '$near/tar-xattrs'),
    'bsdtar': Tool('bsdtar -cf - -C "$d" "$b" | bsdtar -xOf -'),
    'bsdtar-sparse': Tool('bsdtar --read-sparse -cf - -C "$d" "$b" | bsdtar -xOf -'),
    'cpio': Tool('cd "$d"; echo "$b" | cpio -o --quiet | (cd "$far"; cpio -id --quiet)', '$far/cpio'),
    'zip': Tool('cd "$d"; zip -q - "$b" >"$far/z"; $python -c \'import sys, zipfile; '
                'sys.stdout.buffer.write(zipfile.ZipFile(sys.argv[1]).read("zip"))\' "$far/z"'),
    'rsync': Tool('rsync "$f" "$far/r"', FAR),
    'rsync-sparse': Tool('rsync -S "$f" "$far/r"', FAR),
    'rsync-a-x': Tool('rsync -aX "$f" "$near/r"', NEAR),
    'rsync-checksum': Tool('cp "$twin" "$far/r"; rsync -c "$f" "$far/r"', FAR),
    'qemu-img': Tool('qemu-img convert -f raw -O raw "$f" "$far/r"; truncate -s 300777 "$far/r"', FAR),
    # writers
    'cp-over': Tool('head -c 9000 "$twin" >"$near/x"; cp "$near/x" "$f"', '$f', writes=lambda d: d[:9000]),
    'dd-notrunc': Tool('printf 12345 | dd of="$f" conv=notrunc bs=1 seek=99999 status=none', '$f',
                       writes=lambda d: d[:99999] + b'12345' + d[100004:]),
    'shell-append': Tool('echo end >>"$f"', '$f', writes=lambda d: d + b'end\n'),
    'overwrite': Tool('echo new >"$f"', '$f', writes=lambda d: b'new\n'),
    'tee': Tool('echo end | tee -a "$f" >/dev/null', '$f', writes=lambda d: d + b'end\n'),
    'truncate-s': Tool('truncate -s 1000 "$f"', '$f', writes=lambda d: d[:1000]),
    'sed-i': Tool('sed -i "1i first" "$f"', '$f', writes=lambda d: b'first\n' + d),
    'rsync-inplace': Tool('(cat "$twin"; echo more) >"$far/x"; rsync --inplace --no-whole-file -I "$far/x" "$f"', '$f',
                          writes=lambda d: d + b'more\n'),
    'mv-over': Tool('echo other >"$near/x"; mv -f "$near/x" "$f"', '$f', writes=lambda d: b'other\n'),
    # no data needed
    'ls': Tool('ls -lsi "$f"; ls -l --full-time "$d"', quiet=True),
    'du': Tool('du -k "$f"; du --apparent-size "$f"', quiet=True),
    'find': Tool('find "$d" -name "$b" -size +200k -printf "%s %b\\n"', quiet=True),
    'stat-program': Tool('stat "$f"', quiet=True),
    'getfattr': Tool('getfattr -d -m - "$f" 2>/dev/null; setfattr -n user.x -v y "$f"; setfattr -x user.x "$f"', quiet=True),
    'chmod': Tool('chmod 600 "$f"; chmod 755 "$f"', quiet=True),
    'mv-near': Tool('mv "$f" "$near/r"; mv "$near/r" "$f"', quiet=True),
    'ln': Tool('ln "$f" "$near/r"; rm "$near/r"; ln -s "$f" "$near/r"; rm "$near/r"', quiet=True),
    'test': Tool('test -s "$f"; test -r "$f"', quiet=True),
}
