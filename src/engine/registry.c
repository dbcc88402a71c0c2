/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/registry.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "conf/conf.h"
#include "engine/registry_impl.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/random.h>

#define KEY_LETTERS    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define SECRET_LETTERS KEY_LETTERS "+/"
#define KEY_MIN        3
#define SECRET_MIN     8
#define KEY_MAX        128
#define NAME_MOST      64
#define UID_MOST       4294967294 /* (uid_t)-1 means nobody in the kernel's calls */

struct registry *registry_new(const struct conf *conf, struct catalog *cat)
{
    struct registry *r = xzalloc(sizeof(*r));
    r->conf = conf;
    r->cat = cat;
    (void)pthread_mutex_init(&r->lock, NULL);
    return r;
}

void registry_free(struct registry *r)
{
    if (r == NULL)
        return;
    (void)pthread_mutex_destroy(&r->lock);
    free(r);
}

int registry_copy(char *out, size_t cap, const char *text, const char *what, struct err *err)
{
    size_t n = strlen(text);
    if (n >= cap)
        return err_set(err, -EINVAL, "%s is longer than %zu bytes", what, cap - 1);
    memcpy(out, text, n + 1);
    return 0;
}

int registry_add_generation(struct registry *r, cJSON *result, struct err *err)
{
    int64_t generation = 0;
    int rc = catalog_registry_generation(r->cat, &generation, err);
    if (rc == 0)
        json_add_int(result, "generation", generation);
    return rc;
}

int registry_generation(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    (void)args;
    auto_json cJSON *j = cJSON_CreateObject();
    int rc = registry_add_generation(r, j, err);
    if (rc == 0)
        *result = take_ptr(j);
    return rc;
}

int registry_check_account_name(const char *name, struct err *err)
{
    size_t n = strlen(name);
    if (n >= 1 && n <= NAME_MOST && strchr(KEY_LETTERS, name[0]) != NULL &&
        strspn(name, KEY_LETTERS "._-@+") == n)
        return 0;
    return err_set(err, -EINVAL,
                   "\"%.80s\" is no account name: 1 to %d letters, digits and . _ - @ +, "
                   "a letter or digit first",
                   name, NAME_MOST);
}

static bool has_dot_dot(const char *path)
{
    for (const char *p = strstr(path, ".."); p != NULL; p = strstr(p + 1, "..")) {
        bool begins = p == path || p[-1] == '/';
        if (begins && (p[2] == '/' || p[2] == '\0'))
            return true;
    }
    return false;
}

int registry_check_dir(const struct registry *r, const char *path, const char *what,
                       struct err *err)
{
    if (path[0] != '/' || has_dot_dot(path))
        return err_set(err, -EINVAL, "%s %s is no absolute path without \"..\"", what, path);
    const struct conf_filesystem *fs = conf_find_filesystem(r->conf, path);
    if (fs == NULL || strcmp(fs->name, r->conf->s3.filesystem) != 0)
        return err_set(err, -EINVAL, "%s %s is not on file system %s (s3.filesystem)", what, path,
                       r->conf->s3.filesystem);
    return 0;
}

/* ---- keys ---- */

/* n letters drawn evenly from letters (at most 64 of them) and a NUL into out. */
static int draw_letters(char *out, size_t n, const char *letters, struct err *err)
{
    size_t count = strlen(letters);
    for (size_t done = 0; done < n;) {
        unsigned char byte = 0;
        if (getrandom(&byte, 1, 0) != 1)
            return err_sys(err, errno, "random bytes for a key");
        byte &= 63;
        if (byte < count)
            out[done++] = letters[byte];
    }
    out[n] = '\0';
    return 0;
}

static int draw_pair(char *access_key, char *secret_key, struct err *err)
{
    int rc = draw_letters(access_key, REGISTRY_ACCESS_KEY_LEN, KEY_LETTERS, err);
    return rc != 0 ? rc : draw_letters(secret_key, REGISTRY_SECRET_KEY_LEN, SECRET_LETTERS, err);
}

static bool is_printable(const char *s)
{
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s > '~')
            return false;
    return true;
}

/* Takes a given key pair, or draws one when neither half is given. */
static int take_pair(const cJSON *args, struct catalog_account *a, struct err *err)
{
    const char *access_key = json_str(args, "access_key", NULL);
    const char *secret_key = json_str(args, "secret_key", NULL);
    if (access_key == NULL && secret_key == NULL)
        return draw_pair(a->access_key, a->secret_key, err);
    if (access_key == NULL || secret_key == NULL)
        return err_set(err, -EINVAL, "access_key and secret_key come together or not at all");
    size_t n = strlen(access_key);
    if (n < KEY_MIN || n > KEY_MAX || strspn(access_key, KEY_LETTERS "._-") != n)
        return err_set(err, -EINVAL, "an access key has %d to %d letters, digits and . _ -",
                       KEY_MIN, KEY_MAX);
    n = strlen(secret_key);
    if (n < SECRET_MIN || n > KEY_MAX || !is_printable(secret_key))
        return err_set(err, -EINVAL, "a secret key has %d to %d printable characters, no blanks",
                       SECRET_MIN, KEY_MAX);
    memcpy(a->access_key, access_key, strlen(access_key) + 1);
    memcpy(a->secret_key, secret_key, n + 1);
    return 0;
}

