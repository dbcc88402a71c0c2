/* SPDX-License-Identifier: Apache-2.0 */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "engine/attr.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static int setup(void **state)
{
    struct site *s = site_new(NULL);
    site_assign(s, "pool1", 0, 1);
    site_assign(s, "pool2", 1, 1);
    *state = s;
    return 0;
}

static int setup_narrow(void **state)
{
    static const struct site_spec spec = {
        .drives = 1,
        .extra = "migrate = { min_age = 0; }; recall = { queue_max = 2; batch_window = 0; };\n"};
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

static int reader(struct site *s, const char *name, int64_t wait_ms)
{
    struct engine_recall_req req = {.path = site_path(s, name), .wait_ms = wait_ms};
    struct engine_recall_res res;
    err_clear(&s->err);
    return engine_recall(s->engine, &req, &res, &s->err);
}

static void migrate(struct site *s, const char *pools, const char *name, size_t size, unsigned seed)
{
    site_write(s, name, size, seed);
    if (!site_one(s, ENGINE_MIGRATE, pools, name).ok)
        fail_msg("%s", name);
}

/* The directory of cartridge n of the library. */
static const char *cartridge(struct site *s, unsigned n)
{
    static char path[256];
    (void)snprintf(path, sizeof(path), "%s/lib1/FIRN%02uL8", s->dir, n);
    return path;
}

/* Spoils every data record of cartridge n that begins with the pattern's bytes of a large file. */
static void spoil(struct site *s, unsigned n, bool remove_them)
{
    auto_closedir DIR *d = opendir(cartridge(s, n));
    assert_non_null(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st;
        unsigned long block = 0;
        if (sscanf(e->d_name, "1_%lu_R", &block) != 1 || block < 7 ||
            fstatat(dirfd(d), e->d_name, &st, 0) != 0 || st.st_size != 524288)
            continue;
        if (remove_them) {
            auto_close int fd = openat(dirfd(d), e->d_name, O_WRONLY);
            assert_int_equal(ftruncate(fd, 1000), 0);
            continue;
        }
        auto_close int fd = openat(dirfd(d), e->d_name, O_WRONLY);
        assert_int_equal(pwrite(fd, "spoiled", 7, 100), 7);
    }
}

static void a_reader_waits_for_the_data(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 2000000, 1);
    assert_int_equal(reader(s, "f", 30000), 0);
    site_check(s, "f", 2000000, 1);
    assert_string_equal(site_state(s, "f"), "premigrated");
    assert_int_equal(reader(s, "f", 0), 0);
}

static void a_reader_is_refused_at_once_when_transparent_recall_is_off(void **state)
{
    struct site *s = *state;
    auto_json cJSON *j = NULL;
    migrate(s, "pool1@lib1", "f", 1000, 1);
    assert_int_equal(attr_set(engine_catalog(s->engine), "allow_transparent_recall", "no", &s->err),
                     0);
    assert_int_equal(reader(s, "f", 30000), -EACCES);
    assert_non_null(strstr(s->err.text, "allow_transparent_recall is no"));
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_int_equal(site_op(s, engine_op_task_list, &j, "{}"), 0);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "tasks")), 0);
}

struct many {
    struct site *s;
    const char *path;
    int rc;
};

static void *read_one(void *arg)
{
    struct many *m = arg;
    struct engine_recall_req req = {.path = m->path, .wait_ms = 30000};
    struct engine_recall_res res;
    struct err err;
    m->rc = engine_recall(m->s->engine, &req, &res, &err);
    return NULL;
}

static int64_t tape_reads(struct site *s)
{
    int64_t n = 0;
    for (int i = 1; i <= 2; i++) {
        auto_json cJSON *j = NULL;
        assert_int_equal(site_op(s, engine_op_drive_show, &j, "{\"serial\":\"FIRN000%d\"}", i), 0);
        n += json_int(j, "mounts", 0);
    }
    return n;
}

