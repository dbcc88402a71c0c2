/* SPDX-License-Identifier: Apache-2.0 */
/* The authoritative xattr, its mirrors and its sidecar, on real files. */
#include "unit.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "s3/meta.h"
#include "s3/xa.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/wait.h>
#include <sys/xattr.h>

static int new_file(const struct dir *d, const char *name)
{
    int fd = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "data", 4), 4);
    return fd;
}

static char *attr(int fd, const char *name)
{
    static char value[8192];
    ssize_t n = fgetxattr(fd, name, value, sizeof value - 1);
    if (n < 0)
        return NULL;
    value[n] = '\0';
    return value;
}

static void set_attr(int fd, const char *name, const char *value)
{
    assert_int_equal(fsetxattr(fd, name, value, strlen(value), 0), 0);
}

static size_t sidecars(const struct dir *d)
{
    int fd = openat(d->fd, META_SIDECAR_DIR, O_RDONLY | O_DIRECTORY);
    if (fd < 0)
        return 0;
    size_t n = 0;
    DIR *dp = fdopendir(fd);
    for (struct dirent *e = readdir(dp); e != NULL; e = readdir(dp))
        n += e->d_name[0] != '.';
    (void)closedir(dp);
    return n;
}

static void load(const struct dir *d, int fd, struct meta *m)
{
    struct err err = {0};
    meta_init(m);
    assert_int_equal(meta_load(fd, d->fd, m, &err), 0);
}

static void a_new_object_carries_noobaas_names(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    meta_put(&m.user, "action", "migrate");
    meta_put(&m.tags, "project", "x");
    meta_set_head(&m, META_CONTENT_TYPE, "text/plain");
    meta_set_head(&m, META_CACHE_CONTROL, "no-cache");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    assert_string_equal(attr(fd, "user.action"), "migrate");
    assert_string_equal(attr(fd, "user.noobaa.tag.project"), "x");
    assert_string_equal(attr(fd, "user.noobaa.content_type"), "text/plain");
    assert_string_equal(attr(fd, "user.storage_class"), "STANDARD");
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_string_equal(meta_get(&got.user, "action"), "migrate");
    assert_string_equal(meta_get(&got.tags, "project"), "x");
    assert_string_equal(got.head[META_CACHE_CONTROL], "no-cache");
    assert_int_equal(got.user.n, 1);
    assert_int_equal(got.tags.n, 1);
    assert_false(got.pending);
}

static void metadata_cannot_reach_state(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    static const char *const keys[] = {"storage_class",       "content_md5", "noobaa.tag.action",
                                       "noobaa.content_type", "firn.s.meta", "noobaa.version_id"};
    auto_meta struct meta m;
    meta_init(&m);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        meta_put(&m.user, keys[i], "evil");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    assert_string_equal(attr(fd, "user.storage_class"), "STANDARD");
    assert_null(attr(fd, "user.content_md5"));
    assert_null(attr(fd, "user.noobaa.tag.action"));
    assert_null(attr(fd, "user.noobaa.version_id"));
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_int_equal(got.user.n, sizeof keys / sizeof keys[0]);
    assert_string_equal(meta_get(&got.user, "storage_class"), "evil");
    assert_string_equal(got.storage_class, "STANDARD");
    assert_int_equal(got.tags.n, 0);
}

static void a_mirror_edited_by_a_posix_tool_wins(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    meta_put(&m.tags, "action", "migrate");
    meta_put(&m.tags, "keep", "1");
    meta_put(&m.user, "gone", "1");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    set_attr(fd, "user.noobaa.tag.action", "recall");
    set_attr(fd, "user.noobaa.tag.new", "n");
    set_attr(fd, "user.storage_class", "GLACIER");
    assert_int_equal(fremovexattr(fd, "user.gone"), 0);
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_string_equal(meta_get(&got.tags, "action"), "recall");
    assert_string_equal(meta_get(&got.tags, "keep"), "1");
    assert_string_equal(meta_get(&got.tags, "new"), "n");
    assert_null(meta_get(&got.user, "gone"));
    assert_string_equal(got.storage_class, "GLACIER");
    set_attr(fd, "user.storage_class", "nonsense");
    auto_meta struct meta again;
    load(d, fd, &again);
    assert_string_equal(again.storage_class, "STANDARD");
}

