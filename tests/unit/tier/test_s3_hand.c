/* SPDX-License-Identifier: Apache-2.0 */
/* That a copy can be had without firn: by what doc/design/tier-s3.md says under "By hand", with
 * aws, lz4, zstd and dd. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "s3site.h"
#include "teststore.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SIZE (6 * SITE_CHUNK + 123)

/* Runs restore_by_hand.sh BUCKET KEY OUT; compares OUT with want. */
static void by_hand(const struct tier_location *loc, const uint8_t *want, size_t size)
{
    const struct teststore *ts = teststore_get();
    char out[] = "/tmp/firn-hand-XXXXXX";
    auto_close int fd = mkostemp(out, O_CLOEXEC);
    auto_free char *bucket = xstrndup(loc->key, strcspn(loc->key, "/"));
    auto_free uint8_t *got = xzalloc(size + 1);
    assert_true(fd >= 0);
    (void)setenv("AWS_ACCESS_KEY_ID", ts->access_key, 1);
    (void)setenv("AWS_SECRET_ACCESS_KEY", ts->secret_key, 1);
    (void)setenv("AWS_DEFAULT_REGION", ts->region, 1);
    (void)setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)execl("/bin/bash", "bash", getenv("FIRN_RESTORE_BY_HAND"), ts->direct, bucket,
                    strchr(loc->key, '/') + 1, out, (char *)NULL);
        _exit(5);
    }
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(io_read_full(fd, got, size + 1), size);
    assert_memory_equal(got, want, size);
    (void)unlink(out);
}

static int setup(void **state)
{
    *state = s3site_new();
    return 0;
}

static int teardown(void **state)
{
    s3site_free(*state);
    return 0;
}

static void a_sparse_copy_of_many_chunks_is_restored_by_hand(void **state)
{
    struct s3site *site = *state;
    struct tier_object o = s3site_object("sparse", SIZE);
    auto_tier_location struct tier_location loc = {0};
    auto_free uint8_t *want = xzalloc(SIZE);
    memcpy(want + 5, site->text, SITE_CHUNK);
    memcpy(want + 3 * SITE_CHUNK + 100, site->noise, SITE_CHUNK);
    memcpy(want + 5 * SITE_CHUNK, site->text, 10);
    assert_int_equal(tier_put_begin(site->t, &o, &site->err), 0);
    assert_int_equal(tier_put_write(site->t, 5, want + 5, SITE_CHUNK, &site->err), 0);
    assert_int_equal(tier_put_write(site->t, 3 * SITE_CHUNK + 100, want + 3 * SITE_CHUNK + 100,
                                    SITE_CHUNK, &site->err),
                     0);
    assert_int_equal(tier_put_write(site->t, 5 * SITE_CHUNK, want + 5 * SITE_CHUNK, 10, &site->err),
                     0);
    assert_int_equal(tier_put_end(site->t, NULL, 0, &loc, &site->err), 0);
    by_hand(&loc, want, SIZE);
}

static void a_sole_object_is_restored_by_hand(void **state)
{
    struct s3site *site = *state;
    for (enum chunk_codec codec = CHUNK_RAW; codec <= CHUNK_ZSTD; codec++) {
        struct tier_object o = s3site_object("small", 5000);
        auto_tier_location struct tier_location loc = {0};
        site->config.codec = codec;
        assert_int_equal(s3site_reopen(site), 0);
        assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
        by_hand(&loc, site->text, 5000);
    }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(a_sparse_copy_of_many_chunks_is_restored_by_hand),
        T(a_sole_object_is_restored_by_hand),
    };
#undef T
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 by hand", tests, NULL, NULL);
}
