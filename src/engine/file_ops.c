/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/engine_impl.h"

#include "base/mem.h"
#include "base/timefmt.h"
#include "codec/encode.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PATHS_MAX 1000
#define XATTR_MAX 65536

/* "<CLID>-<FSID>-<IGEN>-<INO>-0". */
static void add_id(struct engine *e, const struct file_info *info, cJSON *j)
{
    auto_free char *id =
        xasprintf("%" PRId64 "-%" PRId64 "-%" PRIu32 "-%" PRIu64 "-0",
                  id_number(e->conf->site, strlen(e->conf->site)),
                  id_number(info->id.fs.b, sizeof(info->id.fs.b)), info->id.gen, info->id.ino);
    json_add_str(j, "id", id);
}

static void add_copies(struct engine *e, const struct uuid *archive, cJSON *j)
{
    struct catalog_copies c = {0};
    cJSON *a = cJSON_AddArrayToObject(j, "copies");
    if (catalog_copy_of(e->cat, archive, 1, &c, NULL) == 0) {
        lock_scope(&e->lock);
        for (size_t i = 0; i < c.n; i++) {
            const struct volume *v = volume_by_id_locked(e, c.v[i].volume);
            if (c.v[i].state != CATALOG_COPY_VALID)
                continue;
            cJSON *o = cJSON_CreateObject();
            json_add_str(o, "volume", c.v[i].barcode);
            json_add_str(o, "pool", c.v[i].pool);
            json_add_str(o, "library", c.v[i].library);
            json_add_str(o, "volume_state", v != NULL ? volume_shown_state(v) : "missing");
            json_add_str(o, "tier", c.v[i].tier);
            (void)cJSON_AddItemToArray(a, o);
        }
    }
    catalog_copies_fini(&c);
}

static int inspect(struct engine *e, const char *path, struct file_info *info, struct efs **fs,
                   struct err *err)
{
    auto_free char *rel = NULL;
    *fs = efs_resolve(e, path, &rel);
    if (*fs == NULL)
        return err_set(err, -ENOENT, "%s: not in a managed file system", path);
    if ((*fs)->fs == NULL)
        return err_set(err, -ENODEV, "%s: file system %s is not available: %s", path,
                       (*fs)->conf->name, (*fs)->problem);
    int rc = file_inspect_path((*fs)->fs, rel, info, err);
    if (rc > 0)
        return err_set(err, -EINVAL, "%s: %s", path, file_outcome_text(rc));
    return rc;
}

static cJSON *state_json(struct engine *e, const char *path)
{
    struct file_info info;
    struct efs *fs = NULL;
    struct err err = {0};
    char archive[UUID_TEXT];
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", path);
    if (inspect(e, path, &info, &fs, &err) < 0) {
        json_add_str(j, "error", err.text);
        return j;
    }
    json_add_str(j, "state", file_state_name(info.state));
    json_add_int(j, "size", info.st.st_size);
    if (info.note != FILE_NOTE_NONE)
        json_add_str(j, "note", file_note_text(info.note));
    if (info.state == FILE_RESIDENT)
        return j;
    uuid_format(&info.record.archive, archive);
    add_id(e, &info, j);
    json_add_str(j, "archive_id", archive);
    add_copies(e, &info.record.archive, j);
    return j;
}

int engine_op_file_state(struct engine *e, const struct engine_call *call, cJSON **result,
                         struct err *err)
{
    const cJSON *paths = cJSON_GetObjectItemCaseSensitive(call->args, "paths");
    const cJSON *p = NULL;
    if (!cJSON_IsArray(paths) || cJSON_GetArraySize(paths) > PATHS_MAX)
        return err_set(err, -EINVAL, "\"paths\" is a list of at most %d strings", PATHS_MAX);
    auto_json cJSON *j = cJSON_CreateObject();
    cJSON *a = cJSON_AddArrayToObject(j, "files");
    cJSON_ArrayForEach (p, paths) {
        if (!cJSON_IsString(p))
            return err_set(err, -EINVAL, "\"paths\" is a list of strings");
        (void)cJSON_AddItemToArray(a, state_json(e, p->valuestring));
    }
    return op_result(take_ptr(j), result);
}

int engine_file_facts(struct engine *e, const char *fs, int fd, struct engine_file_facts *out,
                      struct err *err)
{
    static const char states[] = "rpm";
    struct file_info info;
    struct efs *f = efs_by_name(e, fs);
    if (f == NULL || f->fs == NULL)
        return err_set(err, -ENOENT, "there is no file system \"%s\", or it is not available", fs);
    int rc = file_inspect(f->fs, fd, &info, err);
    if (rc != 0)
        return rc < 0 ? rc : err_set(err, -EINVAL, "%s", file_outcome_text(rc));
    *out = (struct engine_file_facts){.state = states[info.state],
                                      .kb_allocated = info.st.st_blocks / 2};
    (void)snprintf(out->misc, sizeof(out->misc), "FA%s%s", info.state != FILE_RESIDENT ? "M" : "",
                   info.state == FILE_MIGRATED ? "V" : "");
    return 0;
}

