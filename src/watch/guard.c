/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guard's tables, by bpf(2) alone: firnd uses them too and needs no libbpf. Source: bpf(2);
 * Linux include/uapi/linux/bpf.h. Devices as the kernel has them: 12 bits major, 20 bits minor.
 */
#include "watch/guard.h"

#include "base/cleanup.h"
#include "watch/guard_map.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MINOR_BITS 20
/* /proc/PID/stat: fields after the name in parentheses up to starttime (proc(5)). */
#define FIELDS_TO_START 20

static const char *dir_of(const char *dir)
{
    return dir != NULL ? dir : GUARD_DIR;
}

static int call_bpf(int cmd, union bpf_attr *a)
{
    long rc = syscall(SYS_bpf, cmd, a, sizeof(*a));
    return rc < 0 ? -errno : (int)rc;
}

static int open_map(const char *dir, const char *name)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s/%s", dir_of(dir), name);
    union bpf_attr a;
    memset(&a, 0, sizeof(a));
    a.pathname = (uint64_t)(uintptr_t)path;
    return call_bpf(BPF_OBJ_GET, &a);
}

static int on_element(int cmd, int map, const void *key, void *value)
{
    union bpf_attr a;
    memset(&a, 0, sizeof(a));
    a.map_fd = (uint32_t)map;
    a.key = (uint64_t)(uintptr_t)key;
    a.value = (uint64_t)(uintptr_t)value; /* for BPF_MAP_GET_NEXT_KEY the next key */
    return call_bpf(cmd, &a);
}

/* Deletes the keys (of 4 bytes) that stays says are not to stay. */
static void sweep(int map, bool (*stays)(void *arg, uint32_t key, int map), void *arg)
{
    uint32_t keys[GUARD_FS_MAX + GUARD_PASS_MAX];
    size_t n = 0;
    while (n < sizeof(keys) / sizeof(keys[0]) &&
           on_element(BPF_MAP_GET_NEXT_KEY, map, n > 0 ? &keys[n - 1] : NULL, &keys[n]) == 0)
        n++;
    for (size_t i = 0; i < n; i++) {
        if (!stays(arg, keys[i], map))
            (void)on_element(BPF_MAP_DELETE_ELEM, map, &keys[i], NULL);
    }
}

/* The device of the file system that path lies on, as its mount says: that of stat(2) is another
 * one on btrfs. */
static int device_of(const char *path, uint32_t *out, struct err *err)
{
    struct statx x;
    if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &x) < 0)
        return err_sys(err, errno, "look at %s", path);
    auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    if (f == NULL)
        return err_sys(err, errno, "read /proc/self/mountinfo");
    auto_free char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, f) > 0) {
        /* "ID PARENT MAJOR:MINOR ..." (proc(5)) */
        char *at = line;
        unsigned long long id = strtoull(at, &at, 10);
        (void)strtoull(at, &at, 10);
        unsigned long major = strtoul(at, &at, 10);
        if (*at == ':' && id == x.stx_mnt_id) {
            *out = (uint32_t)(major << MINOR_BITS | strtoul(at + 1, NULL, 10));
            return 0;
        }
    }
    return err_set(err, -ENOENT, "%s is on no mount of this process", path);
}

struct devices {
    uint32_t dev[GUARD_FS_MAX];
    size_t n;
};

static bool is_listed(void *arg, uint32_t key, int map)
{
    const struct devices *d = arg;
    (void)map;
    for (size_t i = 0; i < d->n; i++) {
        if (d->dev[i] == key)
            return true;
    }
    return false;
}

int guard_set_fs(const char *dir, const char *const *paths, size_t n, uint32_t mask,
                 struct err *err)
{
    struct devices d = {.n = 0};
    auto_close int map = open_map(dir, "guard_fs");
    if (map < 0)
        return err_sys(err, -map, "open the guard's list of file systems");
    int worst = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t dev = 0;
        int rc = device_of(paths[i], &dev, err);
        if (rc == 0 && d.n == GUARD_FS_MAX)
            rc = err_set(err, -E2BIG, "the guard takes %d file systems", GUARD_FS_MAX);
        if (rc == 0 && (rc = on_element(BPF_MAP_UPDATE_ELEM, map, &dev, &mask)) < 0)
            rc = err_sys(err, -rc, "tell the guard of %s", paths[i]);
        if (rc == 0)
            d.dev[d.n++] = dev;
        else
            worst = rc;
    }
    sweep(map, is_listed, &d);
    return worst;
}

/* When process pid began, in hundredths of a second since the boot; 0 when there is none. */
static uint64_t start_of(int pid)
{
    char path[64], text[1024];
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    auto_fclose FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    text[n] = '\0';
    const char *at = strrchr(text, ')');
    for (int i = 0; at != NULL && i < FIELDS_TO_START; i++)
        at = strchr(at + 1, ' ');
    return at != NULL ? strtoull(at, NULL, 10) : 0;
}

static bool is_alive(void *arg, uint32_t key, int map)
{
    uint64_t begun = 0;
    (void)arg;
    return on_element(BPF_MAP_LOOKUP_ELEM, map, &key, &begun) == 0 && begun == start_of((int)key);
}

int guard_pass(const char *dir, int pid, struct err *err)
{
    auto_close int map = open_map(dir, "guard_pass");
    if (map == -ENOENT || map == -ENOSYS)
        return 0;
    if (map < 0)
        return err_sys(err, -map, "open the guard's list of processes");
    sweep(map, is_alive, NULL);
    uint32_t key = (uint32_t)(pid != 0 ? pid : getpid());
    uint64_t begun = start_of((int)key);
    if (begun == 0)
        return err_set(err, -ESRCH, "there is no process %d", pid);
    int rc = on_element(BPF_MAP_UPDATE_ELEM, map, &key, &begun);
    return rc < 0 ? err_sys(err, -rc, "add process %u to the guard's list", key) : 0;
}

bool guard_active(const char *dir, uint64_t *refused)
{
    uint32_t zero = 0;
    uint64_t n = 0;
    auto_close int map = open_map(dir, "guard_refused");
    bool there = map >= 0 && on_element(BPF_MAP_LOOKUP_ELEM, map, &zero, &n) == 0;
    if (refused != NULL)
        *refused = n;
    return there;
}

int guard_remove(const char *dir, struct err *err)
{
    /* The kernel takes its time to detach programs. With an empty list they refuse nothing. */
    struct devices none = {.n = 0};
    auto_close int map = open_map(dir, "guard_fs");
    if (map >= 0)
        sweep(map, is_listed, &none);
    DIR *d = opendir(dir_of(dir));
    if (d == NULL)
        return errno == ENOENT ? 0 : err_sys(err, errno, "open %s", dir_of(dir));
    int rc = 0;
    const struct dirent *e;
    while ((e = readdir(d)) != NULL) {
        if (e->d_name[0] != '.' && unlinkat(dirfd(d), e->d_name, 0) < 0)
            rc = err_sys(err, errno, "remove %s/%s", dir_of(dir), e->d_name);
    }
    (void)closedir(d);
    if (rc == 0 && rmdir(dir_of(dir)) < 0)
        rc = err_sys(err, errno, "remove %s", dir_of(dir));
    return rc;
}
