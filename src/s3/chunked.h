/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of HTTP's chunked transfer coding (RFC 9112, 7.1). It is fed any pieces of the stream and
 * gives slices of them; it copies and allocates nothing. One thread at a time.
 */
#ifndef S3_CHUNKED_H
#define S3_CHUNKED_H

#include <stddef.h>
#include <stdint.h>

#define CHUNKED_EXT_MAX 1024 /* bytes of a chunk's extensions */

/* What a decoder found in the bytes it was fed. */
enum decode_result {
    DECODE_MORE, /* all input is used up, give more */
    DECODE_DATA, /* a slice of data */
    DECODE_END,  /* the coding has ended; what follows is not its own */
    DECODE_BAD,  /* the stream is malformed */
};

struct chunked {
    int state;
    int digits;
    size_t ext;
    uint64_t left;
};

/* Begins a new stream. */
void chunked_init(struct chunked *c);

/* Uses some of n bytes of in; *used says how many. With DECODE_DATA the slice *data, *data_len
 * (> 0) points into in. Trailer fields are refused: nothing in S3 sends them. */
enum decode_result chunked_feed(struct chunked *c, const uint8_t *in, size_t n, size_t *used,
                                const uint8_t **data, size_t *data_len);

/* The value of a hex digit of either case, or -1. */
int chunked_hex(uint8_t c);

#endif
