# SPDX-License-Identifier: Apache-2.0
"""Servers that give a folder to the network, on a free port of loopback, each with a client:

    with Samba(folder, scratch) as share:
        share.get('name', '/tmp/copy')
"""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from firnsite import free_port, wait_for  # noqa: E402


class Server:
    replaces = True  # its client can put a file over another

    def __init__(self, folder, scratch):
        self.folder, self.dir, self.port = folder, os.path.join(scratch, type(self).__name__), free_port()
        for d in ('', 'private', 'run', 'log'):
            os.makedirs(os.path.join(self.dir, d))
        self.conf = os.path.join(self.dir, 'conf')
        with open(self.conf, 'w', encoding='utf-8') as f:
            f.write(self.text())

    def __enter__(self):
        with open(os.path.join(self.dir, 'out'), 'wb') as out:
            # smbd ends by a signal to its process group, which must not be the test's.
            self.proc = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True)
        try:
            wait_for(type(self).__name__, self.answers, 60)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.proc.terminate()
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()

    def answers(self):
        assert self.proc.poll() is None, f'{self.argv()} ended'
        return self.client(self.list_argv(), check=False).returncode == 0

    @staticmethod
    def client(argv, check=True, timeout=60):
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=check, timeout=timeout)

    def list(self):
        return self.client(self.list_argv()).stdout

    def get(self, name, to, timeout=60):
        self.client(self.get_argv(name, to), timeout=timeout)
        with open(to, 'rb') as f:
            return f.read()

    def put(self, source, name):
        self.client(self.put_argv(source, name))

    def start_get(self, name, to):
        return subprocess.Popen(self.get_argv(name, to), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                stderr=subprocess.DEVNULL)


class Samba(Server):
    def text(self):
        return f'''[global]
  server role = standalone server
  smb ports = {self.port}
  interfaces = 127.0.0.1/8
  bind interfaces only = yes
  map to guest = Bad User
  guest account = root
  private dir = {self.dir}/private
  lock directory = {self.dir}/run
  state directory = {self.dir}/run
  cache directory = {self.dir}/run
  pid directory = {self.dir}/run
  ncalrpc dir = {self.dir}/run/ncalrpc
  log file = {self.dir}/log/smbd
  disable netbios = yes
  load printers = no
  printing = bsd
  printcap name = /dev/null
[share]
  path = {self.folder}
  guest ok = yes
  read only = no
'''

    def argv(self):
        return ['smbd', '-F', '--no-process-group', '-s', self.conf]

    def command(self, text):
        return ['smbclient', '//127.0.0.1/share', '-p', str(self.port), '-N', '-s', self.conf, '-c', text]

    def list_argv(self):
        return self.command('ls')

    def get_argv(self, name, to):
        return self.command(f'get {name} {to}')

    def put_argv(self, source, name):
        return self.command(f'put {source} {name}')


class Ganesha(Server):
    """NFS 4 by nfs-ganesha, which serves from a process like any other."""
    replaces = False

    def text(self):
        return f'''NFS_CORE_PARAM {{ NFS_Port = {self.port}; Protocols = 4; Bind_addr = 127.0.0.1; Enable_NLM = false;
  Enable_RQUOTA = false; NSM_Use_Caller_Name = false; }}
NFSV4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {self.dir}/run; }}
EXPORT {{ Export_Id = 77; Path = {self.folder}; Pseudo = /export; Access_Type = RW; Squash = No_Root_Squash;
  SecType = sys, none; FSAL {{ Name = VFS; }} }}
LOG {{ Default_Log_Level = EVENT; }}
'''

    def argv(self):
        return ['ganesha.nfsd', '-F', '-f', self.conf, '-L', os.path.join(self.dir, 'log', 'ganesha'), '-p',
                os.path.join(self.dir, 'run', 'pid'), '-N', 'NIV_EVENT']

    def url(self, name=''):
        return f'nfs://127.0.0.1/export/{name}?version=4&nfsport={self.port}&uid=0&gid=0'

    def list_argv(self):
        return ['nfs-ls', self.url()]

    def get_argv(self, name, to):
        return ['nfs-cp', self.url(name), to]

    def put_argv(self, source, name):
        return ['nfs-cp', source, self.url(name)]
