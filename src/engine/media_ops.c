/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/depot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- tapes ---- */

static const char *status_of(const char *state)
{
    static const struct {
        const char *state, *status;
    } rows[] = {{VOL_APPENDABLE, "ok"},     {VOL_FULL, "ok"},
                {VOL_DATA_FULL, "ok"},      {VOL_RECALL_ONLY, "ok"},
                {VOL_UNASSIGNED, "info"},   {VOL_UNFORMATTED, "info"},
                {VOL_MISMATCH, "error"},    {VOL_NEED_REPLACE, "error"},
                {VOL_REQ_REPLACE, "error"}, {VOL_INACCESSIBLE, "error"},
                {"missing", "error"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (strcmp(rows[i].state, state) == 0)
            return rows[i].status;
    }
    return "error";
}

/* "L8" of the barcode. */
static const char *media_of(const char *barcode)
{
    size_t n = strlen(barcode);
    return n > 2 ? barcode + n - 2 : "";
}

static int64_t available(const struct volume *v)
{
    if (!volume_appendable(v))
        return 0;
    int64_t left = v->row.capacity - v->row.capacity / LTFS_RESERVE_PART - v->row.used;
    if (v->remaining >= 0) /* mounted since the start */
        left = v->remaining;
    return left > 0 ? left : 0;
}

static void add_location(const struct volume *v, cJSON *j)
{
    static const char *const types[] = {"homeslot", "ieslot", "drive"};
    const char *type = v->present ? types[v->where] : "";
    auto_free char *address = xasprintf("%u", v->address);
    json_add_str(j, "location_type", type);
    json_add_str(j, "location", !v->present ? "" : v->drive != NULL ? v->drive->serial : type);
    json_add_str(j, "address", v->present ? address : "");
    json_add_str(j, "drive", v->drive != NULL ? v->drive->serial : "");
    json_add_int(j, "task_id", v->drive != NULL && v->reserved ? v->drive->task_id : 0);
}

/* engine.lock held. */
static cJSON *tape_json(const struct volume *v)
{
    static const struct uuid none;
    char uuid[UUID_TEXT] = "";
    const char *state = volume_shown_state(v);
    cJSON *j = cJSON_CreateObject();
    if (memcmp(&v->row.uuid, &none, sizeof(none)) != 0)
        uuid_format(&v->row.uuid, uuid);
    json_add_str(j, "barcode", v->row.barcode);
    json_add_str(j, "library", v->row.library);
    json_add_str(j, "pool", v->row.pool);
    json_add_str(j, "state", state);
    json_add_str(j, "status", status_of(state));
    json_add_str(j, "media_type", media_of(v->row.barcode));
    json_add_int(j, "capacity", v->row.capacity);
    json_add_int(j, "used", v->row.used);
    json_add_int(j, "available", available(v));
    json_add_int(j, "reclaimable", v->row.garbage);
    (void)cJSON_AddBoolToObject(j, "appendable", volume_appendable(v));
    add_location(v, j);
    json_add_str(j, "uuid", uuid);
    json_add_int(j, "generation", v->row.generation);
    json_add_int(j, "files", v->row.files);
    json_add_str(j, "problem", v->row.problem);
    return j;
}

static bool fits(const char *want, const char *is)
{
    return want == NULL || *want == '\0' || strcmp(want, is) == 0;
}

int check_library(struct engine *e, const char *library, struct err *err)
{
    if (library == NULL || *library == '\0' || library_find(e, library) != NULL)
        return 0;
    return err_set(err, -ENOENT, "there is no library \"%s\"; firn library list shows them",
                   library);
}

int engine_op_tape_list(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    const char *library = json_str(call->args, "library", NULL);
    const char *pool = json_str(call->args, "pool", NULL);
    int rc = check_library(e, library, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "tapes");
    volumes_refresh(e);
    lock_scope(&e->lock);
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct volume *v = NULL;
        if (e->libs[i].store != NULL)
            continue;
        LL_FOREACH (e->libs[i].volumes, v) {
            if (fits(library, v->row.library) && fits(pool, v->row.pool))
                (void)cJSON_AddItemToArray(a, tape_json(v));
        }
    }
    return op_result(j, result);
}

