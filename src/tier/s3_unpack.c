/* SPDX-License-Identifier: Apache-2.0 */
/* Packs as others find them: one member, the directory, all members. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tier/s3_pack_impl.h"

#include <errno.h>
#include <string.h>

#define TRIES         3
#define DIRECTORY_MAX (S3_PACK_MAX / 2)

bool s3_pack_is(const char *key)
{
    size_t n = strlen(key);
    size_t tail = strlen(S3_PACK);
    return n > tail && strcmp(key + n - tail, S3_PACK) == 0 &&
           strncmp(key, S3_PLAIN_PREFIX, strlen(S3_PLAIN_PREFIX)) != 0;
}

bool s3_pack_parse_key(const struct s3_tier *s, const char *key, struct uuid *id)
{
    size_t prefix = strlen(s->key_prefix);
    char text[UUID_TEXT];
    if (strncmp(key, s->key_prefix, prefix) != 0 || !s3_pack_is(key) ||
        strlen(key) != prefix + UUID_TEXT - 1 + strlen(S3_PACK))
        return false;
    memcpy(text, key + prefix, UUID_TEXT - 1);
    text[UUID_TEXT - 1] = '\0';
    return uuid_parse(text, id) == 0;
}

/* ---- one member ---- */

/* "name:value\n"..., in place, as the metadata of an answer. Returns 0, or -EBADMSG. */
static int text_fields(char *text, size_t n, struct store_field *list, size_t *nlist,
                       struct err *err)
{
    char *end = text + n;
    *nlist = 0;
    for (char *at = text; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        char *value = stop != NULL ? memchr(at, ':', (size_t)(stop - at)) : NULL;
        if (value == NULL || *nlist == S3_FIELDS_MAX)
            return err_set(err, -EBADMSG, "the metadata of a member are no list of fields");
        *value++ = '\0';
        *stop = '\0';
        list[(*nlist)++] = (struct store_field){.name = at, .value = value};
        at = stop + 1;
    }
    return 0;
}

/* The copy that m is, in the pack bucket/key. */
static int read_member(const struct s3_zip_member *m, uint64_t offset, const char *bucket,
                       const char *key, struct s3_copy *c, struct err *err)
{
    struct store_field list[S3_FIELDS_MAX];
    auto_free char *text = xstrndup(m->text, m->ntext);
    struct store_reply r = {.size = m->size, .meta = list};
    int rc = text_fields(text, strlen(text), list, &r.nmeta, err);
    if (rc == 0)
        rc = s3_meta_read(&r, bucket, key, c, err);
    if (rc < 0)
        return rc;
    if (!c->sole || memcmp(&c->id, &m->id, sizeof(m->id)) != 0)
        return err_set(err, -EBADMSG, "a member's metadata are those of something else");
    c->chunks[0]->at = offset + m->length - m->size;
    c->chunks[0]->part = true;
    return 0;
}

static int read_header(struct s3_lane *l, const struct tier_location *loc, const char *bucket,
                       const char *key, struct s3_copy *c, struct err *err)
{
    uint8_t head[S3_ZIP_HEADER_MAX];
    size_t n = loc->byteoffset < sizeof(head) ? loc->byteoffset : sizeof(head);
    struct s3_zip_member m;
    int rc = store_get(l->s->store, bucket, key, s3_pack_offset(loc->block), head, n, false,
                       &l->cancel, NULL, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    if (rc == STORE_ARCHIVED)
        return S3_FROZEN;
    if (rc == -EMSGSIZE)
        return err_set(err, -EBADMSG, "it ends before this member");
    if (rc == 0)
        rc = s3_zip_read(head, n, &m, err);
    if (rc == 0 && m.length != loc->byteoffset)
        rc = err_set(err, -EBADMSG, "a member of another length lies there");
    return rc == 0 ? read_member(&m, s3_pack_offset(loc->block), bucket, key, c, err) : rc;
}

int s3_pack_load(struct s3_lane *l, const struct tier_location *loc, struct s3_copy *c,
                 struct err *err)
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    int rc = s3_split_location(loc->key, &bucket, &key, err);
    if (rc < 0)
        return rc;
    if (loc->byteoffset == 0)
        return err_set(err, -EINVAL, "%s: %s: a copy in a pack is found by offset and length",
                       l->name, loc->key);
    for (int i = 0; i < TRIES; i++) {
        s3_copy_fini(c);
        rc = read_header(l, loc, bucket, key, c, err);
        if (rc == S3_FROZEN)
            rc = s3_thaw_object(l, bucket, key, err);
        else if (rc != -EBADMSG)
            break;
        if (rc == 0) /* once more, unless it was the last time */
            rc = err_set(err, -EBADMSG, "still archived after its restore");
        if (rc != -EBADMSG)
            break;
    }
    return rc < 0 ? err_wrap(err, rc, "%s: %s at byte %llu", l->name, loc->key,
                             (unsigned long long)s3_pack_offset(loc->block))
                  : rc;
}

