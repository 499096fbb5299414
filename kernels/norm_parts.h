/* How the sums of training's batch norm are cut for CUDA blocks; see norm_train_fwd.cu.
 *
 * A unit is one part of one tile of channels. In it thread t has channel t % width of the tile and
 * begins at pixel t / width, so that a warp reads neighbouring floats. */
#ifndef EX_KERNELS_NORM_PARTS_H
#define EX_KERNELS_NORM_PARTS_H

#include "launch.h"

constexpr uint32_t EX_NORM_PIXELS_A_THREAD = 16;

typedef struct ex_norm_parts {
    uint32_t C, block, pixels; /* of an image's map */
    uint32_t width, rows;      /* channels of a whole tile, and pixels that a block reads at once */
    uint32_t part;             /* pixels of a whole part */
    uint32_t image_parts;      /* parts that an image's pixels are cut into */
    uint32_t block_tiles;      /* tiles that a block of channels is cut into */
    uint32_t parts;            /* of a channel: N * image_parts */
    uint32_t units;            /* parts * tiles of an image */
    double count;              /* values of a channel, N * H * W */
} ex_norm_parts;

static inline ex_norm_parts ex_norm_parts_of(const ex_map_shape *m)
{
    ex_norm_parts p;
    p.C = (uint32_t)m->C;
    p.block = (uint32_t)m->block;
    p.pixels = (uint32_t)m->H * (uint32_t)m->W;
    p.width = p.block < EX_WARP ? p.block : EX_WARP;
    p.rows = EX_BLOCK / p.width;
    p.rows = p.rows < p.pixels ? p.rows : p.pixels;
    p.part = p.rows * EX_NORM_PIXELS_A_THREAD;
    p.image_parts = (p.pixels + p.part - 1) / p.part;
    p.block_tiles = (p.block + p.width - 1) / p.width;
    p.parts = (uint32_t)m->N * p.image_parts;
    p.units = p.parts * (p.C / p.block) * p.block_tiles;
    p.count = (double)m->N * (double)p.pixels;
    return p;
}

/* Pixels of a channel's part i. */
static inline __device__ uint32_t ex_norm_part_pixels(uint32_t i, const ex_norm_parts &p)
{
    const uint32_t begin = i % p.image_parts * p.part;
    return p.pixels - begin < p.part ? p.pixels - begin : p.part;
}

/* A thread's share of a unit. */
typedef struct ex_norm_part {
    bool busy;        /* else there is no channel for it: pixels is 0 */
    uint32_t channel; /* 0 if not busy */
    uint32_t row, pixels;
    size_t start; /* of the channel's first pixel of this part, in the map */
    size_t at;    /* of the channel's sums, (parts, C) */
} ex_norm_part;

static inline __device__ ex_norm_part ex_norm_part_of(uint32_t unit, uint32_t thread,
                                                      const ex_norm_parts &s)
{
    const uint32_t tiles = s.C / s.block * s.block_tiles, tile = unit % tiles, part = unit / tiles;
    const uint32_t slab = tile / s.block_tiles;
    const uint32_t inner = tile % s.block_tiles * s.width + thread % s.width;
    const uint32_t image = part / s.image_parts, first = part % s.image_parts * s.part;
    ex_norm_part p;
    p.row = thread / s.width;
    p.busy = p.row < s.rows && inner < s.block;
    p.channel = p.busy ? slab * s.block + inner : 0;
    p.pixels = p.busy ? ex_norm_part_pixels(part, s) : 0;
    p.start =
        ((size_t)image * s.C + (size_t)slab * s.block) * s.pixels + (size_t)first * s.block + inner;
    p.at = (size_t)part * s.C + p.channel;
    return p;
}

/* *first and *second of row 0 become the sums over all rows, by halves: one fixed order. All
 * threads of a block call it, and may at once call it again: behind the last barrier a thread
 * touches its own two places alone. */
static inline __device__ void ex_norm_part_sum(float *first, float *second, const ex_norm_part &p,
                                               const ex_norm_parts &s)
{
    EX_SHARED(float, firsts, EX_BLOCK);
    EX_SHARED(float, seconds, EX_BLOCK);
    firsts[threadIdx.x] = *first;
    seconds[threadIdx.x] = *second;
    __syncthreads();
    for (uint32_t rows = s.rows; rows > 1; rows = (rows + 1) / 2) {
        const uint32_t half = (rows + 1) / 2;
        if (p.row < rows - half) {
            firsts[threadIdx.x] += firsts[threadIdx.x + half * s.width];
            seconds[threadIdx.x] += seconds[threadIdx.x + half * s.width];
        }
        __syncthreads();
    }
    *first = firsts[threadIdx.x];
    *second = seconds[threadIdx.x];
}

/* This warp among all of the grid, and how many there are. */
static inline __device__ uint32_t ex_norm_warp(void)
{
    return (blockIdx.x * blockDim.x + threadIdx.x) / EX_WARP;
}

static inline __device__ uint32_t ex_norm_warps(void)
{
    return gridDim.x * blockDim.x / EX_WARP;
}

/* The sum over a warp's lanes, in every lane, by a butterfly: one fixed order. */
static inline __device__ double ex_norm_warp_sum(double value)
{
    for (int lanes = EX_WARP / 2; lanes > 0; lanes /= 2)
        value += __shfl_xor_sync(EX_FULL_WARP, value, lanes);
    return value;
}

static inline unsigned ex_norm_part_blocks(const ex_norm_parts &p)
{
    return ex_launch_blocks((size_t)p.units * EX_BLOCK);
}

static inline unsigned ex_norm_warp_blocks(const ex_norm_parts &p)
{
    return ex_launch_blocks((size_t)p.C * EX_WARP);
}

#endif
