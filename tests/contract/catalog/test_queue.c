/* SPDX-License-Identifier: Apache-2.0 */
/* The contract of catalog/catalog.h: tasks, jobs, accounts, buckets, schedules, many callers. */
#include "suite.h"

#include "base/cleanup.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* ---- tasks and jobs ---- */

static int64_t add_task(struct fixture *f, enum catalog_task_status status)
{
    struct catalog_task t = {
        .type = "migrate", .params = "firn file migrate", .pools = "p@lib1", .status = status};
    OK(f, catalog_task_add(f->cat, &t, &f->err));
    return t.id;
}

static struct catalog_task task_of(struct fixture *f, int64_t id)
{
    struct catalog_tasks l;
    OK(f, catalog_task_get(f->cat, id, &l, &f->err));
    assert_int_equal(l.n, 1);
    struct catalog_task t = l.v[0];
    t.params = t.pools = t.message = NULL;
    catalog_tasks_fini(&l);
    return t;
}

static struct catalog_job make_job(const struct uuid *fs, uint64_t ino)
{
    return (struct catalog_job){
        .kind = 1, .fs = *fs, .ino = ino, .gen = 1, .path = "a/b", .size = 10};
}

static void task_ids_begin_at_1000_and_the_uid_says_when(void **state)
{
    struct fixture *f = *state;
    struct catalog_task t = {.type = "recall", .status = CATALOG_TASK_WAITING};
    OK(f, catalog_task_add(f->cat, &t, &f->err));
    assert_int_equal(t.id, 1000);
    assert_int_equal(strncmp(t.uid, "1000@20", 7), 0);
    assert_int_equal(add_task(f, CATALOG_TASK_WAITING), 1001);
    suite_reopen(f);
    assert_int_equal(add_task(f, CATALOG_TASK_WAITING), 1002);
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, false, 2, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].id, 1002);
    assert_string_equal(l.v[0].params, "firn file migrate");
    catalog_tasks_fini(&l);
    assert_int_equal(catalog_task_get(f->cat, 5, &l, &f->err), CATALOG_ABSENT);
}

static void a_task_notes_its_times_and_result(void **state)
{
    struct fixture *f = *state;
    int64_t id = add_task(f, CATALOG_TASK_WAITING);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err));
    int64_t started = task_of(f, id).started_ns;
    assert_true(started > 0);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_INTERRUPTED, 0, "x", 0, &f->err));
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err));
    assert_int_equal(task_of(f, id).started_ns, started);
    assert_int_equal(catalog_task_delete(f->cat, id, &f->err), -EBUSY);
    OK(f, catalog_task_set(f->cat, id, CATALOG_TASK_COMPLETED, CATALOG_RESULT_FAILED, "why",
                           CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, true, 0, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].message, "why");
    assert_int_equal(l.v[0].result, CATALOG_RESULT_FAILED);
    assert_true(l.v[0].completed_ns >= started);
    catalog_tasks_fini(&l);
    OK(f, catalog_task_list(f->cat, false, 0, &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_tasks_fini(&l);
    assert_int_equal(catalog_task_set(f->cat, 4, CATALOG_TASK_RUNNING, 0, NULL, 0, &f->err),
                     CATALOG_ABSENT);
}

static void jobs_are_claimed_by_priority_then_block_then_id(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[6];
    static const uint64_t block[6] = {9, 3, 3, 1, 7, 2};
    for (int i = 0; i < 6; i++) {
        j[i] = make_job(&fs, (uint64_t)i + 1);
        j[i].volume = i == 5 ? 2 : 1;
        j[i].block = block[i];
    }
    j[4].priority = 10;
    OK(f, catalog_job_add(f->cat, task, j, 6, &f->err));
    struct catalog_job_filter by_volume = {.kind = 1, .volume = 1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &by_volume, 4, &l, &f->err));
    assert_int_equal(l.n, 4);
    int64_t want[4] = {j[4].id, j[3].id, j[1].id, j[2].id};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(l.v[i].id, want[i]);
        assert_int_equal(l.v[i].state, CATALOG_JOB_RUNNING);
        assert_memory_equal(&l.v[i].fs, &fs, sizeof(fs));
    }
    catalog_jobs_fini(&l);
    struct catalog_job_filter by_task = {.task = task, .kind = -1, .volume = -1};
    OK(f, catalog_job_claim(f->cat, &by_task, 10, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].id, j[5].id);
    catalog_jobs_fini(&l);
    struct catalog_job_filter any = {.kind = -1, .volume = -1};
    OK(f, catalog_job_claim(f->cat, &any, 10, &l, &f->err));
    assert_int_equal(l.n, 0);
    catalog_jobs_fini(&l);
}

