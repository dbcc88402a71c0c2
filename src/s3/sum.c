/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/sum.h"

#include "base/buf.h"
#include "base/io.h"
#include "codec/digest.h"
#include "codec/encode.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const enum digest_alg algs[] = {
    [S3_SUM_CRC32] = DIGEST_CRC32,         [S3_SUM_CRC32C] = DIGEST_CRC32C,
    [S3_SUM_CRC64NVME] = DIGEST_CRC64NVME, [S3_SUM_SHA1] = DIGEST_SHA1,
    [S3_SUM_SHA256] = DIGEST_SHA256,
};

size_t sum_size(enum s3_sum alg)
{
    return alg == S3_SUM_NONE ? 0 : digest_size(algs[alg]);
}

int sum_file(struct s3_call *c, int fd, int64_t size, enum s3_sum alg, char *out, struct err *err)
{
    size_t cap = 0;
    char *buf = s3_io_buf(c->req, &cap);
    auto_digest struct digest *d = digest_new(algs[alg]);
    for (int64_t off = 0; off < size;) {
        ssize_t n = io_pread_full(fd, buf, cap, off);
        if (n <= 0)
            return err_sys(err, n < 0 ? (int)-n : EIO, "read the object for its checksum");
        digest_update(d, buf, (size_t)n);
        off += n;
    }
    uint8_t raw[DIGEST_MAX];
    encode_base64(raw, digest_final(d, raw), out);
    return 0;
}

void sum_element(struct buf *xml, const struct meta *m)
{
    if (m->sum_alg == S3_SUM_NONE)
        return;
    const char *name = s3_sum_name(m->sum_alg);
    buf_addf(xml, "<Checksum%s>", name);
    buf_add_xml(xml, m->sum);
    buf_addf(xml, "</Checksum%s><ChecksumType>%s</ChecksumType>", name,
             m->sum_composite ? "COMPOSITE" : "FULL_OBJECT");
}

/* ---- combining CRCs: the register after len zero bytes is a linear map of the register ---- */

struct matrix {
    uint64_t col[64];
    int bits;
};

static uint64_t times(const struct matrix *m, uint64_t v)
{
    uint64_t out = 0;
    for (int i = 0; v != 0; v >>= 1, i++)
        if ((v & 1) != 0)
            out ^= m->col[i];
    return out;
}

static void square(const struct matrix *m, struct matrix *out)
{
    out->bits = m->bits;
    for (int i = 0; i < m->bits; i++)
        out->col[i] = times(m, m->col[i]);
}

/* The map of one zero bit, for the reflected polynomial poly. */
static void one_bit(struct matrix *m, int bits, uint64_t poly)
{
    m->bits = bits;
    m->col[0] = poly;
    for (int i = 1; i < bits; i++)
        m->col[i] = 1ULL << (i - 1);
}

static uint64_t combine(int bits, uint64_t poly, uint64_t a, uint64_t b, int64_t len_b)
{
    struct matrix m = {0};
    struct matrix next = {0};
    one_bit(&m, bits, poly);
    for (int i = 0; i < 3; i++) { /* 8 bits: one byte */
        square(&m, &next);
        m = next;
    }
    for (uint64_t n = (uint64_t)len_b; n != 0; n >>= 1) {
        if ((n & 1) != 0)
            a = times(&m, a);
        square(&m, &next);
        m = next;
    }
    return a ^ b;
}

static int decode(enum s3_sum alg, const char *text, uint64_t *out)
{
    uint8_t raw[DIGEST_MAX];
    size_t size = sum_size(alg);
    if (encode_base64_decode(text, raw, sizeof raw) != (int64_t)size || size > 8)
        return -EINVAL;
    *out = 0;
    for (size_t i = 0; i < size; i++)
        *out = *out << 8 | raw[i];
    return 0;
}

int sum_combine(enum s3_sum alg, const char *a, const char *b, int64_t len_b, char *out)
{
    uint64_t poly = 0;
    if (alg == S3_SUM_CRC32)
        poly = 0xedb88320u;
    else if (alg == S3_SUM_CRC32C)
        poly = 0x82f63b78u;
    else if (alg == S3_SUM_CRC64NVME)
        poly = 0x9a6c9329ac4bc9b5u;
    uint64_t va = 0;
    uint64_t vb = 0;
    if (poly == 0 || decode(alg, a, &va) < 0 || decode(alg, b, &vb) < 0)
        return -EINVAL;
    size_t size = sum_size(alg);
    uint64_t v = combine((int)size * 8, poly, va, vb, len_b);
    uint8_t raw[8];
    for (size_t i = size; i > 0; i--, v >>= 8)
        raw[i - 1] = (uint8_t)v;
    encode_base64(raw, size, out);
    return 0;
}

void sum_composite_init(struct sum_composite *s, enum s3_sum alg)
{
    *s = (struct sum_composite){.digest = digest_new(algs[alg]), .alg = alg};
}

int sum_composite_add(struct sum_composite *s, const char *value)
{
    uint8_t raw[DIGEST_MAX];
    int64_t n = encode_base64_decode(value, raw, sizeof raw);
    if (n != (int64_t)sum_size(s->alg))
        return -EINVAL;
    digest_update(s->digest, raw, (size_t)n);
    s->n++;
    return 0;
}

void sum_composite_final(struct sum_composite *s, char *out)
{
    uint8_t raw[DIGEST_MAX];
    char text[ENCODE_BASE64_SIZE(DIGEST_MAX)];
    encode_base64(raw, digest_final(s->digest, raw), text);
    (void)snprintf(out, S3_SUM_B64_MAX + 8, "%.47s-%zu", text, s->n);
}

void sum_composite_fini(struct sum_composite *s)
{
    digest_free(s->digest);
    s->digest = NULL;
}
