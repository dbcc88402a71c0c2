/* SPDX-License-Identifier: Apache-2.0 */
#include "ops_fixture.h"

#include "base/timefmt.h"
#include "engine/schedule.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

/* ---- expressions ---- */

static int64_t at(const char *text)
{
    int64_t ns = 0;
    if (timefmt_parse_iso(text, &ns) != 0)
        fail_msg("%s", text);
    return ns / NS_PER_SEC;
}

/* In UTC: the next time of expression when behind from is to. */
static void next_is(const char *when, const char *from, const char *to)
{
    struct err e = {0};
    struct schedule_when w;
    char text[TIMEFMT_MAX];
    assert_ok(schedule_parse(when, &w, &e), e);
    int64_t got = schedule_next(&w, at(from));
    timefmt_iso_s3(got * NS_PER_SEC, text);
    if (got != at(to))
        fail_msg("%s behind %s: %s, not %s", when, from, text, to);
}

static void the_documents_two_schedules_come_when_they_should(void **state)
{
    (void)state;
    next_is("0 *  *  *  *", "2024-03-01T10:00:00", "2024-03-01T11:00:00");
    next_is("0 *  *  *  *", "2024-03-01T10:59:59", "2024-03-01T11:00:00");
    next_is("30 0,4,8,16,20  *  *  *", "2024-03-01T08:30:00", "2024-03-01T16:30:00");
    next_is("30 0,4,8,16,20  *  *  *", "2024-03-01T20:30:00", "2024-03-02T00:30:00");
    next_is("30 0,4,8,16,20 * * *", "2024-03-01T00:29:00", "2024-03-01T00:30:00");
}

static void lists_ranges_steps_and_names_are_understood(void **state)
{
    (void)state;
    next_is("*/15 * * * *", "2024-03-01T10:01:00", "2024-03-01T10:15:00");
    next_is("10-30/10,55 9-17 * * *", "2024-03-01T17:30:00", "2024-03-01T17:55:00");
    next_is("10-30/10,55 9-17 * * *", "2024-03-01T17:55:00", "2024-03-02T09:10:00");
    next_is("0 0 1 jan *", "2024-03-01T10:00:00", "2025-01-01T00:00:00");
    next_is("0 6 * * mon-fri", "2024-03-01T10:00:00", "2024-03-04T06:00:00");
    next_is("0 6 * * 7", "2024-03-01T10:00:00", "2024-03-03T06:00:00");
    next_is("0 6 * * SUN", "2024-03-01T10:00:00", "2024-03-03T06:00:00");
    next_is("0 0 29 2 *", "2024-03-01T00:00:00", "2028-02-29T00:00:00");
}

static void two_day_fields_match_either_and_one_matches_alone(void **state)
{
    (void)state;
    /* Friday 1 March 2024: the 13th, or any Monday */
    next_is("0 0 13 * 1", "2024-03-01T10:00:00", "2024-03-04T00:00:00");
    next_is("0 0 13 * 1", "2024-03-11T10:00:00", "2024-03-13T00:00:00");
    next_is("0 0 13 * *", "2024-03-01T10:00:00", "2024-03-13T00:00:00");
    next_is("0 0 * * 1", "2024-03-11T10:00:00", "2024-03-18T00:00:00");
}

static void an_hour_that_a_clock_change_leaves_out_is_not_missed(void **state)
{
    struct err e = {0};
    struct schedule_when w;
    (void)state;
    assert_int_equal(setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1), 0);
    tzset();
    assert_ok(schedule_parse("30 2 * * *", &w, &e), e);
    /* 31 March 2024: 02:00 becomes 03:00; 02:30 is 01:30 UTC */
    assert_true(schedule_next(&w, at("2024-03-30T12:00:00")) == at("2024-03-31T01:30:00"));
    assert_true(schedule_next(&w, at("2024-03-31T01:30:00")) == at("2024-04-01T00:30:00"));
    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    tzset();
}

static void wrong_expressions_are_named_by_field(void **state)
{
    static const struct {
        const char *text;
        const char *said;
    } bad[] = {
        {"60 * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of month"},
        {"* * 32 * *", "day of month"},
        {"* * * 13 *", "month"},
        {"* * * foo *", "month"},
        {"* * * * 8", "day of week"},
        {"*/0 * * * *", "minute"},
        {"5/10 * * * *", "minute"},
        {"5-1 * * * *", "minute"},
        {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"},
        {"-1 * * * *", "minute"},
        {"1- * * * *", "minute"},
        {"* * * *", "five fields"},
        {"* * * * * *", "five fields"},
        {"", "five fields"},
        {"99999999999999999999 * * * *", "minute"},
        {"* * * * mondays", "day of week"},
    };
    (void)state;
    struct schedule_when w;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err e = {0};
        if (schedule_parse(bad[i].text, &w, &e) != -EINVAL)
            fail_msg("\"%s\" was taken", bad[i].text);
        if (strstr(e.text, bad[i].said) == NULL)
            fail_msg("\"%s\": %s", bad[i].text, e.text);
    }
    assert_int_equal(schedule_parse("0 0 30 2 *", &w, NULL), 0);
    assert_true(schedule_next(&w, at("2024-03-01")) == -1);
}

