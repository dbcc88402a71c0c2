/* SPDX-License-Identifier: Apache-2.0 */
/* Phase three of a policy run: who carries out what was chosen. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/policy_run_impl.h"
#include "policy/list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* ---- who does it ---- */

static bool in_list(const struct conf_list *l, const char *name)
{
    for (size_t i = 0; i < l->count; i++)
        if (strcmp(l->items[i], name) == 0)
            return true;
    return false;
}

/* True when path is the program firn that belongs to this firnd: beside it, or in ../bin. */
static bool is_own_program(const char *path)
{
    static const char *const places[] = {"firn", "../bin/firn"};
    char self[PATH_MAX];
    struct stat st;
    struct stat own;
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0 || stat(path, &st) != 0)
        return false;
    self[n] = '\0';
    const char *slash = strrchr(self, '/');
    for (size_t i = 0; slash != NULL && i < sizeof(places) / sizeof(places[0]); i++) {
        auto_free char *firn = xasprintf("%.*s/%s", (int)(slash - self), self, places[i]);
        if (stat(firn, &own) == 0 && own.st_dev == st.st_dev && own.st_ino == st.st_ino)
            return true;
    }
    return false;
}

bool run_is_builtin(const struct run *r, const struct policy_external *ext)
{
    const char *slash = strrchr(ext->exec, '/');
    const char *base = slash != NULL ? slash + 1 : ext->exec;
    return in_list(&r->conf->policy.builtin_exec, base) || is_own_program(ext->exec);
}

const struct policy_external *run_external_of(const struct policy_rule *rule)
{
    if (rule->kind == POLICY_LIST)
        return rule->list_external;
    return rule->to_external != NULL ? rule->to_external : rule->from_external;
}

/* ---- preflight ---- */

static enum policy_work work_of(const struct policy_rule *rule)
{
    if (rule->kind == POLICY_DELETE)
        return POLICY_WORK_DELETE;
    return rule->to_external != NULL ? POLICY_WORK_MIGRATE : POLICY_WORK_RECALL;
}

static int check_script(const struct policy_external *ext, struct err *err)
{
    char **argv = NULL;
    size_t n = 0;
    if (ext->exec[0] != '/')
        return err_set(err, -EINVAL, "EXEC '%s' of %s is no absolute path", ext->exec, ext->name);
    if (access(ext->exec, X_OK) != 0)
        return err_sys(err, errno, "EXEC '%s' of %s", ext->exec, ext->name);
    int rc = policy_opts_split(ext->opts, &argv, &n, err);
    policy_argv_free(argv);
    return rc;
}

static int check_rule(struct run *r, const struct policy_rule *rule, struct err *err)
{
    const struct policy_external *ext = run_external_of(rule);
    if (ext == NULL || rule->kind == POLICY_EXCLUDE)
        return 0;
    if (ext->exec[0] == '\0' && rule->kind == POLICY_LIST)
        return 0;
    if (ext->exec[0] == '\0')
        return err_set(err, -EINVAL, "external pool %s has no EXEC program", ext->name);
    if (rule->kind == POLICY_LIST && run_is_builtin(r, ext))
        return err_set(err, -EINVAL, "EXEC '%s' takes no lists", ext->exec);
    if (!run_is_builtin(r, ext))
        return check_script(ext, err);
    struct run_job job = {.ext = ext, .rule = rule->name, .work = work_of(rule)};
    int rc = run_builtin_check(r, &job, err);
    if (rc != 0 || job.work != POLICY_WORK_MIGRATE || !rule->has_threshold)
        return rc;
    job.work = POLICY_WORK_PREMIGRATE; /* THRESHOLD(high,low,premig) may do both */
    return run_builtin_check(r, &job, err);
}

int run_preflight(struct run *r, unsigned *line, struct err *err)
{
    r->needs_generation = r->mode == RUN_DEFER || r->mode == RUN_PREPARE;
    for (size_t i = 0; i < policy_n_rules(r->policy); i++) {
        const struct policy_rule *rule = policy_rule(r->policy, i);
        const struct policy_external *ext = run_external_of(rule);
        if (ext != NULL && ext->exec[0] != '\0' && !run_is_builtin(r, ext))
            r->needs_generation = true;
        int rc = r->mode == RUN_YES ? check_rule(r, rule, err) : 0;
        if (rc != 0) {
            *line = rule->line;
            return err_wrap(err, rc, "rule '%s'", rule->name);
        }
        if (r->mode == RUN_YES && rule->kind == POLICY_LIST && ext == NULL)
            run_sayf(&r->out, "[W] There is no EXTERNAL LIST '%s': rule '%s' lists nothing.",
                     rule->list, rule->name);
    }
    return 0;
}

