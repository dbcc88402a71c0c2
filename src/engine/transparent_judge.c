/* SPDX-License-Identifier: Apache-2.0 */
/* One event: whose file, in which state, who asks; then an answer, or a recall and an answer. */
#include "engine/transparent_impl.h"

#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#define AGAIN_MOST 8 /* times that a file may change under our eyes */

static void finish(struct transparent *t, struct waiting *w, int code, uint64_t *which)
{
    transparent_count(t, which);
    if (w->ev.fd >= 0) /* first, or it keeps its mount busy a moment longer than its program */
        (void)close(w->ev.fd);
    link_answer(t->link, &w->ev, code);
    free(w);
}

static void let_go(struct transparent *t, struct waiting *w)
{
    finish(t, w, 0, &t->counts.let_go);
}

/* ---- the file ---- */

/* Its file system among the watched ones, and its identity. NULL when it is in none. */
static struct efs *find(struct transparent *t, struct waiting *w)
{
    if (w->ev.fd < 0)
        return efs_by_uuid(t->e, &w->id.fs); /* judged before */
    for (size_t i = 0; i < t->e->nfs; i++) {
        struct efs *fs = &t->e->fs[i];
        if (fs->fs != NULL && fs_identify(fs->fs, w->ev.fd, &w->id, NULL, NULL) == 0)
            return fs;
    }
    return NULL;
}

/* Somebody truncated the stub to nothing: what is there is all there is. */
static int make_resident(struct transparent *t, struct efs *fs, const struct file_info *i,
                         struct err *err)
{
    auto_close int fd = fs_open_id(fs->fs, &i->id, O_RDWR | O_NONBLOCK, err);
    int rc = fd < 0 ? fd : file_set_resident(fs->fs, fd, err);
    if (rc == 0)
        rc = fs_sync(fs->fs, err);
    if (rc == 0 && i->has_record && i->note != FILE_NOTE_COPIED)
        copies_set_state(t->e, &i->record.archive, 0, CATALOG_COPY_GARBAGE,
                         "its file was written anew");
    if (rc == 0)
        transparent_stub(t, fs, -1);
    return rc;
}

/* Whether the file is empty although the record says migrated: there is no byte that could be read
 * wrong, and what is written from now on is all there is. */
static bool is_emptied(const struct file_info *i)
{
    return i->state == FILE_RESIDENT && i->note == FILE_NOTE_DIRTY && i->has_record &&
           i->record.state == FILE_MIGRATED;
}

/* ---- a file that its opener truncates ---- */

/* Not an event: has it been truncated by now? */
static void look_again(struct transparent *t, struct waiting *w)
{
    struct file_info i;
    struct err err = {0};
    struct efs *fs = efs_by_uuid(t->e, &w->id.fs);
    int rc = fs == NULL ? -ENODEV : file_inspect_id(fs->fs, &w->id, &i, &err);
    bool emptied = rc == 0 && is_emptied(&i);
    if (emptied && make_resident(t, fs, &i, &err) < 0)
        log_warn("inode %llu of %s: %s", (unsigned long long)w->id.ino, fs->conf->name, err.text);
    if (rc != 0 || emptied || i.state != FILE_MIGRATED || ++w->tries >= LATER_MOST) {
        free(w);
        return;
    }
    transparent_later(t, w);
}

/*
 * Whether the opener empties the file, so that it goes on without a recall: what it does next
 * raises FAN_PRE_ACCESS, and finds the file settled. Nothing is written to the file before the
 * answer: on a file system that is being frozen both would wait. On older kernels no event would
 * follow, and what the opener writes could not be told from a stub that somebody damaged: there the
 * file is recalled as for any open, and a freeze that comes in between waits for the deadline at
 * most.
 */
static bool empties(const struct transparent *t, const struct waiting *w)
{
    struct link_status s;
    link_status(t->link, &s);
    return s.pre_access && (w->ev.ops & WATCH_OP_OPEN) != 0 && kreader_truncates(w->ev.tid);
}

static void let_truncate(struct transparent *t, struct waiting *w)
{
    struct waiting *later = xzalloc(sizeof(*later));
    later->t = t;
    later->id = w->id;
    later->ev.fd = -1;
    let_go(t, w);
    transparent_later(t, later);
}

/* ---- who asks ---- */

/* The counter of the rule that refuses who, NULL when none does. */
static uint64_t *denied_by(struct transparent *t, const struct kreader *who)
{
    const struct conf_list *l = &t->e->conf->recall.deny_programs;
    for (size_t i = 0; i < l->count; i++) {
        /* The kernel keeps 15 bytes of a program's name. */
        if (strncmp(l->items[i], who->program, 15) == 0)
            return &t->counts.denied_programs;
    }
    for (size_t i = 0; i < t->n_deny_users; i++) {
        if (t->deny_users[i] == who->uid)
            return &t->counts.denied_users;
    }
    return NULL;
}

/* ---- the recall ---- */

static int code_of(int rc)
{
    switch (rc) {
    case -ENOSPC:
    case -EDQUOT:
        return -rc;
    case -EACCES:
        return EPERM; /* the kernel takes no EACCES */
    case -EAGAIN:
        return EBUSY; /* the queue is full */
    default:
        return EIO;
    }
}

