/* Walking lists of segments, and the element of accumulate_fixed; shared by host and CUDA. */
#ifndef EX_KERNELS_SEGMENTS_H
#define EX_KERNELS_SEGMENTS_H

#include "device.h"
#include "kernels.h"

#include <math.h>

/* Whether x can be added; a NaN cannot. */
EX_BODY int ex_fixed_fits(float x)
{
    return fabsf(x) <= (float)EX_FIXED_MAX;
}

/* The scale is a power of two, so that only the product rounds. */
EX_BODY double ex_fixed_scaled(float x, double weight)
{
    return weight * (double)x * (double)((int64_t)1 << EX_FIXED_BITS);
}

/* The addend of an x that fits. */
EX_BODY int64_t ex_fixed_body(float x, double weight)
{
    return (int64_t)rint(ex_fixed_scaled(x, weight));
}

/* The part of a segment that lies in [begin, end) of the packed vector, where the segment starts at
 * `start` there: elements [*low, *high) of the segment; empty if *low >= *high. */
EX_BODY void ex_segment_part(ex_segment segment, size_t start, size_t begin, size_t end,
                             size_t *low, size_t *high)
{
    const size_t stop = start + segment.length;
    *low = begin > start ? begin - start : 0;
    *high = end < start ? 0 : (end < stop ? end : stop) - start;
}

EX_BODY size_t ex_segments_total(const ex_segment *segments, size_t segment_count)
{
    size_t total = 0;
    for (size_t i = 0; i < segment_count; i++)
        total += segments[i].length;
    return total;
}

#endif
