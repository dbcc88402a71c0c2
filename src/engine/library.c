/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROBOT_SECONDS 10.0

struct library *library_find(struct engine *e, const char *name)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        if (strcmp(e->libs[i].name, name) == 0)
            return &e->libs[i];
    }
    return NULL;
}

struct volume *volume_find_locked(struct engine *e, const char *barcode, const char *library)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct volume *v = NULL;
        if (e->libs[i].store != NULL ||
            (library != NULL && *library != '\0' && strcmp(e->libs[i].name, library) != 0))
            continue;
        LL_FOREACH (e->libs[i].volumes, v) {
            if (strcmp(v->row.barcode, barcode) == 0)
                return v;
        }
    }
    return NULL;
}

struct volume *volume_by_id_locked(struct engine *e, int64_t id)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct volume *v = NULL;
        LL_FOREACH (e->libs[i].volumes, v) {
            if (v->row.id == id)
                return v;
        }
    }
    return NULL;
}

static bool state_is(const struct volume *v, const char *state)
{
    return strcmp(v->row.state, state) == 0;
}

const char *volume_shown_state(const struct volume *v)
{
    if (v->lib->store != NULL && !v->lib->store->up)
        return "unreachable";
    return v->present ? v->row.state : "missing";
}

bool volume_readable(const struct volume *v)
{
    return v->present && !state_is(v, VOL_MISMATCH) && !state_is(v, VOL_INACCESSIBLE) &&
           !state_is(v, VOL_UNFORMATTED);
}

bool volume_appendable(const struct volume *v)
{
    return v->present && state_is(v, VOL_APPENDABLE) && v->row.pool[0] != '\0';
}

void volume_store(struct engine *e, struct volume *v)
{
    struct catalog_volume row;
    struct catalog_volume is;
    struct err err = {0};
    lock_scope(&e->media);
    bool counted = v->row.id != 0 && catalog_volume_by_id(e->cat, v->row.id, &is, NULL) == 0;
    {
        lock_scope(&e->lock);
        if (counted)
            v->row.garbage = is.garbage;
        row = v->row;
    }
    int rc = catalog_volume_put(e->cat, &row, &err);
    if (rc != 0)
        log_err("cartridge %s: %s", row.barcode, rc < 0 ? err.text : "its pool is gone");
    lock_scope(&e->lock);
    if (v->row.id == 0) /* from now on read by any thread, without a lock */
        v->row.id = row.id;
}

void copies_set_state(struct engine *e, const struct uuid *archive, int copy_no,
                      enum catalog_copy_state state, const char *what)
{
    struct err err = {0};
    lock_scope(&e->media);
    if (catalog_copy_set_state(e->cat, archive, 1, copy_no, state, &err) < 0)
        log_err("%s: %s", what, err.text);
}

void copies_set_states(struct engine *e, const struct uuid *archives, size_t n,
                       enum catalog_copy_state state, const char *what)
{
    struct err err = {0};
    lock_scope(&e->media);
    if (n > 0 && catalog_copy_set_state(e->cat, archives, n, 0, state, &err) < 0)
        log_err("%s and %zu more: %s", what, n - 1, err.text);
}

int copies_set_state_volume(struct engine *e, struct volume *v, enum catalog_copy_state state,
                            struct err *err)
{
    lock_scope(&e->media);
    return catalog_copy_set_state_volume(e->cat, v->row.id, state, err);
}

void volumes_refresh(struct engine *e)
{
    struct catalog_volumes l = {0};
    if (catalog_volume_list(e->cat, NULL, NULL, &l, NULL) == 0) {
        lock_scope(&e->lock);
        for (size_t i = 0; i < l.n; i++) {
            struct volume *v = volume_by_id_locked(e, l.v[i].id);
            if (v != NULL)
                v->row.garbage = l.v[i].garbage;
        }
    }
    catalog_volumes_fini(&l);
}

void volume_set_state(struct engine *e, struct volume *v, const char *state, const char *problem)
{
    {
        lock_scope(&e->lock);
        if (strcmp(v->row.state, state) != 0)
            log_info("%s %s: %s -> %s%s%s", v->lib->store != NULL ? "store" : "cartridge",
                     v->row.barcode, v->row.state, state,
                     problem != NULL && *problem != '\0' ? ": " : "",
                     problem != NULL ? problem : "");
        (void)snprintf(v->row.state, sizeof(v->row.state), "%s", state);
        if (problem != NULL)
            (void)snprintf(v->row.problem, sizeof(v->row.problem), "%.250s", problem);
    }
    volume_store(e, v);
}

