/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/policy_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

DEFINE_CLEANUP(struct policy *, policy_free)
#define auto_policy __attribute__((cleanup(cleanup_policy_free)))

void policy_keep_regex(struct policy *p, regex_t *re)
{
    p->regexes = xrealloc_array(p->regexes, p->n_regexes + 1, sizeof(regex_t *));
    p->regexes[p->n_regexes++] = re;
}

void policy_free(struct policy *p)
{
    if (p == NULL)
        return;
    for (size_t i = 0; i < p->n_regexes; i++) {
        regfree(p->regexes[i]);
        free(p->regexes[i]);
    }
    for (size_t i = 0; i < p->n_warnings; i++)
        free(p->warnings[i]);
    free(p->regexes);
    free(p->warnings);
    free(p->stmts);
    free(p->rules);
    free(p->externals);
    free(p->xattrs);
    policy_source_fini(&p->source);
    policy_arena_fini(&p->arena);
    free(p);
}

static int check_text(struct compile *c, const char *text, size_t len)
{
    const char *name = c->opt->file != NULL ? c->opt->file : "policy";
    if (len > POLICY_TEXT_MAX)
        return err_set(c->err, -EFBIG, "%s: the policy is longer than %d bytes", name,
                       POLICY_TEXT_MAX);
    const char *nul = memchr(text, '\0', len);
    if (nul != NULL)
        return err_set(c->err, -EINVAL, "%s: a NUL byte at offset %zu: this is no policy text",
                       name, (size_t)(nul - text));
    return 0;
}

int policy_compile(const char *text, size_t len, const struct policy_options *opt,
                   struct policy **out, struct policy_diag *diag, struct err *err)
{
    static const struct policy_options none;
    auto_policy struct policy *p = xzalloc(sizeof(*p));
    struct compile c = {.opt = opt != NULL ? opt : &none, .p = p, .diag = diag, .err = err};
    if (diag != NULL)
        *diag = (struct policy_diag){0};
    int rc = check_text(&c, text, len);
    rc = rc < 0 ? rc : policy_macro_run(&c, text, len);
    rc = rc < 0 ? rc : policy_lex(&c);
    rc = rc < 0 ? rc : policy_parse_rules(&c);
    rc = rc < 0 ? rc : policy_check_rules(&c);
    free(c.tok);
    if (rc < 0)
        return rc;
    *out = take_ptr(p);
    return 0;
}

int policy_compile_file(const char *path, const struct policy_options *opt, struct policy **out,
                        struct policy_diag *diag, struct err *err)
{
    struct policy_options named = opt != NULL ? *opt : (struct policy_options){0};
    auto_free char *text = NULL;
    size_t len = 0;
    named.file = path;
    if (diag != NULL)
        *diag = (struct policy_diag){0};
    int rc = io_read_file(AT_FDCWD, path, POLICY_TEXT_MAX, &text, &len, err);
    return rc < 0 ? rc : policy_compile(text, len, &named, out, diag, err);
}

const char *policy_warning(const struct policy *p, size_t i)
{
    return i < p->n_warnings ? p->warnings[i] : NULL;
}

const char *policy_expanded(const struct policy *p)
{
    return p->source.text.data;
}

size_t policy_n_rules(const struct policy *p)
{
    return p->n_rules;
}

const struct policy_rule *policy_rule(const struct policy *p, size_t i)
{
    return &p->rules[i]->pub;
}

const struct policy_external *policy_external(const struct policy *p, const char *name, bool list)
{
    for (size_t i = 0; i < p->n_externals; i++)
        if (p->externals[i]->is_list == list && strcmp(p->externals[i]->name, name) == 0)
            return p->externals[i];
    return NULL;
}

size_t policy_n_externals(const struct policy *p)
{
    return p->n_externals;
}

const struct policy_external *policy_external_at(const struct policy *p, size_t i)
{
    return p->externals[i];
}

const struct policy_member *policy_group(const struct policy *p, const char *name, size_t *n)
{
    for (size_t i = 0; i < p->n_stmts; i++) {
        const struct policy_rule_impl *r = p->stmts[i];
        if (r->stmt == STMT_GROUP_POOL && strcmp(r->target, name) == 0) {
            *n = r->n_members;
            return r->members;
        }
    }
    *n = 0;
    return NULL;
}

bool policy_group_has(const struct policy *p, const char *group, const char *name)
{
    size_t n = 0;
    const struct policy_member *m = policy_group(p, group, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(m[i].pool, name) == 0)
            return true;
    return false;
}

void policy_get_counts(const struct policy *p, struct policy_counts *out)
{
    *out = (struct policy_counts){0};
    unsigned *const counter[STMT_N] = {
        [STMT_SET_POOL] = &out->placement,       [STMT_GROUP_POOL] = &out->without_place,
        [STMT_MIGRATE] = &out->migrate,          [STMT_DELETE] = &out->migrate,
        [STMT_EXCLUDE] = &out->migrate,          [STMT_LIST] = &out->list,
        [STMT_RESTORE] = &out->restore,          [STMT_EXTERNAL_POOL] = &out->external,
        [STMT_EXTERNAL_LIST] = &out->external,   [STMT_SET_ENCRYPTION] = &out->without_place,
        [STMT_ENCRYPTION] = &out->without_place,
    };
    for (size_t i = 0; i < p->n_stmts; i++)
        ++*counter[p->stmts[i]->stmt];
}
