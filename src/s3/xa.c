/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/xa.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#define FIRST_GUESS 1024
#define TRIES       8 /* the attribute may grow between asking and reading */

void xa_init(struct xa *x, int fd)
{
    *x = (struct xa){.fd = fd};
    int flags = fcntl(fd, F_GETFL);
    if (flags >= 0 && (flags & O_PATH) != 0)
        beneath_proc(fd, x->proc);
}

void xa_init_open(struct xa *x, int fd)
{
    x->fd = fd;
    x->proc[0] = '\0';
}

static ssize_t get_once(const struct xa *x, const char *name, void *p, size_t cap)
{
    return x->proc[0] != '\0' ? getxattr(x->proc, name, p, cap) : fgetxattr(x->fd, name, p, cap);
}

static ssize_t list_once(const struct xa *x, char *p, size_t cap)
{
    return x->proc[0] != '\0' ? listxattr(x->proc, p, cap) : flistxattr(x->fd, p, cap);
}

ssize_t xa_read(const struct xa *x, const char *name, char *buf, size_t cap)
{
    ssize_t n = get_once(x, name, buf, cap);
    return n >= 0 ? n : -errno;
}

ssize_t xa_read_names(const struct xa *x, char *buf, size_t cap)
{
    ssize_t n = list_once(x, buf, cap);
    return n >= 0 ? n : -errno;
}

int xa_get(const struct xa *x, const char *name, char **value, size_t *len)
{
    size_t cap = FIRST_GUESS;
    auto_free char *p = NULL;
    for (int i = 0; i < TRIES; i++) {
        p = xrealloc_array(p, cap + 1, 1);
        ssize_t n = get_once(x, name, p, cap);
        if (n >= 0) {
            p[n] = '\0';
            *value = take_ptr(p);
            if (len != NULL)
                *len = (size_t)n;
            return 0;
        }
        if (errno == ENODATA || errno == ENOTSUP)
            return 1;
        if (errno != ERANGE)
            return -errno;
        n = get_once(x, name, NULL, 0);
        cap = n > 0 ? (size_t)n : cap * 2;
    }
    return -EBUSY;
}

bool xa_has(const struct xa *x, const char *name)
{
    return get_once(x, name, NULL, 0) >= 0;
}

int xa_set(const struct xa *x, const char *name, const void *value, size_t n)
{
    int rc = x->proc[0] != '\0' ? setxattr(x->proc, name, value, n, 0)
                                : fsetxattr(x->fd, name, value, n, 0);
    return rc == 0 ? 0 : -errno;
}

int xa_remove(const struct xa *x, const char *name)
{
    int rc = x->proc[0] != '\0' ? removexattr(x->proc, name) : fremovexattr(x->fd, name);
    return rc == 0 || errno == ENODATA ? 0 : -errno;
}

static int list_all(const struct xa *x, char **list, size_t *len)
{
    size_t cap = FIRST_GUESS;
    auto_free char *p = NULL;
    for (int i = 0; i < TRIES; i++) {
        p = xrealloc_array(p, cap, 1);
        ssize_t n = list_once(x, p, cap);
        if (n >= 0) {
            *list = take_ptr(p);
            *len = (size_t)n;
            return 0;
        }
        if (errno == ENOTSUP) {
            *len = 0;
            return 0;
        }
        if (errno != ERANGE)
            return -errno;
        n = list_once(x, NULL, 0);
        cap = n > 0 ? (size_t)n : cap * 2;
    }
    return -EBUSY;
}

int xa_user_all(const struct xa *x, struct meta_set *set)
{
    meta_set_fini(set);
    auto_free char *list = NULL;
    size_t len = 0;
    int rc = list_all(x, &list, &len);
    if (rc < 0)
        return rc;
    if (list == NULL)
        return 0;
    for (const char *name = list; name < list + len; name += strlen(name) + 1) {
        if (strncmp(name, "user.", 5) != 0 || strcmp(name, META_XATTR) == 0)
            continue;
        auto_free char *value = NULL;
        size_t n = 0;
        rc = xa_get(x, name, &value, &n);
        if (rc < 0)
            return rc;
        if (value != NULL && strlen(value) == n)
            meta_put(set, name, value);
    }
    return 0;
}
