/* SPDX-License-Identifier: Apache-2.0 */
/* What commands are shown of an open task: what works for it, and why nothing can. Any thread, not
 * under engine.lock. */
#ifndef ENGINE_TASK_VIEW_H
#define ENGINE_TASK_VIEW_H

#include "engine/engine_impl.h"

/* Adds to j the names of tapes, drives, libraries and pools that work for task id now. Not under
 * engine.lock. */
void task_add_in_use(struct engine *e, int64_t id, cJSON *j);

#define TASK_WHY_MAX 512

/* Why open task id cannot go on where it has work: a store is down, a library without drive. ""
 * when it can, or is over. Not under engine.lock. */
void task_why(struct engine *e, int64_t id, char text[TASK_WHY_MAX]);

#endif
