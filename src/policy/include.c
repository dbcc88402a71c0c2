/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>

/* path without directory dir in front, or NULL when it is not below dir. */
static const char *below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    if (strncmp(path, dir, n) != 0 || path[n] != '/')
        return NULL;
    while (path[n] == '/')
        n++;
    return path[n] != '\0' ? path + n : NULL;
}

static int open_below(const char *dir, const char *rest)
{
    auto_close int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (d < 0)
        return -errno;
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
    int fd = (int)syscall(SYS_openat2, d, rest, &how, sizeof(how));
    return fd >= 0 ? fd : -errno;
}

/* The file may decide what root runs: only root may have written it. */
static int check_owner(int fd, const char *path, struct err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_sys(err, errno, "include(%s)", path);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EPERM, "include(%s): not a regular file", path);
    if (st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
        return err_set(err, -EPERM, "include(%s): must be owned by root and writable only by root",
                       path);
    if (st.st_size > POLICY_TEXT_MAX)
        return err_set(err, -EFBIG, "include(%s): longer than %d bytes", path, POLICY_TEXT_MAX);
    return 0;
}

static int read_fd(int fd, const char *path, char **text, size_t *len, struct err *err)
{
    auto_free char *p = malloc(POLICY_TEXT_MAX + 1);
    if (p == NULL)
        return err_sys(err, ENOMEM, "include(%s)", path);
    ssize_t n = io_read_full(fd, p, POLICY_TEXT_MAX + 1);
    if (n < 0)
        return err_sys(err, (int)-n, "include(%s)", path);
    if (n > POLICY_TEXT_MAX)
        return err_set(err, -EFBIG, "include(%s): longer than %d bytes", path, POLICY_TEXT_MAX);
    p[n] = '\0';
    *text = take_ptr(p);
    *len = (size_t)n;
    return 0;
}

int policy_include_read(const struct policy_options *opt, const char *path, char **text,
                        size_t *len, struct err *err)
{
    for (size_t i = 0; i < opt->n_include_dirs; i++) {
        const char *rest = below(path, opt->include_dirs[i]);
        if (rest == NULL)
            continue;
        auto_close int fd = open_below(opt->include_dirs[i], rest);
        if (fd < 0)
            return err_sys(err, -fd, "include(%s)", path);
        int rc = check_owner(fd, path, err);
        return rc < 0 ? rc : read_fd(fd, path, text, len, err);
    }
    return err_set(err, -EPERM, "include(%s): not below a directory of policy.include_dirs", path);
}
