/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cleanup.h"
#include "base/io.h"
#include "conf/conf.h"

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
const char *__lsan_default_suppressions(void);

/* libconfig 1.5 leaks the string that it was reading when a syntax error ends the file. It reads
 * one file a run of a daemon, so that is no harm. */
const char *__lsan_default_suppressions(void)
{
    return "leak:libconfig.so";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_close int fd = memfd_create("firn.conf", MFD_CLOEXEC);
    if (fd < 0 || io_write_full(fd, data, size) < 0)
        return 0;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct err err = {0};
    auto_conf struct conf *c = NULL;
    (void)conf_load(path, &c, &err);
    return 0;
}
