/* SPDX-License-Identifier: Apache-2.0 */
/* A managed file system and its files' identities, on a real one: argv[1] says which kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fixture.h"

#include "base/cleanup.h"
#include "file/file_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct site S;
static const char *kind; /* argv[1] */

static void the_file_system_has_a_kind_and_a_stable_identity(void **state)
{
    (void)state;
    static const struct uuid zero;
    assert_string_equal(fs_kind_name(fs_kind(S.fs)), strncmp(kind, "ext4", 4) == 0 ? "ext4" : kind);
    struct uuid before = fs_uuid(S.fs), own;
    assert_memory_not_equal(&before, &zero, sizeof(zero));
    /* The older ioctl of each file system says the same as the general one. */
    assert_int_equal(fs_read_uuid_own(fs_root_fd(S.fs), fs_kind(S.fs), &own), 0);
    assert_memory_equal(&before, &own, sizeof(own));
    site_remount(&S, false);
    struct uuid after = fs_uuid(S.fs);
    assert_memory_equal(&before, &after, sizeof(after));
}

static void the_generation_is_the_kernels(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "gen", 10, 1);
    auto_close int fd = open(path_of(&S, "gen"), O_RDONLY | O_CLOEXEC);
    int gen = 0;
    assert_int_equal(ioctl(fd, FS_IOC_GETVERSION, &gen), 0);
    assert_int_equal(id.gen, (uint32_t)gen);
}

static void a_file_is_found_by_its_identity_after_a_rename(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "old-name", 10, 1), got;
    assert_int_equal(mkdir(path_of(&S, "dir"), 0755), 0);
    assert_int_equal(rename(path_of(&S, "old-name"), path_of(&S, "dir/new")), 0);
    auto_close int fd = fs_open_id(S.fs, &id, O_RDONLY, &S.err);
    assert_true(fd >= 0);
    assert_int_equal(fs_identify(S.fs, fd, &got, NULL, &S.err), 0);
    assert_true(file_id_equal(&id, &got));
    auto_free char *path = NULL;
    assert_int_equal(fs_path_of(S.fs, &id, &path, &S.err), 0);
    assert_string_equal(path, "dir/new");
    assert_int_equal(unlink(path_of(&S, "dir/new")), 0);
    (void)close(take_fd(fd));
    assert_int_equal(fs_open_id(S.fs, &id, O_RDONLY, &S.err), -ESTALE);
    struct file_info i;
    assert_int_equal(file_inspect_id(S.fs, &id, &i, &S.err), FILE_GONE);
}

static void paths_do_not_leave_the_file_system(void **state)
{
    (void)state;
    assert_int_equal(symlink("/etc/passwd", path_of(&S, "evil")), 0);
    assert_int_equal(symlink("..", path_of(&S, "up")), 0);
    assert_true(fs_open_path(S.fs, "../image", O_RDONLY, &S.err) < 0);
    assert_int_equal(fs_open_path(S.fs, "up/image", O_RDONLY, &S.err), -EXDEV);
    assert_int_equal(fs_open_path(S.fs, "evil", O_RDONLY, &S.err), -ELOOP);
    assert_non_null(strstr(S.err.text, "evil"));
    assert_true(fs_open_path(S.fs, "/etc/passwd", O_RDONLY, &S.err) < 0);
    struct file_info i;
    assert_int_equal(inspect(&S, "evil", &i), FILE_NOT_REGULAR);
    assert_int_equal(inspect(&S, ".", &i), FILE_NOT_REGULAR);
    assert_int_equal(inspect(&S, "nowhere", &i), -ENOENT);
    char path[200];
    (void)snprintf(path, sizeof(path), "%s/a/b", S.loop.mnt);
    assert_string_equal(fs_relative(S.fs, path), "a/b");
    assert_string_equal(fs_relative(S.fs, S.loop.mnt), ".");
    assert_null(fs_relative(S.fs, "/elsewhere"));
    (void)snprintf(path, sizeof(path), "%sx/a", S.loop.mnt);
    assert_null(fs_relative(S.fs, path));
}

static void another_file_systems_identity_is_refused(void **state)
{
    (void)state;
    struct file_id id = make_file(&S, "mine", 10, 1);
    id.fs.b[3] ^= 1;
    assert_int_equal(fs_open_id(S.fs, &id, O_RDONLY, &S.err), -EINVAL);
    auto_close int fd = open("/proc/version", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_identify(S.fs, fd, &id, NULL, &S.err), -EXDEV);
}

static void a_subvolume_is_a_file_system_of_its_own(void **state)
{
    (void)state;
    if (strcmp(kind, "btrfs") != 0)
        return; /* no such thing on this kind */
    struct btrfs_ioctl_vol_args a = {.name = "sub"};
    assert_int_equal(ioctl(fs_root_fd(S.fs), BTRFS_IOC_SUBVOL_CREATE, &a), 0);
    struct site sub = {.loop = S.loop};
    (void)snprintf(sub.loop.mnt, sizeof(sub.loop.mnt), "%s", path_of(&S, "sub"));
    assert_int_equal(fs_open(sub.loop.mnt, &sub.fs, &S.err), 0);
    struct file_id id = make_file(&sub, "inside", 10, 1);
    struct file_info i;
    assert_int_equal(inspect(&S, "sub/inside", &i), -EXDEV);
    struct uuid top = fs_uuid(S.fs), own = fs_uuid(sub.fs);
    assert_memory_not_equal(&top, &own, sizeof(top));
    assert_int_equal(inspect(&sub, "inside", &i), 0);
    assert_int_equal(fs_open_id(S.fs, &id, O_RDONLY, &S.err), -EINVAL);
    fs_close(sub.fs);
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
        cmocka_unit_test(the_file_system_has_a_kind_and_a_stable_identity),
        cmocka_unit_test(the_generation_is_the_kernels),
        cmocka_unit_test(a_file_is_found_by_its_identity_after_a_rename),
        cmocka_unit_test(paths_do_not_leave_the_file_system),
        cmocka_unit_test(another_file_systems_identity_is_refused),
        cmocka_unit_test(a_subvolume_is_a_file_system_of_its_own),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, up, down);
}
