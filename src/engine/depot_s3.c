/* SPDX-License-Identifier: Apache-2.0 */
/* A store of kind s3: copies as chunks in buckets, tier/s3.h. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "engine/depot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct s3 {
    struct s3_tier *tier;
    char *bucket; /* one of those that new objects go to */
};

/* The number of value in words, which end with NULL; the first when it is none. */
static int choice(const char *value, const char *const *words)
{
    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], value) == 0)
            return i;
    }
    return 0;
}

static void store_settings(const struct conf_store *c, struct store_config *s)
{
    static const char *const styles[] = {"auto", "path", "virtual", NULL};
    static const char *const signs[] = {"auto", "always", "never", NULL};
    *s = (struct store_config){
        .name = c->name,
        .endpoint = c->endpoint,
        .region = c->region,
        .style = (enum store_style)choice(c->style, styles),
        .access_key = c->access_key,
        .secret_key = c->secret_key,
        .session_token = c->session_token,
        .credentials_file = c->credentials_file,
        .profile = c->profile,
        .ca_file = c->ca_file,
        .tls_verify = c->tls_verify,
        .sign_payload = (enum store_sign)choice(c->sign_payload, signs),
        .connections = (unsigned)c->connections,
        .retries = (unsigned)c->retries,
        .retry_max_ms = (unsigned)c->retry_max_ms,
        .connect_timeout_s = (unsigned)c->connect_timeout_s,
        .stall_timeout_s = (unsigned)c->stall_timeout_s,
        .min_speed = (uint64_t)c->min_speed,
    };
}

static void s3_close(void *self)
{
    struct s3 *s = self;
    s3_tier_close(s->tier);
    free(s->bucket);
    free(s);
}

static int s3_open(const struct conf_store *c, const _Atomic int64_t *halt_ns, void **self,
                   struct err *err)
{
    static const char *const proofs[] = {"auto", "checksum", "read", NULL};
    enum chunk_codec codec = CHUNK_LZ4;
    if (chunk_codec_parse(c->compression, &codec) < 0)
        return err_set(err, -EINVAL, "stores: %s: compression \"%s\"", c->name, c->compression);
    struct s3_tier_config t = {
        .bucket_prefix = c->bucket_prefix,
        .bucket_count = (unsigned)c->bucket_count,
        .bucket_separator = c->bucket_separator,
        .key_prefix = c->key_prefix,
        .chunk_size = (uint64_t)c->chunk_size,
        .buffers = (unsigned)c->buffers,
        .codec = codec,
        .level = (int)c->compression_level,
        .verify = (enum s3_verify)choice(c->verify, proofs),
        .key_file = c->key_file,
        .key_id = c->key_id,
        .create_buckets = c->create_buckets,
        .pack_size = (uint64_t)c->pack_size,
        /* a member is one chunk */
        .pack_file = (uint64_t)(c->pack_file < c->chunk_size ? c->pack_file : c->chunk_size),
    };
    store_settings(c, &t.store);
    t.store.halt_ns = halt_ns;
    struct s3 *s = xzalloc(sizeof(*s));
    int rc = s3_tier_open(&t, &s->tier, err);
    if (rc < 0) {
        free(s);
        return rc;
    }
    s->bucket = c->bucket_count > 1 ? xasprintf("%s%s0", c->bucket_prefix, c->bucket_separator)
                                    : xstrdup(c->bucket_prefix);
    *self = s;
    return 0;
}

static int s3_lane(void *self, const char *name, struct tier **out, struct err *err)
{
    const struct s3 *s = self;
    (void)err;
    *out = s3_tier_lane(s->tier, name);
    return 0;
}

static int s3_sync(void *self, struct tier *lane, struct err *err)
{
    const struct s3 *s = self;
    return lane != NULL ? tier_sync(lane, err) : s3_tier_flush(s->tier, err);
}

static int s3_probe(void *self, struct err *err)
{
    const struct s3 *s = self;
    int rc = store_bucket_check(s3_tier_store(s->tier), s->bucket, err);
    return rc > 0 ? err_set(err, -ENOENT, "bucket %s is not there", s->bucket) : rc;
}

static int s3_walk(void *self, s3_piece_fn *fn, void *arg, uint64_t *foreign, struct err *err)
{
    const struct s3 *s = self;
    return s3_tier_walk(s->tier, fn, arg, foreign, err);
}

static int s3_purge(void *self, const struct uuid *id, uint64_t *objects, uint64_t *bytes,
                    struct err *err)
{
    const struct s3 *s = self;
    return s3_tier_purge(s->tier, id, NULL, objects, bytes, err);
}

static int s3_drop_pack(void *self, const char *key, uint64_t *bytes, struct err *err)
{
    const struct s3 *s = self;
    return s3_tier_drop_pack(s->tier, key, bytes, err);
}

static void s3_figures(void *self, struct depot_figures *out)
{
    const struct s3 *s = self;
    struct store_counts c = {0};
    s3_tier_memory(s->tier, &out->memory_used, &out->memory_peak, &out->memory_bound);
    store_counts(s3_tier_store(s->tier), &c);
    out->requests = c.requests;
    out->retries = c.retries;
    out->failures = c.failures;
}

const struct depot_ops depot_s3 = {.kind = "s3",
                                   .open = s3_open,
                                   .close = s3_close,
                                   .lane = s3_lane,
                                   .sync = s3_sync,
                                   .probe = s3_probe,
                                   .walk = s3_walk,
                                   .purge = s3_purge,
                                   .drop_pack = s3_drop_pack,
                                   .figures = s3_figures};
