/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/stager_policy.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "policy/chooser.h"
#include "policy/list.h"
#include "policy/policy.h"
#include "scan/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <pthread.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define NAME_ROOM   4096
#define TELL_EVERY  1024
#define MACROS_MAX  64
#define ARCHIVE_MAX INT32_MAX
#define XATTR_STATE "lustre.hsm.state"
#define XATTR_ID    "lustre.hsm.archive_id"

/* One worker of the walk. */
struct worker {
    struct stager_policy *p;
    struct policy_eval *eval;
    struct scan_entry *entry; /* the object at hand */
    struct hsm_user_state state;
    bool state_known; /* of this entry */
    char fileset[256];
    uint64_t seen;
};

struct stager_policy {
    const struct stager_policy_config *cfg;
    struct policy *policy;
    struct policy_chooser *chooser;
    struct policy_pool pool;
    struct stager_hint *hints; /* one a rule */
    struct stager_hint *keep;  /* the same without "release": what is only to be premigrated */
    char **data;               /* one a rule, NULL: not its own */
    size_t n_rules;
    struct scan *scan;
    struct worker *workers;
    unsigned n_workers;
    uint64_t ordinal;
    pthread_mutex_t lock; /* over the callbacks, code and first */
    int code;             /* why the walk was given up */
    struct err first;
};

/* ---- facts ---- */

static int fact_path(void *ctx, const char **path, size_t *len)
{
    struct worker *w = ctx;
    *path = scan_entry_path(w->entry, len);
    return 0;
}

/* The first directory below the target; "root" for what lies directly in it. */
static int fact_fileset(void *ctx, const char **name)
{
    struct worker *w = ctx;
    const char *path = scan_entry_path(w->entry, NULL) + strlen(w->p->cfg->target);
    path += strspn(path, "/");
    size_t n = strcspn(path, "/");
    (void)snprintf(w->fileset, sizeof(w->fileset), "%.*s", (int)n, path);
    *name = path[n] == '/' || w->entry->d_type == DT_DIR ? w->fileset : "root";
    return 0;
}

static int fact_stat(void *ctx, const struct statx **stx)
{
    struct worker *w = ctx;
    return scan_entry_stat(w->entry, stx);
}

