/* The executor of blas.h on cuBLASLt.
 *
 * cuBLASLt counts by columns: a row-major (N, C) is its C x N. So y = x w^T is asked for as
 * y^T = w x^T, with w first, and no operand moves. Sums over rows are products with a vector of
 * ones: deterministic, which the fused gradient of a bias does not promise to be. No ReLU is fused:
 * cuBLASLt's makes 0 of a NaN, and a diverged layer would not show in the loss. */
#include "cuda/blas_lt_impl.h"

#include "base/memory.h"

enum { ALIGNED = 16 }; /* bytes */

struct ex_blas_handle {
    cublasLtHandle_t lt;
    cudaStream_t stream;
};

struct ex_blas_plan {
    ex_blas_handle *handle;
    ex_blas_product described;
    ex_lt_product main, sum; /* sum: WGRAD's bias */
    size_t workspace;
};

static ex_status product_run(const ex_blas_plan *plan, const ex_lt_product *p, float *d,
                             const float *a, const float *b, void *workspace)
{
    const float one = 1.0f, zero = 0.0f;
    EX_LT(cublasLtMatmul(plan->handle->lt, p->how, &one, a, p->a, b, p->b, &zero, d, p->d, d, p->d,
                         &p->algorithm, workspace, plan->workspace, plan->handle->stream));
    return EX_OK;
}

/* --- handles ---------------------------------------------------------------------------------- */

ex_status ex_blas_handle_create(ex_blas_handle **out, void *stream)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuBLASLt handle"));
    (*out)->stream = stream;
    const ex_status status =
        ex_lt_status(cublasLtCreate(&(*out)->lt), "cublasLtCreate(&(*out)->lt)", EX_WHERE);
    if (status != EX_OK)
        ex_blas_handle_destroy(out);
    return status;
}

void ex_blas_handle_destroy(ex_blas_handle **handle)
{
    if (*handle && (*handle)->lt)
        cublasLtDestroy((*handle)->lt);
    ex_free(handle);
}

/* --- plans ------------------------------------------------------------------------------------ */

static ex_lt_shape shape_of(const ex_blas_product *p)
{
    const bool aligned = p->C % 4 == 0 && p->K % 4 == 0;
    ex_lt_shape s = {.epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                     .precision = p->precision,
                     .alignment = aligned ? ALIGNED : sizeof(float)};
    if (p->kind == EX_BLAS_FWD) {
        s.m = p->K, s.n = p->N, s.k = p->C;
        s.transposed_a = true;
        s.epilogue = CUBLASLT_EPILOGUE_BIAS;
    } else if (p->kind == EX_BLAS_DGRAD) {
        s.m = p->C, s.n = p->N, s.k = p->K;
    } else {
        s.m = p->C, s.n = p->K, s.k = p->N;
        s.transposed_b = true;
    }
    return s;
}

/* (K x N) by N ones. In full float32 whatever the precision: it is a sum. */
static ex_lt_shape sum_shape(const ex_blas_product *p)
{
    return (ex_lt_shape){.m = p->K,
                         .n = 1,
                         .k = p->N,
                         .epilogue = CUBLASLT_EPILOGUE_DEFAULT,
                         .precision = EX_FP32,
                         .alignment = p->K % 4 == 0 ? ALIGNED : sizeof(float)};
}

static ex_status open_plan(ex_blas_plan *plan)
{
    const ex_blas_product *p = &plan->described;
    const ex_lt_shape main = shape_of(p), sum = sum_shape(p);
    const cublasLtHandle_t lt = plan->handle->lt;
    if (p->kind != EX_BLAS_SUM)
        EX_TRY(ex_lt_product_open(&plan->main, lt, &main, plan->workspace));
    if (p->kind == EX_BLAS_FWD || p->kind == EX_BLAS_DGRAD)
        return EX_OK;
    return ex_lt_product_open(&plan->sum, lt, &sum, plan->workspace);
}

ex_status ex_blas_plan_create(ex_blas_plan **out, ex_blas_handle *handle, const ex_blas_product *p,
                              size_t workspace)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "cuBLASLt plan"));
    (*out)->handle = handle;
    (*out)->described = *p;
    (*out)->workspace = workspace;
    const ex_status status = open_plan(*out);
    if (status != EX_OK)
        ex_blas_plan_destroy(out);
    return status;
}

void ex_blas_plan_destroy(ex_blas_plan **plan)
{
    ex_blas_plan *p = *plan;
    if (!p)
        return;
    ex_lt_product_close(&p->main);
    ex_lt_product_close(&p->sum);
    ex_free(plan);
}

ex_status ex_blas_plan_run(const ex_blas_plan *plan, const ex_blas_operands *o)
{
    const ex_blas_kind kind = plan->described.kind;
    const bool sums = kind == EX_BLAS_WGRAD || kind == EX_BLAS_SUM;
    const bool wants_bias = kind == EX_BLAS_FWD || kind == EX_BLAS_WGRAD;
    if (!o->out || !o->a || (!o->b && kind != EX_BLAS_SUM) || (wants_bias && !o->bias) ||
        (sums && !o->ones) || (plan->workspace && !o->workspace))
        return EX_FAIL(EX_ERR_INTERNAL, "a product lacks an operand, its bias or its workspace");
    if (kind == EX_BLAS_SUM)
        return product_run(plan, &plan->sum, o->out, o->a, o->ones, o->workspace);
    if (kind == EX_BLAS_FWD)
        EX_LT(cublasLtMatmulDescSetAttribute(plan->main.how, CUBLASLT_MATMUL_DESC_BIAS_POINTER,
                                             &o->bias, sizeof o->bias));
    EX_TRY(product_run(plan, &plan->main, o->out, o->b, o->a, o->workspace));
    return kind == EX_BLAS_WGRAD
               ? product_run(plan, &plan->sum, o->bias, o->a, o->ones, o->workspace)
               : EX_OK;
}
