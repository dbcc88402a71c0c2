/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core of the copytool over a mover that keeps copies as files of a directory, or nowhere:
 * tests of the core alone. usage: nulltool MOUNT STATE_DIR [name=value]... store=DIR         keep
 * copies as DIR/FID; without, nothing is kept and restores give zeros slow_ms=N         each action
 * takes so long, in slices of 10 ms, and reacts to a stop hang=1            an archive waits for
 * ever and does not react to anything forget=1          archives are left without action_end
 *   error=N           archives fail with that errno
 *   ids=1             archives journal their ids
 *   workers= archives= restores= queue= heartbeat_ms= update_ms= drain_ms= force_ms= lost_ms=
 * archive= fifo= metrics=
 */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"
#include "lustre/copytool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

struct knobs {
    const char *store, *fifo, *metrics;
    int slow_ms, hang, forget, error, ids, archive;
    unsigned workers, archives, restores, queue, heartbeat_ms, update_ms, drain_ms, force_ms,
        lost_ms;
};

static struct knobs knobs = {.workers = 8,
                             .archives = 6,
                             .restores = 7,
                             .queue = 1000,
                             .heartbeat_ms = 20000,
                             .update_ms = 30000,
                             .drain_ms = 20000,
                             .archive = -1};

static void nap(int ms)
{
    const struct timespec t = {ms / 1000, (long)(ms % 1000) * 1000000};
    (void)nanosleep(&t, NULL);
}

/* The time that the action takes. Returns 0, or ECANCELED when it was stopped. */
static int work(struct action *a, uint64_t size)
{
    for (int done = 0; done < knobs.slow_ms; done += 10) {
        if (action_stopped(a))
            return ECANCELED;
        nap(10);
        if (knobs.slow_ms >= 20 && done == (knobs.slow_ms / 20) * 10)
            action_progress(a, size / 2, size);
    }
    return action_stopped(a) ? ECANCELED : 0;
}

static int copy(int from, int to, uint64_t *n)
{
    char buf[65536];
    ssize_t got = 0;
    *n = 0;
    while ((got = io_pread_full(from, buf, sizeof(buf), (off_t)*n)) > 0) {
        int rc = io_pwrite_full(to, buf, (size_t)got, (off_t)*n);
        if (rc != 0)
            return -rc;
        *n += (uint64_t)got;
    }
    return got < 0 ? (int)-got : 0;
}

static char *copy_path(const struct action *a)
{
    char fid[FID_TEXT_MAX];
    return xasprintf("%s/%s", knobs.store, fid_text(&action_item(a)->fid, fid));
}

static int store(struct action *a, uint64_t *n)
{
    struct stat st;
    if (fstat(action_fd(a), &st) != 0)
        return errno;
    int rc = work(a, (uint64_t)st.st_size);
    *n = (uint64_t)st.st_size;
    if (rc != 0 || knobs.store == NULL)
        return rc;
    auto_free char *path = copy_path(a);
    auto_close int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return fd < 0 ? errno : copy(action_fd(a), fd, n);
}

static int null_archive(void *lane, struct action *a)
{
    struct err e = {0};
    uint64_t n = 0;
    (void)lane;
    int rc = -action_begin(a, -1, 0, &e);
    if (rc == 0 && knobs.ids != 0) {
        const struct uuid id = uuid_new();
        rc = -action_journal(a, &id, NULL, &e);
    }
    while (knobs.hang != 0)
        nap(1000);
    if (rc == 0 && knobs.forget != 0)
        return 0;
    if (rc == 0)
        rc = knobs.error != 0 ? knobs.error : store(a, &n);
    rc = action_end(a, rc, n, &e);
    if (rc < 0)
        log_warn("nulltool: %s", e.text);
    return rc;
}

static int null_restore(void *lane, struct action *a)
{
    struct err e = {0};
    uint64_t n = 0;
    (void)lane;
    int rc = -action_begin(a, 0, 0, &e);
    if (rc == 0)
        rc = work(a, 0);
    if (rc == 0 && knobs.store != NULL) {
        auto_free char *path = copy_path(a);
        auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
        rc = fd < 0 ? errno : copy(fd, action_fd(a), &n);
    }
    return action_end(a, rc, n, &e);
}

static int null_remove(void *lane, struct action *a)
{
    struct err e = {0};
    (void)lane;
    int rc = -action_begin(a, -1, 0, &e);
    if (knobs.store != NULL) {
        auto_free char *path = copy_path(a);
        (void)unlink(path);
    }
    return action_end(a, rc, 0, &e);
}

static int null_settle(void *ctx, const struct hsm_action_item *item, const struct uuid *new_id,
                       const struct uuid *old_id, struct err *err)
{
    char text[UUID_TEXT];
    (void)ctx, (void)old_id, (void)err;
    uuid_format(new_id, text);
    log_info("settle cookie=0x%llx id %s", (unsigned long long)item->cookie, text);
    return 0;
}

