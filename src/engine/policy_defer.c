/* SPDX-License-Identifier: Apache-2.0 */
/* Modes defer and prepare of a policy run: list files in the place of work. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "engine/policy_run_impl.h"
#include "policy/list.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#define WRITE_AT 65536

/* One file that is being written. */
struct list_file {
    char *path;
    int fd;
    struct buf text;
};

struct lists {
    struct run *run;
    struct list_file *v;
    size_t n;
};

/* DIR/list.x when the prefix is a directory, else PREFIX.list.x. */
static char *file_path(const struct run *r, const char *what, const char *name)
{
    struct stat st;
    size_t n = strlen(r->prefix);
    bool is_dir = stat(r->prefix, &st) == 0 && S_ISDIR(st.st_mode);
    const char *between = !is_dir ? "." : n > 0 && r->prefix[n - 1] == '/' ? "" : "/";
    return xasprintf("%s%s%s%s%s", r->prefix, between, what, name[0] != '\0' ? "." : "", name);
}

static int open_file(struct lists *l, char *path, struct list_file **out, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
    if (fd < 0) {
        int rc = err_sys(err, errno, "list file %s", path);
        free(path);
        return rc;
    }
    l->v = xrealloc_array(l->v, l->n + 1, sizeof(*l->v));
    l->v[l->n] = (struct list_file){.path = path, .fd = fd};
    *out = &l->v[l->n++];
    return 0;
}

static int file_for(struct lists *l, const char *what, const char *name, struct list_file **out,
                    struct err *err)
{
    char *path = file_path(l->run, what, name);
    for (size_t i = 0; i < l->n; i++) {
        if (strcmp(l->v[i].path, path) == 0) {
            free(path);
            *out = &l->v[i];
            return 0;
        }
    }
    return open_file(l, path, out, err);
}

static int write_out(struct list_file *f, struct err *err)
{
    int rc = io_write_full(f->fd, f->text.data, f->text.len);
    buf_reset(&f->text);
    return rc == 0 ? 0 : err_sys(err, -rc, "list file %s", f->path);
}

/* The documented record of mode prepare. Numbers are hexadecimal but for the lengths. */
static void add_prepared(struct buf *b, const struct policy_chosen *c, size_t at)
{
    const char *pool = c->to_pool != NULL ? c->to_pool : c->from_pool;
    uint64_t weight = 0;
    memcpy(&weight, &c->weight, sizeof(weight));
    buf_addf(b, "%zx:%016" PRIx64 ":%" PRIx64 ":%" PRIx64 ":%" PRIx64 ":%x:0:%x:%zu!", at, weight,
             c->ino, c->generation, (uint64_t)c->size_kb * 1024, c->rule,
             c->state == POLICY_RESIDENT ? 0U : 1U, c->path_len);
    buf_add(b, c->path, c->path_len);
    buf_addf(b, ":%zu!%s", pool != NULL ? strlen(pool) : 0, pool != NULL ? pool : "");
    if (c->show_len > 0) {
        buf_addf(b, ";%zu!", c->show_len);
        buf_add(b, c->show, c->show_len);
    }
    buf_addc(b, '\n');
}

static void add_record(struct buf *b, const struct policy_rule *rule, const struct policy_chosen *c)
{
    const struct policy_external *ext = rule->kind == POLICY_LIST   ? rule->list_external
                                        : rule->to_external != NULL ? rule->to_external
                                                                    : rule->from_external;
    const struct policy_record rec = {.ino = c->ino,
                                      .generation = c->generation,
                                      .show = c->show,
                                      .show_len = c->show_len,
                                      .path = c->path,
                                      .path_len = c->path_len};
    policy_list_add(b, &rec, ext != NULL ? ext->escape : NULL);
}

static int add_chosen(struct lists *l, const struct policy_chosen *c, size_t at, struct err *err)
{
    struct list_file *f = NULL;
    const struct policy_rule *rule = policy_rule(l->run->policy, c->rule);
    const char *what = rule->kind == POLICY_LIST     ? "list"
                       : rule->kind == POLICY_DELETE ? "delete"
                                                     : "migrate";
    const char *name = rule->kind == POLICY_LIST                              ? rule->list
                       : rule->kind == POLICY_DELETE || rule->to_pool == NULL ? ""
                                                                              : rule->to_pool;
    bool prepare = l->run->mode == RUN_PREPARE;
    int rc = file_for(l, prepare ? "prepared" : what, prepare ? "" : name, &f, err);
    if (f == NULL)
        return rc;
    if (prepare)
        add_prepared(&f->text, c, at);
    else
        add_record(&f->text, rule, c);
    l->run->counts.dispatched++;
    return f->text.len >= WRITE_AT ? write_out(f, err) : 0;
}

static int finish(struct lists *l, struct err *err)
{
    for (size_t i = 0; i < l->n; i++) {
        int rc = write_out(&l->v[i], err);
        if (rc != 0)
            return rc;
        run_sayf(&l->run->out, "[I] Wrote %s.", l->v[i].path);
    }
    return 0;
}

static void lists_fini(struct lists *l)
{
    for (size_t i = 0; i < l->n; i++) {
        (void)close(l->v[i].fd);
        free(l->v[i].path);
        buf_fini(&l->v[i].text);
    }
    free(l->v);
}

int run_write_lists(struct run *r, struct err *err)
{
    struct lists l = {.run = r};
    struct policy_chosen c;
    int rc = 0;
    size_t at = 0;
    while (rc == 0 && policy_chooser_next(r->chooser, &c))
        rc = add_chosen(&l, &c, at++, err);
    if (rc == 0)
        rc = finish(&l, err);
    lists_fini(&l);
    return rc;
}
