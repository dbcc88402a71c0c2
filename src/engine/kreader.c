/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/kreader.h"

#include "base/cleanup.h"
#include "base/io.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Text of /proc/TID/NAME; "" when it is gone. */
static void proc_text(int32_t tid, const char *name, char *out, size_t cap)
{
    char path[64];
    out[0] = '\0';
    (void)snprintf(path, sizeof(path), "/proc/%d/%s", tid, name);
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, out, cap - 1);
    out[n > 0 ? (size_t)n : 0] = '\0';
}

bool kreader_of(int32_t tid, struct kreader *a)
{
    char text[2048];
    unsigned uid = 0;
    *a = (struct kreader){.uid = UINT32_MAX, .program = "?"};
    if (tid <= 0)
        return false;
    proc_text(tid, "status", text, sizeof(text));
    const char *tgid = strstr(text, "\nTgid:");
    const char *ids = strstr(text, "\nUid:");
    if (strncmp(text, "Name:", 5) != 0 || tgid == NULL || ids == NULL)
        return false;
    a->pid = (int32_t)strtol(tgid + 6, NULL, 10);
    // NOLINTNEXTLINE(cert-err34-c): the kernel wrote these numbers
    if (sscanf(ids + 5, "%*u %u", &uid) == 1) /* real, effective, saved, of files */
        a->uid = uid;
    proc_text(tid, "comm", text, sizeof(text));
    text[strcspn(text, "\n")] = '\0';
    if (text[0] != '\0')
        (void)snprintf(a->program, sizeof(a->program), "%.31s", text);
    return true;
}

/* openat2: flags are the first member of the structure that the third argument points to. */
static bool openat2_flags(int32_t tid, uint64_t how, uint64_t *flags)
{
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/%d/mem", tid);
    auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd >= 0 && io_pread_full(fd, flags, sizeof(*flags), (off_t)how) == sizeof(*flags);
}

/* Only calls that open are met here, so numbers of other architectures' calls cannot be mistaken
 * for these: a 32-bit program's open has none of them. */
bool kreader_truncates(int32_t tid)
{
    char text[256];
    long nr = -1;
    unsigned long long a[3] = {0};
    uint64_t flags = 0;
    proc_text(tid, "syscall", text, sizeof(text));
    // NOLINTNEXTLINE(cert-err34-c): the kernel wrote these numbers
    if (sscanf(text, "%ld %llx %llx %llx", &nr, &a[0], &a[1], &a[2]) != 4)
        return false;
    switch (nr) {
#ifdef SYS_creat
    case SYS_creat:
        return true;
#endif
#ifdef SYS_open
    case SYS_open:
        flags = a[1];
        break;
#endif
    case SYS_openat:
    case SYS_open_by_handle_at:
        flags = a[2];
        break;
    case SYS_openat2:
        if (!openat2_flags(tid, a[2], &flags))
            return false;
        break;
    default:
        return false;
    }
    return (flags & O_TRUNC) != 0;
}

bool kreader_is_nfsd(const struct kreader *a)
{
    return strcmp(a->program, "nfsd") == 0 && a->uid == 0;
}
