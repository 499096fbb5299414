/* Reference of the ablation operations. */
#include "reference.h"

void ex_channel_ablate_ref(float *out, const float *in, const float *residual,
                           const int32_t *channel, const float *fill, int relu, int V,
                           const ex_map_shape *shape)
{
    const ex_map_shape m = *shape;
    for (int v = 0; v < V; v++)
        for (int n = 0; n < m.N; n++)
            for (int c = 0; c < m.C; c++)
                for (int y = 0; y < m.H; y++)
                    for (int x = 0; x < m.W; x++) {
                        const size_t from = ex_ref_offset(n, c, y, x, m.C, m.H, m.W, m.block);
                        const size_t to =
                            ex_ref_offset(v * m.N + n, c, y, x, m.C, m.H, m.W, m.block);
                        float value = in[from];
                        if (c == channel[v]) {
                            value = fill[v] + (residual ? residual[from] : 0.0f);
                            value = relu && value < 0.0f ? 0.0f : value;
                        }
                        out[to] = value;
                    }
}
