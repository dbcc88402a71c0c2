/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/policy_run.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/policy_run_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <utlist.h>

#define TELL_NS          500000000
#define BATCH_FILES      100 /* as mmapplypolicy -B */
#define BATCH_FILES_MOST 1000000
#define PARALLEL         24 /* as mmapplypolicy -m */
#define PARALLEL_MOST    256
#define KIB              1024

/* A run that is on, by file system. */
struct active {
    const char *fs;
    struct active *prev, *next;
};

struct policy_runner {
    struct engine *engine;
    pthread_mutex_t lock; /* over active */
    struct active *active;
};

struct policy_runner *policy_runner_new(struct engine *e)
{
    struct policy_runner *r = xzalloc(sizeof(*r));
    r->engine = e;
    (void)pthread_mutex_init(&r->lock, NULL);
    return r;
}

void policy_runner_free(struct policy_runner *r)
{
    if (r == NULL)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- output ---- */

static bool is_dropped(const struct run_out *out, const char *text, size_t n)
{
    return out->fn == NULL || (out->errors_only && n > 2 && text[0] == '[' && text[1] != 'E');
}

static void say_line(struct run_out *out, const char *text, size_t n)
{
    if (is_dropped(out, text, n))
        return;
    auto_free char *line = xstrndup(text, n);
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "kind", "line");
    json_add_str(event, "text", line);
    lock_scope(&out->lock);
    out->fn(out->arg, event);
}

void run_say(struct run_out *out, const struct buf *text)
{
    const char *p = text->data;
    size_t left = text->len;
    while (left > 0) {
        const char *nl = memchr(p, '\n', left);
        size_t n = nl != NULL ? (size_t)(nl - p) : left;
        say_line(out, p, n);
        n += nl != NULL ? 1 : 0;
        p += n;
        left -= n;
    }
}

void run_sayf(struct run_out *out, const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    say_line(out, text, (size_t)n);
    free(text);
}

static bool is_time_to_tell(struct run_out *out)
{
    int64_t now = time_mono_ns();
    lock_scope(&out->lock);
    if (now - out->last_ns < TELL_NS)
        return false;
    out->last_ns = now;
    return true;
}

void run_progress(struct run_out *out, const char *stage, int64_t done, int64_t total,
                  int64_t bytes_done, int64_t bytes_total)
{
    bool last = total > 0 && done == total;
    if (out->fn == NULL || (!is_time_to_tell(out) && !last))
        return;
    cJSON *event = cJSON_CreateObject();
    json_add_str(event, "kind", "progress");
    json_add_str(event, "stage", stage);
    json_add_int(event, "done", done);
    if (total >= 0)
        json_add_int(event, "total", total);
    json_add_int(event, "bytes_done", bytes_done);
    json_add_int(event, "bytes_total", bytes_total);
    lock_scope(&out->lock);
    out->fn(out->arg, event);
}

/* ---- arguments ---- */

static int take_mode(struct run *r, const cJSON *args, struct err *err)
{
    static const char *const names[] = {"yes", "test", "defer", "prepare"};
    const char *mode = json_str(args, "mode", "yes");
    for (int i = RUN_YES; i <= RUN_PREPARE; i++) {
        if (strcmp(mode, names[i]) == 0) {
            r->mode = (enum run_mode)i;
            return 0;
        }
    }
    return err_set(err, -EINVAL, "mode \"%.40s\" is none of yes, test, defer, prepare", mode);
}

static int take_prefix(struct run *r, const cJSON *args, struct err *err)
{
    r->prefix = xstrdup(json_str(args, "prefix", NULL));
    if (r->mode != RUN_DEFER && r->mode != RUN_PREPARE)
        return 0;
    if (r->prefix == NULL || r->prefix[0] != '/')
        return err_set(err, -EINVAL, "mode %s needs a prefix for its files (-f), an absolute path",
                       r->mode == RUN_DEFER ? "defer" : "prepare");
    return 0;
}

static int take_number(const cJSON *args, const char *name, int64_t dflt, int64_t most,
                       int64_t *out, struct err *err)
{
    *out = json_int(args, name, dflt);
    if (*out >= 1 && *out <= most)
        return 0;
    return err_set(err, -EINVAL, "%s is a number from 1 to %lld", name, (long long)most);
}