static int by_barcode(struct volume *a, struct volume *b)
{
    return strcmp(a->row.barcode, b->row.barcode);
}

/* The volume of this barcode, made when it is new. */
static struct volume *need_volume(struct engine *e, struct library *lib, const char *barcode)
{
    struct volume *v = NULL;
    {
        lock_scope(&e->lock);
        v = volume_find_locked(e, barcode, lib->name);
    }
    if (v != NULL)
        return v;
    v = xzalloc(sizeof(*v));
    v->lib = lib;
    v->remaining = -1;
    if (catalog_volume_get(e->cat, lib->name, barcode, &v->row, NULL) != 0) {
        memset(&v->row, 0, sizeof(v->row));
        (void)snprintf(v->row.barcode, sizeof(v->row.barcode), "%s", barcode);
        (void)snprintf(v->row.library, sizeof(v->row.library), "%s", lib->name);
        (void)snprintf(v->row.state, sizeof(v->row.state), "%s", VOL_UNASSIGNED);
        volume_store(e, v);
    }
    lock_scope(&e->lock);
    LL_PREPEND(lib->volumes, v);
    LL_SORT(lib->volumes, by_barcode);
    return v;
}

static struct edrive *find_drive(struct library *lib, const char *serial)
{
    struct edrive *d = NULL;
    LL_FOREACH (lib->drives, d) {
        if (strcmp(d->serial, serial) == 0)
            return d;
    }
    return NULL;
}

static void read_drive_row(struct engine *e, struct edrive *d)
{
    struct catalog_drives l = {0};
    (void)snprintf(d->row.library, sizeof(d->row.library), "%s", d->lib->name);
    (void)snprintf(d->row.serial, sizeof(d->row.serial), "%.*s", CATALOG_NAME_MAX - 1, d->serial);
    (void)snprintf(d->row.role, sizeof(d->row.role), "mrg");
    d->row.enabled = true;
    if (catalog_drive_list(e->cat, d->lib->name, &l, NULL) == 0) {
        for (size_t i = 0; i < l.n; i++) {
            if (strcmp(l.v[i].serial, d->serial) == 0)
                d->row = l.v[i];
        }
    }
    catalog_drives_fini(&l);
}

/* Opens a drive that the inventory shows; its thread comes later. */
static int add_drive(struct engine *e, struct library *lib, const struct changer_element *el,
                     struct err *err)
{
    struct edrive *d = xzalloc(sizeof(*d));
    d->e = e;
    d->lib = lib;
    d->address = el->address;
    memcpy(d->serial, el->serial, sizeof(d->serial));
    memcpy(d->product, el->product, sizeof(d->product));
    int rc = changer_open_drive(lib->changer, el->address, &d->drive, err);
    if (rc == 0 && lib->clock != NULL) {
        struct drive *timed = NULL;
        rc = drive_timed_new(d->drive, lib->conf->cost_model, lib->clock, &timed, err);
        if (rc == 0)
            d->drive = timed;
    }
    if (rc != 0) {
        drive_close(d->drive);
        free(d);
        return rc < 0 ? rc : err_set(err, -EIO, "drive %s", el->serial);
    }
    read_drive_row(e, d);
    lock_scope(&e->lock);
    LL_APPEND(lib->drives, d);
    return 0;
}

static void place_volume(struct engine *e, struct library *lib, const struct changer_element *el)
{
    struct volume *v = need_volume(e, lib, el->barcode);
    struct edrive *d = el->kind == CHANGER_DRIVE ? find_drive(lib, el->serial) : NULL;
    lock_scope(&e->lock);
    if (!v->present)
        v->replan = true;
    v->present = true;
    v->address = el->address;
    v->where = el->kind;
    v->drive = d;
    if (d != NULL && d->volume == NULL)
        d->volume = v;
}

