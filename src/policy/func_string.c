/* SPDX-License-Identifier: Apache-2.0 */
/* Functions on strings, the look-up of all functions, and suggestions for misspelt names. */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Argument i as a string; false (and NULL in out) when it is NULL. */
static bool arg_str(struct policy_eval *ev, const struct policy_node *n, unsigned i,
                    struct policy_value *v, struct policy_value *out)
{
    policy_ev(ev, n->kid[i], v);
    policy_to_string(v, &ev->scratch);
    if (v->type == V_NULL)
        policy_set_null(out);
    return v->type != V_NULL;
}

/* Argument i as a whole number; false when it is NULL or none. */
static bool arg_int(struct policy_eval *ev, const struct policy_node *n, unsigned i, int64_t *v)
{
    struct policy_value t;
    policy_ev(ev, n->kid[i], &t);
    policy_note_bad(ev, !policy_to_number(&t));
    if (t.type == V_DEC && t.d > -9e18 && t.d < 9e18)
        policy_set_int(&t, (int64_t)t.d);
    *v = t.i;
    return t.type == V_INT;
}

static void ev_length(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value s;
    if (arg_str(ev, n, 0, &s, out))
        policy_set_int(out, (int64_t)s.s.n);
}

static void map_bytes(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out,
                      int (*fn)(int))
{
    struct policy_value s;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    char *p = policy_arena_dup(&ev->scratch, s.s.p, s.s.n);
    for (size_t i = 0; i < s.s.n; i++)
        if ((unsigned char)p[i] < 0x80)
            p[i] = (char)fn((unsigned char)p[i]);
    policy_set_str(out, p, s.s.n);
}

static void ev_lower(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    map_bytes(ev, n, out, tolower);
}

static void ev_upper(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    map_bytes(ev, n, out, toupper);
}

static void ev_hex(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    static const char digits[] = "0123456789ABCDEF";
    struct policy_value s;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    char *p = policy_arena_alloc(&ev->scratch, s.s.n * 2 + 1);
    for (size_t i = 0; i < s.s.n; i++) {
        p[2 * i] = digits[(unsigned char)s.s.p[i] >> 4];
        p[2 * i + 1] = digits[s.s.p[i] & 15];
    }
    p[s.s.n * 2] = '\0';
    policy_set_str(out, p, s.s.n * 2);
}

void policy_slice(struct policy_value *s, int64_t start, int64_t len)
{
    /* Start 0 acts as 1 and takes nothing off the length: the field depends on it. */
    uint64_t from = start > 1 ? (uint64_t)start - 1 : 0;
    if (from > s->s.n)
        from = s->s.n;
    uint64_t left = s->s.n - from;
    uint64_t take = len < 0 ? 0 : (uint64_t)len;
    s->s.p += from;
    s->s.n = take < left ? (size_t)take : (size_t)left;
}

bool policy_slice_args(struct policy_eval *ev, const struct policy_node *n, struct policy_value *s)
{
    int64_t start = 1, len = INT64_MAX;
    if ((n->n > 1 && !arg_int(ev, n, 1, &start)) || (n->n > 2 && !arg_int(ev, n, 2, &len)))
        return false;
    policy_slice(s, start, len);
    return true;
}

static void ev_substr(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value s;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    if (policy_slice_args(ev, n, &s))
        *out = s;
    else
        policy_set_null(out);
}

static void ev_varchar(struct policy_eval *ev, const struct policy_node *n,
                       struct policy_value *out)
{
    struct policy_value s;
    int64_t len = INT64_MAX;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    if (n->n > 1 && !arg_int(ev, n, 1, &len)) {
        policy_set_null(out);
        return;
    }
    policy_slice(&s, 1, len);
    *out = s;
}

#define CHAR_LEN_MAX 255

static void ev_char(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value s;
    int64_t len = 0;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    if (n->n > 1 && (!arg_int(ev, n, 1, &len) || len < 0)) {
        policy_set_null(out);
        return;
    }
    size_t want = n->n > 1 ? (size_t)len : s.s.n;
    if (want > CHAR_LEN_MAX)
        want = CHAR_LEN_MAX;
    char *p = policy_arena_alloc(&ev->scratch, want + 1);
    memset(p, ' ', want);
    memcpy(p, s.s.p, s.s.n < want ? s.s.n : want);
    p[want] = '\0';
    policy_set_str(out, p, want);
}

/* ---- regular expressions ---- */

