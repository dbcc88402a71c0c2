/* SPDX-License-Identifier: Apache-2.0 */
/* Phase one of a policy run: the facts of each object, cheapest first. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "catalog/catalog.h"
#include "engine/policy_run_impl.h"
#include "file/file.h"
#include "file/record.h"
#include "scan/scan.h"

#include <errno.h>
#include <grp.h>
#include <inttypes.h>
#include <pwd.h>
#include <string.h>

#define NAME_ROOM    4096
#define TELL_EVERY   1024
#define XATTR_ACL    "system.posix_acl_access"
#define ROOT_FILESET "root"

/* The last name that was looked up: neighbours mostly have the same owner. */
struct name_cache {
    bool known;
    uint32_t id;
    char name[256];
};

/* One worker of the scan. */
struct worker {
    struct run *run;
    struct scan *scan;
    struct policy_eval *eval;
    struct scan_entry *entry; /* the object at hand */
    char fileset[256];
    struct uuid archive; /* set with state */
    enum policy_state state;
    struct name_cache user, group;
    struct buf line; /* texts of levels 3 to 6 */
    uint64_t seen;
};

struct scanner {
    struct run *run;
    struct worker *workers;
    unsigned n;
    pthread_mutex_t lock; /* over code and first */
    int code;             /* why the scan was given up */
    struct err first;
};

/* ---- facts ---- */

static int fact_path(void *ctx, const char **path, size_t *len)
{
    struct worker *w = ctx;
    *path = scan_entry_path(w->entry, len);
    return 0;
}

/* The first directory below the file system's root; "root" for what lies directly in it. */
static int fact_fileset(void *ctx, const char **name)
{
    struct worker *w = ctx;
    const char *path = scan_entry_path(w->entry, NULL) + strlen(w->run->fs->path);
    path += strspn(path, "/");
    size_t n = strcspn(path, "/");
    bool inside = path[n] == '/' || w->entry->d_type == DT_DIR;
    (void)snprintf(w->fileset, sizeof(w->fileset), "%.*s", (int)n, path);
    *name = inside ? w->fileset : ROOT_FILESET;
    return 0;
}

static int fact_pool(void *ctx, const char **name)
{
    struct worker *w = ctx;
    *name = w->run->fs->pool;
    return 0;
}

static int fact_stat(void *ctx, const struct statx **stx)
{
    struct worker *w = ctx;
    return scan_entry_stat(w->entry, stx);
}

static ssize_t fact_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    struct worker *w = ctx;
    return scan_entry_xattr(w->entry, name, buf, cap);
}

static ssize_t fact_xattr_list(void *ctx, char *buf, size_t cap)
{
    struct worker *w = ctx;
    return scan_entry_xattr_list(w->entry, buf, cap);
}

static int fact_generation(void *ctx, uint64_t *gen)
{
    struct worker *w = ctx;
    return scan_entry_generation(w->entry, gen);
}

static unsigned flags_of(struct worker *w, const struct statx *stx)
{
    char acl[1];
    unsigned flags = 0;
    if ((stx->stx_attributes & STATX_ATTR_IMMUTABLE) != 0)
        flags |= POLICY_FLAG_IMMUTABLE;
    if ((stx->stx_attributes & STATX_ATTR_APPEND) != 0)
        flags |= POLICY_FLAG_APPEND_ONLY;
    ssize_t n = scan_entry_xattr(w->entry, XATTR_ACL, acl, sizeof(acl));
    if (n > 0 || n == -ERANGE)
        flags |= POLICY_FLAG_ACL;
    return flags;
}

