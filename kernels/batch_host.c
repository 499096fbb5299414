/* A batch from stored images, in one pass over the output.
 *
 *   out[n, c, y, x] = image[index[n], c, y - top, x - left] * scale[c] + shift[c]
 *
 * with black, that is 0 * scale[c] + shift[c], where the image does not reach. Images are planar
 * bytes (C, H, W); the output is in any layout of kernels.h. Rows of the output are written left to
 * right: black, pixels, black. Without padding a whole plane is one row. */
#include "batch.h"
#include "host.h"

/* Where the image lies in the output. */
typedef struct window {
    int top, bottom, left, right; /* rows and columns [top, bottom) x [left, right) of the output */
} window;

static int clamp(int value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

static window window_of(const ex_gather_shape *g)
{
    return (window){.top = clamp(g->top, 0, g->out_H),
                    .bottom = clamp(g->top + g->H, 0, g->out_H),
                    .left = clamp(g->left, 0, g->out_W),
                    .right = clamp(g->left + g->W, 0, g->out_W)};
}

/* out (count, block): black pixels. scale, shift: of the block's channels. */
EX_INLINE void black(float *restrict out, const float *restrict scale, const float *restrict shift,
                     int count, int block)
{
    for (int x = 0; x < count; x++)
        for (int j = 0; j < block; j++)
            out[x * block + j] = ex_pixel_body(0, scale[j], shift[j]);
}

/* out (count, block) from `block` planes, `plane` bytes apart. */
EX_INLINE void pixels(float *restrict out, const uint8_t *restrict in, size_t plane,
                      const float *restrict scale, const float *restrict shift, int count,
                      int block)
{
    for (int x = 0; x < count; x++)
        for (int j = 0; j < block; j++)
            out[x * block + j] =
                ex_pixel_body(in[(size_t)j * plane + (size_t)x], scale[j], shift[j]);
}

/* Channels first, ..., first + block of one image, into their slab (out_H, out_W, block). */
EX_INLINE void gather_slab(float *out, const uint8_t *image, const ex_gather_shape *g, window w,
                           int first, int block)
{
    const size_t plane = (size_t)g->H * (size_t)g->W;
    const float *scale = g->scale + first, *shift = g->shift + first;
    const uint8_t *in = image + (size_t)first * plane;
    for (int y = 0; y < g->out_H; y++, out += (size_t)g->out_W * (size_t)block) {
        if (y < w.top || y >= w.bottom || w.left == w.right) {
            black(out, scale, shift, g->out_W, block);
            continue;
        }
        const size_t start = (size_t)(y - g->top) * (size_t)g->W + (size_t)(w.left - g->left);
        black(out, scale, shift, w.left, block);
        pixels(out + w.left * block, in + start, plane, scale, shift, w.right - w.left, block);
        black(out + w.right * block, scale, shift, g->out_W - w.right, block);
    }
}

/* Images [begin, end) of the batch. The usual blocks are constants, so that their loops vectorise.
 */
EX_CLONES static void gather_range(float *out, const uint8_t *images, const uint32_t *index,
                                   const ex_gather_shape *g, size_t begin, size_t end)
{
    const window w = window_of(g);
    const size_t image_size = (size_t)g->C * (size_t)g->H * (size_t)g->W;
    const size_t plane = (size_t)g->out_H * (size_t)g->out_W;
    for (size_t n = begin; n < end; n++) {
        const uint8_t *image = images + (size_t)index[n] * image_size;
        for (int first = 0; first < g->C; first += g->block) {
            float *slab = out + (n * (size_t)g->C + (size_t)first) * plane;
            if (g->block == 1)
                gather_slab(slab, image, g, w, first, 1);
            else if (g->block == 3)
                gather_slab(slab, image, g, w, first, 3);
            else
                gather_slab(slab, image, g, w, first, g->block);
        }
    }
}

void ex_batch_gather_host(float *out, const uint8_t *images, const uint32_t *index,
                          const ex_gather_shape *g, ex_stream s)
{
    ex_gather_shape flat = *g;
    if (g->W == g->out_W && g->H == g->out_H && g->top == 0 && g->left == 0) {
        flat.W = flat.out_W = g->H * g->W;
        flat.H = flat.out_H = 1;
    }
    const size_t n = (size_t)g->N;
    EX_SHARE(n, n * (size_t)g->C * (size_t)g->out_H * (size_t)g->out_W, s,
             gather_range(out, images, index, &flat, begin, end));
}
