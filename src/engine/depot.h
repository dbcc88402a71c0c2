/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A depot: the place behind a configured store, as all lanes of the store share it. Kinds are rows
 * of a table by the endpoint's scheme: "http", "https" (S3, tier/s3.h) and "file" (a plain
 * directory, tier/tier.h). Any thread may call any function; a lane's tier belongs to one thread at
 * a time.
 */
#ifndef ENGINE_DEPOT_H
#define ENGINE_DEPOT_H

#include "base/err.h"
#include "conf/conf.h"
#include "tier/s3.h"
#include "tier/tier.h"

struct depot;

/* What a depot counts. Bytes of memory for data; requests since it was opened. */
struct depot_figures {
    uint64_t memory_used, memory_peak, memory_bound;
    uint64_t requests, retries, failures;
};

/* What a kind fills in; meanings as of the functions of the same name. */
struct depot_ops {
    const char *kind; /* as tier_kind of its lanes */
    int (*open)(const struct conf_store *conf, const _Atomic int64_t *halt_ns, void **self,
                struct err *err);
    void (*close)(void *self);
    int (*lane)(void *self, const char *name, struct tier **out, struct err *err);
    int (*sync)(void *self, struct tier *lane, struct err *err);
    int (*probe)(void *self, struct err *err);
    int (*walk)(void *self, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err);
    int (*purge)(void *self, const struct uuid *id, uint64_t *objects, uint64_t *bytes,
                 struct err *err);
    int (*drop_pack)(void *self, const char *key, uint64_t *bytes, struct err *err);
    void (*figures)(void *self, struct depot_figures *out);
};

/* The kinds. */
extern const struct depot_ops depot_dir;
extern const struct depot_ops depot_s3;

/* The kind of an endpoint, "s3" or "dir"; static. */
const char *depot_kind(const struct conf_store *conf);

/* Opens the depot of conf (borrowed, it must outlive the depot), which has to be reachable. Returns
 * 0 with *out (depot_close), or a negative code with err. May take as long as requests do. From
 * *halt_ns on (ns, monotonic; 0: not yet; it must outlive the depot) requests end with -ECANCELED
 * within a second. */
int depot_open(const struct conf_store *conf, const _Atomic int64_t *halt_ns, struct depot **out,
               struct err *err);

/* Whether the place of conf, which has taken copies, is there. A directory that opening would make
 * again is none: it is not mounted. Returns 0 (also when only opening tells), or a negative code
 * with err. */
int depot_expect(const struct conf_store *conf, struct err *err);

/* Ends d after all its lanes were freed. NULL is allowed. */
void depot_close(struct depot *d);

/* A tier for one thread, named after the store; the caller's (tier_free). Returns 0 or a negative
 * code with err. */
int depot_lane(struct depot *d, struct tier **out, struct err *err);

/* Makes what any lane has put durable. Where that may take long, tier_cancel of lane, the caller's,
 * ends it with -ECANCELED; NULL: nothing does. Returns 0 or a negative code. */
int depot_sync(struct depot *d, struct tier *lane, struct err *err);

/* Asks whether the place answers. Returns 0, or a negative code with err saying why not. */
int depot_probe(struct depot *d, struct err *err);

/* All that lies there, by archive id, complete copies and pieces; see s3_tier_walk. */
int depot_walk(struct depot *d, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err);

/* Deletes all that belongs to archive id; see s3_tier_purge. */
int depot_purge(struct depot *d, const struct uuid *id, uint64_t *objects, uint64_t *bytes,
                struct err *err);

/* Deletes a pack with all copies in it; see s3_tier_drop_pack. A kind without packs: -EINVAL. */
int depot_drop_pack(struct depot *d, const char *key, uint64_t *bytes, struct err *err);

/* Fills *out. */
void depot_figures(struct depot *d, struct depot_figures *out);

#endif
