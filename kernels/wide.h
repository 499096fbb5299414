/* Sixteen floats at a time, for host loops over maps in blocks of channels: in one image and block
 * the channels repeat with a period, the block, that divides sixteen.
 *
 * Everything is inlined into the loop that uses it, and so is compiled for its instruction set. */
#ifndef EX_KERNELS_WIDE_H
#define EX_KERNELS_WIDE_H

#include "host.h"

#include <string.h>

enum { EX_WIDE = 16 };

typedef float ex_wide __attribute__((vector_size(EX_WIDE * sizeof(float))));
typedef int32_t ex_wide_mask __attribute__((vector_size(EX_WIDE * sizeof(float))));

EX_INLINE ex_wide ex_wide_load(const float *p)
{
    ex_wide v;
    memcpy(&v, p, sizeof v);
    return v;
}

EX_INLINE void ex_wide_store(float *p, ex_wide v)
{
    memcpy(p, &v, sizeof v);
}

/* The last, incomplete group of a chunk; missing lanes are 0. */
EX_INLINE ex_wide ex_wide_load_some(const float *p, size_t count)
{
    ex_wide v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = p[i];
    return v;
}

EX_INLINE void ex_wide_store_some(float *p, ex_wide v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p[i] = v[i];
}

/* `block` values of one per channel, repeated. */
EX_INLINE ex_wide ex_wide_repeat(const float *p, int block)
{
    ex_wide v;
    for (int i = 0; i < EX_WIDE; i++)
        v[i] = p[i % block];
    return v;
}

/* 0 where y <= 0, else v: a NaN goes on, and is found in the loss. */
EX_INLINE ex_wide ex_wide_where_positive(ex_wide v, ex_wide y)
{
    const ex_wide zero = {0};
    return (ex_wide)((ex_wide_mask)v & ~(y <= zero));
}

/* Lanes of the same channel added up. */
EX_INLINE void ex_wide_fold(float *out, ex_wide v, int block)
{
    for (int c = 0; c < block; c++)
        out[c] = 0.0f;
    for (int i = 0; i < EX_WIDE; i++)
        out[i % block] += v[i];
}

#endif
