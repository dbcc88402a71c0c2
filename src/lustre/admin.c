/* SPDX-License-Identifier: Apache-2.0 */
/* Reports, lists, and a released file for a copy. */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "lustre/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_MODE  0755
#define FILE_MODE 0600 /* of a copy that does not say */

void report(struct admin_report *r, bool failed, const char *fmt, ...)
{
    char text[2048];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    r->failed += failed ? 1 : 0;
    r->line(r->arg, text);
}

int report_result(const struct admin_report *r, const char *what, struct err *err)
{
    if (r->failed == 0)
        return 0;
    return err_set(err, -EIO, "%s: %llu of %llu failed", what, (unsigned long long)r->failed,
                   (unsigned long long)r->files);
}

/* ---- what the tier has ---- */

static int add_found(void *arg, const struct place_item *item, struct err *err)
{
    struct found_list *l = arg;
    (void)err;
    if (l->n == l->cap) {
        l->cap = l->cap != 0 ? 2 * l->cap : 64;
        l->v = xrealloc_array(l->v, l->cap, sizeof(*l->v));
    }
    l->v[l->n++] = (struct found){.id = item->id,
                                  .label = xstrdup(item->label),
                                  .key = item->complete ? xstrdup(item->loc->key) : NULL,
                                  .newest_ns = item->newest_ns,
                                  .complete = item->complete,
                                  .damaged = item->damaged};
    return 0;
}

static int by_label(const void *a, const void *b)
{
    const struct found *x = a, *y = b;
    int c = strcmp(x->label, y->label);
    if (c == 0)
        c = (x->newest_ns > y->newest_ns) - (x->newest_ns < y->newest_ns);
    return c != 0 ? c : memcmp(&x->id, &y->id, sizeof(x->id));
}

int found_all(struct mover_lane *l, struct found_list *out, struct err *err)
{
    int rc = place_walk(l, NULL, add_found, out, err);
    if (rc == 0 && out->n > 0)
        qsort(out->v, out->n, sizeof(*out->v), by_label);
    return rc;
}

void found_fini(struct found_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        free(l->v[i].label);
        free(l->v[i].key);
    }
    free(l->v);
    *l = (struct found_list){0};
}

int copy_is_free(struct mover *m, const struct lu_fid *fid, const struct uuid *id, struct err *err)
{
    struct uuid key;
    struct hsm_user_state st = {0};
    char text[FID_TEXT_MAX];
    auto_close int fd = stub_open(m, fid, err);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    int rc = stub_key(fd, &key, err);
    if (rc == 0 && uuid_same(&key, id))
        rc = stub_state(m, fd, &st, err);
    if (rc < 0)
        return rc;
    if (st.states & (HS_ARCHIVED | HS_RELEASED))
        return err_set(err, -EBUSY, "the file %s is still there and needs its copy",
                       fid_text(fid, text));
    return 0;
}

/* ---- a released file ---- */

struct making {
    struct mover_lane *l;
    const struct stub_plan *plan;
    struct admin_report *r;
};

static struct timespec spec_of(int64_t ns)
{
    struct timespec t = {.tv_sec = ns / NS_PER_SEC, .tv_nsec = ns % NS_PER_SEC};
    if (t.tv_nsec < 0) {
        t.tv_sec--;
        t.tv_nsec += NS_PER_SEC;
    }
    return t;
}

static struct stat stat_of(const struct tier_entry *e)
{
    unsigned mode = e->mode != 0 ? e->mode & 07777 : FILE_MODE;
    return (struct stat){.st_mode = S_IFREG | mode,
                         .st_uid = e->uid,
                         .st_gid = e->gid,
                         .st_size = (off_t)e->size,
                         .st_atim = spec_of(e->atime_ns != 0 ? e->atime_ns : e->mtime_ns),
                         .st_mtim = spec_of(e->mtime_ns)};
}

int admin_parent(const char *path, struct err *err)
{
    auto_free char *dir = xstrdup(path);
    char *slash = strrchr(dir, '/');
    if (slash == NULL || slash == dir)
        return 0;
    *slash = '\0';
    return io_mkdirs(dir, DIR_MODE, err);
}

/* The names that the copy had besides dst; names that are taken or leave the tree are reported. */
static void make_links(const struct making *k, const struct tier_entry *e, const char *from)
{
    struct err err;
    const struct tier_xattr *x = k->plan->links ? meta_find(e, META_NAMES) : NULL;
    const char *p = x != NULL ? x->value : NULL;
    const char *end = p != NULL ? p + x->len : NULL;
    for (; p < end && memchr(p, '\0', (size_t)(end - p)) != NULL; p += strlen(p) + 1) {
        auto_free char *path = xasprintf("%s/%s", k->plan->base, p);
        struct stat st;
        if (strcmp(path, k->plan->dst) == 0 || strstr(path, "/../") != NULL ||
            lstat(path, &st) == 0)
            continue;
        if (admin_parent(path, &err) < 0 || link(from, path) != 0)
            report(k->r, true, "%s: this further name of it is not made", path);
    }
}

