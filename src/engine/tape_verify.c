/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking a cartridge: its volume by itself (ltfs_check), then, where that leaves doubts, every
 * copy against the catalogue. A cartridge that an error had put out of use comes back when all of
 * it is whole.
 */
#include "engine/engine_impl.h"

#include "base/mem.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PAGE         1000
#define PROBLEMS_MAX 1000

struct verify {
    unsigned flags;
    struct ltfs_check_result result;
    cJSON *problems;
    char was[32]; /* the state before, when it was changed */
    char state[32];
};

static void hear(void *arg, bool fatal, const char *text)
{
    struct verify *v = arg;
    (void)fatal;
    if (cJSON_GetArraySize(v->problems) < PROBLEMS_MAX)
        (void)cJSON_AddItemToArray(v->problems, cJSON_CreateString(text));
}

static bool is_out_of_use(const char *state)
{
    return strcmp(state, VOL_NEED_REPLACE) == 0 || strcmp(state, VOL_REQ_REPLACE) == 0;
}

/* ---- against the catalogue ---- */

/* One copy: there, of the archive that the catalogue says, with its digest. */
static void check_copy(struct edrive *d, struct verify *v, struct tier *t,
                       const struct catalog_copy *c)
{
    struct catalog_archives a = {0};
    struct err err = {0};
    struct tier_location loc = {.key = xstrdup(c->path),
                                .partition = c->partition == 'b' ? 1 : 0,
                                .block = c->start_block,
                                .byteoffset = (uint32_t)c->byte_offset};
    struct tier_digest want;
    int rc = catalog_archive_get(d->e->cat, &c->archive, &a, &err);
    bool digested = rc == 0 && a.v[0].digest_alg >= 0;
    if (digested) {
        want.alg = (enum digest_alg)a.v[0].digest_alg;
        memcpy(want.value, a.v[0].digest, sizeof(want.value));
    }
    if (rc >= 0)
        rc = tier_verify(t, &c->archive, &loc, digested ? &want : NULL, NULL, &err);
    if (rc != 0) {
        auto_free char *text =
            xasprintf("cartridge %s: %s (partition %c block %llu): %s", d->volume->row.barcode,
                      c->path, c->partition, (unsigned long long)c->start_block,
                      rc > 0 ? "is not in the index" : err.text);
        hear(v, true, text);
        v->result.problems++;
    }
    tier_location_fini(&loc);
    catalog_archives_fini(&a);
}

static int check_copies(struct edrive *d, struct verify *v, struct ltfs_volume *ltfs,
                        struct err *err)
{
    auto_tier struct tier *t = tier_tape_open(ltfs, d->volume->row.barcode);
    struct catalog_copy_pos pos = {0};
    for (;;) {
        struct catalog_copies c = {0};
        int rc = catalog_copy_page(d->e->cat, d->volume->row.id, &pos, PAGE, &c, err);
        size_t n = c.n;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            if (c.v[i].state == CATALOG_COPY_VALID)
                check_copy(d, v, t, &c.v[i]);
        }
        catalog_copies_fini(&c);
        if (rc != 0 || n == 0)
            return rc;
    }
}

/* ---- back into use ---- */

static const char *state_for(const struct volume *v, const struct ltfs_volume_info *info)
{
    if (v->row.pool[0] == '\0')
        return VOL_UNASSIGNED;
    if (info->read_only)
        return VOL_RECALL_ONLY;
    return info->remaining_bytes < info->capacity_bytes / FULL_SHARE ? VOL_FULL : VOL_APPENDABLE;
}

/* The volume itself is whole: the catalogue's view of it, and its state. */
static int compare(struct edrive *d, struct verify *v, struct err *err)
{
    struct volume *vol = d->volume;
    bool out = is_out_of_use(vol->row.state);
    auto_ltfs_volume struct ltfs_volume *ltfs = NULL;
    struct ltfs_volume_info info;
    if (!out && v->result.hashed == v->result.files)
        return 0;
    /* One that shall be written again is mounted so: that shows whether it can be. */
    int rc = ltfs_mount(d->drive, out ? 0 : LTFS_MOUNT_READ_ONLY, &ltfs, err);
    if (rc == 0)
        rc = ltfs_volume_info(ltfs, &info, err);
    if (rc != 0)
        return rc;
    if (memcmp(&info.uuid, &vol->row.uuid, sizeof(info.uuid)) != 0)
        return 0; /* the next mount says so */
    rc = check_copies(d, v, ltfs, err);
    if (rc < 0 || !out || v->result.problems > 0)
        return rc;
    (void)snprintf(v->was, sizeof(v->was), "%s", vol->row.state);
    volume_set_state(d->e, vol, state_for(vol, &info), info.read_only ? info.problem : "");
    return 0;
}

static int verify_run(struct edrive *d, void *arg, struct err *err)
{
    struct verify *v = arg;
    int rc = ltfs_check(d->drive, v->flags, hear, v, &v->result, err);
    if (rc == LTFS_NOT_FORMATTED)
        return err_set(err, -EMEDIUMTYPE, "%s holds no LTFS volume", d->volume->row.barcode);
    if (rc == 0 && v->result.problems == 0)
        rc = compare(d, v, err);
    lock_scope(&d->e->lock);
    (void)snprintf(v->state, sizeof(v->state), "%s", d->volume->row.state);
    return rc;
}

int engine_op_tape_verify(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    const char *barcode = NULL;
    auto_json cJSON *problems = cJSON_CreateArray();
    struct verify v = {.flags = json_bool(call->args, "repair", false) ? LTFS_CHECK_REPAIR : 0,
                       .problems = problems};
    struct admin admin = {.unmounted = true, .run = verify_run, .arg = &v};
    int rc = json_need_str(call->args, "barcode", &barcode, err);
    if (rc == 0)
        rc = volume_need(e, barcode, json_str(call->args, "library", NULL), &admin.volume, err);
    if (rc == 0)
        rc = admin_run(e, &admin, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    (void)cJSON_AddBoolToObject(j, "ok", v.result.problems == 0);
    json_add_int(j, "files", (int64_t)v.result.files);
    json_add_int(j, "recovered", (int64_t)v.result.recovered);
    json_add_str(j, "state", v.state);
    json_add_str(j, "was", v.was);
    (void)cJSON_AddItemToObject(j, "problems", take_ptr(problems));
    return op_result(j, result);
}
