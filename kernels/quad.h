/* Four values at a time: one access of a thread, of 16 bytes for floats and of 8 for bf16.
 *
 * Kernels are written for WIDTH values, 4 where all addresses are multiples of 16 bytes and 1
 * elsewhere, and those on maps for a type T of them, float or ex_bf16. Small arrays, fully
 * unrolled, stay in registers. */
#ifndef EX_KERNELS_QUAD_H
#define EX_KERNELS_QUAD_H

#include "bf16.h"
#include "launch.h"

constexpr int EX_QUAD = 4;

typedef struct ex_bf16 {
    uint16_t bits;
} ex_bf16;

static inline __device__ float ex_value(float stored)
{
    return stored;
}

static inline __device__ float ex_value(ex_bf16 stored)
{
    return ex_bf16_value_body(stored.bits);
}

static inline __device__ void ex_keep(float *to, float value)
{
    *to = value;
}

/* As ex_bf16_bits_body, but for the bits of a NaN. */
static inline __device__ void ex_keep(ex_bf16 *to, float value)
{
#if defined(__CUDA_ARCH__)
    uint16_t bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    to->bits = bits;
#else
    to->bits = ex_bf16_bits_body(value);
#endif
}

/* Whether every address is a multiple of 16 bytes; NULL is. */
template <typename... T> static inline bool ex_aligned(const T *...pointers)
{
    return ((((uintptr_t)pointers) | ...) % 16) == 0;
}

template <int WIDTH>
static inline __device__ void ex_quad_load(float (&value)[WIDTH], const float *from)
{
    static_assert(WIDTH == 1 || WIDTH == EX_QUAD, "one float or a float4");
    if (WIDTH == EX_QUAD) {
        const float4 v = *(const float4 *)from;
        value[0] = v.x, value[1 % WIDTH] = v.y, value[2 % WIDTH] = v.z, value[3 % WIDTH] = v.w;
    } else {
        value[0] = *from;
    }
}

template <int WIDTH>
static inline __device__ void ex_quad_store(float *to, const float (&value)[WIDTH])
{
    if (WIDTH == EX_QUAD) {
        float4 v;
        v.x = value[0], v.y = value[1 % WIDTH], v.z = value[2 % WIDTH], v.w = value[3 % WIDTH];
        *(float4 *)to = v;
    } else {
        *to = value[0];
    }
}

static_assert(sizeof(uint2) == EX_QUAD * sizeof(ex_bf16), "four bf16 in one access");

template <int WIDTH>
static inline __device__ void ex_quad_load(float (&value)[WIDTH], const ex_bf16 *from)
{
    static_assert(WIDTH == 1 || WIDTH == EX_QUAD, "one value or four");
    if (WIDTH == EX_QUAD) {
        const uint2 v = *(const uint2 *)from;
        value[0] = ex_bf16_value_body((uint16_t)v.x);
        value[1 % WIDTH] = ex_bf16_value_body((uint16_t)(v.x >> 16));
        value[2 % WIDTH] = ex_bf16_value_body((uint16_t)v.y);
        value[3 % WIDTH] = ex_bf16_value_body((uint16_t)(v.y >> 16));
    } else {
        value[0] = ex_value(*from);
    }
}

template <int WIDTH>
static inline __device__ void ex_quad_store(ex_bf16 *to, const float (&value)[WIDTH])
{
    if (WIDTH == EX_QUAD) {
        ex_bf16 b[EX_QUAD];
        for (int j = 0; j < EX_QUAD; j++)
            ex_keep(b + j, value[j % WIDTH]);
        uint2 v;
        v.x = b[0].bits | (uint32_t)b[1].bits << 16, v.y = b[2].bits | (uint32_t)b[3].bits << 16;
        *(uint2 *)to = v;
    } else {
        ex_keep(to, value[0]);
    }
}

/* This thread among all of a one-dimensional grid, and how many there are. */
static inline __device__ size_t ex_thread(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static inline __device__ size_t ex_threads(void)
{
    return (size_t)gridDim.x * blockDim.x;
}

/* How many of n values the quads cover; the rest, and all if not aligned, goes one by one. */
static inline size_t ex_quads(bool aligned, size_t n)
{
    return aligned ? n / EX_QUAD : 0;
}

#endif
