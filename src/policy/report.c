/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/report.h"

#include "base/timefmt.h"
#include "policy/policy_impl.h"

#include <dirent.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* "YYYY-MM-DD@hh:mm:ss.mmm", local time. */
static void add_time(struct buf *out, int64_t ns)
{
    char text[TIMEFMT_MAX];
    timefmt_local(ns, text);
    text[10] = '@';
    int64_t ms = ns / 1000000 % 1000;
    buf_addf(out, "%s.%03d", text, (int)(ms < 0 ? ms + 1000 : ms));
}

static void add_pools(struct buf *out, const struct policy_pool *pools, size_t n)
{
    buf_adds(out, "Pool_Name                   KB_Occupied        KB_Total  Percent_Occupied\n");
    for (size_t i = 0; i < n; i++) {
        int64_t used = (int64_t)pools[i].used_kb;
        double total = (double)pools[i].total_kb;
        buf_addf(out, "%s\t%" PRId64 "\t%" PRIu64 "\t%.6f%%\n", pools[i].name, used,
                 pools[i].total_kb, total > 0 ? 100.0 * (double)used / total : 0.0);
    }
}

void policy_report_pools(struct buf *out, const struct policy_pool *pools, size_t n)
{
    buf_adds(out, "[I] GPFS Current Data Pool Utilization in KB and %\n");
    add_pools(out, pools, n);
}

void policy_report_policy(struct buf *out, const struct policy *p, const char *file, int64_t now_ns)
{
    struct policy_date d;
    struct policy_counts c;
    policy_date_split(now_ns >= 0 ? now_ns / 1000 : -((999 - now_ns) / 1000), &d);
    policy_get_counts(p, &c);
    buf_addf(out, "[I] Loaded policy rules from %s.\n", file);
    buf_addf(out,
             "Evaluating MIGRATE/DELETE/EXCLUDE rules with CURRENT_TIMESTAMP = "
             "%04" PRId64 "-%02d-%02d@%02d:%02d:%02d UTC\n",
             d.year, d.month, d.day, d.hour, d.minute, d.second);
    buf_addf(out,
             "parsed %u Placement Rules, %u Restore Rules, %u Migrate/Delete/Exclude Rules,\n"
             "        %u List Rules, %u External Pool/List Rules\n",
             c.placement, c.restore, c.migrate, c.list, c.external);
    const char *text = policy_expanded(p);
    size_t n = strlen(text);
    buf_add(out, text, n);
    if (n == 0 || text[n - 1] != '\n')
        buf_addc(out, '\n');
}

void policy_report_scan(struct buf *out, int64_t now_ns, uint64_t files, uint64_t dirs,
                        uint64_t others, uint64_t errors)
{
    buf_adds(out, "[I] ");
    add_time(out, now_ns);
    buf_addf(out, " Directory entries scanned: %" PRIu64 ".\n", files + dirs + others + errors);
    buf_addf(out,
             "[I] Directories scan: %" PRIu64 " files, %" PRIu64 " directories, %" PRIu64
             " other objects, %" PRIu64 " 'skipped' files and/or errors.\n",
             files, dirs, others, errors);
}

void policy_report_rules(struct buf *out, const struct policy *p, struct policy_chooser *c)
{
    struct policy_totals t;
    policy_chooser_totals(c, &t);
    buf_adds(out, "[I] Summary of Rule Applicability and File Choices:\n");
    buf_adds(out, " Rule#      Hit_Cnt          KB_Hit          Chosen       KB_Chosen"
                  "          KB_Ill    Rule\n");
    for (unsigned i = 0; i < policy_n_rules(p); i++) {
        struct policy_rule_stats s;
        policy_chooser_rule_stats(c, i, &s);
        buf_addf(out,
                 "%6u%13" PRIu64 "%16" PRId64 "%16" PRIu64 "%16" PRId64 "%16" PRId64 "    %s\n", i,
                 s.hits, s.kb_hit, s.chosen, s.kb_chosen, s.kb_ill, policy_rule(p, i)->summary);
    }
    buf_addf(out, "\n[I] Filesystem objects with no applicable rules: %" PRIu64 ".\n", t.no_rule);
}

void policy_report_totals(struct buf *out, struct policy_chooser *c)
{
    struct policy_totals t;
    size_t n = 0;
    policy_chooser_totals(c, &t);
    const struct policy_pool *pools = policy_chooser_pools(c, &n);
    buf_adds(out, "\n[I] GPFS Policy Decisions and File Choice Totals:\n");
    buf_addf(out, " Chose to migrate %" PRId64 "KB: %" PRIu64 " of %" PRIu64 " candidates;\n",
             t.migrate_kb, t.migrate, t.migrate_candidates);
    buf_addf(out, " Chose to premigrate %" PRId64 "KB: %" PRIu64 " candidates;\n", t.premigrate_kb,
             t.premigrate);
    buf_addf(out, " Already co-managed %" PRId64 "KB: %" PRIu64 " candidates;\n", t.comanaged_kb,
             t.comanaged);
    buf_addf(out, " Chose to delete %" PRId64 "KB: %" PRIu64 " of %" PRIu64 " candidates;\n",
             t.del_kb, t.del, t.del_candidates);
    buf_addf(out, " Chose to list %" PRId64 "KB: %" PRIu64 " of %" PRIu64 " candidates;\n",
             t.list_kb, t.list, t.list_candidates);
    buf_addf(out, " %" PRId64 "KB of chosen data is illplaced or illreplicated;\n", t.ill_kb);
    buf_adds(out, "\nPredicted Data Pool Utilization in KB and %:\n");
    add_pools(out, pools, n);
}

