/* Products by columns, as cuBLASLt counts: what blas_lt.c makes row-major ones of. */
#ifndef EX_CUDA_BLAS_LT_IMPL_H
#define EX_CUDA_BLAS_LT_IMPL_H

#include "cuda/blas.h"

#include <cublasLt.h>

/* D (m x n) = op(A) (m x k) op(B) (k x n), by columns, packed. */
typedef struct ex_lt_shape {
    int m, n, k;
    bool transposed_a, transposed_b;
    cublasLtEpilogue_t epilogue;
    ex_precision precision;
    uint32_t alignment; /* bytes, of all operands */
} ex_lt_shape;

typedef struct ex_lt_product {
    cublasLtMatmulDesc_t how;
    cublasLtMatrixLayout_t a, b, d;
    cublasLtMatmulAlgo_t algorithm;
} ex_lt_product;

/* The library's first choice that gives the same bits each time, within so many bytes of workspace.
 * EX_ERR_UNSUPPORTED if there is none. Closed by the caller, after a failure too. */
ex_status ex_lt_product_open(ex_lt_product *p, cublasLtHandle_t lt, const ex_lt_shape *s,
                             size_t workspace);
void ex_lt_product_close(ex_lt_product *p);

/* EX_OK, or the status with a message: the call and what cuBLASLt says. */
ex_status ex_lt_status(cublasStatus_t status, const char *call, const char *where);
#define EX_LT(call) EX_TRY(ex_lt_status((call), #call, EX_WHERE))

#endif
