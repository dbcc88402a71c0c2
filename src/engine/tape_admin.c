/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/log.h"
#include "base/mem.h"
#include "engine/attr.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PAGE         1000
#define ROOT_POOL    "ltfs.mediaPool.name" /* LTFS 2.4, annex F: of the root directory */
#define BARCODES_MAX 1000

/* ---- who needs a volume ---- */

static bool other_copy(struct engine *e, const struct catalog_copy *c)
{
    struct catalog_copies l = {0};
    bool found = false;
    if (catalog_copy_of(e->cat, &c->archive, 1, &l, NULL) == 0) {
        for (size_t i = 0; i < l.n; i++)
            found = found || (l.v[i].state == CATALOG_COPY_VALID && l.v[i].volume != c->volume);
    }
    catalog_copies_fini(&l);
    return found;
}

enum archive_use archive_use(struct engine *e, const struct uuid *archive)
{
    struct catalog_archives a = {0};
    struct file_info info;
    bool yes = true;
    bool nameless = false;
    if (catalog_archive_get(e->cat, archive, &a, NULL) == 0) {
        nameless = a.v[0].handle_len == 0;
        struct efs *fs = efs_by_uuid(e, &a.v[0].fs);
        struct file_id id = {
            .fs = a.v[0].fs, .ino = a.v[0].ino, .gen = a.v[0].gen, .handle_len = a.v[0].handle_len};
        memcpy(id.handle, a.v[0].handle, id.handle_len);
        int rc = fs == NULL ? -ENODEV : file_inspect_id(fs->fs, &id, &info, NULL);
        if (rc == FILE_GONE)
            yes = false;
        else if (rc == 0)
            yes = info.has_record && memcmp(&info.record.archive, archive, sizeof(*archive)) == 0;
    }
    catalog_archives_fini(&a);
    return nameless ? ARCHIVE_NAMELESS : yes ? ARCHIVE_USED : ARCHIVE_UNUSED;
}

bool archive_is_referenced(struct engine *e, const struct uuid *archive)
{
    return archive_use(e, archive) != ARCHIVE_UNUSED;
}

/* Files that need volume: with all, any live copy; else only those without another copy. Stops at
 * the first; *path (the caller's) names it. Returns 0 none, 1 one, or a negative code. */
static int find_needed(struct engine *e, int64_t volume, bool all, char **path, struct err *err)
{
    struct catalog_copy_pos pos = {0};
    for (;;) {
        struct catalog_copies l = {0};
        int rc = catalog_copy_page(e->cat, volume, &pos, PAGE, &l, err);
        size_t n = l.n;
        for (size_t i = 0; rc == 0 && i < n; i++) {
            if (l.v[i].state == CATALOG_COPY_LOST || (!all && other_copy(e, &l.v[i])) ||
                !archive_is_referenced(e, &l.v[i].archive))
                continue;
            *path = xstrdup(l.v[i].path);
            rc = 1;
        }
        catalog_copies_fini(&l);
        if (rc != 0 || n == 0)
            return rc;
    }
}

static int refuse_needed(struct engine *e, const struct volume *v, bool all, const char *what,
                         struct err *err)
{
    auto_free char *path = NULL;
    int rc = find_needed(e, v->row.id, all, &path, err);
    if (rc <= 0)
        return rc;
    return err_set(err, -ENOTEMPTY,
                   "%s would lose %s of %s: recall it, or migrate it to another pool", what,
                   all ? "a copy" : "the only copy", path);
}

/* ---- assign ---- */

struct assign {
    struct engine *e;
    struct pool *pool;
    bool force;
    bool format; /* decided */
};

/* What is on the cartridge, and may it be used? Sets a->format. */
static int examine(struct edrive *d, struct assign *a, struct err *err)
{
    struct volume *v = d->volume;
    auto_ltfs_volume struct ltfs_volume *ltfs = NULL;
    struct ltfs_volume_info info;
    int rc = ltfs_mount(d->drive, LTFS_MOUNT_READ_ONLY, &ltfs, err);
    if (rc == LTFS_NOT_FORMATTED) {
        a->format = true;
        return 0;
    }
    if (rc < 0) {
        a->format = a->force;
        return a->force ? 0
                        : err_wrap(err, rc, "%s cannot be read (-f formats it)", v->row.barcode);
    }
    rc = ltfs_volume_info(ltfs, &info, err);
    if (rc != 0)
        return rc;
    bool ours = memcmp(&v->row.uuid, &info.uuid, sizeof(info.uuid)) == 0;
    if (info.files == 0 || ours)
        return 0;
    a->format = a->force;
    if (a->force)
        return 0;
    return err_set(err, -EEXIST,
                   "%s holds an LTFS volume with %llu files that firn does not know; -f formats it "
                   "and loses them",
                   v->row.barcode, (unsigned long long)info.files);
}

