/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File list records and script options, as the scripts of EXTERNAL POOL and EXTERNAL LIST rules
 * expect them (firn-policy(5), "Scripts"). No state, no I/O; any thread.
 */
#ifndef POLICY_LIST_H
#define POLICY_LIST_H

#include "base/buf.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* A record of a file list. */
struct policy_record {
    uint64_t ino;
    uint64_t generation;
    uint64_t snapid;
    const char *show; /* may be NULL when show_len is 0 */
    size_t show_len;
    const char *path;
    size_t path_len;
};

/*
 * Appends "INODE GENERATION SNAPID  SHOW -- PATH\n" (two blanks, SHOW, blank, dashes, blank).
 * escape NULL: newline becomes \n and backslash \\; else path and show are percent-encoded except
 * for A-Z a-z 0-9 - _ . ~ and the bytes in escape (the text after the "%" of an ESCAPE clause).
 */
void policy_list_add(struct buf *out, const struct policy_record *rec, const char *escape);

/*
 * Reads one line of len bytes (without its newline) back: the record form above (the path begins
 * behind the first " -- "), or a bare absolute path (ino, generation, snapid 0). escape as in
 * policy_list_add. The bytes of show and path are appended to store (buf_reset it between lines);
 * rec points into it, each NUL-terminated. Returns 0, or -EINVAL with err set: neither form, a bad
 * escape, a NUL byte in the path, or a path that is not absolute.
 */
int policy_list_parse(const char *line, size_t len, const char *escape, struct buf *store,
                      struct policy_record *rec, struct err *err);

/* True when show holds the separator " -- ", so that readers without ESCAPE would split wrongly. */
int policy_list_show_is_risky(const char *show, size_t len);

/* Splits opts at blanks, honouring single and double quotes (no other character is special), as
 * arguments for exec. Sets *argv to a NULL-terminated array of *n strings; free with
 * policy_argv_free. Returns 0, or -EINVAL with err set for an open quote. */
int policy_opts_split(const char *opts, char ***argv, size_t *n, struct err *err);

/* Frees what policy_opts_split made; NULL is allowed. */
void policy_argv_free(char **argv);

/* A tape pool with its library, as in OPTS '-p pool1@lib1,pool2@lib2'. */
struct policy_target {
    char *pool;
    char *library; /* "" when not named */
};

/*
 * The pools that opts names with -p (also -pNAME, --pool NAME, --pool=NAME; several, or
 * comma-separated). Sets *targets (free with policy_targets_free) and *n (0 when there is no -p).
 * Options other than those are returned as an error. Returns 0, or -EINVAL with err set that names
 * the faulty word.
 */
int policy_opts_targets(const char *opts, struct policy_target **targets, size_t *n,
                        struct err *err);

/* Frees what policy_opts_targets made; NULL is allowed. */
void policy_targets_free(struct policy_target *targets, size_t n);

#endif
