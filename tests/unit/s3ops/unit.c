/* SPDX-License-Identifier: Apache-2.0 */
#include "unit.h"

#include <dirent.h>

int dir_init(void **state)
{
    struct dir *d = calloc(1, sizeof *d);
    if (d == NULL)
        return -1;
    (void)strncpy(d->path, "s3ops-test-XXXXXX", sizeof d->path - 1);
    *state = d;
    if (mkdtemp(d->path) == NULL)
        return -1;
    d->fd = open(d->path, O_RDONLY | O_DIRECTORY);
    return d->fd >= 0 ? 0 : -1;
}

static int remove_tree(int dir)
{
    DIR *d = fdopendir(dup(dir));
    rewinddir(d);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        int sub = openat(dir, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (sub >= 0) {
            (void)remove_tree(sub);
            (void)close(sub);
            (void)unlinkat(dir, e->d_name, AT_REMOVEDIR);
        } else {
            (void)unlinkat(dir, e->d_name, 0);
        }
    }
    return closedir(d);
}

int dir_fini(void **state)
{
    struct dir *d = *state;
    (void)remove_tree(d->fd);
    (void)close(d->fd);
    (void)rmdir(d->path);
    free(d);
    return 0;
}
