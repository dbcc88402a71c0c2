/* SPDX-License-Identifier: Apache-2.0 */
/* fakemdt: options and the loop. */
#include "mdt.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

enum { EVENTS = 64 };
/* What an epoll event is about, in its low 32 bits; connections have all of them set. */
#define TAG_LIBRARY (UINT32_MAX - 1)
#define TAG_CONTROL (UINT32_MAX - 2)
#define TAG_DONE    (UINT32_MAX - 3)
#define TAG_READ    (UINT32_MAX - 4)

int64_t mdt_now_ms(void)
{
    return clock_now_ns(clock_real()) / 1000000;
}

static void fail(const char *what)
{
    (void)fprintf(stderr, "fakemdt: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int listen_on(const char *path, int type)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || strlen(path) >= sizeof addr.sun_path)
        fail(path);
    memcpy(addr.sun_path, path, strlen(path));
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&addr, sizeof addr) != 0 || listen(fd, 128) != 0)
        fail(path);
    return fd;
}

static void watch(const struct mdt *m, int fd, uint64_t tag)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};
    if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, fd, &ev) != 0)
        fail("epoll");
}

static void share_armed(struct mdt *m, const char *socket_path)
{
    auto_free char *path = xasprintf("%s.armed", socket_path);
    auto_close int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof *m->armed) != 0)
        fail(path);
    void *p = mmap(NULL, sizeof *m->armed, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        fail(path);
    m->armed = p;
}

static void open_mount(struct mdt *m, const char *mount)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } h = {.h = {.handle_bytes = MAX_HANDLE_SZ}};
    if (realpath(mount, m->mount) == NULL)
        fail(mount);
    m->mntfd = open(m->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (m->mntfd < 0 || name_to_handle_at(m->mntfd, "", &h.h, &m->mount_id, AT_EMPTY_PATH) != 0)
        fail(mount);
    struct err err;
    auto_free char *fids = xasprintf("%s/.lustre/fid", m->mount);
    if (io_mkdirs(fids, 0755, &err) != 0)
        fail(err.text);
}

static void defaults(struct mdt *m)
{
    m->set = (struct mdt_settings){.max_requests = 3,
                                   .loop_period_ms = 100,
                                   .wake_ms = 10,
                                   .grace_ms = 60000,
                                   .timeout_ms = 3600000,
                                   .default_archive = 1,
                                   .no_retry = true,
                                   .stall_limit_ms = 1000};
    (void)knobs_version(&m->set, "2.17.57");
    (void)snprintf(m->fsname, sizeof m->fsname, "lustre");
    m->next_seq = 0x200000401;
    m->next_oid = 1;
    m->next_dv = 0x100000000;
    /* Cookies of a real coordinator begin with its start time. */
    m->next_cookie = 0x6ac00000;
}

static void handle(struct mdt *m, const struct epoll_event *ev, int library, int control)
{
    uint32_t tag = (uint32_t)ev->data.u64;
    if (tag == UINT32_MAX)
        server_input(m, ev->data.u64 >> 32);
    else if (tag == TAG_LIBRARY)
        server_accept(m, library, false);
    else if (tag == TAG_CONTROL)
        server_accept(m, control, true);
    else if (tag == TAG_DONE)
        swap_done(m);
    else if (tag == TAG_READ)
        watch_input(m);
    else
        agent_reap(m);
}

static void run(struct mdt *m, int library, int control)
{
    struct epoll_event events[EVENTS];
    while (!m->quit) {
        int64_t wait = schedule_run(m);
        reader_check(m);
        int n = epoll_wait(m->epoll, events, EVENTS, wait > 1000 ? 1000 : (int)wait);
        for (int i = 0; i < n; i++)
            handle(m, &events[i], library, control);
        reader_check(m);
    }
}

static void usage(void)
{
    (void)fprintf(stderr, "usage: fakemdt -m MOUNT -s SOCKET [-f FSNAME] [-v VERSION]\n"
                          "       (controls come to SOCKET.ctl; ready when SOCKET.ctl is there)\n");
    exit(2);
}

int main(int argc, char **argv)
{
    static struct mdt m;
    const char *mount = NULL, *path = NULL;
    int opt;
    defaults(&m);
    while ((opt = getopt(argc, argv, "m:s:f:v:")) != -1) {
        if (opt == 'm')
            mount = optarg;
        else if (opt == 's')
            path = optarg;
        else if (opt == 'f')
            (void)snprintf(m.fsname, sizeof m.fsname, "%s", optarg);
        else if (opt != 'v' || knobs_version(&m.set, optarg) != 0)
            usage();
    }
    if (mount == NULL || path == NULL)
        usage();
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* no test leaves one behind */
    (void)umask(0);
    m.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (m.epoll < 0 || pipe2(m.done_pipe, O_CLOEXEC) != 0 || pipe2(m.fan_pipe, O_CLOEXEC) != 0)
        fail("start");
    open_mount(&m, mount);
    share_armed(&m, path);
    m.kuc = kuc_start();
    auto_close int library = listen_on(path, SOCK_SEQPACKET);
    auto_free char *ctl = xasprintf("%s.ctl", path);
    auto_close int control = listen_on(ctl, SOCK_STREAM);
    watch(&m, library, TAG_LIBRARY);
    watch(&m, control, TAG_CONTROL);
    watch(&m, m.done_pipe[0], TAG_DONE);
    watch(&m, m.fan_pipe[0], TAG_READ);
    run(&m, library, control);
    (void)unlink(path);
    (void)unlink(ctl);
    return 0;
}
