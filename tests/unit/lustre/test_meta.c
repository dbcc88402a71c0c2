/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

static const struct lu_fid fid = {0x200000401, 1, 0};

/* A file without a name that can have attributes. */
static int open_file(void)
{
    int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static bool has(const struct meta *m, const char *key, const char *value)
{
    for (size_t i = 0; i < m->n; i++) {
        if (strcmp(m->v[i].key, key) == 0)
            return m->v[i].len == strlen(value) && memcmp(m->v[i].value, value, m->v[i].len) == 0;
    }
    return false;
}

static void read_all(int fd, struct meta *m)
{
    size_t cap = 1 << 20;
    void *buf = malloc(cap);
    assert_non_null(buf);
    meta_read_xattrs(m, fd, &fid, buf, cap);
    free(buf);
}

static void a_user_attribute_cannot_take_a_name_of_ours(void **state)
{
    auto_meta struct meta m = {0};
    int fd = open_file();
    (void)state;
    assert_int_equal(fsetxattr(fd, "user.note", "plain", 5, 0), 0);
    assert_int_equal(fsetxattr(fd, "user." META_DIGEST, "forged", 6, 0), 0);
    assert_int_equal(fsetxattr(fd, "user." META_NAMES, "forged", 6, 0), 0);
    read_all(fd, &m);
    assert_true(has(&m, "note", "plain"));
    assert_false(has(&m, META_DIGEST, "forged"));
    assert_false(has(&m, META_NAMES, "forged"));
    assert_true(has(&m, META_XATTR "user." META_DIGEST, "forged"));
    (void)close(fd);
}

static void long_values_and_long_lists_are_read_whole(void **state)
{
    auto_meta struct meta m = {0};
    char value[2000], name[64];
    int fd = open_file();
    (void)state;
    memset(value, 'v', sizeof(value));
    value[sizeof(value) - 1] = '\0';
    assert_int_equal(fsetxattr(fd, "user.long", value, sizeof(value) - 1, 0), 0);
    for (int i = 0; i < 30; i++) {
        (void)snprintf(name, sizeof(name), "user.a-name-that-makes-the-list-of-names-long-%02d", i);
        assert_int_equal(fsetxattr(fd, name, "x", 1, 0), 0);
    }
    read_all(fd, &m);
    assert_true(has(&m, "long", value));
    assert_int_equal(m.n, 31);
    (void)close(fd);
}

static void every_key_leads_back_to_its_attribute(void **state)
{
    static const char *const pairs[][2] = {
        {"note", "user.note"},
        {"with.dots and spaces", "user.with.dots and spaces"},
        {META_XATTR "user.firn.x", "user.firn.x"},
        {META_XATTR "trusted.kept", "trusted.kept"},
        {META_XATTR "security.capability", "security.capability"},
        {META_XATTR "system.posix_acl_access", "system.posix_acl_access"}};
    char name[256];
    (void)state;
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        assert_int_equal(meta_xattr_name(pairs[i][0], name, sizeof(name)), 0);
        assert_string_equal(name, pairs[i][1]);
    }
}

static void what_firn_or_lustre_keep_is_never_set_from_a_copy(void **state)
{
    static const char *const never[] = {META_FID,
                                        META_NAMES,
                                        META_LAYOUT,
                                        META_PROJID,
                                        META_DIGEST,
                                        "ltfs.hash.sha256sum",
                                        META_XATTR "trusted.firn",
                                        META_XATTR "trusted.firn.place",
                                        META_XATTR "trusted.lov",
                                        META_XATTR "trusted.hsm",
                                        META_XATTR "lustre.lov",
                                        META_XATTR "system.other"};
    char name[256];
    (void)state;
    for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
        assert_int_equal(meta_xattr_name(never[i], name, sizeof(name)), -ENOENT);
}

static void attributes_come_back_on_another_file(void **state)
{
    auto_meta struct meta m = {0};
    int from = open_file(), to = open_file();
    char value[16] = "";
    (void)state;
    assert_int_equal(fsetxattr(from, "user.note", "n", 1, 0), 0);
    assert_int_equal(fsetxattr(from, "user.firn.odd", "o", 1, 0), 0);
    assert_int_equal(fsetxattr(from, "user.empty", "", 0, 0), 0);
    read_all(from, &m);
    const struct tier_entry e = {.xattrs = m.v, .nxattrs = m.n};
    assert_int_equal(meta_apply(&e, to, &fid), 0);
    assert_int_equal(fgetxattr(to, "user.note", value, sizeof(value)), 1);
    assert_int_equal(fgetxattr(to, "user.firn.odd", value, sizeof(value)), 1);
    assert_int_equal(fgetxattr(to, "user.empty", value, sizeof(value)), 0);
    (void)close(from);
    (void)close(to);
}

static void a_digest_is_taken_only_when_it_is_one(void **state)
{
    static const char good[] = "00112233445566778899aabbccddeeff";
    struct tier_xattr x = {META_DIGEST, good, sizeof(good) - 1};
    struct tier_entry e = {.xattrs = &x, .nxattrs = 1};
    uint8_t out[16];
    (void)state;
    assert_true(meta_digest(&e, out));
    assert_int_equal(out[1], 0x11);
    x.len--;
    assert_false(meta_digest(&e, out));
    x.len++;
    x.value = "0011223344556677x899aabbccddeeff";
    assert_false(meta_digest(&e, out));
    x.key = "xxh3-128";
    assert_false(meta_digest(&e, out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_user_attribute_cannot_take_a_name_of_ours),
        cmocka_unit_test(long_values_and_long_lists_are_read_whole),
        cmocka_unit_test(every_key_leads_back_to_its_attribute),
        cmocka_unit_test(what_firn_or_lustre_keep_is_never_set_from_a_copy),
        cmocka_unit_test(attributes_come_back_on_another_file),
        cmocka_unit_test(a_digest_is_taken_only_when_it_is_one),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
