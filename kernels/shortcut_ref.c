/* Reference of the option-A shortcut. */
#include "reference.h"

void ex_shortcut_a_fwd_ref(float *out, const float *in, const ex_map_shape *in_shape, int K,
                           int out_block, int stride)
{
    const ex_map_shape i = *in_shape;
    const int H = (i.H + stride - 1) / stride, W = (i.W + stride - 1) / stride;
    for (int n = 0; n < i.N; n++)
        for (int k = 0; k < K; k++)
            for (int y = 0; y < H; y++)
                for (int x = 0; x < W; x++) {
                    const int c = k - (K - i.C) / 2;
                    out[ex_ref_offset(n, k, y, x, K, H, W, out_block)] =
                        c < 0 || c >= i.C ? 0.0f
                                          : in[ex_ref_offset(n, c, y * stride, x * stride, i.C, i.H,
                                                             i.W, i.block)];
                }
}

void ex_shortcut_a_bwd_ref(float *din, const float *dout, const ex_map_shape *in_shape, int K,
                           int out_block, int stride)
{
    const ex_map_shape i = *in_shape;
    const int H = (i.H + stride - 1) / stride, W = (i.W + stride - 1) / stride;
    for (int n = 0; n < i.N; n++)
        for (int c = 0; c < i.C; c++)
            for (int y = 0; y < i.H; y++)
                for (int x = 0; x < i.W; x++)
                    if (y % stride == 0 && x % stride == 0)
                        din[ex_ref_offset(n, c, y, x, i.C, i.H, i.W, i.block)] +=
                            dout[ex_ref_offset(n, c + (K - i.C) / 2, y / stride, x / stride, K, H,
                                               W, out_block)];
}
