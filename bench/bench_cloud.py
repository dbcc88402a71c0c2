#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Archive to and restore from an S3 store, beside rclone and s3cmd (Debian's), in one run: same store, same data, the same file
system, in turns; ratios of medians, and what each side took: CPU seconds and peak memory.

  bench/bench_cloud.py [compressible] [incompressible] [small] [--full] [--rounds N] [--large MiB] [--files N]
                       [--side lhsmtool|firnd] [--store firn|radosgw|s3rver] [--peer rclone] [--peer s3cmd]

--full is 4 GiB, 4 GiB and 20,000 files of 16 KiB; the default is a small run that shows that all of it works.

firn's side is lhsmtool_firn on the fake coordinator (tests/lib/lustrefake.py), or firnd with a pool on the store: archive is
premigrate, restore is recall. The store is firn-s3 by default, on a file system in memory when there is room: of the three it
costs least for a request, so it hides the difference least; radosgw and s3rver take more processor time than any client. Its
own processor time is printed. A copy of firn's is compressed, verified against the store's checksum, and complete with times,
owner, mode and attributes; the peers' are not. A restore of firn's is durable when it ends, so a peer's ends with a sync.
rclone runs with as many transfers at once as serve it best here (--transfers 16, and 8 parts of 16 MiB), s3cmd as it comes.

