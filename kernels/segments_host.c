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

/* A float64 that is added to this one is rounded to an integer, as rint does, and then its last
 * bits are that integer: up to 2^51, and so for values below SMALL and weights up to 1. Vectors
 * have no conversion to int64 before AVX-512DQ. Contraction must be off: fused with the product
 * before it, the addition would round once where ex_fixed_body rounds twice. */
static const double ROUNDS = 0x1.8p52;
enum { RUN = 256, SMALL = 1 << (50 - EX_FIXED_BITS) };

EX_INLINE int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* A NaN is not small. */
EX_INLINE int all_small(const float *x, size_t n)
{
    int large = 0;
    for (size_t i = 0; i < n; i++)
        large |= !(fabsf(x[i]) < (float)SMALL);
    return !large;
}

EX_INLINE uint64_t accumulate_any(int64_t *restrict acc, const float *restrict x, double weight,
                                  size_t n)
{
    uint64_t outside = 0;
    for (size_t i = 0; i < n; i++) {
        const int fits = ex_fixed_fits(x[i]);
        acc[i] += ex_fixed_body(fits ? x[i] : 0.0f, weight);
        outside += !fits;
    }
    return outside;
}

EX_CLONES static uint64_t accumulate_range(int64_t *restrict acc, const float *restrict x,
                                           double weight, size_t begin, size_t end)
{
    const int is_share = fabs(weight) <= 1.0;
    uint64_t outside = 0;
    for (size_t at = begin; at < end; at += RUN) {
        const size_t n = end - at < RUN ? end - at : RUN;
        if (is_share && all_small(x + at, n))
            for (size_t i = at; i < at + n; i++)
                acc[i] += bits_of(ex_fixed_scaled(x[i], weight) + ROUNDS) - bits_of(ROUNDS);
        else
            outside += accumulate_any(acc + at, x + at, weight, n);
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
