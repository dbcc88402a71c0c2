#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: each figure beside a named peer from the same run, in interleaved rounds, as a ratio of medians.

  bench/bench.py [s3] [migrate] [scan] [--rounds N] [--files N]

Needs root, a release build in $FIRN_BUILD (default build/bench, made when absent), and Debian's packages
marked bench. Uses about 6 GiB below $FIRN_TEST_DIR (default /var/tmp). Never a test: nothing fails here."""
import argparse
import mmap
import os
import shutil
import statistics
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('FIRN_BUILD', os.path.join(ROOT, 'build', 'bench'))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))
from firnsite import Site, free_port, program, wait_for  # noqa: E402

KIB, MIB = 1024, 1024 * 1024


def row(what, unit, firn, peer_name, peer, wanted=None, higher_is_better=True):
    a, b = statistics.median(firn), statistics.median(peer)
    ratio = a / b if higher_is_better else b / a
    goal = f'   wanted >= {wanted}' if wanted else ''
    print(f'{what:28} firn {a:12.1f} {unit:8} {peer_name:10} {b:12.1f} {unit:8} ratio {ratio:5.2f}{goal}', flush=True)


def peak_rss_kib(pid):
    with open(f'/proc/{pid}/status', encoding='ascii') as f:
        return next(int(l.split()[1]) for l in f if l.startswith('VmHWM'))


class Nginx:
    """nginx with sendfile serving, and with WebDAV PUT accepting, the same directory."""

    def __init__(self, site, root):
        self.port = free_port()
        conf = os.path.join(site.dir, 'nginx.conf')
        with open(conf, 'w', encoding='ascii') as f:
            f.write(f'''daemon off; worker_processes auto; pid {site.dir}/nginx.pid; error_log stderr crit;
user root; events {{ worker_connections 1024; }}
http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_max_body_size 0;
  client_body_temp_path {root}/.nginx-tmp; server {{ listen 127.0.0.1:{self.port}; root {root};
  location / {{ dav_methods PUT; create_full_put_path on; }} }} }}''')
        os.makedirs(os.path.join(root, '.nginx-tmp'), exist_ok=True)
        self.proc = subprocess.Popen(['nginx', '-c', conf, '-p', site.dir])
        import socket

        def up():
            with socket.socket() as s:
                return s.connect_ex(('127.0.0.1', self.port)) == 0
        wait_for('nginx', up)

    def close(self):
        self.proc.terminate()
        self.proc.wait()


def wrk(url_base, targets, connections, seconds, method='GET', body=0, unique=False):
    """Requests a second of wrk over the given request targets."""
    script = f'/tmp/firn-wrk-{os.getpid()}.lua'
    with open(script, 'w', encoding='ascii') as f:
        f.write('local t = {' + ','.join('"' + t + '"' for t in targets) + '}\nlocal n = 0\n')
        f.write(f'wrk.method = "{method}"\n')
        if body:
            f.write(f'wrk.body = string.rep("x", {body})\n')
        f.write('request = function() n = n % #t + 1; return wrk.format(nil, t[n]) end\n')
    r = subprocess.run(['wrk', '-t1', f'-c{connections}', f'-d{seconds}s', '-s', script, url_base],
                       stdout=subprocess.PIPE, text=True, check=True)
    os.unlink(script)
    if 'Non-2xx' in r.stdout:
        print(r.stdout)
    return float(next(l.split()[1] for l in r.stdout.splitlines() if l.startswith('Requests/sec')))


def presigned(client, op, bucket, keys):
    return [client.generate_presigned_url(op, Params={'Bucket': bucket, 'Key': k}, ExpiresIn=7200).split('/', 3)[3] for k in keys]


def bench_s3(rounds):
    with Site(fs_size='6G') as site:
        site.start()
        account = site.account('bench')
        site.firn('bucket', 'create', 'bench', '--owner', 'bench')
        client = site.boto(account, signature_version='s3v4')
        for i in range(100):
            client.put_object(Bucket='bench', Key=f'small{i}', Body=os.urandom(4 * KIB))
        for i in range(8):
            client.put_object(Bucket='bench', Key=f'large{i}', Body=os.urandom(16 * MIB))
        root = site.path('bench')
        peer = os.path.join(site.mount, 'peer')
        os.mkdir(peer)
        for name in os.listdir(root):
            if name.startswith(('small', 'large')):
                shutil.copyfile(os.path.join(root, name), os.path.join(peer, name))
        nginx = Nginx(site, peer)
        ours, theirs = site.endpoint, f'http://127.0.0.1:{nginx.port}'
        cases = [
            ('GET 4 KiB, 64 connections', 'GET', 'get_object', [f'small{i}' for i in range(100)], 64, 0, 0.5),
            ('GET 16 MiB, 4 connections', 'GET', 'get_object', [f'large{i}' for i in range(8)], 4, 0, 0.9),
            ('PUT 4 KiB, 16 connections', 'PUT', 'put_object', [f'new{i}' for i in range(5000)], 16, 4 * KIB, None),
            ('PUT 16 MiB, 4 connections', 'PUT', 'put_object', [f'big{i}' for i in range(8)], 4, 16 * MIB, None),
        ]
        for what, method, op, keys, connections, body, wanted in cases:
            a, b = [], []
            for _ in range(rounds + 1):  # the first round warms up
                a.append(wrk(ours, ['/' + t for t in presigned(client, op, 'bench', keys)], connections, 4, method, body))
                b.append(wrk(theirs, ['/' + k for k in keys], connections, 4, method, body))
            row(what, 'req/s', a[1:], 'nginx', b[1:], wanted)
        print('(firn verifies a presigned SigV4 request each time, and a PUT is durable before its answer; nginx does neither)')
        print(f'firn-s3 peak memory {peak_rss_kib(site.procs["firn-s3"].pid) / 1024:.0f} MiB')
        nginx.close()


def warm_memory():
    """On a virtual machine that gives free memory back to its host, whoever first fills the page cache after a pause
    pays for fetching it, some seconds a GiB. So both peers find pages that were touched just now."""
    size = 5 << 30
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x8000):  # MAP_POPULATE
        pass


def timed(*steps):
    warm_memory()
    start = time.monotonic()
    for argv in steps:
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - start


def migrate_case(site, what, paths, total, rounds, wanted):
    ours, theirs, recalls, backs = [], [], [], []
    copy = os.path.join(site.dir, 'copy')
    listing = os.path.join(site.dir, 'list')
    with open(listing, 'w', encoding='utf-8') as f:
        f.write(''.join(p + '\n' for p in paths))
    firn = [program('firn'), '--config', site.conf, 'file']
    for _ in range(rounds):
        shutil.rmtree(copy, ignore_errors=True)
        subprocess.run(['sync'], check=True)
        theirs.append(total / MIB / timed(['cp', '-r', os.path.dirname(paths[0]), copy], ['sync']))
        shutil.rmtree(copy)
        subprocess.run(['sync'], check=True)
        ours.append(total / MIB / timed(firn + ['premigrate', '--list', listing, '-p', 'pool1@lib1']))
        subprocess.run(firn + ['migrate', '--list', listing, '-p', 'pool1@lib1'], check=True, stdout=subprocess.DEVNULL)
        recalls.append(total / MIB / timed(firn + ['recall', '--resident', '--list', listing]))
        backs.append(total / MIB / timed(['cp', '-r', os.path.dirname(paths[0]), copy], ['sync']))
    row(f'migrate {what}', 'MiB/s', ours, 'cp+sync', theirs, wanted)
    row(f'recall {what}', 'MiB/s', recalls, 'cp+sync', backs)


def bench_migrate(rounds):
    with Site(fs_size='20G', cartridge_size='40GiB', cartridges=4) as site:
        site.start_firnd()
        site.assign('pool1', 4)
        small, large = os.path.join(site.mount, 'small'), os.path.join(site.mount, 'large')
        os.mkdir(small)
        os.mkdir(large)
        for i in range(10000):
            with open(os.path.join(small, f'f{i}'), 'wb') as f:
                f.write(os.urandom(16 * KIB))
        with open(os.path.join(large, 'f'), 'wb') as f:
            for _ in range(2048):
                f.write(os.urandom(MIB))
        idle = peak_rss_kib(site.procs['firnd'].pid)
        migrate_case(site, '10,000 x 16 KiB', [os.path.join(small, f'f{i}') for i in range(10000)], 10000 * 16 * KIB, rounds, 0.7)
        migrate_case(site, '1 x 2 GiB', [os.path.join(large, 'f')], 2048 * MIB, rounds, 0.7)
        with open(os.path.join(large, 'f'), 'ab') as f:
            for _ in range(6144):
                f.write(os.urandom(MIB))
        after_2g = peak_rss_kib(site.procs['firnd'].pid)
        path = os.path.join(large, 'f')
        site.firn('file', 'migrate', path, '-p', 'pool1@lib1', timeout=1200)
        site.firn('file', 'recall', path, timeout=1200)
        print(f'firnd peak memory: {idle / 1024:.0f} MiB idle, {after_2g / 1024:.0f} MiB after the files above, '
              f'{peak_rss_kib(site.procs["firnd"].pid) / 1024:.0f} MiB after migrate and recall of 8 GiB')


def bench_scan(rounds, files):
    with Site(fs_size='10G', mkfs=['-N', str(files + files // 500 + 10000)]) as site:
        site.start_firnd()
        tree = os.path.join(site.mount, 'tree')
        print(f'making {files} files ...', flush=True)
        subprocess.run(['python3', '-c', f'''
import os
for d in range({files} // 1000):
    p = "{tree}/%04d" % d
    os.makedirs(p)
    for i in range(1000):
        fd = os.open("%s/f%d" % (p, i), os.O_CREAT | os.O_WRONLY)
        os.write(fd, b"x")
        os.close(fd)
'''], check=True)
        policy = os.path.join(ROOT, 'examples', 'policies', 'mig-tagged.policy')
        out = os.path.join(site.dir, 'find.out')
        ours, theirs = [], []
        for _ in range(rounds + 1):
            begin = time.monotonic()
            site.firn('policy', 'run', 'fs1', '-P', policy, '--dry-run', timeout=600)
            ours.append(files / (time.monotonic() - begin))
            begin = time.monotonic()
            with open(out, 'wb') as f:
                subprocess.run(['find', site.mount, '-printf', '%i %m %u %s %b %T@ %A@ %C@ %p\\n'], stdout=f, check=True)
            theirs.append(files / (time.monotonic() - begin))
        row(f'policy scan of {files} files', 'files/s', ours[1:], 'find', theirs[1:], 1.5)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', nargs='*', choices=[[], 's3', 'migrate', 'scan'])
    p.add_argument('--rounds', type=int, default=3)
    p.add_argument('--files', type=int, default=1000000)
    a = p.parse_args()
    subprocess.run([os.path.join(ROOT, 'scripts', 'install-packages'), 'build', 'run', 'bench'], check=True)
    if not os.path.exists(os.path.join(os.environ['FIRN_BUILD'], 'build.ninja')):
        subprocess.run(['meson', 'setup', os.environ['FIRN_BUILD'], ROOT, '--buildtype=release', '-Dtests=false'], check=True,
                       stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '--quiet', '-C', os.environ['FIRN_BUILD']], check=True, stdout=subprocess.DEVNULL)
    what = a.what or ['s3', 'migrate', 'scan']
    if 's3' in what:
        bench_s3(a.rounds)
    if 'migrate' in what:
        bench_migrate(a.rounds)
    if 'scan' in what:
        bench_scan(a.rounds, a.files)


main()
