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
 * err_set(err, code, fmt, ...): sets err to code (negative; a negated errno value) with a text in
 * printf form. err may be NULL: then only the code is returned. Long texts are cut. Value: code. (A
 * macro, so that compilers and analysers see that what comes out is what went in.)
 */
#define err_set(err, code, ...)                                                                    \
    __extension__({                                                                                \
        const int err_code_ = (code);                                                              \
        err_set_text((err), err_code_, __VA_ARGS__);                                               \
        err_code_;                                                                                 \
    })

/*
 * err_sys(err, errnum, fmt, ...): as err_set with code -errnum, and appends ": " and the system's
 * text for errnum (a positive errno value; others count as EIO). Value: -errnum.
 */
#define err_sys(err, errnum, ...)                                                                  \
    __extension__({                                                                                \
        const int err_num_ = (errnum);                                                             \
        const int err_code_ = err_num_ > 0 ? -err_num_ : -5 /* EIO */;                             \
        err_sys_text((err), err_code_, __VA_ARGS__);                                               \
        err_code_;                                                                                 \
    })

/*
 * err_wrap(err, code, fmt, ...): puts a text in printf form and ": " before the text that err
 * holds, and keeps code (the value that the failed call returned). err may be NULL. Value: code
 * unchanged, so that passing a failure on is one line.
 */
#define err_wrap(err, code, ...)                                                                   \
    __extension__({                                                                                \
        const int err_code_ = (code);                                                              \
        err_wrap_text((err), err_code_, __VA_ARGS__);                                              \
        err_code_;                                                                                 \
    })

/* The functions behind the macros; err may be NULL, then they do nothing. */
void err_set_text(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_sys_text(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void err_wrap_text(struct err *err, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
