/* SPDX-License-Identifier: Apache-2.0 */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "tape/ltfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define S3_META "{\"v\":1,\"um\":{\"colour\":\"blue\"},\"et\":\"<&>\"}"

static int setup(void **state)
{
    struct site *s = site_new(NULL);
    site_assign(s, "pool1", 0, 2);
    site_assign(s, "pool2", 2, 1);
    *state = s;
    return 0;
}

static int setup_tiny(void **state)
{
    static const struct site_spec spec = {.cartridges = 3, .capacity = 24ULL << 20};
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 3);
    *state = s;
    return 0;
}

static int setup_strict(void **state)
{
    static const struct site_spec spec = {.posix_readers = "any", .extra = ""};
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 1);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static int64_t blocks_of(struct site *s, const char *name)
{
    struct stat st;
    assert_int_equal(stat(site_path(s, name), &st), 0);
    return st.st_blocks;
}

static void migrate_frees_the_blocks_and_recall_brings_every_byte_back(void **state)
{
    struct site *s = *state;
    struct stat before;
    struct stat after;
    site_write(s, "f", 3000000, 1);
    assert_int_equal(setxattr(site_path(s, "f"), "user.noobaa.tag.action", "migrate", 7, 0), 0);
    assert_int_equal(stat(site_path(s, "f"), &before), 0);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "f").ok);
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_true(blocks_of(s, "f") <= 8); /* the attributes may take a block */
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    assert_string_equal(site_state(s, "f"), "premigrated");
    site_check(s, "f", 3000000, 1);
    assert_int_equal(stat(site_path(s, "f"), &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_equal(after.st_mtim.tv_sec, before.st_mtim.tv_sec);
    assert_int_equal(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
}

static void has_xattr(const struct ltfs_node *n, const char *key, const char *want)
{
    const void *value = NULL;
    size_t len = 0;
    if (ltfs_get_xattr(n, key, &value, &len) != 0)
        fail_msg("no %s on tape", key);
    if (want != NULL && (len != strlen(want) || memcmp(value, want, len) != 0))
        fail_msg("%s is \"%.*s\"", key, (int)len, (const char *)value);
    assert_true(len > 0);
}

static char looked_at[40]; /* barcode */

/* Looks at d/f with nothing of firn but its reader of LTFS. */
static void look_on_tape(struct site *s)
{
    auto_free char *cartridge = xasprintf("%s/lib1/%s", s->dir, looked_at);
    auto_drive struct drive *drive = NULL;
    auto_ltfs_volume struct ltfs_volume *v = NULL;
    struct ltfs_node *n = NULL;
    const void *value = NULL;
    size_t len = 0;
    assert_int_equal(drive_dir_open_cartridge(cartridge, &drive, &s->err), 0);
    assert_int_equal(drive_load(drive, &s->err), 0);
    assert_int_equal(ltfs_mount(drive, LTFS_MOUNT_READ_ONLY, &v, &s->err), 0);
    assert_int_equal(ltfs_lookup(v, "/fs1/d/f", &n), 0);
    has_xattr(n, "firn.s.meta", S3_META);
    has_xattr(n, "noobaa.tag.colour", "blue");
    has_xattr(n, "colour", "b\xc3\xbcrste");
    has_xattr(n, "firn.archive", NULL);
    has_xattr(n, "firn.fs", "fs1");
    has_xattr(n, "firn.path", "d/f");
    has_xattr(n, "ltfs.hash.crc32sum", NULL);
    assert_int_equal(ltfs_get_xattr(n, "firn.archive", &value, &len), 0);
    assert_int_equal(len, 36);
    assert_memory_not_equal(value, "forged", 6);
    assert_int_equal(ltfs_get_xattr(n, "firn.other", &value, &len), LTFS_ABSENT);
}

static void tags_metadata_archive_path_and_digest_are_on_tape(void **state)
{
    static const char *const attrs[][2] = {{"user.firn.s.meta", S3_META},
                                           {"user.noobaa.tag.colour", "blue"},
                                           {"user.colour", "b\xc3\xbcrste"},
                                           {"user.firn.archive", "forged"},
                                           {"user.firn.other", "stays behind"}};
    struct site *s = *state;
    assert_int_equal(mkdir(site_path(s, "d"), 0755), 0);
    site_write(s, "d/f", 3000, 1);
    for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++)
        assert_int_equal(
            setxattr(site_path(s, "d/f"), attrs[i][0], attrs[i][1], strlen(attrs[i][1]), 0), 0);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "d/f").ok);
    char tapes[3][40];
    assert_int_equal(site_copies(s, "d/f", tapes), 1);
    memcpy(looked_at, tapes[0], sizeof(looked_at));
    site_restart(s, look_on_tape);
}