/* ---- the scheduler, on a clock of the test ---- */

struct fixture {
    struct ops_fixture *f;
    struct scheduler *s;
    pthread_mutex_t lock; /* over all below */
    pthread_cond_t cond;
    int64_t now;
    int began;
    int ended;
    bool hold; /* runs wait */
    int rc;
    char target[64];
};

static int64_t clock_of_test(void *ctx)
{
    struct fixture *t = ctx;
    lock_scope(&t->lock);
    return t->now;
}

static int fake_run(void *ctx, const cJSON *args, void (*event)(void *arg, cJSON *event),
                    void *event_arg, cJSON **result, struct err *err)
{
    struct fixture *t = ctx;
    cJSON *line = cJSON_CreateObject();
    json_add_str(line, "kind", "line");
    json_add_str(line, "text", "a line of the run");
    event(event_arg, line);
    lock_scope(&t->lock);
    t->began++;
    (void)snprintf(t->target, sizeof(t->target), "%s", json_str(args, "target", ""));
    (void)pthread_cond_broadcast(&t->cond);
    while (t->hold)
        (void)pthread_cond_wait(&t->cond, &t->lock);
    t->ended++;
    if (t->rc != 0)
        return err_set(err, t->rc, "the policy is wrong");
    *result = cJSON_CreateObject();
    json_add_int(*result, "chosen", 3);
    return 0;
}

static void start(struct fixture *t)
{
    struct err e = {0};
    const struct schedule_env env = {
        .catalog = t->f->cat, .run = fake_run, .ctx = t, .now_s = clock_of_test};
    assert_ok(schedule_start(&env, true, &t->s, &e), e);
}

static int setup(void **state)
{
    struct fixture *t = xzalloc(sizeof(*t));
    t->f = ops_new();
    ops_open_catalog(t->f);
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->cond, NULL);
    t->now = at("2024-03-01T10:20:00");
    start(t);
    *state = t;
    return 0;
}

static void let_go(struct fixture *t)
{
    lock_scope(&t->lock);
    t->hold = false;
    (void)pthread_cond_broadcast(&t->cond);
}

static int teardown(void **state)
{
    struct fixture *t = *state;
    let_go(t);
    schedule_stop(t->s);
    ops_free(t->f);
    free(t);
    return 0;
}

typedef int op_fn(struct scheduler *s, const cJSON *args, cJSON **result, struct err *err);

static int call(struct fixture *t, op_fn *fn, const char *text, cJSON **result, struct err *err)
{
    auto_free char *json = xstrdup(text);
    for (char *p = json; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    auto_json cJSON *args = cJSON_Parse(json);
    auto_json cJSON *own = NULL;
    err_clear(err);
    assert_non_null(args);
    return fn(t->s, args, result != NULL ? result : &own, err);
}

static void set(struct fixture *t, const char *text)
{
    struct err e = {0};
    assert_ok(call(t, schedule_set, text, NULL, &e), e);
}

/* The time becomes text; what is due runs to its end. */
static int runs_at(struct fixture *t, const char *text)
{
    (void)pthread_mutex_lock(&t->lock);
    t->now = at(text);
    int before = t->ended;
    (void)pthread_mutex_unlock(&t->lock);
    schedule_tick(t->s);
    schedule_wait_idle(t->s);
    return t->ended - before;
}

static const cJSON *first(cJSON *list)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(list, "schedules"), 0);
}

#define RECALL "'when':'0 * * * *','target':'fs1','file':'/pol/rec.policy'"

static void a_schedule_runs_at_its_time_and_not_before(void **state)
{
    struct fixture *t = *state;
    set(t, "{'name':'recall'," RECALL "}");
    assert_int_equal(runs_at(t, "2024-03-01T10:20:30"), 0);
    assert_int_equal(runs_at(t, "2024-03-01T10:59:59"), 0);
    assert_int_equal(runs_at(t, "2024-03-01T11:00:00"), 1);
    assert_string_equal(t->target, "fs1");
    assert_int_equal(runs_at(t, "2024-03-01T11:00:59"), 0);
    assert_int_equal(runs_at(t, "2024-03-01T12:00:10"), 1);
}