static int null_collect(void *ctx, uint64_t *n, struct err *err)
{
    (void)ctx, (void)err;
    *n = 0;
    return 0;
}

static void *null_lane(void *ctx)
{
    return ctx;
}

static void null_lane_close(void *lane)
{
    (void)lane;
}

/* name=value into knobs. */
static void set(const char *arg)
{
    static const struct {
        const char *name;
        const char **text;
        int *number;
        unsigned *count;
    } names[] = {
        {"store", &knobs.store, NULL, NULL},
        {"fifo", &knobs.fifo, NULL, NULL},
        {"metrics", &knobs.metrics, NULL, NULL},
        {"slow_ms", NULL, &knobs.slow_ms, NULL},
        {"hang", NULL, &knobs.hang, NULL},
        {"forget", NULL, &knobs.forget, NULL},
        {"error", NULL, &knobs.error, NULL},
        {"ids", NULL, &knobs.ids, NULL},
        {"archive", NULL, &knobs.archive, NULL},
        {"workers", NULL, NULL, &knobs.workers},
        {"archives", NULL, NULL, &knobs.archives},
        {"restores", NULL, NULL, &knobs.restores},
        {"queue", NULL, NULL, &knobs.queue},
        {"heartbeat_ms", NULL, NULL, &knobs.heartbeat_ms},
        {"update_ms", NULL, NULL, &knobs.update_ms},
        {"drain_ms", NULL, NULL, &knobs.drain_ms},
        {"force_ms", NULL, NULL, &knobs.force_ms},
        {"lost_ms", NULL, NULL, &knobs.lost_ms},
    };
    const char *value = strchr(arg, '=');
    for (size_t i = 0; value != NULL && i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(arg, names[i].name, (size_t)(value - arg)) != 0 ||
            names[i].name[value - arg] != '\0')
            continue;
        if (names[i].text != NULL)
            *names[i].text = value + 1;
        else if (names[i].number != NULL)
            *names[i].number = (int)strtol(value + 1, NULL, 10);
        else
            *names[i].count = (unsigned)strtoul(value + 1, NULL, 10);
        return;
    }
    (void)fprintf(stderr, "nulltool: unknown argument %s\n", arg);
    exit(EINVAL);
}

static int run(const struct llapi *api, const char *mount, const char *dir, const sigset_t *waited,
               struct err *err)
{
    static const struct copytool_ops ops = {NULL,         null_lane,    null_lane_close,
                                            null_archive, null_restore, null_remove,
                                            null_settle,  null_collect};
    char fsname[FSNAME_MAX];
    auto_close int lock = -1;
    enum copytool_left left = COPYTOOL_GONE;
    struct copytool *ct = NULL;
    int rc = api->search_fsname(mount, fsname);
    if (rc < 0)
        return err_sys(err, -rc, "%s", mount);
    rc = copytool_lock(dir, fsname, mount, &lock, err);
    if (rc != 0)
        return rc;
    const struct copytool_config config = {.api = api,
                                           .mount = mount,
                                           .fsname = fsname,
                                           .state_dir = dir,
                                           .archive_ids = &knobs.archive,
                                           .narchive_ids = knobs.archive >= 0 ? 1 : 0,
                                           .workers = knobs.workers,
                                           .archive_workers = knobs.archives,
                                           .restore_workers = knobs.restores,
                                           .remove_workers = knobs.workers,
                                           .queue_max = knobs.queue,
                                           .heartbeat_ms = knobs.heartbeat_ms,
                                           .update_ms = knobs.update_ms,
                                           .drain_ms = knobs.drain_ms,
                                           .force_ms = knobs.force_ms,
                                           .lost_ms = knobs.lost_ms,
                                           .metrics_file = knobs.metrics,
                                           .event_fifo = knobs.fifo};
    rc = copytool_start(&config, &ops, &ct, err);
    if (rc != 0)
        return rc;
    rc = copytool_run(ct, waited, &left);
    if (left != COPYTOOL_GONE)
        _exit(rc);
    return rc != 0 ? err_set(err, -rc, "stopped: %s", strerror(rc)) : 0;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    sigset_t waited;
    auto_llapi struct llapi *api = NULL;
    if (argc < 3)
        return EINVAL;
    for (int i = 3; i < argc; i++)
        set(argv[i]);
    log_init("nulltool", LOG_LEVEL_INFO);
    (void)sigemptyset(&waited);
    (void)sigaddset(&waited, SIGTERM);
    (void)sigaddset(&waited, SIGINT);
    (void)sigaddset(&waited, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &waited, NULL);
    int rc = llapi_load(NULL, &api, &e);
    if (rc == 0)
        rc = run(api, argv[1], argv[2], &waited, &e);
    if (rc < 0)
        log_err("%s", e.text);
    return rc < 0 ? -rc : 0;
}
