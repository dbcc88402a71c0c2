/* SPDX-License-Identifier: Apache-2.0 */
#include "ops_fixture.h"

#include "engine/registry.h"

#include <errno.h>

struct fixture {
    struct ops_fixture *f;
    struct registry *r;
};

static int setup(void **state)
{
    struct fixture *t = xzalloc(sizeof(*t));
    t->f = ops_new();
    ops_open_catalog(t->f);
    t->r = registry_new(t->f->conf, t->f->cat);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *t = *state;
    registry_free(t->r);
    ops_free(t->f);
    free(t);
    return 0;
}

/* Calls fn with args as JSON text (' stands for "); result as registry.h says. */
static int call(struct fixture *t, registry_op_fn *fn, const char *text, cJSON **result,
                struct err *err)
{
    auto_free char *json = xstrdup(text);
    for (char *p = json; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    auto_json cJSON *args = cJSON_Parse(json);
    auto_json cJSON *own = NULL;
    err_clear(err);
    assert_non_null(args);
    return fn(t->r, args, result != NULL ? result : &own, err);
}

static void must(struct fixture *t, registry_op_fn *fn, const char *text, cJSON **result)
{
    struct err e = {0};
    if (call(t, fn, text, result, &e) != 0)
        fail_msg("%s: %s", text, e.text);
}

static int64_t generation(struct fixture *t)
{
    auto_json cJSON *j = NULL;
    must(t, registry_generation, "{}", &j);
    return json_int(j, "generation", -1);
}

static void path_of(struct fixture *t, const char *rest, char *out)
{
    (void)snprintf(out, 256, "%s/fs1/%s", t->f->dir, rest);
}

static void an_account_gets_keys_of_the_usual_form(void **state)
{
    struct fixture *t = *state;
    auto_json cJSON *a = NULL;
    auto_json cJSON *b = NULL;
    must(t, registry_account_create, "{'name':'user1','uid':1001,'gid':1002}", &a);
    must(t, registry_account_create, "{'name':'user2','uid':1003,'gid':1003}", &b);
    const char *key = json_str(a, "access_key", "");
    assert_int_equal(strlen(key), 20);
    assert_int_equal(strlen(json_str(a, "secret_key", "")), 40);
    assert_string_not_equal(key, json_str(b, "access_key", ""));
    assert_string_not_equal(json_str(a, "secret_key", ""), json_str(b, "secret_key", ""));
    assert_int_equal(json_int(a, "uid", 0), 1001);
    assert_int_equal(json_int(a, "gid", 0), 1002);
    assert_true(json_bool(a, "enabled", false));
}

static void secrets_are_shown_only_when_asked(void **state)
{
    struct fixture *t = *state;
    auto_json cJSON *plain = NULL;
    auto_json cJSON *full = NULL;
    must(t, registry_account_create, "{'name':'user1','uid':1001,'gid':1001}", NULL);
    must(t, registry_account_list, "{}", &plain);
    must(t, registry_account_show, "{'name':'user1','secrets':true}", &full);
    const cJSON *p = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(plain, "accounts"), 0);
    const cJSON *s = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(full, "accounts"), 0);
    assert_false(cJSON_HasObjectItem(p, "secret_key"));
    assert_int_equal(strlen(json_str(s, "secret_key", "")), 40);
}

static void accounts_that_would_be_root_or_have_bad_names_or_keys_are_refused(void **state)
{
    static const char *const bad[] = {
        "{'name':'user1'}",
        "{'name':'user1','uid':0,'gid':5}",
        "{'name':'user1','uid':5,'gid':0}",
        "{'name':'user1','uid':4294967295,'gid':5}",
        "{'name':'user1','user':'root'}",
        "{'name':'user1','user':'no-such-user-here'}",
        "{'name':'-x','uid':5,'gid':5}",
        "{'name':'a/b','uid':5,'gid':5}",
        "{'name':'','uid':5,'gid':5}",
        "{'uid':5,'gid':5}",
        "{'name':'user1','uid':5,'gid':5,'access_key':'AAAABBBB'}",
        "{'name':'user1','uid':5,'gid':5,'access_key':'AA/BB','secret_key':'12345678'}",
        "{'name':'user1','uid':5,'gid':5,'access_key':'AABB','secret_key':'1234 5678'}",
        "{'name':'user1','uid':5,'gid':5,'access_key':'AABB','secret_key':'short'}",
        "{'name':'user1','uid':5,'gid':5,'new_buckets':'/etc'}",
        "{'name':'user1','uid':5,'gid':5,'new_buckets':'relative'}",
    };
    struct fixture *t = *state;
    struct err e = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (call(t, registry_account_create, bad[i], NULL, &e) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
    auto_json cJSON *j = NULL;
    must(t, registry_account_list, "{}", &j);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(j, "accounts")), 0);
}

