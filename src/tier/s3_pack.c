/* SPDX-License-Identifier: Apache-2.0 */
/* Packs on their way into the store: one is open and takes members of all lanes, one at most is
 * full and being sent, or waits to be sent again. */
#include "tier/s3_pack.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "tier/s3_pack_impl.h"

#include <errno.h>
#include <string.h>

struct pack {
    struct uuid id;
    uint64_t number; /* they are sent in this order */
    uint8_t *data;   /* the packs' size */
    size_t used;
    size_t directory; /* bytes that its members will take there */
    size_t n;         /* members; of the sealed one: 0 there is none */
};

struct s3_packs {
    struct s3_tier *tier;
    uint64_t size, file;
    struct s3_windows *windows;
    pthread_mutex_t lock;
    pthread_cond_t moved;
    struct pack open, sealed;
    bool sending;  /* somebody sends the sealed one, and nobody else touches it */
    uint64_t sent; /* number of the last one that is in the store */
};

/* ---- the order of packs ---- */

#define OFFSET_BITS 29 /* S3_PACK_MAX */
#define TURN_BITS   6  /* of the milliseconds in an id: several packs in a turn would be mixed */

static uint64_t ms_of(const struct uuid *id)
{
    uint64_t ms = 0;
    for (size_t i = 0; i < 6; i++)
        ms = ms << 8 | id->b[i];
    return ms;
}

struct uuid s3_pack_new_id(const struct uuid *last)
{
    struct uuid id = uuid_new();
    uint64_t ms = (uint64_t)time_now_ns() / 1000000;
    if (ms >> TURN_BITS <= ms_of(last) >> TURN_BITS)
        ms = ms_of(last) + (1U << TURN_BITS);
    for (size_t i = 0; i < 6; i++)
        id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
    id.b[6] = (id.b[6] & 0x0f) | 0x70;
    return id;
}

uint64_t s3_pack_place(const struct uuid *id, uint64_t offset)
{
    uint64_t turn = ms_of(id) >> TURN_BITS & ((1ULL << (63 - OFFSET_BITS)) - 1);
    return turn << OFFSET_BITS | offset;
}

uint64_t s3_pack_offset(uint64_t place)
{
    return place & ((1ULL << OFFSET_BITS) - 1);
}

/* ---- packs ---- */

static void begin_pack(struct pack *k, const struct uuid *last, uint64_t number)
{
    k->id = s3_pack_new_id(last);
    k->number = number;
    k->used = 0;
    k->directory = 0;
    k->n = 0;
}

struct s3_packs *s3_packs_new(struct s3_tier *s, uint64_t size, uint64_t file)
{
    struct s3_packs *p = xzalloc(sizeof(*p));
    p->tier = s;
    p->size = size;
    p->file = file;
    p->windows = s3_windows_new(s);
    (void)pthread_mutex_init(&p->lock, NULL);
    (void)pthread_cond_init(&p->moved, NULL);
    p->open.data = xzalloc(size);
    p->sealed.data = xzalloc(size);
    begin_pack(&p->open, &p->open.id, 1);
    return p;
}

void s3_packs_free(struct s3_packs *p)
{
    if (p == NULL)
        return;
    if (p->open.n + p->sealed.n > 0)
        log_warn("%s: %zu copies were not written: they lay in packs that were not sent",
                 store_name(p->tier->store), p->open.n + p->sealed.n);
    s3_windows_free(p->windows);
    free(p->open.data);
    free(p->sealed.data);
    (void)pthread_cond_destroy(&p->moved);
    (void)pthread_mutex_destroy(&p->lock);
    free(p);
}

uint64_t s3_packs_memory(const struct s3_packs *p)
{
    return 2 * p->size + S3_WINDOWS * S3_WINDOW;
}

struct s3_windows *s3_packs_windows(struct s3_packs *p)
{
    return p->windows;
}

void s3_packs_wake(struct s3_packs *p)
{
    s3_windows_wake(p->windows);
    lock_scope(&p->lock);
    (void)pthread_cond_broadcast(&p->moved);
}

bool s3_packs_take(const struct s3_packs *p, const struct s3_copy *c, uint64_t fill)
{
    return p != NULL && c->label == NULL && fill <= p->file;
}

char *s3_pack_key(const struct s3_tier *s, const struct uuid *id)
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    return xasprintf("%s%s%s", s->key_prefix, text, S3_PACK);
}

/* ---- sending ---- */

