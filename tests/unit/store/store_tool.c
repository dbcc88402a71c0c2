/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store client by hand and for scripts:
 *   store_tool [KEY=VALUE...] COMMAND ARGUMENT...
 * Configuration: endpoint, region, style, access_key, secret_key, token, credentials, profile, ca,
 * verify (0, 1), sign, connections, retries, base_ms, retry_max_ms, connect_timeout, stall_timeout,
 * min_speed, md5 (0, 1). Commands: put BUCKET KEY FILE [NAME=VALUE...], put-absent (the like),
 * get BUCKET KEY FILE SIZE, range BUCKET KEY FILE OFFSET SIZE, small BUCKET KEY FILE MAX, head,
 * delete BUCKET KEY, delete-many BUCKET KEY..., list BUCKET PREFIX AFTER, restore BUCKET KEY,
 * check, create BUCKET, buckets, times COUNT THREADS SIZE put|get BUCKET KEY. Prints lines of
 * "name: value"; the exit status is 0 done, 1 failed, 3 absent, 4 exists, 5 archived.
 */
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define META_MAX   64
#define FILE_LIMIT ((size_t)1 << 30)

static struct store *the_store;
static struct store_cancel the_cancel;

/* One run: what is asked for. */
struct job {
    struct store *s;
    int argc;
    char **argv;
    struct err err;
};

static int print_reply(const struct store_reply *r)
{
    (void)printf("status: %d\ncode: %s\netag: %s\nmd5: %d\ncrc64nvme: %s\nsize: %" PRId64
                 "\nmodified: %" PRId64 "\nclass: %s\nrestore: %s\ntries: %u\n",
                 r->status, r->code, r->etag, r->etag_is_md5, r->crc64nvme, r->size, r->modified_ns,
                 r->storage_class, r->restore, r->tries);
    for (size_t i = 0; i < r->nmeta; i++)
        (void)printf("meta: %s=%s\n", r->meta[i].name, r->meta[i].value);
    return 0;
}

static int put(struct job *j, bool if_absent)
{
    auto_free char *data = NULL;
    size_t size = 0;
    struct store_field meta[META_MAX];
    size_t nmeta = 0;
    int rc = io_read_file(AT_FDCWD, j->argv[3], FILE_LIMIT, &data, &size, &j->err);
    if (rc < 0)
        return rc;
    for (int i = 4; i < j->argc && nmeta < META_MAX; i++) {
        char *eq = strchr(j->argv[i], '=');
        if (eq == NULL)
            return err_set(&j->err, -EINVAL, "metadata: %s", j->argv[i]);
        *eq = '\0';
        meta[nmeta++] = (struct store_field){j->argv[i], eq + 1};
    }
    struct store_put p = {.bucket = j->argv[1],
                          .key = j->argv[2],
                          .data = data,
                          .size = size,
                          .meta = meta,
                          .nmeta = nmeta,
                          .if_absent = if_absent};
    auto_store_reply struct store_reply r = {0};
    bool proven = false;
    rc = store_put(j->s, &p, &the_cancel, &proven, &r, &j->err);
    (void)printf("proven: %d\n", proven);
    (void)print_reply(&r);
    return rc;
}

static int cmd_put(struct job *j)
{
    return put(j, false);
}

static int cmd_put_absent(struct job *j)
{
    return put(j, true);
}