static int hsm_state(struct worker *w)
{
    if (w->state_known)
        return 0;
    memset(&w->state, 0, sizeof(w->state));
    if (w->entry->d_type == DT_REG) {
        auto_close int fd = openat(w->entry->dirfd, w->entry->name,
                                   O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
        if (fd < 0)
            return -errno;
        int rc = w->p->cfg->api->hsm_state_get_fd(fd, &w->state);
        if (rc < 0)
            return rc;
    }
    w->state_known = true;
    return 0;
}

static ssize_t state_text(struct worker *w, const char *name, char *buf, size_t cap)
{
    char text[128];
    int rc = hsm_state(w);
    if (rc < 0)
        return rc;
    if (strcmp(name, XATTR_STATE) == 0)
        (void)stager_state_words(w->state.states, text);
    else
        (void)snprintf(text, sizeof(text), "%" PRIu32, w->state.archive_id);
    size_t n = strlen(text);
    if (n > cap)
        return -ERANGE;
    memcpy(buf, text, n);
    return (ssize_t)n;
}

static ssize_t fact_xattr(void *ctx, const char *name, char *buf, size_t cap)
{
    struct worker *w = ctx;
    if (strcmp(name, XATTR_STATE) == 0 || strcmp(name, XATTR_ID) == 0)
        return state_text(w, name, buf, cap);
    return scan_entry_xattr(w->entry, name, buf, cap);
}

static ssize_t fact_xattr_list(void *ctx, char *buf, size_t cap)
{
    struct worker *w = ctx;
    return scan_entry_xattr_list(w->entry, buf, cap);
}

static int fact_state(void *ctx, enum policy_state *state, unsigned *flags)
{
    struct worker *w = ctx;
    int rc = hsm_state(w);
    if (rc < 0)
        return rc;
    *flags = 0;
    if ((w->state.states & HS_RELEASED) != 0)
        *state = POLICY_MIGRATED;
    else if ((w->state.states & (HS_ARCHIVED | HS_DIRTY | HS_LOST)) == HS_ARCHIVED)
        *state = POLICY_PREMIGRATED;
    else
        *state = POLICY_RESIDENT;
    return 0;
}

static int fact_generation(void *ctx, uint64_t *gen)
{
    (void)ctx;
    *gen = 0; /* nothing here is known by it */
    return 0;
}

static int fact_owner_name(void *ctx, uint32_t id, bool group, char *buf, size_t cap)
{
    char room[NAME_ROOM];
    struct passwd pw;
    struct group gr;
    struct passwd *p = NULL;
    struct group *g = NULL;
    (void)ctx;
    (void)snprintf(buf, cap, "%" PRIu32, id);
    if (group && getgrgid_r(id, &gr, room, sizeof(room), &g) == 0 && g != NULL)
        (void)snprintf(buf, cap, "%s", gr.gr_name);
    if (!group && getpwuid_r(id, &pw, room, sizeof(room), &p) == 0 && p != NULL)
        (void)snprintf(buf, cap, "%s", pw.pw_name);
    return 0;
}

static const struct policy_facts_ops facts = {
    .path = fact_path,
    .fileset = fact_fileset,
    .stat = fact_stat,
    .xattr = fact_xattr,
    .xattr_list = fact_xattr_list,
    .state = fact_state,
    .generation = fact_generation,
    .owner_name = fact_owner_name,
};

/* ---- the walk ---- */

static int keep_hits(struct worker *w, const struct policy_decision *d)
{
    struct err e = {0};
    struct policy_candidate cand = {.ino = w->entry->ino};
    if (d->n_hits > 0)
        cand.path = scan_entry_path(w->entry, &cand.path_len);
    int rc = policy_chooser_add(w->p->chooser, &cand, d, &e);
    if (rc == 0)
        return SCAN_GO_ON;
    lock_scope(&w->p->lock);
    if (w->p->code == 0) {
        w->p->code = rc;
        w->p->first = e;
        scan_cancel(w->p->scan);
    }
    return rc;
}

static void tell(struct worker *w)
{
    const struct stager_policy_config *cfg = w->p->cfg;
    struct scan_counts c;
    if (++w->seen % TELL_EVERY != 0)
        return;
    if (cfg->stop != NULL && atomic_load(cfg->stop))
        scan_cancel(w->p->scan);
    scan_get_counts(w->p->scan, &c);
    lock_scope(&w->p->lock);
    if (cfg->progress != NULL)
        cfg->progress(cfg->arg, c.files + c.dirs + c.others);
}

static int on_entry(void *ctx, unsigned number, struct scan_entry *e)
{
    struct stager_policy *p = ctx;
    struct worker *w = &p->workers[number];
    struct policy_decision d;
    w->entry = e;
    w->state_known = false;
    const struct policy_object obj = {.name = e->name,
                                      .name_len = e->name_len,
                                      .d_type = e->d_type,
                                      .ino = e->ino,
                                      .ops = &facts,
                                      .ctx = w};
    tell(w);
    int rc = policy_eval_object(w->eval, &obj, POLICY_STAGE_ENGINE, false, &d);
    if (rc == -ENOENT)
        return SCAN_GO_ON; /* deleted meanwhile */
    return rc != 0 ? rc : keep_hits(w, &d);
}

static void on_error(void *ctx, unsigned number, const char *path, int code, const char *what)
{
    struct stager_policy *p = ctx;
    (void)number;
    lock_scope(&p->lock);
    if (p->cfg->problem != NULL)
        p->cfg->problem(p->cfg->arg, path, -code, what);
}

static int walk(struct stager_policy *p, struct stager_policy_counts *counts, struct err *err)
{
    const struct scan_config cfg = {.root = p->cfg->target, .threads = p->cfg->threads};
    const struct scan_ops ops = {.entry = on_entry, .error = on_error};
    struct scan_counts c = {0};
    int rc = scan_new(&cfg, &ops, p, &p->scan, err);
    if (rc != 0)
        return rc;
    p->n_workers = scan_threads(p->scan);
    p->workers = xzalloc(p->n_workers * sizeof(*p->workers));
    int64_t now_ns = time_now_ns();
    for (unsigned i = 0; i < p->n_workers; i++) {
        p->workers[i].p = p;
        p->workers[i].eval = policy_eval_new(p->policy, now_ns, &p->pool, 1);
    }
    if (policy_eval_alive(p->workers[0].eval))
        rc = scan_run(p->scan, err);
    if (p->code != 0) {
        *err = p->first;
        rc = p->code;
    }
    scan_get_counts(p->scan, &c);
    counts->objects = c.files + c.dirs + c.others;
    counts->errors = c.errors;
    return rc == -ECANCELED ? err_set(err, rc, "interrupted; nothing was requested") : rc;
}

/* ---- rules and their targets ---- */

static int take_option(char **argv, size_t n, size_t *at, struct stager_hint *out, char **data,
                       struct err *err)
{
    const char *word = argv[*at];
    const char *value = *at + 1 < n ? argv[*at + 1] : NULL;
    char *end = NULL;
    if (strcmp(word, "--release") == 0) {
        out->release = true;
        return 0;
    }
    if (strcmp(word, "--archive-id") == 0 && value != NULL) {
        unsigned long long v = strtoull(value, &end, 10);
        if (*end != '\0' || end == value || v < 1 || v > ARCHIVE_MAX)
            return err_set(err, -EINVAL, "--archive-id \"%s\" is no number from 1 on", value);
        out->archive_id = (uint32_t)v;
        ++*at;
        return 0;
    }
    if (strcmp(word, "--data") == 0 && value != NULL) {
        free(*data);
        *data = xstrdup(value);
        out->data = *data;
        ++*at;
        return stager_data_check(value, err);
    }
    return err_set(err, -EINVAL, "\"%s\" is none of --archive-id N, --data K=V, --release", word);
}

int stager_policy_opts(const char *opts, const struct stager_hint *dflt, struct stager_hint *out,
                       char **data, struct err *err)
{
    char **argv = NULL;
    size_t n = 0;
    *out = *dflt;
    *data = NULL;
    int rc = policy_opts_split(opts, &argv, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = take_option(argv, n, &i, out, data, err);
    policy_argv_free(argv);
    if (rc < 0) {
        free(*data);
        *data = NULL;
    }
    return rc;
}

/* Whether what rule chooses is for this action. */
static bool counts_for(const struct stager_policy_config *cfg, const struct policy_rule *rule)
{
    if (rule->kind == POLICY_LIST)
        return true;
    if (rule->kind != POLICY_MIGRATE || cfg->lists_only)
        return false;
    if (cfg->action == STAGER_RESTORE)
        return rule->from_external != NULL && rule->to_external == NULL;
    return rule->to_external != NULL;
}

/* The statement that names the rule's target; NULL: none. */
static const struct policy_external *external_of(const struct policy_rule *rule)
{
    if (rule->kind == POLICY_LIST)
        return rule->list_external;
    return rule->to_external != NULL ? rule->to_external : rule->from_external;
}

static const char *wanted_rules(const struct stager_policy_config *cfg)
{
    if (cfg->lists_only)
        return "LIST rules are wanted";
    return cfg->action == STAGER_RESTORE
               ? "MIGRATE FROM POOL of an external pool, or LIST rules are wanted"
               : "MIGRATE TO POOL of an external pool, or LIST rules are wanted";
}

static int take_rules(struct stager_policy *p, struct err *err)
{
    bool any = false;
    p->n_rules = policy_n_rules(p->policy);
    p->hints = xzalloc((p->n_rules + 1) * sizeof(*p->hints));
    p->keep = xzalloc((p->n_rules + 1) * sizeof(*p->keep));
    p->data = xzalloc((p->n_rules + 1) * sizeof(*p->data));
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct policy_rule *rule = policy_rule(p->policy, i);
        const struct policy_external *ext = external_of(rule);
        any = any || (counts_for(p->cfg, rule) && !rule->list_exclude);
        p->hints[i] = *p->cfg->hint;
        int rc = ext == NULL
                     ? 0
                     : stager_policy_opts(ext->opts, p->cfg->hint, &p->hints[i], &p->data[i], err);
        if (rc < 0)
            return err_wrap(err, rc, "%s:%u: OPTS", p->cfg->file, ext != NULL ? ext->line : 0);
        p->keep[i] = p->hints[i];
        p->keep[i].release = false;
    }
    if (any)
        return 0;
    return err_set(err, -EINVAL, "%s has no rule for this: %s", p->cfg->file, wanted_rules(p->cfg));
}

static int compile(struct stager_policy *p, struct buf *diag_text, struct err *err)
{
    struct policy_macro macros[MACROS_MAX];
    struct policy_diag diag = {0};
    struct policy_options opt = {.macros = macros};
    const char *const *m = p->cfg->macros;
    for (; m != NULL && m[0] != NULL && opt.n_macros < MACROS_MAX; m += 2)
        macros[opt.n_macros++] = (struct policy_macro){.name = m[0], .value = m[1]};
    int rc = policy_compile_file(p->cfg->file, &opt, &p->policy, &diag, err);
    if (rc == -EINVAL && diag.line > 0 && diag_text != NULL)
        policy_diag_print(&diag, diag_text);
    return rc;
}

static int measure(struct stager_policy *p, struct err *err)
{
    struct statvfs v;
    if (statvfs(p->cfg->target, &v) != 0)
        return err_sys(err, errno, "%s", p->cfg->target);
    p->pool.name = POLICY_DEFAULT_POOL;
    p->pool.total_kb = (uint64_t)v.f_blocks * v.f_frsize / 1024;
    p->pool.used_kb = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize / 1024;
    return 0;
}

/* ---- the door ---- */

static void count_chosen(struct stager_policy *p, struct stager_policy_counts *counts)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        struct policy_rule_stats st;
        const struct policy_rule *rule = policy_rule(p->policy, i);
        policy_chooser_rule_stats(p->chooser, (unsigned)i, &st);
        if (rule->kind == POLICY_EXCLUDE || rule->list_exclude)
            continue;
        if (counts_for(p->cfg, rule))
            counts->chosen += st.chosen;
        else
            counts->other += st.chosen;
    }
}

