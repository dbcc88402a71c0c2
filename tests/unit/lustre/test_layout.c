/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/layout.h"

#include "base/cleanup.h"
#include "lustre/abi.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct lov_user_md_v1 plain(uint16_t count)
{
    return (struct lov_user_md_v1){.magic = LOV_MAGIC_V1,
                                   .pattern = LOV_PATTERN_RELEASED | 1,
                                   .stripe_size = 1 << 20,
                                   .stripe_count = count,
                                   .stripe_offset = 3};
}

static void a_stub_of_two_stripes_gets_room_for_its_objects(void **state)
{
    struct err err;
    struct lov_user_md_v1 in = plain(2);
    auto_free struct lov_user_md_v1 *out = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(layout_prepare(&in, sizeof(in), (void **)&out, &n, &err), 0);
    assert_int_equal(n, 80); /* as a file of two stripes was seen to have */
    assert_int_equal(out->pattern, 1);
    assert_int_equal(out->stripe_offset, 0xffff);
    assert_int_equal(out->stripe_count, 2);
    assert_int_equal(out->stripe_size, 1 << 20);
}

static void all_osts_needs_no_objects(void **state)
{
    struct err err;
    struct lov_user_md_v1 in = plain(0xffff);
    auto_free void *out = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(layout_prepare(&in, sizeof(in), &out, &n, &err), 0);
    assert_int_equal(n, sizeof(in));
}

static void a_pool_keeps_its_name(void **state)
{
    struct err err;
    struct lov_user_md_v3 in = {.v1 = plain(1), .pool = "fast"};
    auto_free struct lov_user_md_v3 *out = NULL;
    size_t n = 0;
    (void)state;
    in.v1.magic = LOV_MAGIC_V3;
    assert_int_equal(layout_prepare(&in, sizeof(in), (void **)&out, &n, &err), 0);
    assert_int_equal(n, 72);
    assert_string_equal(out->pool, "fast");
}

#define PARTS 3
struct composite {
    uint8_t head[sizeof(struct lov_comp_md_v1)];
    struct lov_comp_entry entries[PARTS];
    struct lov_user_md_v1 parts[PARTS];
} __attribute__((packed));

static struct composite composite(void)
{
    struct composite c = {0};
    const struct lov_comp_md_v1 head = {.magic = LOV_MAGIC_COMP_V1,
                                        .size = sizeof(struct composite),
                                        .layout_gen = 7,
                                        .entry_count = PARTS};
    memcpy(c.head, &head, sizeof(head));
    for (unsigned i = 0; i < PARTS; i++) {
        c.parts[i] = plain((uint16_t)(i + 1));
        c.entries[i] = (struct lov_comp_entry){
            .id = i + 1,
            .start = (uint64_t)i << 26,
            .end = i + 1 < PARTS ? (uint64_t)(i + 1) << 26 : UINT64_MAX,
            .blob_offset = (uint32_t)(offsetof(struct composite, parts) + i * sizeof(c.parts[0])),
            .blob_size = sizeof(c.parts[0])};
    }
    return c;
}

static void every_component_may_choose_its_osts(void **state)
{
    struct err err;
    struct composite in = composite();
    auto_free struct composite *out = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(layout_prepare(&in, sizeof(in), (void **)&out, &n, &err), 0);
    assert_int_equal(n, sizeof(in));
    assert_memory_equal(&out->entries, &in.entries, sizeof(in.entries));
    for (unsigned i = 0; i < PARTS; i++) {
        assert_int_equal(out->parts[i].stripe_offset, 0xffff);
        assert_int_equal(out->parts[i].pattern, 1);
        assert_int_equal(out->parts[i].stripe_count, i + 1);
    }
}

static void what_contradicts_itself_is_refused(void **state)
{
    struct err err;
    void *out = NULL;
    size_t n = 0;
    struct composite c = composite();
    (void)state;
    assert_int_equal(layout_prepare(&c, 3, &out, &n, &err), -EINVAL);
    assert_int_equal(layout_prepare(&c.parts[0], 31, &out, &n, &err), -EINVAL);
    assert_int_equal(layout_prepare(&c, sizeof(c) - 1, &out, &n, &err), -EINVAL);
    c.entries[1].blob_offset = sizeof(c) - 8;
    assert_int_equal(layout_prepare(&c, sizeof(c), &out, &n, &err), -EINVAL);
    assert_non_null(strstr(err.text, "component 1"));
    c.entries[1].blob_offset = 0; /* over the head */
    assert_int_equal(layout_prepare(&c, sizeof(c), &out, &n, &err), -EINVAL);
    c = composite();
    memset(c.head + offsetof(struct lov_comp_md_v1, entry_count), 0, sizeof(uint16_t));
    assert_int_equal(layout_prepare(&c, sizeof(c), &out, &n, &err), -EINVAL);
    assert_null(out);
}

static void a_foreign_layout_is_none_for_a_new_file(void **state)
{
    struct err err;
    void *out = NULL;
    size_t n = 0;
    struct lov_user_md_v1 in = plain(1);
    (void)state;
    in.magic = LOV_MAGIC_FOREIGN;
    assert_int_equal(layout_prepare(&in, sizeof(in), &out, &n, &err), LAYOUT_NONE);
    struct composite c = composite();
    c.parts[2].magic = LOV_MAGIC_FOREIGN;
    assert_int_equal(layout_prepare(&c, sizeof(c), &out, &n, &err), LAYOUT_NONE);
    assert_null(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stub_of_two_stripes_gets_room_for_its_objects),
        cmocka_unit_test(all_osts_needs_no_objects),
        cmocka_unit_test(a_pool_keeps_its_name),
        cmocka_unit_test(every_component_may_choose_its_osts),
        cmocka_unit_test(what_contradicts_itself_is_refused),
        cmocka_unit_test(a_foreign_layout_is_none_for_a_new_file),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
