/* SPDX-License-Identifier: Apache-2.0 */
/* The places that keep copies, as commands show them: libraries and stores. */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "engine/depot.h"

#include <errno.h>
#include <string.h>

/* What the catalogue counts on all volumes of lib, by enum catalog_copy_state. */
static int sum_copies(struct engine *e, const struct library *lib, struct catalog_copy_sums *out,
                      struct err *err)
{
    struct catalog_volumes l = {0};
    *out = (struct catalog_copy_sums){0};
    int rc = catalog_volume_list(e->cat, lib->name, NULL, &l, err);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        struct catalog_copy_sums one = {0};
        rc = catalog_copy_sum(e->cat, l.v[i].id, &one, err);
        for (int k = 0; k < 3; k++) {
            out->copies[k] += one.copies[k];
            out->bytes[k] += one.bytes[k];
        }
    }
    catalog_volumes_fini(&l);
    return rc;
}

static void add_pools(struct engine *e, const struct library *lib, cJSON *j)
{
    const struct pool *p = NULL;
    cJSON *a = cJSON_AddArrayToObject(j, "pools");
    LL_FOREACH (e->pools, p) {
        if (!p->deleted && p->lib == lib)
            (void)cJSON_AddItemToArray(a, cJSON_CreateString(p->name));
    }
}

/* engine.lock held. */
static void add_library(const struct library *lib, cJSON *j)
{
    json_add_str(j, "name", lib->name);
    json_add_str(j, "kind", lib->store != NULL ? depot_kind(lib->store->conf) : "tape");
    json_add_str(j, "endpoint", lib->store != NULL ? lib->store->conf->endpoint : lib->conf->path);
    if (lib->store != NULL)
        json_add_str(j, "state", store_state(lib->store));
    else
        json_add_str(j, "state", lib->problem[0] == '\0' ? "up" : "down");
    if (lib->store != NULL && lib->problem[0] == '\0')
        json_add_str(j, "problem", lib->store->full);
    else
        json_add_str(j, "problem", lib->problem);
}

static void add_figures(struct depot *depot, cJSON *j)
{
    struct depot_figures f = {0};
    if (depot != NULL)
        depot_figures(depot, &f);
    cJSON *m = cJSON_AddObjectToObject(j, "memory");
    json_add_int(m, "used", (int64_t)f.memory_used);
    json_add_int(m, "peak", (int64_t)f.memory_peak);
    json_add_int(m, "bound", (int64_t)f.memory_bound);
    json_add_int(j, "requests", (int64_t)f.requests);
    json_add_int(j, "retries", (int64_t)f.retries);
    json_add_int(j, "failures", (int64_t)f.failures);
}

/* One tier as op tier.list shows it into *out; *sums (may be NULL) gets all that was counted. */
static int tier_json(struct engine *e, const struct library *lib, struct catalog_copy_sums *sums,
                     cJSON **out, struct err *err)
{
    struct catalog_copy_sums s;
    struct depot *depot = NULL;
    int rc = sum_copies(e, lib, &s, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    {
        lock_scope(&e->lock);
        add_library(lib, j);
        add_pools(e, lib, j);
        depot = lib->store != NULL ? lib->store->depot : NULL;
    }
    json_add_int(j, "copies", s.copies[CATALOG_COPY_VALID]);
    json_add_int(j, "bytes", s.bytes[CATALOG_COPY_VALID]);
    add_figures(depot, j);
    if (sums != NULL)
        *sums = s;
    *out = j;
    return 0;
}

int engine_op_tier_list(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    (void)call;
    auto_json cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "tiers");
    for (size_t i = 0; i < e->nlibs; i++) {
        cJSON *one = NULL;
        int rc = tier_json(e, &e->libs[i], NULL, &one, err);
        if (rc < 0)
            return rc;
        (void)cJSON_AddItemToArray(a, one);
    }
    return op_result(take_ptr(j), result);
}

/* engine.lock held. */
static void add_store(const struct estore *s, cJSON *j)
{
    static const char *const works[] = {"idle", "probing", "copying", "copying", "recalling"};
    int64_t n[5] = {0};
    cJSON *o = cJSON_AddObjectToObject(j, "lanes");
    for (size_t i = 0; i < s->nlanes; i++)
        n[s->lanes[i].work]++;
    n[LANE_COPYING] += n[LANE_SETTLING];
    json_add_int(o, "count", (int64_t)s->nlanes);
    for (int i = 0; i < 5; i++) {
        if (i != LANE_SETTLING)
            json_add_int(o, works[i], n[i]);
    }
    json_add_int(j, "recalls_waiting", (int64_t)s->volume->queued);
    json_add_str(j, "region", s->conf->region);
    json_add_str(j, "bucket_prefix", s->conf->bucket_prefix);
    json_add_int(j, "bucket_count", s->conf->bucket_count);
    json_add_str(j, "key_prefix", s->conf->key_prefix);
    json_add_int(j, "chunk_size", s->conf->chunk_size);
    json_add_int(j, "pack_size", s->conf->pack_size);
    json_add_str(j, "compression", s->conf->compression);
    (void)cJSON_AddBoolToObject(j, "encrypted", s->conf->key_file[0] != '\0');
}

int engine_op_tier_show(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    const char *name = NULL;
    struct catalog_copy_sums sums;
    cJSON *j = NULL;
    int rc = json_need_str(call->args, "name", &name, err);
    if (rc < 0)
        return rc;
    const struct library *lib = library_find(e, name);
    if (lib == NULL)
        return err_set(err, -ENOENT, "there is no tier \"%s\"; firn tier list shows them", name);
    rc = tier_json(e, lib, &sums, &j, err);
    if (rc < 0)
        return rc;
    json_add_int(j, "garbage_copies", sums.copies[CATALOG_COPY_GARBAGE]);
    json_add_int(j, "garbage_bytes", sums.bytes[CATALOG_COPY_GARBAGE]);
    json_add_int(j, "lost_copies", sums.copies[CATALOG_COPY_LOST]);
    if (lib->store != NULL) {
        lock_scope(&e->lock);
        add_store(lib->store, j);
    }
    return op_result(j, result);
}

int store_need(struct engine *e, const struct engine_call *call, const char *instead,
               struct estore **out, struct depot **depot, struct err *err)
{
    const char *name = NULL;
    int rc = json_need_str(call->args, "name", &name, err);
    if (rc < 0)
        return rc;
    const struct library *lib = library_find(e, name);
    if (lib == NULL)
        return err_set(err, -ENOENT, "there is no tier \"%s\"; firn tier list shows them", name);
    if (lib->store == NULL)
        return err_set(err, -EINVAL, "%s is a tape library: %s", name, instead);
    lock_scope(&e->lock);
    if (!lib->store->up)
        return err_set(err, -ENODEV, "store %s is down: %s", name,
                       lib->problem[0] != '\0' ? lib->problem : "it was not looked at yet");
    *out = lib->store;
    *depot = lib->store->depot;
    return 0;
}
