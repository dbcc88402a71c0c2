/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between keeping candidates (chooser.c) and choosing among them (choose.c). Under the chooser's
 * lock while candidates are added; one thread afterwards.
 */
#ifndef POLICY_CHOOSER_IMPL_H
#define POLICY_CHOOSER_IMPL_H

#include "policy/chooser.h"
#include "policy/spill.h"

#include <pthread.h>

/* Order of work. */
enum work_class { WORK_EXTERNAL, WORK_DISK, WORK_GROUP, WORK_DELETE, WORK_LIST };

/* What sorting and choosing needs; the rest is in the record. */
struct chooser_entry {
    double weight;
    uint64_t ino;
    int64_t size_kb;
    uint64_t off; /* of the record */
    uint32_t rule;
    uint16_t pool;  /* the object's disk pool: index of names */
    uint16_t to;    /* chosen target: index of names + 1; 0: the rule's */
    uint8_t class;  /* enum work_class */
    uint8_t state;  /* enum policy_state */
    uint8_t work;   /* enum policy_work, when chosen */
    uint8_t chosen; /* 0 or 1 */
};

struct policy_chooser {
    const struct policy *p;
    pthread_mutex_t lock;
    struct policy_spill records, index;
    struct policy_rule_stats *stats; /* per rule */
    int64_t *listed_kb;              /* per rule: LIST with THRESHOLD */
    struct policy_totals totals;
    struct policy_pool *pools; /* predicted */
    int64_t *premig_kb;        /* per pool: premigrated by this run, counted as free */
    size_t n_pools;
    char **names; /* pool names met */
    size_t n_names;
    char *dir;
    size_t cursor;
};

/* The candidates, *n of them. */
struct chooser_entry *chooser_entries(struct policy_chooser *c, size_t *n);

/* Index of name in c->names, added when new. */
uint16_t chooser_name(struct policy_chooser *c, const char *name);

/* Sorts n entries in place by less. */
void chooser_sort(struct chooser_entry *e, size_t n,
                  bool (*less)(const struct chooser_entry *a, const struct chooser_entry *b));

#endif
