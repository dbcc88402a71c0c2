/* SPDX-License-Identifier: Apache-2.0 */
/* Layout blobs: what is accepted comes out as long as its headers say, and again unchanged. */
#include "lustre/layout.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    void *out = NULL, *again = NULL;
    size_t n = 0, n2 = 0;
    int rc = layout_prepare(data, size, &out, &n, &err);
    if (rc < 0 && err.text[0] == '\0')
        abort();
    if (rc == 0 &&
        (layout_prepare(out, n, &again, &n2, &err) != 0 || n2 != n || memcmp(out, again, n) != 0))
        abort();
    free(out);
    free(again);
    return 0;
}
