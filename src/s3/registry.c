/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/registry.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "ctl/client.h"
#include "s3/sigv4.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS 5000
/* Polls that unknown names may cause: so many at once, and one more every so often. */
#define MISS_BURST 50
#define MISS_NS    100000000LL

#define SECRET_MAX 129 /* a secret key and a NUL */

/* An access key of an account. */
struct key {
    char access[SIGV4_KEY_MAX];
    char secret[SECRET_MAX];
    size_t account; /* index */
};

struct s3_snapshot {
    unsigned refs;
    bool loaded;
    int64_t generation;
    struct s3_account *accounts; /* sorted by name */
    size_t n_accounts;
    struct key *keys; /* sorted by access key */
    size_t n_keys;
    struct s3_bucket *buckets; /* sorted by name */
    size_t n_buckets;
};

struct s3_registry {
    struct ctl_pool *pool;
    pthread_mutex_t lock; /* for what follows */
    struct s3_snapshot *current;
    int64_t miss_ns;          /* when the polls so far are paid for */
    pthread_mutex_t fetching; /* one fetch at a time; taken before lock */
};

static void snapshot_free(struct s3_snapshot *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n_accounts; i++)
        free((char *)(uintptr_t)s->accounts[i].created);
    for (size_t i = 0; i < s->n_buckets; i++) {
        free((char *)(uintptr_t)s->buckets[i].path);
        free((char *)(uintptr_t)s->buckets[i].created);
    }
    if (s->keys != NULL)
        OPENSSL_cleanse(s->keys, s->n_keys * sizeof(*s->keys));
    free(s->accounts);
    free(s->keys);
    free(s->buckets);
    free(s);
}

DEFINE_CLEANUP(struct s3_snapshot *, snapshot_free)
#define auto_snapshot __attribute__((cleanup(cleanup_snapshot_free)))

