/* SPDX-License-Identifier: Apache-2.0 */
/* Stubs: refills, and what programs do to stubs, on a real file system: argv[1] says which kind. */
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

static void outcomes_of_a_refill_are_named(void **state)
{
    (void)state;
    struct uuid archive, other = uuid_new();
    struct file_id id = make_stub(&S, "f1", 5000, 1, &archive);
    struct file_refill *r, *second;
    assert_int_equal(file_refill_begin(S.fs, &id, &other, &r, &S.err), FILE_OTHER_ARCHIVE);
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &second, &S.err), FILE_BUSY);
    assert_int_equal(file_refill_write(r, 4999, "ab", 2, &S.err), -EINVAL);
    assert_int_equal(file_refill_write(r, UINT64_MAX, "ab", 2, &S.err), -EINVAL);
    file_refill_abort(r);
    EXPECT(&S, "f1", FILE_MIGRATED, FILE_NOTE_NONE);
    assert_int_equal(refill(&S, &id, &archive, 1, FILE_PREMIGRATED), 0);
    assert_int_equal(refill(&S, &id, &archive, 1, FILE_PREMIGRATED), FILE_NOT_MIGRATED);
    assert_int_equal(unlink(path_of(&S, "f1")), 0);
    assert_int_equal(refill(&S, &id, &archive, 1, FILE_PREMIGRATED), FILE_GONE);
}

static void an_aborted_refill_leaves_a_clean_stub(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "f2", 1 << 20, 2, &archive);
    struct stat a, b;
    assert_int_equal(stat(path_of(&S, "f2"), &a), 0);
    struct file_refill *r;
    uint8_t junk[4096];
    memset(junk, 0x77, sizeof(junk));
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    EXPECT(&S, "f2", FILE_MIGRATED, FILE_NOTE_INTERRUPTED);
    assert_int_equal(file_refill_write(r, 8192, junk, sizeof(junk), &S.err), 0);
    file_refill_abort(r);
    EXPECT(&S, "f2", FILE_MIGRATED, FILE_NOTE_NONE);
    assert_int_equal(stat(path_of(&S, "f2"), &b), 0);
    check_metadata(&a, &b);
    auto_close int fd = open(path_of(&S, "f2"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(file_first_data(fd), -ENXIO);
    (void)close(take_fd(fd));
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), 0);
    assert_int_equal(first_wrong(&S, "f2", 1 << 20, 2), -1);
}

static void a_written_stub_is_never_overwritten(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "w1", 100000, 2, &archive);
    write_at(&S, "w1", 1000, "precious");
    EXPECT(&S, "w1", FILE_MIGRATED, FILE_NOTE_STUB_CHANGED);
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), FILE_CHANGED);
    char b[9] = "";
    auto_close int fd = open(path_of(&S, "w1"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, b, 8, 1000), 8);
    assert_string_equal(b, "precious");
    (void)close(take_fd(fd));
    fd = fs_open_path(S.fs, "w1", O_RDWR, &S.err);
    assert_int_equal(file_set_resident(S.fs, fd, &S.err), 0);
    EXPECT(&S, "w1", FILE_RESIDENT, FILE_NOTE_NONE);
}

static void an_emptied_stub_is_resident(void **state)
{
    (void)state;
    struct uuid archive;
    (void)make_stub(&S, "t1", 100000, 2, &archive);
    assert_int_equal(truncate(path_of(&S, "t1"), 5000), 0);
    EXPECT(&S, "t1", FILE_MIGRATED, FILE_NOTE_STUB_CUT);
    assert_int_equal(truncate(path_of(&S, "t1"), 0), 0);
    EXPECT(&S, "t1", FILE_RESIDENT, FILE_NOTE_DIRTY);
}

static void a_truncated_stub_gets_its_first_bytes_and_is_resident(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "t2", 100000, 2, &archive);
    struct stat a, b;
    assert_int_equal(truncate(path_of(&S, "t2"), 5000), 0);
    assert_int_equal(stat(path_of(&S, "t2"), &a), 0);
    struct file_refill *r;
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    assert_true(file_refill_is_cut(r));
    assert_int_equal(file_refill_size(r), 5000);
    auto_free uint8_t *whole = xzalloc(100000);
    for (size_t i = 0; i < 100000; i++)
        whole[i] = pattern(2, i);
    assert_int_equal(file_refill_write(r, 0, whole, 60000, &S.err), 0);
    assert_int_equal(file_refill_write(r, 60000, whole + 60000, 40000, &S.err), 0);
    assert_int_equal(file_refill_commit(r, FILE_PREMIGRATED, true, &S.err), 0);
    EXPECT(&S, "t2", FILE_RESIDENT, FILE_NOTE_NONE);
    assert_int_equal(first_wrong(&S, "t2", 5000, 2), -1);
    assert_int_equal(stat(path_of(&S, "t2"), &b), 0);
    assert_true(file_time_ns(&a.st_mtim) == file_time_ns(&b.st_mtim));
}

