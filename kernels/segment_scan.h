/* One launch for a whole list of segments, whatever their lengths: the list lies in device memory,
 * its total length is nowhere on the host, and one segment may be a bias or the whole model.
 *
 * Work is numbered in units, segment after segment. Every block reads the list in chunks, adds up
 * the units before each segment in shared memory, and its threads find the segments of their units
 * there. So work is spread evenly and the host never looks at the list; a chunk costs a block about
 * a microsecond, often hidden behind other blocks' traffic. */
#ifndef EX_KERNELS_SEGMENT_SCAN_H
#define EX_KERNELS_SEGMENT_SCAN_H

#include "launch.h"

constexpr int EX_SCAN_EACH = 4; /* segments a thread adds up */
constexpr int EX_SCAN_CHUNK = EX_BLOCK * EX_SCAN_EACH, EX_SCAN_WARPS = EX_BLOCK / EX_WARP;

/* Sum of `value` over the lanes before this one. */
static inline __device__ size_t ex_scan_lanes_before(size_t value)
{
    const unsigned lane = threadIdx.x % EX_WARP;
    size_t sum = value;
    for (unsigned lanes = 1; lanes < EX_WARP; lanes *= 2) {
        const size_t below = __shfl_up_sync(EX_FULL_WARP, sum, lanes);
        sum += lane >= lanes ? below : 0;
    }
    return sum - value;
}

/* start[i] = base + units of segments [0, i), for i in [0, EX_SCAN_CHUNK]; segments past `count`
 * have none. Returns start[EX_SCAN_CHUNK]. start, warp_units: shared; for all threads of the
 * block, which leave together. Units: a function of a segment. */
template <typename Units>
static inline __device__ size_t ex_scan_chunk(size_t *start, size_t *warp_units,
                                              const ex_segment *segments, size_t count, size_t base,
                                              Units units)
{
    const size_t first = (size_t)threadIdx.x * EX_SCAN_EACH, warp = threadIdx.x / EX_WARP;
    size_t before[EX_SCAN_EACH], sum = 0;
    for (size_t j = 0; j < EX_SCAN_EACH; j++) {
        before[j] = sum;
        sum += first + j < count ? units(segments[first + j]) : 0;
    }
    size_t at = base + ex_scan_lanes_before(sum);
    if (threadIdx.x % EX_WARP == EX_WARP - 1)
        warp_units[warp] = at - base + sum;
    __syncthreads(); /* also for readers of the last chunk's `start` */
    for (size_t i = 0; i < warp; i++)
        at += warp_units[i];
    for (size_t j = 0; j < EX_SCAN_EACH; j++)
        start[first + j] = at + before[j];
    if (threadIdx.x == EX_BLOCK - 1)
        start[EX_SCAN_CHUNK] = at + sum;
    __syncthreads();
    return start[EX_SCAN_CHUNK];
}

/* The segment of the chunk that holds `unit`: start[i] <= unit < start[i + 1]. */
static inline __device__ size_t ex_scan_find(const size_t *start, size_t count, size_t unit)
{
    size_t low = 0, high = count < EX_SCAN_CHUNK ? count : EX_SCAN_CHUNK;
    while (high - low > 1) {
        const size_t middle = (low + high) / 2;
        if (start[middle] <= unit)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Blocks of a launch over segments: not more than half of what fills the device, since each reads
 * the whole list. */
static inline unsigned ex_scan_blocks(void)
{
    return (unsigned)(ex_launch_blocks_most() / 2);
}

#endif
