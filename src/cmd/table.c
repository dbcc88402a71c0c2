/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of firn: one row a word, in the order of the help text.
 */
#include "cmd/cmd_impl.h"

static const struct cmd_group firn_groups[] = {
    {"status", "what firnd is doing and what needs attention", cmds_status},
    {"file", "state of files; migrate, premigrate and recall them", cmds_file},
    {"attr", "attributes of a file", cmds_attr},
    {"policy", "run a policy or check one", cmds_policy},
    {"schedule", "policies that run at set times", cmds_schedule},
    {"task", "what was asked of firnd and what became of it", cmds_task},
    {"tape", "cartridges", cmds_tape},
    {"drive", "tape drives", cmds_drive},
    {"pool", "pools of cartridges", cmds_pool},
    {"library", "tape libraries", cmds_library},
    {"tier", "places that keep copies: libraries and stores", cmds_tier},
    {"lustre", "HSM of Lustre: archive, restore and release many files", cmds_lustre},
    {"cluster", "attributes of the whole site", cmds_cluster},
    {"account", "S3 accounts and their keys", cmds_account},
    {"bucket", "S3 buckets", cmds_bucket},
    {"drain", "wait until no drive works and all indexes are written", cmds_drain},
    {"rebuild", "make the catalogue anew from files, tapes and stores", cmds_rebuild},
    {"compat", "install the names eeadm, mmapplypolicy and mmlsattr", cmds_compat},
    {"completion", "print completion rules for the shell", cmds_completion},
    {"help", "say what commands there are and how they are used", cmds_help},
    {0},
};

const struct cmd_program cmd_program_firn = {"firn", "firn(1)", firn_groups, NULL};
