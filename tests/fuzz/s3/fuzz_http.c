/* SPDX-License-Identifier: Apache-2.0 */
/* A request head and its target: whatever comes in pieces is understood as when it comes at once.
 */
#include "base/mem.h"
#include "s3/http.h"
#include "s3/uri.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_head(const struct http_head *h)
{
    if (h->host == NULL || h->target[0] != '/' || (h->chunked && h->content_length >= 0))
        abort();
    for (size_t i = 0; i < h->n_headers; i++) {
        if (h->headers[i].name[0] == '\0' || strpbrk(h->headers[i].value, "\r\n") != NULL)
            abort();
    }
    struct uri u;
    if (uri_parse(h->target, h->host, "s3.example", &u) != S3_ERR_NONE)
        return;
    auto_buf struct buf b = {0};
    uri_canonical_path(&b, u.raw_path);
    uri_canonical_query(&b, u.params, u.n_params, "X-Amz-Signature");
    uri_fini(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > HTTP_HEAD_MAX)
        return 0;
    char *buf = xzalloc(size);
    memcpy(buf, data, size);
    size_t pos = 0, step_pos = 0;
    int len = http_head_scan(buf, size, &pos), stepped = 0;
    for (size_t n = 1; n <= size && stepped == 0; n++)
        stepped = http_head_scan(buf, n, &step_pos);
    if (stepped != len)
        abort();
    struct http_head h;
    if (len > 0) {
        if (http_head_parse(buf, (size_t)len, &h, NULL) == S3_ERR_NONE)
            check_head(&h);
        http_head_fini(&h);
    }
    free(buf);
    return 0;
}