/* ---- accounts ---- */

int registry_find_account(struct registry *r, const char *name, struct catalog_account *out,
                          struct err *err)
{
    struct catalog_accounts list = {0};
    int rc = catalog_account_list(r->cat, name, &list, err);
    if (rc == 0 && list.n == 1)
        *out = list.v[0];
    else if (rc >= 0)
        rc = err_set(err, -ENOENT, "there is no account %.80s", name);
    catalog_accounts_fini(&list);
    return rc;
}

static cJSON *account_json(const struct catalog_account *a, bool secrets)
{
    char created[TIMEFMT_MAX];
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "name", a->name);
    json_add_int(j, "uid", a->uid);
    json_add_int(j, "gid", a->gid);
    json_add_str(j, "access_key", a->access_key);
    json_add_str(j, "access_key2", a->access_key2);
    if (secrets) {
        json_add_str(j, "secret_key", a->secret_key);
        json_add_str(j, "secret_key2", a->secret_key2);
    }
    (void)cJSON_AddBoolToObject(j, "enabled", a->enabled);
    json_add_str(j, "new_buckets", a->new_buckets);
    timefmt_iso_ms(a->created_ns, created);
    json_add_str(j, "created", created);
    (void)cJSON_AddBoolToObject(j, "md5_etag", a->md5_etag);
    return j;
}

static int list_accounts(struct registry *r, const char *name, bool secrets, cJSON **result,
                         struct err *err)
{
    auto_json cJSON *j = cJSON_CreateObject();
    /* the number first: a change in between then shows as an old number, and is asked again */
    int rc = registry_add_generation(r, j, err);
    if (rc != 0)
        return rc;
    struct catalog_accounts list = {0};
    rc = catalog_account_list(r->cat, name, &list, err);
    if (rc == CATALOG_ABSENT)
        return err_set(err, -ENOENT, "there is no account %.80s", name);
    if (rc != 0)
        return rc;
    cJSON *accounts = cJSON_AddArrayToObject(j, "accounts");
    for (size_t i = 0; i < list.n; i++)
        (void)cJSON_AddItemToArray(accounts, account_json(&list.v[i], secrets));
    catalog_accounts_fini(&list);
    *result = take_ptr(j);
    return 0;
}

int registry_account_list(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    return list_accounts(r, json_str(args, "name", NULL), json_bool(args, "secrets", false), result,
                         err);
}

int registry_account_show(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    return rc != 0 ? rc : list_accounts(r, name, json_bool(args, "secrets", false), result, err);
}

static int take_user(const char *user, struct catalog_account *a, struct err *err)
{
    char room[4096];
    struct passwd pw;
    struct passwd *found = NULL;
    int e = getpwnam_r(user, &pw, room, sizeof(room), &found);
    if (e != 0)
        return err_sys(err, e, "user %.80s", user);
    if (found == NULL)
        return err_set(err, -EINVAL, "there is no user %.80s on this machine", user);
    a->uid = pw.pw_uid;
    a->gid = pw.pw_gid;
    return 0;
}

static int take_number(const cJSON *args, const char *name, uint32_t *out, struct err *err)
{
    if (!cJSON_HasObjectItem(args, name))
        return 0;
    int64_t v = json_int(args, name, -1);
    if (v < 1 || v > UID_MOST)
        return err_set(err, -EINVAL, "%s of an account is a number from 1 to %lld", name,
                       (long long)UID_MOST);
    *out = (uint32_t)v;
    return 0;
}

/* uid and gid, or user; nothing stays as it was. An account never acts as root. */
static int take_ids(const cJSON *args, struct catalog_account *a, struct err *err)
{
    const char *user = json_str(args, "user", NULL);
    int rc = user != NULL ? take_user(user, a, err) : 0;
    if (rc == 0)
        rc = take_number(args, "uid", &a->uid, err);
    if (rc == 0)
        rc = take_number(args, "gid", &a->gid, err);
    if (rc == 0 && (a->uid == 0 || a->gid == 0))
        rc =
            err_set(err, -EINVAL,
                    "account %s needs uid and gid, or user, and neither of them 0 (root)", a->name);
    return rc;
}

static int take_dir(struct registry *r, const cJSON *args, struct catalog_account *a,
                    struct err *err)
{
    const char *dir = json_str(args, "new_buckets", NULL);
    if (dir == NULL || dir[0] == '\0')
        return 0;
    int rc = registry_check_dir(r, dir, "new_buckets", err);
    return rc != 0 ? rc
                   : registry_copy(a->new_buckets, sizeof(a->new_buckets), dir, "new_buckets", err);
}

