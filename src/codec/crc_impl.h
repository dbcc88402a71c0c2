/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside codec: CRC-64 by carry-less multiplication, where the processor has it. crc64_fold.c or
 * crc64_fold_absent.c, chosen by meson. Any thread.
 */
#ifndef CODEC_CRC_IMPL_H
#define CODEC_CRC_IMPL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CRC64_POLY 0x9A6C9329AC4BC9B5ull /* reflected */
#define CRC64_FOLD 128                   /* bytes in a step */

/* Whether crc64_fold may be called on this processor. */
bool crc64_can_fold(void);

/* Folds n (a multiple of CRC64_FOLD, at least one) bytes of p into the 16 bytes of block, which
 * have the same remainder: the table method over block from state 0 gives what it would give over p
 * from state. */
void crc64_fold(uint64_t state, const uint8_t *p, size_t n, uint8_t *block);

#endif
