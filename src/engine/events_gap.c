/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What may have been missed: gateways that fell silent, work that a crash left open, full queues.
 * The catalogue's row events.open says since when changes may be at hand and who was heard when.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/events_impl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <utlist.h>

#define ROW       "events.open"
#define SLACK_NS  (2 * NS_PER_SEC)  /* times of files come from a coarser clock */
#define SILENT_NS (10 * NS_PER_SEC) /* gateways speak every two seconds */
#define QUIET_NS  NS_PER_SEC
#define SAVE_NS   (60 * NS_PER_SEC)
#define RETRY_NS  (60 * NS_PER_SEC)
#define MS_NS     1000000LL

/* ---- what was missed ---- */

static void lower(int64_t *t, int64_t to)
{
    if (*t == 0 || to < *t)
        *t = to;
}

void events_missed_locked(struct events *ev, int64_t since_ns, int64_t at_ns)
{
    if (ev->catch_up_ns == 0 || at_ns > ev->catch_up_at_ns)
        ev->catch_up_at_ns = at_ns;
    lower(&ev->catch_up_ns, since_ns > 0 ? since_ns : time_now_ns());
}

/* ---- gateways ---- */

static struct gateway *find_gateway(struct events *ev, const char *id)
{
    struct gateway *g = NULL;
    DL_FOREACH (ev->gateways, g) {
        if (strcmp(g->id, id) == 0)
            return g;
    }
    return NULL;
}

static struct gateway *add_gateway(struct events *ev, const char *id)
{
    struct gateway *g = xzalloc(sizeof(*g));
    (void)snprintf(g->id, sizeof(g->id), "%s", id);
    DL_APPEND(ev->gateways, g);
    return g;
}

static void drop_gateway(struct events *ev, struct gateway *g)
{
    DL_DELETE(ev->gateways, g);
    free(g);
    ev->saved_ns = 0; /* the row is to be written */
}

static void look_for_silent(struct events *ev, int64_t now)
{
    struct gateway *g = NULL;
    struct gateway *next = NULL;
    DL_FOREACH_SAFE(ev->gateways, g, next)
    {
        if (now - g->contact_ns < SILENT_NS)
            continue;
        log_warn("policy events: gateway %s fell silent; what changed since it was heard is "
                 "looked for",
                 g->id);
        events_missed_locked(ev, g->heard_ns, now);
        drop_gateway(ev, g);
    }
}

/* ---- catch-up ---- */

/* A policy to look for changes with: copies, the list may change meanwhile. */
struct look {
    struct events *ev;
    char name[CATALOG_NAME_MAX];
    cJSON *args;
    int64_t since_ns;
    int64_t found;
    struct look *next;
};

static void on_found(void *arg, const struct policy_pass_told *hit)
{
    struct look *l = arg;
    if (hit->what == POLICY_HIT_LATER)
        l->found += events_push(l->ev, hit->path);
}

static int look(struct look *l, struct err *err)
{
    const struct policy_pass pass = {
        .kind = POLICY_PASS_LOOK, .since_ns = l->since_ns, .told = on_found, .arg = l};
    int rc = policy_run_pass(l->ev->policies, l->args, &pass, NULL, err);
    if (rc == 0)
        log_info("policy %s: catch-up found %lld changed files", l->name, (long long)l->found);
    else
        log_warn("policy %s: catch-up: %s", l->name, err->text);
    return rc;
}

static void note(struct look *l, const struct err *err)
{
    struct installed *p = NULL;
    lock_scope(&l->ev->lock);
    DL_FOREACH (l->ev->installed, p) {
        if (!p->gone && strcmp(p->name, l->name) == 0)
            events_note_locked(p, 0, err);
    }
}

static void *catch_up_main(void *arg)
{
    struct look *l = arg;
    struct events *ev = l->ev;
    int64_t since = l->since_ns;
    bool failed = false;
    while (l != NULL) {
        struct err e = {0};
        struct look *next = l->next;
        int rc = look(l, &e);
        if (rc != 0)
            note(l, &e);
        failed = failed || rc != 0;
        cJSON_Delete(l->args);
        free(l);
        l = next;
    }
    lock_scope(&ev->lock);
    ev->catching_up = false;
    if (failed)
        events_missed_locked(ev, since, time_now_ns() + RETRY_NS);
    events_pass_done_locked(ev);
    return NULL;
}

static struct look *looks_of(struct events *ev, int64_t since_ns)
{
    struct look *all = NULL;
    const struct installed *p = NULL;
    for (p = ev->installed; p != NULL; p = p->next) {
        if (p->gone)
            continue;
        struct look *l = xzalloc(sizeof(*l));
        l->ev = ev;
        memcpy(l->name, p->name, sizeof(l->name));
        l->args = cJSON_Duplicate(p->args, true);
        l->since_ns = since_ns;
        LL_PREPEND(all, l);
    }
    return all;
}

