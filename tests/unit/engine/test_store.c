/* SPDX-License-Identifier: Apache-2.0 */
/* Stores, with a plain directory behind the lanes: what does not depend on S3. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/json.h"
#include "base/mem.h"
#include "enginesite.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MANY 300

/* The endpoint's directory. */
static char root[] = "/var/tmp/firn-depot-XXXXXX";
static char extra[512];

static struct site *new_site(void)
{
    struct site_spec spec = {.extra = extra};
    memcpy(root + strlen(root) - 6, "XXXXXX", 6);
    assert_non_null(mkdtemp(root));
    (void)snprintf(extra, sizeof(extra),
                   "migrate = { min_age = 0; };\n"
                   "stores = ( { name = \"store1\"; endpoint = \"file://%s\"; bucket_prefix = "
                   "\"copies\"; lanes = 6; } );\n",
                   root);
    struct site *s = site_new(&spec);
    assert_int_equal(
        site_op(s, engine_op_pool_create, NULL, "{\"name\":\"cloud\",\"library\":\"store1\"}"), 0);
    return s;
}

static void end_site(struct site *s)
{
    const char *const rm_argv[] = {"rm", "-rf", root, NULL};
    site_free(s);
    site_exec(rm_argv);
}

/* Takes the directory away, or puts it back. */
static void move_root(bool away)
{
    auto_free char *other = xasprintf("%s.away", root);
    assert_int_equal(away ? rename(root, other) : rename(other, root), 0);
}

static int64_t member(struct site *s, const char *name)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_tier_show, &j, "{\"name\":\"store1\"}"), 0);
    return json_int(j, name, -1);
}

static void wait_state(struct site *s, const char *state)
{
    for (int i = 0; i < 2000; i++) {
        auto_json cJSON *j = NULL;
        assert_int_equal(site_op(s, engine_op_tier_show, &j, "{\"name\":\"store1\"}"), 0);
        if (strcmp(json_str(j, "state", ""), state) == 0)
            return;
        (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    fail_msg("the store does not become %s", state);
}

static const char *const *write_many(struct site *s)
{
    static char text[MANY][16];
    static const char *names[MANY + 1];
    for (int i = 0; i < MANY; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "f%d", i);
        site_write(s, text[i], (size_t)(i + 1) * 37, (unsigned)i);
        names[i] = text[i];
    }
    return names;
}

static char *path_of_copy(struct site *s, const char *name)
{
    auto_json cJSON *j = NULL;
    assert_int_equal(
        site_op(s, engine_op_file_state, &j, "{\"paths\":[\"%s\"]}", site_path(s, name)), 0);
    const char *id =
        json_str(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "files"), 0), "archive_id", "");
    assert_int_equal(strlen(id), 36);
    return xasprintf("%s/copies/%.2s/%s", root, id, id);
}

static void spoil(const char *path)
{
    auto_close int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "spoilt", 6, 10), 6);
}

static void many_files_go_to_a_store_and_come_back(void **state)
{
    struct site *s = new_site();
    (void)state;
    const char *const *names = write_many(s);
    struct engine_task_progress p = site_run(s, ENGINE_MIGRATE, "cloud@store1", names);
    assert_int_equal(p.done, MANY);
    assert_string_equal(site_state(s, "f7"), "migrated");
    assert_int_equal(member(s, "copies"), MANY);
    p = site_run(s, ENGINE_RECALL, "", names);
    assert_int_equal(p.done, MANY);
    for (int i = 0; i < MANY; i++)
        site_check(s, names[i], (size_t)(i + 1) * 37, (unsigned)i);
    assert_string_equal(site_state(s, "f7"), "premigrated");
    end_site(s);
}

static void replicas_on_tape_and_in_a_store_serve_for_each_other(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_assign(s, "pool1", 0, 1);
    site_write(s, "a", 300000, 1);
    struct engine_task_progress p = site_one(s, ENGINE_MIGRATE, "pool1@lib1,cloud@store1", "a");
    assert_int_equal(p.done, 1);
    assert_int_equal(site_copies(s, "a", NULL), 2);
    auto_free char *copy = path_of_copy(s, "a");
    spoil(copy);
    p = site_one(s, ENGINE_RECALL, "", "a");
    assert_int_equal(p.done, 1);
    site_check(s, "a", 300000, 1);
    end_site(s);
}

static void a_damaged_only_copy_leaves_the_stub_and_names_the_place(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    auto_free char *copy = path_of_copy(s, "a");
    spoil(copy);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "a");
    assert_int_equal(p.failed, 1);
    const char *why = site_failure(s, p.task_id, NULL);
    if (strstr(why, "store store1") == NULL || strstr(why, strrchr(copy, '/') + 1) == NULL)
        fail_msg("%s", why);
    assert_string_equal(site_state(s, "a"), "migrated");
    end_site(s);
}

