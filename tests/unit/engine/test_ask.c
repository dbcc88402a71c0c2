/* SPDX-License-Identifier: Apache-2.0 */
/* Requests by file id with a callback, as the kernel's readers make them. */
#include "enginesite.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/attr.h"
#include "file/file.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_S 30

/* One request and what became of it. */
struct ask {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int calls;
    int rc;
    char text[256];
};

static int setup_with(void **state, const char *extra)
{
    struct site_spec spec = {.drives = 1, .cartridges = 2, .extra = extra};
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 1);
    *state = s;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, NULL);
}

static int setup_model(void **state)
{
    struct site_spec spec = {.drives = 1, .cartridges = 2, .library = "cost_model = \"lto8\";"};
    struct site *s = site_new(&spec);
    site_assign(s, "pool1", 0, 1);
    *state = s;
    return 0;
}

static int setup_accounts(void **state)
{
    return setup_with(
        state, "migrate = { min_age = 0; }; recall = { account_max = 2; batch_window = 0; };\n");
}

static int teardown(void **state)
{
    site_free(*state);
    return 0;
}

static void migrate(struct site *s, const char *name, size_t size, unsigned seed)
{
    site_write(s, name, size, seed);
    if (!site_one(s, ENGINE_MIGRATE, "pool1@lib1", name).ok)
        fail_msg("%s", name);
}

static void hold_drive(struct site *s)
{
    assert_int_equal(site_op(s, engine_op_drive_unassign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
}

static void free_drive(struct site *s)
{
    assert_int_equal(site_op(s, engine_op_drive_assign, NULL, "{\"serial\":\"FIRN0001\"}"), 0);
}

static struct file_id id_of(struct site *s, const char *name)
{
    struct fs *fs = NULL;
    struct file_info info;
    assert_int_equal(fs_open(s->mount, &fs, &s->err), 0);
    assert_int_equal(file_inspect_path(fs, name, &info, &s->err), 0);
    fs_close(fs);
    return info.id;
}

static void called(void *arg, int rc, const struct err *err)
{
    struct ask *a = arg;
    (void)pthread_mutex_lock(&a->lock);
    a->calls++;
    a->rc = rc;
    (void)snprintf(a->text, sizeof(a->text), "%.255s", rc < 0 ? err->text : "");
    (void)pthread_cond_broadcast(&a->cond);
    (void)pthread_mutex_unlock(&a->lock);
}

static void init(struct ask *a)
{
    *a = (struct ask){.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
}

static int ask_id(struct site *s, const struct file_id *id, uint32_t uid, struct ask *a)
{
    const struct engine_recall_who who = {.program = "cat", .uid = uid, .pid = 4711};
    init(a);
    err_clear(&s->err);
    return engine_recall_async(s->engine, "fs1", id, UINT64_MAX, &who, called, a, &s->err);
}

static int ask(struct site *s, const char *name, uint32_t uid, struct ask *a)
{
    struct file_id id = id_of(s, name);
    return ask_id(s, &id, uid, a);
}

static void wait_called(struct ask *a)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    (void)pthread_mutex_lock(&a->lock);
    int rc = 0;
    while (a->calls == 0 && rc == 0)
        rc = pthread_cond_timedwait(&a->cond, &a->lock, &until);
    (void)pthread_mutex_unlock(&a->lock);
    assert_int_equal(rc, 0);
}

static void who_asks_by_id_is_called_when_the_data_is_there(void **state)
{
    struct site *s = *state;
    struct ask a;
    migrate(s, "f", 2000000, 1);
    assert_int_equal(ask(s, "f", 1000, &a), 0);
    wait_called(&a);
    assert_int_equal(a.rc, 0);
    assert_string_equal(site_state(s, "f"), "premigrated");
    site_check(s, "f", 2000000, 1);
    assert_int_equal(ask(s, "f", 1000, &a), 1);
    assert_int_equal(a.calls, 0);
}

static void all_who_ask_for_one_file_are_called_once_for_one_recall(void **state)
{
    struct site *s = *state;
    struct ask a[20];
    auto_json cJSON *j = NULL;
    migrate(s, "f", 3000000, 1);
    hold_drive(s);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask(s, "f", 1000 + (uint32_t)i, &a[i]), 0);
    const char *const names[] = {"f", NULL};
    int64_t list = site_submit(s, ENGINE_RECALL, "", names);
    assert_true(list > 0);
    assert_int_equal(site_op(s, engine_op_task_list, &j, "{}"), 0);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "tasks")), 1); /* a duplicate ends */
    free_drive(s);
    for (int i = 0; i < 20; i++) {
        wait_called(&a[i]);
        assert_int_equal(a[i].rc, 0);
    }
    site_check(s, "f", 3000000, 1);
    site_restart(s, NULL);
    for (int i = 0; i < 20; i++)
        assert_int_equal(a[i].calls, 1);
}

