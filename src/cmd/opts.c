/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options from tables through getopt_long, and what is said about wrong ones.
 */
#include "base/mem.h"
#include "cmd/cmd_impl.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

const struct cmd_opt cmd_common_opts[] = {
    {"json", 0, NULL, "print {\"payload\":[...]} instead of text", 0},
    {"socket", 0, "PATH", "talk to firnd at this socket", 0},
    {"config", 0, "FILE", "take the socket from this firn.conf", 0},
    {"help", 'h', NULL, "say how the command is used", 0},
    {0},
};

#define OPTS_MAX 64
#define VAL_BASE 256

/* The options of a command and the common ones, in getopt's form. */
struct optset {
    const struct cmd_opt *opts[OPTS_MAX];
    size_t n;
    struct option longs[OPTS_MAX + 1];
    char shorts[2 + 2 * OPTS_MAX + 1];
};

static void optset_add(struct optset *s, const struct cmd_opt *table)
{
    for (const struct cmd_opt *o = table; o != NULL && o->name != NULL && s->n < OPTS_MAX; o++)
        s->opts[s->n++] = o;
}

static void optset_init(struct optset *s, const struct cmd *cmd)
{
    memset(s, 0, sizeof(*s));
    optset_add(s, cmd->opts);
    optset_add(s, cmd_common_opts);
    size_t at = 0;
    size_t nlong = 0;
    s->shorts[at++] = ':';
    for (size_t i = 0; i < s->n; i++) {
        const struct cmd_opt *o = s->opts[i];
        if (o->letter != 0) {
            s->shorts[at++] = o->letter;
            if (o->arg != NULL)
                s->shorts[at++] = ':';
        }
        if ((o->flags & CMD_OPT_SHORT_ONLY) == 0)
            s->longs[nlong++] = (struct option){
                o->name, o->arg != NULL ? required_argument : no_argument, NULL, VAL_BASE + (int)i};
    }
}

static const struct cmd_opt *optset_find(const struct optset *s, int val)
{
    if (val >= VAL_BASE)
        return s->opts[val - VAL_BASE];
    for (size_t i = 0; i < s->n; i++)
        if (s->opts[i]->letter == val)
            return s->opts[i];
    return NULL;
}

void cmd_full_name(const struct cmd_program *program, const struct cmd_group *group,
                   const struct cmd *cmd, char *out, size_t n)
{
    const char *g = group != NULL ? group->name : "";
    const char *c = cmd != NULL ? cmd->name : "";
    (void)snprintf(out, n, "%s%s%s%s%s", program->name, *g != '\0' ? " " : "", g,
                   *c != '\0' ? " " : "", c);
}

int cmd_usage(const struct cmd_args *args, const char *fmt, ...)
{
    char name[128];
    cmd_full_name(args->program, args->group, args->cmd, name, sizeof(name));
    va_list ap;
    va_start(ap, fmt);
    (void)fprintf(stderr, "%s: ", name);
    (void)vfprintf(stderr, fmt, ap);
    (void)fprintf(stderr, "\n\"%s --help\" shows how it is used.\n", name);
    va_end(ap);
    return CMD_EXIT_USAGE;
}

#define WORD_MAX 40

static size_t min3(size_t a, size_t b, size_t c)
{
    size_t m = a < b ? a : b;
    return m < c ? m : c;
}

/* Levenshtein's distance of two words of at most WORD_MAX bytes. */
static size_t distance(const char *a, const char *b)
{
    size_t la = strlen(a);
    size_t lb = strlen(b);
    if (la > WORD_MAX || lb > WORD_MAX)
        return WORD_MAX;
    size_t row[WORD_MAX + 1];
    for (size_t j = 0; j <= lb; j++)
        row[j] = j;
    for (size_t i = 1; i <= la; i++) {
        size_t corner = row[0];
        row[0] = i;
        for (size_t j = 1; j <= lb; j++) {
            size_t old = row[j];
            row[j] = min3(row[j] + 1, row[j - 1] + 1, corner + (a[i - 1] != b[j - 1]));
            corner = old;
        }
    }
    return row[lb];
}

const char *cmd_suggest(const char *word, const char *const *words)
{
    const char *best = NULL;
    size_t limit = strlen(word) / 3 + 1; /* a third of the letters may be wrong, and one more */
    for (const char *const *w = words; *w != NULL; w++) {
        size_t d = distance(word, *w);
        if (d <= limit && d < strlen(*w)) {
            best = *w;
            limit = d > 0 ? d - 1 : 0;
        }
    }
    return best;
}

static int unknown_option(const struct optset *s, const struct cmd_args *args, const char *word)
{
    if (strncmp(word, "--", 2) != 0 || word[2] == '\0')
        return cmd_usage(args, "unknown option -%c", optopt);
    char name[WORD_MAX + 1];
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    const char *words[OPTS_MAX + 1];
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if ((s->opts[i]->flags & CMD_OPT_SHORT_ONLY) == 0)
            words[n++] = s->opts[i]->name;
    words[n] = NULL;
    const char *meant = cmd_suggest(name, words);
    if (meant != NULL)
        return cmd_usage(args, "unknown option --%s; perhaps --%s was meant", name, meant);
    return cmd_usage(args, "unknown option --%s", name);
}