static void of_many_missed_runs_one_is_caught_up_also_after_a_restart(void **state)
{
    struct fixture *t = *state;
    set(t, "{'name':'recall'," RECALL "}");
    assert_int_equal(runs_at(t, "2024-03-01T11:00:00"), 1);
    schedule_stop(t->s);
    start(t);
    assert_int_equal(runs_at(t, "2024-03-03T07:15:00"), 1);
    assert_int_equal(runs_at(t, "2024-03-03T07:15:30"), 0);
    assert_int_equal(runs_at(t, "2024-03-03T08:00:00"), 1);
}

static void a_disabled_schedule_rests_and_has_nothing_to_catch_up(void **state)
{
    struct fixture *t = *state;
    set(t, "{'name':'recall','enabled':false," RECALL "}");
    assert_int_equal(runs_at(t, "2024-03-01T15:00:00"), 0);
    set(t, "{'name':'recall','enabled':true}");
    assert_int_equal(runs_at(t, "2024-03-01T15:01:00"), 0);
    assert_int_equal(runs_at(t, "2024-03-01T16:00:00"), 1);
}

static void a_schedule_never_overlaps_itself(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    set(t, "{'name':'recall'," RECALL "}");
    t->hold = true;
    assert_ok(call(t, schedule_run, "{'name':'recall'}", NULL, &e), e);
    (void)pthread_mutex_lock(&t->lock);
    while (t->began < 1)
        (void)pthread_cond_wait(&t->cond, &t->lock);
    t->now = at("2024-03-01T11:00:00");
    (void)pthread_mutex_unlock(&t->lock);
    schedule_tick(t->s);
    schedule_tick(t->s);
    assert_int_equal(call(t, schedule_run, "{'name':'recall'}", NULL, &e), -EBUSY);
    assert_int_equal(t->began, 1);
    let_go(t);
    schedule_wait_idle(t->s);
    assert_int_equal(t->ended, 1);
}

static void the_last_result_is_kept_and_the_log_appended(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    char text[512];
    char log[128];
    auto_json cJSON *list = NULL;
    auto_json cJSON *again = NULL;
    auto_free char *content = NULL;
    (void)snprintf(log, sizeof(log), "%s/recall.log", t->f->dir);
    ops_write(log, "before\n");
    (void)snprintf(text, sizeof(text), "{'name':'recall','log':'%s'," RECALL "}", log);
    set(t, text);
    assert_int_equal(runs_at(t, "2024-03-01T11:00:00"), 1);
    assert_ok(call(t, schedule_list, "{}", &list, &e), e);
    assert_string_equal(json_str(first(list), "last_result", ""),
                        "ok: 3 chosen, 0 executed, 0 failed");
    assert_string_equal(json_str(first(list), "last_run", ""), "2024-03-01T11:00:00.000Z");
    assert_string_equal(json_str(first(list), "next_run", ""), "2024-03-01T12:00:00.000Z");
    t->rc = -EINVAL;
    assert_int_equal(runs_at(t, "2024-03-01T12:00:00"), 1);
    assert_ok(call(t, schedule_list, "{}", &again, &e), e);
    assert_string_equal(json_str(first(again), "last_result", ""), "failed: the policy is wrong");
    assert_ok(io_read_file(AT_FDCWD, log, 4096, &content, NULL, &e), e);
    assert_string_equal(content,
                        "before\na line of the run\na line of the run\nthe policy is wrong\n");
}

static void a_run_that_a_crash_cut_off_is_called_interrupted(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *list = NULL;
    set(t, "{'name':'recall'," RECALL "}");
    assert_int_equal(catalog_schedule_ran(t->f->cat, "recall",
                                          at("2024-03-01T11:00:00") * NS_PER_SEC, "running", 0, &e),
                     0);
    schedule_stop(t->s);
    start(t);
    assert_ok(call(t, schedule_list, "{}", &list, &e), e);
    assert_string_equal(json_str(first(list), "last_result", ""), "interrupted");
    assert_int_equal(runs_at(t, "2024-03-01T11:30:00"), 0);
}

static void macros_and_changes_are_kept(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *list = NULL;
    set(t, "{'name':'m','macros':{'AGE':'30'}," RECALL "}");
    set(t, "{'name':'m','target':'fs2'}");
    assert_ok(call(t, schedule_list, "{}", &list, &e), e);
    assert_string_equal(json_str(first(list), "target", ""), "fs2");
    assert_string_equal(json_str(first(list), "file", ""), "/pol/rec.policy");
    assert_string_equal(
        json_str(cJSON_GetObjectItemCaseSensitive(first(list), "macros"), "AGE", ""), "30");
}

