/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of list files, which come from other programs: every path that comes out is either the
 * line itself or lies behind " -- " and is no longer than it.
 */
#include "cmd/cmd_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *line = malloc(size + 1); /* exact room, so that a read beyond it is seen */
    assert(line != NULL);
    if (size > 0)
        memcpy(line, data, size);
    line[size] = '\0';
    auto_free char *path = cmd_path_of_line(line);
    if (path != NULL) {
        assert(strcmp(path, line) == 0 || strstr(line, " -- ") != NULL);
        assert(strlen(path) <= strlen(line));
        auto_free char *absolute = cmd_path_absolute(path);
        assert(absolute[0] == '/');
    } else {
        assert(line[strspn(line, " \t")] == '\0');
    }
    int64_t bytes = -1;
    assert(cmd_parse_size(line, &bytes) != 0 || bytes >= 0);
    free(line);
    return 0;
}