static void looks_free(struct look *all)
{
    struct look *l = NULL;
    struct look *next = NULL;
    LL_FOREACH_SAFE(all, l, next)
    {
        cJSON_Delete(l->args);
        free(l);
    }
}

static void begin_catch_up(struct events *ev, int64_t now)
{
    struct look *all = looks_of(ev, ev->catch_up_ns - SLACK_NS);
    if (all == NULL) {
        ev->catch_up_ns = 0;
        return;
    }
    if (events_spawn_locked(ev, catch_up_main, all) != 0) {
        looks_free(all);
        ev->catch_up_at_ns = now + RETRY_NS;
        return;
    }
    ev->catching_up = true;
    lower(&ev->open_ns, ev->catch_up_ns);
    ev->catch_up_ns = 0;
}

/* ---- quiet ---- */

static bool is_at_hand(const struct events *ev)
{
    if (ev->inbox != NULL || ev->in_pass || ev->catching_up || ev->passes > 0)
        return true;
    for (const struct installed *p = ev->installed; p != NULL; p = p->next)
        if (p->waiting != NULL || p->busy)
            return true;
    return false;
}

void events_gap_tick_locked(struct events *ev, int64_t now)
{
    look_for_silent(ev, now);
    if (ev->catch_up_ns != 0 && !ev->catching_up && now >= ev->catch_up_at_ns)
        begin_catch_up(ev, now);
    if (is_at_hand(ev)) {
        ev->quiet_ns = 0;
        lower(&ev->open_ns, now);
        return;
    }
    if (ev->quiet_ns == 0)
        ev->quiet_ns = now;
    if (now - ev->quiet_ns >= QUIET_NS)
        ev->open_ns = 0;
}

/* ---- the row ---- */

/* The row as it should be, NULL: none is needed. */
static char *row_text_locked(const struct events *ev)
{
    const struct gateway *g = NULL;
    int64_t since = ev->open_ns;
    if (ev->catch_up_ns != 0)
        lower(&since, ev->catch_up_ns);
    if (since == 0 && ev->gateways == NULL)
        return NULL;
    auto_json cJSON *j = cJSON_CreateObject();
    json_add_int(j, "since", since);
    cJSON *list = cJSON_AddArrayToObject(j, "gateways");
    for (g = ev->gateways; g != NULL; g = g->next) {
        cJSON *one = cJSON_CreateObject();
        json_add_str(one, "id", g->id);
        json_add_int(one, "heard", g->heard_ns);
        (void)cJSON_AddItemToArray(list, one);
    }
    return cJSON_PrintUnformatted(j);
}

/* Whether the row may stay as it is: it was written lately and names an earlier or equal time. */
static bool is_fresh_locked(const struct events *ev)
{
    return time_now_ns() - ev->saved_ns < SAVE_NS;
}

/* True when the row says enough: nothing is at hand that it does not cover. */
static bool is_covered(const struct events *ev, const char *text)
{
    auto_json cJSON *was = ev->marked != NULL ? cJSON_Parse(ev->marked) : NULL;
    auto_json cJSON *now = text != NULL ? cJSON_Parse(text) : NULL;
    const cJSON *a = cJSON_GetObjectItemCaseSensitive(was, "gateways");
    const cJSON *b = cJSON_GetObjectItemCaseSensitive(now, "gateways");
    int64_t since = json_int(was, "since", 0);
    int64_t want = json_int(now, "since", 0);
    if ((since == 0) != (want == 0) || since > want)
        return false;
    return cJSON_GetArraySize(a) == cJSON_GetArraySize(b);
}

int events_mark(struct events *ev, bool force, struct err *err)
{
    lock_scope(&ev->marking); /* serializes writers of the row; nobody else waits for it */
    char *text = NULL;
    bool fresh = false;
    {
        lock_scope(&ev->lock);
        text = row_text_locked(ev);
        fresh = is_fresh_locked(ev);
    }
    bool same =
        text == NULL ? ev->marked == NULL : ev->marked != NULL && strcmp(text, ev->marked) == 0;
    if (same || (!force && fresh && is_covered(ev, text))) {
        cJSON_free(text);
        return 0;
    }
    int rc = catalog_attr_set(ev->catalog, ROW, text, 0, err);
    if (rc < 0) {
        cJSON_free(text);
        return rc;
    }
    free(ev->marked);
    ev->marked = text != NULL ? xstrdup(text) : NULL;
    cJSON_free(text);
    lock_scope(&ev->lock);
    ev->saved_ns = time_now_ns();
    return 0;
}

static void load_gateways(struct events *ev, const cJSON *row)
{
    const cJSON *one = NULL;
    cJSON_ArrayForEach (one, cJSON_GetObjectItemCaseSensitive(row, "gateways")) {
        struct gateway *g = add_gateway(ev, json_str(one, "id", ""));
        g->heard_ns = json_int(one, "heard", 0);
        g->contact_ns = time_now_ns(); /* it has time to speak */
    }
}

