/* Gradients of filters at the points of winograd.h. Each of its maps is linear, so that the
 * gradient takes their transposes: values of dy at the points, products with those of x summed over
 * all tiles, and from 36 sums the nine taps. */
#include "winograd_impl.h"

/* Sums that are made side by side where workers take groups, and added up in the end: by shape
 * alone, so that the number of threads changes no bit. */
enum { PARTS = 8 };

static size_t parts_of(const ex_winograd_shape *s)
{
    const size_t groups = groups_of(s), most = takes_groups(s) ? PARTS : 1;
    return groups < most ? groups : most;
}

size_t ex_winograd_weights_scratch_floats(const ex_winograd_shape *s, int threads)
{
    return workers_of(s, parts_of(s), threads) * slot_of(s) +
           parts_of(s) * ex_winograd_filter_floats(s->K, s->C);
}

/* --- dy --------------------------------------------------------------------------------------- */

EX_INLINE void spread_outputs(ex_wide m[SIDE], const ex_wide y[OUT])
{
    const ex_wide even_a = y[0] + AA * y[2], odd_a = A * y[1] + A * AA * y[3],
                  even_b = y[0] + BB * y[2], odd_b = B * y[1] + B * BB * y[3];
    m[0] = y[0];
    m[1] = even_a + odd_a;
    m[2] = even_a - odd_a;
    m[3] = even_b + odd_b;
    m[4] = even_b - odd_b;
    m[5] = y[3];
}

/* Units are blocks of channels and tiles. */
EX_INLINE void gradient_body(const ex_winograd_work *g, const void *dy, size_t begin, size_t end,
                             ex_map_type type)
{
    const size_t width = (size_t)g->shape->W, pixels = (size_t)g->shape->H * width;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t block = unit / g->tiles, tile = unit % g->tiles;
        ex_wide y[OUT], rows[OUT][SIDE], m[SIDE];
        int h, w;
        const size_t image = tile_at(g, tile, &h, &w);
        const size_t corner =
            (image * g->out_blocks + block) * pixels + (size_t)h * width + (size_t)w;
        EX_UNROLL
        for (size_t i = 0; i < OUT; i++) {
            EX_UNROLL
            for (size_t j = 0; j < OUT; j++)
                y[j] = ex_wide_get(dy, (corner + i * width + j) * EX_WIDE, type);
            spread_outputs(rows[i], y);
        }
        float *out = g->m + (block * g->room + tile) * EX_WIDE;
        EX_UNROLL
        for (size_t j = 0; j < SIDE; j++) {
            EX_UNROLL
            for (size_t i = 0; i < OUT; i++)
                y[i] = rows[i][j];
            spread_outputs(m, y);
            EX_UNROLL
            for (size_t i = 0; i < SIDE; i++)
                ex_wide_store(out + (SIDE * i + j) * g->m_point, m[i]);
        }
    }
}

EX_CLONES static void gradient_units(const ex_winograd_work *g, const void *dy, size_t begin,
                                     size_t end)
{
    EX_TYPED(g->shape->out, type, gradient_body(g, dy, begin, end, type));
}

/* --- products --------------------------------------------------------------------------------- */

/* Floats between the points of the sums (K, C). */
static size_t sums_apart(const ex_winograd_work *g)
{
    return (size_t)g->shape->K * (size_t)g->shape->C + APART;
}

/* Units are points and blocks of filters. */
static void product_units(const ex_winograd_work *g, float *sums, bool first, size_t begin,
                          size_t end)
{
    const size_t C = (size_t)g->shape->C;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t point = unit / g->out_blocks, block = unit % g->out_blocks;
        const float *m = g->m + point * g->m_point + block * g->room * EX_WIDE;
        float *u = sums + point * sums_apart(g) + block * EX_WIDE * C;
        for (size_t c = 0; c < C; c += PANEL)
            ex_winograd_product_weights(u + c, C, m, g->v + point * g->v_point + c * g->room,
                                        g->room, g->tiles, panel_width(c, C), first);
    }
}

/* --- taps ------------------------------------------------------------------------------------- */

EX_INLINE void gather_taps(ex_wide w[TAPS], const ex_wide u[SIDE])
{
    const float at_zero = 1.0f / AABB, at_a = 1.0f / (2.0f * AA * (AA - BB)),
                at_b = 1.0f / (2.0f * BB * (BB - AA));
    const ex_wide even_a = (u[1] + u[2]) * at_a, even_b = (u[3] + u[4]) * at_b;
    w[0] = u[0] * at_zero + even_a + even_b;
    w[1] = A * at_a * (u[1] - u[2]) + B * at_b * (u[3] - u[4]);
    w[2] = AA * even_a + BB * even_b + u[5];
}