static void premigrate_keeps_the_blocks(void **state)
{
    struct site *s = *state;
    site_write(s, "f", 100000, 2);
    assert_true(site_one(s, ENGINE_PREMIGRATE, "pool1@lib1", "f").ok);
    assert_string_equal(site_state(s, "f"), "premigrated");
    assert_true(blocks_of(s, "f") > 0);
    site_check(s, "f", 100000, 2);
}

static void two_pools_give_copies_on_two_tapes(void **state)
{
    struct site *s = *state;
    char tapes[3][40];
    site_write(s, "f", 100000, 3);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1,pool2@lib1", "f").ok);
    assert_int_equal(site_copies(s, "f", tapes), 2);
    assert_string_not_equal(tapes[0], tapes[1]);
    assert_string_equal(tapes[1], "FIRN03L8");
}

static void a_premigrated_file_is_only_released(void **state)
{
    struct site *s = *state;
    char before[3][40];
    char after[3][40];
    site_write(s, "f", 100000, 4);
    assert_true(site_one(s, ENGINE_PREMIGRATE, "pool1@lib1", "f").ok);
    assert_int_equal(site_copies(s, "f", before), 1);
    int64_t files = site_tape(s, before[0], "files");
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "f").ok);
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_int_equal(site_copies(s, "f", after), 1);
    assert_int_equal(site_tape(s, before[0], "files"), files);
}

static void a_premigrated_file_gets_the_copy_that_a_further_pool_lacks(void **state)
{
    struct site *s = *state;
    site_write(s, "f", 100000, 5);
    assert_true(site_one(s, ENGINE_PREMIGRATE, "pool1@lib1", "f").ok);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1,pool2@lib1", "f").ok);
    assert_int_equal(site_copies(s, "f", NULL), 2);
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    site_check(s, "f", 100000, 5);
}

struct writer {
    const char *path;
    atomic_bool stop;
};

static void *keep_writing(void *arg)
{
    struct writer *w = arg;
    int fd = open(w->path, O_WRONLY);
    for (unsigned i = 0; !atomic_load(&w->stop); i++) {
        (void)!pwrite(fd, &i, sizeof(i), 0);
        (void)usleep(300);
    }
    (void)close(fd);
    return NULL;
}

static void a_file_that_changes_while_it_is_copied_stays_resident(void **state)
{
    struct site *s = *state;
    auto_free char *path = xstrdup(site_path(s, "busy"));
    struct writer w = {.path = path};
    pthread_t t;
    char code[16];
    site_write(s, "busy", 20000000, 6);
    assert_int_equal(pthread_create(&t, NULL, keep_writing, &w), 0);
    struct engine_task_progress p = site_one(s, ENGINE_MIGRATE, "pool1@lib1", "busy");
    atomic_store(&w.stop, true);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_false(p.ok);
    assert_int_equal(site_count(s, p.task_id, "changed"), 1);
    assert_non_null(
        strstr(site_failure(s, p.task_id, code), "changed while it was copied, 3 times"));
    assert_string_equal(code, "GLESM451W");
    assert_string_equal(site_state(s, "busy"), "resident");
    assert_true(blocks_of(s, "busy") > 0);
}

static void a_written_file_gets_a_new_copy_and_the_old_one_is_garbage(void **state)
{
    struct site *s = *state;
    char tapes[3][40];
    site_write(s, "f", 100000, 7);
    assert_true(site_one(s, ENGINE_PREMIGRATE, "pool2@lib1", "f").ok);
    site_write(s, "f", 90000, 8);
    assert_string_equal(site_state(s, "f"), "resident");
    assert_true(site_one(s, ENGINE_MIGRATE, "pool2@lib1", "f").ok);
    assert_int_equal(site_copies(s, "f", tapes), 1);
    assert_int_equal(site_tape(s, tapes[0], "garbage_bytes"), 100000);
    assert_int_equal(site_tape(s, tapes[0], "reclaimable"), 100000);
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    site_check(s, "f", 90000, 8);
}

