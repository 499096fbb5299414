/* Reference of the message operations. */
#include "reference.h"

void ex_segments_pack_ref(float *packed, const float *flat, const ex_segment *segments,
                          size_t segment_count)
{
    for (size_t s = 0; s < segment_count; s++)
        for (size_t i = 0; i < segments[s].length; i++)
            *packed++ = flat[segments[s].offset + i];
}

void ex_segments_unpack_ref(float *flat, const float *packed, const ex_segment *segments,
                            size_t segment_count)
{
    for (size_t s = 0; s < segment_count; s++)
        for (size_t i = 0; i < segments[s].length; i++)
            flat[segments[s].offset + i] = *packed++;
}

void ex_accumulate_ref(double *acc, const float *x, double weight, size_t n)
{
    for (size_t i = 0; i < n; i++)
        acc[i] += weight * (double)x[i];
}