int run_take_numbers(struct run *r, const cJSON *args, struct err *err)
{
    int64_t parallel = 0;
    int64_t level = json_int(args, "level", POLICY_LEVEL_SUMMARY);
    if (level < POLICY_LEVEL_ERRORS || level > POLICY_LEVEL_ALL)
        return err_set(err, -EINVAL, "level is a number from 0 to 6");
    r->level = (enum policy_level)level;
    r->out.errors_only = level == POLICY_LEVEL_ERRORS;
    int rc = take_number(args, "batch_files", BATCH_FILES, BATCH_FILES_MOST, &r->batch_files, err);
    if (rc == 0)
        rc = take_number(args, "parallel", PARALLEL, PARALLEL_MOST, &parallel, err);
    r->parallel = (unsigned)parallel;
    return rc;
}

static int take_time(struct run *r, const cJSON *args, struct err *err)
{
    const char *text = json_str(args, "as_of", NULL);
    r->now_ns = time_now_ns();
    if (text == NULL || timefmt_parse_iso(text, &r->now_ns) == 0)
        return 0;
    auto_free char *full = xasprintf("%s:00", text); /* the seconds may be left out */
    if (strchr(text, ':') != NULL && timefmt_parse_iso(full, &r->now_ns) == 0)
        return 0;
    return err_set(err, -EINVAL, "as_of \"%.40s\" is no time: YYYY-MM-DD[@HH:MM:SS]", text);
}

static int take_paths(struct run *r, const cJSON *args, struct err *err)
{
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(args, "input_paths");
    const cJSON *item = NULL;
    if (list == NULL)
        return 0;
    r->input_paths = xrealloc_array(NULL, (size_t)cJSON_GetArraySize(list) + 1, sizeof(char *));
    cJSON_ArrayForEach (item, list) {
        const char *path = cJSON_GetStringValue(item);
        if (path == NULL)
            return err_set(err, -EINVAL, "input_paths holds something else than paths");
        r->input_paths[r->n_input_paths++] = xstrdup(path);
    }
    return 0;
}

static int no_such_target(struct run *r, struct err *err)
{
    auto_buf struct buf names = {0};
    for (size_t i = 0; i < r->conf->filesystem_count; i++)
        buf_addf(&names, "%s%s (%s)", i > 0 ? ", " : "", r->conf->filesystems[i].name,
                 r->conf->filesystems[i].path);
    return err_set(err, -ENOENT, "%.200s is no managed file system and lies in none; there are: %s",
                   r->target, names.data != NULL ? names.data : "none");
}

/* path without double slashes and slashes at the end. */
static char *tidy_path(const char *path)
{
    char *out = xstrdup(path);
    size_t n = 0;
    for (const char *p = path; *p != '\0'; p++)
        if (*p != '/' || n == 0 || out[n - 1] != '/')
            out[n++] = *p;
    while (n > 1 && out[n - 1] == '/')
        n--;
    out[n] = '\0';
    return out;
}

/* Symbolic links and ".." may not lead the scan out of the file system. */
static int check_inside(const struct run *r, struct err *err)
{
    auto_free char *top = realpath(r->fs->path, NULL);
    auto_free char *root = top != NULL ? realpath(r->root, NULL) : NULL;
    if (root == NULL)
        return err_sys(err, errno, "%s", r->target);
    size_t n = strlen(top);
    if (strncmp(root, top, n) == 0 && (root[n] == '\0' || root[n] == '/' || n == 1))
        return 0;
    return err_set(err, -EINVAL, "%s leads out of file system %s, to %s", r->target, r->fs->name,
                   root);
}

int run_take_target(struct run *r, const cJSON *args, struct err *err)
{
    const char *target = NULL;
    int rc = json_need_str(args, "target", &target, err);
    if (rc != 0)
        return rc;
    r->target = tidy_path(target);
    r->fs = conf_find_filesystem(r->conf, r->target);
    if (r->fs == NULL)
        return no_such_target(r, err);
    r->root = xstrdup(r->target[0] == '/' ? r->target : r->fs->path);
    return check_inside(r, err);
}

