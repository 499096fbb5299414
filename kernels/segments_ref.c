/* Reference of the message operations. */
#include "reference.h"

#include <math.h>

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

/* In long double, whose 64 bits hold every fixed-point number. */
void ex_accumulate_fixed_ref(int64_t *acc, uint64_t *outside, const float *x, double weight,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || x[i] > 4194304.0f || x[i] < -4194304.0f) {
            ++*outside;
            continue;
        }
        const double product = weight * (double)x[i];
        acc[i] += llrintl((long double)product * 1099511627776.0L);
    }
}
