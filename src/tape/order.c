/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The locate model of the CERN Tape Archive and the order of recalls. The constants are CTA's fit;
 * wraps and bands come from the media. Stops that share or touch records are one group: the head
 * reads through them.
 */
#include "tape/order.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const struct media {
    const char *name;
    const char *suffix; /* of barcodes; NULL: none */
    unsigned wraps;
    double bytes_per_s;
    double load_s, unload_s;
} media_table[] = {
    {"lto5", "L5", 80, 140e6, 15, 20},  {"lto6", "L6", 136, 160e6, 15, 20},
    {"lto7", "L7", 112, 300e6, 15, 20}, {"m8", "M8", 168, 300e6, 15, 20},
    {"lto8", "L8", 208, 360e6, 15, 24}, {"lto9", "L9", 280, 400e6, 17, 30},
};

#define ORDER_BANDS    4
#define ORDER_LPOS_MIN 2696.0   /* LTO-7 M8, per CTA */
#define ORDER_LPOS_MAX 171097.0 /* as above */
#define ORDER_ROBOT_S  10.0
#define ORDER_MIN_S    0.1

/* Improving an order: runs of so many groups are moved, over the whole order while it has not more
 * than OROPT_WHOLE, else by OROPT_WINDOW places. */
#define OROPT_RUN    3
#define OROPT_WHOLE  512
#define OROPT_WINDOW 50
#define OROPT_PASSES 4
#define OROPT_MIN_S  0.001

/* The model's seconds, per CTA. */
#define COST_BASE           4.29
#define COST_WRAP_CHANGE    6.69
#define COST_BAND_CHANGE    3.2
#define COST_LANDING_CHANGE (-6.04)
#define COST_DIRECTION      5.22
#define COST_STEP_BACK      11.32
#define COST_PER_LPOS       0.0006192

/* A block's place on the tape. */
struct place {
    uint64_t block;
    double lpos;
    unsigned wrap, band;
    bool far_half;
};

int order_geometry_init(struct order_geometry *g, const char *media, uint64_t capacity_bytes,
                        uint32_t block_bytes, uint64_t used_blocks, struct err *err)
{
    const struct media *m = NULL;
    for (size_t i = 0; i < sizeof(media_table) / sizeof(media_table[0]); i++) {
        if (strcmp(media, media_table[i].name) == 0 || strcmp(media, media_table[i].suffix) == 0)
            m = &media_table[i];
    }
    if (m == NULL || block_bytes == 0)
        return err_set(err, -EINVAL,
                       "media \"%s\" has no cost model; known are lto5 to lto9 and m8", media);
    uint64_t per_wrap = capacity_bytes / block_bytes / m->wraps;
    *g = (struct order_geometry){
        .wraps = m->wraps,
        .bands = ORDER_BANDS,
        .blocks_per_wrap = per_wrap > 0 ? per_wrap : 1,
        .used_blocks = used_blocks,
        .lpos_min = ORDER_LPOS_MIN,
        .lpos_max = ORDER_LPOS_MAX,
        .bytes_per_s = m->bytes_per_s,
        .load_s = m->load_s,
        .unload_s = m->unload_s,
        .robot_s = ORDER_ROBOT_S,
    };
    return 0;
}

/* The wrap of block, with the wrap's first block and length. */
static unsigned find_wrap(const struct order_geometry *g, uint64_t block, uint64_t *first,
                          uint64_t *length)
{
    if (g->wrap_end == NULL) {
        uint64_t w = block / g->blocks_per_wrap;
        if (w >= g->wraps)
            w = g->wraps - 1;
        *first = w * g->blocks_per_wrap;
        *length = g->blocks_per_wrap;
        return (unsigned)w;
    }
    unsigned lo = 0;
    unsigned hi = g->wraps - 1;
    while (lo < hi) { /* first end >= block */
        unsigned mid = lo + (hi - lo) / 2;
        if (g->wrap_end[mid] < block)
            lo = mid + 1;
        else
            hi = mid;
    }
    *first = lo == 0 ? 0 : g->wrap_end[lo - 1] + 1;
    *length = g->wrap_end[lo] + 1 - *first;
    if (lo > 0 && lo == g->wraps - 1) { /* the last wrap is only part written: take the mean */
        uint64_t mean = (g->wrap_end[lo - 1] + 1) / lo;
        if (*length < mean)
            *length = mean;
    }
    if (*length == 0)
        *length = 1;
    return lo;
}

