/* V copies of an activation map, each with one channel replaced by what its ablation leaves.
 *
 *   out[v, n, c] = in[n, c]
 *   out[v, n, channel[v]] = fill[v] + residual[n, channel[v]], through a ReLU if asked
 *
 * in, residual (N, C, H, W), out (V, N, C, H, W), all in shape->block. Copy and patch: image by
 * image, so that the source is read from memory once for all variants and the patch finds its lines
 * in the cache. */
#include "host.h"
#include "residual.h"

#include <string.h>

typedef struct ablation {
    const float *in, *residual; /* residual may be NULL */
    const int32_t *channel;     /* (V) */
    const float *fill;          /* (V) */
    int relu;
    size_t V, N, pixels, map, block; /* map: floats of one image, C * pixels */
} ablation;

/* Replaces one channel of one image: `pixels` floats, `step` apart. */
EX_INLINE void patch(float *restrict out, const float *restrict residual, float fill, int relu,
                     size_t pixels, size_t step)
{
    for (size_t p = 0; p < pixels; p++) {
        const float value = residual ? fill + residual[p * step] : fill;
        out[p * step] = relu ? ex_relu_body(value) : value;
    }
}

/* Copies i = image * V + variant, for i in [begin, end). */
EX_CLONES static void ablate_range(float *out, const ablation *a, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / a->V, v = i % a->V;
        float *copy = out + (v * a->N + n) * a->map;
        memcpy(copy, a->in + n * a->map, a->map * sizeof *copy);
        if (a->channel[v] < 0)
            continue;
        const size_t c = (size_t)a->channel[v], within = c % a->block;
        const size_t at = (c - within) * a->pixels + within;
        const float *residual = a->residual ? a->residual + n * a->map + at : NULL;
        if (a->block == 1)
            patch(copy + at, residual, a->fill[v], a->relu, a->pixels, 1);
        else
            patch(copy + at, residual, a->fill[v], a->relu, a->pixels, a->block);
    }
}

void ex_channel_ablate_host(float *out, const float *in, const float *residual,
                            const int32_t *channel, const float *fill, int relu, int V,
                            const ex_map_shape *shape, ex_stream s)
{
    const size_t pixels = (size_t)shape->H * (size_t)shape->W;
    const ablation a = {.in = in,
                        .residual = residual,
                        .channel = channel,
                        .fill = fill,
                        .relu = relu,
                        .V = (size_t)V,
                        .N = (size_t)shape->N,
                        .pixels = pixels,
                        .map = (size_t)shape->C * pixels,
                        .block = (size_t)shape->block};
    EX_SHARE(a.N * a.V, a.N * a.V * a.map, s, ablate_range(out, &a, begin, end));
}
