/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn lustre archive, restore, release, remove, cancel: a run of the stager with its report, its
 * resume file and its progress line.
 */
#include "base/mem.h"
#include "base/timefmt.h"
#include "cmd/lustre_impl.h"
#include "lustre/action.h"
#include "lustre/hsm_params.h"
#include "lustre/stager_report.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define FAILURES_MAX 100 /* named on standard error; the rest only counted */
#define PICTURE_NS   (30 * NS_PER_SEC)

struct run {
    struct cmd_ctx *ctx;
    const struct cmd_args *args;
    struct lustre_files files;
    struct stager_config cfg;
    struct stager_counts counts;
    struct stager_resume *resume; /* NULL: none */
    struct stager_resumed resumed;
    char *resume_path;
    struct stager_report *report; /* NULL: none */
    FILE *failed;                 /* list of those that failed; NULL */
    uint64_t total;               /* of this run; 0: not known */
    uint64_t nfailed;
    struct err trouble; /* of the resume file, in a function that cannot fail */
    int64_t picture_ns;
    int64_t begin_ns;
};

/* ---- what the stager tells ---- */

static const char *name_of(const struct stager_outcome *o, char *fid)
{
    return o->path[0] != '\0' ? o->path : fid_text(&o->fid, fid);
}

/* One record of the list of failures, as --from-list reads it. */
static void put_failed(struct run *r, const char *name)
{
    if (cmd_has(r->args, "null")) {
        (void)fputs(name, r->failed);
        (void)fputc('\0', r->failed);
    } else if (strchr(name, '\n') == NULL) {
        (void)fprintf(r->failed, "%s\n", name);
    } else {
        (void)fputs("0 0 0   -- ", r->failed);
        for (const char *p = name; *p != '\0'; p++) {
            if (*p == '\n' || *p == '\\')
                (void)fputs(*p == '\n' ? "\\n" : "\\\\", r->failed);
            else
                (void)fputc(*p, r->failed);
        }
        (void)fputc('\n', r->failed);
    }
}

static void show_failure(struct run *r, const struct stager_outcome *o, const char *name)
{
    if (r->nfailed++ >= FAILURES_MAX)
        return;
    cmd_progress_clear(&r->files.progress);
    (void)fprintf(stderr, "%s: ", r->ctx->program->name);
    cmd_put_text(stderr, name);
    (void)fprintf(stderr, ": %s: %s\n", o->reason, strerror(o->error));
}

static void on_outcome(void *arg, const struct stager_outcome *o)
{
    struct run *r = arg;
    char fid[FID_TEXT_MAX];
    const char *name = name_of(o, fid);
    if (r->report != NULL)
        stager_report_add(r->report, r->cfg.action, o, time_now_ns());
    if (r->resume != NULL)
        stager_resume_ended(r->resume, o->ordinal, o->result, o->size);
    if (o->result == STAGER_FAILED) {
        show_failure(r, o, name);
        if (r->failed != NULL)
            put_failed(r, name);
    }
    if (o->result == STAGER_PLANNED && !r->ctx->json) {
        (void)printf("would %s: ", stager_action_name(r->cfg.action));
        cmd_put_text(stdout, name);
        (void)putchar('\n');
    }
}

static void on_sent(void *arg, const uint64_t *ordinals, size_t n)
{
    struct run *r = arg;
    if (r->resume != NULL && r->trouble.code == 0)
        (void)stager_resume_sent(r->resume, ordinals, n, &r->trouble);
}

/* Report first, then the resume file, which tells how much of the report counts. */
static int save(struct run *r, bool picture, struct err *err)
{
    uint64_t len = 0;
    int rc = r->report != NULL ? stager_report_flush(r->report, &len, err) : 0;
    if (rc == 0 && r->failed != NULL && fflush(r->failed) != 0)
        rc = err_sys(err, errno, "list of failures %s", cmd_value(r->args, "failed"));
    if (rc == 0 && r->resume != NULL)
        rc = stager_resume_flush(r->resume, len, picture, err);
    return rc;
}

