/* Training's batch norm backward: sums of the gradient, then the input's gradient. Three reads of a
 * map in all, where oneDNN's own primitive makes four and leaves residual and sums to others. */
#include "norm_train.h"

#include <math.h>

/* The gradient through the ReLU; with a residual its sign is y's, else it follows from x. */
EX_INLINE ex_wide through_relu(ex_wide g, ex_wide x, const void *y, size_t i, ex_norm_channel k,
                               int relu, size_t some, ex_map_type type)
{
    if (y)
        return ex_wide_where_positive(g, some == EX_WIDE ? ex_wide_get(y, i, type)
                                                         : ex_wide_get_some(y, i, some, type));
    return relu ? ex_wide_where_positive(g, ex_norm_apply(x, k)) : g;
}

EX_INLINE void reduce_chunk(float *sums, void *g1, const void *g2, const void *x, const void *y,
                            ex_norm_channel k, int relu, int keep, ex_map_type type, size_t count,
                            int block)
{
    ex_wide first = {0}, second = {0};
    size_t i = 0;
    for (; i + EX_WIDE <= count; i += EX_WIDE) {
        const ex_wide v = ex_wide_get(x, i, type);
        ex_wide g = ex_wide_get(g1, i, type);
        if (g2)
            g += ex_wide_get(g2, i, type);
        g = through_relu(g, v, y, i, k, relu, EX_WIDE, type);
        if (keep)
            ex_wide_put(g1, i, g, type);
        first += g;
        second += g * (v - k.mean);
    }
    if (i < count) { /* g is 0 in the missing lanes */
        const size_t some = count - i;
        const ex_wide v = ex_wide_get_some(x, i, some, type);
        ex_wide g = ex_wide_get_some(g1, i, some, type);
        if (g2)
            g += ex_wide_get_some(g2, i, some, type);
        g = through_relu(g, v, y, i, k, relu, some, type);
        if (keep)
            ex_wide_put_some(g1, i, g, some, type);
        first += g;
        second += g * (v - k.mean);
    }
    ex_wide_fold(sums, first, block);
    ex_wide_fold(sums + block, second, block);
}

EX_INLINE void reduce(const ex_norm_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const ex_norm_train_gradient *d = p->gradient;
    const int block = p->norm->shape.block, relu = p->norm->relu;
    for (size_t u = begin; u < end; u++) {
        const ptrdiff_t at = (ptrdiff_t)(u * p->chunk);
        const ex_norm_channel k =
            ex_norm_channel_at(p, u % (size_t)p->blocks * (size_t)block, block);
        float *sums = p->sums + u * 2 * (size_t)block;
        void *g1 = ex_map_at(d->g1, at, type);
        const void *x = ex_map_in(d->x, at, type), *y = ex_map_in(d->y, at, type);
        if (!d->keep)
            reduce_chunk(sums, g1, NULL, x, NULL, k, relu, 0, type, p->chunk, block);
        else if (!d->g2)
            reduce_chunk(sums, g1, NULL, x, y, k, relu, 1, type, p->chunk, block);
        else
            reduce_chunk(sums, g1, ex_map_in(d->g2, at, type), x, y, k, relu, 1, type, p->chunk,
                         block);
    }
}

EX_CLONES static void reduce_range(const ex_norm_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->norm->shape.type, T, reduce(p, T, begin, end));
}

/* Gradients of scale and shift; dx = ratio g + slope (x - mean) + constant. */
static void backward_coefficients(const ex_norm_pass *p)
{
    const ex_norm_train *n = p->norm;
    const ex_map_shape *m = &n->shape;
    const double count = (double)m->N * (double)m->H * (double)m->W;
    for (int c = 0; c < m->C; c++) {
        const float *sums = p->sums + (size_t)(c / m->block) * 2 * (size_t)m->block + c % m->block;
        double first = 0.0, second = 0.0;
        for (int i = 0; i < m->N; i++) {
            first += (double)sums[(size_t)i * 2 * (size_t)m->C];
            second += (double)sums[(size_t)i * 2 * (size_t)m->C + (size_t)m->block];
        }
        const double r = 1.0 / sqrt((double)n->var[c] + (double)n->eps);
        p->gradient->dshift[c] = (float)first;
        p->gradient->dscale[c] = (float)(second * r);
        const double ratio = (double)p->ratio[c];
        p->slope[c] = (float)(-ratio * r * r * second / count);
        p->constant[c] = (float)(-ratio * first / count);
    }
}

