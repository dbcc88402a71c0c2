/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials files: any bytes; what is accepted is whole, what is refused leaves nothing behind
 * and no part of the file in the text but names of profiles. */
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct creds_value v = {0};
    int64_t expires = 0;
    struct err err = {0};
    int rc = creds_parse((const char *)data, size, "default", &v, &expires, &err);
    if (rc == 0 && (v.access_key == NULL || v.access_key[0] == '\0' || v.secret_key == NULL ||
                    v.secret_key[0] == '\0' || (v.token != NULL && v.token[0] == '\0')))
        abort();
    if (rc < 0 && (v.access_key != NULL || err.text[0] == '\0'))
        abort();
    creds_value_fini(&v);
    return 0;
}
