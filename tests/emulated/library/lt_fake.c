/* A cuBLASLt of plain loops, as far as blas_lt.c calls it, and no runtime beside, which it leaves
 * alone: what cuBLASLt is asked for can so be held against the definition without a GPU. Written
 * from cuBLASLt's documentation: column-major matrices, packed as their layouts say. */
#include <cublasLt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/* The fake's own view of the opaque types. */
typedef struct description {
    cublasOperation_t a, b;
    cublasLtEpilogue_t epilogue;
    const float *bias;
} description;

typedef struct layout {
    uint64_t rows, columns;
    int64_t stride;
} layout;

static const description *described(cublasLtMatmulDesc_t d)
{
    return (const description *)(const void *)d;
}

static const layout *laid(cublasLtMatrixLayout_t l)
{
    return (const layout *)(const void *)l;
}

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    free(handle);
    return CUBLAS_STATUS_SUCCESS;
}

const char *cublasLtGetStatusString(cublasStatus_t status)
{
    (void)status;
    return "the fake cuBLASLt's error";
}

cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *out, cublasComputeType_t compute,
                                        cudaDataType_t scale)
{
    (void)compute;
    (void)scale;
    *out = calloc(1, sizeof(description));
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t d)
{
    free(d);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t d,
                                              cublasLtMatmulDescAttributes_t name,
                                              const void *value, size_t size)
{
    description *to = (description *)(void *)d;
    void *const field = name == CUBLASLT_MATMUL_DESC_TRANSA         ? (void *)&to->a
                        : name == CUBLASLT_MATMUL_DESC_TRANSB       ? (void *)&to->b
                        : name == CUBLASLT_MATMUL_DESC_EPILOGUE     ? (void *)&to->epilogue
                        : name == CUBLASLT_MATMUL_DESC_BIAS_POINTER ? (void *)&to->bias
                                                                    : NULL;
    if (!field)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(field, value, size);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *out, cudaDataType type,
                                          uint64_t rows, uint64_t columns, int64_t stride)
{
    layout *l = malloc(sizeof *l);
    (void)type;
    *l = (layout){rows, columns, stride};
    *out = (cublasLtMatrixLayout_t)(void *)l;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t l)
{
    free(l);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *out)
{
    *out = malloc(1);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t p)
{
    free(p);
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t name,
                                                    const void *value, size_t size)
{
    (void)p;
    (void)name;
    (void)value;
    return size ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

/* Two algorithms, marked by their first word; the first one has tensor cores. */
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t d,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t out,
                                              cublasLtMatmulPreference_t p, int room,
                                              cublasLtMatmulHeuristicResult_t *found, int *count)
{
    const description *how = (const description *)(const void *)d;
    (void)handle, (void)a, (void)b, (void)c, (void)out, (void)p;
    if (how->epilogue == CUBLASLT_EPILOGUE_BIAS && !how->bias) /* as the library may */
        return CUBLAS_STATUS_INVALID_VALUE;
    *count = room < 2 ? room : 2;
    for (int i = 0; i < *count; i++) {
        memset(&found[i], 0, sizeof found[i]);
        found[i].algo.data[0] = (uint64_t)i + 1;
    }
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCapGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
                                                 cublasLtMatmulAlgoCapAttributes_t name,
                                                 void *value, size_t size, size_t *written)
{
    const uint64_t flags = algorithm->data[0] == 1 ? CUBLASLT_NUMERICAL_IMPL_FLAGS_HMMA
                                                   : CUBLASLT_NUMERICAL_IMPL_FLAGS_FMA;
    if (name != CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS || size != sizeof flags)
        return CUBLAS_STATUS_INVALID_VALUE;
    memcpy(value, &flags, size);
    *written = size;
    return CUBLAS_STATUS_SUCCESS;
}

static double element(const float *matrix, const layout *l, bool transposed, uint64_t row,
                      uint64_t column)
{
    const uint64_t r = transposed ? column : row, c = transposed ? row : column;
    return (double)matrix[c * (uint64_t)l->stride + r];
}

/* fp32 must not take the algorithm with tensor cores: it is refused. The fused ReLU makes 0 of a
 * NaN, as the real one's does (NVIDIA's developer forum, topic 329783). */
cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t how, const void *alpha,
                              const void *A, cublasLtMatrixLayout_t a, const void *B,
                              cublasLtMatrixLayout_t b, const void *beta, const void *C,
                              cublasLtMatrixLayout_t c, void *D, cublasLtMatrixLayout_t d,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t size,
                              cudaStream_t stream)
{
    const description *h = described(how);
    const layout *to = laid(d);
    const bool at = h->a == CUBLAS_OP_T, bt = h->b == CUBLAS_OP_T;
    const uint64_t k = at ? laid(a)->rows : laid(a)->columns;
    const bool relu = h->epilogue == CUBLASLT_EPILOGUE_RELU_BIAS;
    const bool bias = relu || h->epilogue == CUBLASLT_EPILOGUE_BIAS;
    (void)handle, (void)workspace, (void)size, (void)stream, (void)C, (void)c;
    if (*(const float *)alpha != 1.0f || *(const float *)beta != 0.0f ||
        k != (bt ? laid(b)->columns : laid(b)->rows) ||
        to->rows != (at ? laid(a)->columns : laid(a)->rows) ||
        to->columns != (bt ? laid(b)->rows : laid(b)->columns) || algorithm->data[0] != 2)
        return CUBLAS_STATUS_INVALID_VALUE;
    for (uint64_t column = 0; column < to->columns; column++)
        for (uint64_t row = 0; row < to->rows; row++) {
            double sum = bias ? (double)h->bias[row] : 0.0;
            for (uint64_t i = 0; i < k; i++)
                sum += element(A, laid(a), at, row, i) * element(B, laid(b), bt, i, column);
            ((float *)D)[column * (uint64_t)to->stride + row] =
                (float)(relu && !(sum > 0.0) ? 0.0 : sum);
        }
    return CUBLAS_STATUS_SUCCESS;
}
