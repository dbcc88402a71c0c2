/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tier gc: deleting what is proven. What has objects of its own goes by itself; a pack goes as
 * one object, when all copies in it are garbage. The catalogue and the files are asked again just
 * before.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/tier_gc_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- places in packs ---- */

void gc_place_add(struct gc *g, struct gc_candidate *c, const struct s3_piece *p)
{
    struct gc_pack *k = NULL;
    const char *key = p->location->key;
    size_t n = strlen(key);
    HASH_FIND(hh, g->packs, key, n, k);
    if (k == NULL) {
        k = xzalloc(sizeof(*k));
        k->key = xstrdup(key);
        k->members = p->members;
        HASH_ADD_KEYPTR(hh, g->packs, k->key, n, k);
        LL_PREPEND(g->all_packs, k);
    }
    struct gc_place *x = xzalloc(sizeof(*x));
    x->pack = k;
    x->c = c;
    x->bytes = p->bytes;
    LL_PREPEND(c->places, x);
}

void gc_place_merge(struct gc_candidate *old, struct gc_candidate *c)
{
    struct gc_place *x = NULL;
    LL_FOREACH (c->places, x)
        x->c = old;
    LL_CONCAT(old->places, c->places);
    c->places = NULL;
    old->own = old->own || c->own;
    old->objects += c->objects;
    old->bytes += c->bytes;
    if (old->at.key == NULL && c->at.key != NULL)
        tier_location_copy(&old->at, &c->at);
}

void gc_places_free(struct gc_candidate *c)
{
    struct gc_place *x = NULL;
    struct gc_place *tmp = NULL;
    LL_FOREACH_SAFE(c->places, x, tmp)
    free(x);
    c->places = NULL;
}

void gc_packs_free(struct gc *g)
{
    struct gc_pack *k = NULL;
    struct gc_pack *tmp = NULL;
    HASH_CLEAR(hh, g->packs);
    LL_FOREACH_SAFE(g->all_packs, k, tmp)
    {
        free(k->key);
        free(k);
    }
}

static void count(struct gc *g, struct gc_candidate *c)
{
    const struct gc_place *x = NULL;
    c->waits = !c->own;
    LL_FOREACH (c->places, x) {
        if (x->pack->dead) {
            c->waits = false;
            continue;
        }
        g->in_packs++;
        g->in_packs_bytes += (int64_t)x->bytes;
    }
    g->garbage += c->waits ? 0 : 1;
}

void gc_packs_judge(struct gc *g)
{
    struct gc_candidate *c = NULL;
    struct gc_place *x = NULL;
    struct gc_pack *k = NULL;
    for (c = g->candidates; c != NULL; c = c->hh.next) {
        LL_FOREACH (c->places, x) {
            x->pack->found++;
            x->pack->bytes += x->bytes;
            LL_PREPEND2(x->pack->places, x, next_in_pack);
        }
    }
    for (k = g->packs; k != NULL; k = k->hh.next)
        k->dead = k->found > 0 && k->found == k->members;
    for (c = g->candidates; c != NULL; c = c->hh.next)
        count(g, c);
}

/* ---- one archive ---- */

/* Whether the file of archive id, which the catalogue knows, wants it. What is nameless has none:
 * that no file names it was read from all of them. */
static bool is_wanted(struct gc *g, const struct uuid *id)
{
    return archive_use(g->e, id) == ARCHIVE_USED;
}

/* The number of c's copy on this store when the catalogue still does not count on it, 0 when it
 * knows none, -1 when it does. *others: there are further copies. */
static int ask_again(struct gc *g, const struct gc_candidate *c, bool *others)
{
    struct catalog_copies l = {0};
    int no = 0;
    *others = false;
    if (catalog_copy_of(g->e->cat, &c->id, 1, &l, NULL) < 0)
        return -1;
    for (size_t i = 0; i < l.n; i++) {
        if (l.v[i].volume != g->s->volume->row.id)
            *others = *others || l.v[i].state != CATALOG_COPY_LOST;
        else if (l.v[i].state != CATALOG_COPY_VALID || c->reason == GC_UNREFERENCED)
            no = l.v[i].copy_no;
        else
            no = -1;
    }
    size_t n = l.n;
    catalog_copies_fini(&l);
    return no >= 0 && n > 0 && is_wanted(g, &c->id) ? -1 : no;
}

static void is_deleted(struct gc *g, struct gc_candidate *c)
{
    g->deleted += c->deleted ? 0 : 1;
    c->deleted = true;
}

