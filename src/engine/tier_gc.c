/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tier gc: what lies in a store and is nobody's. Something is garbage only by proof: it is old
 * enough; it was put by a file system that is managed here (by name, and by UUID where the copy
 * says one); the catalogue calls it garbage or lost, or does not know it, or, when that is asked
 * for, its file is gone or has other data; no batch in memory is putting it; and no file's record
 * names its archive, for which all records of all file systems are read. Copies in packs are proven
 * one by one; a pack is garbage when all of them are. Deleting is tier_gc_delete.c.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/tier_gc_impl.h"
#include "scan/scan.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHOWN_MAX    1000
#define MIN_AGE_S    86400
#define PROBLEMS_MAX 100

static const char *const reasons[] = {"garbage in the catalogue", "given up in the catalogue",
                                      "unknown to the catalogue", "incomplete",
                                      "its file is gone or has newer data"};

void gc_problem(struct gc *g, const char *text)
{
    lock_scope(&g->lock);
    if (cJSON_GetArraySize(g->problems) < PROBLEMS_MAX)
        (void)cJSON_AddItemToArray(g->problems, cJSON_CreateString(text));
}

void gc_tell(struct gc *g, const char *stage, int64_t done)
{
    if (g->call->event == NULL)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "stage", stage);
    json_add_int(j, "done", done);
    g->call->event(g->call->event_arg, j);
}

static void free_candidate(struct gc_candidate *c)
{
    tier_location_fini(&c->at);
    gc_places_free(c);
    free(c->path);
    free(c);
}

/* c is no garbage; it is freed with the others. */
static void drop(struct gc *g, struct gc_candidate *c)
{
    HASH_DEL(g->candidates, c);
}

/* ---- against the catalogue ---- */

/* What the catalogue says of c: 1 it is a copy that counts, 0 with *reason that it is none, or that
 * it knows of nothing. */
static int judge(const struct gc *g, struct gc_candidate *c, const struct catalog_copies *l)
{
    c->reason = c->complete ? GC_UNKNOWN : GC_INCOMPLETE;
    for (size_t i = 0; i < l->n; i++) {
        const struct catalog_copy *x = &l->v[i];
        if (x->volume != g->s->volume->row.id || memcmp(&x->archive, &c->id, sizeof(c->id)) != 0)
            continue;
        if (x->state == CATALOG_COPY_VALID) {
            c->reason = GC_UNREFERENCED;
            return g->unreferenced && !archive_is_referenced(g->e, &c->id) ? 0 : 1;
        }
        c->reason = x->state == CATALOG_COPY_GARBAGE ? GC_GARBAGE : GC_LOST;
    }
    return 0;
}

/* It may be somebody's only copy that is hurt, or cannot be read today. */
static void is_damaged(struct gc *g, const struct gc_candidate *c)
{
    char id[UUID_TEXT];
    uuid_format(&c->id, id);
    auto_free char *text = xasprintf(
        "archive %s is unknown to the catalogue and not whole, though it was once; it is kept", id);
    gc_problem(g, text);
}

static int flush_page(struct gc *g, struct err *err)
{
    struct catalog_copies l = {0};
    struct uuid ids[GC_PAGE];
    for (size_t i = 0; i < g->n; i++)
        ids[i] = g->page[i]->id;
    int rc = g->n > 0 ? catalog_copy_of(g->e->cat, ids, g->n, &l, err) : 0;
    for (size_t i = 0; i < g->n; i++) {
        struct gc_candidate *c = g->page[i];
        struct gc_candidate *old = NULL;
        int counts = rc == 0 ? judge(g, c, &l) : 1;
        if (counts == 0 && c->damaged && c->reason == GC_INCOMPLETE) {
            is_damaged(g, c);
            counts = 1;
        }
        HASH_FIND(hh, g->candidates, &c->id, sizeof(c->id), old);
        if (counts == 0 && old == NULL) {
            HASH_ADD(hh, g->candidates, id, sizeof(c->id), c);
            LL_PREPEND(g->all, c);
            continue;
        }
        g->kept += counts;
        if (counts == 0) /* more of it: in another pack, say */
            gc_place_merge(old, c);
        free_candidate(c);
    }
    g->n = 0;
    catalog_copies_fini(&l);
    return rc;
}

