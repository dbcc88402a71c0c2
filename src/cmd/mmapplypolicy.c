/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmapplypolicy: a policy run with the options of IBM Storage Scale's command. Options about nodes,
 * quality of service and sorting are taken and have no effect; those that would change which files
 * are chosen, and that firn does not have, are refused.
 */
#include "cmd/cmd_impl.h"

#include <string.h>

#define BATCH_MOST    1000000
#define PARALLEL_MOST 256

static int check_algorithm(const struct cmd_args *args)
{
    const char *a = cmd_value(args, "choice-algorithm");
    if (a == NULL || strcmp(a, "best") == 0 || strcmp(a, "exact") == 0 || strcmp(a, "fast") == 0)
        return 0;
    return cmd_usage(args, "--choice-algorithm \"%s\": best, exact or fast is wanted", a);
}

static int check_refused(const struct cmd_args *args)
{
    static const struct {
        const char *name;
        const char *why;
    } refused[] = {
        {"r", "-r: firn does not execute candidate files of -I prepare"},
        {"S", "-S: firn has no snapshots to scan"},
        {"maxdepth", "--maxdepth: firn scans whole trees; use PATH_NAME LIKE in the policy"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (cmd_has(args, refused[i].name))
            return cmd_usage(args, "%s", refused[i].why);
    return 0;
}

static int run(struct cmd_ctx *ctx, const struct cmd_args *args)
{
    struct cmd_policyrun run = {
        .target = args->argv[0],
        .file = cmd_value(args, "P"),
        .mode = cmd_has(args, "I") ? cmd_value(args, "I") : "yes",
        .prefix = cmd_value(args, "f"),
        .inputs = cmd_value(args, "i"),
        .as_of = cmd_value(args, "D"),
        .single_instance = cmd_has(args, "single-instance"),
        .args = args,
    };
    int rc = cmd_policy_check_mode(args, run.mode);
    if (rc == 0)
        rc = check_algorithm(args);
    if (rc == 0)
        rc = check_refused(args);
    if (rc == 0)
        rc = cmd_number(args, "L", 1, 0, 6, &run.level);
    if (rc == 0)
        rc = cmd_number(args, "B", 0, 1, BATCH_MOST, &run.batch_files);
    if (rc == 0)
        rc = cmd_number(args, "m", 0, 1, PARALLEL_MOST, &run.parallel);
    return rc != 0 ? rc : cmd_policyrun(ctx, &run);
}

#define SHORT   CMD_OPT_SHORT_ONLY
#define IGNORED CMD_OPT_IGNORED
#define TEXT    "without effect "

static const struct cmd_opt opts[] = {
    {"A", 'A', "N", TEXT "(buckets of a global run)", SHORT | IGNORED},
    {"a", 'a', "N", TEXT "(parallel scripts of a node)", SHORT | IGNORED},
    {"B", 'B', "N", "files in one list for a script, at most (100)", SHORT},
    {"D", 'D', "DATE", "what CURRENT_TIMESTAMP is: yyyy-mm-dd[@hh:mm[:ss]]", SHORT},
    {"e", 'e', NULL, TEXT "(no second evaluation)", SHORT | IGNORED},
    {"f", 'f', "PREFIX", "where -I defer and -I prepare write their lists", SHORT},
    {"g", 'g', "DIR", TEXT "(global work directory)", SHORT | IGNORED},
    {"I", 'I', "MODE", "yes, defer, test or prepare", SHORT},
    {"i", 'i', "FILE", "consider the files of this list instead of a scan", SHORT},
    {"L", 'L', "N", "how much is printed, 0 to 6 (1)", SHORT},
    {"macro", 'M', "NAME=VALUE", "replace NAME by VALUE in the policy", SHORT},
    {"m", 'm', "N", "scripts that run at once (24)", SHORT},
    {"N", 'N', "NODES", TEXT "(nodes)", SHORT | IGNORED},
    {"n", 'n', "N", TEXT "(threads of the scan)", SHORT | IGNORED},
    {"P", 'P', "FILE", "the policy file", SHORT | CMD_OPT_REQUIRED},
    {"q", 'q', NULL, TEXT "(no log)", SHORT | IGNORED},
    {"r", 'r', "FILE", "refused: candidate files are not executed", SHORT},
    {"S", 'S', "SNAPSHOT", "refused: there are no snapshots", SHORT},
    {"s", 's', "DIR", TEXT "(local work directory)", SHORT | IGNORED},
    {"choice-algorithm", 0, "NAME", "best, exact or fast: all choose as exact does", IGNORED},
    {"maxdepth", 0, "N", "refused: whole trees are scanned", 0},
    {"allow-scan-on-remote", 0, NULL, TEXT "(remote file systems)", IGNORED},
    {"max-merge-files", 0, "N", TEXT "(sorting)", IGNORED},
    {"max-sort-bytes", 0, "N", TEXT "(sorting)", IGNORED},
    {"qos", 0, "CLASS", TEXT "(quality of service)", IGNORED},
    {"single-instance", 0, NULL, "refuse while another run is on this file system", 0},
    {"scope", 0, "SCOPE", TEXT "(the directory given bounds the scan)", IGNORED},
    {"sort-buffer-size", 0, "SIZE", TEXT "(sorting)", IGNORED},
    {"other-sort-options", 0, "OPTIONS", TEXT "(sorting)", IGNORED},
    {"sort-command", 0, "COMMAND", TEXT "(sorting)", IGNORED},
    {"split-filelists-by-weight", 0, NULL, TEXT "(lists by weight)", IGNORED},
    {"split-margin", 0, "N.N", TEXT "(lists by weight)", IGNORED},
    {"silent-on-delete", 0, NULL, TEXT "(messages of deletions)", IGNORED},
    {0},
};

const struct cmd cmds_mmapplypolicy[] = {
    {"", "Device|Directory", "run a policy on a file system", 1, 1, opts, run},
    {0},
};

static const struct cmd_group groups[] = {
    {"", "run a policy on a file system", cmds_mmapplypolicy},
    {0},
};

const struct cmd_program cmd_program_mmapplypolicy = {"mmapplypolicy", "firn-compat(7)", groups,
                                                      NULL};
