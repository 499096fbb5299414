/* Pooling: the largest or the mean value of each window.
 *
 *   y[n, c, p, q] = max or mean of x[n, c, h, w] over the window of (p, q)
 *   dx[n, c, h, w] = sum of dy[n, c, p, q] over the windows that took it    (max)
 *                    sum of dy[n, c, p, q] / (R * S) over the windows on it (mean)
 *
 * x (N, C, H, W), y (N, C, out_H, out_W), one layout for both; the window of (p, q) begins at
 * (p * stride - pad, q * stride - pad). A thread owns WIDTH values of what is written that are
 * neighbours in memory, works out once where they lie, then walks the batch; sums run in the order
 * of the windows. */
#include "layout.h"
#include "pool.h"
#include "quad.h"

typedef struct pool {
    int C, H, W, out_H, out_W, R, S, stride, pad, block;
    uint32_t in_map, out_map; /* values of one image */
    float count;
    int N;
} pool;

/* Where value (c, y, x) lies in an image of height H and width W. */
static __device__ uint32_t place_at(uint32_t c, int y, int x, int H, int W, const pool &g)
{
    const ex_place p = {c, (uint32_t)y, (uint32_t)x};
    return ex_layout_at(p, (uint32_t)H, (uint32_t)W, (uint32_t)g.block);
}

/* Reads R * S values a value of y (at stride R each of x once), writes it and the index. */
template <int WIDTH, bool LARGEST, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    pool_fwd_kernel(T *__restrict__ y, int8_t *__restrict__ index, const T *__restrict__ x, pool g)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < g.out_map; i += stride) {
        const ex_place p =
            ex_layout_place(i, (uint32_t)g.out_H, (uint32_t)g.out_W, (uint32_t)g.block);
        const int top = (int)p.y * g.stride - g.pad, left = (int)p.x * g.stride - g.pad;
        for (int n = (int)blockIdx.y; n < g.N; n += (int)gridDim.y) {
            float out[WIDTH] = {}, value[WIDTH];
            int at[WIDTH] = {};
            bool first = true;
            for (int r = 0; r < g.R; r++)
                for (int s = 0; s < g.S; s++) {
                    const int h = top + r, w = left + s;
                    if (h < 0 || h >= g.H || w < 0 || w >= g.W)
                        continue;
                    ex_quad_load(value,
                                 x + (size_t)n * g.in_map + place_at(p.c, h, w, g.H, g.W, g));
                    for (int j = 0; j < WIDTH; j++) {
                        if (!LARGEST) {
                            out[j] += value[j];
                        } else if (first || ex_pool_replaces(value[j], out[j])) {
                            out[j] = value[j];
                            at[j] = r * g.S + s;
                        }
                    }
                    first = false;
                }
            for (int j = 0; j < WIDTH && !LARGEST; j++)
                out[j] /= g.count;
            ex_quad_store(y + (size_t)n * g.out_map + i, out);
            for (int j = 0; j < WIDTH && LARGEST && index; j++)
                index[(size_t)n * g.out_map + i + j] = (int8_t)at[j];
        }
    }
}

/* Reads a value and the index for each window on a value of dx, writes it. Five blocks a
 * multiprocessor: at the eight that fill it the sums spill. */