int engine_op_tape_show(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    const char *barcode = NULL;
    struct catalog_copy_sums sums = {0};
    auto_json cJSON *j = NULL;
    int64_t id = 0;
    int rc = json_need_str(call->args, "barcode", &barcode, err);
    if (rc < 0)
        return rc;
    volumes_refresh(e);
    {
        lock_scope(&e->lock);
        const struct volume *v =
            volume_find_locked(e, barcode, json_str(call->args, "library", NULL));
        if (v == NULL)
            return err_set(err, -ENOENT, "there is no tape \"%s\"; firn tape list shows them",
                           barcode);
        j = tape_json(v);
        id = v->row.id;
    }
    rc = catalog_copy_sum(e->cat, id, &sums, err);
    if (rc < 0)
        return rc;
    auto_free char *index = xasprintf("%s/indexes/%s.xml", e->conf->state_dir, barcode);
    (void)cJSON_AddBoolToObject(j, "formatted", json_str(j, "uuid", "")[0] != '\0');
    json_add_str(j, "last_index", access(index, R_OK) == 0 ? index : "");
    json_add_int(j, "copies", sums.copies[CATALOG_COPY_VALID]);
    json_add_int(j, "garbage_bytes", sums.bytes[CATALOG_COPY_GARBAGE]);
    return op_result(take_ptr(j), result);
}

/* ---- drives ---- */

static const char *drive_state(const struct edrive *d)
{
    static const char *const works[] = {"", "mounting", "unmounting", "in_use", "in_use", "in_use"};
    if (!d->row.enabled)
        return "unassigned";
    if (d->failures > 0)
        return "check_tape_drive";
    if (d->work != DRIVE_IDLE)
        return works[d->work];
    return d->volume != NULL ? "mounted" : "not_mounted";
}

/* engine.lock held. */
static cJSON *drive_json(const struct edrive *d)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "id", d->serial);
    json_add_str(j, "serial", d->serial);
    json_add_str(j, "status", !d->row.enabled ? "info" : d->failures > 0 ? "error" : "ok");
    json_add_str(j, "state", drive_state(d));
    json_add_str(j, "type", d->product);
    json_add_str(j, "role", d->row.role);
    json_add_str(j, "library", d->lib->name);
    json_add_int(j, "address", d->address);
    json_add_str(j, "barcode", d->volume != NULL ? d->volume->row.barcode : "");
    json_add_int(j, "task_id", d->task_id);
    json_add_str(j, "node", "1");
    return j;
}

int engine_op_drive_list(struct engine *e, const struct engine_call *call, cJSON **result,
                         struct err *err)
{
    const char *library = json_str(call->args, "library", NULL);
    int rc = check_library(e, library, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "drives");
    lock_scope(&e->lock);
    for (size_t i = 0; i < e->nlibs; i++) {
        const struct edrive *d = NULL;
        LL_FOREACH (e->libs[i].drives, d) {
            if (fits(library, e->libs[i].name))
                (void)cJSON_AddItemToArray(a, drive_json(d));
        }
    }
    return op_result(j, result);
}

static struct edrive *find_drive_locked(struct engine *e, const char *serial)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct edrive *d = NULL;
        LL_FOREACH (e->libs[i].drives, d) {
            if (strcmp(d->serial, serial) == 0)
                return d;
        }
    }
    return NULL;
}

static int no_drive(const char *serial, struct err *err)
{
    return err_set(err, -ENOENT, "there is no drive \"%s\"; firn drive list shows them", serial);
}

