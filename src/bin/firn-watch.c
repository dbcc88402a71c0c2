/* SPDX-License-Identifier: Apache-2.0 */
/* firn-watch, the front between the kernel's events and firnd: wiring of configuration, process
 * and service manager. */
#include "base/cleanup.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "base/pidlock.h"
#include "conf/conf.h"
#include "watch/front.h"
#include "watch/guard.h"
#include "watch/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define EXIT_USAGE  2
#define EXIT_CONFIG 78     /* EX_CONFIG of sysexits.h: systemd need not try again */
#define FILES_MOST  524288 /* descriptors: one for each program that waits */
#define LOCK_NAME   "firn-watch.lock"
#define GROUP_NAME  "group" /* in the service manager's store */

struct options {
    const char *config;
    const char *log; /* NULL: standard error as it is */
    bool check_config;
};

/* ---- options ---- */

static const char usage_text[] =
    "usage: firn-watch [-f] [-c CONFIG] [-l LOGFILE]\n"
    "       firn-watch --check-config [-c CONFIG]\n"
    "       firn-watch --version | --help\n"
    "\n"
    "  -c, --config FILE      read FILE (default " CONF_DEFAULT_PATH ")\n"
    "  -f, --foreground       stay in the foreground (always so; accepted for scripts)\n"
    "  -l, --log FILE         append log lines to FILE, opened again at SIGHUP\n"
    "      --check-config     read and check the configuration, start nothing\n"
    "      --version          print the version\n"
    "  -h, --help             print this\n";

enum { OPT_CHECK = 256, OPT_VERSION };

static const struct option long_options[] = {
    {"config", required_argument, NULL, 'c'},
    {"foreground", no_argument, NULL, 'f'},
    {"log", required_argument, NULL, 'l'},
    {"check-config", no_argument, NULL, OPT_CHECK},
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
    case OPT_VERSION:
        (void)printf("firn-watch %s\n", FIRN_VERSION);
        return EXIT_SUCCESS;
    case 'h':
        (void)fputs(usage_text, stdout);
        return EXIT_SUCCESS;
    default:
        (void)fputs("firn-watch --help tells how it is called\n", stderr);
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
    (void)fprintf(stderr, "firn-watch: unexpected argument %s\n", argv[optind]);
    return EXIT_USAGE;
}

/* ---- the process ---- */

static int open_log(const char *path, struct err *err)
{
    auto_close int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0)
        return err_sys(err, errno, "log %s", path);
    return 0;
}

static void raise_files(void)
{
    struct rlimit old = {0};
    (void)getrlimit(RLIMIT_NOFILE, &old);
    struct rlimit want = {.rlim_cur = FILES_MOST,
                          .rlim_max = old.rlim_max > FILES_MOST ? old.rlim_max : FILES_MOST};
    if (setrlimit(RLIMIT_NOFILE, &want) == 0)
        return;
    old.rlim_cur = old.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &old);
    log_warn("no more than %llu programs can wait for files: RLIMIT_NOFILE cannot be raised",
             (unsigned long long)old.rlim_cur);
}

/* Not to be killed for want of memory, nor to wait for a disk to have its own pages. */
static void stay_in_memory(void)
{
    static const char never[] = "-1000";
    auto_close int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, never, sizeof(never) - 1) < 0)
        log_warn("the kernel may end firn-watch when memory is short: oom_score_adj (%s)",
                 strerror(errno));
    if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
        log_warn("memory is not locked (%s)", strerror(errno));
}

static volatile bool woken;
static volatile sig_atomic_t asked_to_end, asked_for_log, asked_to_leave;

static void on_signal(int sig)
{
    woken = true;
    if (sig == SIGHUP)
        asked_for_log = 1;
    else if (sig == SIGUSR1)
        asked_to_leave = 1;
    else
        asked_to_end = 1;
}

/* Blocked but where the front waits: none is missed. */
static void prepare_signals(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    struct sigaction sa = {.sa_handler = on_signal};
    sigset_t set;
    (void)sigemptyset(&set);
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        (void)sigaddset(&set, signals[i]);
        (void)sigaction(signals[i], &sa, NULL);
    }
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
}

/* ---- the group over a restart ---- */

static bool group_is_kept;
static int own_group = -1; /* the front's */

static void keep_group(int group)
{
    own_group = group;
    int rc = notify_send_fd("FDSTORE=1\nFDNAME=" GROUP_NAME "\nFDPOLL=0", group);
    group_is_kept = rc == 1;
    if (rc < 0)
        log_warn("the service manager cannot be asked to keep the group: %s", strerror(-rc));
    else if (rc == 0)
        log_warn("no service manager keeps the group: when firn-watch and firnd are killed "
                 "together, programs read zeros from migrated files");
}

static int take_group(void)
{
    char link[64], what[64] = "";
    int fd = notify_take_fd(GROUP_NAME);
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    if (fd < 0 || readlink(link, what, sizeof(what) - 1) < 0)
        return -1;
    if (strcmp(what, "anon_inode:[fanotify]") == 0)
        return fd;
    log_warn("descriptor %s of the service manager is no fanotify group but %s", GROUP_NAME, what);
    (void)close(fd);
    return -1;
}

/* ---- start and stop ---- */

/* The file systems whose readers wait for firn. */
static struct front_fs *watched(const struct conf *c, size_t *n)
{
    struct front_fs *fs = xzalloc((c->filesystem_count + 1) * sizeof(*fs));
    for (size_t i = 0; i < c->filesystem_count; i++) {
        const struct conf_filesystem *from = &c->filesystems[i];
        if (strcmp(from->posix_readers, "recall") != 0)
            continue;
        fs[(*n)++] = (struct front_fs){.name = from->name,
                                       .path = from->path,
                                       .device = from->device,
                                       .type = from->type,
                                       .options = from->options};
    }
    return fs;
}

