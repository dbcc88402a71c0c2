#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Reads a cartridge directory without any code of firn's and checks the rules of LTFS 2.4.

usage: ltfs_verify.py CARTRIDGE_DIR [--extract DIR] [--no-mam]

Prints the volume and its files with xattrs and extents as JSON. Exit status 0: every rule holds; 1:
rules are broken, one line each on standard error; 2: usage. --extract writes every file below DIR.
--no-mam does not ask for coherency attributes (a cartridge whose process was killed has old ones).
"""
import argparse
import base64
import hashlib
import json
import os
import re
import sys
import urllib.parse
import xml.etree.ElementTree as ET
import zlib

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
CREATOR = re.compile(r".+ .+ - .+ - .+")
TIMES = ["creationtime", "changetime", "modifytime", "accesstime", "backuptime"]
INDEX_ORDER = ["creator", "comment", "volumeuuid", "generationnumber", "updatetime", "location",
               "previousgenerationlocation", "allowpolicyupdate", "dataplacementpolicy",
               "highestfileuid", "volumelockstate", "directory"]
DIR_ORDER = ["name", "readonly"] + TIMES + ["fileuid", "extendedattributes", "contents"]
FILE_ORDER = (["name", "length", "readonly"] + TIMES +
              ["openforwrite", "fileuid", "extendedattributes", "extentinfo", "symlink"])
EXTENT_ORDER = ["fileoffset", "partition", "startblock", "byteoffset", "bytecount"]
HASHES = {"ltfs.hash.md5sum": "md5", "ltfs.hash.sha1sum": "sha1", "ltfs.hash.sha256sum": "sha256",
          "ltfs.hash.sha512sum": "sha512"}


class Broken(Exception):
    """A rule without which nothing further can be read."""


class Volume:
    def __init__(self, path, mam):
        self.path = path
        self.mam = mam
        self.broken = []
        self.blocks = [{}, {}]
        self.eod = [0, 0]
        self.uids = {}
        self.files = []
        self.directories = []

    def rule(self, ok, text):
        if not ok:
            self.broken.append(text)
        return ok

    # ---- the directory as two partitions ----

    def read_directory(self):
        ends = [[], []]
        for name in os.listdir(self.path):
            m = re.fullmatch(r"([01])_(0|[1-9]\d*)_([RFE])", name)
            if m is None:
                continue
            part, block, kind = int(m[1]), int(m[2]), m[3]
            size = os.path.getsize(os.path.join(self.path, name))
            self.rule((size > 0) == (kind == "R"), f"{name} has {size} bytes")
            if kind == "E":
                ends[part].append(block)
                continue
            self.rule(block not in self.blocks[part], f"block {part}/{block} is there twice")
            self.blocks[part][block] = kind
        for part in (0, 1):
            self.eod[part] = len(self.blocks[part])
            self.rule(sorted(self.blocks[part]) == list(range(self.eod[part])),
                      f"partition {part}: blocks are not numbered without gaps")
            self.rule(ends[part] == [self.eod[part]],
                      f"partition {part}: E files {ends[part]}, expected [{self.eod[part]}]")

    def kind(self, part, block):
        return self.blocks[part].get(block, "E")

    def record(self, part, block):
        if self.kind(part, block) != "R":
            raise Broken(f"block {part}/{block} is no record but {self.kind(part, block)}")
        with open(os.path.join(self.path, f"{part}_{block}_R"), "rb") as f:
            return f.read()

    # ---- labels ----

    def read_label(self, part):
        vol1 = self.record(part, 0)
        want = rb"VOL1[ -~]{6}L {13}LTFS {9} {14} {28}4"
        self.rule(re.fullmatch(want, vol1), f"partition {part}: VOL1 label is wrong")
        self.rule(self.kind(part, 1) == "F" and self.kind(part, 3) == "F",
                  f"partition {part}: blocks 1 and 3 are no file marks")
        root = ET.fromstring(self.record(part, 2))
        self.rule(root.tag == "ltfslabel" and root.get("version") == "2.4.0",
                  f"partition {part}: label root {root.tag} {root.get('version')}")
        names = [e.tag for e in root]
        self.rule(names == ["creator", "formattime", "volumeuuid", "location", "partitions",
                            "blocksize", "compression"], f"partition {part}: label has {names}")
        label = {"vol1": vol1, "location": root.findtext("location/partition"),
                 "index": root.findtext("partitions/index"),
                 "data": root.findtext("partitions/data")}
        for tag in ("creator", "formattime", "volumeuuid", "blocksize", "compression"):
            label[tag] = root.findtext(tag)
        self.rule(TIME.match(label["formattime"]), "formattime has no nine decimals")
        self.rule(UUID.match(label["volumeuuid"]), "volumeuuid of the label is malformed")
        self.rule(CREATOR.match(label["creator"]), "creator of the label is malformed")
        self.rule(label["compression"] in ("true", "false"), "compression is no boolean")
        return label

    def read_labels(self):
        labels = [self.read_label(0), self.read_label(1)]
        for key in labels[0]:
            if key != "location":
                self.rule(labels[0][key] == labels[1][key], f"labels differ in {key}")
        self.label = labels[0]
        self.letters = [labels[0]["location"], labels[1]["location"]]
        self.rule(self.letters == [self.label["index"], self.label["data"]],
                  "partition 0 is not the index partition or 1 not the data partition")
        self.blocksize = int(self.label["blocksize"])
        self.rule(self.blocksize >= 4096, "blocksize is below 4096")

    # ---- indexes ----

    def read_index(self, part, block):
        where = f"index at {self.letters[part]}/{block}"
        self.rule(self.kind(part, block - 1) == "F", f"{where}: no file mark before it")
        data, at = b"", block
        while self.kind(part, at) == "R":
            record = self.record(part, at)
            last = self.kind(part, at + 1) != "R"
            self.rule(len(record) == self.blocksize or (last and len(record) < self.blocksize),
                      f"{where}: record {at} has {len(record)} bytes")
            data += record
            at += 1
        self.rule(self.kind(part, at) == "F", f"{where}: no file mark behind it")
        try:
            root = ET.fromstring(data)
        except ET.ParseError as e:
            raise Broken(f"{where}: {e}") from e
        self.rule(root.tag == "ltfsindex" and root.get("version") == "2.4.0",
                  f"{where}: root {root.tag} {root.get('version')}")
        self.rule(root.findtext("volumeuuid") == self.label["volumeuuid"], f"{where}: wrong uuid")
        self.rule(root.findtext("location/partition") == self.letters[part] and
                  root.findtext("location/startblock") == str(block),
                  f"{where}: self pointer is wrong")
        return root, at

    def newest_index(self, part):
        eod = self.eod[part]
        if not self.rule(eod > 4 and self.kind(part, eod - 1) == "F",
                         f"partition {part} does not end with an index and its file mark"):
            marks = [b for b, k in self.blocks[part].items() if k == "F"]
            eod = max(marks) + 1
        block = eod - 1
        while block > 0 and self.kind(part, block - 1) == "R":
            block -= 1
        root, _ = self.read_index(part, block)
        return root, block

    def in_order(self, element, order, where):
        names = [e.tag for e in element]
        known = [order.index(n) if n in order else -1 for n in names]
        self.rule(known == sorted(known) and -1 not in known and len(set(names)) == len(names),
                  f"{where}: elements {names}")

    def read_indexes(self):
        index, a_block = self.newest_index(0)
        data, b_block = self.newest_index(1)
        self.block = [a_block, b_block]
        self.generation = int(index.findtext("generationnumber"))
        self.rule(index.findtext("generationnumber") == data.findtext("generationnumber"),
                  "the indexes of the partitions are of different generations")
        back = (index.findtext("previousgenerationlocation/partition"),
                index.findtext("previousgenerationlocation/startblock"))
        self.rule(back == (self.letters[1], str(b_block)),
                  f"back pointer of the index on a is {back}, the data index is at {b_block}")
        self.walk_back(data)
        for root in (index, data):
            self.in_order(root, INDEX_ORDER, "index")
            self.rule(CREATOR.match(root.findtext("creator")), "creator is malformed")
            self.rule(TIME.match(root.findtext("updatetime")), "updatetime has no nine decimals")
            self.rule(len(root.findtext("comment", "")) <= 65536, "comment is too long")
            self.rule(root.findtext("volumelockstate") in ("unlocked", "locked", "permlocked"),
                      "volumelockstate is unknown")
        one = [ET.tostring(r.find("directory")) for r in (index, data)]
        self.rule(one[0] == one[1], "the two indexes name different files")
        self.root = data

    def walk_back(self, data):
        generation = int(data.findtext("generationnumber"))
        pointer = data.find("previousgenerationlocation")
        while pointer is not None:
            self.rule(pointer.findtext("partition") == self.letters[1],
                      "a back pointer leaves the data partition")
            older, _ = self.read_index(1, int(pointer.findtext("startblock")))
            number = int(older.findtext("generationnumber"))
            self.rule(number < generation, f"generation {number} does not precede {generation}")
            generation = number
            pointer = older.find("previousgenerationlocation")

    # ---- the tree ----

    def name_of(self, element):
        text = element.text or ""
        raw = text.encode()
        if element.get("percentencoded") == "true":
            self.rule(re.fullmatch(r"([A-Za-z0-9._~-]|%[0-9A-F]{2})*", text),
                      f"name {text!r} is not percent-encoded throughout")
            raw = urllib.parse.unquote_to_bytes(text)
        name = raw.decode()  # every name on tape is UTF-8
        out = b""
        for c in name:  # firn stores byte b that is no UTF-8 as U+EF00 + b
            out += bytes([ord(c) - 0xEF00]) if 0xEF80 <= ord(c) <= 0xEFFF else c.encode()
        return out

    def read_common(self, element, where):
        for tag in TIMES:
            self.rule(TIME.match(element.findtext(tag, "")), f"{where}: {tag}")
        self.rule(element.findtext("readonly") in ("true", "false"), f"{where}: readonly")
        uid = int(element.findtext("fileuid", "0"))
        self.rule(uid >= 1 and uid not in self.uids, f"{where}: fileuid {uid}")
        self.uids[uid] = where
        xattrs = {}
        for x in element.findall("extendedattributes/xattr"):
            self.rule([e.tag for e in x] == ["key", "value"], f"{where}: xattr")
            key = self.name_of(x.find("key")).decode(errors="surrogateescape")
            self.rule(key not in xattrs, f"{where}: xattr {key} twice")
            value = x.findtext("value") or ""
            if x.find("value").get("type") == "base64":
                xattrs[key] = {"base64": value}
                base64.b64decode(value, validate=True)
            else:
                xattrs[key] = value
        return uid, xattrs

    def read_dir(self, element, path):
        where = "/" + os.fsdecode(path)
        self.in_order(element, DIR_ORDER, where)
        uid, xattrs = self.read_common(element, where)
        self.directories.append({"path": where, "uid": uid, "xattrs": xattrs})
        names = set()
        for child in element.find("contents"):
            name = self.name_of(child.find("name"))
            self.rule(name not in (b"", b".", b"..") and b"/" not in name and b"\0" not in name and
                      name not in names, f"{where}: name {name!r}")
            names.add(name)
            below = os.path.join(path, name)
            if child.tag == "directory":
                self.read_dir(child, below)
            else:
                self.rule(child.tag == "file", f"{where}: element {child.tag}")
                self.read_file(child, below)

    def read_file(self, element, path):
        where = "/" + os.fsdecode(path)
        self.in_order(element, FILE_ORDER, where)
        uid, xattrs = self.read_common(element, where)
        entry = {"path": where, "length": int(element.findtext("length")), "uid": uid,
                 "readonly": element.findtext("readonly") == "true",
                 "modifytime": element.findtext("modifytime"), "xattrs": xattrs, "extents": []}
        for e in element.findall("extentinfo/extent"):
            self.in_order(e, EXTENT_ORDER, where)
            extent = {t: int(e.findtext(t)) for t in EXTENT_ORDER if t != "partition"}
            extent["partition"] = e.findtext("partition")
            entry["extents"].append(extent)
        if element.find("symlink") is not None:
            entry["symlink"] = os.fsdecode(self.name_of(element.find("symlink")))
            self.rule(not entry["extents"], f"{where}: a symbolic link with extents")
        self.files.append(entry)

    def data_of(self, entry, extent):
        """The bytes of one extent, record by record."""
        where, left = entry["path"], extent["bytecount"]
        self.rule(left > 0 and extent["byteoffset"] < self.blocksize, f"{where}: extent")
        part = self.letters.index(extent["partition"])
        block, at = extent["startblock"], extent["byteoffset"]
        while left > 0:
            record = self.record(part, block)
            n = min(left, self.blocksize - at)
            if len(record) < at + n:
                raise Broken(f"{where}: block {part}/{block} is too short")
            yield record[at:at + n]
            left, block, at = left - n, block + 1, 0

    def check_file(self, entry, out):
        sums = {k: hashlib.new(v) for k, v in HASHES.items() if k in entry["xattrs"]}
        crc, offset = 0, 0

        def feed(piece):
            nonlocal crc
            for h in sums.values():
                h.update(piece)
            crc = zlib.crc32(piece, crc)
            if out is not None:
                out.write(piece)

        def zeros(n):
            while n > 0:
                feed(bytes(min(n, 1 << 20)))
                n -= min(n, 1 << 20)

        for extent in sorted(entry["extents"], key=lambda e: e["fileoffset"]):
            self.rule(extent["fileoffset"] >= offset, f"{entry['path']}: extents overlap")
            zeros(extent["fileoffset"] - offset)
            for piece in self.data_of(entry, extent):
                feed(piece)
            offset = extent["fileoffset"] + extent["bytecount"]
        self.rule(offset <= entry["length"], f"{entry['path']}: extents pass the length")
        zeros(entry["length"] - offset)
        for key, h in sums.items():
            self.rule(entry["xattrs"][key].lower() == h.hexdigest(),
                      f"{entry['path']}: {key} does not match")
        if "ltfs.hash.crc32sum" in entry["xattrs"]:
            self.rule(entry["xattrs"]["ltfs.hash.crc32sum"].lower() == f"{crc:08x}",
                      f"{entry['path']}: ltfs.hash.crc32sum does not match")

    def check_files(self, extract):
        for entry in self.files:
            try:
                self.check_one(entry, extract)
            except (Broken, ValueError) as e:
                self.broken.append(f"{entry['path']}: {e}")

    def check_one(self, entry, extract):
        if extract is None:
            self.check_file(entry, None)
            return
        target = os.path.join(os.fsencode(extract), os.fsencode(entry["path"]).lstrip(b"/"))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if "symlink" in entry:
            os.symlink(os.fsencode(entry["symlink"]), target)
            return
        with open(target, "xb") as out:
            self.check_file(entry, out)

    # ---- cartridge memory ----

    def attribute(self, part, number):
        try:
            with open(os.path.join(self.path, f"attr_{part}_{number:x}"), "rb") as f:
                raw = f.read()
        except FileNotFoundError:
            return None
        self.rule(len(raw) >= 5 and int.from_bytes(raw[:2], "big") == number and
                  int.from_bytes(raw[3:5], "big") == len(raw) - 5,
                  f"attribute {part}/{number:04x}: header")
        return raw[5:]

    def check_memory(self):
        change = self.attribute(0, 0x9)
        if not self.rule(change is not None and len(change) == 4, "attribute 0009 is missing"):
            return
        for part in (0, 1):
            value = self.attribute(part, 0x80C)
            want = (b"\x08" + change.rjust(8, b"\0") + self.generation.to_bytes(8, "big") +
                    self.block[part].to_bytes(8, "big") + b"\0\x2bLTFS\0" +
                    self.label["volumeuuid"].encode() + b"\0\x01")
            self.rule(value == want, f"attribute 080C of partition {part} is out of date or wrong")
        for number, length in ((0x800, 8), (0x801, 32), (0x802, 8), (0x803, 160), (0x805, 1),
                               (0x806, 32), (0x80B, 16)):
            value = self.attribute(0, number)
            self.rule(value is not None and len(value) == length, f"attribute {number:04x}")

    def check(self, extract):
        self.read_directory()
        self.read_labels()
        self.read_indexes()
        self.read_dir(self.root.find("directory"), b"")
        self.rule(self.root.findtext("directory/fileuid") == "1", "the root's fileuid is not 1")
        self.rule(int(self.root.findtext("highestfileuid")) >= max(self.uids),
                  "highestfileuid is too low")
        self.check_files(extract)
        if self.mam:
            self.check_memory()

    def report(self):
        return {"uuid": self.label["volumeuuid"], "blocksize": self.blocksize,
                "name": self.root.findtext("directory/name") or "",
                "volume_id": self.label["vol1"][4:10].decode().strip(),
                "generation": self.generation, "index_blocks": self.block,
                "files": self.files, "directories": self.directories}


def main():
    parser = argparse.ArgumentParser(description="check a directory cartridge against LTFS 2.4")
    parser.add_argument("cartridge")
    parser.add_argument("--extract", metavar="DIR")
    parser.add_argument("--no-mam", action="store_true")
    args = parser.parse_args()
    volume = Volume(args.cartridge, not args.no_mam)
    try:
        volume.check(args.extract)
        json.dump(volume.report(), sys.stdout, indent=1)
        print()
    except (Broken, ET.ParseError, OSError) as e:
        volume.broken.append(str(e))
    for text in volume.broken:
        print(f"{args.cartridge}: {text}", file=sys.stderr)
    return 1 if volume.broken else 0


if __name__ == "__main__":
    sys.exit(main())
