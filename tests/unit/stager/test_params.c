/* SPDX-License-Identifier: Apache-2.0 */
/* Parameters of metadata servers. The form of agents and actions is known by reading only. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "lustre/hsm_params.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <string.h>

#define ACTION(what, state)                                                                        \
    "lrh=[type=10680000 len=136 idx=1/3] fid=[0x200000401:0x1:0x0] dfid=[0x200000401:0x2:0x0] "    \
    "compound/cookie=0x0/0x5f action=" what " archive#=1 flags=0x0 extent=0x0-0xff gid=0x0 "       \
    "datalen=0 status=" state " data=[]\n"

static void an_action_is_its_fid_kind_and_status(void **state)
{
    struct lu_fid fid;
    int kind = 0;
    int status = 0;
    (void)state;
    assert_int_equal(hsm_action_parse(ACTION("RESTORE", "FAILED"), &fid, &kind, &status), 0);
    assert_int_equal(fid.oid, 1); /* not dfid's */
    assert_int_equal(kind, HSM_RESTORING);
    assert_int_equal(status, HSM_FAILED);
    assert_int_equal(hsm_action_parse(ACTION("DANCE", "FAILED"), &fid, &kind, &status), -EINVAL);
    assert_int_equal(hsm_action_parse(ACTION("RESTORE", "LOST"), &fid, &kind, &status), -EINVAL);
    assert_int_equal(hsm_action_parse("", &fid, &kind, &status), -EINVAL);
}

static void an_agent_has_archives_and_counts(void **state)
{
    struct hsm_agent a;
    (void)state;
    assert_int_equal(
        hsm_agent_parse("uuid=u-1 archive_id=ANY requests=[current:3 ok:40 errors:5]\n", &a), 0);
    assert_string_equal(a.uuid, "u-1");
    assert_string_equal(a.archives, "ANY");
    assert_int_equal(a.current, 3);
    assert_int_equal(a.ok, 40);
    assert_int_equal(a.errors, 5);
    assert_int_equal(hsm_agent_parse("uuid=u-1 archive_id=1 requests=[current:3 ok:]", &a),
                     -EINVAL);
}

static void put(const char *dir, const char *name, const char *text)
{
    auto_free char *path = xasprintf("%s/%s", dir, name);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(io_write_full(fd, text, strlen(text)), 0);
}

static int drop(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static void targets_are_gathered_over_all_roots(void **state)
{
    char top[] = "/tmp/firn-stager-params-XXXXXX";
    struct hsm_mdts m;
    struct err err = {0};
    (void)state;
    assert_non_null(mkdtemp(top));
    auto_free char *a = xasprintf("%s/a", top);
    auto_free char *b = xasprintf("%s/b", top);
    auto_free char *in_a = xasprintf("%s/mdt/x-MDT0000", a);
    auto_free char *hsm_b = xasprintf("%s/mdt/x-MDT0000/hsm", b);
    assert_int_equal(io_mkdirs(in_a, 0700, &err), 0);
    assert_int_equal(io_mkdirs(hsm_b, 0700, &err), 0);
    put(in_a, "hsm_control", "enabled\n");
    put(hsm_b, "max_requests", "3\n");
    put(hsm_b, "actions", ACTION("ARCHIVE", "WAITING") ACTION("ARCHIVE", "WAITING") "odd\n");
    put(hsm_b, "agents", "");
    const char *const roots[] = {a, b, "/nonexistent", NULL};
    assert_int_equal(hsm_params_read(roots, &m), 0);
    assert_int_equal(m.n, 1);
    assert_string_equal(m.v[0].name, "x-MDT0000");
    assert_string_equal(m.v[0].control, "enabled");
    assert_int_equal(m.v[0].max_requests, 3);
    assert_int_equal(m.v[0].loop_period_s, -1);
    assert_int_equal(m.v[0].queue[HSM_ARCHIVING][HSM_WAITING], 2);
    assert_true(m.v[0].has_agents && m.v[0].n_agents == 0);
    hsm_mdts_fini(&m);
    assert_int_equal(nftw(top, drop, 8, FTW_DEPTH | FTW_PHYS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_action_is_its_fid_kind_and_status),
        cmocka_unit_test(an_agent_has_archives_and_counts),
        cmocka_unit_test(targets_are_gathered_over_all_roots),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
