/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The labels of both partitions: VOL1 (80 bytes, ANSI X3.27 form) in block 0, the XML label in
 * block 2, each followed by a file mark.
 */
#include "tape/drive_impl.h"
#include "tape/ltfs_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VOL1_ID       4
#define VOL1_ID_LEN   6
#define VOL1_L        10
#define VOL1_LTFS     24
#define VOL1_STANDARD 79
#define TEXT_MAX      2048
#define DEPTH_MAX     8

void ltfs_label_make_vol1(const char *barcode, char out[LTFS_VOL1_BYTES])
{
    memset(out, ' ', LTFS_VOL1_BYTES);
    memcpy(out, "VOL1", 4);
    memcpy(out + VOL1_ID, barcode, strnlen(barcode, VOL1_ID_LEN));
    out[VOL1_L] = 'L';
    memcpy(out + VOL1_LTFS, "LTFS", 4);
    out[VOL1_STANDARD] = '4';
}

int ltfs_label_parse_vol1(const void *data, size_t len, struct ltfs_label *l, struct err *err)
{
    const char *p = data;
    if (len != LTFS_VOL1_BYTES || memcmp(p, "VOL1", 4) != 0 || p[VOL1_L] != 'L' ||
        memcmp(p + VOL1_LTFS, "LTFS ", 5) != 0 || p[VOL1_STANDARD] != '4')
        return err_set(err, -EBADMSG, "the VOL1 label is not that of an LTFS volume");
    size_t n = VOL1_ID_LEN;
    while (n > 0 && p[VOL1_ID + n - 1] == ' ')
        n--;
    for (size_t i = 0; i < n; i++) {
        if (p[VOL1_ID + i] < 0x20 || p[VOL1_ID + i] > 0x7e)
            return err_set(err, -EBADMSG, "the volume id in the VOL1 label is not text");
    }
    memcpy(l->volume_id, p + VOL1_ID, n);
    l->volume_id[n] = '\0';
    return 0;
}

