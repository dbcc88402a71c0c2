/* SPDX-License-Identifier: Apache-2.0 */
/* The moves between states, on a real file system: argv[1] says which kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"
#include "base/timefmt.h"
#include "file/file_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct site S;
static const char *kind; /* argv[1] */

static bool has_reflink(void)
{
    return strncmp(kind, "ext4", 4) != 0;
}

static void a_stub_in_a_snapshot_recalls(void **state)
{
    (void)state;
    if (strcmp(kind, "btrfs") != 0)
        return; /* no such thing on this kind */
    struct uuid archive;
    struct file_id id = make_stub(&S, "snapped", 100000, 8, &archive);
    struct btrfs_ioctl_vol_args a = {.fd = fs_root_fd(S.fs), .name = "snap"};
    assert_int_equal(ioctl(fs_root_fd(S.fs), BTRFS_IOC_SNAP_CREATE, &a), 0);
    struct site snap = {.loop = S.loop};
    (void)snprintf(snap.loop.mnt, sizeof(snap.loop.mnt), "%s", path_of(&S, "snap"));
    assert_int_equal(fs_open(snap.loop.mnt, &snap.fs, &S.err), 0);
    struct file_info i;
    assert_int_equal(inspect(&snap, "snapped", &i), 0);
    assert_int_equal(i.state, FILE_MIGRATED);
    assert_int_equal(i.note, FILE_NOTE_NONE);
    assert_false(file_id_equal(&i.id, &id));
    assert_int_equal(refill(&snap, &i.id, &archive, 8, FILE_PREMIGRATED), 0);
    assert_int_equal(first_wrong(&snap, "snapped", 100000, 8), -1);
    EXPECT(&S, "snapped", FILE_MIGRATED, FILE_NOTE_NONE); /* the origin is untouched */
    fs_close(snap.fs);
}

/* ---- premigrate ---- */

static void a_new_file_is_resident_and_a_copied_one_premigrated(void **state)
{
    (void)state;
    (void)make_file(&S, "p1", 100000, 1);
    EXPECT(&S, "p1", FILE_RESIDENT, FILE_NOTE_NONE);
    struct uuid archive = premigrate(&S, "p1");
    struct file_info i = info_of(&S, "p1");
    assert_int_equal(i.state, FILE_PREMIGRATED);
    assert_false(i.marker);
    assert_memory_equal(&i.record.archive, &archive, sizeof(archive));
}

static void a_write_makes_a_premigrated_file_resident(void **state)
{
    (void)state;
    (void)make_file(&S, "p2", 100000, 1);
    struct uuid archive = premigrate(&S, "p2");
    write_at(&S, "p2", 5, "x");
    struct file_info i = info_of(&S, "p2");
    assert_int_equal(i.state, FILE_RESIDENT);
    assert_int_equal(i.note, FILE_NOTE_DIRTY);
    assert_memory_equal(&i.record.archive, &archive, sizeof(archive));
    assert_int_equal(release(&S, &i.id, false), FILE_CHANGED);
}

static void a_store_through_a_mapping_makes_it_resident_too(void **state)
{
    (void)state;
    (void)make_file(&S, "p3", 100000, 1);
    auto_close int fd = open(path_of(&S, "p3"), O_RDWR | O_CLOEXEC);
    char *m = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(m != MAP_FAILED);
    m[0] = 'a'; /* the page is dirty and writable when the copy begins */
    (void)premigrate(&S, "p3");
    EXPECT(&S, "p3", FILE_PREMIGRATED, FILE_NOTE_NONE);
    m[1] = 'b';
    EXPECT(&S, "p3", FILE_RESIDENT, FILE_NOTE_DIRTY);
    (void)munmap(m, 100000);
}