static int wrong_option(const struct optset *s, const struct cmd_args *args, int c, char **argv)
{
    const struct cmd_opt *o = optopt != 0 ? optset_find(s, optopt) : NULL;
    const char *word = argv[optind - 1];
    if (c == ':' && o != NULL && o->letter == optopt)
        return cmd_usage(args, "option -%c needs a value: -%c %s", o->letter, o->letter, o->arg);
    if (c == ':' && o != NULL)
        return cmd_usage(args, "option --%s needs a value: --%s %s", o->name, o->name, o->arg);
    if (o != NULL && o->arg == NULL && optopt >= VAL_BASE)
        return cmd_usage(args, "option --%s takes no value", o->name);
    return unknown_option(s, args, word);
}

/* Takes one of the common options; false when it is none. */
static bool take_common(struct cmd_ctx *ctx, struct cmd_args *args, const struct cmd_opt *o,
                        const char *value)
{
    bool common = false;
    for (const struct cmd_opt *c = cmd_common_opts; c->name != NULL; c++)
        common = common || c == o;
    if (!common)
        return false;
    if (strcmp(o->name, "json") == 0)
        ctx->json = true;
    else if (strcmp(o->name, "socket") == 0)
        ctx->socket = value;
    else if (strcmp(o->name, "config") == 0)
        ctx->config = value;
    else
        args->help = true;
    return true;
}

static int check_counts(const struct cmd_args *args)
{
    for (const struct cmd_opt *o = args->cmd->opts; o != NULL && o->name != NULL; o++) {
        if ((o->flags & CMD_OPT_REQUIRED) == 0 || cmd_has(args, o->name))
            continue;
        if (o->letter != 0)
            return cmd_usage(args, "option -%c %s is needed: %s", o->letter, o->arg, o->help);
        return cmd_usage(args, "option --%s %s is needed: %s", o->name, o->arg, o->help);
    }
    if (args->argc < args->cmd->min_args)
        return cmd_usage(args, "something is missing: %s", args->cmd->args);
    if (args->cmd->max_args >= 0 && args->argc > args->cmd->max_args)
        return cmd_usage(args, "\"%s\" is one word too many", args->argv[args->cmd->max_args]);
    return 0;
}

int cmd_args_parse(struct cmd_ctx *ctx, const struct cmd_group *group, const struct cmd *cmd,
                   int argc, char **argv, struct cmd_args *args)
{
    struct optset s;
    optset_init(&s, cmd);
    *args = (struct cmd_args){.program = ctx->program, .group = group, .cmd = cmd};
    optind = 0; /* glibc: begin anew */
    opterr = 0;
    int c = 0;
    for (;;) {
        optopt = 0;
        c = getopt_long(argc, argv, s.shorts, s.longs, NULL);
        if (c == -1)
            break;
        const struct cmd_opt *o = c == '?' || c == ':' ? NULL : optset_find(&s, c);
        if (o == NULL)
            return wrong_option(&s, args, c, argv);
        if (take_common(ctx, args, o, optarg))
            continue;
        args->given = xrealloc_array(args->given, args->ngiven + 1, sizeof(*args->given));
        args->given[args->ngiven++] = (struct cmd_given){o, optarg};
    }
    args->argc = argc - optind;
    args->argv = argv + optind;
    return args->help ? 0 : check_counts(args);
}

void cmd_args_fini(struct cmd_args *args)
{
    free(args->given);
    args->given = NULL;
    args->ngiven = 0;
}

const char *cmd_value(const struct cmd_args *args, const char *name)
{
    for (size_t i = args->ngiven; i > 0; i--)
        if (strcmp(args->given[i - 1].opt->name, name) == 0)
            return args->given[i - 1].value;
    return NULL;
}

bool cmd_has(const struct cmd_args *args, const char *name)
{
    for (size_t i = 0; i < args->ngiven; i++)
        if (strcmp(args->given[i].opt->name, name) == 0)
            return true;
    return false;
}

int cmd_number(const struct cmd_args *args, const char *name, int64_t dflt, int64_t min,
               int64_t max, int64_t *out)
{
    const char *text = cmd_value(args, name);
    *out = dflt;
    if (text == NULL)
        return 0;
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || v < min || v > max)
        return cmd_usage(args, "option %s: \"%s\" is no number from %" PRId64 " to %" PRId64, name,
                         text, min, max);
    *out = v;
    return 0;
}

int cmd_parse_size(const char *text, int64_t *bytes)
{
    static const char units[] = "KMGTP";
    char *end = NULL;
    errno = 0;
    double v = strtod(text, &end);
    if (errno != 0 || end == text || !isfinite(v) || v < 0)
        return -EINVAL;
    const char *u = *end != '\0' ? strchr(units, *end) : NULL;
    if (u != NULL) {
        v = ldexp(v, 10 * (int)(u - units + 1));
        end++;
        if (strncmp(end, "iB", 2) == 0)
            end += 2;
    }
    if (*end != '\0' || v > 9.0e18)
        return -EINVAL;
    *bytes = (int64_t)v;
    return 0;
}