/* The sums of all parts. */
EX_INLINE ex_wide total_of(const float *sums, size_t apart, size_t parts)
{
    ex_wide total = ex_wide_load(sums);
    for (size_t part = 1; part < parts; part++)
        total += ex_wide_load(sums + part * apart);
    return total;
}

/* Units are filters and blocks of channels. */
EX_INLINE void taps_body(float *restrict dw, const float *restrict sums, const ex_winograd_shape *s,
                         size_t begin, size_t end)
{
    const size_t C = (size_t)s->C, point = (size_t)s->K * C + APART, parts = parts_of(s);
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit * EX_WIDE / C, c = unit * EX_WIDE % C;
        ex_wide u[SIDE], rows[SIDE][TAPS], w[TAPS];
        EX_UNROLL
        for (size_t i = 0; i < SIDE; i++) {
            EX_UNROLL
            for (size_t j = 0; j < SIDE; j++)
                u[j] =
                    total_of(sums + (SIDE * i + j) * point + unit * EX_WIDE, POINTS * point, parts);
            gather_taps(rows[i], u);
        }
        EX_UNROLL
        for (size_t t = 0; t < TAPS; t++) {
            EX_UNROLL
            for (size_t i = 0; i < SIDE; i++)
                u[i] = rows[i][t];
            gather_taps(w, u);
            EX_UNROLL
            for (size_t r = 0; r < TAPS; r++)
                ex_wide_store(dw + (k * TAPS * TAPS + TAPS * r + t) * C + c, w[r]);
        }
    }
}

EX_CLONES static void taps_units(float *dw, const float *sums, const ex_winograd_shape *s,
                                 size_t begin, size_t end)
{
    taps_body(dw, sums, s, begin, end);
}

/* --- all -------------------------------------------------------------------------------------- */

static void sum_group(const ex_winograd_work *g, const void *dy, float *sums, bool first,
                      ex_stream s)
{
    const size_t in = g->tiles * g->in_blocks, out = g->tiles * g->out_blocks;
    EX_SHARE(in, in * POINTS * EX_WIDE, s, ex_winograd_input(g, begin, end));
    EX_SHARE(out, out * POINTS * EX_WIDE, s, gradient_units(g, dy, begin, end));
    EX_SHARE(POINTS * g->out_blocks, products_of(g), s, product_units(g, sums, first, begin, end));
}

/* The sums of parts from `begin` on, by one worker. */
static void sum_parts(ex_winograd_work g, const void *dy, float *sums, size_t begin, size_t end,
                      ex_stream s)
{
    const size_t groups = groups_of(g.shape), parts = parts_of(g.shape);
    for (size_t part = begin; part < end; part++) {
        const size_t first = groups * part / parts, last = groups * (part + 1) / parts;
        for (size_t group = first; group < last; group++) {
            ex_winograd_move(&g, group);
            sum_group(&g, dy, sums + part * POINTS * sums_apart(&g), group == first, s);
        }
    }
}

static void sum_workers(const ex_winograd_work *g, const void *dy, float *scratch, size_t workers,
                        size_t begin, size_t end)
{
    const ex_stream alone = {.threads = 1};
    const size_t parts = parts_of(g->shape), slot = slot_of(g->shape);
    for (size_t worker = begin; worker < end; worker++)
        sum_parts(ex_winograd_begin(g->shape, g->x, scratch + worker * slot), dy,
                  scratch + workers * slot, parts * worker / workers,
                  parts * (worker + 1) / workers, alone);
}

void ex_winograd_weights(float *dw, const void *x, const void *dy, const ex_winograd_shape *shape,
                         float *scratch, ex_stream s)
{
    const size_t parts = parts_of(shape), workers = workers_of(shape, parts, s.threads),
                 values = (size_t)shape->K * (size_t)shape->C;
    const ex_winograd_work g = ex_winograd_begin(shape, x, scratch);
    const float *sums = scratch + workers * slot_of(shape);
    if (workers > 1)
        EX_SHARE(workers, products_of_all(&g), s,
                 sum_workers(&g, dy, scratch, workers, begin, end));
    else
        sum_parts(g, dy, scratch + slot_of(shape), 0, parts, s);
    EX_SHARE(values / EX_WIDE, values * POINTS, s, taps_units(dw, sums, shape, begin, end));
}
