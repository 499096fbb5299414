/* What the two host passes of training's batch norm share. A chunk is one image's map of one block
 * of channels: pixels * block floats in a row, handled by one thread. */
#ifndef EX_KERNELS_NORM_TRAIN_H
#define EX_KERNELS_NORM_TRAIN_H

#include "norm.h"
#include "wide.h"

/* Everything that a pass over chunks needs. Scratch: two sums a chunk's channel, three
 * coefficients a channel. */
typedef struct ex_norm_pass {
    const ex_norm_train *norm;
    const ex_norm_train_gradient *gradient;
    const void *x, *residual;
    void *y;
    float *sums; /* (N, C, 2): per chunk block of the first, block of the second */
    float *ratio, *slope, *constant; /* (C) */
    size_t chunk;                    /* floats */
    int blocks;                      /* chunks of an image */
} ex_norm_pass;

/* All but the maps and the gradient. */
ex_norm_pass ex_norm_pass_of(const ex_norm_train *n);
/* ratio "=" scale / sqrt(var + eps). */
void ex_norm_pass_ratio(const ex_norm_pass *p);

/* A norm's values of a chunk's channels. The mean is taken off before the product: the other way
 * round, values far from 0 would lose what they differ in. */
typedef struct ex_norm_channel {
    ex_wide mean, ratio, shift;
} ex_norm_channel;

EX_INLINE ex_norm_channel ex_norm_channel_at(const ex_norm_pass *p, size_t c, int block)
{
    return (ex_norm_channel){.mean = ex_wide_repeat(p->norm->mean + c, block),
                             .ratio = ex_wide_repeat(p->ratio + c, block),
                             .shift = ex_wide_repeat(p->norm->shift + c, block)};
}

EX_INLINE ex_wide ex_norm_apply(ex_wide x, ex_norm_channel k)
{
    return (x - k.mean) * k.ratio + k.shift;
}

#endif