/* Cartridges that the catalogue knows but the library does not show. */
static int mark_missing(struct engine *e, struct library *lib, const struct changer_inventory *inv,
                        struct recall **dead)
{
    struct volume *v = NULL;
    int n = 0;
    lock_scope(&e->lock);
    LL_FOREACH (lib->volumes, v) {
        if (changer_find(inv, v->row.barcode) != NULL)
            continue;
        n++;
        if (v->reserved)
            continue; /* its drive finds out */
        if (v->drive != NULL && v->drive->volume == v && v->drive->ltfs == NULL)
            v->drive->volume = NULL;
        if (v->drive == NULL || v->drive->ltfs == NULL) {
            v->present = false;
            v->drive = NULL;
            recall_reroute_locked(e, v, dead);
        }
    }
    engine_wake_locked(e);
    return n;
}

static int load_known(struct engine *e, struct library *lib, struct err *err)
{
    struct catalog_volumes l = {0};
    int rc = catalog_volume_list(e->cat, lib->name, NULL, &l, err);
    for (size_t i = 0; rc == 0 && i < l.n; i++)
        (void)need_volume(e, lib, l.v[i].barcode);
    catalog_volumes_fini(&l);
    return rc;
}

int library_scan(struct engine *e, struct library *lib, int *found, int *missing, struct err *err)
{
    auto_inventory struct changer_inventory inv = {0};
    struct recall *dead = NULL;
    if (lib->store != NULL) {
        lock_scope(&e->lock);
        store_hurry_locked(lib->store);
        return 0;
    }
    if (lib->changer == NULL)
        return err_set(err, -ENODEV, "library %s: %s", lib->name, lib->problem);
    int n = 0;
    {
        lock_scope(&lib->robot);
        int rc = changer_inventory(lib->changer, &inv, err);
        if (rc < 0)
            return err_wrap(err, rc, "inventory of library %s", lib->name);
        lib->slots = 0;
        for (size_t i = 0; i < inv.count; i++) {
            const struct changer_element *el = &inv.elements[i];
            if (el->kind == CHANGER_SLOT)
                lib->slots++;
            if (el->kind == CHANGER_DRIVE && find_drive(lib, el->serial) == NULL &&
                add_drive(e, lib, el, err) < 0)
                log_warn("drive %s of library %s: %s", el->serial, lib->name, err->text);
            if (el->barcode[0] != '\0') {
                place_volume(e, lib, el);
                n++;
            }
        }
    }
    int gone = mark_missing(e, lib, &inv, &dead);
    recall_end_list(e, dead);
    if (found != NULL)
        *found = n;
    if (missing != NULL)
        *missing = gone;
    return 0;
}

static void open_library(struct engine *e, struct library *lib, const struct conf_library *conf)
{
    struct err err = {0};
    lib->conf = conf;
    (void)pthread_mutex_init(&lib->robot, NULL);
    int rc = load_known(e, lib, &err);
    if (rc == 0)
        rc = changer_dir_open(conf->path, 0, &lib->changer, &err);
    if (rc == 0 && conf->simulate_time && strcmp(conf->cost_model, "none") != 0) {
        lib->clock = clock_new_simulated();
        changer_set_clock(lib->changer, lib->clock, ROBOT_SECONDS);
    }
    if (rc == 0)
        rc = library_scan(e, lib, NULL, NULL, &err);
    if (rc != 0) {
        (void)snprintf(lib->problem, sizeof(lib->problem), "%.250s", err.text);
        log_err("library %s is not available: %s", conf->name, err.text);
    }
}

int library_open_all(struct engine *e, struct err *err)
{
    (void)err;
    size_t tapes = e->conf->library_count;
    e->nlibs = tapes + e->conf->store_count;
    e->libs = xzalloc((e->nlibs + 1) * sizeof(*e->libs));
    for (size_t i = 0; i < tapes; i++) /* looked for by name from here on */
        e->libs[i].name = e->conf->libraries[i].name;
    for (size_t i = tapes; i < e->nlibs; i++)
        store_open_conf(e, &e->libs[i], &e->conf->stores[i - tapes]);
    for (size_t i = 0; i < tapes; i++)
        open_library(e, &e->libs[i], &e->conf->libraries[i]);
    return 0;
}

/* ---- pools ---- */

