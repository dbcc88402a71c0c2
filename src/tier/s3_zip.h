/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The form of a pack: small copies as members of one ZIP archive (PKWARE APPNOTE.TXT 6.3.9,
 * sections 4.3 and 4.4), so that any unzip gives them back. Only what we write is read: members one
 * after the other from byte 0, method 0 (stored), sizes in the local header, names "<archive
 * id>.sole", the metadata of the copy as text in an extra field of kind S3_ZIP_EXTRA in both
 * headers; then the central directory, and its end record without comment as the last bytes. No
 * ZIP64: a pack is less than 4 GiB and has 65,535 members at most. Nothing here allocates,
 * or knows what the metadata say. Pure functions.
 */
#ifndef TIER_S3_ZIP_H
#define TIER_S3_ZIP_H

#include "base/err.h"
#include "base/uuid.h"

#include <stddef.h>
#include <stdint.h>

#define S3_ZIP_EXTRA       0x6e66 /* of the extra field: "fn" in bytes */
#define S3_ZIP_TEXT_MAX    4096   /* bytes of metadata of one member */
#define S3_ZIP_END         22     /* bytes of the end record (4.3.16) */
#define S3_ZIP_MEMBERS_MAX 65535
#define S3_ZIP_HEADER_MAX                                                                          \
    (30 + 41 + 4 + S3_ZIP_TEXT_MAX) /* of a local header with name and text                        \
                                     */

/* A member, as it is to be written or was read. */
struct s3_zip_member {
    struct uuid id;
    const char *text; /* its metadata, borrowed, ntext bytes, no NUL needed */
    size_t ntext;
    const void *data; /* borrowed; NULL when read from the directory */
    uint32_t size;    /* bytes of data */
    uint32_t crc;     /* CRC-32 of data (as read; computed when written) */
    uint32_t offset;  /* of its local header in the pack */
    uint32_t length;  /* of local header and data together */
};

/* Bytes that a member with ntext (<= S3_ZIP_TEXT_MAX) bytes of metadata takes in front of its data,
 * and in the directory. */
size_t s3_zip_header_size(size_t ntext);
size_t s3_zip_entry_size(size_t ntext);

/* Writes m's local header and data to out, which has room for s3_zip_header_size(m->ntext) +
 * m->size bytes and lies at m->offset of the pack. Sets m->crc and m->length. */
void s3_zip_write(struct s3_zip_member *m, uint8_t *out);

/* Writes the directory of the members (S3_ZIP_MEMBERS_MAX at most) that lie, as written before, in
 * the first used bytes of pack, and its end record, behind them; there is room for
 * s3_zip_entry_size of each member, and S3_ZIP_END bytes. Returns the bytes of the whole pack. */
size_t s3_zip_finish(uint8_t *pack, size_t used);

/* Reads the local header at p, of which n bytes are there; the data behind it may be cut off
 * (m->data is NULL then). m borrows from p; offset is 0. Returns 0, or -EBADMSG with err saying
 * what is wrong: not ours, or cut off within the header. The CRC is not compared. */
int s3_zip_read(const uint8_t *p, size_t n, struct s3_zip_member *m, struct err *err);

/* Reads the end record of a pack of size bytes from its last S3_ZIP_END bytes at p: where the
 * directory lies, its length in bytes, its number of members. Returns 0, or -EBADMSG with err. */
int s3_zip_read_end(const uint8_t *p, uint64_t size, uint64_t *offset, uint64_t *length,
                    size_t *members, struct err *err);

/* Reads the member at *at of a directory of n bytes, which itself lies at offset of the pack, and
 * moves *at behind it. m borrows from p. Returns 0, or -EBADMSG with err: cut off, not ours, or a
 * member that would lie in the directory. */
int s3_zip_read_entry(const uint8_t *p, size_t n, uint64_t offset, size_t *at,
                      struct s3_zip_member *m, struct err *err);

#endif
