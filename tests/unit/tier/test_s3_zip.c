/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a pack. What is read lies in blocks of exactly its size, so that the sanitizers see
 * each byte read beyond; that others read it too is read_packs.py's to show. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_zip.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LOCAL 30 /* bytes in front of the name, in a local header and in the directory */
#define ENTRY 46
#define NAME  41

static const char text[] = "firn:v=1;archive=a;size=9\nfile-owner:0\n";

/* A pack with its members one after the other, then the directory with its end. */
struct pack {
    uint8_t *data;
    size_t n;
    size_t offset; /* of the directory */
};

static void pack_fini(struct pack *p)
{
    free(p->data);
}
#define auto_pack __attribute__((cleanup(pack_fini)))

static struct pack pack_of(struct s3_zip_member *m, size_t n)
{
    struct pack p = {.n = S3_ZIP_END};
    for (size_t i = 0; i < n; i++) {
        p.offset += s3_zip_header_size(m[i].ntext) + m[i].size;
        p.n += s3_zip_entry_size(m[i].ntext);
    }
    p.n += p.offset;
    p.data = xzalloc(p.n);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        m[i].offset = (uint32_t)at;
        s3_zip_write(&m[i], p.data + at);
        at += m[i].length;
    }
    assert_int_equal(at, p.offset);
    assert_int_equal(s3_zip_finish(p.data, at), p.n);
    return p;
}

static struct s3_zip_member member_of(const char *metadata, size_t ntext, const void *data,
                                      uint32_t size)
{
    return (struct s3_zip_member){
        .id = uuid_new(), .text = metadata, .ntext = ntext, .data = data, .size = size};
}

/* A pack of one member with the nine bytes of a CRC's check value, and text. */
static struct pack small_pack(void)
{
    struct s3_zip_member m = member_of(text, strlen(text), "123456789", 9);
    return pack_of(&m, 1);
}

static void *copy_of(const void *p, size_t n)
{
    void *out = malloc(n > 0 ? n : 1);
    assert_non_null(out);
    memcpy(out, p, n);
    return out;
}

static void same(const struct s3_zip_member *a, const struct s3_zip_member *b)
{
    assert_memory_equal(&a->id, &b->id, sizeof(a->id));
    assert_int_equal(a->ntext, b->ntext);
    assert_memory_equal(a->text, b->text, a->ntext);
    assert_int_equal(a->size, b->size);
    assert_int_equal(a->crc, b->crc);
    assert_int_equal(a->length, b->length);
}

/* Whether what was read from a header at p, whose name is at fixed, lies in its n bytes. */
static bool inside(const struct s3_zip_member *m, const void *p, size_t n, size_t fixed)
{
    size_t text_at = fixed + NAME + 4;
    return (const char *)p + text_at == m->text && m->ntext <= S3_ZIP_TEXT_MAX &&
           text_at + m->ntext <= n && m->length == s3_zip_header_size(m->ntext) + (size_t)m->size;
}

static void refused(int rc, const struct err *err)
{
    assert_int_equal(rc, -EBADMSG);
    assert_int_equal(err->code, -EBADMSG);
    assert_true(err->text[0] != '\0');
}

static int read_header(const uint8_t *p, size_t n, struct s3_zip_member *m)
{
    struct err err = {0};
    struct s3_zip_member before;
    memset(m, 0xa5, sizeof(*m));
    memcpy(&before, m, sizeof(before));
    auto_free uint8_t *block = copy_of(p, n);
    int rc = s3_zip_read(block, n, m, &err);
    if (rc == 0) {
        assert_true(inside(m, block, n, LOCAL));
        assert_int_equal(m->offset, 0);
        assert_true(m->data == (m->length <= n ? block + s3_zip_header_size(m->ntext) : NULL));
        return 0;
    }
    refused(rc, &err);
    assert_memory_equal(&before, m, sizeof(before));
    return rc;
}

static int read_entry(const uint8_t *p, size_t n, uint64_t offset, struct s3_zip_member *m)
{
    struct err err = {0};
    struct s3_zip_member before;
    size_t at = 0;
    memset(m, 0xa5, sizeof(*m));
    memcpy(&before, m, sizeof(before));
    auto_free uint8_t *block = copy_of(p, n);
    int rc = s3_zip_read_entry(block, n, offset, &at, m, &err);
    if (rc == 0) {
        assert_true(inside(m, block, n, ENTRY));
        assert_true((uint64_t)m->offset + m->length <= offset);
        assert_null(m->data);
        assert_int_equal(at, s3_zip_entry_size(m->ntext));
        return 0;
    }
    refused(rc, &err);
    assert_memory_equal(&before, m, sizeof(before));
    assert_int_equal(at, 0);
    return rc;
}