int stager_policy_open(const struct stager_policy_config *config, struct stager_policy **out,
                       struct stager_policy_counts *counts, struct buf *diag, struct err *err)
{
    struct stager_policy *p = xzalloc(sizeof(*p));
    *counts = (struct stager_policy_counts){0};
    p->cfg = config;
    (void)pthread_mutex_init(&p->lock, NULL);
    int rc = compile(p, diag, err);
    if (rc == 0)
        rc = take_rules(p, err);
    if (rc == 0)
        rc = measure(p, err);
    if (rc == 0) {
        const struct policy_chooser_config cfg = {
            .pools = &p->pool, .n_pools = 1, .work_dir = config->work_dir};
        p->chooser = policy_chooser_new(p->policy, &cfg);
        rc = walk(p, counts, err);
    }
    if (rc == 0)
        rc = policy_chooser_choose(p->chooser, err);
    if (rc < 0) {
        stager_policy_close(p);
        return rc;
    }
    count_chosen(p, counts);
    *out = p;
    return 0;
}

int stager_policy_next(void *arg, struct stager_file *out, struct err *err)
{
    struct stager_policy *p = arg;
    struct policy_chosen c;
    (void)err;
    while (policy_chooser_next(p->chooser, &c)) {
        if (!counts_for(p->cfg, policy_rule(p->policy, c.rule)))
            continue;
        const struct stager_hint *hints = c.work == POLICY_WORK_PREMIGRATE ? p->keep : p->hints;
        *out =
            (struct stager_file){.path = c.path, .ordinal = p->ordinal++, .hint = &hints[c.rule]};
        return 1;
    }
    return 0;
}

void stager_policy_close(struct stager_policy *p)
{
    if (p == NULL)
        return;
    for (unsigned i = 0; i < p->n_workers; i++)
        policy_eval_free(p->workers[i].eval);
    free(p->workers);
    scan_free(p->scan);
    policy_chooser_free(p->chooser);
    policy_free(p->policy);
    for (size_t i = 0; p->data != NULL && i < p->n_rules; i++)
        free(p->data[i]);
    free(p->data);
    free(p->hints);
    free(p->keep);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}
