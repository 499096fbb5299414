/* SGD with momentum and weight decay on segments of the flat vectors.
 *
 *   g' = g + wd * p      v = mu * v + g'      p = p - lr * (nesterov ? g' + mu * v : v)
 *
 * A unit of work is the part of a segment in one aligned group of four floats: most are whole and
 * move 16 bytes at a time wherever segments begin; those at a segment's ends go float by float.
 * Bytes outside the segments are neither read nor written: masked training relies on it. */
#include "quad.h"
#include "segment_scan.h"
#include "sgd.h"

typedef struct vectors {
    float *params, *velocity; /* (P) */
    const float *grads;       /* (P) */
    bool aligned;
} vectors;

/* Groups of four that a segment touches. */
static inline __device__ size_t groups(ex_segment segment)
{
    const size_t first = segment.offset / EX_QUAD;
    const size_t end = (segment.offset + segment.length + EX_QUAD - 1) / EX_QUAD;
    return segment.length ? end - first : 0;
}

template <int WIDTH>
static inline __device__ void step(const vectors &v, size_t at, const ex_sgd_coeff &c)
{
    float param[WIDTH], velocity[WIDTH], grad[WIDTH];
    ex_quad_load(param, v.params + at);
    ex_quad_load(velocity, v.velocity + at);
    ex_quad_load(grad, v.grads + at);
    for (int j = 0; j < WIDTH; j++)
        ex_sgd_body(param + j, velocity + j, grad[j], c);
    ex_quad_store(v.params + at, param);
    ex_quad_store(v.velocity + at, velocity);
}

/* The part of a segment in the group that starts at `at`. */
static inline __device__ void step_group(const vectors &v, ex_segment segment, size_t at,
                                         const ex_sgd_coeff &c)
{
    const size_t stop = segment.offset + segment.length;
    const size_t low = at < segment.offset ? segment.offset : at;
    const size_t high = at + EX_QUAD < stop ? at + EX_QUAD : stop;
    if (v.aligned && high - low == EX_QUAD) {
        step<EX_QUAD>(v, at, c);
        return;
    }
    for (size_t i = low; i < high; i++)
        step<1>(v, i, c);
}

/* Reads 12 bytes an element of the segments, writes 8; each block reads the list, 16 bytes a
 * segment, from the L2 cache. */
static __global__ void __launch_bounds__(EX_BLOCK)
    sgd_segments_kernel(vectors v, const ex_segment *segments, size_t segment_count, ex_sgd_coeff c)
{
    EX_SHARED(size_t, start, EX_SCAN_CHUNK + 1);
    EX_SHARED(size_t, warp_units, EX_SCAN_WARPS);
    size_t unit = ex_thread(), base = 0;
    for (size_t first = 0; first < segment_count; first += EX_SCAN_CHUNK) {
        const ex_segment *list = segments + first;
        const size_t count = segment_count - first;
        base = ex_scan_chunk(start, warp_units, list, count, base, groups);
        for (; unit < base; unit += ex_threads()) {
            const size_t i = ex_scan_find(start, count, unit);
            const size_t group = list[i].offset / EX_QUAD + (unit - start[i]);
            step_group(v, list[i], group * EX_QUAD, c);
        }
    }
}

void ex_sgd_segments_cuda(float *params, float *velocity, const float *grads,
                          const ex_segment *segments, size_t segment_count, ex_sgd_coeff c,
                          ex_stream s)
{
    if (segment_count == 0)
        return;
    const vectors v = {params, velocity, grads, ex_aligned(params, velocity, grads)};
    EX_LAUNCH_TOGETHER(sgd_segments_kernel, ex_scan_blocks(), EX_BLOCK, 0, s, v, segments,
                       segment_count, c);
}
