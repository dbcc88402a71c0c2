/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/buf.h"
#include "lustre/action.h"
#include "lustre/hai.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct seen {
    struct hai_head head;
    size_t n;
    uint64_t cookies[100];
    size_t data;
};

static void see(void *arg, const struct hai_head *head, struct hsm_action_item *item)
{
    struct seen *s = arg;
    s->head = *head;
    s->cookies[s->n++ % 100] = item->cookie;
    s->data += item->len - sizeof(*item);
    free(item);
}

static void pad(struct buf *b)
{
    while (b->len % 8 != 0)
        buf_addc(b, '\0');
}

/* A message of n items, each with data bytes. */
static void message(struct buf *b, const char *fsname, uint32_t n, size_t data)
{
    const struct hsm_action_list list = {
        .version = HAL_VERSION, .count = n, .flags = HAL_REQ_BLOCKING, .archive_id = 2};
    buf_add(b, &list, sizeof(list));
    buf_add(b, fsname, strlen(fsname) + 1);
    pad(b);
    for (uint32_t i = 0; i < n; i++) {
        const struct hsm_action_item item = {.len = (uint32_t)(sizeof(item) + data),
                                             .action = HSMA_ARCHIVE,
                                             .fid = {.seq = 0x200000401, .oid = i + 1},
                                             .cookie = i + 1};
        buf_add(b, &item, sizeof(item));
        for (size_t k = 0; k < data; k++)
            buf_addc(b, (char)k);
        pad(b);
    }
}

static int walk(const struct buf *b, size_t size, struct seen *s)
{
    struct err e = {0};
    size_t given = 0;
    *s = (struct seen){0};
    int rc = hai_walk(b->data, size, "lustre", see, s, &given, &e);
    assert_int_equal(given, s->n);
    return rc;
}

/* Sizes as seen on a running Lustre: 112 bytes for one item, 128 with 9 bytes of data, 5080 for
 * 70. */
static void messages_have_the_sizes_that_lustre_gives_them(void **state)
{
    (void)state;
    static const struct {
        uint32_t n;
        size_t data, size;
    } rows[] = {{1, 0, 112}, {1, 9, 120}, {70, 0, 5080}};
    for (size_t i = 0; i < 3; i++) {
        auto_buf struct buf b = {0};
        struct seen s;
        message(&b, "lustre", rows[i].n, rows[i].data);
        assert_true(b.len == rows[i].size || rows[i].data > 0);
        assert_int_equal(walk(&b, b.len, &s), rows[i].n);
        assert_int_equal(s.head.archive_id, 2);
        assert_int_equal(s.head.flags, HAL_REQ_BLOCKING);
        assert_false(s.head.foreign);
        assert_int_equal(s.data, rows[i].n * rows[i].data);
    }
}

static void what_is_cut_gives_the_whole_items_and_an_error(void **state)
{
    (void)state;
    auto_buf struct buf b = {0};
    struct seen s;
    message(&b, "lustre", 3, 5);
    for (size_t cut = 0; cut < b.len - 3; cut++) { /* the last 3 are padding */
        assert_int_equal(walk(&b, cut, &s), -EPROTO);
        assert_true(s.n < 3);
    }
    assert_int_equal(walk(&b, b.len - 3, &s), 3);
}

static void another_file_system_is_told_and_another_version_refused(void **state)
{
    (void)state;
    auto_buf struct buf b = {0};
    struct seen s;
    message(&b, "scratch", 2, 0);
    assert_int_equal(walk(&b, b.len, &s), 2);
    assert_true(s.head.foreign);
    b.data[0] = 2;
    assert_int_equal(walk(&b, b.len, &s), -EPROTO);
    assert_int_equal(s.n, 0);
}

static void a_length_that_lies_ends_the_walk(void **state)
{
    (void)state;
    static const uint32_t lies[] = {0, 71, 81, 0x7fffffff, UINT32_MAX};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        auto_buf struct buf b = {0};
        struct seen s;
        message(&b, "lustre", 1, 0);
        memcpy(b.data + 40, &lies[i], sizeof(lies[i]));
        assert_int_equal(walk(&b, b.len, &s), -EPROTO);
        assert_int_equal(s.n, 0);
    }
}

static void items_that_make_no_sense_are_refused_with_a_reason(void **state)
{
    (void)state;
    struct hsm_action_item i = {.len = 72, .action = HSMA_RESTORE, .fid = {.seq = 1, .oid = 1}};
    assert_int_equal(hai_check(&i), 0);
    i.extent = (struct hsm_extent){.offset = 0, .length = EXTENT_TO_END};
    assert_int_equal(hai_check(&i), 0);
    i.extent = (struct hsm_extent){.offset = UINT64_MAX, .length = 2};
    assert_int_equal(hai_check(&i), EINVAL);
    i.extent = (struct hsm_extent){0};
    i.fid.seq = 0;
    assert_int_equal(hai_check(&i), EINVAL);
    i.fid.seq = 1;
    i.action = 77;
    assert_int_equal(hai_check(&i), EPROTO);
    assert_string_equal(hai_action_name(77), "?");
}

static void fids_have_one_text_and_are_read_in_either_form(void **state)
{
    (void)state;
    char text[FID_TEXT_MAX];
    struct lu_fid f = {.seq = UINT64_MAX, .oid = UINT32_MAX, .ver = UINT32_MAX}, g;
    assert_string_equal(fid_text(&f, text), "[0xffffffffffffffff:0xffffffff:0xffffffff]");
    assert_int_equal(fid_parse(text, &g), 0);
    assert_memory_equal(&f, &g, sizeof(f));
    assert_int_equal(fid_parse("0x200000401:0x1:0x0", &g), 0);
    assert_int_equal(g.seq, 0x200000401);
    static const char *const bad[] = {"",
                                      "[",
                                      "0x1:0x2",
                                      "0x1:0x2:0x3 ",
                                      "[0x1:0x2:0x3",
                                      "0x1:0x2:0x3]",
                                      "0x1:0x100000000:0x0",
                                      "-1:0x2:0x3",
                                      "0x1: 2:0x3"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(fid_parse(bad[i], &g), -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_have_the_sizes_that_lustre_gives_them),
        cmocka_unit_test(what_is_cut_gives_the_whole_items_and_an_error),
        cmocka_unit_test(another_file_system_is_told_and_another_version_refused),
        cmocka_unit_test(a_length_that_lies_ends_the_walk),
        cmocka_unit_test(items_that_make_no_sense_are_refused_with_a_reason),
        cmocka_unit_test(fids_have_one_text_and_are_read_in_either_form),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
