/* Reference of the batch operations. */
#include "reference.h"

/* A draw from [0, n): the word as a fraction of 2^32, times n. */
static int draw(uint32_t word, int n)
{
    return (int)((double)word / 4294967296.0 * (double)n);
}

/* Byte of image (C, H, W) that output pixel (y, x) shows, or -1 for black, -2 for what is cut out.
 */
static int shown(const uint8_t *image, const ex_gather_shape *g, int n, int c, int y, int x)
{
    int row = y - g->top, column = x - g->left;
    const ex_augment *a = g->augment;
    if (a) {
        const size_t first = 4 * (size_t)n;
        const uint32_t third = ex_ref_word(&a->draws, first + 2);
        const int centre_y = draw(third * 2u, g->out_H);
        const int centre_x = draw(ex_ref_word(&a->draws, first + 3), g->out_W);
        const int above = y - (centre_y - a->cutout / 2), before = x - (centre_x - a->cutout / 2);
        if (above >= 0 && above < a->cutout && before >= 0 && before < a->cutout)
            return -2;
        row -= draw(ex_ref_word(&a->draws, first), 2 * a->crop + 1) - a->crop;
        column -= draw(ex_ref_word(&a->draws, first + 1), 2 * a->crop + 1) - a->crop;
        if (a->flip && third >= 0x80000000u)
            column = g->W - 1 - column;
    }
    if (row < 0 || row >= g->H || column < 0 || column >= g->W)
        return -1;
    return image[(c * g->H + row) * g->W + column];
}

void ex_batch_gather_ref(float *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *g)
{
    const size_t image = (size_t)g->C * (size_t)g->H * (size_t)g->W;
    for (int n = 0; n < g->N; n++)
        for (int c = 0; c < g->C; c++)
            for (int y = 0; y < g->out_H; y++)
                for (int x = 0; x < g->out_W; x++) {
                    const int byte = shown(images + index[n] * image, g, n, c, y, x);
                    const float product = (float)(byte < 0 ? 0 : byte) * g->scale[c];
                    out[ex_ref_offset(n, c, y, x, g->C, g->out_H, g->out_W, g->block)] =
                        byte == -2 ? 0.0f : product + g->shift[c];
                }
}
