/* SPDX-License-Identifier: Apache-2.0 */
/* Header lines of an answer: any bytes, line by line; what is kept is bounded and consistent. */
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct head h = {0};
    head_reset(&h);
    for (size_t i = 0; i < size;) {
        const uint8_t *nl = memchr(data + i, '\n', size - i);
        size_t n = nl != NULL ? (size_t)(nl - data) - i + 1 : size - i;
        head_line(&h, (const char *)data + i, n);
        i += n;
    }
    head_end(&h);
    size_t kept = 0;
    for (size_t i = 0; i < h.reply.nmeta; i++) {
        kept += strlen(h.reply.meta[i].name) + strlen(h.reply.meta[i].value);
        if (i > 0 && strcmp(h.reply.meta[i - 1].name, h.reply.meta[i].name) > 0)
            abort();
    }
    if (kept > HEAD_BYTES_MAX || (h.has_range && h.range_from > h.range_to) || h.length < -1)
        abort();
    if (h.reply.etag_is_md5 && strlen(h.reply.etag) != 32)
        abort();
    head_fini(&h);
    return 0;
}
