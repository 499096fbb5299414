/* Where a residual block's branches meet: sum, ReLU, and their gradient.
 *
 *   fwd: out = relu(a + b)         bwd: dx = (g1 + g2) * [y > 0]
 *
 * n elements, all tensors in the same layout. Outputs may be one of the inputs, element for
 * element: hence omp simd, not restrict. */
#include "host.h"
#include "residual.h"

EX_CLONES static void add_relu_fwd_range(float *out, const float *a, const float *b, size_t begin,
                                         size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        out[i] = ex_relu_body(a[i] + b[i]);
}

EX_CLONES static void add_relu_bwd_range(float *dx, const float *g1, const float *g2,
                                         const float *y, size_t begin, size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        dx[i] = ex_relu_gradient_body(g1[i] + g2[i], y[i]);
}

EX_CLONES static void relu_bwd_range(float *dx, const float *g, const float *y, size_t begin,
                                     size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        dx[i] = ex_relu_gradient_body(g[i], y[i]);
}

EX_CLONES static void add_range(float *dx, const float *g1, const float *g2, size_t begin,
                                size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        dx[i] = g1[i] + g2[i];
}

EX_CLONES static void copy_range(float *dx, const float *g, size_t begin, size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        dx[i] = g[i];
}

void ex_add_relu_fwd_host(float *out, const float *a, const float *b, size_t n, ex_stream s)
{
    EX_SHARE(n, n, s, add_relu_fwd_range(out, a, b, begin, end));
}

void ex_add_relu_bwd_host(float *dx, const float *g1, const float *g2, const float *y, size_t n,
                          ex_stream s)
{
    if (g2 && y)
        EX_SHARE(n, n, s, add_relu_bwd_range(dx, g1, g2, y, begin, end));
    else if (y)
        EX_SHARE(n, n, s, relu_bwd_range(dx, g1, y, begin, end));
    else if (g2)
        EX_SHARE(n, n, s, add_range(dx, g1, g2, begin, end));
    else if (dx != g1)
        EX_SHARE(n, n, s, copy_range(dx, g1, begin, end));
}