/* What a candidate's record says; the worker that carries it out looks closer. */
static enum policy_state state_of(struct worker *w, const struct statx *stx)
{
    char record[FILE_RECORD_BYTES];
    memset(&w->archive, 0, sizeof(w->archive));
    if (w->entry->d_type != DT_REG)
        return POLICY_RESIDENT;
    ssize_t n = scan_entry_xattr(w->entry, FILE_XATTR_RECORD, record, sizeof(record));
    if (n <= 0)
        return POLICY_RESIDENT;
    int64_t mtime_ns = stx->stx_mtime.tv_sec * INT64_C(1000000000) + stx->stx_mtime.tv_nsec;
    switch (file_state_of(record, (size_t)n, stx->stx_size, mtime_ns, stx->stx_ino, &w->archive)) {
    case FILE_MIGRATED:
        return POLICY_MIGRATED;
    case FILE_PREMIGRATED:
        return POLICY_PREMIGRATED;
    case FILE_RESIDENT:
        break;
    }
    return POLICY_RESIDENT;
}

static int fact_state(void *ctx, enum policy_state *state, unsigned *flags)
{
    struct worker *w = ctx;
    const struct statx *stx = NULL;
    int rc = scan_entry_stat(w->entry, &stx);
    if (rc != 0)
        return rc;
    w->state = state_of(w, stx);
    *state = w->state;
    *flags = flags_of(w, stx);
    return 0;
}

/* "N BARCODE@POOL@LIBRARY:...": the valid copies of the archive. Nothing without one. */
static int tapes_of(struct worker *w, struct buf *out)
{
    struct catalog_copies list = {0};
    auto_buf struct buf names = {0};
    int copies = 0;
    int rc = catalog_copy_of(engine_catalog(w->run->engine), &w->archive, 1, &list, NULL);
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        const struct catalog_copy *c = &list.v[i];
        if (c->state != CATALOG_COPY_VALID)
            continue;
        buf_addf(&names, "%s%s@%s@%s", copies++ > 0 ? ":" : "", c->barcode, c->pool, c->library);
    }
    catalog_copies_fini(&list);
    if (rc == 0 && copies > 0)
        buf_addf(out, "%d %s", copies, names.data);
    return rc < 0 ? rc : 0;
}

/* The attributes that tape managers keep in the dmapi name space, answered from state and
 * catalogue. */
static int virtual_text(struct worker *w, const char *name, struct buf *out)
{
    char id[UUID_TEXT];
    uuid_format(&w->archive, id);
    if (strcmp(name, "dmapi.IBMTPS") == 0)
        return w->state != POLICY_RESIDENT ? tapes_of(w, out) : 0;
    if (strcmp(name, "dmapi.IBMPMig") == 0 && w->state == POLICY_PREMIGRATED)
        buf_adds(out, "1");
    if (strcmp(name, "dmapi.IBMObj") == 0 && w->state != POLICY_RESIDENT)
        buf_adds(out, id);
    return 0;
}

static ssize_t fact_virtual_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    struct worker *w = ctx;
    auto_buf struct buf text = {0};
    const struct statx *stx = NULL;
    int rc = scan_entry_stat(w->entry, &stx);
    if (rc != 0)
        return rc;
    w->state = state_of(w, stx);
    rc = virtual_text(w, name, &text);
    if (rc != 0)
        return rc;
    if (text.len == 0)
        return -ENODATA;
    if (text.len > cap)
        return -ERANGE;
    memcpy(buf, text.data, text.len);
    return (ssize_t)text.len;
}

/* The name of id into c; the number as text when it has none. */
static void look_up(struct name_cache *c, uint32_t id, bool group)
{
    char room[NAME_ROOM];
    struct passwd pw;
    struct group gr;
    struct passwd *p = NULL;
    struct group *g = NULL;
    c->known = true;
    c->id = id;
    (void)snprintf(c->name, sizeof(c->name), "%" PRIu32, id);
    if (group && getgrgid_r(id, &gr, room, sizeof(room), &g) == 0 && g != NULL)
        (void)snprintf(c->name, sizeof(c->name), "%s", gr.gr_name);
    if (!group && getpwuid_r(id, &pw, room, sizeof(room), &p) == 0 && p != NULL)
        (void)snprintf(c->name, sizeof(c->name), "%s", pw.pw_name);
}

