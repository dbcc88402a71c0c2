/* SPDX-License-Identifier: Apache-2.0 */
/* Folding in the reflected domain (Gopal et al., "Fast CRC Computation for Generic Polynomials
 * Using PCLMULQDQ Instruction", Intel 2009): a block of 16 bytes, moved on by d bits, is the sum of
 * its halves times x^(d+64) and x^d modulo the polynomial. A carry-less product of two reflected
 * 64-bit numbers comes out times x, hence the exponents less one. */
#include "codec/crc_impl.h"

#include <immintrin.h>
#include <pthread.h>

#define LANES 8 /* blocks in flight, since a multiplication takes some clocks */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static uint64_t by_step[2]; /* to move on by CRC64_FOLD bytes */
static uint64_t by_block[2];
static bool works;

/* x^n modulo the polynomial, reflected. */
static uint64_t power(unsigned n)
{
    uint64_t v = 1ULL << 63;
    while (n-- > 0)
        v = (v & 1) != 0 ? v >> 1 ^ CRC64_POLY : v >> 1;
    return v;
}

static void prepare(void)
{
    by_step[0] = power(8 * CRC64_FOLD + 63);
    by_step[1] = power(8 * CRC64_FOLD - 1);
    by_block[0] = power(128 + 63);
    by_block[1] = power(127);
    works = __builtin_cpu_supports("pclmul") != 0;
}

bool crc64_can_fold(void)
{
    (void)pthread_once(&once, prepare);
    return works;
}

__attribute__((target("pclmul,sse2"))) static inline __m128i move_on(__m128i x, __m128i by)
{
    return _mm_xor_si128(_mm_clmulepi64_si128(x, by, 0x00), _mm_clmulepi64_si128(x, by, 0x11));
}

__attribute__((target("pclmul,sse2"))) void crc64_fold(uint64_t state, const uint8_t *p, size_t n,
                                                       uint8_t *block)
{
    const __m128i *in = (const __m128i *)(const void *)p;
    const __m128i step = _mm_set_epi64x((long long)by_step[1], (long long)by_step[0]);
    const __m128i one = _mm_set_epi64x((long long)by_block[1], (long long)by_block[0]);
    __m128i x[LANES];
    for (int i = 0; i < LANES; i++)
        x[i] = _mm_loadu_si128(in + i);
    x[0] = _mm_xor_si128(x[0], _mm_set_epi64x(0, (long long)state));
    for (in += LANES, n -= CRC64_FOLD; n > 0; in += LANES, n -= CRC64_FOLD) {
#pragma GCC unroll 8
        for (int i = 0; i < LANES; i++)
            x[i] = _mm_xor_si128(move_on(x[i], step), _mm_loadu_si128(in + i));
    }
    for (int i = 1; i < LANES; i++)
        x[i] = _mm_xor_si128(move_on(x[i - 1], one), x[i]);
    _mm_storeu_si128((__m128i *)(void *)block, x[LANES - 1]);
}
