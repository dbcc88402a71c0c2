/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed access to cJSON trees (library cJSON), with errors that name the member. Any thread, one
 * tree at a time. cJSON numbers are doubles: 64-bit values that may pass 2^53 travel as strings.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/err.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

/* Frees a cJSON tree (NULL allowed) at the end of the scope: auto_json cJSON *j = NULL; */
static inline void cleanup_json(cJSON **j)
{
    cJSON_Delete(*j);
}
#define auto_json __attribute__((cleanup(cleanup_json)))

/* The string member name of obj, borrowed from the tree, or dflt (may be NULL) when it is absent or
 * not a string. obj may be NULL. */
const char *json_str(const cJSON *obj, const char *name, const char *dflt);

/* The number member name of obj as an integer (a string of decimal digits is accepted), or dflt
 * when it is absent or no integer. */
int64_t json_int(const cJSON *obj, const char *name, int64_t dflt);

/* The boolean member name of obj, or dflt. */
bool json_bool(const cJSON *obj, const char *name, bool dflt);

/* As json_str, but an absent member is -EINVAL with err naming it. Returns 0 with *out borrowed. */
int json_need_str(const cJSON *obj, const char *name, const char **out, struct err *err);

/* Adds a 64-bit integer: a JSON number up to 2^53, else a decimal string. obj owns the new member.
 */
void json_add_int(cJSON *obj, const char *name, int64_t v);

/* Adds a string member (NULL adds JSON null). obj owns the new member. */
void json_add_str(cJSON *obj, const char *name, const char *v);

#endif
