/* SPDX-License-Identifier: Apache-2.0 */
/* lhsmtool_firn, the Lustre copytool: wiring of options, configuration, liblustreapi, mover and
 * core. */
#include "base/cleanup.h"
#include "base/crash.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/notify.h"
#include "conf/copytool.h"
#include "lustre/admin.h"
#include "lustre/copytool.h"
#include "lustre/mover.h"
#include "lustre/options.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define FILES_MOST 65536 /* descriptors: two a worker, connections */
#define MS_PER_S   1000
#define LIST_MAX   (64 << 20)

/* What is open. */
struct tool {
    struct copytool_options o;
    struct conf *conf;
    struct llapi *api;
    struct mover *mover;
    char *root, *format, *state_dir, *mount;
    char fsname[FSNAME_MAX];
    int mount_fd, pid_fd, locks[2];
    enum copytool_left left;
};

/* ---- configuration ---- */

/* The file to read: as asked for, or the first that there is. NULL: none. */
static const char *find_config(const struct tool *t)
{
    if (t->o.config != NULL)
        return t->o.config;
    if (access(CONF_COPYTOOL_FILE, F_OK) == 0)
        return CONF_COPYTOOL_FILE;
    return access(CONF_DEFAULT_PATH, F_OK) == 0 ? CONF_DEFAULT_PATH : NULL;
}

static int read_config(struct tool *t, const char *path, struct err *err)
{
    if (path == NULL)
        return conf_load_copytool(NULL, NULL, &t->conf, err);
    int dialect = conf_dialect(path, err);
    if (dialect < 0)
        return dialect;
    if (dialect == CONF_DIALECT_FIRN)
        return conf_load(path, &t->conf, err);
    if (dialect == CONF_DIALECT_COPYTOOL)
        return conf_load_copytool(path, CONF_DEFAULT_PATH, &t->conf, err);
    int rc = conf_load_posix(path, &t->root, &t->format, err);
    return rc != 0 ? rc : conf_load_copytool(NULL, CONF_DEFAULT_PATH, &t->conf, err);
}

static void prefer(char **field, const char *option)
{
    if (option == NULL)
        return;
    free(*field);
    *field = xstrdup(option);
}

/* The store of the configuration; NULL with another kind of tier, or when there is none. */
static struct conf_store *store_of(const struct tool *t)
{
    struct conf *c = t->conf;
    for (size_t i = 0; i < c->store_count; i++) {
        if (c->lustre.store[0] == '\0' ? c->store_count == 1
                                       : strcmp(c->stores[i].name, c->lustre.store) == 0)
            return &c->stores[i];
    }
    return NULL;
}

static const char *kind_of(const struct tool *t)
{
    if (t->o.tier != NULL)
        return t->o.tier;
    return t->root != NULL ? "posix" : "s3";
}

static int check_config(struct tool *t, const char *path, struct err *err)
{
    struct conf_store *s = store_of(t);
    if (strcmp(kind_of(t), "s3") == 0 && s == NULL)
        return err_set(err, -EINVAL,
                       "%s: lustre.store does not say which of %zu stores archives go to; without "
                       "a store give --hsm-root",
                       path != NULL ? path
                                    : "no " CONF_COPYTOOL_FILE " here and no " CONF_DEFAULT_PATH,
                       t->conf->store_count);
    if (s != NULL && t->o.chunk_size != 0)
        s->chunk_size = (int64_t)t->o.chunk_size;
    if (t->o.no_xattr)
        t->conf->lustre.xattrs = false;
    return 0;
}

static int load_config(struct tool *t, struct err *err)
{
    const char *path = find_config(t);
    int rc = read_config(t, path, err);
    if (rc != 0)
        return rc;
    prefer(&t->root, t->o.hsm_root);
    prefer(&t->format, t->o.format);
    prefer(&t->format, t->o.upgrade);
    return check_config(t, path, err);
}

static void start_log(const struct tool *t, const char *program)
{
    enum log_level configured = LOG_LEVEL_INFO;
    (void)log_level_parse(t->conf->log_level, &configured);
    int level = (int)configured + t->o.verbosity;
    if (level < LOG_LEVEL_ERR)
        level = LOG_LEVEL_ERR;
    if (level > LOG_LEVEL_DEBUG)
        level = LOG_LEVEL_DEBUG;
    log_init(program, (enum log_level)level);
}

/* ---- surroundings ---- */

static void raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    r.rlim_cur = r.rlim_max == RLIM_INFINITY || r.rlim_max > FILES_MOST ? FILES_MOST : r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

static void prepare_signals(sigset_t *waited)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(waited);
    (void)sigaddset(waited, SIGTERM);
    (void)sigaddset(waited, SIGINT);
    (void)sigaddset(waited, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, waited, NULL);
}

