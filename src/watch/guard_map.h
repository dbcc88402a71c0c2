/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What the program in the kernel (guard.bpf.c) and the one that loads it (guard.c) agree on.
 */
#ifndef WATCH_GUARD_MAP_H
#define WATCH_GUARD_MAP_H

#define GUARD_XATTR    "security.bpf.firn.stub" /* FILE_XATTR_STUB of file/record.h */
#define GUARD_FS_MAX   256
#define GUARD_PASS_MAX 64
#define GUARD_TICK_NS  10000000 /* a hundredth of a second: the unit of /proc/PID/stat */

#endif
