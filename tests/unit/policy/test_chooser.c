/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/chooser.h"
#include "policy/report.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const pools[] = {"system", "fast", "slow"};

struct run {
    struct policy *p;
    struct policy_chooser *c;
    uint64_t next_ino;
    char order[512];
};

static void run_fini(struct run *r)
{
    policy_chooser_free(r->c);
    policy_free(r->p);
}
#define auto_run __attribute__((cleanup(run_fini)))

static void begin(struct run *r, const char *text, const struct policy_pool *used, size_t n)
{
    struct policy_options opt = {.pools = pools, .n_pools = 3};
    struct policy_chooser_config cfg = {.pools = used, .n_pools = n};
    struct err err = {0};
    if (policy_compile(text, strlen(text), &opt, &r->p, NULL, &err) < 0)
        fail_msg("%s", err.text);
    r->c = policy_chooser_new(r->p, &cfg);
}

static void add(struct run *r, const char *path, struct policy_hit hit)
{
    struct err err = {0};
    struct policy_candidate cand = {
        .path = path, .path_len = strlen(path), .ino = ++r->next_ino, .generation = 7};
    if (hit.show == NULL)
        hit.show = "";
    if (hit.pool == NULL)
        hit.pool = "system";
    struct policy_decision d = {&hit, 1};
    assert_int_equal(policy_chooser_add(r->c, &cand, &d, &err), 0);
}

static const char *choose(struct run *r)
{
    static const char letters[] = "MPRDL";
    struct err err = {0};
    struct policy_chosen ch;
    assert_int_equal(policy_chooser_choose(r->c, &err), 0);
    r->order[0] = '\0';
    while (policy_chooser_next(r->c, &ch)) {
        size_t n = strlen(r->order);
        (void)snprintf(r->order + n, sizeof(r->order) - n, "%c%s,", letters[ch.work], ch.path);
    }
    return r->order;
}

#define MIG(W, K) ((struct policy_hit){.rule = 0, .weight = (W), .size_kb = (K)})

static void heavier_files_go_until_the_low_mark_then_premigration_begins(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 90, 100}};
    begin(&r,
          "RULE EXTERNAL POOL 't'\n"
          "RULE 'm' MIGRATE FROM POOL 'system' THRESHOLD(80,70,50) TO POOL 't'",
          used, 1);
    add(&r, "/a", MIG(1, 10));
    add(&r, "/b", MIG(5, 10));
    add(&r, "/c", MIG(3, 10));
    add(&r, "/d", MIG(-INFINITY, 10));
    add(&r, "/e", MIG(4, 10));
    assert_string_equal(choose(&r), "M/b,M/e,P/c,P/a,");
    struct policy_totals t;
    policy_chooser_totals(r.c, &t);
    assert_int_equal(t.migrate, 2);
    assert_int_equal(t.migrate_candidates, 5);
    assert_int_equal(t.premigrate_kb, 20);
    size_t n = 0;
    assert_int_equal(policy_chooser_pools(r.c, &n)[0].used_kb, 70);
}

static void threshold_0_100_0_premigrates_everything(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 60, 100}};
    begin(&r,
          "RULE EXTERNAL POOL 't'\nRULE MIGRATE FROM POOL 'system' THRESHOLD(0,100,0) TO POOL 't'",
          used, 1);
    add(&r, "/a", MIG(1, 20));
    struct policy_hit pre = MIG(2, 20);
    pre.state = POLICY_PREMIGRATED;
    add(&r, "/b", pre);
    add(&r, "/c", MIG(3, 10));
    assert_string_equal(choose(&r), "P/c,P/a,");
    struct policy_totals t;
    policy_chooser_totals(r.c, &t);
    assert_int_equal(t.comanaged, 1);
    assert_int_equal(t.migrate, 0);
}

static void a_premigrated_candidate_costs_no_copy_but_frees_its_space(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    begin(&r, "RULE EXTERNAL POOL 't'\nRULE MIGRATE TO POOL 't'", NULL, 0);
    struct policy_hit pre = MIG(2, 20), out = MIG(1, 0);
    pre.state = POLICY_PREMIGRATED;
    out.state = POLICY_MIGRATED;
    add(&r, "/pre", pre);
    add(&r, "/out", out);
    assert_string_equal(choose(&r), "M/pre,");
    struct policy_totals t;
    policy_chooser_totals(r.c, &t);
    assert_int_equal(t.comanaged_kb, 20);
}

