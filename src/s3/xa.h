/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Extended attributes of an open file, whether it is open for its data or only as a name (O_PATH):
 * then through /proc/self/fd, which opens nothing. Any thread, one at a time per struct.
 */
#ifndef S3_XA_H
#define S3_XA_H

#include "s3/beneath.h"
#include "s3/meta.h"

#include <stddef.h>
#include <sys/types.h>

struct xa {
    int fd;                      /* borrowed */
    char proc[BENEATH_PROC_MAX]; /* "" when fd itself will do */
};

/* Prepares x for descriptor fd. */
void xa_init(struct xa *x, int fd);

/* The same for an fd that is not O_PATH, without asking the kernel. */
void xa_init_open(struct xa *x, int fd);

/* The value of attribute name into *value (the caller frees; NUL-terminated behind its *len bytes;
 * len may be NULL). Returns 0, 1 when there is no such attribute (or the file system knows none),
 * or a negated errno value. */
int xa_get(const struct xa *x, const char *name, char **value, size_t *len);

/* The value of attribute name into buf of cap bytes, without a NUL behind it. Returns its length or
 * a negated errno value: -ENODATA when there is none, -ERANGE when it does not fit. */
ssize_t xa_read(const struct xa *x, const char *name, char *buf, size_t cap);

/* The names of all attributes into buf of cap bytes, each ended by NUL. Returns their length or a
 * negated errno value, -ERANGE when they do not fit. */
ssize_t xa_read_names(const struct xa *x, char *buf, size_t cap);

/* Whether attribute name exists. Errors count as no. */
bool xa_has(const struct xa *x, const char *name);

/* Sets attribute name to the n bytes of value. Returns 0 or a negated errno value. */
int xa_set(const struct xa *x, const char *name, const void *value, size_t n);

/* Removes attribute name; an absent one is fine. Returns 0 or a negated errno value. */
int xa_remove(const struct xa *x, const char *name);

/* All user.* attributes but META_XATTR itself into set (emptied before): name -> value. Values with
 * NUL bytes are left out. Returns 0 or a negated errno value. */
int xa_user_all(const struct xa *x, struct meta_set *set);

#endif