/* ---- deleting ---- */

/* Deletes the object if it still is the one that was chosen. Nothing above is followed out of the
 * file system. */
static int delete_one(const struct run *r, const struct policy_chosen *c)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    struct stat st;
    const char *slash = strrchr(c->path, '/');
    size_t root_len = strlen(r->fs->path);
    auto_close int root = open(r->fs->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return -errno;
    auto_free char *dir =
        (size_t)(slash - c->path) > root_len
            ? xstrndup(c->path + root_len + 1, (size_t)(slash - c->path) - root_len - 1)
            : xstrdup(".");
    auto_close int fd = (int)syscall(SYS_openat2, root, dir, &how, sizeof(how));
    if (fd < 0)
        return -errno;
    if (fstatat(fd, slash + 1, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return -errno;
    if (st.st_ino != c->ino)
        return -ESTALE;
    return unlinkat(fd, slash + 1, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) == 0 ? 0 : -errno;
}

static void delete_chosen(struct run *r, const struct policy_chosen *c)
{
    int rc = delete_one(r, c);
    r->counts.dispatched++;
    if (rc == 0 || rc == -ENOENT) {
        r->counts.executed++;
        return;
    }
    r->counts.failed++;
    run_sayf(&r->out, "[E] %s: delete: %s", c->path, strerror(-rc));
}

/* ---- execution ---- */

struct executor {
    struct run *run;
    struct run_builtin *builtin;
    struct run_scripts *scripts;
    uint64_t not_moved; /* between disk pools, which are one here */
};

static const char *command_of(enum policy_work work)
{
    switch (work) {
    case POLICY_WORK_MIGRATE:
        return "MIGRATE";
    case POLICY_WORK_PREMIGRATE:
        return "PREMIGRATE";
    case POLICY_WORK_RECALL:
        return "RECALL";
    case POLICY_WORK_DELETE:
        return "PURGE";
    case POLICY_WORK_LIST:
        break;
    }
    return "LIST";
}

static int execute_one(struct executor *x, const struct policy_chosen *c, struct err *err)
{
    struct run *r = x->run;
    const struct policy_rule *rule = policy_rule(r->policy, c->rule);
    const struct policy_external *ext = run_external_of(rule);
    if (ext == NULL && c->work == POLICY_WORK_DELETE) {
        delete_chosen(r, c);
        return 0;
    }
    if (ext == NULL && c->work != POLICY_WORK_LIST)
        x->not_moved++;
    if (ext == NULL || ext->exec[0] == '\0')
        return 0;
    const struct run_job job = {.ext = ext, .rule = rule->name, .work = c->work};
    if (run_is_builtin(r, ext))
        return run_builtin_add(x->builtin, &job, c, err);
    return run_scripts_add(x->scripts, ext, command_of(c->work), c, err);
}

static int execute_all(struct executor *x, struct err *err)
{
    struct policy_chosen c;
    while (policy_chooser_next(x->run->chooser, &c)) {
        if (engine_stopping(x->run->engine))
            return err_set(err, -ESHUTDOWN, "firnd is stopping; what was handed over goes on");
        int rc = execute_one(x, &c, err);
        if (rc != 0)
            return rc;
    }
    int rc = run_scripts_finish(x->scripts, err);
    struct err e = {0};
    int rc2 = run_builtin_finish(x->builtin, rc == 0 ? err : &e);
    return rc != 0 ? rc : rc2;
}

int run_execute(struct run *r, struct err *err)
{
    struct executor x = {.run = r};
    x.builtin = run_builtin_new(r);
    x.scripts = run_scripts_new(r);
    int rc = execute_all(&x, err);
    run_scripts_free(x.scripts);
    run_builtin_free(x.builtin);
    if (x.not_moved > 0)
        run_sayf(&r->out, "[W] %" PRIu64 " files stay where they are: there is one disk pool.",
                 x.not_moved);
    return rc;
}