static int new_account(struct registry *r, const cJSON *args, struct catalog_account *a,
                       struct err *err)
{
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc == 0)
        rc = registry_check_account_name(name, err);
    if (rc == 0)
        rc = registry_copy(a->name, sizeof(a->name), name, "the name", err);
    if (rc == 0)
        rc = registry_copy(a->new_buckets, sizeof(a->new_buckets), r->conf->s3.buckets,
                           "s3.buckets", err);
    if (rc == 0)
        rc = take_dir(r, args, a, err);
    if (rc == 0)
        rc = take_ids(args, a, err);
    if (rc == 0)
        rc = take_pair(args, a, err);
    a->enabled = true;
    a->md5_etag = json_bool(args, "md5_etag", false);
    return rc;
}

int registry_account_create(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    struct catalog_account a = {0};
    int rc = new_account(r, args, &a, err);
    if (rc != 0)
        return rc;
    lock_scope(&r->lock);
    rc = catalog_account_add(r->cat, &a, err);
    if (rc == -EEXIST)
        return err_set(err, rc, "account %s or its access key %s is there already", a.name,
                       a.access_key);
    if (rc != 0)
        return rc;
    log_info("account %s created for uid %u gid %u", a.name, (unsigned)a.uid, (unsigned)a.gid);
    *result = account_json(&a, true);
    return 0;
}

static void promote_pair(struct catalog_account *a)
{
    memcpy(a->access_key, a->access_key2, sizeof(a->access_key));
    memcpy(a->secret_key, a->secret_key2, sizeof(a->secret_key));
    a->access_key2[0] = '\0';
    a->secret_key2[0] = '\0';
}

static int change_account(struct registry *r, const cJSON *args, struct catalog_account *a,
                          struct err *err)
{
    int rc = take_ids(args, a, err);
    if (rc == 0)
        rc = take_dir(r, args, a, err);
    if (rc == 0 && cJSON_HasObjectItem(args, "access_key"))
        rc = take_pair(args, a, err);
    if (rc != 0)
        return rc;
    a->enabled = json_bool(args, "enabled", a->enabled);
    a->md5_etag = json_bool(args, "md5_etag", a->md5_etag);
    if (!json_bool(args, "promote", false))
        return 0;
    if (a->access_key2[0] == '\0')
        return err_set(err, -EINVAL, "account %s has no second key pair to promote", a->name);
    promote_pair(a);
    return 0;
}

static int store_account(struct registry *r, const struct catalog_account *a, struct err *err)
{
    int rc = catalog_account_set(r->cat, a, err);
    if (rc == -EEXIST)
        return err_set(err, rc, "access key %s belongs to another account", a->access_key);
    return rc == CATALOG_ABSENT ? err_set(err, -ENOENT, "there is no account %s", a->name) : rc;
}

int registry_account_set(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    struct catalog_account a = {0};
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc != 0)
        return rc;
    lock_scope(&r->lock);
    rc = registry_find_account(r, name, &a, err);
    if (rc == 0)
        rc = change_account(r, args, &a, err);
    if (rc == 0)
        rc = store_account(r, &a, err);
    if (rc == 0)
        *result = account_json(&a, false);
    return rc;
}

static cJSON *buckets_of(struct registry *r, const char *owner)
{
    struct catalog_buckets list = {0};
    cJSON *j = cJSON_CreateObject();
    cJSON *names = cJSON_AddArrayToObject(j, "buckets");
    if (catalog_bucket_list(r->cat, NULL, owner, &list, NULL) == 0)
        for (size_t i = 0; i < list.n; i++)
            (void)cJSON_AddItemToArray(names, cJSON_CreateString(list.v[i].name));
    catalog_buckets_fini(&list);
    return j;
}

int registry_account_delete(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc != 0)
        return rc;
    lock_scope(&r->lock);
    rc = catalog_account_delete(r->cat, name, err);
    if (rc == -ENOTEMPTY) {
        *result = buckets_of(r, name);
        return err_set(err, rc, "account %s owns buckets; delete them first", name);
    }
    if (rc == CATALOG_ABSENT)
        return err_set(err, -ENOENT, "there is no account %.80s", name);
    if (rc == 0)
        log_info("account %s deleted", name);
    return rc;
}

int registry_account_rotate(struct registry *r, const cJSON *args, cJSON **result, struct err *err)
{
    struct catalog_account a = {0};
    const char *name = NULL;
    int rc = json_need_str(args, "name", &name, err);
    if (rc != 0)
        return rc;
    lock_scope(&r->lock);
    rc = registry_find_account(r, name, &a, err);
    if (rc == 0)
        rc = draw_pair(a.access_key2, a.secret_key2, err);
    if (rc == 0)
        rc = store_account(r, &a, err);
    if (rc == 0)
        *result = account_json(&a, true);
    return rc;
}