#define REGEX_LEN_MAX    2000
#define REGEX_REPEAT_MAX 2000 /* product of all {n,m}: regcomp's memory grows with it */

static bool regex_is_tame(const char *p)
{
    unsigned long product = 1;
    if (strlen(p) > REGEX_LEN_MAX)
        return false;
    for (const char *b = strchr(p, '{'); b != NULL && product <= REGEX_REPEAT_MAX;
         b = strchr(b + 1, '{')) {
        char *end = NULL;
        unsigned long lo = strtoul(b + 1, &end, 10);
        unsigned long hi = *end == ',' ? strtoul(end + 1, NULL, 10) : lo;
        unsigned long most = lo > hi ? lo : hi;
        if (most > REGEX_REPEAT_MAX)
            return false;
        product *= most > 1 ? most : 1;
    }
    return product <= REGEX_REPEAT_MAX;
}

/* Compiles a constant pattern once (n->aux is the function's row; the regex goes into k). */
static int prepare_regex(struct compile *c, struct policy_node *n)
{
    struct policy_node *pat = n->kid[1];
    if (pat->eval != policy_ev_const || pat->k.type != V_STR)
        return 0;
    if (!regex_is_tame(pat->k.s.p))
        return policy_fail(c, pat->off, "a shorter pattern with smaller {n,m}",
                           "the regular expression is too large");
    char why[128];
    regex_t *re = xzalloc(sizeof(*re));
    int rc = regcomp(re, pat->k.s.p, REG_EXTENDED);
    if (rc != 0) {
        (void)regerror(rc, re, why, sizeof(why));
        free(re);
        return policy_fail(c, pat->off, "a POSIX extended regular expression",
                           "bad regular expression: %s", why);
    }
    policy_keep_regex(c->p, re);
    n->k.s.p = (const char *)re;
    return 0;
}

/* The pattern of node n: the prepared one, or *tmp compiled now. NULL: none. */
static const regex_t *get_regex(struct policy_eval *ev, const struct policy_node *n, regex_t *tmp)
{
    if (n->k.s.p != NULL)
        return (const regex_t *)n->k.s.p;
    struct policy_value pat;
    policy_ev(ev, n->kid[1], &pat);
    policy_to_string(&pat, &ev->scratch);
    if (pat.type == V_NULL)
        return NULL;
    const char *text = policy_arena_dup(&ev->scratch, pat.s.p, pat.s.n);
    if (!regex_is_tame(text) || regcomp(tmp, text, REG_EXTENDED) != 0)
        return NULL;
    return tmp;
}

static void ev_regex(struct policy_eval *ev, const struct policy_node *n, struct policy_value *out)
{
    struct policy_value s;
    regex_t tmp;
    if (!arg_str(ev, n, 0, &s, out))
        return;
    const regex_t *re = get_regex(ev, n, &tmp);
    if (re == NULL) {
        policy_set_null(out);
        return;
    }
    regmatch_t m = {.rm_so = 0, .rm_eo = (regoff_t)s.s.n};
    policy_set_bool(out, regexec(re, s.s.p, 1, &m, REG_STARTEND) == 0);
    if (re == &tmp)
        regfree(&tmp);
}

#define GROUPS 10

/* Appends the replacement for match m of s: \0 .. \9 are groups. */
static void add_replacement(struct buf *b, const struct policy_value *repl, const char *s,
                            const regmatch_t *m)
{
    for (size_t i = 0; i < repl->s.n; i++) {
        char ch = repl->s.p[i];
        bool group = ch == '\\' && i + 1 < repl->s.n && isdigit((unsigned char)repl->s.p[i + 1]);
        if (!group) {
            buf_addc(b, ch);
            continue;
        }
        const regmatch_t *g = &m[repl->s.p[++i] - '0'];
        if (g->rm_so >= 0)
            buf_add(b, s + g->rm_so, (size_t)(g->rm_eo - g->rm_so));
    }
}

