/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors with a text for people. A struct err lives on the caller's stack; the function that knows
 * the fact writes the text, each caller above may add what it was attempting. Any thread may use
 * any struct err, one at a time. Codes are negated errno values, so that an edge can translate
 * them.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stddef.h>

struct err {
    int code;       /* 0 or a negated errno value */
    char text[768]; /* one line, no full stop, UTF-8; empty when code is 0 */
};

/* Clears err: code 0, empty text. err may not be NULL. */
void err_clear(struct err *err);

/*
 * Sets err to code (negative; a negated errno value) with a text in printf form.
 * err may be NULL: then only the code is returned. Long texts are cut. Returns code.
 */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/*
 * As err_set with code -errnum, and appends ": " and the system's text for errnum (a positive errno
 * value; 0 counts as EIO). Returns -errnum.
 */
int err_sys(struct err *err, int errnum, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Puts a text in printf form and ": " before the text that err holds, and keeps code (the value
 * that the failed call returned). err may be NULL. Returns code unchanged, so that passing a
 * failure on is one line.
 */
int err_wrap(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