static void a_second_job_for_the_same_file_is_a_duplicate(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[4] = {make_job(&fs, 1), make_job(&fs, 1), make_job(&fs, 1),
                               make_job(&fs, 0)};
    j[2].kind = 2;
    OK(f, catalog_job_add(f->cat, task, j, 4, &f->err));
    assert_int_equal(j[0].state, CATALOG_JOB_QUEUED);
    assert_int_equal(j[1].state, CATALOG_JOB_DUPLICATE);
    assert_int_equal(j[1].block, j[0].id);
    assert_int_equal(j[2].state, CATALOG_JOB_QUEUED);
    assert_int_equal(task_of(f, task).files, 3);
    struct catalog_jobs l;
    OK(f, catalog_job_find_open(f->cat, &fs, 1, 1, 2, &l, &f->err));
    assert_int_equal(l.v[0].id, j[2].id);
    catalog_jobs_fini(&l);
    OK(f, catalog_job_find_open(f->cat, &fs, 1, 1, -1, &l, &f->err));
    assert_int_equal(l.v[0].id, j[0].id);
    catalog_jobs_fini(&l);
    struct catalog_job_end e[2] = {{.id = j[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
                                   {.id = j[2].id, .state = CATALOG_JOB_DONE}};
    OK(f, catalog_job_finish(f->cat, e, 2, 0, &f->err));
    assert_int_equal(catalog_job_find_open(f->cat, &fs, 1, 1, -1, &l, &f->err), CATALOG_ABSENT);
    struct catalog_job again = make_job(&fs, 1);
    OK(f, catalog_job_add(f->cat, task, &again, 1, &f->err));
    assert_int_equal(again.state, CATALOG_JOB_QUEUED);
    struct catalog_job lost = make_job(&fs, 9);
    assert_int_equal(catalog_job_add(f->cat, 4, &lost, 1, &f->err), CATALOG_ABSENT);
    assert_int_equal(catalog_job_find_open(f->cat, &fs, 9, 1, -1, &l, &f->err), CATALOG_ABSENT);
}

static void finished_jobs_count_in_their_task_once(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t t1 = add_task(f, CATALOG_TASK_RUNNING), t2 = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job a[3] = {make_job(&fs, 1), make_job(&fs, 2), make_job(&fs, 3)};
    struct catalog_job b[2] = {make_job(&fs, 4), make_job(&fs, 5)};
    b[1].state = CATALOG_JOB_FAILED;
    (void)snprintf(b[1].code, sizeof(b[1].code), "GLESL400E");
    b[1].message = "not found";
    OK(f, catalog_job_add(f->cat, t1, a, 3, &f->err));
    OK(f, catalog_job_add(f->cat, t2, b, 2, &f->err));
    assert_int_equal(task_of(f, t2).failed, 1);
    struct catalog_job_end e[4] = {
        {.id = a[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
        {.id = b[0].id, .state = CATALOG_JOB_DONE, .bytes = 10},
        {.id = a[1].id, .state = CATALOG_JOB_FAILED, .code = "GLESM451W", .message = "changed"},
        {.id = a[2].id, .state = CATALOG_JOB_QUEUED},
    };
    OK(f, catalog_job_finish(f->cat, e, 4, 0, &f->err));
    OK(f, catalog_job_finish(f->cat, e, 2, CATALOG_NOWAIT, &f->err)); /* once only */
    OK(f, catalog_flush(f->cat, &f->err));
    struct catalog_task t = task_of(f, t1);
    assert_int_equal(t.done, 1);
    assert_int_equal(t.failed, 1);
    assert_int_equal(t.bytes_done, 10);
    assert_int_equal(t.bytes_total, 30);
    assert_int_equal(task_of(f, t2).done, 1);
    struct catalog_job_filter failed = {
        .task = t1, .kind = -1, .volume = -1, .state_mask = 1U << CATALOG_JOB_FAILED};
    struct catalog_jobs l;
    OK(f, catalog_job_list(f->cat, &failed, 10, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].code, "GLESM451W");
    assert_string_equal(l.v[0].message, "changed");
    assert_true(l.v[0].ended_ns > 0);
    catalog_jobs_fini(&l);
    struct catalog_job_counts n;
    OK(f, catalog_job_count(f->cat, t1, &n, &f->err));
    assert_int_equal(n.n, 3);
    catalog_job_counts_fini(&n);
    OK(f, catalog_job_count(f->cat, 0, &n, &f->err)); /* open ones only */
    assert_int_equal(n.n, 1);
    assert_int_equal(n.v[0].n, 1);
    catalog_job_counts_fini(&n);
}

static void cancelling_ends_queued_jobs_and_leaves_running_ones(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[3] = {make_job(&fs, 1), make_job(&fs, 2), make_job(&fs, 3)};
    OK(f, catalog_job_add(f->cat, task, j, 3, &f->err));
    struct catalog_job_filter any = {.task = task, .kind = -1, .volume = -1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &any, 1, &l, &f->err));
    catalog_jobs_fini(&l);
    int64_t n = 0;
    OK(f, catalog_job_cancel(f->cat, task, "GLESM451W", "cancelled", &n, &f->err));
    assert_int_equal(n, 2);
    assert_int_equal(task_of(f, task).failed, 2);
}

static void job_lists_come_in_pages(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING);
    struct catalog_job j[25];
    for (int i = 0; i < 25; i++)
        j[i] = make_job(&fs, (uint64_t)i + 1);
    OK(f, catalog_job_add(f->cat, task, j, 25, &f->err));
    struct catalog_job_filter p = {.task = task, .kind = -1, .volume = -1};
    size_t seen = 0;
    for (;;) {
        struct catalog_jobs l;
        OK(f, catalog_job_list(f->cat, &p, 10, &l, &f->err));
        size_t n = l.n;
        if (n > 0)
            p.after_id = l.v[n - 1].id;
        seen += n;
        catalog_jobs_fini(&l);
        if (n == 0)
            break;
    }
    assert_int_equal(seen, 25);
    p.after_id = 0;
    struct catalog_jobs l;
    OK(f, catalog_job_list_at(f->cat, &p, 20, 10, &l, &f->err));
    assert_int_equal(l.n, 5);
    assert_int_equal(l.v[0].id, j[20].id);
    catalog_jobs_fini(&l);
}

static void routing_moves_a_job_to_another_queue(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    struct catalog_job j = make_job(&fs, 1);
    OK(f, catalog_job_add(f->cat, 0, &j, 1, &f->err));
    j.volume = 9;
    j.block = 4;
    j.priority = 2;
    OK(f, catalog_job_route(f->cat, &j, 1, &f->err));
    struct catalog_job_filter q = {.kind = 1, .volume = 9};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &q, 5, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].priority, 2);
    catalog_jobs_fini(&l);
}

