/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File attributes: one row each, with the stage that its fact needs. A new attribute is a getter
 * and a row.
 */
#include "policy/policy_impl.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/sysmacros.h>

static void set_text(struct policy_value *out, const char *s)
{
    policy_set_str(out, s, strlen(s));
}

/* ---- name ---- */

static void get_name(struct policy_eval *ev, struct policy_value *out)
{
    policy_set_str(out, ev->obj->name, ev->obj->name_len);
}

static void get_path(struct policy_eval *ev, struct policy_value *out)
{
    size_t n = 0;
    const char *p = policy_fact_path(ev, &n);
    policy_set_str(out, p, n);
}

static void get_pool(struct policy_eval *ev, struct policy_value *out)
{
    set_text(out, policy_fact_pool(ev));
}

static void get_fileset(struct policy_eval *ev, struct policy_value *out)
{
    set_text(out, policy_fact_fileset(ev));
}

/* Depth in the high bits, so that deeper directories have larger numbers, then a hash of the
 * parent's path. */
static void get_directory_hash(struct policy_eval *ev, struct policy_value *out)
{
    size_t n = 0;
    const char *p = policy_fact_path(ev, &n);
    uint64_t h = 0xcbf29ce484222325ULL;
    uint64_t depth = 0;
    while (n > 0 && p[n - 1] != '/')
        n--;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ (unsigned char)p[i]) * 0x100000001b3ULL;
        depth += p[i] == '/';
    }
    /* 53 bits in all: a WEIGHT is a double. */
    policy_set_int(out, (int64_t)((depth & 0x1fff) << 40 | (h >> 24 & 0xffffffffffULL)));
}

/* ---- stat ---- */

static void set_ts(struct policy_value *out, const struct statx_timestamp *t)
{
    policy_set_us(out, V_TS, t->tv_sec * US_PER_SEC + t->tv_nsec / 1000);
}

#define STAT_GETTER(NAME, SET)                                                                     \
    static void NAME(struct policy_eval *ev, struct policy_value *out)                             \
    {                                                                                              \
        const struct statx *s = policy_fact_stat(ev);                                              \
        if (s == NULL)                                                                             \
            policy_set_null(out);                                                                  \
        else                                                                                       \
            SET;                                                                                   \
    }

STAT_GETTER(get_atime, set_ts(out, &s->stx_atime))
STAT_GETTER(get_mtime, set_ts(out, &s->stx_mtime))
STAT_GETTER(get_ctime, set_ts(out, &s->stx_ctime))
STAT_GETTER(get_blocksize, policy_set_int(out, s->stx_blksize))
STAT_GETTER(get_dev, policy_set_int(out, (int64_t)makedev(s->stx_dev_major, s->stx_dev_minor)))
STAT_GETTER(get_rdev, policy_set_int(out, (int64_t)makedev(s->stx_rdev_major, s->stx_rdev_minor)))
STAT_GETTER(get_nlink, policy_set_int(out, s->stx_nlink))
STAT_GETTER(get_size, policy_set_int(out, (int64_t)s->stx_size))
STAT_GETTER(get_kb, policy_set_int(out, policy_fact_kb(ev)))
STAT_GETTER(get_uid, policy_set_int(out, s->stx_uid))
STAT_GETTER(get_gid, policy_set_int(out, s->stx_gid))

static void get_btime(struct policy_eval *ev, struct policy_value *out)
{
    const struct statx *s = policy_fact_stat(ev);
    if (s == NULL || (s->stx_mask & STATX_BTIME) == 0)
        policy_set_null(out);
    else
        set_ts(out, &s->stx_btime);
}

static void get_inode(struct policy_eval *ev, struct policy_value *out)
{
    const struct statx *s = policy_fact_stat(ev);
    if (s != NULL)
        policy_set_int(out, (int64_t)s->stx_ino);
    else
        policy_set_null(out);
}

static char type_char(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return 'd';
    case S_IFLNK:
        return 'l';
    case S_IFBLK:
        return 'b';
    case S_IFCHR:
        return 'c';
    case S_IFIFO:
        return 'p';
    case S_IFSOCK:
        return 's';
    default:
        return '-';
    }
}

