/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/chunked.h"

enum {
    AT_SIZE,
    AT_EXT,
    AT_SIZE_LF,
    AT_DATA,
    AT_DATA_CR,
    AT_DATA_LF,
    AT_END_CR,
    AT_END_LF,
    AT_DONE,
    AT_BAD,
};

void chunked_init(struct chunked *c)
{
    *c = (struct chunked){.state = AT_SIZE};
}

int chunked_hex(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte of the size line before its CR. */
static int size_byte(struct chunked *c, uint8_t b)
{
    int v = chunked_hex(b);
    if (v >= 0) {
        if (c->digits == 16 || (c->left >> 59) != 0)
            return AT_BAD;
        c->digits++;
        c->left = c->left * 16 + (uint64_t)v;
        return AT_SIZE;
    }
    if (c->digits == 0)
        return AT_BAD;
    if (b == '\r')
        return AT_SIZE_LF;
    return b == ';' ? AT_EXT : AT_BAD;
}

static int ext_byte(struct chunked *c, uint8_t b)
{
    if (b == '\r')
        return AT_SIZE_LF;
    if (++c->ext > CHUNKED_EXT_MAX || (b < 0x20 && b != '\t') || b == 0x7f)
        return AT_BAD;
    return AT_EXT;
}

/* A byte of the framing; the state after it. */
static int frame_byte(struct chunked *c, uint8_t b)
{
    switch (c->state) {
    case AT_SIZE:
        return size_byte(c, b);
    case AT_EXT:
        return ext_byte(c, b);
    case AT_SIZE_LF:
        if (b != '\n')
            return AT_BAD;
        return c->left > 0 ? AT_DATA : AT_END_CR;
    case AT_DATA_CR:
        return b == '\r' ? AT_DATA_LF : AT_BAD;
    case AT_DATA_LF:
        c->digits = 0;
        c->ext = 0;
        return b == '\n' ? AT_SIZE : AT_BAD;
    case AT_END_CR:
        return b == '\r' ? AT_END_LF : AT_BAD;
    default:
        return b == '\n' ? AT_DONE : AT_BAD;
    }
}

enum decode_result chunked_feed(struct chunked *c, const uint8_t *in, size_t n, size_t *used,
                                const uint8_t **data, size_t *data_len)
{
    size_t i = 0;
    while (c->state < AT_DONE && c->state != AT_DATA && i < n)
        c->state = frame_byte(c, in[i++]);
    *used = i;
    if (c->state == AT_DONE)
        return DECODE_END;
    if (c->state == AT_BAD)
        return DECODE_BAD;
    if (c->state != AT_DATA || i == n)
        return DECODE_MORE;
    size_t take = n - i;
    if (take > c->left)
        take = (size_t)c->left;
    *data = in + i;
    *data_len = take;
    *used = i + take;
    c->left -= take;
    if (c->left == 0)
        c->state = AT_DATA_CR;
    return DECODE_DATA;
}
