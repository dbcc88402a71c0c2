/* SPDX-License-Identifier: Apache-2.0 */
#include "watch/mount.h"

#include "base/cleanup.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define CREATE_EXCL 8 /* FSCONFIG_CMD_CREATE_EXCL of Linux 6.6: -EBUSY when mounted already */
#define WORD_MAX    512

/* ---- options ---- */

/* Those that are the mount's own, and not the file system's. clear: bits taken away. */
static const struct mount_word {
    const char *name;
    unsigned set, clear;
} mount_words[] = {
    {"ro", MOUNT_ATTR_RDONLY, 0},
    {"rw", 0, MOUNT_ATTR_RDONLY},
    {"nosuid", MOUNT_ATTR_NOSUID, 0},
    {"suid", 0, MOUNT_ATTR_NOSUID},
    {"nodev", MOUNT_ATTR_NODEV, 0},
    {"dev", 0, MOUNT_ATTR_NODEV},
    {"noexec", MOUNT_ATTR_NOEXEC, 0},
    {"exec", 0, MOUNT_ATTR_NOEXEC},
    {"noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME},
    {"strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME},
    {"relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME},
    {"atime", 0, MOUNT_ATTR__ATIME},
    {"nodiratime", MOUNT_ATTR_NODIRATIME, 0},
    {"diratime", 0, MOUNT_ATTR_NODIRATIME},
};

/* Those that mount(8) and the init system read, and the kernel does not. */
static bool is_for_others(const char *word)
{
    static const char *const words[] = {"defaults", "auto",  "noauto", "nofail", "_netdev",
                                        "user",     "users", "nouser", "owner",  "group"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strcmp(word, words[i]) == 0)
            return true;
    }
    return word[0] == '\0' || strncmp(word, "x-", 2) == 0 || strncmp(word, "X-", 2) == 0 ||
           strncmp(word, "comment=", 8) == 0;
}

static bool take_mount_word(const char *word, unsigned *attrs)
{
    for (size_t i = 0; i < sizeof(mount_words) / sizeof(mount_words[0]); i++) {
        if (strcmp(word, mount_words[i].name) == 0) {
            *attrs = (*attrs & ~mount_words[i].clear) | mount_words[i].set;
            return true;
        }
    }
    return false;
}

/* What the kernel has to say about context fs, else the text of the error number. */
static int say(struct err *err, int errnum, int fs, const char *what)
{
    char text[400];
    ssize_t n = read(fs, text, sizeof(text) - 1);
    if (n <= 2)
        return err_sys(err, errnum, "%s", what);
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_set(err, -errnum, "%s: %s (%s)", what, text + 2, strerror(errnum));
}

static int give_word(int fs, char *word, unsigned *attrs, struct err *err)
{
    char what[WORD_MAX + 16];
    char *value = strchr(word, '=');
    if (is_for_others(word) || (take_mount_word(word, attrs) && strcmp(word, "ro") != 0))
        return 0;
    if (strcmp(word, "loop") == 0 || strncmp(word, "loop=", 5) == 0)
        return err_set(err, -EINVAL,
                       "option loop: make the loop device with losetup(8) and name it as device");
    (void)snprintf(what, sizeof(what), "option %.*s", WORD_MAX, word);
    if (value != NULL)
        *value++ = '\0';
    if (fsconfig(fs, value != NULL ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, word, value, 0) == 0)
        return 0;
    return say(err, errno, fs, what);
}

static int give_options(int fs, const char *options, unsigned *attrs, struct err *err)
{
    char word[WORD_MAX];
    int rc = 0;
    while (rc == 0 && options != NULL && *options != '\0') {
        size_t n = strcspn(options, ",");
        if (n >= sizeof(word))
            return err_set(err, -EINVAL, "an option of more than %d bytes", WORD_MAX);
        memcpy(word, options, n);
        word[n] = '\0';
        options += n + (options[n] == ',');
        rc = give_word(fs, word, attrs, err);
    }
    return rc;
}

/* ---- making and placing ---- */

/* A device by its name, or by what udev keeps of it under /dev/disk. */
static void device_path(const char *device, char *out, size_t cap)
{
    static const char *const tags[] = {"UUID", "LABEL", "PARTUUID", "PARTLABEL"};
    for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
        size_t n = strlen(tags[i]);
        if (strncmp(device, tags[i], n) != 0 || device[n] != '=')
            continue;
        int at = snprintf(out, cap, "/dev/disk/by-");
        for (size_t k = 0; k < n; k++)
            out[at++] = (char)tolower(tags[i][k]);
        (void)snprintf(out + at, cap - (size_t)at, "/%s", device + n + 1);
        return;
    }
    (void)snprintf(out, cap, "%s", device);
}

bool mount_same_source(const char *device, const char *source)
{
    char path[PATH_MAX];
    device_path(device, path, sizeof(path));
    auto_free char *a = realpath(path, NULL);
    auto_free char *b = realpath(source, NULL);
    return strcmp(path, source) == 0 || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int create(int fs)
{
    if (fsconfig(fs, CREATE_EXCL, NULL, NULL, 0) == 0)
        return 0;
    if (errno != EINVAL && errno != EOPNOTSUPP)
        return -errno;
    return fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) == 0 ? 0 : -errno;
}

int mount_detached(const struct front_fs *fs, int *out, struct err *err)
{
    char device[PATH_MAX];
    unsigned attrs = 0;
    device_path(fs->device, device, sizeof(device));
    auto_close int ctx = fsopen(fs->type, FSOPEN_CLOEXEC);
    if (ctx < 0)
        return err_sys(err, errno, "file system of type %s", fs->type);
    if (fsconfig(ctx, FSCONFIG_SET_STRING, "source", device, 0) != 0)
        return say(err, errno, ctx, device);
    int rc = give_options(ctx, fs->options, &attrs, err);
    if (rc != 0)
        return rc;
    rc = create(ctx);
    if (rc == -EBUSY)
        return err_set(err, rc, "%s is in use or mounted already; unmount it first", device);
    if (rc != 0)
        return say(err, -rc, ctx, device);
    int mnt = fsmount(ctx, FSMOUNT_CLOEXEC, attrs);
    if (mnt < 0)
        return say(err, errno, ctx, device);
    *out = mnt;
    return 0;
}

int mount_attach(int mnt, const char *path, struct err *err)
{
    if (move_mount(mnt, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) != 0)
        return err_sys(err, errno, "mount on %s", path);
    return 0;
}

/* ---- what is there ---- */

/* Undoes mountinfo's escapes (\040 for a space) in place. */
static void unescape(char *s)
{
    char *to = s;
    for (; *s != '\0'; s++) {
        if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw" */
static bool read_line(const char *line, uint64_t id, struct mount_at *out)
{
    char *at = NULL;
    const char *rest = strstr(line, " - ");
    if (rest == NULL || strtoull(line, &at, 10) != id)
        return false;
    (void)strtoull(at, &at, 10); /* its parent */
    unsigned long major_no = strtoul(at, &at, 10);
    if (*at != ':' || sscanf(rest, " - %31s %511s", out->type, out->source) != 2)
        return false;
    unsigned long minor_no = strtoul(at + 1, NULL, 10);
    unescape(out->source);
    out->sdev = (uint32_t)(major_no << 20 | minor_no); /* the kernel's MKDEV */
    return true;
}

int mount_look(const char *path, struct mount_at *out, struct err *err)
{
    struct statx sx;
    auto_free char *line = NULL;
    size_t cap = 0;
    memset(out, 0, sizeof(*out));
    if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_MNT_ID, &sx) != 0)
        return err_sys(err, errno, "%s", path);
    if (!S_ISDIR(sx.stx_mode))
        return err_sys(err, ENOTDIR, "%s", path);
    out->root = (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0;
    auto_fclose FILE *f = fopen("/proc/self/mountinfo", "re");
    if (f == NULL)
        return err_sys(err, errno, "/proc/self/mountinfo");
    while (getline(&line, &cap, f) > 0) {
        if (read_line(line, sx.stx_mnt_id, out))
            return 0;
    }
    if (out->root)
        return err_set(err, -ENOENT, "%s: its mount is not among those of this process", path);
    /* On the root of a process that lives in a folder (chroot), whose mount it is not shown. */
    out->sdev = sx.stx_dev_major << 20 | sx.stx_dev_minor;
    return 0;
}
