/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz harness over every file of the corpus directories given: the corpus as an ordinary
 * test. */
#include "base/cleanup.h"
#include "base/io.h"
#include "base/mem.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Runs all files of directory path. Returns their number, or -1. */
static int replay(const char *path)
{
    auto_closedir DIR *d = opendir(path);
    if (d == NULL) {
        perror(path);
        return -1;
    }
    int n = 0;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        if (e->d_name[0] == '.')
            continue;
        auto_free char *data = NULL;
        size_t len = 0;
        struct err err = {0};
        if (io_read_file(dirfd(d), e->d_name, 1 << 20, &data, &len, &err) < 0) {
            (void)fprintf(stderr, "%s/%s: %s\n", path, e->d_name, err.text);
            return -1;
        }
        (void)LLVMFuzzerTestOneInput((const uint8_t *)data, len);
        n++;
    }
    return n;
}

int main(int argc, char **argv)
{
    int total = 0;
    for (int i = 1; i < argc; i++) {
        int n = replay(argv[i]);
        if (n < 0)
            return 1;
        total += n;
    }
    (void)printf("%d inputs replayed\n", total);
    return total > 0 ? 0 : 1;
}