int engine_op_drive_show(struct engine *e, const struct engine_call *call, cJSON **result,
                         struct err *err)
{
    const char *serial = NULL;
    int rc = json_need_str(call->args, "serial", &serial, err);
    if (rc < 0)
        return rc;
    lock_scope(&e->lock);
    const struct edrive *d = find_drive_locked(e, serial);
    if (d == NULL)
        return no_drive(serial, err);
    cJSON *j = drive_json(d);
    json_add_int(j, "mounts", d->row.mounts);
    json_add_int(j, "bytes_read", d->row.bytes_read);
    json_add_int(j, "bytes_written", d->row.bytes_written);
    json_add_str(j, "problem", d->problem);
    return op_result(j, result);
}

/* Changes role and use of a drive; its thread puts a cartridge away when it is out of use. */
static int set_drive(struct engine *e, const char *serial, bool enabled, const char *role,
                     struct err *err)
{
    struct catalog_drive row;
    {
        lock_scope(&e->lock);
        struct edrive *d = find_drive_locked(e, serial);
        if (d == NULL)
            return no_drive(serial, err);
        if (role != NULL)
            (void)snprintf(d->row.role, sizeof(d->row.role), "%s", role);
        d->row.enabled = enabled;
        row = d->row;
        engine_wake_locked(e);
    }
    return catalog_drive_put(e->cat, &row, 0, err);
}

int engine_op_drive_assign(struct engine *e, const struct engine_call *call, cJSON **result,
                           struct err *err)
{
    const char *serial = NULL;
    const char *role = json_str(call->args, "role", NULL);
    int rc = json_need_str(call->args, "serial", &serial, err);
    if (rc < 0)
        return rc;
    if (role != NULL && (*role == '\0' || strspn(role, "mrg") != strlen(role) || strlen(role) > 3))
        return err_set(err, -EINVAL,
                       "role \"%s\" is not made of m (migrate), r (recall), g (generic)", role);
    rc = set_drive(e, serial, true, role, err);
    return rc < 0 ? rc : op_result(cJSON_CreateObject(), result);
}

int engine_op_drive_unassign(struct engine *e, const struct engine_call *call, cJSON **result,
                             struct err *err)
{
    const char *serial = NULL;
    int rc = json_need_str(call->args, "serial", &serial, err);
    if (rc == 0)
        rc = set_drive(e, serial, false, NULL, err);
    return rc < 0 ? rc : op_result(cJSON_CreateObject(), result);
}

/* ---- pools ---- */

/* engine.lock held. */
static cJSON *pool_json(const struct pool *p)
{
    char id[UUID_TEXT];
    const struct volume *v = NULL;
    const struct volume *one = NULL;
    int64_t sums[4] = {0};
    int tapes = 0;
    cJSON *j = cJSON_CreateObject();
    LL_FOREACH (p->lib->volumes, v) {
        if (strcmp(v->row.pool, p->name) != 0)
            continue;
        tapes += p->lib->store == NULL ? 1 : 0;
        one = v;
        sums[0] += v->row.capacity;
        sums[1] += v->row.used;
        sums[2] += available(v);
        sums[3] += v->row.garbage;
    }
    uuid_format(&p->id, id);
    json_add_str(j, "id", id);
    json_add_str(j, "name", p->name);
    json_add_str(j, "library", p->lib->name);
    json_add_int(j, "tapes", tapes);
    json_add_int(j, "capacity", sums[0]);
    json_add_int(j, "used", sums[1]);
    json_add_int(j, "available", sums[2]);
    json_add_int(j, "reclaimable", sums[3]);
    if (p->lib->store != NULL)
        json_add_str(j, "type", depot_kind(p->lib->store->conf));
    else
        json_add_str(j, "type", one != NULL && *media_of(one->row.barcode) != 'J' ? "LTO" : "-");
    json_add_int(j, "mount_limit", 0);
    json_add_str(j, "mode", "normal");
    return j;
}