static void a_truncated_stub_whose_refill_died_begins_anew(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "t3", 100000, 2, &archive);
    assert_int_equal(truncate(path_of(&S, "t3"), 70000), 0);
    struct file_refill *r;
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    assert_int_equal(file_refill_write(r, 0, "torn", 4, &S.err), 0);
    EXPECT(&S, "t3", FILE_MIGRATED, FILE_NOTE_INTERRUPTED);
    file_refill_abort(r);
    EXPECT(&S, "t3", FILE_MIGRATED, FILE_NOTE_STUB_CUT);
    struct file_info i = info_of(&S, "t3");
    auto_close int fd = fs_open_path(S.fs, "t3", O_RDWR, &S.err);
    i.record.flags |= FILE_RECORD_REFILLING;
    assert_int_equal(file_put_record(fd, &i.record, &S.err), 0);
    write_at(&S, "t3", 8192, "torn");
    assert_int_equal(file_repair(S.fs, fd, &i, &S.err), 0);
    assert_int_equal(i.note, FILE_NOTE_STUB_CUT);
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), 0);
    EXPECT(&S, "t3", FILE_RESIDENT, FILE_NOTE_NONE);
    assert_int_equal(first_wrong(&S, "t3", 70000, 2), -1);
}

static void a_truncated_stub_that_was_written_to_is_left_alone(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "t4", 100000, 2, &archive);
    assert_int_equal(truncate(path_of(&S, "t4"), 50000), 0);
    write_at(&S, "t4", 1000, "precious");
    EXPECT(&S, "t4", FILE_MIGRATED, FILE_NOTE_STUB_CHANGED);
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), FILE_CHANGED);
}

static void a_stub_that_was_made_longer_gets_all_its_bytes(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "t5", 102400, 2, &archive);
    assert_int_equal(truncate(path_of(&S, "t5"), 204800), 0);
    assert_int_equal(refill(&S, &id, &archive, 2, FILE_PREMIGRATED), 0);
    EXPECT(&S, "t5", FILE_RESIDENT, FILE_NOTE_NONE);
    auto_close int fd = open(path_of(&S, "t5"), O_RDONLY | O_CLOEXEC);
    auto_free uint8_t *b = xzalloc(204800);
    assert_int_equal(pread(fd, b, 204800, 0), 204800);
    for (size_t i = 0; i < 204800; i++)
        assert_int_equal(b[i], i < 102400 ? pattern(2, i) : 0);
}

static void a_write_during_a_refill_stops_it(void **state)
{
    (void)state;
    struct uuid archive;
    struct file_id id = make_stub(&S, "w2", 100000, 2, &archive);
    struct file_refill *r;
    assert_int_equal(file_refill_begin(S.fs, &id, &archive, &r, &S.err), 0);
    assert_int_equal(file_refill_write(r, 0, "abc", 3, &S.err), 0);
    write_at(&S, "w2", 50000, "precious");
    assert_int_equal(file_refill_write(r, 50000, "overwritten", 11, &S.err), FILE_CHANGED);
    assert_int_equal(file_refill_commit(r, FILE_PREMIGRATED, true, &S.err), FILE_CHANGED);
    EXPECT(&S, "w2", FILE_MIGRATED, FILE_NOTE_STUB_CHANGED);
    char b[9] = "";
    auto_close int fd = open(path_of(&S, "w2"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(pread(fd, b, 8, 50000), 8);
    assert_string_equal(b, "precious");
}

static void a_full_disk_leaves_a_stub_that_recalls_later(void **state)
{
    (void)state;
    enum { BIG = 24 << 20 };
    struct uuid archive;
    struct file_id id = make_stub(&S, "full", BIG, 9, &archive);
    {
        auto_close int fd = open(path_of(&S, "filler"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        off_t at = 0;
        for (off_t step = 64 << 20; step >= 4 << 20;) {
            if (fallocate(fd, 0, at, step) == 0)
                at += step;
            else
                step /= 2;
        }
        assert_true(at > 0);
    }
    assert_int_equal(refill(&S, &id, &archive, 9, FILE_PREMIGRATED), -ENOSPC);
    EXPECT(&S, "full", FILE_MIGRATED, FILE_NOTE_NONE);
    assert_int_equal(unlink(path_of(&S, "filler")), 0);
    assert_int_equal(fs_sync(S.fs, &S.err), 0);
    assert_int_equal(refill(&S, &id, &archive, 9, FILE_PREMIGRATED), 0);
    assert_int_equal(first_wrong(&S, "full", BIG, 9), -1);
    assert_int_equal(unlink(path_of(&S, "full")), 0);
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
        cmocka_unit_test(outcomes_of_a_refill_are_named),
        cmocka_unit_test(an_aborted_refill_leaves_a_clean_stub),
        cmocka_unit_test(a_written_stub_is_never_overwritten),
        cmocka_unit_test(an_emptied_stub_is_resident),
        cmocka_unit_test(a_truncated_stub_gets_its_first_bytes_and_is_resident),
        cmocka_unit_test(a_truncated_stub_whose_refill_died_begins_anew),
        cmocka_unit_test(a_truncated_stub_that_was_written_to_is_left_alone),
        cmocka_unit_test(a_stub_that_was_made_longer_gets_all_its_bytes),
        cmocka_unit_test(a_write_during_a_refill_stops_it),
        cmocka_unit_test(a_full_disk_leaves_a_stub_that_recalls_later),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