void ltfs_label_make_xml(const struct ltfs_label *l, struct buf *b)
{
    char when[TIMEFMT_MAX];
    char uuid[UUID_TEXT];

    timefmt_iso_ns(l->format_time_ns, when);
    uuid_format(&l->uuid, uuid);
    buf_adds(b, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    buf_addf(b, "<ltfslabel version=\"%s\">\n<creator>", l->version);
    buf_add_xml(b, l->creator);
    buf_addf(b, "</creator>\n<formattime>%s</formattime>\n<volumeuuid>%s</volumeuuid>\n", when,
             uuid);
    buf_addf(b,
             "<location>\n<partition>%c</partition>\n</location>\n"
             "<partitions>\n<index>%c</index>\n<data>%c</data>\n</partitions>\n"
             "<blocksize>%u</blocksize>\n<compression>%s</compression>\n</ltfslabel>\n",
             l->location, l->index_letter, l->data_letter, l->blocksize,
             l->compression ? "true" : "false");
}

enum label_field {
    FIELD_CREATOR = 1,
    FIELD_TIME = 2,
    FIELD_UUID = 4,
    FIELD_LOCATION = 8,
    FIELD_INDEX = 16,
    FIELD_DATA = 32,
    FIELD_BLOCKSIZE = 64,
    FIELD_COMPRESSION = 128,
    FIELD_ALL = 255,
};

static const struct {
    const char *path;
    enum label_field field;
} label_fields[] = {
    {"/ltfslabel/creator", FIELD_CREATOR},        {"/ltfslabel/formattime", FIELD_TIME},
    {"/ltfslabel/volumeuuid", FIELD_UUID},        {"/ltfslabel/location/partition", FIELD_LOCATION},
    {"/ltfslabel/partitions/index", FIELD_INDEX}, {"/ltfslabel/partitions/data", FIELD_DATA},
    {"/ltfslabel/blocksize", FIELD_BLOCKSIZE},    {"/ltfslabel/compression", FIELD_COMPRESSION},
};

struct label_parse {
    XML_Parser xml;
    struct ltfs_label *label;
    struct buf path, text;
    unsigned depth;
    unsigned seen;
    const char *bad; /* what is wrong; static */
};

static void stop(struct label_parse *p, const char *why)
{
    if (p->bad == NULL)
        p->bad = why;
    (void)XML_StopParser(p->xml, XML_FALSE);
}

static void label_start(void *user, const XML_Char *name, const XML_Char **attrs)
{
    struct label_parse *p = user;

    if (++p->depth > DEPTH_MAX || strlen(name) > 64) {
        stop(p, "elements nest too deep");
        return;
    }
    if (p->depth == 1) {
        if (strcmp(name, "ltfslabel") != 0)
            stop(p, "it is no ltfslabel");
        for (; *attrs != NULL; attrs += 2) {
            if (strcmp(attrs[0], "version") == 0)
                (void)snprintf(p->label->version, sizeof(p->label->version), "%s", attrs[1]);
        }
        if (!ltfs_xml_version_2(p->label->version))
            stop(p, "its version is not 2.x");
    }
    buf_addc(&p->path, '/');
    buf_adds(&p->path, name);
    buf_reset(&p->text);
}

static char one_letter(struct label_parse *p, const char *text)
{
    if (text[0] < 'a' || text[0] > 'z' || text[1] != '\0')
        stop(p, "a partition is not one letter a to z");
    return text[0];
}

static void take_number(struct label_parse *p, const char *text)
{
    char *end;
    unsigned long v = strtoul(text, &end, 10);
    if (*end != '\0' || text[0] < '0' || text[0] > '9' || v < LTFS_BLOCKSIZE_MIN || v > (64u << 20))
        stop(p, "blocksize is not between 4096 and 67108864");
    else
        p->label->blocksize = (uint32_t)v;
}

static void take_field(struct label_parse *p, enum label_field field, const char *text)
{
    struct ltfs_label *l = p->label;
    p->seen |= (unsigned)field;
    switch (field) {
    case FIELD_CREATOR:
        if (strlen(text) >= sizeof(l->creator))
            stop(p, "creator is too long");
        else
            (void)snprintf(l->creator, sizeof(l->creator), "%s", text);
        break;
    case FIELD_TIME:
        if (timefmt_parse_iso(text, &l->format_time_ns) < 0)
            stop(p, "formattime is no time");
        break;
    case FIELD_UUID:
        if (uuid_parse(text, &l->uuid) < 0)
            stop(p, "volumeuuid is no UUID");
        break;
    case FIELD_LOCATION:
        l->location = one_letter(p, text);
        break;
    case FIELD_INDEX:
        l->index_letter = one_letter(p, text);
        break;
    case FIELD_DATA:
        l->data_letter = one_letter(p, text);
        break;
    case FIELD_BLOCKSIZE:
        take_number(p, text);
        break;
    default:
        l->compression = strcmp(text, "true") == 0;
        break;
    }
}

static void label_end(void *user, const XML_Char *name)
{
    struct label_parse *p = user;
    for (size_t i = 0; i < sizeof(label_fields) / sizeof(label_fields[0]); i++) {
        if (strcmp(p->path.data, label_fields[i].path) == 0)
            take_field(p, label_fields[i].field, p->text.data != NULL ? p->text.data : "");
    }
    p->path.len -= strlen(name) + 1;
    p->path.data[p->path.len] = '\0';
    p->depth--;
    buf_reset(&p->text);
}

static void label_text(void *user, const XML_Char *s, int len)
{
    struct label_parse *p = user;
    if (p->text.len + (size_t)len > TEXT_MAX)
        stop(p, "a text is too long");
    else
        buf_add(&p->text, s, (size_t)len);
}

static void check_label(struct label_parse *p)
{
    const struct ltfs_label *l = p->label;
    if (p->seen != FIELD_ALL)
        stop(p, "a required element is missing");
    else if (l->index_letter == l->data_letter)
        stop(p, "index and data partition are the same");
    else if (l->location != l->index_letter && l->location != l->data_letter)
        stop(p, "location is neither the index nor the data partition");
}

int ltfs_label_parse_xml(const void *data, size_t len, struct ltfs_label *l, struct err *err)
{
    struct label_parse p = {.label = l};

    if (len > LTFS_LABEL_MAX)
        return err_set(err, -EBADMSG, "the XML label has %zu bytes, too many", len);
    p.xml = ltfs_xml_new(&p);
    XML_SetElementHandler(p.xml, label_start, label_end);
    XML_SetCharacterDataHandler(p.xml, label_text);
    enum XML_Status status = XML_Parse(p.xml, data, (int)len, 1);
    unsigned long line = XML_GetCurrentLineNumber(p.xml);
    if (status == XML_STATUS_OK)
        check_label(&p);
    const char *why = p.bad;
    if (why == NULL && status != XML_STATUS_OK)
        why = XML_ErrorString(XML_GetErrorCode(p.xml));
    XML_ParserFree(p.xml);
    buf_fini(&p.path);
    buf_fini(&p.text);
    return why == NULL ? 0 : err_set(err, -EBADMSG, "XML label, line %lu: %s", line, why);
}

bool ltfs_label_same(const struct ltfs_label *a, const struct ltfs_label *b, const char **what)
{
    if (memcmp(a->uuid.b, b->uuid.b, UUID_BYTES) != 0)
        *what = "volumeuuid";
    else if (strcmp(a->volume_id, b->volume_id) != 0)
        *what = "volume id";
    else if (strcmp(a->version, b->version) != 0)
        *what = "version";
    else if (strcmp(a->creator, b->creator) != 0)
        *what = "creator";
    else if (a->format_time_ns != b->format_time_ns)
        *what = "formattime";
    else if (a->index_letter != b->index_letter || a->data_letter != b->data_letter)
        *what = "partitions";
    else if (a->blocksize != b->blocksize)
        *what = "blocksize";
    else if (a->compression != b->compression)
        *what = "compression";
    else if (a->location == b->location)
        *what = "location (the same on both)";
    else
        return true;
    return false;
}

/* Reads one record that a file mark must follow. */
static int read_marked(struct drive *d, void *buf, size_t cap, size_t *len, struct err *err)
{
    uint8_t next;
    size_t next_len;

    int rc = drive_read_record(d, buf, cap, len, err);
    if (rc == DRIVE_FILEMARK || rc == DRIVE_END_OF_DATA)
        return LTFS_NOT_FORMATTED;
    if (rc < 0)
        return rc;
    rc = drive_read_record(d, &next, sizeof(next), &next_len, NULL);
    if (rc != DRIVE_FILEMARK)
        return err_set(err, -EBADMSG, "no file mark follows the label");
    return 0;
}

int ltfs_label_read(struct drive *d, unsigned p, struct ltfs_label *l, struct err *err)
{
    auto_free char *data = xzalloc(LTFS_LABEL_MAX);
    size_t len = 0;
    unsigned block = 0;

    int rc = drive_locate(d, p, 0, err);
    if (rc < 0)
        return rc;
    rc = read_marked(d, data, LTFS_LABEL_MAX, &len, err);
    if (rc == LTFS_NOT_FORMATTED || rc == -EMSGSIZE)
        return LTFS_NOT_FORMATTED;
    if (rc == 0 && (len < 4 || memcmp(data, "VOL1", 4) != 0))
        return LTFS_NOT_FORMATTED; /* something else's tape */
    if (rc == 0)
        rc = ltfs_label_parse_vol1(data, len, l, err);
    if (rc == 0) {
        block = 2;
        rc = read_marked(d, data, LTFS_LABEL_MAX, &len, err);
        if (rc == LTFS_NOT_FORMATTED)
            rc = err_set(err, -EBADMSG, "there is no XML label");
        if (rc == 0)
            rc = ltfs_label_parse_xml(data, len, l, err);
    }
    if (rc < 0)
        return err_wrap(err, rc, "cartridge %s: partition %c block %u", drive_barcode(d),
                        drive_letter(p), block);
    return 0;
}

int ltfs_label_write(struct drive *d, unsigned p, const struct ltfs_label *l, struct err *err)
{
    auto_buf struct buf xml = {0};
    char vol1[LTFS_VOL1_BYTES];

    ltfs_label_make_vol1(drive_barcode(d), vol1);
    ltfs_label_make_xml(l, &xml);
    int rc = drive_locate(d, p, 0, err);
    if (rc >= 0)
        rc = drive_write_record(d, vol1, sizeof(vol1), err);
    if (rc == 0)
        rc = drive_write_filemarks(d, 1, err);
    if (rc == 0)
        rc = drive_write_record(d, xml.data, xml.len, err);
    if (rc == 0)
        rc = drive_write_filemarks(d, 1, err);
    if (rc > 0)
        rc = err_set(err, -ENOSPC, "it is full");
    return rc < 0 ? err_wrap(err, rc, "cartridge %s: label of partition %c", drive_barcode(d),
                             drive_letter(p))
                  : 0;
}