static void a_store_that_is_away_at_start_makes_work_wait(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    engine_stop(s->engine);
    move_root(true);
    assert_int_equal(engine_start(s->conf, &s->engine, &s->err), 0);
    wait_state(s, "down");
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_status, &j, "{}"), 0);
    auto_free char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(j, "attention"));
    assert_non_null(strstr(text, "store store1 is down"));
    const char *const names[] = {"a", NULL};
    int64_t id = site_submit(s, ENGINE_MIGRATE, "cloud@store1", names);
    struct engine_task_progress p;
    assert_int_equal(engine_task_wait(s->engine, id, 300, &p, &s->err), 0);
    assert_false(p.ended);
    move_root(false);
    assert_int_equal(engine_task_wait(s->engine, id, 30000, &p, &s->err), 0);
    assert_true(p.ended && p.ok);
    assert_string_equal(site_state(s, "a"), "migrated");
    end_site(s);
}

static void a_copy_that_is_missing_fails_its_recall_and_serves_again_when_it_is_back(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    auto_free char *copy = path_of_copy(s, "a");
    auto_free char *hidden = xasprintf("%s.hidden", copy);
    assert_int_equal(rename(copy, hidden), 0);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "a");
    assert_int_equal(p.failed, 1);
    assert_string_equal(site_state(s, "a"), "migrated");
    assert_int_equal(rename(hidden, copy), 0);
    p = site_one(s, ENGINE_RECALL, "", "a");
    assert_int_equal(p.done, 1);
    site_check(s, "a", 5000, 1);
    end_site(s);
}

static void a_cancelled_task_waits_for_no_store(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    engine_stop(s->engine);
    move_root(true);
    assert_int_equal(engine_start(s->conf, &s->engine, &s->err), 0);
    const char *const names[] = {"a", NULL};
    int64_t id = site_submit(s, ENGINE_MIGRATE, "cloud@store1", names);
    struct engine_task_progress p;
    assert_int_equal(engine_task_wait(s->engine, id, 200, &p, &s->err), 0);
    assert_int_equal(site_op(s, engine_op_task_cancel, NULL, "{\"task_id\":%lld}", (long long)id),
                     0);
    move_root(false);
    assert_int_equal(engine_task_wait(s->engine, id, 30000, &p, &s->err), 0);
    assert_true(p.ended);
    assert_int_equal(p.failed, 1);
    assert_string_equal(site_state(s, "a"), "resident");
    end_site(s);
}

/* What is seen at a mount point when nothing is mounted. */
static void unmount_root(struct site *s)
{
    (void)s;
    move_root(true);
    assert_int_equal(mkdir(root, 0700), 0);
}

static void an_empty_directory_is_not_taken_for_one_that_had_copies(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    site_restart(s, unmount_root);
    wait_state(s, "down");
    assert_int_equal(rmdir(root), 0); /* nothing was made in it */
    move_root(false);
    (void)site_one(s, ENGINE_RECALL, "", "a");
    site_check(s, "a", 5000, 1);
    end_site(s);
}

static void a_store_is_one_pool(void **state)
{
    struct site *s = new_site();
    (void)state;
    assert_int_equal(
        site_op(s, engine_op_pool_create, NULL, "{\"name\":\"second\",\"library\":\"store1\"}"),
        -EEXIST);
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    assert_int_equal(site_op(s, engine_op_pool_delete, NULL, "{\"name\":\"cloud@store1\"}"),
                     -ENOTEMPTY);
    site_restart(s, NULL);
    (void)site_one(s, ENGINE_RECALL, "", "a");
    site_check(s, "a", 5000, 1);
    end_site(s);
}

static void verify_tells_what_is_missing_and_marks_it_only_when_asked(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    site_write(s, "b", 6000, 2);
    const char *const names[] = {"a", "b", NULL};
    (void)site_run(s, ENGINE_MIGRATE, "cloud@store1", names);
    auto_free char *copy = path_of_copy(s, "a");
    auto_free char *sidecar = xasprintf("%s.json", copy);
    auto_free char *hidden = xasprintf("%s.hidden", sidecar);
    assert_int_equal(rename(sidecar, hidden), 0);
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_tier_verify, &j, "{\"name\":\"store1\"}"), 0);
    assert_int_equal(json_int(j, "copies", -1), 2);
    assert_int_equal(json_int(j, "ok", -1), 1);
    assert_int_equal(json_int(j, "problem_count", -1), 1);
    assert_int_equal(member(s, "lost_copies"), 0);
    assert_int_equal(
        site_op(s, engine_op_tier_verify, NULL, "{\"name\":\"store1\",\"repair\":true}"), 0);
    assert_int_equal(member(s, "lost_copies"), 1);
    assert_int_equal(rename(hidden, sidecar), 0);
    assert_int_equal(
        site_op(s, engine_op_tier_verify, NULL, "{\"name\":\"store1\",\"repair\":true}"), 0);
    assert_int_equal(member(s, "lost_copies"), 0);
    end_site(s);
}

static void verify_reads_all_data_when_asked(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    auto_free char *copy = path_of_copy(s, "a");
    spoil(copy);
    auto_json cJSON *j = NULL;
    auto_json cJSON *k = NULL;
    assert_int_equal(site_op(s, engine_op_tier_verify, &j, "{\"name\":\"store1\"}"), 0);
    assert_int_equal(json_int(j, "problem_count", -1), 0);
    assert_int_equal(site_op(s, engine_op_tier_verify, &k, "{\"name\":\"store1\",\"read\":true}"),
                     0);
    assert_int_equal(json_int(k, "problem_count", -1), 1);
    end_site(s);
}

