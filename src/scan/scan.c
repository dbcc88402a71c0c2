/* SPDX-License-Identifier: Apache-2.0 */
#include "scan/scan_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_MAX 256

DEFINE_CLEANUP(struct scan *, scan_free)
#define auto_scan __attribute__((cleanup(cleanup_scan_free)))

/* ---- making ---- */

static unsigned default_threads(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 2;
    return n < 2 ? 2 : (unsigned)n * 3 / 2;
}

static void set_hidden(struct scan *s, const struct scan_config *cfg)
{
    static const char *const usual[] = {".noobaa-nsfs*", ".firn*", "lost+found"};
    const char *const *names = cfg->hidden != NULL ? cfg->hidden : usual;
    s->n_hidden = cfg->hidden != NULL ? cfg->n_hidden : sizeof(usual) / sizeof(usual[0]);
    s->hidden = xzalloc((s->n_hidden + 1) * sizeof(*s->hidden));
    for (size_t i = 0; i < s->n_hidden; i++) {
        struct scan_hidden *h = &s->hidden[i];
        h->text = xstrdup(names[i]);
        h->len = strlen(h->text);
        size_t plain = strcspn(h->text, "*?[\\");
        if (plain == h->len) {
            h->kind = HIDDEN_EXACT;
        } else if (plain + 1 == h->len && h->text[plain] == '*') {
            h->kind = HIDDEN_PREFIX;
            h->len = plain;
        } else {
            h->kind = HIDDEN_PATTERN;
        }
    }
}

