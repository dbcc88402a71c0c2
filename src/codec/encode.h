/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hexadecimal and base64 both ways, strict on the way in. Any thread.
 */
#ifndef CODEC_ENCODE_H
#define CODEC_ENCODE_H

#include <stddef.h>
#include <stdint.h>

/* Room for the texts of n bytes, NUL included. */
#define ENCODE_HEX_SIZE(n)    (2 * (n) + 1)
#define ENCODE_BASE64_SIZE(n) (((n) + 2) / 3 * 4 + 1)

/* Lower-case hex of n bytes of p into out[ENCODE_HEX_SIZE(n)]. */
void encode_hex(const uint8_t *p, size_t n, char *out);

/* Decodes exactly 2*n hex digits (either case) of s, which must end there, into out[n]. Returns 0,
 * or -EINVAL. */
int encode_hex_decode(const char *s, uint8_t *out, size_t n);

/* Base64 (RFC 4648, 4, with padding) of n bytes of p into out[ENCODE_BASE64_SIZE(n)]. */
void encode_base64(const uint8_t *p, size_t n, char *out);

/* Decodes base64 text s (padding required, no blanks, unused bits zero) into out[cap]. Returns the
 * bytes decoded, -EINVAL for bad text, or -ENOSPC when cap is too small. */
int64_t encode_base64_decode(const char *s, uint8_t *out, size_t cap);

#endif