static void a_change_during_the_copy_is_noticed(void **state)
{
    (void)state;
    (void)make_file(&S, "p4", 100000, 1);
    auto_close int fd = fs_open_path(S.fs, "p4", O_RDONLY | O_NOATIME, &S.err);
    struct file_snapshot snap;
    int rc;
    while ((rc = file_snapshot_begin(S.fs, fd, &snap, &S.err)) == FILE_TOO_YOUNG)
        (void)usleep(50000);
    assert_int_equal(rc, 0);
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    assert_int_equal(file_snapshot_unchanged(fd, &snap, &S.err), 0);
    write_at(&S, "p4", 99999, "x");
    assert_int_equal(file_snapshot_unchanged(fd, &snap, &S.err), FILE_CHANGED);
    struct uuid archive = uuid_new();
    assert_int_equal(file_set_premigrated(S.fs, fd, &archive, &snap, &S.err), FILE_CHANGED);
    assert_false(info_of(&S, "p4").has_record);
}

static void a_write_that_hides_its_time_is_noticed_by_the_ctime(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "p5", 100000, 1);
    auto_close int fd = fs_open_path(S.fs, "p5", O_RDONLY | O_NOATIME, &S.err);
    struct file_snapshot snap;
    int rc;
    while ((rc = file_snapshot_begin(S.fs, fd, &snap, &S.err)) == FILE_TOO_YOUNG)
        (void)usleep(50000);
    assert_int_equal(rc, 0);
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    struct uuid archive = uuid_new();
    assert_int_equal(file_set_premigrated(S.fs, fd, &archive, &snap, &S.err), 0);
    (void)close(take_fd(fd));
    struct stat st;
    assert_int_equal(stat(path_of(&S, "p5"), &st), 0);
    write_at(&S, "p5", 0, "x");
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path_of(&S, "p5"), t, 0), 0);
    struct file_release *r;
    assert_int_equal(file_release_begin(S.fs, &id, &snap, NULL, &r, &S.err), FILE_CHANGED);
}

/* ---- release and refill ---- */

static void metadata_survives_release_and_refill(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 100, 4096, 65536, 100001, 3 << 20};
    for (size_t n = 0; n < sizeof(sizes) / sizeof(sizes[0]); n++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "m%zu", n);
        struct file_id id = make_file(&S, name, sizes[n], 5);
        const char *path = path_of(&S, name);
        struct timespec t[2] = {{111, 222333444}, {-5, 123456789}};
        if (n % 2 == 0)
            t[1].tv_sec = 1709205769;
        assert_int_equal(chown(path, 1234, 5678), 0);
        assert_int_equal(chmod(path, 04711), 0);
        assert_int_equal(setxattr(path, "user.tag", "migrate", 7, 0), 0);
        /* setcap cap_net_raw=ep (vfs_cap_data, capabilities(7)) */
        static const uint8_t caps[20] = {1, 0, 0, 2, 0, 0x20};
        assert_int_equal(setxattr(path, "security.capability", caps, sizeof(caps), 0), 0);
        assert_int_equal(utimensat(AT_FDCWD, path, t, 0), 0);
        char second[40];
        (void)snprintf(second, sizeof(second), "%s.link", name);
        assert_int_equal(link(path, path_of(&S, second)), 0);
        struct stat a, b;
        assert_int_equal(stat(path, &a), 0);
        struct uuid archive = premigrate(&S, name);
        assert_int_equal(release(&S, &id, false), 0);
        EXPECT(&S, name, FILE_MIGRATED, FILE_NOTE_NONE);
        EXPECT(&S, second, FILE_MIGRATED, FILE_NOTE_NONE);
        assert_true(info_of(&S, name).marker);
        assert_int_equal(stat(path, &b), 0);
        check_metadata(&a, &b);
        assert_true(b.st_blocks <= 8); /* a block of xattrs on ext4 */
        assert_int_equal(getxattr(path, "security.capability", NULL, 0), sizeof(caps));
        assert_int_equal(refill(&S, &id, &archive, 5, FILE_PREMIGRATED), 0);
        EXPECT(&S, name, FILE_PREMIGRATED, FILE_NOTE_NONE);
        assert_false(info_of(&S, name).marker);
        assert_int_equal(stat(path, &b), 0);
        check_metadata(&a, &b);
        uint8_t back[64];
        assert_int_equal(getxattr(path, "security.capability", back, sizeof(back)), sizeof(caps));
        assert_memory_equal(back, caps, sizeof(caps));
        char tag[16] = "";
        assert_int_equal(getxattr(path, "user.tag", tag, sizeof(tag)), 7);
        assert_int_equal(first_wrong(&S, name, sizes[n], 5), -1);
        assert_int_equal(release(&S, &id, false), 0); /* and again without a copy */
        assert_int_equal(refill(&S, &id, &archive, 5, FILE_RESIDENT), 0);
        EXPECT(&S, name, FILE_RESIDENT, FILE_NOTE_NONE);
        assert_false(info_of(&S, name).has_record);
    }
}