static void after_a_restart_running_jobs_are_queued_again(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t task = add_task(f, CATALOG_TASK_RUNNING), draft = add_task(f, CATALOG_TASK_DRAFT);
    struct catalog_job j[2] = {make_job(&fs, 1), make_job(&fs, 2)}, d = make_job(&fs, 3);
    OK(f, catalog_job_add(f->cat, task, j, 2, &f->err));
    OK(f, catalog_job_add(f->cat, draft, &d, 1, &f->err));
    struct catalog_job_filter any = {.task = task, .kind = -1, .volume = -1};
    struct catalog_jobs l;
    OK(f, catalog_job_claim(f->cat, &any, 1, &l, &f->err));
    catalog_jobs_fini(&l);
    suite_reopen(f);
    int64_t n = 0;
    OK(f, catalog_recover(f->cat, &n, &f->err));
    assert_int_equal(n, 1);
    assert_int_equal(task_of(f, task).status, CATALOG_TASK_INTERRUPTED);
    struct catalog_tasks tl;
    assert_int_equal(catalog_task_get(f->cat, draft, &tl, &f->err), CATALOG_ABSENT);
    OK(f, catalog_job_claim(f->cat, &any, 10, &l, &f->err));
    assert_int_equal(l.n, 2);
    assert_int_equal(l.v[0].attempt + l.v[1].attempt, 1);
    catalog_jobs_fini(&l);
}

