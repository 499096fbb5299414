/* Pooling: the largest or the mean value of each window.
 *
 *   y[n, c, p, q] = max or mean of x[n, c, h, w] over the window of (p, q)
 *   dx[n, c, h, w] = sum of dy[n, c, p, q] over the windows that took it    (max)
 *                    sum of dy[n, c, p, q] / (R * S) over the windows on it (mean)
 *
 * x (N, C, H, W), y (N, C, out_H, out_W), one layout for both; the window of (p, q) begins at
 * (p * stride - pad, q * stride - pad). A slab is what shares n and the channel block: pixels of
 * `block` neighbours, over which the innermost loops run. */
#include "host.h"
#include "pool.h"

#include <stdbool.h>

typedef struct pool {
    const ex_pool_shape *shape;
    size_t block, in_slab, out_slab; /* floats */
    bool largest;
    float count;
} pool;

EX_INLINE void take_value(float *restrict y, int8_t *restrict index, const float *restrict x,
                          const pool *g, bool first, int tap)
{
    for (size_t j = 0; j < g->block; j++) {
        if (!g->largest) {
            y[j] = first ? x[j] : y[j] + x[j];
        } else if (first || ex_pool_replaces(x[j], y[j])) {
            y[j] = x[j];
            if (index)
                index[j] = (int8_t)tap;
        }
    }
}

/* One pixel of y; x: the slab. */
EX_INLINE void forward_pixel(float *y, int8_t *index, const float *x, const pool *g, int p, int q)
{
    const ex_pool_shape *s = g->shape;
    bool first = true;
    for (int r = 0; r < s->R; r++)
        for (int t = 0; t < s->S; t++) {
            const int h = p * s->stride - s->pad + r, w = q * s->stride - s->pad + t;
            if (h < 0 || h >= s->in.H || w < 0 || w >= s->in.W)
                continue;
            const size_t at = (size_t)h * (size_t)s->in.W + (size_t)w;
            take_value(y, index, x + at * g->block, g, first, r * s->S + t);
            first = false;
        }
    for (size_t j = 0; j < g->block && !g->largest; j++)
        y[j] /= g->count;
}

EX_CLONES static void forward_range(float *y, int8_t *index, const float *x, const pool *g,
                                    size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++)
        for (int p = 0; p < s->out_H; p++)
            for (int q = 0; q < s->out_W; q++) {
                const size_t at =
                    i * g->out_slab + ((size_t)p * (size_t)s->out_W + (size_t)q) * g->block;
                forward_pixel(y + at, index ? index + at : NULL, x + i * g->in_slab, g, p, q);
            }
}

/* One pixel of dx; dy, index: the slab. */
EX_INLINE void backward_pixel(float *restrict dx, const float *restrict dy,
                              const int8_t *restrict index, const pool *g, int h, int w)
{
    const ex_pool_shape *s = g->shape;
    const ex_pool_readers rows = ex_pool_readers_of(h, s->R, s->stride, s->pad, s->out_H);
    const ex_pool_readers columns = ex_pool_readers_of(w, s->S, s->stride, s->pad, s->out_W);
    for (size_t j = 0; j < g->block; j++)
        dx[j] = 0.0f;
    for (int p = rows.first; p <= rows.last; p++)
        for (int q = columns.first; q <= columns.last; q++) {
            const size_t at = ((size_t)p * (size_t)s->out_W + (size_t)q) * g->block;
            const int tap = (h + s->pad - p * s->stride) * s->S + w + s->pad - q * s->stride;
            for (size_t j = 0; j < g->block; j++)
                if (!g->largest || index[at + j] == tap)
                    dx[j] += dy[at + j];
        }
    for (size_t j = 0; j < g->block && !g->largest; j++)
        dx[j] /= g->count;
}

EX_CLONES static void backward_range(float *dx, const float *dy, const int8_t *index, const pool *g,
                                     size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++)
        for (int h = 0; h < s->in.H; h++)
            for (int w = 0; w < s->in.W; w++)
                backward_pixel(
                    dx + i * g->in_slab + ((size_t)h * (size_t)s->in.W + (size_t)w) * g->block,
                    dy + i * g->out_slab, index ? index + i * g->out_slab : NULL, g, h, w);
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

static void forward(float *y, int8_t *index, const float *x, const ex_pool_shape *p, bool largest,
                    ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s, forward_range(y, index, x, &g, begin, end));
}

static void backward(float *dx, const float *dy, const int8_t *index, const ex_pool_shape *p,
                     bool largest, ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s,
             backward_range(dx, dy, index, &g, begin, end));
}

void ex_maxpool_fwd_host(float *y, int8_t *index, const float *x, const ex_pool_shape *p,
                         ex_stream s)
{
    forward(y, index, x, p, true, s);
}

void ex_maxpool_bwd_host(float *dx, const float *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s)
{
    backward(dx, dy, index, p, true, s);
}

void ex_avgpool_fwd_host(float *y, const float *x, const ex_pool_shape *p, ex_stream s)
{
    forward(y, NULL, x, p, false, s);
}

void ex_avgpool_bwd_host(float *dx, const float *dy, const ex_pool_shape *p, ex_stream s)
{
    backward(dx, dy, NULL, p, false, s);
}