void s3_snapshot_unref(struct s3_snapshot *s)
{
    if (s != NULL && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
        snapshot_free(s);
}

struct s3_snapshot *s3_registry_get(struct s3_registry *r)
{
    lock_scope(&r->lock);
    (void)__atomic_add_fetch(&r->current->refs, 1, __ATOMIC_RELAXED);
    return r->current;
}

static struct s3_snapshot *snapshot_new(void)
{
    struct s3_snapshot *s = xzalloc(sizeof(*s));
    s->refs = 1;
    s->generation = -1;
    return s;
}

struct s3_registry *s3_registry_new(struct ctl_pool *pool)
{
    struct s3_registry *r = xzalloc(sizeof(*r));
    r->pool = pool;
    r->current = snapshot_new();
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_mutex_init(&r->fetching, NULL);
    return r;
}

void s3_registry_free(struct s3_registry *r)
{
    if (r == NULL)
        return;
    s3_snapshot_unref(r->current);
    (void)pthread_mutex_destroy(&r->lock);
    (void)pthread_mutex_destroy(&r->fetching);
    free(r);
}

struct ctl_pool *s3_registry_pool(struct s3_registry *r)
{
    return r->pool;
}

/* ---- reading what firnd says ---- */

static bool copy_text(char *to, size_t cap, const char *from)
{
    if (from == NULL || from[0] == '\0' || strlen(from) >= cap)
        return false;
    memcpy(to, from, strlen(from) + 1);
    return true;
}

static void add_key(struct s3_snapshot *s, const cJSON *j, const char *access, const char *secret,
                    size_t account)
{
    struct key k = {.account = account};
    const char *a = json_str(j, access, NULL);
    if (a == NULL || a[0] == '\0')
        return;
    if (!copy_text(k.access, sizeof(k.access), a) ||
        !copy_text(k.secret, sizeof(k.secret), json_str(j, secret, NULL))) {
        log_warn("account %s: an access key without a usable secret is left out",
                 json_str(j, "name", "?"));
        return;
    }
    s->keys[s->n_keys++] = k;
    OPENSSL_cleanse(&k, sizeof(k));
}

/* The members uid and gid; false when they are no ids. */
static bool read_ids(const cJSON *j, uid_t *uid, gid_t *gid)
{
    int64_t u = json_int(j, "uid", -1), g = json_int(j, "gid", -1);
    if (u < 0 || u >= UINT32_MAX || g < 0 || g >= UINT32_MAX)
        return false;
    *uid = (uid_t)u;
    *gid = (gid_t)g;
    return true;
}

/* True unless the member says no; a path in it (where new buckets go) means yes as well. */
static bool read_allowed(const cJSON *j, const char *name)
{
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(j, name);
    if (cJSON_IsString(v))
        return v->valuestring[0] != '\0';
    return json_bool(j, name, true);
}

static void add_account(struct s3_snapshot *s, const cJSON *j)
{
    struct s3_account a = {.new_buckets = read_allowed(j, "new_buckets"),
                           .md5_etag = json_bool(j, "md5_etag", false)};
    if (!copy_text(a.name, sizeof(a.name), json_str(j, "name", NULL)) ||
        !read_ids(j, &a.uid, &a.gid)) {
        log_warn("account %s: no usable name, uid or gid, it is left out",
                 json_str(j, "name", "?"));
        return;
    }
    a.created = xstrdup(json_str(j, "created", ""));
    size_t at = s->n_accounts++;
    s->accounts[at] = a;
    if (!json_bool(j, "enabled", true))
        return;
    add_key(s, j, "access_key", "secret_key", at);
    add_key(s, j, "access_key2", "secret_key2", at);
}

static void add_bucket(struct s3_snapshot *s, const cJSON *j)
{
    struct s3_bucket b = {.exported = json_bool(j, "exported", false)};
    const char *path = json_str(j, "path", NULL);
    if (!copy_text(b.name, sizeof(b.name), json_str(j, "name", NULL)) ||
        !copy_text(b.owner, sizeof(b.owner), json_str(j, "owner", NULL)) || path == NULL ||
        path[0] != '/' || !read_ids(j, &b.uid, &b.gid)) {
        log_warn("bucket %s: no usable name, owner, path, uid or gid, it is left out",
                 json_str(j, "name", "?"));
        return;
    }
    b.path = xstrdup(path);
    b.created = xstrdup(json_str(j, "created", ""));
    s->buckets[s->n_buckets++] = b;
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->access, ((const struct key *)b)->access);
}

static int by_bucket(const void *a, const void *b)
{
    return strcmp(((const struct s3_bucket *)a)->name, ((const struct s3_bucket *)b)->name);
}

static void install(struct s3_registry *r, struct s3_snapshot *s)
{
    struct s3_snapshot *old = NULL;
    {
        lock_scope(&r->lock);
        old = r->current;
        r->current = s;
    }
    s3_snapshot_unref(old);
}

int s3_registry_load(struct s3_registry *r, const cJSON *accounts, const cJSON *buckets,
                     struct err *err)
{
    const cJSON *al = cJSON_GetObjectItemCaseSensitive(accounts, "accounts");
    const cJSON *bl = cJSON_GetObjectItemCaseSensitive(buckets, "buckets");
    if (!cJSON_IsArray(al) || !cJSON_IsArray(bl))
        return err_set(err, -EINVAL, "firnd's lists of accounts and buckets are malformed");
    auto_snapshot struct s3_snapshot *s = snapshot_new();
    size_t na = (size_t)cJSON_GetArraySize(al), nb = (size_t)cJSON_GetArraySize(bl);
    s->accounts = xzalloc((na + 1) * sizeof(*s->accounts));
    s->keys = xzalloc((2 * na + 1) * sizeof(*s->keys));
    s->buckets = xzalloc((nb + 1) * sizeof(*s->buckets));
    const cJSON *j = NULL;
    cJSON_ArrayForEach (j, al)
        add_account(s, j);
    cJSON_ArrayForEach (j, bl)
        add_bucket(s, j);
    /* The accounts stay in their order, which the keys' indices follow. */
    qsort(s->keys, s->n_keys, sizeof(*s->keys), by_key);
    qsort(s->buckets, s->n_buckets, sizeof(*s->buckets), by_bucket);
    int64_t ga = json_int(accounts, "generation", 0), gb = json_int(buckets, "generation", 0);
    s->generation = ga < gb ? ga : gb; /* a change between the two answers is fetched next time */
    s->loaded = true;
    install(r, take_ptr(s));
    return 0;
}

