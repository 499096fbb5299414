/* Sixteen floats at a time: a map's chunk of one image and block is one run of pixels * block
 * floats, in which channels repeat with a period that divides sixteen. */
#include "norm_train.h"

#include "host.h"

#include <math.h>
#include <string.h>

/* Vectors are passed between functions that are always inlined: no calling convention matters. */
#pragma GCC diagnostic ignored "-Wpsabi"

enum { LANES = 16 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lane_mask __attribute__((vector_size(LANES * sizeof(float))));

EX_INLINE lanes load(const float *p)
{
    lanes v;
    memcpy(&v, p, sizeof v);
    return v;
}

EX_INLINE void store(float *p, lanes v)
{
    memcpy(p, &v, sizeof v);
}

/* The last, incomplete group of a chunk; missing lanes are 0. */
EX_INLINE lanes load_some(const float *p, size_t count)
{
    lanes v = {0};
    for (size_t i = 0; i < count; i++)
        v[i] = p[i];
    return v;
}

EX_INLINE void store_some(float *p, lanes v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        p[i] = v[i];
}

/* `block` values of one per channel, repeated. */
EX_INLINE lanes repeat(const float *p, int block)
{
    lanes v;
    for (int i = 0; i < LANES; i++)
        v[i] = p[i % block];
    return v;
}

/* 0 where y <= 0, else v: a NaN goes on, and is found in the loss. */
EX_INLINE lanes where_positive(lanes v, lanes y)
{
    const lanes zero = {0};
    return (lanes)((lane_mask)v & ~(y <= zero));
}

/* Lanes of the same channel added up. */
EX_INLINE void fold_lanes(float *out, lanes v, int block)
{
    for (int c = 0; c < block; c++)
        out[c] = 0.0f;
    for (int i = 0; i < LANES; i++)
        out[i % block] += v[i];
}

/* Everything that a pass over chunks needs. Scratch: two sums a chunk's channel, three
 * coefficients a channel. */
typedef struct pass {
    const ex_norm_train *norm;
    const ex_norm_train_gradient *gradient;
    const float *x, *residual;
    float *y;
    float *sums; /* (N, C, 2): per chunk block of the first, block of the second */
    float *ratio, *slope, *constant; /* (C) */
    size_t chunk;                    /* floats */
    int blocks;                      /* chunks of an image */
} pass;

size_t ex_norm_train_scratch(const ex_map_shape *shape)
{
    return 2 * (size_t)shape->N * (size_t)shape->C + 3 * (size_t)shape->C;
}

static pass pass_of(const ex_norm_train *n)
{
    const ex_map_shape *m = &n->shape;
    float *coefficients = n->scratch + 2 * (size_t)m->N * (size_t)m->C;
    return (pass){.norm = n,
                  .sums = n->scratch,
                  .ratio = coefficients,
                  .slope = coefficients + m->C,
                  .constant = coefficients + 2 * m->C,
                  .chunk = (size_t)m->H * (size_t)m->W * (size_t)m->block,
                  .blocks = m->C / m->block};
}

/* --- forward ---------------------------------------------------------------------------------- */

/* Sums of x - k and (x - k)^2, with k the chunk's first pixel: values far from 0 lose nothing. */
EX_INLINE void stats_chunk(float *sums, const float *x, size_t count, int block)
{
    const lanes k = repeat(x, block);
    lanes first[2] = {{0}}, second[2] = {{0}};
    size_t i = 0;
    for (; i + 2 * LANES <= count; i += 2 * LANES) {
        const lanes d0 = load(x + i) - k, d1 = load(x + i + LANES) - k;
        first[0] += d0;
        first[1] += d1;
        second[0] += d0 * d0;
        second[1] += d1 * d1;
    }
    for (; i < count; i += LANES) {
        const size_t some = count - i < LANES ? count - i : LANES;
        lanes d = load_some(x + i, some) - k;
        for (size_t j = some; j < LANES; j++)
            d[j] = 0.0f;
        first[0] += d;
        second[0] += d * d;
    }
    fold_lanes(sums, first[0] + first[1], block);
    fold_lanes(sums + block, second[0] + second[1], block);
    const float pixels = (float)(count / (size_t)block);
    for (int c = 0; c < block; c++) { /* mean and sum of squares about it */
        const float mean = sums[c] / pixels;
        sums[block + c] -= sums[c] * mean;
        sums[c] = k[c] + mean;
    }
}

EX_CLONES static void stats_range(const pass *p, size_t begin, size_t end)
{
    const int block = p->norm->shape.block;
    for (size_t u = begin; u < end; u++) {
        float *sums = p->sums + u * 2 * (size_t)block;
        const float *x = p->x + u * p->chunk;
        if (block == LANES)
            stats_chunk(sums, x, p->chunk, LANES);
        else
            stats_chunk(sums, x, p->chunk, block);
    }
}

/* Mean and variance of all chunks from those of each, in float64 and in order. */
static void combine_stats(const pass *p)
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

static void find_ratio(const pass *p)
{
    const ex_norm_train *n = p->norm;
    for (int c = 0; c < n->shape.C; c++)
        p->ratio[c] = n->scale[c] / sqrtf(n->var[c] + n->eps);
}

/* A norm's values of a chunk's channels. The mean is taken off before the product: the other way
 * round, values far from 0 would lose what they differ in. */
typedef struct channel {
    lanes mean, ratio, shift;
} channel;

EX_INLINE channel channel_at(const pass *p, size_t c, int block)
{
    return (channel){.mean = repeat(p->norm->mean + c, block),
                     .ratio = repeat(p->ratio + c, block),
                     .shift = repeat(p->norm->shift + c, block)};
}

EX_INLINE lanes normalise(lanes x, channel k)
{
    return (x - k.mean) * k.ratio + k.shift;
}

EX_INLINE void apply_chunk(float *y, const float *x, const float *residual, channel k, int relu,
                           size_t count)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        lanes v = normalise(load(x + i), k);
        if (residual)
            v += load(residual + i);
        store(y + i, relu ? where_positive(v, v) : v);
    }
    if (i < count) {
        lanes v = normalise(load_some(x + i, count - i), k);
        if (residual)
            v += load_some(residual + i, count - i);
        store_some(y + i, relu ? where_positive(v, v) : v, count - i);
    }
}

