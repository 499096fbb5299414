/* A batch from stored images, in one pass over the output.
 *
 *   out[n, c, y, x] = image[index[n], c, y - top, x - left] * scale[c] + shift[c]
 *
 * with black, that is 0 * scale[c] + shift[c], where the image does not reach. Images are planar
 * bytes (C, H, W); the output is in any layout of kernels.h. Rows of the output are written left to
 * right: black, pixels, black. Without padding a whole plane is one row. Augmentation gives each
 * image a (top, left) of its own, may read its rows backwards, and cuts a square out at the end. */
#include "batch.h"
#include "map.h"

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

/* out (count, block) from value `at` on: black pixels. scale, shift: of the block's channels. */
EX_INLINE void black(void *restrict out, size_t at, ex_map_type type, const float *restrict scale,
                     const float *restrict shift, int count, int block)
{
    for (int x = 0; x < count; x++)
        for (int j = 0; j < block; j++)
            ex_map_put(out, at + (size_t)(x * block + j), ex_pixel_body(0, scale[j], shift[j]),
                       type);
}

/* out (count, block) from `block` planes, `plane` bytes apart. */
EX_INLINE void pixels(void *restrict out, size_t at, ex_map_type type, const uint8_t *restrict in,
                      size_t plane, const float *restrict scale, const float *restrict shift,
                      int count, int block)
{
    for (int x = 0; x < count; x++)
        for (int j = 0; j < block; j++)
            ex_map_put(out, at + (size_t)(x * block + j),
                       ex_pixel_body(in[(size_t)j * plane + (size_t)x], scale[j], shift[j]), type);
}

/* The same from right to left; `in` is the rightmost pixel. */
EX_INLINE void mirrored_pixels(void *restrict out, size_t at, ex_map_type type,
                               const uint8_t *restrict in, size_t plane,
                               const float *restrict scale, const float *restrict shift, int count,
                               int block)
{
    for (int x = 0; x < count; x++)
        for (int j = 0; j < block; j++)
            ex_map_put(out, at + (size_t)(x * block + j),
                       ex_pixel_body(*(in + (size_t)j * plane - (size_t)x), scale[j], shift[j]),
                       type);
}

/* Zeros in the square that the view cuts out of a slab (out_H, out_W, block). */
EX_INLINE void cut_out(void *out, ex_map_type type, const ex_gather_shape *g, const ex_view *v,
                       int block)
{
    const int top = clamp(v->hole_top, 0, g->out_H);
    const int bottom = clamp(v->hole_top + v->hole, 0, g->out_H);
    const int left = clamp(v->hole_left, 0, g->out_W);
    const int right = clamp(v->hole_left + v->hole, 0, g->out_W);
    for (int y = top; y < bottom; y++)
        for (int i = left * block; i < right * block; i++)
            ex_map_put(out, (size_t)y * (size_t)g->out_W * (size_t)block + (size_t)i, 0.0f, type);
}

/* Channels first, ..., first + block of one image, into their slab (out_H, out_W, block). */
EX_INLINE void gather_slab(void *out, ex_map_type type, const uint8_t *image,
                           const ex_gather_shape *g, window w, int mirrored, int first, int block)
{
    const size_t plane = (size_t)g->H * (size_t)g->W;
    const float *scale = g->scale + first, *shift = g->shift + first;
    const uint8_t *in = image + (size_t)first * plane;
    const size_t line = (size_t)g->out_W * (size_t)block;
    size_t at = 0;
    for (int y = 0; y < g->out_H; y++, at += line) {
        if (y < w.top || y >= w.bottom || w.left == w.right) {
            black(out, at, type, scale, shift, g->out_W, block);
            continue;
        }
        const int from = w.left - g->left;
        const size_t row = (size_t)(y - g->top) * (size_t)g->W;
        black(out, at, type, scale, shift, w.left, block);
        if (mirrored)
            mirrored_pixels(out, at + (size_t)(w.left * block), type,
                            in + row + (size_t)(g->W - 1 - from), plane, scale, shift,
                            w.right - w.left, block);
        else
            pixels(out, at + (size_t)(w.left * block), type, in + row + (size_t)from, plane, scale,
                   shift, w.right - w.left, block);
        black(out, at + (size_t)(w.right * block), type, scale, shift, g->out_W - w.right, block);
    }
}

