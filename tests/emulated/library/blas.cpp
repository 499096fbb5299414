/* The executor of blas.h for tests: products by plain loops, queued on the emulated device. The
 * workspace that a plan was promised is overwritten, whether it is needed or not. */
#include <cstring>

#include "faults.h"
#include "stream.h"

extern "C" {
#include "base/memory.h"
#include "cuda/blas.h"
}

enum { LANES = 16 }; /* partial sums of a dot product */

struct ex_blas_handle {
    void *stream;
};

struct ex_blas_plan {
    void *stream;
    ex_blas_product product;
    size_t workspace;
};

namespace
{

float dot(const float *__restrict a, const float *__restrict b, int n)
{
    float part[LANES] = {}, sum = 0.0f;
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            part[j] += a[i + j] * b[i + j];
    for (; i < n; i++)
        part[i % LANES] += a[i] * b[i];
    for (int j = 0; j < LANES; j++)
        sum += part[j];
    return sum;
}

void add_scaled(float *__restrict y, float a, const float *__restrict x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

/* A queued product: a copy of everything, since the plan may be gone by then. */
struct run {
    ex_blas_plan plan;
    float *out;
    const float *a, *b;
    float *bias;
    const float *ones;
    void *workspace;

    void operator()() const;
    void forward(const ex_blas_product &p) const;
    void data_gradient(const ex_blas_product &p) const;
    void weight_gradient(const ex_blas_product &p) const;
    void sum(float *to, const ex_blas_product &p) const;
};

void run::forward(const ex_blas_product &p) const
{
    for (size_t n = 0; n < static_cast<size_t>(p.N); n++)
        for (size_t k = 0; k < static_cast<size_t>(p.K); k++)
            out[n * p.K + k] = dot(a + n * p.C, b + k * p.C, p.C) + bias[k];
}

void run::data_gradient(const ex_blas_product &p) const
{
    memset(out, 0, sizeof *out * p.N * p.C);
    for (size_t n = 0; n < static_cast<size_t>(p.N); n++)
        for (size_t k = 0; k < static_cast<size_t>(p.K); k++)
            add_scaled(out + n * p.C, a[n * p.K + k], b + k * p.C, p.C);
}

void run::weight_gradient(const ex_blas_product &p) const
{
    memset(out, 0, sizeof *out * p.K * p.C);
    for (size_t n = 0; n < static_cast<size_t>(p.N); n++)
        for (size_t k = 0; k < static_cast<size_t>(p.K); k++)
            add_scaled(out + k * p.C, a[n * p.K + k], b + n * p.C, p.C);
    sum(bias, p);
}

void run::sum(float *to, const ex_blas_product &p) const
{
    memset(to, 0, sizeof *to * p.K);
    for (size_t n = 0; n < static_cast<size_t>(p.N); n++)
        add_scaled(to, ones[n], a + n * p.K, p.K);
}

void run::operator()() const
{
    if (plan.workspace)
        memset(workspace, 0xff, plan.workspace);
    if (plan.product.kind == EX_BLAS_FWD)
        forward(plan.product);
    else if (plan.product.kind == EX_BLAS_DGRAD)
        data_gradient(plan.product);
    else if (plan.product.kind == EX_BLAS_WGRAD)
        weight_gradient(plan.product);
    else
        sum(out, plan.product);
}

} // namespace

extern "C" {

ex_status ex_blas_handle_create(ex_blas_handle **out, void *stream)
{
    EX_TRY(ex_library_called("ex_blas_handle_create"));
    EX_TRY(ex_alloc(out, 1, sizeof **out, "library handle"));
    (*out)->stream = stream;
    return EX_OK;
}

void ex_blas_handle_destroy(ex_blas_handle **handle)
{
    ex_free(handle);
}

ex_status ex_blas_plan_create(ex_blas_plan **out, ex_blas_handle *handle, const ex_blas_product *p,
                              size_t workspace)
{
    *out = nullptr;
    EX_TRY(ex_library_called("ex_blas_plan_create"));
    EX_CHECK_ARG(p->N > 0 && (p->C > 0 || p->kind == EX_BLAS_SUM) && p->K > 0,
                 "a product of %d x %d by %d x %d", p->N, p->C, p->K, p->C);
    EX_TRY(ex_alloc(out, 1, sizeof **out, "library plan"));
    **out = {handle->stream, *p, workspace};
    return EX_OK;
}

void ex_blas_plan_destroy(ex_blas_plan **plan)
{
    ex_free(plan);
}

/* Each operand moves once. */
static void say_cost(const ex_blas_product &p)
{
    const double N = p.N, C = p.C, K = p.K, size = sizeof(float);
    if (p.kind == EX_BLAS_SUM)
        ex_emulated_cost(0, (N + 1) * K * size);
    else
        ex_emulated_cost(2 * N * C * K, (N * C + K * C + N * K) * size);
}

ex_status ex_blas_plan_run(const ex_blas_plan *plan, const ex_blas_operands *o)
{
    EX_TRY(ex_library_called("ex_blas_plan_run"));
    const ex_blas_kind kind = plan->product.kind;
    const bool sums = kind == EX_BLAS_WGRAD || kind == EX_BLAS_SUM;
    const bool wants_bias = kind == EX_BLAS_FWD || kind == EX_BLAS_WGRAD;
    if (!o->out || !o->a || (!o->b && kind != EX_BLAS_SUM) || (wants_bias && !o->bias) ||
        (sums && !o->ones) || (plan->workspace && !o->workspace))
        return EX_FAIL(EX_ERR_INTERNAL, "a product lacks an operand, its bias or its workspace");
    const void *const operands[] = {o->out, o->a, o->b, o->bias, o->ones, o->workspace};
    ex_emulated_operands("ex_blas_plan_run", operands, sizeof operands / sizeof *operands);
    say_cost(plan->product);
    ex_emulated_enqueue(plan->stream, "ex_blas_plan_run",
                        run{*plan, o->out, o->a, o->b, o->bias, o->ones, o->workspace});
    return EX_OK;
}

} /* extern "C" */
