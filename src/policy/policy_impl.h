/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the policy module share: the arena, the text with the origin of every byte,
 * tokens, values, expression nodes and the compiled policy. Nothing here is for other modules. A
 * struct compile and a struct policy_eval belong to one thread; a finished struct policy is only
 * read.
 */
#ifndef POLICY_POLICY_IMPL_H
#define POLICY_POLICY_IMPL_H

#include "policy/policy.h"

#include <regex.h>

/* ---- arena: memory that is freed all at once ---- */

struct policy_chunk;

struct policy_arena {
    struct policy_chunk *head; /* the chunk in use; older ones behind it */
};

/* n bytes, aligned for any type, not zeroed. Aborts when memory is gone. Never NULL. */
void *policy_arena_alloc(struct policy_arena *a, size_t n) __attribute__((returns_nonnull));

/* As policy_arena_alloc, zeroed. */
void *policy_arena_zalloc(struct policy_arena *a, size_t n) __attribute__((returns_nonnull));

/* A copy of n bytes of p with a NUL behind. */
char *policy_arena_dup(struct policy_arena *a, const char *p, size_t n)
    __attribute__((returns_nonnull));

/* Makes all memory free again; keeps one chunk as large as everything was, so that the same use
 * allocates nothing the next time. */
void policy_arena_reset(struct policy_arena *a);

/* Frees everything. */
void policy_arena_fini(struct policy_arena *a);

/* ---- text after the macro stage, and where each byte came from ---- */

struct policy_file {
    char *name;
    char *text;
    size_t len;
};

/* A byte's origin: offset in a file; macro: index + 1 of the macro whose expansion it came out of
 * (the outermost), 0 when it stands in the file itself. */
struct policy_origin {
    unsigned file;
    unsigned macro;
    size_t off;
};

/* From output offset out on: origin at, moving along when at.macro is 0, else fixed. */
struct policy_seg {
    size_t out;
    struct policy_origin at;
};

struct policy_source {
    struct policy_file *files; /* [0]: the policy; others: include files */
    size_t n_files;
    struct policy_seg *segs;
    size_t n_segs, cap_segs;
    char **macros; /* names, for messages */
    size_t n_macros;
    struct buf text; /* the expanded text */
};

/* Frees what s holds. */
void policy_source_fini(struct policy_source *s);

/* The origin of output offset off. */
struct policy_origin policy_source_find(const struct policy_source *s, size_t off);

/* Fills in diag's place (file, line, column, source line) from origin o. */
void policy_source_place(const struct policy_source *s, struct policy_origin o,
                         struct policy_diag *diag);

/* ---- compiling ---- */

enum policy_tok { TOK_END, TOK_WORD, TOK_STR, TOK_INT, TOK_DEC, TOK_PUNCT };

struct policy_token {
    enum policy_tok kind;
    int op;           /* TOK_PUNCT: the character, or an OP2_ value */
    size_t off;       /* in the expanded text */
    const char *text; /* word as written, string's value; NUL-terminated */
    size_t len;
    int64_t i;
    double d;
};

/* Two-character punctuation. */
enum { OP2_CONCAT = 256, OP2_POW, OP2_NE, OP2_LE, OP2_GE };

struct policy_node;

struct compile {
    const struct policy_options *opt;
    struct policy *p;
    struct policy_token *tok;
    size_t n_tok, cur;
    unsigned nesting; /* of the expression being parsed */
    bool in_action;   /* inside an ACTION clause */
    struct policy_diag *diag;
    struct err *err;
    struct policy_rule_impl *rule; /* being parsed, or NULL */
};

/* Fails at origin o: fills in diag and err, returns -EINVAL. expected may be NULL. */
int policy_fail_at(struct compile *c, struct policy_origin o, const char *expected, const char *fmt,
                   ...) __attribute__((format(printf, 4, 5)));

