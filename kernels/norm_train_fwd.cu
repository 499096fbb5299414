/* Training's batch norm forward, with residual and ReLU, in any layout; the formulas stand in
 * kernels.h.
 *
 * A channel's sums are taken in parts: one image, one tile of at most 32 neighbouring channels, and
 * so many pixels that a thread reads EX_NORM_PIXELS_A_THREAD of them. A block makes one part's two
 * sums a channel, reading runs of whole tiles; a warp a channel then joins the parts in float64.
 * How the work is cut depends on the shape alone, so results do not depend on the device.
 *
 * Two values read and one written for each of the map, one more read with a residual. */
#include "norm_affine.h"
#include "norm_parts.h"

/* Sums of x - k and (x - k)^2, with k the part's first pixel, become the part's mean and the sum of
 * squares about it: values far from 0 lose nothing. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_stats_kernel(float *sums, const T *x, ex_norm_parts parts)
{
    for (uint32_t unit = blockIdx.x; unit < parts.units; unit += gridDim.x) {
        const ex_norm_part p = ex_norm_part_of(unit, threadIdx.x, parts);
        float first = 0.0f, second = 0.0f, k = 0.0f;
        if (p.busy)
            k = ex_value(x[p.start]);
        for (uint32_t pixel = p.row; pixel < p.pixels; pixel += parts.rows) {
            const float d = ex_value(x[p.start + (size_t)pixel * parts.block]) - k;
            first += d;
            second += d * d;
        }
        ex_norm_part_sum(&first, &second, p, parts);
        if (p.row == 0 && p.busy) {
            const float mean = first / (float)p.pixels;
            sums[2 * p.at] = k + mean;
            sums[2 * p.at + 1] = second - first * mean;
        }
    }
}

/* Mean and variance of a channel from its parts', in float64. */
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_join_kernel(float *mean_out, float *var_out, const float *sums, ex_norm_parts parts)
{
    const uint32_t lane = threadIdx.x % EX_WARP;
    for (uint32_t c = ex_norm_warp(); c < parts.C; c += ex_norm_warps()) {
        double mean = 0.0, squares = 0.0;
        for (uint32_t i = lane; i < parts.parts; i += EX_WARP)
            mean +=
                (double)ex_norm_part_pixels(i, parts) * (double)sums[2 * ((size_t)i * parts.C + c)];
        mean = ex_norm_warp_sum(mean) / parts.count;
        for (uint32_t i = lane; i < parts.parts; i += EX_WARP) {
            const float *part = sums + 2 * ((size_t)i * parts.C + c);
            const double d = (double)part[0] - mean;
            squares += (double)part[1] + (double)ex_norm_part_pixels(i, parts) * d * d;
        }
        squares = ex_norm_warp_sum(squares);
        if (lane == 0) {
            mean_out[c] = (float)mean;
            var_out[c] = (float)(squares / parts.count);
        }
    }
}

/* A thread owns WIDTH neighbouring values of an image and walks the batch. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_fwd_kernel(T *y, const T *x, const T *residual, ex_norm_channels norm,
                          ex_norm_map map, bool relu)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < map.floats; i += stride) {
        ex_norm_affine k[WIDTH];
        for (uint32_t j = 0; j < WIDTH; j++)
            k[j] = ex_norm_affine_of(norm, ex_norm_channel(i + j, map));
        for (uint32_t n = blockIdx.y; n < map.N; n += gridDim.y) {
            const size_t at = (size_t)n * map.floats + i;
            float value[WIDTH], other[WIDTH];
            ex_quad_load(value, x + at);
            if (residual)
                ex_quad_load(other, residual + at);
            for (int j = 0; j < WIDTH; j++) {
                const float v = ex_norm_apply(value[j], k[j]) + (residual ? other[j] : 0.0f);
                value[j] = relu ? ex_norm_where_positive(v, v) : v;
            }
            ex_quad_store(y + at, value);
        }
    }
}

size_t ex_norm_train_scratch_cuda(const ex_map_shape *shape)
{
    if (ex_norm_empty(shape))
        return 0;
    const ex_norm_parts parts = ex_norm_parts_of(shape);
    return 2 * (size_t)parts.parts * parts.C + 2 * (size_t)parts.C;
}

template <typename T>
static void forward(T *y, const T *x, const T *residual, const ex_norm_train *n, ex_stream s)
{
    if (ex_norm_empty(&n->shape))
        return;
    const ex_norm_parts parts = ex_norm_parts_of(&n->shape);
    const ex_norm_map map = ex_norm_map_of(&n->shape);
    EX_LAUNCH_TOGETHER(norm_train_stats_kernel<T>, ex_norm_part_blocks(parts), EX_BLOCK, 0, s,
                       n->scratch, x, parts);
    EX_LAUNCH_TOGETHER(norm_train_join_kernel, ex_norm_warp_blocks(parts), EX_BLOCK, 0, s, n->mean,
                       n->var, n->scratch, parts);
    const bool quads = map.floats % EX_QUAD == 0 && ex_aligned(y, x, residual);
    const auto kernel = quads ? norm_train_fwd_kernel<EX_QUAD, T> : norm_train_fwd_kernel<1, T>;
    EX_LAUNCH(kernel, ex_norm_map_grid(map, quads), EX_BLOCK, 0, s, y, x, residual,
              ex_norm_channels_of(n), map, n->relu != 0);
}

void ex_norm_train_fwd_cuda(void *y, const void *x, const void *residual, const ex_norm_train *n,
                            ex_stream s)
{
    if (n->shape.type == EX_MAP_BF16)
        forward((ex_bf16 *)y, (const ex_bf16 *)x, (const ex_bf16 *)residual, n, s);
    else
        forward((float *)y, (const float *)x, (const float *)residual, n, s);
}
