/* A convolution's outputs after one channel of its input changed.
 *
 *   out[v, n, k, h, w] = pre[n, k, h, w] - sum over r, s of weight[c, r, s, k] * d[h', w']
 *
 * with c = channel[v], d = x_c - x'_c and (h', w') where the window begins, + (r, s). A first
 * kernel lays out the planes of differences, V * N of them, with zeros around; in a second one a
 * thread owns an output of an image and makes it for every variant (or every gridDim.z-th):
 * neighbouring threads are channels where the layout has them together, and read the same pixels of
 * a plane. */
#include "conv_channel.h"
#include "layout.h"
#include "quad.h"
#include "residual.h"

size_t ex_conv_channel_scratch_cuda(const ex_conv_shape *c, int V)
{
    return (size_t)V * (size_t)c->in.N * ex_channel_plane_floats(c);
}

template <typename T>
static inline __device__ float difference(const ex_channel_change &x, size_t at, int v)
{
    const T *in = (const T *)x.in, *residual = (const T *)x.residual;
    const float changed = residual ? x.fill[v] + ex_value(residual[at]) : x.fill[v];
    return ex_value(in[at]) - (x.relu ? ex_relu_body(changed) : changed);
}

/* planes (V, N, plane.H, plane.W); those of unchanged variants stay. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_channel_planes_kernel(float *planes, ex_channel_change x, ex_conv_shape c,
                               ex_channel_plane plane)
{
    const size_t floats = (size_t)plane.H * (size_t)plane.W;
    const size_t total = (size_t)x.V * (size_t)c.in.N * floats;
    for (size_t i = ex_thread(); i < total; i += ex_threads()) {
        const int v = (int)(i / floats / (size_t)c.in.N), n = (int)(i / floats % (size_t)c.in.N);
        const int p = (int)(i % floats), h = p / plane.W - c.pad, w = p % plane.W - c.pad;
        if (x.channel[v] < 0)
            continue;
        float d = 0.0f;
        if (h >= 0 && h < c.in.H && w >= 0 && w < c.in.W) {
            const ex_place place = {(uint32_t)x.channel[v], (uint32_t)h, (uint32_t)w};
            d = difference<T>(
                x,
                (size_t)n * (size_t)c.in.C * (size_t)(c.in.H * c.in.W) +
                    ex_layout_at(place, (uint32_t)c.in.H, (uint32_t)c.in.W, (uint32_t)c.in.block),
                v);
        }
        planes[i] = d;
    }
}

/* What the outputs' kernel needs of the shapes: pre and out of one image have `map` floats, a plane
 * `plane` floats in lines of `width`. */
typedef struct outputs {
    int N, V, R, S;
    uint32_t K, H, W, block, stride, width, plane, map;
    bool relu;
} outputs;

/* What the changed channel adds to an output: weight of the first tap, d at the window's begin. */
template <typename T>
static inline __device__ float window_sum(const T *weight, const float *d, const outputs &o)
{
    float sum = 0.0f;
    for (int r = 0; r < o.R; r++, d += o.width)
        for (int s = 0; s < o.S; s++, weight += o.K)
            sum += ex_value(*weight) * d[s];
    return sum;
}

template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_channel_update_kernel(T *__restrict__ out, const float *__restrict__ pre,
                               const T *__restrict__ weight, const float *__restrict__ planes,
                               const int32_t *__restrict__ channel, outputs o)
{
    for (uint32_t i = (uint32_t)ex_thread(); i < o.map; i += (uint32_t)ex_threads()) {
        const ex_place p = ex_layout_place(i, o.H, o.W, o.block);
        const uint32_t window = (p.y * o.width + p.x) * o.stride;
        for (int n = (int)blockIdx.y; n < o.N; n += (int)gridDim.y) {
            const float kept = pre[(size_t)n * o.map + i];
            for (int v = (int)blockIdx.z; v < o.V; v += (int)gridDim.z) {
                const size_t copy = (size_t)v * (size_t)o.N + (size_t)n;
                const int c = channel[v];
                float value = kept;
                if (c >= 0)
                    value -= window_sum(weight + (size_t)(c * o.R * o.S) * o.K + p.c,
                                        planes + copy * o.plane + window, o);
                ex_keep(out + copy * o.map + i, o.relu ? ex_relu_body(value) : value);
            }
        }
    }
}

template <typename T>
static void update(T *out, const float *pre, const T *weight, const ex_channel_change *change,
                   const ex_conv_shape *c, int relu, float *scratch, ex_stream s)
{
    const size_t floats = (size_t)change->V * (size_t)c->in.N * ex_channel_plane_floats(c);
    const size_t map = (size_t)c->K * (size_t)c->out_H * (size_t)c->out_W;
    if (floats == 0 || map == 0)
        return;
    const ex_channel_plane plane = ex_channel_plane_of(c);
    EX_LAUNCH(conv_channel_planes_kernel<T>, ex_launch_blocks(floats), EX_BLOCK, 0, s, scratch,
              *change, *c, plane);
    const dim3 grid = ex_launch_grid(map, (size_t)c->in.N, (size_t)change->V);
    const outputs o = {c->in.N,
                       change->V,
                       c->R,
                       c->S,
                       (uint32_t)c->K,
                       (uint32_t)c->out_H,
                       (uint32_t)c->out_W,
                       (uint32_t)c->out_block,
                       (uint32_t)c->stride,
                       (uint32_t)plane.W,
                       (uint32_t)ex_channel_plane_floats(c),
                       (uint32_t)map,
                       relu != 0};
    EX_LAUNCH(conv_channel_update_kernel<T>, grid, EX_BLOCK, 0, s, out, pre, weight, scratch,
              change->channel, o);
}

void ex_conv_channel_update_cuda(void *out, const float *pre, const void *weight,
                                 const ex_channel_change *change, const ex_conv_shape *c, int relu,
                                 float *scratch, ex_stream s)
{
    if (c->in.type == EX_MAP_BF16)
        update((ex_bf16 *)out, pre, (const ex_bf16 *)weight, change, c, relu, scratch, s);
    else
        update((float *)out, pre, (const float *)weight, change, c, relu, scratch, s);
}
