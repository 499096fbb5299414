/* Training's batch norm forward: statistics of the batch, then norm, residual and ReLU. Two passes
 * over the map, where oneDNN's own primitive makes three and leaves residual and sums to others. */
#include "norm_train.h"

size_t ex_norm_train_scratch_host(const ex_map_shape *shape)
{
    return 2 * (size_t)shape->N * (size_t)shape->C + 3 * (size_t)shape->C;
}

ex_norm_pass ex_norm_pass_of(const ex_norm_train *n)
{
    const ex_map_shape *m = &n->shape;
    float *coefficients = n->scratch + 2 * (size_t)m->N * (size_t)m->C;
    return (ex_norm_pass){.norm = n,
                          .sums = n->scratch,
                          .ratio = coefficients,
                          .slope = coefficients + m->C,
                          .constant = coefficients + 2 * m->C,
                          .chunk = (size_t)m->H * (size_t)m->W * (size_t)m->block,
                          .blocks = m->C / m->block};
}

/* Sums of x - k and (x - k)^2, with k the chunk's first pixel: values far from 0 lose nothing. */
EX_INLINE void stats_chunk(float *sums, const void *x, ex_map_type type, size_t count, int block)
{
    float pixel[EX_WIDE];
    for (int c = 0; c < block; c++)
        pixel[c] = ex_map_get(x, (size_t)c, type);
    const ex_wide k = ex_wide_repeat(pixel, block);
    ex_wide first[2] = {{0}}, second[2] = {{0}};
    size_t i = 0;
    for (; i + 2 * EX_WIDE <= count; i += 2 * EX_WIDE) {
        const ex_wide d0 = ex_wide_get(x, i, type) - k, d1 = ex_wide_get(x, i + EX_WIDE, type) - k;
        first[0] += d0;
        first[1] += d1;
        second[0] += d0 * d0;
        second[1] += d1 * d1;
    }
    for (; i < count; i += EX_WIDE) {
        const size_t some = count - i < EX_WIDE ? count - i : EX_WIDE;
        ex_wide d = ex_wide_get_some(x, i, some, type) - k;
        for (size_t j = some; j < EX_WIDE; j++)
            d[j] = 0.0f;
        first[0] += d;
        second[0] += d * d;
    }
    ex_wide_fold(sums, first[0] + first[1], block);
    ex_wide_fold(sums + block, second[0] + second[1], block);
    const float pixels = (float)(count / (size_t)block);
    for (int c = 0; c < block; c++) { /* mean and sum of squares about it */
        const float mean = sums[c] / pixels;
        sums[block + c] -= sums[c] * mean;
        sums[c] = k[c] + mean;
    }
}

EX_INLINE void stats(const ex_norm_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const int block = p->norm->shape.block;
    for (size_t u = begin; u < end; u++) {
        float *sums = p->sums + u * 2 * (size_t)block;
        const void *x = ex_map_in(p->x, (ptrdiff_t)(u * p->chunk), type);
        if (block == EX_WIDE)
            stats_chunk(sums, x, type, p->chunk, EX_WIDE);
        else
            stats_chunk(sums, x, type, p->chunk, block);
    }
}

EX_CLONES static void stats_range(const ex_norm_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->norm->shape.type, T, stats(p, T, begin, end));
}

/* Mean and variance of all chunks from those of each, in float64 and in order. */
static void combine_stats(const ex_norm_pass *p)
{
    const ex_map_shape *m = &p->norm->shape;
    const double pixels = (double)m->H * (double)m->W;
    for (int c = 0; c < m->C; c++) {
        const float *sums = p->sums + (size_t)(c / m->block) * 2 * (size_t)m->block + c % m->block;
        const size_t stride = 2 * (size_t)m->C;
        double mean = 0.0, squares = 0.0;
        for (int n = 0; n < m->N; n++)
            mean += (double)sums[(size_t)n * stride];
        mean /= m->N;
        for (int n = 0; n < m->N; n++) {
            const double d = (double)sums[(size_t)n * stride] - mean;
            squares += (double)sums[(size_t)n * stride + (size_t)m->block] + pixels * d * d;
        }
        p->norm->mean[c] = (float)mean;
        p->norm->var[c] = (float)(squares / (pixels * m->N));
    }
}

void ex_norm_pass_ratio(const ex_norm_pass *p)
{
    const ex_norm_train *n = p->norm;
    for (int c = 0; c < n->shape.C; c++)
        p->ratio[c] = ex_norm_ratio_body(n->scale[c], n->var[c], n->eps);
}

EX_INLINE void apply_chunk(void *y, const void *x, const void *residual, ex_norm_channel k,
                           int relu, ex_map_type type, size_t count)
{
    size_t i = 0;
    for (; i + EX_WIDE <= count; i += EX_WIDE) {
        ex_wide v = ex_norm_apply(ex_wide_get(x, i, type), k);
        if (residual)
            v += ex_wide_get(residual, i, type);
        ex_wide_put(y, i, relu ? ex_wide_where_positive(v, v) : v, type);
    }
    if (i < count) {
        ex_wide v = ex_norm_apply(ex_wide_get_some(x, i, count - i, type), k);
        if (residual)
            v += ex_wide_get_some(residual, i, count - i, type);
        ex_wide_put_some(y, i, relu ? ex_wide_where_positive(v, v) : v, count - i, type);
    }
}

/* Backwards through memory: what the pass before read last is still in cache. */
EX_INLINE void apply(const ex_norm_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const int block = p->norm->shape.block, relu = p->norm->relu;
    for (size_t u = end; u-- > begin;) {
        const ptrdiff_t at = (ptrdiff_t)(u * p->chunk);
        void *y = ex_map_at(p->y, at, type);
        const void *x = ex_map_in(p->x, at, type);
        const ex_norm_channel k =
            ex_norm_channel_at(p, u % (size_t)p->blocks * (size_t)block, block);
        if (p->residual)
            apply_chunk(y, x, ex_map_in(p->residual, at, type), k, relu, type, p->chunk);
        else
            apply_chunk(y, x, NULL, k, relu, type, p->chunk);
    }
}

EX_CLONES static void apply_range(const ex_norm_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->norm->shape.type, T, apply(p, T, begin, end));
}

void ex_norm_train_fwd_host(void *y, const void *x, const void *residual, const ex_norm_train *n,
                            ex_stream s)
{
    if (ex_norm_empty(&n->shape))
        return;
    ex_norm_pass p = ex_norm_pass_of(n);
    const size_t units = (size_t)n->shape.N * (size_t)p.blocks, floats = units * p.chunk;
    p.x = x;
    p.y = y;
    p.residual = residual;
    EX_SHARE(units, floats, s, stats_range(&p, begin, end));
    combine_stats(&p);
    ex_norm_pass_ratio(&p);
    EX_SHARE(units, floats, s, apply_range(&p, begin, end));
}
