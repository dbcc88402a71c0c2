/* SPDX-License-Identifier: Apache-2.0 */
/* Rebuilds the catalogue from what files, tapes and stores say of themselves. Nothing is taken out
 * of it: files whose records are read become archives, entries of the tapes' indexes and copies in
 * the stores become copies. */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/depot.h"
#include "scan/scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBLEMS_MAX 1000

struct rebuild {
    struct engine *e;
    const struct engine_call *call;
    bool dry;
    struct efs *fs; /* being scanned */
    pthread_mutex_t lock;
    int64_t files, copies, volumes;
    cJSON *problems;
};

static void problem(struct rebuild *r, const char *text)
{
    lock_scope(&r->lock);
    if (cJSON_GetArraySize(r->problems) < PROBLEMS_MAX)
        (void)cJSON_AddItemToArray(r->problems, cJSON_CreateString(text));
}

static void tell(struct rebuild *r, const char *stage, const char *what)
{
    if (r->call->event == NULL)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "stage", stage);
    json_add_str(j, "name", what);
    json_add_int(j, "files", r->files);
    json_add_int(j, "copies", r->copies);
    r->call->event(r->call->event_arg, j);
}

/* ---- files ---- */

/* The copies of archive that nobody seemed to want have a file. */
static int revive(struct engine *e, const struct uuid *archive, const char *rel, struct err *err)
{
    struct catalog_copies l = {0};
    int rc = catalog_copy_of(e->cat, archive, 1, &l, err);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        if (l.v[i].state == CATALOG_COPY_GARBAGE)
            copies_set_state(e, archive, l.v[i].copy_no, CATALOG_COPY_VALID, rel);
    }
    catalog_copies_fini(&l);
    return rc;
}

/* Tells the catalogue of a's file. What it knows from a copy alone, as of a file that an earlier
 * rebuild could not see, gets its file now. */
static int know(struct engine *e, struct catalog_archive *a, struct err *err)
{
    struct catalog_archives l = {0};
    int rc = catalog_archive_get(e->cat, &a->archive, &l, err);
    bool known = rc == 0;
    bool nameless = known && l.v[0].handle_len == 0;
    if (known) {
        a->digest_alg = l.v[0].digest_alg;
        a->digest_len = l.v[0].digest_len;
        memcpy(a->digest, l.v[0].digest, sizeof(a->digest));
        a->created_ns = l.v[0].created_ns;
    }
    catalog_archives_fini(&l);
    if (rc < 0 || (known && !nameless))
        return rc;
    rc = catalog_archive_add(e->cat, a, 1, NULL, 0, err);
    return rc == 0 && nameless ? revive(e, &a->archive, a->path, err) : rc;
}

static int take_file(struct rebuild *r, const char *rel, const struct file_info *info,
                     struct err *err)
{
    struct catalog_archive a = {.archive = info->record.archive,
                                .fs = info->id.fs,
                                .ino = info->id.ino,
                                .gen = info->id.gen,
                                .handle_len = info->id.handle_len,
                                .size = info->record.size,
                                .mtime_ns = info->record.mtime_ns,
                                .path = rel,
                                .digest_alg = -1};
    memcpy(a.handle, info->id.handle, info->id.handle_len);
    {
        lock_scope(&r->lock);
        r->files++;
    }
    return r->dry ? 0 : know(r->e, &a, err);
}

static int on_entry(void *ctx, unsigned worker, struct scan_entry *x)
{
    struct rebuild *r = ctx;
    struct file_info info;
    struct err err = {0};
    char record[FILE_RECORD_BYTES * 2];
    (void)worker;
    if (x->d_type != DT_REG || scan_entry_xattr(x, FILE_XATTR_RECORD, record, sizeof(record)) <= 0)
        return SCAN_GO_ON;
    const char *rel = fs_relative(r->fs->fs, scan_entry_path(x, NULL));
    int rc = rel == NULL ? -EXDEV : file_inspect_path(r->fs->fs, rel, &info, &err);
    if (rc != 0 || info.note == FILE_NOTE_COPIED)
        return rc < 0 ? rc : SCAN_GO_ON;
    if (info.note == FILE_NOTE_DAMAGED) {
        auto_free char *text =
            xasprintf("%s/%s: its state record is damaged", r->fs->conf->path, rel);
        problem(r, text);
        return SCAN_GO_ON;
    }
    rc = take_file(r, rel, &info, &err);
    return rc < 0 ? rc : SCAN_GO_ON;
}

static void on_error(void *ctx, unsigned worker, const char *path, int code, const char *what)
{
    auto_free char *text = xasprintf("%s: %s: %s", path, what, strerror(-code));
    (void)worker;
    problem(ctx, text);
}