static int fact_owner_name(void *ctx, uint32_t id, bool group, char *buf, size_t cap)
{
    struct worker *w = ctx;
    struct name_cache *c = group ? &w->group : &w->user;
    if (!c->known || c->id != id)
        look_up(c, id, group);
    (void)snprintf(buf, cap, "%s", c->name);
    return 0;
}

static const struct policy_facts_ops facts = {
    .path = fact_path,
    .fileset = fact_fileset,
    .pool = fact_pool,
    .stat = fact_stat,
    .xattr = fact_xattr,
    .xattr_list = fact_xattr_list,
    .state = fact_state,
    .virtual_xattr = fact_virtual_xattr,
    .generation = fact_generation,
    .owner_name = fact_owner_name,
};

/* ---- an object ---- */

/* Remembers the first reason to give the scan up. */
static int give_up(struct scanner *s, struct worker *w, int code, const struct err *e)
{
    lock_scope(&s->lock);
    if (s->code == 0) {
        s->code = code;
        s->first = *e;
        scan_cancel(w->scan);
    }
    return code;
}

static int keep(struct scanner *s, struct worker *w, const struct policy_decision *d)
{
    struct err e = {0};
    struct policy_candidate cand = {.ino = w->entry->ino};
    if (d->n_hits > 0) {
        cand.path = scan_entry_path(w->entry, &cand.path_len);
        if (w->run->needs_generation) /* opens the file: only for lists that show it */
            (void)scan_entry_generation(w->entry, &cand.generation);
    }
    int rc = policy_chooser_add(w->run->chooser, &cand, d, &e);
    return rc == 0 ? 0 : give_up(s, w, rc, &e);
}

/* As keep, without what the pass leaves alone. */
static int keep_of_pass(struct scanner *s, struct worker *w, const struct statx *stx,
                        struct policy_decision *d)
{
    if (d->n_hits == 0)
        return 0;
    auto_free struct policy_hit *kept = xrealloc_array(NULL, d->n_hits, sizeof(*kept));
    run_pass_filter(w->run, scan_entry_path(w->entry, NULL), stx, kept, d);
    return d->n_hits > 0 ? keep(s, w, d) : 0;
}

static void show(struct worker *w, const struct policy_object *obj, const struct policy_decision *d)
{
    if (w->run->level < POLICY_LEVEL_CANDIDATES)
        return;
    buf_reset(&w->line);
    policy_report_object(&w->line, w->eval, obj, scan_entry_path(w->entry, NULL), d, w->run->level);
    run_say(&w->run->out, &w->line);
}

static void tell(struct worker *w)
{
    struct scan_counts c;
    if (++w->seen % TELL_EVERY != 0)
        return;
    scan_get_counts(w->scan, &c);
    run_progress(&w->run->out, "scan", (int64_t)(c.files + c.dirs + c.others), -1, 0, 0);
    if (engine_stopping(w->run->engine))
        scan_cancel(w->scan);
}

static int on_entry(void *ctx, unsigned number, struct scan_entry *e)
{
    struct scanner *s = ctx;
    struct worker *w = &s->workers[number];
    struct policy_decision d;
    w->entry = e;
    struct policy_object obj = {.name = e->name,
                                .name_len = e->name_len,
                                .d_type = e->d_type,
                                .ino = e->ino,
                                .ops = &facts,
                                .ctx = w};
    const struct statx *stx = NULL;
    tell(w);
    int rc = w->run->pass != NULL ? scan_entry_stat(e, &stx) : 0;
    if (rc == 0 && stx != NULL && !run_pass_wants(w->run, stx))
        return SCAN_GO_ON;
    if (rc == 0)
        rc = policy_eval_object(w->eval, &obj, POLICY_STAGE_ENGINE, false, &d);
    if (rc == -ENOENT)
        return SCAN_GO_ON; /* deleted meanwhile: nothing to decide */
    if (rc != 0)
        return rc;
    show(w, &obj, &d);
    rc = stx != NULL ? keep_of_pass(s, w, stx, &d) : keep(s, w, &d);
    return rc != 0 ? rc : SCAN_GO_ON;
}

