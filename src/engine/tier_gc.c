/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tier gc: what lies in a store and is nobody's. Something is garbage only by proof: it is old
 * enough; it was put by a file system that is managed here (by name, and by UUID where the copy
 * says one); the catalogue calls it garbage or lost, or does not know it, or, when that is asked
 * for, its file is gone or has other data; no batch in memory is putting it; and no file's record
 * names its archive, for which all records of all file systems are read. Deleting asks the
 * catalogue and the file once more.
 */
#include "engine/engine_impl.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/depot.h"
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

#define PAGE         256
#define SHOWN_MAX    1000
#define MIN_AGE_S    86400
#define PROBLEMS_MAX 100

enum reason { GC_GARBAGE, GC_LOST, GC_UNKNOWN, GC_INCOMPLETE, GC_UNREFERENCED };
static const char *const reasons[] = {"garbage in the catalogue", "given up in the catalogue",
                                      "unknown to the catalogue", "incomplete",
                                      "its file is gone or has newer data"};

struct candidate {
    struct uuid id;
    enum reason reason;
    bool complete, damaged;
    char *key; /* location of a complete copy */
    char *path;
    struct efs *fs;
    uint64_t objects, bytes;
    struct candidate *next; /* of all that were ever in the hash */
    UT_hash_handle hh;
};

struct gc {
    struct engine *e;
    struct estore *s;
    struct depot *depot;
    const struct engine_call *call;
    int64_t newest_ns; /* younger ones are left alone */
    bool unreferenced; /* copies that count, of files that are gone, are garbage too */
    pthread_mutex_t lock;
    struct candidate *candidates; /* hash by id */
    struct candidate *all;        /* those and dropped ones */
    struct candidate *page[PAGE]; /* not looked up in the catalogue yet */
    size_t n;
    const char *fs_name, *root; /* that are scanned */
    bool scan_failed;
    int64_t kept, recent, others;
    int64_t objects, bytes, deleted;
    cJSON *problems;
};

static void problem(struct gc *g, const char *text)
{
    lock_scope(&g->lock);
    if (cJSON_GetArraySize(g->problems) < PROBLEMS_MAX)
        (void)cJSON_AddItemToArray(g->problems, cJSON_CreateString(text));
}

static void tell(struct gc *g, const char *stage, int64_t done)
{
    if (g->call->event == NULL)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "stage", stage);
    json_add_int(j, "done", done);
    g->call->event(g->call->event_arg, j);
}

static void free_candidate(struct candidate *c)
{
    free(c->key);
    free(c->path);
    free(c);
}

/* c is no garbage; it is freed with the others. */
static void drop(struct gc *g, struct candidate *c)
{
    HASH_DEL(g->candidates, c);
}

/* ---- against the catalogue ---- */

/* What the catalogue says of c: 1 it is a copy that counts, 0 with *reason that it is none, or that
 * it knows of nothing. */
static int judge(const struct gc *g, struct candidate *c, const struct catalog_copies *l)
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
static void is_damaged(struct gc *g, const struct candidate *c)
{
    char id[UUID_TEXT];
    uuid_format(&c->id, id);
    auto_free char *text = xasprintf(
        "archive %s is unknown to the catalogue and not whole, though it was once; it is kept", id);
    problem(g, text);
}