static int send_pack(struct s3_worker *w, const struct pack *k, struct store_cancel *cancel,
                     struct err *err)
{
    auto_free char *key = s3_pack_key(w->tier, &k->id);
    char id[UUID_TEXT];
    uuid_format(&k->id, id);
    auto_free char *own = xasprintf("v=" S3_FORMAT ";pack=%s;members=%zu", id, k->n);
    struct store_field meta = {.name = S3_OWN, .value = own};
    struct store_put put = {.bucket = s3_bucket_for(w->tier, &k->id, NULL),
                            .key = key,
                            .data = k->data,
                            .size = k->used,
                            .content_type = "application/zip",
                            .meta = &meta,
                            .nmeta = 1};
    crash_point(CRASH_s3_before_manifest);
    int rc = s3_send_object(w, &put, NULL, 0, cancel, err);
    if (rc == 0)
        crash_point(CRASH_s3_after_manifest);
    return rc;
}

/* Sends the sealed pack, without the lock meanwhile; it stays when that fails. */
static int send_sealed_unlocking(struct s3_packs *p, struct s3_worker *w,
                                 struct store_cancel *cancel, struct err *err)
{
    p->sending = true;
    (void)pthread_mutex_unlock(&p->lock);
    int rc = send_pack(w, &p->sealed, cancel, err);
    (void)pthread_mutex_lock(&p->lock);
    p->sending = false;
    (void)pthread_cond_broadcast(&p->moved);
    if (rc < 0)
        return rc;
    p->sent = p->sealed.number;
    p->sealed.n = 0;
    return 0;
}

/* The open pack, which has members, is closed, and an empty one opened. The directory is written
 * only now: kept beside the members it would take half as much memory again. */
static void seal(struct s3_packs *p)
{
    struct pack full = p->open;
    full.used = s3_zip_finish(full.data, full.used);
    p->open = p->sealed;
    p->sealed = full;
    begin_pack(&p->open, &full.id, full.number + 1);
}

/* One step towards an empty open pack: waits for the pack that somebody sends, or sends one. lock
 * is held but meanwhile. */
static int step_unlocking(struct s3_packs *p, struct s3_worker *w, struct store_cancel *cancel,
                          struct err *err)
{
    if (cancel->set)
        return err_set(err, -ECANCELED, "%s: cancelled", store_name(p->tier->store));
    if (p->sending) {
        (void)pthread_cond_wait(&p->moved, &p->lock);
        return 0;
    }
    if (p->sealed.n == 0)
        seal(p);
    return send_sealed_unlocking(p, w, cancel, err);
}

int s3_packs_flush(struct s3_packs *p, struct s3_worker *w, struct store_cancel *cancel,
                   struct err *err)
{
    int rc = 0;
    lock_scope(&p->lock);
    uint64_t last = p->open.n > 0 ? p->open.number : p->open.number - 1;
    while (rc == 0 && p->sent < last)
        rc = step_unlocking(p, w, cancel, err);
    return rc;
}

/* ---- members ---- */

/* "name:value\n" for each field. */
static void member_text(const struct s3_fields *f, struct buf *text)
{
    for (size_t i = 0; i < f->n; i++)
        buf_addf(text, "%s:%s\n", f->list[i].name, f->list[i].value);
}

static bool has_room(const struct s3_packs *p, const struct s3_zip_member *m)
{
    const struct pack *k = &p->open;
    size_t more = s3_zip_header_size(m->ntext) + m->size + s3_zip_entry_size(m->ntext);
    return k->n < S3_ZIP_MEMBERS_MAX && k->used + k->directory + more + S3_ZIP_END <= p->size;
}

static void append(struct s3_packs *p, struct s3_zip_member *m, struct tier_location *loc)
{
    struct pack *k = &p->open;
    auto_free char *key = s3_pack_key(p->tier, &k->id);
    m->offset = (uint32_t)k->used;
    s3_zip_write(m, k->data + k->used);
    k->used += m->length;
    k->directory += s3_zip_entry_size(m->ntext);
    k->n++;
    loc->key = xasprintf("%s/%s", s3_bucket_for(p->tier, &k->id, NULL), key);
    loc->block = s3_pack_place(&k->id, m->offset);
    loc->byteoffset = m->length;
}

int s3_packs_add(struct s3_packs *p, struct s3_lane *l, const struct s3_copy *c,
                 const struct s3_fields *f, const void *stored, struct tier_location *loc,
                 struct err *err)
{
    auto_buf struct buf text = {0};
    member_text(f, &text);
    struct s3_zip_member m = {.id = c->id,
                              .text = text.data,
                              .ntext = text.len,
                              .data = stored,
                              .size = (uint32_t)c->chunks[0]->info.stored_size};
    int rc = 0;
    lock_scope(&p->lock);
    while (rc == 0 && !has_room(p, &m))
        rc = p->open.n > 0 ? step_unlocking(p, &l->worker, &l->cancel, err)
                           : err_set(err, -EFBIG, "%s: a member of %u bytes in a pack of %llu",
                                     l->name, m.size, (unsigned long long)p->size);
    if (rc == 0)
        append(p, &m, loc);
    return rc;
}
