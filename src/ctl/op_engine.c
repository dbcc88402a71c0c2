/* SPDX-License-Identifier: Apache-2.0 */
/* Operations that the engine offers as they are. */
#include "ctl/ops_impl.h"

#define PASS_ON(name)                                                                              \
    int ctl_op_##name(struct ctl_request *rq, struct err *err)                                     \
    {                                                                                              \
        return ctl_engine_call(rq, engine_op_##name, err);                                         \
    }

PASS_ON(status)
PASS_ON(file_state)
PASS_ON(file_lsattr)
PASS_ON(task_list)
PASS_ON(task_show)
PASS_ON(task_cancel)
PASS_ON(task_clear)
PASS_ON(recall)
PASS_ON(tape_list)
PASS_ON(tape_show)
PASS_ON(tape_assign)
PASS_ON(tape_unassign)
PASS_ON(tape_verify)
PASS_ON(drive_list)
PASS_ON(drive_show)
PASS_ON(drive_assign)
PASS_ON(drive_unassign)
PASS_ON(pool_list)
PASS_ON(pool_show)
PASS_ON(pool_create)
PASS_ON(pool_delete)
PASS_ON(library_list)
PASS_ON(library_rescan)
PASS_ON(tier_list)
PASS_ON(tier_show)
PASS_ON(tier_verify)
PASS_ON(tier_gc)
PASS_ON(drain)
PASS_ON(rebuild)
