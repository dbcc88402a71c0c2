/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "codec/chunk_impl.h"

#include <errno.h>
#include <limits.h>
#include <lz4.h>
#include <lz4frame.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

struct chunk_frames {
    LZ4F_dctx *lz4_d;
    ZSTD_CCtx *zstd_c;
    ZSTD_DCtx *zstd_d;
};

static void *need(void *p)
{
    if (p == NULL)
        abort(); /* out of memory for a context */
    return p;
}

struct chunk_frames *chunk_frames_new(void)
{
    return xzalloc(sizeof(struct chunk_frames));
}

void chunk_frames_free(struct chunk_frames *f)
{
    if (f == NULL)
        return;
    (void)LZ4F_freeDecompressionContext(f->lz4_d);
    (void)ZSTD_freeCCtx(f->zstd_c);
    (void)ZSTD_freeDCtx(f->zstd_d);
    free(f);
}

static LZ4F_preferences_t lz4_preferences(int level, size_t n)
{
    return (LZ4F_preferences_t){
        .frameInfo = {.blockSizeID = LZ4F_max4MB,
                      .blockMode = LZ4F_blockIndependent,
                      .contentChecksumFlag = LZ4F_contentChecksumEnabled,
                      .contentSize = n},
        .compressionLevel = level,
        .autoFlush = 1,
    };
}

size_t chunk_bound(size_t n)
{
    LZ4F_preferences_t p = lz4_preferences(0, n);
    return LZ4F_compressFrameBound(n, &p) + CHUNK_OVERHEAD;
}

static size_t lz4_write(int level, const void *plain, size_t n, void *out, size_t cap)
{
    LZ4F_preferences_t p = lz4_preferences(level, n);
    size_t rc = LZ4F_compressFrame(out, cap, plain, n, &p);
    return LZ4F_isError(rc) ? 0 : rc;
}

static size_t zstd_write(struct chunk_frames *f, int level, const void *plain, size_t n, void *out,
                         size_t cap)
{
    if (f->zstd_c == NULL)
        f->zstd_c = need(ZSTD_createCCtx());
    (void)ZSTD_CCtx_reset(f->zstd_c, ZSTD_reset_session_and_parameters);
    (void)ZSTD_CCtx_setParameter(f->zstd_c, ZSTD_c_compressionLevel, level);
    (void)ZSTD_CCtx_setParameter(f->zstd_c, ZSTD_c_checksumFlag, 1);
    size_t rc = ZSTD_compress2(f->zstd_c, out, cap, plain, n);
    return ZSTD_isError(rc) ? 0 : rc;
}

size_t chunk_frame_write(struct chunk_frames *f, enum chunk_codec codec, int level,
                         const void *plain, size_t n, void *out, size_t cap)
{
    size_t size = codec == CHUNK_ZSTD ? zstd_write(f, level, plain, n, out, cap)
                                      : lz4_write(level, plain, n, out, cap);
    return size < n ? size : 0;
}

/* The header of an LZ4 frame must announce what the chunk is said to be, before a byte is decoded.
 * *used gets the length of the header. */
static int lz4_header(LZ4F_dctx *d, const void *stored, size_t n, size_t size, size_t *used,
                      struct err *err)
{
    LZ4F_frameInfo_t info = {0};
    *used = n;
    size_t rc = LZ4F_getFrameInfo(d, &info, stored, used);
    if (LZ4F_isError(rc))
        return err_set(err, -EBADMSG, "no LZ4 frame: %s", LZ4F_getErrorName(rc));
    if (info.frameType != LZ4F_frame || info.dictID != 0)
        return err_set(err, -EBADMSG,
                       "an LZ4 frame of another kind (skippable, or with dictionary)");
    if (info.contentSize != size)
        return err_set(err, -EBADMSG, "an LZ4 frame of %llu bytes, not of %zu",
                       (unsigned long long)info.contentSize, size);
    return 0;
}