/* Backwards through memory: what the pass before read last is still in cache. */
EX_CLONES static void apply_range(const pass *p, size_t begin, size_t end)
{
    const int block = p->norm->shape.block, relu = p->norm->relu;
    for (size_t u = end; u-- > begin;) {
        const size_t at = u * p->chunk;
        const channel k = channel_at(p, u % (size_t)p->blocks * (size_t)block, block);
        if (p->residual)
            apply_chunk(p->y + at, p->x + at, p->residual + at, k, relu, p->chunk);
        else
            apply_chunk(p->y + at, p->x + at, NULL, k, relu, p->chunk);
    }
}

void ex_norm_train_fwd_host(float *y, const float *x, const float *residual, const ex_norm_train *n,
                            ex_stream s)
{
    pass p = pass_of(n);
    const size_t units = (size_t)n->shape.N * (size_t)p.blocks, floats = units * p.chunk;
    p.x = x;
    p.y = y;
    p.residual = residual;
    if (!n->frozen) {
        EX_SHARE(units, floats, s, stats_range(&p, begin, end));
        combine_stats(&p);
    }
    find_ratio(&p);
    EX_SHARE(units, floats, s, apply_range(&p, begin, end));
}

/* --- backward --------------------------------------------------------------------------------- */

/* The gradient through the ReLU; with a residual its sign is y's, else it follows from x. */
EX_INLINE lanes through_relu(lanes g, lanes x, const float *y, channel k, int relu, size_t some)
{
    if (y)
        return where_positive(g, some == LANES ? load(y) : load_some(y, some));
    return relu ? where_positive(g, normalise(x, k)) : g;
}

