/* Pooling: the largest or the mean value of each window.
 *
 *   y[n, c, p, q] = max or mean of x[n, c, h, w] over the window of (p, q)
 *   dx[n, c, h, w] = sum of dy[n, c, p, q] over the windows that took it    (max)
 *                    sum of dy[n, c, p, q] / (R * S) over the windows on it (mean)
 *
 * x (N, C, H, W), y (N, C, out_H, out_W), one layout for both; the window of (p, q) begins at
 * (p * stride - pad, q * stride - pad). A slab is what shares n and the channel block: pixels of
 * `block` neighbours, over which the innermost loops run. */
#include "map.h"
#include "pool.h"

#include <stdbool.h>

typedef struct pool {
    const ex_pool_shape *shape;
    size_t block, in_slab, out_slab; /* values */
    bool largest;
    float count;
} pool;

/* Channels that are worked on at once: their sums stay in registers. */
enum { GROUP = 16 };

EX_INLINE void take_value(float *best, int8_t *tap_of, const void *x, size_t at, const pool *g,
                          size_t count, bool first, int tap, ex_map_type type)
{
    for (size_t j = 0; j < count; j++) {
        const float value = ex_map_get(x, at + j, type);
        if (!g->largest) {
            best[j] = first ? value : best[j] + value;
        } else if (first || ex_pool_replaces(value, best[j])) {
            best[j] = value;
            tap_of[j] = (int8_t)tap;
        }
    }
}

/* `count` channels from `channel` on of pixel (p, q) of y, which lies at `to`; x: the slab. */
EX_INLINE void forward_group(void *y, int8_t *index, const void *x, const pool *g, size_t to, int p,
                             int q, size_t channel, size_t count, ex_map_type type)
{
    const ex_pool_shape *s = g->shape;
    float best[GROUP] = {0};
    int8_t tap_of[GROUP] = {0};
    bool first = true;
    for (int r = 0; r < s->R; r++)
        for (int t = 0; t < s->S; t++) {
            const int h = p * s->stride - s->pad + r, w = q * s->stride - s->pad + t;
            if (h < 0 || h >= s->in.H || w < 0 || w >= s->in.W)
                continue;
            const size_t at = ((size_t)h * (size_t)s->in.W + (size_t)w) * g->block + channel;
            take_value(best, tap_of, x, at, g, count, first, r * s->S + t, type);
            first = false;
        }
    for (size_t j = 0; j < count; j++) {
        ex_map_put(y, to + channel + j, g->largest ? best[j] : best[j] / g->count, type);
        if (index)
            index[to + channel + j] = tap_of[j];
    }
}

EX_INLINE void forward_slabs(void *y, int8_t *index, const void *x, const pool *g, ex_map_type type,
                             size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++) {
        const void *slab = ex_map_in(x, (ptrdiff_t)(i * g->in_slab), type);
        for (int p = 0; p < s->out_H; p++)
            for (int q = 0; q < s->out_W; q++) {
                const size_t to =
                    i * g->out_slab + ((size_t)p * (size_t)s->out_W + (size_t)q) * g->block;
                size_t c = 0;
                for (; c + GROUP <= g->block; c += GROUP)
                    forward_group(y, index, slab, g, to, p, q, c, GROUP, type);
                if (c < g->block)
                    forward_group(y, index, slab, g, to, p, q, c, g->block - c, type);
            }
    }
}

EX_CLONES static void forward_range(void *y, int8_t *index, const void *x, const pool *g,
                                    size_t begin, size_t end)
{
    EX_TYPED(g->shape->in.type, T, forward_slabs(y, index, x, g, T, begin, end));
}

/* `count` channels from `channel` on of pixel (h, w) of dx, which lies at `to`; dy, index: the
 * slab. */
EX_INLINE void backward_group(void *dx, const void *dy, const int8_t *index, const pool *g,
                              size_t to, int h, int w, size_t channel, size_t count,
                              ex_map_type type)
{
    const ex_pool_shape *s = g->shape;
    const ex_pool_readers rows = ex_pool_readers_of(h, s->R, s->stride, s->pad, s->out_H);
    const ex_pool_readers columns = ex_pool_readers_of(w, s->S, s->stride, s->pad, s->out_W);
    float sum[GROUP] = {0};
    for (int p = rows.first; p <= rows.last; p++)
        for (int q = columns.first; q <= columns.last; q++) {
            const size_t at = ((size_t)p * (size_t)s->out_W + (size_t)q) * g->block + channel;
            const int tap = (h + s->pad - p * s->stride) * s->S + w + s->pad - q * s->stride;
            for (size_t j = 0; j < count; j++)
                if (!g->largest || index[at + j] == tap)
                    sum[j] += ex_map_get(dy, at + j, type);
        }
    for (size_t j = 0; j < count; j++)
        ex_map_put(dx, to + channel + j, g->largest ? sum[j] : sum[j] / g->count, type);
}

EX_INLINE void backward_slabs(void *dx, const void *dy, const int8_t *index, const pool *g,
                              ex_map_type type, size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++) {
        const void *slab = ex_map_in(dy, (ptrdiff_t)(i * g->out_slab), type);
        const int8_t *taps = index ? index + i * g->out_slab : NULL;
        for (int h = 0; h < s->in.H; h++)
            for (int w = 0; w < s->in.W; w++) {
                const size_t to =
                    i * g->in_slab + ((size_t)h * (size_t)s->in.W + (size_t)w) * g->block;
                size_t c = 0;
                for (; c + GROUP <= g->block; c += GROUP)
                    backward_group(dx, slab, taps, g, to, h, w, c, GROUP, type);
                if (c < g->block)
                    backward_group(dx, slab, taps, g, to, h, w, c, g->block - c, type);
            }
    }
}

EX_CLONES static void backward_range(void *dx, const void *dy, const int8_t *index, const pool *g,
                                     size_t begin, size_t end)
{
    EX_TYPED(g->shape->in.type, T, backward_slabs(dx, dy, index, g, T, begin, end));
}

static pool pool_of(const ex_pool_shape *p, bool largest)
{
    const size_t block = (size_t)p->in.block;
    return (pool){.shape = p,
                  .block = block,
                  .in_slab = (size_t)p->in.H * (size_t)p->in.W * block,
                  .out_slab = (size_t)p->out_H * (size_t)p->out_W * block,
                  .largest = largest,
                  .count = (float)(p->R * p->S)};
}

static size_t slabs_of(const ex_pool_shape *p)
{
    return (size_t)p->in.N * (size_t)(p->in.C / p->in.block);
}

static void forward(void *y, int8_t *index, const void *x, const ex_pool_shape *p, bool largest,
                    ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s, forward_range(y, index, x, &g, begin, end));
}

static void backward(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                     bool largest, ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s,
             backward_range(dx, dy, index, &g, begin, end));
}

void ex_maxpool_fwd_host(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    forward(y, index, x, p, true, s);
}

void ex_maxpool_bwd_host(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s)
{
    backward(dx, dy, index, p, true, s);
}

void ex_avgpool_fwd_host(void *y, const void *x, const ex_pool_shape *p, ex_stream s)
{
    forward(y, NULL, x, p, false, s);
}

void ex_avgpool_bwd_host(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s)
{
    backward(dx, dy, NULL, p, false, s);
}