static void a_release_gives_the_blocks_back(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "big", (4 << 20) + 17, 9);
    (void)premigrate(&S, "big");
    int64_t before = blocks_of(&S, "big");
    struct file_release *r;
    assert_int_equal(file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err), 0);
    uint64_t freed = 0;
    assert_int_equal(file_release_commit(r, &freed, &S.err), 0); /* syncs by itself */
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    /* ext4 may keep one block of xattrs. */
    assert_true(blocks_of(&S, "big") <= 8);
    assert_true(freed >= (4 << 20) || before == 0);
}

static void one_sync_serves_a_batch(void **state)
{
    (void)state;
    enum { N = 20 };
    struct file_id id[N];
    struct uuid archive[N];
    struct file_release *rel[N];
    struct file_refill *ref[N];
    char name[32];
    uint8_t b[5000];
    for (size_t i = 0; i < sizeof(b); i++)
        b[i] = pattern(3, i);
    for (int i = 0; i < N; i++) {
        (void)snprintf(name, sizeof(name), "batch%d", i);
        id[i] = make_file(&S, name, sizeof(b), 3);
        archive[i] = premigrate(&S, name);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(file_release_begin(S.fs, &id[i], NULL, NULL, &rel[i], &S.err), 0);
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(file_release_commit(rel[i], NULL, &S.err), 0);
    for (int i = 0; i < N; i++) {
        assert_int_equal(file_refill_begin(S.fs, &id[i], &archive[i], &ref[i], &S.err), 0);
        assert_int_equal(file_refill_write(ref[i], 0, b, sizeof(b), &S.err), 0);
        assert_int_equal(file_refill_finish_data(ref[i], &S.err), 0);
    }
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    for (int i = 0; i < N; i++)
        assert_int_equal(file_refill_commit(ref[i], FILE_PREMIGRATED, false, &S.err), 0);
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    for (int i = 0; i < N; i++) {
        (void)snprintf(name, sizeof(name), "batch%d", i);
        EXPECT(&S, name, FILE_PREMIGRATED, FILE_NOTE_NONE);
        assert_int_equal(first_wrong(&S, name, sizeof(b), 3), -1);
    }
}

static void a_sync_covers_only_what_came_before_it(void **state)
{
    (void)state;
    uint64_t before = file_sync_mark(S.fs);
    assert_false(file_is_synced(S.fs, before));
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    assert_true(file_is_synced(S.fs, before));
    assert_false(file_is_synced(S.fs, file_sync_mark(S.fs)));
}

static void sparse_files_stay_sparse(void **state)
{
    (void)state;
    struct file_id id;
    {
        auto_close int fd = open(path_of(&S, "sparse"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(io_pwrite_full(fd, "head", 4, 0), 0);
        assert_int_equal(io_pwrite_full(fd, "tail", 4, 50 << 20), 0);
        assert_int_equal(ftruncate(fd, (60 << 20) + 1), 0);
        assert_int_equal(fs_identify(S.fs, fd, &id, NULL, &S.err), 0);
    }
    struct uuid archive = premigrate(&S, "sparse");
    assert_int_equal(release(&S, &id, false), 0);
    struct file_refill *r;
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    assert_int_equal(file_refill_size(r), (60 << 20) + 1);
    assert_int_equal(file_refill_write(r, 50 << 20, "tail", 4, &S.err), 0);
    assert_int_equal(file_refill_write(r, 0, "head", 4, &S.err), 0);
    assert_int_equal(file_refill_commit(r, FILE_PREMIGRATED, true, &S.err), 0);
    EXPECT(&S, "sparse", FILE_PREMIGRATED, FILE_NOTE_NONE);
    assert_true(blocks_of(&S, "sparse") * 512 < 1 << 20);
    char b[5] = "";
    auto_close int fd = open(path_of(&S, "sparse"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, b, 4, 50 << 20), 4);
    assert_string_equal(b, "tail");
}

static void an_empty_file_can_be_premigrated_but_not_released(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "empty", 0, 0);
    (void)premigrate(&S, "empty");
    assert_int_equal(release(&S, &id, false), FILE_TOO_SMALL);
    EXPECT(&S, "empty", FILE_PREMIGRATED, FILE_NOTE_NONE);
}

static void outcomes_of_a_release_are_named(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "o1", 5000, 1);
    struct file_release *r;
    assert_int_equal(release(&S, &id, false), FILE_NOT_PREMIGRATED);
    (void)premigrate(&S, "o1");
    struct file_release_opts opts = {.min_size = 5001};
    assert_int_equal(file_release_begin(S.fs, &id, NULL, &opts, &r, &S.err), FILE_TOO_SMALL);
    {
        auto_close int fd = open(path_of(&S, "o1"), O_RDONLY | O_CLOEXEC);
        assert_int_equal(release(&S, &id, false), FILE_IN_USE);
        void *m = mmap(NULL, 5000, PROT_READ, MAP_SHARED, fd, 0);
        (void)close(take_fd(fd));
        assert_int_equal(release(&S, &id, false), FILE_IN_USE); /* mapped */
        (void)munmap(m, 5000);
    }
    int flags = FS_IMMUTABLE_FL;
    auto_close int fd = open(path_of(&S, "o1"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
    (void)close(take_fd(fd));
    assert_int_equal(release(&S, &id, false), FILE_IMMUTABLE);
    fd = open(path_of(&S, "o1"), O_RDONLY | O_CLOEXEC);
    flags = 0;
    assert_int_equal(ioctl(fd, FS_IOC_SETFLAGS, &flags), 0);
    (void)close(take_fd(fd));
    assert_int_equal(release(&S, &id, false), 0);
    assert_int_equal(release(&S, &id, false), FILE_IS_MIGRATED);
    assert_int_equal(unlink(path_of(&S, "o1")), 0);
    assert_int_equal(release(&S, &id, false), FILE_GONE);
}

static void a_stub_is_never_copied_as_data(void **state)
{
    (void)state;
    struct uuid archive;
    (void)make_stub(&S, "nocopy", 5000, 1, &archive);
    auto_close int fd = fs_open_path(S.fs, "nocopy", O_RDONLY, &S.err);
    struct file_snapshot snap;
    assert_int_equal(file_snapshot_begin(S.fs, fd, &snap, &S.err), FILE_IS_MIGRATED);
}

static void reflinked_files_are_released_only_when_asked(void **state)
{
    (void)state;
    if (!has_reflink())
        return; /* no such thing on this kind */
    struct file_id id = make_file(&S, "r1", 1 << 20, 4);
    {
        auto_close int a = open(path_of(&S, "r1"), O_RDONLY | O_CLOEXEC);
        auto_close int b = open(path_of(&S, "r2"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ioctl(b, FICLONE, a), 0);
    }
    struct uuid archive = premigrate(&S, "r1");
    assert_int_equal(release(&S, &id, false), FILE_SHARED);
    EXPECT(&S, "r1", FILE_PREMIGRATED, FILE_NOTE_NONE);
    assert_int_equal(release(&S, &id, true), 0);
    assert_int_equal(first_wrong(&S, "r2", 1 << 20, 4), -1);
    assert_int_equal(refill(&S, &id, &archive, 4, FILE_PREMIGRATED), 0);
    assert_int_equal(first_wrong(&S, "r1", 1 << 20, 4), -1);
    assert_int_equal(first_wrong(&S, "r2", 1 << 20, 4), -1);
}

static void an_opener_turns_a_begun_release_back(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "opener", 100000, 6);
    (void)premigrate(&S, "opener");
    struct file_release *r;
    assert_int_equal(file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err), 0);
    struct file_info i = info_of(&S, "opener");
    assert_int_equal(i.state, FILE_MIGRATED); /* O_PATH: does not disturb the lease */
    pid_t pid = fork();
    if (pid == 0) { /* waits for the lease, then must see the data */
        int fd = open(path_of(&S, "opener"), O_RDONLY | O_CLOEXEC);
        uint8_t b = 0;
        _exit(fd >= 0 && pread(fd, &b, 1, 50000) == 1 && b == pattern(6, 50000) ? 0 : 1);
    }
    /* The opener is waiting once a second O_NONBLOCK open is refused and the lease is breaking. */
    while (open(path_of(&S, "opener"), O_RDONLY | O_NONBLOCK | O_CLOEXEC) >= 0)
        (void)usleep(1000);
    assert_int_equal(file_release_commit(r, NULL, &S.err), FILE_IN_USE);
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    EXPECT(&S, "opener", FILE_PREMIGRATED, FILE_NOTE_NONE);
    assert_false(info_of(&S, "opener").marker);
}

static void an_aborted_release_leaves_the_file_premigrated(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "abort", 100000, 6);
    (void)premigrate(&S, "abort");
    struct file_release *r;
    assert_int_equal(file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err), 0);
    file_release_abort(r);
    EXPECT(&S, "abort", FILE_PREMIGRATED, FILE_NOTE_NONE);
    assert_int_equal(first_wrong(&S, "abort", 100000, 6), -1);
}