static int open_root(struct scan *s, struct err *err)
{
    if (s->root[0] != '/')
        return err_set(err, -EINVAL, "scan: '%s' is not an absolute path", s->root);
    s->root_fd = open(s->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (s->root_fd < 0)
        return err_sys(err, errno, "scan of %s", s->root);
    /* "/" itself: paths are then "" + "/name". */
    while (s->root_len > 0 && s->root[s->root_len - 1] == '/')
        s->root[--s->root_len] = '\0';
    s->xattr_way = scan_probe_xattr(s->root_fd);
    return 0;
}

int scan_new(const struct scan_config *cfg, const struct scan_ops *ops, void *ctx,
             struct scan **out, struct err *err)
{
    auto_scan struct scan *s = xzalloc(sizeof(*s));
    s->root_fd = -1;
    (void)pthread_mutex_init(&s->lock, NULL);
    (void)pthread_cond_init(&s->more, NULL);
    s->ops = *ops;
    s->ctx = ctx;
    s->root = xstrdup(cfg->root);
    s->root_len = strlen(cfg->root);
    s->n_threads = cfg->threads > 0 ? cfg->threads : default_threads();
    if (s->n_threads > THREADS_MAX)
        s->n_threads = THREADS_MAX;
    s->max_depth = cfg->max_depth;
    s->strict = cfg->strict;
    s->stat_mask = cfg->stat_mask != 0 ? cfg->stat_mask : STATX_BASIC_STATS | STATX_BTIME;
    set_hidden(s, cfg);
    int rc = open_root(s, err);
    if (rc < 0)
        return rc;
    s->workers = aligned_alloc(64, s->n_threads * sizeof(*s->workers));
    if (s->workers == NULL)
        return err_sys(err, ENOMEM, "scan of %s", s->root);
    memset(s->workers, 0, s->n_threads * sizeof(*s->workers));
    for (unsigned i = 0; i < s->n_threads; i++) {
        s->workers[i].s = s;
        s->workers[i].number = i;
    }
    *out = take_ptr(s);
    return 0;
}

static void free_queue(struct scan *s)
{
    while (s->queue != NULL) {
        struct scan_work *w = s->queue;
        s->queue = w->next;
        scan_dir_unref(w->dir);
        free(w);
    }
}

void scan_free(struct scan *s)
{
    if (s == NULL)
        return;
    free_queue(s);
    for (size_t i = 0; i < s->n_hidden; i++)
        free(s->hidden[i].text);
    free(s->hidden);
    for (unsigned i = 0; s->workers != NULL && i < s->n_threads; i++)
        free(s->workers[i].path);
    free(s->workers);
    if (s->root_fd >= 0)
        (void)close(s->root_fd);
    free(s->root);
    (void)pthread_cond_destroy(&s->more);
    (void)pthread_mutex_destroy(&s->lock);
    free(s);
}

unsigned scan_threads(const struct scan *s)
{
    return s->n_threads;
}

void scan_cancel(struct scan *s)
{
    atomic_store(&s->cancel, true);
    lock_scope(&s->lock);
    (void)pthread_cond_broadcast(&s->more);
}

void scan_get_counts(const struct scan *s, struct scan_counts *out)
{
    *out = (struct scan_counts){0};
    for (unsigned i = 0; i < s->n_threads; i++) {
        const struct scan_worker *w = &s->workers[i];
        out->files += atomic_load_explicit(&w->files, memory_order_relaxed);
        out->dirs += atomic_load_explicit(&w->dirs, memory_order_relaxed);
        out->others += atomic_load_explicit(&w->others, memory_order_relaxed);
        out->errors += atomic_load_explicit(&w->errors, memory_order_relaxed);
    }
}

/* ---- workers ---- */

/* The next piece of work; NULL when all is done or cancelled. */
static struct scan_work *next_work(struct scan *s)
{
    lock_scope(&s->lock);
    atomic_fetch_add(&s->idle, 1);
    while (s->queue == NULL && s->pending > 0 && !atomic_load(&s->cancel))
        (void)pthread_cond_wait(&s->more, &s->lock);
    atomic_fetch_sub(&s->idle, 1);
    if (s->queue == NULL || atomic_load(&s->cancel))
        return NULL;
    struct scan_work *work = s->queue;
    s->queue = work->next;
    s->n_queue--;
    return work;
}

static void work_done(struct scan *s)
{
    lock_scope(&s->lock);
    if (--s->pending == 0)
        (void)pthread_cond_broadcast(&s->more);
}

static void *walk_main(void *arg)
{
    struct scan_worker *w = arg;
    scan_worker_prepare(w);
    for (struct scan_work *work = next_work(w->s); work != NULL; work = next_work(w->s)) {
        scan_do(w, work);
        work_done(w->s);
    }
    return NULL;
}

/* One path of the list. */
static void visit(struct scan_worker *w, const char *path)
{
    struct scan *s = w->s;
    const char *name = strrchr(path, '/');
    bool below = strncmp(path, s->root, s->root_len) == 0 && path[s->root_len] == '/' &&
                 name != NULL && name[1] != '\0';
    if (!below) {
        scan_report(w, path, -EINVAL, "path not below the root");
        return;
    }
    const char *rel = path + s->root_len + 1;
    size_t n = name > rel ? (size_t)(name - rel) : 0;
    auto_free char *parent = xstrndup(rel, n);
    int fd = scan_open(s, parent);
    if (fd < 0) {
        scan_report(w, path, fd, "open");
        return;
    }
    unsigned depth = 0;
    for (size_t i = 0; i < n; i++)
        depth += parent[i] == '/';
    w->dir = scan_dir_new(s, fd, parent, n > 0 ? depth + 1 : 0);
    struct scan_entry *e = scan_entry_set(w, name + 1, DT_UNKNOWN, 0);
    const struct statx *stx = NULL;
    int rc = scan_entry_stat(e, &stx);
    if (rc < 0)
        scan_report(w, path, rc, "statx");
    else
        (void)scan_entry_show(w);
    if (w->path_dir == w->dir)
        w->path_dir = NULL;
    w->cwd = NULL;
    scan_dir_unref(w->dir);
}

static void *list_main(void *arg)
{
    struct scan_worker *w = arg;
    struct scan *s = w->s;
    scan_worker_prepare(w);
    for (;;) {
        size_t i = atomic_fetch_add(&s->next_list, 1);
        if (i >= s->n_list || atomic_load_explicit(&s->cancel, memory_order_relaxed))
            return NULL;
        visit(w, s->list[i]);
    }
}

/* Starts the threads with signals blocked (they belong to the caller) and waits for them. */
static int run_threads(struct scan *s, void *(*main)(void *), struct err *err)
{
    sigset_t all, old;
    unsigned n = 0;
    int rc = 0;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    while (n < s->n_threads && rc == 0) {
        rc = pthread_create(&s->workers[n].thread, NULL, main, &s->workers[n]);
        n += rc == 0;
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    for (unsigned i = 0; i < n; i++)
        (void)pthread_join(s->workers[i].thread, NULL);
    if (n == 0)
        return err_sys(err, rc, "scan of %s: start of a thread", s->root);
    if (atomic_load(&s->cancel))
        return err_set(err, -ECANCELED, "scan of %s cancelled", s->root);
    return 0;
}

static int run_once(struct scan *s, struct err *err)
{
    if (s->ran)
        return err_set(err, -EINVAL, "scan of %s has run already", s->root);
    s->ran = true;
    return 0;
}

int scan_run(struct scan *s, struct err *err)
{
    int rc = run_once(s, err);
    if (rc < 0)
        return rc;
    int fd = scan_open(s, "");
    if (fd < 0)
        return err_sys(err, -fd, "scan of %s", s->root);
    (void)close(fd);
    atomic_store(&s->workers[0].dirs, 1); /* the root */
    scan_push(s, xzalloc(sizeof(struct scan_work) + 1));
    return run_threads(s, walk_main, err);
}

int scan_run_list(struct scan *s, const char *const *paths, size_t n, struct err *err)
{
    int rc = run_once(s, err);
    if (rc < 0)
        return rc;
    s->list = paths;
    s->n_list = n;
    return run_threads(s, list_main, err);
}
