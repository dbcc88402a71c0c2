/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn-s3(8): wiring only. Opens what needs root, gives up privilege, starts the server, and keeps
 * the registry fresh until a signal ends it.
 */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/notify.h"
#include "conf/conf.h"
#include "ctl/client.h"
#include "s3/changes.h"
#include "s3/ops.h"
#include "s3/privilege.h"
#include "s3/registry.h"
#include "s3/server.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define POLL_S    2  /* between questions for changes of accounts and buckets */
#define DRAIN_S   30 /* for requests to end after SIGTERM */
#define IDLE_CTL  16 /* connections to firnd that stay open */
#define SPARE_FDS 256

static const char usage[] =
    "Usage: firn-s3 [-c CONFIG] [--check-config]\n"
    "Serves S3 on the buckets directory of the configured file system.\n"
    "\n"
    "  -c, --config CONFIG  configuration file (default " CONF_DEFAULT_PATH ")\n"
    "      --check-config   read the configuration, say what is wrong with it, and end\n"
    "      --version        print the version and end\n"
    "  -h, --help           print this and end\n";

struct options {
    const char *config;
    bool check_only;
};

/* Returns -1 to go on, else the exit status. */
static int parse_options(int argc, char **argv, struct options *o)
{
    enum { OPT_CHECK = 256, OPT_VERSION };
    static const struct option longs[] = {{"config", required_argument, NULL, 'c'},
                                          {"check-config", no_argument, NULL, OPT_CHECK},
                                          {"version", no_argument, NULL, OPT_VERSION},
                                          {"help", no_argument, NULL, 'h'},
                                          {0}};
    int c = 0;
    while ((c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->config = optarg;
            break;
        case OPT_CHECK:
            o->check_only = true;
            break;
        case OPT_VERSION:
            return puts("firn-s3 " FIRN_VERSION) < 0;
        case 'h':
            return fputs(usage, stdout) < 0;
        default:
            (void)fputs(usage, stderr);
            return 2;
        }
    }
    if (optind == argc)
        return -1;
    (void)fprintf(stderr, "firn-s3: unexpected argument '%s'\n%s", argv[optind], usage);
    return 2;
}

static size_t worker_count(const struct conf *conf)
{
    if (conf->s3.workers > 0)
        return (size_t)conf->s3.workers;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    return cpus > 4 ? 4 * (size_t)cpus : 16;
}

/* Room for every connection, and the files that the workers have open at the same time. */
static void raise_fd_limit(const struct conf *conf)
{
    rlim_t want = (rlim_t)conf->s3.max_connections +
                  8 * (rlim_t)(worker_count(conf) + (size_t)conf->s3.recall_waiters) + SPARE_FDS;
    struct rlimit lim;
    if (getrlimit(RLIMIT_NOFILE, &lim) < 0 || lim.rlim_cur >= want)
        return;
    lim.rlim_cur = want;
    if (lim.rlim_max < want)
        lim.rlim_max = want;
    if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
        log_warn("cannot open %llu files at once: %s; s3.max_connections may not be reached",
                 (unsigned long long)want, strerror(errno));
}

/* Everything that needs root; afterwards nothing does. */
static int open_all(const struct conf *conf, struct s3_site *site, int *listen_fd, struct err *err)
{
    raise_fd_limit(conf);
    int rc = s3_listen(conf->s3.listen, listen_fd, err);
    if (rc < 0)
        return err_wrap(err, rc, "s3.listen");
    site->buckets_fd = open(conf->s3.buckets, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (site->buckets_fd < 0)
        return err_sys(err, errno, "open the buckets directory %s (s3.buckets)", conf->s3.buckets);
    return s3_privilege_drop(err);
}

/* Logs that firnd went away or came back, once each. */
static void poll_registry(struct s3_registry *r, bool *away)
{
    struct err err = {0};
    int rc = s3_registry_poll(r, &err);
    if (rc < 0 && !*away)
        log_warn("%s; serving with what is known", err.text);
    else if (rc == 0 && *away)
        log_info("firnd answers again");
    *away = rc < 0;
}

/* Runs until a signal that ends the program. */
static void run(struct s3_registry *r, const sigset_t *signals, bool away)
{
    for (;;) {
        struct timespec wait = {.tv_sec = POLL_S};
        int sig = sigtimedwait(signals, NULL, &wait);
        if (sig == SIGTERM || sig == SIGINT) {
            log_info("%s: finishing the requests that run", strsignal(sig));
            return;
        }
        if (sig < 0 && errno == EAGAIN)
            poll_registry(r, &away);
    }
}

static int serve(struct s3_site *site, int listen_fd, const sigset_t *signals, struct err *err)
{
    const struct conf *conf = site->conf;
    struct s3_server_opts opts = {.listen_fd = listen_fd,
                                  .site = site,
                                  .handle = s3_handle,
                                  .workers = worker_count(conf),
                                  .max_waiting = (size_t)conf->s3.recall_waiters,
                                  .max_connections = (size_t)conf->s3.max_connections,
                                  .idle_timeout_s = (int)conf->s3.idle_timeout_s,
                                  .drain_s = DRAIN_S};
    bool away = false;
    poll_registry(site->registry, &away);
    struct s3_server *server = NULL;
    int rc = s3_server_start(&opts, &server, err);
    if (rc < 0)
        return rc;
    log_info("serving %s on %s with %zu workers", conf->s3.buckets, conf->s3.listen, opts.workers);
    (void)notify_send("READY=1");
    run(site->registry, signals, away);
    (void)notify_send("STOPPING=1");
    size_t cut = 0;
    bool hangs = s3_server_stop(server, &cut) != 0;
    if (cut > 0)
        log_warn("%zu requests were cut", cut);
    if (hangs)
        _exit(0); /* a worker is stuck in the kernel; it must not see memory go away */
    return 0;
}

static int start(const struct conf *conf, struct err *err)
{
    auto_close int listen_fd = -1;
    struct s3_site site = {.conf = conf, .buckets_fd = -1};
    sigset_t signals;
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    int rc = open_all(conf, &site, &listen_fd, err);
    if (rc == 0)
        rc = s3_ops_init(&site, err);
    if (rc == 0) {
        struct ctl_pool *pool = ctl_pool_new(conf->socket, IDLE_CTL);
        site.registry = s3_registry_new(pool);
        rc = s3_changes_new(pool, &site.changes, err);
        if (rc == 0)
            rc = serve(&site, take_fd(listen_fd), &signals, err);
        s3_changes_free(site.changes);
        s3_ops_fini(&site);
        s3_registry_free(site.registry);
        ctl_pool_free(pool);
    }
    if (site.buckets_fd >= 0)
        (void)close(site.buckets_fd);
    return rc;
}

int main(int argc, char **argv)
{
    struct options o = {.config = CONF_DEFAULT_PATH};
    int status = parse_options(argc, argv, &o);
    if (status >= 0)
        return status;
    log_init("firn-s3", LOG_LEVEL_INFO);
    struct err err = {0};
    auto_conf struct conf *conf = NULL;
    if (conf_load(o.config, &conf, &err) < 0) {
        (void)fprintf(stderr, "firn-s3: %s\n", err.text);
        return 1;
    }
    if (o.check_only)
        return 0;
    enum log_level level = LOG_LEVEL_INFO;
    if (log_level_parse(conf->log_level, &level) == 0)
        log_init("firn-s3", level);
    if (start(conf, &err) < 0) {
        log_err("%s", err.text);
        return 1;
    }
    return 0;
}
