/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a list of recalls will take: tapes, mounts, bytes and, where a library has a cost model,
 * seconds. Copies are chosen and stops ordered by what the recalls themselves use. Nothing moves.
 */
#include "engine/recall_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE       1000
#define PROBLEMS   100 /* files without a readable copy that are named */
#define RECORD     524288U
#define REWIND_S   59.0 /* mean, LTO-8 (tape/order.h has no better number) */
#define NO_SECONDS (-1.0)

/* A volume's part. */
struct part {
    struct volume *v; /* never freed before the engine is */
    struct order_stop *stops;
    size_t n, room;
    uint64_t bytes;
    size_t queued; /* others that wait for it */
    bool mounted;
    bool store;
    double seconds; /* NO_SECONDS: not known */
    double mount_seconds;
};

struct forecast {
    struct engine *e;
    struct part *parts;
    size_t n;
    int64_t files, ready, bytes, unreadable;
    cJSON *problems;
};

static void free_parts(struct forecast *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->parts[i].stops);
    free(f->parts);
}

static struct part *part_of(struct forecast *f, struct volume *v)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->parts[i].v == v)
            return &f->parts[i];
    }
    f->parts = xrealloc_array(f->parts, f->n + 1, sizeof(*f->parts));
    f->parts[f->n] = (struct part){.v = v, .store = v->lib->store != NULL, .seconds = NO_SECONDS};
    return &f->parts[f->n++];
}

static void add_problem(struct forecast *f, const char *path, const char *why)
{
    f->unreadable++;
    if (f->unreadable > PROBLEMS)
        return;
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", path);
    json_add_str(j, "message", why);
    (void)cJSON_AddItemToArray(f->problems, j);
}

/* Counts r where the copy is that would serve it now. */
static void add_recall(struct forecast *f, struct recall *r)
{
    bool readable = false;
    {
        lock_scope(&f->e->lock);
        readable = recall_choose_locked(r);
    }
    if (!readable) {
        add_problem(f, r->path, r->err.text);
        return;
    }
    const struct recall_copy *c = &r->copies[r->current];
    struct part *p = part_of(f, c->volume);
    if (p->n == p->room) {
        p->room = p->room == 0 ? 64 : 2 * p->room;
        p->stops = xrealloc_array(p->stops, p->room, sizeof(*p->stops));
    }
    p->stops[p->n++] = (struct order_stop){c->loc.block, c->loc.last_block - c->loc.block + 1};
    p->bytes += r->size;
    f->files++;
    f->bytes += (int64_t)r->size;
}

static void add_job(struct forecast *f, const struct catalog_job *j)
{
    struct efs *fs = efs_by_uuid(f->e, &j->fs);
    struct file_info info;
    struct recall *r = NULL;
    struct err err = {0};
    struct file_id id = {.fs = j->fs, .ino = j->ino, .gen = j->gen, .handle_len = j->handle_len};
    memcpy(id.handle, j->handle, j->handle_len);
    int rc = fs == NULL ? err_set(&err, -ENODEV, "its file system is not available")
                        : file_inspect_id(fs->fs, &id, &info, &err);
    if (rc > 0)
        rc = err_set(&err, -ENOENT, "file not found");
    if (rc == 0 && info.state != FILE_MIGRATED) {
        f->ready++;
        return;
    }
    if (rc == 0)
        rc = recall_new(f->e, fs, &info, j->path, &r, &err);
    if (rc < 0) {
        add_problem(f, j->path, err.text);
        return;
    }
    add_recall(f, r);
    lock_scope(&f->e->lock);
    recall_unref_locked(r);
}

static int add_jobs(struct forecast *f, int64_t task, struct err *err)
{
    struct catalog_job_filter filter = {
        .task = task, .kind = -1, .volume = -1, .state_mask = 1U << CATALOG_JOB_QUEUED};
    for (;;) {
        struct catalog_jobs l = {0};
        int rc = catalog_job_list(f->e->cat, &filter, PAGE, &l, err);
        size_t n = l.n;
        for (size_t i = 0; rc >= 0 && i < n; i++) {
            add_job(f, &l.v[i]);
            filter.after_id = l.v[i].id;
        }
        catalog_jobs_fini(&l);
        if (rc < 0 || n == 0)
            return rc < 0 ? rc : 0;
    }
}

/* ---- seconds ---- */

static void think(struct part *p)
{
    const struct conf_library *conf = p->v->lib->conf;
    struct order_geometry g;
    uint64_t used = (uint64_t)p->v->row.used / RECORD + 1;
    if (p->store || strcmp(conf->cost_model, "none") == 0 ||
        order_geometry_init(&g, conf->cost_model, (uint64_t)p->v->row.capacity, RECORD, used,
                            NULL) != 0)
        return;
    auto_free uint32_t *index = xzalloc((p->n + 1) * sizeof(*index));
    (void)order_recalls(&g, p->stops, p->n, 0, index);
    p->mount_seconds = p->mounted ? 0 : REWIND_S + g.unload_s + 2 * g.robot_s + g.load_s;
    p->seconds = p->mount_seconds + order_plan_seconds(&g, p->stops, p->n, 0, index) +
                 (double)p->bytes / g.bytes_per_s;
}