static int take_args(struct run *r, const cJSON *args, struct err *err)
{
    int rc = run_take_target(r, args, err);
    if (rc == 0)
        rc = take_mode(r, args, err);
    if (rc == 0)
        rc = take_prefix(r, args, err);
    if (rc == 0)
        rc = run_take_numbers(r, args, err);
    if (rc == 0)
        rc = take_time(r, args, err);
    if (rc == 0)
        rc = take_paths(r, args, err);
    return rc;
}

void run_fini(struct run *r)
{
    policy_chooser_free(r->chooser);
    policy_free(r->policy);
    for (size_t i = 0; i < r->n_input_paths; i++)
        free(r->input_paths[i]);
    free(r->input_paths);
    free(r->prefix);
    free(r->root);
    free(r->target);
    (void)pthread_mutex_destroy(&r->out.lock);
}

/* ---- compiling ---- */

static cJSON *diag_json(const struct policy_diag *d)
{
    cJSON *j = cJSON_CreateObject();
    auto_buf struct buf caret = {0};
    policy_diag_print(d, &caret);
    json_add_str(j, "file", d->file);
    json_add_int(j, "line", d->line);
    json_add_int(j, "column", d->column);
    json_add_str(j, "source", d->source);
    json_add_str(j, "caret", caret.data != NULL ? caret.data : "");
    json_add_str(j, "message", d->message);
    json_add_str(j, "expected", d->expected);
    return j;
}

static size_t macros_of(const cJSON *args, struct policy_macro **out, struct err *err, int *rc)
{
    const cJSON *macros = cJSON_GetObjectItemCaseSensitive(args, "macros");
    const cJSON *m = NULL;
    size_t n = 0;
    *out = xrealloc_array(NULL, (size_t)cJSON_GetArraySize(macros) + 1, sizeof(**out));
    *rc = 0;
    cJSON_ArrayForEach (m, macros) {
        const char *value = cJSON_GetStringValue(m);
        if (value == NULL)
            *rc = err_set(err, -EINVAL, "macro %s has no text", m->string);
        (*out)[n++] = (struct policy_macro){.name = m->string, .value = value};
    }
    return n;
}

/* The disk pools of all file systems; names borrowed. */
static size_t disk_pools(const struct conf *conf, const char ***out)
{
    *out = xrealloc_array(NULL, conf->filesystem_count + 1, sizeof(char *));
    for (size_t i = 0; i < conf->filesystem_count; i++)
        (*out)[i] = conf->filesystems[i].pool;
    return conf->filesystem_count;
}

/* Compiles text (or the file). *details: where it is wrong. */
static int compile(const struct conf *conf, const cJSON *args, const char *file,
                   struct policy **out, cJSON **details, struct err *err)
{
    struct policy_diag diag = {0};
    auto_free struct policy_macro *macros = NULL;
    auto_free const char **pools = NULL;
    int rc = 0;
    struct policy_options opt = {.file = file};
    opt.n_macros = macros_of(args, &macros, err, &rc);
    if (rc != 0)
        return rc;
    opt.n_pools = disk_pools(conf, &pools);
    opt.macros = macros;
    opt.pools = opt.n_pools > 0 ? pools : NULL;
    opt.include_dirs = (const char *const *)conf->policy.include_dirs.items;
    opt.n_include_dirs = conf->policy.include_dirs.count;
    const char *text = json_str(args, "text", NULL);
    rc = text != NULL ? policy_compile(text, strlen(text), &opt, out, &diag, err)
                      : policy_compile_file(file, &opt, out, &diag, err);
    if (rc == -EINVAL && diag.line > 0)
        *details = diag_json(&diag);
    return rc;
}

int run_take_policy(const struct conf *conf, const cJSON *args, const char **file,
                    struct policy **out, cJSON **details, struct err *err)
{
    *file = json_str(args, "file", NULL);
    if (*file == NULL && json_str(args, "text", NULL) == NULL)
        return err_set(err, -EINVAL, "no policy is given: file (-P) or text");
    if (*file != NULL && (*file)[0] != '/' && json_str(args, "text", NULL) == NULL)
        return err_set(err, -EINVAL, "policy file %s is no absolute path", *file);
    if (*file == NULL)
        *file = "policy";
    return compile(conf, args, *file, out, details, err);
}

