/* SPDX-License-Identifier: Apache-2.0 */
#include "codec/crc.h"

#include "codec/crc_impl.h"

#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#define POLY32C 0x82F63B78u

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint32_t table32[8][256];
static uint64_t table64[8][256];
static bool have_sse42;

static void fill_first_rows(void)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t a = i;
        uint64_t b = i;
        for (int k = 0; k < 8; k++) {
            a = (a & 1) != 0 ? a >> 1 ^ POLY32C : a >> 1;
            b = (b & 1) != 0 ? b >> 1 ^ CRC64_POLY : b >> 1;
        }
        table32[0][i] = a;
        table64[0][i] = b;
    }
}

static void make_tables(void)
{
    fill_first_rows();
    for (int t = 1; t < 8; t++) {
        for (unsigned i = 0; i < 256; i++) {
            uint32_t a = table32[t - 1][i];
            uint64_t b = table64[t - 1][i];
            table32[t][i] = a >> 8 ^ table32[0][a & 255];
            table64[t][i] = b >> 8 ^ table64[0][b & 255];
        }
    }
#if defined(__x86_64__)
    have_sse42 = __builtin_cpu_supports("sse4.2") != 0;
#endif
}

static uint64_t load64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 7; i >= 0; i--)
        v = v << 8 | p[i];
    return v;
}

static uint32_t soft32(uint32_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = load64(p) ^ crc;
        crc = table32[7][v & 255] ^ table32[6][v >> 8 & 255] ^ table32[5][v >> 16 & 255] ^
              table32[4][v >> 24 & 255] ^ table32[3][v >> 32 & 255] ^ table32[2][v >> 40 & 255] ^
              table32[1][v >> 48 & 255] ^ table32[0][v >> 56];
    }
    while (n-- > 0)
        crc = crc >> 8 ^ table32[0][(crc ^ *p++) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t hard32(uint32_t crc, const uint8_t *p, size_t n)
{
    uint64_t c = crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v;
        memcpy(&v, p, 8);
        c = __builtin_ia32_crc32di(c, v);
    }
    uint32_t r = (uint32_t)c;
    while (n-- > 0)
        r = __builtin_ia32_crc32qi(r, *p++);
    return r;
}
#else
static uint32_t hard32(uint32_t crc, const uint8_t *p, size_t n)
{
    return soft32(crc, p, n);
}
#endif

uint32_t crc32c_update(uint32_t crc, const void *p, size_t n)
{
    (void)pthread_once(&once, make_tables);
    return ~(have_sse42 ? hard32(~crc, p, n) : soft32(~crc, p, n));
}

/* The table method, on the inverted value. */
static uint64_t soft64(uint64_t crc, const uint8_t *p, size_t n)
{
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t v = load64(p) ^ crc;
        crc = table64[7][v & 255] ^ table64[6][v >> 8 & 255] ^ table64[5][v >> 16 & 255] ^
              table64[4][v >> 24 & 255] ^ table64[3][v >> 32 & 255] ^ table64[2][v >> 40 & 255] ^
              table64[1][v >> 48 & 255] ^ table64[0][v >> 56];
    }
    while (n-- > 0)
        crc = crc >> 8 ^ table64[0][(crc ^ *p++) & 255];
    return crc;
}

uint64_t crc64nvme_update(uint64_t crc, const void *data, size_t n)
{
    const uint8_t *p = data;
    uint8_t block[16];
    size_t folded = n - n % CRC64_FOLD;
    (void)pthread_once(&once, make_tables);
    crc = ~crc;
    if (folded > 0 && crc64_can_fold()) {
        crc64_fold(crc, p, folded, block);
        crc = soft64(0, block, sizeof(block));
        p += folded;
        n -= folded;
    }
    return ~soft64(crc, p, n);
}
