/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy language: rules in IBM Storage Scale's manner, text and facts in, decisions out. No
 * I/O but for include files. A policy is compiled once (policy_compile, unchangeable afterwards,
 * shared by any number of threads); each thread evaluates objects with its own struct policy_eval,
 * which asks for facts through the object's callbacks, cheapest first; candidates go into one
 * struct policy_chooser (policy/chooser.h), which orders them and chooses. The texts that
 * mmapplypolicy prints are in policy/report.h, list records and options of scripts in
 * policy/list.h. The language is described in firn-policy(5).
 */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/buf.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define POLICY_TEXT_MAX     (1024 * 1024) /* longest policy text, before and after macros, bytes */
#define POLICY_DEFAULT_POOL "system"      /* the disk pool when nothing else is said */

struct policy;      /* a compiled policy */
struct policy_eval; /* one thread's evaluation of objects */

/* ---- compiling ---- */

/* A definition as by -M name=value. */
struct policy_macro {
    const char *name;
    const char *value;
};

/* How to compile. Strings and arrays are the caller's and needed only during the call. */
struct policy_options {
    const char *file;                  /* the text's name in messages; NULL: "policy" */
    const struct policy_macro *macros; /* definitions of -M */
    size_t n_macros;
    const char *const *include_dirs; /* directories that include() may read from (configured) */
    size_t n_include_dirs;
    const char *const *pools; /* names of the disk pools that exist; NULL: "system" alone */
    size_t n_pools;
};

/* Where and why a text is wrong. Lines and columns count from 1 in the original file, also when the
 * fault came out of a macro (then the place is where the macro was called). */
struct policy_diag {
    char file[256];
    unsigned line;
    unsigned column;
    char source[256];   /* the source line, cut; no newline */
    char message[256];  /* what is wrong */
    char expected[256]; /* what would be right; may be empty */
};

/*
 * Compiles len bytes of text: macro stage, parse, checks. Sets *out (free with policy_free).
 * Returns 0; or -EINVAL with *diag (may be NULL) and err set to "FILE:LINE:COLUMN: message;
 * expected
 * ..."; or -EFBIG when the text is longer than POLICY_TEXT_MAX. Any thread.
 */
int policy_compile(const char *text, size_t len, const struct policy_options *opt,
                   struct policy **out, struct policy_diag *diag, struct err *err);

/* As policy_compile, of the file at path (also the name in messages, opt->file is ignored). Returns
 * as policy_compile, or another negated errno value with err set when it cannot be read. */
int policy_compile_file(const char *path, const struct policy_options *opt, struct policy **out,
                        struct policy_diag *diag, struct err *err);

/* Frees p; no struct policy_eval or chooser of it may be left. NULL is allowed. */
void policy_free(struct policy *p);

/* Appends "FILE:LINE:COL: error: message", the source line, a caret under the column and what was
 * expected to out, each with its newline. Any thread. */
void policy_diag_print(const struct policy_diag *diag, struct buf *out);

/* The i-th warning (0, 1, ...) as "FILE:LINE:COLUMN: text", or NULL behind the last. Lives as long
 * as p. Any thread. */
const char *policy_warning(const struct policy *p, size_t i);

/* The text after the macro stage, NUL-terminated. Lives as long as p. Any thread. */
const char *policy_expanded(const struct policy *p);

/* ---- looking at rules ---- */

enum policy_kind {
    POLICY_MIGRATE,
    POLICY_DELETE,
    POLICY_EXCLUDE,
    POLICY_LIST,
};

enum policy_quota {
    POLICY_QUOTA_POOL, /* POOL_CAPACITIES, the default */
    POLICY_QUOTA_FILESET,
    POLICY_QUOTA_FILESET_SOFT,
    POLICY_QUOTA_GROUP,
    POLICY_QUOTA_GROUP_SOFT,
    POLICY_QUOTA_USER,
    POLICY_QUOTA_USER_SOFT,
};

/* An EXTERNAL POOL or EXTERNAL LIST statement. Lives as long as its policy. */
struct policy_external {
    const char *name;   /* of the pool or list */
    const char *rule;   /* the statement's rule name, "" if none */
    bool is_list;       /* EXTERNAL LIST */
    const char *exec;   /* script; "" when none */
    const char *opts;   /* OPTS joined with blanks; "" when none */
    const char *escape; /* characters after the "%" of ESCAPE, NULL when no ESCAPE clause */
    uint64_t size_kb;   /* SIZE: close a list when its files sum up to this many KB; 0: no limit */
    enum policy_quota over; /* THRESHOLD 'class' */
    unsigned line;
};