static void a_recall_stays_below_the_limit_of_its_target(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 50, 100}};
    begin(&r, "RULE EXTERNAL POOL 't'\nRULE MIGRATE FROM POOL 't' TO POOL 'system' LIMIT(80)", used,
          1);
    add(&r, "/a", MIG(9, 20));
    add(&r, "/b", MIG(8, 20));
    add(&r, "/c", MIG(7, 10));
    assert_string_equal(choose(&r), "R/a,R/c,");
    size_t n = 0;
    assert_int_equal(policy_chooser_pools(r.c, &n)[0].used_kb, 80);
}

static void a_group_pool_fills_its_members_in_order(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 90, 100}, {"fast", 0, 100}, {"slow", 0, 100}};
    begin(&r,
          "RULE GROUP POOL 'g' IS 'fast' LIMIT(30) THEN 'slow'\n"
          "RULE MIGRATE FROM POOL 'system' TO POOL 'g'",
          used, 3);
    struct err err = {0};
    struct policy_chosen ch;
    add(&r, "/a", MIG(3, 20));
    add(&r, "/b", MIG(2, 20));
    add(&r, "/c", MIG(1, 10));
    assert_int_equal(policy_chooser_choose(r.c, &err), 0);
    static const char *const to[] = {"fast", "slow", "fast"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(policy_chooser_next(r.c, &ch));
        assert_string_equal(ch.to_pool, to[i]);
        assert_string_equal(ch.from_pool, "system");
        assert_int_equal(ch.generation, 7);
    }
    assert_false(policy_chooser_next(r.c, &ch));
    policy_chooser_rewind(r.c);
    assert_true(policy_chooser_next(r.c, &ch));
    assert_string_equal(ch.path, "/a");
}

static void external_work_comes_first_then_disk_deletions_lists(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    begin(&r,
          "RULE EXTERNAL POOL 't'\n"
          "RULE 'l' LIST 'x'\n"
          "RULE 'd' DELETE WHERE NAME LIKE 'd%'\n"
          "RULE 'k' MIGRATE TO POOL 'slow' WHERE NAME LIKE 'k%'\n"
          "RULE 'e' MIGRATE TO POOL 't'",
          NULL, 0);
    add(&r, "/l", (struct policy_hit){.rule = 0, .weight = 9, .show = "s\0t", .show_len = 3});
    add(&r, "/d", (struct policy_hit){.rule = 1, .weight = 9});
    add(&r, "/k", (struct policy_hit){.rule = 2, .weight = 9});
    add(&r, "/e", (struct policy_hit){.rule = 3, .weight = 1});
    add(&r, "/e2", (struct policy_hit){.rule = 3, .weight = INFINITY});
    assert_string_equal(choose(&r), "M/e2,M/e,M/k,D/d,L/l,");
    struct policy_chosen ch;
    policy_chooser_rewind(r.c);
    while (policy_chooser_next(r.c, &ch))
        if (ch.work == POLICY_WORK_LIST)
            assert_memory_equal(ch.show, "s\0t", 4);
}

static void lists_and_deletions_keep_to_their_thresholds(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 90, 100}};
    begin(&r, "RULE LIST 'x' THRESHOLD(80,70)\nRULE DELETE THRESHOLD(85,80)", used, 1);
    add(&r, "/1", (struct policy_hit){.rule = 0, .weight = 3, .size_kb = 10});
    add(&r, "/2", (struct policy_hit){.rule = 0, .weight = 2, .size_kb = 10});
    add(&r, "/3", (struct policy_hit){.rule = 0, .weight = 1, .size_kb = 10});
    add(&r, "/4", (struct policy_hit){.rule = 1, .weight = 3, .size_kb = 10});
    add(&r, "/5", (struct policy_hit){.rule = 1, .weight = 2, .size_kb = 10});
    assert_string_equal(choose(&r), "D/4,L/1,");
}

