/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The net below firn-watch, run by the kernel itself (BPF LSM): a file that carries the stub marker
 * is not opened, read or mapped while neither its inode nor its file system carries a mark of
 * fanotify, since nobody would fetch its data and the reader would see zeros.
 *
 * open: the marker is looked for in each regular file of the file systems listed; a stub is noted
 * in the inode's storage. read, write and mmap look at the note alone, so a resident file costs one
 * look-up that finds nothing. No more is needed: a file becomes a stub under a write lease, when
 * nobody has it open. The note goes with the marker.
 *
 * Kernel: 6.15 (bpf_get_file_xattr reads security.bpf.*). Only the fields named here are used, at
 * the place where the running kernel has them (CO-RE).
 */
#include "watch/guard_map.h"

#include <linux/bpf.h>

#include <asm/errno.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define FMT_MASK 0170000
#define REGULAR  0100000

/* What BPF programs that call the kernel's functions must be; the other licence is Apache-2.0. */
char LICENSE[] SEC("license") = "GPL";

#define AS_IN_KERNEL __attribute__((preserve_access_index))
struct super_block {
    __u32 s_dev;
    __u32 s_fsnotify_mask;
} AS_IN_KERNEL;
struct inode {
    __u16 i_mode;
    __u32 i_fsnotify_mask;
    struct super_block *i_sb;
} AS_IN_KERNEL;
struct file {
    struct inode *f_inode;
} AS_IN_KERNEL;
struct dentry {
    struct inode *d_inode;
} AS_IN_KERNEL;
struct task_struct {
    struct task_struct *group_leader;
    __u64 start_boottime;
} AS_IN_KERNEL;

extern int bpf_get_file_xattr(struct file *file, const char *name__str,
                              struct bpf_dynptr *value_p) __ksym;

/* Key: the file system's device; value: the events of which a mark must ask for one. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, GUARD_FS_MAX);
    __type(key, __u32);
    __type(value, __u32);
} guard_fs SEC(".maps");

/* Processes that may touch such a stub (firnd, which recalls it). Key: process id; value: when it
 * began, in hundredths of a second since the boot, so that a later process of the same number is
 * another one. */
struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, GUARD_PASS_MAX);
    __type(key, __u32);
    __type(value, __u64);
} guard_pass SEC(".maps");

/* How often something was refused. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, __u64);
} guard_refused SEC(".maps");

/* Inodes that were stubs when somebody opened them, and the events that a mark must ask for. */
struct {
    __uint(type, BPF_MAP_TYPE_INODE_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, __u32);
} guard_stubs SEC(".maps");

/* Where the marker's value goes, which nobody looks at: the kernel takes no stack for it. */
char guard_value[8];

static __always_inline int passes(void)
{
    __u32 pid = bpf_get_current_pid_tgid() >> 32;
    __u64 *begun = bpf_map_lookup_elem(&guard_pass, &pid);
    if (!begun)
        return 0;
    struct task_struct *task = (struct task_struct *)bpf_get_current_task_btf();
    return task->group_leader->start_boottime / GUARD_TICK_NS == *begun;
}

static __always_inline int refuse(void)
{
    __u32 zero = 0;
    __u64 *n = bpf_map_lookup_elem(&guard_refused, &zero);
    if (n)
        __sync_fetch_and_add(n, 1);
    return -EIO;
}

static __always_inline int watched(struct inode *inode, __u32 want)
{
    return ((inode->i_fsnotify_mask | inode->i_sb->s_fsnotify_mask) & want) != 0;
}

/* 1: file carries the marker; 0: it does not, or the caller may not read it (who may only execute
 * it gets ENOEXEC from zeros); below: the attributes could not be read. */
static __always_inline int has_marker(struct file *file)
{
    struct bpf_dynptr d;
    bpf_dynptr_from_mem(guard_value, sizeof(guard_value), 0, &d);
    int n = bpf_get_file_xattr(file, GUARD_XATTR, &d);
    if (n > 0 || n == -ERANGE)
        return 1;
    return n == 0 || n == -ENODATA || n == -EOPNOTSUPP || n == -EACCES || n == -EPERM ? 0 : -EIO;
}

SEC("lsm.s/file_open")
int BPF_PROG(guard_open, struct file *file)
{
    struct inode *inode = file->f_inode;
    __u32 dev = inode->i_sb->s_dev;
    __u32 *want = bpf_map_lookup_elem(&guard_fs, &dev);
    if (!want || (inode->i_mode & FMT_MASK) != REGULAR)
        return 0;
    int marker = has_marker(file);
    if (marker == 0 || passes())
        return 0;
    if (marker < 0)
        return refuse();
    __u32 *note = bpf_inode_storage_get(&guard_stubs, inode, want, BPF_LOCAL_STORAGE_GET_F_CREATE);
    return note && watched(inode, *want) ? 0 : refuse();
}

static __always_inline int check_open_file(struct file *file)
{
    struct inode *inode = file->f_inode;
    __u32 *want = bpf_inode_storage_get(&guard_stubs, inode, 0, 0);
    if (!want || watched(inode, *want) || passes())
        return 0;
    __u32 dev = inode->i_sb->s_dev; /* the file system may be guarded no more */
    return bpf_map_lookup_elem(&guard_fs, &dev) ? refuse() : 0;
}

SEC("lsm/file_permission")
int BPF_PROG(guard_read, struct file *file, int mask)
{
    return check_open_file(file);
}

SEC("lsm/mmap_file")
int BPF_PROG(guard_mmap, struct file *file, unsigned long reqprot, unsigned long prot,
             unsigned long flags)
{
    return file ? check_open_file(file) : 0;
}

/* The marker goes: the data is there. */
SEC("lsm/inode_removexattr")
int BPF_PROG(guard_removed, void *idmap, struct dentry *dentry, const char *name)
{
    struct inode *inode = dentry->d_inode;
    char got[sizeof(GUARD_XATTR)] = {0};
    long n = bpf_probe_read_kernel_str(got, sizeof(got), name);
    if (n != (long)sizeof(GUARD_XATTR) || bpf_strncmp(got, sizeof(GUARD_XATTR), GUARD_XATTR) != 0)
        return 0;
    if (inode)
        (void)bpf_inode_storage_delete(&guard_stubs, inode);
    return 0;
}
