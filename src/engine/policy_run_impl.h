/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the parts of a policy run: policy_run.c reads the arguments and leads, policy_scan.c
 * finds candidates, policy_exec.c carries out what was chosen, policy_builtin.c gives work to the
 * engine, policy_script.c runs scripts, policy_defer.c writes list files.
 */
#ifndef ENGINE_POLICY_RUN_IMPL_H
#define ENGINE_POLICY_RUN_IMPL_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "conf/conf.h"
#include "engine/engine.h"
#include "engine/policy_run.h"
#include "policy/chooser.h"
#include "policy/policy.h"
#include "policy/report.h"

#include <pthread.h>
#include <stdatomic.h>

struct statx;

enum run_mode {
    RUN_YES,     /* execute */
    RUN_TEST,    /* evaluate and report only */
    RUN_DEFER,   /* write the lists, execute nothing */
    RUN_PREPARE, /* write sorted candidate records, execute nothing */
};

/* Where lines and progress go; any thread. */
struct run_out {
    policy_run_event_fn *fn; /* NULL: nowhere */
    void *arg;
    bool errors_only; /* lines "[I] ..." and "[W] ..." are dropped */
    pthread_mutex_t lock;
    int64_t last_ns; /* when progress was told last; under lock */
};

/* What became of the chosen objects. */
struct run_counts {
    int64_t dispatched;
    int64_t executed;
    int64_t failed;
};

/* One policy run. Constant after its preparation, but for out, chooser and counts. */
struct run {
    struct engine *engine;
    const struct conf *conf;
    const struct conf_filesystem *fs;
    char *target;     /* as asked */
    char *root;       /* directory that is scanned, absolute */
    const char *file; /* name of the policy in messages */
    char *prefix;     /* of list files; NULL */
    enum run_mode mode;
    enum policy_level level;
    int64_t now_ns;        /* CURRENT_TIMESTAMP */
    int64_t batch_files;   /* at most so many files per list of a script */
    unsigned parallel;     /* scripts at once */
    bool needs_generation; /* lists will be written: candidates carry the inode generation */
    char **input_paths;    /* instead of a scan; NULL */
    size_t n_input_paths;
    const struct policy_pass *pass; /* only for files that were changed (policy_run.h); NULL */
    struct policy *policy;
    struct policy_pool pool; /* the disk pool's occupancy */
    struct policy_chooser *chooser;
    struct run_out out;
    struct run_counts counts;
};

/* ---- output (policy_run.c) ---- */

/* Sends each line of text as an event. */
void run_say(struct run_out *out, const struct buf *text);

/* Sends one line in printf form. */
void run_sayf(struct run_out *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Tells progress, unless that was done less than half a second ago; the end (done == total) is
 * always told. total < 0: not known. stage:
 * one word. */
void run_progress(struct run_out *out, const char *stage, int64_t done, int64_t total,
                  int64_t bytes_done, int64_t bytes_total);

/* ---- preparation (policy_run.c); each returns 0 or a negative code with err set ---- */

/* Reads argument target into r. */
int run_take_target(struct run *r, const cJSON *args, struct err *err);

/* Reads level, batch_files and parallel into r. */
int run_take_numbers(struct run *r, const cJSON *args, struct err *err);

/* Compiles what args name; *file is borrowed from args. *details (the caller's): what is wrong in
 * the text. */
int run_take_policy(const struct conf *conf, const cJSON *args, const char **file,
                    struct policy **out, cJSON **details, struct err *err);

/* Asks for the disk pool's occupancy. */
int run_take_pool(struct run *r, struct err *err);

/* run_preflight, with the rule's place in *details and err. */
int run_check_rules(struct run *r, cJSON **details, struct err *err);

/* Phases one and two. */
int run_choose(struct run *r, struct err *err);

/* Frees what r holds. */
void run_fini(struct run *r);

/* ---- changed files (policy_changed.c) ---- */

/* With r->pass: takes what the pass leaves alone out of *d, whose hits then are kept[] (room for as
 * many), and tells it. stx: of the object at path. Any thread of the scan. */
void run_pass_filter(struct run *r, const char *path, const struct statx *stx,
                     struct policy_hit *kept, struct policy_decision *d);

/* With r->pass: whether the pass is for an object with these attributes at all. */
bool run_pass_wants(const struct run *r, const struct statx *stx);

/* ---- parts ---- */

/* The statement whose program works on the objects of rule; NULL: none (disk only, or a list that
 * nobody takes). */
const struct policy_external *run_external_of(const struct policy_rule *rule);

/* Phase one: scans (or visits the given paths) and adds candidates to r->chooser. Returns 0 or a
 * negative code with err set. */
int run_scan(struct run *r, struct err *err);

/* True when the program that ext names is firn itself: its work goes straight into the engine. */
bool run_is_builtin(const struct run *r, const struct policy_external *ext);

/* Before anything moves: can every rule's work be done? Checks options, pools and attributes.
 * Returns 0, or a negative code with err set naming rule and line; *line is that line. */
int run_preflight(struct run *r, unsigned *line, struct err *err);

/* Phase three: carries out what was chosen, and waits for its end. Failed files are counted.
 * Returns 0 or a negative code with err set. */
int run_execute(struct run *r, struct err *err);

/* Modes defer and prepare: writes the files. Returns 0 or a negative code with err set. */
int run_write_lists(struct run *r, struct err *err);

/* ---- work in the engine (policy_builtin.c) ---- */

struct run_builtin;

/* What a chosen object asks of the engine. */
struct run_job {
    const struct policy_external *ext;
    const char *rule; /* its name */
    enum policy_work work;
};

/* Checks that ext's OPTS and pools fit work. Returns 0 or a negative code with err set. */
int run_builtin_check(struct run *r, const struct run_job *job, struct err *err);

/* A collector of engine work for run r. Never NULL; free with run_builtin_free. */
struct run_builtin *run_builtin_new(struct run *r);

/* Adds a chosen object; opens, fills and commits batches. Returns 0 or a negative code with err. */
int run_builtin_add(struct run_builtin *b, const struct run_job *job, const struct policy_chosen *c,
                    struct err *err);

/* Commits what is open and waits until all tasks ended, telling progress and counting; with r->pass
 * it does not wait, and what was handed over counts as executed. Returns 0 or a negative code with
 * err set (-ESHUTDOWN: the tasks go on after the next start). */
int run_builtin_finish(struct run_builtin *b, struct err *err);

/* Frees b; an open batch is dropped. NULL is allowed. */
void run_builtin_free(struct run_builtin *b);

/* ---- scripts (policy_script.c) ---- */

struct run_scripts;

/* A runner of scripts for run r. Never NULL; free with run_scripts_free. */
struct run_scripts *run_scripts_new(struct run *r);

/* Adds a chosen object to the list for script ext and command (static string: MIGRATE, LIST, ...);
 * calls the script when the list is full. A script whose TEST failed gets nothing: the object
 * counts as failed. Returns 0 or a negative code with err set. */
int run_scripts_add(struct run_scripts *s, const struct policy_external *ext, const char *command,
                    const struct policy_chosen *c, struct err *err);

/* Hands out the open list and waits for all scripts. Returns 0 or a negative code with err set. */
int run_scripts_finish(struct run_scripts *s, struct err *err);

/* Frees s, ending scripts that still run. NULL is allowed. */
void run_scripts_free(struct run_scripts *s);

#endif
