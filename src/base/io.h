/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole reads and writes, and the one durable replacement of a file. Blocking; any thread.
 */
#ifndef BASE_IO_H
#define BASE_IO_H

#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

/* Reads exactly n bytes from fd into p unless the file ends. Returns the bytes read (< n only at
 * end of file), or a negated errno value. EINTR is handled. */
ssize_t io_read_full(int fd, void *p, size_t n);

/* As io_read_full at byte offset off. */
ssize_t io_pread_full(int fd, void *p, size_t n, off_t off);

/* Writes all n bytes of p to fd. Returns 0 or a negated errno value. */
int io_write_full(int fd, const void *p, size_t n);

/* As io_write_full at byte offset off. */
int io_pwrite_full(int fd, const void *p, size_t n, off_t off);

/*
 * Reads file path (relative to directory dirfd, or AT_FDCWD) of at most max bytes into *data (owned
 * by the caller, NUL-terminated behind its *len bytes; len may be NULL). A larger file is -EFBIG.
 * Returns 0 or a negative code with err set; *data is untouched on failure.
 */
int io_read_file(int dirfd, const char *path, size_t max, char **data, size_t *len,
                 struct err *err);

/*
 * Replaces file name in directory dirfd by n bytes of data, durably: temporary file, fsync, rename,
 * fsync of the directory. A crash leaves the old or the new file whole. mode: permission bits.
 * Returns 0 or a negative code with err set.
 */
int io_replace_durable(int dirfd, const char *name, const void *data, size_t n, mode_t mode,
                       struct err *err);

/* Makes directory path and its missing parents with permission bits mode. Returns 0 or a negative
 * code with err set. */
int io_mkdirs(const char *path, mode_t mode, struct err *err);

/* fsync of the directory that dirfd names. Returns 0 or a negated errno value. */
int io_fsync_dir(int dirfd);

#endif
