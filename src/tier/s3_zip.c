/* SPDX-License-Identifier: Apache-2.0 */
/* Packs as ZIP archives. Both headers of a member hold the same run of 26 bytes, from "version
 * needed" to "extra field length" (4.3.7, 4.3.12), so that is written and checked in one place. */
#include "tier/s3_zip.h"

#include "codec/digest.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define LOCAL_SIGNATURE 0x04034b50u
#define ENTRY_SIGNATURE 0x02014b50u
#define END_SIGNATURE   0x06054b50u
#define LOCAL_FIXED     30 /* bytes in front of the name, 4.3.7 */
#define ENTRY_FIXED     46 /* the same in the directory, 4.3.12 */
#define EXTRA_FIXED     4  /* kind and size of an extra field, 4.5.1 */
#define MADE_BY_UNIX    3  /* 4.4.2.2 */

#define SUFFIX   ".sole"
#define ID_LEN   (UUID_TEXT - 1)
#define NAME_LEN (ID_LEN + sizeof(SUFFIX) - 1)

_Static_assert(LOCAL_FIXED + NAME_LEN + EXTRA_FIXED + S3_ZIP_TEXT_MAX == S3_ZIP_HEADER_MAX,
               "the header says how long a local header may be");

/* Offsets in the common run, and its length. */
enum {
    RUN_KIND = 0,
    RUN_CRC = 10,
    RUN_STORED = 14,
    RUN_SIZE = 18,
    RUN_NAME_LEN = 22,
    RUN_EXTRA_LEN = 24,
    RUN_LEN = 26
};

/* Version needed 1.0, bit 11 (UTF-8), method 0, and then 1980-01-01 00:00, which nobody reads. */
#define KIND_READ 6
static const uint8_t kind[RUN_CRC] = {10, 0, 0, 8, 0, 0, 0, 0, 0x21, 0};

