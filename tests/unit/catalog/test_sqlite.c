/* SPDX-License-Identifier: Apache-2.0 */
/* What is the sqlite kind's own: its file, damage, locks, durability, plans. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "catalog/catalog.h"
#include "catalog/sqlite_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    char file[96];
    struct catalog *cat;
    struct err err;
};

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int setup(void **state)
{
    struct fixture *f = xzalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/firn-catalog-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    (void)snprintf(f->file, sizeof(f->file), "%s/catalog.db", f->dir);
    assert_int_equal(catalog_open("sqlite", f->dir, &f->cat, &f->err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    catalog_close(f->cat);
    (void)nftw(f->dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void close_it(struct fixture *f)
{
    catalog_close(f->cat);
    f->cat = NULL;
}

static int open_it(struct fixture *f)
{
    return catalog_open("sqlite", f->dir, &f->cat, &f->err);
}

/* Runs sql on the closed catalogue's file. */
static void meddle(struct fixture *f, const char *sql)
{
    sqlite3 *h = NULL;
    assert_int_equal(sqlite3_open(f->file, &h), SQLITE_OK);
    assert_int_equal(sqlite3_exec(h, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(h), SQLITE_OK);
}

static void its_files_are_for_root_only(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    assert_int_equal(stat(f->file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    close_it(f);
    char inner[96];
    (void)snprintf(inner, sizeof(inner), "%s/new", f->dir);
    assert_int_equal(catalog_open("sqlite", inner, &f->cat, &f->err), 0);
    assert_int_equal(stat(inner, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

static void a_second_process_is_kept_out(void **state)
{
    struct fixture *f = *state;
    struct catalog *second = NULL;
    assert_int_equal(catalog_open("sqlite", f->dir, &second, &f->err), -EBUSY);
    assert_non_null(strstr(f->err.text, f->dir));
}

static void damage_is_noticed_at_open_and_says_what_to_do(void **state)
{
    struct fixture *f = *state;
    struct uuid fs = uuid_new();
    for (int i = 0; i < 200; i++) {
        struct catalog_job j = {.fs = fs, .ino = (uint64_t)i + 1, .path = "some/longer/path/name"};
        assert_int_equal(catalog_job_add(f->cat, 0, &j, 1, &f->err), 0);
    }
    close_it(f);
    auto_close int fd = open(f->file, O_RDWR | O_CLOEXEC);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    char junk[4096];
    memset(junk, 0x5a, sizeof(junk));
    for (off_t at = 4096; at < st.st_size; at += 8192)
        assert_int_equal(io_pwrite_full(fd, junk, sizeof(junk), at), 0);
    assert_int_equal(open_it(f), -EBADMSG);
    assert_non_null(strstr(f->err.text, "firn rebuild"));
    assert_non_null(strstr(f->err.text, f->file));
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(io_pwrite_full(fd, junk, sizeof(junk), 0), 0);
    assert_int_equal(open_it(f), -EBADMSG);
    assert_non_null(strstr(f->err.text, "firn rebuild"));
}

static void another_programs_database_is_refused(void **state)
{
    struct fixture *f = *state;
    close_it(f);
    meddle(f, "PRAGMA application_id = 7");
    assert_int_equal(open_it(f), -EBADMSG);
    assert_non_null(strstr(f->err.text, "another program"));
}

static void a_newer_schema_is_refused(void **state)
{
    struct fixture *f = *state;
    close_it(f);
    meddle(f, "PRAGMA user_version = 99");
    assert_int_equal(open_it(f), -EPROTO);
    assert_non_null(strstr(f->err.text, "99"));
}

static void an_interrupted_first_start_begins_again(void **state)
{
    struct fixture *f = *state;
    close_it(f);
    auto_close int fd = open(f->file, O_RDWR | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(open_it(f), 0);
    int64_t v = 0;
    assert_int_equal(catalog_sequence_next(f->cat, "x", &v, &f->err), 0);
}

static void a_copy_without_archive_is_found_by_the_check(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(catalog_check(f->cat, &f->err), 0);
    close_it(f);
    meddle(f, "INSERT INTO copies VALUES(5, 1, 0, 'tape', 1, 'x', 0, 0, 0, 0, 0)");
    assert_int_equal(open_it(f), 0);
    assert_int_equal(catalog_check(f->cat, &f->err), -EBADMSG);
    assert_non_null(strstr(f->err.text, "no archive"));
}

static void task_ids_go_round_and_pass_over_open_tasks(void **state)
{
    struct fixture *f = *state;
    struct catalog_task old = {.type = "recall", .status = CATALOG_TASK_RUNNING};
    struct catalog_task open = {.type = "recall", .status = CATALOG_TASK_RUNNING};
    assert_int_equal(catalog_task_add(f->cat, &old, &f->err), 0);
    assert_int_equal(catalog_task_add(f->cat, &open, &f->err), 0);
    struct uuid fs = uuid_new();
    struct catalog_job j = {.fs = fs, .ino = 1, .path = "a"};
    assert_int_equal(catalog_job_add(f->cat, old.id, &j, 1, &f->err), 0);
    assert_int_equal(catalog_task_set(f->cat, old.id, CATALOG_TASK_COMPLETED, CATALOG_RESULT_FAILED,
                                      NULL, 0, &f->err),
                     0);
    close_it(f);
    meddle(f, "UPDATE sequences SET value = 99998 WHERE name = 'task'");
    assert_int_equal(open_it(f), 0);
    struct catalog_task t = {.type = "recall", .status = CATALOG_TASK_WAITING};
    assert_int_equal(catalog_task_add(f->cat, &t, &f->err), 0);
    assert_int_equal(t.id, 99999);
    assert_int_equal(catalog_task_add(f->cat, &t, &f->err), 0);
    assert_int_equal(t.id, 1000); /* the completed one made room */
    assert_int_equal(catalog_task_add(f->cat, &t, &f->err), 0);
    assert_int_equal(t.id, 1002); /* 1001 is open */
    struct catalog_job_filter all = {.kind = -1, .volume = -1};
    struct catalog_jobs l;
    assert_int_equal(catalog_job_list(f->cat, &all, 10, &l, &f->err), 0);
    assert_int_equal(l.n, 0); /* its jobs went with it */
    catalog_jobs_fini(&l);
}

static void a_failed_change_without_a_waiter_is_reported_by_flush(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(catalog_flush(f->cat, &f->err), 0);
    close_it(f);
    meddle(f, "CREATE TRIGGER no BEFORE INSERT ON attributes WHEN NEW.key = 'bad'"
              " BEGIN SELECT raise(ABORT, 'not that one'); END");
    assert_int_equal(open_it(f), 0);
    assert_int_equal(catalog_attr_set(f->cat, "bad", "1", CATALOG_NOWAIT, &f->err), 0);
    assert_int_equal(catalog_attr_set(f->cat, "good", "1", CATALOG_NOWAIT, &f->err), 0);
    assert_true(catalog_flush(f->cat, &f->err) < 0);
    assert_non_null(strstr(f->err.text, "not that one"));
    assert_int_equal(catalog_flush(f->cat, &f->err), 0); /* reported once */
    auto_free char *v = NULL;
    assert_int_equal(catalog_attr_get(f->cat, "good", &v, &f->err), 0);
}

/* A child that is killed while it writes: what it reported as done is there. */
static void what_has_returned_survives_a_kill(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 5; round++) {
        close_it(f);
        int p[2];
        assert_int_equal(pipe(p), 0);
        pid_t pid = fork();
        if (pid == 0) {
            int64_t v = 0;
            if (open_it(f) != 0)
                _exit(1);
            while (catalog_sequence_next(f->cat, "acked", &v, NULL) == 0)
                (void)!write(p[1], &v, sizeof(v));
            _exit(1);
        }
        (void)close(p[1]);
        int64_t v = 0, last = 0;
        for (int i = 0; i < 20 + round * 7; i++) {
            assert_int_equal(read(p[0], &v, sizeof(v)), sizeof(v));
            last = v;
        }
        assert_int_equal(kill(pid, SIGKILL), 0);
        while (read(p[0], &v, sizeof(v)) == sizeof(v))
            last = v;
        (void)close(p[0]);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        assert_int_equal(open_it(f), 0);
        assert_int_equal(catalog_sequence_next(f->cat, "acked", &v, &f->err), 0);
        assert_true(v > last);
    }
}

/* Every look-up that meets millions of rows goes through an index. */
static void large_tables_are_not_scanned(void **state)
{
    struct fixture *f = *state;
    static const char *const queries[] = {
        "SELECT * FROM copies c JOIN archives a ON c.archive = a.n LEFT JOIN volumes v ON"
        " c.volume = v.id WHERE c.volume = 1 AND (c.part, c.block, c.archive, c.copy_no) >"
        " (1, 1, 1, 1) ORDER BY c.part, c.block, c.archive, c.copy_no LIMIT 5",
        "SELECT * FROM archives WHERE fs = 1 AND ino = 5 AND gen = 1",
        "SELECT id FROM jobs WHERE fs = 1 AND ino = 2 AND gen = 3 AND kind = 1 AND state < 2",
        "SELECT * FROM jobs j WHERE j.state = 0 AND j.kind = 1 AND j.volume = 2"
        " ORDER BY j.priority DESC, j.block, j.id LIMIT 5",
        "SELECT * FROM jobs j INDEXED BY jobs_task_queue WHERE j.state = 0 AND j.task = 5"
        " ORDER BY j.priority DESC, j.block, j.id LIMIT 5",
    };
    close_it(f);
    sqlite3 *h = NULL;
    assert_int_equal(sqlite3_open(f->file, &h), SQLITE_OK);
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        auto_free char *sql = xasprintf("EXPLAIN QUERY PLAN %s", queries[i]);
        sqlite3_stmt *st = NULL;
        assert_int_equal(sqlite3_prepare_v2(h, sql, -1, &st, NULL), SQLITE_OK);
        while (sqlite3_step(st) == SQLITE_ROW) {
            const char *step = (const char *)sqlite3_column_text(st, 3);
            if (strncmp(step, "SEARCH", 6) != 0)
                print_error("%s\n  %s\n", queries[i], step);
            assert_int_equal(strncmp(step, "SEARCH", 6), 0); /* neither SCAN nor a sort */
        }
        (void)sqlite3_finalize(st);
    }
    (void)sqlite3_close(h);
}

#define T(x) cmocka_unit_test_setup_teardown(x, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(its_files_are_for_root_only),
        T(a_second_process_is_kept_out),
        T(damage_is_noticed_at_open_and_says_what_to_do),
        T(another_programs_database_is_refused),
        T(a_newer_schema_is_refused),
        T(an_interrupted_first_start_begins_again),
        T(a_copy_without_archive_is_found_by_the_check),
        T(task_ids_go_round_and_pass_over_open_tasks),
        T(a_failed_change_without_a_waiter_is_reported_by_flush),
        T(what_has_returned_survives_a_kill),
        T(large_tables_are_not_scanned),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
