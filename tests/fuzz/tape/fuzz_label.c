/* SPDX-License-Identifier: Apache-2.0 */
/* Labels: 80 bytes are VOL1, anything else XML; refused, or written and read back the same. */
#include "tape/ltfs_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_xml(const uint8_t *data, size_t size)
{
    struct ltfs_label l = {.version = ""};
    struct ltfs_label again = {.version = ""};
    struct buf b = {0};
    const char *what;

    if (ltfs_label_parse_xml(data, size, &l, NULL) == 0) {
        ltfs_label_make_xml(&l, &b);
        if (ltfs_label_parse_xml(b.data, b.len, &again, NULL) != 0)
            abort();
        again.location = l.location == l.index_letter ? l.data_letter : l.index_letter;
        if (!ltfs_label_same(&l, &again, &what))
            abort();
    }
    buf_fini(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ltfs_label l = {.version = ""};
    char vol1[LTFS_VOL1_BYTES];

    if (size == LTFS_VOL1_BYTES) {
        if (ltfs_label_parse_vol1(data, size, &l, NULL) == 0) {
            ltfs_label_make_vol1(l.volume_id, vol1);
            if (ltfs_label_parse_vol1(vol1, sizeof(vol1), &l, NULL) != 0)
                abort();
        }
    } else {
        try_xml(data, size);
    }
    return 0;
}
