/* Sixteen floats at a time, for host loops over maps in blocks of channels: in one image and block
 * the channels repeat with a period, the block, that divides sixteen.
 *
 * Everything is inlined into the loop that uses it, and so is compiled for its instruction set. */
#ifndef EX_KERNELS_WIDE_H
#define EX_KERNELS_WIDE_H

#include "map.h"

#include <string.h>

enum { EX_WIDE = 16 };

typedef float ex_wide __attribute__((vector_size(EX_WIDE * sizeof(float))));
typedef uint32_t ex_wide_bits __attribute__((vector_size(EX_WIDE * sizeof(float))));
typedef uint16_t ex_wide_halves __attribute__((vector_size(EX_WIDE * sizeof(uint16_t))));
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

#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector) /* gcc from 12 on, clang */
#define EX_WIDE_SHUFFLES
#endif
#endif

/* Sixteen bf16 as float32. Each word of two is taken twice, and then shifted or masked: one
 * shuffle, where gcc (12) makes four of a conversion, which is what norms and few-row gradients
 * then wait for. Words are little-endian. */
EX_INLINE ex_wide ex_wide_of_halves(const uint16_t *p)
{
#if defined(EX_WIDE_SHUFFLES)
    typedef uint32_t pairs __attribute__((vector_size(EX_WIDE * sizeof(uint16_t))));
    const ex_wide_bits up = {16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0, 16, 0};
    pairs v;
    memcpy(&v, p, sizeof v);
    const ex_wide_bits twice =
        __builtin_shufflevector(v, v, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return (ex_wide)((twice << up) & 0xffff0000u);
#else
    ex_wide_halves h;
    memcpy(&h, p, sizeof h);
    return (ex_wide)(__builtin_convertvector(h, ex_wide_bits) << 16);
#endif
}

/* Values of maps of either type: sixteen from i on, or the `count` that are left of a chunk;
 * missing lanes are 0. */
EX_INLINE ex_wide ex_wide_get(const void *map, size_t i, ex_map_type type)
{
    return type == EX_MAP_F32 ? ex_wide_load((const float *)map + i)
                              : ex_wide_of_halves((const uint16_t *)map + i);
}

/* As ex_bf16_bits_body rounds. */
EX_INLINE void ex_wide_put(void *map, size_t i, ex_wide v, ex_map_type type)
{
    if (type == EX_MAP_F32) {
        ex_wide_store((float *)map + i, v);
        return;
    }
    const ex_wide_bits word = (ex_wide_bits)v, high = word >> 16;
    const ex_wide_bits rounded = (word + 0x7fffu + (high & 1u)) >> 16;
    const ex_wide_bits nan = (ex_wide_bits)(v != v);
    const ex_wide_halves h =
        __builtin_convertvector((rounded & ~nan) | ((high | 0x40u) & nan), ex_wide_halves);
    memcpy((uint16_t *)map + i, &h, sizeof h);
}

EX_INLINE ex_wide ex_wide_get_some(const void *map, size_t i, size_t count, ex_map_type type)
{
    ex_wide v = {0};
    for (size_t j = 0; j < count; j++)
        v[j] = ex_map_get(map, i + j, type);
    return v;
}

EX_INLINE void ex_wide_put_some(void *map, size_t i, ex_wide v, size_t count, ex_map_type type)
{
    for (size_t j = 0; j < count; j++)
        ex_map_put(map, i + j, v[j], type);
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
