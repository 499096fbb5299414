/* Messages: segments of a flat vector laid end to end, and the weighted sum over clients.
 *
 *   packed = flat[segment 0], flat[segment 1], ...        acc += weight * x  in fixed point
 *
 * Threads share the packed vector evenly, so a share may start inside a segment. */
#include "host.h"
#include "segments.h"

#include <string.h>

/* Below this a call to memcpy costs more than the copy. */
enum { SHORT_COPY = 16 };

EX_INLINE void copy(float *restrict out, const float *restrict in, size_t n)
{
    if (n > SHORT_COPY) {
        memcpy(out, in, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = in[i];
}

static void pack_range(float *packed, const float *flat, const ex_segment *segments, size_t begin,
                       size_t end)
{
    for (size_t start = 0; start < end; start += segments++->length) {
        size_t low, high;
        ex_segment_part(*segments, start, begin, end, &low, &high);
        if (low < high)
            copy(packed + start + low, flat + segments->offset + low, high - low);
    }
}

static void unpack_range(float *flat, const float *packed, const ex_segment *segments, size_t begin,
                         size_t end)
{
    for (size_t start = 0; start < end; start += segments++->length) {
        size_t low, high;
        ex_segment_part(*segments, start, begin, end, &low, &high);
        if (low < high)
            copy(flat + segments->offset + low, packed + start + low, high - low);
    }
}

EX_CLONES static uint64_t accumulate_range(int64_t *restrict acc, const float *restrict x,
                                           double weight, size_t begin, size_t end)
{
    uint64_t outside = 0;
    for (size_t i = begin; i < end; i++) {
        const int fits = ex_fixed_fits(x[i]);
        acc[i] += ex_fixed_body(fits ? x[i] : 0.0f, weight);
        outside += !fits;
    }
    return outside;
}

static void accumulate_share(int64_t *acc, uint64_t *outside, const float *x, double weight,
                             size_t begin, size_t end)
{
    const uint64_t more = accumulate_range(acc, x, weight, begin, end);
#pragma omp atomic
    *outside += more;
}

void ex_segments_pack_host(float *packed, const float *flat, const ex_segment *segments,
                           size_t segment_count, ex_stream s)
{
    const size_t total = ex_segments_total(segments, segment_count);
    EX_SHARE(total, total, s, pack_range(packed, flat, segments, begin, end));
}

void ex_segments_unpack_host(float *flat, const float *packed, const ex_segment *segments,
                             size_t segment_count, ex_stream s)
{
    const size_t total = ex_segments_total(segments, segment_count);
    EX_SHARE(total, total, s, unpack_range(flat, packed, segments, begin, end));
}

void ex_accumulate_fixed_host(int64_t *acc, uint64_t *outside, const float *x, double weight,
                              size_t n, ex_stream s)
{
    EX_SHARE(n, n, s, accumulate_share(acc, outside, x, weight, begin, end));
}
