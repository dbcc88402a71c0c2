/* SPDX-License-Identifier: Apache-2.0 */
/* A pack, or a part of one: what is read of it lies inside it, and comes back the same when it is
 * written and read again; what is refused says why. */
#include "base/cleanup.h"
#include "base/mem.h"
#include "tier/s3_zip.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool taken(int rc, const struct err *err)
{
    must(rc == 0 || (rc == -EBADMSG && err->code == rc && err->text[0] != '\0'));
    return rc == 0;
}

static void same(const struct s3_zip_member *a, const struct s3_zip_member *b)
{
    must(memcmp(&a->id, &b->id, sizeof(a->id)) == 0);
    must(a->ntext == b->ntext && memcmp(a->text, b->text, a->ntext) == 0);
    must(a->size == b->size && a->crc == b->crc && a->length == b->length);
}

/* Whether m's text, and data if it has any, lie in the n bytes at p. */
static void inside(const struct s3_zip_member *m, const uint8_t *p, size_t n)
{
    const uint8_t *text = (const uint8_t *)m->text;
    must(m->ntext <= S3_ZIP_TEXT_MAX && text >= p && m->ntext <= n - (size_t)(text - p));
    must(m->length == s3_zip_header_size(m->ntext) + (uint64_t)m->size);
    if (m->data != NULL)
        must(m->data == text + m->ntext && m->length <= n);
}

static void again(const struct s3_zip_member *m)
{
    struct err err = {0};
    struct s3_zip_member w = *m;
    struct s3_zip_member r;
    size_t at = 0;
    size_t length = s3_zip_entry_size(m->ntext);
    auto_free uint8_t *out = xzalloc(m->length + length + S3_ZIP_END);
    s3_zip_write(&w, out);
    must(s3_zip_finish(out, w.length) == w.length + length + S3_ZIP_END);
    must(taken(s3_zip_read(out, w.length, &r, &err), &err));
    same(&w, &r);
    must(r.size == 0 || memcmp(r.data, m->data, r.size) == 0);
    must(taken(s3_zip_read_entry(out + w.length, length, w.length, &at, &r, &err), &err));
    same(&w, &r);
    must(at == length && w.length == m->length && w.ntext == m->ntext);
}

static void header(const uint8_t *p, size_t n)
{
    struct err err = {0};
    struct s3_zip_member m;
    if (!taken(s3_zip_read(p, n, &m, &err), &err))
        return;
    inside(&m, p, n);
    if (m.data != NULL)
        again(&m);
}

/* All members of the directory of n bytes at p, which lies at offset of the pack; pack is NULL
 * when it is not there. */
static void directory(const uint8_t *p, size_t n, uint64_t offset, const uint8_t *pack)
{
    for (size_t at = 0; at < n;) {
        struct err err = {0};
        struct s3_zip_member m;
        size_t before = at;
        if (!taken(s3_zip_read_entry(p, n, offset, &at, &m, &err), &err)) {
            must(at == before);
            return;
        }
        must(at == before + s3_zip_entry_size(m.ntext) && at <= n && m.data == NULL);
        inside(&m, p, n);
        must((uint64_t)m.offset + m.length <= offset);
        if (pack != NULL)
            header(pack + m.offset, m.length);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    uint64_t offset = 0;
    uint64_t length = 0;
    size_t members = 0;
    header(data, size);
    directory(data, size, UINT64_MAX, NULL);
    if (size < S3_ZIP_END ||
        !taken(s3_zip_read_end(data + size - S3_ZIP_END, size, &offset, &length, &members, &err),
               &err))
        return 0;
    must(offset + length + S3_ZIP_END == size && (members == 0) == (length == 0));
    directory(data + offset, length, offset, data);
    return 0;
}
