/* SPDX-License-Identifier: Apache-2.0 */
/* What a copy is, read from its manifest or from the metadata of its sole object. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "tier/s3_pack.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define TRIES         3
#define THAW_DAYS     3
#define THAW_POLL_MAX 60 /* seconds between two looks at a thawing object */

static bool is_manifest(const char *key)
{
    static const char tail[] = "/" S3_MANIFEST;
    size_t n = strlen(key);
    return n >= sizeof(tail) && strcmp(key + n - (sizeof(tail) - 1), tail) == 0;
}

/* The body is what its metadata say, and says of itself what they say. */
static int read_manifest(const struct store_reply *r, const char *text, size_t n, struct s3_copy *c,
                         struct err *err)
{
    auto_s3_own struct s3_own o = {0};
    bool told = s3_own_parse(r, &o, NULL) == 0; /* metadata may be lost: the manifest says all */
    const char *want = told ? s3_own_get(&o, "xxh3") : NULL;
    const char *id = told ? s3_own_get(&o, "archive") : NULL;
    uint8_t sum[DIGEST_MAX];
    char hex[ENCODE_HEX_SIZE(S3_XXH3)];
    char own[UUID_TEXT];
    (void)digest_of(DIGEST_XXH3_128, text, n, sum);
    encode_hex(sum, S3_XXH3, hex);
    if (want != NULL && strcmp(want, hex) != 0)
        return err_set(err, -EBADMSG, "the manifest does not have its XXH3-128");
    int rc = s3_manifest_read(text, n, c, err);
    if (rc < 0)
        return rc;
    uuid_format(&c->id, own);
    if (id != NULL && strcmp(id, own) != 0)
        return err_set(err, -EBADMSG, "the manifest of %s lies under the name of %s", own, id);
    return 0;
}

