/* Training's batch norm float by float, for CUDA: what a channel's values are, and how a thread
 * that walks an image's map finds its channels. */
#ifndef EX_KERNELS_NORM_AFFINE_H
#define EX_KERNELS_NORM_AFFINE_H

#include "norm.h"
#include "quad.h"

/* One channel of the norm. The mean is taken off before the product: the other way round, values
 * far from 0 would lose what they differ in. */
typedef struct ex_norm_affine {
    float mean, ratio, shift;
} ex_norm_affine;

typedef struct ex_norm_channels {
    const float *scale, *shift, *mean, *var; /* (C) */
    float eps;
} ex_norm_channels;

static inline __device__ ex_norm_affine ex_norm_affine_of(const ex_norm_channels &k, uint32_t c)
{
    return ex_norm_affine{k.mean[c], ex_norm_ratio_body(k.scale[c], k.var[c], k.eps), k.shift[c]};
}

static inline __device__ float ex_norm_apply(float x, const ex_norm_affine &k)
{
    return (x - k.mean) * k.ratio + k.shift;
}

/* v where y is positive or NaN, else 0: a NaN goes on, and is found in the loss. */
static inline __device__ float ex_norm_where_positive(float v, float y)
{
    return y <= 0.0f ? 0.0f : v;
}

static inline ex_norm_channels ex_norm_channels_of(const ex_norm_train *n)
{
    return ex_norm_channels{n->scale, n->shift, n->mean, n->var, n->eps};
}

/* An image's map, for kernels that go through it float by float. */
typedef struct ex_norm_map {
    uint32_t N, floats, slab, block; /* slab: floats of one block of channels */
} ex_norm_map;

static inline ex_norm_map ex_norm_map_of(const ex_map_shape *m)
{
    const uint32_t slab = (uint32_t)m->H * (uint32_t)m->W * (uint32_t)m->block;
    return ex_norm_map{(uint32_t)m->N, (uint32_t)(m->C / m->block) * slab, slab,
                       (uint32_t)m->block};
}

/* The channel of float i of an image. */
static inline __device__ uint32_t ex_norm_channel(uint32_t i, const ex_norm_map &m)
{
    return i / m.slab * m.block + i % m.block;
}

static inline dim3 ex_norm_map_grid(const ex_norm_map &map, bool quads)
{
    return ex_launch_grid(quads ? map.floats / EX_QUAD : map.floats, map.N, 1);
}

#endif