static void pruning_keeps_open_tasks_and_the_last_failed_ones(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    int64_t open = add_task(f, CATALOG_TASK_RUNNING), ids[4];
    for (int i = 0; i < 4; i++) {
        ids[i] = add_task(f, CATALOG_TASK_RUNNING);
        struct catalog_job j = make_job(&fs, (uint64_t)i + 1);
        OK(f, catalog_job_add(f->cat, ids[i], &j, 1, &f->err));
        OK(f, catalog_job_cancel(f->cat, ids[i], "c", "m", NULL, &f->err));
        OK(f, catalog_task_set(f->cat, ids[i], CATALOG_TASK_COMPLETED,
                               i < 3 ? CATALOG_RESULT_FAILED : CATALOG_RESULT_SUCCEEDED, NULL, 0,
                               &f->err));
    }
    int64_t n = 0;
    OK(f, catalog_task_prune(f->cat, 1, 0, &n, &f->err)); /* none is that old */
    assert_int_equal(n, 0);
    OK(f, catalog_task_prune(f->cat, INT64_MAX, 2, &n, &f->err));
    assert_int_equal(n, 2);
    struct catalog_tasks l;
    OK(f, catalog_task_list(f->cat, true, 0, &l, &f->err));
    assert_int_equal(l.n, 3);
    assert_int_equal(l.v[0].id, ids[2]);
    assert_int_equal(l.v[2].id, open);
    catalog_tasks_fini(&l);
    struct catalog_job_filter all = {.kind = -1, .volume = -1};
    struct catalog_jobs jl;
    OK(f, catalog_job_list(f->cat, &all, 100, &jl, &f->err));
    assert_int_equal(jl.n, 2);
    catalog_jobs_fini(&jl);
    OK(f, catalog_task_prune(f->cat, INT64_MAX, 0, &n, &f->err));
    assert_int_equal(n, 2);
    OK(f, catalog_check(f->cat, &f->err));
}

/* ---- accounts, buckets, schedules ---- */

