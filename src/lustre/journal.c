/* SPDX-License-Identifier: Apache-2.0 */
#include "lustre/journal.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/gate.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "lustre/journal_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX    ((size_t)1 << 31)
#define KEEP_BYTES  (1 << 20) /* a smaller file is not worth writing anew */
#define KEEP_FACTOR 4         /* more than so many times what is open is */
#define PUSH_BYTES  4096      /* of ends that wait for a push, at most */

/* Who waits for the sync that is under way. */
struct sync_waiter {
    uint64_t end; /* what it wants to be durable */
    bool durable;
    struct gate gate;
    TAILQ_ENTRY(sync_waiter) link;
};
TAILQ_HEAD(sync_list, sync_waiter);

struct journal {
    pthread_mutex_t lock; /* held over write(2), never over fdatasync besides in journal_keep */
    struct sync_list waiters;
    struct journal_list entries;
    size_t count;
    uint64_t next_id;
    int dirfd, fd; /* -1: nothing on disk */
    char *name;
    struct buf pending;        /* not handed to the kernel yet */
    uint64_t appended, synced; /* bytes ever */
    uint64_t size;             /* of the file */
    uint64_t live;             /* of it, about, what belongs to open entries */
    bool syncing;
    int broken; /* a negative code: a sync failed, nothing counts as synced until a new file */
};

static uint64_t cost(const struct journal_entry *e)
{
    return 100 + (uint64_t)e->item->len;
}

static void entry_free(struct journal_entry *e)
{
    free(e->item);
    free(e);
}

/* ---- opening ---- */

/* While records are read: entries by id, which rises. */
struct loading {
    struct journal_entry **entries;
    size_t n, cap;
    uint64_t last_id;
    bool same_boot;
};

