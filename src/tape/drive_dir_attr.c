/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir: cartridge memory. Attribute ID of partition P is the file "attr_P_ID" (hex, lower case,
 * no leading zeros): five bytes of header as READ ATTRIBUTE has them (id, format, length), then the
 * value. Replaced by rename, so that a crash leaves the old or the new value.
 */
#include "tape/drive_dir_impl.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define ATTR_HEADER 5
#define ATTR_MAX    4096
#define ATTR_VCR    4

static void attr_name(char name[DRIVE_DIR_NAME_MAX], unsigned partition, unsigned id)
{
    (void)snprintf(name, DRIVE_DIR_NAME_MAX, "attr_%u_%x", partition, id);
}

static int put_attr(struct drive_dir *d, unsigned partition, unsigned id, unsigned format,
                    const void *value, size_t len, struct err *err)
{
    char name[DRIVE_DIR_NAME_MAX];
    uint8_t raw[ATTR_HEADER + ATTR_MAX] = {(uint8_t)(id >> 8), (uint8_t)id, (uint8_t)format,
                                           (uint8_t)(len >> 8), (uint8_t)len};
    attr_name(name, partition, id);
    memcpy(raw + ATTR_HEADER, value, len);
    auto_close int fd =
        openat(d->dirfd, "attr.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int rc = fd < 0 ? -errno : io_write_full(fd, raw, ATTR_HEADER + len);
    if (rc == 0 && renameat(d->dirfd, "attr.new", d->dirfd, name) != 0)
        rc = -errno;
    if (rc < 0)
        return err_sys(err, -rc, "cartridge %s: attribute %s cannot be written", d->barcode, name);
    return 0;
}

static int get_attr(struct drive_dir *d, unsigned partition, unsigned id, void *buf, size_t cap,
                    size_t *len, struct err *err)
{
    char name[DRIVE_DIR_NAME_MAX];
    uint8_t raw[ATTR_HEADER + ATTR_MAX + 1] = {0};

    attr_name(name, partition, id);
    auto_close int fd = openat(d->dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return DRIVE_NO_ATTRIBUTE;
    ssize_t n = fd < 0 ? -errno : io_read_full(fd, raw, sizeof(raw));
    if (n < 0)
        return err_sys(err, (int)-n, "cartridge %s: attribute %s", d->barcode, name);
    if (n < ATTR_HEADER || n != ATTR_HEADER + (raw[3] << 8 | raw[4]) ||
        (unsigned)(raw[0] << 8 | raw[1]) != id)
        return DRIVE_NO_ATTRIBUTE; /* torn by a power cut: as good as never written */
    size_t value_len = (size_t)n - ATTR_HEADER;
    if (value_len > cap)
        return err_set(err, -EMSGSIZE, "cartridge %s: attribute %s has %zu bytes", d->barcode, name,
                       value_len);
    memcpy(buf, raw + ATTR_HEADER, value_len);
    *len = value_len;
    return 0;
}

int drive_dir_read_attribute(struct drive *drv, unsigned partition, enum drive_attr id, void *buf,
                             size_t cap, size_t *len, struct err *err)
{
    struct drive_dir *d = (struct drive_dir *)drv;
    if (id == DRIVE_ATTR_VCR) {
        partition = 0;
        d->vcr_armed = true; /* whoever remembers this value must see the next change */
    }
    return get_attr(d, partition, id, buf, cap, len, err);
}

int drive_dir_write_attribute(struct drive *drv, unsigned partition, enum drive_attr id,
                              enum drive_attr_format format, const void *value, size_t len,
                              struct err *err)
{
    return put_attr((struct drive_dir *)drv, partition, id, format, value, len, err);
}

int drive_dir_bump_vcr(struct drive_dir *d, struct err *err)
{
    uint8_t v[ATTR_VCR] = {0};
    size_t len = 0;

    int rc = get_attr(d, 0, DRIVE_ATTR_VCR, v, sizeof(v), &len, err);
    if (rc < 0)
        return rc;
    uint32_t vcr = rc == 0 && len == sizeof(v) ? (uint32_t)v[0] << 24 | (uint32_t)v[1] << 16 |
                                                     (uint32_t)v[2] << 8 | (uint32_t)v[3]
                                               : 0;
    if (++vcr == 0)
        vcr = 1;
    for (unsigned i = 0; i < ATTR_VCR; i++)
        v[i] = (uint8_t)(vcr >> (24 - 8 * i));
    return put_attr(d, 0, DRIVE_ATTR_VCR, DRIVE_ATTR_BINARY, v, sizeof(v), err);
}

int drive_dir_clear_attrs(struct drive_dir *d, struct err *err)
{
    auto_close int fd = openat(d->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "cartridge %s: directory cannot be read", d->barcode);
    (void)take_fd(fd);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strncmp(e->d_name, "attr_", 5) != 0 || strcmp(e->d_name, "attr_0_9") == 0)
            continue;
        if (unlinkat(d->dirfd, e->d_name, 0) != 0)
            return err_sys(err, errno, "cartridge %s: %s cannot be removed", d->barcode, e->d_name);
    }
    return 0;
}
