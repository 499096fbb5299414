/* Reference of the batch operations. */
#include "reference.h"

void ex_batch_gather_ref(float *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g)
{
    for (int n = 0; n < g->N; n++)
        for (int c = 0; c < g->C; c++)
            for (int y = 0; y < g->out_H; y++)
                for (int x = 0; x < g->out_W; x++) {
                    const int row = y - g->top, column = x - g->left;
                    float byte = 0.0f;
                    if (row >= 0 && row < g->H && column >= 0 && column < g->W)
                        byte = images[ex_ref_offset((int)index[n], c, row, column, g->C, g->H, g->W,
                                                    1)];
                    const float product = byte * g->scale[c];
                    out[ex_ref_offset(n, c, y, x, g->C, g->out_H, g->out_W, g->block)] =
                        product + g->shift[c];
                }
}
