/* Pooling: the largest or the mean value of each window.
 *
 *   y[n, c, p, q] = max or mean of x[n, c, h, w] over the window of (p, q)
 *   dx[n, c, h, w] = sum of dy[n, c, p, q] over the windows that took it    (max)
 *                    sum of dy[n, c, p, q] / (R * S) over the windows on it (mean)
 *
 * x (N, C, H, W), y (N, C, out_H, out_W), one layout for both; the window of (p, q) begins at
 * (p * stride - pad, q * stride - pad). A slab is what shares n and the channel block: pixels of
 * `block` neighbours, over which the innermost loops run. */
#include "pool.h"
#include "wide.h"

#include <stdbool.h>

typedef struct pool {
    const ex_pool_shape *shape;
    size_t block, in_slab, out_slab; /* values */
    bool largest;
    float count, inverse; /* inverse: 1 / count where that gives the same bits, else 0 */
} pool;

/* What is taken of which windows, constants where the compiler sees them: side by side two by two
 * mostly. */
typedef struct kind {
    int R, S, stride, pad;
    bool inside;  /* no window reaches beyond the input */
    bool largest; /* else the mean */
    ex_map_type type;
} kind;

EX_INLINE kind kind_of(const ex_pool_shape *s, bool halves, bool largest, ex_map_type type)
{
    return halves ? (kind){2, 2, 2, 0, true, largest, type}
                  : (kind){s->R, s->S, s->stride, s->pad, false, largest, type};
}

static bool halves(const ex_pool_shape *s)
{
    return s->R == 2 && s->S == 2 && s->stride == 2 && s->pad == 0;
}

/* Of a pixel (row, column), whose channels lie at `to`: `count` from `channel` on, constants where
 * the compiler sees them: all of a vector mostly. */
typedef struct group {
    int row, column;
    size_t to, channel, count;
} group;

typedef int8_t wide_taps __attribute__((vector_size(EX_WIDE)));

EX_INLINE ex_wide get(const void *map, size_t i, size_t count, ex_map_type type)
{
    return count == EX_WIDE ? ex_wide_get(map, i, type) : ex_wide_get_some(map, i, count, type);
}

EX_INLINE void put(void *map, size_t i, ex_wide v, size_t count, ex_map_type type)
{
    if (count == EX_WIDE)
        ex_wide_put(map, i, v, type);
    else
        ex_wide_put_some(map, i, v, count, type);
}

EX_INLINE void put_taps(int8_t *index, ex_wide_mask tap_of, size_t count)
{
    const wide_taps taps = __builtin_convertvector(tap_of, wide_taps);
    if (count == EX_WIDE)
        memcpy(index, &taps, sizeof taps);
    else
        for (size_t j = 0; j < count; j++)
            index[j] = taps[j];
}

/* --- forward ---------------------------------------------------------------------------------- */

/* What ex_pool_replaces says, in every lane: as a loop, since gcc (12) takes what joins two
 * compared vectors apart. */
EX_INLINE void take_larger(ex_wide *best, ex_wide_mask *tap_of, ex_wide value, int tap)
{
    float b[EX_WIDE], v[EX_WIDE];
    int32_t taps[EX_WIDE];
    memcpy(b, best, sizeof b);
    memcpy(v, &value, sizeof v);
    memcpy(taps, tap_of, sizeof taps);
    for (int i = 0; i < EX_WIDE; i++) {
        const int replaces = !(v[i] <= b[i]) & (b[i] == b[i]);
        b[i] = replaces ? v[i] : b[i];
        taps[i] = replaces ? tap : taps[i];
    }
    memcpy(best, b, sizeof b);
    memcpy(tap_of, taps, sizeof taps);
}

EX_INLINE ex_wide mean(ex_wide sum, const pool *g)
{
    return g->inverse > 0.0f ? sum * g->inverse : sum / g->count;
}

