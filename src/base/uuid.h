/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UUIDs as 16 bytes and as text (RFC 9562: version 4, lower-case hex in 8-4-4-4-12). Any thread.
 */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdint.h>

#define UUID_BYTES 16
#define UUID_TEXT  37 /* 36 characters and a NUL */

struct uuid {
    uint8_t b[UUID_BYTES];
};

/* A new random UUID, version 4. Aborts if the kernel gives no random bytes. */
struct uuid uuid_new(void);

/* Writes the text form of u into out[UUID_TEXT]. */
void uuid_format(const struct uuid *u, char *out);

/* Parses the 36-character text form (either case). Returns 0 with *u set, or -EINVAL. */
int uuid_parse(const char *s, struct uuid *u);

#endif