static int read_end(const uint8_t *p, uint64_t size, uint64_t *offset, uint64_t *length,
                    size_t *members)
{
    struct err err = {0};
    *offset = *length = *members = 77;
    auto_free uint8_t *block = copy_of(p, S3_ZIP_END);
    int rc = s3_zip_read_end(block, size, offset, length, members, &err);
    if (rc == 0) {
        assert_true(*offset + *length + S3_ZIP_END == size);
        assert_true((*members == 0) == (*length == 0));
        return 0;
    }
    refused(rc, &err);
    assert_true(*offset == 77 && *length == 77 && *members == 77);
    return rc;
}

/* Reads p from its end, as a walk does, and compares with the n members of m. */
static void reads_as(const struct pack *p, const struct s3_zip_member *m, size_t n)
{
    struct err err = {0};
    uint64_t offset = 0;
    uint64_t length = 0;
    size_t members = 0;
    size_t at = 0;
    assert_int_equal(read_end(p->data + p->n - S3_ZIP_END, p->n, &offset, &length, &members), 0);
    assert_int_equal(members, n);
    assert_int_equal(offset, p->offset);
    auto_free uint8_t *directory = copy_of(p->data + offset, length);
    for (size_t i = 0; i < n; i++) {
        struct s3_zip_member got;
        struct s3_zip_member there;
        assert_int_equal(s3_zip_read_entry(directory, length, offset, &at, &got, &err), 0);
        same(&m[i], &got);
        assert_int_equal(got.offset, m[i].offset);
        auto_free uint8_t *bytes = copy_of(p->data + got.offset, got.length);
        assert_int_equal(s3_zip_read(bytes, got.length, &there, &err), 0);
        same(&m[i], &there);
        assert_non_null(there.data);
        if (m[i].size > 0)
            assert_memory_equal(there.data, m[i].data, m[i].size);
    }
    assert_int_equal(at, length);
}

static void members_of_all_sizes_come_back_from_header_and_directory(void **state)
{
    static const uint32_t sizes[] = {0, 1, 9, 4096, 70001};
    static const size_t texts[] = {0, 1, 100, S3_ZIP_TEXT_MAX};
    struct s3_zip_member m[sizeof(sizes) / sizeof(sizes[0]) * sizeof(texts) / sizeof(texts[0])];
    uint8_t data[70001];
    char metadata[S3_ZIP_TEXT_MAX];
    size_t n = 0;
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 7 + i / 256);
    memset(metadata, 'x', sizeof(metadata));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        for (size_t k = 0; k < sizeof(texts) / sizeof(texts[0]); k++)
            m[n++] = member_of(texts[k] > 0 ? metadata : NULL, texts[k], sizes[i] > 0 ? data : NULL,
                               sizes[i]);
    }
    auto_pack struct pack p = pack_of(m, n);
    assert_int_equal(s3_zip_header_size(S3_ZIP_TEXT_MAX), S3_ZIP_HEADER_MAX);
    reads_as(&p, m, n);
}

static void a_pack_holds_as_many_members_as_its_end_can_count(void **state)
{
    struct s3_zip_member *m = xzalloc(S3_ZIP_MEMBERS_MAX * sizeof(*m));
    (void)state;
    for (size_t i = 0; i < S3_ZIP_MEMBERS_MAX; i++)
        m[i] = member_of("a:b\n", 4, &m[i].id, 16);
    struct pack p = pack_of(m, S3_ZIP_MEMBERS_MAX);
    reads_as(&p, m, S3_ZIP_MEMBERS_MAX);
    free(p.data);
    free(m);
}

static void a_pack_without_members_is_an_end_record(void **state)
{
    auto_pack struct pack p = pack_of(NULL, 0);
    (void)state;
    assert_int_equal(p.n, S3_ZIP_END);
    reads_as(&p, NULL, 0);
}

