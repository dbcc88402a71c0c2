/* SPDX-License-Identifier: Apache-2.0 */
/* Where each request of a task waits, and why. */
#include "engine/recall_impl.h"

#include "base/mem.h"

#include <stdio.h>
#include <string.h>

#define ASKERS_SHOWN 5

struct places {
    struct engine *e;
    const struct task *task;
    size_t max;
    int64_t waits, reading;
    cJSON *requests;
};

bool recall_is_of(const struct recall *r, const struct task *t)
{
    const struct waiter *w = NULL;
    LL_FOREACH (r->waiters, w) {
        if (w->task == t)
            return true;
    }
    return false;
}

/* Why what waits for a cartridge does. */
static void tape_reason(const struct recall_view *view, size_t i, char *text, size_t n)
{
    const struct volume *v = view->of[i];
    const char *drive = v->drive != NULL ? v->drive->serial : "";
    bool recalling = v->drive != NULL && v->drive->work == DRIVE_RECALLING;
    switch (pick_why(&view->site, i, recalling)) {
    case PICK_RUNS:
        (void)snprintf(text, n, "cartridge %s in drive %s serves other requests", v->row.barcode,
                       drive);
        break;
    case PICK_USED:
        (void)snprintf(text, n, "cartridge %s in drive %s is in use", v->row.barcode, drive);
        break;
    case PICK_WINDOW:
        (void)snprintf(text, n, "batch window: more requests for cartridge %s may come",
                       v->row.barcode);
        break;
    case PICK_STARTS:
        (void)snprintf(text, n, "a drive takes cartridge %s now", v->row.barcode);
        break;
    case PICK_UNUSABLE:
        (void)snprintf(text, n, "cartridge %s is %s", v->row.barcode, volume_shown_state(v));
        break;
    default:
        (void)snprintf(text, n, "cartridge %s waits for a drive of library %s", v->row.barcode,
                       v->lib->name);
        break;
    }
}

static void store_reason(const struct volume *v, char *text, size_t n)
{
    if (v->lib->store->up)
        (void)snprintf(text, n, "store %s serves other requests", v->lib->name);
    else
        (void)snprintf(text, n, "store %s is down: %s", v->lib->name, v->lib->problem);
}

static void add_askers(const struct recall *r, cJSON *j)
{
    const struct asker *a = NULL;
    int n = 0;
    cJSON *list = cJSON_AddArrayToObject(j, "asked_by");
    LL_FOREACH (r->askers, a) {
        char text[128];
        if (n++ >= ASKERS_SHOWN)
            break;
        if (a->pid != 0)
            (void)snprintf(text, sizeof(text), "%s, process %d of user %u",
                           a->name[0] != '\0' ? a->name : "a program", a->pid, a->uid);
        else
            (void)snprintf(text, sizeof(text), "%s%s", a->name[0] != '\0' ? "account " : "",
                           a->name[0] != '\0' ? a->name : "a reader");
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(text));
    }
}

static void add_request(struct places *p, const struct recall *r, size_t position,
                        const char *reason)
{
    const struct volume *v = r->waits;
    p->waits++;
    if ((size_t)p->waits > p->max)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", r->path);
    json_add_str(j, "volume", v->row.barcode);
    json_add_str(j, "library", v->lib->name);
    json_add_int(j, "position", (int64_t)position);
    json_add_int(j, "queued", (int64_t)v->queued);
    (void)cJSON_AddBoolToObject(j, "blocks_reader", r->reader);
    json_add_str(j, "reason", reason);
    add_askers(r, j);
    (void)cJSON_AddItemToArray(p->requests, j);
}

static void add_queue(struct places *p, const struct volume *v, const char *reason)
{
    const struct recall *r = NULL;
    size_t position = 0;
    DL_FOREACH (v->queue, r) {
        position++;
        if (recall_is_of(r, p->task))
            add_request(p, r, position, reason);
    }
}

static void add_library(struct places *p, struct library *lib)
{
    struct recall_view view;
    char reason[400];
    if (lib->store != NULL) {
        store_reason(lib->store->volume, reason, sizeof(reason));
        add_queue(p, lib->store->volume, reason);
        return;
    }
    recall_view_locked(p->e, lib, NULL, &view);
    for (size_t i = 0; i < view.site.nvolumes; i++) {
        tape_reason(&view, i, reason, sizeof(reason));
        add_queue(p, view.of[i], reason);
    }
    recall_view_fini(&view);
}

void recall_add_places(struct engine *e, int64_t id, size_t max, cJSON *j)
{
    const struct recall *r = NULL;
    lock_scope(&e->lock);
    const struct task *t = task_find_locked(e, id);
    if (t == NULL || t->type != ENGINE_RECALL)
        return;
    cJSON *w = cJSON_AddObjectToObject(j, "waiting");
    struct places p = {.e = e, .task = t, .max = max, .requests = cJSON_CreateArray()};
    for (size_t i = 0; i < e->nlibs; i++)
        add_library(&p, &e->libs[i]);
    for (r = e->recalls; r != NULL; r = r->hh.next)
        p.reading += r->waits == NULL && recall_is_of(r, t) ? 1 : 0;
    json_add_int(w, "reading", p.reading);
    json_add_int(w, "queued", p.waits);
    json_add_int(w, "planned_later", t->direct ? 0 : t->unclaimed);
    (void)cJSON_AddItemToObject(w, "requests", p.requests);
}