static int on_piece(void *arg, const struct s3_piece *p, struct err *err)
{
    struct gc *g = arg;
    struct efs *fs = efs_by_name(g->e, p->fs);
    if (engine_stopping(g->e))
        return err_set(err, -ESHUTDOWN, "firnd is stopping");
    if (p->label[0] != '\0' || fs == NULL) {
        g->others++;
        return 0;
    }
    if (p->newest_ns > g->newest_ns) {
        g->recent++;
        return 0;
    }
    struct gc_candidate *c = xzalloc(sizeof(*c));
    c->id = p->id;
    c->complete = p->complete;
    c->damaged = p->damaged;
    c->fs = fs;
    c->own = p->members == 0;
    c->objects = p->objects;
    c->bytes = c->own ? p->bytes : 0;
    if (p->complete && p->location != NULL)
        tier_location_copy(&c->at, p->location);
    if (!c->own && p->location != NULL)
        gc_place_add(g, c, p);
    g->page[g->n++] = c;
    return g->n == GC_PAGE ? flush_page(g, err) : 0;
}

/* ---- against work in memory ---- */

static void spare_running(struct gc *g)
{
    const struct batch *b = NULL;
    lock_scope(&g->e->lock);
    DL_FOREACH2(g->e->live, b, live_next)
    {
        for (size_t i = 0; i < b->n; i++) {
            struct gc_candidate *c = NULL;
            HASH_FIND(hh, g->candidates, &b->files[i].archive, sizeof(struct uuid), c);
            if (c != NULL) {
                drop(g, c);
                g->recent++;
            }
        }
    }
}

/* ---- against the copies' own words ---- */

struct shown {
    struct gc *g;
    struct gc_candidate *c;
    bool foreign;
};

static int on_shown(void *arg, const struct tier_entry *x, struct err *err)
{
    struct shown *s = arg;
    char mine[UUID_TEXT];
    (void)err;
    uuid_format(&s->c->fs->uuid, mine);
    free(s->c->path);
    s->c->path = xstrdup(x->path);
    for (size_t i = 0; i < x->nxattrs; i++) {
        if (strcmp(x->xattrs[i].key, COPY_XATTR_FS) == 0)
            s->foreign = x->xattrs[i].len != strlen(mine) ||
                         memcmp(x->xattrs[i].value, mine, x->xattrs[i].len) != 0;
    }
    return 0;
}

/* Another site's file system may have the same name: its UUID tells. */
static void ask_copies(struct gc *g, struct tier *t)
{
    struct gc_candidate *c = NULL;
    struct gc_candidate *tmp = NULL;
    if ((tier_caps(t) & TIER_CAN_SHOW) == 0)
        return;
    HASH_ITER (hh, g->candidates, c, tmp) {
        struct shown s = {.g = g, .c = c};
        struct err err = {0};
        if (c->at.key == NULL)
            continue;
        int rc = tier_show(t, &c->id, &c->at, on_shown, &s, &err);
        if (rc == 0 && !s.foreign)
            continue;
        if (rc == 0)
            g->others++;
        else
            gc_problem(g, rc > 0 ? "a copy went away while it was looked at" : err.text);
        drop(g, c);
    }
}

/* ---- against the files ---- */

/* path of a scan without the root, for texts. */
static const char *below(const struct gc *g, const char *path)
{
    size_t n = strlen(g->root);
    return strncmp(path, g->root, n) == 0 && path[n] == '/' ? path + n + 1 : path;
}

/* x has a record that cannot be read: it may name any candidate. */
static void illegible(struct gc *g, struct scan_entry *x, const char *what)
{
    auto_free char *text =
        xasprintf("%s: %s: %s", g->fs_name, below(g, scan_entry_path(x, NULL)), what);
    gc_problem(g, text);
    lock_scope(&g->lock);
    g->scan_failed = true;
}

/* The record counts as it stands, also a copied one, and is read from the entry, not by a path that
 * somebody may rename meanwhile. */
static int on_file(void *ctx, unsigned worker, struct scan_entry *x)
{
    struct gc *g = ctx;
    struct file_record r;
    char bytes[FILE_RECORD_BYTES * 2];
    (void)worker;
    if (engine_stopping(g->e))
        return -ESHUTDOWN;
    if (x->d_type != DT_REG)
        return SCAN_GO_ON;
    ssize_t n = scan_entry_xattr(x, FILE_XATTR_RECORD, bytes, sizeof(bytes));
    if (n == -ENODATA) {
        if (scan_entry_xattr(x, FILE_XATTR_STUB, bytes, sizeof(bytes)) >= 0)
            illegible(g, x, "is marked as a stub, but has no state record");
        return SCAN_GO_ON;
    }
    if (n < 0 && n != -ERANGE)
        return (int)n;
    if (n < 0 || file_record_decode(bytes, (size_t)n, &r, NULL) < 0) {
        illegible(g, x, "its state record is damaged");
        return SCAN_GO_ON;
    }
    struct gc_candidate *c = NULL;
    lock_scope(&g->lock);
    HASH_FIND(hh, g->candidates, &r.archive, sizeof(struct uuid), c);
    if (c != NULL) {
        drop(g, c);
        g->kept++;
    }
    return SCAN_GO_ON;
}