static void numbers_are_little_endian_and_the_crc_is_that_of_802_3(void **state)
{
    static const uint8_t head[LOCAL] = {'P',
                                        'K',
                                        3,
                                        4,
                                        10,
                                        0,
                                        0,
                                        8,
                                        0,
                                        0,
                                        0,
                                        0,
                                        0x21,
                                        0,
                                        0x26,
                                        0x39,
                                        0xf4,
                                        0xcb,
                                        9,
                                        0,
                                        0,
                                        0,
                                        9,
                                        0,
                                        0,
                                        0,
                                        NAME,
                                        0,
                                        4 + sizeof(text) - 1,
                                        0};
    auto_pack struct pack p = small_pack();
    (void)state;
    assert_memory_equal(p.data, head, sizeof(head));
    assert_memory_equal(p.data + LOCAL + 36, ".sole", 5);
    assert_memory_equal(p.data + LOCAL + NAME, "fn", 2);
}

static void a_header_cut_off_anywhere_is_refused_and_cut_off_data_are_said(void **state)
{
    auto_pack struct pack p = small_pack();
    struct s3_zip_member m;
    size_t header = s3_zip_header_size(strlen(text));
    (void)state;
    for (size_t n = 0; n < header; n++)
        assert_int_equal(read_header(p.data, n, &m), -EBADMSG);
    for (size_t n = header; n < header + 9; n++) {
        assert_int_equal(read_header(p.data, n, &m), 0);
        assert_null(m.data);
        assert_int_equal(m.size, 9);
    }
    assert_int_equal(read_header(p.data, header + 9, &m), 0);
    assert_non_null(m.data);
}

static void a_directory_cut_off_anywhere_is_refused(void **state)
{
    auto_pack struct pack p = small_pack();
    struct s3_zip_member m;
    size_t entry = s3_zip_entry_size(strlen(text));
    (void)state;
    for (size_t n = 0; n < entry; n++)
        assert_int_equal(read_entry(p.data + p.offset, n, p.offset, &m), -EBADMSG);
    assert_int_equal(read_entry(p.data + p.offset, entry, p.offset, &m), 0);
}

static void no_entry_begins_at_or_behind_the_end_of_the_directory(void **state)
{
    auto_pack struct pack p = small_pack();
    const size_t places[] = {s3_zip_entry_size(strlen(text)), p.n, SIZE_MAX - 10, SIZE_MAX};
    (void)state;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct err err = {0};
        struct s3_zip_member m;
        size_t at = places[i];
        refused(s3_zip_read_entry(p.data + p.offset, s3_zip_entry_size(strlen(text)), p.offset, &at,
                                  &m, &err),
                &err);
        assert_int_equal(at, places[i]);
    }
}

static void a_pack_of_another_size_than_its_end_says_is_refused(void **state)
{
    auto_pack struct pack p = small_pack();
    uint64_t offset;
    uint64_t length;
    size_t members;
    (void)state;
    for (uint64_t size = 0; size < 2 * p.n; size++)
        assert_int_equal(read_end(p.data + p.n - S3_ZIP_END, size, &offset, &length, &members) == 0,
                         size == p.n);
    assert_int_equal(
        read_end(p.data + p.n - S3_ZIP_END, (1ULL << 32) + p.n, &offset, &length, &members),
        -EBADMSG);
}

/* What is read is not trusted for its place, so each value of each byte is tried. */
static void each_byte_damaged_is_refused_or_gives_what_lies_inside(void **state)
{
    auto_pack struct pack p = small_pack();
    struct s3_zip_member m;
    uint64_t offset;
    uint64_t length;
    size_t members;
    const size_t header = s3_zip_header_size(strlen(text));
    const size_t entry = s3_zip_entry_size(strlen(text));
    (void)state;
    for (size_t i = 0; i < p.n; i++) {
        uint8_t good = p.data[i];
        for (unsigned v = 0; v < 256; v++) {
            p.data[i] = (uint8_t)v;
            (void)read_header(p.data, header + 9, &m);
            (void)read_header(p.data, header, &m);
            (void)read_entry(p.data + p.offset, entry, p.offset, &m);
            (void)read_end(p.data + p.n - S3_ZIP_END, p.n, &offset, &length, &members);
        }
        p.data[i] = good;
    }
}

/* Bytes put into a good header: where, how many, what. */
struct damage {
    size_t at, n;
    uint8_t bytes[8];
};

