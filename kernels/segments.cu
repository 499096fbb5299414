/* Messages: segments of a flat vector laid end to end, and the weighted sum over clients.
 *
 *   packed = flat[segment 0], flat[segment 1], ...        acc += weight * x  in fixed point
 *
 * A thread of pack and unpack owns an aligned group of four packed floats: one 16-byte access on
 * the packed side, and on the flat side too where the segment keeps the alignment, as whole filter
 * rows do. */
#include "quad.h"
#include "segment_scan.h"
#include "segments.h"

static inline __device__ size_t length(ex_segment segment)
{
    return segment.length;
}

/* Moves packed elements [low, high), at most a group, that lie in the chunk. */
static inline __device__ void move(float *packed, float *flat, bool pack, bool aligned,
                                   const size_t *start, const ex_segment *list, size_t count,
                                   size_t low, size_t high)
{
    size_t i = ex_scan_find(start, count, low);
    const size_t at = list[i].offset + (low - start[i]);
    if (aligned && high - low == EX_QUAD && high <= start[i + 1] && at % EX_QUAD == 0) {
        float value[EX_QUAD];
        ex_quad_load(value, pack ? flat + at : packed + low);
        ex_quad_store(pack ? packed + low : flat + at, value);
        return;
    }
    for (size_t e = low; e < high; e++) {
        while (start[i + 1] <= e)
            i++;
        float *there = flat + list[i].offset + (e - start[i]);
        if (pack)
            packed[e] = *there;
        else
            *there = packed[e];
    }
}

static inline __device__ void move_segments(float *packed, float *flat, bool pack, bool aligned,
                                            const ex_segment *segments, size_t segment_count)
{
    EX_SHARED(size_t, start, EX_SCAN_CHUNK + 1);
    EX_SHARED(size_t, warp_units, EX_SCAN_WARPS);
    size_t group = ex_thread() * EX_QUAD, base = 0;
    for (size_t first = 0; first < segment_count; first += EX_SCAN_CHUNK) {
        const ex_segment *list = segments + first;
        const size_t count = segment_count - first, chunk = base;
        base = ex_scan_chunk(start, warp_units, list, count, base, length);
        while (group < base) {
            const size_t end = group + EX_QUAD;
            move(packed, flat, pack, aligned, start, list, count, group < chunk ? chunk : group,
                 end < base ? end : base);
            if (end > base)
                break; /* the rest of the group lies in the next chunk */
            group += ex_threads() * EX_QUAD;
        }
    }
}

/* Reads 4 bytes a packed element and writes 4; each block reads the list, 16 bytes a segment, from
 * the L2 cache. */
static __global__ void __launch_bounds__(EX_BLOCK)
    segments_pack_kernel(float *packed, const float *flat, const ex_segment *segments,
                         size_t segment_count, bool aligned)
{
    move_segments(packed, (float *)flat, true, aligned, segments, segment_count);
}

/* The same traffic. */
static __global__ void __launch_bounds__(EX_BLOCK)
    segments_unpack_kernel(float *flat, const float *packed, const ex_segment *segments,
                           size_t segment_count, bool aligned)
{
    move_segments((float *)packed, flat, false, aligned, segments, segment_count);
}

/* Reads 12 bytes an element, writes 8. Two neighbouring sums are one 16-byte access; the first
 * 2 * pairs elements go so. */
static inline __device__ long long fixed_addend(float x, double weight, unsigned long long *outside)
{
    if (ex_fixed_fits(x))
        return ex_fixed_body(x, weight);
    atomicAdd(outside, 1ull); /* of integers: no order shows */
    return 0;
}

static __global__ void __launch_bounds__(EX_BLOCK)
    accumulate_fixed_kernel(long long *acc, unsigned long long *outside, const float *x,
                            double weight, size_t pairs, size_t n)
{
    for (size_t i = ex_thread(); i < pairs; i += ex_threads()) {
        const float2 two = ((const float2 *)x)[i];
        longlong2 sum = ((longlong2 *)acc)[i];
        sum.x += fixed_addend(two.x, weight, outside);
        sum.y += fixed_addend(two.y, weight, outside);
        ((longlong2 *)acc)[i] = sum;
    }
    for (size_t i = 2 * pairs + ex_thread(); i < n; i += ex_threads())
        acc[i] += fixed_addend(x[i], weight, outside);
}

void ex_segments_pack_cuda(float *packed, const float *flat, const ex_segment *segments,
                           size_t segment_count, ex_stream s)
{
    if (segment_count > 0)
        EX_LAUNCH_TOGETHER(segments_pack_kernel, ex_scan_blocks(), EX_BLOCK, 0, s, packed, flat,
                           segments, segment_count, ex_aligned(packed, flat));
}

void ex_segments_unpack_cuda(float *flat, const float *packed, const ex_segment *segments,
                             size_t segment_count, ex_stream s)
{
    if (segment_count > 0)
        EX_LAUNCH_TOGETHER(segments_unpack_kernel, ex_scan_blocks(), EX_BLOCK, 0, s, flat, packed,
                           segments, segment_count, ex_aligned(packed, flat));
}

void ex_accumulate_fixed_cuda(int64_t *acc, uint64_t *outside, const float *x, double weight,
                              size_t n, ex_stream s)
{
    if (n == 0)
        return;
    const bool aligned = (uintptr_t)acc % 16 == 0 && (uintptr_t)x % 8 == 0;
    const size_t pairs = aligned ? n / 2 : 0;
    EX_LAUNCH(accumulate_fixed_kernel, ex_launch_blocks(pairs ? pairs : n), EX_BLOCK, 0, s,
              (long long *)acc, (unsigned long long *)outside, x, weight, pairs, n);
}