static int write_out(struct job *j, const void *data, size_t size)
{
    auto_close int fd = open(j->argv[3], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(&j->err, errno, "%s", j->argv[3]);
    int rc = io_write_full(fd, data, size);
    return rc < 0 ? err_sys(&j->err, -rc, "%s", j->argv[3]) : 0;
}

static int get(struct job *j, uint64_t off, size_t size, bool whole)
{
    auto_free char *data = malloc(size + 1);
    auto_store_reply struct store_reply r = {0};
    if (data == NULL)
        return err_sys(&j->err, ENOMEM, "buffer");
    int rc =
        store_get(j->s, j->argv[1], j->argv[2], off, data, size, whole, &the_cancel, &r, &j->err);
    (void)print_reply(&r);
    return rc == 0 ? write_out(j, data, size) : rc;
}

static int cmd_get(struct job *j)
{
    return get(j, 0, strtoull(j->argv[4], NULL, 10), true);
}

static int cmd_range(struct job *j)
{
    return get(j, strtoull(j->argv[4], NULL, 10), strtoull(j->argv[5], NULL, 10), false);
}

static int cmd_small(struct job *j)
{
    auto_free char *data = NULL;
    size_t size = 0;
    auto_store_reply struct store_reply r = {0};
    int rc = store_get_small(j->s, j->argv[1], j->argv[2], strtoull(j->argv[4], NULL, 10), &data,
                             &size, &the_cancel, &r, &j->err);
    (void)print_reply(&r);
    return rc == 0 ? write_out(j, data, size) : rc;
}

static int cmd_head(struct job *j)
{
    auto_store_reply struct store_reply r = {0};
    int rc = store_head(j->s, j->argv[1], j->argv[2], &the_cancel, &r, &j->err);
    (void)print_reply(&r);
    return rc;
}

static int cmd_delete(struct job *j)
{
    return store_delete(j->s, j->argv[1], j->argv[2], &the_cancel, &j->err);
}

static int cmd_delete_many(struct job *j)
{
    return store_delete_many(j->s, j->argv[1], (const char *const *)j->argv + 2,
                             (size_t)j->argc - 2, &the_cancel, &j->err);
}

static int cmd_restore(struct job *j)
{
    return store_restore(j->s, j->argv[1], j->argv[2], 1, "Standard", &the_cancel, &j->err);
}

static int print_item(void *arg, const struct store_item *item, struct err *err)
{
    (void)err;
    unsigned *n = arg;
    (*n)++;
    (void)printf("item: %" PRIu64 " %" PRId64 " %s %s\n", item->size, item->modified_ns, item->etag,
                 item->key);
    return 0;
}

static int cmd_list(struct job *j)
{
    unsigned n = 0;
    int rc =
        store_list(j->s, j->argv[1], j->argv[2], j->argv[3], print_item, &n, &the_cancel, &j->err);
    (void)printf("items: %u\n", n);
    return rc;
}

static int cmd_check(struct job *j)
{
    return store_bucket_check(j->s, j->argv[1], &j->err);
}

static int cmd_create(struct job *j)
{
    return store_bucket_create(j->s, j->argv[1], &j->err);
}

static int print_bucket(void *arg, const char *bucket, struct err *err)
{
    (void)arg;
    (void)err;
    (void)printf("bucket: %s\n", bucket);
    return 0;
}

static int cmd_buckets(struct job *j)
{
    return store_bucket_list(j->s, print_bucket, NULL, &j->err);
}

/* The same request many times over, by several threads. */
struct load {
    struct job *job;
    _Atomic int left;
    size_t size;
    bool put;
    char *data; /* for PUT */
    _Atomic int failed;
};

static void *load_thread(void *arg)
{
    struct load *l = arg;
    struct err err = {0};
    auto_free char *own = malloc(l->size + 1);
    while (own != NULL && atomic_fetch_sub(&l->left, 1) > 0 && atomic_load(&l->failed) == 0) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%s-%d", l->job->argv[6], atomic_load(&l->left) & 7);
        bool proven = false;
        struct store_put p = {
            .bucket = l->job->argv[5], .key = key, .data = l->data, .size = l->size};
        int rc = l->put ? store_put(l->job->s, &p, &the_cancel, &proven, NULL, &err)
                        : store_get(l->job->s, p.bucket, l->job->argv[6], 0, own, l->size, true,
                                    &the_cancel, NULL, &err);
        if (rc != 0 || (l->put && !proven)) {
            (void)fprintf(stderr, "%s\n", err.text);
            atomic_store(&l->failed, 1);
        }
    }
    return NULL;
}