template <int WIDTH, bool LARGEST, typename T>
static __global__ void __launch_bounds__(EX_BLOCK, 5)
    pool_bwd_kernel(T *__restrict__ dx, const T *__restrict__ dy, const int8_t *__restrict__ index,
                    pool g)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < g.in_map; i += stride) {
        const ex_place at = ex_layout_place(i, (uint32_t)g.H, (uint32_t)g.W, (uint32_t)g.block);
        const int h = (int)at.y + g.pad, w = (int)at.x + g.pad;
        const ex_pool_readers rows = ex_pool_readers_of((int)at.y, g.R, g.stride, g.pad, g.out_H);
        const ex_pool_readers columns =
            ex_pool_readers_of((int)at.x, g.S, g.stride, g.pad, g.out_W);
        for (int n = (int)blockIdx.y; n < g.N; n += (int)gridDim.y) {
            float sum[WIDTH] = {}, value[WIDTH];
            for (int p = rows.first; p <= rows.last; p++)
                for (int q = columns.first; q <= columns.last; q++) {
                    const size_t from =
                        (size_t)n * g.out_map + place_at(at.c, p, q, g.out_H, g.out_W, g);
                    const int tap = (h - p * g.stride) * g.S + w - q * g.stride;
                    ex_quad_load(value, dy + from);
                    for (int j = 0; j < WIDTH; j++)
                        if (!LARGEST || index[from + j] == tap)
                            sum[j] += value[j];
                }
            for (int j = 0; j < WIDTH && !LARGEST; j++)
                sum[j] /= g.count;
            ex_quad_store(dx + (size_t)n * g.in_map + i, sum);
        }
    }
}

static pool pool_of(const ex_pool_shape *p)
{
    pool g;
    g.C = p->in.C, g.H = p->in.H, g.W = p->in.W, g.block = p->in.block, g.N = p->in.N;
    g.out_H = p->out_H, g.out_W = p->out_W;
    g.R = p->R, g.S = p->S, g.stride = p->stride, g.pad = p->pad;
    g.in_map = (uint32_t)g.C * (uint32_t)g.H * (uint32_t)g.W;
    g.out_map = (uint32_t)g.C * (uint32_t)g.out_H * (uint32_t)g.out_W;
    g.count = (float)(g.R * g.S);
    return g;
}

static bool in_quads(const pool &g, const void *a, const void *b)
{
    return g.block % EX_QUAD == 0 && ex_aligned(a, b);
}

template <bool LARGEST, typename T>
static void forward(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    const pool g = pool_of(p);
    if (g.N <= 0 || g.out_map == 0)
        return;
    const bool quads = in_quads(g, x, y);
    const auto fwd_kernel =
        quads ? pool_fwd_kernel<EX_QUAD, LARGEST, T> : pool_fwd_kernel<1, LARGEST, T>;
    const dim3 grid = ex_launch_grid(quads ? g.out_map / EX_QUAD : g.out_map, (size_t)g.N, 1);
    EX_LAUNCH(fwd_kernel, grid, EX_BLOCK, 0, s, (T *)y, index, (const T *)x, g);
}

template <bool LARGEST, typename T>
static void backward(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                     ex_stream s)
{
    const pool g = pool_of(p);
    if (g.N <= 0 || g.in_map == 0)
        return;
    const bool quads = in_quads(g, dx, dy);
    const auto bwd_kernel =
        quads ? pool_bwd_kernel<EX_QUAD, LARGEST, T> : pool_bwd_kernel<1, LARGEST, T>;
    const dim3 grid = ex_launch_grid(quads ? g.in_map / EX_QUAD : g.in_map, (size_t)g.N, 1);
    EX_LAUNCH(bwd_kernel, grid, EX_BLOCK, 0, s, (T *)dx, (const T *)dy, index, g);
}

void ex_maxpool_fwd_cuda(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    (p->in.type == EX_MAP_BF16 ? forward<true, ex_bf16> : forward<true, float>)(y, index, x, p, s);
}

void ex_maxpool_bwd_cuda(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s)
{
    (p->in.type == EX_MAP_BF16 ? backward<true, ex_bf16> : backward<true, float>)(dx, dy, index, p,
                                                                                  s);
}

void ex_avgpool_fwd_cuda(void *y, const void *x, const ex_pool_shape *p, ex_stream s)
{
    (p->in.type == EX_MAP_BF16 ? forward<false, ex_bf16> : forward<false, float>)(y, NULL, x, p, s);
}

void ex_avgpool_bwd_cuda(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s)
{
    (p->in.type == EX_MAP_BF16 ? backward<false, ex_bf16> : backward<false, float>)(dx, dy, NULL, p,
                                                                                    s);
}
