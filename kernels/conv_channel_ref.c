/* Reference of what a convolution makes of a map with one channel changed, in float64. */
#include "reference.h"

static double lost(const ex_channel_change *x, const ex_map_shape *m, int n, int v, int y, int z)
{
    if (y < 0 || y >= m->H || z < 0 || z >= m->W)
        return 0.0;
    const size_t at = ex_ref_offset(n, x->channel[v], y, z, m->C, m->H, m->W, m->block);
    const float *in = x->in, *residual = x->residual;
    double changed = (double)x->fill[v] + (residual ? (double)residual[at] : 0.0);
    if (x->relu && changed < 0.0)
        changed = 0.0;
    return (double)in[at] - changed;
}

static double output(const float *pre, const float *weight, const ex_channel_change *x,
                     const ex_conv_shape *s, int n, int v, int k, int h, int w)
{
    double sum = (double)pre[ex_ref_offset(n, k, h, w, s->K, s->out_H, s->out_W, s->out_block)];
    if (x->channel[v] < 0)
        return sum;
    for (int r = 0; r < s->R; r++)
        for (int q = 0; q < s->S; q++)
            sum -= (double)weight[((x->channel[v] * s->R + r) * s->S + q) * s->K + k] *
                   lost(x, &s->in, n, v, h * s->stride + r - s->pad, w * s->stride + q - s->pad);
    return sum;
}

void ex_conv_channel_update_ref(float *out, const float *pre, const float *weight,
                                const ex_channel_change *x, const ex_conv_shape *s, int relu)
{
    for (int v = 0; v < x->V; v++)
        for (int n = 0; n < s->in.N; n++)
            for (int k = 0; k < s->K; k++)
                for (int h = 0; h < s->out_H; h++)
                    for (int w = 0; w < s->out_W; w++) {
                        const double value = output(pre, weight, x, s, n, v, k, h, w);
                        out[ex_ref_offset(v * s->in.N + n, k, h, w, s->K, s->out_H, s->out_W,
                                          s->out_block)] =
                            (float)(relu && value < 0.0 ? 0.0 : value);
                    }
}
