/* SPDX-License-Identifier: Apache-2.0 */
/* Work of EXTERNAL POOL rules whose EXEC is firn itself: straight into the engine's queue. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/policy_run_impl.h"
#include "policy/list.h"

#include <errno.h>
#include <string.h>

#define ADD_FILES 256 /* names handed to the engine at once */
#define TASK_FILES                                                                                 \
    20000 /* one task at most; the first ones begin while the rest is handed over                  \
           */
#define WAIT_MS 500

/* A task that was handed over. */
struct given {
    int64_t id;
    struct run_job job;
    struct engine_task_progress progress;
};

struct run_builtin {
    struct run *run;
    struct run_job job;         /* of the open batch */
    struct engine_draft *draft; /* NULL: no batch is open */
    int64_t files;
    int64_t size_kb;
    int64_t handed; /* files of all batches */
    struct engine_file_ref refs[ADD_FILES];
    size_t n_refs;
    struct given *tasks;
    size_t n_tasks;
};

/* ---- what is asked ---- */

static const char *work_name(enum policy_work work)
{
    return work == POLICY_WORK_RECALL       ? "recall"
           : work == POLICY_WORK_PREMIGRATE ? "premigrate"
                                            : "migrate";
}

static int engine_type(enum policy_work work, enum engine_task_type *type)
{
    switch (work) {
    case POLICY_WORK_MIGRATE:
        *type = ENGINE_MIGRATE;
        return 0;
    case POLICY_WORK_PREMIGRATE:
        *type = ENGINE_PREMIGRATE;
        return 0;
    case POLICY_WORK_RECALL:
        *type = ENGINE_RECALL;
        return 0;
    case POLICY_WORK_DELETE:
    case POLICY_WORK_LIST:
        break;
    }
    return -ENOTSUP;
}

/* "pool@library" of each target. */
static char **target_names(const struct policy_target *targets, size_t n)
{
    char **names = xrealloc_array(NULL, n + 1, sizeof(char *));
    for (size_t i = 0; i < n; i++)
        names[i] = targets[i].library[0] != '\0'
                       ? xasprintf("%s@%s", targets[i].pool, targets[i].library)
                       : xstrdup(targets[i].pool);
    names[n] = NULL;
    return names;
}

static void free_names(char **names)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++)
        free(names[i]);
    free(names);
}

static int draft_for(struct run *r, const struct run_job *job, char **names, size_t n,
                     struct engine_draft **out, struct err *err)
{
    struct engine_task_spec spec = {.background = true};
    auto_free char *text =
        xasprintf("policy run %s -P %s (rule '%s')", r->target, r->file, job->rule);
    int rc = engine_type(job->work, &spec.type);
    if (rc != 0)
        return err_set(err, rc, "firn cannot delete from external pool %s yet", job->ext->name);
    if (spec.type != ENGINE_RECALL) {
        if (n == 0 || n > ENGINE_POOLS_MAX)
            return err_set(err, -EINVAL,
                           "OPTS '%s' of external pool %s names %zu tape pools; 1 to %d are "
                           "needed: OPTS '-p POOL@LIBRARY'",
                           job->ext->opts, job->ext->name, n, ENGINE_POOLS_MAX);
        for (size_t i = 0; i < n; i++)
            spec.pools[i] = names[i];
        spec.npools = n;
    }
    spec.parameters = text;
    return engine_draft_new(r->engine, &spec, out, err);
}

/* A new draft for what job asks. */
static int open_draft(struct run *r, const struct run_job *job, struct engine_draft **out,
                      struct err *err)
{
    struct policy_target *targets = NULL;
    size_t n = 0;
    int rc = policy_opts_targets(job->ext->opts, &targets, &n, err);
    if (rc != 0)
        return err_wrap(err, rc, "OPTS of external pool %s", job->ext->name);
    char **names = target_names(targets, n);
    rc = draft_for(r, job, names, n, out, err);
    free_names(names);
    policy_targets_free(targets, n);
    return rc;
}

int run_builtin_check(struct run *r, const struct run_job *job, struct err *err)
{
    struct engine_draft *d = NULL;
    int rc = open_draft(r, job, &d, err);
    engine_draft_free(d);
    return rc;
}

/* ---- handing over ---- */

struct run_builtin *run_builtin_new(struct run *r)
{
    struct run_builtin *b = xzalloc(sizeof(*b));
    b->run = r;
    return b;
}

static void drop_refs(struct run_builtin *b)
{
    for (size_t i = 0; i < b->n_refs; i++)
        free((char *)(uintptr_t)b->refs[i].path);
    b->n_refs = 0;
}

void run_builtin_free(struct run_builtin *b)
{
    if (b == NULL)
        return;
    drop_refs(b);
    engine_draft_free(b->draft);
    free(b->tasks);
    free(b);
}

static int flush_refs(struct run_builtin *b, struct err *err)
{
    int rc = b->n_refs > 0 ? engine_draft_add(b->draft, b->refs, b->n_refs, err) : 0;
    drop_refs(b);
    return rc;
}

