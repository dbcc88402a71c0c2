/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The choice: candidates in order of work and weight against thresholds and limits, occupancies
 * changing as the run would change them.
 */
#include "policy/chooser_impl.h"

#include <math.h>
#include <string.h>

/* ---- order ---- */

static bool heavier(const struct chooser_entry *a, const struct chooser_entry *b, bool *equal)
{
    *equal = false;
    if (a->weight != b->weight)
        return a->weight > b->weight;
    if (a->ino != b->ino)
        return a->ino < b->ino;
    *equal = true;
    return false;
}

/* For choosing: weight before rule. */
static bool less_to_choose(const struct chooser_entry *a, const struct chooser_entry *b)
{
    bool equal = false;
    if (a->class != b->class)
        return a->class < b->class;
    bool less = heavier(a, b, &equal);
    if (!equal)
        return less;
    return a->rule != b->rule ? a->rule < b->rule : a->off < b->off;
}

/* For working: rule before weight. */
static bool less_to_work(const struct chooser_entry *a, const struct chooser_entry *b)
{
    bool equal = false;
    if (a->class != b->class)
        return a->class < b->class;
    if (a->rule != b->rule)
        return a->rule < b->rule;
    bool less = heavier(a, b, &equal);
    return equal ? a->off < b->off : less;
}

static void swap(struct chooser_entry *a, struct chooser_entry *b)
{
    struct chooser_entry t = *a;
    *a = *b;
    *b = t;
}

static void insertion(struct chooser_entry *e, size_t n,
                      bool (*less)(const struct chooser_entry *, const struct chooser_entry *))
{
    for (size_t i = 1; i < n; i++)
        for (size_t j = i; j > 0 && less(&e[j], &e[j - 1]); j--)
            swap(&e[j], &e[j - 1]);
}

/* Quicksort in place: qsort(3) may take as much memory again. Keys are all different. */
void chooser_sort(struct chooser_entry *e, size_t n,
                  bool (*less)(const struct chooser_entry *a, const struct chooser_entry *b))
{
    uint64_t seed = n | 1;
    while (n > 16) {
        seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
        swap(&e[n / 2], &e[(seed >> 33) % n]);
        struct chooser_entry pivot = e[n / 2];
        size_t i = 0, j = n - 1;
        while (i <= j) {
            while (less(&e[i], &pivot))
                i++;
            while (less(&pivot, &e[j]))
                j--;
            if (i > j)
                break;
            swap(&e[i], &e[j]);
            i++;
            if (j == 0)
                break;
            j--;
        }
        /* e[0..j] before e[i..n-1]: the smaller part first, so that the stack stays flat. */
        if (j + 1 < n - i) {
            chooser_sort(e, j + 1, less);
            e += i;
            n -= i;
        } else {
            chooser_sort(e + i, n - i, less);
            n = j + 1;
        }
    }
    insertion(e, n, less);
}

/* ---- pools ---- */

static ssize_t pool_index(const struct policy_chooser *c, const char *name)
{
    for (size_t i = 0; i < c->n_pools; i++)
        if (strcmp(c->pools[i].name, name) == 0)
            return (ssize_t)i;
    return -1;
}

static int64_t used(const struct policy_chooser *c, size_t i)
{
    return (int64_t)c->pools[i].used_kb;
}

static void pool_add(struct policy_chooser *c, const char *name, int64_t kb)
{
    ssize_t i = pool_index(c, name);
    if (i >= 0)
        c->pools[i].used_kb += (uint64_t)kb;
}

/* Percent used of pool or group name, less_kb and (when asked) premigrated data counted as free;
 * NaN when its size is not known. */
static double percent(const struct policy_chooser *c, const char *name, bool premig_free,
                      int64_t less_kb)
{
    size_t n = 0;
    const struct policy_member *m = policy_group(c->p, name, &n);
    struct policy_member self = {.pool = name};
    double kb = -(double)less_kb, total = 0;
    if (m == NULL) {
        m = &self;
        n = 1;
    }
    for (size_t j = 0; j < n; j++) {
        ssize_t i = pool_index(c, m[j].pool);
        if (i < 0)
            continue;
        kb += (double)used(c, (size_t)i) - (premig_free ? (double)c->premig_kb[i] : 0);
        total += (double)c->pools[i].total_kb;
    }
    return total > 0 ? 100.0 * kb / total : NAN;
}

/* Whether pool name holds kb more below limit percent. Without any occupancies everything fits. */
static bool fits(const struct policy_chooser *c, const char *name, int64_t kb, double limit)
{
    if (c->n_pools == 0)
        return true;
    ssize_t i = pool_index(c, name);
    if (i < 0)
        return false;
    double after = (double)used(c, (size_t)i) + (double)kb;
    return after <= limit / 100.0 * (double)c->pools[i].total_kb;
}

