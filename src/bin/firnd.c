/* SPDX-License-Identifier: Apache-2.0 */
/* firnd, the engine's daemon: wiring of configuration, engine, schedules and control socket. */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/notify.h"
#include "base/pidlock.h"
#include "conf/conf.h"
#include "ctl/ops.h"
#include "engine/engine.h"
#include "engine/events.h"
#include "engine/policy_run.h"
#include "engine/registry.h"
#include "engine/schedule.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pthread.h>
#include <pwd.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define EXIT_USAGE  2
#define EXIT_CONFIG 78    /* EX_CONFIG of sysexits.h: systemd need not try again */
#define FILES_MOST  65536 /* descriptors: connections, drives, files being moved */
#define CONNECTIONS 192   /* control connections besides those that wait for recalls */
#define LOCK_NAME   "firnd.lock"

struct options {
    const char *config;
    const char *log; /* NULL: standard error as it is */
    bool check_config;
};

/* What runs; parts are NULL until they are started. */
struct daemon {
    struct conf *conf;
    int lock_fd;
    struct ctl_app app;
    struct ctl_server *server;
};

/* ---- options ---- */

static const char usage_text[] =
    "usage: firnd [-f] [-c CONFIG] [-l LOGFILE]\n"
    "       firnd --check-config [-c CONFIG]\n"
    "       firnd --list-crash-points | --version | --help\n"
    "\n"
    "  -c, --config FILE      read FILE (default " CONF_DEFAULT_PATH ")\n"
    "  -f, --foreground       stay in the foreground (always so; accepted for scripts)\n"
    "  -l, --log FILE         append log lines to FILE, opened again at SIGHUP\n"
    "      --check-config     read and check the configuration, start nothing\n"
    "      --list-crash-points  name the points at which tests may end firnd\n"
    "      --version          print the version\n"
    "  -h, --help             print this\n";

static int list_crash_points(void)
{
    for (int i = 0; i < CRASH_COUNT; i++) {
        const char *when = NULL;
        const char *name = crash_point_name((enum crash_id)i, &when);
        (void)printf("%-22s %s\n", name, when);
    }
    return EXIT_SUCCESS;
}

enum { OPT_CHECK = 256, OPT_POINTS, OPT_VERSION };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"foreground", no_argument, NULL, 'f'},
    {"log", required_argument, NULL, 'l'},
    {"check-config", no_argument, NULL, OPT_CHECK},
    {"list-crash-points", no_argument, NULL, OPT_POINTS},
    {"version", no_argument, NULL, OPT_VERSION},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

/* Returns -1 to go on, or the exit status. */
static int take_option(int c, struct options *o)
{
    switch (c) {
    case 'c':
        o->config = optarg;
        return -1;
    case 'f':
        return -1;
    case 'l':
        o->log = optarg;
        return -1;
    case OPT_CHECK:
        o->check_config = true;
        return -1;
    case OPT_POINTS:
        return list_crash_points();
    case OPT_VERSION:
        (void)printf("firnd %s\n", FIRN_VERSION);
        return EXIT_SUCCESS;
    case 'h':
        (void)fputs(usage_text, stdout);
        return EXIT_SUCCESS;
    default:
        (void)fputs("firnd --help tells how it is called\n", stderr);
        return EXIT_USAGE;
    }
}

static int take_options(int argc, char **argv, struct options *o)
{
    int c = 0;
    while ((c = getopt_long(argc, argv, "c:fl:h", long_options, NULL)) != -1) {
        int status = take_option(c, o);
        if (status >= 0)
            return status;
    }
    if (optind == argc)
        return -1;
    (void)fprintf(stderr, "firnd: unexpected argument %s\n", argv[optind]);
    return EXIT_USAGE;
}

/* ---- configuration ---- */

