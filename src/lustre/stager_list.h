/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of files for the stager: one a line, as a path, a policy record or a FID; read as a stream,
 * with the place of each record, so that a later run can begin in the middle. One thread.
 */
#ifndef LUSTRE_STAGER_LIST_H
#define LUSTRE_STAGER_LIST_H

#include "base/buf.h"
#include "base/err.h"
#include "lustre/abi.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* A list that is being read. Zero-initialised by stager_list_open. */
struct stager_list_reader {
    FILE *in;
    bool owned; /* not standard input */
    bool nul;
    char *name; /* for messages */
    char *cwd;  /* of relative paths */
    char *line;
    size_t cap;
    struct buf store;
    uint64_t ordinal; /* of the next record */
    uint64_t offset;  /* of the next record in bytes */
    uint64_t size;    /* of the list in bytes, 0 when it is no file */
    int64_t mtime_ns; /* of the list, 0 likewise */
};

/* One record; path is borrowed until the next one. */
struct stager_record {
    const char *path; /* absolute; NULL: FID only */
    struct lu_fid fid;
    uint64_t ordinal;
    uint64_t offset; /* where the record begins */
};

/*
 * Opens file name ("-": standard input) whose records end with line feeds or, with nul, NUL bytes
 * (then each is a path or FID as it is). A regular file is locked against another run until it is
 * closed. Returns 0, -EBUSY when another run has it, or a negative code with err.
 */
int stager_list_open(const char *name, bool nul, struct stager_list_reader *r, struct err *err);

/* Goes to the record number ordinal at offset, as an earlier run of the same list told them;
 * standard input is read up to there. Returns 0 or a negative code with err. */
int stager_list_seek(struct stager_list_reader *r, uint64_t ordinal, uint64_t offset,
                     struct err *err);

/* The next record: 1, 0 at the end, or a negative code with err. Blank records are skipped. */
int stager_list_next(struct stager_list_reader *r, struct stager_record *out, struct err *err);

/* How many records the list has, by its line ends; 0 when it is no regular file. Leaves r's place
 * as it is. */
uint64_t stager_list_count(struct stager_list_reader *r);

/* Closes it. */
void stager_list_fini(struct stager_list_reader *r);

/*
 * Takes one record of len bytes without its end apart: "[0x200000401:0x1:0x0]" (a FID, nothing
 * else), "INODE GENERATION SNAPID  SHOW -- PATH" (not with nul), or a path, relative ones below
 * cwd. out->path points into store. Returns 1, 0 for a blank record, or -EINVAL with err.
 */
int stager_record_parse(const char *line, size_t len, bool nul, const char *cwd, struct buf *store,
                        struct stager_record *out, struct err *err);

#endif
