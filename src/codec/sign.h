/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The computations of AWS Signature Version 4 (AWS General Reference, "Create a signed AWS API
 * request") that a server's check and a client's signer share. Pure; any thread.
 */
#ifndef CODEC_SIGN_H
#define CODEC_SIGN_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

#define SIGN_KEY_SIZE 32
#define SIGN_HEX_SIZE 65 /* a signature, or a SHA-256, as hex with NUL */

/* The signing key of secret for a date (YYYYMMDD) and region, service s3, into
 * out[SIGN_KEY_SIZE]. */
void sign_key(const char *secret, const char *date, const char *region, uint8_t *out);

/* The hex signature of text under key into out[SIGN_HEX_SIZE]. */
void sign_text(const uint8_t *key, const char *text, size_t len, char *out);

/* Appends the string to sign of a canonical request (len bytes): amz_date is YYYYMMDDTHHMMSSZ,
 * scope is DATE/REGION/s3/aws4_request. */
void sign_add_string(struct buf *b, const char *amz_date, const char *scope, const char *canonical,
                     size_t len);

/* Appends a header's value in canonical form: runs of blanks as one space, none at the ends. */
void sign_add_value(struct buf *b, const char *value);

#endif
