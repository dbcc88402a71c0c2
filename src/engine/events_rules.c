/* SPDX-License-Identifier: Apache-2.0 */
/* The installed policies that take events, and what came of them. */
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/events_impl.h"
#include "engine/schedule.h"

#include <string.h>
#include <utlist.h>

#define INSTALL_WAIT_NS (5 * NS_PER_SEC) /* until every gateway has heard of the first policy */

static void installed_free(struct installed *p)
{
    changed_clear(&p->waiting);
    cJSON_Delete(p->args);
    free(p->root);
    free(p->rules);
    free(p);
}

/* The directory that target names, NULL when it lies in no managed file system. */
static char *root_of(const struct conf *conf, const char *target)
{
    size_t n = strlen(target);
    while (n > 1 && target[n - 1] == '/')
        n--;
    auto_free char *tidy = xstrndup(target, n);
    const struct conf_filesystem *fs = conf_find_filesystem(conf, tidy);
    if (fs == NULL)
        return NULL;
    return xstrdup(tidy[0] == '/' ? tidy : fs->path);
}

static bool is_same(const struct installed *p, const struct catalog_schedule *s, const cJSON *args)
{
    return strcmp(p->name, s->name) == 0 && strcmp(p->log, s->log) == 0 &&
           cJSON_Compare(p->args, args, true);
}

static struct installed *installed_new(const struct conf *conf, const struct catalog_schedule *s,
                                       cJSON *args)
{
    struct installed *p = xzalloc(sizeof(*p));
    memcpy(p->name, s->name, sizeof(p->name));
    memcpy(p->log, s->log, sizeof(p->log));
    p->root = root_of(conf, s->target);
    p->args = args;
    return p;
}

/* Adds the policy of s to fresh, unless it is installed as it is. */
static void take_one(struct events *ev, const struct catalog_schedule *s, struct installed **fresh)
{
    struct installed *p = NULL;
    cJSON *args = schedule_run_args(s);
    DL_FOREACH (ev->installed, p) {
        if (p->gone && is_same(p, s, args)) {
            lock_scope(&ev->lock);
            p->gone = false;
            cJSON_Delete(args);
            return;
        }
    }
    p = installed_new(ev->conf, s, args);
    DL_APPEND(*fresh, p);
}

static int by_name(const struct installed *a, const struct installed *b)
{
    return strcmp(a->name, b->name);
}

static size_t count_alive(const struct events *ev)
{
    size_t n = 0;
    for (const struct installed *p = ev->installed; p != NULL; p = p->next)
        n += !p->gone;
    return n;
}

/* The first policy: what changes until the gateways know of it is looked for. */
static void settle_locked(struct events *ev, size_t before)
{
    int64_t now = time_now_ns();
    size_t n = count_alive(ev);
    if (before == 0 && n > 0 && ev->loaded)
        events_missed_locked(ev, now, now + INSTALL_WAIT_NS);
    ev->loaded = true;
    if (n > 0)
        return;
    changed_clear(&ev->inbox);
    ev->open_ns = 0;
    ev->catch_up_ns = 0;
}

void events_reload(struct events *ev)
{
    struct err e = {0};
    struct catalog_schedules list = {0};
    struct installed *fresh = NULL;
    struct installed *p = NULL;
    if (catalog_schedule_list(ev->catalog, NULL, &list, &e) < 0) {
        log_err("policy events: %s", e.text);
        return;
    }
    size_t before = count_alive(ev);
    (void)pthread_mutex_lock(&ev->lock);
    DL_FOREACH (ev->installed, p) {
        p->gone = true;
    }
    (void)pthread_mutex_unlock(&ev->lock);
    for (size_t i = 0; i < list.n; i++)
        if (list.v[i].events && list.v[i].enabled)
            take_one(ev, &list.v[i], &fresh);
    catalog_schedules_fini(&list);
    lock_scope(&ev->lock);
    DL_CONCAT(ev->installed, fresh);
    DL_SORT(ev->installed, by_name);
    settle_locked(ev, before);
}

void events_sweep_locked(struct events *ev)
{
    struct installed *p = NULL;
    struct installed *next = NULL;
    DL_FOREACH_SAFE(ev->installed, p, next)
    {
        if (!p->gone || p->busy)
            continue;
        DL_DELETE(ev->installed, p);
        installed_free(p);
    }
}

void events_rules_fini(struct events *ev)
{
    struct installed *p = NULL;
    struct installed *next = NULL;
    DL_FOREACH_SAFE(ev->installed, p, next)
    {
        DL_DELETE(ev->installed, p);
        installed_free(p);
    }
}

/* ---- counts ---- */

static struct rule_count *rule_of(struct installed *p, const struct policy_pass_told *hit)
{
    if (hit->rule >= p->n_rules) {
        p->rules = xrealloc_array(p->rules, (size_t)hit->rule + 1, sizeof(*p->rules));
        memset(p->rules + p->n_rules, 0, (hit->rule + 1 - p->n_rules) * sizeof(*p->rules));
        p->n_rules = (size_t)hit->rule + 1;
    }
    struct rule_count *r = &p->rules[hit->rule];
    char name[sizeof(r->name)];
    (void)snprintf(name, sizeof(name), "%s", hit->rule_name);
    if (strcmp(r->name, name) != 0) { /* the file is another one now */
        *r = (struct rule_count){0};
        memcpy(r->name, name, sizeof(name));
    }
    return r;
}

void events_count_locked(struct installed *p, const struct policy_pass_told *hit)
{
    struct rule_count *r = rule_of(p, hit);
    if (hit->first) {
        r->matched++;
        p->matched++;
    }
    switch (hit->what) {
    case POLICY_HIT_TAKEN:
        r->started++;
        p->started++;
        break;
    case POLICY_HIT_LATER:
    case POLICY_HIT_NOTHING:
        break;
    case POLICY_HIT_FOR_RUN:
        p->left++;
        break;
    }
}

static void add_time(cJSON *j, const char *name, int64_t ns)
{
    char text[TIMEFMT_MAX] = "";
    if (ns > 0)
        timefmt_iso_ms(ns, text);
    json_add_str(j, name, text);
}

static void describe_rules(const struct installed *p, cJSON *j)
{
    cJSON *list = cJSON_AddArrayToObject(j, "rules");
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct rule_count *r = &p->rules[i];
        if (r->matched == 0 && r->started == 0)
            continue;
        cJSON *one = cJSON_CreateObject();
        json_add_int(one, "rule", (int64_t)i);
        json_add_str(one, "name", r->name);
        json_add_int(one, "matched", r->matched);
        json_add_int(one, "started", r->started);
        (void)cJSON_AddItemToArray(list, one);
    }
}

static void describe(const struct installed *p, cJSON *schedule)
{
    cJSON *j = cJSON_AddObjectToObject(schedule, "counts");
    json_add_int(j, "evaluated", p->evaluated);
    json_add_int(j, "matched", p->matched);
    json_add_int(j, "started", p->started);
    json_add_int(j, "left", p->left);
    json_add_int(j, "waiting", HASH_COUNT(p->waiting));
    add_time(j, "last_event", p->last_ns);
    describe_rules(p, j);
    json_add_str(schedule, "problem", p->error);
    add_time(schedule, "last_error", p->error_ns);
}

void events_describe(struct events *ev, cJSON *list)
{
    cJSON *s = NULL;
    lock_scope(&ev->lock);
    cJSON_ArrayForEach (s, list) {
        const struct installed *p = NULL;
        for (p = ev->installed; p != NULL; p = p->next)
            if (!p->gone && strcmp(p->name, json_str(s, "name", "")) == 0)
                describe(p, s);
    }
}