int engine_op_pool_list(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    const char *library = json_str(call->args, "library", NULL);
    int rc = check_library(e, library, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "pools");
    volumes_refresh(e);
    lock_scope(&e->lock);
    const struct pool *p = NULL;
    LL_FOREACH (e->pools, p) {
        if (!p->deleted && fits(library, p->lib->name))
            (void)cJSON_AddItemToArray(a, pool_json(p));
    }
    return op_result(j, result);
}

/* The pool that members name and library name. */
static int pool_arg(struct engine *e, const struct engine_call *call, struct pool **p,
                    struct err *err)
{
    const char *name = NULL;
    const char *library = json_str(call->args, "library", NULL);
    int rc = json_need_str(call->args, "name", &name, err);
    if (rc < 0)
        return rc;
    auto_free char *text = library != NULL && *library != '\0' && strchr(name, '@') == NULL
                               ? xasprintf("%s@%s", name, library)
                               : xstrdup(name);
    return pool_resolve(e, text, p, err);
}

int engine_op_pool_show(struct engine *e, const struct engine_call *call, cJSON **result,
                        struct err *err)
{
    struct pool *p = NULL;
    int rc = pool_arg(e, call, &p, err);
    if (rc < 0)
        return rc;
    volumes_refresh(e);
    lock_scope(&e->lock);
    cJSON *j = pool_json(p);
    cJSON *a = cJSON_AddArrayToObject(j, "volumes");
    const struct volume *v = NULL;
    LL_FOREACH (p->lib->volumes, v) {
        if (strcmp(v->row.pool, p->name) == 0)
            (void)cJSON_AddItemToArray(a, tape_json(v));
    }
    return op_result(j, result);
}

static bool name_is_good(const char *s)
{
    size_t n = strlen(s);
    return n > 0 && n < CATALOG_NAME_MAX && *s != '-' &&
           strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") == n;
}

/* A store is one pool. */
static int refuse_second_pool(struct engine *e, const struct library *lib, struct err *err)
{
    lock_scope(&e->lock);
    if (lib->store == NULL || lib->volumes->row.pool[0] == '\0')
        return 0;
    return err_set(err, -EEXIST, "a store is one pool, and store %s is pool %s already", lib->name,
                   lib->volumes->row.pool);
}

/* The store of p holds no copy any more: it leaves the pool, which may go then. */
static int leave_pool(struct engine *e, const struct pool *p, struct err *err)
{
    struct catalog_copy_sums sums = {0};
    struct volume *v = p->lib->volumes;
    if (p->lib->store == NULL)
        return 0;
    int rc = catalog_copy_sum(e->cat, v->row.id, &sums, err);
    if (rc < 0)
        return rc;
    int64_t n = sums.copies[CATALOG_COPY_VALID] + sums.copies[CATALOG_COPY_GARBAGE];
    if (n > 0)
        return err_set(err, -ENOTEMPTY,
                       "pool %s@%s holds %lld copies (firn tier gc removes those "
                       "that nobody needs)",
                       p->name, p->lib->name, (long long)n);
    {
        lock_scope(&e->lock);
        v->row.pool[0] = '\0';
    }
    volume_set_state(e, v, VOL_UNASSIGNED, "");
    return 0;
}

int engine_op_pool_create(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    const char *name = NULL;
    const char *library = json_str(call->args, "library", NULL);
    struct catalog_pool p = {0};
    int rc = json_need_str(call->args, "name", &name, err);
    if (rc == 0)
        rc = check_library(e, library, err);
    if (rc < 0)
        return rc;
    if ((library == NULL || *library == '\0') && e->nlibs != 1)
        return err_set(err, -EINVAL,
                       "there are %zu libraries and stores: say which one (-l LIBRARY)", e->nlibs);
    if (!name_is_good(name))
        return err_set(err, -EINVAL,
                       "pool name \"%s\": letters, digits, '_', '-' and '.', at most %d", name,
                       CATALOG_NAME_MAX - 1);
    if (library == NULL || *library == '\0')
        library = e->libs[0].conf->name;
    rc = refuse_second_pool(e, library_find(e, library), err);
    if (rc < 0)
        return rc;
    (void)snprintf(p.name, sizeof(p.name), "%s", name);
    (void)snprintf(p.library, sizeof(p.library), "%s", library);
    rc = catalog_pool_add(e->cat, &p, err);
    if (rc == -EEXIST)
        return err_set(err, rc, "pool %s@%s is there already", name, library);
    if (rc == 0)
        rc = pools_load(e, err);
    return rc < 0 ? rc : op_result(cJSON_CreateObject(), result);
}