static void verify_refers_to_tape_verify_for_libraries(void **state)
{
    struct site *s = new_site();
    (void)state;
    assert_int_equal(site_op(s, engine_op_tier_verify, NULL, "{\"name\":\"lib1\"}"), -EINVAL);
    assert_non_null(strstr(s->err.text, "firn tape verify"));
    end_site(s);
}

static cJSON *gc(struct site *s, const char *more)
{
    cJSON *j = NULL;
    int rc = site_op(s, engine_op_tier_gc, &j, "{\"name\":\"store1\"%s}", more);
    if (rc != 0)
        fail_msg("%s", s->err.text);
    return j;
}

static void gc_deletes_what_is_proven_and_only_when_asked(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "keep", 4000, 3);
    site_write(s, "a", 5000, 1);
    const char *const names[] = {"a", "keep", NULL};
    (void)site_run(s, ENGINE_MIGRATE, "cloud@store1", names);
    auto_free char *copy = path_of_copy(s, "a");
    (void)site_one(s, ENGINE_RECALL, "resident", "a");
    assert_int_equal(member(s, "garbage_copies"), 1);
    auto_json cJSON *young = gc(s, ",\"delete\":true");
    assert_int_equal(json_int(young, "recent", -1), 2);
    assert_int_equal(json_int(young, "deleted", -1), 0);
    auto_json cJSON *dry = gc(s, ",\"min_age_s\":0");
    assert_int_equal(json_int(dry, "garbage_count", -1), 1);
    assert_int_equal(json_int(dry, "copies_kept", -1), 1);
    assert_int_equal(access(copy, F_OK), 0);
    auto_json cJSON *wet = gc(s, ",\"min_age_s\":0,\"delete\":true");
    assert_int_equal(json_int(wet, "deleted", -1), 1);
    assert_int_not_equal(access(copy, F_OK), 0);
    assert_int_equal(member(s, "garbage_copies"), 0);
    (void)site_one(s, ENGINE_RECALL, "", "keep");
    site_check(s, "keep", 4000, 3);
    end_site(s);
}

static void lose_catalogue(struct site *s)
{
    auto_free char *dir = xasprintf("%s/state/catalog", s->dir);
    const char *const rm_argv[] = {"rm", "-rf", dir, NULL};
    site_exec(rm_argv);
}

static void gc_keeps_a_copy_whose_file_moved_even_without_a_catalogue(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    assert_int_equal(rename(site_path(s, "a"), site_path(s, "elsewhere")), 0);
    site_restart(s, lose_catalogue);
    wait_state(s, "up");
    auto_json cJSON *j = gc(s, ",\"min_age_s\":0,\"delete\":true");
    assert_int_equal(json_int(j, "deleted", -1), 0);
    assert_int_equal(json_int(j, "copies_kept", -1), 1);
    end_site(s);
}

static void rebuild_reads_stores_too(void **state)
{
    struct site *s = new_site();
    (void)state;
    site_write(s, "a", 5000, 1);
    (void)site_one(s, ENGINE_MIGRATE, "cloud@store1", "a");
    assert_int_equal(rename(site_path(s, "a"), site_path(s, "elsewhere")), 0);
    site_restart(s, lose_catalogue);
    wait_state(s, "up");
    auto_json cJSON *j = NULL;
    assert_int_equal(site_op(s, engine_op_rebuild, &j, "{}"), 0);
    assert_int_equal(json_int(j, "copies", -1), 1);
    struct engine_task_progress p = site_one(s, ENGINE_RECALL, "", "elsewhere");
    assert_int_equal(p.done, 1);
    site_check(s, "elsewhere", 5000, 1);
    end_site(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_files_go_to_a_store_and_come_back),
        cmocka_unit_test(replicas_on_tape_and_in_a_store_serve_for_each_other),
        cmocka_unit_test(a_damaged_only_copy_leaves_the_stub_and_names_the_place),
        cmocka_unit_test(a_store_that_is_away_at_start_makes_work_wait),
        cmocka_unit_test(a_copy_that_is_missing_fails_its_recall_and_serves_again_when_it_is_back),
        cmocka_unit_test(a_cancelled_task_waits_for_no_store),
        cmocka_unit_test(an_empty_directory_is_not_taken_for_one_that_had_copies),
        cmocka_unit_test(a_store_is_one_pool),
        cmocka_unit_test(verify_tells_what_is_missing_and_marks_it_only_when_asked),
        cmocka_unit_test(verify_reads_all_data_when_asked),
        cmocka_unit_test(verify_refers_to_tape_verify_for_libraries),
        cmocka_unit_test(gc_deletes_what_is_proven_and_only_when_asked),
        cmocka_unit_test(gc_keeps_a_copy_whose_file_moved_even_without_a_catalogue),
        cmocka_unit_test(rebuild_reads_stores_too),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