static void on_error(void *ctx, unsigned worker, const char *path, int code, const char *what)
{
    struct gc *g = ctx;
    (void)worker;
    /* A file was deleted meanwhile; a directory may have gone where the walk has been already. */
    if (code == -ENOENT && strcmp(what, "entry") == 0)
        return;
    auto_free char *text =
        xasprintf("%s: %s: %s: %s", g->fs_name, below(g, path), what, strerror(-code));
    gc_problem(g, text);
    lock_scope(&g->lock);
    g->scan_failed = true;
}

/* The file system without what is mounted on its directories, which hides files; -1 where the
 * kernel does not give that. */
static int bare_tree(const struct efs *fs)
{
    return (int)syscall(SYS_open_tree, fs_root_fd(fs->fs), "",
                        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
}

/* Whether the path still leads to the file system that was opened, not to what it was mounted on.
 */
static bool is_mounted(const struct efs *fs)
{
    struct stat at;
    struct stat root;
    return stat(fs->conf->path, &at) == 0 && fstat(fs_root_fd(fs->fs), &root) == 0 &&
           at.st_dev == root.st_dev && at.st_ino == root.st_ino;
}

/* Reads all records below root, which is fs, in hidden directories too. */
static int scan_root(struct gc *g, const char *root, struct err *err)
{
    static const char *const none[] = {NULL};
    struct scan_config cfg = {.root = root, .hidden = none, .strict = true};
    struct scan_ops ops = {.entry = on_file, .error = on_error};
    struct scan *s = NULL;
    int rc = scan_new(&cfg, &ops, g, &s, err);
    if (rc == 0)
        rc = scan_run(s, err);
    scan_free(s);
    return rc;
}

/* Reads all records of fs. Returns false when it could not be read whole: then nothing of it is
 * proven. */
static bool scan_fs(struct gc *g, const struct efs *fs)
{
    struct err err = {0};
    auto_close int tree = fs->fs == NULL ? -1 : bare_tree(fs);
    auto_free char *root = tree < 0 ? xstrdup(fs->conf->path) : xasprintf("/proc/self/fd/%d", tree);
    int rc = 0;
    g->scan_failed = false;
    g->fs_name = fs->conf->name;
    g->root = root;
    gc_tell(g, fs->conf->name, (int64_t)HASH_COUNT(g->candidates));
    if (fs->fs == NULL || (tree < 0 && !is_mounted(fs)))
        rc = err_set(&err, -ENODEV, "file system %s is not available", fs->conf->name);
    else
        rc = scan_root(g, root, &err);
    if (rc == 0 && tree < 0 && !is_mounted(fs))
        rc = err_set(&err, -ENODEV, "file system %s went away", fs->conf->name);
    if (rc < 0)
        gc_problem(g, err.text);
    return rc >= 0 && !g->scan_failed;
}

/* A file may have moved to another managed file system only as a copy, which has no archive of its
 * own; all are read all the same. */
static void ask_files(struct gc *g)
{
    bool whole = true;
    for (size_t i = 0; i < g->e->nfs && HASH_COUNT(g->candidates) > 0; i++)
        whole = scan_fs(g, &g->e->fs[i]) && whole;
    if (whole)
        return;
    struct gc_candidate *c = NULL;
    struct gc_candidate *tmp = NULL;
    gc_problem(g, "not every file could be asked, so nothing counts as garbage");
    HASH_ITER (hh, g->candidates, c, tmp) {
        drop(g, c);
        g->kept++;
    }
}

/* ---- the operation ---- */

static void find_path(struct gc *g, struct gc_candidate *c)
{
    struct catalog_archives a = {0};
    if (c->path == NULL && catalog_archive_get(g->e->cat, &c->id, &a, NULL) == 0)
        c->path = xstrdup(a.v[0].path);
    catalog_archives_fini(&a);
}

static cJSON *candidate_json(struct gc *g, struct gc_candidate *c)
{
    const struct gc_place *x = NULL;
    char id[UUID_TEXT];
    uint64_t bytes = c->bytes;
    const char *pack = "";
    LL_FOREACH (c->places, x) {
        if (!x->pack->dead)
            continue;
        bytes += x->bytes;
        pack = x->pack->key;
    }
    find_path(g, c);
    cJSON *o = cJSON_CreateObject();
    uuid_format(&c->id, id);
    json_add_str(o, "id", id);
    json_add_str(o, "reason", reasons[c->reason]);
    json_add_int(o, "objects", (int64_t)c->objects);
    json_add_int(o, "bytes", (int64_t)bytes);
    json_add_str(o, "pack", pack);
    json_add_str(o, "path", c->path != NULL ? c->path : "");
    return o;
}

static cJSON *garbage_json(struct gc *g)
{
    struct gc_candidate *c = NULL;
    cJSON *a = cJSON_CreateArray();
    int n = 0;
    for (c = g->candidates; c != NULL && n < SHOWN_MAX; c = c->hh.next) {
        if (c->waits)
            continue;
        (void)cJSON_AddItemToArray(a, candidate_json(g, c));
        n++;
    }
    return a;
}

/* What deleting would delete. */
static void count_garbage(struct gc *g)
{
    const struct gc_candidate *c = NULL;
    const struct gc_pack *k = NULL;
    for (c = g->candidates; c != NULL; c = c->hh.next) {
        g->objects += (int64_t)c->objects;
        g->bytes += (int64_t)c->bytes;
    }
    for (k = g->packs; k != NULL; k = k->hh.next) {
        g->objects += k->dead ? 1 : 0;
        g->bytes += k->dead ? (int64_t)k->bytes : 0;
    }
}

static int collect(struct gc *g, uint64_t *foreign, struct err *err)
{
    auto_tier struct tier *t = NULL;
    int rc = depot_lane(g->depot, &t, err);
    gc_tell(g, "list", 0);
    if (rc == 0)
        rc = depot_walk(g->depot, on_piece, g, foreign, err);
    if (rc == 0)
        rc = flush_page(g, err);
    if (rc < 0)
        return err_wrap(err, rc, "store %s", g->s->lib->name);
    spare_running(g);
    ask_copies(g, t);
    ask_files(g);
    return engine_stopping(g->e) ? err_set(err, -ESHUTDOWN, "firnd is stopping") : 0;
}

static void free_all(struct gc *g)
{
    struct gc_candidate *c = NULL;
    struct gc_candidate *tmp = NULL;
    for (size_t i = 0; i < g->n; i++)
        free_candidate(g->page[i]);
    HASH_CLEAR(hh, g->candidates);
    LL_FOREACH_SAFE(g->all, c, tmp)
    free_candidate(c);
    gc_packs_free(g);
    (void)pthread_mutex_destroy(&g->lock);
}

static cJSON *report(struct gc *g, bool erase, uint64_t foreign)
{
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "copies_kept", g->kept);
    json_add_int(j, "recent", g->recent);
    json_add_int(j, "foreign", g->others + (int64_t)foreign);
    gc_packs_judge(g);
    json_add_int(j, "garbage_count", g->garbage);
    (void)cJSON_AddItemToObject(j, "garbage", garbage_json(g));
    cJSON *in = cJSON_AddObjectToObject(j, "in_packs");
    json_add_int(in, "count", g->in_packs);
    json_add_int(in, "bytes", g->in_packs_bytes);
    if (erase)
        gc_delete_all(g);
    else
        count_garbage(g);
    json_add_int(j, "objects", g->objects);
    json_add_int(j, "bytes", g->bytes);
    json_add_int(j, "deleted", g->deleted);
    (void)cJSON_AddItemToObject(j, "problems", cJSON_Duplicate(g->problems, true));
    return j;
}

int engine_op_tier_gc(struct engine *e, const struct engine_call *call, cJSON **result,
                      struct err *err)
{
    auto_json cJSON *problems = cJSON_CreateArray();
    struct gc g = {.e = e,
                   .call = call,
                   .unreferenced = json_bool(call->args, "unreferenced", false),
                   .problems = problems};
    int64_t age = json_int(call->args, "min_age_s", MIN_AGE_S);
    uint64_t foreign = 0;
    int rc = store_need(e, call, "space on cartridges comes back when they are formatted", &g.s,
                        &g.depot, err);
    if (rc < 0)
        return rc;
    if (age < 0)
        return err_set(err, -EINVAL, "min_age_s is negative");
    g.newest_ns = time_now_ns() - age * NS_PER_SEC;
    (void)pthread_mutex_init(&g.lock, NULL);
    caller_enter(e);
    rc = collect(&g, &foreign, err);
    if (rc == 0)
        *result = report(&g, json_bool(call->args, "delete", false), foreign);
    free_all(&g);
    caller_leave(e);
    return rc;
}
