/* SPDX-License-Identifier: Apache-2.0 */
/* A policy run over files that were changed: same rules, same facts, same execution, at once. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/policy_run_impl.h"

#include <errno.h>
#include <sys/stat.h>

/* Rules that weigh files against each other, and those whose slip nobody undoes. */
static bool is_for_run(const struct policy_rule *rule)
{
    return rule->kind == POLICY_DELETE || rule->has_threshold || rule->from_group || rule->to_group;
}

static bool is_nothing(const struct policy_rule *rule, const struct policy_hit *hit)
{
    if (rule->kind == POLICY_EXCLUDE || run_external_of(rule) == NULL ||
        run_external_of(rule)->exec[0] == '\0')
        return true;
    if (rule->kind != POLICY_MIGRATE)
        return false;
    bool recall = rule->to_external == NULL;
    return recall != (hit->state == POLICY_MIGRATED);
}

static int64_t ns_of(const struct statx_timestamp *t)
{
    return t->tv_sec * NS_PER_SEC + t->tv_nsec;
}

/* When the engine takes a file for migration; 0: when it is asked to. */
static int64_t ready_of(const struct run *r, const struct policy_rule *rule,
                        const struct statx *stx)
{
    if (rule->kind != POLICY_MIGRATE || rule->to_external == NULL ||
        !run_is_builtin(r, rule->to_external))
        return 0;
    int64_t at = ns_of(&stx->stx_mtime) + r->conf->migrate.min_age_s * NS_PER_SEC;
    return at > r->now_ns ? at : 0;
}

/* Recalls by firn itself cost no mount of their own: they go into the queue one by one. */
static bool is_at_once(const struct run *r, const struct policy_rule *rule)
{
    return rule->kind == POLICY_MIGRATE && rule->to_external == NULL &&
           run_is_builtin(r, rule->from_external);
}

static enum policy_pass_hit judge(const struct run *r, const struct policy_rule *rule,
                                  const struct policy_hit *hit, int64_t ready_ns)
{
    if (is_for_run(rule))
        return POLICY_HIT_FOR_RUN;
    if (is_nothing(rule, hit))
        return POLICY_HIT_NOTHING;
    if (r->pass->kind == POLICY_PASS_LOOK || ready_ns > 0)
        return POLICY_HIT_LATER;
    return r->pass->kind == POLICY_PASS_GATHERED || is_at_once(r, rule) ? POLICY_HIT_TAKEN
                                                                        : POLICY_HIT_LATER;
}

void run_pass_filter(struct run *r, const char *path, const struct statx *stx,
                     struct policy_hit *kept, struct policy_decision *d)
{
    size_t n = 0;
    for (size_t i = 0; i < d->n_hits; i++) {
        const struct policy_rule *rule = policy_rule(r->policy, d->hits[i].rule);
        struct policy_pass_told told = {.path = path,
                                        .rule = d->hits[i].rule,
                                        .rule_name = rule->name,
                                        .first = r->pass->kind != POLICY_PASS_GATHERED,
                                        .ready_ns = ready_of(r, rule, stx)};
        told.what = judge(r, rule, &d->hits[i], told.ready_ns);
        if (told.what == POLICY_HIT_TAKEN)
            kept[n++] = d->hits[i];
        if (rule->kind == POLICY_EXCLUDE)
            continue;
        lock_scope(&r->out.lock);
        r->pass->told(r->pass->arg, &told);
    }
    d->hits = kept;
    d->n_hits = n;
}

bool run_pass_wants(const struct run *r, const struct statx *stx)
{
    return r->pass->since_ns == 0 || ns_of(&stx->stx_ctime) >= r->pass->since_ns;
}

static int run_phases(struct run *r, struct err *err)
{
    auto_json cJSON *details = NULL;
    int rc = run_take_pool(r, err);
    if (rc == 0)
        rc = run_check_rules(r, &details, err);
    if (rc == 0)
        rc = run_choose(r, err);
    return rc == 0 && r->pass->kind != POLICY_PASS_LOOK ? run_execute(r, err) : rc;
}

/* The paths of the pass as the scan wants them. */
static void take_paths(struct run *r)
{
    if (r->pass->paths == NULL)
        return;
    r->input_paths = xrealloc_array(NULL, r->pass->n_paths + 1, sizeof(char *));
    for (size_t i = 0; i < r->pass->n_paths; i++)
        r->input_paths[r->n_input_paths++] = xstrdup(r->pass->paths[i]);
}

int policy_run_pass(struct policy_runner *runner, const cJSON *args, const struct policy_pass *pass,
                    int64_t *executed, struct err *err)
{
    struct err own = {0};
    struct err *e = err != NULL ? err : &own;
    auto_json cJSON *details = NULL;
    struct engine *engine = policy_runner_engine(runner);
    struct run r = {.engine = engine,
                    .conf = engine_conf(engine),
                    .mode = RUN_YES,
                    .now_ns = time_now_ns(),
                    .pass = pass,
                    .out = {.fn = pass->event, .arg = pass->arg}};
    (void)pthread_mutex_init(&r.out.lock, NULL);
    int rc = run_take_target(&r, args, e);
    if (rc == 0)
        rc = run_take_numbers(&r, args, e);
    if (rc == 0)
        rc = run_take_policy(r.conf, args, &r.file, &r.policy, &details, e);
    if (rc == 0) {
        take_paths(&r);
        rc = run_phases(&r, e);
    }
    if (executed != NULL)
        *executed = r.counts.executed;
    run_fini(&r);
    return rc;
}