int s3_registry_refresh(struct s3_registry *r, struct err *err)
{
    if (r->pool == NULL)
        return 0;
    lock_scope(&r->fetching);
    auto_json cJSON *accounts = NULL;
    auto_json cJSON *buckets = NULL;
    cJSON *args = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(args, "secrets", true);
    int rc = ctl_pool_call(r->pool, "account.list", args, &accounts, NULL, CALL_MS, err);
    if (rc == 0)
        rc = ctl_pool_call(r->pool, "bucket.list", NULL, &buckets, NULL, CALL_MS, err);
    if (rc < 0)
        return err_wrap(err, rc, "fetch accounts and buckets from firnd");
    return s3_registry_load(r, accounts, buckets, err);
}

int s3_registry_poll(struct s3_registry *r, struct err *err)
{
    if (r->pool == NULL)
        return 0;
    auto_json cJSON *now = NULL;
    int rc = ctl_pool_call(r->pool, "registry.generation", NULL, &now, NULL, CALL_MS, err);
    if (rc < 0)
        return err_wrap(err, rc, "ask firnd for changes of accounts and buckets");
    struct s3_snapshot *s = s3_registry_get(r);
    bool same = s->loaded && s->generation == json_int(now, "generation", -2);
    s3_snapshot_unref(s);
    return same ? 0 : s3_registry_refresh(r, err);
}

bool s3_registry_miss(struct s3_registry *r, const struct s3_snapshot *seen)
{
    {
        lock_scope(&r->lock);
        int64_t now = time_mono_ns();
        if (r->current != seen)
            return true;
        if (r->miss_ns < now - MISS_BURST * MISS_NS)
            r->miss_ns = now - MISS_BURST * MISS_NS;
        if (r->miss_ns + MISS_NS > now)
            return false;
        r->miss_ns += MISS_NS;
    }
    struct err err = {0};
    if (s3_registry_poll(r, &err) < 0)
        log_debug("after an unknown name: %s", err.text);
    lock_scope(&r->lock);
    return r->current != seen;
}

/* ---- looking up ---- */

bool s3_snapshot_loaded(const struct s3_snapshot *s)
{
    return s->loaded;
}

const struct s3_account *s3_snapshot_key(const struct s3_snapshot *s, const char *access_key,
                                         const char **secret)
{
    size_t lo = 0, hi = s->n_keys;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = strcmp(access_key, s->keys[mid].access);
        if (d == 0) {
            *secret = s->keys[mid].secret;
            return &s->accounts[s->keys[mid].account];
        }
        if (d < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const struct s3_account *s3_snapshot_account(const struct s3_snapshot *s, const char *name)
{
    for (size_t i = 0; i < s->n_accounts; i++) {
        if (strcmp(s->accounts[i].name, name) == 0)
            return &s->accounts[i];
    }
    return NULL;
}

const struct s3_bucket *s3_snapshot_bucket(const struct s3_snapshot *s, const char *name)
{
    struct s3_bucket want = {0};
    if (strlen(name) >= sizeof(want.name) || s->n_buckets == 0)
        return NULL;
    (void)snprintf(want.name, sizeof(want.name), "%s", name);
    return bsearch(&want, s->buckets, s->n_buckets, sizeof(*s->buckets), by_bucket);
}

const struct s3_bucket *s3_snapshot_buckets(const struct s3_snapshot *s, size_t *n)
{
    *n = s->n_buckets;
    return s->buckets;
}
