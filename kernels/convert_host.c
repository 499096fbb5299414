/* A map of one type as another: out[i] = in[i], rounded to nearest, ties to even. */
#include "map.h"

EX_INLINE void convert(void *out, ex_map_type to, const void *in, ex_map_type from, size_t begin,
                       size_t end)
{
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        ex_map_put(out, i, ex_map_get(in, i, from), to);
}

EX_CLONES static void convert_range(void *out, ex_map_type out_type, const void *in,
                                    ex_map_type in_type, size_t begin, size_t end)
{
    EX_TYPED(out_type, to, EX_TYPED(in_type, from, convert(out, to, in, from, begin, end)));
}

void ex_convert_host(void *out, ex_map_type out_type, const void *in, ex_map_type in_type, size_t n,
                     ex_stream s)
{
    EX_SHARE(n, n, s, convert_range(out, out_type, in, in_type, begin, end));
}