/* The bytes of the member at loc. Returns whether they came. */
static bool read_bytes(struct s3_lane *l, const struct tier_location *loc, void *out)
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    uint64_t off = s3_pack_offset(loc->block);
    if (s3_split_location(loc->key, &bucket, &key, NULL) < 0)
        return false;
    if (l->s->packs != NULL &&
        s3_windows_read(s3_packs_windows(l->s->packs), l, bucket, key, off, loc->byteoffset, out))
        return true;
    return store_get(l->s->store, bucket, key, off, out, loc->byteoffset, false, &l->cancel, NULL,
                     NULL) == 0;
}

int s3_pack_read(struct s3_lane *l, const struct tier_location *loc, struct memblock mem[2],
                 struct s3_copy *c, void **stored)
{
    auto_free char *bucket = NULL;
    const char *key = NULL;
    /* The plain size, where the location tells it and it is no file with a large hole. */
    const size_t sizes[2] = {loc->byteoffset,
                             loc->last_block <= S3_WINDOW ? (size_t)loc->last_block : 0};
    struct s3_zip_member m;
    if (loc->byteoffset == 0 || loc->byteoffset > S3_WINDOW ||
        s3_split_location(loc->key, &bucket, &key, NULL) < 0 ||
        membudget_get(l->s->memory, 2, sizes, mem, true, &l->cancel.set) < 0)
        return 1;
    bool came = read_bytes(l, loc, mem[0].data) &&
                s3_zip_read(mem[0].data, loc->byteoffset, &m, NULL) == 0 && m.data != NULL &&
                m.length == loc->byteoffset &&
                read_member(&m, s3_pack_offset(loc->block), bucket, key, c, NULL) == 0;
    const size_t room = came ? c->chunks[0]->info.plain_size : 0;
    if (came && c->chunks[0]->info.codec != CHUNK_RAW && room > mem[1].size) {
        membudget_put(l->s->memory, &mem[1]);
        came = membudget_get(l->s->memory, 1, &room, &mem[1], false, NULL) == 0;
    }
    if (!came) {
        membudget_put(l->s->memory, &mem[0]);
        membudget_put(l->s->memory, &mem[1]);
        return 1;
    }
    *stored = (uint8_t *)mem[0].data + (m.length - m.size);
    return 0;
}

/* ---- the directory ---- */

struct directory {
    uint8_t *data; /* owned */
    uint64_t offset, length;
    size_t members;
};

static void directory_fini(struct directory *d)
{
    free(d->data);
}
#define auto_directory __attribute__((cleanup(directory_fini)))

static int read_part(struct s3_lane *l, const struct s3_met *o, uint64_t off, void *buf, size_t n,
                     struct err *err)
{
    int rc = store_get(l->s->store, o->bucket, o->key, off, buf, n, false, &l->cancel, NULL, err);
    if (rc == STORE_ARCHIVED)
        return S3_FROZEN;
    if (rc == STORE_ABSENT || rc == -EMSGSIZE)
        return err_set(err, -EBADMSG, "it is not there any more, or of another size");
    return rc;
}

static int read_directory_once(struct s3_lane *l, const struct s3_met *o, struct directory *d,
                               struct err *err)
{
    uint8_t end[S3_ZIP_END];
    if (o->size < S3_ZIP_END)
        return err_set(err, -EBADMSG, "it is too short for a pack");
    int rc = read_part(l, o, o->size - S3_ZIP_END, end, S3_ZIP_END, err);
    if (rc == 0)
        rc = s3_zip_read_end(end, o->size, &d->offset, &d->length, &d->members, err);
    if (rc == 0 && d->length > DIRECTORY_MAX)
        rc = err_set(err, -EBADMSG, "its directory has %llu bytes", (unsigned long long)d->length);
    if (rc != 0)
        return rc;
    free(d->data);
    d->data = xzalloc(d->length + 1);
    return read_part(l, o, d->offset, d->data, d->length, err);
}

/* Reads the directory, again when it comes damaged. */
static int read_directory(struct s3_lane *l, const struct s3_met *o, struct directory *d,
                          struct err *err)
{
    int rc = -EBADMSG;
    for (int i = 0; i < TRIES && rc == -EBADMSG; i++) {
        rc = read_directory_once(l, o, d, err);
        if (rc == S3_FROZEN)
            rc = s3_thaw_object(l, o->bucket, o->key, err) < 0 ? -EIO : -EBADMSG;
    }
    return rc;
}

/* Of unknown age is as good as new: nobody is to take it for a rest. */
static int64_t age_of(const struct s3_met *o)
{
    return o->modified_ns > 0 ? o->modified_ns : time_now_ns();
}

