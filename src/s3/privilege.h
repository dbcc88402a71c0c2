/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Giving up privilege: firn-s3 starts as root and keeps what taking an account's identity needs,
 * nothing else. Called once by the program before it starts threads.
 */
#ifndef S3_PRIVILEGE_H
#define S3_PRIVILEGE_H

#include "base/err.h"

/*
 * As root: no supplementary groups, no capability but CAP_SETUID and CAP_SETGID, an empty bounding
 * set, no_new_privs, and uid 0 means nothing to execve (SECBIT_NOROOT, locked). Then checks that
 * another file system identity can be taken and that the capabilities are as said. As another user:
 * only no_new_privs and an empty set of capabilities. The umask becomes 0007. Returns 0, or a
 * negative code with err set; the program must end then.
 */
int s3_privilege_drop(struct err *err);

#endif
