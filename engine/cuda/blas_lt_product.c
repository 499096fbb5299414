/* One product of cuBLASLt: described once, its algorithm chosen once. */
#include "cuda/blas_lt_impl.h"

enum { CANDIDATES = 16 };

/* Stands for the bias until a product is run; nothing is read there. */
static const void *const SOMEWHERE = (const void *)(uintptr_t)256;

ex_status ex_lt_status(cublasStatus_t status, const char *call, const char *where)
{
    if (status == CUBLAS_STATUS_SUCCESS)
        return EX_OK;
    const ex_status code = status == CUBLAS_STATUS_ALLOC_FAILED    ? EX_ERR_MEMORY
                           : status == CUBLAS_STATUS_NOT_SUPPORTED ? EX_ERR_UNSUPPORTED
                                                                   : EX_ERR_BACKEND;
    return ex_fail_at(code, where, "%s: %s", call, cublasLtGetStatusString(status));
}

void ex_lt_product_close(ex_lt_product *p)
{
    if (p->how)
        cublasLtMatmulDescDestroy(p->how);
    if (p->a)
        cublasLtMatrixLayoutDestroy(p->a);
    if (p->b)
        cublasLtMatrixLayoutDestroy(p->b);
    if (p->d)
        cublasLtMatrixLayoutDestroy(p->d);
    *p = (ex_lt_product){0};
}

static ex_status describe_matrix(cublasLtMatrixLayout_t *out, int rows, int columns)
{
    EX_LT(cublasLtMatrixLayoutCreate(out, CUDA_R_32F, (uint64_t)rows, (uint64_t)columns, rows));
    return EX_OK;
}

static ex_status describe(ex_lt_product *p, const ex_lt_shape *s, cublasComputeType_t compute)
{
    const cublasOperation_t a = s->transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N;
    const cublasOperation_t b = s->transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N;
    EX_LT(cublasLtMatmulDescCreate(&p->how, compute, CUDA_R_32F));
    EX_LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a));
    EX_LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b));
    EX_LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_EPILOGUE, &s->epilogue,
                                         sizeof s->epilogue));
    if (s->epilogue == CUBLASLT_EPILOGUE_BIAS) /* without one, no algorithm might be found */
        EX_LT(cublasLtMatmulDescSetAttribute(p->how, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &SOMEWHERE,
                                             sizeof SOMEWHERE));
    EX_TRY(describe_matrix(&p->a, s->transposed_a ? s->k : s->m, s->transposed_a ? s->m : s->k));
    EX_TRY(describe_matrix(&p->b, s->transposed_b ? s->n : s->k, s->transposed_b ? s->k : s->n));
    return describe_matrix(&p->d, s->m, s->n);
}

/* What an algorithm must be to be found: small enough, and without partial sums that are added in
 * the order in which they are ready. */
static ex_status prefer(cublasLtMatmulPreference_t wanted, uint32_t alignment, size_t workspace)
{
    static const cublasLtMatmulPreferenceAttributes_t ALIGNMENTS[] = {
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
        CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
    const uint32_t sums =
        CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE | CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE;
    EX_LT(cublasLtMatmulPreferenceSetAttribute(wanted, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                               &workspace, sizeof workspace));
    EX_LT(cublasLtMatmulPreferenceSetAttribute(wanted, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                               &sums, sizeof sums));
    for (int i = 0; i < 4; i++)
        EX_LT(cublasLtMatmulPreferenceSetAttribute(wanted, ALIGNMENTS[i], &alignment,
                                                   sizeof alignment));
    return EX_OK;
}

/* Whether the algorithm rounds its operands for tensor cores, which fp32 forbids. */
static ex_status uses_tensor_cores(const cublasLtMatmulAlgo_t *algorithm, bool *uses)
{
    uint64_t flags = 0;
    size_t written;
    EX_LT(cublasLtMatmulAlgoCapGetAttribute(algorithm, CUBLASLT_ALGO_CAP_NUMERICAL_IMPL_FLAGS,
                                            &flags, sizeof flags, &written));
    *uses = (flags & CUBLASLT_NUMERICAL_IMPL_FLAGS_TENSOR_OP_MASK) != 0;
    return EX_OK;
}

static ex_status choose(ex_lt_product *p, cublasLtHandle_t lt, cublasLtMatmulPreference_t wanted,
                        const ex_lt_shape *s)
{
    cublasLtMatmulHeuristicResult_t found[CANDIDATES];
    int count = 0;
    const cublasStatus_t answer = cublasLtMatmulAlgoGetHeuristic(lt, p->how, p->a, p->b, p->d, p->d,
                                                                 wanted, CANDIDATES, found, &count);
    if (answer != CUBLAS_STATUS_NOT_SUPPORTED)
        EX_LT(answer);
    for (int i = 0; i < count; i++) {
        bool rounds = false;
        if (found[i].state != CUBLAS_STATUS_SUCCESS)
            continue;
        if (s->precision == EX_FP32)
            EX_TRY(uses_tensor_cores(&found[i].algo, &rounds));
        if (rounds)
            continue;
        p->algorithm = found[i].algo;
        return EX_OK;
    }
    return EX_FAIL(EX_ERR_UNSUPPORTED,
                   "cuBLASLt has no algorithm for a product of %d x %d by %d x %d, epilogue %d, "
                   "precision %d (%d were named)",
                   s->m, s->k, s->k, s->n, (int)s->epilogue, (int)s->precision, count);
}

static ex_status product_try(ex_lt_product *p, cublasLtHandle_t lt, const ex_lt_shape *s,
                             size_t workspace, cublasComputeType_t compute)
{
    cublasLtMatmulPreference_t wanted = NULL;
    EX_TRY(describe(p, s, compute));
    EX_LT(cublasLtMatmulPreferenceCreate(&wanted));
    ex_status status = prefer(wanted, s->alignment, workspace);
    if (status == EX_OK)
        status = choose(p, lt, wanted, s);
    cublasLtMatmulPreferenceDestroy(wanted);
    return status;
}

/* fp32 is asked for as pedantic first; what has no such algorithm is still held to be without
 * tensor cores. */
ex_status ex_lt_product_open(ex_lt_product *p, cublasLtHandle_t lt, const ex_lt_shape *s,
                             size_t workspace)
{
    static const cublasComputeType_t COMPUTE[] = {[EX_FP32] = CUBLAS_COMPUTE_32F_PEDANTIC,
                                                  [EX_TF32] = CUBLAS_COMPUTE_32F_FAST_TF32,
                                                  [EX_BF16] = CUBLAS_COMPUTE_32F_FAST_16BF};
    const ex_status status = product_try(p, lt, s, workspace, COMPUTE[s->precision]);
    if (status != EX_ERR_UNSUPPORTED)
        return status;
    ex_lt_product_close(p);
    return product_try(p, lt, s, workspace, CUBLAS_COMPUTE_32F);
}
