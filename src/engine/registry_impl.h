/* SPDX-License-Identifier: Apache-2.0 */
/* Between registry.c (accounts) and registry_bucket.c. */
#ifndef ENGINE_REGISTRY_IMPL_H
#define ENGINE_REGISTRY_IMPL_H

#include "catalog/catalog.h"
#include "engine/registry.h"

#include <pthread.h>

struct registry {
    const struct conf *conf;
    struct catalog *cat;
    pthread_mutex_t lock; /* one change at a time: each reads, checks and writes */
};

/* The one account called name into *out. Returns 0, or -ENOENT (or another negative code) with err
 * set. */
int registry_find_account(struct registry *r, const char *name, struct catalog_account *out,
                          struct err *err);

/* Adds the number "generation" to result. Returns 0 or a negative code with err set. */
int registry_add_generation(struct registry *r, cJSON *result, struct err *err);

/* Copies text into out[cap]. Returns 0, or -EINVAL with err naming what when it does not fit. */
int registry_copy(char *out, size_t cap, const char *text, const char *what, struct err *err);

/* 0 when path is absolute, without ".." and beneath the S3 service's file system; else -EINVAL with
 * err naming what. */
int registry_check_dir(const struct registry *r, const char *path, const char *what,
                       struct err *err);

#endif