static void special(char *x, bool set, char low)
{
    if (set)
        *x = *x == 'x' ? low : (char)(low - 'a' + 'A');
}

static void get_mode(struct policy_eval *ev, struct policy_value *out)
{
    const struct statx *s = policy_fact_stat(ev);
    if (s == NULL) {
        policy_set_null(out);
        return;
    }
    char *t = policy_arena_dup(&ev->scratch, "-rwxrwxrwx", 10);
    t[0] = type_char(s->stx_mode);
    for (int i = 0; i < 9; i++)
        if ((s->stx_mode & (0400u >> i)) == 0)
            t[i + 1] = '-';
    special(&t[3], (s->stx_mode & S_ISUID) != 0, 's');
    special(&t[6], (s->stx_mode & S_ISGID) != 0, 's');
    special(&t[9], (s->stx_mode & S_ISVTX) != 0, 't');
    policy_set_str(out, t, 10);
}

/* ---- dearer ---- */

static void owner(struct policy_eval *ev, bool group, struct policy_value *out)
{
    const struct statx *s = policy_fact_stat(ev);
    char text[256];
    if (s == NULL) {
        policy_set_null(out);
        return;
    }
    uint32_t id = group ? s->stx_gid : s->stx_uid;
    int rc = -1;
    if (ev->obj->ops->owner_name != NULL)
        rc = ev->obj->ops->owner_name(ev->obj->ctx, id, group, text, sizeof(text));
    if (rc < 0)
        (void)snprintf(text, sizeof(text), "%u", id);
    size_t n = strlen(text);
    policy_set_str(out, policy_arena_dup(&ev->scratch, text, n), n);
}

static void get_user_name(struct policy_eval *ev, struct policy_value *out)
{
    owner(ev, false, out);
}

static void get_group_name(struct policy_eval *ev, struct policy_value *out)
{
    owner(ev, true, out);
}

static void get_generation(struct policy_eval *ev, struct policy_value *out)
{
    uint64_t gen = 0;
    int rc = 0;
    if (ev->obj->ops->generation != NULL)
        rc = ev->obj->ops->generation(ev->obj->ctx, &gen);
    if (rc < 0 && ev->fail == 0)
        ev->fail = rc;
    policy_set_int(out, (int64_t)gen);
}

void policy_misc_attributes(unsigned char d_type, enum policy_state state, unsigned flags,
                            char *out)
{
    char *p = out;
    *p++ = d_type == DT_REG ? 'F' : d_type == DT_DIR ? 'D' : d_type == DT_LNK ? 'L' : 'O';
    if (d_type == DT_REG)
        *p++ = 'A';
    if ((flags & POLICY_FLAG_APPEND_ONLY) != 0)
        *p++ = 'a';
    if ((flags & POLICY_FLAG_SPARSE) != 0)
        *p++ = 's';
    if ((flags & POLICY_FLAG_IMMUTABLE) != 0)
        *p++ = 'X';
    if ((flags & POLICY_FLAG_ACL) != 0)
        *p++ = '+';
    /* Policies test LIKE '%M' and '%V' without a trailing '%': nothing may follow. */
    if (state != POLICY_RESIDENT)
        *p++ = 'M';
    if (state == POLICY_MIGRATED)
        *p++ = 'V';
    *p = '\0';
}

static void get_misc(struct policy_eval *ev, struct policy_value *out)
{
    if (!ev->has_misc) {
        unsigned flags = 0;
        enum policy_state state = policy_fact_state(ev, &flags);
        policy_misc_attributes(policy_fact_type(ev), state, flags, ev->misc);
        ev->has_misc = true;
    }
    set_text(out, ev->misc);
}

/* ---- what firn's file systems do not have ---- */

static void get_null(struct policy_eval *ev, struct policy_value *out)
{
    (void)ev;
    policy_set_null(out);
}

static void get_zero(struct policy_eval *ev, struct policy_value *out)
{
    (void)ev;
    policy_set_int(out, 0);
}