static int get_manifest(struct s3_lane *l, const char *bucket, const char *key, struct s3_copy *c,
                        struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    auto_free char *text = NULL;
    size_t n = 0;
    int rc =
        store_get_small(l->s->store, bucket, key, S3_MANIFEST_MAX, &text, &n, &l->cancel, &r, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    if (rc == STORE_ARCHIVED)
        return S3_FROZEN;
    if (rc == -EMSGSIZE)
        return err_set(err, -EBADMSG, "%lld bytes are too many for a manifest", (long long)r.size);
    return rc < 0 ? rc : read_manifest(&r, text, n, c, err);
}

static int head(struct s3_lane *l, const char *bucket, const char *key, struct s3_copy *c,
                struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    int rc = store_head(l->s->store, bucket, key, &l->cancel, &r, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    return rc < 0 ? rc : s3_meta_read(&r, bucket, key, c, err);
}

/* Reads one of the two, again when it comes damaged. */
static int load_own(struct s3_lane *l, const struct tier_location *loc, bool head_only,
                    struct s3_copy *c, struct err *err)
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    int rc = s3_split_location(loc->key, &bucket, &key, err);
    if (rc < 0)
        return rc;
    for (int i = 0; i < TRIES; i++) {
        s3_copy_fini(c);
        /* Where the metadata got lost, the manifest itself says all. */
        bool manifest = is_manifest(key) && (!head_only || i > 0);
        rc = manifest ? get_manifest(l, bucket, key, c, err) : head(l, bucket, key, c, err);
        if (rc == S3_FROZEN)
            rc = s3_thaw_object(l, bucket, key, err);
        else if (rc != -EBADMSG)
            break;
        if (rc == 0) /* once more, unless it was the last time */
            rc = err_set(err, -EBADMSG, "still archived after its restore");
        if (rc != -EBADMSG)
            break;
    }
    if (rc == 0 && !is_manifest(key) && !c->sole)
        rc = TIER_ABSENT; /* a piece of a copy that is not closed by it */
    return rc < 0 ? err_wrap(err, rc, "%s: %s/%s", l->name, bucket, key) : rc;
}

static int load(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                bool head_only, struct s3_copy *c, struct err *err)
{
    int rc = s3_lane_stopped(l, err);
    if (rc < 0)
        return rc;
    if (strncmp(loc->key, S3_LEGACY_PREFIX, strlen(S3_LEGACY_PREFIX)) == 0)
        rc = s3_legacy_load(l, loc->key + strlen(S3_LEGACY_PREFIX), c, err);
    else if (strncmp(loc->key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) == 0)
        rc = s3_plain_load(l, loc->key + strlen(S3_PLAIN_PREFIX), c, err);
    else if (s3_pack_is(loc->key))
        rc = s3_pack_load(l, loc, c, err);
    else
        rc = load_own(l, loc, head_only, c, err);
    if (rc != 0)
        return rc;
    if (c->source != S3_SOURCE_OWN)
        c->id = *id; /* archives of others know none */
    return memcmp(&c->id, id, sizeof(*id)) == 0 ? 0 : TIER_ABSENT;
}

int s3_load(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
            struct s3_copy *c, struct err *err)
{
    return load(l, id, loc, false, c, err);
}

int s3_load_head(struct s3_lane *l, const struct uuid *id, const struct tier_location *loc,
                 struct s3_copy *c, struct err *err)
{
    return load(l, id, loc, true, c, err);
}

/* ---- objects in cold classes ---- */

/* Whether the object can be read now. */
static int is_thawed(struct s3_lane *l, const char *bucket, const char *key, bool *thawed,
                     struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    int rc = store_head(l->s->store, bucket, key, &l->cancel, &r, err);
    *thawed = rc != 0 || strstr(r.restore, "ongoing-request=\"true\"") == NULL;
    return rc < 0 ? rc : 0; /* absent: the get will say so */
}

/* Lets seconds pass. Returns 0, or -ECANCELED. */
static int pause_for(struct s3_lane *l, unsigned seconds, struct err *err)
{
    lock_scope(&l->lock);
    for (unsigned i = 0; i < seconds && !l->user_cancel && !store_halted(l->s->store); i++) {
        struct timespec until;
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        (void)pthread_cond_clockwait(&l->moved, &l->lock, CLOCK_MONOTONIC, &until);
    }
    return l->user_cancel || store_halted(l->s->store)
               ? err_set(err, -ECANCELED, "%s: cancelled", l->name)
               : 0;
}

static int ask(struct s3_lane *l, const char *bucket, const char *key, struct err *err)
{
    int rc = store_restore(l->s->store, bucket, key, THAW_DAYS, "Standard", &l->cancel, err);
    return rc < 0 ? err_wrap(err, rc, "%s: asking for %s/%s back", l->name, bucket, key) : 0;
}

static int wait_thawed(struct s3_lane *l, const char *bucket, const char *key, struct err *err)
{
    bool thawed = false;
    unsigned seconds = 1;
    int rc = is_thawed(l, bucket, key, &thawed, err);
    while (rc == 0 && !thawed) {
        rc = pause_for(l, seconds, err);
        if (rc == 0)
            rc = is_thawed(l, bucket, key, &thawed, err);
        seconds = 2 * seconds < THAW_POLL_MAX ? 2 * seconds : THAW_POLL_MAX;
    }
    return rc;
}

int s3_thaw_object(struct s3_lane *l, const char *bucket, const char *key, struct err *err)
{
    int rc = ask(l, bucket, key, err);
    return rc < 0 ? rc : wait_thawed(l, bucket, key, err);
}

int s3_thaw(struct s3_lane *l, const struct s3_copy *c, size_t first, struct err *err)
{
    int rc = 0;
    for (size_t i = first; i < c->nchunks && rc == 0; i++)
        rc = ask(l, c->chunks[i]->bucket, c->chunks[i]->key, err);
    for (size_t i = first; i < c->nchunks && rc == 0; i++)
        rc = wait_thawed(l, c->chunks[i]->bucket, c->chunks[i]->key, err);
    return rc;
}
