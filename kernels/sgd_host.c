/* SGD with momentum and weight decay on segments of the flat vectors.
 *
 *   g' = g + wd * p      v = mu * v + g'      p = p - lr * (nesterov ? g' + mu * v : v)
 *
 * Bytes outside the segments are neither read nor written: masked training relies on it. Threads
 * share the segments' elements evenly. */
#include "host.h"
#include "segments.h"
#include "sgd.h"

EX_CLONES static void sgd_range(float *restrict params, float *restrict velocity,
                                const float *restrict grads, const ex_segment *segments,
                                ex_sgd_coeff c, size_t begin, size_t end)
{
    for (size_t start = 0; start < end; start += segments++->length) {
        size_t low, high;
        ex_segment_part(*segments, start, begin, end, &low, &high);
        const size_t stop = segments->offset + high;
#pragma omp simd
        for (size_t i = segments->offset + low; i < stop; i++)
            ex_sgd_body(params + i, velocity + i, grads[i], c);
    }
}

void ex_sgd_segments_host(float *params, float *velocity, const float *grads,
                          const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                          ex_stream s)
{
    const size_t total = ex_segments_total(segments, segment_count);
    EX_SHARE(total, total, s, sgd_range(params, velocity, grads, segments, c, begin, end));
}
