/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/attr.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "catalog/catalog.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#define KEY_PREFIX "cluster."

#define YES_NO                                                                                     \
    {                                                                                              \
        "yes", "no", NULL                                                                          \
    }

static const struct attr_row rows[] = {
    {"allow_migrate", YES_NO, "yes", "files may be migrated"},
    {"allow_premigrate", YES_NO, "yes", "files may be premigrated"},
    {"allow_save", YES_NO, "yes", "empty files, directories and links may be saved"},
    {"allow_selective_recall", YES_NO, "yes", "files may be recalled by command or policy"},
    {"allow_tape_assign", YES_NO, "yes", "tapes may be assigned to pools"},
    {"allow_tape_datamigrate", YES_NO, "yes", "tapes may be copied to another pool"},
    {"allow_tape_export", YES_NO, "yes", "tapes may be exported"},
    {"allow_tape_import", YES_NO, "yes", "tapes may be imported"},
    {"allow_tape_offline", YES_NO, "yes", "tapes may be put offline"},
    {"allow_tape_online", YES_NO, "yes", "tapes may be put online"},
    {"allow_tape_reclaim", YES_NO, "yes", "tapes may be reclaimed"},
    {"allow_tape_reconcile", YES_NO, "yes", "tapes may be reconciled with the file systems"},
    {"allow_tape_replace", YES_NO, "yes", "tapes may be replaced"},
    {"allow_tape_unassign", YES_NO, "yes", "tapes may be taken out of pools"},
    {"allow_transparent_recall", YES_NO, "yes", "reading a migrated file recalls it"},
    {"filehash_enable", YES_NO, "yes", "a checksum is stored with every copy"},
    {"filehash_verify_on_read", YES_NO, "yes", "a recall compares the data with that checksum"},
    {"recall_use_rao",
     {"auto", "yes", "no", NULL},
     "auto",
     "recalls are ordered by the drive (yes), by firn (no), or as is best (auto)"},
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

const struct attr_row *attr_row(size_t i)
{
    return i < N_ROWS ? &rows[i] : NULL;
}

static const struct attr_row *find_row(const char *name)
{
    for (size_t i = 0; i < N_ROWS; i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

/* The row's own string for text, or NULL when the row does not allow it. */
static const char *find_value(const struct attr_row *row, const char *text)
{
    for (size_t i = 0; row->values[i] != NULL; i++)
        if (strcmp(row->values[i], text) == 0)
            return row->values[i];
    return NULL;
}

static const char *key_of(const struct attr_row *row, struct buf *b)
{
    buf_reset(b);
    buf_adds(b, KEY_PREFIX);
    buf_adds(b, row->name);
    return b->data;
}

/* The value stored for row into *out; the default when none, or none that is allowed, is stored. */
static int read_value(struct catalog *cat, const struct attr_row *row, const char **out,
                      struct err *err)
{
    auto_buf struct buf key = {0};
    auto_free char *text = NULL;
    *out = row->dflt;
    int rc = catalog_attr_get(cat, key_of(row, &key), &text, err);
    if (rc == 0 && find_value(row, text) != NULL)
        *out = find_value(row, text);
    return rc < 0 ? rc : 0;
}

const char *attr_get(struct catalog *cat, const char *name)
{
    struct err e = {0};
    const char *value = NULL;
    const struct attr_row *row = find_row(name);
    assert(row != NULL);
    if (read_value(cat, row, &value, &e) != 0)
        log_err("attribute %s counts as %s: %s", name, value, e.text);
    return value;
}

bool attr_get_bool(struct catalog *cat, const char *name)
{
    return strcmp(attr_get(cat, name), "yes") == 0;
}

static int unknown_name(const char *name, struct err *err)
{
    auto_buf struct buf b = {0};
    for (size_t i = 0; i < N_ROWS; i++)
        buf_addf(&b, "%s%s", i > 0 ? ", " : "", rows[i].name);
    return err_set(err, -EINVAL, "there is no attribute \"%.64s\"; there are %s", name, b.data);
}

static int unknown_value(const struct attr_row *row, const char *value, struct err *err)
{
    auto_buf struct buf b = {0};
    for (size_t i = 0; row->values[i] != NULL; i++)
        buf_addf(&b, "%s%s", i > 0 ? ", " : "", row->values[i]);
    return err_set(err, -EINVAL, "attribute %s cannot be \"%.64s\"; it is one of %s", row->name,
                   value, b.data);
}

int attr_set(struct catalog *cat, const char *name, const char *value, struct err *err)
{
    auto_buf struct buf key = {0};
    const struct attr_row *row = find_row(name);
    if (row == NULL)
        return unknown_name(name, err);
    if (find_value(row, value) == NULL)
        return unknown_value(row, value, err);
    int rc = catalog_attr_set(cat, key_of(row, &key), value, 0, err);
    return rc < 0 ? err_wrap(err, rc, "attribute %s", name) : 0;
}

static cJSON *row_json(const struct attr_row *row, const char *value)
{
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "name", row->name);
    json_add_str(j, "value", value);
    cJSON *values = cJSON_AddArrayToObject(j, "values");
    for (size_t i = 0; row->values[i] != NULL; i++)
        (void)cJSON_AddItemToArray(values, cJSON_CreateString(row->values[i]));
    json_add_str(j, "help", row->help);
    return j;
}

int attr_list(struct catalog *cat, cJSON **result, struct err *err)
{
    auto_json cJSON *j = cJSON_CreateObject();
    cJSON *list = cJSON_AddArrayToObject(j, "attributes");
    for (size_t i = 0; i < N_ROWS; i++) {
        const char *value = NULL;
        int rc = read_value(cat, &rows[i], &value, err);
        if (rc != 0)
            return rc;
        (void)cJSON_AddItemToArray(list, row_json(&rows[i], value));
    }
    *result = take_ptr(j);
    return 0;
}