static int write_pid(struct tool *t, struct err *err)
{
    char pid[32];
    const char *path = t->o.pid_file;
    if (path == NULL)
        return 0;
    t->pid_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (t->pid_fd < 0)
        return err_sys(err, errno, "pid file %s", path);
    if (flock(t->pid_fd, LOCK_EX | LOCK_NB) != 0)
        return err_sys(err, errno == EWOULDBLOCK ? EBUSY : errno,
                       "pid file %s is another copytool's", path);
    int n = snprintf(pid, sizeof(pid), "%d\n", (int)getpid());
    if (ftruncate(t->pid_fd, 0) != 0 || io_pwrite_full(t->pid_fd, pid, (size_t)n, 0) != 0)
        return err_sys(err, errno, "pid file %s", path);
    return 0;
}

static int go_to_background(const struct tool *t, struct err *err)
{
    if (!t->o.daemon)
        return 0;
    if (daemon(1, 1) != 0)
        return err_sys(err, errno, "go to the background");
    int rc = 0;
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = t->locks[i] >= 0 ? copytool_lock_name(t->locks[i], err) : 0;
    return rc;
}

/* ---- Lustre ---- */

static int open_mount(struct tool *t, struct err *err)
{
    t->mount = realpath(t->o.mount, NULL);
    if (t->mount == NULL)
        return err_sys(err, errno, "mount point %s", t->o.mount);
    int rc = t->api->search_fsname(t->mount, t->fsname);
    if (rc < 0)
        return err_sys(err, -rc, "%s is no mount point of a Lustre file system", t->mount);
    t->fsname[sizeof(t->fsname) - 1] = '\0';
    t->state_dir = t->conf->lustre.state_dir[0] != '\0'
                       ? xstrdup(t->conf->lustre.state_dir)
                       : xasprintf("%s/lustre/%s", t->conf->state_dir, t->fsname);
    t->mount_fd = open(t->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t->mount_fd < 0)
        return err_sys(err, errno, "mount point %s", t->mount);
    struct stat st;
    if (fstatat(t->mount_fd, ".lustre/fid", &st, 0) != 0)
        return err_sys(err, errno,
                       "%s/.lustre/fid cannot be used (a mount of a subdirectory has none; a "
                       "copytool needs CAP_SYS_ADMIN)",
                       t->mount);
    log_info("mount_point=%s fsname=%s liblustreapi=%s%s", t->mount, t->fsname,
             t->api->version_text, t->api->coordinatool ? " coordinatool" : "");
    return 0;
}

static int take_locks(struct tool *t, struct err *err)
{
    int rc = copytool_lock(t->conf->run_dir, t->fsname, t->mount, &t->locks[0], err);
    if (rc == 0 && strcmp(t->conf->run_dir, t->state_dir) != 0)
        rc = copytool_lock(t->state_dir, t->fsname, t->mount, &t->locks[1], err);
    return rc;
}

static int open_mover(struct tool *t, struct err *err)
{
    int rc = io_mkdirs(t->state_dir, 0700, err);
    if (rc != 0)
        return err_wrap(err, rc, "state_dir");
    const struct mover_config config = {
        .conf = t->conf,
        .store = strcmp(kind_of(t), "s3") == 0 ? store_of(t) : NULL,
        .tier_kind = kind_of(t),
        .root = t->root,
        .posix_format = t->format != NULL ? t->format : "v1",
        .state_dir = t->state_dir,
        .mount = t->mount,
        .mount_fd = t->mount_fd,
        .fsname = t->fsname,
        .api = t->api,
        .bandwidth = t->o.bandwidth,
        .dry_run = t->o.dry_run,
    };
    return mover_open(&config, &t->mover, err);
}

/* ---- the core over the mover ---- */

static void *lane_open(void *ctx)
{
    return mover_lane_open(ctx);
}

static void lane_close(void *lane)
{
    mover_lane_close(lane);
}

static int do_archive(void *lane, struct action *a)
{
    return mover_archive(lane, a);
}

static int do_restore(void *lane, struct action *a)
{
    return mover_restore(lane, a);
}

static int do_remove(void *lane, struct action *a)
{
    return mover_remove(lane, a);
}

static int do_settle(void *ctx, const struct hsm_action_item *item, const struct uuid *new_id,
                     const struct uuid *old_id, struct err *err)
{
    return mover_settle(ctx, item, new_id, old_id, err);
}

static int do_collect(void *ctx, uint64_t *n, struct err *err)
{
    return mover_collect(ctx, n, err);
}

static unsigned least(int64_t a, int64_t b)
{
    return (unsigned)(a < b ? a : b);
}