/* A new object's file after one edit: xattr name gets the n bytes of value (NULL: it goes). */
static int edited(const struct dir *d, const char *name, const char *value, size_t n)
{
    int fd = new_file(d, name);
    auto_meta struct meta m;
    meta_init(&m);
    meta_put(&m.tags, "action", "migrate");
    meta_put(&m.user, "who", "me");
    meta_set_head(&m, META_CONTENT_TYPE, "text/plain");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    if (value != NULL)
        assert_int_equal(fsetxattr(fd, name, value, n, 0), 0);
    else
        assert_int_equal(fremovexattr(fd, name), 0);
    return fd;
}

static void one_edit_of_one_mirror_is_seen(void **state)
{
    struct dir *d = *state;
    {
        auto_close int fd = edited(d, "user.who", "us", 2); /* as long as before */
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_string_equal(meta_get(&m.user, "who"), "us");
    }
    {
        auto_close int fd = edited(d, "user.noobaa.tag.action", NULL, 0);
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_int_equal(m.tags.n, 0);
        assert_string_equal(meta_get(&m.user, "who"), "me");
    }
    {
        auto_close int fd = edited(d, "user.other", "new", 3);
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_string_equal(meta_get(&m.user, "other"), "new");
    }
    {
        auto_close int fd = edited(d, "user.noobaa.content_type", "text/html", 9);
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_string_equal(m.head[META_CONTENT_TYPE], "text/html");
    }
    {
        auto_close int fd = edited(d, "user.noobaa.content_encoding", "gzip", 4);
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_string_equal(m.head[META_CONTENT_ENCODING], "gzip");
    }
    {
        auto_close int fd = edited(d, "user.firn.else", "state", 5); /* not metadata's */
        auto_meta struct meta m;
        load(d, fd, &m);
        assert_int_equal(m.user.n, 1);
    }
}

static void values_without_a_mirror_come_from_the_text(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    for (int i = 0; i < 60; i++) { /* many short ones: the text has room, their mirrors do not */
        char key[16];
        (void)snprintf(key, sizeof key, "key-%02d", i);
        meta_put(&m.user, key, "a value");
    }
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    assert_true(fgetxattr(fd, "user.key-59", NULL, 0) < 0);
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_int_equal(got.user.n, 60);
    set_attr(fd, "user.key-59", "edited");
    auto_meta struct meta again;
    load(d, fd, &again);
    assert_string_equal(meta_get(&again.user, "key-59"), "edited");
    assert_string_equal(meta_get(&again.user, "key-58"), "a value");
}

static void a_file_of_another_program_is_read_by_its_mirrors(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    set_attr(fd, "user.action", "migrate");
    set_attr(fd, "user.noobaa.content_type", "image/png");
    set_attr(fd, "user.noobaa.content_encoding", "aws-chunked");
    set_attr(fd, "user.noobaa.tag.k", "v");
    set_attr(fd, "user.noobaa.restore.request", "1");
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_string_equal(meta_get(&got.user, "action"), "migrate");
    assert_string_equal(meta_get(&got.tags, "k"), "v");
    assert_string_equal(got.head[META_CONTENT_TYPE], "image/png");
    assert_null(got.head[META_CONTENT_ENCODING]);
    assert_int_equal(got.user.n, 1);
}

static void put_tags(const struct dir *d, int fd, const char *k1, const char *v1, const char *k2,
                     const char *v2)
{
    auto_meta struct meta m;
    meta_init(&m);
    struct meta_set tags = {0};
    if (k1 != NULL)
        meta_put(&tags, k1, v1);
    if (k2 != NULL)
        meta_put(&tags, k2, v2);
    struct err err = {0};
    assert_int_equal(meta_replace_tags(fd, d->fd, &m, &tags, &err), 0);
    meta_set_fini(&tags);
}