static struct journal_entry **find(const struct loading *l, uint64_t id)
{
    size_t lo = 0, hi = l->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        uint64_t at = l->entries[mid]->id;
        if (at == id)
            return &l->entries[mid];
        if (at < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return NULL;
}

static void load_item(struct loading *l, const struct journal_record *r)
{
    if (l->n > 0 && r->id <= l->entries[l->n - 1]->id)
        return; /* never written so */
    struct journal_entry *e = xzalloc(sizeof(*e));
    e->id = r->id;
    e->flags = r->flags;
    e->archive_id = r->archive_id;
    e->item = xzalloc(r->item_len + 8);
    memcpy(e->item, r->item, r->item_len);
    e->replayed = true;
    if (l->n == l->cap) {
        l->cap = l->cap * 2 + 64;
        l->entries = xrealloc_array(l->entries, l->cap, sizeof(*l->entries));
    }
    l->entries[l->n++] = e;
}

static void load_record(void *arg, const struct journal_record *r)
{
    struct loading *l = arg;
    if (r->id > l->last_id)
        l->last_id = r->id;
    if (r->type == JOURNAL_ITEM) {
        load_item(l, r);
        return;
    }
    struct journal_entry **at = find(l, r->id);
    if (at == NULL)
        return;
    if (r->type == JOURNAL_PLAN) {
        (*at)->phase = l->same_boot ? JOURNAL_PLANNED : JOURNAL_WRITING;
        (*at)->new_id = r->new_id;
    } else if (r->type == JOURNAL_IDS) {
        (*at)->phase = JOURNAL_WRITING;
        (*at)->new_id = r->new_id;
        (*at)->old_id = r->old_id;
    } else {
        free((*at)->item); /* the place stays, so that the ids stay in order */
        (*at)->item = NULL;
    }
}

static void adopt(struct journal *j, struct loading *l)
{
    for (size_t i = 0; i < l->n; i++) {
        struct journal_entry *e = l->entries[i];
        if (e->item == NULL) {
            entry_free(e);
            continue;
        }
        TAILQ_INSERT_TAIL(&j->entries, e, link);
        j->count++;
        j->live += cost(e);
    }
    j->next_id = l->last_id + 1;
    free(l->entries);
}

/* Keeps a file that was damaged for whoever wants to look. */
static void keep_damaged(const struct journal *j, const char *data, size_t len)
{
    struct err e = {0};
    auto_free char *name = xasprintf("%s.damaged", j->name);
    if (io_replace_durable(j->dirfd, name, data, len, 0600, &e) != 0)
        log_warn("journal: the damaged file is not kept: %s", e.text);
}

static int load(struct journal *j, struct err *err)
{
    auto_free char *data = NULL;
    size_t len = 0;
    uint64_t damaged = 0;
    struct loading l = {0};
    int rc = io_read_file(j->dirfd, j->name, FILE_MAX, &data, &len, err);
    if (rc == -ENOENT) {
        err_clear(err);
        return 0;
    }
    if (rc != 0)
        return rc;
    l.same_boot = journal_same_boot(data, len);
    int64_t n = journal_scan(data, len, load_record, &l, &damaged);
    if (n < 0 || damaged > 0) {
        log_err("journal %s is damaged (%llu bytes between records): what can be read of it is "
                "used, the file is kept as %s.damaged",
                j->name, (unsigned long long)(n < 0 ? len : damaged), j->name);
        keep_damaged(j, data, len);
    }
    adopt(j, &l);
    return 0;
}

/* Lets those go on whose records are durable, and one more, which leads the next sync; all when
 * nothing can become durable. */
static void wake_locked(struct journal *j)
{
    struct sync_waiter *w = TAILQ_FIRST(&j->waiters);
    bool led = false;
    TAILQ_INIT(&j->waiters);
    for (struct sync_waiter *next = NULL; w != NULL; w = next) {
        next = TAILQ_NEXT(w, link);
        bool goes = w->end <= j->synced || j->broken != 0 || !led;
        led = led || w->end > j->synced;
        w->durable = w->end <= j->synced;
        if (goes)
            gate_open(&w->gate);
        else
            TAILQ_INSERT_TAIL(&j->waiters, w, link);
    }
}

/* Waits until the sync that is under way has ended, and others if need be. Returns whether end is
 * durable; the lock is free then, and held when the caller has to look again. */
static bool await_sync(struct journal *j, uint64_t end)
{
    struct sync_waiter w = {.end = end};
    gate_init(&w.gate);
    TAILQ_INSERT_TAIL(&j->waiters, &w, link);
    (void)pthread_mutex_unlock(&j->lock);
    gate_wait(&w.gate);
    gate_fini(&w.gate);
    if (!w.durable)
        (void)pthread_mutex_lock(&j->lock);
    return w.durable;
}

/* Writes a file of the open entries alone in place of the old. The caller holds the lock. */
static int rewrite_locked(struct journal *j, struct err *err)
{
    auto_buf struct buf b = {0};
    const struct journal_entry *e = NULL;
    journal_put_head(&b);
    TAILQ_FOREACH(e, &j->entries, link)
    journal_put_entry(&b, e);
    int rc = io_replace_durable(j->dirfd, j->name, b.data, b.len, 0600, err);
    if (rc != 0)
        return err_wrap(err, rc, "journal %s", j->name);
    int fd = openat(j->dirfd, j->name, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_sys(err, errno, "journal %s", j->name);
    if (j->fd >= 0)
        (void)close(j->fd);
    j->fd = fd;
    j->size = b.len;
    j->broken = 0;
    buf_reset(&j->pending); /* all of it is in the new file */
    j->synced = j->appended;
    wake_locked(j);
    return 0;
}

static int open_on_disk(struct journal *j, const char *dir, struct err *err)
{
    int rc = io_mkdirs(dir, 0700, err);
    if (rc != 0)
        return err_wrap(err, rc, "journal");
    j->dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (j->dirfd < 0)
        return err_sys(err, errno, "journal directory %s", dir);
    rc = load(j, err);
    if (rc != 0)
        return err_wrap(err, rc, "journal %s/%s", dir, j->name);
    lock_scope(&j->lock);
    return rewrite_locked(j, err);
}

int journal_open(const char *dir, const char *name, struct journal **out, struct err *err)
{
    auto_journal struct journal *j = xzalloc(sizeof(*j));
    (void)pthread_mutex_init(&j->lock, NULL);
    TAILQ_INIT(&j->waiters);
    TAILQ_INIT(&j->entries);
    j->dirfd = j->fd = -1;
    j->name = xstrdup(name);
    j->next_id = 1;
    int rc = dir != NULL ? open_on_disk(j, dir, err) : 0;
    if (rc == 0)
        *out = take_ptr(j);
    return rc;
}

static int push_locked(struct journal *j, struct err *err);

void journal_close(struct journal *j)
{
    if (j == NULL)
        return;
    if (j->fd >= 0) {
        struct err e = {0};
        if (push_locked(j, &e) != 0 || fdatasync(j->fd) != 0)
            log_err("journal %s: %s", j->name, e.code != 0 ? e.text : strerror(errno));
        (void)close(j->fd);
    }
    if (j->dirfd >= 0)
        (void)close(j->dirfd);
    while (!TAILQ_EMPTY(&j->entries)) {
        struct journal_entry *e = TAILQ_FIRST(&j->entries);
        TAILQ_REMOVE(&j->entries, e, link);
        entry_free(e);
    }
    buf_fini(&j->pending);
    (void)pthread_mutex_destroy(&j->lock);
    free(j->name);
    free(j);
}

/* ---- writing ---- */

/* Hands the pending bytes to the kernel; what it did not take stays for the next time. */
static int push_locked(struct journal *j, struct err *err)
{
    size_t done = 0;
    int rc = 0;
    while (j->fd >= 0 && done < j->pending.len) {
        ssize_t n = write(j->fd, j->pending.data + done, j->pending.len - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = err_sys(err, n < 0 ? errno : ENOSPC, "journal %s", j->name);
            break;
        }
        done += (size_t)n;
    }
    j->size += done;
    if (done == j->pending.len || j->fd < 0) {
        buf_reset(&j->pending);
    } else if (done > 0) {
        memmove(j->pending.data, j->pending.data + done, j->pending.len - done);
        j->pending.len -= done;
    }
    return rc;
}

int journal_push(struct journal *j, struct err *err)
{
    lock_scope(&j->lock);
    return push_locked(j, err);
}

struct journal_entry *journal_add(struct journal *j, struct hsm_action_item *item, uint64_t flags,
                                  uint32_t archive_id)
{
    struct journal_entry *e = xzalloc(sizeof(*e));
    e->flags = flags;
    e->archive_id = archive_id;
    e->item = item;
    lock_scope(&j->lock);
    size_t before = j->pending.len;
    e->id = j->next_id++;
    journal_put_entry(&j->pending, e);
    j->appended += j->pending.len - before;
    e->end = j->appended;
    TAILQ_INSERT_TAIL(&j->entries, e, link);
    j->count++;
    j->live += cost(e);
    return e;
}

/* One thread syncs for all that wait; the lock is free meanwhile. */
static void sync_once_locked(struct journal *j)
{
    uint64_t target = j->appended - j->pending.len;
    int fd = j->fd;
    j->syncing = true;
    (void)pthread_mutex_unlock(&j->lock);
    int failed = fdatasync(fd) != 0 ? errno : 0;
    (void)pthread_mutex_lock(&j->lock);
    j->syncing = false;
    if (failed != 0)
        j->broken = -failed; /* what the kernel dropped is not known: a new file is needed */
    else if (target > j->synced)
        j->synced = target;
    wake_locked(j);
}

/* Makes all up to end durable. The caller holds the lock, which is free afterwards. */
static int commit_unlock(struct journal *j, uint64_t end, struct err *err)
{
    int rc = 0;
    while (rc == 0 && j->fd >= 0 && j->synced < end) {
        if (j->broken != 0) {
            rc = err_sys(err, -j->broken, "journal %s cannot be made durable", j->name);
            break;
        }
        if (j->syncing) {
            if (await_sync(j, end))
                return 0;
            continue;
        }
        rc = push_locked(j, err);
        if (rc == 0)
            sync_once_locked(j);
        else
            wake_locked(j); /* another one leads, or learns the same */
    }
    (void)pthread_mutex_unlock(&j->lock);
    return rc;
}

int journal_commit(struct journal *j, const struct journal_entry *e, struct err *err)
{
    (void)pthread_mutex_lock(&j->lock);
    return commit_unlock(j, e->end, err);
}

static void record_ids_locked(struct journal *j, struct journal_entry *e)
{
    size_t before = j->pending.len;
    journal_put_ids(&j->pending, e);
    j->appended += j->pending.len - before;
    e->end = j->appended;
}

void journal_plan(struct journal *j, struct journal_entry *e, const struct uuid *new_id)
{
    lock_scope(&j->lock);
    e->phase = JOURNAL_PLANNED;
    e->new_id = *new_id;
    record_ids_locked(j, e);
}

static bool same_id(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

int journal_ids(struct journal *j, struct journal_entry *e, const struct uuid *new_id,
                const struct uuid *old_id, struct err *err)
{
    static const struct uuid none;
    new_id = new_id != NULL ? new_id : &none;
    old_id = old_id != NULL ? old_id : &none;
    (void)pthread_mutex_lock(&j->lock);
    uint64_t end = e->end;
    bool planned = e->phase == JOURNAL_PLANNED && same_id(&e->new_id, new_id) &&
                   same_id(&none, old_id) && end <= j->synced;
    e->phase = JOURNAL_WRITING;
    e->new_id = *new_id;
    e->old_id = *old_id;
    record_ids_locked(j, e);
    if (!planned)
        return commit_unlock(j, e->end, err);
    e->end = end;
    int rc = push_locked(j, err);
    (void)pthread_mutex_unlock(&j->lock);
    return rc;
}

void journal_done(struct journal *j, struct journal_entry *e)
{
    lock_scope(&j->lock);
    size_t before = j->pending.len;
    journal_put_done(&j->pending, e->id);
    j->appended += j->pending.len - before;
    TAILQ_REMOVE(&j->entries, e, link);
    j->count--;
    j->live -= cost(e);
    entry_free(e);
    if (j->fd < 0)
        buf_reset(&j->pending);
    else if (j->pending.len >= PUSH_BYTES)
        (void)push_locked(j, NULL); /* what is not taken stays pending, and journal_keep tells */
}

/* ---- keeping ---- */

struct journal_entry **journal_entries(struct journal *j, size_t *n)
{
    lock_scope(&j->lock);
    struct journal_entry **out = xrealloc_array(NULL, j->count + 1, sizeof(struct journal_entry *));
    struct journal_entry *e = NULL;
    *n = 0;
    TAILQ_FOREACH(e, &j->entries, link)
    out[(*n)++] = e;
    return out;
}

size_t journal_open_count(struct journal *j)
{
    lock_scope(&j->lock);
    return j->count;
}

uint64_t journal_size(struct journal *j)
{
    lock_scope(&j->lock);
    return j->size;
}

int journal_keep(struct journal *j, struct err *err)
{
    (void)pthread_mutex_lock(&j->lock);
    while (j->syncing) {
        if (await_sync(j, 0))
            (void)pthread_mutex_lock(&j->lock);
    }
    bool fat = j->size > KEEP_BYTES && j->size > KEEP_FACTOR * j->live;
    if (j->fd < 0 || (!fat && j->broken == 0))
        return commit_unlock(j, j->appended, err);
    int rc = rewrite_locked(j, err);
    (void)pthread_mutex_unlock(&j->lock);
    return rc;
}