static void draw(struct run *r, const struct stager_counts *c)
{
    auto_json cJSON *event = cJSON_CreateObject();
    uint64_t done = c->results[STAGER_DONE] + c->results[STAGER_ALREADY] +
                    c->results[STAGER_QUEUED] + c->results[STAGER_PLANNED];
    json_add_str(event, "stage", c->refused ? "refused" : stager_action_name(r->cfg.action));
    json_add_int(event, "done", (int64_t)done);
    json_add_int(event, "failed", (int64_t)c->results[STAGER_FAILED]);
    json_add_int(event, "total", (int64_t)r->total);
    json_add_int(event, "bytes_done", (int64_t)c->bytes_done);
    json_add_int(event, "in_work", (int64_t)c->outstanding);
    json_add_int(event, "eta_s", c->eta_s);
    cmd_progress_draw(&r->files.progress, event);
}

static int on_tick(void *arg, const struct stager_counts *c, struct err *err)
{
    struct run *r = arg;
    int64_t now = time_mono_ns();
    draw(r, c);
    if (r->trouble.code != 0) {
        *err = r->trouble;
        return r->trouble.code;
    }
    bool picture = now - r->picture_ns >= PICTURE_NS;
    if (picture)
        r->picture_ns = now;
    return save(r, picture, err);
}

/* ---- options ---- */

static enum stager_action action_of(const struct cmd_args *args)
{
    for (int a = STAGER_ARCHIVE; a < STAGER_CANCEL; a++)
        if (strcmp(stager_action_name((enum stager_action)a), args->cmd->name) == 0)
            return (enum stager_action)a;
    return STAGER_CANCEL;
}

static int take_numbers(struct run *r)
{
    static const struct {
        const char *name;
        int64_t dflt, min, max;
    } numbers[] = {
        {"window", STAGER_WINDOW, 1, STAGER_WINDOW_MAX},
        {"retries", 3, 0, 1000},
        {"threads", 8, 1, 64},
        {"polls", 500, 1, 100000},
        {"timeout", 0, 0, 31536000},
        {"patience", 600, 1, 31536000},
        {"archive-id", 0, 1, INT32_MAX},
    };
    int64_t v[sizeof(numbers) / sizeof(numbers[0])];
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int rc = cmd_number(r->args, numbers[i].name, numbers[i].dflt, numbers[i].min,
                            numbers[i].max, &v[i]);
        if (rc != 0)
            return rc;
    }
    r->cfg.window = (unsigned)v[0];
    r->cfg.retries = (unsigned)v[1];
    r->cfg.threads = (unsigned)v[2];
    r->cfg.polls_per_s = (unsigned)v[3];
    r->cfg.timeout_ns = v[4] * NS_PER_SEC;
    r->cfg.patience_ns = v[5] * NS_PER_SEC;
    r->cfg.hint.archive_id = (uint32_t)v[6];
    return 0;
}

static int take_order(struct run *r)
{
    const char *order = cmd_value(r->args, "order");
    r->cfg.ordered = order == NULL || strcmp(order, "fid") == 0;
    if (!r->cfg.ordered && strcmp(order, "list") != 0)
        return cmd_usage(r->args, "--order \"%s\": fid or list is wanted", order);
    return 0;
}

static int check_together(struct run *r)
{
    const struct cmd_args *a = r->args;
    if (cmd_has(a, "wait") && cmd_has(a, "no-wait"))
        return cmd_usage(a, "--wait and --no-wait exclude each other");
    if (cmd_has(a, "no-wait") && cmd_has(a, "release"))
        return cmd_usage(a, "--release needs the end of the archive, so it excludes --no-wait");
    if ((cmd_has(a, "resume") || cmd_has(a, "restart")) && !cmd_has(a, "from-list"))
        return cmd_usage(a, "--resume and --restart are for --from-list FILE");
    return 0;
}

static int take_options(struct run *r)
{
    struct err e = {0};
    const char *data = cmd_value(r->args, "data");
    r->cfg.action = action_of(r->args);
    r->cfg.wait = !cmd_has(r->args, "no-wait");
    r->cfg.dry_run = cmd_has(r->args, "dry-run");
    r->cfg.names = cmd_has(r->args, "report") || cmd_has(r->args, "failed");
    int rc = take_numbers(r);
    if (rc == 0)
        rc = take_order(r);
    if (rc == 0)
        rc = check_together(r);
    if (rc == 0 && data != NULL && stager_data_check(data, &e) < 0)
        rc = cmd_usage(r->args, "--data: %s", e.text);
    r->cfg.hint.data = data;
    r->cfg.hint.release = cmd_has(r->args, "release");
    return rc;
}