static void many_readers_of_one_file_cost_one_recall(void **state)
{
    struct site *s = *state;
    struct many m[16];
    pthread_t t[16];
    auto_json cJSON *j = NULL;
    const cJSON *task = NULL;
    int transparent = 0;
    migrate(s, "pool1@lib1", "f", 8000000, 1);
    auto_free char *path = xstrdup(site_path(s, "f"));
    int64_t mounts = tape_reads(s);
    for (int i = 0; i < 16; i++) {
        m[i] = (struct many){.s = s, .path = path, .rc = 1};
        assert_int_equal(pthread_create(&t[i], NULL, read_one, &m[i]), 0);
    }
    for (int i = 0; i < 16; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
        assert_int_equal(m[i].rc, 0);
    }
    site_check(s, "f", 8000000, 1);
    assert_true(tape_reads(s) <= mounts + 1);
    assert_int_equal(site_op(s, engine_op_task_list, &j, "{\"all\":true}"), 0);
    cJSON_ArrayForEach (task, cJSON_GetObjectItem(j, "tasks")) {
        transparent += strcmp(json_str(task, "type", ""), "transparent_recall") == 0 ? 1 : 0;
        struct engine_task_progress p;
        assert_int_equal(
            engine_task_wait(s->engine, json_int(task, "task_id", 0), 10000, &p, &s->err), 0);
        assert_true(p.ended && p.ok);
    }
    assert_true(transparent >= 1);
}

static void a_damaged_copy_falls_to_the_replica(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1,pool2@lib1", "f", 3000000, 1);
    site_restart(s, NULL); /* no record is remembered */
    spoil(s, 1, false);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    if (!p.ok)
        fail_msg("%s", site_failure(s, p.task_id, NULL));
    site_check(s, "f", 3000000, 1);
}

static void a_torn_copy_falls_to_the_replica(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1,pool2@lib1", "f", 3000000, 1);
    site_restart(s, NULL);
    spoil(s, 1, true);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    if (!p.ok)
        fail_msg("%s", site_failure(s, p.task_id, NULL));
    site_check(s, "f", 3000000, 1);
}

static void the_only_damaged_copy_names_cartridge_and_block_and_the_file_stays(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 3000000, 1);
    site_restart(s, NULL);
    spoil(s, 1, false);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    assert_false(p.ok);
    const char *text = site_failure(s, p.task_id, NULL);
    assert_non_null(strstr(text, "FIRN01L8"));
    assert_non_null(strstr(text, "block"));
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_int_equal(reader(s, "f", 10000), -EIO);
    assert_non_null(strstr(s->err.text, "FIRN01L8"));
}

static void take_away(struct site *s)
{
    auto_free char *aside = xasprintf("%s/aside", s->dir);
    assert_int_equal(rename(cartridge(s, 1), aside), 0);
}

static void bring_back(struct site *s)
{
    auto_free char *aside = xasprintf("%s/aside", s->dir);
    assert_int_equal(rename(aside, cartridge(s, 1)), 0);
}

static void a_missing_tape_is_named_and_works_again_when_it_is_back(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 100000, 1);
    migrate(s, "pool1@lib1,pool2@lib1", "g", 100000, 2);
    site_restart(s, take_away);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    assert_false(p.ok);
    const char *text = site_failure(s, p.task_id, NULL);
    assert_non_null(strstr(text, "FIRN01L8 is missing"));
    assert_non_null(strstr(text, "firn library rescan"));
    assert_true(site_one(s, ENGINE_RECALL, "", "g").ok); /* the replica */
    site_check(s, "g", 100000, 2);
    bring_back(s);
    assert_int_equal(site_op(s, engine_op_library_rescan, NULL, "{\"library\":\"lib1\"}"), 0);
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    site_check(s, "f", 100000, 1);
}

static void recall_to_resident_drops_record_and_copies(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 100000, 1);
    assert_true(site_one(s, ENGINE_RECALL, "resident", "f").ok);
    assert_string_equal(site_state(s, "f"), "resident");
    site_check(s, "f", 100000, 1);
    assert_int_equal(site_tape(s, "FIRN01L8", "garbage_bytes"), 100000);
    migrate(s, "pool1@lib1", "g", 5000, 2);
    assert_true(site_one(s, ENGINE_RECALL, "", "g").ok);
    assert_true(site_one(s, ENGINE_RECALL, "resident", "g").ok);
    assert_string_equal(site_state(s, "g"), "resident");
}

static void files_whose_data_is_there_count_as_not_migrated(void **state)
{
    struct site *s = *state;
    site_write(s, "f", 1000, 1);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    assert_true(p.ok);
    assert_int_equal(site_count(s, p.task_id, "not_migrated"), 1);
}

static void a_stub_that_somebody_wrote_to_is_not_overwritten(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 100000, 1);
    int fd = open(site_path(s, "f"), O_WRONLY);
    assert_int_equal(pwrite(fd, "new", 3, 50), 3);
    (void)close(fd);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "f");
    assert_false(p.ok);
    char b[3];
    fd = open(site_path(s, "f"), O_RDONLY);
    assert_int_equal(pread(fd, b, 3, 50), 3);
    (void)close(fd);
    assert_memory_equal(b, "new", 3);
}

