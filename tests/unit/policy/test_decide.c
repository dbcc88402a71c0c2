/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/timefmt.h"
#include "policy/policy.h"
#include "policy/report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "facts.h"

static const char *const pools[] = {"system", "fast", "slow"};

struct fixture {
    struct policy *p;
    struct policy_eval *ev;
    struct policy_decision d;
    int rc;
    char hits[256]; /* "name,name," */
};

static int64_t now(void)
{
    int64_t ns = 0;
    assert_int_equal(timefmt_parse_iso("2026-11-22T12:00:00Z", &ns), 0);
    return ns;
}

static void fixture_fini(struct fixture *x)
{
    policy_eval_free(x->ev);
    policy_free(x->p);
}
#define auto_fixture __attribute__((cleanup(fixture_fini)))

static void load(struct fixture *x, const char *text, const struct policy_pool *used, size_t n)
{
    struct policy_options opt = {.pools = pools, .n_pools = 3};
    struct err err = {0};
    if (policy_compile(text, strlen(text), &opt, &x->p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    x->ev = policy_eval_new(x->p, now(), used, n);
}

/* Decides about f with facts up to stage and writes the rules' names down. */
static const char *decide_upto(struct fixture *x, struct facts *f, enum policy_stage upto,
                               bool again)
{
    struct policy_object obj = facts_object(f);
    x->hits[0] = '\0';
    x->rc = policy_eval_object(x->ev, &obj, upto, again, &x->d);
    if (x->rc != POLICY_DECIDED)
        return "?";
    for (size_t i = 0; i < x->d.n_hits; i++) {
        size_t n = strlen(x->hits);
        (void)snprintf(x->hits + n, sizeof(x->hits) - n, "%s,",
                       policy_rule(x->p, x->d.hits[i].rule)->name);
    }
    return x->hits;
}

static const char *decide(struct fixture *x, struct facts *f)
{
    return decide_upto(x, f, POLICY_STAGE_ENGINE, false);
}

static struct facts file(const char *path)
{
    struct facts f = {.path = path};
    f.stx.stx_mode = S_IFREG | 0644;
    f.stx.stx_blocks = 16;
    f.stx.stx_size = 8000;
    f.stx.stx_mtime.tv_sec = f.stx.stx_atime.tv_sec = now() / NS_PER_SEC - 10 * 86400;
    return f;
}

/* ---- the documents' policies ---- */

static void load_file(struct fixture *x, const char *path, const struct policy_macro *m, size_t n)
{
    struct policy_options opt = {.macros = m, .n_macros = n, .pools = pools, .n_pools = 3};
    struct err err = {0};
    if (policy_compile_file(path, &opt, &x->p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    x->ev = policy_eval_new(x->p, now(), NULL, 0);
}

static void tagged_files_migrate_by_either_xattr(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load_file(&x, DATA "/mig-tagged.policy", NULL, 0);
    struct facts f = file("/ibm/fs1/buckets/test1/file0");
    assert_string_equal(decide(&x, &f), "");
    f.xattrs[0] = (struct fact_xattr){"user.noobaa.tag.action", "migrate", 0};
    assert_string_equal(decide(&x, &f), "mig,");
    assert_int_equal(x.d.hits[0].size_kb, 8);
    assert_true(isinf(x.d.hits[0].weight));
    f.xattrs[0] = (struct fact_xattr){"user.action", "migrate", 0};
    assert_string_equal(decide(&x, &f), "mig,");
    f.xattrs[0].value = "Migrate";
    assert_string_equal(decide(&x, &f), "");
    f.xattrs[0].value = "migrate";
    f.stx.stx_blocks = 0; /* migrated already */
    f.n_xattr = 0;
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_xattr, 0);
}

static void recall_takes_only_migrated_tagged_files(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load_file(&x, DATA "/rec-tagged.policy", NULL, 0);
    struct facts f = file("/ibm/fs1/buckets/test1/file0");
    f.stx.stx_blocks = 0;
    f.state = POLICY_MIGRATED;
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_state, 0); /* no tag: the engine is not asked */
    f.xattrs[0] = (struct fact_xattr){"user.noobaa.tag.action", "recall", 0};
    assert_string_equal(decide(&x, &f), "rec,");
    assert_int_equal(x.d.hits[0].size_kb, 8); /* the file's size, not its blocks */
    assert_int_equal(x.d.hits[0].state, POLICY_MIGRATED);
    f.state = POLICY_PREMIGRATED;
    assert_string_equal(decide(&x, &f), "");
}

static void an_external_source_implies_the_state(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE EXTERNAL POOL 't'\n"
         "RULE 'r' MIGRATE FROM POOL 't' TO POOL 'system'\n"
         "RULE 'd' DELETE FROM POOL 't'",
         NULL, 0);
    struct facts f = file("/a/b");
    assert_string_equal(decide(&x, &f), "");
    f.state = POLICY_PREMIGRATED;
    assert_string_equal(decide(&x, &f), "d,");
    f.state = POLICY_MIGRATED;
    assert_string_equal(decide(&x, &f), "r,");
}

/* ---- which rule takes the file ---- */

static void the_first_migrate_delete_or_exclude_wins_and_lists_go_on(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'l1' LIST 'x' WHERE NAME LIKE 'a%'\n"
         "RULE 'e' EXCLUDE WHERE NAME LIKE '%.keep'\n"
         "RULE 'm1' MIGRATE TO POOL 'slow' WHERE NAME LIKE 'a%'\n"
         "RULE 'l2' LIST 'y' EXCLUDE WHERE NAME LIKE '%2'\n"
         "RULE 'l3' LIST 'y'\n"
         "RULE 'm2' DELETE\n"
         "RULE 'l4' LIST 'x'",
         NULL, 0);
    struct facts a = file("/d/a1"), b = file("/d/b2"), k = file("/d/a.keep");
    assert_string_equal(decide(&x, &a), "l1,m1,l3,l4,");
    assert_string_equal(decide(&x, &b), "m2,l4,");
    assert_string_equal(decide(&x, &k), "l1,e,l3,l4,");
}