/* Everything but the name: key, place, attributes, index. */
static int dress(const struct making *k, const struct tier_entry *e, const struct lu_fid *fid,
                 struct err *err)
{
    struct mover *m = k->l->m;
    auto_close int fd = stub_open(m, fid, err);
    if (fd < 0)
        return fd;
    struct copy c = {
        .id = *k->plan->id, .loc = *k->plan->loc, .size = e->size, .mtime_ns = e->mtime_ns};
    c.has_digest = meta_digest(e, c.digest);
    struct index_copy row = copy_row(k->l, fid, &c);
    row.path = e->path != NULL ? e->path : "";
    int rc = stub_set_key(fd, &c.id, err);
    if (rc == 0)
        rc = stub_set_place(fd, c.loc.key, err);
    if (rc == 0)
        rc = index_put(m->index, &row, 1, err);
    if (rc == 0 && m->config.conf->lustre.xattrs)
        (void)meta_apply(e, fd, fid);
    return rc;
}

/* Neither the file that the index has for the copy nor the one that it was made of needs it. */
static int check_free(const struct making *k, const struct tier_entry *e, struct err *err)
{
    struct mover *m = k->l->m;
    struct lu_fid fid;
    char mine[LABEL_MAX];
    auto_index_copies struct index_copies rows = {0};
    int rc = index_get(m->index, k->plan->id, &rows, err);
    if (rc == 0)
        rc = copy_is_free(m, &rows.v[0].fid, k->plan->id, err);
    if (rc >= 0 && e->label != NULL && label_parse(e->label, &fid, NULL, NULL) == 0 &&
        strcmp(mover_label(m, &fid, mine), e->label) == 0)
        rc = copy_is_free(m, &fid, k->plan->id, err);
    return rc < 0 ? rc : 0;
}

/* The file is made under a name of its own and gets its real one last: liblustreapi would
 * overwrite, and on a failure remove, what it finds under the name. */
static int make(const struct making *k, const struct tier_entry *e, struct err *err)
{
    const struct stub_plan *p = k->plan;
    char text[FID_TEXT_MAX], id[UUID_TEXT];
    struct stat st = stat_of(e);
    struct lu_fid fid;
    uuid_format(p->id, id);
    auto_free char *temp = xasprintf("%s.%.8s~", p->dst, id);
    int rc = check_free(k, e, err);
    if (rc == 0)
        rc = admin_parent(p->dst, err);
    if (rc < 0)
        return rc;
    if (lstat(p->dst, &(struct stat){0}) == 0 || lstat(temp, &(struct stat){0}) == 0)
        return err_sys(err, EEXIST, "%s", p->dst);
    rc = k->l->m->config.api->hsm_import(temp, (int)p->archive_id, &st, 0, -1, 0, 0, NULL, &fid);
    if (rc < 0)
        return err_sys(err, -rc, "%s", p->dst);
    rc = dress(k, e, &fid, err);
    if (rc == 0 && link(temp, p->dst) != 0)
        rc = err_sys(err, errno, "%s", p->dst);
    if (rc == 0)
        make_links(k, e, temp);
    if (rc < 0)
        (void)index_forget(k->l->m->index, p->id, 1, NULL);
    (void)unlink(temp);
    if (rc == 0)
        report(k->r, false, "%s %s", fid_text(&fid, text), p->dst);
    return rc;
}

static int on_show(void *arg, const struct tier_entry *e, struct err *err)
{
    const struct making *k = arg;
    k->r->files++;
    k->r->bytes += e->size;
    if (!k->plan->dry_run && !k->l->m->config.dry_run)
        return make(k, e, err);
    report(k->r, false, "%s: %llu bytes would be made", k->plan->dst, (unsigned long long)e->size);
    return 0;
}

int stub_make(struct mover_lane *l, const struct stub_plan *plan, struct admin_report *r,
              struct err *err)
{
    struct making k = {l, plan, r};
    int rc = tier_show(l->tier, plan->id, plan->loc, on_show, &k, err);
    if (rc == TIER_ABSENT)
        return err_set(err, -ENOENT, "%s: %s is not there", tier_name(l->tier), plan->loc->key);
    return rc;
}
