# SPDX-License-Identifier: Apache-2.0
"""A pack is a ZIP archive: Python's zipfile gives the members back, with their metadata. FIRN_WRITE_PACK is write_pack."""
import contextlib
import os
import random
import stat
import subprocess
import sys
import tempfile
import uuid
import zipfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
import tap  # noqa: E402

SIZES = {0: 0, 1: 1, 16384: 100, 70001: 4096, 3: 2048}  # of data and metadata


class Pack:
    def __init__(self, directory):
        rand = random.Random(1)
        self.directory = directory
        self.path = os.path.join(directory, 'p.pack')
        self.members = {}
        for size, ntext in SIZES.items():
            self.members[str(uuid.UUID(int=rand.getrandbits(128), version=4))] = (
                rand.randbytes(size), b'firn:v=1;%s\n' % (b'x' * ntext) if 100 <= ntext < 4000 else b'y' * ntext)
        for name, (data, text) in self.members.items():
            self.write(name, data)
            self.write(name + '.text', text)
        self.make(self.path, *self.members)

    def write(self, name, data):
        with open(os.path.join(self.directory, name), 'wb') as f:
            f.write(data)

    def make(self, path, *names):
        subprocess.run([os.environ['FIRN_WRITE_PACK'], path, self.directory, *names], check=True)


@contextlib.contextmanager
def pack():
    with tempfile.TemporaryDirectory(prefix='firn-pack-') as directory:
        yield Pack(directory)


def test_each_member_passes_the_check_of_zipfile_and_comes_back(p):
    with zipfile.ZipFile(p.path) as z:
        assert z.testzip() is None
        assert z.namelist() == [name + '.sole' for name in p.members]
        for name, (data, _) in p.members.items():
            assert z.read(name + '.sole') == data, name


def test_the_metadata_of_each_member_are_its_only_extra_field(p):
    with zipfile.ZipFile(p.path) as z:
        for info, (data, text) in zip(z.infolist(), p.members.values()):
            extra = b'fn' + len(text).to_bytes(2, 'little') + text
            assert info.extra == extra
            with open(p.path, 'rb') as f:  # and in front of the data as well
                f.seek(info.header_offset + 30)
                assert f.read(41 + len(extra) + len(data)) == info.filename.encode() + extra + data


def test_members_are_stored_as_files_of_their_owner_alone(p):
    with zipfile.ZipFile(p.path) as z:
        for info in z.infolist():
            assert info.compress_type == zipfile.ZIP_STORED and info.create_system == 3 and info.flag_bits == 0x800
            assert info.external_attr >> 16 == stat.S_IFREG | 0o600
            assert info.date_time == (1980, 1, 1, 0, 0, 0)


def test_the_command_line_of_zipfile_extracts_all(p):
    out = os.path.join(p.directory, 'out')
    subprocess.run([sys.executable, '-m', 'zipfile', '-e', p.path, out], check=True)
    assert sorted(os.listdir(out)) == sorted(name + '.sole' for name in p.members)
    for name, (data, _) in p.members.items():
        with open(os.path.join(out, name + '.sole'), 'rb') as f:
            assert f.read() == data, name


def test_a_pack_with_a_damaged_member_fails_the_check(p):
    last = list(p.members)[3]
    with zipfile.ZipFile(p.path) as z:
        info = z.getinfo(last + '.sole')
    bad = os.path.join(p.directory, 'bad.pack')
    with open(p.path, 'rb') as f:
        data = bytearray(f.read())
    data[info.header_offset + 30 + 41 + len(info.extra) + 5] ^= 1
    with open(bad, 'wb') as f:
        f.write(data)
    with zipfile.ZipFile(bad) as z:
        assert z.testzip() == last + '.sole'


def test_a_pack_without_members_is_an_archive_too(p):
    empty = os.path.join(p.directory, 'empty.pack')
    p.make(empty)
    with zipfile.ZipFile(empty) as z:
        assert z.namelist() == []


if __name__ == '__main__':
    tap.main(globals(), setup=pack)