static int scan_fs(struct rebuild *r, struct efs *fs, struct err *err)
{
    static const char *const none[] = {NULL};
    struct scan_config cfg = {.root = fs->conf->path, .hidden = none, .n_hidden = 0};
    struct scan_ops ops = {.entry = on_entry, .error = on_error};
    struct scan *s = NULL;
    r->fs = fs;
    tell(r, "scan", fs->conf->name);
    int rc = scan_new(&cfg, &ops, r, &s, err);
    if (rc == 0)
        rc = scan_run(s, err);
    scan_free(s);
    return rc;
}

/* ---- tapes ---- */

static int count_entry(void *arg, const struct tier_entry *x, struct err *err)
{
    struct rebuild *r = arg;
    (void)x, (void)err;
    r->copies++;
    return 0;
}

static int volume_run(struct edrive *d, void *arg, struct err *err)
{
    struct rebuild *r = arg;
    int rc = tier_list(d->tier, count_entry, r, err);
    if (rc < 0 || r->dry)
        return rc;
    adopt_pool(d);
    rc = reconcile_volume(d, err);
    return rc < 0 ? rc : mount_sync(d, err);
}

static struct volume *nth_volume(struct library *lib, size_t n)
{
    struct volume *v = NULL;
    LL_FOREACH (lib->volumes, v) {
        if (n-- == 0)
            return v;
    }
    return NULL;
}

static int read_tapes(struct rebuild *r, struct library *lib, struct err *err)
{
    for (size_t i = 0;; i++) {
        struct admin a = {.run = volume_run, .arg = r};
        {
            lock_scope(&r->e->lock);
            a.volume = nth_volume(lib, i);
        }
        if (a.volume == NULL)
            return 0;
        tell(r, "tape", a.volume->row.barcode);
        int rc = admin_run(r->e, &a, err);
        if (rc == -ESHUTDOWN)
            return rc;
        if (rc == 0)
            r->volumes++;
        else if (rc != -EMEDIUMTYPE || strcmp(a.volume->row.state, VOL_UNFORMATTED) != 0)
            problem(r, err->text);
    }
}

/* ---- stores ---- */

static void count_copy(void *arg)
{
    struct rebuild *r = arg;
    r->copies++;
}

static int list_store(struct rebuild *r, struct library *lib, struct err *err)
{
    auto_tier struct tier *t = NULL;
    struct reconciled found = {0};
    struct depot *depot = NULL;
    {
        lock_scope(&r->e->lock);
        depot = lib->store->depot;
        if (depot == NULL || !lib->store->up)
            return err_set(err, -ENODEV, "store %s is down: %s", lib->name, lib->problem);
    }
    int rc = depot_lane(depot, &t, err);
    if (rc == 0 && r->dry)
        rc = tier_list(t, count_entry, r, err);
    else if (rc == 0)
        rc = reconcile_store(r->e, lib->volumes, t, count_copy, r, &found, err);
    if (rc == 0 && found.found > 0)
        log_info("store %s: %lld copies taken up, %lld of them garbage", lib->name,
                 (long long)found.found, (long long)found.garbage);
    return rc;
}

/* A store that cannot be read is a problem that is told, as a tape would be. */
static int read_store(struct rebuild *r, struct library *lib, struct err *err)
{
    tell(r, "store", lib->name);
    int rc = list_store(r, lib, err);
    if (rc < 0)
        problem(r, err->text);
    r->volumes += rc == 0 ? 1 : 0;
    return rc == -ESHUTDOWN ? rc : 0;
}

int engine_op_rebuild(struct engine *e, const struct engine_call *call, cJSON **result,
                      struct err *err)
{
    auto_json cJSON *problems = cJSON_CreateArray();
    struct rebuild r = {
        .e = e, .call = call, .dry = json_bool(call->args, "dry_run", false), .problems = problems};
    int rc = 0;
    (void)pthread_mutex_init(&r.lock, NULL);
    for (size_t i = 0; rc == 0 && i < e->nfs; i++) {
        if (e->fs[i].fs != NULL)
            rc = scan_fs(&r, &e->fs[i], err);
    }
    for (size_t i = 0; rc == 0 && i < e->nlibs; i++)
        rc = e->libs[i].store != NULL ? read_store(&r, &e->libs[i], err)
                                      : read_tapes(&r, &e->libs[i], err);
    (void)pthread_mutex_destroy(&r.lock);
    if (rc < 0)
        return err_wrap(err, rc, "rebuild");
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "files", r.files);
    json_add_int(j, "copies", r.copies);
    json_add_int(j, "volumes", r.volumes);
    (void)cJSON_AddItemToObject(j, "problems", take_ptr(problems));
    return op_result(j, result);
}
