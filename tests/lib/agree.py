# SPDX-License-Identifier: Apache-2.0
"""Holds catalogue, files, tapes and stores of a stopped site against each other, with readers of its own:

    problems = agree.check(state_dir, mount, library, contents={path: sha256 hex}, stores={name: reader})
    python3 agree.py STATE_DIR MOUNT LIBRARY

Checked: every job ended; every file's record, marker and blocks fit its state; a file that says it has
copies has one in the catalogue, and that copy is in the index of its tape under the archive id, as long
as the file, with the file's content; every copy that the catalogue calls valid is on its tape or in its store;
every entry of firn's on a tape is in the catalogue. (A store may hold more: what a crash left is garbage there.)"""
import base64
import collections
import ctypes
import glob
import hashlib
import io
import json
import os
import shutil
import sqlite3
import struct
import sys
import tempfile
import urllib.parse
import uuid
import xml.etree.ElementTree as ET
import zipfile

VALID = 0
QUEUED, RUNNING = 0, 1
PREMIGRATED, MIGRATED = 1, 2
BLOCK = 524288

Record = collections.namedtuple('Record', 'state flags archive size mtime ino gen')
StoreEntry = collections.namedtuple('StoreEntry', 'path length member', defaults=[None])
Entry = collections.namedtuple('Entry', 'path length xattrs extents')


# -- tapes ----------------------------------------------------------------------------------------------
class Tape:
    """A cartridge directory of records P_N_R, file marks P_N_F and an end P_N_E, read as LTFS 2.4."""

    def __init__(self, directory):
        self.directory = directory
        self.names = set(os.listdir(directory))
        self.entries = {}
        index = self._newest_index()
        self.generation = None
        if index is not None:
            self._read(index)

    def _record(self, partition, block):
        with open(os.path.join(self.directory, f'{partition}_{block}_R'), 'rb') as f:
            return f.read()

    def _newest_index(self):
        """The last index on the data partition: records behind a file mark, closed by one."""
        blocks = sorted((int(n.split('_')[1]) for n in self.names if n.startswith('1_') and n.endswith('_R')), reverse=True)
        for n in blocks:
            if f'1_{n - 1}_F' not in self.names or not self._record(1, n).startswith(b'<?xml'):
                continue
            text, k = b'', n
            while f'1_{k}_R' in self.names:
                text += self._record(1, k)
                k += 1
            if f'1_{k}_F' not in self.names:
                continue
            try:
                root = ET.fromstring(text)
            except ET.ParseError:
                continue
            if root.tag == 'ltfsindex':
                return root
        return None

    @staticmethod
    def _name(element):
        text = element.text or ''
        return urllib.parse.unquote_to_bytes(text) if element.get('percentencoded') == 'true' else text.encode()

    def _read(self, root):
        self.generation = int(root.findtext('generationnumber'))
        todo = [(b'', root.find('directory'))]
        while todo:
            prefix, directory = todo.pop()
            for d in directory.findall('contents/directory'):
                todo.append((prefix + b'/' + self._name(d.find('name')), d))
            for f in directory.findall('contents/file'):
                path = prefix + b'/' + self._name(f.find('name'))
                self.entries[path] = Entry(path, int(f.findtext('length')), self._xattrs(f), self._extents(f))

    @staticmethod
    def _xattrs(f):
        out = {}
        for x in f.findall('extendedattributes/xattr'):
            v = x.find('value')
            raw = v.text or ''
            out[x.findtext('key')] = base64.b64decode(raw) if v.get('type') == 'base64' else raw.encode()
        return out

    @staticmethod
    def _extents(f):
        out = []
        for e in f.findall('extentinfo/extent'):
            out.append((int(e.findtext('fileoffset')), e.findtext('partition'), int(e.findtext('startblock')),
                        int(e.findtext('byteoffset')), int(e.findtext('bytecount'))))
        return sorted(out)

    def data(self, entry):
        """Yields the bytes of entry, sparse parts as zeros."""
        at = 0
        for offset, partition, block, byte, count in entry.extents:
            yield b'\0' * (offset - at)
            at = offset + count
            p = 0 if partition == 'a' else 1
            while count > 0:
                piece = self._record(p, block)[byte:byte + count]
                if not piece:
                    raise ValueError(f'{self.directory}: block {block} is shorter than its extent')
                yield piece
                count -= len(piece)
                block, byte = block + 1, 0
        yield b'\0' * (entry.length - at)

    def sha256(self, entry):
        h = hashlib.sha256()
        for piece in self.data(entry):
            h.update(piece)
        return h.hexdigest()