static void put16(uint8_t *p, size_t v)
{
    uint16_t le = htole16((uint16_t)v);
    memcpy(p, &le, sizeof(le));
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static uint16_t get16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return le16toh(v);
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint32_t crc_of(const void *p, size_t n)
{
    uint8_t value[DIGEST_MAX];
    uint32_t be;
    (void)digest_of(DIGEST_CRC32, n > 0 ? p : "", n, value);
    memcpy(&be, value, sizeof(be));
    return be32toh(be);
}

size_t s3_zip_header_size(size_t ntext)
{
    return LOCAL_FIXED + NAME_LEN + EXTRA_FIXED + ntext;
}

size_t s3_zip_entry_size(size_t ntext)
{
    return ENTRY_FIXED + NAME_LEN + EXTRA_FIXED + ntext;
}

static void put_run(uint8_t *p, const struct s3_zip_member *m)
{
    memcpy(p + RUN_KIND, kind, sizeof(kind));
    put32(p + RUN_CRC, m->crc);
    put32(p + RUN_STORED, m->size);
    put32(p + RUN_SIZE, m->size);
    put16(p + RUN_NAME_LEN, NAME_LEN);
    put16(p + RUN_EXTRA_LEN, EXTRA_FIXED + m->ntext);
}

/* Name and extra field, which follow the fixed part of both headers. */
static void put_rest(uint8_t *p, const struct s3_zip_member *m)
{
    char id[UUID_TEXT];
    uuid_format(&m->id, id);
    memcpy(p, id, ID_LEN);
    memcpy(p + ID_LEN, SUFFIX, NAME_LEN - ID_LEN);
    p += NAME_LEN;
    put16(p, S3_ZIP_EXTRA);
    put16(p + 2, m->ntext);
    if (m->ntext > 0)
        memcpy(p + EXTRA_FIXED, m->text, m->ntext);
}

static void put_entry(const struct s3_zip_member *m, uint8_t *out)
{
    memset(out, 0, ENTRY_FIXED);
    put32(out, ENTRY_SIGNATURE);
    put16(out + 4, MADE_BY_UNIX << 8 | kind[0]);
    put_run(out + 6, m);
    put32(out + 38, (uint32_t)(S_IFREG | S_IRUSR | S_IWUSR) << 16);
    put32(out + 42, m->offset);
    put_rest(out + ENTRY_FIXED, m);
}

void s3_zip_write(struct s3_zip_member *m, uint8_t *out)
{
    size_t header = s3_zip_header_size(m->ntext);
    assert(m->ntext <= S3_ZIP_TEXT_MAX);
    assert(m->size <= UINT32_MAX - header && m->offset <= UINT32_MAX - header - m->size);
    m->crc = crc_of(m->data, m->size);
    m->length = (uint32_t)header + m->size;
    put32(out, LOCAL_SIGNATURE);
    put_run(out + 4, m);
    put_rest(out + LOCAL_FIXED, m);
    if (m->size > 0)
        memcpy(out + header, m->data, m->size);
}

static void put_end(uint8_t *out, size_t n, size_t offset, size_t length)
{
    assert(n <= S3_ZIP_MEMBERS_MAX);
    assert(length <= UINT32_MAX - S3_ZIP_END && offset <= UINT32_MAX - S3_ZIP_END - length);
    memset(out, 0, S3_ZIP_END);
    put32(out, END_SIGNATURE);
    put16(out + 8, n);
    put16(out + 10, n);
    put32(out + 12, (uint32_t)length);
    put32(out + 16, (uint32_t)offset);
}

size_t s3_zip_finish(uint8_t *pack, size_t used)
{
    struct s3_zip_member m;
    size_t n = 0;
    size_t length = 0;
    for (size_t at = 0; at < used; at += m.length, n++) {
        int rc = s3_zip_read(pack + at, used - at, &m, NULL);
        assert(rc == 0);
        (void)rc;
        m.offset = (uint32_t)at;
        put_entry(&m, pack + used + length);
        length += s3_zip_entry_size(m.ntext);
    }
    put_end(pack + used + length, n, used, length);
    return used + length + S3_ZIP_END;
}

/* Reads the common run into m: sizes, CRC, length of the text. */
static int get_run(const uint8_t *p, struct s3_zip_member *m, struct err *err)
{
    if (memcmp(p + RUN_KIND, kind, KIND_READ) != 0)
        return err_set(err, -EBADMSG,
                       "version %u, flags 0x%04x, method %u, where firn writes 10, 0x0800, 0",
                       get16(p), get16(p + 2), get16(p + 4));
    if (get16(p + RUN_NAME_LEN) != NAME_LEN)
        return err_set(err, -EBADMSG, "a name of %u bytes is none of a member of a pack",
                       get16(p + RUN_NAME_LEN));
    size_t extra = get16(p + RUN_EXTRA_LEN);
    if (extra < EXTRA_FIXED || extra > EXTRA_FIXED + S3_ZIP_TEXT_MAX)
        return err_set(err, -EBADMSG, "extra fields of %zu bytes instead of %d to %d", extra,
                       EXTRA_FIXED, EXTRA_FIXED + S3_ZIP_TEXT_MAX);
    m->crc = get32(p + RUN_CRC);
    m->size = get32(p + RUN_SIZE);
    m->ntext = extra - EXTRA_FIXED;
    if (get32(p + RUN_STORED) != m->size)
        return err_set(err, -EBADMSG, "a stored member of %" PRIu32 " bytes has %" PRIu32, m->size,
                       get32(p + RUN_STORED));
    if (m->size > UINT32_MAX - s3_zip_header_size(m->ntext))
        return err_set(err, -EBADMSG, "a member of %" PRIu32 " bytes goes beyond 4 GiB", m->size);
    m->length = (uint32_t)s3_zip_header_size(m->ntext) + m->size;
    return 0;
}

/* Reads name and extra field, all of which are there, into m. Only the lower-case form is ours. */
static int get_rest(const uint8_t *p, struct s3_zip_member *m, struct err *err)
{
    char id[UUID_TEXT];
    char again[UUID_TEXT];
    memcpy(id, p, ID_LEN);
    id[ID_LEN] = '\0';
    if (memcmp(p + ID_LEN, SUFFIX, NAME_LEN - ID_LEN) != 0 || uuid_parse(id, &m->id) < 0)
        return err_set(err, -EBADMSG, "its name is not ARCHIVE-ID" SUFFIX);
    uuid_format(&m->id, again);
    if (memcmp(again, id, ID_LEN) != 0)
        return err_set(err, -EBADMSG, "its name is not ARCHIVE-ID" SUFFIX " in lower case");
    p += NAME_LEN;
    if (get16(p) != S3_ZIP_EXTRA || get16(p + 2) != m->ntext)
        return err_set(err, -EBADMSG,
                       "an extra field of kind 0x%04x and %u bytes, where one of kind 0x%04x and "
                       "%zu should be the only one",
                       get16(p), get16(p + 2), S3_ZIP_EXTRA, m->ntext);
    m->text = (const char *)p + EXTRA_FIXED;
    return 0;
}

/* Reads a header at p, n bytes of which are there, whose common run begins at run and whose name
 * begins at fixed. */
static int get_header(const uint8_t *p, size_t n, size_t run, size_t fixed, struct s3_zip_member *m,
                      struct err *err)
{
    size_t left = n - fixed;
    int rc = get_run(p + run, m, err);
    if (rc < 0)
        return rc;
    if (left < NAME_LEN + EXTRA_FIXED + m->ntext)
        return err_set(err, -EBADMSG, "cut off: %zu bytes instead of %zu", n,
                       fixed + NAME_LEN + EXTRA_FIXED + m->ntext);
    return get_rest(p + fixed, m, err);
}

int s3_zip_read(const uint8_t *p, size_t n, struct s3_zip_member *m, struct err *err)
{
    struct s3_zip_member got = {0};
    if (n < LOCAL_FIXED)
        return err_set(err, -EBADMSG, "header of a member cut off: %zu bytes", n);
    if (get32(p) != LOCAL_SIGNATURE)
        return err_set(err, -EBADMSG, "no member of a pack begins here (0x%08" PRIx32 ")",
                       get32(p));
    int rc = get_header(p, n, 4, LOCAL_FIXED, &got, err);
    if (rc < 0)
        return err_wrap(err, rc, "header of a member");
    if (n >= got.length)
        got.data = p + s3_zip_header_size(got.ntext);
    *m = got;
    return 0;
}

int s3_zip_read_end(const uint8_t *p, uint64_t size, uint64_t *offset, uint64_t *length,
                    size_t *members, struct err *err)
{
    if (size < S3_ZIP_END || size > UINT32_MAX)
        return err_set(err, -EBADMSG, "no pack has %" PRIu64 " bytes", size);
    if (get32(p) != END_SIGNATURE)
        return err_set(err, -EBADMSG, "no end record of a pack (0x%08" PRIx32 ")", get32(p));
    size_t n = get16(p + 10);
    uint64_t len = get32(p + 12);
    uint64_t at = get32(p + 16);
    if (get32(p + 4) != 0 || get16(p + 8) != n || get16(p + 20) != 0)
        return err_set(err, -EBADMSG, "end record with several disks or a comment");
    if (at + len + S3_ZIP_END != size)
        return err_set(err, -EBADMSG,
                       "directory of %" PRIu64 " bytes at %" PRIu64
                       " does not end where the end record of a pack of %" PRIu64 " bytes begins",
                       len, at, size);
    if (len < n * s3_zip_entry_size(0) || len > n * s3_zip_entry_size(S3_ZIP_TEXT_MAX) ||
        at < n * s3_zip_header_size(0))
        return err_set(err, -EBADMSG,
                       "%zu members cannot take %" PRIu64 " bytes and a directory of %" PRIu64, n,
                       at, len);
    *offset = at;
    *length = len;
    *members = n;
    return 0;
}

int s3_zip_read_entry(const uint8_t *p, size_t n, uint64_t offset, size_t *at,
                      struct s3_zip_member *m, struct err *err)
{
    struct s3_zip_member got = {0};
    size_t pos = *at;
    if (offset > UINT32_MAX)
        offset = UINT32_MAX; /* so that sums of 32 bits do not overflow at the caller's */
    if (pos > n || n - pos < ENTRY_FIXED)
        return err_set(err, -EBADMSG, "directory of a pack cut off at %zu of %zu bytes", pos, n);
    p += pos;
    if (get32(p) != ENTRY_SIGNATURE || get32(p + 32) != 0)
        return err_set(err, -EBADMSG, "no member in the directory of a pack at %zu", pos);
    int rc = get_header(p, n - pos, 6, ENTRY_FIXED, &got, err);
    if (rc < 0)
        return err_wrap(err, rc, "directory of a pack at %zu", pos);
    got.offset = get32(p + 42);
    if (got.offset > offset || got.length > offset - got.offset)
        return err_set(err, -EBADMSG,
                       "directory of a pack at %zu: a member of %" PRIu32 " bytes at %" PRIu32
                       " would lie behind the first %" PRIu64 " bytes, which are the members'",
                       pos, got.length, got.offset, offset);
    *at = pos + s3_zip_entry_size(got.ntext);
    *m = got;
    return 0;
}
