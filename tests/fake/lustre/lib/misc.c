/* SPDX-License-Identifier: Apache-2.0 */
/* File system names, the version, messages. */
#include "lib_impl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEVEL_OFF, LEVEL_NORMAL = 4, LEVEL_MASK = 0xf };
static int message_level = LEVEL_NORMAL;
static llapi_log_callback_t error_callback;

/* True when path is the mount point or lies below it. */
static bool below_mount(const struct lib_site *s, const char *path)
{
    char real[PATH_MAX];
    if (s == NULL || path == NULL || realpath(path, real) == NULL)
        return false;
    size_t n = strlen(s->mount);
    return strncmp(real, s->mount, n) == 0 && (real[n] == '/' || real[n] == '\0');
}

int llapi_search_fsname(const char *path, char *fsname)
{
    const struct lib_site *s = lib_site();
    int rc = lib_fault("search_fsname");
    if (rc != 0)
        return rc;
    if (!below_mount(s, path))
        return -ENODEV;
    memcpy(fsname, s->fsname, strlen(s->fsname) + 1);
    return 0;
}

int llapi_search_mounts(const char *path, int index, char *mnt, char *fsname)
{
    const struct lib_site *s = lib_site();
    if (s == NULL || index != 0 || (path != NULL && *path != '\0' && !below_mount(s, path)))
        return -ENODEV;
    if (mnt != NULL)
        memcpy(mnt, s->mount, strlen(s->mount) + 1);
    if (fsname != NULL)
        memcpy(fsname, s->fsname, strlen(s->fsname) + 1);
    return 0;
}

int llapi_search_rootpath(char *path, const char *fsname)
{
    const struct lib_site *s = lib_site();
    if (s == NULL || path == NULL || fsname == NULL || strcmp(fsname, s->fsname) != 0)
        return -ENODEV;
    memcpy(path, s->mount, strlen(s->mount) + 1);
    return 0;
}

int llapi_get_version_string(char *buf, unsigned size)
{
    const struct lib_site *s = lib_site();
    if (buf == NULL || s == NULL)
        return buf == NULL ? -EINVAL : -ENODEV;
    if (strlen(s->version) >= size)
        return -EOVERFLOW;
    memcpy(buf, s->version, strlen(s->version) + 1);
    return 0;
}

void llapi_msg_set_level(int level)
{
    message_level = level < LEVEL_OFF ? LEVEL_OFF : level;
}

llapi_log_callback_t llapi_error_callback_set(llapi_log_callback_t cb)
{
    llapi_log_callback_t old = error_callback;
    error_callback = cb;
    return old;
}
