#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Ceph's S3 gateway on one node, from Debian's packages radosgw, ceph-mon and ceph-osd, for tests.

    with Radosgw() as s: s.endpoint, s.access_key, s.secret_key ...          (see s3stores.py)

By hand: radosgw.py [--store bluestore] [--dir DIR]   prints what a client needs, ends with its standard input or SIGTERM.

One monitor, one OSD, one radosgw (beast), in the foreground of this process's children, as the user that calls; no systemd,
no manager, nothing below /etc or /var/lib. Own fsid, own configuration, own sockets, free ports from 20000 on, so that any
number may run at once. Objects lie in memory (memstore: quick to start, gone at the end) or, with store='bluestore', in a
file. tls puts it behind TLS (ca_file says whom to trust); virtual makes it find buckets in the host name, below localhost:
curl, which takes every name below localhost as this machine, reaches it so. There is no authentication inside the cluster: it listens on 127.0.0.1 alone. The user is made as the copytool's
document does it, and bucket names with '_' are allowed."""
import argparse
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from firnsite import free_port, wait_for  # noqa: E402
from s3stores import Store, make_certificate  # noqa: E402

ATTEMPTS = 3  # a port that was free may be taken before it is bound
CONF = '''[global]
fsid = {fsid}
mon_host = [v2:127.0.0.1:{mon_port}/0]
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
ms_mon_client_mode = crc
ms_bind_ipv4 = true
ms_bind_ipv6 = false
ms_bind_msgr1 = false
ms_bind_port_min = 20000
ms_bind_port_max = 60000
run_dir = {dir}/run
admin_socket = {dir}/run/$name.asok
pid_file =
log_file = {dir}/log/$name.log
log_to_stderr = false
err_to_stderr = true
mon_cluster_log_to_file = false
crash_dir = {dir}/crash
keyring = {dir}/keyring
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_max_pg_per_osd = 10000
[mon]
mon_data = {dir}/mon
mon_allow_pool_size_one = true
mon_allow_pool_delete = true
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_warn_on_pool_no_redundancy = false
[osd]
osd_data = {dir}/osd
osd_objectstore = {store}
osd_crush_initial_weight = 1
osd_class_update_on_start = false
memstore_device_bytes = {size}
bluestore_block_size = {size}
bluestore_block_path =
bluestore_fsck_on_mount = false
osd_memory_target = 1073741824
bluestore_cache_autotune = false
bluestore_cache_size = 134217728
[client]
rgw_data = {dir}/rgw
rgw_relaxed_s3_bucket_names = true
rgw_dynamic_resharding = false
rgw_enable_lc_threads = false
rgw_enable_usage_log = false
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 10
rgw_gc_processor_max_time = 10
'''


class Radosgw(Store):
    name, host = 'radosgw', '127.0.0.1'
    underscores = True

    def __init__(self, store='memstore', size=16 << 30, directory=None, tls=False, virtual=False):
        begin = time.monotonic()
        self.dir = tempfile.mkdtemp(prefix='firn-radosgw-', dir=directory or os.environ.get('FIRN_TEST_DIR', '/var/tmp'))
        self.procs, self.conf, self.store_kind, self.size = [], os.path.join(self.dir, 'ceph.conf'), store, size
        atexit.register(self.stop)
        if virtual:
            self.host, self.style = 'localhost', 'virtual'
        try:
            if tls:
                self.ca_file, self.certificate, self.key = make_certificate(self.dir, 'localhost')
            self._start_cluster()
            self._start_gateway()
        except BaseException:
            self.log()
            self.stop()
            raise
        self.start_seconds = time.monotonic() - begin

    # -- starting --------------------------------------------------------------------------------------------
    def _start_cluster(self):
        for attempt in range(ATTEMPTS):
            self._prepare()
            try:
                self._spawn('ceph-mon', '-i', 'a')
                self._ceph('-s')
                break
            except RuntimeError:
                self._end_processes()
                if attempt == ATTEMPTS - 1:
                    raise
        osd = str(uuid.uuid4())
        self._ceph('osd', 'new', osd)
        self._run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', osd)
        self._spawn('ceph-osd', '-i', '0')

    def _prepare(self):
        """Fresh directories, ports, configuration and monitor."""
        for name in ('mon', 'osd', 'rgw', 'run', 'log', 'crash'):
            shutil.rmtree(os.path.join(self.dir, name), ignore_errors=True)
            os.mkdir(os.path.join(self.dir, name))
        mon_port, fsid = free_port(), str(uuid.uuid4())
        with open(self.conf, 'w', encoding='ascii') as f:
            f.write(CONF.format(fsid=fsid, mon_port=mon_port, dir=self.dir, store=self.store_kind, size=self.size))
        open(os.path.join(self.dir, 'keyring'), 'w', encoding='ascii').close()
        monmap = os.path.join(self.dir, 'monmap')
        self._run('monmaptool', '--create', '--clobber', '--fsid', fsid, '--addv', 'a', f'[v2:127.0.0.1:{mon_port}/0]', monmap,
                  with_conf=False)
        self._run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', monmap)

    def _start_gateway(self):
        out = self._run('radosgw-admin', 'user', 'create', '--uid=lustre_hsm', '--display-name=lustre_hsm')
        self._run('radosgw-admin', 'user', 'modify', '--uid=lustre_hsm', '--max_buckets=10000')
        key = json.loads(out[out.index('{'):])['keys'][0]
        self.access_key, self.secret_key = key['access_key'], key['secret_key']
        for attempt in range(ATTEMPTS):
            self.port = free_port()
            listen = f'beast endpoint=127.0.0.1:{self.port}'
            if self.ca_file:
                listen = f'beast ssl_endpoint=127.0.0.1:{self.port} ssl_certificate={self.certificate} ssl_private_key={self.key}'
            names = ['--rgw-dns-name', 'localhost'] if self.style == 'virtual' else []
            gateway = self._spawn('radosgw', '-n', f'client.gw{attempt}', '--rgw-frontends', listen, *names)
            if self._answers(gateway):
                return
        raise RuntimeError('radosgw does not answer')

    def _answers(self, gateway, seconds=60):
        def up():
            if gateway.poll() is not None:
                return True
            try:
                return self.request('GET', '/')[0] == 200
            except OSError:
                return False
        wait_for('radosgw', up, seconds)
        return gateway.poll() is None

    def _env(self):
        # Not what a ceph.conf of this machine says, nor another user's arguments.
        return {k: v for k, v in os.environ.items() if not k.startswith('CEPH')}

    def _spawn(self, program, *args):
        with open(os.path.join(self.dir, 'log', program + '.err'), 'ab') as err:
            p = subprocess.Popen([program, '-f', '--conf', self.conf, *args], stdin=subprocess.DEVNULL, stdout=err, stderr=err,
                                 env=self._env(), cwd=self.dir, start_new_session=True)
        self.procs.append(p)
        return p

    def _run(self, *argv, with_conf=True):
        argv = [*argv, '--conf', self.conf] if with_conf else argv
        r = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                           env=self._env(), cwd=self.dir)
        if r.returncode != 0:
            raise RuntimeError(f'{" ".join(argv)}: status {r.returncode}\n{r.stdout}{r.stderr}')
        return r.stdout

    def _ceph(self, *args):
        return self._run('ceph', '--connect-timeout', '20', *args)

    def pids(self):
        return [p.pid for p in self.procs]

    # -- the end -----------------------------------------------------------------------------------------------
    def log(self):
        for name in sorted(os.listdir(os.path.join(self.dir, 'log')) if os.path.isdir(os.path.join(self.dir, 'log')) else ()):
            with open(os.path.join(self.dir, 'log', name), encoding='utf-8', errors='replace') as f:
                print(f'# --- last lines of {name}\n' + ''.join('# ' + line for line in f.readlines()[-8:]))

    def _end_processes(self):
        """The gateway first, the monitor last. Nothing of the cluster is wanted any more, so none is given long."""
        for p in reversed(self.procs):
            p.send_signal(signal.SIGTERM)
            try:
                p.wait(2)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()
        self.procs = []

    def stop(self):
        atexit.unregister(self.stop)
        self._end_processes()
        if os.environ.get('FIRN_TEST_KEEP'):
            print('kept', self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('--store', choices=['memstore', 'bluestore'], default='memstore')
    p.add_argument('--dir', help='where the temporary directory is made')
    a = p.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Radosgw(a.store, directory=a.dir) as s:
        print(f'endpoint={s.endpoint} access_key={s.access_key} secret_key={s.secret_key} region={s.region} '
              f'started_in={s.start_seconds:.1f}s', flush=True)
        sys.stdin.read()


if __name__ == '__main__':
    main()
