/* SPDX-License-Identifier: Apache-2.0 */
/* The tier contract on kind s3, over the store that withstore.py has started. The argument chooses:
 * plain; encrypted; manifest: chunks so small that nearly every copy has a manifest; read: each
 * object is read back; pack: small copies lie in packs. */
#include "contract.h"

#include "s3site.h"

#include <stdio.h>
#include <string.h>

static const char *variant;

static int make(void **state, struct tier **t)
{
    struct s3site *site = s3site_new();
    *state = site;
    if (strcmp(variant, "encrypted") == 0)
        site->config.key_file = site->key_file;
    if (strcmp(variant, "manifest") == 0)
        site->config.chunk_size = 4096;
    if (strcmp(variant, "read") == 0)
        site->config.verify = S3_VERIFY_READ;
    if (strcmp(variant, "pack") == 0)
        site->config.pack_size = 16 * (site->config.pack_file = 16384);
    int rc = s3site_reopen(site);
    *t = site->t;
    return rc;
}

static int reopen(void *state, struct tier **t)
{
    struct s3site *site = state;
    int rc = s3site_reopen(site);
    *t = site->t;
    return rc;
}

static void fini(void *state, struct tier *t)
{
    (void)t; /* the site's own */
    s3site_free(state);
}

int main(int argc, char **argv)
{
    static const char *const variants[] = {"plain", "encrypted", "manifest", "read", "pack"};
    static struct maker maker = {.make = make, .reopen = reopen, .fini = fini};
    for (size_t i = 0; argc == 2 && i < sizeof(variants) / sizeof(variants[0]); i++) {
        if (strcmp(argv[1], variants[i]) == 0) {
            maker.name = variant = variants[i];
            maker.pack = strcmp(variant, "pack") == 0 ? ".pack" : NULL;
            return contract_tier_run(&maker);
        }
    }
    (void)fprintf(stderr, "usage: test_tier_s3 plain|encrypted|manifest|read|pack\n");
    return 2;
}
