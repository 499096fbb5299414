/* V copies of an activation map, each with one channel replaced by what its ablation leaves.
 *
 *   out[v, n, c] = in[n, c],  and for c = channel[v]:  fill[v] + residual[n, c], through a ReLU if
 * asked
 *
 * in, residual (N, C, H, W), out (V, N, C, H, W), all in shape->block. A thread owns WIDTH
 * neighbouring values of the map, whatever their channels: it reads them once an image and writes
 * them for every variant (or every gridDim.z-th: few images alone would not fill a GPU). */
#include "layout.h"
#include "quad.h"
#include "residual.h"

typedef struct ablation {
    bool relu;
    int N, V;
    uint32_t H, W, block, map; /* map: values of one image */
} ablation;

/* Reads `in` (gridDim.z times, all but one from the L2 cache) and the ablated elements of
 * `residual`; writes `out`: V times the map, which is what it costs. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    channel_ablate_kernel(T *__restrict__ out, const T *__restrict__ in,
                          const T *__restrict__ residual, const int32_t *__restrict__ channel,
                          const float *__restrict__ fill, ablation a)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < a.map; i += stride) {
        int32_t mine[WIDTH];
        for (uint32_t j = 0; j < WIDTH; j++)
            mine[j] = (int32_t)ex_layout_place(i + j, a.H, a.W, a.block).c;
        for (int n = (int)blockIdx.y; n < a.N; n += (int)gridDim.y) {
            const size_t at = (size_t)n * a.map + i;
            float kept[WIDTH];
            ex_quad_load(kept, in + at);
            for (int v = (int)blockIdx.z; v < a.V; v += (int)gridDim.z) {
                float value[WIDTH];
                for (int j = 0; j < WIDTH; j++) {
                    value[j] = kept[j];
                    if (mine[j] == channel[v]) {
                        value[j] =
                            residual ? fill[v] + ex_value(residual[at + (size_t)j]) : fill[v];
                        value[j] = a.relu ? ex_relu_body(value[j]) : value[j];
                    }
                }
                ex_quad_store(out + (size_t)v * (size_t)a.N * a.map + at, value);
            }
        }
    }
}

template <typename T>
static void channel_ablate(void *out, const void *in, const void *residual, const int32_t *channel,
                           const float *fill, int relu, int V, const ex_map_shape *shape,
                           ex_stream s)
{
    const uint32_t H = (uint32_t)shape->H, W = (uint32_t)shape->W;
    const uint32_t map = (uint32_t)shape->C * H * W;
    if (V <= 0 || shape->N <= 0 || map == 0)
        return;
    const ablation a = {relu != 0, shape->N, V, H, W, (uint32_t)shape->block, map};
    const bool quads = map % EX_QUAD == 0 && ex_aligned(out, in);
    const auto ablate_kernel =
        quads ? channel_ablate_kernel<EX_QUAD, T> : channel_ablate_kernel<1, T>;
    const dim3 grid = ex_launch_grid(quads ? map / EX_QUAD : map, (size_t)shape->N, (size_t)V);
    EX_LAUNCH(ablate_kernel, grid, EX_BLOCK, 0, s, (T *)out, (const T *)in, (const T *)residual,
              channel, fill, a);
}

void ex_channel_ablate_cuda(void *out, const void *in, const void *residual, const int32_t *channel,
                            const float *fill, int relu, int V, const ex_map_shape *shape,
                            ex_stream s)
{
    (shape->type == EX_MAP_BF16
         ? channel_ablate<ex_bf16>
         : channel_ablate<float>)(out, in, residual, channel, fill, relu, V, shape, s);
}
