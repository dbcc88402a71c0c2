/* SPDX-License-Identifier: Apache-2.0 */
/* Files on Lustre, found by FID: their key, state and names. */
#include "lustre/mover_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>

enum { NAMES_MAX = 1000 }; /* more names of one file are not recorded */

int stub_open(const struct mover *m, const struct lu_fid *fid, struct err *err)
{
    char text[FID_TEXT_MAX];
    errno = 0;
    int fd = m->config.api->open_by_fid(m->config.mount, fid,
                                        O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOATIME | O_CLOEXEC);
    if (fd >= 0)
        return fd;
    int e = fd == -1 && errno != 0 ? errno : -fd; /* 2.12 answers -1 and errno */
    if (e == ESTALE)
        e = ENOENT;
    return err_sys(err, e, "file %s", fid_text(fid, text));
}

int stub_key(int fd, struct uuid *id, struct err *err)
{
    char text[UUID_TEXT] = "";
    ssize_t n = fgetxattr(fd, KEY_XATTR, text, sizeof(text) - 1);
    if (n < 0 && errno != ENODATA && errno != ERANGE)
        return err_sys(err, errno, "attribute " KEY_XATTR);
    return n == UUID_TEXT - 1 && uuid_parse(text, id) == 0 ? 0 : STUB_NO_KEY;
}

static int set_or_remove(int fd, const char *name, const char *value, struct err *err)
{
    int rc = value != NULL ? fsetxattr(fd, name, value, strlen(value), 0) : fremovexattr(fd, name);
    if (rc != 0 && !(value == NULL && errno == ENODATA))
        return err_sys(err, errno, "attribute %s", name);
    return 0;
}

int stub_set_key(int fd, const struct uuid *id, struct err *err)
{
    char text[UUID_TEXT];
    if (id != NULL)
        uuid_format(id, text);
    return set_or_remove(fd, KEY_XATTR, id != NULL ? text : NULL, err);
}

int stub_set_place(int fd, const char *key, struct err *err)
{
    return set_or_remove(fd, PLACE_XATTR, key != NULL && *key != '\0' ? key : NULL, err);
}

char *stub_place(int fd)
{
    auto_free char *text = xzalloc(PLACE_MAX);
    ssize_t n = fd >= 0 ? fgetxattr(fd, PLACE_XATTR, text, PLACE_MAX - 1) : -1;
    return n > 0 ? take_ptr(text) : NULL;
}

int stub_state(const struct mover *m, int fd, struct hsm_user_state *st, struct err *err)
{
    int rc = m->config.api->hsm_state_get_fd(fd, st);
    return rc < 0 ? err_sys(err, -rc, "state of the file") : 0;
}

/* The name number *link into buf; *link moves on. Whether there was one that is new. */
static bool next_name(const struct mover *m, const char *fid, char *buf, size_t cap, int *link)
{
    long long recno = -1;
    int rc = m->config.api->fid2path(m->config.mount, fid, buf, (int)cap, &recno, link);
    buf[cap - 1] = '\0';
    return rc == 0;
}

/* A path that a tier and an import can hold. */
static const char *plain_path(const char *p)
{
    while (*p == '/')
        p++;
    return *p != '\0' ? p : NULL;
}

char *stub_names(const struct mover *m, const struct lu_fid *fid, size_t *n, const char **first)
{
    auto_free char *path = xzalloc(PATH_MAX);
    auto_buf struct buf b = {0};
    char text[FID_TEXT_MAX];
    int link = 0;
    for (int i = 0; i < NAMES_MAX; i++) {
        int before = link;
        if (!next_name(m, fid_text(fid, text), path, PATH_MAX, &link))
            break;
        const char *p = plain_path(path);
        if (p != NULL)
            buf_add(&b, p, strlen(p) + 1);
        if (link == before)
            break;
    }
    *n = b.len;
    if (b.len == 0) { /* it has lost its last name: one that says so */
        (void)fid_text(fid, text);
        text[strlen(text) - 1] = '\0';
        buf_addf(&b, ".lustre/fid/%s", text + 1);
    }
    char *out = buf_take(&b);
    *first = out;
    return out;
}
