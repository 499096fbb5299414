/* A convolution's outputs after one channel of its input changed.
 *
 *   out[v, n, k, h, w] = pre[n, k, h, w] - sum over r, s of weight[c, r, s, k] * d[h', w']
 *
 * with c = channel[v], d = x_c - x'_c and (h', w') where the window begins, + (r, s). One input
 * channel's work instead of all: what it costs is mostly to write `out`. A unit of work is an image
 * and a variant: its plane of differences is laid out once, with zeros around, and then each pixel
 * of it multiplies vectors of sixteen outputs. Variants of an image follow each other, and find
 * `pre` in the cache. */
#include "conv_channel.h"
#include "residual.h"
#include "wide.h"

#include <stdbool.h>

typedef struct update {
    void *out;
    float *scratch;
    const float *pre;
    const void *weight;
    const ex_channel_change *change;
    const ex_conv_shape *c;
    int relu;
    size_t V, N, in_map, out_map; /* floats of one image */
} update;

size_t ex_conv_channel_scratch_host(const ex_conv_shape *c, int V)
{
    return (size_t)V * (size_t)c->in.N * ex_channel_plane_floats(c);
}

/* --- differences ------------------------------------------------------------------------------ */

EX_INLINE float difference(const ex_channel_change *x, size_t at, size_t v, ex_map_type type)
{
    const float changed = x->residual ? x->fill[v] + ex_map_get(x->residual, at, type) : x->fill[v];
    return ex_map_get(x->in, at, type) - (x->relu ? ex_relu_body(changed) : changed);
}

EX_INLINE void fill_plane(float *plane, const update *u, size_t n, size_t v, ex_map_type type)
{
    const ex_map_shape *in = &u->c->in;
    const ex_channel_plane size = ex_channel_plane_of(u->c);
    const size_t block = (size_t)in->block, c = (size_t)u->change->channel[v];
    const size_t channel = n * u->in_map + (c - c % block) * (size_t)(in->H * in->W) + c % block;
    for (int y = 0; y < size.H; y++)
        for (int x = 0; x < size.W; x++) {
            const int h = y - u->c->pad, w = x - u->c->pad;
            const bool inside = h >= 0 && h < in->H && w >= 0 && w < in->W;
            plane[y * size.W + x] =
                inside ? difference(u->change, channel + (size_t)(h * in->W + w) * block, v, type)
                       : 0.0f;
        }
}

/* --- sixteen outputs at a time ---------------------------------------------------------------- */

enum { TAPS_MAX = 9 };

/* `pixels` of a row: out and pre `step` floats apart, d at the first one's window, d_line floats a
 * line of it. R, S and stride are constants where this is inlined. */
EX_INLINE void update_row(void *out, const float *pre, ex_map_type type, size_t step, int pixels,
                          const float *d, size_t d_line, const ex_wide *w, int R, int S, int stride,
                          int relu)
{
    for (int i = 0; i < pixels; i++) {
        ex_wide sum = {0};
        for (int r = 0; r < R; r++) {
            ex_wide line = w[r * S] * d[(size_t)r * d_line + (size_t)(i * stride)];
            for (int s = 1; s < S; s++)
                line += w[r * S + s] * d[(size_t)r * d_line + (size_t)(i * stride + s)];
            sum += line;
        }
        ex_wide value = ex_wide_load(pre + (size_t)i * step) - sum;
        if (relu)
            value = ex_wide_where_positive(value, value);
        ex_wide_put(out, (size_t)i * step, value, type);
    }
}

/* All pixels of sixteen channels; `weight`: the first tap's, K apart. */
EX_INLINE void update_slab(void *out, const float *pre, const float *plane, const void *weight,
                           ex_map_type type, const ex_conv_shape *c, int R, int S, int stride,
                           int relu)
{
    const size_t step = (size_t)c->out_block, line = step * (size_t)c->out_W;
    const size_t width = (size_t)ex_channel_plane_of(c).W;
    ex_wide w[TAPS_MAX];
    for (int t = 0; t < R * S; t++)
        w[t] = ex_wide_get(weight, (size_t)t * (size_t)c->K, type);
    for (int h = 0; h < c->out_H; h++)
        update_row(ex_map_at(out, (ptrdiff_t)((size_t)h * line), type), pre + (size_t)h * line,
                   type, step, c->out_W, plane + (size_t)(h * stride) * width, width, w, R, S,
                   stride, relu);
}