/* A numbered rule (MIGRATE, DELETE, EXCLUDE, LIST) in file order. Lives as long as its policy. */
struct policy_rule {
    unsigned number; /* from 0, as in the table "Rule#" */
    enum policy_kind kind;
    const char *name;      /* "" when the rule has none */
    const char *list;      /* LIST: its name; else NULL */
    bool list_exclude;     /* LIST 'x' EXCLUDE */
    bool directories_plus; /* takes directories, links and special files too */
    const char *from_pool; /* FROM POOL, NULL when absent */
    const char *to_pool;   /* MIGRATE: TO POOL; else NULL */
    /* the external pool that from_pool or to_pool names, or the EXTERNAL LIST of list; else NULL */
    const struct policy_external *from_external;
    const struct policy_external *to_external;
    const struct policy_external *list_external;
    bool from_group; /* from_pool is a group pool: any member matches */
    bool to_group;
    bool has_threshold;
    double high, low, premig; /* percent; set when has_threshold */
    double limit;             /* LIMIT of the target, percent; 99 when absent (MIGRATE) */
    bool has_weight, has_show, has_size, has_action;
    const char *summary; /* as in the rule table: RULE 'n' MIGRATE FROM POOL 'p' ... WHERE(.) */
    unsigned line;       /* of the word RULE in the original file */
};

/* The number of numbered rules. Any thread. */
size_t policy_n_rules(const struct policy *p);

/* Numbered rule i (0 .. policy_n_rules()-1). Any thread. */
const struct policy_rule *policy_rule(const struct policy *p, size_t i);

/* The EXTERNAL POOL (list false) or EXTERNAL LIST (list true) called name, or NULL. Any thread. */
const struct policy_external *policy_external(const struct policy *p, const char *name, bool list);

/* The number of EXTERNAL statements, and the i-th. Any thread. */
size_t policy_n_externals(const struct policy *p);
const struct policy_external *policy_external_at(const struct policy *p, size_t i);

/* A member of a GROUP POOL. */
struct policy_member {
    const char *pool;
    double limit; /* percent; 99 when none was given */
};

/* The members of group pool name in their order, *n of them; NULL when no such group. Any thread.
 */
const struct policy_member *policy_group(const struct policy *p, const char *name, size_t *n);

/* Statement counts for the line "parsed N Placement Rules, ...". */
struct policy_counts {
    unsigned placement;     /* SET POOL, SET SNAP_POOL */
    unsigned restore;       /* RESTORE */
    unsigned migrate;       /* MIGRATE, DELETE, EXCLUDE */
    unsigned list;          /* LIST */
    unsigned external;      /* EXTERNAL POOL, EXTERNAL LIST */
    unsigned without_place; /* GROUP POOL, ENCRYPTION, SET ENCRYPTION: in none of the above */
};

/* Copies the statement counts of p into *out. Any thread. */
void policy_get_counts(const struct policy *p, struct policy_counts *out);

/* ---- facts ---- */

/* How dear a fact is. */
enum policy_stage {
    POLICY_STAGE_NAME = 0,   /* name, path, type, fileset, pool */
    POLICY_STAGE_STAT = 1,   /* + statx */
    POLICY_STAGE_XATTR = 2,  /* + extended attributes, owners' names, generation */
    POLICY_STAGE_ENGINE = 3, /* + state (MISC_ATTRIBUTES) and the engine's virtual attributes */
};

enum policy_state {
    POLICY_RESIDENT,
    POLICY_PREMIGRATED,
    POLICY_MIGRATED,
};

/* Letters of MISC_ATTRIBUTES besides type, A, M and V; or-ed. */
enum policy_flag {
    POLICY_FLAG_IMMUTABLE = 1,   /* X */
    POLICY_FLAG_APPEND_ONLY = 2, /* a */
    POLICY_FLAG_ACL = 4,         /* + */
    POLICY_FLAG_SPARSE = 8,      /* s */
};

/*
 * Where one object's facts come from. All functions are called from within policy_eval_object, on
 * its thread, at most once per fact and object, with the object's ctx. Strings they give must stay
 * valid until the object is done. A function may be NULL: then the default in brackets is used.
 */
