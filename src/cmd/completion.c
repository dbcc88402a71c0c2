/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn completion: rules for bash, made from the tables.
 */
#include "cmd/cmd_impl.h"

#include <string.h>

static void print_options(const struct cmd_opt *opts)
{
    for (const struct cmd_opt *o = opts; o != NULL && o->name != NULL; o++) {
        if (o->letter != 0)
            (void)printf(" -%c", o->letter);
        if ((o->flags & CMD_OPT_SHORT_ONLY) == 0)
            (void)printf(" --%s", o->name);
    }
}

static void print_groups(const struct cmd_program *p, const char *function)
{
    (void)printf("%s_words()\n{\n    case \"$1\" in\n    \"\") echo \"", function);
    for (const struct cmd_group *g = p->groups; g->name != NULL; g++)
        (void)printf("%s%s", g == p->groups ? "" : " ", g->name);
    (void)puts("\" ;;");
    for (const struct cmd_group *g = p->groups; g->name != NULL; g++) {
        if (*g->name == '\0')
            continue;
        bool any = false;
        for (const struct cmd *c = g->cmds; c->run != NULL; c++)
            any = any || *c->name != '\0';
        if (!any)
            continue;
        (void)printf("    %s) echo \"", g->name);
        const char *gap = "";
        for (const struct cmd *c = g->cmds; c->run != NULL; c++) {
            if (*c->name == '\0')
                continue;
            (void)printf("%s%s", gap, c->name);
            gap = " ";
        }
        (void)puts("\" ;;");
    }
    (void)puts("    esac\n}\n");
}

static void print_all_options(const struct cmd_program *p, const char *function)
{
    (void)printf("%s_options()\n{\n    case \"$1\" in\n", function);
    for (const struct cmd_group *g = p->groups; g->name != NULL; g++)
        for (const struct cmd *c = g->cmds; c->run != NULL; c++) {
            (void)printf("    \"%s%s%s\") echo \"", g->name, *c->name != '\0' ? " " : "", c->name);
            (void)fputs("--json --socket --config --help", stdout);
            print_options(c->opts);
            (void)puts("\" ;;");
        }
    (void)puts("    esac\n}\n");
}

static const char tail[] =
    "_firn()\n"
    "{\n"
    "    local name=_${1##*/} cur=${COMP_WORDS[COMP_CWORD]} group= command= i=1\n"
    "    COMPREPLY=()\n"
    "    while [ \"$i\" -lt \"$COMP_CWORD\" ]; do\n"
    "        case ${COMP_WORDS[i]} in\n"
    "        --socket|--config) i=$((i + 1)) ;;\n"
    "        -*) ;;\n"
    "        *)\n"
    "            if [ -z \"$group\" ]; then\n"
    "                group=${COMP_WORDS[i]}\n"
    "            elif [ -z \"$command\" ]; then\n"
    "                command=${COMP_WORDS[i]}\n"
    "            fi ;;\n"
    "        esac\n"
    "        i=$((i + 1))\n"
    "    done\n"
    "    if [ \"${cur#-}\" != \"$cur\" ]; then\n"
    "        local words\n"
    "        words=$(\"${name}_options\" \"$group $command\")\n"
    "        [ -n \"$words\" ] || words=$(\"${name}_options\" \"$group\")\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\")\n"
    "    elif [ -z \"$group\" ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(\"${name}_words\" \"\")\" -- \"$cur\")\n"
    "    elif [ -z \"$command\" ]; then\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$(\"${name}_words\" \"$group\")\" -- \"$cur\"\n"
    "            compgen -f -- \"$cur\")\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n"
    "    fi\n"
    "}\n"
    "\n"
    "complete -o filenames -F _firn firn eeadm\n";

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    (void)ctx;
    if (args->argc > 0 && strcmp(args->argv[0], "bash") != 0)
        return cmd_usage(args, "\"%s\": rules are made for bash only", args->argv[0]);
    (void)puts("# SPDX-License-Identifier: Apache-2.0\n"
               "# Completion of firn(1) and eeadm for bash; made by \"firn completion bash\".\n");
    print_groups(&cmd_program_firn, "_firn");
    print_all_options(&cmd_program_firn, "_firn");
    print_groups(&cmd_program_eeadm, "_eeadm");
    print_all_options(&cmd_program_eeadm, "_eeadm");
    (void)fputs(tail, stdout);
    return 0;
}

const struct cmd cmds_completion[] = {
    {"", "[bash]", "print completion rules for the shell", 0, 1, NULL, run},
    {0},
};