static void with_coarse_timestamps_a_fresh_change_is_put_off(void **state)
{
    (void)state;
    (void)make_file(&S, "young", 100, 1);
    auto_close int fd = fs_open_path(S.fs, "young", O_RDONLY | O_NOATIME, &S.err);
    struct file_snapshot snap;
    enum fs_kind real = S.fs->kind;
    S.fs->kind = FS_OTHER; /* the rule for kinds that are not known to be fine */
    assert_int_equal(file_snapshot_begin(S.fs, fd, &snap, &S.err), FILE_TOO_YOUNG);
    int rc;
    int64_t before = time_mono_ns();
    while ((rc = file_snapshot_begin(S.fs, fd, &snap, &S.err)) == FILE_TOO_YOUNG)
        (void)usleep(10000);
    S.fs->kind = real;
    assert_int_equal(rc, 0);
    assert_true(time_mono_ns() - before > NS / 2);
}

static void a_touched_stub_keeps_its_new_time(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "touch", 100000, 2, &archive);
    struct timespec t[2] = {{.tv_nsec = UTIME_OMIT}, {1000, 7}};
    assert_int_equal(utimensat(AT_FDCWD, path_of(&S, "touch"), t, 0), 0);
    EXPECT(&S, "touch", FILE_MIGRATED, FILE_NOTE_TOUCHED);
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), 0);
    struct file_info i = info_of(&S, "touch");
    assert_int_equal(i.state, FILE_PREMIGRATED);
    assert_true(file_time_ns(&i.st.st_mtim) == 1000 * NS + 7);
}