def tapes(library):
    out = {}
    for root, dirs, _ in os.walk(library):
        for d in list(dirs):
            path = os.path.join(root, d)
            if not os.path.islink(path) and glob.glob(os.path.join(path, '1_*_E')):
                out[d] = Tape(path)
                dirs.remove(d)
    return out


# -- stores ---------------------------------------------------------------------------------------------
class DirStore:
    """Copies as plain files: <2 hex digits>/<id>, beside each <id>.json, which makes it a copy."""

    def __init__(self, directory):
        self.directory = directory

    def entry(self, archive, key, place, length):
        """The copy of archive at key, in a pack at that place with that length of header and data, or None."""
        del place, length
        path = os.path.join(self.directory, key)
        try:
            with open(path + '.json', encoding='utf-8') as f:
                side = json.load(f)
        except OSError:
            return None
        if side['id'] != str(archive) or os.path.getsize(path) != int(side['size']):
            return None
        return StoreEntry(key, int(side['size']))

    def sha256(self, entry):
        with open(os.path.join(self.directory, entry.path), 'rb') as f:
            return hashlib.sha256(f.read()).hexdigest()


def lz4_frame(data, size):
    """The size bytes that an LZ4 frame holds, by the system's own liblz4."""
    lib = ctypes.CDLL('liblz4.so.1')
    lib.LZ4F_decompress.restype = ctypes.c_size_t
    context = ctypes.c_void_p()
    lib.LZ4F_createDecompressionContext(ctypes.byref(context), 100)
    out = ctypes.create_string_buffer(size + 1)
    done = taken = 0
    try:
        while taken < len(data):
            room, left = ctypes.c_size_t(size + 1 - done), ctypes.c_size_t(len(data) - taken)
            rc = lib.LZ4F_decompress(context, ctypes.byref(out, done), ctypes.byref(room), data[taken:], ctypes.byref(left),
                                     None)
            if lib.LZ4F_isError(ctypes.c_size_t(rc)) or (room.value == 0 and left.value == 0):
                raise ValueError('not an LZ4 frame')
            done, taken = done + room.value, taken + left.value
    finally:
        lib.LZ4F_freeDecompressionContext(context)
    return out.raw[:done]


def own(meta):
    """What firn says of an object: the list in its metadata, as a dictionary."""
    return dict(item.split('=', 1) for item in meta.get('firn', '').split(';') if item)


