/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CRC-32C and CRC-64/NVME over running values. Any thread. The tables are made once; the
 * processor's CRC32 and carry-less multiply instructions are used when it has them.
 */
#ifndef CODEC_CRC_H
#define CODEC_CRC_H

#include <stddef.h>
#include <stdint.h>

/* Continues CRC-32C (Castagnoli, reflected polynomial 82F63B78, RFC 3720 B.4) from crc (0 at the
 * start) over n bytes of p. Returns the new value. */
uint32_t crc32c_update(uint32_t crc, const void *p, size_t n);

/* Continues CRC-64/NVME (reflected polynomial 9A6C9329AC4BC9B5, NVM Express) from crc (0 at the
 * start) over n bytes of p. Returns the new value. */
uint64_t crc64nvme_update(uint64_t crc, const void *p, size_t n);

#endif
