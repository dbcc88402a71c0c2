/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/chooser_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_DEFAULT ((size_t)256 << 20)

struct record {
    uint64_t ino, generation;
    uint32_t path_len, show_len;
    char text[]; /* path, NUL, show, NUL */
};

struct policy_chooser *policy_chooser_new(const struct policy *p,
                                          const struct policy_chooser_config *cfg)
{
    static const struct policy_chooser_config none;
    struct policy_chooser *c = xzalloc(sizeof(*c));
    if (cfg == NULL)
        cfg = &none;
    size_t memory = cfg->memory_bytes > 0 ? cfg->memory_bytes : MEMORY_DEFAULT;
    c->p = p;
    c->dir = xstrdup(cfg->work_dir != NULL ? cfg->work_dir : "/var/tmp");
    (void)pthread_mutex_init(&c->lock, NULL);
    policy_spill_init(&c->records, memory - memory / 4, c->dir);
    policy_spill_init(&c->index, memory / 4, c->dir);
    size_t n = policy_n_rules(p) + 1;
    c->stats = xzalloc(n * sizeof(*c->stats));
    c->listed_kb = xzalloc(n * sizeof(*c->listed_kb));
    c->n_pools = cfg->n_pools;
    c->pools = xzalloc((cfg->n_pools + 1) * sizeof(*c->pools));
    c->premig_kb = xzalloc((cfg->n_pools + 1) * sizeof(*c->premig_kb));
    for (size_t i = 0; i < cfg->n_pools; i++) {
        c->pools[i] = cfg->pools[i];
        c->pools[i].name = xstrdup(cfg->pools[i].name);
    }
    return c;
}

void policy_chooser_free(struct policy_chooser *c)
{
    if (c == NULL)
        return;
    policy_spill_fini(&c->records);
    policy_spill_fini(&c->index);
    for (size_t i = 0; i < c->n_pools; i++)
        free((char *)(uintptr_t)c->pools[i].name);
    for (size_t i = 0; i < c->n_names; i++)
        free(c->names[i]);
    free(c->names);
    free(c->pools);
    free(c->premig_kb);
    free(c->stats);
    free(c->listed_kb);
    free(c->dir);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

uint16_t chooser_name(struct policy_chooser *c, const char *name)
{
    for (size_t i = 0; i < c->n_names; i++)
        if (strcmp(c->names[i], name) == 0)
            return (uint16_t)i;
    if (c->n_names == UINT16_MAX - 1)
        return 0;
    c->names = xrealloc_array(c->names, c->n_names + 1, sizeof(char *));
    c->names[c->n_names] = xstrdup(name);
    return (uint16_t)c->n_names++;
}

struct chooser_entry *chooser_entries(struct policy_chooser *c, size_t *n)
{
    *n = c->index.len / sizeof(struct chooser_entry);
    return (struct chooser_entry *)(void *)c->index.map;
}

static enum work_class class_of(const struct policy_rule *r)
{
    if (r->kind == POLICY_LIST)
        return WORK_LIST;
    if (r->kind == POLICY_DELETE)
        return WORK_DELETE;
    if (r->from_external != NULL || r->to_external != NULL)
        return WORK_EXTERNAL;
    return r->to_group ? WORK_GROUP : WORK_DISK;
}

/* Appends cand and show; *off says where. */
static int add_record(struct policy_chooser *c, const struct policy_candidate *cand,
                      const struct policy_hit *hit, uint64_t *off, struct err *err)
{
    size_t size = sizeof(struct record) + cand->path_len + 1 + hit->show_len + 1;
    size = (size + 7) & ~(size_t)7;
    if (cand->path_len > UINT32_MAX / 4 || hit->show_len > UINT32_MAX / 4)
        return err_set(err, -EINVAL, "%.64s: path or SHOW text too long", cand->path);
    int rc = policy_spill_reserve(&c->records, size, err);
    if (rc < 0)
        return rc;
    *off = c->records.len;
    struct record *r = (struct record *)(void *)(c->records.map + c->records.len);
    *r = (struct record){cand->ino, cand->generation, (uint32_t)cand->path_len,
                         (uint32_t)hit->show_len};
    memcpy(r->text, cand->path, cand->path_len);
    r->text[cand->path_len] = '\0';
    char *show = r->text + cand->path_len + 1;
    if (hit->show_len > 0)
        memcpy(show, hit->show, hit->show_len);
    show[hit->show_len] = '\0';
    c->records.len += size;
    return 0;
}

static void count_candidate(struct policy_totals *t, enum policy_kind kind)
{
    if (kind == POLICY_MIGRATE)
        t->migrate_candidates++;
    else if (kind == POLICY_DELETE)
        t->del_candidates++;
    else
        t->list_candidates++;
}

static int add_hit(struct policy_chooser *c, const struct policy_candidate *cand,
                   const struct policy_hit *hit, struct err *err)
{
    const struct policy_rule *r = policy_rule(c->p, hit->rule);
    struct policy_rule_stats *s = &c->stats[hit->rule];
    if (r->kind != POLICY_EXCLUDE) {
        uint64_t off = 0;
        int rc = add_record(c, cand, hit, &off, err);
        rc = rc < 0 ? rc : policy_spill_reserve(&c->index, sizeof(struct chooser_entry), err);
        if (rc < 0)
            return rc;
        struct chooser_entry *e = (struct chooser_entry *)(void *)(c->index.map + c->index.len);
        *e = (struct chooser_entry){.weight = hit->weight,
                                    .ino = cand->ino,
                                    .size_kb = hit->size_kb,
                                    .off = off,
                                    .rule = hit->rule,
                                    .pool = chooser_name(c, hit->pool),
                                    .class = (uint8_t)class_of(r),
                                    .state = (uint8_t)hit->state};
        c->index.len += sizeof(*e);
        count_candidate(&c->totals, r->kind);
    }
    s->hits++;
    s->kb_hit += hit->size_kb;
    return 0;
}

int policy_chooser_add(struct policy_chooser *c, const struct policy_candidate *cand,
                       const struct policy_decision *d, struct err *err)
{
    lock_scope(&c->lock);
    if (d->n_hits == 0)
        c->totals.no_rule++;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < d->n_hits; i++)
        rc = add_hit(c, cand, &d->hits[i], err);
    return rc;
}

