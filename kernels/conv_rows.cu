/* Gradient of a few filters of a convolution.
 *
 *   dw[k, r, s, c] = sum over n, h, w of
 *       dy[n, k, h, w] * x[n, c, h * stride + r - pad, w * stride + s - pad]
 *
 * A block sums one tap of one selected filter for 32 channels over a group of images: a warp's
 * lanes are channels (together in NHWC), its warps take every eighth pixel. The groups' sums are
 * added by a second kernel, in order, so that the bits do not depend on the device. x is read once
 * a tap and filter: for a mask's few filters it comes from the cache. */
#include "launch.h"

#include "layout.h"
#include "quad.h"

constexpr int ROWS_WARPS = EX_BLOCK / EX_WARP, ROWS_GROUPS = 16;

static int groups_of(const ex_conv_shape *c)
{
    return c->in.N < ROWS_GROUPS ? c->in.N : ROWS_GROUPS;
}

static size_t filter_floats(const ex_conv_shape *c)
{
    return (size_t)c->R * (size_t)c->S * (size_t)c->in.C;
}

size_t ex_conv_rows_scratch_cuda(const ex_conv_shape *c, int rows)
{
    return (size_t)groups_of(c) * (size_t)rows * filter_floats(c);
}

/* What a channel of an image adds to one tap: this warp's pixels. */
template <typename T>
static inline __device__ float tap_sum(const T *x, const T *dy, const ex_conv_shape &c, int r,
                                       int s, int warp)
{
    float sum = 0.0f;
    for (int p = warp; p < c.out_H * c.out_W; p += ROWS_WARPS) {
        const int h = p / c.out_W * c.stride + r - c.pad, w = p % c.out_W * c.stride + s - c.pad;
        if (h >= 0 && h < c.in.H && w >= 0 && w < c.in.W)
            sum += ex_value(x[(size_t)(h * c.in.W + w) * (size_t)c.in.block]) *
                   ex_value(dy[(size_t)p * (size_t)c.out_block]);
    }
    return sum;
}

/* partial (groups, rows, R, S, C). Grid (rows * R * S, channels / 32, groups). */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_rows_kernel(float *partial, const T *x, const T *dy, const int32_t *row, int rows,
                     ex_conv_shape c)
{
    EX_SHARED(float, sums, EX_BLOCK);
    const int lane = (int)threadIdx.x % EX_WARP, warp = (int)threadIdx.x / EX_WARP;
    const int taps = c.R * c.S, j = (int)blockIdx.x / taps, t = (int)blockIdx.x % taps;
    const int channel = (int)blockIdx.y * EX_WARP + lane, k = row[j];
    const int groups = (int)gridDim.z, g = (int)blockIdx.z;
    const size_t in = (size_t)c.in.C * (size_t)(c.in.H * c.in.W);
    const size_t out = (size_t)c.K * (size_t)(c.out_H * c.out_W);
    float sum = 0.0f;
    if (channel < c.in.C) {
        const ex_place from = {(uint32_t)channel, 0, 0}, to = {(uint32_t)k, 0, 0};
        x += ex_layout_at(from, (uint32_t)c.in.H, (uint32_t)c.in.W, (uint32_t)c.in.block);
        dy += ex_layout_at(to, (uint32_t)c.out_H, (uint32_t)c.out_W, (uint32_t)c.out_block);
        const int first = (int)((int64_t)c.in.N * g / groups);
        const int last = (int)((int64_t)c.in.N * (g + 1) / groups);
        for (int n = first; n < last; n++)
            sum += tap_sum(x + (size_t)n * in, dy + (size_t)n * out, c, t / c.S, t % c.S, warp);
    }
    sums[threadIdx.x] = sum;
    __syncthreads();
    if (warp != 0 || channel >= c.in.C)
        return;
    for (int i = 1; i < ROWS_WARPS; i++)
        sum += sums[i * EX_WARP + lane];
    partial[((size_t)(g * rows + j) * (size_t)taps + (size_t)t) * (size_t)c.in.C +
            (size_t)channel] = sum;
}

/* dw's selected filters from the groups' sums; `filter` floats each. */
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_rows_finish_kernel(float *dw, const float *partial, const int32_t *row, int rows,
                            size_t filter, int groups)
{
    const size_t count = (size_t)rows * filter;
    for (size_t i = ex_thread(); i < count; i += ex_threads()) {
        float sum = 0.0f;
        for (int g = 0; g < groups; g++)
            sum += partial[(size_t)g * count + i];
        dw[(size_t)row[i / filter] * filter + i % filter] = sum;
    }
}

/* A block a selected filter. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_rows_sum_kernel(float *dsum, const T *dy, const int32_t *row, ex_conv_shape c)
{
    EX_SHARED(float, sums, EX_BLOCK);
    const int k = row[blockIdx.x];
    const size_t pixels = (size_t)c.out_H * (size_t)c.out_W;
    const ex_place place = {(uint32_t)k, 0, 0};
    dy += ex_layout_at(place, (uint32_t)c.out_H, (uint32_t)c.out_W, (uint32_t)c.out_block);
    float sum = 0.0f;
    for (size_t i = threadIdx.x; i < (size_t)c.in.N * pixels; i += EX_BLOCK)
        sum += ex_value(dy[i / pixels * (size_t)c.K * pixels + i % pixels * (size_t)c.out_block]);
    sums[threadIdx.x] = sum;
    for (unsigned half = EX_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    if (threadIdx.x == 0)
        dsum[k] = sums[0];
}

template <typename T>
static void backward(float *dw, float *dsum, const T *x, const T *dy, const int32_t *row, int rows,
                     const ex_conv_shape *c, float *scratch, ex_stream s)
{
    if (rows <= 0)
        return;
    const int groups = groups_of(c);
    const size_t filter = filter_floats(c);
    const dim3 grid((unsigned)(rows * c->R * c->S),
                    (unsigned)ex_divide_up((size_t)c->in.C, EX_WARP), (unsigned)groups);
    if (groups > 0)
        EX_LAUNCH_TOGETHER(conv_rows_kernel<T>, grid, EX_BLOCK, 0, s, scratch, x, dy, row, rows,
                           *c);
    EX_LAUNCH(conv_rows_finish_kernel, ex_launch_blocks((size_t)rows * filter), EX_BLOCK, 0, s, dw,
              scratch, row, rows, filter, groups);
    if (dsum)
        EX_LAUNCH_TOGETHER(conv_rows_sum_kernel<T>, (unsigned)rows, EX_BLOCK, 0, s, dsum, dy, row,
                           *c);
}

void ex_conv_rows_bwd_cuda(float *dw, float *dsum, const void *x, const void *dy,
                           const int32_t *row, int rows, const ex_conv_shape *c, float *scratch,
                           ex_stream s)
{
    if (c->in.type == EX_MAP_BF16)
        backward(dw, dsum, (const ex_bf16 *)x, (const ex_bf16 *)dy, row, rows, c, scratch, s);
    else
        backward(dw, dsum, (const float *)x, (const float *)dy, row, rows, c, scratch, s);
}
