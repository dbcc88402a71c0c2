/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK = 65536 };

static void must(int rc, struct site *s, const char *what)
{
    if (rc != 0) {
        print_error("%s gave %d (%s): %s\n", what, rc, file_outcome_text(rc), s->err.text);
        fail();
    }
}

void site_up(struct site *s, const char *name)
{
    memset(s, 0, sizeof(*s));
    if (strcmp(name, "ext4-inline") == 0)
        loopfs_up(&s->loop, "ext4", "-O inline_data -I 512");
    else
        loopfs_up(&s->loop, name, NULL);
    must(fs_open(s->loop.mnt, &s->fs, &s->err), s, "fs_open");
}

void site_down(struct site *s)
{
    fs_close(s->fs);
    loopfs_down(&s->loop);
}

void site_remount(struct site *s, bool power_cut)
{
    if (power_cut)
        loopfs_shutdown(&s->loop);
    fs_close(s->fs);
    s->fs = NULL;
    loopfs_remount(&s->loop);
    must(fs_open(s->loop.mnt, &s->fs, &s->err), s, "fs_open");
}

uint8_t pattern(uint32_t seed, uint64_t off)
{
    uint64_t x = (off / 8 + 1) * 0x9e3779b97f4a7c15ULL ^ seed * 0xbf58476d1ce4e5b9ULL;
    x ^= x >> 31;
    /* Never zero: a zero byte is always a wrong one. */
    return (uint8_t)((x >> (off % 8 * 8)) | 1);
}

static void fill(uint8_t *b, size_t n, uint32_t seed, uint64_t off)
{
    for (size_t i = 0; i < n; i++)
        b[i] = pattern(seed, off + i);
}

const char *path_of(struct site *s, const char *name)
{
    static _Thread_local char paths[4][256];
    static _Thread_local int next;
    char *p = paths[next++ % 4];
    (void)snprintf(p, sizeof(paths[0]), "%s/%s", s->loop.mnt, name);
    return p;
}

struct file_id make_file(struct site *s, const char *name, uint64_t size, uint32_t seed)
{
    auto_free uint8_t *b = xzalloc(CHUNK);
    auto_close int fd = open(path_of(s, name), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    for (uint64_t at = 0; at < size; at += CHUNK) {
        size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        fill(b, n, seed, at);
        assert_int_equal(io_pwrite_full(fd, b, n, (off_t)at), 0);
    }
    struct file_id id;
    must(fs_identify(s->fs, fd, &id, NULL, &s->err), s, "fs_identify");
    return id;
}

int inspect(struct site *s, const char *name, struct file_info *i)
{
    return file_inspect_path(s->fs, name, i, &s->err);
}

int64_t first_wrong(struct site *s, const char *name, uint64_t size, uint32_t seed)
{
    auto_free uint8_t *b = xzalloc(CHUNK);
    auto_close int fd = open(path_of(s, name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (uint64_t at = 0; at < size; at += CHUNK) {
        size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        assert_int_equal(io_pread_full(fd, b, n, (off_t)at), n);
        for (size_t i = 0; i < n; i++) {
            if (b[i] != pattern(seed, at + i))
                return (int64_t)(at + i);
        }
    }
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, size);
    return -1;
}

struct uuid premigrate(struct site *s, const char *name)
{
    auto_close int fd = fs_open_path(s->fs, name, O_RDONLY | O_NOATIME, &s->err);
    assert_true(fd >= 0);
    struct file_snapshot snap;
    int rc;
    while ((rc = file_snapshot_begin(s->fs, fd, &snap, &s->err)) == FILE_TOO_YOUNG)
        (void)usleep(50000);
    must(rc, s, "file_snapshot_begin");
    must(fs_sync(s->fs, &s->err), s, "fs_sync");
    struct uuid archive = uuid_new();
    must(file_snapshot_unchanged(fd, &snap, &s->err), s, "file_snapshot_unchanged");
    must(file_set_premigrated(s->fs, fd, &archive, &snap, &s->err), s, "file_set_premigrated");
    must(fs_sync(s->fs, &s->err), s, "fs_sync");
    return archive;
}

int release(struct site *s, const struct file_id *id, bool allow_shared)
{
    struct file_release_opts opts = {.allow_shared = allow_shared};
    struct file_release *r;
    int rc = file_release_begin(s->fs, id, NULL, &opts, &r, &s->err);
    if (rc != 0)
        return rc;
    must(fs_sync(s->fs, &s->err), s, "fs_sync");
    uint64_t freed = 0;
    return file_release_commit(r, &freed, &s->err);
}

int refill(struct site *s, const struct file_id *id, const struct uuid *archive, uint32_t seed,
           enum file_state end)
{
    struct file_refill *r;
    int rc = file_refill_begin(s->fs, id, archive, &r, &s->err);
    if (rc != 0)
        return rc;
    auto_free uint8_t *b = xzalloc(CHUNK);
    uint64_t size = file_refill_size(r);
    for (uint64_t at = 0; at < size; at += CHUNK) {
        size_t n = size - at < CHUNK ? (size_t)(size - at) : CHUNK;
        fill(b, n, seed, at);
        rc = file_refill_write(r, at, b, n, &s->err);
        if (rc != 0) {
            file_refill_abort(r);
            return rc;
        }
    }
    return file_refill_commit(r, end, true, &s->err);
}

struct file_info info_of(struct site *s, const char *name)
{
    struct file_info i = {0};
    assert_int_equal(inspect(s, name, &i), 0);
    return i;
}

void write_at(struct site *s, const char *name, off_t off, const char *text)
{
    auto_close int fd = open(path_of(s, name), O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(io_pwrite_full(fd, text, strlen(text), off), 0);
}

int64_t blocks_of(struct site *s, const char *name)
{
    struct stat st;
    assert_int_equal(stat(path_of(s, name), &st), 0);
    return st.st_blocks;
}

/* Makes, premigrates and releases file name. */
struct file_id make_stub(struct site *s, const char *name, uint64_t size, uint32_t seed,
                         struct uuid *archive)
{
    struct file_id id = make_file(s, name, size, seed);
    *archive = premigrate(s, name);
    assert_int_equal(release(s, &id, false), 0);
    return id;
}

void check_metadata(const struct stat *a, const struct stat *b)
{
    assert_int_equal(a->st_ino, b->st_ino);
    assert_int_equal(a->st_size, b->st_size);
    assert_int_equal(a->st_mode, b->st_mode);
    assert_int_equal(a->st_uid, b->st_uid);
    assert_int_equal(a->st_gid, b->st_gid);
    assert_int_equal(a->st_nlink, b->st_nlink);
    assert_memory_equal(&a->st_mtim, &b->st_mtim, sizeof(a->st_mtim));
    assert_memory_equal(&a->st_atim, &b->st_atim, sizeof(a->st_atim));
}
