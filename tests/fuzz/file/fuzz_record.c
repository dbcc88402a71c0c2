/* SPDX-License-Identifier: Apache-2.0 */
/* The state record: whatever decodes must encode to the same bytes; a sealed mutation of any input
 * reaches the checks behind the checksum. */
#include "codec/crc.h"
#include "file/file.h"
#include "file/record.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_bytes(const uint8_t *data, size_t size)
{
    struct file_record r;
    struct err err = {0};
    uint8_t again[FILE_RECORD_BYTES];
    if (file_record_decode(data, size, &r, &err) == 0) {
        file_record_encode(&r, again);
        if (size != sizeof(again) || memcmp(again, data, size) != 0)
            abort();
    } else if (err.code == 0 || err.text[0] == '\0') {
        abort();
    }
    struct uuid archive;
    (void)file_state_of(data, size, 1, 1, 1, &archive);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try_bytes(data, size);
    if (size >= FILE_RECORD_BYTES) {
        uint8_t b[FILE_RECORD_BYTES];
        memcpy(b, data, sizeof(b));
        uint32_t crc = crc32c_update(0, b, 56);
        for (int i = 0; i < 4; i++)
            b[56 + i] = (uint8_t)(crc >> (8 * i));
        try_bytes(b, sizeof(b));
    }
    return 0;
}
