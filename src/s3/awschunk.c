/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/awschunk.h"

#include "base/buf.h"
#include "codec/digest.h"
#include "codec/encode.h"
#include "codec/sign.h"

#include <stdio.h>
#include <string.h>

#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

enum {
    AT_HEAD, /* "hex[;chunk-signature=...]" CRLF */
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_TRAILER, /* lines, ended by an empty one */
    AT_DONE,
    AT_BAD,
};

static int bad(struct awschunk *a, enum s3_error e, const char *why)
{
    a->error = e;
    a->why = why;
    return AT_BAD;
}

void awschunk_init(struct awschunk *a, enum s3_payload payload, const struct sigv4 *auth,
                   const char *trailer)
{
    memset(a, 0, sizeof(*a));
    a->state = AT_HEAD;
    a->is_signed = payload != S3_PAYLOAD_STREAM_UNSIGNED_TRAILER;
    a->has_trailer = payload != S3_PAYLOAD_STREAM;
    a->auth = auth;
    if (trailer != NULL)
        (void)snprintf(a->trailer_name, sizeof(a->trailer_name), "%s", trailer);
    if (a->is_signed) {
        memcpy(a->previous, auth->signature, sizeof(a->previous));
        a->hash = digest_new(DIGEST_SHA256);
    }
}

void awschunk_fini(struct awschunk *a)
{
    digest_free(a->hash);
    a->hash = NULL;
}

/* Checks a claimed signature over the previous one and the hash of d's data, and moves on to it. */
static bool check_signature(struct awschunk *a, const char *algorithm, bool with_empty,
                            const char *claimed)
{
    uint8_t value[DIGEST_MAX];
    char hex[65], want[65], text[512];
    (void)digest_final(a->hash, value);
    digest_reset(a->hash);
    encode_hex(value, 32, hex);
    int n = snprintf(text, sizeof(text), "%s\n%s\n%s\n%s\n%s%s%s", algorithm, a->auth->amz_date,
                     a->auth->scope, a->previous, with_empty ? EMPTY_SHA256 : "",
                     with_empty ? "\n" : "", hex);
    sign_text(a->auth->key, text, (size_t)n, want);
    memcpy(a->previous, want, sizeof(want));
    return sigv4_same(want, claimed);
}

static int end_of_chunk(struct awschunk *a)
{
    if (!a->is_signed || check_signature(a, "AWS4-HMAC-SHA256-PAYLOAD", true, a->chunk_signature))
        return AT_HEAD;
    return bad(a, S3_ERR_SIGNATURE_DOES_NOT_MATCH, "A chunk's signature does not match");
}

/* The chunk's size; *end is the first character behind it. Returns 0, or -1. */
static int parse_size(const char *line, uint64_t *size, const char **end)
{
    uint64_t v = 0;
    int n = 0;
    for (; chunked_hex((uint8_t)line[n]) >= 0; n++) {
        if (n == 15) /* 2^60 bytes are no object */
            return -1;
        v = v * 16 + (uint64_t)chunked_hex((uint8_t)line[n]);
    }
    if (n == 0 || (n > 1 && line[0] == '0'))
        return -1;
    *size = v;
    *end = line + n;
    return 0;
}

static int head_line(struct awschunk *a)
{
    static const char ext[] = ";chunk-signature=";
    const char *p = NULL;
    if (parse_size(a->line, &a->left, &p) < 0)
        return bad(a, S3_ERR_INVALID_CHUNK_SIZE_ERROR, "A chunk's size is malformed");
    if (!a->is_signed) {
        if (*p != '\0')
            return bad(a, S3_ERR_INVALID_CHUNK_SIZE_ERROR,
                       "A chunk of an unsigned body carries an extension");
    } else {
        if (strncmp(p, ext, sizeof(ext) - 1) != 0 || strlen(p + sizeof(ext) - 1) != 64)
            return bad(a, S3_ERR_SIGNATURE_DOES_NOT_MATCH,
                       "A chunk of a signed body carries no signature");
        memcpy(a->chunk_signature, p + sizeof(ext) - 1, 65);
    }
    if (a->left > 0)
        return AT_DATA;
    return end_of_chunk(a) == AT_BAD ? AT_BAD : AT_TRAILER;
}