class S3Store:
    """Copies as chunks in buckets: a manifest that names the chunks, or one object that is all of the copy."""

    def __init__(self, client):
        self.client = client

    def entry(self, archive, key, place, length):
        bucket, _, name = key.partition('/')
        if name.endswith('.pack'):
            return self._packed(archive, key, place, length)
        try:
            head = self.client.head_object(Bucket=bucket, Key=name)
        except self.client.exceptions.ClientError:
            return None
        meta = head['Metadata']
        if own(meta).get('archive') != str(archive):
            return None
        return StoreEntry(key, int(own(meta)['size']))

    def _packed(self, archive, key, place, length):
        """entry() for a member of a pack, which any reader of ZIP archives opens."""
        try:
            pack = zipfile.ZipFile(io.BytesIO(self._get(*key.split('/', 1))[1]))
            info = pack.getinfo(f'{archive}.sole')
        except (self.client.exceptions.ClientError, zipfile.BadZipFile, KeyError):
            return None
        head = 30 + len(info.filename) + len(info.extra)
        if info.header_offset != place & ((1 << 29) - 1) or head + info.compress_size != length:
            return None
        meta = dict(line.split(':', 1) for line in info.extra[4:].decode().splitlines())
        if own(meta).get('archive') != str(archive):
            return None
        return StoreEntry(key, int(own(meta)['size']), (meta, pack.read(info)))

    def _get(self, bucket, key):
        r = self.client.get_object(Bucket=bucket, Key=key)
        return r['Metadata'], r['Body'].read()

    def _chunks(self, entry):
        """(bytes, extents) of each chunk."""
        meta, data = entry.member or self._get(*entry.path.split('/', 1))
        facts = own(meta)
        if facts['closes'] == 'sole':
            yield self._plain(facts['codec'], data, int(facts['plain'])), facts.get('extents')
            return
        for chunk in json.loads(data)['chunks']:
            _, stored = self._get(chunk['bucket'], urllib.parse.unquote(chunk['key']))
            yield self._plain(chunk['codec'], stored, int(chunk['plain'])), chunk['extents']

    @staticmethod
    def _plain(codec, data, size):
        return data if codec == 'raw' else lz4_frame(data, size)

    def sha256(self, entry):
        whole = bytearray(entry.length)
        for data, extents in self._chunks(entry):
            at = 0
            for extent in extents.split(',') if extents is not None else [f'0+{len(data)}']:
                off, length = (int(n) for n in extent.split('+')) if extent != '-' else (0, 0)
                whole[off:off + length] = data[at:at + length]
                at += length
        return hashlib.sha256(whole).hexdigest()


# -- files ----------------------------------------------------------------------------------------------
def getxattr(path, name):
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError:
        return None


def record_of(path):
    raw = getxattr(path, 'trusted.firn.hsm')
    if raw is None:
        return None
    if len(raw) != 60 or raw[:4] != b'FIRN':
        return 'damaged'
    state, flags = raw[5], struct.unpack_from('<I', raw, 8)[0]
    size, mtime, ino, gen = struct.unpack_from('<QqQI', raw, 28)
    return Record(state, flags, uuid.UUID(bytes=raw[12:28]), size, mtime, ino, gen)


def has_data(path):
    with open(path, 'rb') as f:
        try:
            os.lseek(f.fileno(), 0, os.SEEK_DATA)
            return True
        except OSError:
            return False