static void nobody_is_called_when_transparent_recall_is_off(void **state)
{
    struct site *s = *state;
    struct ask a;
    migrate(s, "f", 1000, 1);
    assert_int_equal(attr_set(engine_catalog(s->engine), "allow_transparent_recall", "no", &s->err),
                     0);
    assert_int_equal(ask(s, "f", 0, &a), -EACCES);
    assert_non_null(strstr(s->err.text, "allow_transparent_recall is no"));
    assert_int_equal(a.calls, 0);
    assert_string_equal(site_state(s, "f"), "migrated");
}

static void a_file_that_is_gone_is_told_at_once(void **state)
{
    struct site *s = *state;
    struct ask a;
    migrate(s, "f", 1000, 1);
    struct file_id id = id_of(s, "f");
    assert_int_equal(unlink(site_path(s, "f")), 0);
    assert_int_equal(ask_id(s, &id, 0, &a), -ESTALE);
    assert_int_equal(a.calls, 0);
}

static void a_file_that_goes_while_it_waits_is_stale(void **state)
{
    struct site *s = *state;
    struct ask a;
    migrate(s, "f", 1000, 1);
    hold_drive(s);
    assert_int_equal(ask(s, "f", 0, &a), 0);
    assert_int_equal(unlink(site_path(s, "f")), 0);
    free_drive(s);
    wait_called(&a);
    assert_int_equal(a.rc, -ESTALE);
}

static void take_away(struct site *s)
{
    auto_free char *from = xasprintf("%s/lib1/FIRN01L8", s->dir);
    auto_free char *to = xasprintf("%s/aside", s->dir);
    assert_int_equal(rename(from, to), 0);
}

static void without_a_readable_copy_the_call_itself_fails(void **state)
{
    struct site *s = *state;
    struct ask a;
    migrate(s, "f", 1000, 1);
    site_restart(s, take_away);
    assert_int_equal(ask(s, "f", 0, &a), -EIO);
    assert_non_null(strstr(s->err.text, "FIRN01L8 is missing"));
    assert_int_equal(a.calls, 0);
}

static void an_account_with_its_share_in_the_queue_is_refused_and_others_are_not(void **state)
{
    struct site *s = *state;
    struct ask a[6];
    const char *const names[] = {"a", "b", "c", "d"};
    for (unsigned i = 0; i < 4; i++)
        migrate(s, names[i], 1000, i);
    hold_drive(s);
    assert_int_equal(ask(s, "a", 1000, &a[0]), 0);
    assert_int_equal(ask(s, "b", 1000, &a[1]), 0);
    assert_int_equal(ask(s, "c", 1000, &a[2]), -EAGAIN);
    assert_non_null(strstr(s->err.text, "uid 1000 has 2 recalls in the queue"));
    assert_non_null(strstr(s->err.text, "recall.account_max"));
    assert_int_equal(ask(s, "b", 1000, &a[3]), 0); /* joins what is there */
    assert_int_equal(ask(s, "c", 1001, &a[4]), 0);
    free_drive(s);
    wait_called(&a[0]);
    wait_called(&a[1]);
    wait_called(&a[3]);
    wait_called(&a[4]);
    assert_int_equal(a[2].calls, 0);
    assert_int_equal(ask(s, "d", 1000, &a[5]), 0); /* there is room again */
    wait_called(&a[5]);
    assert_int_equal(a[5].rc, 0);
}

static void a_stop_tells_all_before_it_returns_and_the_recall_goes_on_later(void **state)
{
    struct site *s = *state;
    struct ask a;
    struct ask late;
    migrate(s, "f", 1000, 1);
    migrate(s, "g", 1000, 2);
    hold_drive(s);
    assert_int_equal(ask(s, "f", 0, &a), 0);
    engine_stop_begin(s->engine);
    assert_int_equal(a.calls, 1);
    assert_int_equal(a.rc, -ESHUTDOWN);
    assert_int_equal(ask(s, "g", 0, &late), -ESHUTDOWN);
    assert_int_equal(late.calls, 0);
    site_restart(s, NULL);
    free_drive(s);
    for (int i = 0; i < 200 && strcmp(site_state(s, "f"), "premigrated") != 0; i++)
        (void)usleep(50000);
    site_check(s, "f", 1000, 1);
    assert_int_equal(a.calls, 1);
}

/* The text of member name of the first request of task that waits, or "". */
static const char *first_place(const cJSON *task, const char *name)
{
    const cJSON *w = cJSON_GetObjectItem(task, "waiting");
    const cJSON *r = cJSON_GetArrayItem(cJSON_GetObjectItem(w, "requests"), 0);
    return json_str(r, name, "");
}

