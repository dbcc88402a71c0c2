/* SPDX-License-Identifier: Apache-2.0 */
/* What works for a task, and why nothing can. */
#include "engine/task_view.h"

#include "base/mem.h"
#include "engine/recall_impl.h"

#include <stdio.h>
#include <string.h>

#define LOOK_MAX 64 /* requests of one queue that are looked at for a task's */

void task_add_in_use(struct engine *e, int64_t id, cJSON *j)
{
    cJSON *tapes = cJSON_AddArrayToObject(j, "inuse_tapes");
    cJSON *drives = cJSON_AddArrayToObject(j, "inuse_drives");
    cJSON *libs = cJSON_AddArrayToObject(j, "inuse_libs");
    cJSON *pools = cJSON_AddArrayToObject(j, "inuse_pools");
    lock_scope(&e->lock);
    const struct task *t = task_find_locked(e, id);
    for (size_t p = 0; t != NULL && p < t->npools; p++) {
        if (t->pools[p] != NULL)
            (void)cJSON_AddItemToArray(pools, cJSON_CreateString(t->pools[p]->name));
    }
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct edrive *d = NULL;
        bool used = false;
        LL_FOREACH (e->libs[i].drives, d) {
            if (d->task_id != id || id == 0)
                continue;
            used = true;
            (void)cJSON_AddItemToArray(drives, cJSON_CreateString(d->serial));
            if (d->volume != NULL)
                (void)cJSON_AddItemToArray(tapes, cJSON_CreateString(d->volume->row.barcode));
        }
        const struct estore *s = e->libs[i].store;
        for (size_t k = 0; s != NULL && k < s->nlanes; k++)
            used = used || (id != 0 && s->lanes[k].task_id == id);
        if (used)
            (void)cJSON_AddItemToArray(libs, cJSON_CreateString(e->libs[i].name));
    }
}

/* ---- why nothing does ---- */

/* Whether lib can do nothing that takes a drive of this role, and why. */
static bool is_stuck(const struct library *lib, char role, char text[TASK_WHY_MAX])
{
    if (lib->store != NULL) {
        if (!lib->store->up && lib->problem[0] != '\0')
            (void)snprintf(text, TASK_WHY_MAX, "store %s is down: %s", lib->name, lib->problem);
        else if (!lib->store->up)
            (void)snprintf(text, TASK_WHY_MAX, "store %s was not reached yet", lib->name);
        return !lib->store->up;
    }
    if (library_drives_locked(lib, role) > 0)
        return false;
    (void)snprintf(text, TASK_WHY_MAX, "library %s has no drive that may %s (firn drive list)%s%s",
                   lib->name, role == 'r' ? "recall" : "migrate",
                   lib->problem[0] != '\0' ? ": " : "", lib->problem);
    return true;
}

/* Whether a recall of t is among the first that wait for lib. */
static bool waits_at(const struct library *lib, const struct task *t)
{
    const struct volume *v = NULL;
    const struct recall *r = NULL;
    LL_FOREACH (lib->volumes, v) {
        int n = 0;
        DL_FOREACH (v->queue, r) {
            if (n++ == LOOK_MAX)
                break;
            if (recall_is_of(r, t))
                return true;
        }
    }
    return false;
}

void task_why(struct engine *e, int64_t id, char text[TASK_WHY_MAX])
{
    text[0] = '\0';
    lock_scope(&e->lock);
    const struct task *t = task_find_locked(e, id);
    if (t == NULL)
        return;
    for (size_t p = 0; t->type != ENGINE_RECALL && p < t->npools; p++) {
        if (t->pools[p] != NULL && is_stuck(t->pools[p]->lib, 'm', text))
            return;
    }
    for (size_t i = 0; t->type == ENGINE_RECALL && i < e->nlibs; i++) {
        if (is_stuck(&e->libs[i], 'r', text) && waits_at(&e->libs[i], t))
            return;
        text[0] = '\0';
    }
}
