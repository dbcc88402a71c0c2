/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for a file in the kernel, as /proc tells it of the waiting thread. What is read may be
 * another process's a moment later (the waiting one was killed): good for rules and lists, and
 * harmless since the kernel then has nobody to let go. Source: proc(5), Linux system call tables.
 */
#ifndef ENGINE_KREADER_H
#define ENGINE_KREADER_H

#include <stdbool.h>
#include <stdint.h>

struct kreader {
    int32_t pid;      /* process (thread group); 0 unknown */
    uint32_t uid;     /* effective; UINT32_MAX unknown */
    char program[32]; /* comm, "?" when unknown */
};

/* Fills *a from thread tid; returns false when the thread is gone (a is then all unknown). */
bool kreader_of(int32_t tid, struct kreader *a);

/* Whether thread tid waits in an open that will truncate the file (O_TRUNC, creat). False when it
 * cannot be told, as for io_uring. */
bool kreader_truncates(int32_t tid);

/* Whether a is a thread of the kernel's NFS server. */
bool kreader_is_nfsd(const struct kreader *a);

#endif