static void more_recalls_than_the_queue_takes_are_refused(void **state)
{
    struct site *s = *state;
    const char *const names[] = {"a", "b", "c", NULL};
    for (unsigned i = 0; i < 3; i++)
        migrate(s, "pool1@lib1", names[i], 1000, i);
    assert_int_equal(site_submit(s, ENGINE_RECALL, "", names), -1);
    assert_non_null(strstr(s->err.text, "recall.queue_max = 2"));
    assert_string_equal(site_state(s, "a"), "migrated");
    assert_true(site_run(s, ENGINE_RECALL, "", names + 1).ok);
}

static void a_reader_that_waits_too_long_is_told_and_the_recall_goes_on(void **state)
{
    struct site *s = *state;
    migrate(s, "pool1@lib1", "f", 1000, 1);
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
    assert_int_equal(reader(s, "f", 200), -EAGAIN);
    site_restart(s, NULL);
    assert_int_equal(site_op(s, engine_op_drive_assign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
    for (int i = 0; i < 200 && strcmp(site_state(s, "f"), "premigrated") != 0; i++)
        (void)usleep(50000);
    assert_string_equal(site_state(s, "f"), "premigrated");
    site_check(s, "f", 1000, 1);
}

static void one_mount_serves_a_thousand_files_in_tape_order(void **state)
{
    struct site *s = *state;
    static char name[1000][8];
    static const char *names[1001];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(name[i], sizeof(name[i]), "f%u", i);
        names[i] = name[i];
        site_write(s, name[i], 3000 + i, i);
    }
    assert_true(site_run(s, ENGINE_MIGRATE, "pool1@lib1", names).ok);
    site_restart(s, NULL);
    int64_t mounts = tape_reads(s);
    assert_true(site_run(s, ENGINE_RECALL, "", names).ok);
    assert_int_equal(tape_reads(s), mounts + 1);
    for (unsigned i = 0; i < 1000; i += 37)
        site_check(s, name[i], 3000 + i, i);
}

static void forget_catalogue(struct site *s)
{
    auto_free char *dir = xasprintf("%s/state/catalog", s->dir);
    const char *const argv[] = {"rm", "-rf", dir, NULL};
    site_exec(argv);
}

static void rebuild_finds_everything_on_files_and_tapes(void **state)
{
    struct site *s = *state;
    auto_json cJSON *j = NULL;
    char tapes[3][40];
    migrate(s, "pool1@lib1,pool2@lib1", "f", 700000, 1);
    migrate(s, "pool2@lib1", "g", 5000, 2);
    site_restart(s, forget_catalogue);
    assert_int_equal(site_copies(s, "f", NULL), 0);
    assert_int_equal(site_op(s, engine_op_rebuild, &j, "{}"), 0);
    assert_int_equal(json_int(j, "files", -1), 2);
    assert_int_equal(json_int(j, "copies", -1), 3);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "problems")), 0);
    assert_int_equal(site_copies(s, "f", tapes), 2);
    assert_true(site_one(s, ENGINE_RECALL, "", "f").ok);
    assert_true(site_one(s, ENGINE_RECALL, "", "g").ok);
    site_check(s, "f", 700000, 1);
    site_check(s, "g", 5000, 2);
    site_write(s, "h", 100, 3);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1@lib1", "h").ok); /* its pool is known again */
}

static void a_tape_with_the_only_copy_is_not_given_away(void **state)
{
    struct site *s = *state;
    auto_json cJSON *j = NULL;
    auto_json cJSON *k = NULL;
    migrate(s, "pool1@lib1", "f", 1000, 1);
    assert_int_equal(site_op(s, engine_op_tape_unassign, &j,
                             "{\"barcodes\":[\"FIRN01L8\"],\"pool\":\"pool1@lib1\"}"),
                     0);
    const cJSON *t = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "tapes"), 0);
    assert_false(json_bool(t, "ok", true));
    assert_non_null(strstr(json_str(t, "message", ""), "the only copy of"));
    assert_true(site_one(s, ENGINE_RECALL, "resident", "f").ok);
    assert_int_equal(site_op(s, engine_op_drain, NULL, "{}"), 0);
    assert_int_equal(site_op(s, engine_op_tape_unassign, &k,
                             "{\"barcodes\":[\"FIRN01L8\"],\"pool\":\"pool1@lib1\"}"),
                     0);
    t = cJSON_GetArrayItem(cJSON_GetObjectItem(k, "tapes"), 0);
    assert_true(json_bool(t, "ok", false));
}