static void many_candidates_spill_to_a_file_and_come_out_sorted(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    struct policy_options opt = {.pools = pools, .n_pools = 3};
    struct policy_chooser_config cfg = {.memory_bytes = 1024 * 1024, .work_dir = "/var/tmp"};
    static const char text[] = "RULE LIST 'x'";
    struct err err = {0};
    struct policy_chosen ch;
    assert_int_equal(policy_compile(text, strlen(text), &opt, &r.p, NULL, &err), 0);
    r.c = policy_chooser_new(r.p, &cfg);
    unsigned seed = 1;
    for (int i = 0; i < 50000; i++) {
        char path[64];
        seed = seed * 1103515245u + 12345u;
        (void)snprintf(path, sizeof(path), "/some/directory/file-%06d", i);
        add(&r, path, MIG((double)(seed % 1000), 1));
    }
    assert_int_equal(policy_chooser_choose(r.c, &err), 0);
    double last = INFINITY;
    size_t n = 0;
    while (policy_chooser_next(r.c, &ch)) {
        assert_true(ch.weight <= last);
        assert_int_equal(strlen(ch.path), 27);
        last = ch.weight;
        n++;
    }
    assert_int_equal(n, 50000);
}

static void a_spill_directory_that_is_gone_is_an_error(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    struct policy_chooser_config cfg = {.memory_bytes = 1, .work_dir = "/nonexistent"};
    static const char text[] = "RULE LIST 'x'";
    struct err err = {0};
    assert_int_equal(policy_compile(text, strlen(text), NULL, &r.p, NULL, &err), 0);
    r.c = policy_chooser_new(r.p, &cfg);
    struct policy_hit hit = {.show = "", .pool = "system"};
    struct policy_decision d = {&hit, 1};
    struct policy_candidate cand = {.path = "/x", .path_len = 2};
    assert_int_equal(policy_chooser_add(r.c, &cand, &d, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent"));
}

/* ---- reports ---- */

static void the_rule_table_has_the_known_widths(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    const struct policy_pool used[] = {{"system", 4000, 10000}};
    auto_buf struct buf b = {0};
    begin(&r,
          "RULE EXTERNAL POOL 'cold' EXEC 'x'\n"
          "RULE 'old' LIST 'oldfiles' FOR FILESET('a') WHERE NAME = 'x'\n"
          "RULE 'mig' MIGRATE FROM POOL 'system' WEIGHT(KB_ALLOCATED) THRESHOLD(0,10) TO POOL "
          "'cold' WHERE NAME = 'x'\n"
          "RULE EXCLUDE",
          used, 1);
    add(&r, "/l", (struct policy_hit){.rule = 0, .size_kb = 21504});
    add(&r, "/m", (struct policy_hit){.rule = 1, .size_kb = 3500});
    add(&r, "/x", (struct policy_hit){.rule = 2, .size_kb = 1});
    struct policy_decision none = {NULL, 0};
    assert_int_equal(policy_chooser_add(r.c, NULL, &none, NULL), 0);
    (void)choose(&r);
    policy_report_rules(&b, r.p, r.c);
    assert_string_equal(
        b.data,
        "[I] Summary of Rule Applicability and File Choices:\n"
        " Rule#      Hit_Cnt          KB_Hit          Chosen       KB_Chosen          KB_Ill    "
        "Rule\n"
        "     0            1           21504               1           21504               0    "
        "RULE 'old' LIST 'oldfiles' FOR FILESET(.) WHERE(.)\n"
        "     1            1            3500               1            3500               0    "
        "RULE 'mig' MIGRATE FROM POOL 'system' THRESHOLD(.) WEIGHT(.) TO POOL 'cold' WHERE(.)\n"
        "     2            1               1               0               0               0    "
        "RULE EXCLUDE\n"
        "\n[I] Filesystem objects with no applicable rules: 1.\n");
    buf_reset(&b);
    policy_report_totals(&b, r.c);
    assert_string_equal(b.data, "\n[I] GPFS Policy Decisions and File Choice Totals:\n"
                                " Chose to migrate 3500KB: 1 of 1 candidates;\n"
                                " Chose to premigrate 0KB: 0 candidates;\n"
                                " Already co-managed 0KB: 0 candidates;\n"
                                " Chose to delete 0KB: 0 of 0 candidates;\n"
                                " Chose to list 21504KB: 1 of 1 candidates;\n"
                                " 0KB of chosen data is illplaced or illreplicated;\n"
                                "\nPredicted Data Pool Utilization in KB and %:\n"
                                "Pool_Name                   KB_Occupied        KB_Total  "
                                "Percent_Occupied\n"
                                "system\t500\t10000\t5.000000%\n");
}

static void the_heading_tells_counts_time_and_text(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    auto_buf struct buf b = {0};
    const struct policy_pool used[] = {{"system", 1, 8}};
    begin(&r, "define(x,TRUE)RULE EXTERNAL POOL 't'\nRULE LIST 'l' WHERE x", NULL, 0);
    policy_report_pools(&b, used, 1);
    policy_report_policy(&b, r.p, "f.policy", 1709205769304336128LL);
    assert_string_equal(
        b.data, "[I] GPFS Current Data Pool Utilization in KB and %\n"
                "Pool_Name                   KB_Occupied        KB_Total  Percent_Occupied\n"
                "system\t1\t8\t12.500000%\n"
                "[I] Loaded policy rules from f.policy.\n"
                "Evaluating MIGRATE/DELETE/EXCLUDE rules with CURRENT_TIMESTAMP = "
                "2024-02-29@11:22:49 UTC\n"
                "parsed 0 Placement Rules, 0 Restore Rules, 0 Migrate/Delete/Exclude Rules,\n"
                "        1 List Rules, 1 External Pool/List Rules\n"
                "RULE EXTERNAL POOL 't'\nRULE LIST 'l' WHERE TRUE\n");
    buf_reset(&b);
    policy_report_scan(&b, 1709205769304336128LL, 3, 2, 1, 0);
    assert_non_null(strstr(b.data, ".304 Directory entries scanned: 6.\n"
                                   "[I] Directories scan: 3 files, 2 directories, 1 other objects, "
                                   "0 'skipped' files and/or errors.\n"));
    buf_reset(&b);
    policy_report_end(&b, 5, 1);
    assert_string_equal(b.data,
                        "[I] A total of 5 files have been migrated, deleted or processed by "
                        "an EXTERNAL EXEC/script;\n"
                        "        1 'skipped' files and/or errors.\n");
}

static void chosen_files_are_told_with_rule_and_weight(void **state)
{
    (void)state;
    auto_run struct run r = {0};
    auto_buf struct buf b = {0};
    struct policy_chosen ch;
    begin(&r, "RULE EXTERNAL POOL 't'\nRULE 'm' MIGRATE TO POOL 't'", NULL, 0);
    add(&r, "/a\nb", MIG(INFINITY, 4));
    (void)choose(&r);
    policy_chooser_rewind(r.c);
    assert_true(policy_chooser_next(r.c, &ch));
    policy_report_chosen(&b, r.p, &ch);
    assert_string_equal(b.data,
                        "/a\\nb   RULE 'm' MIGRATE FROM POOL 'system' TO POOL 't' WEIGHT(INF)\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heavier_files_go_until_the_low_mark_then_premigration_begins),
        cmocka_unit_test(threshold_0_100_0_premigrates_everything),
        cmocka_unit_test(a_premigrated_candidate_costs_no_copy_but_frees_its_space),
        cmocka_unit_test(a_recall_stays_below_the_limit_of_its_target),
        cmocka_unit_test(a_group_pool_fills_its_members_in_order),
        cmocka_unit_test(external_work_comes_first_then_disk_deletions_lists),
        cmocka_unit_test(lists_and_deletions_keep_to_their_thresholds),
        cmocka_unit_test(many_candidates_spill_to_a_file_and_come_out_sorted),
        cmocka_unit_test(a_spill_directory_that_is_gone_is_an_error),
        cmocka_unit_test(the_rule_table_has_the_known_widths),
        cmocka_unit_test(the_heading_tells_counts_time_and_text),
        cmocka_unit_test(chosen_files_are_told_with_rule_and_weight),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
