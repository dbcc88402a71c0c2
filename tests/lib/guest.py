# SPDX-License-Identifier: Apache-2.0
"""Another Linux kernel, from Debian's packages, under qemu's emulation (no hardware help, so the same everywhere):

    kernel = guest.fetch('old', cache)
    for line in guest.run(kernel, argv, timeout=170): ...

The guest sees the host's whole tree read-only (9p), with memory in place of /tmp, /var/tmp and /run, so whatever runs
here runs there, as root, from the same paths. Kernel packages are fetched by apt-get and unpacked, never installed."""
import glob
import lzma
import os
import re
import shlex
import shutil
import subprocess
import tempfile

# name: (apt source besides the machine's own or None, package pattern, newest first by version)
KERNELS = {
    'old': (None, r'linux-image-6\.1\.0-\d+-amd64'),  # Debian 12's own
    'new': ('deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian trixie-backports main',
            r'linux-image-6\.18\.\d+\+deb13-amd64'),
}
MODULES = ('crc32c_generic', 'crc32c', 'crc32c_cryptoapi', 'virtio_pci', '9pnet_virtio', '9p', 'loop', 'ext4', 'xfs', 'btrfs', 'overlay')
INIT = '''#!/bin/busybox sh
export PATH=/bin
mkdir -p /proc /sys /dev /host /new
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
for m in $(cat /order); do insmod $m || echo "insmod $m failed"; done
mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,access=any,ro host /host || poweroff -f
mount -o bind /host /new
for d in tmp var/tmp run; do mount -t tmpfs -o mode=1777 tmpfs /new/$d; done
for d in proc sys dev; do mount -o bind /$d /new/$d; done
for d in SEEN; do mkdir -p /new$d && mount -o bind /host$d /new$d; done
mkdir -p /new/dev/shm /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm; mount -t devpts devpts /new/dev/pts
ifconfig lo 127.0.0.1 up
chroot /new /usr/bin/env -i ENV COMMAND >/dev/ttyS1 2>&1 </dev/null
echo "guest: end $?" >/dev/ttyS1
poweroff -f
'''


def _apt(cache, source):
    """Options of apt-get and apt-cache: with a source of its own, lists of its own, so the machine's stay as they are."""
    options = ['-o', 'APT::Sandbox::User=root']
    if source is None:
        return options
    top = os.path.join(cache, 'apt')
    for d in ('lists/partial', 'cache/archives/partial'):
        os.makedirs(os.path.join(top, d), exist_ok=True)
    with open(os.path.join(top, 'sources.list'), 'w', encoding='ascii') as f:
        f.write(source + '\n')
    return options + ['-o', f'Dir::Etc::sourcelist={top}/sources.list', '-o', 'Dir::Etc::sourceparts=/dev/null',
                      '-o', f'Dir::State::lists={top}/lists', '-o', f'Dir::Cache={top}/cache']


def _newest(options, pattern):
    out = subprocess.run(['apt-cache', *options, 'search', '--names-only', '^linux-image-'], stdout=subprocess.PIPE,
                         text=True, check=True).stdout
    names = [line.split(' ')[0] for line in out.splitlines()]
    names = [n for n in names if re.fullmatch(pattern, n)]
    return max(names, key=lambda n: [int(d) for d in re.findall(r'\d+', n)], default=None)


def fetch(name, cache):
    """The directory with boot/ and lib/ of the kernel called name (KERNELS); fetched once, kept under cache."""
    target = os.path.join(cache, name)
    if glob.glob(os.path.join(target, 'boot', 'vmlinuz-*')):
        return target
    source, pattern = KERNELS[name]
    os.makedirs(cache, exist_ok=True)
    options = _apt(cache, source)
    package = None if source else _newest(options, pattern)
    if package is None:
        subprocess.run(['apt-get', *options, 'update'], stdout=subprocess.DEVNULL, check=True)
        package = _newest(options, pattern)
    if package is None:
        raise RuntimeError(f'no Debian package matches {pattern}')
    with tempfile.TemporaryDirectory(dir=cache) as d:
        subprocess.run(['apt-get', *options, 'download', package], cwd=d, stdout=subprocess.DEVNULL, check=True)
        deb, = glob.glob(os.path.join(d, '*.deb'))
        subprocess.run(['dpkg-deb', '-x', deb, os.path.join(d, 'x')], check=True)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(os.path.join(d, 'x'), target)
    return target


