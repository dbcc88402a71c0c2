/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/timefmt.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX   (1 << 20)
#define LOOK_AGAIN (1 * NS_PER_SEC)

struct creds {
    pthread_mutex_t lock;
    struct creds_value value;
    int64_t expires_ns; /* 0: never */
    char *file;         /* NULL: they do not come from a file */
    char *profile;
    char *origin;
    struct stat seen; /* of the file, when it was read */
    int64_t looked_ns;
};

static bool given(const char *s)
{
    return s != NULL && s[0] != '\0';
}

static void copy_value(struct creds_value *to, const struct creds_value *from)
{
    to->access_key = xstrdup(from->access_key);
    to->secret_key = xstrdup(from->secret_key);
    to->token = xstrdup(from->token);
    to->generation = from->generation;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_ino == b->st_ino && a->st_dev == b->st_dev && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Reads the file; the generation grows when the credentials are others. What was there stays when
 * it cannot be read. */
static int read_file_locked(struct creds *c, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    struct stat st;
    if (stat(c->file, &st) < 0)
        return err_sys(err, errno, "credentials file %s", c->file);
    int rc = io_read_file(AT_FDCWD, c->file, FILE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    if ((st.st_mode & 077) != 0 && !same_file(&st, &c->seen))
        log_warn("credentials file %s can be used by others than its owner: chmod 600", c->file);
    struct creds_value v = {0};
    int64_t expires = 0;
    rc = creds_parse(text, len, c->profile, &v, &expires, err);
    OPENSSL_cleanse(text, len);
    free(text);
    if (rc < 0)
        return err_wrap(err, rc, "credentials file %s", c->file);
    c->seen = st;
    c->expires_ns = expires;
    if (same_text(v.access_key, c->value.access_key) &&
        same_text(v.secret_key, c->value.secret_key) && same_text(v.token, c->value.token)) {
        creds_value_fini(&v);
        return 0;
    }
    v.generation = c->value.generation + 1;
    creds_value_fini(&c->value);
    c->value = v;
    return 0;
}

static int from_config(struct creds *c, const struct store_config *config, struct err *err)
{
    if (!given(config->access_key) || !given(config->secret_key))
        return err_set(err, -EINVAL, "access_key and secret_key belong together; %s is missing",
                       given(config->access_key) ? "secret_key" : "access_key");
    c->value.access_key = xstrdup(config->access_key);
    c->value.secret_key = xstrdup(config->secret_key);
    c->value.token = given(config->session_token) ? xstrdup(config->session_token) : NULL;
    c->origin = xstrdup("the configuration");
    return 0;
}

static int from_environment(struct creds *c, struct err *err)
{
    const char *token = getenv("AWS_SESSION_TOKEN");
    const char *expires = getenv("AWS_CREDENTIAL_EXPIRATION");
    c->value.access_key = xstrdup(getenv("AWS_ACCESS_KEY_ID"));
    c->value.secret_key = xstrdup(getenv("AWS_SECRET_ACCESS_KEY"));
    c->value.token = given(token) ? xstrdup(token) : NULL;
    if (given(expires) && timefmt_parse_iso(expires, &c->expires_ns) < 0)
        return err_set(err, -EINVAL, "AWS_CREDENTIAL_EXPIRATION is no time: %.40s", expires);
    c->origin = xstrdup("AWS_ACCESS_KEY_ID in the environment");
    return 0;
}

static int from_file(struct creds *c, const struct store_config *config, struct err *err)
{
    const char *file = config->credentials_file, *profile = config->profile;
    bool named = given(file);
    if (!named)
        file = getenv("AWS_SHARED_CREDENTIALS_FILE");
    if (!given(profile))
        profile = getenv("AWS_PROFILE");
    c->profile = xstrdup(given(profile) ? profile : "default");
    const char *home = getenv("HOME");
    if (given(file))
        c->file = xstrdup(file);
    else
        c->file = xasprintf("%s/.aws/credentials", given(home) ? home : "/root");
    c->origin = xasprintf("profile %s of %s", c->profile, c->file);
    int rc = read_file_locked(c, err);
    if (rc == -ENOENT && !named)
        return err_wrap(err, -EINVAL,
                        "no credentials: set access_key and secret_key, or credentials_file, or "
                        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment");
    return rc;
}

int creds_open(const struct store_config *config, struct creds **out, struct err *err)
{
    struct creds *c = xzalloc(sizeof(*c));
    (void)pthread_mutex_init(&c->lock, NULL);
    c->value.generation = 1;
    c->looked_ns = time_mono_ns();
    int rc = 0;
    if (given(config->access_key) || given(config->secret_key))
        rc = from_config(c, config, err);
    else if (!given(config->credentials_file) && given(getenv("AWS_ACCESS_KEY_ID")) &&
             given(getenv("AWS_SECRET_ACCESS_KEY")))
        rc = from_environment(c, err);
    else
        rc = from_file(c, config, err);
    if (rc < 0) {
        creds_close(c);
        return rc;
    }
    *out = c;
    return 0;
}

void creds_close(struct creds *c)
{
    if (c == NULL)
        return;
    creds_value_fini(&c->value);
    free(c->file);
    free(c->profile);
    free(c->origin);
    (void)pthread_mutex_destroy(&c->lock);
    free(c);
}

/* Has the file read again when it changed or what it said has expired. A file that cannot be read
 * (it may be half written just now) leaves things as they are. */
static void refresh_locked(struct creds *c, bool expired)
{
    int64_t now = time_mono_ns();
    struct stat st;
    if (c->file == NULL || (!expired && now - c->looked_ns < LOOK_AGAIN))
        return;
    c->looked_ns = now;
    if (stat(c->file, &st) == 0 && same_file(&st, &c->seen))
        return;
    struct err err = {0};
    if (read_file_locked(c, &err) < 0)
        log_warn("%s; the credentials read before stay in use", err.text);
}

int creds_get(struct creds *c, struct creds_value *out, struct err *err)
{
    lock_scope(&c->lock);
    bool expired = c->expires_ns != 0 && time_now_ns() >= c->expires_ns;
    refresh_locked(c, expired);
    if (c->expires_ns != 0 && time_now_ns() >= c->expires_ns) {
        char when[TIMEFMT_MAX];
        timefmt_iso_s3(c->expires_ns, when);
        return err_set(err, -EACCES, "the credentials (%s) expired at %s; renew them", c->origin,
                       when);
    }
    copy_value(out, &c->value);
    return 0;
}

bool creds_renew(struct creds *c, uint64_t generation)
{
    lock_scope(&c->lock);
    struct err err = {0};
    if (c->value.generation == generation && c->file != NULL && read_file_locked(c, &err) < 0)
        log_warn("%s", err.text);
    return c->value.generation != generation;
}

const char *creds_origin(struct creds *c)
{
    return c->origin;
}