static void names_and_access_keys_are_taken_once(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    must(t, registry_account_create,
         "{'name':'a','uid':5,'gid':5,'access_key':'KEY1','secret_key':'12345678'}", NULL);
    assert_int_equal(call(t, registry_account_create, "{'name':'a','uid':6,'gid':6}", NULL, &e),
                     -EEXIST);
    assert_int_equal(
        call(t, registry_account_create,
             "{'name':'b','uid':5,'gid':5,'access_key':'KEY1','secret_key':'abcdefgh'}", NULL, &e),
        -EEXIST);
    assert_non_null(strstr(e.text, "KEY1"));
}

static void rotation_adds_a_second_pair_that_can_become_the_first(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *old = NULL;
    auto_json cJSON *rotated = NULL;
    auto_json cJSON *now = NULL;
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", &old);
    assert_int_equal(call(t, registry_account_set, "{'name':'a','promote':true}", NULL, &e),
                     -EINVAL);
    must(t, registry_account_rotate, "{'name':'a'}", &rotated);
    assert_string_equal(json_str(rotated, "access_key", ""), json_str(old, "access_key", "x"));
    assert_int_equal(strlen(json_str(rotated, "access_key2", "")), 20);
    assert_int_equal(strlen(json_str(rotated, "secret_key2", "")), 40);
    must(t, registry_account_set, "{'name':'a','promote':true,'enabled':false}", &now);
    assert_string_equal(json_str(now, "access_key", ""), json_str(rotated, "access_key2", "x"));
    assert_string_equal(json_str(now, "access_key2", "x"), "");
    assert_false(json_bool(now, "enabled", true));
}

static void a_bucket_has_its_directory_with_the_accounts_rights(void **state)
{
    struct fixture *t = *state;
    char path[256];
    struct stat st;
    auto_json cJSON *j = NULL;
    must(t, registry_account_create, "{'name':'a','uid':1005,'gid':1006}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", &j);
    path_of(t, "buckets/test1", path);
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_int_equal(st.st_mode & 07777, 0770);
    assert_int_equal(st.st_uid, 1005);
    assert_int_equal(st.st_gid, 1006);
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(j, "bucket");
    assert_string_equal(json_str(b, "path", ""), path);
    assert_int_equal(json_int(b, "uid", 0), 1005);
    assert_false(json_bool(b, "exported", true));
}

static void a_bucket_name_is_taken_once_and_the_owner_is_told(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *details = NULL;
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    must(t, registry_account_create, "{'name':'b','uid':6,'gid':6}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    int rc = call(t, registry_bucket_create, "{'name':'test1','owner':'b'}", &details, &e);
    assert_int_equal(rc, -EEXIST);
    assert_string_equal(json_str(details, "owner", ""), "a");
    assert_int_equal(call(t, registry_bucket_create, "{'name':'test2','owner':'c'}", NULL, &e),
                     -ENOENT);
}

static void an_empty_directory_left_by_a_crash_is_taken_over_and_a_full_one_is_not(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    char path[256];
    struct stat st;
    must(t, registry_account_create, "{'name':'a','uid':1005,'gid':1005}", NULL);
    path_of(t, "buckets/left", path);
    assert_int_equal(mkdir(path, 0700), 0);
    must(t, registry_bucket_create, "{'name':'left','owner':'a'}", NULL);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 1005);
    path_of(t, "buckets/full", path);
    assert_int_equal(mkdir(path, 0700), 0);
    path_of(t, "buckets/full/x", path);
    ops_write(path, "x");
    assert_int_equal(call(t, registry_bucket_create, "{'name':'full','owner':'a'}", NULL, &e),
                     -EEXIST);
    path_of(t, "buckets/full", path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_uid, 0);
}

static void a_bucket_is_deleted_only_when_empty_and_hidden_directories_go_with_it(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    char path[256];
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    path_of(t, "buckets/test1/.noobaa-nsfs_1/multipart-uploads/7", path);
    assert_ok(io_mkdirs(path, 0700, &e), e);
    path_of(t, "buckets/test1/.noobaa-nsfs_1/multipart-uploads/7/part-1", path);
    ops_write(path, "data");
    path_of(t, "buckets/test1/.firn-tmp", path);
    ops_write(path, "data");
    path_of(t, "buckets/test1/object", path);
    ops_write(path, "data");
    assert_int_equal(call(t, registry_bucket_delete, "{'name':'test1'}", NULL, &e), -ENOTEMPTY);
    path_of(t, "buckets/test1/.noobaa-nsfs_1/multipart-uploads/7/part-1", path);
    assert_int_equal(access(path, F_OK), 0);
    path_of(t, "buckets/test1/object", path);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(
        call(t, registry_bucket_delete, "{'name':'test1','account':'other'}", NULL, &e), -EACCES);
    must(t, registry_bucket_delete, "{'name':'test1','account':'a'}", NULL);
    path_of(t, "buckets/test1", path);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(call(t, registry_bucket_delete, "{'name':'test1'}", NULL, &e), -ENOENT);
}

