/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include "base/mem.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct lexer {
    struct compile *c;
    const char *text;
    size_t pos, len, cap;
};

static struct policy_token *add(struct lexer *l, enum policy_tok kind, size_t off)
{
    struct compile *c = l->c;
    if (c->n_tok == l->cap) {
        l->cap = l->cap > 0 ? l->cap * 2 : 256;
        c->tok = xrealloc_array(c->tok, l->cap, sizeof(*c->tok));
    }
    struct policy_token *t = &c->tok[c->n_tok++];
    *t = (struct policy_token){.kind = kind, .off = off, .text = ""};
    return t;
}

static int skip_comment(struct lexer *l)
{
    const char *end = strstr(l->text + l->pos + 2, "*/");
    if (end == NULL)
        return policy_fail(l->c, l->pos, "*/", "the comment that begins here never ends");
    l->pos = (size_t)(end - l->text) + 2;
    return 0;
}

static int lex_string(struct lexer *l)
{
    size_t start = l->pos++;
    auto_buf struct buf b = {0};
    for (;; l->pos++) {
        if (l->pos >= l->len)
            return policy_fail(l->c, start, "a closing '",
                               "the string that begins here never ends");
        char ch = l->text[l->pos];
        if (ch == '\'' && l->text[l->pos + 1] != '\'')
            break;
        if (ch == '\'')
            l->pos++;
        buf_addc(&b, ch);
    }
    l->pos++;
    struct policy_token *t = add(l, TOK_STR, start);
    t->text = policy_arena_dup(&l->c->p->arena, b.data != NULL ? b.data : "", b.len);
    t->len = b.len;
    return 0;
}

static void lex_word(struct lexer *l)
{
    size_t start = l->pos;
    while (isalnum((unsigned char)l->text[l->pos]) || l->text[l->pos] == '_')
        l->pos++;
    struct policy_token *t = add(l, TOK_WORD, start);
    t->len = l->pos - start;
    t->text = policy_arena_dup(&l->c->p->arena, l->text + start, t->len);
}

/* Steps over the digits of a number; true when it is a decimal. */
static bool number_end(struct lexer *l)
{
    bool dec = false;
    for (;; l->pos++) {
        char ch = l->text[l->pos];
        if (ch == '.' && !dec)
            dec = true;
        else if (!isdigit((unsigned char)ch))
            break;
    }
    const char *e = l->text + l->pos;
    if (*e != 'e' && *e != 'E')
        return dec;
    size_t n = e[1] == '+' || e[1] == '-' ? 2 : 1;
    if (!isdigit((unsigned char)e[n]))
        return dec;
    while (isdigit((unsigned char)e[n]))
        n++;
    l->pos += n;
    return true;
}

static int lex_number(struct lexer *l)
{
    size_t start = l->pos;
    bool dec = number_end(l);
    if (isalpha((unsigned char)l->text[l->pos]) || l->text[l->pos] == '_')
        return policy_fail(l->c, start, "a blank between a number and a word",
                           "'%.*s' is not a number", (int)(l->pos - start + 1), l->text + start);
    struct policy_token *t = add(l, TOK_INT, start);
    t->len = l->pos - start;
    t->text = policy_arena_dup(&l->c->p->arena, l->text + start, t->len);
    t->d = strtod(t->text, NULL);
    errno = 0;
    t->i = strtoll(t->text, NULL, 10);
    if (dec || errno == ERANGE)
        t->kind = TOK_DEC;
    return 0;
}

static int two_chars(const char *p)
{
    static const struct {
        char text[3];
        int op;
    } pairs[] = {{"||", OP2_CONCAT}, {"**", OP2_POW}, {"<>", OP2_NE}, {"!=", OP2_NE},
                 {"<=", OP2_LE},     {">=", OP2_GE},  {"==", '='}};
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        if (strncmp(p, pairs[i].text, 2) == 0)
            return pairs[i].op;
    return 0;
}

