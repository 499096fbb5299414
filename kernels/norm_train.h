/* Batch norm for training with what stands around it fused in: residual, ReLU, sums of gradients.
 *
 *   y  = max(a (x - mean) + shift + residual, 0)              a = scale / sqrt(var + eps)
 *   g  = (g1 + g2) where y > 0       dshift = sum g           dscale = sum g (x - mean) a / scale
 *   dx = a g - a dshift / M - (x - mean) a dscale / (M sqrt(var + eps)),           M = N * H * W
 * (frozen: dx = a g).
 *
 * oneDNN's own primitive reads a map three times forward and four times backward and leaves
 * residual and sums to others; these read it twice and thrice in all. Maps are in blocks of 1, 8 or
 * 16 channels. Results do not depend on the number of threads. For the CPU back end alone: cuDNN
 * has its own, and so this is no row of kernels.h's table. */
#ifndef EX_KERNELS_NORM_TRAIN_H
#define EX_KERNELS_NORM_TRAIN_H

#include "kernels.h"

/* Floats of scratch memory that the functions below need. */
size_t ex_norm_train_scratch(const ex_map_shape *shape);

typedef struct ex_norm_train {
    ex_map_shape shape;
    const float *scale, *shift; /* (C) */
    float *mean, *var;          /* (C) of the batch: outputs of the forward pass; frozen: inputs */
    float eps;
    int frozen, relu;
    float *scratch;
} ex_norm_train;

/* y = the norm of x, + residual (may be NULL), ReLU. */
void ex_norm_train_fwd_host(float *y, const float *x, const float *residual, const ex_norm_train *n,
                            ex_stream s);

typedef struct ex_norm_train_gradient {
    float *dx;              /* may be g1 unless keep */
    float *dscale, *dshift; /* (C) */
    float *g1;              /* gradient of y; becomes g if keep */
    const float *g2;        /* a second one, or NULL; needs keep */
    const float *x;
    const float *y; /* output of the forward pass, read only with a residual; NULL without */
    int keep;
} ex_norm_train_gradient;

void ex_norm_train_bwd_host(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s);

#endif
