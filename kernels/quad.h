/* Four floats at a time: one 16-byte access of a thread, 512 bytes of a warp.
 *
 * Kernels are written for WIDTH floats, 4 where all addresses are multiples of 16 bytes and 1
 * elsewhere. Small arrays, fully unrolled, stay in registers. */
#ifndef EX_KERNELS_QUAD_H
#define EX_KERNELS_QUAD_H

#include "launch.h"

constexpr int EX_QUAD = 4;

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

/* This thread among all of a one-dimensional grid, and how many there are. */
static inline __device__ size_t ex_thread(void)
{
    return (size_t)blockIdx.x * blockDim.x + threadIdx.x;
}

static inline __device__ size_t ex_threads(void)
{
    return (size_t)gridDim.x * blockDim.x;
}

/* How many of n floats the quads cover; the rest, and all if not aligned, goes one by one. */
static inline size_t ex_quads(bool aligned, size_t n)
{
    return aligned ? n / EX_QUAD : 0;
}

#endif