EX_INLINE void reduce_chunk(float *sums, float *g1, const float *g2, const float *x, const float *y,
                            channel k, int relu, int keep, size_t count, int block)
{
    lanes first = {0}, second = {0};
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const lanes v = load(x + i);
        lanes g = load(g1 + i);
        if (g2)
            g += load(g2 + i);
        g = through_relu(g, v, y ? y + i : NULL, k, relu, LANES);
        if (keep)
            store(g1 + i, g);
        first += g;
        second += g * (v - k.mean);
    }
    if (i < count) { /* g is 0 in the missing lanes */
        const size_t some = count - i;
        const lanes v = load_some(x + i, some);
        lanes g = load_some(g1 + i, some);
        if (g2)
            g += load_some(g2 + i, some);
        g = through_relu(g, v, y ? y + i : NULL, k, relu, some);
        if (keep)
            store_some(g1 + i, g, some);
        first += g;
        second += g * (v - k.mean);
    }
    fold_lanes(sums, first, block);
    fold_lanes(sums + block, second, block);
}

EX_CLONES static void reduce_range(const pass *p, size_t begin, size_t end)
{
    const ex_norm_train_gradient *d = p->gradient;
    const int block = p->norm->shape.block, relu = p->norm->relu;
    for (size_t u = begin; u < end; u++) {
        const size_t at = u * p->chunk;
        const channel k = channel_at(p, u % (size_t)p->blocks * (size_t)block, block);
        float *sums = p->sums + u * 2 * (size_t)block, *g1 = d->g1 + at;
        const float *x = d->x + at, *y = d->y ? d->y + at : NULL;
        if (!d->keep)
            reduce_chunk(sums, g1, NULL, x, NULL, k, relu, 0, p->chunk, block);
        else if (!d->g2)
            reduce_chunk(sums, g1, NULL, x, y, k, relu, 1, p->chunk, block);
        else
            reduce_chunk(sums, g1, d->g2 + at, x, y, k, relu, 1, p->chunk, block);
    }
}

/* Gradients of scale and shift; dx = ratio g + slope (x - mean) + constant. */
static void backward_coefficients(const pass *p)
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
        const double ratio = n->frozen ? 0.0 : (double)p->ratio[c];
        p->slope[c] = (float)(-ratio * r * r * second / count);
        p->constant[c] = (float)(-ratio * first / count);
    }
}

EX_INLINE void input_chunk(float *dx, const float *g1, const float *x, channel k, lanes slope,
                           lanes constant, int relu, size_t count)
{
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const lanes v = load(x + i), g = through_relu(load(g1 + i), v, NULL, k, relu, LANES);
        store(dx + i, g * k.ratio + (v - k.mean) * slope + constant);
    }
    if (i < count) {
        const size_t some = count - i;
        const lanes v = load_some(x + i, some);
        const lanes g = through_relu(load_some(g1 + i, some), v, NULL, k, relu, some);
        store_some(dx + i, g * k.ratio + (v - k.mean) * slope + constant, some);
    }
}

EX_CLONES static void input_range(const pass *p, size_t begin, size_t end)
{
    const ex_norm_train_gradient *d = p->gradient;
    const int block = p->norm->shape.block, relu = p->norm->relu && !d->keep;
    for (size_t u = end; u-- > begin;) {
        const size_t c = u % (size_t)p->blocks * (size_t)block, at = u * p->chunk;
        const channel k = channel_at(p, c, block);
        const lanes slope = repeat(p->slope + c, block), constant = repeat(p->constant + c, block);
        if (relu)
            input_chunk(d->dx + at, d->g1 + at, d->x + at, k, slope, constant, 1, p->chunk);
        else
            input_chunk(d->dx + at, d->g1 + at, d->x + at, k, slope, constant, 0, p->chunk);
    }
}

void ex_norm_train_bwd_host(const ex_norm_train_gradient *g, const ex_norm_train *n, ex_stream s)
{
    pass p = pass_of(n);
    const size_t units = (size_t)n->shape.N * (size_t)p.blocks, floats = units * p.chunk;
    p.gradient = g;
    find_ratio(&p);
    EX_SHARE(units, floats, s, reduce_range(&p, begin, end));
    backward_coefficients(&p);
    EX_SHARE(units, floats, s, input_range(&p, begin, end));
}