static void a_dearer_rule_before_a_cheap_one_still_wins(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'dear' EXCLUDE WHERE XATTR('user.keep') = '1'\n"
         "RULE 'cheap' DELETE WHERE NAME LIKE '%.tmp'",
         NULL, 0);
    struct facts f = file("/d/x.tmp");
    assert_string_equal(decide(&x, &f), "cheap,");
    f.xattrs[0] = (struct fact_xattr){"user.keep", "1", 0};
    assert_string_equal(decide(&x, &f), "dear,");
}

static void pool_fileset_and_type_are_tested(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE GROUP POOL 'g' IS 'fast' THEN 'slow'\n"
         "RULE 'p' LIST 'a' FROM POOL 'fast'\n"
         "RULE 'g' LIST 'b' FROM POOL 'g'\n"
         "RULE 'f' LIST 'c' FOR FILESET('home','proj')\n"
         "RULE 'd' LIST 'd' DIRECTORIES_PLUS WHERE MISC_ATTRIBUTES LIKE 'D%'",
         NULL, 0);
    struct facts f = file("/d/x");
    assert_string_equal(decide(&x, &f), "");
    f.pool = "slow";
    assert_string_equal(decide(&x, &f), "g,");
    f.pool = "fast";
    f.fileset = "proj";
    assert_string_equal(decide(&x, &f), "p,g,f,");
    f.d_type = DT_DIR;
    assert_string_equal(decide(&x, &f), "d,");
    f.d_type = DT_REG;
    struct policy_object obj = facts_object(&f);
    obj.d_type = DT_UNKNOWN;
    assert_int_equal(policy_eval_object(x.ev, &obj, POLICY_STAGE_NAME, false, &x.d),
                     POLICY_NEED_STAT);
    assert_int_equal(policy_eval_object(x.ev, &obj, POLICY_STAGE_ENGINE, true, &x.d),
                     POLICY_DECIDED);
    assert_int_equal(x.d.n_hits, 3);
}

