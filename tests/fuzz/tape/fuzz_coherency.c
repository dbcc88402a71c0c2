/* SPDX-License-Identifier: Apache-2.0 */
/* Attribute 080C: refused, or packed and unpacked the same. */
#include "tape/ltfs_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ltfs_coherency c;
    struct ltfs_coherency again;
    uint8_t raw[LTFS_COHERENCY_BYTES];

    memset(&c, 0, sizeof(c));
    memset(&again, 0, sizeof(again));
    if (ltfs_coherency_unpack(data, size, &c) != 0)
        return 0;
    ltfs_coherency_pack(&c, raw);
    if (ltfs_coherency_unpack(raw, sizeof(raw), &again) != 0 || memcmp(&c, &again, sizeof(c)) != 0)
        abort();
    return 0;
}
