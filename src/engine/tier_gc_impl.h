/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of firn tier gc share: tier_gc.c finds and proves, tier_gc_delete.c deletes. All
 * of it runs in the thread of the operation, but for the scan of files, which takes gc.lock.
 */
#ifndef ENGINE_TIER_GC_IMPL_H
#define ENGINE_TIER_GC_IMPL_H

#include "engine/depot.h"
#include "engine/engine_impl.h"

enum gc_reason { GC_GARBAGE, GC_LOST, GC_UNKNOWN, GC_INCOMPLETE, GC_UNREFERENCED };

struct gc_place;

/* A pack of which at least one member was a candidate at some time. */
struct gc_pack {
    char *key;        /* of its members' locations */
    uint64_t members; /* how many copies it holds */
    uint64_t found;   /* how many of them are garbage */
    uint64_t bytes;   /* of those */
    bool dead;        /* all are */
    struct gc_place *places;
    struct gc_pack *next; /* of all */
    UT_hash_handle hh;    /* by key */
};

/* A copy that lies in a pack. */
struct gc_place {
    struct gc_pack *pack;
    struct gc_candidate *c;
    uint64_t bytes;
    int no;      /* its copy's number, when it was asked for last; 0 not in the catalogue */
    bool others; /* its archive has further copies */
    struct gc_place *next; /* of the candidate */
    struct gc_place *next_in_pack;
};

struct gc_candidate {
    struct uuid id;
    enum gc_reason reason;
    bool complete, damaged;
    bool own;                /* it has objects of its own */
    bool waits;              /* all of it is in packs that hold wanted copies too */
    bool deleted;            /* and counted as such */
    struct tier_location at; /* of a complete copy; key NULL: none */
    char *path;
    struct efs *fs;
    uint64_t objects, bytes;   /* its own */
    struct gc_place *places;   /* in packs */
    struct gc_candidate *next; /* of all that were ever in the hash */
    UT_hash_handle hh;
};

#define GC_PAGE 256

struct gc {
    struct engine *e;
    struct estore *s;
    struct depot *depot;
    const struct engine_call *call;
    int64_t newest_ns; /* younger ones are left alone */
    bool unreferenced; /* copies that count, of files that are gone, are garbage too */
    pthread_mutex_t lock;
    struct gc_candidate *candidates;    /* hash by id */
    struct gc_candidate *all;           /* those and dropped ones */
    struct gc_candidate *page[GC_PAGE]; /* not looked up in the catalogue yet */
    size_t n;
    struct gc_pack *packs; /* hash by key */
    struct gc_pack *all_packs;
    const char *fs_name, *root; /* that are scanned */
    bool scan_failed;
    int64_t kept, recent, others;
    int64_t garbage, in_packs, in_packs_bytes;
    int64_t objects, bytes, deleted;
    cJSON *problems;
};

/* Adds text to the problems that are told. */
void gc_problem(struct gc *g, const char *text);

/* Tells the caller how far stage is. */
void gc_tell(struct gc *g, const char *stage, int64_t done);

/* c, not yet in g->candidates, is the copy p, which lies in a pack. */
void gc_place_add(struct gc *g, struct gc_candidate *c, const struct s3_piece *p);

/* Takes what more of the same archive was found from c into old; c may be freed then. */
void gc_place_merge(struct gc_candidate *old, struct gc_candidate *c);

/* After all proofs: which packs hold nothing but garbage, which garbage waits for its pack; counts
 * both in g. */
void gc_packs_judge(struct gc *g);

/* Deletes all candidates that do not wait. */
void gc_delete_all(struct gc *g);

/* Frees the places of c. */
void gc_places_free(struct gc_candidate *c);

/* Frees all packs, after the places that name them. */
void gc_packs_free(struct gc *g);

#endif
