/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cartridge memory: the host attributes, and attribute 080C, which says without moving the tape
 * where the newest index of its partition is. It is believed only while the drive's volume change
 * reference is the one it was written with.
 */
#include "tape/ltfs_impl.h"
#include "tape/drive_impl.h"

#include <errno.h>
#include <string.h>

#define VCR_MAX       8
#define APP_DATA      43 /* "LTFS\0", UUID text and NUL, version */
#define OFF_VCR       1
#define OFF_GEN       9
#define OFF_BLOCK     17
#define OFF_APP_LEN   25
#define OFF_APP       27
#define OFF_UUID      32
#define OFF_VERSION   69
#define NAME_ATTR_LEN 160

static void put64(uint8_t *p, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        p[i] = (uint8_t)(v >> (56 - 8 * i));
}

static uint64_t get64(const uint8_t *p)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | p[i];
    return v;
}

void ltfs_coherency_pack(const struct ltfs_coherency *c, uint8_t out[LTFS_COHERENCY_BYTES])
{
    char uuid[UUID_TEXT];

    memset(out, 0, LTFS_COHERENCY_BYTES);
    out[0] = VCR_MAX;
    put64(out + OFF_VCR, c->vcr);
    put64(out + OFF_GEN, c->generation);
    put64(out + OFF_BLOCK, c->block);
    out[OFF_APP_LEN + 1] = APP_DATA;
    memcpy(out + OFF_APP, "LTFS", 5);
    uuid_format(&c->uuid, uuid);
    memcpy(out + OFF_UUID, uuid, UUID_TEXT);
    out[OFF_VERSION] = c->version;
}

int ltfs_coherency_unpack(const void *data, size_t len, struct ltfs_coherency *c)
{
    const uint8_t *p = data;
    char uuid[UUID_TEXT];

    if (len < LTFS_COHERENCY_BYTES || p[0] != VCR_MAX || p[OFF_APP_LEN] != 0 ||
        p[OFF_APP_LEN + 1] < APP_DATA || memcmp(p + OFF_APP, "LTFS", 5) != 0)
        return -EBADMSG;
    memcpy(uuid, p + OFF_UUID, UUID_TEXT);
    if (uuid[UUID_TEXT - 1] != '\0' || uuid_parse(uuid, &c->uuid) < 0)
        return -EBADMSG;
    c->vcr = get64(p + OFF_VCR);
    c->generation = get64(p + OFF_GEN);
    c->block = get64(p + OFF_BLOCK);
    c->version = p[OFF_VERSION];
    return c->version == 0 ? -EBADMSG : 0;
}

static int read_vcr(struct drive *d, uint64_t *vcr, struct err *err)
{
    uint8_t raw[VCR_MAX];
    size_t len;

    *vcr = 0;
    int rc = drive_read_attribute(d, 0, DRIVE_ATTR_VCR, raw, sizeof(raw), &len, err);
    for (size_t i = 0; rc == 0 && i < len; i++)
        *vcr = *vcr << 8 | raw[i];
    return rc;
}

int ltfs_coherency_read(struct drive *d, unsigned p, struct ltfs_coherency *c, bool *valid,
                        struct err *err)
{
    uint8_t raw[LTFS_COHERENCY_BYTES + 64];
    size_t len;
    uint64_t vcr;

    *valid = false;
    int rc = drive_read_attribute(d, p, DRIVE_ATTR_COHERENCY, raw, sizeof(raw), &len, err);
    if (rc == DRIVE_NO_ATTRIBUTE || rc == -EMSGSIZE || (rc == 0 && len < LTFS_COHERENCY_BYTES))
        return 0;
    if (rc < 0)
        return rc;
    if (ltfs_coherency_unpack(raw, len, c) < 0) {
        *c = (struct ltfs_coherency){0};
        return 0;
    }
    rc = read_vcr(d, &vcr, err);
    if (rc == 0)
        *valid = vcr != 0 && vcr == c->vcr;
    return rc < 0 ? rc : 0;
}

static int put_text(struct drive *d, enum drive_attr id, enum drive_attr_format format,
                    const char *text, size_t size, char fill, struct err *err)
{
    char raw[NAME_ATTR_LEN];
    size_t n = strnlen(text, size);
    while (n > 0 && text[n] != '\0' && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--; /* a cut must not split a character */
    memset(raw, fill, size);
    memcpy(raw, text, n);
    return drive_write_attribute(d, 0, id, format, raw, size, err);
}

int ltfs_coherency_write_host(struct drive *d, const char *volume_name, struct err *err)
{
    static const uint8_t utf8 = 0x81;
    const enum drive_attr_format ascii = DRIVE_ATTR_ASCII;

    int rc = put_text(d, DRIVE_ATTR_APP_VENDOR, ascii, "FIRN", 8, ' ', err);
    if (rc == 0)
        rc = put_text(d, DRIVE_ATTR_APP_NAME, ascii, "FIRN LTFS", 32, ' ', err);
    if (rc == 0)
        rc = put_text(d, DRIVE_ATTR_APP_VERSION, ascii, FIRN_VERSION, 8, ' ', err);
    if (rc == 0)
        rc = put_text(d, DRIVE_ATTR_VOLUME_NAME, DRIVE_ATTR_TEXT, volume_name, NAME_ATTR_LEN, '\0',
                      err);
    if (rc == 0)
        rc = drive_write_attribute(d, 0, DRIVE_ATTR_LOCALE, DRIVE_ATTR_BINARY, &utf8, 1, err);
    if (rc == 0)
        rc = put_text(d, DRIVE_ATTR_BARCODE, ascii, drive_barcode(d), 32, ' ', err);
    if (rc == 0)
        rc = put_text(d, DRIVE_ATTR_FORMAT_VERSION, ascii, LTFS_VERSION, 16, ' ', err);
    return rc;
}

int ltfs_coherency_write(struct ltfs_volume *v, struct err *err)
{
    struct ltfs_coherency c = {
        .generation = v->index.generation, .uuid = v->label.uuid, .version = 1};
    uint8_t raw[LTFS_COHERENCY_BYTES];

    int rc = read_vcr(v->drive, &c.vcr, err);
    if (rc != 0) /* no change reference: the attributes could not be believed */
        return rc < 0 ? rc : 0;
    for (unsigned p = 0; rc == 0 && p < DRIVE_PARTITIONS; p++) {
        c.block = p == v->index_part ? v->index_index_block : v->data_index_block;
        ltfs_coherency_pack(&c, raw);
        rc = drive_write_attribute(v->drive, p, DRIVE_ATTR_COHERENCY, DRIVE_ATTR_BINARY, raw,
                                   sizeof(raw), err);
    }
    return rc;
}
