/* SPDX-License-Identifier: Apache-2.0 */
/*
 * firn lustre: the tables of its commands.
 */
#include "cmd/lustre_impl.h"

#define RUN_OPTS                                                                                   \
    LUSTRE_FILE_OPTS, {"window", 'w', "N", "outstanding requests at most, 1 to 5000 (2000)", 0},   \
        {"retries", 0, "N", "further attempts for a file that failed (3)", 0},                     \
        {"wait", 0, NULL, "wait for the end of each file (this is the default)", 0},               \
        {"no-wait", 0, NULL, "end when the last file is requested", 0},                            \
        {"timeout", 0, "SECONDS", "give up on a file after so long in the queue (0: never)", 0},   \
        {"patience", 0, "SECONDS", "how long the coordinator may take no request (600)", 0},       \
        {"polls", 0, "N", "states asked for in a second to see ends (500)", 0},                    \
        {"order", 0, "ORDER", "request by fid (files made together) or as in the list", 0},        \
        {"report", 0, "FILE", "write a row for each file: CSV, or JSON for FILE.json", 0},         \
        {"failed", 0, "FILE", "write a list of the files that failed, for --from-list", 0},        \
        {"resume", 0, "FILE", "keep the state of the run here (LIST.ACTION.resume)", 0},           \
        {"restart", 0, NULL, "begin anew instead of going on with an interrupted run", 0},         \
        {"dry-run", 'n', NULL, "say what would be requested, but request nothing", 0},             \
    {                                                                                              \
        0                                                                                          \
    }

#define OPT_ARCHIVE_ID                                                                             \
    {                                                                                              \
        "archive-id", 'a', "N", "the archive; by default the file's, else the file system's", 0    \
    }
#define OPT_DATA                                                                                   \
    {                                                                                              \
        "data", 0, "K=V[,K=V...]", "hints for the copytool", 0                                     \
    }

static const struct cmd_opt archive_opts[] = {
    OPT_ARCHIVE_ID,
    OPT_DATA,
    {"release", 0, NULL, "release each file once it is archived", 0},
    RUN_OPTS,
};
static const struct cmd_opt restore_opts[] = {OPT_DATA, RUN_OPTS};
static const struct cmd_opt release_opts[] = {RUN_OPTS};
static const struct cmd_opt remove_opts[] = {OPT_ARCHIVE_ID, OPT_DATA, RUN_OPTS};
static const struct cmd_opt cancel_opts[] = {RUN_OPTS};
static const struct cmd_opt state_opts[] = {
    {"actions", 0, NULL, "also what the coordinator does for each file (slow)", 0},
    LUSTRE_FILE_OPTS,
    {0},
};
static const struct cmd_opt status_opts[] = {
    {"params", 0, "DIR", "read what the servers say below this directory", 0},
    {"metrics", 0, "FILE", "the copytool's metrics file; by default that of firn.conf", 0},
    {0},
};

const struct cmd cmds_lustre[] = {
    {"archive", "[PATH...|TARGET]", "copy files to their archive", 0, -1, archive_opts,
     cmd_lustre_run},
    {"restore", "[PATH...|TARGET]", "bring the data of released files back", 0, -1, restore_opts,
     cmd_lustre_run},
    {"release", "[PATH...|TARGET]", "free the data of archived files", 0, -1, release_opts,
     cmd_lustre_run},
    {"remove", "[PATH...|TARGET]", "delete the copies of files that have their data", 0, -1,
     remove_opts, cmd_lustre_run},
    {"cancel", "[PATH...|TARGET]", "stop what the coordinator does for files", 0, -1, cancel_opts,
     cmd_lustre_run},
    {"state", "[PATH...|TARGET]", "show the HSM states of files", 0, -1, state_opts,
     cmd_lustre_state},
    {"status", "", "show agents, queue and limits as far as they can be read", 0, 0, status_opts,
     cmd_lustre_status},
    {0},
};