static int format(struct edrive *d, struct assign *a, struct err *err)
{
    struct volume *v = d->volume;
    struct uuid uuid;
    int rc = refuse_needed(a->e, v, false, "formatting", err);
    if (rc == 0)
        rc = ltfs_format(d->drive, v->row.barcode, 0, &uuid, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EIO, "formatting %s", v->row.barcode);
    rc = copies_set_state_volume(a->e, v, CATALOG_COPY_LOST, err);
    lock_scope(&a->e->lock);
    v->row.uuid = uuid;
    v->row.garbage = 0;
    v->row.generation = 1;
    return rc;
}

/* Writes the pool's name on the tape, so that a rebuild finds it. */
static int name_pool(struct edrive *d, const struct assign *a, struct err *err)
{
    auto_ltfs_volume struct ltfs_volume *ltfs = NULL;
    struct ltfs_node *root = NULL;
    struct ltfs_volume_info info;
    struct ltfs_xattr x = {ROOT_POOL, a->pool->name, strlen(a->pool->name)};
    int rc = ltfs_mount(d->drive, 0, &ltfs, err);
    if (rc == 0)
        rc = ltfs_lookup(ltfs, "", &root);
    if (rc == 0)
        rc = ltfs_set_xattr(ltfs, root, &x, err);
    if (rc == 0)
        rc = ltfs_sync(ltfs, err);
    if (rc == 0)
        rc = ltfs_volume_info(ltfs, &info, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EROFS, "%s cannot be written", d->volume->row.barcode);
    lock_scope(&a->e->lock);
    struct volume *v = d->volume;
    (void)snprintf(v->row.pool, sizeof(v->row.pool), "%s", a->pool->name);
    v->row.uuid = info.uuid;
    /* Generation 0 makes the first mount compare the index with the catalogue. */
    v->row.generation = info.files > 0 ? 0 : (int64_t)info.generation;
    v->row.capacity = (int64_t)info.capacity_bytes;
    v->row.used = (int64_t)info.used_bytes;
    v->row.files = (int64_t)info.files;
    v->remaining = (int64_t)info.remaining_bytes;
    return 0;
}

static int assign_run(struct edrive *d, void *arg, struct err *err)
{
    struct assign *a = arg;
    int rc = examine(d, a, err);
    if (rc == 0 && a->format)
        rc = format(d, a, err);
    if (rc == 0)
        rc = name_pool(d, a, err);
    if (rc == 0)
        volume_set_state(a->e, d->volume, VOL_APPENDABLE, "");
    return rc;
}

int volume_need(struct engine *e, const char *barcode, const char *library, struct volume **v,
                struct err *err)
{
    lock_scope(&e->lock);
    *v = volume_find_locked(e, barcode, library);
    if (*v == NULL)
        return err_set(err, -ENOENT, "there is no tape \"%s\"; firn tape list shows them", barcode);
    return 0;
}

static int assign_one(struct engine *e, const char *barcode, struct pool *p, bool force,
                      struct err *err)
{
    struct assign a = {.e = e, .pool = p, .force = force};
    struct admin admin = {.unmounted = true, .run = assign_run, .arg = &a};
    int rc = volume_need(e, barcode, p->lib->name, &admin.volume, err);
    if (rc < 0)
        return rc;
    if (admin.volume->row.pool[0] != '\0')
        return err_set(err, -EEXIST, "%s is in pool %s already", barcode, admin.volume->row.pool);
    return admin_run(e, &admin, err);
}

/* ---- unassign ---- */

