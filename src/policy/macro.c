/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The macro stage: m4's reading of a text with [ and ] as quotes, but only the builtins that a
 * policy needs and none that runs a command or reads a file at will. Input is a stack of frames
 * (files and macro expansions); output goes to the expanded text with the origin of each byte, or
 * to the argument being collected.
 */
#include "policy/macro_impl.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX  120                /* expansions within expansions; also of nested calls */
#define CALLS_MAX  200000             /* expansions of one text */
#define VOLUME_MAX (16 * 1024 * 1024) /* bytes of all expansions together */

struct frame {
    const char *text, *p, *end;
    char *own;               /* to be freed */
    struct policy_origin at; /* of text when at.macro is 0, else of all of it */
    unsigned depth;
    struct frame *below;
};

static bool is_word_start(int c)
{
    return isalpha(c) || c == '_';
}

static bool is_word_char(int c)
{
    return isalnum(c) || c == '_';
}

/* ---- input ---- */

static void push(struct macro_run *m, const char *text, size_t len, char *own,
                 struct policy_origin at, unsigned depth)
{
    struct frame *f = xzalloc(sizeof(*f));
    *f = (struct frame){text, text, text + len, own, at, depth, m->top};
    m->top = f;
}

static void pop(struct macro_run *m)
{
    struct frame *f = m->top;
    m->top = f->below;
    free(f->own);
    free(f);
}

/* The next byte without taking it, over the ends of frames; -1 at the end of all. */
static int peek(struct macro_run *m)
{
    while (m->top != NULL && m->top->p == m->top->end)
        pop(m);
    return m->top == NULL ? -1 : (unsigned char)*m->top->p;
}

/* Origin of the next byte; only after peek said there is one. */
static struct policy_origin here(const struct macro_run *m)
{
    assert(m->top != NULL);
    struct policy_origin o = m->top->at;
    if (o.macro == 0)
        o.off += (size_t)(m->top->p - m->top->text);
    return o;
}

/* ---- output ---- */

static void emit_main(struct macro_run *m, char ch, struct policy_origin o)
{
    struct policy_source *s = &m->c->p->source;
    struct policy_seg *last = s->n_segs > 0 ? &s->segs[s->n_segs - 1] : NULL;
    bool goes_on = last != NULL && last->at.file == o.file && last->at.macro == o.macro &&
                   last->at.off + (o.macro == 0 ? s->text.len - last->out : 0) == o.off;
    if (!goes_on) {
        if (s->n_segs == s->cap_segs) {
            s->cap_segs = s->cap_segs > 0 ? s->cap_segs * 2 : 64;
            s->segs = xrealloc_array(s->segs, s->cap_segs, sizeof(*s->segs));
        }
        assert(s->segs != NULL);
        s->segs[s->n_segs++] = (struct policy_seg){s->text.len, o};
    }
    buf_addc(&s->text, ch);
}

/* Moves one byte from the input to out (NULL: the expanded text). */
static int move(struct macro_run *m, struct buf *out)
{
    struct policy_origin o = here(m);
    char ch = *m->top->p++;
    struct buf *b = out != NULL ? out : &m->c->p->source.text;
    if (b->len >= POLICY_TEXT_MAX)
        return policy_fail_at(m->c, o, NULL, "the text grows beyond %d bytes in the macro stage",
                              POLICY_TEXT_MAX);
    if (out != NULL)
        buf_addc(out, ch);
    else
        emit_main(m, ch, o);
    return 0;
}

/* ---- quotes and comments ---- */

static int quoted(struct macro_run *m, struct buf *out)
{
    struct policy_origin open = here(m);
    unsigned level = 1;
    m->top->p++;
    for (;;) {
        int ch = peek(m);
        if (ch < 0)
            return policy_fail_at(m->c, open, "a closing ']' (brackets are macro quotes)",
                                  "the bracket opened here is never closed");
        if (ch == '[')
            level++;
        if (ch == ']' && --level == 0)
            break;
        int rc = move(m, out);
        if (rc < 0)
            return rc;
    }
    m->top->p++;
    return 0;
}