static bool holds(const char *path, const char *text)
{
    auto_free char *data = NULL;
    struct err err = {0};
    if (io_read_file(AT_FDCWD, path, 1 << 20, &data, NULL, &err) != 0)
        fail_msg("%s", err.text);
    return strstr(data, text) != NULL;
}

static void the_index_of_every_volume_is_kept_off_tape(void **state)
{
    struct site *s = *state;
    struct stat st;
    auto_free char *index = xasprintf("%s/state/indexes/FIRN01L8.xml", s->dir);
    auto_json cJSON *j = NULL;
    migrate(s, "pool1@lib1", "f", 1000, 1);
    assert_int_equal(stat(index, &st), 0); /* while the tape is still mounted */
    assert_true(holds(index, "<name>f</name>"));
    migrate(s, "pool1@lib1", "g", 1000, 1);
    assert_true(holds(index, "<name>g</name>"));
    assert_int_equal(site_op(s, engine_op_tape_verify, &j, "{\"barcode\":\"FIRN01L8\"}"), 0);
    assert_true(json_bool(j, "ok", false));
    assert_int_equal(json_int(j, "files", 0), 2);
    assert_int_equal(stat(index, &st), 0);
    assert_true(st.st_size > 500);
    assert_int_equal(reader(s, "f", 10000), 0);
}

/* What a copying tool that keeps all attributes makes of a stub. */
static void copy_stub(struct site *s, const char *from, const char *to)
{
    static const char *const names[] = {"trusted.firn.hsm", "security.bpf.firn.stub"};
    struct stat st;
    assert_int_equal(stat(site_path(s, from), &st), 0);
    auto_close int fd = open(site_path(s, to), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, st.st_size), 0);
    for (size_t i = 0; i < 2; i++) {
        char value[128];
        ssize_t n = getxattr(site_path(s, from), names[i], value, sizeof(value));
        assert_true(n >= 0);
        assert_int_equal(fsetxattr(fd, names[i], value, (size_t)n, 0), 0);
    }
    const struct timespec t[2] = {st.st_atim, st.st_mtim};
    assert_int_equal(futimens(fd, t), 0);
}

static void recall_to_resident_of_a_copied_stub_leaves_the_original_its_copies(void **state)
{
    struct site *s = *state;
    site_write(s, "original", 300000, 71);
    assert_true(site_one(s, ENGINE_MIGRATE, "pool1", "original").ok);
    copy_stub(s, "original", "twin");
    assert_string_equal(site_state(s, "twin"), "migrated");
    assert_true(site_one(s, ENGINE_RECALL, "resident", "twin").ok);
    assert_string_equal(site_state(s, "twin"), "resident");
    site_check(s, "twin", 300000, 71);
    assert_int_equal(site_copies(s, "original", NULL), 1);
    assert_true(site_one(s, ENGINE_RECALL, "", "original").ok);
    site_check(s, "original", 300000, 71);
}

int main(void)
{
#define T(f, with) cmocka_unit_test_setup_teardown(f, with, teardown)
    const struct CMUnitTest tests[] = {
        T(a_reader_waits_for_the_data, setup),
        T(a_reader_is_refused_at_once_when_transparent_recall_is_off, setup),
        T(many_readers_of_one_file_cost_one_recall, setup),
        T(a_damaged_copy_falls_to_the_replica, setup),
        T(a_torn_copy_falls_to_the_replica, setup),
        T(the_only_damaged_copy_names_cartridge_and_block_and_the_file_stays, setup),
        T(a_missing_tape_is_named_and_works_again_when_it_is_back, setup),
        T(recall_to_resident_drops_record_and_copies, setup),
        T(recall_to_resident_of_a_copied_stub_leaves_the_original_its_copies, setup),
        T(files_whose_data_is_there_count_as_not_migrated, setup),
        T(a_stub_that_somebody_wrote_to_is_not_overwritten, setup),
        T(more_recalls_than_the_queue_takes_are_refused, setup_narrow),
        T(a_reader_that_waits_too_long_is_told_and_the_recall_goes_on, setup_narrow),
        T(one_mount_serves_a_thousand_files_in_tape_order, setup),
        T(rebuild_finds_everything_on_files_and_tapes, setup),
        T(a_tape_with_the_only_copy_is_not_given_away, setup),
        T(the_index_of_every_volume_is_kept_off_tape, setup),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
