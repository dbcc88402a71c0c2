/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside conf: the table of keys. keys.c holds the rows, conf.c walks them.
 */
#ifndef CONF_IMPL_H
#define CONF_IMPL_H

#include "conf/conf.h"

#include <libconfig.h>

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

/* Parses file path into cfg (initialised). Returns 0, or a negative code with err naming file and
 * line. */
int conf_read_file(config_t *cfg, const char *path, struct err *err);

/* Fills c (zeroed) from all sections of cfg, with defaults and checks; path is for texts. Returns 0
 * or a negative code. */
int conf_load_all(const char *path, config_t *cfg, struct conf *c, struct err *err);

/* Fills the struct at base (zeroed) by the keys of sec from group s (NULL: all defaults). Returns 0
 * or a negative code. */
int conf_load_group(const char *path, const struct conf_section *sec, config_setting_t *s,
                    char *base, struct err *err);

/* Frees what the n keys own in the struct at base. */
void conf_fini_keys(const struct conf_key *keys, size_t n, char *base);

/* Contradictions in and between stores. Returns 0 or -EINVAL. */
int conf_check_stores(const struct conf *c, struct err *err);

/* The section of that name; NULL when there is none. */
const struct conf_section *conf_find_section(const char *name);

#endif
