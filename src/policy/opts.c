/* SPDX-License-Identifier: Apache-2.0 */
#include "policy/list.h"

#include "base/cleanup.h"
#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void policy_argv_free(char **argv)
{
    if (argv == NULL)
        return;
    for (size_t i = 0; argv[i] != NULL; i++)
        free(argv[i]);
    free(argv);
}

DEFINE_CLEANUP(char **, policy_argv_free)
#define auto_argv __attribute__((cleanup(cleanup_policy_argv_free)))

/* One word at *p, quotes taken off; *p ends behind it. */
static int take_word(const char **p, struct buf *word, struct err *err)
{
    char quote = '\0';
    buf_add(word, "", 0);
    for (; **p != '\0'; (*p)++) {
        char c = **p;
        if (quote == '\0' && (c == ' ' || c == '\t' || c == '\n'))
            break;
        if (quote == '\0' && (c == '\'' || c == '"'))
            quote = c;
        else if (c == quote)
            quote = '\0';
        else
            buf_addc(word, c);
    }
    if (quote != '\0')
        return err_set(err, -EINVAL, "OPTS: the quote %c is never closed", quote);
    return 0;
}

int policy_opts_split(const char *opts, char ***argv, size_t *n, struct err *err)
{
    auto_argv char **out = xzalloc(sizeof(char *));
    size_t count = 0;
    const char *p = opts;
    for (;;) {
        p += strspn(p, " \t\n");
        if (*p == '\0')
            break;
        auto_buf struct buf word = {0};
        int rc = take_word(&p, &word, err);
        if (rc < 0)
            return rc;
        out = xrealloc_array(out, count + 2, sizeof(char *));
        out[count++] = buf_take(&word);
        out[count] = NULL;
    }
    *n = count;
    *argv = take_ptr(out);
    return 0;
}

/* ---- -p pool@library,... ---- */

struct targets {
    struct policy_target *t;
    size_t n;
};

void policy_targets_free(struct policy_target *targets, size_t n)
{
    for (size_t i = 0; targets != NULL && i < n; i++) {
        free(targets[i].pool);
        free(targets[i].library);
    }
    free(targets);
}

static void targets_fini(struct targets *t)
{
    policy_targets_free(t->t, t->n);
}

/* One "pool[@library]" of n bytes. */
static int add_target(struct targets *t, const char *p, size_t n, struct err *err)
{
    const char *at = memchr(p, '@', n);
    size_t pool = at != NULL ? (size_t)(at - p) : n;
    size_t lib = at != NULL ? n - pool - 1 : 0;
    if (pool == 0 || (at != NULL && (lib == 0 || memchr(at + 1, '@', lib) != NULL)))
        return err_set(err, -EINVAL, "'%.*s' is no tape pool: write POOL or POOL@LIBRARY", (int)n,
                       p);
    t->t = xrealloc_array(t->t, t->n + 1, sizeof(*t->t));
    t->t[t->n++] =
        (struct policy_target){xstrndup(p, pool), at != NULL ? xstrndup(at + 1, lib) : xstrdup("")};
    return 0;
}

static int add_list(struct targets *t, const char *list, struct err *err)
{
    int rc = 0;
    for (const char *p = list; rc == 0; p++) {
        size_t n = strcspn(p, ",");
        rc = add_target(t, p, n, err);
        p += n;
        if (*p == '\0')
            break;
    }
    return rc;
}

/* The value of a pool option at argv[*i] (which moves on over it): NULL when argv[*i] is none. */
static const char *pool_value(char **argv, size_t *i)
{
    const char *a = argv[*i];
    if (strcmp(a, "-p") == 0 || strcmp(a, "--pool") == 0)
        return argv[*i + 1] != NULL ? argv[++*i] : "";
    if (strncmp(a, "--pool=", 7) == 0)
        return a + 7;
    return strncmp(a, "-p", 2) == 0 ? a + 2 : NULL;
}

int policy_opts_targets(const char *opts, struct policy_target **targets, size_t *n,
                        struct err *err)
{
    __attribute__((cleanup(targets_fini))) struct targets t = {0};
    auto_argv char **argv = NULL;
    size_t argc = 0;
    int rc = policy_opts_split(opts, &argv, &argc, err);
    for (size_t i = 0; rc == 0 && i < argc; i++) {
        const char *a = argv[i];
        const char *list = pool_value(argv, &i);
        if (list == NULL)
            rc = err_set(err, -EINVAL, "OPTS: '%.100s' is not known; write -p POOL@LIBRARY", a);
        else
            rc = add_list(&t, list, err);
    }
    if (rc < 0)
        return rc;
    *n = t.n;
    t.n = 0;
    *targets = take_ptr(t.t);
    return 0;
}