static void accounts_share_no_access_key(void **state)
{
    struct fixture *f = *state;
    struct catalog_account a = {.name = "user1",
                                .uid = 1001,
                                .gid = 1002,
                                .access_key = "AK1",
                                .secret_key = "s",
                                .enabled = true,
                                .new_buckets = "/b"};
    struct catalog_account b = {.name = "user2", .access_key = "AK2", .access_key2 = "AK1"};
    int64_t g0 = 0, g1 = 0;
    OK(f, catalog_registry_generation(f->cat, &g0, &f->err));
    OK(f, catalog_account_add(f->cat, &a, &f->err));
    OK(f, catalog_registry_generation(f->cat, &g1, &f->err));
    assert_true(g1 > g0);
    assert_int_equal(catalog_account_add(f->cat, &a, &f->err), -EEXIST);
    assert_int_equal(catalog_account_add(f->cat, &b, &f->err), -EEXIST);
    assert_non_null(strstr(f->err.text, "AK1"));
    b.access_key2[0] = '\0';
    OK(f, catalog_account_add(f->cat, &b, &f->err));
    (void)snprintf(a.access_key2, sizeof(a.access_key2), "AK2");
    assert_int_equal(catalog_account_set(f->cat, &a, &f->err), -EEXIST);
    (void)snprintf(a.access_key2, sizeof(a.access_key2), "AK3");
    a.uid = 7;
    OK(f, catalog_account_set(f->cat, &a, &f->err));
    struct catalog_accounts l;
    OK(f, catalog_account_list(f->cat, "user1", &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].uid, 7);
    assert_string_equal(l.v[0].access_key2, "AK3");
    assert_string_equal(l.v[0].new_buckets, "/b");
    catalog_accounts_fini(&l);
    assert_int_equal(catalog_account_list(f->cat, "nobody", &l, &f->err), CATALOG_ABSENT);
    OK(f, catalog_account_list(f->cat, NULL, &l, &f->err));
    assert_int_equal(l.n, 2);
    catalog_accounts_fini(&l);
    struct catalog_account none = {.name = "nobody"};
    assert_int_equal(catalog_account_set(f->cat, &none, &f->err), CATALOG_ABSENT);
}

