/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records of the stager's lists, which come from other programs. The first byte chooses the form.
 * What comes out is an absolute path without NUL bytes, or a FID that reads back.
 */
#include "base/cleanup.h"
#include "lustre/action.h"
#include "lustre/stager.h"
#include "lustre/stager_list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stager_record rec;
    struct err err = {0};
    auto_buf struct buf store = {0};
    if (size == 0)
        return 0;
    char *line = malloc(size); /* exact room, so that a read beyond it is seen */
    assert(line != NULL);
    memcpy(line, data + 1, size - 1);
    int rc = stager_record_parse(line, size - 1, (data[0] & 1) != 0, "/cwd", &store, &rec, &err);
    if (rc > 0 && rec.path != NULL) {
        assert(rec.path[0] == '/');
        assert(strlen(rec.path) <= size + strlen("/cwd/"));
    } else if (rc > 0) {
        char text[FID_TEXT_MAX];
        struct lu_fid again;
        assert(fid_parse(fid_text(&rec.fid, text), &again) == 0);
        assert(memcmp(&again, &rec.fid, sizeof(again)) == 0);
    } else {
        assert(rc == 0 || err.text[0] != '\0');
    }
    line[size - 1] = '\0';
    if (strlen(line) == size - 1)
        (void)stager_data_check(line, &err);
    free(line);
    return 0;
}
