/* SPDX-License-Identifier: Apache-2.0 */
/* A requester's data, and labels: a value never holds a comma; a label that is one is made again
 * from its parts. */
#include "lustre/hint.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char out[24];
    struct uuid id;
    struct lu_fid fid;
    char text[64];
    if (hint_get(data, size, "tag", out, sizeof(out)) == 0 && strchr(out, ',') != NULL)
        abort();
    (void)hint_key(data, size, &id);
    char *label = xstrndup((const char *)data, size);
    if (label_parse(label, &fid, NULL, NULL) == 0 &&
        strcmp(strrchr(label, '/') + 1, label_fid(&fid, text)) != 0)
        abort();
    free(label);
    return 0;
}