EX_INLINE void input_chunk(void *dx, const void *g1, const void *x, ex_norm_channel k,
                           ex_wide slope, ex_wide constant, int relu, ex_map_type type,
                           size_t count)
{
    size_t i = 0;
    for (; i + EX_WIDE <= count; i += EX_WIDE) {
        const ex_wide v = ex_wide_get(x, i, type),
                      g = through_relu(ex_wide_get(g1, i, type), v, NULL, i, k, relu, EX_WIDE,
                                       type);
        ex_wide_put(dx, i, g * k.ratio + (v - k.mean) * slope + constant, type);
    }
    if (i < count) {
        const size_t some = count - i;
        const ex_wide v = ex_wide_get_some(x, i, some, type);
        const ex_wide g =
            through_relu(ex_wide_get_some(g1, i, some, type), v, NULL, i, k, relu, some, type);
        ex_wide_put_some(dx, i, g * k.ratio + (v - k.mean) * slope + constant, some, type);
    }
}

/* The planes' share of unit u, whose chunk of dx was just written. */
EX_INLINE void copy_planes(const ex_planes *planes, const ex_norm_pass *p, size_t u, const void *dx,
                           ex_map_type type)
{
    const size_t blocks = (size_t)p->blocks, block = (size_t)p->norm->shape.block;
    const size_t pixels = p->chunk / block;
    for (size_t j = 0; j < (size_t)planes->channels; j++) {
        const size_t channel = (size_t)planes->channel[j];
        float *to = planes->out + (u / blocks * (size_t)planes->channels + j) * pixels;
        if (channel / block == u % blocks)
            for (size_t i = 0; i < pixels; i++)
                to[i] = ex_map_get(dx, i * block + channel % block, type);
    }
}

EX_INLINE void input(const ex_norm_pass *p, ex_map_type type, size_t begin, size_t end)
{
    const ex_norm_train_gradient *d = p->gradient;
    const int block = p->norm->shape.block, relu = p->norm->relu && !d->keep;
    for (size_t u = end; u-- > begin;) {
        const size_t c = u % (size_t)p->blocks * (size_t)block;
        const ptrdiff_t at = (ptrdiff_t)(u * p->chunk);
        void *dx = ex_map_at(d->dx, at, type);
        const void *g1 = ex_map_in(d->g1, at, type), *x = ex_map_in(d->x, at, type);
        const ex_norm_channel k = ex_norm_channel_at(p, c, block);
        const ex_wide slope = ex_wide_repeat(p->slope + c, block),
                      constant = ex_wide_repeat(p->constant + c, block);
        if (relu)
            input_chunk(dx, g1, x, k, slope, constant, 1, type, p->chunk);
        else
            input_chunk(dx, g1, x, k, slope, constant, 0, type, p->chunk);
        if (d->planes)
            copy_planes(d->planes, p, u, dx, type);
    }
}

EX_CLONES static void input_range(const ex_norm_pass *p, size_t begin, size_t end)
{
    EX_TYPED(p->norm->shape.type, T, input(p, T, begin, end));
}

void ex_norm_train_bwd_host(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    if (ex_norm_empty(&n->shape))
        return;
    ex_norm_pass p = ex_norm_pass_of(n);
    const size_t units = (size_t)n->shape.N * (size_t)p.blocks, floats = units * p.chunk;
    p.gradient = g;
    ex_norm_pass_ratio(&p);
    EX_SHARE(units, floats, s, reduce_range(&p, begin, end));
    backward_coefficients(&p);
    EX_SHARE(units, floats, s, input_range(&p, begin, end));
}