struct pool *pool_find(struct engine *e, const char *name, const char *library)
{
    struct pool *p = NULL;
    lock_scope(&e->lock);
    LL_FOREACH (e->pools, p) {
        if (!p->deleted && strcmp(p->name, name) == 0 &&
            (library == NULL || *library == '\0' || strcmp(p->lib->name, library) == 0))
            return p;
    }
    return NULL;
}

static size_t pools_of_name(struct engine *e, const char *name)
{
    struct pool *p = NULL;
    size_t n = 0;
    lock_scope(&e->lock);
    LL_FOREACH (e->pools, p) {
        if (!p->deleted && strcmp(p->name, name) == 0)
            n++;
    }
    return n;
}

int pool_resolve(struct engine *e, const char *text, struct pool **out, struct err *err)
{
    const char *at = strchr(text, '@');
    auto_free char *name = xstrndup(text, at != NULL ? (size_t)(at - text) : strlen(text));
    const char *library = at != NULL ? at + 1 : NULL;
    if (library != NULL && library_find(e, library) == NULL)
        return err_set(err, -ENOENT, "pool %s: there is no library \"%s\"", text, library);
    if (library == NULL && pools_of_name(e, name) > 1)
        return err_set(err, -EINVAL, "pool %s is in several libraries: say %s@LIBRARY", name, name);
    struct pool *p = pool_find(e, name, library);
    if (p == NULL)
        return err_set(err, -ENOENT, "there is no pool \"%s\"; firn pool list shows them", text);
    *out = p;
    return 0;
}

int pools_load(struct engine *e, struct err *err)
{
    struct catalog_pools l = {0};
    int rc = catalog_pool_list(e->cat, NULL, &l, err);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        struct library *lib = library_find(e, l.v[i].library);
        if (lib == NULL || pool_find(e, l.v[i].name, l.v[i].library) != NULL)
            continue;
        if (lib->store != NULL && lib->volumes->row.pool[0] != '\0' &&
            strcmp(lib->volumes->row.pool, l.v[i].name) != 0) {
            log_err("pool %s@%s is not used: a store is one pool, and this one is pool %s",
                    l.v[i].name, lib->name, lib->volumes->row.pool);
            continue;
        }
        struct pool *p = xzalloc(sizeof(*p));
        memcpy(p->name, l.v[i].name, sizeof(p->name));
        p->id = l.v[i].id;
        p->lib = lib;
        lock_scope(&e->lock);
        LL_APPEND(e->pools, p);
    }
    catalog_pools_fini(&l);
    stores_take_pools(e);
    return rc;
}

/* ---- end ---- */

static void free_library(struct library *lib)
{
    struct edrive *d = NULL;
    struct edrive *dt = NULL;
    LL_FOREACH_SAFE(lib->drives, d, dt)
    {
        drive_close(d->drive);
        free(d);
    }
    store_free(lib->store);
    struct volume *v = NULL;
    struct volume *vt = NULL;
    LL_FOREACH_SAFE(lib->volumes, v, vt)
    free(v);
    changer_close(lib->changer);
    clock_free(lib->clock);
    (void)pthread_mutex_destroy(&lib->robot);
}

/* Work that no drive will do any more goes back: its jobs are taken up at the next start. */
static void drop_queues(struct engine *e)
{
    struct pool *p = NULL;
    LL_FOREACH (e->pools, p) {
        struct copy_work *w = NULL;
        struct copy_work *tmp = NULL;
        DL_FOREACH_SAFE(p->queue, w, tmp)
        {
            DL_DELETE(p->queue, w);
            copy_over(w);
        }
    }
}

void library_close_all(struct engine *e)
{
    for (size_t i = 0; i < e->nlibs; i++) {
        struct edrive *d = NULL;
        if (e->libs[i].store != NULL)
            store_stop(e->libs[i].store);
        LL_FOREACH (e->libs[i].drives, d) {
            if (d->thread_runs)
                (void)pthread_join(d->thread, NULL);
        }
    }
    drop_queues(e);
}

void library_free_all(struct engine *e)
{
    for (size_t i = 0; i < e->nlibs; i++)
        free_library(&e->libs[i]);
    free(e->libs);
    struct pool *p = NULL;
    struct pool *tmp = NULL;
    LL_FOREACH_SAFE(e->pools, p, tmp)
    free(p);
}
