/* Where a residual block's branches meet: sum, ReLU, and their gradient.
 *
 *   fwd: out = relu(a + b)         bwd: dx = (g1 + g2) * [y > 0]
 *
 * n elements, all tensors in the same layout. Outputs may be one of the inputs, element for
 * element: a thread reads its elements before it writes them, and nobody else touches them. The
 * first 4 * quads elements go four at a time, the rest one by one. */
#include "quad.h"
#include "residual.h"

/* Elements i, ... of out; b may be NULL. */
template <int WIDTH, typename T>
static inline __device__ void add_relu_fwd(T *out, const T *a, const T *b, size_t i)
{
    float left[WIDTH], right[WIDTH];
    ex_quad_load(left, a + i);
    if (b) {
        ex_quad_load(right, b + i);
        for (int j = 0; j < WIDTH; j++)
            left[j] += right[j];
    }
    for (int j = 0; j < WIDTH; j++)
        left[j] = ex_relu_body(left[j]);
    ex_quad_store(out + i, left);
}

/* Reads a value an element and one for b if it is given, writes one. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    add_relu_fwd_kernel(T *out, const T *a, const T *b, size_t quads, size_t n)
{
    for (size_t i = ex_thread(); i < quads; i += ex_threads())
        add_relu_fwd<EX_QUAD>(out, a, b, i * EX_QUAD);
    for (size_t i = quads * EX_QUAD + ex_thread(); i < n; i += ex_threads())
        add_relu_fwd<1>(out, a, b, i);
}

/* Elements i, ... of dx; g2 and y may be NULL. */
template <int WIDTH, typename T>
static inline __device__ void add_relu_bwd(T *dx, const T *g1, const T *g2, const T *y, size_t i)
{
    float g[WIDTH], other[WIDTH];
    ex_quad_load(g, g1 + i);
    if (g2) {
        ex_quad_load(other, g2 + i);
        for (int j = 0; j < WIDTH; j++)
            g[j] += other[j];
    }
    if (y) {
        ex_quad_load(other, y + i);
        for (int j = 0; j < WIDTH; j++)
            g[j] = ex_relu_gradient_body(g[j], other[j]);
    }
    ex_quad_store(dx + i, g);
}

/* Reads a value an element and one for each of g2 and y that is given, writes one. */
template <typename T>
static __global__ void __launch_bounds__(EX_BLOCK)
    add_relu_bwd_kernel(T *dx, const T *g1, const T *g2, const T *y, size_t quads, size_t n)
{
    for (size_t i = ex_thread(); i < quads; i += ex_threads())
        add_relu_bwd<EX_QUAD>(dx, g1, g2, y, i * EX_QUAD);
    for (size_t i = quads * EX_QUAD + ex_thread(); i < n; i += ex_threads())
        add_relu_bwd<1>(dx, g1, g2, y, i);
}

template <typename T>
static void forward(void *out, const void *a, const void *b, size_t n, ex_stream s)
{
    const size_t quads = ex_quads(ex_aligned(out, a, b), n);
    EX_LAUNCH(add_relu_fwd_kernel<T>, ex_launch_blocks(quads ? quads : n), EX_BLOCK, 0, s, (T *)out,
              (const T *)a, (const T *)b, quads, n);
}

template <typename T>
static void backward(void *dx, const void *g1, const void *g2, const void *y, size_t n, ex_stream s)
{
    const size_t quads = ex_quads(ex_aligned(dx, g1, g2, y), n);
    EX_LAUNCH(add_relu_bwd_kernel<T>, ex_launch_blocks(quads ? quads : n), EX_BLOCK, 0, s, (T *)dx,
              (const T *)g1, (const T *)g2, (const T *)y, quads, n);
}

void ex_add_relu_fwd_cuda(void *out, const void *a, const void *b, size_t n, ex_map_type type,
                          ex_stream s)
{
    if (n == 0)
        return;
    (type == EX_MAP_BF16 ? forward<ex_bf16> : forward<float>)(out, a, b, n, s);
}

void ex_add_relu_bwd_cuda(void *dx, const void *g1, const void *g2, const void *y, size_t n,
                          ex_map_type type, ex_stream s)
{
    if (n == 0 || (!g2 && !y && dx == g1))
        return;
    (type == EX_MAP_BF16 ? backward<ex_bf16> : backward<float>)(dx, g1, g2, y, n, s);
}