/* A group of y; x: the slab. */
EX_INLINE void forward_group(void *y, int8_t *index, const void *x, const pool *g, kind k, group at)
{
    const ex_pool_shape *s = g->shape;
    const int top = at.row * k.stride - k.pad, left = at.column * k.stride - k.pad;
    const int r0 = !k.inside && top < 0 ? -top : 0, t0 = !k.inside && left < 0 ? -left : 0;
    const size_t line = (size_t)s->in.W * g->block;
    ex_wide best = {0};
    ex_wide_mask tap_of = {0};
    if (k.largest) { /* the first one does not replace itself */
        best = get(x, (size_t)(top + r0) * line + (size_t)(left + t0) * g->block + at.channel,
                   at.count, k.type);
        tap_of += r0 * k.S + t0;
    }
    for (int r = r0; r < k.R && (k.inside || top + r < s->in.H); r++)
        for (int t = t0; t < k.S && (k.inside || left + t < s->in.W); t++) {
            const size_t from =
                (size_t)(top + r) * line + (size_t)(left + t) * g->block + at.channel;
            const ex_wide v = get(x, from, at.count, k.type);
            if (k.largest)
                take_larger(&best, &tap_of, v, r * k.S + t);
            else
                best += v;
        }
    put(y, at.to + at.channel, k.largest ? best : mean(best, g), at.count, k.type);
    if (k.largest && index)
        put_taps(index + at.to + at.channel, tap_of, at.count);
}

EX_INLINE void forward_slabs(void *y, int8_t *index, const void *x, const pool *g, kind k,
                             size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++) {
        const void *slab = ex_map_in(x, (ptrdiff_t)(i * g->in_slab), k.type);
        for (int p = 0; p < s->out_H; p++)
            for (int q = 0; q < s->out_W; q++) {
                const size_t to =
                    i * g->out_slab + ((size_t)p * (size_t)s->out_W + (size_t)q) * g->block;
                size_t c = 0;
                for (; c + EX_WIDE <= g->block; c += EX_WIDE)
                    forward_group(y, index, slab, g, k, (group){p, q, to, c, EX_WIDE});
                if (c < g->block)
                    forward_group(y, index, slab, g, k, (group){p, q, to, c, g->block - c});
            }
    }
}

EX_INLINE void forward_kind(void *y, int8_t *index, const void *x, const pool *g, bool halves,
                            ex_map_type type, size_t begin, size_t end)
{
    if (g->largest)
        forward_slabs(y, index, x, g, kind_of(g->shape, halves, true, type), begin, end);
    else
        forward_slabs(y, index, x, g, kind_of(g->shape, halves, false, type), begin, end);
}

EX_CLONES static void forward_range(void *y, int8_t *index, const void *x, const pool *g,
                                    size_t begin, size_t end)
{
    if (halves(g->shape))
        EX_TYPED(g->shape->in.type, T, forward_kind(y, index, x, g, true, T, begin, end));
    else
        EX_TYPED(g->shape->in.type, T, forward_kind(y, index, x, g, false, T, begin, end));
}

/* --- backward --------------------------------------------------------------------------------- */

/* The windows that read a pixel. */
typedef struct readers {
    ex_pool_readers rows, columns;
} readers;

/* One of windows that lie side by side, or none. */
EX_INLINE ex_pool_readers readers_of(int at, int side, int stride, int pad, int outputs,
                                     bool inside)
{
    const int p = at / stride;
    return inside ? (ex_pool_readers){p, p < outputs ? p : p - 1}
                  : ex_pool_readers_of(at, side, stride, pad, outputs);
}

/* sum += the lanes of dy whose largest value was at the tap; a loop, as in take_larger. */
EX_INLINE void give_back(ex_wide *sum, ex_wide dy, const int8_t *index, size_t count, int tap)
{
    float s[EX_WIDE], g[EX_WIDE];
    int8_t taps[EX_WIDE] = {0};
    memcpy(s, sum, sizeof s);
    memcpy(g, &dy, sizeof g);
    memcpy(taps, index, count);
    for (int i = 0; i < EX_WIDE; i++)
        s[i] += taps[i] == tap ? g[i] : 0.0f;
    memcpy(sum, s, sizeof s);
}

/* A group of dx; dy, index: the slab. */
EX_INLINE void backward_group(void *dx, const void *dy, const int8_t *index, const pool *g, kind k,
                              readers by, group at)
{
    ex_wide sum = {0};
    for (int p = by.rows.first; p <= by.rows.last; p++)
        for (int q = by.columns.first; q <= by.columns.last; q++) {
            const size_t from =
                ((size_t)p * (size_t)g->shape->out_W + (size_t)q) * g->block + at.channel;
            const int tap =
                (at.row + k.pad - p * k.stride) * k.S + at.column + k.pad - q * k.stride;
            const ex_wide v = get(dy, from, at.count, k.type);
            if (k.largest)
                give_back(&sum, v, index + from, at.count, tap);
            else
                sum += v;
        }
    put(dx, at.to + at.channel, k.largest ? sum : mean(sum, g), at.count, k.type);
}

