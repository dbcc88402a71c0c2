/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of firn lustre share: the library, the mount point, and the source of files.
 */
#ifndef CMD_LUSTRE_IMPL_H
#define CMD_LUSTRE_IMPL_H

#include "cmd/cmd_impl.h"
#include "lustre/stager.h"
#include "lustre/stager_list.h"
#include "lustre/stager_policy.h"
#include "lustre/stager_resume.h"

/* Where the files of one command come from: operands, a list, or a policy. */
struct lustre_files {
    struct cmd_ctx *ctx;
    const struct cmd_args *args;
    struct llapi *api; /* owned */
    char *mount;       /* owned */
    struct stager_hint hint;
    const atomic_bool *stop;
    bool has_list;
    struct stager_list_reader list;
    struct stager_record first; /* read to find the mount point; valid when pending */
    bool pending;
    struct stager_policy *policy;
    struct stager_policy_config policy_cfg;
    char *target;
    const char **macros;
    char *macro_text; /* all names and values, NUL between them */
    struct cmd_progress progress;
    int at;                       /* next operand */
    struct buf store;             /* of an operand's path */
    struct stager_resume *resume; /* borrowed; NULL: none */
    struct stager_source source;  /* for the stager */
};

/* Options of every command that takes files; a table may begin with them. */
#define LUSTRE_FILE_OPTS                                                                           \
    {"from-list", 0, "FILE", "take files from a list, \"-\" for standard input", 0},               \
        {"null", '0', NULL, "records of the list end with NUL bytes", 0},                          \
        {"policy", 'P', "FILE", "take the files below TARGET that this policy chooses", 0},        \
        {"macro", 'M', "NAME=VALUE", "replace NAME by VALUE in the policy", 0},                    \
        {"mount", 0, "DIR", "the mount point; by default that of the first file", 0},              \
    {                                                                                              \
        "threads", 0, "N", "threads that look at files, 1 to 64 (8)", 0                            \
    }

/*
 * Checks operands and options, loads liblustreapi, opens the list and finds the mount point. A
 * policy is compiled and run by lustre_files_choose. Returns 0, a positive enum cmd_exit, or a
 * negative code with ctx->err; lustre_files_fini in every case.
 */
int lustre_files_open(struct lustre_files *f, struct cmd_ctx *ctx, const struct cmd_args *args);

/* With --policy: chooses the files for action (or by lists only), drawing progress. Else nothing.
 * Returns as lustre_files_open. */
int lustre_files_choose(struct lustre_files *f, enum stager_action action, bool lists_only);

/* Files that are to come, 0 when that is not known. */
uint64_t lustre_files_total(struct lustre_files *f);

/* Frees what f has. */
void lustre_files_fini(struct lustre_files *f);

/* Sets *stop when SIGINT or SIGTERM comes; the second one kills. */
void lustre_catch_signals(atomic_bool **stop);

/* Runs of cmd rows. */
int cmd_lustre_run(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_lustre_state(struct cmd_ctx *ctx, const struct cmd_args *args);
int cmd_lustre_status(struct cmd_ctx *ctx, const struct cmd_args *args);

#endif
