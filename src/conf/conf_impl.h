/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside conf: the table of keys. keys.c holds the rows, conf.c walks them.
 */
#ifndef CONF_IMPL_H
#define CONF_IMPL_H

#include "conf/conf.h"

enum conf_type {
    CONF_STRING, /* char *; never NULL after loading */
    CONF_NAME,   /* as CONF_STRING: letters, digits, '-', '_', '.', 1 to 64 of them */
    CONF_PATH,   /* as CONF_STRING: absolute; a trailing slash is dropped */
    CONF_CHOICE, /* as CONF_STRING: one of the words in choices */
    CONF_INT,    /* int64_t between min and max */
    CONF_SIZE,   /* int64_t bytes between min and max */
    CONF_BOOL,   /* bool */
    CONF_LIST    /* struct conf_list of strings; the default is split at commas */
};

struct conf_key {
    const char *name;
    enum conf_type type;
    size_t offset;       /* of the field in the section's struct */
    const char *dflt;    /* as text; NULL: the key must be given */
    int64_t min, max;    /* CONF_INT and CONF_SIZE */
    const char *choices; /* CONF_CHOICE: words separated by '|' */
    const char *help;
};

struct conf_section {
    const char *name; /* "" for the top */
    const struct conf_key *keys;
    size_t key_count;
    size_t offset;       /* group: of its struct in struct conf; list: of the array pointer */
    size_t count_offset; /* list: of the element count; group: 0 */
    size_t size;         /* list: bytes of one element; group: 0 */
};

extern const struct conf_section conf_sections[];
extern const size_t conf_section_count;

#endif