static struct place place_of(const struct order_geometry *g, uint64_t block)
{
    struct place p = {.block = block};
    uint64_t first;
    uint64_t length;
    p.wrap = find_wrap(g, block, &first, &length);
    double part = (double)(block - first) / (double)length;
    if (part > 1)
        part = 1;
    double span = g->lpos_max - g->lpos_min;
    p.lpos = p.wrap % 2 == 0 ? g->lpos_min + part * span : g->lpos_max - part * span;
    unsigned per_band = g->wraps / g->bands;
    p.band = per_band > 0 ? p.wrap / per_band : 0;
    p.far_half = p.lpos > span / 2;
    return p;
}

static double place_cost(const struct place *a, const struct place *b)
{
    if (a->block == b->block)
        return 0;
    double s = COST_BASE + COST_PER_LPOS * fabs(a->lpos - b->lpos);
    if (a->wrap != b->wrap)
        s += COST_WRAP_CHANGE;
    if (a->band != b->band)
        s += COST_BAND_CHANGE;
    if (a->far_half != b->far_half)
        s += COST_LANDING_CHANGE;
    if (a->wrap % 2 != b->wrap % 2)
        s += COST_DIRECTION;
    if (a->wrap == b->wrap && b->block < a->block)
        s += COST_STEP_BACK;
    return s < ORDER_MIN_S ? ORDER_MIN_S : s;
}

double order_cost(const struct order_geometry *g, uint64_t from, uint64_t to)
{
    struct place a = place_of(g, from);
    struct place b = place_of(g, to);
    return place_cost(&a, &b);
}

double order_stream(const struct order_geometry *g, uint64_t blocks, uint32_t block_bytes)
{
    return (double)blocks * block_bytes / g->bytes_per_s;
}

/* Stops that are read in one go: entries first to first + count of the block order. */
struct group {
    struct place start, end;
    size_t first, count;
};

struct key {
    uint64_t block, end;
    uint32_t index;
};

static int compare_keys(const void *a, const void *b)
{
    const struct key *x = a;
    const struct key *y = b;
    if (x->block != y->block)
        return x->block < y->block ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static size_t make_groups(const struct order_geometry *g, const struct key *keys, size_t n,
                          struct group *groups)
{
    size_t count = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < n; i++) {
        if (count > 0 && keys[i].block <= end) {
            groups[count - 1].count++;
            end = keys[i].end > end ? keys[i].end : end;
        } else {
            groups[count] = (struct group){.first = i, .count = 1};
            groups[count].start = place_of(g, keys[i].block);
            count++;
            end = keys[i].end;
        }
        groups[count - 1].end = place_of(g, end);
    }
    return count;
}

/* Puts the groups into SLTF order, in place. */
static void sltf(struct group *groups, size_t n, struct place head)
{
    for (size_t done = 0; done < n; done++) {
        size_t best = done;
        double best_cost = place_cost(&head, &groups[done].start);
        for (size_t i = done + 1; i < n; i++) {
            double c = place_cost(&head, &groups[i].start);
            if (c < best_cost) {
                best = i;
                best_cost = c;
            }
        }
        struct group chosen = groups[best];
        groups[best] = groups[done];
        groups[done] = chosen;
        head = chosen.end;
    }
}

/* Where a run of groups may go: seconds for having it between a and b (NULL: the end). */
static double detour(const struct place *a, const struct group *run, size_t len,
                     const struct place *b)
{
    double s = place_cost(a, &run[0].start);
    if (b != NULL)
        s += place_cost(&run[len - 1].end, b) - place_cost(a, b);
    return s;
}

static const struct place *place_before(const struct group *g, size_t i, const struct place *head)
{
    return i == 0 ? head : &g[i - 1].end;
}

