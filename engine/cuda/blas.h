/* Matrix products of linear layers on CUDA. Two implement this header: blas_lt.c by cuBLASLt, and
 * the tests by plain loops on the emulated device.
 *
 * A product is described once (shapes, what is fused, precision) and run often; a handle serves one
 * lane. Matrices are row-major: x (N, C), w (K, C), y (N, K). */
#ifndef EX_CUDA_BLAS_H
#define EX_CUDA_BLAS_H

#include "backend.h"

typedef enum ex_blas_kind {
    EX_BLAS_FWD,   /* y "=" x w^T + b                  a = x, b = w, out = y, bias (K) is read */
    EX_BLAS_DGRAD, /* dx "=" dy w                      a = dy, b = w, out = dx */
    EX_BLAS_WGRAD, /* dw "=" dy^T x, db "=" sum of dy  a = dy, b = x, out = dw, bias (K) written */
    EX_BLAS_SUM,   /* db "=" sum of dy over its N rows a = dy, out = db (K); no b, no bias; C unused
                    */
} ex_blas_kind;

typedef struct ex_blas_product {
    ex_blas_kind kind;
    int N, C, K;
    ex_precision precision;
} ex_blas_product;

typedef struct ex_blas_handle ex_blas_handle;
typedef struct ex_blas_plan ex_blas_plan;

ex_status ex_blas_handle_create(ex_blas_handle **out, void *stream);
void ex_blas_handle_destroy(ex_blas_handle **handle);
/* Takes the library's first choice that is deterministic within `workspace` bytes. */
ex_status ex_blas_plan_create(ex_blas_plan **out, ex_blas_handle *handle, const ex_blas_product *p,
                              size_t workspace);
void ex_blas_plan_destroy(ex_blas_plan **plan);
/* What a run works on: device pointers, aligned to 16 bytes where C and K are multiples of 4. */
typedef struct ex_blas_operands {
    float *out;
    const float *a, *b;
    float *bias;
    const float *ones; /* (N) of 1: WGRAD and SUM add by them */
    void *workspace;
} ex_blas_operands;

/* Queues it on the handle's stream. */
ex_status ex_blas_plan_run(const ex_blas_plan *plan, const ex_blas_operands *o);

#endif