static int cmd_times(struct job *j)
{
    struct load l = {.job = j,
                     .left = (int)strtol(j->argv[1], NULL, 10),
                     .size = strtoull(j->argv[3], NULL, 10),
                     .put = strcmp(j->argv[4], "put") == 0};
    int n = (int)strtol(j->argv[2], NULL, 10), count = l.left;
    auto_free char *data = malloc(l.size + 1);
    auto_free pthread_t *threads = xzalloc((size_t)n * sizeof(pthread_t));
    if (data == NULL)
        return err_sys(&j->err, ENOMEM, "buffer");
    for (size_t i = 0; i < l.size; i++)
        data[i] = (char)(i * 2654435761U >> 13);
    l.data = data;
    int64_t begin = time_mono_ns();
    struct rusage before, after;
    (void)getrusage(RUSAGE_SELF, &before);
    for (int i = 0; i < n; i++)
        (void)pthread_create(&threads[i], NULL, load_thread, &l);
    for (int i = 0; i < n; i++)
        (void)pthread_join(threads[i], NULL);
    (void)getrusage(RUSAGE_SELF, &after);
    double cpu = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                 (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
                 (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6 +
                 (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec) / 1e6;
    double gb = (double)count * (double)l.size / 1e9;
    (void)printf("seconds: %.3f\ncpu_per_gb: %.3f\nrequests_per_s: %.0f\n",
                 (double)(time_mono_ns() - begin) / 1e9, cpu / gb,
                 count * 1e9 / (double)(time_mono_ns() - begin));
    return atomic_load(&l.failed) != 0 ? err_set(&j->err, -EIO, "a request failed") : 0;
}

static const struct {
    const char *name;
    int least; /* arguments, its name included */
    int (*run)(struct job *j);
} commands[] = {
    {"put", 4, cmd_put},         {"put-absent", 4, cmd_put_absent},
    {"get", 5, cmd_get},         {"range", 6, cmd_range},
    {"small", 5, cmd_small},     {"head", 3, cmd_head},
    {"delete", 3, cmd_delete},   {"delete-many", 2, cmd_delete_many},
    {"list", 4, cmd_list},       {"restore", 3, cmd_restore},
    {"check", 2, cmd_check},     {"create", 2, cmd_create},
    {"buckets", 1, cmd_buckets}, {"times", 7, cmd_times},
};

/* The value of name=... among the arguments before the command, or dflt. */
static const char *option(char **argv, int n, const char *name, const char *dflt)
{
    size_t len = strlen(name);
    for (int i = 1; i < n; i++) {
        if (strncmp(argv[i], name, len) == 0 && argv[i][len] == '=')
            return argv[i] + len + 1;
    }
    return dflt;
}

static unsigned number(char **argv, int n, const char *name, const char *dflt)
{
    return (unsigned)strtoul(option(argv, n, name, dflt), NULL, 10);
}

static void configure(char **argv, int n, struct store_config *c)
{
    const char *style = option(argv, n, "style", "auto"), *sign = option(argv, n, "sign", "auto");
    *c = (struct store_config){
        .name = option(argv, n, "name", "test"),
        .endpoint = option(argv, n, "endpoint", ""),
        .region = option(argv, n, "region", ""),
        .access_key = option(argv, n, "access_key", ""),
        .secret_key = option(argv, n, "secret_key", ""),
        .session_token = option(argv, n, "token", ""),
        .credentials_file = option(argv, n, "credentials", ""),
        .profile = option(argv, n, "profile", ""),
        .ca_file = option(argv, n, "ca", ""),
        .tls_verify = number(argv, n, "verify", "1") != 0,
        .check_md5 = number(argv, n, "md5", "1") != 0,
        .connections = number(argv, n, "connections", "8"),
        .retries = number(argv, n, "retries", "4"),
        .retry_base_ms = number(argv, n, "base_ms", "20"),
        .retry_max_ms = number(argv, n, "retry_max_ms", "200"),
        .connect_timeout_s = number(argv, n, "connect_timeout", "5"),
        .stall_timeout_s = number(argv, n, "stall_timeout", "5"),
        .min_speed = number(argv, n, "min_speed", "0"),
    };
    c->style = strcmp(style, "path") == 0      ? STORE_STYLE_PATH
               : strcmp(style, "virtual") == 0 ? STORE_STYLE_VIRTUAL
                                               : STORE_STYLE_AUTO;
    c->sign_payload = strcmp(sign, "always") == 0  ? STORE_SIGN_ALWAYS
                      : strcmp(sign, "never") == 0 ? STORE_SIGN_NEVER
                                                   : STORE_SIGN_AUTO;
}

/* SIGTERM cancels what is under way, from a thread of its own. */
static void *on_signal(void *arg)
{
    const sigset_t *set = arg;
    int sig = 0;
    if (sigwait(set, &sig) == 0)
        store_cancel(the_store, &the_cancel);
    return NULL;
}

static int run(struct job *j)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (j->argc > 0 && strcmp(commands[i].name, j->argv[0]) == 0 &&
            j->argc >= commands[i].least)
            return commands[i].run(j);
    }
    return err_set(&j->err, -EINVAL, "no such command, or arguments are missing");
}

int main(int argc, char **argv)
{
    int n = 1;
    while (n < argc && strchr(argv[n], '=') != NULL)
        n++;
    static sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    struct store_config config;
    configure(argv, n, &config);
    struct job j = {.argc = argc - n, .argv = argv + n};
    int rc = store_open(&config, &j.s, &j.err);
    if (rc == 0) {
        pthread_t thread;
        the_store = j.s;
        int created = pthread_create(&thread, NULL, on_signal, &set);
        rc = run(&j);
        if (created == 0) {
            (void)pthread_kill(thread, SIGTERM);
            (void)pthread_join(thread, NULL);
        }
        struct store_counts counts = {0};
        store_counts(j.s, &counts);
        (void)printf("requests: %" PRIu64 "\nretries: %" PRIu64 "\nfailures: %" PRIu64
                     "\nconnects: %" PRIu64 "\nbytes_out: %" PRIu64 "\nbytes_in: %" PRIu64 "\n",
                     counts.requests, counts.retries, counts.failures, counts.connects,
                     counts.bytes_out, counts.bytes_in);
    }
    store_close(j.s);
    if (rc < 0)
        (void)printf("error: %d %s\n", rc, j.err.text);
    return rc == 0 ? 0 : rc < 0 ? 1 : rc + 2;
}