/* One image by its view: slabs of g->block channels. */
EX_INLINE void gather_view(void *out, ex_map_type type, const uint8_t *image,
                           const ex_gather_shape *batch, const ex_view *v)
{
    ex_gather_shape g = *batch;
    g.top = v->top, g.left = v->left;
    const window w = window_of(&g);
    const size_t plane = (size_t)g.out_H * (size_t)g.out_W;
    for (int first = 0; first < g.C; first += g.block) {
        void *slab = ex_map_at(out, (ptrdiff_t)((size_t)first * plane), type);
        if (g.block == 3)
            gather_slab(slab, type, image, &g, w, v->mirrored, first, 3);
        else
            gather_slab(slab, type, image, &g, w, v->mirrored, first, g.block);
        cut_out(slab, type, &g, v, g.block);
    }
}

EX_INLINE void augment(void *out, ex_map_type type, const uint8_t *images, const uint32_t *index,
                       const ex_gather_shape *g, size_t begin, size_t end)
{
    const size_t image = (size_t)g->C * (size_t)g->H * (size_t)g->W;
    const size_t map = (size_t)g->C * (size_t)g->out_H * (size_t)g->out_W;
    for (size_t n = begin; n < end; n++) {
        const ex_view v =
            ex_view_body(g->augment, (uint32_t)n, g->top, g->left, g->out_H, g->out_W);
        gather_view(ex_map_at(out, (ptrdiff_t)(n * map), type), type,
                    images + (size_t)index[n] * image, g, &v);
    }
}

EX_CLONES static void augment_range(void *out, const uint8_t *images, const uint32_t *index,
                                    const ex_gather_shape *g, size_t begin, size_t end)
{
    EX_TYPED(g->type, T, augment(out, T, images, index, g, begin, end));
}

/* Images [begin, end) of the batch. The usual blocks are constants, so that their loops vectorise.
 */
EX_INLINE void gather(void *out, ex_map_type type, const uint8_t *images, const uint32_t *index,
                      const ex_gather_shape *g, size_t begin, size_t end)
{
    const window w = window_of(g);
    const size_t image_size = (size_t)g->C * (size_t)g->H * (size_t)g->W;
    const size_t plane = (size_t)g->out_H * (size_t)g->out_W;
    for (size_t n = begin; n < end; n++) {
        const uint8_t *image = images + (size_t)index[n] * image_size;
        for (int first = 0; first < g->C; first += g->block) {
            void *slab =
                ex_map_at(out, (ptrdiff_t)((n * (size_t)g->C + (size_t)first) * plane), type);
            if (g->block == 1)
                gather_slab(slab, type, image, g, w, 0, first, 1);
            else if (g->block == 3)
                gather_slab(slab, type, image, g, w, 0, first, 3);
            else
                gather_slab(slab, type, image, g, w, 0, first, g->block);
        }
    }
}

EX_CLONES static void gather_range(void *out, const uint8_t *images, const uint32_t *index,
                                   const ex_gather_shape *g, size_t begin, size_t end)
{
    EX_TYPED(g->type, T, gather(out, T, images, index, g, begin, end));
}

void ex_batch_gather_host(void *out, const uint8_t *images, const uint32_t *index,
                          const ex_gather_shape *g, ex_stream s)
{
    const size_t elements = (size_t)g->N * (size_t)g->C * (size_t)g->out_H * (size_t)g->out_W;
    if (g->augment) {
        EX_SHARE((size_t)g->N, elements, s, augment_range(out, images, index, g, begin, end));
        return;
    }
    ex_gather_shape flat = *g;
    if (g->W == g->out_W && g->H == g->out_H && g->top == 0 && g->left == 0) {
        flat.W = flat.out_W = g->H * g->W;
        flat.H = flat.out_H = 1;
    }
    const size_t n = (size_t)g->N;
    EX_SHARE(n, elements, s, gather_range(out, images, index, &flat, begin, end));
}