/* The real path of path, or of the nearest directory above that exists; the caller frees. */
static char *real_path(const char *path)
{
    char copy[PATH_MAX];
    if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
        return NULL;
    for (;;) {
        char *real = realpath(copy, NULL);
        if (real != NULL || errno != ENOENT)
            return real;
        char *slash = strrchr(copy, '/');
        if (slash == NULL)
            return NULL;
        *(slash == copy ? slash + 1 : slash) = '\0';
    }
}

static bool lies_in(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0' || n == 1);
}

/* The catalogue would be needed to bring back what it is stored on. conf_load has compared the
 * texts; here symbolic links are followed. */
static int check_state_dir(const struct conf *c, struct err *err)
{
    auto_free char *state = real_path(c->state_dir);
    for (size_t i = 0; state != NULL && i < c->filesystem_count; i++) {
        auto_free char *fs = realpath(c->filesystems[i].path, NULL);
        if (fs != NULL && lies_in(state, fs))
            return err_set(err, -EINVAL,
                           "state_dir %s is %s, which lies in the managed file system %s (%s); put "
                           "it elsewhere",
                           c->state_dir, state, c->filesystems[i].name, c->filesystems[i].path);
    }
    return 0;
}

static int load_conf(const struct options *o, struct conf **out, struct err *err)
{
    auto_conf struct conf *c = NULL;
    int rc = conf_load(o->config, &c, err);
    if (rc == 0) {
        rc = check_state_dir(c, err);
        if (rc != 0)
            return err_wrap(err, rc, "%s", o->config);
        *out = take_ptr(c);
    }
    return rc;
}

/* ---- surroundings ---- */

static int open_log(const char *path, struct err *err)
{
    auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        return err_sys(err, errno, "log %s", path);
    return 0;
}

static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    rlim_t most = r.rlim_max == RLIM_INFINITY || r.rlim_max > FILES_MOST ? FILES_MOST : r.rlim_max;
    if (r.rlim_cur >= most)
        return;
    r.rlim_cur = most;
    if (setrlimit(RLIMIT_NOFILE, &r) != 0)
        log_warn("open files stay limited: %s", strerror(errno));
}

/* Threads inherit the mask, so that the signals below come to the main thread alone. */
static void prepare_signals(sigset_t *waited)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGIO, SIG_IGN); /* broken leases */
    (void)sigemptyset(waited);
    (void)sigaddset(waited, SIGTERM);
    (void)sigaddset(waited, SIGINT);
    (void)sigaddset(waited, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, waited, NULL);
}

/* ---- start and stop ---- */

static int run_policy(void *ctx, const cJSON *args, void (*event)(void *arg, cJSON *event),
                      void *event_arg, cJSON **result, struct err *err)
{
    return policy_run(ctx, args, event, event_arg, result, err);
}

static int start_schedules(struct daemon *d, struct err *err)
{
    const struct schedule_env env = {
        .catalog = engine_catalog(d->app.engine), .run = run_policy, .ctx = d->app.policies};
    return schedule_start(&env, false, &d->app.schedules, err);
}

/* The user of firn-s3 may connect too, through its group. */
static int s3_user(const struct conf *c, uid_t *uid, gid_t *gid, struct err *err)
{
    *uid = (uid_t)-1;
    *gid = (gid_t)-1;
    if (c->s3.user[0] == '\0')
        return 0;
    errno = 0;
    const struct passwd *pw = getpwnam(c->s3.user);
    if (pw == NULL)
        return err_set(err, -EINVAL, "s3.user: there is no user %s on this machine", c->s3.user);
    *uid = pw->pw_uid;
    *gid = pw->pw_gid;
    return 0;
}

static int start_server(struct daemon *d, struct err *err)
{
    struct ctl_server_config cfg = {
        .socket_path = d->conf->socket, .app = &d->app, .session_free = ctl_ops_session_free};
    cfg.ops = ctl_ops(&cfg.n_ops);
    int rc = s3_user(d->conf, &cfg.s3_uid, &cfg.s3_gid, err);
    return rc != 0 ? rc : ctl_server_start(&cfg, &d->server, err);
}

