/* SPDX-License-Identifier: Apache-2.0 */
/* Index text: refused with a reason, or a tree that is written and read back the same. */
#include "tape/ltfs_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char letters[DRIVE_PARTITIONS] = {'a', 'b'};

static int collect(void *arg, const void *data, size_t len, struct err *err)
{
    (void)err;
    buf_add(arg, data, len);
    return 0;
}

static int parse(const void *data, size_t len, struct ltfs_index *ix)
{
    struct err err = {0};
    struct ltfs_parser *p = ltfs_parser_new(ix, letters, LTFS_BLOCKSIZE, false);
    const char *bytes = data;
    size_t half = len / 2;
    int rc = ltfs_parser_feed(p, bytes, half, false, &err);
    if (rc == 0)
        rc = ltfs_parser_feed(p, bytes + half, len - half, true, &err);
    ltfs_parser_free(p);
    if (rc < 0 && err.text[0] == '\0')
        abort(); /* refused without a reason */
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ltfs_index ix = {0};
    struct ltfs_index again = {0};
    struct buf first = {0};
    struct buf second = {0};

    if (parse(data, size, &ix) == 0) {
        (void)ltfs_xml_write(&ix, letters, 500, collect, &first, NULL);
        if (parse(first.data, first.len, &again) != 0)
            abort();
        (void)ltfs_xml_write(&again, letters, LTFS_BLOCKSIZE, collect, &second, NULL);
        if (first.len != second.len || memcmp(first.data, second.data, first.len) != 0)
            abort();
    }
    ltfs_index_fini(&ix);
    ltfs_index_fini(&again);
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