static int give_member(const struct s3_met *o, const struct uuid *pack, const struct directory *d,
                       const struct s3_zip_member *m, s3_found_fn *fn, void *arg, struct err *err)
{
    struct s3_found f = {.piece = {.id = m->id,
                                   .label = "",
                                   .fs = "",
                                   .bytes = m->length,
                                   .members = d->members,
                                   .newest_ns = age_of(o)}};
    auto_tier_location struct tier_location loc = {.key = xasprintf("%s/%s", o->bucket, o->key),
                                                   .block = s3_pack_place(pack, m->offset),
                                                   .byteoffset = m->length};
    int rc = read_member(m, m->offset, o->bucket, o->key, &f.copy, NULL);
    if (rc == 0) {
        f.piece.complete = true;
        f.piece.fs = f.copy.fs;
        f.piece.location = &loc;
        loc.last_block = f.copy.chunks[0]->info.plain_size;
    } else {
        f.piece.damaged = true;
    }
    rc = fn(arg, &f, err);
    s3_copy_fini(&f.copy);
    return rc;
}

/* It is kept, and nobody is told what it holds: the log says which it is. */
static int give_damaged(const struct s3_met *o, const struct uuid *id, s3_found_fn *fn, void *arg,
                        struct err *err)
{
    log_warn("%s/%s: the directory of this pack cannot be read, so its copies are not listed, and "
             "it is kept: %s",
             o->bucket, o->key, err->text);
    struct s3_found f = {.piece = {.id = *id,
                                   .label = "",
                                   .fs = "",
                                   .damaged = true,
                                   .objects = 1,
                                   .bytes = o->size,
                                   .newest_ns = age_of(o)}};
    return fn(arg, &f, err);
}

/* Whether all entries of d can be read. Returns 0, or -EBADMSG. */
static int check_entries(const struct directory *d, struct err *err)
{
    struct s3_zip_member m;
    size_t at = 0;
    int rc = 0;
    for (size_t i = 0; i < d->members && rc == 0; i++)
        rc = s3_zip_read_entry(d->data, d->length, d->offset, &at, &m, err);
    if (rc == 0 && at != d->length)
        rc = err_set(err, -EBADMSG, "%zu members end at %zu of %llu bytes", d->members, at,
                     (unsigned long long)d->length);
    return rc;
}

int s3_pack_walk(struct s3_lane *l, const struct s3_met *o, const struct uuid *id, s3_found_fn *fn,
                 void *arg, struct err *err)
{
    auto_directory struct directory d = {0};
    struct s3_zip_member m;
    struct err own = {0};
    size_t at = 0;
    if (err == NULL)
        err = &own;
    int rc = s3_lane_stopped(l, err);
    if (rc == 0)
        rc = read_directory(l, o, &d, err);
    if (rc == 0)
        rc = check_entries(&d, err);
    if (rc == -EBADMSG)
        return give_damaged(o, id, fn, arg, err);
    for (size_t i = 0; i < d.members && rc == 0; i++) {
        (void)s3_zip_read_entry(d.data, d.length, d.offset, &at, &m, NULL);
        rc = give_member(o, id, &d, &m, fn, arg, err);
    }
    return rc < 0 ? err_wrap(err, rc, "%s/%s", o->bucket, o->key) : rc;
}

/* ---- deleting ---- */

int s3_pack_remove(struct s3_lane *l, const struct tier_location *loc, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    auto_free char *bucket = NULL;
    auto_directory struct directory d = {0};
    const char *key = NULL;
    int rc = s3_split_location(loc->key, &bucket, &key, err);
    if (rc == 0)
        rc = store_head(l->s->store, bucket, key, &l->cancel, &r, err);
    if (rc == STORE_ABSENT)
        return TIER_ABSENT;
    struct s3_met o = {.bucket = bucket, .key = key, .size = r.size > 0 ? (uint64_t)r.size : 0};
    if (rc == 0)
        rc = read_directory(l, &o, &d, err);
    if (rc < 0)
        return err_wrap(err, rc, "%s: %s", l->name, loc->key);
    if (d.members > 1)
        return err_set(err, -ENOTSUP,
                       "%s: %s is a pack of %zu copies, so no single one of them is deleted; firn "
                       "tier gc deletes it when all are garbage",
                       l->name, loc->key, d.members);
    return s3_tier_drop_pack(l->s, loc->key, NULL, err);
}

int s3_tier_drop_pack(struct s3_tier *s, const char *location, uint64_t *bytes, struct err *err)
{
    auto_store_reply struct store_reply r = {0};
    auto_free char *bucket = NULL;
    const char *key = NULL;
    struct store_cancel never = {0};
    struct uuid id;
    int rc = s3_split_location(location, &bucket, &key, err);
    if (rc < 0)
        return rc;
    if (!s3_pack_parse_key(s, key, &id))
        return err_set(err, -EINVAL, "%s is no pack", location);
    rc = store_head(s->store, bucket, key, &never, &r, err);
    if (bytes != NULL)
        *bytes = rc == 0 && r.size > 0 ? (uint64_t)r.size : 0;
    if (rc == 0)
        rc = store_delete(s->store, bucket, key, &never, err);
    if (s->packs != NULL)
        s3_windows_forget(s3_packs_windows(s->packs), key);
    return rc < 0 ? err_wrap(err, rc, "deleting %s", location) : 0;
}