#define RUN(run)                                                                                   \
    {(run), 1, {0x51}},             /* version needed */                                           \
        {(run) + 2, 2, {8, 8}},     /* sizes behind the data */                                    \
        {(run) + 2, 2, {1, 8}},     /* encrypted */                                                \
        {(run) + 2, 2, {0, 0}},     /* no UTF-8 */                                                 \
        {(run) + 4, 1, {8}},        /* deflated */                                                 \
        {(run) + 14, 1, {8}},       /* stored and plain size differ */                             \
        {(run) + 18, 1, {10}},      /* the same */                                                 \
        {(run) + 22, 2, {40, 0}},   /* name */                                                     \
        {(run) + 22, 2, {41, 1}},   /* name */                                                     \
        {(run) + 24, 2, {0, 0}},    /* no extra field */                                           \
        {(run) + 24, 2, {3, 0}},    /* not even its beginning */                                   \
        {(run) + 24, 2, {5, 0x10}}, /* text of 4097 bytes */                                       \
        {(run) + 24, 1, {4}},       /* extra field longer than all of them */                      \
    {                                                                                              \
        (run) + 14, 8,                                                                             \
        {                                                                                          \
            255, 255, 255, 255, 255, 255, 255, 255                                                 \
        }                                                                                          \
    } /* beyond 4 GiB */

#define REST(rest)                                                                                 \
    {(rest), 1, {'g'}},                                                       /* no hex digit */   \
        {(rest) + 8, 1, {'0'}},                                               /* no UUID */        \
        {(rest) + 8, 1, {0}},                                                 /* cut by a NUL */   \
        {(rest) + 36, 5, {'.', 's', 'o', 'l', 'E'}}, {(rest) + 36, 1, {'/'}}, /* suffix */         \
        {(rest) + NAME, 2, {1, 0}},                                           /* ZIP64 */          \
        {(rest) + NAME, 2, {'n', 'f'}},                                       /* kind */           \
        {(rest) + NAME + 2, 1, {1}}, /* extra field shorter than all of them: there is another */  \
    {                                                                                              \
        (rest) + NAME + 3, 1,                                                                      \
        {                                                                                          \
            1                                                                                      \
        }                                                                                          \
    } /* longer */

static void each_is_refused(const struct damage *d, size_t nd, const struct pack *p, bool entry)
{
    for (size_t i = 0; i < nd; i++) {
        struct s3_zip_member m;
        auto_free uint8_t *bad = copy_of(p->data, p->n);
        memcpy(bad + (entry ? p->offset : 0) + d[i].at, d[i].bytes, d[i].n);
        assert_true(memcmp(bad, p->data, p->n) != 0);
        int rc = entry ? read_entry(bad + p->offset, p->n - p->offset, p->offset, &m)
                       : read_header(bad, p->offset, &m);
        if (rc == 0)
            fail_msg("damage %zu is taken", i);
    }
}

static void headers_of_other_kinds_are_refused(void **state)
{
    static const struct damage in_header[] = {{0, 4, {'P', 'K', 1, 2}}, RUN(4), REST(LOCAL)};
    static const struct damage in_entry[] = {
        {0, 4, {'P', 'K', 3, 4}},
        RUN(6),
        REST(ENTRY),
        {32, 1, {1}},                   /* comment */
        {34, 1, {1}},                   /* disk */
        {42, 4, {1, 0, 0, 0}},          /* one byte in the directory */
        {42, 4, {255, 255, 255, 255}},  /* sums that overflow */
        {42, 4, {0x80, 255, 255, 255}}, /* the same */
    };
    auto_pack struct pack p = small_pack();
    (void)state;
    each_is_refused(in_header, sizeof(in_header) / sizeof(in_header[0]), &p, false);
    each_is_refused(in_entry, sizeof(in_entry) / sizeof(in_entry[0]), &p, true);
}

static void names_in_upper_case_are_refused(void **state)
{
    struct s3_zip_member m = member_of(NULL, 0, NULL, 0);
    m.id.b[0] = 0xab;
    auto_pack struct pack p = pack_of(&m, 1);
    (void)state;
    p.data[LOCAL] = 'A';
    assert_int_equal(read_header(p.data, p.offset, &m), -EBADMSG);
    p.data[LOCAL] = 'a';
    assert_int_equal(read_header(p.data, p.offset, &m), 0);
}