static void a_waiting_request_shows_its_place_its_reason_and_who_asked(void **state)
{
    struct site *s = *state;
    struct ask a[3];
    auto_json cJSON *j = NULL;
    const char *const names[] = {"a", "b", "c"};
    for (unsigned i = 0; i < 3; i++)
        migrate(s, names[i], 1000, i);
    hold_drive(s);
    for (int i = 0; i < 3; i++)
        assert_int_equal(ask(s, names[i], 1000, &a[i]), 0);
    const cJSON *newest = NULL;
    for (int i = 0; i < 200; i++) { /* the drive puts its cartridge away first */
        cJSON_Delete(take_ptr(j));
        assert_int_equal(site_op(s, engine_op_task_list, &j, "{}"), 0);
        newest = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "tasks"), 0);
        if (strstr(first_place(newest, "reason"), "waits for a drive") != NULL)
            break;
        (void)usleep(50000);
    }
    const cJSON *w = cJSON_GetObjectItem(newest, "waiting");
    const cJSON *r = cJSON_GetArrayItem(cJSON_GetObjectItem(w, "requests"), 0);
    assert_int_equal(json_int(w, "queued", 0), 1);
    assert_int_equal(json_int(r, "position", 0), 3);
    assert_int_equal(json_int(r, "queued", 0), 3);
    assert_string_equal(first_place(newest, "volume"), "FIRN01L8");
    assert_non_null(strstr(first_place(newest, "reason"), "waits for a drive of library lib1"));
    const cJSON *by = cJSON_GetArrayItem(cJSON_GetObjectItem(r, "asked_by"), 0);
    assert_string_equal(cJSON_GetStringValue(by), "cat, process 4711 of user 1000");
    free_drive(s);
    for (int i = 0; i < 3; i++)
        wait_called(&a[i]);
}

static void a_plan_tells_tapes_mounts_and_bytes_and_moves_nothing(void **state)
{
    struct site *s = *state;
    auto_json cJSON *j = NULL;
    struct engine_draft *d = NULL;
    const struct engine_task_spec spec = {.type = ENGINE_RECALL};
    migrate(s, "f", 5000, 1);
    migrate(s, "g", 7000, 2);
    site_write(s, "here", 100, 3);
    site_restart(s, NULL); /* nothing is mounted */
    const struct engine_file_ref files[] = {
        {.path = site_path(s, "f")}, {.path = site_path(s, "g")}, {.path = site_path(s, "here")}};
    assert_int_equal(engine_draft_new(s->engine, &spec, &d, &s->err), 0);
    assert_int_equal(engine_draft_add(d, files, 3, &s->err), 0);
    assert_int_equal(engine_draft_plan_json(d, &j, &s->err), 0);
    assert_int_equal(json_int(j, "files", 0), 2);
    assert_int_equal(json_int(j, "bytes", 0), 12000);
    assert_int_equal(json_int(j, "tapes", 0), 1);
    assert_int_equal(json_int(j, "mounts", 0), 1);
    assert_int_equal(json_int(j, "not_migrated", 0), 1);
    assert_int_equal(json_int(j, "unreadable", 9), 0);
    const double seconds = cJSON_GetNumberValue(cJSON_GetObjectItem(j, "seconds"));
    if (!(seconds > 100 && seconds < 400)) /* a mount, and two files side by side */
        fail_msg("%.0f s", seconds);
    assert_string_equal(site_state(s, "f"), "migrated");
    assert_int_equal(engine_draft_commit(d, NULL, &s->err), 0); /* the draft is good still */
    for (int i = 0; i < 200 && strcmp(site_state(s, "g"), "premigrated") != 0; i++)
        (void)usleep(50000);
    site_check(s, "f", 5000, 1);
}

static void a_plan_names_files_without_a_readable_copy(void **state)
{
    struct site *s = *state;
    auto_json cJSON *j = NULL;
    struct engine_draft *d = NULL;
    const struct engine_task_spec spec = {.type = ENGINE_RECALL};
    migrate(s, "f", 5000, 1);
    site_restart(s, take_away);
    const struct engine_file_ref file = {.path = site_path(s, "f")};
    assert_int_equal(engine_draft_new(s->engine, &spec, &d, &s->err), 0);
    assert_int_equal(engine_draft_add(d, &file, 1, &s->err), 0);
    assert_int_equal(engine_draft_plan_json(d, &j, &s->err), 0);
    engine_draft_free(d);
    assert_int_equal(json_int(j, "files", 9), 0);
    assert_int_equal(json_int(j, "unreadable", 0), 1);
    const cJSON *p = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "problems"), 0);
    assert_non_null(strstr(json_str(p, "message", ""), "FIRN01L8 is missing"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(who_asks_by_id_is_called_when_the_data_is_there),
        T(all_who_ask_for_one_file_are_called_once_for_one_recall),
        T(nobody_is_called_when_transparent_recall_is_off),
        T(a_file_that_is_gone_is_told_at_once),
        T(a_file_that_goes_while_it_waits_is_stale),
        T(without_a_readable_copy_the_call_itself_fails),
        cmocka_unit_test_setup_teardown(
            an_account_with_its_share_in_the_queue_is_refused_and_others_are_not, setup_accounts,
            teardown),
        T(a_waiting_request_shows_its_place_its_reason_and_who_asked),
        cmocka_unit_test_setup_teardown(a_plan_tells_tapes_mounts_and_bytes_and_moves_nothing,
                                        setup_model, teardown),
        T(a_plan_names_files_without_a_readable_copy),
        T(a_stop_tells_all_before_it_returns_and_the_recall_goes_on_later),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