/* ---- file.lsattr ---- */

/* UTF-8 text without control characters can be shown as it is; all else goes as base64. */
static bool is_text(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)p[i];
        size_t len = c < 0x80 ? 1 : c >= 0xC2 && c < 0xE0 ? 2 : c >= 0xE0 && c < 0xF0 ? 3 : 4;
        if (c < 0x20 || c == 0x7F || (c >= 0x80 && c < 0xC2) || c > 0xF4 || i + len > n)
            return false;
        for (size_t k = 1; k < len; k++) {
            if (((unsigned char)p[i + k] & 0xC0) != 0x80)
                return false;
        }
        i += len;
    }
    return true;
}

static void add_xattr(cJSON *a, const char *name, const char *value, size_t n)
{
    cJSON *o = cJSON_CreateObject();
    json_add_str(o, "name", name);
    if (is_text(value, n)) {
        auto_free char *text = xstrndup(value, n);
        json_add_str(o, "value", text);
        (void)cJSON_AddBoolToObject(o, "base64", false);
    } else {
        auto_free char *text = xzalloc(ENCODE_BASE64_SIZE(n));
        encode_base64((const uint8_t *)value, n, text);
        json_add_str(o, "value", text);
        (void)cJSON_AddBoolToObject(o, "base64", true);
    }
    (void)cJSON_AddItemToArray(a, o);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The user's attributes, sorted. fd may be O_PATH. */
static void add_xattrs(int fd, cJSON *j)
{
    cJSON *a = cJSON_AddArrayToObject(j, "xattrs");
    auto_free char *proc = xasprintf("/proc/self/fd/%d", fd);
    auto_free char *names = xzalloc(XATTR_MAX);
    auto_free char *value = xzalloc(XATTR_MAX);
    auto_free const char **sorted = NULL;
    size_t count = 0;
    ssize_t n = listxattr(proc, names, XATTR_MAX);
    for (const char *p = names; n > 0 && p < names + n; p += strlen(p) + 1) {
        if (strncmp(p, "user.", 5) != 0)
            continue;
        sorted = xrealloc_array(sorted, count + 1, sizeof(*sorted));
        sorted[count++] = p;
    }
    if (count > 0)
        qsort(sorted, count, sizeof(*sorted), by_name);
    for (size_t i = 0; i < count; i++) {
        ssize_t len = getxattr(proc, sorted[i], value, XATTR_MAX);
        if (len >= 0)
            add_xattr(a, sorted[i], value, (size_t)len);
    }
}

/* The fileset is the directory below the root, as in policies; "root" for files directly in it. */
static void add_fileset(const char *rel, cJSON *j)
{
    const char *slash = strchr(rel, '/');
    auto_free char *name = slash != NULL ? xstrndup(rel, (size_t)(slash - rel)) : xstrdup("root");
    json_add_str(j, "fileset", name);
}

static void add_created(int fd, cJSON *j)
{
    struct statx stx;
    char text[TIMEFMT_MAX] = "";
    if (statx(fd, "", AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW, STATX_BTIME | STATX_CTIME, &stx) == 0) {
        const struct statx_timestamp *t =
            (stx.stx_mask & STATX_BTIME) != 0 ? &stx.stx_btime : &stx.stx_ctime;
        timefmt_iso_ms(t->tv_sec * NS_PER_SEC + t->tv_nsec, text);
    }
    json_add_str(j, "created", text);
}

static const char *misc_of(const struct file_info *info, int rc)
{
    static const char *const letters[] = {"FA", "FAM", "FAMV"};
    return rc == FILE_NOT_REGULAR ? "" : letters[info->state];
}

int engine_op_file_lsattr(struct engine *e, const struct engine_call *call, cJSON **result,
                          struct err *err)
{
    const char *path = NULL;
    auto_free char *rel = NULL;
    struct file_info info = {0};
    int rc = json_need_str(call->args, "path", &path, err);
    if (rc < 0)
        return rc;
    struct efs *fs = efs_resolve(e, path, &rel);
    if (fs == NULL || fs->fs == NULL)
        return err_set(err, -ENOENT, "%s: not in a managed file system that is available", path);
    auto_close int fd = fs_open_path(fs->fs, rel, O_PATH | O_NOFOLLOW, err);
    if (fd < 0)
        return fd;
    rc = file_inspect(fs->fs, fd, &info, err);
    if (rc < 0)
        return rc;
    struct stat st;
    if (fstat(fd, &st) != 0)
        return err_sys(err, errno, "%s", path);
    cJSON *j = cJSON_CreateObject();
    json_add_str(j, "path", path);
    json_add_str(j, "pool", fs->conf->pool);
    add_fileset(rel, j);
    add_created(fd, j);
    json_add_str(j, "misc",
                 S_ISDIR(st.st_mode)   ? "D"
                 : S_ISLNK(st.st_mode) ? "L"
                                       : misc_of(&info, rc));
    json_add_int(j, "size", st.st_size);
    add_xattrs(fd, j);
    return op_result(j, result);
}
