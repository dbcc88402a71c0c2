/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "lustre/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HEAD_BYTES 32
#define NAME       "j"

static char dir[] = "/tmp/firn-journal-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) != NULL ? 0 : -1;
}

static void forget(const char *name)
{
    auto_free char *path = xasprintf("%s/%s", dir, name);
    (void)unlink(path);
}

static int begin(void **state)
{
    (void)state;
    forget(NAME);
    forget(NAME ".damaged");
    return 0;
}

static int remove_dir(void **state)
{
    (void)begin(state);
    return rmdir(dir);
}

static struct hsm_action_item *item(uint64_t cookie, const char *data)
{
    size_t n = strlen(data);
    struct hsm_action_item *i = xzalloc(sizeof(*i) + n + 8);
    i->len = (uint32_t)(sizeof(*i) + n);
    i->action = HSMA_ARCHIVE;
    i->fid = (struct lu_fid){.seq = 0x200000401, .oid = (uint32_t)cookie};
    i->cookie = cookie;
    memcpy(i->data, data, n);
    return i;
}

static struct journal *reopen(void)
{
    struct journal *j = NULL;
    struct err e = {0};
    assert_int_equal(journal_open(dir, NAME, &j, &e), 0);
    return j;
}

static size_t count(struct journal *j)
{
    return journal_open_count(j);
}

static char *read_back(size_t *len)
{
    auto_free char *path = xasprintf("%s/" NAME, dir);
    char *data = NULL;
    struct err e = {0};
    assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 24, &data, len, &e), 0);
    return data;
}

static void write_over(const char *data, size_t len)
{
    auto_free char *path = xasprintf("%s/" NAME, dir);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, data, len), 0);
}

static void open_actions_come_back_and_ended_ones_do_not(void **state)
{
    (void)state;
    struct err e = {0};
    struct journal *j = reopen();
    struct journal_entry *a = journal_add(j, item(1, ""), HAL_REQ_BLOCKING, 3);
    struct journal_entry *b = journal_add(j, item(2, "k=v,x"), 0, 1);
    const struct uuid new_id = uuid_new(), old_id = uuid_new();
    assert_int_equal(journal_commit(j, a, &e), 0);
    assert_int_equal(journal_ids(j, b, &new_id, &old_id, &e), 0);
    journal_done(j, a);
    journal_close(j);
    j = reopen();
    size_t n = 0;
    auto_free struct journal_entry **all = journal_entries(j, &n);
    assert_int_equal(n, 1);
    assert_true(all[0]->replayed);
    assert_int_equal(all[0]->item->cookie, 2);
    assert_int_equal(all[0]->item->len, 72 + 5);
    assert_memory_equal(all[0]->item->data, "k=v,x", 5);
    assert_int_equal(all[0]->archive_id, 1);
    assert_int_equal(all[0]->phase, JOURNAL_WRITING);
    assert_memory_equal(&all[0]->new_id, &new_id, sizeof(new_id));
    assert_memory_equal(&all[0]->old_id, &old_id, sizeof(old_id));
    journal_done(j, all[0]);
    journal_close(j);
    j = reopen();
    assert_int_equal(count(j), 0);
    assert_int_equal(journal_size(j), HEAD_BYTES);
    journal_close(j);
}

/* What the kernel has is there after kill -9: nothing is closed here. */
static void pushed_actions_outlive_the_process_without_a_commit(void **state)
{
    (void)state;
    struct err e = {0};
    struct journal *killed = reopen();
    (void)journal_add(killed, item(7, ""), 0, 0);
    assert_int_equal(journal_push(killed, &e), 0);
    struct journal *j = reopen();
    assert_int_equal(count(j), 1);
    journal_close(j);
    journal_close(killed);
}

static void a_plan_says_writing_only_once_its_ids_were_pushed(void **state)
{
    (void)state;
    struct err e = {0};
    const struct uuid one = uuid_new(), two = uuid_new();
    struct journal *killed = reopen();
    struct journal_entry *a = journal_add(killed, item(1, ""), 0, 0);
    struct journal_entry *b = journal_add(killed, item(2, ""), 0, 0);
    journal_plan(killed, a, &one);
    journal_plan(killed, b, &two);
    assert_int_equal(journal_commit(killed, b, &e), 0);
    assert_int_equal(journal_ids(killed, b, &two, NULL, &e), 0);
    struct journal *j = reopen();
    size_t n = 0;
    auto_free struct journal_entry **all = journal_entries(j, &n);
    assert_int_equal(n, 2);
    assert_int_equal(all[0]->phase, JOURNAL_PLANNED);
    assert_memory_equal(&all[0]->new_id, &one, sizeof(one));
    assert_int_equal(all[1]->phase, JOURNAL_WRITING);
    assert_memory_equal(&all[1]->new_id, &two, sizeof(two));
    journal_close(j);
    journal_close(killed);
}

/* After a loss of power what was not synced may be missing: the plan alone says that there may be a
 * copy. */
static void a_plan_of_another_boot_says_writing(void **state)
{
    (void)state;
    const struct uuid id = uuid_new();
    struct journal *j = reopen();
    journal_plan(j, journal_add(j, item(1, ""), 0, 0), &id);
    journal_close(j);
    size_t len = 0;
    auto_free char *data = read_back(&len);
    data[HEAD_BYTES - 1] ^= 1;
    write_over(data, len);
    for (int i = 0; i < 2; i++) { /* the file of this boot says so too */
        j = reopen();
        size_t n = 0;
        auto_free struct journal_entry **all = journal_entries(j, &n);
        assert_int_equal(n, 1);
        assert_int_equal(all[0]->phase, JOURNAL_WRITING);
        assert_memory_equal(&all[0]->new_id, &id, sizeof(id));
        journal_close(j);
    }
}

