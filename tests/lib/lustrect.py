# SPDX-License-Identifier: Apache-2.0
"""liblustreapi by ctypes, for tests that play a copytool themselves: the structures as they come, one call a method.

The process must run in the environment of LustreFake.env(); `in_site()` of the self-test starts such a one."""
import ctypes
import os
import select
import struct
import threading

ARCHIVE, RESTORE, REMOVE, CANCEL = 20, 21, 22, 23
RETRY = 2
DELAY_CREATE = 0x2100
ALL = 2 ** 64 - 1


class Item:
    """One action item: the bytes as received, and what they say."""

    def __init__(self, raw, archive_id=0, flags=0):
        self.raw, self.archive_id, self.flags = bytes(raw), archive_id, flags
        self.len, self.action = struct.unpack_from('<II', raw)
        self.fid, self.dfid = raw[8:24], raw[24:40]
        self.extent = struct.unpack_from('<QQ', raw, 40)
        self.cookie, self.gid = struct.unpack_from('<QQ', raw, 56)
        self.data = bytes(raw[72:self.len])

    def with_dfid(self, dfid):
        return Item(self.raw[:24] + dfid + self.raw[40:], self.archive_id, self.flags)


def fid_text(fid):
    return '0x%x:0x%x:0x%x' % struct.unpack('<QII', fid)


def parse(message):
    """(list head as dict, [Item...]) of one message without its kuc header."""
    version, count, compound, flags, archive_id, _ = struct.unpack_from('<IIQQII', message)
    end = message.index(b'\0', 32)
    fsname = message[32:end].decode()
    at = 32 + (len(fsname) + 1 + 7 & ~7)
    items = []
    for _ in range(count):
        length = struct.unpack_from('<I', message, at)[0]
        assert length >= 72 and at + length <= len(message), (length, at, len(message))
        items.append(Item(message[at:at + length], archive_id, flags))
        at += length + 7 & ~7
    assert at == len(message), (at, len(message))
    return dict(version=version, count=count, flags=flags, archive_id=archive_id, fsname=fsname), items


class Api:
    """The library, loaded by its soname. Every call returns what the library returns."""

    def __init__(self, name='liblustreapi.so.1'):
        self.lib = ctypes.CDLL(name, mode=os.RTLD_NOW | os.RTLD_GLOBAL)

    def __getattr__(self, name):
        return getattr(self.lib, 'llapi_' + name)


class Copytool:
    def __init__(self, api, mount, ids=(), flags=0):
        self.api, self.mount, self.ct = api, mount, ctypes.c_void_p()
        array = (ctypes.c_int * max(1, len(ids)))(*ids)
        self.rc = api.hsm_copytool_register(ctypes.byref(self.ct), mount.encode(), len(ids), array if ids else None, flags)

    def fd(self):
        return self.api.hsm_copytool_get_fd(self.ct)

    def ready(self, seconds):
        return bool(select.select([self.fd()], [], [], seconds)[0])

    def recv_raw(self):
        """(rc, message)."""
        hal, size = ctypes.c_void_p(), ctypes.c_int()
        rc = self.api.hsm_copytool_recv(self.ct, ctypes.byref(hal), ctypes.byref(size))
        return rc, ctypes.string_at(hal, size.value) if rc == 0 else b''

    def recv(self, seconds=10):
        """The items of the next message; [] when none comes in time."""
        if not self.ready(seconds):
            return []
        rc, message = self.recv_raw()
        assert rc == 0, rc
        return parse(message)[1]

    def items(self, count, seconds=10):
        """Items until there are count of them."""
        out = []
        while len(out) < count:
            more = self.recv(seconds)
            assert more, f'{len(out)} items of {count}'
            out += more
        return out

    def begin(self, item, flags=None, is_error=False, idx=0):
        """(rc, Action)."""
        hcp = ctypes.c_void_p()
        restore = item.action == RESTORE
        raw = ctypes.create_string_buffer(item.raw, len(item.raw))
        rc = self.api.hsm_action_begin(ctypes.byref(hcp), self.ct, raw, idx if restore else -1,
                                       (flags or 0) if restore else 0, ctypes.c_bool(is_error))
        return rc, Action(self.api, hcp, item) if rc == 0 else None

    def unregister(self):
        return self.api.hsm_copytool_unregister(ctypes.byref(self.ct))


class Action:
    def __init__(self, api, hcp, item):
        self.api, self.hcp, self.item = api, hcp, item

    @staticmethod
    def _extent(offset, length):
        return ctypes.create_string_buffer(struct.pack('<QQ', offset, length), 16)

    def progress(self, offset=0, length=0, total=0, flags=0):
        return self.api.hsm_action_progress(self.hcp, self._extent(offset, length), ctypes.c_uint64(total), flags)

    def end(self, err=0, flags=0, offset=0, length=ALL):
        return self.api.hsm_action_end(ctypes.byref(self.hcp), self._extent(offset, length), flags, err)

    def fd(self):
        return self.api.hsm_action_get_fd(self.hcp)

    def dfid(self):
        out = ctypes.create_string_buffer(16)
        rc = self.api.hsm_action_get_dfid(self.hcp, out)
        return rc, out.raw


class NullStore:
    """A copytool with a dictionary for a store: archives, restores and removes what comes."""

    def __init__(self, tool, store=None, ending=None):
        """ending is shared by tools that share a store: an end and what it makes of the store are one step for restores,
        and until then they are given the copy before. (An archive that fails may have read a file just released.)"""
        self.tool, self.store, self.ending = tool, {} if store is None else store, ending or threading.Lock()

    def archive(self, item):
        rc, action = self.tool.begin(item)
        if rc != 0:
            return rc
        try:
            with os.fdopen(action.fd(), 'rb') as f:
                data = f.read()
        except OSError as e:
            return action.end(e.errno)
        action.progress(0, len(data), len(data))
        with self.ending:
            rc = action.end()
            if rc == 0 or item.fid not in self.store:
                self.store[item.fid] = data
        return rc

    def restore(self, item, layout=None):
        rc, action = self.tool.begin(item, DELAY_CREATE if layout else 0)
        if rc != 0:
            return rc
        fd = action.fd()
        if layout:
            os.setxattr(fd, 'lustre.lov', layout, os.XATTR_CREATE)
        with self.ending:
            data = self.store[item.fid]
        os.pwrite(fd, data, 0)
        os.ftruncate(fd, len(data))
        action.progress(0, len(data), len(data))
        rc = action.end()
        os.close(fd)
        return rc

    def remove(self, item):
        rc, action = self.tool.begin(item)
        if rc != 0:
            return rc
        self.store.pop(item.fid, None)
        return action.end()

    def serve(self, count, seconds=10):
        """Does count items; returns the results of their ends."""
        does = {ARCHIVE: self.archive, RESTORE: self.restore, REMOVE: self.remove}
        return [does[i.action](i) for i in self.tool.items(count, seconds)]