static void tagging_replaces_the_whole_set_and_keeps_mtime(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    struct stat before;
    struct stat after;
    assert_int_equal(fstat(fd, &before), 0);
    put_tags(d, fd, "action", "migrate", "other", "1");
    put_tags(d, fd, "action", "recall", NULL, NULL);
    assert_string_equal(attr(fd, "user.noobaa.tag.action"), "recall");
    assert_null(attr(fd, "user.noobaa.tag.other"));
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_int_equal(got.tags.n, 1);
    assert_false(got.pending);
    put_tags(d, fd, NULL, NULL, NULL, NULL);
    assert_null(attr(fd, "user.noobaa.tag.action"));
    assert_int_equal(fstat(fd, &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
}

static void tagging_works_by_name_alone(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_close int name = openat(d->fd, "f", O_PATH);
    put_tags(d, name, "action", "migrate", NULL, NULL);
    assert_string_equal(attr(fd, "user.noobaa.tag.action"), "migrate");
    auto_meta struct meta got;
    load(d, name, &got);
    assert_string_equal(meta_get(&got.tags, "action"), "migrate");
}

static void a_crash_while_tagging_shows_one_whole_set(void **state)
{
    struct dir *d = *state;
    static const char *const points[] = {"tag_blob", "tag_mirrors"};
    for (size_t i = 0; i < 2; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%zu", i);
        auto_close int fd = new_file(d, name);
        put_tags(d, fd, "action", "migrate", "a", "old");
        pid_t child = fork();
        if (child == 0) { /* a new program: crash points are read from the environment once */
            (void)setenv("FIRN_CRASH_POINT", points[i], 1);
            (void)execl("/proc/self/exe", "test_meta", d->path, name, NULL);
            _exit(127);
        }
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        auto_meta struct meta got;
        load(d, fd, &got);
        assert_int_equal(got.pending, i == 0);
        assert_int_equal(got.tags.n, 2);
        assert_string_equal(meta_get(&got.tags, "action"), "recall");
        assert_string_equal(meta_get(&got.tags, "b"), "new");
        put_tags(d, fd, "action", "recall", "b", "new"); /* what the next reader does */
        assert_null(attr(fd, "user.noobaa.tag.a"));
        assert_string_equal(attr(fd, "user.noobaa.tag.action"), "recall");
        auto_meta struct meta healed;
        load(d, fd, &healed);
        assert_false(healed.pending);
        assert_int_equal(healed.tags.n, 2);
    }
}

/* The largest set that S3 allows: 10 tags of 128 and 256 characters of four bytes each. */
static void largest_tags(struct meta_set *tags)
{
    for (int i = 0; i < 10; i++) {
        char key[128 * 4 + 1] = "";
        char value[256 * 4 + 1] = "";
        for (int k = 0; k < 128; k++)
            memcpy(key + 4 * k, "\xf0\x9f\x98\x80", 4);
        for (int k = 0; k < 256; k++)
            memcpy(value + 4 * k, "\xf0\x9f\x98\x81", 4);
        key[3] = (char)(0x80 + i);
        meta_put(tags, key, value);
    }
}

static void the_largest_legal_tags_and_metadata_fit_by_a_sidecar(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    char long_value[1900];
    memset(long_value, 'v', sizeof long_value);
    long_value[sizeof long_value - 1] = '\0';
    char long_key[250];
    memset(long_key, 'k', sizeof long_key);
    long_key[sizeof long_key - 1] = '\0';
    meta_put(&m.user, long_key, "1");
    meta_put(&m.user, "large", long_value);
    largest_tags(&m.tags);
    struct err err = {0};
    assert_int_equal(meta_store_new(fd, d->fd, &m, &err), 0);
    assert_int_equal(sidecars(d), 1);
    assert_string_equal(attr(fd, "user.storage_class"), "STANDARD");
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_int_equal(got.tags.n, 10);
    assert_string_equal(meta_get(&got.user, "large"), long_value);
    assert_string_equal(meta_get(&got.user, long_key), "1");
    /* Room is left for the engine's record. */
    char record[60] = {0};
    assert_int_equal(fsetxattr(fd, "user.as-large-as-a-record", record, sizeof record, 0), 0);
    put_tags(d, fd, "small", "1", NULL, NULL); /* still long metadata: a sidecar again, one */
    assert_int_equal(sidecars(d), 1);
    char name[64];
    meta_sidecar_of(fd, name);
    assert_int_equal(strlen(name), 32);
    meta_sidecar_drop(d->fd, name);
    assert_int_equal(sidecars(d), 0);
}

static void a_lost_sidecar_leaves_what_the_mirrors_tell(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    meta_set_head(&m, META_CONTENT_TYPE, "text/plain");
    largest_tags(&m.tags);
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    char name[64];
    meta_sidecar_of(fd, name);
    meta_sidecar_drop(d->fd, name);
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_string_equal(got.head[META_CONTENT_TYPE], "text/plain");
}

static void a_damaged_xattr_is_not_believed(void **state)
{
    struct dir *d = *state;
    static const char *const bad[] = {"",
                                      "{",
                                      "[]",
                                      "{\"v\":99}",
                                      "{\"v\":1,\"ref\":\"../../x\"}",
                                      "{\"v\":1,\"parts\":[1e9,5]}",
                                      "{\"v\":1,\"parts\":[-1,5]}"};
    auto_close int fd = new_file(d, "f");
    set_attr(fd, "user.noobaa.tag.k", "v");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        set_attr(fd, META_XATTR, bad[i]);
        auto_meta struct meta got;
        load(d, fd, &got);
        assert_string_equal(meta_get(&got.tags, "k"), "v");
        assert_int_equal(got.n_parts, 0);
    }
}

static void part_sizes_and_checksum_come_back(void **state)
{
    struct dir *d = *state;
    auto_close int fd = new_file(d, "f");
    auto_meta struct meta m;
    meta_init(&m);
    m.parts = xrealloc_array(NULL, 10000, sizeof *m.parts);
    for (; m.n_parts < 10000; m.n_parts++)
        m.parts[m.n_parts] = m.n_parts < 9999 ? 8 << 20 : 5;
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    m.sum_alg = S3_SUM_CRC64NVME;
    (void)snprintf(m.sum, sizeof m.sum, "%s", "rosUhgp5mIg=");
    m.data_size = st.st_size;
    m.data_mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec;
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    assert_int_equal(sidecars(d), 0);
    auto_meta struct meta got;
    load(d, fd, &got);
    assert_int_equal(got.n_parts, 10000);
    assert_int_equal(got.parts[9999], 5);
    assert_true(meta_sum_valid(&got, &st));
    assert_string_equal(got.sum, "rosUhgp5mIg=");
    assert_int_equal(write(fd, "more", 4), 4); /* edited by a POSIX tool */
    assert_int_equal(fstat(fd, &st), 0);
    assert_false(meta_sum_valid(&got, &st));
}

static void clearing_leaves_no_attribute_behind(void **state)
{
    struct dir *d = *state;
    assert_int_equal(mkdirat(d->fd, "sub", 0700), 0);
    auto_close int fd = openat(d->fd, "sub", O_RDONLY | O_DIRECTORY);
    auto_meta struct meta m;
    meta_init(&m);
    meta_put(&m.user, "a", "b");
    assert_int_equal(meta_store_new(fd, d->fd, &m, NULL), 0);
    set_attr(fd, META_DIR_XATTR, "0");
    assert_int_equal(meta_clear(fd, d->fd, NULL), 0);
    char names[256];
    ssize_t n = flistxattr(fd, names, sizeof names);
    for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1)
        assert_int_not_equal(strncmp(p, "user.", 5), 0);
}