Needs root, a release build in $FIRN_BUILD (default build/bench, made when absent), Debian's packages marked test. Uses about
three times the data below $FIRN_TEST_DIR (default /var/tmp). Never a test: nothing fails here."""
import argparse
import contextlib
import filecmp
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
os.environ.setdefault('FIRN_BUILD', os.path.join(ROOT, 'build', 'bench'))
sys.path.insert(0, os.path.join(ROOT, 'tests', 'lib'))
from cloudsite import CLOUD, CloudSite, store_text  # noqa: E402
from firnsite import program  # noqa: E402
from lustrefake import ARCHIVED, DIRTY, EXISTS, LustreFake  # noqa: E402
from s3stores import store  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
TICK = os.sysconf('SC_CLK_TCK')


class Cost:
    """Seconds of the clock and of processors, and peak memory in KiB, of one step of one side."""

    def __init__(self, seconds, cpu, peak_kib):
        self.seconds, self.cpu, self.peak_kib, self.store_cpu = seconds, cpu, peak_kib, 0.0


def cpu_of(pid):
    with open(f'/proc/{pid}/stat', encoding='ascii', errors='replace') as f:
        fields = f.read().rsplit(')', 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def peak_of(pid):
    with open(f'/proc/{pid}/status', encoding='ascii', errors='replace') as f:
        return next(int(l.split()[1]) for l in f if l.startswith('VmHWM'))


def forget_peak(pid):
    with open(f'/proc/{pid}/clear_refs', 'w', encoding='ascii') as f:
        f.write('5')


WARM = 'import mmap, sys; mmap.mmap(-1, int(sys.argv[1]), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x8000)'  # MAP_POPULATE


def warm_memory(size):
    """On a virtual machine that gives free memory back to its host, whoever first fills the page cache after a pause
    pays for fetching it, some seconds a GiB. So every side finds pages that were touched just now."""
    subprocess.run([sys.executable, '-S', '-c', WARM, str(size)], check=True)


# A program's peak memory counts that of the process that started it, so a small one does.
RUN = """import json, os, sys, time
null = os.open('/dev/null', os.O_RDWR)
begin = time.monotonic()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, null, 0), (os.POSIX_SPAWN_DUP2, null, 1)])
_, status, usage = os.wait4(pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


def measure_process(argv, env, sync_after=False):
    """Runs a program to its end; with sync_after, until what it wrote is durable."""
    r = subprocess.run([sys.executable, '-S', '-E', '-c', RUN, *argv], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                       stderr=subprocess.PIPE, text=True, check=True)
    status, seconds, cpu, peak_kib = json.loads(r.stdout)
    if status != 0:
        raise RuntimeError(f'{" ".join(argv)}: status {status}\n{r.stderr[-3000:]}')
    begin = time.monotonic()
    if sync_after:
        subprocess.run(['sync'], check=True)
    return Cost(seconds + time.monotonic() - begin, cpu, peak_kib)


def measure_daemon(pid, work):
    """Runs work() and takes what the daemon of that pid spent meanwhile, and what work's children did."""
    forget_peak(pid)
    before = cpu_of(pid)
    own = sum(os.times()[2:4])
    begin = time.monotonic()
    work()
    seconds = time.monotonic() - begin
    return Cost(seconds, cpu_of(pid) - before + sum(os.times()[2:4]) - own, peak_of(pid))


# -- sides --------------------------------------------------------------------------------------------------
class Firnd:
    """firnd with a pool on the store."""
    name = 'firnd'

    def __init__(self, stack, real, fs_gib, keys):
        self.site = stack.enter_context(CloudSite(real, settings=keys, fs_size=f'{fs_gib}G'))
        self.site.start_firnd()
        self.mount = self.site.mount
        self.command = [program('firn'), '--config', self.site.conf, 'file']

    @property
    def pid(self):
        return self.site.procs['firnd'].pid

    def run(self, verb, *more):
        subprocess.run(self.command + [verb, '--list', self.list, *more], check=True, stdout=subprocess.DEVNULL)

    def archive(self, paths):
        self.list = os.path.join(self.site.dir, 'list')
        with open(self.list, 'w', encoding='utf-8') as f:
            f.write(''.join(p + '\n' for p in paths))
        return measure_daemon(self.pid, lambda: self.run('premigrate', '-p', CLOUD))

    def release(self, paths):
        self.run('migrate', '-p', CLOUD)

    def restore(self, paths):
        return measure_daemon(self.pid, lambda: self.run('recall'))

    def forget(self, paths):
        """The files count as changed, so that the next round copies them again."""
        for path in paths:
            os.utime(path, ns=(time.time_ns(), time.time_ns()))


class Lhsmtool:
    """lhsmtool_firn on the fake coordinator, whose processor time is its own."""
    name = 'lhsmtool_firn'
    BATCH = 50  # files in one request, as many as an MDT takes

    def __init__(self, stack, real, fs_gib, keys):
        self.lustre = stack.enter_context(LustreFake(size=f'{fs_gib}G', max_requests=2000))
        self.mount = self.lustre.mount
        state = tempfile.mkdtemp(prefix='firn-bench-', dir=os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        stack.callback(shutil.rmtree, state, ignore_errors=True)
        conf = os.path.join(state, 'firn.conf')
        with open(conf, 'w', encoding='utf-8') as f:
            f.write(f'site = "bench";\nstate_dir = "{state}/state";\nrun_dir = "{state}/run";\n{store_text(real, keys)}')
        os.chmod(conf, 0o600)
        with open(os.path.join(state, 'log'), 'wb') as log:
            self.proc = subprocess.Popen([program('lhsmtool_firn'), '-C', conf, self.mount], env=self.lustre.env(),
                                         stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        stack.callback(self.close)
        self.lustre.wait_agents(1)

    def close(self):
        self.proc.terminate()
        self.proc.wait(200)

    def all(self, action, paths):
        for i in range(0, len(paths), self.BATCH):
            self.lustre.request(action, *paths[i:i + self.BATCH])
        self.lustre.ask('wait', **{'for': 'idle'}, timeout_ms=3600 * 1000, timeout=3600)

    def archive(self, paths):
        cost = measure_daemon(self.proc.pid, lambda: self.all('archive', paths))
        wrong = [p for p in paths if self.lustre.state(p) != EXISTS | ARCHIVED]
        if wrong:
            raise RuntimeError(f'{len(wrong)} files are not archived: {wrong[:3]}')
        return cost

    def release(self, paths):
        self.all('release', paths)

    def restore(self, paths):
        return measure_daemon(self.proc.pid, lambda: self.all('restore', paths))

    def forget(self, paths):
        """The files count as changed, so that the next round archives them again."""
        for path in paths:
            self.lustre.set_state(path, set=DIRTY)


class Rclone:
    name = 'rclone'

    def __init__(self, real, place):
        self.env = {k: v for k, v in os.environ.items() if k != 'AWS_CA_BUNDLE'}  # it would refuse to start
        self.env.update({'RCLONE_CONFIG_S_TYPE': 's3', 'RCLONE_CONFIG_S_PROVIDER': 'Other', 'HOME': place,
                         'RCLONE_CONFIG_S_ACCESS_KEY_ID': real.access_key, 'RCLONE_CONFIG_S_REGION': real.region,
                         'RCLONE_CONFIG_S_SECRET_ACCESS_KEY': real.secret_key, 'RCLONE_CONFIG_S_ENDPOINT': real.endpoint,
                         'RCLONE_CONFIG_S_CHUNK_SIZE': '16M', 'RCLONE_CONFIG_S_UPLOAD_CONCURRENCY': '8',
                         'RCLONE_CONFIG_S_NO_CHECK_BUCKET': 'true'})

    def run(self, *args, sync_after=False):
        argv = ['/usr/bin/rclone', '-q', '--retries', '1', '--transfers', '16', '--checkers', '16', *args]
        return measure_process(argv, self.env, sync_after)

    def archive(self, folder, bucket):
        return self.run('copy', folder, f's:{bucket}/r')

    def restore(self, bucket, folder):
        return self.run('copy', f's:{bucket}/r', folder, sync_after=True)


class S3cmd:
    name = 's3cmd'

    def __init__(self, real, place):
        self.conf = os.path.join(place, 's3cfg')
        with open(self.conf, 'w', encoding='ascii') as f:
            f.write(f'''[default]
access_key = {real.access_key}
secret_key = {real.secret_key}
host_base = {real.host}:{real.port}
host_bucket = {real.host}:{real.port}
bucket_location = {real.region}
use_https = False
signature_v2 = False
''')

    def run(self, *args, sync_after=False):
        return measure_process(['/usr/bin/s3cmd', '-c', self.conf, '-q', '--no-progress', *args], os.environ, sync_after)

    def archive(self, folder, bucket):
        return self.run('put', '--recursive', folder + '/', f's3://{bucket}/c/')

    def restore(self, bucket, folder):
        return self.run('get', '--recursive', f's3://{bucket}/c/', folder + '/', sync_after=True)


# -- data ---------------------------------------------------------------------------------------------------
def text_block(rng, size):
    """Text of a log's kind: LZ4 makes about a third of it."""
    words = [rng.randbytes(rng.randrange(2, 6)).hex() for _ in range(400)]
    out = bytearray()
    while len(out) < size:
        out += (' '.join(rng.choices(words, k=200)) + f' {rng.random()}\n').encode()
    return bytes(out[:size])


def make_large(folder, mib, compressible):
    os.makedirs(folder)
    rng = random.Random(7)
    block = text_block(rng, 8 * MIB) if compressible else None
    with open(os.path.join(folder, 'large'), 'wb') as f:
        for i in range(mib // 8 or 1):
            if compressible:
                turn = rng.randrange(len(block))
                f.write((f'{i:15}\n'.encode() + block[turn:] + block[:turn])[:8 * MIB])
            else:
                f.write(os.urandom(8 * MIB))


def make_small(folder, count):
    os.makedirs(folder)
    rng = random.Random(7)
    block = text_block(rng, MIB)
    for i in range(count):
        at = rng.randrange(MIB - 16 * KIB)
        with open(os.path.join(folder, f'f{i:05}'), 'wb') as f:
            f.write(block[at:at + 8 * KIB] + rng.randbytes(8 * KIB))


def paths_below(folder):
    return [os.path.join(d, n) for d, _, names in os.walk(folder) for n in sorted(names)]


# -- one case -----------------------------------------------------------------------------------------------
class Case:
    def __init__(self, what, unit, amount, make, wanted):
        self.what, self.unit, self.amount, self.make, self.wanted = what, unit, amount, make, wanted


def empty_bucket(real, bucket):
    client = real.boto()
    keys = list(real.list_objects(bucket))
    for i in range(0, len(keys), 1000):
        client.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': k} for k in keys[i:i + 1000]], 'Quiet': True})


def same(a, b):
    names = sorted(os.path.relpath(p, a) for p in paths_below(a))
    wrong = filecmp.cmpfiles(a, b, names, shallow=False)[1:]
    if any(wrong):
        raise RuntimeError(f'{b} is not what {a} is: {wrong[0][:3]} {wrong[1][:3]}')


def run_case(case, real, ours, peers, rounds, place):
    source = os.path.join(ours.mount, case.what.split()[0])
    print(f'\n{case.what}: making the data ...', flush=True)
    case.make(source)
    paths = paths_below(source)
    memory = min(sum(os.path.getsize(p) for p in paths) + (1 << 30), 6 << 30)
    costs = {}

    def note(side, step, measure):
        before = sum(cpu_of(p) for p in real.pids())
        cost = measure()
        cost.store_cpu = sum(cpu_of(p) for p in real.pids()) - before
        costs.setdefault((side, step), []).append(cost)
    for n in range(rounds):
        for peer in peers:
            bucket, copy = f'peer-{peer.name}', os.path.join(ours.mount, 'copy')
            warm_memory(memory)
            note(peer.name, 'archive', lambda: peer.archive(source, bucket))
            os.makedirs(copy)
            warm_memory(memory)
            note(peer.name, 'restore', lambda: peer.restore(bucket, copy))
            if n == 0:
                same(source, copy)
            shutil.rmtree(copy)
            empty_bucket(real, bucket)
            subprocess.run(['sync'], check=True)
        warm_memory(memory)
        note('firn', 'archive', lambda: ours.archive(paths))
        if n == 0:
            subprocess.run(['cp', '-r', '--reflink=never', source, os.path.join(place, 'before')], check=True)
        ours.release(paths)
        warm_memory(memory)
        note('firn', 'restore', lambda: ours.restore(paths))
        if n == 0:
            same(os.path.join(place, 'before'), source)
            shutil.rmtree(os.path.join(place, 'before'))
        ours.forget(paths)
    report(case, costs, peers)
    shutil.rmtree(source)


def report(case, costs, peers):
    def median(side, step, of):
        return statistics.median(of(c) for c in costs[side, step])
    for step in ('archive', 'restore'):
        ours = case.amount / median('firn', step, lambda c: c.seconds)
        for side in ['firn'] + [p.name for p in peers]:
            speed = case.amount / median(side, step, lambda c: c.seconds)
            line = (f'{step} {case.what:28} {side:7} {speed:10.1f} {case.unit:8} CPU {median(side, step, lambda c: c.cpu):7.2f} s '
                    f'(store {median(side, step, lambda c: c.store_cpu):6.2f} s)   '
                    f'peak memory {max(c.peak_kib for c in costs[side, step]) / 1024:6.0f} MiB')
            if side != 'firn':
                goal = f', wanted >= {case.wanted}' if side == 'rclone' else ''
                line += f'   firn/{side} {ours / speed:5.2f}{goal}'
            print(line, flush=True)


def cases(a):
    large = a.large
    return [c for c in (
        Case(f'compressible {large} MiB', 'MiB/s', large, lambda d: make_large(d, large, True), 2.0),
        Case(f'incompressible {large} MiB', 'MiB/s', large, lambda d: make_large(d, large, False), 1.0),
        Case(f'small {a.files} x 16 KiB', 'files/s', a.files, lambda d: make_small(d, a.files), 2.0))
        if not a.what or c.what.split()[0] in a.what]


@contextlib.contextmanager
def in_memory(wanted):
    """New sites lie in memory meanwhile, when half of what is free there is enough."""
    free = shutil.disk_usage('/dev/shm').free if os.path.isdir('/dev/shm') else 0
    before = os.environ.get('FIRN_TEST_DIR')
    if wanted < free / 2:
        os.environ['FIRN_TEST_DIR'] = '/dev/shm'
    try:
        yield os.environ.get('FIRN_TEST_DIR') == '/dev/shm'
    finally:
        os.environ.pop('FIRN_TEST_DIR', None)
        if before:
            os.environ['FIRN_TEST_DIR'] = before


def run(a):
    chosen = {c.what.split()[0] for c in cases(a)}
    data_gib = max(a.large if chosen - {'small'} else 0, a.files * 16 // 1024 if 'small' in chosen else 0) // 1024 + 1
    with contextlib.ExitStack() as stack:
        with in_memory((data_gib * 3 + 1) << 30) as memory:
            kw = {'fs_size': f'{data_gib * (a.rounds + 3) + 1}G'} if a.store == 'firn' else {}  # no copy is collected meanwhile
            real = stack.enter_context(store(a.store, **kw))
        print(f'store: {a.store}{" in memory" if memory or a.store == "radosgw" else ""}; {os.cpu_count()} processors; '
              f'firn is {SIDES[a.side].__name__}{", packs of " + a.pack if a.pack != "0" else ""}')
        ours = SIDES[a.side](stack, real, data_gib * 4 + 1,
                               {'chunk_size': '64MiB', 'buffers': 8, 'stall_timeout': 60, **({'pack_size': a.pack} if a.pack != '0' else {})})
        place = os.path.join(ours.mount, 'place')
        os.mkdir(place)
        peers = [{'rclone': Rclone, 's3cmd': S3cmd}[p](real, place) for p in a.peer or ['rclone', 's3cmd']]
        for p in peers:
            real.make_bucket(f'peer-{p.name}')
        for case in cases(a):
            run_case(case, real, ours, peers, a.rounds, place)


SIDES = {'lhsmtool': Lhsmtool, 'firnd': Firnd}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('what', nargs='*', metavar='CASE', help='compressible, incompressible, small; all when none is named')
    p.add_argument('--full', action='store_true', help='4 GiB, 4 GiB, 20,000 files')
    p.add_argument('--rounds', type=int)
    p.add_argument('--large', type=int, metavar='MIB')
    p.add_argument('--files', type=int)
    p.add_argument('--side', choices=list(SIDES), default=list(SIDES)[0])
    p.add_argument('--store', default='firn')
    p.add_argument('--pack', default='0', metavar='SIZE', help='pack_size, for firnd')
    p.add_argument('--peer', action='append', choices=['rclone', 's3cmd'])
    a = p.parse_args()
    a.rounds = a.rounds or (3 if a.full else 1)
    a.large = a.large or (4096 if a.full else 128)
    a.files = a.files or (20000 if a.full else 500)
    build = os.environ['FIRN_BUILD']
    if not os.path.exists(os.path.join(build, 'build.ninja')):
        subprocess.run(['meson', 'setup', build, ROOT, '--buildtype=release'], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(['ninja', '--quiet', '-C', build], check=True, stdout=subprocess.DEVNULL)
    run(a)


if __name__ == '__main__':
    main()
