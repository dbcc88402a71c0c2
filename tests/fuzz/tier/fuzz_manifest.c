/* SPDX-License-Identifier: Apache-2.0 */
/* A manifest, and metadata of a sole object ("M" and lines NAME=VALUE, ours as "firn=v=1;..."):
 * what is taken fits together and survives being written and read again; what is refused says why.
 */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_impl.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIELDS 40

static void check(const struct s3_copy *c)
{
    for (size_t i = 0; i < c->nchunks; i++) {
        uint64_t sum = 0;
        for (size_t k = 0; k < c->chunks[i]->nextents; k++)
            sum += c->chunks[i]->extents[k].len;
        if (sum != c->chunks[i]->info.plain_size || c->chunks[i]->info.codec > CHUNK_ZSTD)
            abort();
    }
}

static void manifest(const char *text, size_t n)
{
    struct err err = {0};
    auto_s3_copy struct s3_copy c = {0};
    auto_s3_copy struct s3_copy again = {0};
    if (s3_manifest_read(text, n, &c, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    check(&c);
    auto_free char *written = s3_manifest_write(&c);
    if (s3_manifest_read(written, strlen(written), &again, &err) < 0)
        abort();
    auto_free char *twice = s3_manifest_write(&again);
    if (strcmp(written, twice) != 0)
        abort();
}

static int by_name(const void *a, const void *b)
{
    const struct store_field *x = a;
    const struct store_field *y = b;
    return strcmp(x->name, y->name);
}

static void metadata(char *text)
{
    struct err err = {0};
    auto_s3_copy struct s3_copy c = {0};
    struct store_field fields[FIELDS];
    struct store_reply r = {.meta = fields, .size = 1000};
    for (char *line = strsep(&text, "\n"); line != NULL && r.nmeta < FIELDS;
         line = strsep(&text, "\n")) {
        char *value = strchr(line, '=');
        if (value == NULL)
            continue;
        *value++ = '\0';
        fields[r.nmeta++] = (struct store_field){line, value};
    }
    qsort(fields, r.nmeta, sizeof(fields[0]), by_name);
    if (s3_meta_read(&r, "bucket", "key.sole", &c, &err) < 0) {
        if (err.text[0] == '\0')
            abort();
        return;
    }
    check(&c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    auto_free char *text = xstrndup((const char *)data, size);
    if (size > 0 && data[0] == 'M')
        metadata(text + 1);
    else
        manifest((const char *)data, size);
    return 0;
}