static int flush_page(struct gc *g, struct err *err)
{
    struct catalog_copies l = {0};
    struct uuid ids[PAGE];
    for (size_t i = 0; i < g->n; i++)
        ids[i] = g->page[i]->id;
    int rc = g->n > 0 ? catalog_copy_of(g->e->cat, ids, g->n, &l, err) : 0;
    for (size_t i = 0; i < g->n; i++) {
        struct candidate *c = g->page[i];
        struct candidate *old = NULL;
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
    struct candidate *c = xzalloc(sizeof(*c));
    c->id = p->id;
    c->complete = p->complete;
    c->damaged = p->damaged;
    c->fs = fs;
    c->objects = p->objects;
    c->bytes = p->bytes;
    if (p->complete && p->location != NULL)
        c->key = xstrdup(p->location->key);
    g->page[g->n++] = c;
    return g->n == PAGE ? flush_page(g, err) : 0;
}

/* ---- against work in memory ---- */

static void spare_running(struct gc *g)
{
    const struct batch *b = NULL;
    lock_scope(&g->e->lock);
    DL_FOREACH2(g->e->live, b, live_next)
    {
        for (size_t i = 0; i < b->n; i++) {
            struct candidate *c = NULL;
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
    struct candidate *c;
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
    struct candidate *c = NULL;
    struct candidate *tmp = NULL;
    if ((tier_caps(t) & TIER_CAN_SHOW) == 0)
        return;
    HASH_ITER (hh, g->candidates, c, tmp) {
        struct shown s = {.g = g, .c = c};
        struct err err = {0};
        if (c->key == NULL)
            continue;
        struct tier_location loc = {.key = c->key};
        int rc = tier_show(t, &c->id, &loc, on_shown, &s, &err);
        if (rc == 0 && !s.foreign)
            continue;
        if (rc == 0)
            g->others++;
        else
            problem(g, rc > 0 ? "a copy went away while it was looked at" : err.text);
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
    problem(g, text);
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
    struct candidate *c = NULL;
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
    problem(g, text);
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
    tell(g, fs->conf->name, (int64_t)HASH_COUNT(g->candidates));
    if (fs->fs == NULL || (tree < 0 && !is_mounted(fs)))
        rc = err_set(&err, -ENODEV, "file system %s is not available", fs->conf->name);
    else
        rc = scan_root(g, root, &err);
    if (rc == 0 && tree < 0 && !is_mounted(fs))
        rc = err_set(&err, -ENODEV, "file system %s went away", fs->conf->name);
    if (rc < 0)
        problem(g, err.text);
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
    struct candidate *c = NULL;
    struct candidate *tmp = NULL;
    problem(g, "not every file could be asked, so nothing counts as garbage");
    HASH_ITER (hh, g->candidates, c, tmp) {
        drop(g, c);
        g->kept++;
    }
}

/* ---- deleting ---- */

/* The number of c's copy on this store when the catalogue still does not count on it, 0 when it
 * knows none, -1 when it does. *others: there are further copies. */
static int ask_again(struct gc *g, const struct candidate *c, bool *others)
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
    return no >= 0 && n > 0 && archive_is_referenced(g->e, &c->id) ? -1 : no;
}

static void delete_one(struct gc *g, const struct candidate *c)
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
        problem(g, err.text);
    else
        g->deleted++;
}

static void delete_all(struct gc *g)
{
    const struct candidate *c = NULL;
    int64_t done = 0;
    for (c = g->candidates; c != NULL && !engine_stopping(g->e); c = c->hh.next) {
        delete_one(g, c);
        if (++done % PAGE == 0)
            tell(g, "delete", done);
    }
    log_info("store %s: gc deleted %lld archives, %lld objects, %lld bytes", g->s->lib->name,
             (long long)g->deleted, (long long)g->objects, (long long)g->bytes);
}

/* ---- the operation ---- */

static void find_path(struct gc *g, struct candidate *c)
{
    struct catalog_archives a = {0};
    if (c->path == NULL && catalog_archive_get(g->e->cat, &c->id, &a, NULL) == 0)
        c->path = xstrdup(a.v[0].path);
    catalog_archives_fini(&a);
}

static cJSON *garbage_json(struct gc *g, bool count)
{
    struct candidate *c = NULL;
    cJSON *a = cJSON_CreateArray();
    int n = 0;
    for (c = g->candidates; c != NULL; c = c->hh.next) {
        char id[UUID_TEXT];
        g->objects += count ? (int64_t)c->objects : 0;
        g->bytes += count ? (int64_t)c->bytes : 0;
        if (n++ >= SHOWN_MAX)
            continue;
        find_path(g, c);
        cJSON *o = cJSON_CreateObject();
        uuid_format(&c->id, id);
        json_add_str(o, "id", id);
        json_add_str(o, "reason", reasons[c->reason]);
        json_add_int(o, "objects", (int64_t)c->objects);
        json_add_int(o, "bytes", (int64_t)c->bytes);
        json_add_str(o, "path", c->path != NULL ? c->path : "");
        (void)cJSON_AddItemToArray(a, o);
    }
    return a;
}

static int collect(struct gc *g, uint64_t *foreign, struct err *err)
{
    auto_tier struct tier *t = NULL;
    int rc = depot_lane(g->depot, &t, err);
    tell(g, "list", 0);
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
    struct candidate *c = NULL;
    struct candidate *tmp = NULL;
    for (size_t i = 0; i < g->n; i++)
        free_candidate(g->page[i]);
    HASH_CLEAR(hh, g->candidates);
    LL_FOREACH_SAFE(g->all, c, tmp)
    free_candidate(c);
    (void)pthread_mutex_destroy(&g->lock);
}

static cJSON *report(struct gc *g, bool erase, uint64_t foreign)
{
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "copies_kept", g->kept);
    json_add_int(j, "recent", g->recent);
    json_add_int(j, "foreign", g->others + (int64_t)foreign);
    json_add_int(j, "garbage_count", (int64_t)HASH_COUNT(g->candidates));
    (void)cJSON_AddItemToObject(j, "garbage", garbage_json(g, !erase));
    if (erase)
        delete_all(g);
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