def _modules(kernel):
    """{name: path} of all modules."""
    found = {}
    for path in glob.glob(os.path.join(kernel, '**', '*.ko*'), recursive=True):
        found[os.path.basename(path).split('.ko')[0].replace('-', '_')] = path
    return found


def _bytes_of(path):
    with open(path, 'rb') as f:
        data = f.read()
    return lzma.decompress(data) if path.endswith('.xz') else data


def _load_order(kernel, wanted):
    """[(name, bytes)], dependencies first; what the kernel has built in has no module and is left out."""
    found, order = _modules(kernel), {}

    def add(name):
        name = name.replace('-', '_')
        if name in order or name not in found:
            return
        data = _bytes_of(found[name])
        depends = re.search(rb'\0depends=([^\0]*)\0', data)
        softdeps = re.search(rb'\0softdep=pre: ([^\0]*)\0', data)
        for d in depends.group(1).decode().split(',') if depends and depends.group(1) else []:
            add(d)
        for d in softdeps.group(1).decode().split() if softdeps else []:
            add(d)
        order[name] = data
    for name in wanted:
        add(name)
    return list(order.items())


def _initramfs(kernel, where, init):
    root = os.path.join(where, 'root')
    os.makedirs(os.path.join(root, 'bin'))
    busybox = shutil.which('busybox')
    shutil.copy(busybox, os.path.join(root, 'bin', 'busybox'))
    for name in ('sh', 'mkdir', 'mount', 'cat', 'insmod', 'chroot', 'poweroff', 'ifconfig', 'echo'):
        os.symlink('busybox', os.path.join(root, 'bin', name))
    names = []
    for name, data in _load_order(kernel, MODULES):
        with open(os.path.join(root, name + '.ko'), 'wb') as f:
            f.write(data)
        names.append(f'/{name}.ko')
    with open(os.path.join(root, 'order'), 'w', encoding='ascii') as f:
        f.write('\n'.join(names) + '\n')
    with open(os.path.join(root, 'init'), 'w', encoding='utf-8') as f:
        f.write(init)
    os.chmod(os.path.join(root, 'init'), 0o755)
    listing = subprocess.run(['find', '.'], cwd=root, stdout=subprocess.PIPE, check=True).stdout
    path = os.path.join(where, 'initrd')
    with open(path, 'wb') as f:
        subprocess.run(['cpio', '--quiet', '-o', '-H', 'newc'], cwd=root, input=listing, stdout=f, check=True)
    return path


def run(kernel, argv, timeout, env=None, memory='2G', append=''):
    """Boots kernel, runs argv as root in a tree that looks like this one, and ends. Returns (its output, the kernel's
    messages, exit status or None when it did not come to an end)."""
    # One processor: with two, the emulation loses patches of running code that BPF and static keys make.
    env = {'PATH': '/usr/sbin:/usr/bin:/sbin:/bin', 'HOME': '/tmp', 'LC_ALL': 'C.UTF-8', **(env or {})}
    seen = {os.path.realpath(env[k]) for k in ('FIRN_BUILD', 'FIRN_SOURCE') if k in env}
    hidden = sorted(d for d in seen if d.startswith(('/tmp/', '/var/tmp/', '/run/')))
    init = INIT.replace('SEEN', ' '.join(hidden)).replace('ENV', shlex.join(f'{k}={v}' for k, v in env.items())) \
               .replace('COMMAND', shlex.join(argv))
    with tempfile.TemporaryDirectory(prefix='firn-guest-') as d:
        initrd = _initramfs(kernel, d, init)
        vmlinuz, = glob.glob(os.path.join(kernel, 'boot', 'vmlinuz-*'))
        out, console = os.path.join(d, 'out'), os.path.join(d, 'console')
        qemu = subprocess.Popen(
            ['qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max', '-smp', '1', '-m', memory, '-display', 'none',
             '-no-reboot', '-nodefaults', '-kernel', vmlinuz, '-initrd', initrd,
             '-serial', f'file:{console}', '-serial', f'file:{out}',
             '-append', f'console=ttyS0 panic=-1 quiet loglevel=4 {append}',
             '-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap'],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            said = qemu.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired:
            qemu.kill()
            said = qemu.communicate()[0]
        texts = []
        for path in (out, console):
            try:
                with open(path, 'rb') as f:
                    texts.append(f.read().decode(errors='replace').replace('\r', ''))
            except FileNotFoundError:
                texts.append('')
    end = re.search(r'^guest: end (\d+)$', texts[0], re.M)
    return texts[0], texts[1] + said.decode(errors='replace'), int(end.group(1)) if end else None
