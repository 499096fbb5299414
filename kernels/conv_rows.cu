/* Gradient of a few filters of a convolution.
 *
 *   dw[k, r, s, c] = sum over n, h, w of
 *       dy[n, k, h, w] * x[n, c, h * stride + r - pad, w * stride + s - pad]
 *
 * A block sums one tap of one selected filter for 32 channels over a group of images: a warp's
 * lanes are channels (together in NHWC), its warps take every eighth pixel. The groups' sums are
 * added by a second kernel, in order, so that the bits do not depend on the device. x is read once
 * a tap and filter: for a mask's few filters it comes from the cache. Where a filter's sum of dy is
 * asked for, that is one more tap, of x = 1. */
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
    return (size_t)groups_of(c) * (size_t)rows * (filter_floats(c) + 1);
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

/* The sum of dy over images [first, last), in thread 0. */
template <typename T>
static inline __device__ float images_sum(float *sums, const T *dy, const ex_conv_shape &c,
                                          int first, int last)
{
    const size_t pixels = (size_t)c.out_H * (size_t)c.out_W, image = (size_t)c.K * pixels;
    float sum = 0.0f;
    for (size_t i = (size_t)first * pixels + threadIdx.x; i < (size_t)last * pixels; i += EX_BLOCK)
        sum += ex_value(dy[i / pixels * image + i % pixels * (size_t)c.out_block]);
    sums[threadIdx.x] = sum;
    for (unsigned half = EX_BLOCK / 2; half > 0; half /= 2) {
        __syncthreads();
        if (threadIdx.x < half)
            sums[threadIdx.x] += sums[threadIdx.x + half];
    }
    return sums[threadIdx.x];
}

/* partial (groups, rows, R, S, C); partial_sum (groups, rows), or NULL where no sums are asked for.
 * Grid (rows * (R * S, + 1 for the sum), channels / 32, groups). */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_rows_kernel(float *partial, float *partial_sum, const T *x, const T *dy,
                     const int32_t *row, int rows, ex_conv_shape c)
{
    EX_SHARED(float, sums, EX_BLOCK);
    const int lane = (int)threadIdx.x % EX_WARP, warp = (int)threadIdx.x / EX_WARP;
    const int taps = c.R * c.S, blocks = partial_sum ? taps + 1 : taps;
    const int j = (int)blockIdx.x / blocks, t = (int)blockIdx.x % blocks;
    const int channel = (int)blockIdx.y * EX_WARP + lane, k = row[j];
    const int groups = (int)gridDim.z, g = (int)blockIdx.z;
    const size_t in = (size_t)c.in.C * (size_t)(c.in.H * c.in.W);
    const size_t out = (size_t)c.K * (size_t)(c.out_H * c.out_W);
    const int first = (int)((int64_t)c.in.N * g / groups);
    const int last = (int)((int64_t)c.in.N * (g + 1) / groups);
    const ex_place to = {(uint32_t)k, 0, 0};
    dy += ex_layout_at(to, (uint32_t)c.out_H, (uint32_t)c.out_W, (uint32_t)c.out_block);
    if (t == taps) {
        if (blockIdx.y > 0)
            return;
        const float all = images_sum(sums, dy, c, first, last);
        if (threadIdx.x == 0)
            partial_sum[g * rows + j] = all;
        return;
    }
    float sum = 0.0f;
    if (channel < c.in.C) {
        const ex_place from = {(uint32_t)channel, 0, 0};
        x += ex_layout_at(from, (uint32_t)c.in.H, (uint32_t)c.in.W, (uint32_t)c.in.block);
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

/* The groups' values, `stride` floats apart, added in order. */
static inline __device__ float groups_sum(const float *partial, size_t stride, int groups)
{
    float sum = 0.0f;
    for (int g = 0; g < groups; g++)
        sum += partial[(size_t)g * stride];
    return sum;
}

/* The selected filters of dw, `filter` floats each, and of dsum where there is one, from the
 * groups' sums. */
static __global__ void __launch_bounds__(EX_BLOCK)
    conv_rows_finish_kernel(float *dw, float *dsum, const float *partial, const float *partial_sum,
                            const int32_t *row, int rows, size_t filter, int groups)
{
    const size_t count = (size_t)rows * filter, all = dsum ? count + (size_t)rows : count;
    for (size_t i = ex_thread(); i < all; i += ex_threads()) {
        if (i < count)
            dw[(size_t)row[i / filter] * filter + i % filter] =
                groups_sum(partial + i, count, groups);
        else
            dsum[row[i - count]] = groups_sum(partial_sum + (i - count), (size_t)rows, groups);
    }
}

template <typename T>
static void backward(float *dw, float *dsum, const T *x, const T *dy, const int32_t *row, int rows,
                     const ex_conv_shape *c, float *scratch, ex_stream s)
{
    if (rows <= 0)
        return;
    const int groups = groups_of(c);
    const size_t filter = filter_floats(c);
    float *const sums = dsum ? scratch + (size_t)groups * (size_t)rows * filter : NULL;
    const dim3 grid((unsigned)(rows * (c->R * c->S + (dsum ? 1 : 0))),
                    (unsigned)ex_divide_up((size_t)c->in.C, EX_WARP), (unsigned)groups);
    if (groups > 0)
        EX_LAUNCH_TOGETHER(conv_rows_kernel<T>, grid, EX_BLOCK, 0, s, scratch, sums, x, dy, row,
                           rows, *c);
    EX_LAUNCH(conv_rows_finish_kernel, ex_launch_blocks((size_t)rows * (filter + 1)), EX_BLOCK, 0,
              s, dw, dsum, scratch, sums, row, rows, filter, groups);
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
