/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kind dir of changer: what the library directory holds now. Cartridges are its directories with a
 * configuration file, drives its drive link files, both in the order of their names; homes are the
 * symbolic links in slots/. A cartridge without a home takes the lowest free storage slot, and the
 * library grows slots when there is none.
 */
#include "tape/changer_impl.h"
#include "tape/drive_dir_impl.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/log.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONF_MAX 4096

void changer_dir_content_fini(struct changer_dir_content *c)
{
    free(c->cartridges);
    free(c->homes);
    free(c->links);
    *c = (struct changer_dir_content){0};
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void add_entry(int libfd, const char *name, struct changer_dir_content *c)
{
    char serial[DRIVE_SERIAL_MAX];
    char product[DRIVE_SERIAL_MAX];
    char conf[DRIVE_BARCODE_MAX + 64];
    struct stat st;

    if (drive_dir_split_link(name, serial, product)) {
        if (c->link_count == CHANGER_DIR_MAX_DRIVES)
            return;
        c->links = xrealloc_array(c->links, c->link_count + 1, sizeof(*c->links));
        (void)snprintf(c->links[c->link_count++], sizeof(*c->links), "%s", name);
        return;
    }
    if (!drive_dir_valid_barcode(name) || c->cartridge_count == CHANGER_DIR_MAX_SLOTS)
        return;
    (void)snprintf(conf, sizeof(conf), "%s/%s", name, DRIVE_DIR_CONF);
    if (fstatat(libfd, conf, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return;
    c->cartridges = xrealloc_array(c->cartridges, c->cartridge_count + 1, sizeof(*c->cartridges));
    (void)snprintf(c->cartridges[c->cartridge_count++], sizeof(*c->cartridges), "%s", name);
}

static int read_entries(int libfd, struct changer_dir_content *c, struct err *err)
{
    auto_close int fd = openat(libfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "directory cannot be read");
    (void)take_fd(fd);
    for (;;) {
        errno = 0;
        const struct dirent *e = readdir(dir);
        if (e == NULL)
            break;
        add_entry(libfd, e->d_name, c);
    }
    if (errno != 0)
        return err_sys(err, errno, "directory cannot be read");
    if (c->cartridge_count > 0)
        qsort(c->cartridges, c->cartridge_count, sizeof(*c->cartridges), compare_names);
    if (c->link_count > 0)
        qsort(c->links, c->link_count, sizeof(*c->links), compare_names);
    return 0;
}

static size_t find_cartridge(const struct changer_dir_content *c, const char *name)
{
    for (size_t i = 0; i < c->cartridge_count; i++) {
        if (strcmp(c->cartridges[i], name) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* Reads homes from the symbolic links. A link to nothing, and the second link of a cartridge,
 * counts for nothing. */
static int read_homes(int libfd, struct changer_dir_content *c, struct err *err)
{
    auto_close int fd = openat(libfd, CHANGER_DIR_SLOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    auto_closedir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (dir == NULL)
        return err_sys(err, errno, "%s cannot be read", CHANGER_DIR_SLOTS);
    (void)take_fd(fd);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        char target[DRIVE_BARCODE_MAX + 64] = {0};
        char *end;
        unsigned long address = strtoul(e->d_name, &end, 10);
        if (*end != '\0' || address < CHANGER_DIR_FIRST_IE ||
            address >= CHANGER_DIR_FIRST_SLOT + CHANGER_DIR_MAX_SLOTS ||
            readlinkat(dirfd(dir), e->d_name, target, sizeof(target) - 1) <= 0)
            continue;
        const char *slash = strrchr(target, '/');
        size_t i = find_cartridge(c, slash != NULL ? slash + 1 : target);
        if (i != SIZE_MAX && (c->homes[i] == 0 || address < c->homes[i]))
            c->homes[i] = (unsigned)address;
    }
    return 0;
}

static unsigned conf_value(const char *text, const char *key)
{
    for (const char *line = text; line != NULL && *line != '\0';) {
        size_t n = strlen(key);
        if (strncmp(line, key, n) == 0 && line[n] == ' ')
            return (unsigned)strtoul(line + n, NULL, 10);
        line = strchr(line, '\n');
        line = line != NULL ? line + 1 : NULL;
    }
    return 0;
}

int changer_dir_read(int libfd, struct changer_dir_content *c, struct err *err)
{
    auto_free char *conf = NULL;

    int rc = io_read_file(libfd, CHANGER_DIR_CONF, CONF_MAX, &conf, NULL, err);
    if (rc == 0)
        rc = read_entries(libfd, c, err);
    if (rc < 0)
        return rc;
    c->slots = conf_value(conf, "slots");
    c->ie_slots = conf_value(conf, "ie_slots");
    if (c->slots > CHANGER_DIR_MAX_SLOTS || c->ie_slots > CHANGER_DIR_MAX_IE)
        return err_set(err, -EINVAL, "file %s: at most %u slots and %u ie_slots", CHANGER_DIR_CONF,
                       CHANGER_DIR_MAX_SLOTS, CHANGER_DIR_MAX_IE);
    c->homes = xzalloc((c->cartridge_count + 1) * sizeof(*c->homes));
    return read_homes(libfd, c, err);
}

/* Gives cartridges without a home one; returns the number of storage slots needed. */
static unsigned choose_homes(struct changer_dir_content *c)
{
    const size_t max = CHANGER_DIR_MAX_SLOTS;
    auto_free bool *taken = xzalloc(max * sizeof(*taken));
    unsigned slots = c->slots;

    for (size_t i = 0; i < c->cartridge_count; i++) {
        unsigned home = c->homes[i];
        if (home >= CHANGER_DIR_FIRST_IE + c->ie_slots && home < CHANGER_DIR_FIRST_SLOT)
            c->homes[i] = 0; /* an import slot that is no more */
        if (home < CHANGER_DIR_FIRST_SLOT)
            continue;
        taken[home - CHANGER_DIR_FIRST_SLOT] = true;
        if (home - CHANGER_DIR_FIRST_SLOT >= slots)
            slots = home - CHANGER_DIR_FIRST_SLOT + 1;
    }
    unsigned next = 0;
    for (size_t i = 0; i < c->cartridge_count; i++) {
        if (c->homes[i] != 0)
            continue;
        while (next < max && taken[next])
            next++;
        if (next == max)
            break; /* as many slots as cartridges are read at most: cannot happen */
        taken[next] = true;
        c->homes[i] = CHANGER_DIR_FIRST_SLOT + next;
        if (next >= slots)
            slots = next + 1;
    }
    return slots;
}

/* Fills the drives; in_drive[i] becomes true for cartridges found in one. */
static int place_drives(int libfd, const struct changer_dir_content *c,
                        struct changer_element *drives, bool *in_drive, struct err *err)
{
    for (size_t i = 0; i < c->link_count; i++) {
        struct changer_element *e = &drives[i];
        e->kind = CHANGER_DRIVE;
        e->address = CHANGER_DIR_FIRST_DRIVE + (unsigned)i;
        (void)drive_dir_split_link(c->links[i], e->serial, e->product);
        int rc = drive_dir_read_link(libfd, c->links[i], e->barcode, err);
        if (rc < 0)
            return rc;
        size_t k = e->barcode[0] != '\0' ? find_cartridge(c, e->barcode) : SIZE_MAX;
        if (k == SIZE_MAX || in_drive[k]) {
            if (e->barcode[0] != '\0')
                log_warn("drive link file %s names %s, which is %s: the drive counts as empty",
                         c->links[i], e->barcode, k == SIZE_MAX ? "not there" : "elsewhere");
            e->barcode[0] = '\0';
            continue;
        }
        in_drive[k] = true;
        e->home = c->homes[k];
    }
    return 0;
}

int changer_dir_place(int libfd, struct changer_dir_content *c, struct changer_inventory *inv,
                      struct err *err)
{
    unsigned slots = choose_homes(c);
    auto_free bool *in_drive = xzalloc(c->cartridge_count + 1);

    inv->count = c->link_count + c->ie_slots + slots;
    inv->elements = xzalloc((inv->count + 1) * sizeof(*inv->elements));
    int rc = place_drives(libfd, c, inv->elements, in_drive, err);
    if (rc < 0)
        return rc;
    struct changer_element *ie = inv->elements + c->link_count;
    struct changer_element *slot = ie + c->ie_slots;
    for (unsigned i = 0; i < c->ie_slots; i++)
        ie[i] =
            (struct changer_element){.kind = CHANGER_IE_SLOT, .address = CHANGER_DIR_FIRST_IE + i};
    for (unsigned i = 0; i < slots; i++)
        slot[i] =
            (struct changer_element){.kind = CHANGER_SLOT, .address = CHANGER_DIR_FIRST_SLOT + i};
    for (size_t i = 0; i < c->cartridge_count; i++) {
        unsigned home = c->homes[i];
        if (home == 0)
            continue;
        struct changer_element *e = home < CHANGER_DIR_FIRST_SLOT
                                        ? &ie[home - CHANGER_DIR_FIRST_IE]
                                        : &slot[home - CHANGER_DIR_FIRST_SLOT];
        memcpy(in_drive[i] ? e->reserved : e->barcode, c->cartridges[i], DRIVE_BARCODE_MAX);
    }
    return 0;
}
