/* Convolutions with 3 x 3 filters, stride 1, padding 1, by Winograd's F(4x4, 3x3): 36 products for
 * each 4 x 4 pixels and pair of channels instead of 144. For the host alone.
 *
 * In one dimension, four outputs of a three-tap filter g over six inputs d are
 *   y = A' ((G g) * (B' d)),   the polynomials' values at 0, a, -a, b, -b and infinity,
 * and in two dimensions it is done to rows, then to columns (Lavin and Gray 2016). The points a =
 * 3/4 and b = 3/2 lose less accuracy than the usual 1 and 2, and are exact in binary.
 *
 * Tiles are worked on in groups whose values, before and behind the products, fit in a cache. Where
 * the filters of all points fit one too, each thread takes groups of its own from x to y, so that
 * what one step hands to the next stays with the core; else the threads share every step of a
 * group, and each reads a part of the filters. Every value is summed over C, a filter's gradient
 * over tiles, in one order: the same bits for any instruction set and any number of threads, and an
 * image's for any batch.
 *
 * Maps are in blocks of 16 channels, float32 or bf16; products and sums are float32 for both. */
#ifndef EX_KERNELS_WINOGRAD_H
#define EX_KERNELS_WINOGRAD_H

#include "kernels.h"

#include <stdbool.h>

enum { EX_WINOGRAD_POINTS = 36, EX_WINOGRAD_BLOCK = 16 };

typedef struct ex_winograd_shape {
    int N, C, H, W, K;
    ex_map_type in, out; /* types of x and y */
} ex_winograd_shape;

/* Whether H and W are multiples of 4, C and K of 16, which the kernels need. */
bool ex_winograd_fits(const ex_winograd_shape *shape);
/* Whether this processor has the instructions that make it worth while; without them it computes
 * the same, slowly. */
bool ex_winograd_is_fast(void);

/* Floats of the filters' values. */
size_t ex_winograd_filter_floats(int K, int C);
/* out: values of filters (K, 3, 3, C) for ex_winograd_conv. `turned`: for the gradient of that
 * convolution's input, a convolution from K channels to C with the filters turned by 180 degrees.
 */
void ex_winograd_filters(float *out, const float *filters, int turned, int K, int C, ex_stream s);

/* What becomes of the sums. */
typedef struct ex_winograd_end {
    const float *bias; /* (K), or NULL */
    int add;           /* to what y holds */
    int relu;          /* at last */
} ex_winograd_end;

/* Floats of scratch for a stream of so many threads. */
size_t ex_winograd_scratch_floats(const ex_winograd_shape *shape, int threads);
/* y (N, K, H, W) from x (N, C, H, W) and the filters' values. */
void ex_winograd_conv(void *y, const void *x, const float *filters, const ex_winograd_end *end,
                      const ex_winograd_shape *shape, float *scratch, ex_stream s);

/* The gradient of the filters, dw (K, 3, 3, C), from x and dy (N, K, H, W), which is of shape->out:
 * of the same points, the sums going over the tiles. */
size_t ex_winograd_weights_scratch_floats(const ex_winograd_shape *shape, int threads);
void ex_winograd_weights(float *dw, const void *x, const void *dy, const ex_winograd_shape *shape,
                         float *scratch, ex_stream s);

/* --- inside ----------------------------------------------------------------------------------- */

/* Filters lie in panels of 32, the last of which may be of 16. */
enum { EX_WINOGRAD_ROWS = 8, EX_WINOGRAD_PANEL = 32 };

/* The products of one point: m (width / 16, tiles) in blocks of 16 channels that are room * 16
 * apart, from v (C / 16, room, 16) and a panel of filters (C, width); `tiles` is a multiple of 8,
 * at most `room`, and width 16 or 32. */
void ex_winograd_product(float *m, const float *v, const float *filters, size_t C, size_t room,
                         size_t tiles, size_t width);
/* u (16, `row` apart, width) of one point: sums over the tiles of sixteen values of m times 16 or
 * 32 of v, blocks of 16, which are room * 16 apart; added to what u holds unless `first`. */
void ex_winograd_product_weights(float *u, size_t row, const float *m, const float *v, size_t room,
                                 size_t tiles, size_t width, bool first);

#endif
