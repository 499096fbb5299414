/* Reference of pooling: forward by the definition, backward by handing each window's gradient to
 * where it came from. */
#include "reference.h"

#include <math.h>

static size_t in_at(const ex_pool_shape *p, int n, int c, int h, int w)
{
    return ex_ref_offset(n, c, h, w, p->in.C, p->in.H, p->in.W, p->in.block);
}

static size_t out_at(const ex_pool_shape *p, int n, int c, int h, int w)
{
    return ex_ref_offset(n, c, h, w, p->in.C, p->out_H, p->out_W, p->in.block);
}

static int inside(const ex_pool_shape *p, int h, int w)
{
    return h >= 0 && h < p->in.H && w >= 0 && w < p->in.W;
}

void ex_maxpool_fwd_ref(float *y, int8_t *index, const float *x, const ex_pool_shape *p)
{
    for (int n = 0; n < p->in.N; n++)
        for (int c = 0; c < p->in.C; c++)
            for (int i = 0; i < p->out_H * p->out_W; i++) {
                const size_t to = out_at(p, n, c, i / p->out_W, i % p->out_W);
                float best = -INFINITY;
                int where = -1;
                for (int t = 0; t < p->R * p->S; t++) {
                    const int h = i / p->out_W * p->stride - p->pad + t / p->S;
                    const int w = i % p->out_W * p->stride - p->pad + t % p->S;
                    if (!inside(p, h, w) || isnan(best))
                        continue;
                    const float value = x[in_at(p, n, c, h, w)];
                    if (where >= 0 && value <= best)
                        continue;
                    best = value;
                    where = t;
                }
                y[to] = best;
                if (index)
                    index[to] = (int8_t)where;
            }
}

void ex_maxpool_bwd_ref(float *dx, const float *dy, const int8_t *index, const ex_pool_shape *p)
{
    for (int i = 0; i < p->in.N * p->in.C * p->in.H * p->in.W; i++)
        dx[i] = 0.0f;
    for (int n = 0; n < p->in.N; n++)
        for (int c = 0; c < p->in.C; c++)
            for (int i = 0; i < p->out_H * p->out_W; i++) {
                const size_t from = out_at(p, n, c, i / p->out_W, i % p->out_W);
                dx[in_at(p, n, c, i / p->out_W * p->stride - p->pad + index[from] / p->S,
                         i % p->out_W * p->stride - p->pad + index[from] % p->S)] += dy[from];
            }
}

void ex_avgpool_fwd_ref(float *y, const float *x, const ex_pool_shape *p)
{
    for (int n = 0; n < p->in.N; n++)
        for (int c = 0; c < p->in.C; c++)
            for (int i = 0; i < p->out_H * p->out_W; i++) {
                float sum = 0.0f;
                for (int t = 0; t < p->R * p->S; t++)
                    sum += x[in_at(p, n, c, i / p->out_W * p->stride + t / p->S,
                                   i % p->out_W * p->stride + t % p->S)];
                y[out_at(p, n, c, i / p->out_W, i % p->out_W)] = sum / (float)(p->R * p->S);
            }
}

void ex_avgpool_bwd_ref(float *dx, const float *dy, const ex_pool_shape *p)
{
    for (int i = 0; i < p->in.N * p->in.C * p->in.H * p->in.W; i++)
        dx[i] = 0.0f;
    for (int n = 0; n < p->in.N; n++)
        for (int c = 0; c < p->in.C; c++)
            for (int i = 0; i < p->out_H * p->out_W; i++)
                for (int t = 0; t < p->R * p->S; t++)
                    dx[in_at(p, n, c, i / p->out_W * p->stride + t / p->S,
                             i % p->out_W * p->stride + t % p->S)] +=
                        dy[out_at(p, n, c, i / p->out_W, i % p->out_W)];
    for (int i = 0; i < p->in.N * p->in.C * p->in.H * p->in.W; i++)
        dx[i] /= (float)(p->R * p->S);
}