/* The empty line: everything that was announced must have come. */
static int end_of_trailer(struct awschunk *a)
{
    if (a->trailer_name[0] == '\0')
        return AT_DONE;
    if (a->trailer_value[0] == '\0')
        return bad(a, S3_ERR_MALFORMED_TRAILER, "The announced trailer is missing");
    if (!a->is_signed)
        return AT_DONE;
    if (a->trailer_signature[0] == '\0')
        return bad(a, S3_ERR_MALFORMED_TRAILER, "The trailer's signature is missing");
    char line[256];
    int n = snprintf(line, sizeof(line), "%s:%s\n", a->trailer_name, a->trailer_value);
    digest_reset(a->hash);
    digest_update(a->hash, line, (size_t)n);
    if (!check_signature(a, "AWS4-HMAC-SHA256-TRAILER", false, a->trailer_signature))
        return bad(a, S3_ERR_SIGNATURE_DOES_NOT_MATCH, "The trailer's signature does not match");
    return AT_DONE;
}

/* Copies a trailer's value once; blanks at its ends go. */
static int keep(struct awschunk *a, const char *value, char *to, size_t cap)
{
    value += strspn(value, " \t");
    size_t n = strlen(value);
    while (n > 0 && (value[n - 1] == ' ' || value[n - 1] == '\t'))
        n--;
    if (to[0] != '\0' || n == 0 || n >= cap)
        return bad(a, S3_ERR_MALFORMED_TRAILER, "A trailer is repeated, empty or too long");
    memcpy(to, value, n);
    to[n] = '\0';
    return AT_TRAILER;
}

static int trailer_line(struct awschunk *a)
{
    if (a->line_len == 0)
        return end_of_trailer(a);
    char *colon = strchr(a->line, ':');
    if (!a->has_trailer || colon == NULL)
        return bad(a, S3_ERR_MALFORMED_TRAILER, "Unexpected bytes follow the last chunk");
    *colon = '\0';
    for (char *p = a->line; *p != '\0'; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    if (a->trailer_name[0] != '\0' && strcmp(a->line, a->trailer_name) == 0)
        return keep(a, colon + 1, a->trailer_value, sizeof(a->trailer_value));
    if (a->is_signed && strcmp(a->line, "x-amz-trailer-signature") == 0)
        return keep(a, colon + 1, a->trailer_signature, sizeof(a->trailer_signature));
    return bad(a, S3_ERR_MALFORMED_TRAILER, "A trailer came that was not announced");
}

/* One byte of a line. Lines end in CRLF; some clients put one LF of their own before the CRLF of a
 * trailer line, which says nothing and is dropped. */
static int line_byte(struct awschunk *a, uint8_t b)
{
    enum s3_error e =
        a->state == AT_HEAD ? S3_ERR_INVALID_CHUNK_SIZE_ERROR : S3_ERR_MALFORMED_TRAILER;
    size_t n = a->line_len;
    if (b == '\n' && n > 0 && a->line[n - 1] == '\r') {
        n--;
        if (a->state == AT_TRAILER && n > 0 && a->line[n - 1] == '\n')
            n--;
        a->line[n] = '\0';
        a->line_len = n;
        int next = memchr(a->line, '\r', n) != NULL || memchr(a->line, '\n', n) != NULL ||
                           strlen(a->line) != n
                       ? bad(a, e, "A line holds a control character")
                   : a->state == AT_HEAD ? head_line(a)
                                         : trailer_line(a);
        a->line_len = 0;
        return next;
    }
    if (n + 1 >= sizeof(a->line))
        return bad(a, e, "A line is too long");
    a->line[a->line_len++] = (char)b;
    return a->state;
}

static int frame_byte(struct awschunk *a, uint8_t b)
{
    switch (a->state) {
    case AT_DATA_CR:
        return b == '\r' ? AT_DATA_LF
                         : bad(a, S3_ERR_INVALID_CHUNK_SIZE_ERROR,
                               "A chunk's data is not followed by CRLF");
    case AT_DATA_LF:
        if (b != '\n')
            return bad(a, S3_ERR_INVALID_CHUNK_SIZE_ERROR,
                       "A chunk's data is not followed by CRLF");
        return end_of_chunk(a);
    default:
        return line_byte(a, b);
    }
}

enum decode_result awschunk_feed(struct awschunk *a, const uint8_t *in, size_t n, size_t *used,
                                 const uint8_t **data, size_t *data_len)
{
    size_t i = 0;
    while (a->state < AT_DONE && a->state != AT_DATA && i < n)
        a->state = frame_byte(a, in[i++]);
    *used = i;
    if (a->state == AT_DONE)
        return DECODE_END;
    if (a->state == AT_BAD)
        return DECODE_BAD;
    if (a->state != AT_DATA || i == n)
        return DECODE_MORE;
    size_t take = n - i;
    if (take > a->left)
        take = (size_t)a->left;
    *data = in + i;
    *data_len = take;
    *used = i + take;
    a->left -= take;
    a->total += (int64_t)take;
    if (a->hash != NULL)
        digest_update(a->hash, *data, take);
    if (a->left == 0)
        a->state = AT_DATA_CR;
    return DECODE_DATA;
}
