/* Gradients of filters at the points of winograd.h. Each of its maps is linear, so that the
 * gradient takes their transposes: values of dy at the points, products with those of x summed over
 * all tiles, and from 36 sums the nine taps. */
#include "winograd_impl.h"

size_t ex_winograd_weights_scratch_floats(const ex_winograd_shape *s)
{
    return ex_winograd_scratch_floats(s) + ex_winograd_filter_floats(s->K, s->C);
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

/* Units are points and eights of filters. */
static void product_units(const ex_winograd_work *g, float *sums, size_t begin, size_t end)
{
    const size_t C = (size_t)g->shape->C, eights = (size_t)g->shape->K / EX_WINOGRAD_ROWS;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t point = unit / eights, k = unit % eights * EX_WINOGRAD_ROWS;
        const float *m = g->m + point * g->m_point + k / EX_WIDE * g->room * EX_WIDE + k % EX_WIDE;
        for (size_t c = 0; c < C; c += PANEL)
            ex_winograd_product_weights(sums + point * sums_apart(g) + k * C + c, C, m,
                                        g->v + point * g->v_point + c * g->room, g->room, g->tiles,
                                        g->first == 0);
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

/* Units are filters and blocks of channels. */
EX_INLINE void taps_body(float *restrict dw, const float *restrict sums, size_t point, size_t C,
                         size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit * EX_WIDE / C, c = unit * EX_WIDE % C;
        ex_wide u[SIDE], rows[SIDE][TAPS], w[TAPS];
        EX_UNROLL
        for (size_t i = 0; i < SIDE; i++) {
            EX_UNROLL
            for (size_t j = 0; j < SIDE; j++)
                u[j] = ex_wide_load(sums + (SIDE * i + j) * point + unit * EX_WIDE);
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

EX_CLONES static void taps_units(float *dw, const float *sums, size_t point, size_t C, size_t begin,
                                 size_t end)
{
    taps_body(dw, sums, point, C, begin, end);
}

/* --- all -------------------------------------------------------------------------------------- */

void ex_winograd_weights(float *dw, const void *x, const void *dy, const ex_winograd_shape *shape,
                         float *scratch, ex_stream s)
{
    const size_t total = all_tiles(shape), C = (size_t)shape->C, values = (size_t)shape->K * C;
    ex_winograd_work g = ex_winograd_begin(shape, x, scratch);
    float *sums = scratch + ex_winograd_scratch_floats(shape);
    for (g.first = 0; g.first < total; g.first += g.room) {
        g.tiles = total - g.first < g.room ? total - g.first : g.room;
        const size_t in = g.tiles * g.in_blocks, out = g.tiles * g.out_blocks,
                     products = POINTS * (size_t)shape->K / EX_WINOGRAD_ROWS;
        EX_SHARE(in, in * POINTS * EX_WIDE, s, ex_winograd_input(&g, begin, end));
        EX_SHARE(out, out * POINTS * EX_WIDE, s, gradient_units(&g, dy, begin, end));
        EX_SHARE(products, in * POINTS * EX_WIDE, s, product_units(&g, sums, begin, end));
    }
    EX_SHARE(values / EX_WIDE, values * POINTS, s,
             taps_units(dw, sums, sums_apart(&g), C, begin, end));
}