static int by_library_and_length(const void *a, const void *b)
{
    const struct part *x = a;
    const struct part *y = b;
    int c = strcmp(x->v->lib->name, y->v->lib->name);
    if (c != 0)
        return c;
    if (x->seconds != y->seconds)
        return x->seconds > y->seconds ? -1 : 1;
    return strcmp(x->v->row.barcode, y->v->row.barcode);
}

static size_t drives_for_recalls(struct engine *e, const struct library *lib)
{
    lock_scope(&e->lock);
    return library_drives_locked(lib, 'r');
}

/* Seconds of the parts of one library, the longest first on the drive that is free first. */
static double library_seconds(struct engine *e, const struct part *p, size_t n)
{
    size_t drives = drives_for_recalls(e, p->v->lib);
    double longest = 0;
    if (drives == 0)
        return NO_SECONDS;
    auto_free double *busy = xzalloc(drives * sizeof(*busy));
    for (size_t i = 0; i < n; i++) {
        size_t first = 0;
        if (p[i].seconds < 0)
            return NO_SECONDS;
        for (size_t k = 1; k < drives; k++)
            first = busy[k] < busy[first] ? k : first;
        busy[first] += p[i].seconds;
        longest = busy[first] > longest ? busy[first] : longest;
    }
    return longest;
}

/* Libraries work side by side. */
static double all_seconds(struct forecast *f)
{
    double longest = 0;
    for (size_t i = 0, n = 0; i < f->n; i += n) {
        for (n = 1; i + n < f->n && f->parts[i + n].v->lib == f->parts[i].v->lib;)
            n++;
        double s = library_seconds(f->e, &f->parts[i], n);
        if (s < 0)
            return NO_SECONDS;
        longest = s > longest ? s : longest;
    }
    return longest;
}

/* ---- answer ---- */

static void add_seconds(cJSON *j, double seconds)
{
    if (seconds >= 0)
        (void)cJSON_AddNumberToObject(j, "seconds", seconds);
    else
        (void)cJSON_AddNullToObject(j, "seconds");
}

static cJSON *part_json(const struct part *p)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "volume", p->v->row.barcode);
    json_add_str(j, "library", p->v->lib->name);
    json_add_str(j, "kind", p->store ? "store" : "tape");
    json_add_int(j, "files", (int64_t)p->n);
    json_add_int(j, "bytes", (int64_t)p->bytes);
    (void)cJSON_AddBoolToObject(j, "mounted", p->mounted);
    json_add_int(j, "waiting", (int64_t)p->queued);
    add_seconds(j, p->seconds);
    return j;
}

static cJSON *answer(struct forecast *f, int64_t duplicates)
{
    cJSON *j = cJSON_CreateObject();
    int64_t tapes = 0;
    int64_t mounts = 0;
    for (size_t i = 0; i < f->n; i++) {
        tapes += f->parts[i].store ? 0 : 1;
        mounts += f->parts[i].store || f->parts[i].mounted ? 0 : 1;
    }
    json_add_int(j, "files", f->files);
    json_add_int(j, "bytes", f->bytes);
    json_add_int(j, "tapes", tapes);
    json_add_int(j, "mounts", mounts);
    add_seconds(j, all_seconds(f));
    json_add_int(j, "not_migrated", f->ready);
    json_add_int(j, "duplicates", duplicates);
    json_add_int(j, "unreadable", f->unreadable);
    (void)cJSON_AddItemToObject(j, "problems", f->problems);
    cJSON *a = cJSON_AddArrayToObject(j, "volumes");
    for (size_t i = 0; i < f->n; i++)
        (void)cJSON_AddItemToArray(a, part_json(&f->parts[i]));
    return j;
}

int recall_forecast(struct engine *e, int64_t task, int64_t duplicates, cJSON **result,
                    struct err *err)
{
    struct forecast f = {.e = e, .problems = cJSON_CreateArray()};
    int rc = add_jobs(&f, task, err);
    for (size_t i = 0; rc == 0 && i < f.n; i++) {
        {
            lock_scope(&e->lock);
            f.parts[i].mounted = f.parts[i].v->drive != NULL;
            f.parts[i].queued = f.parts[i].v->queued;
        }
        think(&f.parts[i]);
    }
    if (rc == 0) {
        if (f.n > 0)
            qsort(f.parts, f.n, sizeof(*f.parts), by_library_and_length);
        *result = answer(&f, duplicates);
    } else {
        cJSON_Delete(f.problems);
    }
    free_parts(&f);
    return rc;
}
