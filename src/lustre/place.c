/* SPDX-License-Identifier: Apache-2.0 */
/* Which tier copies go to, and what each kind can tell of them. */
#include "lustre/mover_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The value behind word in a list of the words that firn.conf allows. */
static int choice(const char *word, const char *const *words)
{
    int i = 0;
    while (words[i] != NULL && strcmp(words[i], word) != 0)
        i++;
    return words[i] != NULL ? i : 0;
}

static struct store_config store_of(const struct conf_store *c)
{
    static const char *const styles[] = {"auto", "path", "virtual", NULL};
    static const char *const signs[] = {"auto", "always", "never", NULL};
    return (struct store_config){.name = c->name,
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
                                 .min_speed = (uint64_t)c->min_speed};
}

static int open_s3(struct mover *m, struct err *err)
{
    static const char *const proofs[] = {"auto", "checksum", "read", NULL};
    static const char *const codecs[] = {"none", "lz4", "zstd", NULL};
    const struct conf_store *c = m->config.store;
    if (c == NULL)
        return err_set(err, -EINVAL, "no store is configured for the copytool: lustre.store");
    struct s3_tier_config s = {.store = store_of(c),
                               .bucket_prefix = c->bucket_prefix,
                               .bucket_count = (unsigned)c->bucket_count,
                               .bucket_separator = c->bucket_separator,
                               .key_prefix = c->key_prefix,
                               .chunk_size = (uint64_t)c->chunk_size,
                               .buffers = (unsigned)c->buffers,
                               .codec = (enum chunk_codec)choice(c->compression, codecs),
                               .level = (int)c->compression_level,
                               .verify = (enum s3_verify)choice(c->verify, proofs),
                               .key_file = c->key_file,
                               .key_id = c->key_id,
                               .create_buckets = c->create_buckets};
    return s3_tier_open(&s, &m->s3, err);
}

int place_open(struct mover *m, struct err *err)
{
    auto_tier struct tier *probe = NULL;
    if (strcmp(m->config.tier_kind, "s3") == 0)
        return open_s3(m, err);
    return place_lane(m, &probe, err);
}

void place_close(struct mover *m)
{
    s3_tier_close(m->s3);
    m->s3 = NULL;
}

int place_lane(struct mover *m, struct tier **out, struct err *err)
{
    const char *kind = m->config.tier_kind;
    if (m->s3 != NULL) {
        *out = s3_tier_lane(m->s3, m->config.store->name);
        return 0;
    }
    if (strcmp(kind, "null") == 0) {
        *out = tier_null_open();
        return 0;
    }
    if (strcmp(kind, "dir") == 0)
        return tier_dir_open(m->config.root, out, err);
    if (strcmp(kind, "posix") == 0)
        return tier_posix_open(m->config.root, m->config.posix_format, out, err);
    return err_set(err, -EINVAL, "no tier of kind %s", kind);
}

static bool is_posix(const struct mover *m)
{
    return strcmp(m->config.tier_kind, "posix") == 0;
}

char *place_label(const struct mover *m, const struct lu_fid *fid, char *out)
{
    return is_posix(m) ? fid_text(fid, out) : mover_label(m, fid, out);
}

/* The layout of lhsmtool_posix: v2 spreads by 16 bits, v1 by all, least significant first. */
char *place_posix_key(const struct mover *m, const struct lu_fid *fid, bool v1)
{
    char text[FID_TEXT_MAX];
    uint64_t seq = fid->seq;
    uint32_t oid = fid->oid;
    if (!is_posix(m))
        return NULL;
    (void)fid_text(fid, text);
    text[strlen(text) - 1] = '\0'; /* without its brackets */
    if (!v1)
        return xasprintf("%04x/%s", (unsigned)((oid ^ seq) & 0xffff), text + 1);
    return xasprintf("%04x/%04x/%04x/%04x/%04x/%04x/%s", oid & 0xffff, oid >> 16,
                     (unsigned)(seq & 0xffff), (unsigned)(seq >> 16 & 0xffff),
                     (unsigned)(seq >> 32 & 0xffff), (unsigned)(seq >> 48), text + 1);
}

struct walk {
    const char *label;
    place_fn *fn;
    void *arg;
};

static int on_piece(void *arg, const struct s3_piece *p, struct err *err)
{
    const struct walk *w = arg;
    struct place_item item = {.id = p->id,
                              .label = p->label != NULL ? p->label : "",
                              .loc = p->location,
                              .newest_ns = p->newest_ns,
                              .complete = p->complete && p->location != NULL,
                              .damaged = p->damaged};
    return w->fn(w->arg, &item, err);
}

static int on_entry(void *arg, const struct tier_entry *e, struct err *err)
{
    const struct walk *w = arg;
    struct place_item item = {.id = e->id,
                              .label = e->label != NULL ? e->label : "",
                              .loc = e->location,
                              .complete = true};
    if (w->label != NULL && *item.label != '\0' && strcmp(w->label, item.label) != 0)
        return 0;
    return w->fn(w->arg, &item, err);
}

int place_walk(struct mover_lane *l, const char *label, place_fn *fn, void *arg, struct err *err)
{
    struct walk w = {label, fn, arg};
    if (l->m->s3 != NULL && label != NULL)
        return s3_tier_find_label(l->m->s3, label, on_piece, &w, err);
    if (l->m->s3 != NULL)
        return s3_tier_walk(l->m->s3, on_piece, &w, NULL, err);
    if ((tier_caps(l->tier) & TIER_CAN_LIST) == 0)
        return 0; /* what such a tier has stands in the index alone */
    return tier_list(l->tier, on_entry, &w, err);
}

int place_purge(struct mover_lane *l, const struct uuid *id, const char *label, struct err *err)
{
    static char nowhere[] = ""; /* kinds other than s3 find a copy by its id */
    struct tier_location loc = {.key = nowhere};
    if (l->m->s3 != NULL)
        return s3_tier_purge(l->m->s3, id, label, NULL, NULL, err);
    if ((tier_caps(l->tier) & TIER_CAN_REMOVE) == 0)
        return 0;
    struct lu_fid fid;
    auto_free char *key =
        label_parse(label, &fid, NULL, NULL) == 0
            ? place_posix_key(l->m, &fid, strcmp(l->m->config.posix_format, "v1") == 0)
            : NULL;
    if (key != NULL)
        loc.key = key;
    int rc = tier_remove(l->tier, id, &loc, err);
    return rc == TIER_ABSENT ? 0 : rc;
}