/* Fails at offset off of the expanded text. */
int policy_fail(struct compile *c, size_t off, const char *expected, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Adds a warning at origin o, and one at offset off of the expanded text. */
void policy_warn_at(struct compile *c, struct policy_origin o, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void policy_warn(struct compile *c, size_t off, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The macro stage: text through the macro processor into c->p->source. 0 or a negative code. */
int policy_macro_run(struct compile *c, const char *text, size_t len);

/* Reads include file path as options allow; the text is the caller's. 0 or a negative code with a
 * reason in err. */
int policy_include_read(const struct policy_options *opt, const char *path, char **text,
                        size_t *len, struct err *err);

/* Splits the expanded text into c->tok. 0 or a negative code. */
int policy_lex(struct compile *c);

/* Parses all statements. 0 or a negative code. */
int policy_parse_rules(struct compile *c);

/* Checks what needs all statements (pools, lists) and completes the rules. 0 or a negative code. */
int policy_check_rules(struct compile *c);

/* Token helpers: the current one; whether it is word w (any case) or punctuation op; the same and
 * step over it. */
const struct policy_token *policy_cur(const struct compile *c);
bool policy_is_word(const struct compile *c, const char *w);
bool policy_is_op(const struct compile *c, int op);
bool policy_take_word(struct compile *c, const char *w);
bool policy_take_op(struct compile *c, int op);

/* Steps over punctuation op, or fails saying what was expected. */
int policy_need_op(struct compile *c, int op, const char *expected);

/* How the current token is shown in messages, into out[64]. */
const char *policy_show_token(const struct compile *c, char *out);

/* ---- values ---- */

enum policy_vtype { V_NULL, V_BOOL, V_INT, V_DEC, V_STR, V_TS, V_DATE, V_IV };

enum policy_unit {
    UNIT_NONE,
    UNIT_SECOND,
    UNIT_MINUTE,
    UNIT_HOUR,
    UNIT_DAY,
    UNIT_MONTH,
    UNIT_YEAR
};

/* A value; as a static type V_NULL means "not known before the run". */
struct policy_value {
    uint8_t type;
    uint8_t unit;   /* V_IV: of a cast; as a number it counts in this unit (none: seconds) */
    int32_t months; /* V_IV: calendar months besides i */
    union {
        int64_t i; /* V_BOOL 0 1, V_INT, V_TS and V_DATE: us since 1970, V_IV: us */
        double d;
        struct {
            const char *p;
            size_t n;
        } s;
    };
};

#define US_PER_SEC 1000000LL
#define US_PER_DAY (86400 * US_PER_SEC)

/* Shorthands that set *v. */
void policy_set_null(struct policy_value *v);
void policy_set_bool(struct policy_value *v, bool b);
void policy_set_int(struct policy_value *v, int64_t i);
void policy_set_dec(struct policy_value *v, double d);
void policy_set_str(struct policy_value *v, const char *p, size_t n);
void policy_set_us(struct policy_value *v, enum policy_vtype type, int64_t us);

/* v as a number in *v (V_INT or V_DEC) or V_NULL: strings wholly numeric, intervals in their unit,
 * timestamps as seconds since 1970. False when a string was not numeric. */
bool policy_to_number(struct policy_value *v);

/* v as a double; NaN when it has none. */
double policy_to_double(const struct policy_value *v);

/* v as V_TS in *v: strings and numbers as by TIMESTAMP(); V_NULL when unparsable. */
void policy_to_timestamp(struct policy_value *v);

/* v as V_STR in *v with memory from a (numbers, times, booleans as text); V_NULL stays. */
void policy_to_string(struct policy_value *v, struct policy_arena *a);

/* Compares for = < >: -1, 0, 1, or 2 when NULL comes out; *bad is set when a string was not
 * numeric. */
int policy_compare(const struct policy_value *a, const struct policy_value *b, bool *bad);

/* out = a op b, op one of + - * / % OP2_POW. out may be a or b. *bad as above. */
void policy_arith(int op, const struct policy_value *a, const struct policy_value *b,
                  struct policy_value *out, bool *bad);

/* The total of an interval in us, a month counting 30 days. */
int64_t policy_interval_us(const struct policy_value *v);

/* us in one unit (a month 30, a year 360 days). */
int64_t policy_unit_us(enum policy_unit u);

/* ---- calendar (proleptic Gregorian, UTC) ---- */

struct policy_date {
    int64_t year;
    int month, day;            /* 1.. */
    int hour, minute, second;  /* 0.. */
    int64_t day_number;        /* days since 1970-01-01 */
    int week_day;              /* 1 = Sunday */
    int year_day;              /* 1.. */
    int month_days, year_days; /* lengths */
};

/* Splits us since 1970. */
void policy_date_split(int64_t us, struct policy_date *d);

/* Days since 1970-01-01 of a civil date. */
int64_t policy_date_days(int64_t year, int month, int day);

/* Reads "YYYY-MM-DD", "YYYY-MM-DD[ T@]HH:MM:SS[.f][Z]" of n bytes (blanks around allowed). 0 with
 * *us set, or -EINVAL. */
int policy_date_parse(const char *p, size_t n, int64_t *us);

/* ---- LIKE ---- */

struct policy_like;

/* Compiles pattern (n bytes, escape -1 for none) with memory from a. NULL when the escape is not
 * followed by %, _ or itself: then *why says what is wrong. */
struct policy_like *policy_like_compile(struct policy_arena *a, const char *pat, size_t n,
                                        int escape, const char **why);

/* Whether s (n bytes) matches as a whole. */
bool policy_like_match(const struct policy_like *l, const char *s, size_t n);

/* ---- expressions ---- */

typedef void policy_eval_fn(struct policy_eval *ev, const struct policy_node *n,
                            struct policy_value *out);

enum policy_class { CLASS_LEAF, CLASS_AND, CLASS_OR, CLASS_NOT };

struct policy_node {
    policy_eval_fn *eval;
    enum policy_class class;
    uint8_t type;  /* enum policy_vtype */
    uint8_t stage; /* enum policy_stage: dearest fact below */
    uint8_t cost;  /* order within a stage: larger is dearer */
    bool is_const; /* no facts, no time, no chance */
    bool uses_time;
    bool uses_facts;
    unsigned depth;
    unsigned n;
    struct policy_node **kid;
    struct policy_value k; /* literal */
    int op;                /* operator, unit, attribute or slot index */
    const void *aux;       /* attribute or function row, compiled pattern */
    size_t off;            /* in the expanded text */
};

/* Parses one expression. Sets *out (memory of the policy). 0 or a negative code. */
int policy_parse_expr(struct compile *c, struct policy_node **out);

/* Fails unless n is (or may be) boolean. */
int policy_need_bool(struct compile *c, const struct policy_node *n);

/* Makes a node over n kids (copied) with evaluator fn and static type. */
struct policy_node *policy_node_new(struct compile *c, size_t off, policy_eval_fn *fn,
                                    enum policy_vtype type, struct policy_node *const *kids,
                                    unsigned n);

/* Evaluators of the operators; n->op, n->kid say the rest (eval_op.c). */
policy_eval_fn policy_ev_const, policy_ev_and, policy_ev_or, policy_ev_not, policy_ev_compare,
    policy_ev_like, policy_ev_in, policy_ev_between, policy_ev_is_null, policy_ev_concat,
    policy_ev_arith, policy_ev_negate, policy_ev_cast_unit, policy_ev_case, policy_ev_convert,
    policy_ev_now, policy_ev_today, policy_ev_attr;

/* Evaluates n. */
static inline void policy_ev(struct policy_eval *ev, const struct policy_node *n,
                             struct policy_value *out)
{
    n->eval(ev, n, out);
}

/* An attribute: one row each (attr.c). */
struct policy_attr {
    const char *name;
    enum policy_vtype type;
    enum policy_stage stage;
    uint8_t cost;
    void (*get)(struct policy_eval *ev, struct policy_value *out);
};

/* The row of attribute name (any case), or NULL. */
const struct policy_attr *policy_attr_find(const char *name);

/* The i-th row, or NULL behind the last. */
const struct policy_attr *policy_attr_at(size_t i);

/* The attribute whose name is nearest to name, for messages; NULL when none is near. */
const char *policy_attr_near(const char *name);

enum { FUNC_TIME = 1, FUNC_CHANCE = 2, FUNC_ACTION = 4, FUNC_XATTR = 8 };

/* A function: one row each (func*.c). */
struct policy_func {
    const char *name;
    enum policy_vtype type;
    uint8_t min_args, max_args;
    enum policy_stage stage; /* of the function itself */
    uint8_t flags;
    const char *args; /* what to write, for messages */
    policy_eval_fn *eval;
    /* Checks and prepares a call at parse time (patterns, xattr slots); NULL: nothing to do. */
    int (*prepare)(struct compile *c, struct policy_node *n);
};

extern const struct policy_func policy_funcs_string[], policy_funcs_number[], policy_funcs_date[],
    policy_funcs_xattr[];

/* The row of function name (any case), or NULL. */
const struct policy_func *policy_func_find(const char *name);

/* The function whose name is nearest to name; NULL when none is near. */
const char *policy_func_near(const char *name);

/* Whether a and b differ by little enough to suggest one for the other. */
bool policy_is_near(const char *a, const char *b);

/* The index of xattr name in the policy's table of names (added when new). */
int policy_xattr_slot(struct compile *c, const char *name);

/* Cuts s to len bytes from start (1 is the first; 0 acts as 1). */
void policy_slice(struct policy_value *s, int64_t start, int64_t len);

/* As policy_slice with arguments 1 and 2 of call n, when it has them. False when one is NULL. */
bool policy_slice_args(struct policy_eval *ev, const struct policy_node *n, struct policy_value *s);

/* ---- statements ---- */

enum policy_stmt {
    STMT_SET_POOL,
    STMT_GROUP_POOL,
    STMT_MIGRATE,
    STMT_DELETE,
    STMT_EXCLUDE,
    STMT_LIST,
    STMT_RESTORE,
    STMT_EXTERNAL_POOL,
    STMT_EXTERNAL_LIST,
    STMT_SET_ENCRYPTION,
    STMT_ENCRYPTION,
    STMT_N
};

struct policy_rule_impl {
    struct policy_rule pub;
    enum policy_stmt stmt;
    size_t off; /* of the word RULE */
    size_t off_from, off_to;
    unsigned seen; /* clauses, bits 1 << enum policy_clause */
    struct policy_node *when, *where, *weight, *show, *size, *action;
    const char *show_text; /* literal in front of the value, or NULL */
    struct policy_node *threshold[3];
    const char **filesets;
    size_t n_filesets;
    const char *target; /* SET POOL, RESTORE, GROUP POOL: pool name */
    struct policy_external *ext;
    struct policy_member *members;
    size_t n_members;
    /* WHERE split at AND, cheapest first */
    struct policy_node **terms;
    size_t n_terms;
    enum policy_stage stage; /* dearest of all terms and outputs */
    int list_id;             /* LIST: same name, same number */
};

struct policy {
    struct policy_arena arena;
    struct policy_source source;
    char **warnings;
    size_t n_warnings;
    struct policy_rule_impl **stmts; /* all statements in file order */
    size_t n_stmts;
    struct policy_rule_impl **rules; /* numbered rules */
    size_t n_rules;
    struct policy_external **externals;
    size_t n_externals;
    const char **xattrs; /* constant names, by slot */
    size_t n_xattrs;
    regex_t **regexes; /* to be freed */
    size_t n_regexes;
    size_t n_lists;
};

/* Remembers re so that policy_free frees it. */
void policy_keep_regex(struct policy *p, regex_t *re);

/* ---- evaluation context ---- */

#define POLICY_XATTR_MAX (64 * 1024) /* longest value of an extended attribute, Linux's limit */

struct policy_xattr_cache {
    uint64_t object; /* serial of the object it was read for */
    struct policy_value v;
};

struct policy_rule_state {
    uint8_t off;    /* never hits in this context */
    uint8_t result; /* enum rule_result in decide.c */
    unsigned next;  /* first term not yet decided */
};

struct policy_eval {
    const struct policy *p;
    int64_t now_us;
    struct policy_arena scratch;
    const struct policy_object *obj;
    uint64_t serial; /* of the object */
    int fail;        /* a fact function's error */
    unsigned rule;   /* being evaluated, for bad_numbers */
    uint64_t random;
    /* facts of the object */
    bool has_path, has_state, has_misc;
    const char *path;
    size_t path_len;
    const struct statx *stx; /* NULL: not asked or not known */
    bool stat_asked;
    const char *pool, *fileset;
    enum policy_state state;
    unsigned flags;
    char misc[16];
    struct policy_xattr_cache *xattrs;
    char *xbuf;
    size_t xbuf_cap;
    regmatch_t *matches;
    /* rules */
    struct policy_rule_state *rules;
    struct policy_hit *hits;
    size_t n_hits;
    uint64_t *bad_numbers;
    uint8_t *list_dead;
    struct policy_pool *pools;
    size_t n_pools;
    bool alive;
    enum policy_stage stage;
    struct policy_pool *pool_copy;
};

/* Facts with caching; NULL or a default when absent; ev->fail is set on failure. */
const char *policy_fact_path(struct policy_eval *ev, size_t *len);
const struct statx *policy_fact_stat(struct policy_eval *ev);
const char *policy_fact_pool(struct policy_eval *ev);
const char *policy_fact_fileset(struct policy_eval *ev);
unsigned char policy_fact_type(struct policy_eval *ev);
enum policy_state policy_fact_state(struct policy_eval *ev, unsigned *flags);

/* Extended attribute name as V_STR or V_NULL; memory of ev->scratch. */
void policy_fact_xattr(struct policy_eval *ev, const char *name, struct policy_value *out);

/* KB allocated (rounded up) of the object, 0 when not known. */
int64_t policy_fact_kb(struct policy_eval *ev);

/* Counts a string that was not a number. */
static inline void policy_note_bad(struct policy_eval *ev, bool bad)
{
    if (bad && ev->bad_numbers != NULL)
        ev->bad_numbers[ev->rule]++;
}

/* Percent used of pool name (a group: of its members); NaN when not known. */
double policy_pool_percent(const struct policy *p, const struct policy_pool *pools, size_t n,
                           const char *name);

/* Whether pool name is in group. */
bool policy_group_has(const struct policy *p, const char *group, const char *name);

#endif