/* Moves the run of len groups at i before what stands at j, which is not in or behind it. */
static void move_run(struct group *g, size_t i, size_t len, size_t j)
{
    struct group run[OROPT_RUN];
    memcpy(run, &g[i], len * sizeof(*g));
    if (j < i) {
        memmove(&g[j + len], &g[j], (i - j) * sizeof(*g));
        memcpy(&g[j], run, len * sizeof(*g));
    } else {
        memmove(&g[i], &g[i + len], (j - i - len) * sizeof(*g));
        memcpy(&g[j - len], run, len * sizeof(*g));
    }
}

/* Moves the run at i to where it costs least, if that is less than now. */
static bool improve_run(struct group *g, size_t n, size_t i, size_t len, size_t window,
                        const struct place *head)
{
    const struct place *next = i + len < n ? &g[i + len].start : NULL;
    double best = detour(place_before(g, i, head), &g[i], len, next) - OROPT_MIN_S;
    size_t from = i > window ? i - window : 0;
    size_t to = i + len + window < n ? i + len + window : n;
    size_t where = i;
    if (best <= 0)
        return false;
    for (size_t j = from; j <= to; j++) {
        if (j >= i && j <= i + len)
            continue;
        double s = detour(place_before(g, j, head), &g[i], len, j < n ? &g[j].start : NULL);
        if (s < best) {
            best = s;
            where = j;
        }
    }
    if (where == i)
        return false;
    move_run(g, i, len, where);
    return true;
}

/* Or-opt: short runs of groups go where they cost less. */
static void or_opt(struct group *g, size_t n, const struct place *head)
{
    size_t window = n <= OROPT_WHOLE ? n : OROPT_WINDOW;
    int passes = n <= OROPT_WHOLE ? OROPT_PASSES : 1;
    bool better = true;
    while (better && passes-- > 0) {
        better = false;
        for (size_t len = 1; len <= OROPT_RUN; len++) {
            for (size_t i = 0; i + len <= n; i++)
                better = improve_run(g, n, i, len, window, head) || better;
        }
    }
}

enum order_method order_recalls(const struct order_geometry *g, const struct order_stop *stops,
                                size_t n, uint64_t head, uint32_t *out_index)
{
    if (n == 0)
        return ORDER_BLOCK;
    auto_free struct key *keys = xrealloc_array(NULL, n, sizeof(*keys));
    for (size_t i = 0; i < n; i++)
        keys[i] = (struct key){stops[i].block, stops[i].block + stops[i].blocks, (uint32_t)i};
    qsort(keys, n, sizeof(*keys), compare_keys);

    bool one_wrap = g != NULL && g->used_blocks != 0 && place_of(g, g->used_blocks - 1).wrap == 0;
    auto_free struct group *groups = NULL;
    size_t count = 0;
    if (g != NULL && !one_wrap) {
        groups = xrealloc_array(NULL, n, sizeof(*groups));
        count = make_groups(g, keys, n, groups);
    }
    if (count == 0 || count > ORDER_SLTF_MAX) {
        for (size_t i = 0; i < n; i++)
            out_index[i] = keys[i].index;
        return ORDER_BLOCK;
    }
    const struct place start = place_of(g, head);
    sltf(groups, count, start);
    or_opt(groups, count, &start);
    size_t k = 0;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < groups[i].count; j++)
            out_index[k++] = keys[groups[i].first + j].index;
    }
    return ORDER_SLTF;
}

double order_plan_seconds(const struct order_geometry *g, const struct order_stop *stops, size_t n,
                          uint64_t head, const uint32_t *index)
{
    double s = 0;
    for (size_t i = 0; i < n; i++) {
        const struct order_stop *stop = &stops[index != NULL ? index[i] : i];
        uint64_t end = stop->block + stop->blocks;
        /* The record the head is behind may still be in memory: shared records cost no step back.
         */
        if (!(stop->block < head && stop->block + 1 >= head))
            s += order_cost(g, head, stop->block);
        head = end > head || stop->block + 1 < head ? end : head;
    }
    return s;
}