static void when_and_thresholds_switch_rules_off(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    const struct policy_pool used[] = {{"system", 80, 100}, {"fast", 10, 100}};
    load(&x,
         "RULE 'sunday' WHEN (DAYOFWEEK(CURRENT_TIMESTAMP) = 1) LIST 'a'\n"
         "RULE 'monday' WHEN (DAYOFWEEK(CURRENT_TIMESTAMP) = 2) LIST 'b'\n"
         "RULE 'm90' MIGRATE FROM POOL 'system' THRESHOLD(90,70) TO POOL 'slow'\n"
         "RULE 'm80' MIGRATE FROM POOL 'system' THRESHOLD(80,70) TO POOL 'slow'\n"
         "RULE 'own' LIST 'c' THRESHOLD(50)\n"
         "RULE EXTERNAL LIST 'q' THRESHOLD 'USER_QUOTAS'\n"
         "RULE 'quota' LIST 'q' THRESHOLD(1)",
         used, 2);
    struct facts f = file("/d/x");
    assert_string_equal(decide(&x, &f), "sunday,m80,own,");
    assert_true(x.d.hits[1].weight == 8); /* KB_ALLOCATED with a threshold */
    f.pool = "fast";
    assert_string_equal(decide(&x, &f), "sunday,");
    assert_true(policy_eval_alive(x.ev));
    auto_fixture struct fixture y = {0};
    load(&y, "RULE 'm90' MIGRATE FROM POOL 'system' THRESHOLD(90) TO POOL 'slow'", used, 2);
    assert_false(policy_eval_alive(y.ev));
}

/* ---- stages ---- */

static void dear_facts_are_asked_only_while_they_matter(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'a' LIST 'a' WHERE MISC_ATTRIBUTES LIKE '%V' AND XATTR('user.t') = 'x' "
         "AND FILE_SIZE > 100 AND NAME LIKE '%.dat'",
         NULL, 0);
    assert_int_equal(policy_eval_stage(x.ev), POLICY_STAGE_ENGINE);
    struct facts f = file("/d/x.txt");
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_stat + f.n_xattr + f.n_state, 0);
    f.path = "/d/x.dat";
    f.stx.stx_size = 1;
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_stat, 1);
    assert_int_equal(f.n_xattr + f.n_state, 0);
    f.stx.stx_size = 1000;
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_xattr, 1);
    assert_int_equal(f.n_state, 0);
    f.xattrs[0] = (struct fact_xattr){"user.t", "x", 0};
    assert_string_equal(decide(&x, &f), "");
    assert_int_equal(f.n_state, 1);
    f.state = POLICY_MIGRATED;
    assert_string_equal(decide(&x, &f), "a,");
}

static void a_decision_can_be_taken_stage_by_stage(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'a' LIST 'a' WHERE (NAME LIKE 'x%' OR FILE_SIZE > 100) AND XATTR('user.t') = 'x'",
         NULL, 0);
    struct facts f = file("/d/x");
    f.xattrs[0] = (struct fact_xattr){"user.t", "x", 0};
    assert_string_equal(decide_upto(&x, &f, POLICY_STAGE_NAME, false), "?");
    assert_int_equal(x.rc, POLICY_NEED_STAT);
    assert_string_equal(decide_upto(&x, &f, POLICY_STAGE_STAT, true), "?");
    assert_int_equal(x.rc, POLICY_NEED_XATTR);
    assert_string_equal(decide_upto(&x, &f, POLICY_STAGE_XATTR, true), "a,");
    auto_fixture struct fixture y = {0};
    load(&y, "RULE 'n' LIST 'a' WHERE NOT (NAME LIKE 'x%' OR FILE_SIZE > 100)", NULL, 0);
    assert_string_equal(decide_upto(&y, &f, POLICY_STAGE_NAME, false), "");
}