/* ---- going on ---- */

/* Where the resume file is: NULL for none. */
static char *resume_place(const struct run *r)
{
    const char *given = cmd_value(r->args, "resume");
    const char *list = cmd_value(r->args, "from-list");
    if (r->cfg.dry_run || list == NULL)
        return NULL;
    if (given != NULL)
        return xstrdup(given);
    if (r->files.list.size == 0) /* a pipe, or empty */
        return NULL;
    return xasprintf("%s.%s.resume", list, r->args->cmd->name);
}

static int go_to(struct run *r)
{
    struct lustre_files *f = &r->files;
    const struct stager_resumed *old = &r->resumed;
    if (!f->pending || old->ordinal <= f->first.ordinal)
        return 0;
    f->pending = false;
    return stager_list_seek(&f->list, old->ordinal, old->offset, &r->ctx->err);
}

static void say_resumed(const struct run *r)
{
    if (r->resumed.damaged)
        (void)fprintf(stderr,
                      "%s: %s is damaged and not believed; all files are looked at again, and what "
                      "is done is known by its state\n",
                      r->ctx->program->name, r->resume_path);
    if (r->resumed.found && !r->ctx->json)
        (void)fprintf(stderr, "%s: going on with %s: %" PRIu64 " files have ended before\n",
                      r->ctx->program->name, r->resume_path, r->resumed.ended);
}

static int open_resume(struct run *r)
{
    r->resume_path = resume_place(r);
    if (r->resume_path == NULL)
        return 0;
    const struct stager_resume_id id = {.action = r->cfg.action,
                                        .archive_id = r->cfg.hint.archive_id,
                                        .list_size = r->files.list.size,
                                        .list_mtime_ns = r->files.list.mtime_ns};
    int rc = stager_resume_open(r->resume_path, &id, cmd_has(r->args, "restart"), &r->resume,
                                &r->resumed, &r->ctx->err);
    if (rc < 0)
        return rc;
    say_resumed(r);
    r->files.resume = r->resume;
    return r->resumed.found ? go_to(r) : 0;
}

static int open_outputs(struct run *r)
{
    const char *report = cmd_value(r->args, "report");
    const char *failed = cmd_value(r->args, "failed");
    int rc = 0;
    if (report != NULL)
        rc = stager_report_open(report, r->resumed.report_len, &r->report, &r->ctx->err);
    if (rc < 0 || failed == NULL)
        return rc;
    r->failed = fopen(failed, r->resumed.found ? "ae" : "we");
    return r->failed != NULL ? 0 : err_sys(&r->ctx->err, errno, "list of failures %s", failed);
}

/* ---- the end ---- */

static uint64_t sum(const struct run *r, enum stager_result result)
{
    return r->resumed.results[result] + r->counts.results[result];
}

static void print_json(const struct run *r, bool complete)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "action", stager_action_name(r->cfg.action));
    for (int i = 0; i < STAGER_RESULTS; i++)
        json_add_int(j, stager_result_name((enum stager_result)i),
                     (int64_t)sum(r, (enum stager_result)i));
    json_add_int(j, "outstanding", (int64_t)r->counts.outstanding);
    json_add_int(j, "outstanding_max", (int64_t)r->counts.outstanding_max);
    json_add_int(j, "requests", (int64_t)r->counts.requests);
    json_add_int(j, "bytes", (int64_t)(r->resumed.bytes_done + r->counts.bytes_done));
    const int64_t ms = (time_mono_ns() - r->begin_ns) / 1000000;
    (void)cJSON_AddNumberToObject(j, "seconds", (double)ms / 1000.0);
    (void)cJSON_AddBoolToObject(j, "complete", complete);
    if (r->resume != NULL && !complete)
        json_add_str(j, "resume", r->resume_path);
    (void)cmd_print_payload(j);
}