static int unassign_one(struct engine *e, const char *barcode, struct pool *p, bool check_empty,
                        struct err *err)
{
    struct volume *v = NULL;
    int rc = volume_need(e, barcode, p->lib->name, &v, err);
    if (rc < 0)
        return rc;
    if (strcmp(v->row.pool, p->name) != 0)
        return err_set(err, -EINVAL, "%s is not in pool %s", barcode, p->name);
    rc = refuse_needed(e, v, check_empty, "taking it out", err);
    if (rc < 0)
        return rc;
    {
        lock_scope(&e->lock);
        if (v->reserved || v->queue != NULL)
            return err_set(err, -EBUSY, "%s is in use; try again later", barcode);
        v->row.pool[0] = '\0';
    }
    volume_set_state(e, v, VOL_UNASSIGNED, "");
    return copies_set_state_volume(e, v, CATALOG_COPY_GARBAGE, err);
}

/* ---- both from JSON ---- */

struct each {
    bool assign, flag;
};

static int run_each(struct engine *e, const struct engine_call *call, const struct each *what,
                    cJSON **result, struct err *err)
{
    const cJSON *barcodes = cJSON_GetObjectItemCaseSensitive(call->args, "barcodes");
    const char *library = json_str(call->args, "library", NULL);
    const char *name = NULL;
    const cJSON *b = NULL;
    struct pool *p = NULL;
    const char *attr = what->assign ? "allow_tape_assign" : "allow_tape_unassign";
    int rc = json_need_str(call->args, "pool", &name, err);
    if (rc < 0)
        return rc;
    if (!attr_get_bool(e->cat, attr))
        return err_set(err, -EACCES, "%s is no: firn cluster set -a %s -v yes allows it", attr,
                       attr);
    if (!cJSON_IsArray(barcodes) || cJSON_GetArraySize(barcodes) > BARCODES_MAX)
        return err_set(err, -EINVAL, "\"barcodes\" is a list of at most %d strings", BARCODES_MAX);
    auto_free char *text = library != NULL && *library != '\0' && strchr(name, '@') == NULL
                               ? xasprintf("%s@%s", name, library)
                               : xstrdup(name);
    rc = pool_resolve(e, text, &p, err);
    if (rc < 0)
        return rc;
    cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "tapes");
    cJSON_ArrayForEach (b, barcodes) {
        struct err one = {0};
        const char *barcode = cJSON_IsString(b) ? b->valuestring : "";
        rc = what->assign ? assign_one(e, barcode, p, what->flag, &one)
                          : unassign_one(e, barcode, p, what->flag, &one);
        cJSON *o = cJSON_CreateObject();
        json_add_str(o, "barcode", barcode);
        (void)cJSON_AddBoolToObject(o, "ok", rc == 0);
        json_add_str(o, "message", rc == 0 ? "" : one.text);
        (void)cJSON_AddItemToArray(a, o);
    }
    return op_result(j, result);
}

int engine_op_tape_assign(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    struct each w = {.assign = true, .flag = json_bool(call->args, "force", false)};
    return run_each(e, call, &w, result, err);
}

int engine_op_tape_unassign(struct engine *e, const struct engine_call *call, cJSON **result,
                            struct err *err)
{
    struct each w = {.flag = json_bool(call->args, "check_empty", false)};
    return run_each(e, call, &w, result, err);
}

/* ---- for rebuild ---- */

void adopt_pool(struct edrive *d)
{
    struct engine *e = d->e;
    struct volume *v = d->volume;
    struct ltfs_node *root = NULL;
    const void *value = NULL;
    size_t len = 0;
    struct err err = {0};
    if (v->row.pool[0] != '\0' || ltfs_lookup(d->ltfs, "", &root) != 0 ||
        ltfs_get_xattr(root, ROOT_POOL, &value, &len) != 0 || len == 0 || len >= CATALOG_NAME_MAX)
        return;
    auto_free char *name = xstrndup(value, len);
    struct catalog_pool p = {0};
    (void)snprintf(p.name, sizeof(p.name), "%s", name);
    (void)snprintf(p.library, sizeof(p.library), "%s", d->lib->name);
    int rc = catalog_pool_add(e->cat, &p, &err);
    if ((rc < 0 && rc != -EEXIST) || pools_load(e, &err) < 0) {
        log_err("pool %s of %s: %s", name, v->row.barcode, err.text);
        return;
    }
    {
        lock_scope(&e->lock);
        (void)snprintf(v->row.pool, sizeof(v->row.pool), "%s", name);
    }
    volume_set_state(e, v, VOL_APPENDABLE, "");
}
