/* A batch from stored images, in one pass over the output.
 *
 *   out[n, c, y, x] = image[index[n], c, y - top, x - left] * scale[c] + shift[c]
 *
 * with black, that is 0 * scale[c] + shift[c], where the image does not reach. Images are planar
 * bytes (C, H, W); the output is in any layout of kernels.h. A thread owns WIDTH neighbouring
 * floats of the output image: it works out once where they come from, then walks the batch. In NHWC
 * a warp reads a few short runs of bytes, one a channel, and writes 512 bytes in a row. */
#include "batch.h"
#include "layout.h"
#include "quad.h"

typedef struct gather {
    uint32_t H, W, out_H, out_W, block;
    int top, left;
    const float *scale, *shift; /* (C) */
    size_t image;               /* bytes of a stored image */
    uint32_t map;               /* floats of an output image */
} gather;

/* Where a float of the output comes from: byte `at` of the image, or black if negative. */
typedef struct origin {
    int32_t at;
    float scale, shift;
} origin;

static inline __device__ origin origin_of(uint32_t i, const gather &g)
{
    const ex_place p = ex_layout_place(i, g.out_H, g.out_W, g.block);
    const int y = (int)p.y - g.top, x = (int)p.x - g.left;
    const bool inside = y >= 0 && y < (int)g.H && x >= 0 && x < (int)g.W;
    const int32_t at = (int32_t)((p.c * g.H + (uint32_t)y) * g.W + (uint32_t)x);
    return origin{inside ? at : -1, g.scale[p.c], g.shift[p.c]};
}

/* Reads 1 byte a pixel and channel inside the image, 4 an image (index); writes a
 * value an output element. WIDTH > 1 needs maps that are a multiple of it. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    batch_gather_kernel(T *__restrict__ out, const uint8_t *__restrict__ images,
                        const uint32_t *__restrict__ index, gather g, int N)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < g.map; i += stride) {
        origin from[WIDTH];
        for (uint32_t j = 0; j < WIDTH; j++)
            from[j] = origin_of(i + j, g);
        for (int n = (int)blockIdx.y; n < N; n += (int)gridDim.y) {
            const uint8_t *image = images + (size_t)index[n] * g.image;
            float value[WIDTH];
            for (int j = 0; j < WIDTH; j++) {
                const uint8_t byte = from[j].at < 0 ? (uint8_t)0 : image[from[j].at];
                value[j] = ex_pixel_body(byte, from[j].scale, from[j].shift);
            }
            ex_quad_store(out + (size_t)n * g.map + i, value);
        }
    }
}

/* The same with a view of its own for each image: places of the output are worked out once, the
 * view's draws and the origins for each image. Draws are some 60 integer operations an image. */
template <int WIDTH, typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    batch_augment_kernel(T *__restrict__ out, const uint8_t *__restrict__ images,
                         const uint32_t *__restrict__ index, gather g, ex_augment augment, int N)
{
    const uint32_t stride = (uint32_t)ex_threads() * WIDTH;
    for (uint32_t i = (uint32_t)ex_thread() * WIDTH; i < g.map; i += stride) {
        ex_place place[WIDTH];
        for (uint32_t j = 0; j < WIDTH; j++)
            place[j] = ex_layout_place(i + j, g.out_H, g.out_W, g.block);
        for (int n = (int)blockIdx.y; n < N; n += (int)gridDim.y) {
            const uint8_t *image = images + (size_t)index[n] * g.image;
            const ex_view v =
                ex_view_body(&augment, (uint32_t)n, g.top, g.left, (int)g.out_H, (int)g.out_W);
            float value[WIDTH];
            for (int j = 0; j < WIDTH; j++) {
                const ex_place p = place[j];
                const int y = (int)p.y - v.top, left = (int)p.x - v.left;
                const int x = v.mirrored ? (int)g.W - 1 - left : left;
                const bool inside = y >= 0 && y < (int)g.H && x >= 0 && x < (int)g.W;
                const uint8_t byte =
                    inside ? image[(p.c * g.H + (uint32_t)y) * g.W + (uint32_t)x] : (uint8_t)0;
                value[j] = ex_hole_body(&v, (int)p.y, (int)p.x)
                               ? 0.0f
                               : ex_pixel_body(byte, g.scale[p.c], g.shift[p.c]);
            }
            ex_quad_store(out + (size_t)n * g.map + i, value);
        }
    }
}

template <typename T>
static void batch_gather(void *out, const uint8_t *images, const uint32_t *index,
                         const ex_gather_shape *s, ex_stream stream)
{
    gather g;
    g.H = (uint32_t)s->H, g.W = (uint32_t)s->W;
    g.out_H = (uint32_t)s->out_H, g.out_W = (uint32_t)s->out_W;
    g.block = (uint32_t)s->block;
    g.top = s->top, g.left = s->left;
    g.scale = s->scale, g.shift = s->shift;
    g.image = (size_t)s->C * (size_t)s->H * (size_t)s->W;
    g.map = (uint32_t)s->C * g.out_H * g.out_W;
    if (s->N <= 0 || g.map == 0)
        return;
    const bool quads = g.map % EX_QUAD == 0 && ex_aligned(out);
    if (s->augment) {
        const auto augment_kernel =
            quads ? batch_augment_kernel<EX_QUAD, T> : batch_augment_kernel<1, T>;
        const dim3 views = ex_launch_grid(quads ? g.map / EX_QUAD : g.map, (size_t)s->N, 1);
        EX_LAUNCH(augment_kernel, views, EX_BLOCK, 0, stream, (T *)out, images, index, g,
                  *s->augment, s->N);
        return;
    }
    const auto gather_kernel = quads ? batch_gather_kernel<EX_QUAD, T> : batch_gather_kernel<1, T>;
    const dim3 grid = ex_launch_grid(quads ? g.map / EX_QUAD : g.map, (size_t)s->N, 1);
    EX_LAUNCH(gather_kernel, grid, EX_BLOCK, 0, stream, (T *)out, images, index, g, s->N);
}

void ex_batch_gather_cuda(void *out, const uint8_t *images, const uint32_t *index,
                          const ex_gather_shape *g, ex_stream s)
{
    (g->type == EX_MAP_BF16 ? batch_gather<ex_bf16> : batch_gather<float>)(out, images, index, g,
                                                                           s);
}