static int comment(struct macro_run *m, struct buf *out)
{
    int ch = peek(m);
    while (ch >= 0) {
        int rc = move(m, out);
        if (rc < 0 || ch == '\n')
            return rc;
        ch = peek(m);
    }
    return 0;
}

/* ---- calls ---- */

static int step(struct macro_run *m, struct buf *out);

void macro_call_fini(struct macro_call *call)
{
    for (size_t i = 0; i < call->n; i++)
        buf_fini(&call->arg[i]);
    free(call->arg);
    *call = (struct macro_call){0};
}

static struct buf *next_arg(struct macro_run *m, struct macro_call *call)
{
    call->arg = xrealloc_array(call->arg, call->n + 1, sizeof(*call->arg));
    call->arg[call->n] = (struct buf){0};
    buf_add(&call->arg[call->n], "", 0);
    for (int ch = peek(m); ch >= 0 && isspace(ch); ch = peek(m))
        m->top->p++;
    return &call->arg[call->n++];
}

/* Whether ch ends the argument; keeps count of parentheses. */
static bool ends_arg(int ch, unsigned *parens)
{
    if (ch == '(')
        ++*parens;
    else if (ch == ')' && *parens > 0)
        --*parens;
    else if (ch == ')' || (ch == ',' && *parens == 0))
        return true;
    return false;
}

static int collect_args(struct macro_run *m, const char *name, struct policy_origin at,
                        struct macro_call *call)
{
    if (m->nesting >= DEPTH_MAX)
        return policy_fail_at(m->c, at, NULL, "macro calls are nested more than %d deep",
                              DEPTH_MAX);
    m->nesting++;
    m->top->p++; /* the parenthesis */
    unsigned parens = 0;
    struct buf *out = next_arg(m, call);
    for (;;) {
        int ch = peek(m);
        if (ch < 0)
            return policy_fail_at(
                m->c, at, "')' behind the arguments; a '#' among them hides the rest of its line",
                "the call of '%s' that begins here never ends", name);
        if (ends_arg(ch, &parens)) {
            m->top->p++;
            if (ch == ')')
                break;
            out = next_arg(m, call);
            continue;
        }
        int rc = step(m, out);
        if (rc < 0)
            return rc;
    }
    m->nesting--;
    return 0;
}

/* ---- expansion ---- */

int macro_push_text(struct macro_run *m, char *own, size_t len, const struct macro_call *call)
{
    m->volume += len;
    if (++m->calls > CALLS_MAX || m->volume > VOLUME_MAX || call->depth > DEPTH_MAX) {
        free(own);
        return policy_fail_at(m->c, call->at, "a macro that does not lead back to itself",
                              "macro '%s' expands without end", call->name);
    }
    push(m, own, len, own, call->at, call->depth);
    return 0;
}

int macro_push_file(struct macro_run *m, unsigned file, const struct macro_call *call)
{
    const struct policy_file *f = &m->c->p->source.files[file];
    if (call->depth > DEPTH_MAX)
        return policy_fail_at(m->c, call->at, NULL, "include files nested more than %d deep",
                              DEPTH_MAX);
    push(m, f->text, f->len, NULL, (struct policy_origin){.file = file}, call->depth);
    return 0;
}

int macro_skip_line(struct macro_run *m)
{
    for (int ch = peek(m); ch >= 0; ch = peek(m)) {
        m->top->p++;
        if (ch == '\n')
            break;
    }
    return 0;
}

/* The origin that text expanded from name at o gets: o itself inside another expansion. */
static struct policy_origin expansion_origin(struct macro_run *m, struct policy_origin o,
                                             const char *name)
{
    if (o.macro != 0)
        return o;
    struct policy_source *s = &m->c->p->source;
    for (size_t i = s->n_macros; i > 0 && o.macro == 0 && s->n_macros - i < 64; i--)
        if (strcmp(s->macros[i - 1], name) == 0)
            o.macro = (unsigned)i;
    if (o.macro == 0) {
        s->macros = xrealloc_array(s->macros, s->n_macros + 1, sizeof(char *));
        s->macros[s->n_macros++] = xstrdup(name);
        o.macro = (unsigned)s->n_macros;
    }
    return o;
}

