/* SPDX-License-Identifier: Apache-2.0 */
/* The documents of answers: an error, and a page of a list given to the code that reads pages. The
 * first byte says which form of list. */
#include "store/store_impl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int see(void *arg, const struct store_item *item, struct err *err)
{
    (void)err;
    char **last = arg;
    /* Keys grow and lie below the prefix, whatever the page says. */
    if (strncmp(item->key, "p", 1) != 0 || (*last != NULL && strcmp(*last, item->key) >= 0))
        abort();
    free(*last);
    *last = strdup(item->key);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct error_doc doc;
    if (size < 1)
        return 0;
    if (error_doc_parse(data + 1, size - 1, &doc) && doc.code[0] == '\0')
        abort();
    char *last = NULL;
    struct err err = {0};
    (void)list_read_page("p", (data[0] & 1) != 0, (const char *)data + 1, size - 1, see, &last,
                         &err);
    free(last);
    return 0;
}
