/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/macro_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- definitions ---- */

static struct macro_def **bucket(struct macro_run *m, const char *name)
{
    unsigned h = 5381;
    for (; *name != '\0'; name++)
        h = h * 33 + (unsigned char)*name;
    return &m->defs[h % MACRO_BUCKETS];
}

struct macro_def *macro_def_find(struct macro_run *m, const char *name)
{
    struct macro_def *d = *bucket(m, name);
    while (d != NULL && strcmp(d->name, name) != 0)
        d = d->next;
    return d;
}

static void def_remove(struct macro_run *m, const char *name)
{
    for (struct macro_def **at = bucket(m, name); *at != NULL; at = &(*at)->next) {
        struct macro_def *d = *at;
        if (strcmp(d->name, name) != 0)
            continue;
        *at = d->next;
        free(d->name);
        free(d->body);
        free(d);
        return;
    }
}

void macro_def_set(struct macro_run *m, const char *name, const char *body)
{
    def_remove(m, name);
    struct macro_def **at = bucket(m, name);
    struct macro_def *d = xzalloc(sizeof(*d));
    *d = (struct macro_def){xstrdup(name), xstrdup(body), strlen(body), *at};
    *at = d;
}

void macro_defs_fini(struct macro_run *m)
{
    for (size_t i = 0; i < MACRO_BUCKETS; i++) {
        while (m->defs[i] != NULL) {
            struct macro_def *d = m->defs[i];
            m->defs[i] = d->next;
            free(d->name);
            free(d->body);
            free(d);
        }
    }
}

/* ---- expansion ---- */

static const char *arg_text(const struct macro_call *call, size_t i)
{
    return i < call->n ? call->arg[i].data : "";
}

static void add_all_args(struct buf *out, const struct macro_call *call, bool quote)
{
    for (size_t i = 0; i < call->n && out->len <= POLICY_TEXT_MAX; i++)
        buf_addf(out, "%s%s%s%s", i > 0 ? "," : "", quote ? "[" : "", call->arg[i].data,
                 quote ? "]" : "");
}

/* Appends what "$c" stands for; false when it is nothing special. */
static bool add_dollar(struct buf *out, char c, const struct macro_def *d,
                       const struct macro_call *call)
{
    if (c == '0')
        buf_adds(out, d->name);
    else if (c >= '1' && c <= '9')
        buf_adds(out, arg_text(call, (size_t)(c - '1')));
    else if (c == '#')
        buf_addf(out, "%zu", call->n);
    else if (c == '*' || c == '@')
        add_all_args(out, call, c == '@');
    else
        return false;
    return true;
}

int macro_expand(struct macro_run *m, const struct macro_def *d, const struct macro_call *call)
{
    auto_buf struct buf out = {0};
    buf_add(&out, d->body, 0);
    for (const char *p = d->body; *p != '\0'; p++) {
        if (out.len > POLICY_TEXT_MAX)
            return policy_fail_at(m->c, call->at, NULL, "macro '%s' expands to more than %d bytes",
                                  d->name, POLICY_TEXT_MAX);
        if (*p == '$' && add_dollar(&out, p[1], d, call))
            p++;
        else
            buf_addc(&out, *p);
    }
    size_t len = out.len;
    return macro_push_text(m, buf_take(&out), len, call);
}

/* ---- builtins ---- */

static int push_arg(struct macro_run *m, const struct macro_call *call, size_t i)
{
    if (i >= call->n)
        return 0;
    return macro_push_text(m, xstrdup(call->arg[i].data), call->arg[i].len, call);
}

static bool is_name(const char *s)
{
    if (*s == '\0' || (*s >= '0' && *s <= '9'))
        return false;
    return s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] == '\0';
}

static int run_define(struct macro_run *m, const struct macro_call *call)
{
    const char *name = arg_text(call, 0);
    if (!is_name(name))
        policy_warn_at(m->c, call->at,
                       "define: '%s' is never replaced; a name is letters, digits and '_' with no "
                       "blank before the comma",
                       name);
    if (call->n > 2)
        policy_warn_at(m->c, call->at,
                       "define(%s, ..): what stands behind the second comma is dropped; put the "
                       "text in brackets or parentheses",
                       name);
    macro_def_set(m, name, arg_text(call, 1));
    return 0;
}

static int run_undefine(struct macro_run *m, const struct macro_call *call)
{
    for (size_t i = 0; i < call->n; i++) {
        def_remove(m, call->arg[i].data);
        const struct macro_builtin *b = macro_builtin_find(call->arg[i].data);
        if (b != NULL)
            m->undefined[b - macro_builtin_at(0)] = true;
    }
    return 0;
}

