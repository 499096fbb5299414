/* V copies of an activation map, each with one channel replaced by what its ablation leaves.
 *
 *   out[v, n, c] = in[n, c]
 *   out[v, n, channel[v]] = fill[v] + residual[n, channel[v]], through a ReLU if asked
 *
 * in, residual (N, C, H, W), out (V, N, C, H, W), all in shape->block. Copy and patch: image by
 * image, so that the source is read from memory once for all variants and the patch finds its lines
 * in the cache. */
#include "map.h"
#include "residual.h"

typedef struct ablation {
    const void *in, *residual; /* residual may be NULL */
    const int32_t *channel;    /* (V) */
    const float *fill;         /* (V) */
    int relu;
    size_t V, N, pixels, map, block; /* map: values of one image, C * pixels */
} ablation;

/* Replaces one channel of one image: `pixels` values, `step` apart. */
EX_INLINE void patch(void *restrict out, const void *restrict residual, float fill, int relu,
                     size_t pixels, size_t step, ex_map_type type)
{
    for (size_t p = 0; p < pixels; p++) {
        const float value = residual ? fill + ex_map_get(residual, p * step, type) : fill;
        ex_map_put(out, p * step, relu ? ex_relu_body(value) : value, type);
    }
}

/* Copies i = image * V + variant, for i in [begin, end). */
EX_INLINE void ablate(void *out, const ablation *a, ex_map_type type, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / a->V, v = i % a->V;
        void *copy = ex_map_at(out, (ptrdiff_t)((v * a->N + n) * a->map), type);
        memcpy(copy, ex_map_in(a->in, (ptrdiff_t)(n * a->map), type),
               a->map * ex_map_type_bytes(type));
        if (a->channel[v] < 0)
            continue;
        const size_t c = (size_t)a->channel[v], within = c % a->block;
        const size_t at = (c - within) * a->pixels + within;
        const void *residual = ex_map_in(a->residual, (ptrdiff_t)(n * a->map + at), type);
        void *to = ex_map_at(copy, (ptrdiff_t)at, type);
        if (a->block == 1)
            patch(to, residual, a->fill[v], a->relu, a->pixels, 1, type);
        else
            patch(to, residual, a->fill[v], a->relu, a->pixels, a->block, type);
    }
}

EX_CLONES static void ablate_range(void *out, const ablation *a, ex_map_type type, size_t begin,
                                   size_t end)
{
    EX_TYPED(type, T, ablate(out, a, T, begin, end));
}

void ex_channel_ablate_host(void *out, const void *in, const void *residual, const int32_t *channel,
                            const float *fill, int relu, int V, const ex_map_shape *shape,
                            ex_stream s)
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
    EX_SHARE(a.N * a.V, a.N * a.V * a.map, s, ablate_range(out, &a, shape->type, begin, end));
}