static void what_cannot_be_migrated_is_told_apart(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"good", "empty", "future", "absent", "dir", "good", NULL};
    struct timespec future[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = 4000000000}};
    site_write(s, "good", 1000, 1);
    site_write(s, "empty", 0, 1);
    site_write(s, "future", 1000, 1);
    assert_int_equal(utimensat(AT_FDCWD, site_path(s, "future"), future, 0), 0);
    assert_int_equal(mkdir(site_path(s, "dir"), 0755), 0);
    struct engine_task_progress p = site_run(s, ENGINE_MIGRATE, "pool1@lib1", names);
    assert_false(p.ok);
    assert_int_equal(site_count(s, p.task_id, "succeeded"), 1);
    assert_int_equal(site_count(s, p.task_id, "too_small"), 1);
    assert_int_equal(site_count(s, p.task_id, "too_early"), 1);
    assert_int_equal(site_count(s, p.task_id, "not_found"), 1);
    assert_int_equal(site_count(s, p.task_id, "failed"), 1);
    assert_int_equal(site_count(s, p.task_id, "duplicate"), 1);
}

static void a_young_file_is_too_early(void **state)
{
    struct site *s = *state;
    site_write(s, "young", 1000, 1);
    struct engine_task_progress p = site_one(s, ENGINE_PREMIGRATE, "pool1@lib1", "young");
    assert_int_equal(site_count(s, p.task_id, "too_early"), 1);
    assert_non_null(strstr(site_failure(s, p.task_id, NULL), "migrate.min_age is 120 s"));
}

static void release_needs_posix_readers_none(void **state)
{
    struct site *s = *state;
    site_write(s, "f", 1000, 1);
    struct engine_task_progress p = site_one(s, ENGINE_MIGRATE, "pool1@lib1", "f");
    const char *text = site_failure(s, p.task_id, NULL);
    assert_non_null(strstr(text, "posix_readers = \"recall\""));
    assert_non_null(strstr(text, "fs1"));
    assert_string_equal(site_state(s, "f"), "resident");
}

static void a_full_cartridge_hands_over_to_the_next(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"a", "b", "c", "d", "e", NULL};
    char first[3][40];
    char last[3][40];
    for (unsigned i = 0; i < 5; i++)
        site_write(s, names[i], 9000000, i);
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", names).ok);
    assert_int_equal(site_copies(s, "a", first), 1);
    assert_int_equal(site_copies(s, "e", last), 1);
    assert_string_not_equal(first[0], last[0]);
    assert_true(site_run(s, ENGINE_RECALL, "", names).ok);
    for (unsigned i = 0; i < 5; i++)
        site_check(s, names[i], 9000000, i);
}

static void a_file_larger_than_a_cartridge_fails_and_says_so(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"huge", "small", NULL};
    site_write(s, "huge", 40000000, 1);
    site_write(s, "small", 4000, 2);
    struct engine_task_progress p = site_run(s, ENGINE_MIGRATE, "pool1@lib1", names);
    assert_int_equal(site_count(s, p.task_id, "succeeded"), 1);
    assert_int_equal(site_count(s, p.task_id, "failed"), 1);
    assert_non_null(strstr(site_failure(s, p.task_id, NULL), "do not fit on one cartridge"));
    assert_string_equal(site_state(s, "huge"), "resident");
    assert_string_equal(site_state(s, "small"), "migrated");
}

static void no_cartridge_left_names_the_pool_and_what_to_do(void **state)
{
    struct site *s = *state;
    char name[8];
    struct engine_task_progress p = {.ok = true};
    for (unsigned i = 0; i < 12 && p.ok; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        site_write(s, name, 9000000, i);
        p = site_one(s, ENGINE_MIGRATE, "pool1@lib1", name);
    }
    assert_false(p.ok);
    const char *text = site_failure(s, p.task_id, NULL);
    assert_non_null(strstr(text, "pool pool1@lib1 has no cartridge with room"));
    assert_non_null(strstr(text, "firn tape assign BARCODE -p pool1 -l lib1"));
    site_check(s, name, 9000000, (unsigned)(name[1] - '0'));
}

static void a_pool_without_cartridges_fails_at_once(void **state)
{
    struct site *s = *state;
    site_write(s, "f", 1000, 1);
    struct engine_task_progress p = site_one(s, ENGINE_MIGRATE, "pool2@lib1", "f");
    assert_non_null(strstr(site_failure(s, p.task_id, NULL), "(0 assigned, 0 of them missing)"));
}

static void unknown_pools_and_too_many_are_refused(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"f", NULL};
    site_write(s, "f", 1000, 1);
    assert_int_equal(site_submit(s, ENGINE_MIGRATE, "pool9@lib1", names), -1);
    assert_non_null(strstr(s->err.text, "pool9@lib1"));
    assert_int_equal(site_submit(s, ENGINE_MIGRATE, "pool1@lib7", names), -1);
    assert_non_null(strstr(s->err.text, "lib7"));
    assert_int_equal(site_submit(s, ENGINE_MIGRATE, "pool1@lib1,pool1@lib1", names), -1);
    assert_int_equal(site_submit(s, ENGINE_MIGRATE, "", names), -1);
    assert_int_equal(site_submit(s, ENGINE_SAVE, "pool1", names), -1);
}