/* The disk pool that takes kb for rule r: its target or the first member with room; NULL: none. */
static const char *find_target(const struct policy_chooser *c, const struct policy_rule *r,
                               int64_t kb)
{
    size_t n = 0;
    const struct policy_member *m = policy_group(c->p, r->to_pool, &n);
    if (m == NULL)
        return fits(c, r->to_pool, kb, r->limit) ? r->to_pool : NULL;
    for (size_t i = 0; i < n; i++)
        if (fits(c, m[i].pool, kb, m[i].limit < r->limit ? m[i].limit : r->limit))
            return m[i].pool;
    return NULL;
}

/* ---- one candidate ---- */

static void take(struct policy_chooser *c, struct chooser_entry *e, enum policy_work work)
{
    e->chosen = 1;
    e->work = (uint8_t)work;
    c->stats[e->rule].chosen++;
    c->stats[e->rule].kb_chosen += e->size_kb;
}

static void take_migrate(struct policy_chooser *c, struct chooser_entry *e, enum policy_work work)
{
    take(c, e, work);
    c->totals.migrate++;
    c->totals.migrate_kb += e->size_kb;
}

/* The pool whose occupancy rule r measures. */
static const char *measured(const struct policy_chooser *c, const struct policy_rule *r,
                            const struct chooser_entry *e)
{
    return r->from_pool != NULL ? r->from_pool : c->names[e->pool];
}

static void choose_premigrate(struct policy_chooser *c, const struct policy_rule *r,
                              struct chooser_entry *e)
{
    if (percent(c, measured(c, r, e), true, 0) <= r->premig)
        return;
    ssize_t i = pool_index(c, c->names[e->pool]);
    if (i >= 0)
        c->premig_kb[i] += e->size_kb;
    if (e->state == POLICY_PREMIGRATED) {
        c->totals.comanaged++;
        c->totals.comanaged_kb += e->size_kb;
        return; /* nothing to copy, nothing to do */
    }
    take(c, e, POLICY_WORK_PREMIGRATE);
    c->totals.premigrate++;
    c->totals.premigrate_kb += e->size_kb;
}

static void choose_out(struct policy_chooser *c, const struct policy_rule *r,
                       struct chooser_entry *e)
{
    if (e->state == POLICY_MIGRATED)
        return; /* its data is out already */
    if (r->has_threshold && percent(c, measured(c, r, e), false, 0) <= r->low) {
        choose_premigrate(c, r, e);
        return;
    }
    if (e->state == POLICY_PREMIGRATED) {
        c->totals.comanaged++;
        c->totals.comanaged_kb += e->size_kb;
    }
    take_migrate(c, e, POLICY_WORK_MIGRATE);
    pool_add(c, c->names[e->pool], -e->size_kb);
}

static void choose_disk(struct policy_chooser *c, const struct policy_rule *r,
                        struct chooser_entry *e)
{
    bool recall = r->from_external != NULL;
    const char *from = c->names[e->pool];
    if (!recall && r->has_threshold && percent(c, measured(c, r, e), false, 0) <= r->low)
        return;
    bool stays = !recall && strcmp(r->to_pool, from) == 0;
    const char *to = stays ? from : find_target(c, r, e->size_kb);
    if (to == NULL)
        return;
    e->to = (uint16_t)(chooser_name(c, to) + 1);
    take_migrate(c, e, recall ? POLICY_WORK_RECALL : POLICY_WORK_MIGRATE);
    if (stays)
        return;
    if (!recall)
        pool_add(c, from, -e->size_kb);
    pool_add(c, to, e->size_kb);
}

static void choose_delete(struct policy_chooser *c, const struct policy_rule *r,
                          struct chooser_entry *e)
{
    if (r->has_threshold && r->from_external == NULL &&
        percent(c, measured(c, r, e), false, 0) <= r->low)
        return;
    take(c, e, POLICY_WORK_DELETE);
    c->totals.del++;
    c->totals.del_kb += e->size_kb;
    pool_add(c, c->names[e->pool], -e->size_kb);
}

static void choose_list(struct policy_chooser *c, const struct policy_rule *r,
                        struct chooser_entry *e)
{
    /* As if what is listed were gone. */
    if (r->has_threshold && percent(c, measured(c, r, e), false, c->listed_kb[e->rule]) <= r->low)
        return;
    c->listed_kb[e->rule] += e->size_kb;
    take(c, e, POLICY_WORK_LIST);
    c->totals.list++;
    c->totals.list_kb += e->size_kb;
}

static void choose_one(struct policy_chooser *c, struct chooser_entry *e)
{
    const struct policy_rule *r = policy_rule(c->p, e->rule);
    if (r->kind == POLICY_LIST)
        choose_list(c, r, e);
    else if (r->kind == POLICY_DELETE)
        choose_delete(c, r, e);
    else if (r->to_external != NULL)
        choose_out(c, r, e);
    else
        choose_disk(c, r, e);
}

int policy_chooser_choose(struct policy_chooser *c, struct err *err)
{
    (void)err;
    size_t n = 0;
    struct chooser_entry *e = chooser_entries(c, &n);
    chooser_sort(e, n, less_to_choose);
    for (size_t i = 0; i < n; i++)
        choose_one(c, &e[i]);
    chooser_sort(e, n, less_to_work);
    c->cursor = 0;
    return 0;
}