void policy_report_progress(struct buf *out, int64_t now_ns, uint64_t dispatched)
{
    buf_adds(out, "[I] ");
    add_time(out, now_ns);
    buf_addf(out, " Policy execution. %" PRIu64 " files dispatched.\n", dispatched);
}

void policy_report_end(struct buf *out, uint64_t done, uint64_t errors)
{
    buf_addf(out,
             "[I] A total of %" PRIu64
             " files have been migrated, deleted or processed by an EXTERNAL EXEC/script;\n"
             "        %" PRIu64 " 'skipped' files and/or errors.\n",
             done, errors);
}

/* ---- one object ---- */

static void add_path(struct buf *out, const char *path)
{
    for (; *path != '\0'; path++) {
        if (*path == '\n')
            buf_adds(out, "\\n");
        else
            buf_addc(out, *path);
    }
}

/* RULE 'n' ACTION FROM POOL 'p' [TO POOL 'q'] WEIGHT(w) */
static void add_choice(struct buf *out, const struct policy_rule *r, const char *from,
                       const char *to, double weight)
{
    static const char *const words[] = {"MIGRATE", "DELETE", "EXCLUDE", "LIST"};
    buf_addf(out, "RULE '%s' %s", r->name, words[r->kind]);
    if (r->kind == POLICY_LIST)
        buf_addf(out, " '%s'", r->list);
    if (r->kind != POLICY_EXCLUDE) {
        buf_addf(out, " FROM POOL '%s'", from);
        if (to != NULL)
            buf_addf(out, " TO POOL '%s'", to);
        if (isinf(weight))
            buf_addf(out, " WEIGHT(%sINF)", weight < 0 ? "-" : "");
        else
            buf_addf(out, " WEIGHT(%f)", weight);
    }
    buf_addc(out, '\n');
}

void policy_report_chosen(struct buf *out, const struct policy *p, const struct policy_chosen *c)
{
    add_path(out, c->path);
    buf_adds(out, "   ");
    add_choice(out, policy_rule(p, c->rule), c->from_pool, c->to_pool, c->weight);
}

/* "[MODIFICATION_TIME USER_ID GROUP_ID FILE_SIZE POOL_NAME ACCESS_TIME KB_ALLOCATED FILESET_NAME]"
 */
static void add_attributes(struct buf *out, struct policy_eval *ev)
{
    static const char *const names[] = {"MODIFICATION_TIME", "USER_ID",     "GROUP_ID",
                                        "FILE_SIZE",         "POOL_NAME",   "ACCESS_TIME",
                                        "KB_ALLOCATED",      "FILESET_NAME"};
    buf_addc(out, '[');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct policy_value v = {0};
        policy_attr_find(names[i])->get(ev, &v);
        bool time = v.type == V_TS;
        policy_to_string(&v, &ev->scratch);
        const char *blank = time && v.type == V_STR ? memchr(v.s.p, ' ', v.s.n) : NULL;
        buf_adds(out, i > 0 ? " " : "");
        if (v.type == V_NULL)
            buf_adds(out, "NULL");
        else if (blank != NULL) /* YYYY-MM-DD@hh:mm:ss */
            buf_addf(out, "%.10s@%.8s", v.s.p, blank + 1);
        else
            buf_add(out, v.s.p, v.s.n);
    }
    buf_addc(out, ']');
}

void policy_report_object(struct buf *out, struct policy_eval *ev, const struct policy_object *obj,
                          const char *path, const struct policy_decision *d,
                          enum policy_level level)
{
    ev->obj = obj;
    if (level < POLICY_LEVEL_CANDIDATES || (d->n_hits == 0 && level < POLICY_LEVEL_ALL))
        return;
    for (size_t i = 0; i == 0 || i < d->n_hits; i++) {
        const struct policy_hit *h = i < d->n_hits ? &d->hits[i] : NULL;
        const struct policy_rule *r = h != NULL ? policy_rule(ev->p, h->rule) : NULL;
        if (r != NULL && r->kind == POLICY_EXCLUDE && level < POLICY_LEVEL_EXCLUDED)
            continue;
        add_path(out, path);
        buf_adds(out, level >= POLICY_LEVEL_ATTRIBUTES ? " " : "  ");
        if (level >= POLICY_LEVEL_ATTRIBUTES)
            add_attributes(out, ev);
        buf_addc(out, ' ');
        if (r == NULL)
            buf_adds(out, "NO RULE APPLIES\n");
        else
            add_choice(out, r, r->from_external != NULL ? r->from_pool : h->pool, r->to_pool,
                       h->weight);
    }
}