int events_gap_load(struct events *ev, struct err *err)
{
    char *text = NULL;
    int rc = catalog_attr_get(ev->catalog, ROW, &text, err);
    if (rc < 0 || text == NULL)
        return rc < 0 ? rc : 0;
    auto_json cJSON *row = cJSON_Parse(text);
    ev->marked = text;
    int64_t since = json_int(row, "since", 0);
    if (since > 0)
        events_missed_locked(ev, since, time_now_ns());
    load_gateways(ev, row);
    return 0;
}

void events_gap_fini(struct events *ev)
{
    struct gateway *g = NULL;
    struct gateway *next = NULL;
    DL_FOREACH_SAFE(ev->gateways, g, next)
    {
        DL_DELETE(ev->gateways, g);
        free(g);
    }
}

/* ---- op file.changed ---- */

static int check_paths(const cJSON *paths, struct err *err)
{
    const cJSON *p = NULL;
    if (paths != NULL && (!cJSON_IsArray(paths) || cJSON_GetArraySize(paths) > EVENTS_REQUEST_MAX))
        return err_set(err, -EINVAL, "paths is a list of at most %d paths", EVENTS_REQUEST_MAX);
    cJSON_ArrayForEach (p, paths) {
        const char *text = cJSON_GetStringValue(p);
        if (text == NULL || text[0] != '/' || strlen(text) >= PATH_MAX)
            return err_set(err, -EINVAL, "paths holds something else than absolute paths");
    }
    return 0;
}

static int check_gateway(const char *id, struct err *err)
{
    size_t n = strlen(id);
    if (n > 0 && n < EVENTS_ID_MAX)
        return 0;
    return err_set(err, -EINVAL, "gateway is a name of 1 to %d letters", EVENTS_ID_MAX - 1);
}

static void take_paths(struct events *ev, const cJSON *paths)
{
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, paths) {
        (void)changed_add(&ev->inbox, cJSON_GetStringValue(p), 0, 0);
    }
    if (cJSON_GetArraySize(paths) > 0)
        (void)pthread_cond_broadcast(&ev->wake);
}

/* Hears the gateway that args name. */
static int hear(struct events *ev, const cJSON *args, const char *id, int64_t now, struct err *err)
{
    struct gateway *g = find_gateway(ev, id);
    int64_t dropped_ms = json_int(args, "dropped_ms", 0);
    size_t n = 0;
    const struct gateway *each = NULL;
    DL_COUNT(ev->gateways, each, n);
    if (dropped_ms > 0)
        events_missed_locked(ev, now - dropped_ms * MS_NS, now);
    if (json_bool(args, "bye", false)) {
        if (g != NULL)
            drop_gateway(ev, g);
        return 0;
    }
    if (g == NULL && n >= EVENTS_GATEWAYS)
        return err_set(err, -EAGAIN, "%zu gateways are heard already", n);
    if (g == NULL)
        g = add_gateway(ev, id);
    g->contact_ns = now;
    g->heard_ns = now - json_int(args, "age_ms", 0) * MS_NS;
    return 0;
}

/* Takes all paths of args or none. *on: whether any policy takes events. */
static int take(struct events *ev, const cJSON *args, const char *id, bool *on, struct err *err)
{
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(args, "paths");
    int64_t now = time_now_ns();
    lock_scope(&ev->lock);
    if (ev->stopping)
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    *on = ev->installed != NULL;
    if (!*on)
        return 0;
    size_t n = (size_t)cJSON_GetArraySize(paths);
    if (n > 0 && HASH_COUNT(ev->inbox) + n > EVENTS_INBOX_MAX)
        return err_set(err, -EAGAIN, "%u changed files wait to be looked at",
                       HASH_COUNT(ev->inbox));
    int rc = hear(ev, args, id, now, err);
    if (rc != 0)
        return rc;
    take_paths(ev, paths);
    if (n > 0) {
        ev->quiet_ns = 0;
        lower(&ev->open_ns, now - json_int(args, "age_ms", 0) * MS_NS);
    }
    return 0;
}

int events_changed(struct events *ev, const cJSON *args, cJSON **result, struct err *err)
{
    const char *id = NULL;
    bool on = false;
    int rc = json_need_str(args, "gateway", &id, err);
    if (rc == 0)
        rc = check_gateway(id, err);
    if (rc == 0)
        rc = check_paths(cJSON_GetObjectItemCaseSensitive(args, "paths"), err);
    if (rc == 0)
        rc = take(ev, args, id, &on, err);
    if (rc == 0)
        rc = events_mark(ev, false, err);
    if (rc != 0)
        return rc;
    *result = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(*result, "events", on);
    return 0;
}
