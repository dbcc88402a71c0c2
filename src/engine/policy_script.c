/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of EXTERNAL POOL and EXTERNAL LIST rules: program COMMAND LIST OPTS..., several at once,
 * without a shell. What they print becomes lines of the run.
 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "engine/policy_run_impl.h"
#include "policy/list.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LINE_MAX_BYTES 4096
#define POLL_MS        500
#define WRITE_AT       65536

/* A script that runs. */
struct child {
    pid_t pid;
    int pidfd;
    int out; /* read end of its output */
    struct buf line;
    char *list; /* list file, removed afterwards; NULL for TEST */
    int64_t files;
    const struct policy_external *ext;
    const char *command;
};

/* What TEST said of a statement's program. */
struct tested {
    const struct policy_external *ext;
    bool usable;
};

struct run_scripts {
    struct run *run;
    struct child *children;
    size_t n_children;
    struct tested *tested;
    size_t n_tested;
    unsigned last_status; /* of the last script that ended; for TEST */
    /* the open list */
    const struct policy_external *ext;
    const char *command;
    char *list;
    int fd;
    struct buf text;
    int64_t files;
    int64_t size_kb;
    unsigned serial;
};

struct run_scripts *run_scripts_new(struct run *r)
{
    struct run_scripts *s = xzalloc(sizeof(*s));
    s->run = r;
    s->fd = -1;
    return s;
}

/* ---- output ---- */

static void flush_line(struct run_scripts *s, struct child *c)
{
    if (c->line.len == 0)
        return;
    run_say(&s->run->out, &c->line);
    buf_reset(&c->line);
}

static void take_output(struct run_scripts *s, struct child *c, const char *data, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n' || c->line.len >= LINE_MAX_BYTES)
            flush_line(s, c);
        if (data[i] != '\n' && data[i] != '\0')
            buf_addc(&c->line, data[i]);
    }
}

/* Reads what is there. Returns false at the end. */
static bool read_output(struct run_scripts *s, struct child *c)
{
    char data[8192];
    for (;;) {
        ssize_t n = read(c->out, data, sizeof(data));
        if (n > 0)
            take_output(s, c, data, (size_t)n);
        else if (n < 0 && errno == EINTR)
            continue;
        else
            return n < 0 && errno == EAGAIN;
    }
}

/* ---- children ---- */

static void child_fini(struct child *c)
{
    if (c->out >= 0)
        (void)close(c->out);
    if (c->pidfd >= 0)
        (void)close(c->pidfd);
    if (c->list != NULL)
        (void)unlink(c->list);
    free(c->list);
    buf_fini(&c->line);
}

static void say_failure(struct run_scripts *s, const struct child *c, int status)
{
    if (WIFSIGNALED(status))
        run_sayf(&s->run->out, "[E] %s %s was ended by signal %d.", c->ext->exec, c->command,
                 WTERMSIG(status));
    else
        run_sayf(&s->run->out, "[E] %s %s ended with status %d.", c->ext->exec, c->command,
                 WEXITSTATUS(status));
}