static int bad_byte(struct lexer *l)
{
    const char *p = l->text + l->pos;
    unsigned char ch = (unsigned char)*p;
    if (ch == ';')
        return policy_fail(l->c, l->pos, "the next RULE (rules end without a sign)",
                           "';' does not end a rule");
    if (ch == '#')
        return policy_fail(l->c, l->pos, "/* ... */ for a comment", "'#' begins no comment");
    if (ch == '"')
        return policy_fail(l->c, l->pos, "a string in single quotes", "unexpected '\"'");
    if (strncmp(p, "\xe2\x80\x98", 3) == 0 || strncmp(p, "\xe2\x80\x99", 3) == 0)
        return policy_fail(l->c, l->pos, "the plain quote '", "unexpected typographic quote");
    if (ch < 0x20 || ch >= 0x7f)
        return policy_fail(l->c, l->pos, NULL, "unexpected byte 0x%02x", ch);
    return policy_fail(l->c, l->pos, NULL, "unexpected '%c'", ch);
}

static int lex_punct(struct lexer *l)
{
    const char *p = l->text + l->pos;
    int op = two_chars(p);
    if (op != 0) {
        struct policy_token *t = add(l, TOK_PUNCT, l->pos);
        t->op = op;
        t->len = 2;
        t->text = policy_arena_dup(&l->c->p->arena, p, 2);
        l->pos += 2;
        return 0;
    }
    if (strchr("(),+-*/%=<>", *p) == NULL)
        return bad_byte(l);
    struct policy_token *t = add(l, TOK_PUNCT, l->pos);
    t->op = (unsigned char)*p;
    t->len = 1;
    t->text = policy_arena_dup(&l->c->p->arena, p, 1);
    l->pos++;
    return 0;
}

static int lex_one(struct lexer *l)
{
    unsigned char ch = (unsigned char)l->text[l->pos];
    unsigned char next = (unsigned char)l->text[l->pos + 1];
    if (isspace(ch)) {
        l->pos++;
        return 0;
    }
    /* A non-breaking blank: policies are copied from web pages. */
    if (ch == 0xc2 && next == 0xa0) {
        l->pos += 2;
        return 0;
    }
    if (ch == '/' && next == '*')
        return skip_comment(l);
    if (ch == '\'')
        return lex_string(l);
    if (isalpha(ch) || ch == '_') {
        lex_word(l);
        return 0;
    }
    if (isdigit(ch) || (ch == '.' && isdigit(next)))
        return lex_number(l);
    return lex_punct(l);
}

int policy_lex(struct compile *c)
{
    const struct buf *b = &c->p->source.text;
    struct lexer l = {.c = c, .text = b->data, .len = b->len};
    int rc = 0;
    while (rc == 0 && l.pos < l.len)
        rc = lex_one(&l);
    add(&l, TOK_END, b->len > 0 ? b->len - 1 : 0);
    return rc;
}

/* ---- looking at tokens ---- */

const struct policy_token *policy_cur(const struct compile *c)
{
    return &c->tok[c->cur];
}

bool policy_is_word(const struct compile *c, const char *w)
{
    const struct policy_token *t = policy_cur(c);
    return t->kind == TOK_WORD && strcasecmp(t->text, w) == 0;
}

bool policy_is_op(const struct compile *c, int op)
{
    const struct policy_token *t = policy_cur(c);
    return t->kind == TOK_PUNCT && t->op == op;
}

bool policy_take_word(struct compile *c, const char *w)
{
    bool is = policy_is_word(c, w);
    c->cur += is;
    return is;
}

bool policy_take_op(struct compile *c, int op)
{
    bool is = policy_is_op(c, op);
    c->cur += is;
    return is;
}

const char *policy_show_token(const struct compile *c, char *out)
{
    const struct policy_token *t = policy_cur(c);
    if (t->kind == TOK_END)
        (void)snprintf(out, 64, "the end of the text");
    else if (t->kind == TOK_STR)
        (void)snprintf(out, 64, "the string '%.40s'", t->text);
    else
        (void)snprintf(out, 64, "'%.40s'", t->text);
    return out;
}

int policy_need_op(struct compile *c, int op, const char *expected)
{
    char shown[64];
    if (policy_take_op(c, op))
        return 0;
    return policy_fail(c, policy_cur(c)->off, expected, "unexpected %s",
                       policy_show_token(c, shown));
}
