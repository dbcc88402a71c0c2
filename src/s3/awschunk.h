/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoder of the aws-chunked content coding with its signatures and trailer (S3 API Reference,
 * "Transferring payload in multiple chunks", with and without trailing headers). It is fed any
 * pieces of the stream, after HTTP's own coding is gone, and gives slices of them. One thread at a
 * time.
 */
#ifndef S3_AWSCHUNK_H
#define S3_AWSCHUNK_H

#include "s3/chunked.h"
#include "s3/req.h"
#include "s3/sigv4.h"

#include <stdbool.h>

#define AWSCHUNK_LINE_MAX 512 /* bytes of a chunk's head or of a trailer line */

struct digest;

struct awschunk {
    int state;
    bool is_signed, has_trailer;
    const struct sigv4 *auth;   /* borrowed; key, date and scope of the signatures */
    char trailer_name[64];      /* announced, lower case */
    char trailer_value[128];    /* received; "" until then */
    char trailer_signature[65]; /* received; "" until then */
    char previous[65];          /* the signature before */
    char chunk_signature[65];   /* the one that this chunk's head claims */
    struct digest *hash;        /* of this chunk's data; NULL when unsigned */
    uint64_t left;              /* of this chunk's data */
    int64_t total;              /* data so far */
    char line[AWSCHUNK_LINE_MAX];
    size_t line_len;
    enum s3_error error; /* after DECODE_BAD */
    const char *why;     /* static text, may be NULL */
};

/*
 * Begins a stream of the form that payload names. auth (borrowed) is the verified signature of the
 * request, whose signature is the seed; NULL only for the unsigned form. trailer: the name that
 * x-amz-trailer announced in lower case, or NULL. Free with awschunk_fini.
 */
void awschunk_init(struct awschunk *a, enum s3_payload payload, const struct sigv4 *auth,
                   const char *trailer);

/* Frees what a owns. */
void awschunk_fini(struct awschunk *a);

/*
 * As chunked_feed(). Data of a signed chunk is handed out before its signature is known: nothing
 * counts before DECODE_END, which says that every chunk, the last one of size 0 and the trailer
 * were there and well signed. After DECODE_BAD, a->error and a->why say what was wrong.
 */
enum decode_result awschunk_feed(struct awschunk *a, const uint8_t *in, size_t n, size_t *used,
                                 const uint8_t **data, size_t *data_len);

#endif