static void null_in_where_is_no_hit_on_either_side(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'yes' LIST 'a' WHERE XATTR('user.k') LIKE 'v'\n"
         "RULE 'not' LIST 'b' WHERE NOT (XATTR('user.k') LIKE 'v')\n"
         "RULE 'or' LIST 'c' WHERE XATTR('user.k') LIKE 'v' OR NAME = 'f'\n"
         "RULE 'null' LIST 'd' WHERE (XATTR('user.k') LIKE 'v') IS NULL",
         NULL, 0);
    struct facts f = file("/d/f");
    assert_string_equal(decide(&x, &f), "or,null,");
    f.xattrs[0] = (struct fact_xattr){"user.k", "w", 0};
    assert_string_equal(decide(&x, &f), "not,or,");
}

static void a_vanished_object_is_an_error_not_a_hit(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x, "RULE 'a' DELETE WHERE NOT (FILE_SIZE > 100)", NULL, 0);
    struct facts f = file("/d/f");
    f.stat_error = -ENOENT;
    assert_string_equal(decide(&x, &f), "?");
    assert_int_equal(x.rc, -ENOENT);
    f.stat_error = 0;
    f.stx.stx_size = 1;
    assert_string_equal(decide(&x, &f), "a,");
}

/* ---- outputs ---- */

static void weight_size_show_and_action_are_worked_out(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    load(&x,
         "RULE 'w' MIGRATE TO POOL 'slow' WEIGHT(CURRENT_TIMESTAMP - ACCESS_TIME) "
         "SIZE(FILE_SIZE / 1000) SHOW('kb=' || KB_ALLOCATED) ACTION(SETXATTR('user.t','seen'))\n"
         "RULE 'n' LIST 'a' WEIGHT(XATTR('user.none')) SHOW('k' XATTR('user.none'))\n"
         "RULE 's' LIST 'b' WEIGHT(-INF) SHOW('pre ' NAME)\n"
         "RULE 'bad' LIST 'c' WEIGHT(NAME)",
         NULL, 0);
    struct facts f = file("/d/f");
    assert_string_equal(decide(&x, &f), "w,n,s,bad,");
    const struct policy_hit *h = x.d.hits;
    assert_true(h[0].weight == 10 * 86400);
    assert_int_equal(h[0].size_kb, 8);
    assert_string_equal(h[0].show, "kb=8");
    assert_string_equal(f.set_name, "user.t");
    assert_string_equal(f.set_value, "seen");
    assert_true(h[1].weight == -INFINITY);
    assert_int_equal(h[1].show_len, 0);
    assert_true(h[2].weight == -INFINITY);
    assert_string_equal(h[2].show, "pre f");
    assert_true(h[3].weight == -INFINITY);
    assert_int_equal(policy_eval_bad_numbers(x.ev, 3), 1);
    assert_int_equal(policy_eval_bad_numbers(x.ev, 0), 0);
}

/* ---- the lines of -L ---- */

static void levels_3_to_6_tell_candidates_exclusions_attributes_and_the_rest(void **state)
{
    (void)state;
    auto_fixture struct fixture x = {0};
    auto_buf struct buf b = {0};
    load(&x,
         "RULE 'm' MIGRATE TO POOL 'slow' WEIGHT(5) WHERE NAME LIKE 'a%'\n"
         "RULE 'e' EXCLUDE WHERE NAME LIKE 'e%'",
         NULL, 0);
    struct facts f[] = {file("/d/a"), file("/d/e"), file("/d/x")};
    f[0].stx.stx_uid = 7;
    for (int level = POLICY_LEVEL_CANDIDATES; level <= POLICY_LEVEL_ALL; level++) {
        for (size_t i = 0; i < 3; i++) {
            struct policy_object obj = facts_object(&f[i]);
            (void)decide(&x, &f[i]);
            policy_report_object(&b, x.ev, &obj, f[i].path, &x.d, (enum policy_level)level);
        }
        buf_adds(&b, "--\n");
    }
#define TIMES     "2026-11-12@12:00:00"
#define MIGRATE   " RULE 'm' MIGRATE FROM POOL 'system' TO POOL 'slow' WEIGHT(5.000000)\n"
#define ATTR(UID) " [" TIMES " " UID " 0 8000 system " TIMES " 8 root]"
    assert_string_equal(b.data, "/d/a  " MIGRATE "--\n"
                                "/d/a  " MIGRATE "/d/e   RULE 'e' EXCLUDE\n--\n"
                                "/d/a" ATTR("7") MIGRATE "/d/e" ATTR("0") " RULE 'e' EXCLUDE\n--\n"
                                                                          "/d/a" ATTR("7") MIGRATE
                        "/d/e" ATTR("0") " RULE 'e' EXCLUDE\n"
                                         "/d/x" ATTR("0") " NO RULE APPLIES\n--\n");
}

