/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Index and name space from the tier alone. A label that names a file which is still there gives
 * rows of the index; all others give a released file of their newest copy. Running it again does
 * only what is missing.
 */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct rebuild {
    struct mover *m;
    struct mover_lane *l;
    const char *dst;
    uint32_t archive_id;
    bool dry_run;
    struct admin_report *r;
};

/* One copy of a file that exists: counted when the file names it, else garbage, unless the file
 * names none and this is its newest. */
static int index_copy_of(struct rebuild *b, const struct found *f, const struct lu_fid *fid,
                         bool counts, struct err *err)
{
    struct copy c = {.id = f->id, .loc = {.key = f->key}};
    int rc = find_facts(b->l, &c, err);
    if (rc != 0)
        return rc == FIND_NONE ? 0 : rc;
    struct index_copy row = copy_row(b->l, fid, &c);
    row.garbage_ns = counts ? 0 : time_now_ns();
    return b->dry_run ? 0 : index_put(b->m->index, &row, 1, err);
}

/* The n copies at f are of a file that is open as fd. */
static int index_file(struct rebuild *b, const struct found *f, size_t n, const struct lu_fid *fid,
                      int fd, struct err *err)
{
    struct uuid key;
    char text[FID_TEXT_MAX];
    int has = stub_key(fd, &key, err);
    if (has < 0)
        return has;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        bool counts = has == 0 ? uuid_same(&key, &f[i].id) : i == n - 1;
        if (f[i].complete)
            rc = index_copy_of(b, &f[i], fid, counts, err);
    }
    b->r->files++;
    if (rc == 0)
        report(b->r, false, "%s: %zu copies into the index%s", fid_text(fid, text), n,
               b->dry_run ? " (dry run)" : "");
    return rc;
}

struct where {
    struct rebuild *b;
    char *dst; /* owned */
};

static int take_path(void *arg, const struct tier_entry *e, struct err *err)
{
    struct where *w = arg;
    (void)err;
    w->dst = xasprintf("%s/%s", w->b->dst, e->path);
    return 0;
}

/* A file made by an earlier run. */
static bool is_made(const char *path, const struct uuid *id)
{
    struct err err;
    struct uuid key;
    auto_close int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && stub_key(fd, &key, &err) == 0 && uuid_same(&key, id);
}

static int make_file(struct rebuild *b, const struct found *f, struct err *err)
{
    struct tier_location loc = {.key = f->key};
    struct where w = {b, NULL};
    int rc = tier_show(b->l->tier, &f->id, &loc, take_path, &w, err);
    auto_free char *dst = w.dst;
    if (rc != 0)
        return rc == TIER_ABSENT ? err_set(err, -ENOENT, "%s is not there any more", f->key) : rc;
    if (is_made(dst, &f->id))
        return 0;
    struct stub_plan plan = {.id = &f->id,
                             .loc = &loc,
                             .dst = dst,
                             .archive_id = b->archive_id,
                             .links = true,
                             .base = b->dst,
                             .dry_run = b->dry_run};
    return stub_make(b->l, &plan, b->r, err);
}

/* The n copies at f that have one label. */
static int one_label(struct rebuild *b, const struct found *f, size_t n, struct err *err)
{
    struct lu_fid fid;
    char mine[LABEL_MAX];
    size_t newest = n;
    if (label_parse(f->label, &fid, NULL, NULL) == 0 &&
        strcmp(mover_label(b->m, &fid, mine), f->label) == 0) {
        auto_close int fd = stub_open(b->m, &fid, err);
        if (fd >= 0)
            return index_file(b, f, n, &fid, fd, err);
        if (fd != -ENOENT)
            return fd;
    }
    while (newest > 0 && !f[newest - 1].complete)
        newest--;
    return newest > 0 ? make_file(b, &f[newest - 1], err) : 0;
}

int admin_rebuild(struct mover *m, const char *dst, uint32_t archive_id, bool dry_run,
                  struct admin_report *r, struct err *err)
{
    struct rebuild b = {
        m, m->own, dst, archive_id != 0 ? archive_id : 1, dry_run || m->config.dry_run, r};
    auto_found struct found_list all = {0};
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    int rc = found_all(b.l, &all, err);
    for (size_t i = 0, n; rc == 0 && i < all.n; i += n) {
        struct err one = {0};
        n = 1;
        while (i + n < all.n && strcmp(all.v[i].label, all.v[i + n].label) == 0 &&
               all.v[i].label[0] != '\0')
            n++;
        if (one_label(&b, &all.v[i], n, &one) < 0)
            report(r, true, "%s: %s", all.v[i].label, one.text);
    }
    return rc == 0 ? report_result(r, "rebuild", err) : rc;
}