void policy_chooser_rewind(struct policy_chooser *c)
{
    c->cursor = 0;
}

bool policy_chooser_next(struct policy_chooser *c, struct policy_chosen *out)
{
    size_t n = 0;
    const struct chooser_entry *e = chooser_entries(c, &n);
    while (c->cursor < n && !e[c->cursor].chosen)
        c->cursor++;
    if (c->cursor == n)
        return false;
    e += c->cursor++;
    const struct record *rec = (const struct record *)(const void *)(c->records.map + e->off);
    const struct policy_rule *r = policy_rule(c->p, e->rule);
    *out = (struct policy_chosen){
        .rule = e->rule,
        .work = (enum policy_work)e->work,
        .path = rec->text,
        .path_len = rec->path_len,
        .show = rec->text + rec->path_len + 1,
        .show_len = rec->show_len,
        .ino = rec->ino,
        .generation = rec->generation,
        .size_kb = e->size_kb,
        .weight = e->weight,
        .state = (enum policy_state)e->state,
        .from_pool = r->from_external != NULL ? r->from_pool : c->names[e->pool],
        .to_pool = e->to > 0 ? c->names[e->to - 1] : r->to_pool,
    };
    return true;
}

void policy_chooser_rule_stats(struct policy_chooser *c, unsigned i, struct policy_rule_stats *out)
{
    lock_scope(&c->lock);
    *out = c->stats[i];
}

void policy_chooser_totals(struct policy_chooser *c, struct policy_totals *out)
{
    lock_scope(&c->lock);
    *out = c->totals;
}

const struct policy_pool *policy_chooser_pools(const struct policy_chooser *c, size_t *n)
{
    *n = c->n_pools;
    return c->pools;
}