/* ---- idioms ---- */

struct idiom {
    const char *path, *fileset, *pool;
    enum policy_state state;
    struct fact_xattr xattrs[3];
    unsigned gid;
    int64_t mtime, size;
    const char *hits;
    const char *show; /* of the last hit; NULL: not looked at */
};

#define D(N) .path = "/srv/fs1/docs/" N

static void idioms_select_what_their_authors_meant(void **state)
{
    (void)state;
    static const struct policy_macro m[] = {
        {"TAPE", "F00001L9"}, {"FSET", "proj"}, {"POOLOPT", "-p main@vault"}};
    static const struct idiom idioms[] = {
        {D("Report.dat"), .hits = "press,,"},
        {D("Report.txt"), .hits = ","},
        {.path = "/srv/.mmSharedTmpDir/X.dat", .hits = "keep,,"},
        {D("mmbackup.1"), .hits = "keep,,"},
        {D("X.1"), .xattrs = {{"user.todo", "archive", 0}}, .hits = "tagged,,"},
        {D("X.1"), .xattrs = {{"user.todo", "archive", 0}}, .pool = "slow", .hits = ","},
        {D("X.dat"), .state = POLICY_MIGRATED,
         .xattrs = {{"user.noobaa.tag.todo", "fetch", 0}, {"dmapi.IBMTPS", "1 F00001L9", 0}},
         .hits = "bring,m,byTape,", .show = "1 F00001L9"},
        {D("X.dat"), .state = POLICY_MIGRATED, .hits = "press,m,", .show = ""},
        {.path = "/srv/.snapshots/X.1", .state = POLICY_MIGRATED, .hits = ""},
        {D("X.dat"), .state = POLICY_PREMIGRATED, .hits = "press,p,"},
        {D("X.1"), .fileset = "proj", .hits = "copyall,,"},
        {D("X.1"), .fileset = "proj", .state = POLICY_PREMIGRATED, .hits = "p,"},
        {D("X.1"), .fileset = "buckets", .xattrs = {{"user.storage_class", "GLACIER", 0}},
         .hits = ",again,"},
        {D("X.1"), .fileset = "buckets",
         .xattrs = {{"user.storage_class", "GLACIER", 0},
                    {"user.noobaa.restore.expiry", "2026-11-22T11:59:59Z", 0}},
         .hits = ",again,due,"},
        {D("X.1"), .fileset = "buckets",
         .xattrs = {{"user.storage_class", "GLACIER", 0},
                    {"user.noobaa.restore.expiry", "2026-11-23T00:00:00Z", 0}},
         .hits = ","},
        {.path = "/srv/b_1/X.1",
         .size = 2000000,
         .xattrs = {{"user.noobaa.tag.team", "o'hara", 0}},
         .hits = ",lc_1,"},
        {.path = "/srv/bx1/X.1",
         .size = 2000000,
         .xattrs = {{"user.noobaa.tag.team", "o'hara", 0}},
         .hits = ","},
        {.path = "/srv/b_1/.tmp/X.1",
         .size = 2000000,
         .xattrs = {{"user.noobaa.tag.team", "o'hara", 0}},
         .hits = ","},
        {D("ABC12"), .hits = ",rx,", .show = "u=1000 c=0"},
        {D("X.1"), .gid = 2222, .hits = ",afm,"},
        {D("X.1"), .mtime = 0x12345678,
         .xattrs = {{"dmapi.MCEA", "....C...\0\0\0\0\x12\x34\x56\x78", 16}}, .hits = ",same,"},
        {D("x.tmp"), .pool = "slow", .fileset = "scratch", .mtime = 1500000000, .hits = ",clean,"},
        {D("x.tmp"), .pool = "slow", .fileset = "scratch", .hits = ","},
    };
    for (size_t i = 0; i < sizeof(idioms) / sizeof(idioms[0]); i++) {
        const struct idiom *t = &idioms[i];
        auto_fixture struct fixture x = {0};
        load_file(&x, DATA "/idioms.policy", m, 3);
        struct facts f = file(t->path);
        f.fileset = t->fileset;
        f.pool = t->pool;
        f.state = t->state;
        f.stx.stx_uid = 1000;
        f.stx.stx_gid = t->gid;
        f.stx.stx_blocks = t->state == POLICY_MIGRATED ? 0 : 16;
        f.stx.stx_size = t->size > 0 ? (uint64_t)t->size : 8000;
        if (t->mtime > 0)
            f.stx.stx_mtime.tv_sec = t->mtime;
        memcpy(f.xattrs, t->xattrs, sizeof(t->xattrs));
        const char *got = decide(&x, &f);
        if (strcmp(got, t->hits) != 0)
            fail_msg("%s (%zu): %s, not %s", t->path, i, got, t->hits);
        if (t->show != NULL)
            assert_string_equal(x.d.hits[x.d.n_hits - 1].show, t->show);
    }
}