static void get_empty(struct policy_eval *ev, struct policy_value *out)
{
    (void)ev;
    policy_set_str(out, "", 0);
}

/* ---- the table ---- */

#define NAME_   POLICY_STAGE_NAME
#define STAT_   POLICY_STAGE_STAT
#define XATTR_  POLICY_STAGE_XATTR
#define ENGINE_ POLICY_STAGE_ENGINE

static const struct policy_attr attrs[] = {
    {"ACCESS_TIME", V_TS, STAT_, 1, get_atime},
    {"BLOCKSIZE", V_INT, STAT_, 1, get_blocksize},
    {"CHANGE_TIME", V_TS, STAT_, 1, get_ctime},
    {"CLONE_DEPTH", V_INT, NAME_, 1, get_zero},
    {"CLONE_IS_PARENT", V_INT, NAME_, 1, get_zero},
    {"CLONE_PARENT_FILESETID", V_INT, NAME_, 1, get_null},
    {"CLONE_PARENT_FILESET_ID", V_INT, NAME_, 1, get_null},
    {"CLONE_PARENT_INODE", V_INT, NAME_, 1, get_null},
    {"CLONE_PARENT_IS_SNAP", V_INT, NAME_, 1, get_null},
    {"CLONE_PARENT_SNAP_ID", V_INT, NAME_, 1, get_null},
    {"CREATION_TIME", V_TS, STAT_, 1, get_btime},
    {"DEVICE_ID", V_INT, STAT_, 1, get_dev},
    {"DIRECTORY_HASH", V_INT, NAME_, 6, get_directory_hash},
    {"EXPIRATION_TIME", V_TS, NAME_, 1, get_null},
    {"FILE_HEAT", V_DEC, NAME_, 1, get_zero},
    {"FILE_SIZE", V_INT, STAT_, 1, get_size},
    {"FILESET_NAME", V_STR, NAME_, 4, get_fileset},
    {"GENERATION", V_INT, XATTR_, 20, get_generation},
    {"GROUP_ID", V_INT, STAT_, 1, get_gid},
    {"GROUP_NAME", V_STR, XATTR_, 20, get_group_name},
    {"INODE", V_INT, STAT_, 1, get_inode},
    {"KB_ALLOCATED", V_INT, STAT_, 1, get_kb},
    {"MISC_ATTRIBUTES", V_STR, ENGINE_, 4, get_misc},
    {"MODE", V_STR, STAT_, 3, get_mode},
    {"MODIFICATION_SNAPID", V_INT, NAME_, 1, get_zero},
    {"MODIFICATION_TIME", V_TS, STAT_, 1, get_mtime},
    {"NAME", V_STR, NAME_, 1, get_name},
    {"NLINK", V_INT, STAT_, 1, get_nlink},
    {"PATH_NAME", V_STR, NAME_, 5, get_path},
    {"POOL_NAME", V_STR, NAME_, 1, get_pool},
    {"RDEVICE_ID", V_INT, STAT_, 1, get_rdev},
    {"SNAP_ID", V_INT, NAME_, 1, get_zero},
    {"SNAP_NAME", V_STR, NAME_, 1, get_empty},
    {"USER_ID", V_INT, STAT_, 1, get_uid},
    {"USER_NAME", V_STR, XATTR_, 20, get_user_name},
};
#define N_ATTRS (sizeof(attrs) / sizeof(attrs[0]))

const struct policy_attr *policy_attr_find(const char *name)
{
    for (size_t i = 0; i < N_ATTRS; i++)
        if (strcasecmp(attrs[i].name, name) == 0)
            return &attrs[i];
    return NULL;
}

const struct policy_attr *policy_attr_at(size_t i)
{
    return i < N_ATTRS ? &attrs[i] : NULL;
}

const char *policy_attr_near(const char *name)
{
    for (size_t i = 0; i < N_ATTRS; i++)
        if (policy_is_near(attrs[i].name, name))
            return attrs[i].name;
    return NULL;
}
