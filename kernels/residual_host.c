/* Where a residual block's branches meet: sum, ReLU, and their gradient.
 *
 *   fwd: out = relu(a + b)         bwd: dx = (g1 + g2) * [y > 0]
 *
 * n elements, all tensors in the same layout. Outputs may be one of the inputs, element for
 * element: hence omp simd, not restrict. */
#include "map.h"
#include "residual.h"

EX_INLINE void add_relu_fwd(void *out, const void *a, const void *b, ex_map_type type, size_t begin,
                            size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(out, i, ex_relu_body(ex_map_get(a, i, type) + ex_map_get(b, i, type)), type);
}

EX_INLINE void relu_fwd(void *out, const void *a, ex_map_type type, size_t begin, size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(out, i, ex_relu_body(ex_map_get(a, i, type)), type);
}

EX_INLINE void add_relu_bwd(void *dx, const void *g1, const void *g2, const void *y,
                            ex_map_type type, size_t begin, size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(dx, i,
                   ex_relu_gradient_body(ex_map_get(g1, i, type) + ex_map_get(g2, i, type),
                                         ex_map_get(y, i, type)),
                   type);
}

EX_INLINE void relu_bwd(void *dx, const void *g, const void *y, ex_map_type type, size_t begin,
                        size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(dx, i, ex_relu_gradient_body(ex_map_get(g, i, type), ex_map_get(y, i, type)),
                   type);
}

EX_INLINE void add(void *dx, const void *g1, const void *g2, ex_map_type type, size_t begin,
                   size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(dx, i, ex_map_get(g1, i, type) + ex_map_get(g2, i, type), type);
}

EX_CLONES static void add_relu_fwd_range(void *out, const void *a, const void *b, ex_map_type type,
                                         size_t begin, size_t end)
{
    EX_TYPED(type, T, add_relu_fwd(out, a, b, T, begin, end));
}

EX_CLONES static void relu_fwd_range(void *out, const void *a, ex_map_type type, size_t begin,
                                     size_t end)
{
    EX_TYPED(type, T, relu_fwd(out, a, T, begin, end));
}

EX_CLONES static void add_relu_bwd_range(void *dx, const void *g1, const void *g2, const void *y,
                                         ex_map_type type, size_t begin, size_t end)
{
    EX_TYPED(type, T, add_relu_bwd(dx, g1, g2, y, T, begin, end));
}

EX_CLONES static void relu_bwd_range(void *dx, const void *g, const void *y, ex_map_type type,
                                     size_t begin, size_t end)
{
    EX_TYPED(type, T, relu_bwd(dx, g, y, T, begin, end));
}

EX_CLONES static void add_range(void *dx, const void *g1, const void *g2, ex_map_type type,
                                size_t begin, size_t end)
{
    EX_TYPED(type, T, add(dx, g1, g2, T, begin, end));
}

void ex_add_relu_fwd_host(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                          ex_stream s)
{
    if (b)
        EX_SHARE(n, n, s, add_relu_fwd_range(out, a, b, type, begin, end));
    else
        EX_SHARE(n, n, s, relu_fwd_range(out, a, type, begin, end));
}

void ex_add_relu_bwd_host(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                          ex_map_type type, ex_stream s)
{
    if (g2 && y)
        EX_SHARE(n, n, s, add_relu_bwd_range(dx, g1, g2, y, type, begin, end));
    else if (y)
        EX_SHARE(n, n, s, relu_bwd_range(dx, g1, y, type, begin, end));
    else if (g2)
        EX_SHARE(n, n, s, add_range(dx, g1, g2, type, begin, end));
    else if (dx != g1)
        ex_convert_host(dx, type, g1, type, n, s);
}
