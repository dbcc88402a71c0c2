/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site for engine tests: an ext4 on a loop device, a virtual library, a configuration, an engine.
 * Needs root. Failures of the set-up fail the test that called. One test at a time.
 */
#ifndef UNIT_ENGINE_SITE_H
#define UNIT_ENGINE_SITE_H

#include "conf/conf.h"
#include "engine/engine.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

struct site;

struct site_spec {
    unsigned drives, cartridges;
    uint64_t capacity;         /* of a cartridge; 0: 128 MiB */
    const char *posix_readers; /* NULL: "none" */
    const char *extra;         /* further lines of firn.conf; NULL: nothing is too young. Without a
                                  section recall there is no batch window */
    const char *library;       /* further members of the library; may be NULL */
    void (*prepare)(struct site *); /* called before the engine starts; may be NULL */
};

struct site {
    char dir[64];
    char mount[80];
    struct site_spec spec;
    struct conf *conf;
    struct engine *engine;
    struct err err;
};

/* Makes a site with spec (zeros: 2 drives, 4 cartridges) and starts its engine. */
struct site *site_new(const struct site_spec *spec);

/* Stops the engine, removes everything. */
void site_free(struct site *s);

/* Stops and starts the engine. between (may be NULL) runs while it is down. */
void site_restart(struct site *s, void (*between)(struct site *));

/* Calls an operation with arguments in JSON (printf form). Returns its code, with *result (may be
 * NULL) for the caller. */
int site_op(struct site *s, engine_op_fn *fn, cJSON **result, const char *args, ...)
    __attribute__((format(printf, 4, 5)));

/* Assigns n cartridges to pool, from the first-th on. */
void site_assign(struct site *s, const char *pool, unsigned first, unsigned n);

/* The path of name in the file system, in one of eight buffers that take turns. */
const char *site_path(struct site *s, const char *name);

/* Writes size bytes of a pattern made from seed to name, whole. Its time lies a while back. */
void site_write(struct site *s, const char *name, size_t size, unsigned seed);

/* Fails unless name holds what site_write put there. */
void site_check(struct site *s, const char *name, size_t size, unsigned seed);

/* Submits names (NULL-terminated) to pools ("" none) and waits for the end. The counts of the task
 * come back. */
struct engine_task_progress site_run(struct site *s, enum engine_task_type type, const char *pools,
                                     const char *const *names);

/* As site_run without waiting. Returns the task's id. */
int64_t site_submit(struct site *s, enum engine_task_type type, const char *pools,
                    const char *const *names);

/* As site_run for one name. */
struct engine_task_progress site_one(struct site *s, enum engine_task_type type, const char *pools,
                                     const char *name);

/* "resident", "premigrated" or "migrated". */
const char *site_state(struct site *s, const char *name);

/* Number of valid copies; barcodes[3][40] (may be NULL) gets their tapes. */
int site_copies(struct site *s, const char *name, char (*barcodes)[40]);

/* Member what of counts of task id. */
int64_t site_count(struct site *s, int64_t id, const char *what);

/* The message of the first failed file of task id, in a static buffer; code (may be NULL) too. */
const char *site_failure(struct site *s, int64_t id, char *code);

/* An integer member of op tape.show of barcode. */
int64_t site_tape(struct site *s, const char *barcode, const char *member);

/* Runs a program (argv, NULL-terminated) and fails unless it ends with 0. */
void site_exec(const char *const *argv);

#endif
