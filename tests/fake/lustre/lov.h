/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout blobs ("lustre.lov") of files, kept in an extended attribute that an ordinary file system
 * can store. The shim in the tested process and the fake MDT both use this; there is no state but
 * the inode's. Any thread.
 */
#ifndef FAKE_LUSTRE_LOV_H
#define FAKE_LUSTRE_LOV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LOV_NAME        "lustre.lov"
#define LOV_STORE       "trusted.fakelustre.lov"   /* the blob */
#define LOV_DELAY       "trusted.fakelustre.delay" /* a volatile that has no objects yet */
#define LOV_HIDDEN      "trusted.fakelustre."      /* never shown in lists */
#define LOV_DELAY_VALUE "1"

enum { LOV_MAX = 65536 };

/* The blob of inode fd, as a client would see it, into buf of size bytes; size 0 asks for the
 * length. Returns its length, -ENODATA for a volatile without objects, -ERANGE when buf is small.
 */
ssize_t lov_get(int fd, void *buf, size_t size);

/* Sets the layout of inode fd. 0 without any effect when it has objects already; -ERANGE for a blob
 * shorter than its own header says, -EINVAL for one that is no layout. */
int lov_set(int fd, const void *blob, size_t size);

/* Gives volatile fd its beginning: no layout when delayed, else that of directory dir. */
int lov_begin(int fd, int dir, bool delayed);

/* Marks the layout of fd released and drops its objects. Returns 0 or -errno. */
int lov_release(int fd);

/* Gives to the layout of from. Returns 0 or -errno. */
int lov_move(int from, int to);

/* A fresh layout of count stripes of size bytes (V1, or V3 with pool) in buf; returns its length.
 */
size_t lov_make(void *buf, unsigned count, unsigned stripe_size, const char *pool);

#endif