EX_INLINE void update_wide(void *out, const float *pre, const float *plane, const void *weight,
                           ex_map_type type, const ex_conv_shape *c, int relu)
{
    const size_t block = (size_t)c->out_block, pixels = (size_t)(c->out_H * c->out_W);
    for (size_t k = 0; k < (size_t)c->K; k += EX_WIDE) {
        const size_t at = k / block * block * pixels + k % block;
        void *to = ex_map_at(out, (ptrdiff_t)at, type);
        const void *w = ex_map_in(weight, (ptrdiff_t)k, type);
        if (c->R == 3 && c->S == 3 && c->stride == 1)
            update_slab(to, pre + at, plane, w, type, c, 3, 3, 1, relu);
        else if (c->R == 3 && c->S == 3 && c->stride == 2)
            update_slab(to, pre + at, plane, w, type, c, 3, 3, 2, relu);
        else
            update_slab(to, pre + at, plane, w, type, c, c->R, c->S, c->stride, relu);
    }
}

/* --- any layout, any window ------------------------------------------------------------------- */

EX_INLINE void update_plain(void *out, const float *pre, const float *plane, const void *weight,
                            ex_map_type type, const ex_conv_shape *c, int relu)
{
    const size_t block = (size_t)c->out_block, pixels = (size_t)(c->out_H * c->out_W);
    const size_t width = (size_t)ex_channel_plane_of(c).W, K = (size_t)c->K;
    for (size_t i = 0; i < K * pixels; i++) {
        const size_t k = i / (pixels * block) * block + i % block, p = i % (pixels * block) / block;
        const float *d = plane + p / (size_t)c->out_W * (size_t)c->stride * width +
                         p % (size_t)c->out_W * (size_t)c->stride;
        float sum = 0.0f;
        for (size_t r = 0; r < (size_t)c->R; r++)
            for (size_t s = 0; s < (size_t)c->S; s++)
                sum += ex_map_get(weight, (r * (size_t)c->S + s) * K + k, type) * d[r * width + s];
        const float value = pre[i] - sum;
        ex_map_put(out, i, relu ? ex_relu_body(value) : value, type);
    }
}

EX_INLINE void copy_plain(void *restrict out, const float *restrict pre, ex_map_type type, size_t n,
                          int relu)
{
    for (size_t i = 0; i < n; i++)
        ex_map_put(out, i, relu ? ex_relu_body(pre[i]) : pre[i], type);
}

/* Units i = image * V + variant, for i in [begin, end). */
EX_INLINE void update_units(const update *u, ex_map_type type, size_t begin, size_t end)
{
    const ex_conv_shape *c = u->c;
    const size_t taps = (size_t)(c->R * c->S);
    const bool wide = c->out_block % EX_WIDE == 0 && taps <= TAPS_MAX;
    for (size_t i = begin; i < end; i++) {
        const size_t n = i / u->V, v = i % u->V;
        void *out = ex_map_at(u->out, (ptrdiff_t)((v * u->N + n) * u->out_map), type);
        const float *pre = u->pre + n * u->out_map;
        const int32_t channel = u->change->channel[v];
        if (channel < 0) {
            copy_plain(out, pre, type, u->out_map, u->relu);
            continue;
        }
        float *plane = u->scratch + i * ex_channel_plane_floats(c);
        const void *weight =
            ex_map_in(u->weight, (ptrdiff_t)((size_t)channel * taps * (size_t)c->K), type);
        fill_plane(plane, u, n, v, type);
        if (wide && u->relu)
            update_wide(out, pre, plane, weight, type, c, 1);
        else if (wide)
            update_wide(out, pre, plane, weight, type, c, 0);
        else
            update_plain(out, pre, plane, weight, type, c, u->relu);
    }
}

EX_CLONES static void update_range(const update *u, size_t begin, size_t end)
{
    EX_TYPED(u->c->in.type, T, update_units(u, T, begin, end));
}

void ex_conv_channel_update_host(void *out, const float *pre, const void *weight,
                                 const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                 float *scratch, ex_stream s)
{
    const size_t pixels = (size_t)c->out_H * (size_t)c->out_W;
    const update u = {.out = out,
                      .scratch = scratch,
                      .pre = pre,
                      .weight = weight,
                      .change = change,
                      .c = c,
                      .relu = relu,
                      .V = (size_t)change->V,
                      .N = (size_t)c->in.N,
                      .in_map = (size_t)c->in.C * (size_t)c->in.H * (size_t)c->in.W,
                      .out_map = (size_t)c->K * pixels};
    EX_SHARE(u.N * u.V, u.N * u.V * u.out_map, s, update_range(&u, begin, end));
}