static void a_case_weight_of_nested_macros_is_worked_out(void **state)
{
    (void)state;
    static const struct policy_macro m[] = {
        {"TAPE", "F00001L9"}, {"FSET", "proj"}, {"POOLOPT", "-p main@vault"}};
    auto_fixture struct fixture x = {0};
    load_file(&x, DATA "/idioms.policy", m, 3);
    struct facts f = file("/srv/X.dat");
    assert_string_equal(decide(&x, &f), "press,,");
    assert_true(x.d.hits[0].weight == 10); /* below a megabyte: idle days */
    f.stx.stx_blocks = 2048 * 3;
    (void)decide(&x, &f);
    assert_true(x.d.hits[0].weight == 30); /* megabytes times idle days */
    f.stx.stx_atime.tv_sec += 9 * 86400;
    (void)decide(&x, &f);
    assert_true(x.d.hits[0].weight == 0); /* too young */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tagged_files_migrate_by_either_xattr),
        cmocka_unit_test(recall_takes_only_migrated_tagged_files),
        cmocka_unit_test(an_external_source_implies_the_state),
        cmocka_unit_test(the_first_migrate_delete_or_exclude_wins_and_lists_go_on),
        cmocka_unit_test(a_dearer_rule_before_a_cheap_one_still_wins),
        cmocka_unit_test(pool_fileset_and_type_are_tested),
        cmocka_unit_test(when_and_thresholds_switch_rules_off),
        cmocka_unit_test(dear_facts_are_asked_only_while_they_matter),
        cmocka_unit_test(a_decision_can_be_taken_stage_by_stage),
        cmocka_unit_test(null_in_where_is_no_hit_on_either_side),
        cmocka_unit_test(a_vanished_object_is_an_error_not_a_hit),
        cmocka_unit_test(weight_size_show_and_action_are_worked_out),
        cmocka_unit_test(levels_3_to_6_tell_candidates_exclusions_attributes_and_the_rest),
        cmocka_unit_test(idioms_select_what_their_authors_meant),
        cmocka_unit_test(a_case_weight_of_nested_macros_is_worked_out),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
