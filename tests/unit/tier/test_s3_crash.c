/* SPDX-License-Identifier: Apache-2.0 */
/* Kind s3 killed at each of its crash points: what is in the store afterwards is a copy or a
 * remnant that a walk tells from one, and the file can be stored again under the same id. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "s3site.h"
#include "teststore.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

#define SIZE (4 * SITE_CHUNK + 10)

static const char *program;

/* The child: puts the file of this id below this key prefix, and dies on the way. */
static int child(const char *prefix, const char *id)
{
    struct s3site *site = s3site_new();
    struct tier_object o = s3site_object("killed", SIZE);
    auto_tier_location struct tier_location loc = {0};
    (void)snprintf(site->key_prefix, sizeof(site->key_prefix), "%s", prefix);
    if (uuid_parse(id, &o.id) != 0 || s3site_reopen(site) != 0)
        return 3;
    return s3site_put(site, site->t, &o, site->text, &loc, &site->err) == 0 ? 0 : 4;
}

static void run_child(struct s3site *site, const struct uuid *id, const char *point)
{
    char text[UUID_TEXT];
    int status = 0;
    uuid_format(id, text);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("FIRN_CRASH_POINT", point, 1);
        (void)execl(program, program, site->key_prefix, text, (char *)NULL);
        _exit(5);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
}

struct seen {
    unsigned pieces, complete;
    struct tier_location loc;
};

static int on_piece(void *arg, const struct s3_piece *p, struct err *err)
{
    struct seen *s = arg;
    (void)err;
    s->pieces++;
    s->complete += p->complete;
    assert_false(p->damaged);
    assert_string_equal(p->fs, "fs1"); /* so that whose garbage it is can be told */
    if (p->complete)
        tier_location_copy(&s->loc, p->location);
    return 0;
}

static void killed_at(struct s3site *site, const char *point, unsigned complete)
{
    struct tier_object o = s3site_object("killed", SIZE);
    auto_free uint8_t *back = xzalloc(SIZE);
    struct seen seen = {0};
    auto_tier_location struct tier_location loc = {0};
    run_child(site, &o.id, point);
    assert_int_equal(s3_tier_walk(site->s, on_piece, &seen, NULL, &site->err), 0);
    assert_int_equal(seen.pieces, 1);
    assert_int_equal(seen.complete, complete);
    if (complete) {
        assert_int_equal(s3site_get(site->t, &o, &seen.loc, back, &site->err), 0);
        assert_memory_equal(back, site->text, SIZE);
    }
    assert_int_equal(s3site_put(site, site->t, &o, site->text, &loc, &site->err), 0);
    assert_int_equal(s3site_get(site->t, &o, &loc, back, &site->err), 0);
    assert_memory_equal(back, site->text, SIZE);
    assert_int_equal(s3_tier_purge(site->s, &o.id, NULL, NULL, NULL, &site->err), 0);
    assert_int_equal(s3site_objects(site), 0);
    tier_location_fini(&seen.loc);
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

static void killed_between_chunks_leaves_a_remnant(void **state)
{
    killed_at(*state, "s3_chunk_put", 0);
    killed_at(*state, "s3_chunk_put:3", 0);
}

static void killed_before_the_manifest_leaves_a_remnant(void **state)
{
    killed_at(*state, "s3_before_manifest", 0);
}

static void killed_after_the_manifest_leaves_a_copy_that_a_walk_finds(void **state)
{
    killed_at(*state, "s3_after_manifest", 1);
}

int main(int argc, char **argv)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(killed_between_chunks_leaves_a_remnant),
        T(killed_before_the_manifest_leaves_a_remnant),
        T(killed_after_the_manifest_leaves_a_copy_that_a_walk_finds),
    };
#undef T
    program = argv[0];
    if (argc == 3)
        return child(argv[1], argv[2]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("s3 crash", tests, NULL, NULL);
}
