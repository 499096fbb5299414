/* Convolutions of maps of 2 x 2 pixels, 3 x 3 filters, stride 1, padding 1, by nine matrix products
 * instead of sixteen, and their gradients. For the host alone; the products are made by others.
 *
 * In one dimension, y0 = w1 x0 + w2 x1 and y1 = w0 x0 + w1 x1 are a Toeplitz matrix times a vector:
 *   m0 = w1 (x0 + x1)   m1 = (w2 - w1) x1   m2 = (w0 - w1) x0   y0 = m0 + m1   y1 = m0 + m2
 * (as Karatsuba multiplies, and Winograd convolves). The gradients follow by transposing: with the
 * roles of m1 and m2 exchanged, "swapped", for that of x, and
 *   g0 = (x0 + x1) (dy0 + dy1)   g1 = x1 dy0   g2 = x0 dy1
 *   dw0 = g2   dw1 = g0 - g1 - g2   dw2 = g1.
 * In two dimensions it is done to rows, then to columns: index 3 i + j. Nothing is divided or
 * scaled: it is about as accurate as the sums themselves.
 *
 * Maps (N, C, 2, 2) are in blocks of 16 channels, float32 or bf16; sums and products are float32
 * for both. C and K are multiples of 16. */
#ifndef EX_KERNELS_TOEPLITZ_H
#define EX_KERNELS_TOEPLITZ_H

#include "kernels.h"

enum { EX_TOEPLITZ_SIDE = 2, EX_TOEPLITZ_PRODUCTS = 9, EX_TOEPLITZ_BLOCK = 16 };

/* out (9, K, C) from filters (K, 3, 3, C). */
void ex_toeplitz_filters(float *out, const float *filters, int K, int C, ex_stream s);
/* out (9, N, C) from in (N, C, 2, 2) of `type`: an input, or, swapped, a gradient of an output. */
void ex_toeplitz_in(float *out, const void *in, ex_map_type type, int swapped, int N, int C,
                    ex_stream s);

/* What becomes of the products. */
typedef struct ex_toeplitz_end {
    const float *bias;    /* (K), or NULL */
    const void *residual; /* as out, may be out, or NULL: added */
    int relu;             /* at last */
    int swapped;          /* out is the gradient of an input */
} ex_toeplitz_end;

/* out (N, K, 2, 2) of `type` from products (9, N, K) of spread input and filters. */
void ex_toeplitz_out(void *out, ex_map_type type, const float *products, const ex_toeplitz_end *end,
                     int N, int K, ex_stream s);
/* The gradients: filters (K, 3, 3, C) from products (9, K, C), of the swapped gradient of the
 * output and the input; bias (K) from the former, (9, N, K). */
void ex_toeplitz_filters_bwd(float *filters, const float *products, int K, int C, ex_stream s);
void ex_toeplitz_bias_bwd(float *bias, const float *dy, int N, int K, ex_stream s);

#endif
