/* SPDX-License-Identifier: Apache-2.0 */
/*
 * liblustreapi.so.1, opened at run time, and what is known of its versions. Its functions are
 * called through struct llapi; which there are stands in llapi_symbols.def. They are found in the
 * global scope, so that a library preloaded before (coordinatool) is called instead where it means
 * to be. Loaded once, at the start, by one thread; constant afterwards.
 */
#ifndef LUSTRE_LLAPI_H
#define LUSTRE_LLAPI_H

#include "base/err.h"
#include "lustre/abi.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define LLAPI_LIBRARY "liblustreapi.so.1"

/* Takes the library's messages: level as LLAPI_MSG_*, a negated or positive errno value or 0. */
typedef void llapi_log_fn(int level, int err, const char *fmt, va_list ap);

/* What differs between versions, of client or server (the server's is taken to be the client's). */
enum llapi_quirk {
    LLAPI_FILTERS_DUPLICATES = 1, /* the MDT drops a request for a file that has one */
    LLAPI_SHORT_READS = 2,        /* recv loses the stream when a pipe without O_NONBLOCK is not
                                     used, and tells the end of it by any error */
    LLAPI_SUMS_PROGRESS = 4,      /* extents reported twice are counted twice */
    LLAPI_REMOVE_OPENS = 8,       /* begin of a removal opens the file */
    LLAPI_RESTORE_OPENS = 16,     /* begin of a restore opens dfid: it must still exist */
    LLAPI_TELLS_BLOCKING = 32,    /* HAL_REQ_BLOCKING is set */
    LLAPI_FAILURE_DIRTIES = 64,   /* a failed archive of an archived file makes it dirty, unless it
                                     failed with EALREADY */
};

struct llapi {
#define LLAPI(since, need, result, name, args) result(*name) args;
#include "lustre/llapi_symbols.def"
#undef LLAPI
    char version_text[64]; /* as the library says: "2.17.57_3_gabc" */
    uint32_t version;      /* llapi_version */
    unsigned quirks;       /* enum llapi_quirk */
    bool coordinatool;     /* register is another library's: no descriptor, no replay */
};

/* One number of a version: major, minor, patch and fix of 8 bits each. */
#define LLAPI_VERSION(a, b, c, d)                                                                  \
    (((uint32_t)(a) << 24) | ((uint32_t)(b) << 16) | ((uint32_t)(c) << 8) | (uint32_t)(d))

/*
 * Opens library (NULL: LLAPI_LIBRARY) for the rest of the process' life and finds the functions.
 * Returns 0 with *out (llapi_free), or -ENOENT (no such library) or -ENOTSUP (a function that is
 * needed is missing, or its version is older than 2.12) with one text that says which, since when
 * it is there, and what was found.
 */
int llapi_load(const char *library, struct llapi **out, struct err *err);

/* Frees api, not the library. NULL is allowed. */
void llapi_free(struct llapi *api);

/* "2.17.57_3_gabc", "v2_12_9", "2.15.0-1" into a number; 0 when text has no version. */
uint32_t llapi_version(const char *text);

/* The quirks of that version, enum llapi_quirk. */
unsigned llapi_quirks(uint32_t version);

/* Calls row for each function: its symbol, version, and whether it is needed. For tests and
 * manuals. */
void llapi_describe(void (*row)(void *ctx, const char *symbol, const char *since, bool core),
                    void *ctx);

static inline void cleanup_llapi(struct llapi **api)
{
    llapi_free(*api);
}
#define auto_llapi __attribute__((cleanup(cleanup_llapi)))

#endif