static void delete_one(struct gc *g, struct gc_candidate *c)
{
    struct err err = {0};
    bool others = false;
    uint64_t objects = 0;
    uint64_t bytes = 0;
    int no = ask_again(g, c, &others);
    if (no < 0)
        return;
    if (c->reason == GC_UNREFERENCED) /* on other tiers too */
        copies_set_state(g->e, &c->id, 0, CATALOG_COPY_GARBAGE, "tier gc");
    if (no > 0) /* first, so that nobody looks for what is half deleted */
        copies_set_state(g->e, &c->id, no, CATALOG_COPY_LOST, "tier gc");
    int rc = depot_purge(g->depot, &c->id, &objects, &bytes, &err);
    g->objects += (int64_t)objects;
    g->bytes += (int64_t)bytes;
    if (rc == 0 && no > 0 && !others)
        rc = catalog_archive_delete(g->e->cat, &c->id, 1, &err);
    if (rc < 0)
        gc_problem(g, err.text);
    else
        is_deleted(g, c);
}

/* ---- a pack ---- */

/* Whether nobody wants any copy in k; asks for all of them before the catalogue is told of one. */
static bool is_unwanted(struct gc *g, struct gc_pack *k)
{
    struct gc_place *x = NULL;
    LL_FOREACH2(k->places, x, next_in_pack)
    {
        x->no = ask_again(g, x->c, &x->others);
        if (x->no < 0)
            return false;
    }
    return true;
}

/* Whether the catalogue has given up x's copy and its file does not want it: it may have changed
 * while the other members were asked for, and the catalogue may have failed to take the state. */
static bool is_given_up(struct gc *g, const struct gc_place *x)
{
    struct catalog_copies l = {0};
    bool yes = catalog_copy_of(g->e->cat, &x->c->id, 1, &l, NULL) == 0;
    for (size_t i = 0; i < l.n; i++)
        yes = yes && (l.v[i].volume != g->s->volume->row.id || l.v[i].state == CATALOG_COPY_LOST);
    size_t n = l.n;
    catalog_copies_fini(&l);
    return yes && (n == 0 || !is_wanted(g, &x->c->id));
}

/* The state that the catalogue had for a copy that is garbage for this reason. */
static enum catalog_copy_state state_before(enum gc_reason reason)
{
    return reason == GC_UNREFERENCED ? CATALOG_COPY_VALID
           : reason == GC_LOST       ? CATALOG_COPY_LOST
                                     : CATALOG_COPY_GARBAGE;
}

/* Tells the catalogue that all copies in k are lost, so that nobody looks for them. When one turns
 * out to be wanted all are as before, and false is returned. */
static bool give_up(struct gc *g, struct gc_pack *k)
{
    const struct gc_place *x = NULL;
    bool all = true;
    LL_FOREACH2(k->places, x, next_in_pack)
    {
        if (x->no > 0)
            copies_set_state(g->e, &x->c->id, x->no, CATALOG_COPY_LOST, "tier gc");
    }
    LL_FOREACH2(k->places, x, next_in_pack)
    all = all && is_given_up(g, x);
    if (all)
        return true;
    LL_FOREACH2(k->places, x, next_in_pack)
    {
        if (x->no > 0)
            copies_set_state(g->e, &x->c->id, x->no, state_before(x->c->reason), "tier gc");
    }
    return false;
}

/* The copy x is gone from the store. */
static void forget(struct gc *g, const struct gc_place *x)
{
    struct err err = {0};
    int rc = 0;
    if (x->c->reason == GC_UNREFERENCED && x->others) { /* on other tiers too */
        copies_set_state(g->e, &x->c->id, 0, CATALOG_COPY_GARBAGE, "tier gc");
        if (x->no > 0)
            copies_set_state(g->e, &x->c->id, x->no, CATALOG_COPY_LOST, "tier gc");
    }
    if (x->no > 0 && !x->others)
        rc = catalog_archive_delete(g->e->cat, &x->c->id, 1, &err);
    if (rc < 0)
        gc_problem(g, err.text);
    else
        is_deleted(g, x->c);
}

static void delete_pack(struct gc *g, struct gc_pack *k)
{
    struct err err = {0};
    const struct gc_place *x = NULL;
    uint64_t bytes = 0;
    if (!is_unwanted(g, k) || !give_up(g, k))
        return;
    if (depot_drop_pack(g->depot, k->key, &bytes, &err) < 0) {
        gc_problem(g, err.text);
        return;
    }
    g->objects++;
    g->bytes += (int64_t)bytes;
    LL_FOREACH2(k->places, x, next_in_pack)
    forget(g, x);
}

/* ---- all ---- */

void gc_delete_all(struct gc *g)
{
    struct gc_candidate *c = NULL;
    struct gc_pack *k = NULL;
    int64_t done = 0;
    for (c = g->candidates; c != NULL && !engine_stopping(g->e); c = c->hh.next) {
        if (!c->own)
            continue;
        delete_one(g, c);
        if (++done % GC_PAGE == 0)
            gc_tell(g, "delete", done);
    }
    for (k = g->packs; k != NULL && !engine_stopping(g->e); k = k->hh.next) {
        if (!k->dead)
            continue;
        delete_pack(g, k);
        done += (int64_t)k->members;
        gc_tell(g, "delete", done);
    }
    log_info("store %s: gc deleted %lld archives, %lld objects, %lld bytes", g->s->lib->name,
             (long long)g->deleted, (long long)g->objects, (long long)g->bytes);
}
