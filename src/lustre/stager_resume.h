/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file by which an interrupted run of the stager goes on: which records of its list are done.
 * A picture of the run, replaced durably now and then, and behind it one line for each thing that
 * happened since. A line is written before a request goes out, so a run that was killed knows
 * which files may be in the coordinator's queue. A picture that is damaged is not believed, a torn
 * last line is left out: then files are looked at again, and their state says what is done. Format:
 * doc/design/lustre-stager.md. One thread.
 */
#ifndef LUSTRE_STAGER_RESUME_H
#define LUSTRE_STAGER_RESUME_H

#include "base/err.h"
#include "lustre/stager.h"

#include <stdbool.h>
#include <stdint.h>

struct stager_resume;

/* What a run works on: a file of another list or action is not gone on with. */
struct stager_resume_id {
    enum stager_action action;
    uint32_t archive_id;
    uint64_t list_size;
    int64_t list_mtime_ns;
};

/* What an earlier run left. */
struct stager_resumed {
    bool found;       /* there is something to go on with */
    bool damaged;     /* there was a file, and it was not believed */
    uint64_t ordinal; /* the first record that is to be read again, and its place */
    uint64_t offset;
    uint64_t ended;                   /* records that need not be looked at again */
    uint64_t results[STAGER_RESULTS]; /* of them */
    uint64_t bytes_done;
    uint64_t report_len; /* bytes of the report that belong to them */
};

/*
 * Opens the resume file at path for the run that id describes; a file that is there is read (and
 * with restart dropped). Returns 0 with *out (stager_resume_close) and *found set; -ESTALE with err
 * when the file belongs to another list or action; or another negative code with err.
 */
int stager_resume_open(const char *path, const struct stager_resume_id *id, bool restart,
                       struct stager_resume **out, struct stager_resumed *found, struct err *err);

/* Record number ordinal was read at offset; the one behind it begins at next_offset. Returns true
 * when it is still to be done, and is in work now; *sent: it may have been requested already.
 * Records are told in their order. */
bool stager_resume_take(struct stager_resume *r, uint64_t ordinal, uint64_t offset,
                        uint64_t next_offset, bool *sent);

/* Records are about to be requested: written at once. Returns 0 or a negative code with err. */
int stager_resume_sent(struct stager_resume *r, const uint64_t *ordinals, size_t n,
                       struct err *err);

/* A record has come to its end with result, size bytes. Written by stager_resume_flush. */
void stager_resume_ended(struct stager_resume *r, uint64_t ordinal, enum stager_result result,
                         uint64_t size);

/* Writes what ended since, when report_len bytes of the report have been written; now and then a
 * new picture, durably. picture: do that now. Returns 0 or a negative code with err. */
int stager_resume_flush(struct stager_resume *r, uint64_t report_len, bool picture,
                        struct err *err);

/* Closes r; complete: the run is at its end, and the file is deleted. NULL is allowed. */
void stager_resume_close(struct stager_resume *r, bool complete);

/* Reads the text of a resume file (len bytes) into a new r without a file, for id; NULL id: any.
 * For stager_resume_open, tests and fuzzing. Returns 0, -ESTALE, or -EINVAL when the picture is
 * damaged. */
int stager_resume_parse(const char *text, size_t len, const struct stager_resume_id *id,
                        struct stager_resume **out, struct stager_resumed *found, struct err *err);

#endif