static void print_text(const struct run *r)
{
    char bytes[CMD_NUMBER_MAX];
    int64_t s = (time_mono_ns() - r->begin_ns) / NS_PER_SEC;
    (void)printf("%s: %" PRIu64 " done, %" PRIu64 " already, %" PRIu64 " queued, %" PRIu64
                 " failed",
                 stager_action_name(r->cfg.action), sum(r, STAGER_DONE), sum(r, STAGER_ALREADY),
                 sum(r, STAGER_QUEUED), sum(r, STAGER_FAILED));
    if (r->cfg.dry_run)
        (void)printf(", %" PRIu64 " would be requested", sum(r, STAGER_PLANNED));
    (void)printf("; %s in %" PRId64 ":%02" PRId64 ":%02" PRId64 "\n",
                 cmd_human_bytes((int64_t)(r->resumed.bytes_done + r->counts.bytes_done), bytes),
                 s / 3600, s / 60 % 60, s % 60);
}

static void say_rest(const struct run *r, bool complete)
{
    const char *me = r->ctx->program->name;
    const char *report = cmd_value(r->args, "report");
    if (r->nfailed > FAILURES_MAX)
        (void)fprintf(stderr, "%s: %" PRIu64 " more failed; %s%s\n", me, r->nfailed - FAILURES_MAX,
                      report != NULL ? "all are in " : "--report FILE or --failed FILE names all",
                      report != NULL ? report : "");
    if (complete)
        return;
    if (r->counts.outstanding > 0)
        (void)fprintf(stderr,
                      "%s: %" PRIu64
                      " files are in the coordinator's queue and go on (\"firn lustre "
                      "cancel\" stops them)\n",
                      me, r->counts.outstanding);
    if (r->resume != NULL)
        (void)fprintf(stderr, "%s: the same command goes on where this one ended (%s)\n", me,
                      r->resume_path);
}

static int conclude(struct run *r, int rc)
{
    struct err e = {0};
    bool complete = rc == 0;
    cmd_progress_clear(&r->files.progress);
    int saved = save(r, !complete, complete ? &r->ctx->err : &e);
    if (complete && saved < 0) {
        complete = false;
        rc = saved;
    }
    if (r->ctx->json)
        print_json(r, complete);
    else
        print_text(r);
    (void)fflush(stdout);
    say_rest(r, complete);
    stager_resume_close(r->resume, complete);
    r->resume = NULL;
    if (rc == 0 && sum(r, STAGER_FAILED) > 0)
        return CMD_EXIT_FAILED;
    return rc == STAGER_INTERRUPTED ? CMD_EXIT_FAILED : rc;
}

/* ---- the run ---- */

static int run_all(struct run *r)
{
    const struct stager_sink sink = {
        .outcome = on_outcome, .sent = on_sent, .tick = on_tick, .arg = r};
    uint64_t total = lustre_files_total(&r->files);
    r->total = total > r->resumed.ended ? total - r->resumed.ended : 0;
    r->files.source.total = r->total;
    r->cfg.api = r->files.api;
    r->cfg.mount = r->files.mount;
    r->cfg.clock = clock_real();
    r->cfg.params = hsm_param_roots;
    r->begin_ns = time_mono_ns();
    r->picture_ns = r->begin_ns;
    cmd_progress_init(&r->files.progress);
    return conclude(r, stager_run(&r->cfg, &r->files.source, &sink, &r->counts, &r->ctx->err));
}

int cmd_lustre_run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct run r = {.ctx = ctx, .args = args};
    atomic_bool *stop = NULL;
    int rc = take_options(&r);
    if (rc != 0)
        return rc;
    lustre_catch_signals(&stop);
    r.cfg.stop = stop;
    rc = lustre_files_open(&r.files, ctx, args);
    r.files.hint = r.cfg.hint;
    r.files.stop = stop;
    if (rc == 0)
        rc = open_resume(&r);
    if (rc == 0)
        rc = open_outputs(&r);
    if (rc == 0)
        rc = lustre_files_choose(&r.files, r.cfg.action,
                                 r.cfg.action == STAGER_REMOVE || r.cfg.action == STAGER_CANCEL);
    if (rc == 0)
        rc = run_all(&r);
    stager_resume_close(r.resume, false);
    stager_report_close(r.report);
    if (r.failed != NULL)
        (void)fclose(r.failed);
    lustre_files_fini(&r.files);
    free(r.resume_path);
    return rc;
}