EX_INLINE void backward_slabs(void *dx, const void *dy, const int8_t *index, const pool *g, kind k,
                              size_t begin, size_t end)
{
    const ex_pool_shape *s = g->shape;
    for (size_t i = begin; i < end; i++) {
        const void *slab = ex_map_in(dy, (ptrdiff_t)(i * g->out_slab), k.type);
        const int8_t *taps = k.largest ? index + i * g->out_slab : NULL;
        for (int h = 0; h < s->in.H; h++) {
            readers by = {.rows = readers_of(h, k.R, k.stride, k.pad, s->out_H, k.inside)};
            for (int w = 0; w < s->in.W; w++) {
                const size_t to =
                    i * g->in_slab + ((size_t)h * (size_t)s->in.W + (size_t)w) * g->block;
                size_t c = 0;
                by.columns = readers_of(w, k.S, k.stride, k.pad, s->out_W, k.inside);
                for (; c + EX_WIDE <= g->block; c += EX_WIDE)
                    backward_group(dx, slab, taps, g, k, by, (group){h, w, to, c, EX_WIDE});
                if (c < g->block)
                    backward_group(dx, slab, taps, g, k, by, (group){h, w, to, c, g->block - c});
            }
        }
    }
}

EX_INLINE void backward_kind(void *dx, const void *dy, const int8_t *index, const pool *g,
                             bool halves, ex_map_type type, size_t begin, size_t end)
{
    if (g->largest)
        backward_slabs(dx, dy, index, g, kind_of(g->shape, halves, true, type), begin, end);
    else
        backward_slabs(dx, dy, index, g, kind_of(g->shape, halves, false, type), begin, end);
}

EX_CLONES static void backward_range(void *dx, const void *dy, const int8_t *index, const pool *g,
                                     size_t begin, size_t end)
{
    if (halves(g->shape))
        EX_TYPED(g->shape->in.type, T, backward_kind(dx, dy, index, g, true, T, begin, end));
    else
        EX_TYPED(g->shape->in.type, T, backward_kind(dx, dy, index, g, false, T, begin, end));
}

/* --- the table's ------------------------------------------------------------------------------ */

static pool pool_of(const ex_pool_shape *p, bool largest)
{
    const size_t block = (size_t)p->in.block;
    const int count = p->R * p->S;
    const bool power = (count & (count - 1)) == 0;
    return (pool){.shape = p,
                  .block = block,
                  .in_slab = (size_t)p->in.H * (size_t)p->in.W * block,
                  .out_slab = (size_t)p->out_H * (size_t)p->out_W * block,
                  .largest = largest,
                  .count = (float)count,
                  .inverse = power ? 1.0f / (float)count : 0.0f};
}

static size_t slabs_of(const ex_pool_shape *p)
{
    return (size_t)p->in.N * (size_t)(p->in.C / p->in.block);
}

static void forward(void *y, int8_t *index, const void *x, const ex_pool_shape *p, bool largest,
                    ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s, forward_range(y, index, x, &g, begin, end));
}

static void backward(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                     bool largest, ex_stream s)
{
    const pool g = pool_of(p, largest);
    EX_SHARE(slabs_of(p), slabs_of(p) * g.in_slab, s,
             backward_range(dx, dy, index, &g, begin, end));
}

void ex_maxpool_fwd_host(void *y, int8_t *index, const void *x, const ex_pool_shape *p, ex_stream s)
{
    forward(y, index, x, p, true, s);
}

void ex_maxpool_bwd_host(void *dx, const void *dy, const int8_t *index, const ex_pool_shape *p,
                         ex_stream s)
{
    backward(dx, dy, index, p, true, s);
}

void ex_avgpool_fwd_host(void *y, const void *x, const ex_pool_shape *p, ex_stream s)
{
    forward(y, NULL, x, p, false, s);
}

void ex_avgpool_bwd_host(void *dx, const void *dy, const ex_pool_shape *p, ex_stream s)
{
    backward(dx, dy, NULL, p, false, s);
}
