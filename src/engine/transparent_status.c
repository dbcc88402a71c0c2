/* SPDX-License-Identifier: Apache-2.0 */
/* What firn status shows of kernel events. */
#include "engine/transparent_impl.h"

#include "base/mem.h"
#include "watch/guard.h"

#include <stdlib.h>
#include <string.h>

#define FS_MOST 64
#define MARK_BYTES                                                                                 \
    1370 /* that a marked stub pins: its inode, the mark, the kernel's link of both */

void transparent_stub(struct transparent *t, const struct efs *fs, int change)
{
    if (t != NULL && strcmp(fs->conf->posix_readers, "recall") == 0)
        atomic_fetch_add(&t->stubs, change);
}

static void note(cJSON *notes, char *text)
{
    (void)cJSON_AddItemToArray(notes, cJSON_CreateString(text));
    free(text);
}

/* What the front says of file system name, or NULL. */
static const struct link_fs *told(const struct link_fs *list, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].name, name) == 0)
            return &list[i];
    }
    return NULL;
}

static const char *state_of(const struct link_fs *l)
{
    if (l == NULL || l->code != 0 || (l->flags & WATCH_FS_MOUNTED) == 0)
        return "unwatched";
    return (l->flags & WATCH_FS_COVERED) != 0 ? "covered" : "marked";
}

static void add_fs(const struct efs *fs, const struct link_fs *l, bool attached, cJSON *list,
                   cJSON *notes)
{
    cJSON *o = cJSON_CreateObject();
    const char *problem = "";
    if (attached && l == NULL)
        problem = "firn-watch does not know it; restart firn-watch";
    else if (attached && l->code != 0)
        problem = strerror(abs(l->code));
    else if (attached && (l->flags & WATCH_FS_MOUNTED) == 0)
        problem = "not mounted";
    json_add_str(o, "name", fs->conf->name);
    json_add_str(o, "state", state_of(l));
    (void)cJSON_AddBoolToObject(o, "gated", l != NULL && (l->flags & WATCH_FS_GATED) != 0);
    json_add_str(o, "problem", problem);
    (void)cJSON_AddItemToArray(list, o);
    if (problem[0] != '\0')
        note(notes, xasprintf("file system %s is not watched, so nothing is released there: %s",
                              fs->conf->name, problem));
}

static void add_counts(const struct transparent_counts *c, cJSON *o)
{
    json_add_int(o, "stubs", (int64_t)c->stubs);
    json_add_int(o, "memory_bytes", (int64_t)c->stubs * MARK_BYTES);
    json_add_int(o, "waiting", (int64_t)c->waiting);
    json_add_int(o, "recalled", (int64_t)c->recalled);
    json_add_int(o, "denied",
                 (int64_t)(c->denied_programs + c->denied_users + c->denied_attribute));
    cJSON *by = cJSON_AddObjectToObject(o, "denied_by");
    json_add_int(by, "program", (int64_t)c->denied_programs);
    json_add_int(by, "user", (int64_t)c->denied_users);
    json_add_int(by, "attribute", (int64_t)c->denied_attribute);
    json_add_int(o, "failed", (int64_t)c->failed);
}

static bool add_guard(cJSON *o)
{
    uint64_t refused = 0;
    bool active = guard_active(NULL, &refused);
    cJSON *g = cJSON_AddObjectToObject(o, "guard");
    (void)cJSON_AddBoolToObject(g, "active", active);
    json_add_int(g, "refused", (int64_t)refused);
    return active;
}

/* A snapshot of a stub is another inode, which carries no mark. */
static void note_snapshots(const struct efs *fs, cJSON *notes)
{
    if (fs->fs != NULL && fs_kind(fs->fs) == FS_BTRFS)
        note(notes, xasprintf("file system %s: there is no guard here, so a snapshot taken of "
                              "migrated files reads as zeros; recall what a snapshot is to hold",
                              fs->conf->name));
}

void transparent_status(struct transparent *t, cJSON *status, cJSON *notes)
{
    struct transparent_counts c;
    struct link_fs list[FS_MOST];
    if (t == NULL)
        return;
    transparent_counts(t, &c);
    size_t n = c.attached ? link_filesystems(t->link, list, FS_MOST) : 0;
    cJSON *o = cJSON_AddObjectToObject(status, "watch");
    (void)cJSON_AddBoolToObject(o, "attached", c.attached);
    json_add_str(o, "events", !c.attached ? "none" : c.pre_access ? "open+access" : "open");
    add_counts(&c, o);
    bool guarded = add_guard(o);
    cJSON *fs = cJSON_AddArrayToObject(o, "filesystems");
    for (size_t i = 0; i < t->e->nfs; i++) {
        const struct efs *f = &t->e->fs[i];
        if (strcmp(f->conf->posix_readers, "recall") != 0)
            continue;
        add_fs(f, told(list, n < FS_MOST ? n : FS_MOST, f->conf->name), c.attached, fs, notes);
        if (!guarded)
            note_snapshots(f, notes);
    }
    if (!c.attached)
        note(notes,
             xasprintf("firn-watch is not there (%s): nothing is released, and programs that "
                       "open migrated files wait for it",
                       t->e->conf->watch.socket));
    if (c.problem[0] != '\0')
        note(notes, xasprintf("not all migrated files could be marked, so their file system stays "
                              "watched as a whole, which is slow: %s",
                              c.problem));
}