static int run_ifdef(struct macro_run *m, const struct macro_call *call)
{
    const char *name = arg_text(call, 0);
    const struct macro_builtin *b = macro_builtin_find(name);
    bool known =
        macro_def_find(m, name) != NULL || (b != NULL && !m->undefined[b - macro_builtin_at(0)]);
    return push_arg(m, call, known ? 1 : 2);
}

static int run_ifelse(struct macro_run *m, const struct macro_call *call)
{
    size_t i = 0;
    for (; call->n - i >= 3; i += 3) {
        if (strcmp(call->arg[i].data, call->arg[i + 1].data) == 0)
            return push_arg(m, call, i + 2);
        if (call->n - i <= 5)
            return push_arg(m, call, i + 3);
    }
    return 0;
}

static int run_dnl(struct macro_run *m, const struct macro_call *call)
{
    (void)call;
    return macro_skip_line(m);
}

static int run_changequote(struct macro_run *m, const struct macro_call *call)
{
    /* changequote([,]) asks for what holds anyway. */
    if (call->n > 1 || strcmp(arg_text(call, 0), ",") != 0)
        policy_warn_at(m->c, call->at, "changequote is ignored: quotes are always '[' and ']'");
    return 0;
}

static int run_include(struct macro_run *m, const struct macro_call *call)
{
    struct policy_source *s = &m->c->p->source;
    struct err reason = {0};
    auto_free char *text = NULL;
    size_t len = 0;
    if (s->n_files > 64)
        return policy_fail_at(m->c, call->at, NULL, "more than 64 include files");
    int rc = policy_include_read(m->c->opt, arg_text(call, 0), &text, &len, &reason);
    if (rc < 0)
        return policy_fail_at(m->c, call->at, NULL, "%s", reason.text);
    s->files = xrealloc_array(s->files, s->n_files + 1, sizeof(*s->files));
    s->files[s->n_files] = (struct policy_file){xstrdup(arg_text(call, 0)), take_ptr(text), len};
    return macro_push_file(m, (unsigned)s->n_files++, call);
}

static const struct macro_builtin builtins[MACRO_BUILTINS] = {
    {"define", false, run_define},
    {"undefine", false, run_undefine},
    {"ifdef", false, run_ifdef},
    {"ifelse", false, run_ifelse},
    {"dnl", true, run_dnl},
    {"include", false, run_include},
    {"changequote", true, run_changequote},
};

const struct macro_builtin *macro_builtin_at(size_t i)
{
    return &builtins[i];
}

const struct macro_builtin *macro_builtin_find(const char *name)
{
    for (size_t i = 0; i < MACRO_BUILTINS; i++)
        if (strcmp(builtins[i].name, name) == 0)
            return &builtins[i];
    return NULL;
}

/* ---- builtins of GNU m4 that are not here ---- */

static bool in_list(const char *name, const char *const *list)
{
    for (; *list != NULL; list++)
        if (strcmp(name, *list) == 0)
            return true;
    return false;
}

int macro_check_foreign(struct macro_run *m, const char *name, struct policy_origin at, bool paren)
{
    static const char *const refused[] = {
        "syscmd",  "esyscmd",    "sinclude",  "undivert", "divert",  "debugfile", "maketemp",
        "mkstemp", "builtin",    "indir",     "m4exit",   "m4wrap",  "pushdef",   "popdef",
        "defn",    "changeword", "changecom", "traceon",  "dumpdef", "errprint",  NULL};
    static const char *const left[] = {"substr", "len",      "index",    "format", "eval",  "incr",
                                       "decr",   "translit", "patsubst", "regexp", "shift", NULL};
    static const char *const bare[] = {"divnum",   "sysval",      "__file__",
                                       "__line__", "__program__", NULL};
    if (paren && in_list(name, refused))
        return policy_fail_at(m->c, at, "only define, undefine, ifdef, ifelse, dnl, include",
                              "macro builtin '%s' is not offered", name);
    if (paren && in_list(name, left))
        policy_warn_at(m->c, at,
                       "the original engine takes lower-case '%s(' for a macro builtin; here it is "
                       "left to the rule language",
                       name);
    if (in_list(name, bare))
        policy_warn_at(m->c, at, "the original engine replaces the word '%s' in its macro stage",
                       name);
    return 0;
}
