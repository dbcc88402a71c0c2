/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "lustre/stager_resume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static char dir[] = "/tmp/firn-stager-resume-XXXXXX";
static char *path;
static const struct stager_resume_id id = {STAGER_ARCHIVE, 2, 1000, 77};

static struct stager_resume *opened(struct stager_resumed *found)
{
    struct stager_resume *r = NULL;
    struct err err = {0};
    assert_int_equal(stager_resume_open(path, &id, false, &r, found, &err), 0);
    return r;
}

/* Records from to to - 1, ten bytes each, are read; wants[i] is what take said. */
static void take(struct stager_resume *r, uint64_t from, uint64_t to, const char *wants)
{
    for (uint64_t i = from; i < to; i++) {
        bool sent = false;
        bool wanted = stager_resume_take(r, i, i * 10, i * 10 + 10, &sent);
        char got = wanted ? (sent ? 's' : 'w') : '-';
        assert_int_equal(got, wants[i - from]);
    }
}

static void a_new_run_has_everything_to_do(void **state)
{
    struct stager_resumed found;
    (void)state;
    struct stager_resume *r = opened(&found);
    assert_false(found.found);
    take(r, 0, 3, "www");
    stager_resume_close(r, true);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_killed_run_is_gone_on_with(void **state)
{
    struct stager_resumed found;
    struct err err = {0};
    (void)state;
    struct stager_resume *r = opened(&found);
    take(r, 0, 10, "wwwwwwwwww");
    assert_int_equal(stager_resume_sent(r, (const uint64_t[]){0, 1, 2, 3, 4, 5}, 6, &err), 0);
    stager_resume_ended(r, 0, STAGER_DONE, 100);
    stager_resume_ended(r, 2, STAGER_FAILED, 100);
    stager_resume_ended(r, 9, STAGER_ALREADY, 100);
    assert_int_equal(stager_resume_flush(r, 555, false, &err), 0);
    stager_resume_ended(r, 1, STAGER_DONE, 100); /* not written */
    stager_resume_close(r, false);

    r = opened(&found);
    assert_true(found.found);
    assert_int_equal(found.ordinal, 0); /* the picture was made before anything was read */
    assert_int_equal(found.offset, 0);
    assert_int_equal(found.ended, 3);
    assert_int_equal(found.results[STAGER_DONE], 1);
    assert_int_equal(found.results[STAGER_FAILED], 1);
    assert_int_equal(found.bytes_done, 100);
    assert_int_equal(found.report_len, 555);
    take(r, 0, 12, "-s-ssswww-ww");
    stager_resume_close(r, true);
}

static void a_picture_keeps_what_is_in_work(void **state)
{
    struct stager_resumed found;
    struct err err = {0};
    (void)state;
    struct stager_resume *r = opened(&found);
    take(r, 0, 10, "wwwwwwwwww");
    assert_int_equal(stager_resume_sent(r, (const uint64_t[]){4}, 1, &err), 0);
    for (uint64_t i = 0; i < 10; i++)
        if (i != 4 && i != 7)
            stager_resume_ended(r, i, STAGER_DONE, 1);
    assert_int_equal(stager_resume_flush(r, 80, true, &err), 0);
    stager_resume_close(r, false);
    r = opened(&found);
    assert_int_equal(found.ordinal, 4);
    assert_int_equal(found.offset, 40);
    assert_int_equal(found.ended, 8);
    take(r, 4, 12, "s--w--ww");
    stager_resume_close(r, true);
}

static void a_run_that_is_killed_twice_loses_nothing(void **state)
{
    struct stager_resumed found;
    struct err err = {0};
    (void)state;
    struct stager_resume *r = opened(&found);
    take(r, 0, 6, "wwwwww");
    stager_resume_ended(r, 1, STAGER_DONE, 1);
    stager_resume_ended(r, 5, STAGER_DONE, 1);
    assert_int_equal(stager_resume_flush(r, 1, false, &err), 0);
    stager_resume_close(r, false);
    r = opened(&found);
    take(r, 0, 2, "w-"); /* record 5 is not come across again */
    assert_int_equal(stager_resume_flush(r, 1, true, &err), 0);
    stager_resume_close(r, false);
    r = opened(&found);
    assert_int_equal(found.ended, 2);
    take(r, 0, 7, "w-www-w");
    stager_resume_close(r, true);
}

static void another_list_or_action_is_not_gone_on_with(void **state)
{
    struct stager_resumed found;
    struct stager_resume *r = opened(&found);
    struct stager_resume_id other = id;
    struct err err = {0};
    (void)state;
    stager_resume_close(r, false);
    other.list_mtime_ns++;
    assert_int_equal(stager_resume_open(path, &other, false, &r, &found, &err), -ESTALE);
    assert_non_null(strstr(err.text, "--restart"));
    assert_int_equal(stager_resume_open(path, &other, true, &r, &found, &err), 0);
    assert_false(found.found);
    stager_resume_close(r, true);
}

static void write_file(const char *text, size_t len)
{
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
}

static void a_file_torn_anywhere_is_a_smaller_one_or_not_believed(void **state)
{
    struct stager_resumed found;
    struct err err = {0};
    auto_free char *text = NULL;
    size_t len = 0;
    size_t believed = 0;
    (void)state;
    struct stager_resume *r = opened(&found);
    take(r, 0, 10, "wwwwwwwwww");
    assert_int_equal(stager_resume_flush(r, 0, true, &err), 0);
    for (uint64_t i = 0; i < 10; i += 2)
        stager_resume_ended(r, i, STAGER_DONE, 1);
    assert_int_equal(stager_resume_flush(r, 33, false, &err), 0);
    stager_resume_close(r, false);
    assert_int_equal(io_read_file(AT_FDCWD, path, 1 << 20, &text, &len, &err), 0);
    for (size_t n = 0; n < len; n++) {
        write_file(text, n);
        r = opened(&found);
        assert_true(found.found != found.damaged);
        assert_true(found.ended <= 5 && found.ended >= believed);
        believed = found.ended;
        stager_resume_close(r, false);
    }
    assert_int_equal(believed, 5);
    for (size_t n = 0; n < 60; n++) { /* a changed byte in the picture */
        auto_free char *bad = xzalloc(len);
        memcpy(bad, text, len);
        bad[n] ^= 1;
        write_file(bad, len);
        r = NULL;
        int rc = stager_resume_open(path, &id, false, &r, &found, &err);
        assert_true(rc == -ESTALE || (rc == 0 && found.damaged));
        stager_resume_close(r, false);
    }
    (void)unlink(path);
}

static int make_dir(void **state)
{
    (void)state;
    if (mkdtemp(dir) == NULL)
        return -1;
    path = xasprintf("%s/list.archive.resume", dir);
    return 0;
}

static int drop_dir(void **state)
{
    (void)state;
    free(path);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_run_has_everything_to_do),
        cmocka_unit_test(a_killed_run_is_gone_on_with),
        cmocka_unit_test(a_picture_keeps_what_is_in_work),
        cmocka_unit_test(a_run_that_is_killed_twice_loses_nothing),
        cmocka_unit_test(another_list_or_action_is_not_gone_on_with),
        cmocka_unit_test(a_file_torn_anywhere_is_a_smaller_one_or_not_believed),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_dir, drop_dir);
}
