/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside s3: what the two halves of SigV4 share (sigv4_parse.c reads the fields, sigv4.c computes).
 */
#ifndef S3_SIGV4_IMPL_H
#define S3_SIGV4_IMPL_H

#include "s3/sigv4.h"

/* The header or the first parameter of that name, or NULL. */
const struct s3_header *sigv4_header(const struct sigv4_input *in, const char *name);
const char *sigv4_param(const struct sigv4_input *in, const char *name);

/* Whether name is one of the ';'-separated names of list. */
bool sigv4_in_list(const char *list, const char *name);

#endif