static void an_uncommitted_draft_leaves_no_trace(void **state)
{
    struct site *s = *state;
    struct engine_task_spec spec = {.type = ENGINE_MIGRATE, .pools = {"pool1@lib1"}, .npools = 1};
    struct engine_draft *d = NULL;
    auto_json cJSON *j = NULL;
    site_write(s, "f", 1000, 1);
    struct engine_file_ref ref = {.path = site_path(s, "f")};
    assert_int_equal(engine_draft_new(s->engine, &spec, &d, &s->err), 0);
    assert_int_equal(engine_draft_add(d, &ref, 1, &s->err), 0);
    engine_draft_free(d);
    assert_int_equal(site_op(s, engine_op_task_list, &j, "{\"all\":true}"), 0);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "tasks")), 0);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "f").ok);
}

static void cancel_ends_the_jobs_that_were_not_begun(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"a", "b", "c", NULL};
    struct engine_task_progress p;
    char code[16];
    for (unsigned i = 0; i < 3; i++)
        site_write(s, names[i], 1000, i);
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0002\"}"), 0);
    int64_t id = site_submit(s, ENGINE_RECALL, "", names);
    assert_int_equal(engine_task_wait(s->engine, id, 10000, &p, &s->err), 0);
    assert_true(p.ok); /* resident files need no drive */
    id = site_submit(s, ENGINE_MIGRATE, "pool1@lib1", names);
    assert_int_equal(engine_task_wait(s->engine, id, 300, &p, &s->err), 0);
    assert_false(p.ended);
    /* They are claimed already: the drives come back and end them, or the cancel does. */
    assert_int_equal(site_op(s, engine_op_task_cancel, NULL, "{\"task_id\":%lld}", (long long)id),
                     0);
    assert_int_equal(site_op(s, engine_op_drive_assign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
    assert_int_equal(engine_task_wait(s->engine, id, 10000, &p, &s->err), 0);
    assert_true(p.ended);
    (void)site_failure(s, id, code);
    assert_int_equal(p.done + p.failed, 3);
}

static void work_survives_a_stop(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"a", "b", NULL};
    struct engine_task_progress p;
    site_write(s, "a", 1000, 1);
    site_write(s, "b", 2000, 2);
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0002\"}"), 0);
    int64_t id = site_submit(s, ENGINE_MIGRATE, "pool1@lib1", names);
    assert_int_equal(engine_task_wait(s->engine, id, 200, &p, &s->err), 0);
    assert_false(p.ended);
    site_restart(s, NULL);
    assert_int_equal(site_op(s, engine_op_drive_assign, NULL, "{\"serial\":\"FIRN0002\"}"), 0);
    assert_int_equal(engine_task_wait(s->engine, id, 20000, &p, &s->err), 0);
    assert_true(p.ended && p.ok);
    assert_string_equal(site_state(s, "b"), "migrated");
}

int main(void)
{
#define T(f, with) cmocka_unit_test_setup_teardown(f, with, teardown)
    const struct CMUnitTest tests[] = {
        T(migrate_frees_the_blocks_and_recall_brings_every_byte_back, setup),
        T(tags_metadata_archive_path_and_digest_are_on_tape, setup),
        T(premigrate_keeps_the_blocks, setup),
        T(two_pools_give_copies_on_two_tapes, setup),
        T(a_premigrated_file_is_only_released, setup),
        T(a_premigrated_file_gets_the_copy_that_a_further_pool_lacks, setup),
        T(a_file_that_changes_while_it_is_copied_stays_resident, setup),
        T(a_written_file_gets_a_new_copy_and_the_old_one_is_garbage, setup),
        T(what_cannot_be_migrated_is_told_apart, setup),
        T(a_young_file_is_too_early, setup_strict),
        T(release_needs_posix_readers_none, setup_strict),
        T(a_full_cartridge_hands_over_to_the_next, setup_tiny),
        T(a_file_larger_than_a_cartridge_fails_and_says_so, setup_tiny),
        T(no_cartridge_left_names_the_pool_and_what_to_do, setup_tiny),
        T(a_pool_without_cartridges_fails_at_once, setup_tiny),
        T(unknown_pools_and_too_many_are_refused, setup),
        T(an_uncommitted_draft_leaves_no_trace, setup),
        T(cancel_ends_the_jobs_that_were_not_begun, setup),
        T(work_survives_a_stop, setup),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
