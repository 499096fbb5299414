/* Elements of pooling, shared by host and CUDA. */
#ifndef EX_KERNELS_POOL_H
#define EX_KERNELS_POOL_H

#include "device.h"

#include <stdint.h>

/* Which of a row's outputs read position `at` of the input: [first, last]. Signed: it may lie
 * before the first window or behind the last. */
typedef struct ex_pool_readers {
    int first, last;
} ex_pool_readers;

EX_BODY ex_pool_readers ex_pool_readers_of(int at, int window, int stride, int pad, int outputs)
{
    const int before = at + pad - window + 1, end = (at + pad) / stride;
    const ex_pool_readers r = {before > 0 ? (before + stride - 1) / stride : 0,
                               end < outputs ? end : outputs - 1};
    return r;
}

/* Whether a value replaces the largest so far; a NaN does, once. */
EX_BODY int ex_pool_replaces(float value, float best)
{
    return value > best || (value != value && best == best);
}

#endif
