/* SPDX-License-Identifier: Apache-2.0 */
/* Where the build found no libbpf or no compiler for BPF. */
#include "watch/guard.h"

#include <errno.h>

int guard_install(const char *dir, struct err *err)
{
    (void)dir;
    return err_set(err, -ENOTSUP, "firn was built without the guard (libbpf and clang make it)");
}