static int start(struct daemon *d, struct err *err)
{
    int rc = pidlock_take(d->conf->run_dir, LOCK_NAME, "firnd", &d->lock_fd, err);
    if (rc == 0)
        rc = engine_start(d->conf, &d->app.engine, err);
    if (rc != 0)
        return rc;
    d->app.registry = registry_new(d->conf, engine_catalog(d->app.engine));
    d->app.policies = policy_runner_new(d->app.engine);
    rc = start_schedules(d, err);
    if (rc == 0)
        rc = events_start(d->app.policies, engine_catalog(d->app.engine), &d->app.events, err);
    return rc != 0 ? rc : start_server(d, err);
}

/* Callers first are told to end, then waited for; the engine, which they are inside of, goes last.
 */
static void stop(struct daemon *d)
{
    if (d->server != NULL)
        ctl_server_stop(d->server);
    if (d->app.engine != NULL)
        engine_stop_begin(d->app.engine);
    schedule_stop(d->app.schedules);
    events_stop(d->app.events);
    ctl_server_free(d->server);
    events_free(d->app.events);
    policy_runner_free(d->app.policies);
    registry_free(d->app.registry);
    engine_stop(d->app.engine);
}

static void *end_at_once(void *arg)
{
    int sig = 0;
    sigset_t ending;
    (void)arg;
    (void)sigemptyset(&ending);
    (void)sigaddset(&ending, SIGTERM);
    (void)sigaddset(&ending, SIGINT);
    (void)sigwait(&ending, &sig);
    log_warn("second signal: ending at once; the next start takes up what was begun");
    _exit(EXIT_FAILURE);
}

static void serve(const struct options *o, const sigset_t *waited)
{
    struct err e = {0};
    for (;;) {
        int sig = 0;
        if (sigwait(waited, &sig) != 0)
            continue;
        if (sig != SIGHUP)
            return;
        if (o->log != NULL && open_log(o->log, &e) != 0)
            log_err("%s", e.text);
        log_info("log opened");
    }
}

static int run(const struct options *o, struct daemon *d)
{
    struct err e = {0};
    sigset_t waited;
    pthread_t second;
    prepare_signals(&waited);
    raise_limits();
    int rc = start(d, &e);
    if (rc != 0) {
        log_err("%s", e.text);
        stop(d);
        return EXIT_FAILURE;
    }
    (void)notify_send("READY=1\nSTATUS=serving");
    log_info("version %s serves site %s at %s", FIRN_VERSION, d->conf->site, d->conf->socket);
    serve(o, &waited);
    (void)notify_send("STOPPING=1\nSTATUS=finishing the files at hand and writing indexes");
    log_info("stopping: the files at hand are finished, indexes are written");
    if (pthread_create(&second, NULL, end_at_once, NULL) == 0)
        (void)pthread_detach(second);
    stop(d);
    log_info("stopped");
    return EXIT_SUCCESS;
}

static void init_log(const struct conf *c)
{
    enum log_level level = LOG_LEVEL_INFO;
    (void)log_level_parse(c->log_level, &level);
    log_init("firnd", level);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct daemon d = {.lock_fd = -1};
    struct options o = {.config = CONF_DEFAULT_PATH};
    int status = take_options(argc, argv, &o);
    if (status >= 0)
        return status;
    (void)umask(027);
    if (load_conf(&o, &d.conf, &e) != 0) {
        (void)fprintf(stderr, "firnd: %s\n", e.text);
        return EXIT_CONFIG;
    }
    if (o.check_config) {
        (void)printf("%s: ok\n", o.config);
        status = EXIT_SUCCESS;
    } else if (o.log != NULL && open_log(o.log, &e) != 0) {
        (void)fprintf(stderr, "firnd: %s\n", e.text);
        status = EXIT_FAILURE;
    } else {
        init_log(d.conf);
        status = run(&o, &d);
    }
    if (d.lock_fd >= 0)
        (void)close(d.lock_fd);
    conf_free(d.conf);
    return status;
}