/* The script at index i has ended. */
static void reap(struct run_scripts *s, size_t i)
{
    struct child *c = &s->children[i];
    int status = 0;
    while (waitpid(c->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    (void)read_output(s, c);
    flush_line(s, c);
    s->last_status = (unsigned)status;
    if (status == 0) {
        s->run->counts.executed += c->files;
    } else {
        s->run->counts.failed += c->files;
        say_failure(s, c, status);
    }
    child_fini(c);
    s->children[i] = s->children[--s->n_children];
}

/* Looks after the running scripts for a moment; reaps those that ended. */
static void attend(struct run_scripts *s)
{
    struct pollfd *p = xrealloc_array(NULL, s->n_children * 2, sizeof(*p));
    for (size_t i = 0; i < s->n_children; i++) {
        p[2 * i] = (struct pollfd){.fd = s->children[i].out, .events = POLLIN};
        p[2 * i + 1] = (struct pollfd){.fd = s->children[i].pidfd, .events = POLLIN};
    }
    size_t n = s->n_children;
    if (poll(p, n * 2, POLL_MS) > 0) {
        for (size_t i = n; i-- > 0;) {
            struct child *c = &s->children[i];
            if (p[2 * i].revents != 0 && !read_output(s, c)) {
                (void)close(c->out);
                c->out = -1; /* poll passes over it */
            }
            if (p[2 * i + 1].revents != 0)
                reap(s, i);
        }
    }
    free(p);
    run_progress(&s->run->out, "script", s->run->counts.executed + s->run->counts.failed,
                 s->run->counts.dispatched, 0, 0);
}

/* Waits until at most n scripts run. A stopping firnd asks them to end. */
static void wait_until_few(struct run_scripts *s, size_t n)
{
    bool told = false;
    while (s->n_children > n) {
        attend(s);
        if (told || !engine_stopping(s->run->engine))
            continue;
        for (size_t i = 0; i < s->n_children; i++)
            (void)kill(s->children[i].pid, SIGTERM);
        told = true;
    }
}

static int spawn_with(const struct policy_external *ext, char **argv, int out, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t all;
    sigset_t none;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawn_file_actions_init(&files);
    (void)posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    (void)posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    (void)posix_spawn_file_actions_adddup2(&files, out, STDERR_FILENO);
    (void)posix_spawnattr_init(&attr);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawn(pid, ext->exec, &files, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
    (void)posix_spawn_file_actions_destroy(&files);
    return -rc;
}

/* program COMMAND ARG OPTS... */
static int spawn_words(const struct policy_external *ext, const char *command, const char *arg,
                       int out, pid_t *pid, struct err *err)
{
    char **opts = NULL;
    size_t n = 0;
    int rc = policy_opts_split(ext->opts, &opts, &n, err);
    if (rc != 0)
        return rc;
    auto_free const char **argv = xrealloc_array(NULL, n + 4, sizeof(char *));
    argv[0] = ext->exec;
    argv[1] = command;
    argv[2] = arg;
    for (size_t i = 0; i < n; i++)
        argv[3 + i] = opts[i];
    argv[3 + n] = NULL;
    rc = spawn_with(ext, (char **)(uintptr_t)argv, out, pid);
    policy_argv_free(opts);
    return rc == 0 ? 0 : err_sys(err, -rc, "start %s", ext->exec);
}

/* Starts the program of ext; list (owned; NULL for TEST) is removed when it has ended. */
static int start(struct run_scripts *s, const struct policy_external *ext, const char *command,
                 const char *arg, char *list, int64_t files, struct err *err)
{
    int pipes[2];
    struct child c = {.pidfd = -1, .list = list, .files = files, .ext = ext, .command = command};
    if (pipe2(pipes, O_CLOEXEC | O_NONBLOCK) != 0)
        return err_sys(err, errno, "pipe");
    c.out = pipes[0];
    /* the script's end may block as usual */
    (void)fcntl(pipes[1], F_SETFL, fcntl(pipes[1], F_GETFL) & ~O_NONBLOCK);
    int rc = spawn_words(ext, command, arg, pipes[1], &c.pid, err);
    (void)close(pipes[1]);
    if (rc != 0) {
        child_fini(&c);
        return rc;
    }
    c.pidfd = pidfd_open(c.pid, 0);
    if (c.pidfd < 0) {
        rc = err_sys(err, errno, "pidfd of %s", ext->exec);
        (void)kill(c.pid, SIGKILL);
        (void)waitpid(c.pid, NULL, 0);
        child_fini(&c);
        return rc;
    }
    s->children = xrealloc_array(s->children, s->n_children + 1, sizeof(c));
    s->children[s->n_children++] = c;
    return 0;
}

/* ---- TEST ---- */

static int test_program(struct run_scripts *s, const struct policy_external *ext, bool *usable,
                        struct err *err)
{
    wait_until_few(s, 0);
    int rc = start(s, ext, "TEST", s->run->fs->path, NULL, 0, err);
    if (rc != 0)
        return rc;
    wait_until_few(s, 0);
    *usable = s->last_status == 0;
    if (!*usable)
        run_sayf(&s->run->out, "[E] %s is not usable here: its files count as errors.", ext->exec);
    return 0;
}

/* Asks each program once whether it can work here. */
static int is_usable(struct run_scripts *s, const struct policy_external *ext, bool *usable,
                     struct err *err)
{
    for (size_t i = 0; i < s->n_tested; i++) {
        if (s->tested[i].ext == ext) {
            *usable = s->tested[i].usable;
            return 0;
        }
    }
    int rc = test_program(s, ext, usable, err);
    if (rc != 0)
        return rc;
    s->tested = xrealloc_array(s->tested, s->n_tested + 1, sizeof(*s->tested));
    s->tested[s->n_tested++] = (struct tested){.ext = ext, .usable = *usable};
    return 0;
}

/* ---- lists ---- */

static const char *work_dir(const struct run *r)
{
    return r->conf->policy.work_dir;
}

static int open_list(struct run_scripts *s, struct err *err)
{
    struct err e = {0};
    int rc = io_mkdirs(work_dir(s->run), 0700, &e);
    if (rc != 0)
        return err_set(err, rc, "policy.work_dir: %s", e.text);
    char *path = xasprintf("%s/mmPolicy.ix.%d.%08X.%u", work_dir(s->run), (int)getpid(),
                           (unsigned)(time_mono_ns() >> 4), s->serial++);
    s->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->fd < 0) {
        rc = err_sys(err, errno, "file list %s", path);
        free(path);
        return rc;
    }
    s->list = path;
    s->files = 0;
    s->size_kb = 0;
    return 0;
}

static int write_list(struct run_scripts *s, struct err *err)
{
    int rc = io_write_full(s->fd, s->text.data, s->text.len);
    buf_reset(&s->text);
    return rc == 0 ? 0 : err_sys(err, -rc, "file list %s", s->list);
}

/* Gives the open list to its script, once there is room for one more. */
static int hand_out(struct run_scripts *s, struct err *err)
{
    if (s->list == NULL)
        return 0;
    int rc = write_list(s, err);
    (void)close(s->fd);
    s->fd = -1;
    if (rc != 0)
        return rc;
    wait_until_few(s, s->run->parallel - 1);
    char *list = take_ptr(s->list);
    return start(s, s->ext, s->command, list, list, s->files, err);
}

static bool list_is_full(const struct run_scripts *s)
{
    uint64_t most = s->ext->size_kb;
    return s->files >= s->run->batch_files || (most > 0 && (uint64_t)s->size_kb >= most);
}

/* Sees to it that the open list is one for ext and command with room. */
static int begin(struct run_scripts *s, const struct policy_external *ext, const char *command,
                 struct err *err)
{
    bool same = s->list != NULL && s->ext == ext && strcmp(s->command, command) == 0;
    if (same && !list_is_full(s))
        return 0;
    int rc = hand_out(s, err);
    if (rc != 0)
        return rc;
    s->ext = ext;
    s->command = command;
    return open_list(s, err);
}

int run_scripts_add(struct run_scripts *s, const struct policy_external *ext, const char *command,
                    const struct policy_chosen *c, struct err *err)
{
    bool usable = false;
    int rc = is_usable(s, ext, &usable, err);
    if (rc != 0)
        return rc;
    s->run->counts.dispatched++;
    if (!usable) {
        s->run->counts.failed++;
        return 0;
    }
    rc = begin(s, ext, command, err);
    if (rc != 0)
        return rc;
    const struct policy_record rec = {.ino = c->ino,
                                      .generation = c->generation,
                                      .show = c->show,
                                      .show_len = c->show_len,
                                      .path = c->path,
                                      .path_len = c->path_len};
    policy_list_add(&s->text, &rec, ext->escape);
    s->files++;
    s->size_kb += c->size_kb;
    return s->text.len >= WRITE_AT ? write_list(s, err) : 0;
}

int run_scripts_finish(struct run_scripts *s, struct err *err)
{
    int rc = hand_out(s, err);
    wait_until_few(s, 0);
    return rc;
}

void run_scripts_free(struct run_scripts *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_children; i++)
        (void)kill(s->children[i].pid, SIGTERM);
    wait_until_few(s, 0);
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->list != NULL)
        (void)unlink(s->list);
    free(s->list);
    buf_fini(&s->text);
    free(s->children);
    free(s->tested);
    free(s);
}