/* Garbage is looked for as often as a short delay asks for, and once a minute otherwise. */
static unsigned collect_ms(int64_t delay_s)
{
    return least(delay_s > 0 ? delay_s * MS_PER_S : MS_PER_S, 60 * MS_PER_S);
}

static void fill_config(const struct tool *t, struct copytool_config *c)
{
    const struct conf_lustre *l = &t->conf->lustre;
    bool any = t->o.narchive_ids == 0;
    for (int i = 0; i < t->o.narchive_ids; i++)
        any = any || t->o.archive_ids[i] == 0;
    *c = (struct copytool_config){
        .api = t->api,
        .mount = t->mount,
        .fsname = t->fsname,
        .state_dir = t->state_dir,
        .archive_ids = any ? NULL : t->o.archive_ids,
        .narchive_ids = any ? 0 : t->o.narchive_ids,
        .workers = (unsigned)l->workers,
        .archive_workers = least(l->archive_lanes, l->workers),
        .restore_workers = least(l->restore_lanes, l->workers),
        .remove_workers = least(l->remove_lanes, l->workers),
        .queue_max = (size_t)l->queue_max,
        .heartbeat_ms = (unsigned)(l->heartbeat_s * MS_PER_S),
        .update_ms = (unsigned)(t->o.update_s * MS_PER_S),
        .drain_ms = (unsigned)(l->drain_s * MS_PER_S),
        .collect_ms = collect_ms(l->garbage_delay_s),
        .metrics_file = l->metrics_file,
        .event_fifo = t->o.event_fifo,
        .abort_on_error = t->o.abort_on_error,
    };
}

static int serve(struct tool *t, const sigset_t *waited, struct err *err)
{
    const struct copytool_ops ops = {t->mover,   lane_open, lane_close, do_archive,
                                     do_restore, do_remove, do_settle,  do_collect};
    struct copytool_config config;
    struct copytool *ct = NULL;
    fill_config(t, &config);
    int rc = copytool_start(&config, &ops, &ct, err);
    if (rc != 0)
        return rc;
    (void)notify_send("READY=1\nSTATUS=serving");
    int failure = copytool_run(ct, waited, &t->left);
    (void)notify_send("STOPPING=1");
    log_info("stopped");
    if (t->o.pid_file != NULL)
        (void)unlink(t->o.pid_file);
    if (t->left == COPYTOOL_HANGS || t->left == COPYTOOL_COLLECTS)
        _exit(failure); /* each action has been ended, but some thread still uses the mover */
    return failure != 0 ? err_set(err, -failure, "stopped: %s", strerror(failure)) : 0;
}

/* ---- tasks of administrators ---- */

static void print_line(void *arg, const char *text)
{
    (void)arg;
    (void)printf("%s\n", text);
}

static int add_pair(struct admin_pair **pairs, size_t *n, const char *old_text,
                    const char *new_text, struct err *err)
{
    *pairs = xrealloc_array(*pairs, *n + 1, sizeof(**pairs));
    struct admin_pair *p = &(*pairs)[*n];
    if (fid_parse(old_text, &p->old_fid) != 0 || fid_parse(new_text, &p->new_fid) != 0)
        return err_set(err, -EINVAL, "%s %s: two FIDs are expected", old_text, new_text);
    (*n)++;
    return 0;
}

/* A list: two FIDs a line, blank lines and those that begin with '#' left out. */
static int read_pairs(const char *path, struct admin_pair **pairs, size_t *n, struct err *err)
{
    auto_free char *text = NULL;
    unsigned number = 0;
    int rc = io_read_file(AT_FDCWD, path, LIST_MAX, &text, NULL, err);
    if (rc != 0)
        return err_wrap(err, rc, "list %s", path);
    for (char *line = text, *next = NULL; line != NULL; line = next) {
        char old_text[FID_TEXT_MAX] = "", new_text[FID_TEXT_MAX] = "";
        next = strchr(line, '\n');
        if (next != NULL)
            *next++ = '\0';
        number++;
        line += strspn(line, " \t\r");
        if (*line == '\0' || *line == '#')
            continue;
        if (sscanf(line, "%47s %47s", old_text, new_text) != 2)
            return err_set(err, -EINVAL, "%s:%u: two FIDs are expected", path, number);
        rc = add_pair(pairs, n, old_text, new_text, err);
        if (rc != 0)
            return err_wrap(err, rc, "%s:%u", path, number);
    }
    return 0;
}

static int rebind(const struct tool *t, struct admin_report *r, struct err *err)
{
    auto_free struct admin_pair *pairs = NULL;
    size_t n = 0;
    int rc = t->o.args[1] != NULL ? add_pair(&pairs, &n, t->o.args[0], t->o.args[1], err)
                                  : read_pairs(t->o.args[0], &pairs, &n, err);
    return rc != 0 ? rc : admin_rebind(t->mover, pairs, n, r, err);
}

