/* The operations of dnn_graph.h by plain loops. Tensors NHWC and K,R,S,C, float32. Sums run in one
 * fixed order; `reversed` asks for the other one, so that two candidates differ in their bits. */
#ifndef EX_EMULATED_LIBRARY_OPS_H
#define EX_EMULATED_LIBRARY_OPS_H

#include <cstddef>

namespace ex_library
{

/* x (N, C, H, W), w (K, C / groups, R, S), y (N, K, P, Q). */
struct window {
    int N, C, H, W, K, P, Q, R, S, stride, pad, groups;
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
void relu_bwd(float *dx, const float *dy, const float *y, size_t n);

/* count pixels of C channels each. */
struct channels {
    size_t count;
    int C;
};

/* Vectors (C) of a norm, as dnn_graph.h names them. */
struct norm_values {
    const float *scale, *shift, *a, *b;
    float *mean, *inverse, *running_mean, *running_var;
};

size_t norm_scratch(const channels &s); /* of both passes */
void norm_fwd(const norm_values &v, float *y, const float *x, const channels &s, float eps,
              void *scratch, bool reversed);
void norm_bwd(float *dx, float *dscale, float *dshift, const float *dy, const float *x,
              const float *scale, const float *mean, const float *inverse, const channels &s,
              void *scratch, bool reversed);

/* Pools: K = C. */
void maxpool_fwd(float *y, signed char *index, const float *x, const window &s);
void maxpool_bwd(float *dx, const float *dy, const signed char *index, const window &s);
void avgpool_fwd(float *y, const float *x, const window &s);
void avgpool_bwd(float *dx, const float *dy, const window &s);

} // namespace ex_library

#endif