static int commit(struct run_builtin *b, struct err *err)
{
    if (b->draft == NULL)
        return 0;
    int rc = flush_refs(b, err);
    if (rc != 0)
        return rc;
    struct given t = {.job = b->job};
    rc = engine_draft_commit(take_ptr(b->draft), &t.progress, err);
    if (rc != 0)
        return err_wrap(err, rc, "handing files over to the engine");
    t.id = t.progress.task_id;
    b->tasks = xrealloc_array(b->tasks, b->n_tasks + 1, sizeof(*b->tasks));
    b->tasks[b->n_tasks++] = t;
    char now[TIMEFMT_MAX];
    timefmt_local(time_now_ns(), now);
    run_sayf(&b->run->out, "%s GLESL700I: Task %s was created successfully, task ID is %lld.", now,
             work_name(t.job.work), (long long)t.id);
    return 0;
}

static bool is_full(const struct run_builtin *b)
{
    uint64_t most = b->job.ext->size_kb;
    return b->files >= TASK_FILES || (most > 0 && (uint64_t)b->size_kb >= most);
}

static int begin(struct run_builtin *b, const struct run_job *job, struct err *err)
{
    bool same = b->draft != NULL && b->job.ext == job->ext && b->job.work == job->work &&
                strcmp(b->job.rule, job->rule) == 0;
    if (same && !is_full(b))
        return 0;
    int rc = commit(b, err);
    if (rc != 0)
        return rc;
    b->job = *job;
    b->files = 0;
    b->size_kb = 0;
    return open_draft(b->run, job, &b->draft, err);
}

int run_builtin_add(struct run_builtin *b, const struct run_job *job, const struct policy_chosen *c,
                    struct err *err)
{
    int rc = begin(b, job, err);
    if (rc != 0)
        return rc;
    b->refs[b->n_refs++] = (struct engine_file_ref){
        .path = xstrndup(c->path, c->path_len), .ino = c->ino, .gen = (uint32_t)c->generation};
    b->files++;
    b->size_kb += c->size_kb;
    b->run->counts.dispatched++;
    b->handed++;
    return b->n_refs == ADD_FILES ? flush_refs(b, err) : 0;
}

/* ---- waiting ---- */

static void tell(struct run_builtin *b, const char *stage)
{
    struct engine_task_progress sum = {0};
    for (size_t i = 0; i < b->n_tasks; i++) {
        const struct engine_task_progress *p = &b->tasks[i].progress;
        sum.done += p->done + p->failed;
        sum.files += p->files;
        sum.bytes_done += p->bytes_done;
        sum.bytes_total += p->bytes_total;
    }
    run_progress(&b->run->out, stage, sum.done, sum.files, sum.bytes_done, sum.bytes_total);
}

/* The line of counts, as eeadm prints it. */
static void say_result(struct run_builtin *b, const struct given *t)
{
    char now[TIMEFMT_MAX];
    auto_json cJSON *args = cJSON_CreateObject();
    auto_json cJSON *task = NULL;
    json_add_int(args, "task_id", t->id);
    const struct engine_call call = {.args = args};
    if (engine_op_task_show(b->run->engine, &call, &task, NULL) != 0)
        return;
    const cJSON *n = cJSON_GetObjectItemCaseSensitive(task, "counts");
    timefmt_local(time_now_ns(), now);
    long long ok = (long long)json_int(n, "succeeded", 0);
    long long bad = (long long)json_int(n, "failed", 0);
    long long twice = (long long)json_int(n, "duplicate", 0);
    long long absent = (long long)json_int(n, "not_found", 0);
    if (t->job.work == POLICY_WORK_RECALL)
        run_sayf(&b->run->out,
                 "%s GLESL263I: Recall result: %lld succeeded, %lld failed, %lld duplicate, "
                 "%lld not migrated, %lld not found, 0 unknown",
                 now, ok, bad, twice, (long long)json_int(n, "not_migrated", 0), absent);
    else
        run_sayf(&b->run->out,
                 "%s GLESL038I: Migration result: %lld succeeded, %lld failed, %lld duplicate, "
                 "0 duplicate wrong pool, %lld not found, %lld too small, %lld too early",
                 now, ok, bad, twice, absent, (long long)json_int(n, "too_small", 0),
                 (long long)json_int(n, "too_early", 0));
    if (t->progress.failed > 0)
        run_sayf(&b->run->out, "[W] Files of task %lld failed; firn task show %lld -r names them.",
                 (long long)t->id, (long long)t->id);
}

static int wait_for(struct run_builtin *b, struct given *t, struct err *err)
{
    while (!t->progress.ended) {
        int rc = engine_task_wait(b->run->engine, t->id, WAIT_MS, &t->progress, err);
        if (rc == -ESHUTDOWN || (rc == 0 && !t->progress.ended && engine_stopping(b->run->engine)))
            return err_set(err, -ESHUTDOWN,
                           "firnd is stopping; task %lld goes on when it runs again",
                           (long long)t->id);
        if (rc != 0)
            return err_wrap(err, rc, "task %lld", (long long)t->id);
        tell(b, t->progress.stage);
    }
    return 0;
}

int run_builtin_finish(struct run_builtin *b, struct err *err)
{
    int rc = commit(b, err);
    if (b->run->pass != NULL) {
        b->run->counts.executed += rc == 0 ? b->handed : 0;
        return rc;
    }
    for (size_t i = 0; rc == 0 && i < b->n_tasks; i++) {
        struct given *t = &b->tasks[i];
        rc = wait_for(b, t, err);
        if (rc != 0)
            break;
        say_result(b, t);
        b->run->counts.executed += t->progress.done;
        b->run->counts.failed += t->progress.failed;
    }
    return rc;
}
