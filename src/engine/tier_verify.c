/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn tier verify: the copies that the catalogue names on a store, looked up there (or read and
 * compared with their digests), and the files that need them. Several threads look at once. Nothing
 * is changed unless repair is asked for.
 */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "engine/depot.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAGE         1000
#define PROBLEMS_MAX 1000
#define THREADS_MAX  64

struct verify {
    struct engine *e;
    struct estore *s;
    struct depot *depot;
    const struct engine_call *call;
    bool read, repair;
    int64_t limit; /* copies; 0: all */
    pthread_mutex_t lock;
    int64_t copies, ok, lost, found, unreferenced;
    int64_t nproblems;
    cJSON *problems;
    const struct catalog_copy *page;
    size_t n, next;
    int64_t taken; /* by workers, of all pages */
    int rc;        /* the check as a whole cannot go on */
    struct err err;
};

static void problem(struct verify *v, const struct catalog_copy *c, const char *path,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void problem(struct verify *v, const struct catalog_copy *c, const char *path,
                    const char *fmt, ...)
{
    char text[1024];
    char id[UUID_TEXT];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    uuid_format(&c->archive, id);
    lock_scope(&v->lock);
    if (v->nproblems++ >= PROBLEMS_MAX)
        return;
    auto_free char *line =
        xasprintf("%s (archive %s, copy %d at %s): %s", path, id, c->copy_no, c->path, text);
    (void)cJSON_AddItemToArray(v->problems, cJSON_CreateString(line));
}

/* ---- one copy ---- */

/* Looks for the copy; with read, all its data is read. Returns as tier_verify, -EBADMSG for another
 * length too. */
static int look(struct verify *v, struct tier *t, const struct catalog_copy *c,
                const struct catalog_archive *a, struct err *err)
{
    auto_tier_location struct tier_location loc = {.key = xstrdup(c->path),
                                                   .block = c->start_block,
                                                   .last_block = c->length,
                                                   .byteoffset = (uint32_t)c->byte_offset};
    struct tier_digest want;
    uint64_t size = 0;
    bool digested = v->read && a != NULL && a->digest_alg >= 0;
    if (digested) {
        want.alg = (enum digest_alg)a->digest_alg;
        memcpy(want.value, a->digest, sizeof(want.value));
    }
    int rc = tier_verify(t, &c->archive, &loc, digested ? &want : NULL, &size, err);
    if (rc == 0 && size != c->length)
        rc = err_set(err, -EBADMSG, "the copy has %llu bytes, %llu were archived",
                     (unsigned long long)size, (unsigned long long)c->length);
    return rc;
}

static bool has_other(struct engine *e, const struct catalog_copy *c)
{
    struct catalog_copies l = {0};
    bool other = false;
    if (catalog_copy_of(e->cat, &c->archive, 1, &l, NULL) == 0) {
        for (size_t i = 0; i < l.n; i++)
            other = other || (l.v[i].state == CATALOG_COPY_VALID && l.v[i].copy_no != c->copy_no);
    }
    catalog_copies_fini(&l);
    return other;
}

static void absent(struct verify *v, const struct catalog_copy *c, const char *path, bool needed)
{
    if (c->state == CATALOG_COPY_LOST)
        return;
    problem(v, c, path, "is not in the store%s%s", v->repair ? "; it is marked lost" : "",
            needed && !has_other(v->e, c) ? "; it was the only copy of a file" : "");
    if (v->repair)
        copies_set_state(v->e, &c->archive, c->copy_no, CATALOG_COPY_LOST, path);
    lock_scope(&v->lock);
    v->lost++;
}

static void present(struct verify *v, const struct catalog_copy *c, const char *path)
{
    if (c->state == CATALOG_COPY_LOST) {
        problem(v, c, path, "was marked lost, but it is there%s",
                v->repair ? "; it counts again" : "");
        if (v->repair)
            copies_set_state(v->e, &c->archive, c->copy_no, CATALOG_COPY_VALID, path);
        lock_scope(&v->lock);
        v->found++;
        return;
    }
    lock_scope(&v->lock);
    v->ok++;
}

/* A failure that is not of this copy alone ends the check. */
static void failed(struct verify *v, const struct catalog_copy *c, const char *path, int rc,
                   const struct err *err)
{
    if (store_failed(v->s, rc, err) == STORE_UP) {
        problem(v, c, path, "%s", err->text);
        return;
    }
    lock_scope(&v->lock);
    if (v->rc == 0)
        v->err = *err;
    v->rc = rc;
}

static void check_one(struct verify *v, struct tier *t, const struct catalog_copy *c)
{
    struct catalog_archives a = {0};
    struct err err = {0};
    int rc = catalog_archive_get(v->e->cat, &c->archive, &a, &err);
    const char *path = rc == 0 ? a.v[0].path : "?";
    bool needed = archive_is_referenced(v->e, &c->archive);
    rc = look(v, t, c, rc == 0 ? &a.v[0] : NULL, &err);
    if (rc == TIER_ABSENT)
        absent(v, c, path, needed);
    else if (rc < 0)
        failed(v, c, path, rc, &err);
    else
        present(v, c, path);
    catalog_archives_fini(&a);
    lock_scope(&v->lock);
    v->copies++;
    v->unreferenced += needed ? 0 : 1;
}

/* ---- many ---- */

static const struct catalog_copy *take(struct verify *v)
{
    lock_scope(&v->lock);
    if (v->rc < 0 || engine_stopping(v->e) || (v->limit > 0 && v->taken >= v->limit))
        return NULL;
    while (v->next < v->n) {
        const struct catalog_copy *c = &v->page[v->next++];
        if (c->state == CATALOG_COPY_GARBAGE || c->volume != v->s->volume->row.id)
            continue;
        v->taken++;
        return c;
    }
    return NULL;
}

static void *worker(void *arg)
{
    struct verify *v = arg;
    auto_tier struct tier *t = NULL;
    struct err err = {0};
    int rc = depot_lane(v->depot, &t, &err);
    if (rc < 0) {
        lock_scope(&v->lock);
        v->rc = rc;
        v->err = err;
        return NULL;
    }
    for (const struct catalog_copy *c = take(v); c != NULL; c = take(v))
        check_one(v, t, c);
    return NULL;
}

static int check_page(struct verify *v, const struct catalog_copies *l, struct err *err)
{
    pthread_t threads[THREADS_MAX];
    size_t want = v->s->nlanes < THREADS_MAX ? v->s->nlanes : THREADS_MAX;
    size_t n = 0;
    v->page = l->v;
    v->n = l->n;
    v->next = 0;
    while (n < want && n < l->n && pthread_create(&threads[n], NULL, worker, v) == 0)
        n++;
    if (n == 0 && l->n > 0)
        return err_set(err, -EAGAIN, "no thread could be made");
    for (size_t i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    if (v->rc < 0)
        return err_set(err, v->rc, "store %s went away after %lld copies: %s", v->s->lib->name,
                       (long long)v->copies, v->err.text);
    return engine_stopping(v->e) ? err_set(err, -ESHUTDOWN, "firnd is stopping") : 0;
}

static void tell(struct verify *v)
{
    if (v->call->event == NULL)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "stage", "verify");
    json_add_int(j, "done", v->copies);
    json_add_int(j, "failed", v->nproblems);
    v->call->event(v->call->event_arg, j);
}

static bool is_enough(const struct verify *v)
{
    return v->limit > 0 && v->copies >= v->limit;
}

static int check_all(struct verify *v, struct err *err)
{
    struct catalog_copy_pos pos = {0};
    while (!is_enough(v)) {
        struct catalog_copies l = {0};
        int rc = catalog_copy_page(v->e->cat, v->s->volume->row.id, &pos, PAGE, &l, err);
        size_t n = l.n;
        if (rc == 0 && n > 0)
            rc = check_page(v, &l, err);
        catalog_copies_fini(&l);
        if (rc < 0 || n == 0)
            return rc;
        tell(v);
    }
    return 0;
}

/* The archive of a file, when it has one. */
static bool archive_of(struct engine *e, const char *path, struct uuid *archive)
{
    auto_free char *rel = NULL;
    struct file_info info;
    const struct efs *fs = efs_resolve(e, path, &rel);
    if (fs == NULL || fs->fs == NULL || file_inspect_path(fs->fs, rel, &info, NULL) != 0 ||
        info.state == FILE_RESIDENT)
        return false;
    *archive = info.record.archive;
    return true;
}

static int check_paths(struct verify *v, const cJSON *paths, struct err *err)
{
    const cJSON *p = NULL;
    cJSON_ArrayForEach (p, paths) {
        struct catalog_copies l = {0};
        struct uuid archive;
        if (!cJSON_IsString(p))
            return err_set(err, -EINVAL, "\"paths\" is a list of strings");
        if (!archive_of(v->e, p->valuestring, &archive)) {
            const struct catalog_copy none = {.path = "-"};
            problem(v, &none, p->valuestring, "has no copy, or is not in a managed file system");
            continue;
        }
        int rc = catalog_copy_of(v->e->cat, &archive, 1, &l, err);
        if (rc == 0 && l.n > 0)
            rc = check_page(v, &l, err);
        catalog_copies_fini(&l);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int engine_op_tier_verify(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(call->args, "paths");
    auto_json cJSON *problems = cJSON_CreateArray();
    struct verify v = {.e = e,
                       .call = call,
                       .read = json_bool(call->args, "read", false),
                       .repair = json_bool(call->args, "repair", false),
                       .limit = json_int(call->args, "limit", 0),
                       .problems = problems};
    int rc =
        store_need(e, call, "firn tape verify BARCODE checks its cartridges", &v.s, &v.depot, err);
    if (rc < 0)
        return rc;
    (void)pthread_mutex_init(&v.lock, NULL);
    caller_enter(e);
    rc = cJSON_IsArray(paths) && cJSON_GetArraySize(paths) > 0 ? check_paths(&v, paths, err)
                                                               : check_all(&v, err);
    caller_leave(e);
    (void)pthread_mutex_destroy(&v.lock);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    json_add_int(j, "copies", v.copies);
    json_add_int(j, "ok", v.ok);
    json_add_int(j, "lost", v.lost);
    json_add_int(j, "found", v.found);
    json_add_int(j, "unreferenced", v.unreferenced);
    json_add_int(j, "problem_count", v.nproblems);
    (void)cJSON_AddItemToObject(j, "problems", take_ptr(problems));
    return op_result(j, result);
}
