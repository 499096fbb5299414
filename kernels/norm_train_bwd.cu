/* Training's batch norm backward: sums of the gradient by parts, as norm_train_fwd.cu makes them,
 * and from them the input's gradient; the formulas stand in kernels.h.
 *
 * Four values read and one written for each of the map; g2 and y are one more to read each, and a g
 * that is kept one to write. */
#include "norm_affine.h"
#include "norm_parts.h"

/* What the backward pass reads, with NULL for what it does without. */
template <typename T> struct gradient {
    T *g1;
    const T *g2, *x, *y;
    bool relu, keep;
};

/* Sums of g and of g * (x - mean); g replaces g1 if it is to be kept. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_reduce_kernel(float *sums, gradient<T> g, ex_norm_channels norm, ex_norm_parts parts)
{
    for (uint32_t unit = blockIdx.x; unit < parts.units; unit += gridDim.x) {
        const ex_norm_part p = ex_norm_part_of(unit, threadIdx.x, parts);
        const ex_norm_affine k = ex_norm_affine_of(norm, p.channel);
        float first = 0.0f, second = 0.0f;
        for (uint32_t pixel = p.row; pixel < p.pixels; pixel += parts.rows) {
            const size_t at = p.start + (size_t)pixel * parts.block;
            const float x = ex_value(g.x[at]);
            float v = ex_value(g.g1[at]) + (g.g2 ? ex_value(g.g2[at]) : 0.0f);
            if (g.relu)
                v = ex_norm_where_positive(v, g.y ? ex_value(g.y[at]) : ex_norm_apply(x, k));
            if (g.keep)
                ex_keep(g.g1 + at, v);
            first += v;
            second += v * (x - k.mean);
        }
        ex_norm_part_sum(&first, &second, p, parts);
        if (p.row == 0 && p.busy) {
            sums[2 * p.at] = first;
            sums[2 * p.at + 1] = second;
        }
    }
}

/* A channel's gradients of scale and shift; dx = ratio g + slope (x - mean) + constant. */
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_slope_kernel(float *dscale, float *dshift, float *slope, float *constant,
                            const float *sums, ex_norm_channels norm, ex_norm_parts parts)
{
    const uint32_t lane = threadIdx.x % EX_WARP;
    for (uint32_t c = ex_norm_warp(); c < parts.C; c += ex_norm_warps()) {
        double first = 0.0, second = 0.0;
        for (uint32_t i = lane; i < parts.parts; i += EX_WARP) {
            const float *part = sums + 2 * ((size_t)i * parts.C + c);
            first += (double)part[0];
            second += (double)part[1];
        }
        first = ex_norm_warp_sum(first);
        second = ex_norm_warp_sum(second);
        if (lane == 0) {
            const double r = 1.0 / sqrt((double)norm.var[c] + (double)norm.eps);
            const double ratio = (double)ex_norm_affine_of(norm, c).ratio;
            dshift[c] = (float)first;
            dscale[c] = (float)(second * r);
            slope[c] = (float)(-ratio * r * r * second / parts.count);
            constant[c] = (float)(-ratio * first / parts.count);
        }
    }
}

/* relu: g1 is still the gradient of y. dx may be g1. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    norm_train_bwd_kernel(T *dx, const T *g1, const T *x, const float *slope, const float *constant,
                          ex_norm_channels norm, ex_norm_map map, bool relu)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < map.floats; i += stride) {
        ex_norm_affine k[WIDTH];
        float a[WIDTH], b[WIDTH];
        for (uint32_t j = 0; j < WIDTH; j++) {
            const uint32_t c = ex_norm_channel(i + j, map);
            k[j] = ex_norm_affine_of(norm, c);
            a[j] = slope[c];
            b[j] = constant[c];
        }
        for (uint32_t n = blockIdx.y; n < map.N; n += gridDim.y) {
            const size_t at = (size_t)n * map.floats + i;
            float value[WIDTH], g[WIDTH];
            ex_quad_load(value, x + at);
            ex_quad_load(g, g1 + at);
            for (int j = 0; j < WIDTH; j++) {
                const float v =
                    relu ? ex_norm_where_positive(g[j], ex_norm_apply(value[j], k[j])) : g[j];
                value[j] = v * k[j].ratio + (value[j] - k[j].mean) * a[j] + b[j];
            }
            ex_quad_store(dx + at, value);
        }
    }
}

template <typename T>
static void backward(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    if (ex_norm_empty(&n->shape))
        return;
    const ex_norm_parts parts = ex_norm_parts_of(&n->shape);
    const ex_norm_map map = ex_norm_map_of(&n->shape);
    const ex_norm_channels norm = ex_norm_channels_of(n);
    const gradient<T> in = {(T *)g->g1,      (const T *)g->g2, (const T *)g->x,
                            (const T *)g->y, n->relu != 0,     g->keep != 0};
    float *const slope = n->scratch + 2 * (size_t)parts.parts * parts.C;
    float *const constant = slope + parts.C;
    EX_LAUNCH_TOGETHER(norm_train_reduce_kernel<T>, ex_norm_part_blocks(parts), EX_BLOCK, 0, s,
                       n->scratch, in, norm, parts);
    EX_LAUNCH_TOGETHER(norm_train_slope_kernel, ex_norm_warp_blocks(parts), EX_BLOCK, 0, s,
                       g->dscale, g->dshift, slope, constant, n->scratch, norm, parts);
    const bool quads = map.floats % EX_QUAD == 0 && ex_aligned(g->dx, g->g1, g->x);
    const auto kernel = quads ? norm_train_bwd_kernel<EX_QUAD, T> : norm_train_bwd_kernel<1, T>;
    EX_LAUNCH(kernel, ex_norm_map_grid(map, quads), EX_BLOCK, 0, s, (T *)g->dx, in.g1, in.x, slope,
              constant, norm, map, in.relu && !in.keep);
}

void ex_norm_train_bwd_cuda(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    (n->shape.type == EX_MAP_BF16 ? backward<ex_bf16> : backward<float>)(g, n, s);
}
