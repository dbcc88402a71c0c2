/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which names S3 requests may use: object keys, bucket names, upload ids. Every name from outside
 * is checked here before any path is formed from it. Pure functions; any thread.
 */
#ifndef S3_KEY_H
#define S3_KEY_H

#include <stdbool.h>
#include <stddef.h>

#define KEY_MAX           1024 /* bytes in a key */
#define KEY_NAME_MAX      255  /* bytes in a component of a key */
#define KEY_UPLOAD_ID_LEN 32   /* lower-case hex digits in an upload id */

enum key_fault {
    KEY_OK,
    KEY_EMPTY,     /* no byte at all */
    KEY_TOO_LONG,  /* over KEY_MAX bytes in all */
    KEY_COMPONENT, /* a component over KEY_NAME_MAX bytes */
    KEY_DOTS,      /* a component that is "." or ".." */
    KEY_SLASHES,   /* a leading "/" or "//": a file system cannot keep them apart */
    KEY_NUL,       /* a NUL byte */
    KEY_RESERVED   /* a component that firn or NooBaa keeps for itself */
};

/* Can the key of len bytes at key be stored as a file beneath a bucket? One trailing "/" is allowed
 * (a directory object). */
enum key_fault key_check(const char *key, size_t len);

/* A sentence for people about fault; static storage. */
const char *key_fault_text(enum key_fault fault);

/* Is name (one component) one that never is, and never holds, an object? Names that begin with
 * ".firn" or ".noobaa-nsfs", and ".versions" and ".folder". */
bool key_name_reserved(const char *name);

/* Is name a bucket name by the rules of S3: 3 to 63 of a-z 0-9 . -, alphanumeric at both ends, none
 * of ".." ".-" "-.", not four decimal numbers? */
bool key_bucket_valid(const char *name);

/* Is id of the form of an upload id: KEY_UPLOAD_ID_LEN lower-case hex digits? */
bool key_upload_id_valid(const char *id);

/* Are the n bytes at s UTF-8 (RFC 3629: no overlong forms, no surrogates, at most U+10FFFF)? */
bool key_utf8_valid(const char *s, size_t n);

/* The number of characters in the UTF-8 string s. */
size_t key_utf8_length(const char *s);

#endif
