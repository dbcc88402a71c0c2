/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the command line to one row of a table: which program is meant, the common options before
 * the command, the command itself, and the exit status.
 */
#include "cmd/cmd_impl.h"
#include "base/mem.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

static const struct cmd_program *const programs[] = {
    &cmd_program_firn,
    &cmd_program_eeadm,
    &cmd_program_mmapplypolicy,
    &cmd_program_mmlsattr,
};

static const struct cmd_program *find_program(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++)
        if (strcmp(programs[i]->name, name) == 0)
            return programs[i];
    return NULL;
}

const struct cmd_group *cmd_find_group(const struct cmd_program *program, const char *word)
{
    for (const struct cmd_group *g = program->groups; g->name != NULL; g++)
        if (strcmp(g->name, word) == 0)
            return g;
    return NULL;
}

const struct cmd *cmd_find(const struct cmd_group *group, const char *word)
{
    for (const struct cmd *c = group->cmds; c->run != NULL; c++)
        if (strcmp(c->name, word != NULL ? word : "") == 0)
            return c;
    return NULL;
}

static void join_words(struct cmd_ctx *ctx, const char *program, int argc, char **argv)
{
    struct buf b = {0};
    buf_adds(&b, program);
    for (int i = 0; i < argc && b.len < 1024; i++)
        buf_addf(&b, " %.512s", argv[i]);
    ctx->command_line = buf_take(&b);
}

#define WORDS_MAX 64

static int unknown_group(struct cmd_ctx *ctx, int argc, char **argv)
{
    const struct cmd_program *p = ctx->program;
    if (p->unknown != NULL)
        return p->unknown(ctx, argc, argv);
    const char *words[WORDS_MAX + 1];
    size_t n = 0;
    for (const struct cmd_group *g = p->groups; g->name != NULL && n < WORDS_MAX; g++)
        words[n++] = g->name;
    words[n] = NULL;
    const char *meant = cmd_suggest(argv[0], words);
    (void)fprintf(stderr, "%s: unknown command \"%s\"", p->name, argv[0]);
    if (meant != NULL)
        (void)fprintf(stderr, "; perhaps \"%s\" was meant", meant);
    (void)fprintf(stderr, "\n\"%s --help\" lists the commands.\n", p->name);
    return CMD_EXIT_USAGE;
}

static int unknown_command(struct cmd_ctx *ctx, const struct cmd_group *group, int argc,
                           char **argv)
{
    const char *word = argc > 1 ? argv[1] : NULL;
    if (word != NULL && (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)) {
        cmd_help_group(stdout, ctx->program, group);
        return 0;
    }
    if (word != NULL && ctx->program->unknown != NULL)
        return ctx->program->unknown(ctx, argc, argv);
    if (word == NULL) {
        (void)fprintf(stderr, "%s %s: which command? ", ctx->program->name, group->name);
        cmd_help_group(stderr, ctx->program, group);
        return CMD_EXIT_USAGE;
    }
    const char *words[WORDS_MAX + 1];
    size_t n = 0;
    for (const struct cmd *c = group->cmds; c->run != NULL && n < WORDS_MAX; c++)
        words[n++] = c->name;
    words[n] = NULL;
    const char *meant = cmd_suggest(word, words);
    (void)fprintf(stderr, "%s %s: unknown command \"%s\"", ctx->program->name, group->name, word);
    if (meant != NULL)
        (void)fprintf(stderr, "; perhaps \"%s\" was meant", meant);
    (void)fprintf(stderr, "\n\"%s %s --help\" lists the commands.\n", ctx->program->name,
                  group->name);
    return CMD_EXIT_USAGE;
}

static int finish(struct cmd_ctx *ctx, int rc)
{
    if (rc < 0 && ctx->err.text[0] != '\0') {
        (void)fprintf(stderr, "%s: ", ctx->program->name);
        cmd_put_text(stderr, ctx->err.text);
        (void)fputc('\n', stderr);
    }
    if (fflush(stdout) != 0 && rc == 0) {
        (void)fprintf(stderr, "%s: standard output: cannot be written\n", ctx->program->name);
        rc = CMD_EXIT_FAILED;
    }
    if (rc < 0)
        return ctx->unreachable ? CMD_EXIT_UNREACHABLE : CMD_EXIT_FAILED;
    return rc;
}

