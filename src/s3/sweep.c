/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/sweep.h"

#include "base/mem.h"
#include "s3/ops_impl.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

struct swept {
    struct swept *next;
    char name[S3_NAME_MAX];
};

static bool first_time(struct s3_ops *ops, const char *name)
{
    lock_scope(&ops->swept_lock);
    for (struct swept *s = ops->swept; s != NULL; s = s->next)
        if (strcmp(s->name, name) == 0)
            return false;
    struct swept *s = xzalloc(sizeof *s);
    (void)snprintf(s->name, sizeof s->name, "%s", name);
    s->next = ops->swept;
    ops->swept = s;
    return true;
}

void sweep_once(struct s3_call *c)
{
    if (!first_time(c->ops, c->bucket->name))
        return;
    int fd = beneath_open(c->dir, TEMP_DIR, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return;
    auto_closedir DIR *d = fdopendir(fd);
    if (d == NULL) {
        (void)close(fd);
        return;
    }
    time_t now = time(NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        struct stat st;
        if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            now - st.st_ctim.tv_sec >= SWEEP_AGE_S)
            (void)unlinkat(fd, e->d_name, 0);
    }
}

void sweep_fini(struct s3_ops *ops)
{
    while (ops->swept != NULL) {
        struct swept *next = ops->swept->next;
        free(ops->swept);
        ops->swept = next;
    }
}