static void tell_end(const char *why)
{
    char state[900];
    (void)snprintf(state, sizeof(state), "STOPPING=1\nSTATUS=cannot end: %s", why);
    (void)notify_send(state);
}

/* Whether the front may close its group: nothing is mounted that needs it. */
static bool may_end(struct front *f, struct err *last)
{
    struct err e = {0};
    bool asked = asked_to_end != 0;
    asked_to_end = 0;
    if (front_unmount(f, &e) == 0)
        return true;
    if (asked || strcmp(e.text, last->text) != 0) {
        log_warn("cannot end yet: %s", e.text);
        tell_end(e.text);
    }
    *last = e;
    return false;
}

/* Leaves everything mounted, for the next firn-watch, which takes over the group. */
static bool may_leave(const struct front *f)
{
    asked_to_leave = 0;
    if (group_is_kept || front_has_engine(f))
        return true;
    log_warn("nobody keeps the group for the next firn-watch (no service manager, no firnd): going "
             "on");
    return false;
}

static void reopen_log(const struct options *o)
{
    struct err e = {0};
    asked_for_log = 0;
    if (o->log != NULL && open_log(o->log, &e) != 0)
        log_err("%s", e.text);
    log_info("log opened");
}

static void serve(const struct options *o, struct front *f)
{
    struct err last = {0};
    bool ending = false;
    for (;;) {
        front_run(f, &woken);
        woken = false;
        if (asked_for_log)
            reopen_log(o);
        if (asked_to_leave && may_leave(f))
            break;
        ending = ending || asked_to_end != 0;
        if (ending && may_end(f, &last))
            break;
    }
    (void)notify_send("STOPPING=1");
}

/* Before anything is mounted, so that no stub is ever seen without it. Returns 0, or a negative
 * code when the guard is required and cannot be had. */
static int install_guard(const struct conf *c, struct err *err)
{
    struct err e = {0};
    if (strcmp(c->watch.guard, "off") == 0) {
        if (guard_remove(NULL, &e) < 0)
            log_warn("the guard stays: %s", e.text);
        return 0;
    }
    int rc = guard_install(NULL, &e);
    if (rc == 0)
        rc = guard_pass(NULL, 0, &e);
    if (rc == 0)
        return 0;
    if (strcmp(c->watch.guard, "required") == 0)
        return err_set(err, rc, "watch.guard is \"required\": %s", e.text);
    log_warn("no guard: %s; when nobody holds the group, programs read zeros from migrated files",
             e.text);
    return 0;
}

/* Which file systems it guards: they are mounted now, or that is logged. */
static void aim_guard(const struct front_config *cfg)
{
    struct watch_kernel k;
    if (!guard_active(NULL, NULL))
        return;
    auto_free const char **paths = xzalloc((cfg->nfs + 1) * sizeof(*paths));
    for (size_t i = 0; i < cfg->nfs; i++)
        paths[i] = cfg->fs[i].path;
    watch_kernel_probe(own_group, cfg->open_only, &k);
    struct err e = {0};
    if (guard_set_fs(NULL, paths, cfg->nfs, k.pre_access ? FAN_PRE_ACCESS : FAN_OPEN_PERM, &e) < 0)
        log_err("not all file systems are guarded: %s", e.text);
    else
        log_info("guard: stubs that nobody watches are refused on %zu file systems", cfg->nfs);
}

static int run(const struct options *o, const struct conf *c)
{
    struct err e = {0};
    size_t n = 0;
    auto_close int lock = -1;
    auto_free struct front_fs *fs = watched(c, &n);
    struct front *f = NULL;
    const struct front_config cfg = {.socket_path = c->watch.socket,
                                     .fs = fs,
                                     .nfs = n,
                                     .deadline_ms = c->watch.deadline_s * 1000,
                                     .open_only = strcmp(c->watch.events, "open") == 0,
                                     .inherited = take_group(),
                                     .keep = keep_group};
    int rc = pidlock_take(c->run_dir, LOCK_NAME, "firn-watch", &lock, &e);
    if (rc == 0) {
        prepare_signals();
        raise_files();
        rc = install_guard(c, &e);
    }
    if (rc == 0) {
        stay_in_memory();
        rc = front_start(&cfg, &f, &e);
    }
    if (rc != 0) {
        log_err("%s", e.text);
        return EXIT_FAILURE;
    }
    aim_guard(&cfg);
    (void)notify_send("READY=1\nSTATUS=watching");
    log_info("version %s watches %zu file systems, meets firnd at %s", FIRN_VERSION, n,
             c->watch.socket);
    serve(o, f);
    front_free(f);
    log_info("ended");
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    auto_conf struct conf *c = NULL;
    struct options o = {.config = CONF_DEFAULT_PATH};
    enum log_level level = LOG_LEVEL_INFO;
    int status = take_options(argc, argv, &o);
    if (status >= 0)
        return status;
    (void)umask(027);
    if (conf_load(o.config, &c, &e) != 0) {
        (void)fprintf(stderr, "firn-watch: %s\n", e.text);
        return EXIT_CONFIG;
    }
    if (o.check_config) {
        (void)printf("%s: ok\n", o.config);
        return EXIT_SUCCESS;
    }
    if (o.log != NULL && open_log(o.log, &e) != 0) {
        (void)fprintf(stderr, "firn-watch: %s\n", e.text);
        return EXIT_FAILURE;
    }
    /* systemd's last round of a shutdown spares such a process: file systems are still mounted. */
    if (argc > 0)
        argv[0][0] = '@';
    (void)log_level_parse(c->log_level, &level);
    log_init("firn-watch", level);
    return run(&o, c);
}