static void recalled(void *arg, int rc, const struct err *err)
{
    struct waiting *w = arg;
    struct transparent *t = w->t;
    {
        lock_scope(&t->lock);
        t->counts.waiting--;
    }
    if (rc == 0) {
        finish(t, w, 0, &t->counts.recalled);
    } else if (rc == -ESHUTDOWN) {
        free(w); /* the front hands it to the next firnd */
    } else if (rc == -ESTALE && ++w->tries < AGAIN_MOST) {
        transparent_again(t, w); /* it is not what it was: truncated, written, recalled */
    } else {
        log_warn("%s (pid %d) gets an error: %s", w->who.program, w->who.pid, err->text);
        finish(t, w, code_of(rc), &t->counts.failed);
    }
}

/* nfsd's threads are few: its clients ask again by themselves (NFS4ERR_DELAY, JUKEBOX). */
static void forget(void *arg, int rc, const struct err *err)
{
    struct transparent *t = arg;
    (void)rc, (void)err;
    lock_scope(&t->lock);
    t->counts.waiting--;
}

static void recall_refused(struct transparent *t, struct waiting *w, int rc, const struct err *err)
{
    if (rc == -ESHUTDOWN) {
        free(w);
        return;
    }
    if (rc == -EACCES) {
        finish(t, w, EPERM, &t->counts.denied_attribute);
        return;
    }
    log_warn("%s (pid %d) gets an error: %s", w->who.program, w->who.pid, err->text);
    finish(t, w, code_of(rc), &t->counts.failed);
}

static void ask(struct transparent *t, struct waiting *w, struct efs *fs, const struct file_info *i)
{
    struct err err = {0};
    const struct engine_recall_who who = {
        .program = w->who.program, .uid = w->who.uid, .pid = w->who.pid};
    const uint64_t limit = i->note == FILE_NOTE_STUB_CUT ? (uint64_t)i->st.st_size : UINT64_MAX;
    const bool nfsd = kreader_is_nfsd(&w->who);
    {
        lock_scope(&t->lock);
        t->counts.waiting++;
    }
    int rc = engine_recall_async(t->e, fs->conf->name, &w->id, limit, &who,
                                 nfsd ? forget : recalled, nfsd ? (void *)t : (void *)w, &err);
    if (rc == 0) {
        if (nfsd)
            finish(t, w, EAGAIN, &t->counts.recalled);
        return;
    }
    {
        lock_scope(&t->lock);
        t->counts.waiting--;
    }
    if (rc == 1)
        let_go(t, w);
    else
        recall_refused(t, w, rc, &err);
}

/* ---- all ---- */

/* No file of a file system that firnd has. A stub all the same is a btrfs snapshot's, or of a file
 * system that could not be opened: nobody can bring it back. */
static void judge_stranger(struct transparent *t, struct waiting *w)
{
    char c;
    if (w->ev.fd < 0 || (fgetxattr(w->ev.fd, FILE_XATTR_STUB, &c, 1) < 0 && errno != ERANGE)) {
        let_go(t, w);
        return;
    }
    log_err("a stub of a file system that firnd does not have (a snapshot?) was asked for: EIO");
    finish(t, w, EIO, &t->counts.failed);
}

/* The file's own facts decide first. Returns true when w was answered. */
static bool judge_file(struct transparent *t, struct waiting *w, struct efs *fs,
                       struct file_info *i)
{
    struct err err = {0};
    int rc = w->ev.fd >= 0 ? file_inspect(fs->fs, w->ev.fd, i, &err)
                           : file_inspect_id(fs->fs, &w->id, i, &err);
    if (rc > 0) { /* no plain file, or gone */
        let_go(t, w);
        return true;
    }
    if (rc == 0 && is_emptied(i) && !empties(t, w))
        rc = make_resident(t, fs, i, &err);
    if (rc == 0 && i->note == FILE_NOTE_STUB_CHANGED)
        rc = err_set(&err, -EIO, "%s; nobody can tell its data", file_note_text(i->note));
    if (rc < 0) {
        log_err("inode %llu of %s: %s", (unsigned long long)w->id.ino, fs->conf->name, err.text);
        finish(t, w, EIO, &t->counts.failed);
        return true;
    }
    if (i->state == FILE_MIGRATED)
        return false;
    if (w->ev.fd >= 0 && !is_emptied(i)) /* a mark in vain costs an event at each access */
        (void)file_unguard(fs->fs, w->ev.fd, NULL);
    let_go(t, w);
    return true;
}

void transparent_judge(struct transparent *t, struct waiting *w)
{
    struct file_info i;
    if (w->later) {
        look_again(t, w);
        return;
    }
    struct efs *fs = find(t, w);
    if (fs == NULL) {
        judge_stranger(t, w);
        return;
    }
    if (judge_file(t, w, fs, &i))
        return;
    if (empties(t, w)) {
        let_truncate(t, w);
        return;
    }
    (void)kreader_of(w->ev.tid, &w->who);
    uint64_t *denied = denied_by(t, &w->who);
    if (denied != NULL) {
        log_debug("%s (pid %d) is refused by recall.%s", w->who.program, w->who.pid,
                  denied == &t->counts.denied_users ? "deny_users" : "deny_programs");
        finish(t, w, EPERM, denied);
        return;
    }
    if (w->ev.fd >= 0) /* a descriptor of ours would be in the way of leases */
        (void)close(w->ev.fd);
    w->ev.fd = -1;
    ask(t, w, fs, &i);
}
