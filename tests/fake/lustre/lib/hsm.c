/* SPDX-License-Identifier: Apache-2.0 */
/* States, requests, import, data versions. */
#include "lib_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int open_path(const char *path)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int llapi_hsm_state_get_fd(int fd, struct hsm_user_state *hus)
{
    struct wire_call c = {.op = WIRE_STATE_GET};
    struct wire_reply r;
    if (hus == NULL)
        return -EINVAL;
    int rc = lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
    if (rc == 0)
        *hus = r.state;
    return rc;
}

int llapi_hsm_state_get(const char *path, struct hsm_user_state *hus)
{
    int fd = open_path(path);
    if (fd < 0)
        return fd;
    int rc = llapi_hsm_state_get_fd(fd, hus);
    (void)close(fd);
    return rc;
}

int llapi_hsm_state_set_fd(int fd, uint64_t set, uint64_t clear, uint32_t id)
{
    struct wire_call c = {.op = WIRE_STATE_SET, .cookie = set, .dv = clear, .num = (int)id};
    struct wire_reply r;
    return lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
}

int llapi_hsm_state_set(const char *path, uint64_t set, uint64_t clear, uint32_t id)
{
    int fd = open_path(path);
    if (fd < 0)
        return fd;
    int rc = llapi_hsm_state_set_fd(fd, set, clear, id);
    (void)close(fd);
    return rc;
}

int llapi_hsm_current_action(const char *path, struct hsm_current_action *hca)
{
    struct hsm_user_state hus;
    int rc = llapi_hsm_state_get(path, &hus);
    if (rc == 0)
        *hca = (struct hsm_current_action){hus.in_progress_state, hus.in_progress_action,
                                           hus.location};
    return rc;
}

struct hsm_user_request *llapi_hsm_user_request_alloc(int items, int data_len)
{
    return calloc(1, sizeof(struct hsm_user_request) +
                         sizeof(struct hsm_user_item) * (size_t)items + (size_t)data_len);
}

int llapi_hsm_request(const char *path, const struct hsm_user_request *hur)
{
    if (path == NULL || hur == NULL || lib_site() == NULL)
        return -EINVAL;
    if (access(path, F_OK) != 0)
        return -errno;
    size_t len = sizeof *hur + sizeof hur->items[0] * (size_t)hur->itemcount + hur->data_len;
    if (len > HSM_REQUEST_MAX)
        return -E2BIG;
    struct wire_call c = {.op = WIRE_REQUEST};
    struct wire_reply r;
    return lib_call(&c, hur, len, -1, &r, NULL, 0, NULL);
}

int llapi_hsm_import(const char *dst, int archive, const struct stat *st, unsigned long long ssize,
                     int soff, int scount, int pattern, char *pool, struct lu_fid *out)
{
    (void)ssize, (void)soff, (void)scount, (void)pattern, (void)pool;
    if (dst == NULL || st == NULL || out == NULL)
        return -EINVAL;
    if (!S_ISREG(st->st_mode))
        return -EINVAL;
    int fd = open(dst, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, S_IRUSR | S_IWUSR);
    if (fd < 0)
        return -errno;
    struct timespec times[2] = {st->st_atim, st->st_mtim};
    int rc = 0;
    if (ftruncate(fd, st->st_size) != 0 || fchown(fd, st->st_uid, st->st_gid) != 0 ||
        fchmod(fd, st->st_mode & 07777) != 0 || futimens(fd, times) != 0)
        rc = -errno;
    struct wire_call c = {.op = WIRE_IMPORT, .num = archive};
    struct wire_reply r;
    if (rc == 0)
        rc = lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
    (void)close(fd);
    if (rc != 0) {
        (void)unlink(dst);
        return rc;
    }
    *out = r.fid;
    return 0;
}

int llapi_get_data_version(int fd, uint64_t *dv, uint64_t flags)
{
    struct wire_call c = {.op = WIRE_DATA_VERSION};
    struct wire_reply r;
    if (dv == NULL || flags > 3)
        return -EINVAL;
    int rc = lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
    if (rc == 0)
        *dv = r.dv;
    return rc;
}

int llapi_hsm_data_version_set(int fd, uint64_t dv)
{
    struct wire_call c = {.op = WIRE_DATA_VERSION, .num = 1, .dv = dv};
    struct wire_reply r;
    return lib_call(&c, NULL, 0, fd, &r, NULL, 0, NULL);
}
