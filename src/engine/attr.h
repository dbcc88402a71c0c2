/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cluster attributes: a fixed table of names, allowed values and defaults (firn cluster show, set);
 * the values that differ from the default are stored in the catalogue and asked for there each
 * time, so that a change counts from the next request on. Any thread.
 */
#ifndef ENGINE_ATTR_H
#define ENGINE_ATTR_H

#include "base/err.h"
#include "base/json.h"

#include <stdbool.h>
#include <stddef.h>

struct catalog;

/* A row of the table. */
struct attr_row {
    const char *name;
    const char *values[4]; /* what is allowed, NULL-terminated */
    const char *dflt;
    const char *help; /* one line, no full stop */
};

/* Row i of the table, sorted by name, or NULL behind the last. Static storage. */
const struct attr_row *attr_row(size_t i);

/* The value of attribute name, as the static string of its row. An unknown name is a mistake of the
 * caller (assert). When the catalogue cannot be read, the failure is logged and the default
 * returned. */
const char *attr_get(struct catalog *cat, const char *name);

/* As attr_get, of an attribute whose values are yes and no: true for yes. */
bool attr_get_bool(struct catalog *cat, const char *name);

/* Stores value of attribute name durably. Returns 0; -EINVAL with err naming what is allowed for an
 * unknown name or value; or another negative code with err. */
int attr_set(struct catalog *cat, const char *name, const char *value, struct err *err);

/* Result of op attr.list as a new object (the caller's). Returns 0 or a negative code with err. */
int attr_list(struct catalog *cat, cJSON **result, struct err *err);

#endif
