/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the reader of the macro stage (macro.c) and its definitions and builtins (macro_def.c).
 * One struct macro_run per compilation, one thread.
 */
#ifndef POLICY_MACRO_IMPL_H
#define POLICY_MACRO_IMPL_H

#include "policy/policy_impl.h"

#define MACRO_BUCKETS  512
#define MACRO_BUILTINS 7

struct frame;

struct macro_def {
    char *name;
    char *body;
    size_t len;
    struct macro_def *next;
};

struct macro_run {
    struct compile *c;
    struct frame *top;
    struct macro_def *defs[MACRO_BUCKETS];
    bool undefined[MACRO_BUILTINS];
    unsigned nesting;    /* argument lists open */
    unsigned long calls; /* expansions so far */
    size_t volume;       /* bytes expanded so far */
};

/* A call with its collected arguments. */
struct macro_call {
    const char *name;
    struct policy_origin at;
    unsigned depth; /* of the text that it expands to */
    struct buf *arg;
    size_t n;
};

struct macro_builtin {
    const char *name;
    bool bare; /* a call even without a parenthesis */
    int (*run)(struct macro_run *m, const struct macro_call *call);
};

/* Frees the arguments of call. */
void macro_call_fini(struct macro_call *call);

/* Puts own (taken over, also on failure) of len bytes in front of the input. Fails when expansions
 * do not end. */
int macro_push_text(struct macro_run *m, char *own, size_t len, const struct macro_call *call);

/* Puts file number file of the source in front of the input. */
int macro_push_file(struct macro_run *m, unsigned file, const struct macro_call *call);

/* Drops input up to the end of the line. Returns 0. */
int macro_skip_line(struct macro_run *m);

/* The builtin called name, or NULL; the i-th builtin. */
const struct macro_builtin *macro_builtin_find(const char *name);
const struct macro_builtin *macro_builtin_at(size_t i);

/* The definition of name, or NULL. */
struct macro_def *macro_def_find(struct macro_run *m, const char *name);

/* Defines name (also anew). */
void macro_def_set(struct macro_run *m, const char *name, const char *body);

/* Frees all definitions. */
void macro_defs_fini(struct macro_run *m);

/* Replaces $0 .. $9 $# $* $@ of d's body and puts the result in front of the input. */
int macro_expand(struct macro_run *m, const struct macro_def *d, const struct macro_call *call);

/* name is no macro here: warns or fails when GNU m4 would do something with it. */
int macro_check_foreign(struct macro_run *m, const char *name, struct policy_origin at, bool paren);

#endif