static int call_word(struct macro_run *m, const char *name, struct policy_origin at, unsigned depth)
{
    __attribute__((cleanup(macro_call_fini))) struct macro_call call = {
        .name = name, .at = at, .depth = depth + 1};
    if (peek(m) == '(') {
        int rc = collect_args(m, name, at, &call);
        if (rc < 0)
            return rc;
    }
    const struct macro_builtin *b = macro_builtin_find(name);
    struct macro_def *d = macro_def_find(m, name);
    if (d == NULL) /* without b: undefined by its own arguments */
        return b != NULL ? b->run(m, &call) : 0;
    call.at = expansion_origin(m, at, name);
    return macro_expand(m, d, &call);
}

/* Whether word, with ch behind it, is a call. */
static bool is_call(struct macro_run *m, const char *word, int ch)
{
    if (macro_def_find(m, word) != NULL)
        return true;
    const struct macro_builtin *b = macro_builtin_find(word);
    return b != NULL && !m->undefined[b - macro_builtin_at(0)] && (ch == '(' || b->bare);
}

static int word(struct macro_run *m, struct buf *out)
{
    struct policy_origin at = here(m);
    unsigned depth = m->top->depth;
    const char *start = m->top->p;
    const char *p = start;
    while (p < m->top->end && is_word_char((unsigned char)*p))
        p++;
    auto_free char *name = xstrndup(start, (size_t)(p - start));
    m->top->p = p;
    int ch = p < m->top->end ? (unsigned char)*p : -1;
    if (ch < 0) {
        /* Look behind the end of the frame without losing it: the word may have to be emitted. */
        const struct frame *f = m->top->below;
        while (f != NULL && f->p == f->end)
            f = f->below;
        ch = f != NULL ? (unsigned char)*f->p : -1;
    }
    if (is_call(m, name, ch))
        return call_word(m, name, at, depth);
    int rc = macro_check_foreign(m, name, at, ch == '(');
    m->top->p = start;
    while (rc == 0 && m->top->p < p)
        rc = move(m, out);
    return rc;
}

/* Reads one token of the input into out. */
static int step(struct macro_run *m, struct buf *out)
{
    int ch = peek(m);
    if (is_word_start(ch))
        return word(m, out);
    if (ch == '[')
        return quoted(m, out);
    if (ch == '#')
        return comment(m, out);
    return move(m, out);
}

/* ---- the whole ---- */

static void run_fini(struct macro_run *m)
{
    while (m->top != NULL)
        pop(m);
    macro_defs_fini(m);
}

static int predefine(struct macro_run *m)
{
    const struct policy_options *opt = m->c->opt;
    for (size_t i = 0; i < opt->n_macros; i++) {
        const char *name = opt->macros[i].name;
        bool ok = is_word_start((unsigned char)name[0]);
        for (const char *p = name; *p != '\0'; p++)
            ok = ok && is_word_char((unsigned char)*p);
        if (!ok)
            return err_set(m->c->err, -EINVAL,
                           "-M %s: a macro name is a letter or '_', then letters, digits or '_'",
                           name);
        macro_def_set(m, name, opt->macros[i].value);
    }
    return 0;
}

int policy_macro_run(struct compile *c, const char *text, size_t len)
{
    struct policy_source *s = &c->p->source;
    __attribute__((cleanup(run_fini))) struct macro_run m = {.c = c};
    s->files = xrealloc_array(NULL, 1, sizeof(*s->files));
    s->files[0] = (struct policy_file){xstrdup(c->opt->file != NULL ? c->opt->file : "policy"),
                                       xstrndup("", 0), 0};
    free(s->files[0].text);
    s->files[0].text = xrealloc_array(NULL, len + 1, 1);
    memcpy(s->files[0].text, text, len);
    s->files[0].text[len] = '\0';
    s->files[0].len = len;
    s->n_files = 1;
    buf_add(&s->text, NULL, 0);
    int rc = predefine(&m);
    push(&m, s->files[0].text, len, NULL, (struct policy_origin){0}, 0);
    while (rc == 0 && peek(&m) >= 0)
        rc = step(&m, NULL);
    return rc;
}
