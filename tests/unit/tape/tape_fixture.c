/* SPDX-License-Identifier: Apache-2.0 */
#include "tape_fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *fixture_scratch(void)
{
    char *path =
        xasprintf("%s/firn-tape-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

void fixture_remove(const char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

void fixture_copy(const char *from, const char *to)
{
    struct err err = {0};
    auto_closedir DIR *dir = opendir(from);
    assert_non_null(dir);
    assert_int_equal(mkdir(to, 0700), 0);
    auto_close int tofd = open(to, O_RDONLY | O_DIRECTORY);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        auto_free char *data = NULL;
        size_t len;
        if (e->d_name[0] == '.')
            continue;
        assert_ok(io_read_file(dirfd(dir), e->d_name, 1u << 20, &data, &len, &err), err);
        auto_close int fd = openat(tofd, e->d_name, O_WRONLY | O_CREAT | O_EXCL, 0600);
        assert_true(fd >= 0);
        assert_int_equal(io_write_full(fd, data, len), 0);
    }
}

char *fixture_cartridge(const char *dir, unsigned mib)
{
    struct err err = {0};
    assert_ok(drive_dir_create_cartridge(dir, FIXTURE_BARCODE, (uint64_t)mib << 20, &err), err);
    return xasprintf("%s/%s", dir, FIXTURE_BARCODE);
}

struct drive *fixture_load(const char *cartridge)
{
    struct err err = {0};
    struct drive *d = NULL;
    assert_ok(drive_dir_open_cartridge(cartridge, &d, &err), err);
    assert_ok(drive_load(d, &err), err);
    return d;
}

struct drive *fixture_formatted(const char *cartridge, uint32_t bs)
{
    struct err err = {0};
    struct drive *d = fixture_load(cartridge);
    assert_ok(ltfs_format(d, "test volume", bs, NULL, &err), err);
    return d;
}

struct ltfs_volume *fixture_mount(struct drive *d, unsigned flags)
{
    struct err err = {0};
    struct ltfs_volume *v = NULL;
    assert_ok(ltfs_mount(d, flags, &v, &err), err);
    return v;
}

void fixture_fill(void *buf, size_t len, unsigned seed)
{
    uint8_t *p = buf;
    uint32_t x = seed * 2654435761u + 12345u;
    for (size_t i = 0; i < len; i++) {
        x = x * 1664525u + 1013904223u;
        p[i] = (uint8_t)(x >> 24);
    }
}

int fixture_write(struct ltfs_volume *v, const char *path, size_t len, unsigned seed)
{
    struct err err = {0};
    auto_free uint8_t *data = malloc(len + 1);
    struct ltfs_writer *w = NULL;
    struct ltfs_xattr x = {.key = "firn.seed", .value = &seed, .len = sizeof(seed)};
    struct ltfs_create_args args = {.times = {.modify = 1700000000123456789LL},
                                    .size_hint = len,
                                    .xattrs = &x,
                                    .xattr_count = 1};

    fixture_fill(data, len, seed);
    int rc = ltfs_writer_begin(v, path, &args, &w, &err);
    if (rc != 0)
        return rc;
    rc = ltfs_writer_append(w, data, len, &err);
    if (rc != 0) {
        ltfs_writer_abort(w);
        return rc;
    }
    return ltfs_writer_commit(w, NULL, 0, NULL, NULL, &err);
}

bool fixture_has(struct ltfs_volume *v, const char *path, size_t len, unsigned seed)
{
    struct err err = {0};
    struct ltfs_node *n;
    const void *value;
    size_t value_len;
    auto_free uint8_t *want = malloc(len + 1);
    auto_free uint8_t *got = malloc(len + 1);

    if (ltfs_lookup(v, path, &n) != 0 || ltfs_node_length(n) != len)
        return false;
    if (ltfs_get_xattr(n, "firn.seed", &value, &value_len) != 0 || value_len != sizeof(seed) ||
        memcmp(value, &seed, sizeof(seed)) != 0)
        return false;
    fixture_fill(want, len, seed);
    ssize_t n_read = ltfs_read(v, n, 0, got, len + 1, &err);
    if (n_read != (ssize_t)len) {
        print_message("%s: %s\n", path, err.text);
        return false;
    }
    return memcmp(want, got, len) == 0;
}

void fixture_damage(const char *cartridge, const char *name, long at)
{
    auto_free char *path = xasprintf("%s/%s", cartridge, name);
    struct stat st;
    auto_close int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    uint8_t b;
    if (at < 0)
        at = st.st_size / 2;
    assert_int_equal(io_pread_full(fd, &b, 1, at), 1);
    b ^= 0x11;
    assert_int_equal(io_pwrite_full(fd, &b, 1, at), 0);
}

uint64_t fixture_last(const char *cartridge, unsigned partition, char type)
{
    uint64_t last = 0;
    auto_closedir DIR *dir = opendir(cartridge);
    assert_non_null(dir);
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        unsigned p;
        unsigned long long n;
        char t;
        if (sscanf(e->d_name, "%u_%llu_%c", &p, &n, &t) == 3 && p == partition && t == type &&
            n > last)
            last = n;
    }
    return last;
}
