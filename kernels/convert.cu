/* A map of one type as another: out[i] = in[i], rounded to nearest, ties to even. The first 4 *
 * quads values go four at a time, the rest one by one. */
#include "quad.h"

template <typename TO, typename FROM>
static __global__ void __launch_bounds__(EX_BLOCK)
    convert_kernel(TO *__restrict__ out, const FROM *__restrict__ in, size_t quads, size_t n)
{
    float value[EX_QUAD], one[1];
    for (size_t i = ex_thread(); i < quads; i += ex_threads()) {
        ex_quad_load(value, in + i * EX_QUAD);
        ex_quad_store(out + i * EX_QUAD, value);
    }
    for (size_t i = quads * EX_QUAD + ex_thread(); i < n; i += ex_threads()) {
        ex_quad_load(one, in + i);
        ex_quad_store(out + i, one);
    }
}

template <typename TO, typename FROM>
static void convert(void *out, const void *in, size_t n, ex_stream s)
{
    const size_t quads = ex_quads(ex_aligned(out, in), n);
    const auto kernel = convert_kernel<TO, FROM>;
    EX_LAUNCH(kernel, ex_launch_blocks(quads ? quads : n), EX_BLOCK, 0, s, (TO *)out,
              (const FROM *)in, quads, n);
}

void ex_convert_cuda(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                     ex_stream s)
{
    if (n == 0)
        return;
    if (out_type == EX_MAP_BF16)
        (in_type == EX_MAP_BF16 ? convert<ex_bf16, ex_bf16> : convert<ex_bf16, float>)(out, in, n,
                                                                                       s);
    else
        (in_type == EX_MAP_BF16 ? convert<float, ex_bf16> : convert<float, float>)(out, in, n, s);
}