static void sums_never_exceed_32_bits(void **state)
{
    auto_pack struct pack p = small_pack();
    struct s3_zip_member m;
    uint32_t header = (uint32_t)s3_zip_header_size(strlen(text));
    uint32_t most = UINT32_MAX - header;
    (void)state;
    for (int i = 0; i < 2; i++, most++) {
        for (int k = 0; k < 8; k++) {
            p.data[18 + k] = (uint8_t)(most >> 8 * (k % 4));
            p.data[p.offset + 20 + (size_t)k] = (uint8_t)(most >> 8 * (k % 4));
        }
        assert_int_equal(read_header(p.data, header, &m), i == 0 ? 0 : -EBADMSG);
        assert_int_equal(read_entry(p.data + p.offset, p.n - p.offset, UINT64_MAX, &m),
                         i == 0 ? 0 : -EBADMSG);
        p.data[p.offset + 42] = 1;
        assert_int_equal(read_entry(p.data + p.offset, p.n - p.offset, UINT64_MAX, &m), -EBADMSG);
        p.data[p.offset + 42] = 0;
    }
}

static void end_records_that_do_not_fit_are_refused(void **state)
{
    static const struct damage bad[] = {
        {0, 4, {'P', 'K', 6, 6}},      /* ZIP64 */
        {4, 1, {1}},                   /* this disk */
        {6, 1, {1}},                   /* disk of the directory */
        {8, 1, {2}},                   /* members here */
        {10, 1, {2}},                  /* members */
        {8, 4, {0, 0, 0, 0}},          /* none, but a directory */
        {8, 4, {2, 0, 2, 0}},          /* more than have room */
        {8, 4, {255, 255, 255, 255}},  /* the same */
        {12, 4, {255, 255, 255, 255}}, /* length */
        {16, 4, {255, 255, 255, 255}}, /* offset */
        {12, 8, {255, 255, 255, 255, 255, 255, 255, 255}},
        {20, 1, {1}}, /* comment */
    };
    auto_pack struct pack p = small_pack();
    uint64_t offset;
    uint64_t length;
    size_t members;
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        auto_free uint8_t *end = copy_of(p.data + p.n - S3_ZIP_END, S3_ZIP_END);
        memcpy(end + bad[i].at, bad[i].bytes, bad[i].n);
        if (read_end(end, p.n, &offset, &length, &members) == 0)
            fail_msg("damage %zu is taken", i);
    }
    auto_pack struct pack empty = pack_of(NULL, 0);
    empty.data[8] = empty.data[10] = 1; /* a member, but no directory */
    assert_int_equal(read_end(empty.data, empty.n, &offset, &length, &members), -EBADMSG);
}

static void dates_and_attributes_are_not_looked_at(void **state)
{
    auto_pack struct pack p = small_pack();
    struct s3_zip_member m;
    (void)state;
    memset(p.data + 10, 0x55, 4);
    memset(p.data + p.offset + 12, 0x55, 4);
    memset(p.data + p.offset + 36, 0x55, 6);
    assert_int_equal(read_header(p.data, p.offset, &m), 0);
    assert_int_equal(read_entry(p.data + p.offset, p.n - p.offset, p.offset, &m), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_all_sizes_come_back_from_header_and_directory),
        cmocka_unit_test(a_pack_holds_as_many_members_as_its_end_can_count),
        cmocka_unit_test(a_pack_without_members_is_an_end_record),
        cmocka_unit_test(numbers_are_little_endian_and_the_crc_is_that_of_802_3),
        cmocka_unit_test(a_header_cut_off_anywhere_is_refused_and_cut_off_data_are_said),
        cmocka_unit_test(a_directory_cut_off_anywhere_is_refused),
        cmocka_unit_test(no_entry_begins_at_or_behind_the_end_of_the_directory),
        cmocka_unit_test(a_pack_of_another_size_than_its_end_says_is_refused),
        cmocka_unit_test(each_byte_damaged_is_refused_or_gives_what_lies_inside),
        cmocka_unit_test(headers_of_other_kinds_are_refused),
        cmocka_unit_test(names_in_upper_case_are_refused),
        cmocka_unit_test(sums_never_exceed_32_bits),
        cmocka_unit_test(end_records_that_do_not_fit_are_refused),
        cmocka_unit_test(dates_and_attributes_are_not_looked_at),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 packs as ZIP", tests, NULL, NULL);
}
