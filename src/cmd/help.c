/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Help texts, printed from the tables, and firn help.
 */
#include "cmd/cmd_impl.h"

#include <string.h>

#define OPT_WIDTH 30

static void print_option(FILE *out, const struct cmd_opt *o)
{
    char left[128];
    const char *arg = o->arg != NULL ? o->arg : "";
    const char *gap = o->arg != NULL ? " " : "";
    if ((o->flags & CMD_OPT_SHORT_ONLY) != 0)
        (void)snprintf(left, sizeof(left), "-%c%s%s", o->letter, gap, arg);
    else if (o->letter != 0)
        (void)snprintf(left, sizeof(left), "-%c, --%s%s%s", o->letter, o->name, gap, arg);
    else
        (void)snprintf(left, sizeof(left), "    --%s%s%s", o->name, gap, arg);
    if (strlen(left) > OPT_WIDTH)
        (void)fprintf(out, "  %s\n  %-*s  %s\n", left, OPT_WIDTH, "", o->help);
    else
        (void)fprintf(out, "  %-*s  %s\n", OPT_WIDTH, left, o->help);
}

void cmd_help_command(FILE *out, const struct cmd_program *program, const struct cmd_group *group,
                      const struct cmd *cmd)
{
    char name[128];
    cmd_full_name(program, group, cmd, name, sizeof(name));
    (void)fprintf(out, "usage: %s [options]%s%s\n\n%s\n\n", name, *cmd->args != '\0' ? " " : "",
                  cmd->args, cmd->help);
    for (const struct cmd_opt *o = cmd->opts; o != NULL && o->name != NULL; o++)
        print_option(out, o);
    for (const struct cmd_opt *o = cmd_common_opts; o->name != NULL; o++)
        print_option(out, o);
}

void cmd_help_group(FILE *out, const struct cmd_program *program, const struct cmd_group *group)
{
    (void)fprintf(out, "%s %s: %s\n\n", program->name, group->name, group->help);
    for (const struct cmd *c = group->cmds; c->run != NULL; c++) {
        char left[128];
        (void)snprintf(left, sizeof(left), "%s%s%s", c->name, *c->name != '\0' ? " " : "", c->args);
        (void)fprintf(out, "  %-*s  %s\n", OPT_WIDTH, left, c->help);
    }
    (void)fprintf(out, "\n\"%s %s COMMAND --help\" shows the options of one.\n", program->name,
                  group->name);
}

void cmd_help_program(FILE *out, const struct cmd_program *program)
{
    (void)fprintf(out, "usage: %s [--socket PATH] [--config FILE] [--json] COMMAND ...\n\n",
                  program->name);
    for (const struct cmd_group *g = program->groups; g->name != NULL; g++)
        (void)fprintf(out, "  %-12s  %s\n", g->name, g->help);
    (void)fprintf(out,
                  "\n\"%s COMMAND --help\" says more, and so does the manual page %s.\n"
                  "Exit status: 0 done, 1 failed, 2 wrong usage, 3 firnd does not answer.\n",
                  program->name, program->page);
}

static int run_help(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    const struct cmd_program *p = ctx->program;
    if (args->argc == 0) {
        cmd_help_program(stdout, p);
        return 0;
    }
    const struct cmd_group *g = cmd_find_group(p, args->argv[0]);
    if (g == NULL)
        return cmd_usage(args, "there is no command \"%s\"", args->argv[0]);
    const struct cmd *c = cmd_find(g, args->argc > 1 ? args->argv[1] : "");
    if (c == NULL && args->argc > 1)
        return cmd_usage(args, "%s has no command \"%s\"", g->name, args->argv[1]);
    if (c != NULL)
        cmd_help_command(stdout, p, g, c);
    else
        cmd_help_group(stdout, p, g);
    return 0;
}

const struct cmd cmds_help[] = {
    {"", "[COMMAND [WORD]]", "say what commands there are and how they are used", 0, 2, NULL,
     run_help},
    {0},
};
