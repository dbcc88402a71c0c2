/* SPDX-License-Identifier: Apache-2.0 */
/* The main thread: signals. */
#include "lustre/copytool.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "base/timefmt.h"
#include "lustre/copytool_impl.h"

#include <errno.h>
#include <poll.h>
#include <sys/signalfd.h>

/* The next signal, 0 when there was none within timeout_ms (-1: for ever), -1 at a failure. */
static int next_signal(const struct copytool *ct, int fd, int timeout_ms)
{
    struct signalfd_siginfo info;
    struct pollfd p[2] = {{.fd = fd, .events = POLLIN},
                          {.fd = copytool_failure_fd(ct), .events = POLLIN}};
    bool failed = copytool_failure(ct) != 0;
    if (poll(p, failed ? 1 : 2, timeout_ms) <= 0)
        return 0;
    if ((p[0].revents & POLLIN) != 0 && read(fd, &info, sizeof(info)) == sizeof(info))
        return (int)info.ssi_signo;
    return !failed && (p[1].revents & POLLIN) != 0 ? -1 : 0;
}

/* Until all has ended, the time is over, or somebody is impatient. */
static void drain(struct copytool *ct, int fd)
{
    int64_t until = time_mono_ns() + (int64_t)ct->config.drain_ms * 1000000;
    copytool_drain(ct);
    while (!copytool_wait(ct, 100) && time_mono_ns() < until) {
        int sig = next_signal(ct, fd, 0);
        if (sig == SIGTERM || sig == SIGINT) {
            log_warn("second signal: what runs is ended with EINTR");
            return;
        }
    }
}

int copytool_run(struct copytool *ct, const sigset_t *waited, enum copytool_left *left)
{
    auto_close int fd = signalfd(-1, waited, SFD_CLOEXEC | SFD_NONBLOCK);
    int sig = 0;
    while (fd >= 0 && (sig = next_signal(ct, fd, -1)) != SIGTERM && sig != SIGINT && sig != -1) {
        if (sig == SIGHUP) {
            log_info("registering again");
            copytool_reregister(ct);
        }
    }
    if (sig == SIGTERM) {
        log_info("stopping: what runs is finished, what waits is refused");
        drain(ct, fd);
    }
    int failure = fd < 0 ? EMFILE : copytool_failure(ct);
    *left = copytool_stop(ct);
    return failure == 0 && *left == COPYTOOL_HANGS ? EINTR : failure;
}
