/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of tier/tier.h as tests that run on every kind. A kind gives a maker: make() opens a
 * fresh empty tier, reopen() closes it and opens it again over what was made durable, fini()
 * removes everything. Used by the executables of this folder, single thread.
 */
#ifndef CONTRACT_TIER_CONTRACT_H
#define CONTRACT_TIER_CONTRACT_H

#include "tier/tier.h"

struct maker {
    const char *name;
    /* Opens a fresh tier into *t; state is the maker's own. Returns 0. */
    int (*make)(void **state, struct tier **t);
    /* Closes *t without a sync and opens what is durable. Returns 0. */
    int (*reopen)(void *state, struct tier **t);
    /* Ends t and removes all files. */
    void (*fini)(void *state, struct tier *t);
    /* For a tier that packs: objects carry no label, and the key of one of up to 16 KiB ends like
     * this. Else NULL. */
    const char *pack;
};

/* Runs the suite on one kind under its name. Returns the number of failed tests. */
int contract_tier_run(const struct maker *m);

#endif