static void a_link_in_a_bucket_is_not_followed_on_delete(void **state)
{
    struct fixture *t = *state;
    char path[256];
    char victim[256];
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    path_of(t, "precious", victim);
    assert_int_equal(mkdir(victim, 0755), 0);
    path_of(t, "buckets/test1/.firn-link", path);
    assert_int_equal(symlink(victim, path), 0);
    path_of(t, "precious/file", victim);
    ops_write(victim, "data");
    must(t, registry_bucket_delete, "{'name':'test1'}", NULL);
    assert_int_equal(access(victim, F_OK), 0);
}

static void a_bucket_whose_directory_is_gone_can_be_deleted(void **state)
{
    struct fixture *t = *state;
    char path[256];
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    path_of(t, "buckets/test1", path);
    assert_int_equal(rmdir(path), 0);
    must(t, registry_bucket_delete, "{'name':'test1'}", NULL);
}

static void an_exported_directory_is_only_forgotten(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    char path[256];
    char text[512];
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    path_of(t, "archive", path);
    assert_int_equal(mkdir(path, 0755), 0);
    (void)snprintf(text, sizeof(text), "{'name':'old-data','owner':'a','path':'%s/'}", path);
    must(t, registry_bucket_create, text, NULL);
    (void)snprintf(text, sizeof(text), "{'name':'again','owner':'a','path':'%s'}", path);
    assert_int_equal(call(t, registry_bucket_create, text, NULL, &e), -EEXIST);
    assert_int_equal(
        call(t, registry_bucket_create, "{'name':'etc-files','owner':'a','path':'/etc'}", NULL, &e),
        -EINVAL);
    path_of(t, "archive/file", path);
    ops_write(path, "data");
    must(t, registry_bucket_delete, "{'name':'old-data'}", NULL);
    assert_int_equal(access(path, F_OK), 0);
}

static void an_account_with_buckets_stays_and_they_are_named(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *details = NULL;
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    int rc = call(t, registry_account_delete, "{'name':'a'}", &details, &e);
    assert_int_equal(rc, -ENOTEMPTY);
    const cJSON *names = cJSON_GetObjectItemCaseSensitive(details, "buckets");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(names, 0)), "test1");
    must(t, registry_bucket_delete, "{'name':'test1'}", NULL);
    must(t, registry_account_delete, "{'name':'a'}", NULL);
    assert_int_equal(call(t, registry_account_delete, "{'name':'a'}", NULL, &e), -ENOENT);
}

static void the_generation_changes_with_every_change_and_only_then(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    int64_t g0 = generation(t);
    must(t, registry_account_create, "{'name':'a','uid':5,'gid':5}", NULL);
    int64_t g1 = generation(t);
    must(t, registry_bucket_create, "{'name':'test1','owner':'a'}", NULL);
    int64_t g2 = generation(t);
    must(t, registry_account_set, "{'name':'a','enabled':false}", NULL);
    int64_t g3 = generation(t);
    must(t, registry_bucket_delete, "{'name':'test1'}", NULL);
    int64_t g4 = generation(t);
    assert_true(g0 < g1 && g1 < g2 && g2 < g3 && g3 < g4);
    must(t, registry_bucket_list, "{}", NULL);
    assert_int_equal(call(t, registry_bucket_delete, "{'name':'test1'}", NULL, &e), -ENOENT);
    assert_true(generation(t) == g4);
}

static void bucket_names_follow_the_rules_of_s3(void **state)
{
    static const char *const good[] = {
        "abc", "a-b.c", "3com", "test1",
        "a23456789012345678901234567890123456789012345678901234567890123"};
    static const char *const bad[] = {
        "",         "ab",      "Abc",
        "a_b",      "-abc",    "abc-",
        ".abc",     "abc.",    "a..b",
        "10.1.2.3", "xn--abc", "abc-s3alias",
        "a/b",      "a\nb",    "abc--ol-s3",
        "sthree-x", "..",      "a234567890123456789012345678901234567890123456789012345678901234",
    };
    (void)state;
    struct err e = {0};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_ok(registry_check_bucket_name(good[i], &e), e);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (registry_check_bucket_name(bad[i], &e) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i]);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        T(an_account_gets_keys_of_the_usual_form),
        T(secrets_are_shown_only_when_asked),
        T(accounts_that_would_be_root_or_have_bad_names_or_keys_are_refused),
        T(names_and_access_keys_are_taken_once),
        T(rotation_adds_a_second_pair_that_can_become_the_first),
        T(a_bucket_has_its_directory_with_the_accounts_rights),
        T(a_bucket_name_is_taken_once_and_the_owner_is_told),
        T(an_empty_directory_left_by_a_crash_is_taken_over_and_a_full_one_is_not),
        T(a_bucket_is_deleted_only_when_empty_and_hidden_directories_go_with_it),
        T(a_link_in_a_bucket_is_not_followed_on_delete),
        T(a_bucket_whose_directory_is_gone_can_be_deleted),
        T(an_exported_directory_is_only_forgotten),
        T(an_account_with_buckets_stays_and_they_are_named),
        T(the_generation_changes_with_every_change_and_only_then),
        cmocka_unit_test(bucket_names_follow_the_rules_of_s3),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