# -- all three ------------------------------------------------------------------------------------------
class Check:
    def __init__(self, state_dir, mount, library, contents, stores):
        self.problems = []
        self.mount, self.contents = mount, contents or {}
        self.tapes = tapes(library)
        self.stores = stores or {}
        self._load(state_dir)

    def say(self, text):
        self.problems.append(text)

    def _load(self, state_dir):
        """Copies of archives by id, from a copy of the database (its WAL included)."""
        with tempfile.TemporaryDirectory(prefix='firn-agree-') as tmp:
            for f in glob.glob(os.path.join(state_dir, 'catalog', '*')):
                if os.path.isfile(f):
                    shutil.copy(f, tmp)
            db = [f for f in os.listdir(tmp) if f.endswith('.db') or f.endswith('.sqlite')]
            con = sqlite3.connect(os.path.join(tmp, db[0]))
            self.volumes = {r[0]: r[1:] for r in con.execute('SELECT id, barcode, state, generation FROM volumes')}
            self.archives = {uuid.UUID(bytes=r[0]): r[1:] for r in con.execute('SELECT archive, size, path FROM archives')}
            self.copies = collections.defaultdict(list)
            for r in con.execute('SELECT a.archive, c.copy_no, c.state, c.volume, c.path, c.block, c.boff, c.length '
                                 'FROM copies c JOIN archives a ON a.n = c.archive'):
                self.copies[uuid.UUID(bytes=r[0])].append(r[1:])
            self.jobs = con.execute('SELECT task, state, path FROM jobs WHERE state IN (0, 1)').fetchall()
            self.tasks = con.execute('SELECT id, status FROM tasks WHERE status < 4').fetchall()
            con.close()

    def run(self):
        for task, _, path in self.jobs:
            self.say(f'job of task {task} for {path} has no result')
        for task, status in self.tasks:
            self.say(f'task {task} is not closed (status {status})')
        for archive, copies in self.copies.items():
            for c in copies:
                if c[1] == VALID:
                    self._copy(archive, c)
        self._entries()
        for root, dirs, files in os.walk(self.mount):
            dirs[:] = [d for d in dirs if d != 'lost+found']
            for f in files:
                self._file(os.path.join(root, f))
        return self.problems

    def _copy(self, archive, c):
        _, _, volume, path, block, boff, length = c
        barcode = self.volumes.get(volume, ('?',))[0]
        if barcode in self.stores:
            return self._stored(archive, barcode, path, length, (block, boff))
        tape = self.tapes.get(barcode)
        if tape is None:
            self.say(f'{archive}: its copy is on {barcode}, which is not in the library')
            return None
        entry = tape.entries.get(os.fsencode(path))
        if entry is None or entry.xattrs.get('firn.archive') != str(archive).encode():
            self.say(f'{archive}: {barcode} has no copy of it at {path}')
            return None
        if entry.length != length:
            self.say(f'{archive}: {length} bytes in the catalogue, {entry.length} on {barcode}')
        if entry.extents and entry.extents[0][2:4] != (block, boff):
            self.say(f'{archive}: block {block}+{boff} in the catalogue, {entry.extents[0][2:4]} on {barcode}')
        return tape, entry

    def _stored(self, archive, name, key, length, place):
        entry = self.stores[name].entry(archive, key, *place)
        if entry is None:
            self.say(f'{archive}: {name} has no copy of it at {key}')
            return None
        if entry.length != length:
            self.say(f'{archive}: {length} bytes in the catalogue, {entry.length} on {name}')
        return self.stores[name], entry

    def _entries(self):
        for barcode, tape in self.tapes.items():
            for entry in tape.entries.values():
                raw = entry.xattrs.get('firn.archive')
                if raw is None:
                    continue
                on = [c[2] for c in self.copies.get(uuid.UUID(raw.decode()), [])]
                if barcode not in [self.volumes[v][0] for v in on if v in self.volumes]:
                    self.say(f'{barcode}: {os.fsdecode(entry.path)} is not in the catalogue')

    def _file(self, path):
        st = os.lstat(path)
        rec = record_of(path)
        marker = getxattr(path, 'security.bpf.firn.stub') is not None
        want = self.contents.get(path)
        if rec == 'damaged':
            self.say(f'{path}: damaged record')
            return
        migrated = rec is not None and rec.state == MIGRATED and rec.ino == st.st_ino
        if migrated != marker:
            self.say(f'{path}: record {rec} and marker {marker} disagree')
        if rec is not None and rec.ino == st.st_ino:
            if rec.flags != 0:
                self.say(f'{path}: flags {rec.flags} of an interrupted move are left')
            if migrated and (rec.size, rec.mtime) != (st.st_size, st.st_mtime_ns):
                self.say(f'{path}: a stub whose size or mtime is not that of its record')
            if migrated and has_data(path):
                self.say(f'{path}: a stub with blocks of data')
            if migrated or (rec.size, rec.mtime) == (st.st_size, st.st_mtime_ns):
                self._has_copy(path, rec, want)
        if want is not None and not migrated:
            with open(path, 'rb') as f:
                if hashlib.sha256(f.read()).hexdigest() != want:
                    self.say(f'{path}: the data on disk is not what was written')

    def _has_copy(self, path, rec, want):
        good = [c for c in self.copies.get(rec.archive, []) if c[1] == VALID]
        if not good:
            self.say(f'{path}: the catalogue has no valid copy of {rec.archive}')
        for c in good:
            place = self._copy(rec.archive, c)
            if place is not None and want is not None and place[0].sha256(place[1]) != want:
                self.say(f'{path}: the copy at {c[4]} is not what was written')


def check(state_dir, mount, library, contents=None, stores=None):
    """The list of what does not agree; empty when all is well. firnd must be stopped."""
    return Check(state_dir, mount, library, contents, stores).run()


if __name__ == '__main__':
    found = check(*sys.argv[1:4])
    print('\n'.join(found) if found else 'catalogue, files and tapes agree')
    sys.exit(1 if found else 0)
