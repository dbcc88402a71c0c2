/* SPDX-License-Identifier: Apache-2.0 */
/* Kind dir of changer: making a library directory. The file "library" is written last: without it
 * there is no library, so an interrupted creation can be repeated after removing the directory. */
#include "tape/changer_impl.h"
#include "tape/drive_dir_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BARCODE_LEN 8

/* "FIRN", 1, "L8" -> "FIRN01L8": digits fill the eight characters, two at least. */
static int make_barcode(const struct changer_dir_spec *s, unsigned number, char *out,
                        struct err *err)
{
    const char *prefix = s->prefix != NULL ? s->prefix : "FIRN";
    const char *media = s->media != NULL ? s->media : "L8";
    size_t fixed = strlen(prefix) + strlen(media);
    int digits = fixed + 2 <= BARCODE_LEN ? (int)(BARCODE_LEN - fixed) : 2;
    int n = snprintf(out, DRIVE_BARCODE_MAX, "%s%0*u%s", prefix, digits, number, media);
    if (n < 0 || n >= DRIVE_BARCODE_MAX || !drive_dir_valid_barcode(out))
        return err_set(err, -EINVAL, "barcode prefix \"%s\" and media \"%s\" make no barcode",
                       prefix, media);
    return 0;
}

static int check_spec(const struct changer_dir_spec *s, struct err *err)
{
    if (s->drives == 0 || s->drives > CHANGER_DIR_MAX_DRIVES)
        return err_set(err, -EINVAL, "a library has 1 to %u drives, not %u", CHANGER_DIR_MAX_DRIVES,
                       s->drives);
    if (s->cartridges >= CHANGER_DIR_MAX_SLOTS || s->slots >= CHANGER_DIR_MAX_SLOTS ||
        s->ie_slots > CHANGER_DIR_MAX_IE)
        return err_set(err, -EINVAL, "at most %u cartridges and slots, %u import/export slots",
                       CHANGER_DIR_MAX_SLOTS - 1, CHANGER_DIR_MAX_IE);
    if (s->slots != 0 && s->slots < s->cartridges)
        return err_set(err, -EINVAL, "%u cartridges do not fit into %u slots", s->cartridges,
                       s->slots);
    return 0;
}

static int make_drives(int libfd, const struct changer_dir_spec *s, struct err *err)
{
    const char *prefix = s->serial_prefix != NULL ? s->serial_prefix : "FIRN";
    const char *media = s->media != NULL ? s->media : "L8";
    for (unsigned i = 1; i <= s->drives; i++) {
        char link[2 * DRIVE_SERIAL_MAX];
        (void)snprintf(link, sizeof(link), "Drive_%.32s%04u.ULT3580-TD%s", prefix, i,
                       media[0] != '\0' ? media + 1 : "8");
        int rc = changer_dir_write_link(libfd, link, "", err);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int make_cartridges(int libfd, const char *path, const struct changer_dir_spec *s,
                           struct err *err)
{
    auto_close int slots = openat(libfd, CHANGER_DIR_SLOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (slots < 0)
        return err_sys(err, errno, "%s/%s", path, CHANGER_DIR_SLOTS);
    for (unsigned i = 1; i <= s->cartridges; i++) {
        char barcode[DRIVE_BARCODE_MAX];
        char name[16];
        char target[DRIVE_BARCODE_MAX + 4];
        int rc = make_barcode(s, i, barcode, err);
        if (rc == 0)
            rc = drive_dir_create_cartridge(path, barcode, s->capacity_bytes, err);
        if (rc < 0)
            return rc;
        (void)snprintf(name, sizeof(name), "%u", CHANGER_DIR_FIRST_SLOT + i - 1);
        (void)snprintf(target, sizeof(target), "../%s", barcode);
        if (symlinkat(target, slots, name) != 0)
            return err_sys(err, errno, "%s/%s/%s", path, CHANGER_DIR_SLOTS, name);
    }
    int rc = io_fsync_dir(slots);
    return rc < 0 ? err_sys(err, -rc, "%s/%s", path, CHANGER_DIR_SLOTS) : 0;
}

int changer_dir_create(const char *path, const struct changer_dir_spec *spec, struct err *err)
{
    auto_buf struct buf conf = {0};

    int rc = check_spec(spec, err);
    if (rc == 0)
        rc = io_mkdirs(path, 0700, err);
    if (rc < 0)
        return rc;
    auto_close int libfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (libfd < 0)
        return err_sys(err, errno, "library %s", path);
    if (faccessat(libfd, CHANGER_DIR_CONF, F_OK, 0) == 0)
        return err_set(err, -EEXIST, "%s holds a library already", path);
    if (mkdirat(libfd, CHANGER_DIR_SLOTS, 0700) != 0)
        return err_sys(err, errno, "%s/%s", path, CHANGER_DIR_SLOTS);
    rc = make_drives(libfd, spec, err);
    if (rc == 0)
        rc = make_cartridges(libfd, path, spec, err);
    if (rc < 0)
        return rc;
    buf_addf(&conf, "slots %u\nie_slots %u\n", spec->slots != 0 ? spec->slots : spec->cartridges,
             spec->ie_slots);
    return io_replace_durable(libfd, CHANGER_DIR_CONF, conf.data, conf.len, 0600, err);
}