static void on_error(void *ctx, unsigned number, const char *path, int code, const char *what)
{
    struct scanner *s = ctx;
    (void)number;
    if (s->run->pass != NULL && (code == -ENOENT || code == -ENOTDIR))
        return; /* a changed file that is gone */
    run_sayf(&s->run->out, "[E] %s: %s: %s", path, what, strerror(-code));
}

/* ---- the scan ---- */

static void workers_new(struct scanner *s, struct scan *scan)
{
    s->n = scan_threads(scan);
    s->workers = xrealloc_array(NULL, s->n, sizeof(*s->workers));
    for (unsigned i = 0; i < s->n; i++)
        s->workers[i] = (struct worker){
            .run = s->run,
            .scan = scan,
            .eval = policy_eval_new(s->run->policy, s->run->now_ns, &s->run->pool, 1),
        };
}

static void warn_numbers(struct scanner *s)
{
    for (size_t rule = 0; rule < policy_n_rules(s->run->policy); rule++) {
        uint64_t bad = 0;
        for (unsigned i = 0; i < s->n; i++)
            bad += policy_eval_bad_numbers(s->workers[i].eval, (unsigned)rule);
        if (bad > 0)
            run_sayf(&s->run->out,
                     "[W] Rule %zu used text that is no number in %" PRIu64
                     " places; they count as NULL.",
                     rule, bad);
    }
}

static void workers_free(struct scanner *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        policy_eval_free(s->workers[i].eval);
        buf_fini(&s->workers[i].line);
    }
    free(s->workers);
}

static void report(struct run *r, struct scan *scan)
{
    auto_buf struct buf b = {0};
    struct scan_counts c;
    if (r->level < POLICY_LEVEL_SUMMARY)
        return;
    scan_get_counts(scan, &c);
    policy_report_scan(&b, time_now_ns(), c.files, c.dirs, c.others, c.errors);
    run_say(&r->out, &b);
}

static int walk(struct scanner *s, struct scan *scan, struct err *err)
{
    struct run *r = s->run;
    int rc = 0;
    if (!policy_eval_alive(s->workers[0].eval))
        run_sayf(&r->out, "[I] No rule can apply now; nothing is scanned.");
    else if (r->input_paths != NULL)
        rc = scan_run_list(scan, (const char *const *)r->input_paths, r->n_input_paths, err);
    else
        rc = scan_run(scan, err);
    if (s->code != 0) {
        *err = s->first;
        return s->code;
    }
    if (rc == -ECANCELED || engine_stopping(r->engine))
        return err_set(err, -ESHUTDOWN, "firnd is stopping; nothing was executed");
    return rc;
}

int run_scan(struct run *r, struct err *err)
{
    struct scanner s = {.run = r};
    struct scan *scan = NULL;
    const struct scan_config cfg = {.root = r->root,
                                    .threads = r->input_paths != NULL && r->pass != NULL
                                                   ? 1
                                                   : (unsigned)r->conf->policy.threads};
    const struct scan_ops ops = {.entry = on_entry, .error = on_error};
    int rc = scan_new(&cfg, &ops, &s, &scan, err);
    if (rc != 0)
        return rc;
    (void)pthread_mutex_init(&s.lock, NULL);
    workers_new(&s, scan);
    rc = walk(&s, scan, err);
    if (rc == 0) {
        report(r, scan);
        warn_numbers(&s);
    }
    workers_free(&s);
    scan_free(scan);
    (void)pthread_mutex_destroy(&s.lock);
    return rc;
}