static void a_policy_for_events_needs_no_time(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *list = NULL;
    set(t, "{'name':'m','target':'fs1','file':'/p','when':'','events':true}");
    assert_ok(call(t, schedule_list, "{}", &list, &e), e);
    assert_true(json_bool(first(list), "events", false));
    assert_string_equal(json_str(first(list), "next_run", "?"), "");
    assert_int_equal(runs_at(t, "2024-03-02T11:00:00"), 0);
    assert_ok(call(t, schedule_run, "{'name':'m'}", NULL, &e), e);
    schedule_wait_idle(t->s);
}

static void wrong_settings_change_nothing(void **state)
{
    static const char *const bad[] = {
        "{'name':'x/y'," RECALL "}",
        "{'name':'x','when':'61 * * * *','target':'fs1','file':'/p'}",
        "{'name':'x','when':'0 0 31 2 *','target':'fs1','file':'/p'}",
        "{'name':'x','when':'0 * * * *','target':'fs1','file':'relative'}",
        "{'name':'x','when':'0 * * * *','target':'fs1'}",
        "{'name':'x','when':'0 * * * *','file':'/p'}",
        "{'name':'x','log':'relative'," RECALL "}",
        "{'when':'0 * * * *','target':'fs1','file':'/p'}",
        "{'name':'x','when':'','target':'fs1','file':'/p'}",
        "{'name':'x','when':'61 * * * *','target':'fs1','file':'/p','events':true}",
    };
    struct fixture *t = *state;
    struct err e = {0};
    auto_json cJSON *list = NULL;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (call(t, schedule_set, bad[i], NULL, &e) != -EINVAL)
            fail_msg("%s was taken", bad[i]);
    assert_ok(call(t, schedule_list, "{}", &list, &e), e);
    assert_null(first(list));
    assert_int_equal(call(t, schedule_run, "{'name':'x'}", NULL, &e), -ENOENT);
    assert_int_equal(call(t, schedule_delete, "{'name':'x'}", NULL, &e), -ENOENT);
}

static void a_deleted_schedule_runs_no_more(void **state)
{
    struct fixture *t = *state;
    struct err e = {0};
    set(t, "{'name':'recall'," RECALL "}");
    assert_ok(call(t, schedule_delete, "{'name':'recall'}", NULL, &e), e);
    assert_int_equal(runs_at(t, "2024-03-01T12:00:00"), 0);
}

static void the_thread_of_the_scheduler_starts_what_is_due(void **state)
{
    struct fixture *t = *state;
    struct timespec until;
    schedule_stop(t->s);
    t->s = NULL;
    t->now = at("2024-03-01T10:59:59");
    const struct schedule_env env = {
        .catalog = t->f->cat, .run = fake_run, .ctx = t, .now_s = clock_of_test};
    assert_int_equal(schedule_start(&env, false, &t->s, NULL), 0);
    set(t, "{'name':'recall'," RECALL "}");
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    int rc = 0;
    (void)pthread_mutex_lock(&t->lock);
    assert_int_equal(t->began, 0);
    t->now = at("2024-03-01T11:00:00");
    while (t->began == 0 && rc == 0)
        rc = pthread_cond_timedwait(&t->cond, &t->lock, &until);
    (void)pthread_mutex_unlock(&t->lock);
    assert_int_equal(t->began, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documents_two_schedules_come_when_they_should),
        cmocka_unit_test(lists_ranges_steps_and_names_are_understood),
        cmocka_unit_test(two_day_fields_match_either_and_one_matches_alone),
        cmocka_unit_test(an_hour_that_a_clock_change_leaves_out_is_not_missed),
        cmocka_unit_test(wrong_expressions_are_named_by_field),
        T(a_schedule_runs_at_its_time_and_not_before),
        T(of_many_missed_runs_one_is_caught_up_also_after_a_restart),
        T(a_disabled_schedule_rests_and_has_nothing_to_catch_up),
        T(a_schedule_never_overlaps_itself),
        T(the_last_result_is_kept_and_the_log_appended),
        T(a_run_that_a_crash_cut_off_is_called_interrupted),
        T(macros_and_changes_are_kept),
        T(a_policy_for_events_needs_no_time),
        T(wrong_settings_change_nothing),
        T(a_deleted_schedule_runs_no_more),
        T(the_thread_of_the_scheduler_starts_what_is_due),
    };
    (void)setenv("TZ", "UTC", 1);
    tzset();
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
