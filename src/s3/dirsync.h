/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is durable when. Batches of fsync: requests that changed the same directory at the same time
 * are made durable by one call. A request that asks after its change is served by a sync that began
 * after it asked. Any thread.
 */
#ifndef S3_DIRSYNC_H
#define S3_DIRSYNC_H

#include <stdbool.h>

struct dirsync;

/* An empty set of batches. Never NULL; free with dirsync_free. */
struct dirsync *dirsync_new(void);

/* Frees d; nobody may be waiting. NULL is allowed. */
void dirsync_free(struct dirsync *d);

/* Whether the file system of fd has one ordered journal (ext4 with a journal, XFS): whoever makes a
 * later change durable makes every earlier one durable, too. Asked of the kernel once a second for
 * each file system; what cannot be told is false. */
bool dirsync_ordered(struct dirsync *d, int fd);

/* Makes the directory (or file) open as fd durable, together with whoever asks for the same inode
 * at the same time. Blocks. Returns 0 or a negated errno value. */
int dirsync_wait(struct dirsync *d, int fd);

#endif
