/* SPDX-License-Identifier: Apache-2.0 */
#include "s3site.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "teststore.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void fill_data(struct s3site *site)
{
    uint64_t x = 88172645463325252ULL;
    site->text = xzalloc(SITE_DATA);
    site->noise = xzalloc(SITE_DATA);
    for (size_t i = 0; i < SITE_DATA; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        site->noise[i] = (uint8_t)(x >> 32);
        site->text[i] = (uint8_t)("the snow on its way to ice "[i % 27] + (i / 997) % 3);
    }
}

static void write_key(struct s3site *site)
{
    (void)snprintf(site->key_file, sizeof(site->key_file), "/tmp/firn-keys-XXXXXX");
    auto_close int fd = mkostemp(site->key_file, O_CLOEXEC);
    if (fd < 0 || io_write_full(fd, SITE_KEY, strlen(SITE_KEY)) < 0)
        abort();
}

struct s3site *s3site_new(void)
{
    const struct teststore *ts = teststore_get();
    struct s3site *site = xzalloc(sizeof(*site));
    struct uuid id = uuid_new();
    char text[UUID_TEXT];
    uuid_format(&id, text);
    (void)snprintf(site->key_prefix, sizeof(site->key_prefix), "unit/%s", text);
    fill_data(site);
    write_key(site);
    site->config = (struct s3_tier_config){
        .store = {.name = "store1",
                  .endpoint = ts->endpoint,
                  .region = ts->region,
                  .style = STORE_STYLE_PATH,
                  .access_key = ts->access_key,
                  .secret_key = ts->secret_key,
                  .connections = 8,
                  .retries = 4,
                  .retry_base_ms = 10,
                  .retry_max_ms = 100,
                  .connect_timeout_s = 5,
                  .stall_timeout_s = 5},
        .bucket_prefix = "firn-unit",
        .bucket_count = 3,
        .bucket_separator = ts->separator,
        .key_prefix = site->key_prefix,
        .chunk_size = SITE_CHUNK,
        .buffers = 16,
        .codec = CHUNK_LZ4,
        .create_buckets = true,
        .workers = 8,
    };
    (void)teststore_tell("clear");
    if (s3site_reopen(site) != 0) {
        (void)fprintf(stderr, "# %s\n", site->err.text);
        abort();
    }
    return site;
}

void s3site_free(struct s3site *site)
{
    (void)teststore_tell("clear");
    tier_free(site->t);
    s3_tier_close(site->s);
    (void)unlink(site->key_file);
    free(site->text);
    free(site->noise);
    free(site);
}

int s3site_reopen(struct s3site *site)
{
    tier_free(take_ptr(site->t));
    s3_tier_close(take_ptr(site->s));
    int rc = s3_tier_open(&site->config, &site->s, &site->err);
    if (rc == 0)
        site->t = s3_tier_lane(site->s, "store1");
    return rc;
}

struct tier_object s3site_object(const char *path, uint64_t size)
{
    return (struct tier_object){.id = uuid_new(),
                                .fs = "fs1",
                                .path = path,
                                .size = size,
                                .mtime_ns = 1700000000123456789,
                                .atime_ns = 1700000001000000001,
                                .uid = 1001,
                                .gid = 1002,
                                .mode = 0100640};
}

int s3site_put(struct s3site *site, struct tier *t, struct tier_object *o, const void *data,
               struct tier_location *loc, struct err *err)
{
    const uint8_t *p = data;
    (void)site;
    int rc = tier_put_begin(t, o, err);
    for (uint64_t off = 0; rc == 0 && off < o->size; off += 100003) {
        uint64_t n = o->size - off < 100003 ? o->size - off : 100003;
        rc = tier_put_write(t, off, p + off, n, err);
    }
    if (rc == 0)
        rc = tier_put_end(t, NULL, 0, loc, err);
    tier_put_abort(t);
    return rc;
}

struct target {
    uint8_t *data;
    uint64_t size, next;
};

static int to_memory(void *arg, uint64_t off, const void *p, size_t n, struct err *err)
{
    struct target *t = arg;
    (void)err;
    assert_true(off >= t->next && off + n <= t->size);
    memcpy(t->data + off, p, n);
    t->next = off + n;
    return 0;
}

int s3site_get(struct tier *t, const struct tier_object *o, const struct tier_location *loc,
               void *out, struct err *err)
{
    struct target target = {out, o->size, 0};
    char buf[64];
    memset(out, 0, o->size);
    return tier_get(t, &o->id, loc, buf, sizeof(buf), to_memory, &target, err);
}

/* ---- the buckets, seen past the tier ---- */

struct search {
    const char *tail; /* "<uuid>/<n>", or NULL for any */
    const char *bucket;
    char *found_bucket, *found_key;
    unsigned count;
};

static int on_item(void *arg, const struct store_item *item, struct err *err)
{
    struct search *s = arg;
    size_t n = strlen(item->key);
    (void)err;
    if (s->tail != NULL &&
        (n < strlen(s->tail) || strcmp(item->key + n - strlen(s->tail), s->tail) != 0))
        return 0;
    s->count++;
    if (s->found_key != NULL) {
        (void)snprintf(s->found_bucket, STORE_BUCKET_MAX, "%s", s->bucket);
        (void)snprintf(s->found_key, STORE_KEY_MAX, "%s", item->key);
    }
    return 0;
}

static unsigned search_buckets(struct s3site *site, struct search *s)
{
    for (unsigned i = 0; i < 3; i++) {
        char bucket[STORE_BUCKET_MAX];
        (void)snprintf(bucket, sizeof(bucket), "%s%s%u", site->config.bucket_prefix,
                       site->config.bucket_separator, i);
        s->bucket = bucket;
        assert_int_equal(store_list(s3_tier_store(site->s), bucket, site->key_prefix, "", on_item,
                                    s, NULL, &site->err),
                         0);
    }
    return s->count;
}

unsigned s3site_objects(struct s3site *site)
{
    struct search s = {0};
    return search_buckets(site, &s);
}

void s3site_locate(struct s3site *site, const struct uuid *id, long n,
                   char bucket[STORE_BUCKET_MAX], char key[STORE_KEY_MAX])
{
    char text[UUID_TEXT];
    uuid_format(id, text);
    auto_free char *tail = n == SITE_MANIFEST ? xasprintf("%s/manifest", text)
                           : n == SITE_SOLE   ? xasprintf("%s.sole", text)
                                              : xasprintf("%s/%ld", text, n);
    struct search s = {.tail = tail, .found_bucket = bucket, .found_key = key};
    assert_int_equal(search_buckets(site, &s), 1);
}

void s3site_change(struct s3site *site, const char *bucket, const char *key,
                   size_t (*fn)(uint8_t *data, size_t size))
{
    struct store *s = s3_tier_store(site->s);
    auto_store_reply struct store_reply r = {0};
    auto_free char *data = NULL;
    size_t size = 0;
    bool proven = false;
    assert_int_equal(store_get_small(s, bucket, key, 1 << 20, &data, &size, NULL, &r, &site->err),
                     0);
    struct store_put put = {.bucket = bucket,
                            .key = key,
                            .data = data,
                            .size = fn((uint8_t *)data, size),
                            .meta = r.meta,
                            .nmeta = r.nmeta};
    assert_int_equal(store_put(s, &put, NULL, &proven, NULL, &site->err), 0);
}
