/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "conf/copytool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[] = "/tmp/firn-config-cfg-XXXXXX";
static char base[] = "/tmp/firn-config-base-XXXXXX";

static int make_files(void **state)
{
    (void)state;
    auto_close int a = mkstemp(path);
    auto_close int b = mkstemp(base);
    return a < 0 || b < 0 ? -1 : 0;
}

static int remove_files(void **state)
{
    (void)state;
    return unlink(path) + unlink(base);
}

static void put(const char *file, const char *text)
{
    auto_fclose FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
}

/* The file as the old tool's document describes it. */
#define SAMPLE                                                                                     \
    "access_key = \"AKIA\";\nsecret_key = \"s3cr3t\";\nhost = \"localhost:80\";\n"                 \
    "bucket_prefix = \"lustre_hsm\";\nbucket_count = 8;\nchunk_size = 104857600;\nssl = false;\n"

static void the_seven_keys_make_a_store(void **state)
{
    (void)state;
    auto_conf struct conf *c = NULL;
    struct err e = {0};
    put(path, SAMPLE);
    assert_int_equal(conf_dialect(path, &e), CONF_DIALECT_COPYTOOL);
    assert_int_equal(conf_load_copytool(path, NULL, &c, &e), 0);
    assert_int_equal(c->store_count, 1);
    const struct conf_store *s = conf_find_store(c, c->lustre.store);
    assert_non_null(s);
    assert_string_equal(s->endpoint, "http://localhost:80");
    assert_string_equal(s->access_key, "AKIA");
    assert_string_equal(s->secret_key, "s3cr3t");
    assert_string_equal(s->bucket_prefix, "lustre_hsm");
    assert_string_equal(s->style, "path");
    assert_string_equal(s->region, "us-east-1");
    assert_int_equal(s->bucket_count, 8);
    assert_int_equal(s->chunk_size, 104857600);
    assert_int_equal(c->lustre.workers, 32);
}

static void tls_and_odd_chunk_sizes_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *chunk;
        int64_t size;
    } rows[] = {{"0", 64 << 20}, {"4096", 64 << 10}, {"2113929216", 2113929216}};
    for (size_t i = 0; i < 3; i++) {
        auto_conf struct conf *c = NULL;
        struct err e = {0};
        char text[512];
        (void)snprintf(text, sizeof(text),
                       "access_key=\"a\";secret_key=\"b\";host=\"h\";bucket_prefix=\"p\";"
                       "bucket_count=0;chunk_size=%s;ssl=true;",
                       rows[i].chunk);
        put(path, text);
        assert_int_equal(conf_load_copytool(path, NULL, &c, &e), 0);
        assert_string_equal(c->stores[0].endpoint, "https://h");
        assert_int_equal(c->stores[0].chunk_size, rows[i].size);
    }
}

static void the_rest_comes_from_firn_conf(void **state)
{
    (void)state;
    auto_conf struct conf *c = NULL;
    struct err e = {0};
    put(path, SAMPLE);
    put(base,
        "lustre = { workers = 5; state_dir = \"/srv/hsm\"; };\n"
        "stores = ( { name = \"other\"; endpoint = \"http://o\"; bucket_prefix = \"o\"; } );\n");
    assert_int_equal(conf_load_copytool(path, base, &c, &e), 0);
    assert_int_equal(c->lustre.workers, 5);
    assert_string_equal(c->lustre.state_dir, "/srv/hsm");
    assert_int_equal(c->store_count, 2);
    assert_string_equal(c->lustre.store, CONF_COPYTOOL_STORE);
    assert_int_equal(conf_dialect(base, &e), CONF_DIALECT_FIRN);
}

static void without_any_file_all_is_default(void **state)
{
    (void)state;
    auto_conf struct conf *c = NULL;
    struct err e = {0};
    assert_int_equal(conf_load_copytool(NULL, "/nonexistent/firn.conf", &c, &e), 0);
    assert_int_equal(c->store_count, 0);
    assert_string_equal(c->state_dir, "/var/lib/firn");
}

static void what_is_wrong_is_named_with_file_and_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        {"access_key = \"a\";\n", "secret_key is missing"},
        {SAMPLE "retries = 3;\n", ":8: unknown key retries"},
        {"access_key=\"a\";secret_key=\"b\";host=\"h\";bucket_prefix=\"p\";bucket_count=-1;\n"
         "chunk_size=1;ssl=true;",
         "bucket_count = -1: must lie between"},
        {"access_key=\"a\";secret_key=\"b\";host=\"http://h\";bucket_prefix=\"p\";bucket_count=1;\n"
         "chunk_size=1;ssl=true;",
         "host = \"http://h\": host or host:port is expected"},
        {"access_key=\"a\";secret_key=\"\";host=\"h\";bucket_prefix=\"p\";bucket_count=1;\n"
         "chunk_size=1;ssl=true;",
         "access_key and secret_key go together"},
        {"access_key=\"a\";secret_key=\"b\";host=\"h\";bucket_prefix=\"p\";bucket_count=1;\n"
         "chunk_size=\"x\";ssl=true;",
         ":2: chunk_size"},
        {"access_key=\"a\";secret_key=\"b\";host=\"h\";bucket_prefix=\"p\";bucket_count=1;\n"
         "chunk_size=1;ssl=1;",
         ":2: ssl: true or false is expected"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct conf *c = NULL;
        struct err e = {0};
        put(path, rows[i].text);
        assert_int_equal(conf_load_copytool(path, NULL, &c, &e), -EINVAL);
        assert_null(c);
        if (strstr(e.text, rows[i].wanted) == NULL || strncmp(e.text, path, strlen(path)) != 0)
            fail_msg("%s", e.text);
    }
}

static void the_rados_variant_is_told_from_the_s3_one(void **state)
{
    (void)state;
    struct err e = {0};
    put(path, "cluster_name = \"ceph\";\nuser_name = \"client.admin\";\npool_name = \"hsm\";\n");
    assert_int_equal(conf_dialect(path, &e), -ENOTSUP);
    assert_non_null(strstr(e.text, "rados"));
}

static void the_file_of_lhsmtool_posix_is_read(void **state)
{
    (void)state;
    auto_free char *root = NULL, *format = NULL;
    struct err e = {0};
    put(path, "---\n# the archive\narchive_format: v2\narchive_path:  \"/srv/a b\" # here\n");
    assert_int_equal(conf_dialect(path, &e), CONF_DIALECT_POSIX);
    assert_int_equal(conf_load_posix(path, &root, &format, &e), 0);
    assert_string_equal(root, "/srv/a b");
    assert_string_equal(format, "v2");
    put(path, "archive_path: /srv\narchive_pool: x\n");
    assert_int_equal(conf_load_posix(path, &root, &format, &e), -EINVAL);
    assert_non_null(strstr(e.text, ":2: unknown key archive_pool"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_seven_keys_make_a_store),
        cmocka_unit_test(tls_and_odd_chunk_sizes_are_taken),
        cmocka_unit_test(the_rest_comes_from_firn_conf),
        cmocka_unit_test(without_any_file_all_is_default),
        cmocka_unit_test(what_is_wrong_is_named_with_file_and_line),
        cmocka_unit_test(the_rados_variant_is_told_from_the_s3_one),
        cmocka_unit_test(the_file_of_lhsmtool_posix_is_read),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
