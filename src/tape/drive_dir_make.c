/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir: making cartridges, their configuration file (the reference LTFS implementation's file
 * backend reads the same one), drive link files.
 */
#include "tape/drive_dir_impl.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINK_PREFIX  "Drive_"
#define LINK_BYTES   (DRIVE_BARCODE_MAX - 1)
#define LINK_EMPTY   "empty"
#define MIN_CAPACITY (4 * DRIVE_DIR_MIB)
#define CONF_MAX     65536
/* Index partitions below this would not hold the index of many small files. */
#define MIN_INDEX_PARTITION DRIVE_DIR_MIB

static const struct {
    const char *type;
    const char *density; /* tape density code, hex */
} media_types[] = {{"L5", "58"}, {"L6", "5A"}, {"L7", "5C"},
                   {"M8", "5D"}, {"L8", "5E"}, {"L9", "60"}};

bool drive_dir_valid_barcode(const char *name)
{
    size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
    return n > 0 && n <= LINK_BYTES && name[n] == '\0';
}

bool drive_dir_split_link(const char *link, char *serial, char *product)
{
    const size_t prefix = strlen(LINK_PREFIX);
    if (strncmp(link, LINK_PREFIX, prefix) != 0)
        return false;
    const char *dot = strchr(link + prefix, '.');
    if (dot == NULL || dot == link + prefix || dot[1] == '\0' || strchr(dot + 1, '.') != NULL)
        return false;
    size_t n = (size_t)(dot - link) - prefix;
    if (n >= DRIVE_SERIAL_MAX || strlen(dot + 1) >= DRIVE_SERIAL_MAX)
        return false;
    memcpy(serial, link + prefix, n);
    serial[n] = '\0';
    (void)snprintf(product, DRIVE_SERIAL_MAX, "%s", dot + 1);
    return true;
}

int drive_dir_read_link(int libfd, const char *link, char barcode[DRIVE_BARCODE_MAX],
                        struct err *err)
{
    char text[LINK_BYTES + 2] = {0};

    auto_close int fd = openat(libfd, link, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    ssize_t n = fd < 0 ? -errno : io_read_full(fd, text, LINK_BYTES + 1);
    if (n < 0)
        return err_sys(err, (int)-n, "drive link file %s", link);
    text[strcspn(text, "\n")] = '\0'; /* written by hand with an editor */
    if (text[0] == '\0' || strcmp(text, LINK_EMPTY) == 0) {
        barcode[0] = '\0';
        return 0;
    }
    if (!drive_dir_valid_barcode(text))
        return err_set(err, -EINVAL,
                       "drive link file %s holds no cartridge name; write \"empty\" into it", link);
    memcpy(barcode, text, strlen(text) + 1);
    return 0;
}

/* The text of element name in conf as a number; 0 when it is absent. */
static uint64_t conf_number(const char *conf, const char *name)
{
    auto_free char *tag = xasprintf("<%s>", name);
    const char *p = strstr(conf, tag);
    return p != NULL ? strtoull(p + strlen(tag), NULL, 10) : 0;
}

int drive_dir_read_capacity(struct drive_dir *d, struct err *err)
{
    auto_free char *conf = NULL;

    int rc = io_read_file(d->dirfd, DRIVE_DIR_CONF, CONF_MAX, &conf, NULL, err);
    if (rc < 0)
        return err_wrap(err, rc, "cartridge %s", d->barcode);
    uint64_t mib = conf_number(conf, "capacity_mb");
    if (mib < MIN_CAPACITY / DRIVE_DIR_MIB || mib > UINT64_MAX / DRIVE_DIR_MIB)
        return err_set(err, -EINVAL, "cartridge %s: capacity_mb in %s is missing or below %llu",
                       d->barcode, DRIVE_DIR_CONF,
                       (unsigned long long)(MIN_CAPACITY / DRIVE_DIR_MIB));
    uint64_t total = mib * DRIVE_DIR_MIB;
    uint64_t index = total / 20;
    d->part[0].max_bytes = index < MIN_INDEX_PARTITION ? MIN_INDEX_PARTITION : index;
    d->part[1].max_bytes = total - d->part[0].max_bytes;
    return 0;
}

static void conf_text(struct buf *b, const char *barcode, uint64_t capacity_bytes)
{
    size_t len = strlen(barcode);
    size_t m = 4; /* L8 */
    for (size_t i = 0; len >= 2 && i < sizeof(media_types) / sizeof(media_types[0]); i++) {
        if (strcmp(barcode + len - 2, media_types[i].type) == 0)
            m = i;
    }
    buf_addf(b,
             "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
             "<filedebug_cartridge_config>\n"
             "    <dummy_io>false</dummy_io>\n"
             "    <emulate_readonly>false</emulate_readonly>\n"
             "    <capacity_mb>%llu</capacity_mb>\n"
             "    <cart_type>%s</cart_type>\n"
             "    <density_code>%s</density_code>\n"
             "    <delay_mode>None</delay_mode>\n"
             "</filedebug_cartridge_config>\n",
             (unsigned long long)(capacity_bytes / DRIVE_DIR_MIB), media_types[m].type,
             media_types[m].density);
}

int drive_dir_create_cartridge(const char *parent, const char *barcode, uint64_t capacity_bytes,
                               struct err *err)
{
    auto_buf struct buf conf = {0};

    if (!drive_dir_valid_barcode(barcode))
        return err_set(err, -EINVAL, "cartridge name \"%s\": 1 to 36 of letters, digits, - and _",
                       barcode);
    if (capacity_bytes < MIN_CAPACITY)
        return err_set(err, -EINVAL, "cartridge %s: capacity %llu is below %llu bytes", barcode,
                       (unsigned long long)capacity_bytes, (unsigned long long)MIN_CAPACITY);
    auto_close int pfd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pfd < 0)
        return err_sys(err, errno, "%s", parent);
    if (mkdirat(pfd, barcode, 0700) != 0)
        return err_sys(err, errno, "cartridge %s/%s", parent, barcode);
    auto_close int fd = openat(pfd, barcode, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno, "cartridge %s/%s", parent, barcode);
    conf_text(&conf, barcode, capacity_bytes);
    int rc = io_replace_durable(fd, DRIVE_DIR_CONF, conf.data, conf.len, 0600, err);
    if (rc == 0)
        rc = io_fsync_dir(pfd);
    return rc < 0 ? err_wrap(err, rc, "cartridge %s/%s", parent, barcode) : 0;
}
