/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "conf/conf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char path[] = "/tmp/firn-conf-XXXXXX";

static int load(const char *text, struct conf **c, struct err *err)
{
    auto_fclose FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fflush(f), 0);
    return conf_load(path, c, err);
}

#define SITE                                                                                       \
    "filesystems = ( { name = \"fs1\"; path = \"/srv/fs1/\"; } );\n"                               \
    "libraries = ( { name = \"lib1\"; path = \"/srv/lib1\"; } );\n"

/* One store with these keys besides. */
#define PACKS(keys)                                                                                \
    "stores = ( { name=\"a\"; endpoint=\"http://h\"; bucket_prefix=\"b\"; " keys " } );\n"

static void a_small_file_gets_all_defaults(void **state)
{
    (void)state;
    auto_conf struct conf *c = NULL;
    struct err err = {0};
    assert_int_equal(load(SITE, &c, &err), 0);
    assert_string_equal(c->socket, "/run/firn/firnd.sock");
    assert_string_equal(c->filesystems[0].path, "/srv/fs1");
    assert_string_equal(c->filesystems[0].posix_readers, "any");
    assert_string_equal(c->s3.buckets, "/srv/fs1/buckets");
    assert_true(c->buffers.size_bytes == 1048576);
    assert_int_equal(c->policy.builtin_exec.count, 2);
    assert_string_equal(c->policy.builtin_exec.items[1], "firn");
    assert_ptr_equal(conf_find_filesystem(c, "/srv/fs1/a/b"), &c->filesystems[0]);
    assert_null(conf_find_filesystem(c, "/srv/fs10"));
    assert_ptr_equal(conf_find_library(c, "lib1"), &c->libraries[0]);
}

static void sizes_take_units(void **state)
{
    (void)state;
    auto_conf struct conf *c = NULL;
    struct err err = {0};
    assert_int_equal(load("buffers = { size = \"2 MiB\"; count = 8; };\n", &c, &err), 0);
    assert_true(c->buffers.size_bytes == 2097152);
    assert_true(c->buffers.count == 8);
}

static void what_is_wrong_is_named_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *says;
    } cases[] = {
        {"site = \"x\";\nfoo = 1;\n", ":2: unknown key foo; known are site, state_dir"},
        {"s3 = {\n listn = \"a\"; };\n", ":2: unknown key s3.listn; known are listen"},
        {"s3 = { workers = \"many\"; };\n", ":1: s3: workers: a number is expected"},
        {"buffers = { count = 1; };\n", "count = 1: must lie between 4 and 65536"},
        {"buffers = { size = \"1 XB\"; };\n", "size: a number of bytes or a text such as"},
        {"log_level = \"loud\";\n", "one of err|warn|info|debug is expected"},
        {"state_dir = \"here\";\n", "an absolute path is expected"},
        {"site = \"a b\";\n", "1 to 64 letters"},
        {"site = \n", "syntax error"},
        {"filesystems = ( { path = \"/a\"; } );\n", ":1: filesystems: name is missing"},
        {"filesystems = { };\n", ":1: filesystems: a list"},
        {"filesystems = ( 1 );\n", "every element must be a group"},
        {"migrate = 5;\n", ":1: migrate: a group { ... } is expected"},
        {"migrate = { pack = 1; };\n", "pack: true or false is expected"},
        {"policy = { include_dirs = [1]; };\n", "every element must be a string"},
        {"pools = ( { name = \"p\"; library = \"l\"; } );\n", "which is not configured"},
        {"stores = ( { name=\"a\"; endpoint=\"h:1\"; bucket_prefix=\"b\"; } );\n",
         "must begin with https"},
        {"stores = ( { name=\"a\"; endpoint=\"http://h\"; bucket_prefix=\"b\"; },\n"
         "{ name=\"c\"; endpoint=\"http://h\"; bucket_prefix=\"b\"; } );\n",
         "a and c are the same place"},
        {"stores = ( { name=\"a\"; endpoint=\"http://h\"; bucket_prefix=\"b\"; } );\n"
         "pools = ( { name=\"p\"; library=\"a\"; }, { name=\"q\"; library=\"a\"; } );\n",
         "p and q both name the store a"},
        {"stores = ( { name=\"a\"; endpoint=\"http://h\"; bucket_prefix=\"b\"; access_key=\"k\"; } "
         ");\n",
         "go together"},
        {"stores = ( { name=\"a\"; endpoint=\"http://h\"; bucket_prefix=\"b_c\"; "
         "style=\"virtual\"; } );\n",
         "underscore"},
        {PACKS("pack_size=\"64KiB\";"), "pack_size = 65536: must be 0 (no packs) or at least 1MiB"},
        {PACKS("pack_size=\"1GiB\";"), "pack_size = 1073741824: must lie between 0 and 536870912"},
        {PACKS("pack_file=\"2MiB\";"), "pack_file = 2097152: must lie between 1 and 1048576"},
        {PACKS("pack_size=\"1MiB\"; pack_file=\"512KiB\";"),
         "pack_file = 524288: must be a quarter of pack_size (1048576) at most"},
        {"lustre = { store = \"s\"; };\n", "store s is not configured"},
        {"state_dir = \"/srv/fs1/x\";\n" SITE, "lies in the managed file system fs1"},
        {"s3 = { buckets = \"/elsewhere\"; };\n" SITE, "does not lie in the file system fs1"},
        {"filesystems = ( { name=\"a\"; path=\"/m\"; }, { name=\"b\"; path=\"/m/n\"; } );\n",
         "overlap"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct conf *c = NULL;
        struct err err = {0};
        assert_true(load(cases[i].text, &c, &err) < 0);
        assert_null(c);
        if (strstr(err.text, cases[i].says) == NULL || strstr(err.text, path) == NULL)
            fail_msg("case %zu: \"%s\" lacks \"%s\"", i, err.text, cases[i].says);
    }
}

static void packs_are_made_only_when_a_size_is_given(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t size, file;
    } cases[] = {{PACKS(""), 0, 256 << 10},
                 {PACKS("pack_file = 1048576;"), 0, 1 << 20},
                 {PACKS("pack_size = \"1MiB\";"), 1 << 20, 256 << 10},
                 {PACKS("pack_size = \"512MiB\"; pack_file = 1;"), 512 << 20, 1}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        auto_conf struct conf *c = NULL;
        struct err err = {0};
        if (load(cases[i].text, &c, &err) != 0)
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(c->stores[0].pack_size, cases[i].size);
        assert_int_equal(c->stores[0].pack_file, cases[i].file);
    }
}

static void a_missing_file_is_named(void **state)
{
    (void)state;
    struct conf *c = NULL;
    struct err err = {0};
    assert_int_equal(conf_load("/nonexistent/firn.conf", &c, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/firn.conf"));
}

static int make_file(void **state)
{
    (void)state;
    auto_close int fd = mkstemp(path);
    return fd < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
    (void)state;
    return remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_file_gets_all_defaults),
        cmocka_unit_test(sizes_take_units),
        cmocka_unit_test(what_is_wrong_is_named_with_file_and_line),
        cmocka_unit_test(packs_are_made_only_when_a_size_is_given),
        cmocka_unit_test(a_missing_file_is_named),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_file, remove_file);
}
