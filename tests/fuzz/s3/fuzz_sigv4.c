/* SPDX-License-Identifier: Apache-2.0 */
/* The authentication fields of a request, in the header and in the query. A signature that was not
 * made with the secret is never accepted: the corpus holds the published good ones, and only their
 * exact signatures may pass. */
#include "base/mem.h"
#include "s3/http.h"
#include "s3/sigv4.h"
#include "s3/uri.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define NOW_NS 1369353600000000000LL /* 2013-05-24T00:00:00Z */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void authenticate(struct http_head *h, const struct uri *u)
{
    static const char *const names[] = {"GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS"};
    struct sigv4_input in = {.method = names[h->method],
                             .raw_path = u->raw_path,
                             .params = u->params,
                             .n_params = u->n_params,
                             .headers = h->headers,
                             .n_headers = h->n_headers,
                             .region = "us-east-1",
                             .now_ns = NOW_NS};
    struct sigv4 s;
    struct s3_fail fail;
    if (sigv4_parse(&in, &s, &fail) != S3_ERR_NONE || s.anonymous)
        return;
    if (strstr(s.signed_headers, "host") == NULL || strncmp(s.scope, s.amz_date, 8) != 0)
        abort();
    if (sigv4_verify(&in, &s, SECRET, NULL, &fail) == S3_ERR_NONE &&
        sigv4_verify(&in, &s, "another secret", NULL, &fail) == S3_ERR_NONE)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > HTTP_HEAD_MAX)
        return 0;
    char *buf = xzalloc(size);
    memcpy(buf, data, size);
    size_t pos = 0;
    int len = http_head_scan(buf, size, &pos);
    struct http_head h;
    struct uri u;
    if (len > 0) {
        if (http_head_parse(buf, (size_t)len, &h, NULL) == S3_ERR_NONE &&
            uri_parse(h.target, h.host, "s3.amazonaws.com", &u) == S3_ERR_NONE) {
            authenticate(&h, &u);
            uri_fini(&u);
        }
        http_head_fini(&h);
    }
    free(buf);
    return 0;
}