/* Cut at every byte: what was whole before is there, the rest is not, and nothing is "damaged". */
static void a_tail_torn_anywhere_costs_only_what_is_torn(void **state)
{
    (void)state;
    struct err e = {0};
    struct journal *j = reopen();
    const struct uuid id = uuid_new();
    (void)journal_add(j, item(1, "abc"), 0, 0);
    (void)journal_ids(j, journal_add(j, item(2, ""), 0, 0), &id, NULL, &e);
    (void)journal_add(j, item(3, "defghijk"), 0, 0);
    journal_close(j);
    size_t len = 0, seen = 0;
    auto_free char *data = read_back(&len);
    for (size_t cut = HEAD_BYTES; cut <= len; cut++) {
        write_over(data, cut);
        j = reopen();
        assert_true(count(j) >= seen && count(j) <= 3);
        seen = count(j);
        journal_close(j);
        auto_free char *damaged = xasprintf("%s/" NAME ".damaged", dir);
        assert_int_not_equal(access(damaged, F_OK), 0);
    }
    assert_int_equal(seen, 3);
}

static void damage_in_the_middle_costs_one_record_and_is_kept(void **state)
{
    (void)state;
    struct journal *j = reopen();
    for (uint64_t i = 1; i <= 3; i++)
        (void)journal_add(j, item(i, ""), 0, 0);
    journal_close(j);
    size_t len = 0;
    auto_free char *data = read_back(&len);
    data[HEAD_BYTES + (len - HEAD_BYTES) / 2] ^= 1;
    write_over(data, len);
    j = reopen();
    size_t n = 0;
    auto_free struct journal_entry **all = journal_entries(j, &n);
    assert_int_equal(n, 2);
    assert_int_equal(all[0]->item->cookie, 1);
    assert_int_equal(all[1]->item->cookie, 3);
    journal_close(j);
    auto_free char *damaged = xasprintf("%s/" NAME ".damaged", dir);
    assert_int_equal(access(damaged, F_OK), 0);
}

static void a_file_that_is_no_journal_is_kept_and_begun_anew(void **state)
{
    (void)state;
    write_over("hello", 5);
    struct journal *j = reopen();
    assert_int_equal(count(j), 0);
    (void)journal_add(j, item(1, ""), 0, 0);
    journal_close(j);
    j = reopen();
    assert_int_equal(count(j), 1);
    journal_close(j);
    auto_free char *damaged = xasprintf("%s/" NAME ".damaged", dir);
    assert_int_equal(access(damaged, F_OK), 0);
}

static void ended_actions_do_not_fill_the_disk(void **state)
{
    (void)state;
    struct err e = {0};
    struct journal *j = reopen();
    struct journal_entry *stays = journal_add(j, item(1, "stays"), 0, 0);
    for (int round = 0; round < 10; round++) {
        for (uint64_t i = 0; i < 3000; i++)
            journal_done(j, journal_add(j, item(10 + i, ""), 0, 0));
        assert_int_equal(journal_keep(j, &e), 0);
        assert_true(journal_size(j) < (1 << 20) + 3000 * 200);
    }
    assert_int_equal(journal_commit(j, stays, &e), 0);
    journal_close(j);
    j = reopen();
    assert_int_equal(count(j), 1);
    journal_close(j);
}

static void without_a_directory_nothing_is_written(void **state)
{
    (void)state;
    struct err e = {0};
    auto_journal struct journal *j = NULL;
    assert_int_equal(journal_open(NULL, NAME, &j, &e), 0);
    struct journal_entry *a = journal_add(j, item(1, ""), 0, 0);
    assert_int_equal(journal_commit(j, a, &e), 0);
    assert_int_equal(journal_keep(j, &e), 0);
    journal_done(j, a);
    auto_free char *path = xasprintf("%s/" NAME, dir);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void *work(void *arg)
{
    struct journal *j = arg;
    struct err e = {0};
    const struct uuid id = uuid_new();
    for (uint64_t i = 0; i < 50; i++) {
        struct journal_entry *a = journal_add(j, item(i + 1, "x"), 0, 0);
        if (journal_commit(j, a, &e) != 0 || journal_ids(j, a, &id, NULL, &e) != 0)
            return arg;
        if (i % 10 != 0)
            journal_done(j, a);
    }
    return NULL;
}

static void many_threads_share_it(void **state)
{
    (void)state;
    struct err e = {0};
    pthread_t t[8];
    struct journal *j = reopen();
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&t[i], NULL, work, j), 0);
    for (int i = 0; i < 20; i++)
        assert_int_equal(journal_keep(j, &e), 0);
    for (int i = 0; i < 8; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
    journal_close(j);
    j = reopen();
    assert_int_equal(count(j), 40);
    journal_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(open_actions_come_back_and_ended_ones_do_not, begin),
        cmocka_unit_test_setup(pushed_actions_outlive_the_process_without_a_commit, begin),
        cmocka_unit_test_setup(a_plan_says_writing_only_once_its_ids_were_pushed, begin),
        cmocka_unit_test_setup(a_plan_of_another_boot_says_writing, begin),
        cmocka_unit_test_setup(a_tail_torn_anywhere_costs_only_what_is_torn, begin),
        cmocka_unit_test_setup(damage_in_the_middle_costs_one_record_and_is_kept, begin),
        cmocka_unit_test_setup(a_file_that_is_no_journal_is_kept_and_begun_anew, begin),
        cmocka_unit_test_setup(ended_actions_do_not_fill_the_disk, begin),
        cmocka_unit_test_setup(without_a_directory_nothing_is_written, begin),
        cmocka_unit_test_setup(many_threads_share_it, begin),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