struct policy_facts_ops {
    /* The absolute path, NUL-terminated [the name]. */
    int (*path)(void *ctx, const char **path, size_t *len);
    /* The fileset's name ["root"]. */
    int (*fileset)(void *ctx, const char **name);
    /* The disk pool's name ["system"]. */
    int (*pool)(void *ctx, const char **name);
    /* Attributes, all of STATX_BASIC_STATS, birth time if known [all such attributes are NULL]. */
    int (*stat)(void *ctx, const struct statx **stx);
    /* Extended attribute name into buf of cap bytes: its length, or -ENODATA when there is none,
     * -ERANGE when cap is too small (asked again with more) [none]. */
    ssize_t (*xattr)(void *ctx, const char *name, char *buf, size_t cap);
    /* All attribute names with their NULs, as listxattr(2) [none]. */
    ssize_t (*xattr_list)(void *ctx, char *buf, size_t cap);
    /* The engine's state of the object, and its flags (enum policy_flag) [resident, 0]. */
    int (*state)(void *ctx, enum policy_state *state, unsigned *flags);
    /* As xattr for names that begin with "dmapi.": dmapi.IBMTPS (the tapes' list of a premigrated
     * or migrated file), dmapi.IBMPMig (only premigrated) [xattr is asked]. */
    ssize_t (*virtual_xattr)(void *ctx, const char *name, char *buf, size_t cap);
    /* The inode generation [0]. */
    int (*generation)(void *ctx, uint64_t *gen);
    /* The name of user id (group false) or group id into buf, NUL-terminated [the id as text]. */
    int (*owner_name)(void *ctx, uint32_t id, bool group, char *buf, size_t cap);
    /* Sets extended attribute name to len bytes of value, for SETXATTR in an ACTION clause of a
     * rule that hit. [ACTION clauses are not run, as wanted for a dry run.] */
    int (*set_xattr)(void *ctx, const char *name, const char *value, size_t len);
};

/* One object. */
struct policy_object {
    const char *name; /* last component */
    size_t name_len;
    unsigned char d_type; /* DT_REG ...; DT_UNKNOWN: found out by stat */
    uint64_t ino;         /* inode number when known without stat, else 0 */
    const struct policy_facts_ops *ops;
    void *ctx; /* for ops */
};

/* ---- evaluating ---- */

/* Occupancy of a disk pool when the run starts. */
struct policy_pool {
    const char *name;
    uint64_t used_kb;
    uint64_t total_kb;
};

/* A rule that took the object. */
struct policy_hit {
    unsigned rule;           /* number of the rule */
    double weight;           /* INFINITY without WEIGHT and THRESHOLD; NULL is -INFINITY */
    int64_t size_kb;         /* SIZE of the rule, else KB allocated (migrated: for a recall, the
                                file's size) */
    const char *show;        /* SHOW text, "" when none or NULL; valid until the next object */
    size_t show_len;         /* bytes of show (may hold NULs) */
    const char *pool;        /* the object's disk pool */
    enum policy_state state; /* asked only when the target or source is an external pool */
};

/* What was decided about the object. Lives in the struct policy_eval until the next object. */
struct policy_decision {
    const struct policy_hit *hits; /* in file order; at most one MIGRATE, DELETE or EXCLUDE, any
                                      number of LISTs; LIST EXCLUDE hits are not reported */
    size_t n_hits;
};

/* Named outcomes of policy_eval_object. */
enum policy_outcome {
    POLICY_DECIDED = 0,
    POLICY_NEED_STAT = 1, /* equal to the enum policy_stage that is needed */
    POLICY_NEED_XATTR = 2,
    POLICY_NEED_ENGINE = 3,
};

/*
 * A new evaluation context for one thread: CURRENT_TIMESTAMP is now_ns (ns since 1970, UTC), pools
 * (copied) are the occupancies that THRESHOLD(high..) is held against; an unnamed pool counts as
 * full. WHEN clauses are decided here. p must outlive it. Never NULL; free with policy_eval_free.
 */
struct policy_eval *policy_eval_new(const struct policy *p, int64_t now_ns,
                                    const struct policy_pool *pools, size_t n_pools);

/* Frees ev; NULL is allowed. */
void policy_eval_free(struct policy_eval *ev);

/*
 * Decides about obj with facts up to stage upto (POLICY_STAGE_ENGINE: whatever it takes; facts are
 * asked cheapest first and only while a rule still hangs on them). Returns POLICY_DECIDED with
 * *decision set; or the stage that is needed next when that is above upto: call again with the same
 * obj and again = true to go on, or drop it; or the negated errno value of a fact function
 * (-ENOENT: the object is gone). *decision is valid until the next call. No allocation once buffers
 * have grown. One thread per ev.
 */
int policy_eval_object(struct policy_eval *ev, const struct policy_object *obj,
                       enum policy_stage upto, bool again, struct policy_decision *decision);

/* False when no rule can ever hit at this time (all WHENs or thresholds say no): a scan is
 * needless. */
bool policy_eval_alive(const struct policy_eval *ev);

/* The dearest stage that any live rule may need. */
enum policy_stage policy_eval_stage(const struct policy_eval *ev);

/* How many strings used as numbers were not numeric in rule number rule (for one warning per
 * rule). */
uint64_t policy_eval_bad_numbers(const struct policy_eval *ev, unsigned rule);

/* ---- small helpers ---- */

/*
 * MISC_ATTRIBUTES of an object into out[16]: type letter (F D L O from d_type DT_*), A for regular
 * files, the letters of flags, M when premigrated or migrated, V last when migrated; so resident
 * "FA", premigrated "FAM", migrated "FAMV". Any thread.
 */
void policy_misc_attributes(unsigned char d_type, enum policy_state state, unsigned flags,
                            char *out);

#endif
