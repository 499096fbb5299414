/* The operations of dnn_graph.h by plain loops. Tensors NHWC and K,R,S,C, float32. Sums run in one
 * fixed order; `reversed` asks for the other one, so that two candidates differ in their bits. */
#ifndef EX_EMULATED_LIBRARY_OPS_H
#define EX_EMULATED_LIBRARY_OPS_H

#include <cstddef>

namespace ex_library
{

/* x (N, C, H, W), w (K, C, R, S), y (N, K, P, Q). */
struct window {
    int N, C, H, W, K, P, Q, R, S, stride, pad;
};

/* Bytes of scratch memory that a convolution needs. */
size_t conv_fwd_scratch(const window &s);
size_t conv_wgrad_scratch(const window &s);
void conv_fwd(float *y, const float *x, const float *w, const window &s, void *scratch,
              bool reversed);
void conv_dgrad(float *dx, const float *dy, const float *w, const window &s, bool reversed);
void conv_wgrad(float *dw, const float *dy, const float *x, const window &s, void *scratch,
                bool reversed);

/* count pixels of C channels each, or n elements. */
void bias_add(float *y, const float *x, const float *b, size_t count, int C);
void add(float *y, const float *a, const float *b, size_t n);
void relu(float *y, const float *x, size_t n);

} // namespace ex_library

#endif