static void an_account_with_buckets_is_not_deleted(void **state)
{
    struct fixture *f = *state;
    struct catalog_account a = {.name = "user1", .access_key = "AK1"};
    OK(f, catalog_account_add(f->cat, &a, &f->err));
    struct catalog_bucket b = {.name = "test1", .owner = "user1", .path = "/fs/b/test1"};
    int64_t g0 = 0, g1 = 0;
    OK(f, catalog_registry_generation(f->cat, &g0, &f->err));
    OK(f, catalog_bucket_add(f->cat, &b, &f->err));
    OK(f, catalog_registry_generation(f->cat, &g1, &f->err));
    assert_true(g1 > g0);
    assert_int_equal(catalog_bucket_add(f->cat, &b, &f->err), -EEXIST);
    struct catalog_bucket orphan = {.name = "x", .owner = "nobody"};
    assert_int_equal(catalog_bucket_add(f->cat, &orphan, &f->err), CATALOG_ABSENT);
    assert_int_equal(catalog_account_delete(f->cat, "user1", &f->err), -ENOTEMPTY);
    struct catalog_buckets l;
    OK(f, catalog_bucket_list(f->cat, NULL, "user1", &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_string_equal(l.v[0].path, "/fs/b/test1");
    catalog_buckets_fini(&l);
    assert_int_equal(catalog_bucket_list(f->cat, "x", NULL, &l, &f->err), CATALOG_ABSENT);
    OK(f, catalog_bucket_delete(f->cat, "test1", &f->err));
    assert_int_equal(catalog_bucket_delete(f->cat, "test1", &f->err), CATALOG_ABSENT);
    OK(f, catalog_account_delete(f->cat, "user1", &f->err));
    assert_int_equal(catalog_account_delete(f->cat, "user1", &f->err), CATALOG_ABSENT);
}

static void schedules_remember_their_last_run(void **state)
{
    struct fixture *f = *state;
    struct catalog_schedule s = {.name = "recall",
                                 .when = "0 * * * *",
                                 .target = "fs1",
                                 .file = "/p/rec.policy",
                                 .macros = "{}",
                                 .enabled = true,
                                 .events = true};
    OK(f, catalog_schedule_put(f->cat, &s, &f->err));
    OK(f, catalog_schedule_ran(f->cat, "recall", 123, "0 files", CATALOG_NOWAIT, &f->err));
    OK(f, catalog_flush(f->cat, &f->err));
    assert_int_equal(catalog_schedule_ran(f->cat, "x", 123, "", 0, &f->err), CATALOG_ABSENT);
    struct catalog_schedules l;
    OK(f, catalog_schedule_list(f->cat, NULL, &l, &f->err));
    assert_int_equal(l.n, 1);
    assert_int_equal(l.v[0].last_run_ns, 123);
    assert_string_equal(l.v[0].last_result, "0 files");
    assert_string_equal(l.v[0].when, "0 * * * *");
    assert_true(l.v[0].events);
    catalog_schedules_fini(&l);
    OK(f, catalog_schedule_delete(f->cat, "recall", &f->err));
    assert_int_equal(catalog_schedule_list(f->cat, "recall", &l, &f->err), CATALOG_ABSENT);
}

/* ---- many callers ---- */

enum { CALLERS = 8, ROUNDS = 100 };

struct caller {
    struct catalog *cat;
    int no;
    int failures;
};

static void *call_often(void *arg)
{
    struct caller *c = arg;
    char key[32];
    for (int i = 0; i < ROUNDS; i++) {
        int64_t v;
        auto_free char *got = NULL;
        (void)snprintf(key, sizeof(key), "k%d.%d", c->no, i);
        c->failures += catalog_attr_set(c->cat, key, key, 0, NULL) != 0;
        c->failures += catalog_attr_get(c->cat, key, &got, NULL) != 0; /* one's own write is seen */
        c->failures += catalog_sequence_next(c->cat, "shared", &v, NULL) != 0;
        c->failures += catalog_pool_delete(c->cat, "l", "none", NULL) != CATALOG_ABSENT;
    }
    return NULL;
}

static void many_callers_share_transactions_and_disturb_nobody(void **state)
{
    struct fixture *f = *state;
    pthread_t t[CALLERS];
    struct caller c[CALLERS];
    for (int i = 0; i < CALLERS; i++) {
        c[i] = (struct caller){f->cat, i, 0};
        assert_int_equal(pthread_create(&t[i], NULL, call_often, &c[i]), 0);
    }
    for (int i = 0; i < CALLERS; i++) {
        (void)pthread_join(t[i], NULL);
        assert_int_equal(c[i].failures, 0);
    }
    int64_t v = 0;
    OK(f, catalog_sequence_next(f->cat, "shared", &v, &f->err));
    assert_int_equal(v, CALLERS * ROUNDS + 1);
    struct catalog_attrs l;
    OK(f, catalog_attr_list(f->cat, "k", &l, &f->err));
    assert_int_equal(l.n, CALLERS * ROUNDS);
    catalog_attrs_fini(&l);
}

static void an_unknown_kind_is_named(void **state)
{
    struct fixture *f = *state;
    struct catalog *c = NULL;
    assert_int_equal(catalog_open("mysql", f->dir, &c, &f->err), -EINVAL);
    assert_non_null(strstr(f->err.text, "mysql"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(task_ids_begin_at_1000_and_the_uid_says_when),
        T(a_task_notes_its_times_and_result),
        T(jobs_are_claimed_by_priority_then_block_then_id),
        T(a_second_job_for_the_same_file_is_a_duplicate),
        T(finished_jobs_count_in_their_task_once),
        T(cancelling_ends_queued_jobs_and_leaves_running_ones),
        T(job_lists_come_in_pages),
        T(routing_moves_a_job_to_another_queue),
        T(after_a_restart_running_jobs_are_queued_again),
        T(pruning_keeps_open_tasks_and_the_last_failed_ones),
        T(accounts_share_no_access_key),
        T(an_account_with_buckets_is_not_deleted),
        T(schedules_remember_their_last_run),
        T(many_callers_share_transactions_and_disturb_nobody),
        T(an_unknown_kind_is_named),
    };
    return suite_run(tests, sizeof(tests) / sizeof(tests[0]));
}