/* ---- copies of records, damage ---- */

static void copy_xattrs(const char *from, const char *to)
{
    static const char *const names[] = {FILE_XATTR_RECORD, FILE_XATTR_STUB};
    for (int i = 0; i < 2; i++) {
        char b[64];
        ssize_t n = getxattr(path_of(&S, from), names[i], b, sizeof(b));
        if (n > 0)
            assert_int_equal(setxattr(path_of(&S, to), names[i], b, (size_t)n, 0), 0);
    }
}

static void a_copied_record_is_not_believed(void **state)
{
    (void)state;
    struct file_id a = make_file(&S, "c1", 5000, 1);
    struct file_id b = make_file(&S, "c2", 5000, 2);
    (void)premigrate(&S, "c1");
    copy_xattrs("c1", "c2");
    struct file_info i = info_of(&S, "c1");
    struct timespec t[2] = {i.st.st_atim, i.st.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path_of(&S, "c2"), t, 0), 0);
    EXPECT(&S, "c2", FILE_RESIDENT, FILE_NOTE_COPIED);
    assert_int_equal(release(&S, &b, false), FILE_NOT_PREMIGRATED);
    /* Copied with its data by a tool that recalled the source. */
    assert_int_equal(release(&S, &a, false), 0);
    copy_xattrs("c1", "c2");
    EXPECT(&S, "c2", FILE_RESIDENT, FILE_NOTE_COPIED);
    auto_close int fd = fs_open_path(S.fs, "c2", O_RDWR, &S.err);
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_false(i.marker);
}

