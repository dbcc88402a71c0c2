/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A growable byte string, always NUL-terminated once something was added. Caller's storage:
 * auto_buf struct buf b = {0}; One thread at a time. Growth aborts when memory is gone, so a caller
 * that builds from outside bytes bounds them first.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>

struct buf {
    char *data; /* NULL while nothing was added */
    size_t len; /* bytes without the terminating NUL */
    size_t cap;
};

/* Makes room for extra more bytes and a NUL behind len. */
void buf_reserve(struct buf *b, size_t extra);

/* Appends n bytes from p (p may be NULL when n is 0). */
void buf_add(struct buf *b, const void *p, size_t n);

/* Appends string s. */
void buf_adds(struct buf *b, const char *s);

/* Appends one byte. */
void buf_addc(struct buf *b, char c);

/* Appends text in printf form. */
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Appends s with the five XML specials escaped, and CR as a character reference (XML 1.0, 2.4 and
 * 2.11). Bytes that XML 1.0 cannot hold, or that are no
 * UTF-8, become '?'. */
void buf_add_xml(struct buf *b, const char *s);

/* Appends s percent-encoded (RFC 3986, 2.1): unreserved characters stay, and so do the characters
 * in keep (may be ""). Hex digits are upper case. */
void buf_add_pct(struct buf *b, const char *s, const char *keep);

/* Empties b but keeps its memory. */
void buf_reset(struct buf *b);

/* Frees b's memory; b is empty and usable afterwards. */
void buf_fini(struct buf *b);

/* Hands the string over to the caller, who frees it; never NULL (an empty string at least). b is
 * empty afterwards. */
char *buf_take(struct buf *b);

#define auto_buf __attribute__((cleanup(buf_fini)))

#endif
