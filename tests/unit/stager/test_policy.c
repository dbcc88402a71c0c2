/* SPDX-License-Identifier: Apache-2.0 */
/* Files that policies choose, over the simulated states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "lustre/stager_policy.h"
#include "sim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static const struct stager_hint dflt = {.archive_id = 1, .data = "a=b"};
static char file[] = "/tmp/firn-stager-policy-XXXXXX";

static void write_policy(const char *text)
{
    auto_close int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

struct chosen {
    size_t n, released;
    bool is[SIM_FILES];
    struct stager_policy_counts counts;
};

/* What the policy chooses for action (or by lists only) among the simulated files. */
static int choose(enum stager_action action, bool lists_only, struct chosen *out, struct err *err)
{
    const struct stager_policy_config cfg = {.api = &sim_api,
                                             .file = file,
                                             .target = sim.dir,
                                             .lists_only = lists_only,
                                             .action = action,
                                             .hint = &dflt,
                                             .threads = 2};
    struct stager_policy *p = NULL;
    struct stager_file f;
    auto_buf struct buf diag = {0};
    memset(out, 0, sizeof(*out));
    int rc = stager_policy_open(&cfg, &p, &out->counts, &diag, err);
    if (rc < 0)
        return rc;
    while ((rc = stager_policy_next(p, &f, err)) > 0) {
        for (size_t i = 0; i < sim.n; i++)
            out->is[i] = out->is[i] || strcmp(sim.files[i].path, f.path) == 0;
        out->released += f.hint->release;
        out->n++;
    }
    stager_policy_close(p);
    return rc;
}

static void options_of_a_target_go_over_those_of_the_command(void **state)
{
    struct stager_hint h;
    struct err err = {0};
    auto_free char *data = NULL;
    (void)state;
    assert_int_equal(stager_policy_opts("", &dflt, &h, &data, &err), 0);
    assert_int_equal(h.archive_id, 1);
    assert_string_equal(h.data, "a=b");
    assert_false(h.release);
    assert_int_equal(
        stager_policy_opts("--archive-id 7 --data 'tag=x y' --release", &dflt, &h, &data, &err), 0);
    assert_int_equal(h.archive_id, 7);
    assert_string_equal(h.data, "tag=x y");
    assert_true(h.release);
    free(data);
    data = NULL;
    assert_int_equal(stager_policy_opts("-p pool1", &dflt, &h, &data, &err), -EINVAL);
    assert_non_null(strstr(err.text, "\"-p\""));
    assert_int_equal(stager_policy_opts("--archive-id 0", &dflt, &h, &data, &err), -EINVAL);
    assert_int_equal(stager_policy_opts("--archive-id", &dflt, &h, &data, &err), -EINVAL);
    assert_int_equal(stager_policy_opts("--data x", &dflt, &h, &data, &err), -EINVAL);
    assert_null(data);
}

static void each_command_takes_the_rules_that_are_for_it(void **state)
{
    struct chosen c;
    struct err err = {0};
    (void)state;
    sim_begin(20, 0);
    for (size_t i = 0; i < 5; i++)
        sim.files[i].states = HS_EXISTS | HS_ARCHIVED;
    for (size_t i = 5; i < 8; i++)
        sim.files[i].states = HS_EXISTS | HS_ARCHIVED | HS_RELEASED;
    write_policy("RULE EXTERNAL POOL 'hsm' EXEC '' OPTS '--release'\n"
                 "RULE 'out' MIGRATE FROM POOL 'system' TO POOL 'hsm' WHERE NAME LIKE 'f1%'\n"
                 "RULE 'back' MIGRATE FROM POOL 'hsm' TO POOL 'system'\n"
                 "RULE 'l' LIST 'x' WHERE XATTR('lustre.hsm.state') LIKE '%archived%'\n");
    assert_int_equal(choose(STAGER_ARCHIVE, false, &c, &err), 0);
    assert_true(c.is[1] && c.is[10] && c.is[19]);
    assert_false(c.is[9]);
    assert_true(c.is[0]); /* by the list */
    assert_true(c.released >= 11);
    assert_int_equal(choose(STAGER_RESTORE, false, &c, &err), 0);
    assert_true(c.is[5] && c.is[6] && c.is[7]);
    assert_false(c.is[10]);
    assert_int_equal(choose(STAGER_REMOVE, true, &c, &err), 0);
    assert_int_equal(c.n, 8);
    assert_int_equal(c.counts.chosen, 8);
    assert_true(c.counts.other > 0);
    sim_end();
}

static void a_policy_without_a_rule_for_the_command_is_refused(void **state)
{
    struct chosen c;
    struct err err = {0};
    (void)state;
    sim_begin(1, 0);
    write_policy("RULE EXTERNAL POOL 'hsm' EXEC ''\n"
                 "RULE MIGRATE FROM POOL 'system' TO POOL 'hsm'\n");
    assert_int_equal(choose(STAGER_RESTORE, false, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "FROM POOL"));
    assert_int_equal(choose(STAGER_REMOVE, true, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "LIST"));
    write_policy("RULE EXTERNAL POOL 'hsm' EXEC '' OPTS '--fast'\n"
                 "RULE MIGRATE FROM POOL 'system' TO POOL 'hsm'\n");
    assert_int_equal(choose(STAGER_ARCHIVE, false, &c, &err), -EINVAL);
    assert_non_null(strstr(err.text, "--fast"));
    sim_end();
}

static int make_file(void **state)
{
    (void)state;
    int fd = mkstemp(file);
    return fd >= 0 ? close(fd) : -1;
}

static int drop_file(void **state)
{
    (void)state;
    return unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_of_a_target_go_over_those_of_the_command),
        cmocka_unit_test(each_command_takes_the_rules_that_are_for_it),
        cmocka_unit_test(a_policy_without_a_rule_for_the_command_is_refused),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, make_file, drop_file);
}