static int max_sequence(const struct tool *t, struct err *err)
{
    uint64_t seq = 0;
    int rc = admin_max_sequence(t->mover, &seq, err);
    if (rc == 0)
        (void)printf("max_sequence: 0x%016" PRIx64 "\n", seq);
    return rc;
}

static int administrate(const struct tool *t, struct err *err)
{
    struct admin_report r = {.line = print_line};
    uint32_t archive = t->o.narchive_ids > 0 ? (uint32_t)t->o.archive_ids[0] : 0;
    int rc = 0;
    switch (t->o.mode) {
    case COPYTOOL_IMPORT:
        rc = admin_import(t->mover, t->o.args[0], t->o.args[1], archive, &r, err);
        break;
    case COPYTOOL_REBIND:
        rc = rebind(t, &r, err);
        break;
    case COPYTOOL_MAX_SEQUENCE:
        return max_sequence(t, err);
    case COPYTOOL_REBUILD:
        rc = admin_rebuild(t->mover, t->o.args[0], archive, t->o.dry_run, &r, err);
        break;
    default:
        rc = admin_verify(t->mover, t->o.mode == COPYTOOL_SCRUB, t->o.repair, &r, err);
        break;
    }
    log_info("%" PRIu64 " files, %" PRIu64 " bytes, %" PRIu64 " failed", r.files, r.bytes,
             r.failed);
    return rc;
}

/* ---- from the first to the last ---- */

/* What comes before anything is changed or started. */
static int open_all(struct tool *t, struct err *err)
{
    int rc = llapi_load(NULL, &t->api, err);
    if (rc == 0)
        rc = open_mount(t, err);
    if (rc == 0 && t->o.mode == COPYTOOL_SERVE)
        rc = take_locks(t, err);
    return rc;
}

static int run(struct tool *t, struct err *err)
{
    sigset_t waited;
    int rc = open_all(t, err);
    if (rc == 0 && t->o.mode != COPYTOOL_SERVE) {
        rc = open_mover(t, err);
        return rc != 0 ? rc : administrate(t, err);
    }
    if (rc == 0)
        rc = go_to_background(t, err); /* before threads; locks go along */
    if (rc != 0)
        return rc;
    prepare_signals(&waited);
    raise_limits();
    rc = write_pid(t, err);
    if (rc == 0)
        rc = open_mover(t, err);
    return rc != 0 ? rc : serve(t, &waited, err);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

static void close_all(struct tool *t)
{
    mover_close(t->mover);
    close_fd(t->mount_fd);
    close_fd(t->locks[0]);
    close_fd(t->locks[1]);
    close_fd(t->pid_fd);
    llapi_free(t->api);
    conf_free(t->conf);
    free(t->root);
    free(t->format);
    free(t->state_dir);
    free(t->mount);
}

static int list_crash_points(void)
{
    for (int i = 0; i < CRASH_COUNT; i++) {
        const char *when = NULL;
        const char *name = crash_point_name((enum crash_id)i, &when);
        (void)printf("%-24s %s\n", name, when);
    }
    return 0;
}

/* Modes that need nothing. -1: not one of them. */
static int answer(enum copytool_mode mode)
{
    switch (mode) {
    case COPYTOOL_HELP:
        (void)fputs(copytool_help(), stdout);
        return 0;
    case COPYTOOL_VERSION:
        (void)printf("lhsmtool_firn %s\n", FIRN_VERSION);
        return 0;
    case COPYTOOL_CRASH_POINTS:
        return list_crash_points();
    default:
        return -1;
    }
}

int main(int argc, char **argv)
{
    struct err e = {0};
    struct tool t = {.mount_fd = -1, .pid_fd = -1, .locks = {-1, -1}};
    const char *slash = strrchr(argv[0], '/');
    const char *program = slash != NULL ? slash + 1 : argv[0];
    int rc = copytool_options(argc, argv, &t.o, &e);
    if (rc == 0 && answer(t.o.mode) == 0)
        return 0;
    (void)umask(027);
    if (rc == 0)
        rc = load_config(&t, &e);
    if (rc != 0) {
        (void)fprintf(stderr, "%s: %s\n", program, e.text);
        close_all(&t);
        return -rc;
    }
    start_log(&t, program);
    if (t.o.mode == COPYTOOL_CHECK_CONFIG)
        (void)printf("%s: ok, archives go to %s\n", program, kind_of(&t));
    else
        rc = run(&t, &e);
    if (rc < 0)
        log_err("%s", e.text);
    close_all(&t);
    if (t.left != COPYTOOL_GONE)
        _exit(-rc);
    return -rc;
}