static void a_copied_stub_without_data_is_recalled_not_read_as_zeros(void **state)
{
    (void)state;
    struct uuid archive;
    (void)make_stub(&S, "c3", 100000, 3, &archive);
    struct file_id copy;
    {
        auto_close int fd = open(path_of(&S, "c4"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        assert_int_equal(ftruncate(fd, 100000), 0);
        assert_int_equal(fs_identify(S.fs, fd, &copy, NULL, &S.err), 0);
    }
    copy_xattrs("c3", "c4");
    EXPECT(&S, "c4", FILE_MIGRATED, FILE_NOTE_COPIED);
    assert_int_equal(refill(&S, &copy, &archive, 3, FILE_PREMIGRATED), 0);
    EXPECT(&S, "c4", FILE_RESIDENT, FILE_NOTE_NONE); /* the copies are the other file's */
    assert_int_equal(first_wrong(&S, "c4", 100000, 3), -1);
}

static void a_damaged_record_is_noticed_and_can_be_rebuilt(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "d1", 5000, 1, &archive);
    struct file_record good = info_of(&S, "d1").record;
    const char *path = path_of(&S, "d1");
    assert_int_equal(setxattr(path, FILE_XATTR_RECORD, "garbage", 7, 0), 0);
    EXPECT(&S, "d1", FILE_MIGRATED, FILE_NOTE_DAMAGED);
    assert_int_equal(refill(&S, &id, &archive, 1, FILE_PREMIGRATED), -EBADMSG);
    assert_non_null(strstr(S.err.text, "rebuild"));
    assert_int_equal(removexattr(path, FILE_XATTR_RECORD), 0);
    EXPECT(&S, "d1", FILE_MIGRATED, FILE_NOTE_DAMAGED); /* the marker alone says: no data */
    char big[200] = "x";
    assert_int_equal(setxattr(path, FILE_XATTR_RECORD, big, sizeof(big), 0), 0);
    EXPECT(&S, "d1", FILE_MIGRATED, FILE_NOTE_DAMAGED);
    auto_close int fd = fs_open_path(S.fs, "d1", O_RDWR, &S.err);
    assert_int_equal(file_write_record(S.fs, fd, &good, &S.err), 0);
    EXPECT(&S, "d1", FILE_MIGRATED, FILE_NOTE_NONE);
    (void)close(take_fd(fd));
    assert_int_equal(refill(&S, &id, &archive, 1, FILE_PREMIGRATED), 0);
    assert_int_equal(setxattr(path, FILE_XATTR_RECORD, "garbage", 7, 0), 0);
    EXPECT(&S, "d1", FILE_RESIDENT, FILE_NOTE_DAMAGED);
}

static void marker_and_record_are_made_to_agree(void **state)
{
    (void)state;
    struct uuid archive;
    (void)make_stub(&S, "k1", 5000, 1, &archive);
    assert_int_equal(removexattr(path_of(&S, "k1"), FILE_XATTR_STUB), 0);
    EXPECT(&S, "k1", FILE_MIGRATED, FILE_NOTE_MARKER_MISSING);
    auto_close int fd = fs_open_path(S.fs, "k1", O_RDWR, &S.err);
    struct file_info i;
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_true(i.marker && i.note == FILE_NOTE_NONE);
    (void)make_file(&S, "k2", 5000, 1);
    (void)premigrate(&S, "k2");
    assert_int_equal(setxattr(path_of(&S, "k2"), FILE_XATTR_STUB, "1", 1, 0), 0);
    EXPECT(&S, "k2", FILE_PREMIGRATED, FILE_NOTE_MARKER_STALE);
    auto_close int fd2 = fs_open_path(S.fs, "k2", O_RDWR, &S.err);
    assert_int_equal(file_repair(S.fs, fd2, &i, &S.err), 0);
    assert_true(!i.marker && i.note == FILE_NOTE_NONE);
}

static void everybody_sees_the_marker_and_only_root_sets_it(void **state)
{
    (void)state;
    struct uuid archive;
    (void)make_stub(&S, "u1", 5000, 1, &archive);
    assert_int_equal(chmod(path_of(&S, "u1"), 0644), 0);
    assert_int_equal(chmod(S.loop.dir, 0755), 0);
    assert_int_equal(chmod(S.loop.mnt, 0777), 0);
    (void)make_file(&S, "u2", 10, 1);
    assert_int_equal(chown(path_of(&S, "u2"), 4242, 4242), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char b[64];
        bool ok = setgid(4242) == 0 && setuid(4242) == 0;
        ok = ok && getxattr(path_of(&S, "u1"), FILE_XATTR_STUB, b, sizeof(b)) == 1 && b[0] == '1';
        ok = ok && getxattr(path_of(&S, "u1"), FILE_XATTR_RECORD, b, sizeof(b)) < 0;
        ok = ok && setxattr(path_of(&S, "u2"), FILE_XATTR_STUB, "1", 1, 0) < 0;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void a_broken_lease_does_not_kill_the_process(void **state)
{
    (void)state;
    pid_t pid = fork();
    if (pid == 0) { /* with fresh signal dispositions */
        (void)signal(SIGIO, SIG_DFL);
        struct file_id id = make_file(&S, "sig", 5000, 1);
        (void)premigrate(&S, "sig");
        struct file_release *r = NULL;
        if (file_release_begin(S.fs, &id, NULL, NULL, &r, &S.err) != 0)
            _exit(2);
        int fd = open(path_of(&S, "sig"), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        _exit(fd < 0 && errno == EAGAIN && file_release_commit(r, NULL, &S.err) == FILE_IN_USE ? 0
                                                                                               : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static int up(void **state)
{
    (void)state;
    site_up(&S, kind);
    return 0;
}

static int down(void **state)
{
    (void)state;
    site_down(&S);
    return 0;
}

int main(int argc, char **argv)
{
    kind = argc > 1 ? argv[1] : "ext4";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stub_in_a_snapshot_recalls),
        cmocka_unit_test(a_new_file_is_resident_and_a_copied_one_premigrated),
        cmocka_unit_test(a_write_makes_a_premigrated_file_resident),
        cmocka_unit_test(a_store_through_a_mapping_makes_it_resident_too),
        cmocka_unit_test(a_change_during_the_copy_is_noticed),
        cmocka_unit_test(a_write_that_hides_its_time_is_noticed_by_the_ctime),
        cmocka_unit_test(metadata_survives_release_and_refill),
        cmocka_unit_test(a_release_gives_the_blocks_back),
        cmocka_unit_test(one_sync_serves_a_batch),
        cmocka_unit_test(a_sync_covers_only_what_came_before_it),
        cmocka_unit_test(sparse_files_stay_sparse),
        cmocka_unit_test(an_empty_file_can_be_premigrated_but_not_released),
        cmocka_unit_test(outcomes_of_a_release_are_named),
        cmocka_unit_test(a_stub_is_never_copied_as_data),
        cmocka_unit_test(reflinked_files_are_released_only_when_asked),
        cmocka_unit_test(an_opener_turns_a_begun_release_back),
        cmocka_unit_test(an_aborted_release_leaves_the_file_premigrated),
        cmocka_unit_test(with_coarse_timestamps_a_fresh_change_is_put_off),
        cmocka_unit_test(a_touched_stub_keeps_its_new_time),
        cmocka_unit_test(a_copied_record_is_not_believed),
        cmocka_unit_test(a_copied_stub_without_data_is_recalled_not_read_as_zeros),
        cmocka_unit_test(a_damaged_record_is_noticed_and_can_be_rebuilt),
        cmocka_unit_test(marker_and_record_are_made_to_agree),
        cmocka_unit_test(everybody_sees_the_marker_and_only_root_sets_it),
        cmocka_unit_test(a_broken_lease_does_not_kill_the_process),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
