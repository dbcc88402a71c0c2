/* SPDX-License-Identifier: Apache-2.0 */
/* Stored bytes of a chunk: one byte of codec (bit 7: encrypted), two of plain size, the rest as
 * stored. What is decoded without a digest fills exactly its size; with one, noise never passes. */
#include "base/cleanup.h"
#include "base/io.h"
#include "codec/chunk.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct chunk_keys *keys(void)
{
    static struct chunk_keys *loaded;
    static const char text[] =
        "k 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
    char path[] = "/tmp/firn-fuzz-XXXXXX";
    if (loaded != NULL)
        return loaded;
    auto_close int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0 || io_write_full(fd, text, sizeof(text) - 1) < 0 ||
        chunk_keys_load(path, &loaded, NULL) < 0)
        abort();
    (void)unlink(path);
    return loaded;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err err = {0};
    struct chunk_info info = {0};
    const void *plain = NULL;
    if (size < 3)
        return 0;
    info.codec = (enum chunk_codec)(data[0] & 3);
    info.plain_size = data[1] | (uint64_t)data[2] << 8;
    info.stored_size = size - 3;
    if (data[0] & 0x80)
        info.key_id[0] = 'k';
    auto_free uint8_t *stored = malloc(size);
    auto_free uint8_t *out = malloc(info.plain_size + 1);
    struct chunk_coder *c = chunk_coder_new(CHUNK_RAW, 0, keys(), NULL);
    memcpy(stored, data + 3, size - 3);
    int rc = chunk_decode(c, &info, stored, size - 3, "aad", 3, out, info.plain_size, false, &plain,
                          &err);
    if (rc == 0 && plain == out && info.codec == CHUNK_RAW)
        abort();
    if (rc != 0 && err.text[0] == '\0')
        abort();
    memcpy(stored, data + 3, size - 3);
    if (chunk_decode(c, &info, stored, size - 3, "aad", 3, out, info.plain_size, true, &plain,
                     &err) == 0)
        abort(); /* a digest of zeros */
    chunk_coder_free(c);
    return 0;
}
