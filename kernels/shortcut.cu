/* Option-A shortcut of a residual network: every stride-th pixel, channels padded with zeros.
 *
 *   fwd: out[n, k, y, x] = in[n, k - pad, y * stride, x * stride]  where 0 <= k - pad < C, else 0
 *   bwd: din[n, c, y * stride, x * stride] += dout[n, c + pad, y, x]        pad = (K - C) / 2
 *
 * in (N, C, H, W),  out (N, K, ceil(H/stride), ceil(W/stride)), any layouts of kernels.h. A thread
 * owns WIDTH channels that are neighbours in memory on both sides, works out once where they lie,
 * then walks the batch. WIDTH 4 needs both blocks and the padding to be multiples of 4, as they are
 * in every model of ours. */
#include "layout.h"
#include "quad.h"

typedef struct shortcut {
    uint32_t C, K, pad, H, W, out_H, out_W, stride, in_block, out_block;
    uint32_t in_map, out_map; /* values of one image */
    int N;
} shortcut;

/* Reads a value an element of `out` that is not padding, writes one an element. In NHWC with
 * stride 2 a quarter of the lines of `in` is read, each whole. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    shortcut_a_fwd_kernel(T *__restrict__ out, const T *__restrict__ in, shortcut g)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < g.out_map; i += stride) {
        ex_place p = ex_layout_place(i, g.out_H, g.out_W, g.out_block);
        const bool inside = p.c >= g.pad && p.c - g.pad < g.C;
        p = ex_place{p.c - g.pad, p.y * g.stride, p.x * g.stride};
        const uint32_t from = inside ? ex_layout_at(p, g.H, g.W, g.in_block) : 0;
        for (int n = (int)blockIdx.y; n < g.N; n += (int)gridDim.y) {
            float value[WIDTH] = {};
            if (inside)
                ex_quad_load(value, in + (size_t)n * g.in_map + from);
            ex_quad_store(out + (size_t)n * g.out_map + i, value);
        }
    }
}

/* Walks the pixels of `in` that have a place in `out`: as an image of out_H x out_W in in_block.
 * Reads two values and writes one for each of their elements; touches no others. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    shortcut_a_bwd_kernel(T *__restrict__ din, const T *__restrict__ dout, shortcut g)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH, count = g.C * g.out_H * g.out_W;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < count; i += stride) {
        const ex_place p = ex_layout_place(i, g.out_H, g.out_W, g.in_block);
        const ex_place in_p = {p.c, p.y * g.stride, p.x * g.stride},
                       out_p = {p.c + g.pad, p.y, p.x};
        const uint32_t to = ex_layout_at(in_p, g.H, g.W, g.in_block);
        const uint32_t from = ex_layout_at(out_p, g.out_H, g.out_W, g.out_block);
        for (int n = (int)blockIdx.y; n < g.N; n += (int)gridDim.y) {
            T *target = din + (size_t)n * g.in_map + to;
            float sum[WIDTH], value[WIDTH];
            ex_quad_load(sum, target);
            ex_quad_load(value, dout + (size_t)n * g.out_map + from);
            for (int j = 0; j < WIDTH; j++)
                sum[j] += value[j];
            ex_quad_store(target, sum);
        }
    }
}

static shortcut shortcut_of(const ex_map_shape *in, int K, int out_block, int stride)
{
    shortcut g;
    g.C = (uint32_t)in->C, g.K = (uint32_t)K, g.pad = (g.K - g.C) / 2;
    g.H = (uint32_t)in->H, g.W = (uint32_t)in->W, g.stride = (uint32_t)stride;
    g.out_H = (g.H + g.stride - 1) / g.stride, g.out_W = (g.W + g.stride - 1) / g.stride;
    g.in_block = (uint32_t)in->block, g.out_block = (uint32_t)out_block;
    g.in_map = g.C * g.H * g.W, g.out_map = g.K * g.out_H * g.out_W;
    g.N = in->N;
    return g;
}

/* Whether four neighbouring channels stay neighbours, at multiples of 16 bytes, on both sides. */
static bool in_quads(const shortcut &g, const void *in, const void *out)
{
    return g.in_block % EX_QUAD == 0 && g.out_block % EX_QUAD == 0 && g.pad % EX_QUAD == 0 &&
           ex_aligned(in, out);
}

template <typename T>
static void forward(void *out, const void *in, const ex_map_shape *in_shape, int K, int out_block,
                    int stride, ex_stream s)
{
    const shortcut g = shortcut_of(in_shape, K, out_block, stride);
    if (g.N <= 0 || g.out_map == 0)
        return;
    const bool quads = in_quads(g, in, out);
    const auto fwd_kernel = quads ? shortcut_a_fwd_kernel<EX_QUAD, T> : shortcut_a_fwd_kernel<1, T>;
    const dim3 grid = ex_launch_grid(quads ? g.out_map / EX_QUAD : g.out_map, (size_t)g.N, 1);
    EX_LAUNCH(fwd_kernel, grid, EX_BLOCK, 0, s, (T *)out, (const T *)in, g);
}

template <typename T>
static void backward(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                     int out_block, int stride, ex_stream s)
{
    const shortcut g = shortcut_of(in_shape, K, out_block, stride);
    if (g.N <= 0 || g.in_map == 0)
        return;
    const bool quads = in_quads(g, din, dout);
    const size_t count = (size_t)g.C * g.out_H * g.out_W;
    const auto bwd_kernel = quads ? shortcut_a_bwd_kernel<EX_QUAD, T> : shortcut_a_bwd_kernel<1, T>;
    const dim3 grid = ex_launch_grid(quads ? count / EX_QUAD : count, (size_t)g.N, 1);
    EX_LAUNCH(bwd_kernel, grid, EX_BLOCK, 0, s, (T *)din, (const T *)dout, g);
}

void ex_shortcut_a_fwd_cuda(void *out, const void *in, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s)
{
    (in_shape->type == EX_MAP_BF16 ? forward<ex_bf16> : forward<float>)(out, in, in_shape, K,
                                                                        out_block, stride, s);
}

void ex_shortcut_a_bwd_cuda(void *din, const void *dout, const ex_map_shape *in_shape, int K,
                            int out_block, int stride, ex_stream s)
{
    (in_shape->type == EX_MAP_BF16 ? backward<ex_bf16> : backward<float>)(din, dout, in_shape, K,
                                                                          out_block, stride, s);
}