static void replace_all(const regex_t *re, const struct policy_value *s,
                        const struct policy_value *repl, struct buf *b)
{
    regmatch_t m[GROUPS];
    size_t pos = 0;
    while (pos <= s->s.n && b->len <= POLICY_XATTR_MAX) {
        m[0] = (regmatch_t){.rm_so = (regoff_t)pos, .rm_eo = (regoff_t)s->s.n};
        int flags = REG_STARTEND | (pos > 0 ? REG_NOTBOL : 0);
        if (regexec(re, s->s.p, GROUPS, m, flags) != 0)
            break;
        buf_add(b, s->s.p + pos, (size_t)m[0].rm_so - pos);
        add_replacement(b, repl, s->s.p, m);
        pos = (size_t)m[0].rm_eo;
        if (m[0].rm_so == m[0].rm_eo) {
            if (pos < s->s.n)
                buf_addc(b, s->s.p[pos]);
            pos++;
        }
    }
    if (pos < s->s.n)
        buf_add(b, s->s.p + pos, s->s.n - pos);
}

static void ev_regexreplace(struct policy_eval *ev, const struct policy_node *n,
                            struct policy_value *out)
{
    struct policy_value s, repl;
    regex_t tmp;
    if (!arg_str(ev, n, 0, &s, out) || !arg_str(ev, n, 2, &repl, out))
        return;
    const regex_t *re = get_regex(ev, n, &tmp);
    if (re == NULL) {
        policy_set_null(out);
        return;
    }
    auto_buf struct buf b = {0};
    buf_add(&b, "", 0);
    replace_all(re, &s, &repl, &b);
    if (re == &tmp)
        regfree(&tmp);
    policy_set_str(out, policy_arena_dup(&ev->scratch, b.data, b.len), b.len);
}

const struct policy_func policy_funcs_string[] = {
    {"CHAR", V_STR, 1, 2, POLICY_STAGE_NAME, 0, "CHAR(value[, length])", ev_char, NULL},
    {"CONCAT", V_STR, 2, 2, POLICY_STAGE_NAME, 0, "CONCAT(a, b)", policy_ev_concat, NULL},
    {"HEX", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "HEX(string)", ev_hex, NULL},
    {"LENGTH", V_INT, 1, 1, POLICY_STAGE_NAME, 0, "LENGTH(string)", ev_length, NULL},
    {"LOWER", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "LOWER(string)", ev_lower, NULL},
    {"UPPER", V_STR, 1, 1, POLICY_STAGE_NAME, 0, "UPPER(string)", ev_upper, NULL},
    {"REGEX", V_BOOL, 2, 2, POLICY_STAGE_NAME, 0, "REGEX(string, 'pattern')", ev_regex,
     prepare_regex},
    {"REGEXREPLACE", V_STR, 3, 3, POLICY_STAGE_NAME, 0,
     "REGEXREPLACE(string, 'pattern', 'replacement')", ev_regexreplace, prepare_regex},
    {"SUBSTR", V_STR, 2, 3, POLICY_STAGE_NAME, 0, "SUBSTR(string, start[, length])", ev_substr,
     NULL},
    {"VARCHAR", V_STR, 1, 2, POLICY_STAGE_NAME, 0, "VARCHAR(value[, length])", ev_varchar, NULL},
    {NULL, V_NULL, 0, 0, POLICY_STAGE_NAME, 0, NULL, NULL, NULL},
};

/* ---- looking functions up ---- */

static const struct policy_func *const tables[] = {policy_funcs_string, policy_funcs_number,
                                                   policy_funcs_date, policy_funcs_xattr};
#define N_TABLES (sizeof(tables) / sizeof(tables[0]))

const struct policy_func *policy_func_find(const char *name)
{
    for (size_t t = 0; t < N_TABLES; t++)
        for (const struct policy_func *f = tables[t]; f->name != NULL; f++)
            if (strcasecmp(f->name, name) == 0)
                return f;
    return NULL;
}

const char *policy_func_near(const char *name)
{
    for (size_t t = 0; t < N_TABLES; t++)
        for (const struct policy_func *f = tables[t]; f->name != NULL; f++)
            if (policy_is_near(f->name, name))
                return f->args;
    return NULL;
}

/* Levenshtein's distance of at most 2 (1 for short words), any case. */
bool policy_is_near(const char *a, const char *b)
{
    enum { MAX = 40 };
    size_t la = strlen(a), lb = strlen(b);
    unsigned row[MAX + 1];
    if (la > MAX || lb > MAX || la == 0)
        return false;
    for (size_t j = 0; j <= lb; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= la; i++) {
        unsigned diag = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= lb; j++) {
            unsigned same =
                diag + (toupper((unsigned char)a[i - 1]) != toupper((unsigned char)b[j - 1]));
            unsigned other = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diag = row[j];
            row[j] = same < other ? same : other;
        }
    }
    return row[lb] <= (la > 5 ? 2u : 1u);
}
