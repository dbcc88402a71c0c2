/* SPDX-License-Identifier: Apache-2.0 */
/* Copies that belong to another FID from now on, and the highest sequence that there is. */
#include "lustre/admin_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>

/* The index first: with the row a crash leaves a copy that the new file can be given again. */
static int give(struct mover *m, const struct admin_pair *p, const struct copy *c, struct err *err)
{
    auto_close int fd = stub_open(m, &p->new_fid, err);
    if (fd < 0)
        return fd;
    struct index_copy row = copy_row(m->own, &p->new_fid, c);
    int rc = index_put(m->index, &row, 1, err);
    if (rc == 0)
        rc = stub_set_place(fd, c->loc.key, err); /* its label goes on naming the old FID */
    return rc == 0 ? stub_set_key(fd, &c->id, err) : rc;
}

static int rebind_one(struct mover *m, const struct admin_pair *p, struct admin_report *r,
                      struct err *err)
{
    char old_text[FID_TEXT_MAX], new_text[FID_TEXT_MAX];
    auto_copy struct copy c = {0};
    auto_close int old_fd = stub_open(m, &p->old_fid, err);
    int rc = find_copy(m->own, &p->old_fid, old_fd, NULL, &c, err);
    (void)fid_text(&p->old_fid, old_text);
    (void)fid_text(&p->new_fid, new_text);
    if (rc == FIND_NONE)
        return err_set(err, -ENOENT, "no copy of %s is known", old_text);
    if (rc == 0)
        rc = copy_is_free(m, &p->old_fid, &c.id, err);
    if (rc == 0 && !m->config.dry_run)
        rc = give(m, p, &c, err);
    if (rc == 0)
        report(r, false, "%s -> %s%s", old_text, new_text, m->config.dry_run ? " (dry run)" : "");
    return rc;
}

int admin_rebind(struct mover *m, const struct admin_pair *pairs, size_t n, struct admin_report *r,
                 struct err *err)
{
    int first = 0;
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    for (size_t i = 0; i < n; i++) {
        char text[FID_TEXT_MAX];
        struct err one = {0};
        r->files++;
        int rc = rebind_one(m, &pairs[i], r, &one);
        if (rc == 0)
            continue;
        report(r, true, "%s: %s", fid_text(&pairs[i].old_fid, text), one.text);
        if (first == 0 && err != NULL)
            *err = one;
        first = first == 0 ? rc : first;
    }
    return first;
}

static int highest(void *arg, const struct place_item *item, struct err *err)
{
    uint64_t *seq = arg;
    struct lu_fid fid;
    (void)err;
    if (label_parse(item->label, &fid, NULL, NULL) == 0 && fid.seq > *seq)
        *seq = fid.seq;
    return 0;
}

/* Kinds that tell no labels: what the index knows. */
int admin_max_sequence(struct mover *m, uint64_t *seq, struct err *err)
{
    uint64_t after = 0;
    *seq = 0;
    if (m->own->tier == NULL)
        return err_set(err, -EIO, "the tier could not be opened");
    int rc = place_walk(m->own, NULL, highest, seq, err);
    for (bool more = true; rc == 0 && more;) {
        auto_index_copies struct index_copies rows = {0};
        rc = index_page(m->index, &after, 1000, &rows, err);
        more = rows.n > 0;
    }
    if (after > *seq)
        *seq = after;
    return rc;
}
