/* SPDX-License-Identifier: Apache-2.0 */
/* Loads the guard by libbpf, from the object that the build puts into this program. */
#include "base/cleanup.h"
#include "watch/guard.h"
#include "watch/guard_object.h" /* made by the build */

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS    "/sys/fs/bpf"
#define DIR_MODE 0700
/* lsm_list_modules(2), Linux 6.8; its number is the same on every architecture. */
#define NR_LSM_LIST_MODULES 461
#define LSM_BPF             110 /* LSM_ID_BPF, include/uapi/linux/lsm.h */
#define LSM_MAX             32
/* Came in 6.15 together with the right to read security.bpf.*. */
#define KERNEL_FUNCTION "bpf_set_dentry_xattr"

static bool lsm_is_on(void)
{
    uint64_t ids[LSM_MAX];
    uint32_t size = sizeof(ids);
    long n = syscall(NR_LSM_LIST_MODULES, ids, &size, 0);
    for (long i = 0; i < n; i++) {
        if (ids[i] == LSM_BPF)
            return true;
    }
    return false;
}

static int check_kernel(struct err *err)
{
    if (!lsm_is_on())
        return err_set(err, -ENOTSUP,
                       "the kernel runs no BPF security programs: \"bpf\" is not among its lsm= "
                       "(see /sys/kernel/security/lsm)");
    struct btf *btf = btf__load_vmlinux_btf();
    if (btf == NULL)
        return err_set(err, -ENOTSUP, "the kernel does not describe itself: no /sys/kernel/btf");
    int id = btf__find_by_name_kind(btf, KERNEL_FUNCTION, BTF_KIND_FUNC);
    btf__free(btf);
    if (id < 0)
        return err_set(err, -ENOTSUP,
                       "the kernel's programs cannot read the marker of stubs: "
                       "Linux 6.15 is the first that can");
    return 0;
}

/* GUARD_DIR and what is above it; dir is the caller's. */
static int make_dir(const char *dir, struct err *err)
{
    struct statfs s;
    if (statfs(BPFFS, &s) == 0 && (unsigned long)s.f_type != BPF_FS_MAGIC)
        (void)mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700");
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%s", dir);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if ((mkdir(path, DIR_MODE) < 0 && errno != EEXIST) || mkdir(dir, DIR_MODE) < 0)
        return err_sys(err, errno, "make %s", dir);
    return 0;
}

/* guard_refused says that all is in place, so it comes last. */
static int pin_maps(struct bpf_object *o, const char *dir)
{
    static const char *const names[] = {"guard_fs", "guard_pass", "guard_refused"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[PATH_MAX];
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        struct bpf_map *m = bpf_object__find_map_by_name(o, names[i]);
        int rc = m != NULL ? bpf_map__pin(m, path) : -ENOENT;
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int attach(struct bpf_object *o, const char *dir)
{
    char path[PATH_MAX];
    struct bpf_program *p;
    bpf_object__for_each_program(p, o)
    {
        struct bpf_link *link = bpf_program__attach_lsm(p);
        if (link == NULL)
            return -errno;
        (void)snprintf(path, sizeof(path), "%s/%s", dir, bpf_program__name(p));
        int rc = bpf_link__pin(link, path);
        (void)bpf_link__destroy(link); /* the pin holds it */
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int load(const char *dir, struct err *err)
{
    struct bpf_object *o = bpf_object__open_mem(guard_object, sizeof(guard_object), NULL);
    if (o == NULL)
        return err_sys(err, errno, "read the guard's program");
    int rc = bpf_object__load(o);
    if (rc == 0)
        rc = attach(o, dir);
    if (rc == 0)
        rc = pin_maps(o, dir);
    bpf_object__close(o);
    if (rc == -EPERM)
        return err_set(err, rc,
                       "the kernel refuses the guard's program (a container, or a rule "
                       "of this machine): Operation not permitted");
    return rc < 0 ? err_sys(err, -rc, "load the guard's program") : 0;
}

static int be_quiet(enum libbpf_print_level level, const char *format, va_list args)
{
    (void)level;
    (void)format;
    (void)args;
    return 0;
}

int guard_install(const char *dir, struct err *err)
{
    dir = dir != NULL ? dir : GUARD_DIR;
    if (guard_active(dir, NULL))
        return 0;
    (void)libbpf_set_print(be_quiet);
    int rc = check_kernel(err);
    if (rc == 0)
        rc = guard_remove(dir, err); /* the rest of an attempt that was killed */
    if (rc == 0)
        rc = make_dir(dir, err);
    if (rc < 0)
        return rc;
    rc = load(dir, err);
    if (rc < 0)
        (void)guard_remove(dir, NULL);
    return rc;
}
