/* Messages: segments of a flat vector laid end to end, and the weighted sum over clients.
 *
 *   packed = flat[segment 0], flat[segment 1], ...        acc += weight * x  in float64
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

/* Reads 12 bytes an element, writes 8. The first 4 * quads elements go four at a time. */
static __global__ void __launch_bounds__(EX_BLOCK)
    accumulate_kernel(double *acc, const float *x, double weight, size_t quads, size_t n)
{
    for (size_t i = ex_thread(); i < quads; i += ex_threads()) {
        const float4 four = ((const float4 *)x)[i];
        double2 *sum = (double2 *)acc + 2 * i;
        double2 low = sum[0], high = sum[1];
        low.x = ex_accumulate_body(low.x, four.x, weight);
        low.y = ex_accumulate_body(low.y, four.y, weight);
        high.x = ex_accumulate_body(high.x, four.z, weight);
        high.y = ex_accumulate_body(high.y, four.w, weight);
        sum[0] = low, sum[1] = high;
    }
    for (size_t i = quads * EX_QUAD + ex_thread(); i < n; i += ex_threads())
        acc[i] = ex_accumulate_body(acc[i], x[i], weight);
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

void ex_accumulate_cuda(double *acc, const float *x, double weight, size_t n, ex_stream s)
{
    if (n == 0)
        return;
    const size_t quads = ex_quads(((uintptr_t)acc | (uintptr_t)x) % 16 == 0, n);
    EX_LAUNCH(accumulate_kernel, ex_launch_blocks(quads ? quads : n), EX_BLOCK, 0, s, acc, x,
              weight, quads, n);
}