static int lz4_read(struct chunk_frames *f, const uint8_t *stored, size_t n, uint8_t *out,
                    size_t size, bool checked, struct err *err)
{
    LZ4F_decompressOptions_t options = {.stableDst = 1, .skipChecksums = checked};
    size_t in = 0;
    size_t done = 0;
    size_t hint = 1;
    if (f->lz4_d == NULL && LZ4F_isError(LZ4F_createDecompressionContext(&f->lz4_d, LZ4F_VERSION)))
        abort();
    LZ4F_resetDecompressionContext(f->lz4_d);
    int rc = lz4_header(f->lz4_d, stored, n, size, &in, err);
    if (rc < 0)
        return rc;
    while (hint != 0) {
        size_t used = n - in;
        size_t made = size - done;
        hint = LZ4F_decompress(f->lz4_d, out + done, &made, stored + in, &used, &options);
        if (LZ4F_isError(hint))
            return err_set(err, -EBADMSG, "LZ4 frame: %s", LZ4F_getErrorName(hint));
        if (hint != 0 && used == 0 && made == 0)
            return err_set(err, -EBADMSG, "the LZ4 frame is cut short");
        in += used;
        done += made;
    }
    if (in != n || done != size)
        return err_set(err, -EBADMSG,
                       "the LZ4 frame ends after %zu of %zu bytes, with %zu of %zu data", in, n,
                       done, size);
    return 0;
}

static int zstd_read(struct chunk_frames *f, const void *stored, size_t n, void *out, size_t size,
                     struct err *err)
{
    unsigned long long content = ZSTD_getFrameContentSize(stored, n);
    if (content != size)
        return err_set(err, -EBADMSG, "no Zstandard frame of %zu bytes", size);
    size_t length = ZSTD_findFrameCompressedSize(stored, n);
    if (ZSTD_isError(length) || length != n)
        return err_set(err, -EBADMSG, "the %zu bytes are not one Zstandard frame", n);
    if (f->zstd_d == NULL)
        f->zstd_d = need(ZSTD_createDCtx());
    size_t rc = ZSTD_decompressDCtx(f->zstd_d, out, size, stored, n);
    if (ZSTD_isError(rc))
        return err_set(err, -EBADMSG, "Zstandard frame: %s", ZSTD_getErrorName(rc));
    return rc == size
               ? 0
               : err_set(err, -EBADMSG, "the Zstandard frame gives %zu bytes, not %zu", rc, size);
}

int chunk_frame_read(struct chunk_frames *f, enum chunk_codec codec, const void *stored, size_t n,
                     void *out, size_t size, bool checked, struct err *err)
{
    return codec == CHUNK_ZSTD ? zstd_read(f, stored, n, out, size, err)
                               : lz4_read(f, stored, n, out, size, checked, err);
}

int chunk_decode_lz4_block(const void *stored, size_t stored_size, void *out, size_t n,
                           struct err *err)
{
    if (stored_size > INT_MAX || n > INT_MAX)
        return err_set(err, -EBADMSG, "larger than an LZ4 block can be");
    int got = LZ4_decompress_safe(stored, out, (int)stored_size, (int)n);
    if (got < 0 || (size_t)got != n)
        return err_set(err, -EBADMSG, "no LZ4 block of %zu bytes (%d)", n, got);
    return 0;
}

/* Spots of the data, each compressed by itself: text or a table anywhere shows. */
bool chunk_compressible(const void *p, size_t n)
{
    enum { SPOT = 4096, SPOTS = 16, LEAST = 64 /* a frame alone takes 23 bytes */ };
    char out[SPOT];
    const char *data = p;
    size_t spot = n < SPOT ? n : SPOT;
    size_t spots = n / SPOT < SPOTS ? n / SPOT : SPOTS;
    if (n < LEAST)
        return false;
    for (size_t i = 0; i == 0 || i < spots; i++) {
        size_t at = spots > 1 ? (n - spot) / (spots - 1) * i : 0;
        if (LZ4_compress_fast(data + at, out, (int)spot, (int)(spot - spot / 16), 1) > 0)
            return true;
    }
    return false;
}
