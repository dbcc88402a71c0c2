/* SPDX-License-Identifier: Apache-2.0 */
/* The two chunked decoders, stacked: however the bytes are split, the data and the verdict are the
 * same. The first byte of the input picks the form and the piece's size. */
#include "base/buf.h"
#include "s3/awschunk.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct verdict {
    enum decode_result http, aws;
    struct buf data;
};

/* Feeds a slice of HTTP payload to the inner decoder. */
static void feed_inner(struct awschunk *a, struct verdict *v, const uint8_t *p, size_t n)
{
    while (n > 0 && v->aws <= DECODE_DATA) {
        size_t used = 0, len = 0;
        const uint8_t *data = NULL;
        v->aws = awschunk_feed(a, p, n, &used, &data, &len);
        if (v->aws == DECODE_DATA)
            buf_add(&v->data, data, len);
        p += used;
        n -= used;
    }
}

static void run(struct verdict *v, int form, const uint8_t *in, size_t size, size_t step)
{
    static const struct sigv4 auth = {
        .amz_date = "20130524T000000Z",
        .scope = "20130524/us-east-1/s3/aws4_request",
        .signature = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        .key = {0xdb, 0xb8, 0x93, 0xac, 0xc0, 0x10, 0x96, 0x49, 0x18, 0xf1, 0xfd,
                0x43, 0x3a, 0xdd, 0x87, 0xc7, 0x0e, 0x8b, 0x0d, 0xb6, 0xbe, 0x30,
                0xc1, 0xfb, 0xea, 0xfe, 0xfa, 0x5e, 0xc6, 0xba, 0x83, 0x78}};
    static const enum s3_payload forms[] = {S3_PAYLOAD_STREAM, S3_PAYLOAD_STREAM_TRAILER,
                                            S3_PAYLOAD_STREAM_UNSIGNED_TRAILER};
    struct chunked c;
    struct awschunk a;
    memset(v, 0, sizeof(*v));
    chunked_init(&c);
    awschunk_init(&a, forms[form % 3], &auth, form % 3 > 0 ? "x-amz-checksum-crc32" : NULL);
    for (size_t i = 0; i < size && v->http <= DECODE_DATA && v->aws <= DECODE_DATA; i += step) {
        size_t n = size - i < step ? size - i : step, off = 0;
        while (off < n && v->http <= DECODE_DATA) {
            size_t used = 0, len = 0;
            const uint8_t *data = NULL;
            v->http = chunked_feed(&c, in + i + off, n - off, &used, &data, &len);
            if (v->http == DECODE_DATA)
                feed_inner(&a, v, data, len);
            off += used;
        }
    }
    if (v->aws == DECODE_BAD && a.error == S3_ERR_NONE)
        abort();
    awschunk_fini(&a);
}

/* Data and "more" only tell where the input was cut. */
static enum decode_result settled(enum decode_result r)
{
    return r == DECODE_DATA ? DECODE_MORE : r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct verdict whole, pieces;
    run(&whole, data[0], data + 1, size - 1, size - 1);
    run(&pieces, data[0], data + 1, size - 1, (size_t)(data[0] / 3) % 17 + 1);
    /* After the inner decoder gave up, how far the outer one went depends on the pieces. */
    if (settled(whole.aws) != settled(pieces.aws) || whole.data.len != pieces.data.len ||
        (whole.data.len > 0 && memcmp(whole.data.data, pieces.data.data, whole.data.len) != 0))
        abort();
    buf_fini(&whole.data);
    buf_fini(&pieces.data);
    return 0;
}