static void add_warnings(cJSON *j, const struct policy *p)
{
    cJSON *list = cJSON_AddArrayToObject(j, "warnings");
    const char *w = NULL;
    for (size_t i = 0; (w = policy_warning(p, i)) != NULL; i++)
        (void)cJSON_AddItemToArray(list, cJSON_CreateString(w));
}

struct engine *policy_runner_engine(const struct policy_runner *r)
{
    return r->engine;
}

int policy_run_check(struct policy_runner *r, const cJSON *args, cJSON **result, struct err *err)
{
    const char *file = NULL;
    struct policy *p = NULL;
    int rc = run_take_policy(engine_conf(r->engine), args, &file, &p, result, err);
    if (rc != 0)
        return rc;
    *result = cJSON_CreateObject();
    json_add_int(*result, "rules", (int64_t)policy_n_rules(p));
    add_warnings(*result, p);
    policy_free(p);
    return 0;
}

/* ---- the run ---- */

int run_take_pool(struct run *r, struct err *err)
{
    struct statvfs v;
    if (statvfs(r->fs->path, &v) != 0)
        return err_sys(err, errno, "%s", r->fs->path);
    r->pool.name = r->fs->pool;
    r->pool.total_kb = (uint64_t)v.f_blocks * v.f_frsize / KIB;
    r->pool.used_kb = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize / KIB;
    return 0;
}

static void say_beginning(struct run *r)
{
    auto_buf struct buf b = {0};
    const char *w = NULL;
    for (size_t i = 0; (w = policy_warning(r->policy, i)) != NULL; i++)
        buf_addf(&b, "[W] %s\n", w);
    if (r->level >= POLICY_LEVEL_SUMMARY) {
        policy_report_pools(&b, &r->pool, 1);
        policy_report_policy(&b, r->policy, r->file, r->now_ns);
    }
    run_say(&r->out, &b);
}

static void say_chosen(struct run *r)
{
    auto_buf struct buf b = {0};
    struct policy_chosen c;
    while (r->level >= POLICY_LEVEL_CHOSEN && policy_chooser_next(r->chooser, &c)) {
        buf_reset(&b);
        policy_report_chosen(&b, r->policy, &c);
        run_say(&r->out, &b);
    }
    policy_chooser_rewind(r->chooser);
}

static void say_choice(struct run *r)
{
    auto_buf struct buf b = {0};
    if (r->level < POLICY_LEVEL_SUMMARY)
        return;
    policy_report_rules(&b, r->policy, r->chooser);
    policy_report_totals(&b, r->chooser);
    run_say(&r->out, &b);
    say_chosen(r);
}

static void say_end(struct run *r)
{
    auto_buf struct buf b = {0};
    if (r->level < POLICY_LEVEL_SUMMARY || r->mode != RUN_YES)
        return;
    policy_report_progress(&b, time_now_ns(), (uint64_t)r->counts.dispatched);
    policy_report_end(&b, (uint64_t)r->counts.executed, (uint64_t)r->counts.failed);
    run_say(&r->out, &b);
}

int run_choose(struct run *r, struct err *err)
{
    const struct policy_chooser_config cfg = {
        .pools = &r->pool, .n_pools = 1, .work_dir = r->conf->state_dir};
    r->chooser = policy_chooser_new(r->policy, &cfg);
    int rc = run_scan(r, err);
    return rc != 0 ? rc : policy_chooser_choose(r->chooser, err);
}

static int carry_out(struct run *r, struct err *err)
{
    switch (r->mode) {
    case RUN_YES:
        return run_execute(r, err);
    case RUN_DEFER:
    case RUN_PREPARE:
        return run_write_lists(r, err);
    case RUN_TEST:
        break;
    }
    return 0;
}

static void add_rule(cJSON *list, struct run *r, unsigned i)
{
    struct policy_rule_stats s = {0};
    cJSON *j = cJSON_CreateObject();
    policy_chooser_rule_stats(r->chooser, i, &s);
    json_add_int(j, "rule", i);
    json_add_int(j, "hits", (int64_t)s.hits);
    json_add_int(j, "kb_hit", s.kb_hit);
    json_add_int(j, "chosen", (int64_t)s.chosen);
    json_add_int(j, "kb_chosen", s.kb_chosen);
    json_add_int(j, "kb_ill", s.kb_ill);
    json_add_str(j, "summary", policy_rule(r->policy, i)->summary);
    (void)cJSON_AddItemToArray(list, j);
}