#define IN_DIR(f) cmocka_unit_test_setup_teardown(f, dir_init, dir_fini)

/* What the crash test runs in a program of its own: new tags for file name in directory path. */
static int tag(const char *path, const char *name)
{
    struct dir d = {.fd = open(path, O_RDONLY | O_DIRECTORY)};
    int fd = openat(d.fd, name, O_RDWR);
    put_tags(&d, fd, "action", "recall", "b", "new");
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return tag(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        IN_DIR(a_new_object_carries_noobaas_names),
        IN_DIR(metadata_cannot_reach_state),
        IN_DIR(a_mirror_edited_by_a_posix_tool_wins),
        IN_DIR(one_edit_of_one_mirror_is_seen),
        IN_DIR(values_without_a_mirror_come_from_the_text),
        IN_DIR(a_file_of_another_program_is_read_by_its_mirrors),
        IN_DIR(tagging_replaces_the_whole_set_and_keeps_mtime),
        IN_DIR(tagging_works_by_name_alone),
        IN_DIR(a_crash_while_tagging_shows_one_whole_set),
        IN_DIR(the_largest_legal_tags_and_metadata_fit_by_a_sidecar),
        IN_DIR(a_lost_sidecar_leaves_what_the_mirrors_tell),
        IN_DIR(a_damaged_xattr_is_not_believed),
        IN_DIR(part_sizes_and_checksum_come_back),
        IN_DIR(clearing_leaves_no_attribute_behind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