static int run_command(struct cmd_ctx *ctx, const struct cmd_group *group, const struct cmd *cmd,
                       int argc, char **argv)
{
    struct cmd_args args;
    int rc = cmd_args_parse(ctx, group, cmd, argc, argv, &args);
    if (rc == 0 && args.help)
        cmd_help_command(stdout, ctx->program, group, cmd);
    else if (rc == 0)
        rc = cmd->run(ctx, &args);
    cmd_args_fini(&args);
    return rc;
}

/* The common options before the command; *at becomes the command's place. 0, or an exit status, or
 * -1 when help was asked for and given. */
static int leading_options(struct cmd_ctx *ctx, int argc, char **argv, int *at)
{
    for (; *at < argc && argv[*at][0] == '-'; (*at)++) {
        const char *w = argv[*at];
        const char **value = strncmp(w, "--socket", 8) == 0   ? &ctx->socket
                             : strncmp(w, "--config", 8) == 0 ? &ctx->config
                                                              : NULL;
        if (value != NULL && w[8] == '=') {
            *value = w + 9;
        } else if (value != NULL && w[8] == '\0' && *at + 1 < argc) {
            *value = argv[++*at];
        } else if (strcmp(w, "--json") == 0) {
            ctx->json = true;
        } else if (strcmp(w, "--version") == 0) {
            (void)printf("%s %s\n", ctx->program->name, FIRN_VERSION);
            return -1;
        } else if (strcmp(w, "--help") == 0 || strcmp(w, "-h") == 0) {
            cmd_help_program(stdout, ctx->program);
            return -1;
        } else {
            (void)fprintf(stderr, "%s: unknown option %s before the command%s\n",
                          ctx->program->name, w, value != NULL ? ", or its value is missing" : "");
            return CMD_EXIT_USAGE;
        }
    }
    return 0;
}

/* What is done to files need not say so: "firn recall" is "firn file recall". NULL: it is not. */
static const struct cmd_group *of_files(const struct cmd_program *p, const char *word)
{
    const struct cmd_group *g = p == &cmd_program_firn ? cmd_find_group(p, "file") : NULL;
    return g != NULL && cmd_find(g, word) != NULL ? g : NULL;
}

/* Runs argv[0..argc-1], the words behind the program's name. */
static int dispatch(struct cmd_ctx *ctx, int argc, char **argv)
{
    const struct cmd_program *p = ctx->program;
    if (*p->groups[0].name == '\0') /* one command only: its options come at once */
        return run_command(ctx, &p->groups[0], &p->groups[0].cmds[0], argc + 1, argv - 1);
    int at = 0;
    int rc = leading_options(ctx, argc, argv, &at);
    if (rc != 0)
        return rc < 0 ? 0 : rc;
    argc -= at;
    argv += at;
    if (argc == 0) {
        cmd_help_program(stderr, p);
        return CMD_EXIT_USAGE;
    }
    const struct cmd_program *other = p == &cmd_program_firn ? find_program(argv[0]) : NULL;
    if (other != NULL && other != p) {
        ctx->program = other;
        return dispatch(ctx, argc - 1, argv + 1);
    }
    const struct cmd_group *g = cmd_find_group(p, argv[0]);
    if (g == NULL && (g = of_files(p, argv[0])) != NULL)
        return run_command(ctx, g, cmd_find(g, argv[0]), argc, argv);
    if (g == NULL)
        return unknown_group(ctx, argc, argv);
    const struct cmd *c = argc > 1 && *argv[1] != '\0' ? cmd_find(g, argv[1]) : NULL;
    if (c != NULL)
        return run_command(ctx, g, c, argc - 1, argv + 1);
    c = cmd_find(g, "");
    if (c != NULL)
        return run_command(ctx, g, c, argc, argv);
    return unknown_command(ctx, g, argc, argv);
}

int cmd_main(int argc, char **argv)
{
    (void)setlocale(LC_CTYPE, "");
    (void)unsetenv("POSIXLY_CORRECT"); /* options may stand behind operands */
    struct cmd_ctx ctx = {.program = argc > 0 ? find_program(argv[0]) : NULL};
    if (ctx.program == NULL)
        ctx.program = &cmd_program_firn;
    if (argc < 1)
        return CMD_EXIT_USAGE;
    join_words(&ctx, ctx.program->name, argc - 1, argv + 1);
    int rc = finish(&ctx, dispatch(&ctx, argc - 1, argv + 1));
    cmd_ctx_fini(&ctx);
    return rc;
}
