/* Reference of the gradient of a few filters, in float64. */
#include "reference.h"

static double tap(const float *x, const float *dy, const ex_conv_shape *s, int k, int r, int q,
                  int c)
{
    const ex_map_shape *in = &s->in;
    double sum = 0.0;
    for (int n = 0; n < in->N; n++)
        for (int h = 0; h < s->out_H; h++)
            for (int w = 0; w < s->out_W; w++) {
                const int y = h * s->stride + r - s->pad, z = w * s->stride + q - s->pad;
                if (y < 0 || y >= in->H || z < 0 || z >= in->W)
                    continue;
                sum +=
                    (double)x[ex_ref_offset(n, c, y, z, in->C, in->H, in->W, in->block)] *
                    (double)dy[ex_ref_offset(n, k, h, w, s->K, s->out_H, s->out_W, s->out_block)];
            }
    return sum;
}

void ex_conv_rows_bwd_ref(float *dw, float *dsum, const float *x, const float *dy,
                          const int32_t *row, int rows, const ex_conv_shape *s)
{
    for (int j = 0; j < rows; j++) {
        const int k = row[j];
        for (int r = 0; r < s->R; r++)
            for (int q = 0; q < s->S; q++)
                for (int c = 0; c < s->in.C; c++)
                    dw[((k * s->R + r) * s->S + q) * s->in.C + c] =
                        (float)tap(x, dy, s, k, r, q, c);
        double sum = 0.0;
        for (int n = 0; n < s->in.N; n++)
            for (int h = 0; h < s->out_H; h++)
                for (int w = 0; w < s->out_W; w++)
                    sum += (double)
                        dy[ex_ref_offset(n, k, h, w, s->K, s->out_H, s->out_W, s->out_block)];
        if (dsum)
            dsum[k] = (float)sum;
    }
}