static cJSON *summary(struct run *r)
{
    struct policy_totals t = {0};
    cJSON *j = cJSON_CreateObject();
    policy_chooser_totals(r->chooser, &t);
    json_add_int(j, "candidates",
                 (int64_t)(t.migrate_candidates + t.del_candidates + t.list_candidates));
    json_add_int(j, "chosen", (int64_t)(t.migrate + t.premigrate + t.del + t.list));
    json_add_int(j, "chosen_kb", t.migrate_kb + t.premigrate_kb + t.del_kb + t.list_kb);
    json_add_int(j, "executed", r->counts.executed);
    json_add_int(j, "failed", r->counts.failed);
    json_add_int(j, "exit", r->counts.failed > 0 ? 1 : 0);
    cJSON *rules = cJSON_AddArrayToObject(j, "rules");
    for (unsigned i = 0; i < policy_n_rules(r->policy); i++)
        add_rule(rules, r, i);
    return j;
}

/* A rule that cannot be carried out is a fault of the policy: told with its line. */
int run_check_rules(struct run *r, cJSON **details, struct err *err)
{
    unsigned line = 0;
    int rc = run_preflight(r, &line, err);
    if (rc == 0)
        return 0;
    *details = cJSON_CreateObject();
    json_add_str(*details, "file", r->file);
    json_add_int(*details, "line", line);
    return err_wrap(err, rc, "%s:%u", r->file, line);
}

static int run_phases(struct run *r, cJSON **result, struct err *err)
{
    int rc = run_take_pool(r, err);
    if (rc != 0)
        return rc;
    say_beginning(r);
    rc = run_check_rules(r, result, err);
    if (rc == 0)
        rc = run_choose(r, err);
    if (rc != 0)
        return rc;
    say_choice(r);
    rc = carry_out(r, err);
    if (rc != 0)
        return rc;
    say_end(r);
    *result = summary(r);
    return 0;
}

/* Notes that a run is on; refuses a second one when that is asked. */
static int enter(struct policy_runner *runner, struct active *a, bool single, struct err *err)
{
    struct active *other = NULL;
    lock_scope(&runner->lock);
    DL_FOREACH (runner->active, other) {
        if (single && strcmp(other->fs, a->fs) == 0)
            return err_set(err, -EBUSY, "another policy run is on file system %s", a->fs);
    }
    DL_APPEND(runner->active, a);
    return 0;
}

static void leave(struct policy_runner *runner, struct active *a)
{
    lock_scope(&runner->lock);
    DL_DELETE(runner->active, a);
}

static int run_alone(struct policy_runner *runner, struct run *r, const cJSON *args, cJSON **result,
                     struct err *err)
{
    struct active a = {.fs = r->fs->name};
    int rc = enter(runner, &a, json_bool(args, "single_instance", false), err);
    if (rc != 0)
        return rc;
    log_info("policy %s on %s begins", r->file, r->target);
    rc = run_phases(r, result, err);
    log_info("policy %s on %s: %" PRId64 " executed, %" PRId64 " failed%s%s", r->file, r->target,
             r->counts.executed, r->counts.failed, rc != 0 ? ": " : "", rc != 0 ? err->text : "");
    leave(runner, &a);
    return rc;
}

int policy_run(struct policy_runner *runner, const cJSON *args, policy_run_event_fn *event,
               void *event_arg, cJSON **result, struct err *err)
{
    struct err own = {0};
    struct err *e = err != NULL ? err : &own;
    struct run r = {.engine = runner->engine,
                    .conf = engine_conf(runner->engine),
                    .out = {.fn = event, .arg = event_arg}};
    (void)pthread_mutex_init(&r.out.lock, NULL);
    int rc = take_args(&r, args, e);
    if (rc == 0)
        rc = run_take_policy(r.conf, args, &r.file, &r.policy, result, e);
    if (rc == 0)
        rc = run_alone(runner, &r, args, result, e);
    run_fini(&r);
    return rc;
}
