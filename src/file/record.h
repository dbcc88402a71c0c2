/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state record that a managed file carries in the xattr trusted.firn.hsm: 60 bytes, so that it
 * stays inside a default 256-byte ext4 inode. Pure functions, no I/O; any thread. What the record
 * means together with the file's stat is file/file.h's business.
 *
 * Layout, little-endian: 0 magic "FIRN"; 4 version (1); 5 state; 6 zero (2 bytes); 8 flags (4);
 * 12 archive id (16); 28 size (8); 36 mtime_ns (8, signed); 44 inode number (8); 52 generation (4);
 * 56 CRC32C (Castagnoli) of bytes 0 to 55 (4).
 */
#ifndef FILE_RECORD_H
#define FILE_RECORD_H

#include "base/err.h"
#include "base/uuid.h"

#include <stddef.h>
#include <stdint.h>

/* The record itself; only CAP_SYS_ADMIN sees and changes it. */
#define FILE_XATTR_RECORD "trusted.firn.hsm"
/* The stub marker, one byte "1": everybody may read it, only root can set it. It means "ask firnd
 * before you read". The kernel lets BPF programs read user.* and security.bpf.* alone (Linux
 * fs/bpf_fs_kfuncs.c), and the guard against unwatched stubs is one (doc/design/watch.md). */
#define FILE_XATTR_STUB   "security.bpf.firn.stub"
#define FILE_RECORD_BYTES 60

enum file_state {
    FILE_RESIDENT = 0,    /* data on disk, no copy of exactly this data */
    FILE_PREMIGRATED = 1, /* data on disk and on a tier */
    FILE_MIGRATED = 2,    /* a stub: the data is only on a tier */
};

/* Flags of a record in state migrated: what firn itself was doing to the file. While one is set,
 * the file's mtime is firn's own doing and proves no change. */
#define FILE_RECORD_RELEASING 1U /* between marking and the end of the release */
#define FILE_RECORD_REFILLING 2U /* a refill has begun; any part of the data may be there */
/* The stub was truncated before its data came back; a refill brings what is left of it. The file's
 * size is its own then, mtime_ns is what it had when that was noticed. */
#define FILE_RECORD_CUT 4U

struct file_record {
    enum file_state state; /* FILE_PREMIGRATED or FILE_MIGRATED */
    uint32_t flags;        /* FILE_RECORD_* */
    struct uuid archive;   /* which archived version of the file */
    uint64_t size;         /* bytes, of that version */
    int64_t mtime_ns;      /* of that version, ns since 1970 */
    uint64_t ino;          /* the inode that the record was written for */
    uint32_t gen;          /* its generation */
};

/* Writes r in its stored form into out[FILE_RECORD_BYTES]. r->state must not be FILE_RESIDENT. */
void file_record_encode(const struct file_record *r, uint8_t *out);

/*
 * Reads a stored record of n bytes at p. Returns 0 with *r set, or -EBADMSG with err saying what is
 * wrong (length, magic, version, state, unknown flag, checksum); *r is untouched on failure. err
 * may be NULL.
 */
int file_record_decode(const void *p, size_t n, struct file_record *r, struct err *err);

/* "resident", "premigrated" or "migrated"; static. */
const char *file_state_name(enum file_state s);

#endif