int engine_op_pool_delete(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    struct pool *p = NULL;
    int rc = pool_arg(e, call, &p, err);
    if (rc < 0)
        return rc;
    {
        lock_scope(&e->lock);
        if (p->queue != NULL)
            return err_set(err, -EBUSY, "pool %s@%s: files are being migrated to it", p->name,
                           p->lib->name);
    }
    rc = leave_pool(e, p, err);
    if (rc == 0)
        rc = catalog_pool_delete(e->cat, p->lib->name, p->name, err);
    if (rc == -ENOTEMPTY)
        return err_set(err, rc, "pool %s@%s has tapes; firn tape unassign takes them out", p->name,
                       p->lib->name);
    if (rc < 0)
        return rc;
    lock_scope(&e->lock);
    p->deleted = true;
    return op_result(cJSON_CreateObject(), result);
}

/* ---- libraries ---- */

int engine_op_library_list(struct engine *e, const struct engine_call *call, cJSON **result,
                           struct err *err)
{
    (void)call, (void)err;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "libraries");
    lock_scope(&e->lock);
    for (size_t i = 0; i < e->nlibs; i++) {
        if (e->libs[i].store == NULL)
            (void)cJSON_AddItemToArray(a, library_json(&e->libs[i]));
    }
    return op_result(j, result);
}

cJSON *library_json(const struct library *lib)
{
    const struct edrive *d = NULL;
    const struct volume *v = NULL;
    int drives = 0;
    int volumes = 0;
    cJSON *j = cJSON_CreateObject();
    LL_FOREACH (lib->drives, d)
        drives++;
    LL_FOREACH (lib->volumes, v)
        volumes++;
    json_add_str(j, "name", lib->name);
    json_add_str(j, "kind", lib->conf->kind);
    json_add_str(j, "path", lib->conf->path);
    json_add_int(j, "slots", (int64_t)lib->slots);
    json_add_int(j, "drives", drives);
    json_add_int(j, "volumes", volumes);
    if (lib->clock != NULL)
        (void)cJSON_AddNumberToObject(j, "simulated_seconds",
                                      (double)clock_now_ns(lib->clock) / NS_PER_SEC);
    json_add_str(j, "problem", lib->problem);
    return j;
}

/* A tape that could not be mounted gets another chance: somebody may have put it right. */
static void forgive(struct engine *e, struct library *lib)
{
    struct volume *v = NULL;
    LL_FOREACH (lib->volumes, v) {
        v->trouble[0] = '\0';
        if (strcmp(v->row.state, VOL_INACCESSIBLE) == 0)
            volume_set_state(e, v, v->row.pool[0] != '\0' ? VOL_APPENDABLE : VOL_UNASSIGNED, "");
    }
}

int engine_op_library_rescan(struct engine *e, const struct engine_call *call, cJSON **result,
                             struct err *err)
{
    const char *library = json_str(call->args, "library", NULL);
    int found = 0;
    int missing = 0;
    int rc = check_library(e, library, err);
    for (size_t i = 0; rc == 0 && i < e->nlibs; i++) {
        int f = 0;
        int m = 0;
        if (!fits(library, e->libs[i].name))
            continue;
        rc = library_scan(e, &e->libs[i], &f, &m, err);
        forgive(e, &e->libs[i]);
        found += f;
        missing += m;
    }
    if (rc == 0)
        rc = drives_start(e, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "found", found);
    json_add_int(j, "missing", missing);
    return op_result(j, result);
}
