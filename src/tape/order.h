/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The cost of moving a tape and the order of recalls on one cartridge. Pure arithmetic: no I/O, no
 * clock, any thread. The model is that of the CERN Tape Archive (locate seconds from wrap, band,
 * landing zone, direction and longitudinal distance), with geometry from the media type and fill
 * level when the drive reports no end-of-wrap table.
 */
#ifndef TAPE_ORDER_H
#define TAPE_ORDER_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

/* Stops beyond which block order is used: SLTF is quadratic and gains little there. */
#define ORDER_SLTF_MAX 3000

struct order_geometry {
    unsigned wraps;            /* of the data partition */
    unsigned bands;            /* 4 on LTO */
    uint64_t blocks_per_wrap;  /* records of one full wrap */
    const uint64_t *wrap_end;  /* last block of each wrap, wraps entries; or NULL: all equal */
    uint64_t used_blocks;      /* end of data; decides "at most one wrap is filled" */
    double lpos_min, lpos_max; /* longitudinal positions of the two ends */
    double bytes_per_s;        /* native streaming rate */
    double load_s, unload_s;   /* threading to ready; unload without rewind */
    double robot_s;            /* one move of the changer */
};

struct order_stop {
    uint64_t block;  /* first block to read */
    uint64_t blocks; /* number of blocks read (>= 1): the head ends at block + blocks */
};

enum order_method { ORDER_SLTF, ORDER_BLOCK };

/*
 * Fills *g for media ("lto7", "m8", "lto8", "lto9", or a barcode suffix L5 to L9, M8) and a
 * cartridge whose data partition takes capacity_bytes in records of block_bytes, of which
 * used_blocks are written. A small (virtual) cartridge is stretched over all wraps. Returns 0 or
 * -EINVAL with err naming the media (err may be NULL).
 */
int order_geometry_init(struct order_geometry *g, const char *media, uint64_t capacity_bytes,
                        uint32_t block_bytes, uint64_t used_blocks, struct err *err);

/* Seconds to move the head from before block from to before block to; 0 when they are equal,
 * otherwise at least 0.1. */
double order_cost(const struct order_geometry *g, uint64_t from, uint64_t to);

/* Seconds to stream blocks records of block_bytes. */
double order_stream(const struct order_geometry *g, uint64_t blocks, uint32_t block_bytes);

/*
 * Puts the n stops into the order to read them, the head standing before block head:
 * out_index[i] = index into stops of the ith. Shortest locate time first, then short runs
 * of stops are moved to where they cost less; block order when n > ORDER_SLTF_MAX or when at most
 * one wrap is written. Stops of the same block stay together in block order. Returns the method
 * used. g NULL: block order.
 */
enum order_method order_recalls(const struct order_geometry *g, const struct order_stop *stops,
                                size_t n, uint64_t head, uint32_t *out_index);

/* Seconds of all locates (no streaming) when the stops are read in the order of index[n] (NULL: as
 * they stand), starting with the head before block head. */
double order_plan_seconds(const struct order_geometry *g, const struct order_stop *stops, size_t n,
                          uint64_t head, const uint32_t *index);

#endif
