/* SPDX-License-Identifier: Apache-2.0 */
/* Request bodies in XML: a tree that was given keeps its bounds, one that was refused leaks
 * nothing.
 */
#include "codec/xml.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ELEMENTS_MAX 200

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct xml *x)
{
    size_t n = 0;
    for (; x != NULL; x = x->next) {
        if (x->name[0] == '\0' || x->text == NULL)
            abort();
        n += 1 + count(x->child);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    auto_xml struct xml *root = NULL;
    if (xml_parse(data, size, ELEMENTS_MAX, S3_XML_NS, &root, &err) < 0) {
        if (root != NULL || err.text[0] == '\0')
            abort();
        return 0;
    }
    int64_t v = 0;
    (void)xml_int(root, "Days", &v);
    if (root->next != NULL || count(root) > ELEMENTS_MAX)
        abort();
    return 0;
}
