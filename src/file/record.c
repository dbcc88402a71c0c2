/* SPDX-License-Identifier: Apache-2.0 */
#include "file/record.h"

#include "codec/crc.h"

#include <assert.h>
#include <endian.h>
#include <errno.h>
#include <string.h>

static const uint8_t magic[4] = {'F', 'I', 'R', 'N'};

enum { VERSION = 1, CRC_AT = 56 };
#define KNOWN_FLAGS (FILE_RECORD_RELEASING | FILE_RECORD_REFILLING | FILE_RECORD_CUT)

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static void put64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof(v));
}

static uint32_t get32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return le32toh(v);
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

void file_record_encode(const struct file_record *r, uint8_t *out)
{
    assert(r->state == FILE_PREMIGRATED || r->state == FILE_MIGRATED);
    memcpy(out, magic, sizeof(magic));
    out[4] = VERSION;
    out[5] = (uint8_t)r->state;
    out[6] = out[7] = 0;
    put32(out + 8, r->flags);
    memcpy(out + 12, r->archive.b, UUID_BYTES);
    put64(out + 28, r->size);
    put64(out + 36, (uint64_t)r->mtime_ns);
    put64(out + 44, r->ino);
    put32(out + 52, r->gen);
    put32(out + CRC_AT, crc32c_update(0, out, CRC_AT));
}

static int check(const uint8_t *b, size_t n, struct err *err)
{
    if (n != FILE_RECORD_BYTES)
        return err_set(err, -EBADMSG, "state record has %zu bytes, not %d", n, FILE_RECORD_BYTES);
    if (memcmp(b, magic, sizeof(magic)) != 0)
        return err_set(err, -EBADMSG, "state record does not begin with FIRN");
    if (get32(b + CRC_AT) != crc32c_update(0, b, CRC_AT))
        return err_set(err, -EBADMSG, "state record's checksum is wrong");
    if (b[4] != VERSION)
        return err_set(err, -EBADMSG, "state record of version %d; this firn knows %d", b[4],
                       VERSION);
    if ((b[5] != FILE_PREMIGRATED && b[5] != FILE_MIGRATED) || b[6] != 0 || b[7] != 0)
        return err_set(err, -EBADMSG, "state record with unknown state %d", b[5]);
    if ((get32(b + 8) & ~KNOWN_FLAGS) != 0 || (b[5] == FILE_PREMIGRATED && get32(b + 8) != 0))
        return err_set(err, -EBADMSG, "state record with unknown flags %#x", get32(b + 8));
    return 0;
}

int file_record_decode(const void *p, size_t n, struct file_record *r, struct err *err)
{
    const uint8_t *b = p;
    int rc = check(b, n, err);
    if (rc < 0)
        return rc;
    r->state = (enum file_state)b[5];
    r->flags = get32(b + 8);
    memcpy(r->archive.b, b + 12, UUID_BYTES);
    r->size = get64(b + 28);
    r->mtime_ns = (int64_t)get64(b + 36);
    r->ino = get64(b + 44);
    r->gen = get32(b + 52);
    return 0;
}

const char *file_state_name(enum file_state s)
{
    static const char *const names[] = {"resident", "premigrated", "migrated"};
    return names[s];
}
