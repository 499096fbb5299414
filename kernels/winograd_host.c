/* The transforms around the products of winograd.h: sixteen channels at a time. */
#include "winograd_impl.h"

bool ex_winograd_fits(const ex_winograd_shape *s)
{
    return s->H % OUT == 0 && s->W % OUT == 0 && s->C % EX_WIDE == 0 && s->K % EX_WIDE == 0;
}

size_t ex_winograd_scratch_floats(const ex_winograd_shape *s, int threads)
{
    return workers_of(s, groups_of(s), threads) * slot_of(s);
}

ex_winograd_work ex_winograd_begin(const ex_winograd_shape *shape, const void *x, float *scratch)
{
    const size_t room = room_of(shape);
    ex_winograd_work g = {.shape = shape,
                          .x = x,
                          .v = scratch,
                          .in_blocks = (size_t)shape->C / EX_WIDE,
                          .out_blocks = (size_t)shape->K / EX_WIDE,
                          .columns = (size_t)(shape->W / OUT),
                          .tiles_per_image = (size_t)(shape->H / OUT) * (size_t)(shape->W / OUT),
                          .room = room,
                          .v_point = room * (size_t)shape->C + APART,
                          .m_point = room * (size_t)shape->K + APART};
    g.m = scratch + POINTS * g.v_point;
    return g;
}

void ex_winograd_move(ex_winograd_work *g, size_t group)
{
    const size_t total = all_tiles(g->shape);
    g->first = group * g->room;
    g->tiles = total - g->first < g->room ? total - g->first : g->room;
}

/* --- filters ---------------------------------------------------------------------------------- */

static size_t filter_point(size_t K, size_t C)
{
    return K * C + APART;
}

size_t ex_winograd_filter_floats(int K, int C)
{
    return POINTS * filter_point((size_t)K, (size_t)C);
}

EX_INLINE void spread_taps(ex_wide u[SIDE], const ex_wide g[TAPS])
{
    const float at_zero = 1.0f / AABB, at_a = 1.0f / (2.0f * AA * (AA - BB)),
                at_b = 1.0f / (2.0f * BB * (BB - AA));
    const ex_wide even_a = (g[0] + AA * g[2]) * at_a, odd_a = A * g[1] * at_a,
                  even_b = (g[0] + BB * g[2]) * at_b, odd_b = B * g[1] * at_b;
    u[0] = g[0] * at_zero;
    u[1] = even_a + odd_a;
    u[2] = even_a - odd_a;
    u[3] = even_b + odd_b;
    u[4] = even_b - odd_b;
    u[5] = g[2];
}

/* Values of sixteen filters' 3 x 3 taps at the points, `point` floats apart. */
EX_INLINE void spread_filter(float *out, size_t point, ex_wide g[TAPS][TAPS])
{
    ex_wide rows[TAPS][SIDE], column[TAPS], u[SIDE];
    EX_UNROLL
    for (int r = 0; r < TAPS; r++)
        spread_taps(rows[r], g[r]);
    EX_UNROLL
    for (size_t j = 0; j < SIDE; j++) {
        EX_UNROLL
        for (int r = 0; r < TAPS; r++)
            column[r] = rows[r][j];
        spread_taps(u, column);
        EX_UNROLL
        for (size_t i = 0; i < SIDE; i++)
            ex_wide_store(out + (SIDE * i + j) * point, u[i]);
    }
}

/* Filters lie (point, K / 32, C, 32) behind the transform; the last panel may be of 16. */
EX_INLINE size_t filter_at(size_t k, size_t c, size_t K, size_t C)
{
    const size_t panel = k / PANEL * PANEL;
    return panel * C + c * panel_width(panel, K) + k % PANEL;
}

/* Units are blocks of 16 filters and 16 channels; taps are transposed on the way. */
EX_INLINE void filters_body(float *restrict out, const float *restrict in, size_t K, size_t C,
                            size_t begin, size_t end)
{
    float taps[TAPS * TAPS][EX_WIDE][EX_WIDE];
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit * EX_WIDE / C * EX_WIDE, c = unit * EX_WIDE % C;
        for (size_t i = 0; i < EX_WIDE; i++)
            EX_UNROLL
        for (size_t t = 0; t < TAPS * TAPS; t++)
            for (size_t j = 0; j < EX_WIDE; j++)
                taps[t][j][i] = in[((k + i) * TAPS * TAPS + t) * C + c + j];
        for (size_t j = 0; j < EX_WIDE; j++) {
            ex_wide g[TAPS][TAPS];
            EX_UNROLL
            for (size_t t = 0; t < TAPS * TAPS; t++)
                g[t / TAPS][t % TAPS] = ex_wide_load(taps[t][j]);
            spread_filter(out + filter_at(k, c + j, K, C), filter_point(K, C), g);
        }
    }
}

/* Units are blocks of channels, which become filters, and filters: so a point's are written in a row. */
EX_INLINE void filters_turned_body(float *restrict out, const float *restrict in, size_t K,
                                   size_t C, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit % K, c = unit / K * EX_WIDE;
        const float *w = in + k * TAPS * TAPS * C + c;
        ex_wide g[TAPS][TAPS];
        EX_UNROLL
        for (size_t r = 0; r < TAPS; r++)
            EX_UNROLL
        for (size_t t = 0; t < TAPS; t++)
            g[TAPS - 1 - r][TAPS - 1 - t] = ex_wide_load(w + (TAPS * r + t) * C);
        spread_filter(out + filter_at(c, k, C, K), filter_point(K, C), g);
    }
}

EX_CLONES static void filters_in(float *out, const float *in, int turned, size_t K, size_t C,
                                 size_t begin, size_t end)
{
    if (turned)
        filters_turned_body(out, in, K, C, begin, end);
    else
        filters_body(out, in, K, C, begin, end);
}

void ex_winograd_filters(float *out, const float *filters, int turned, int K, int C, ex_stream s)
{
    const size_t k = (size_t)K, c = (size_t)C;
    EX_SHARE(k * c / (turned ? EX_WIDE : EX_WIDE * EX_WIDE), k * c * POINTS, s,
             filters_in(out, filters, turned, k, c, begin, end));
}

/* --- input ------------------------------------------------------------------------------------ */

EX_INLINE void spread_inputs(ex_wide v[SIDE], const ex_wide d[SIDE])
{
    const ex_wide even_a = d[4] - BB * d[2], odd_a = A * (d[3] - BB * d[1]),
                  even_b = d[4] - AA * d[2], odd_b = B * (d[3] - AA * d[1]);
    v[0] = d[4] - AA_BB * d[2] + AABB * d[0];
    v[1] = even_a + odd_a;
    v[2] = even_a - odd_a;
    v[3] = even_b + odd_b;
    v[4] = even_b - odd_b;
    v[5] = d[5] - AA_BB * d[3] + AABB * d[1];
}

EX_INLINE void input_row(ex_wide d[SIDE], const void *x, size_t plane, int h, int w,
                         const ex_winograd_shape *s, ex_map_type type)
{
    EX_UNROLL
    for (int j = 0; j < SIDE; j++) {
        const int column = w + j - 1;
        const bool inside = h >= 0 && h < s->H && column >= 0 && column < s->W;
        d[j] = inside ? ex_wide_get(
                            x, plane + ((size_t)h * (size_t)s->W + (size_t)column) * EX_WIDE, type)
                      : (ex_wide){0};
    }
}

/* Units are blocks of channels and tiles. */
EX_INLINE void input_body(const ex_winograd_work *g, size_t begin, size_t end, ex_map_type type)
{
    const size_t pixels = (size_t)g->shape->H * (size_t)g->shape->W;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t block = unit / g->tiles, tile = unit % g->tiles;
        ex_wide d[SIDE], rows[SIDE][SIDE], v[SIDE];
        int h, w;
        const size_t image = tile_at(g, tile, &h, &w);
        const size_t plane = (image * g->in_blocks + block) * pixels * EX_WIDE;
        EX_UNROLL
        for (int i = 0; i < SIDE; i++) {
            input_row(d, g->x, plane, h + i - 1, w, g->shape, type);
            spread_inputs(rows[i], d);
        }
        float *out = g->v + (block * g->room + tile) * EX_WIDE;
        EX_UNROLL
        for (size_t j = 0; j < SIDE; j++) {
            EX_UNROLL
            for (int i = 0; i < SIDE; i++)
                d[i] = rows[i][j];
            spread_inputs(v, d);
            EX_UNROLL
            for (size_t i = 0; i < SIDE; i++)
                ex_wide_store(out + (SIDE * i + j) * g->v_point, v[i]);
        }
    }
}

EX_CLONES void ex_winograd_input(const ex_winograd_work *g, size_t begin, size_t end)
{
    EX_TYPED(g->shape->in, type, input_body(g, begin, end, type));
}

/* --- output ----------------------------------------------------------------------------------- */

EX_INLINE void gather_outputs(ex_wide y[OUT], const ex_wide m[SIDE])
{
    const ex_wide even_a = m[1] + m[2], odd_a = m[1] - m[2], even_b = m[3] + m[4],
                  odd_b = m[3] - m[4];
    y[0] = m[0] + even_a + even_b;
    y[1] = A * odd_a + B * odd_b;
    y[2] = AA * even_a + BB * even_b;
    y[3] = A * AA * odd_a + B * BB * odd_b + m[5];
}

EX_INLINE void finish(const ex_winograd_work *g, size_t at, ex_wide y, ex_wide bias,
                      ex_map_type type)
{
    y += bias;
    if (g->end->add)
        y += ex_wide_get(g->y, at, type);
    ex_wide_put(g->y, at, g->end->relu ? ex_wide_where_positive(y, y) : y, type);
}

/* Units are blocks of channels and tiles. */
EX_INLINE void output_body(const ex_winograd_work *g, size_t begin, size_t end, ex_map_type type)
{
    const size_t width = (size_t)g->shape->W, pixels = (size_t)g->shape->H * width;
    for (size_t unit = begin; unit < end; unit++) {
        const size_t block = unit / g->tiles, tile = unit % g->tiles;
        const float *in = g->m + (block * g->room + tile) * EX_WIDE;
        ex_wide m[SIDE], rows[SIDE][OUT], y[OUT];
        int h, w;
        const size_t image = tile_at(g, tile, &h, &w);
        const size_t corner =
            (image * g->out_blocks + block) * pixels + (size_t)h * width + (size_t)w;
        const ex_wide bias =
            g->end->bias ? ex_wide_load(g->end->bias + block * EX_WIDE) : (ex_wide){0};
        EX_UNROLL
        for (size_t i = 0; i < SIDE; i++) {
            EX_UNROLL
            for (size_t j = 0; j < SIDE; j++)
                m[j] = ex_wide_load(in + (SIDE * i + j) * g->m_point);
            gather_outputs(rows[i], m);
        }
        EX_UNROLL
        for (size_t j = 0; j < OUT; j++) {
            EX_UNROLL
            for (size_t i = 0; i < SIDE; i++)
                m[i] = rows[i][j];
            gather_outputs(y, m);
            EX_UNROLL
            for (size_t i = 0; i < OUT; i++)
                finish(g, (corner + i * width + j) * EX_WIDE, y[i], bias, type);
        }
    }
}

EX_CLONES static void output_units(const ex_winograd_work *g, size_t begin, size_t end)
{
    EX_TYPED(g->shape->out, type, output_body(g, begin, end, type));
}

/* --- all -------------------------------------------------------------------------------------- */

EX_INLINE size_t panels_of(size_t K)
{
    return (K + PANEL - 1) / PANEL;
}

/* Units are points and panels of filters. */
static void product_units(const ex_winograd_work *g, const float *filters, size_t begin, size_t end)
{
    const size_t K = g->out_blocks * EX_WIDE, C = g->in_blocks * EX_WIDE, panels = panels_of(K);
    for (size_t unit = begin; unit < end; unit++) {
        const size_t point = unit / panels, k = unit % panels * PANEL;
        ex_winograd_product(g->m + point * g->m_point + k * g->room, g->v + point * g->v_point,
                            filters + point * filter_point(K, C) + k * C, C, g->room,
                            rows_of(g->tiles), panel_width(k, K));
    }
}

static void run_group(const ex_winograd_work *g, const float *filters, ex_stream s)
{
    const size_t in = g->tiles * g->in_blocks, out = g->tiles * g->out_blocks,
                 products = POINTS * panels_of(g->out_blocks * EX_WIDE);
    EX_SHARE(in, in * POINTS * EX_WIDE, s, ex_winograd_input(g, begin, end));
    EX_SHARE(products, products_of(g), s, product_units(g, filters, begin, end));
    EX_SHARE(out, out * POINTS * EX_WIDE, s, output_units(g, begin, end));
}

/* A worker's share of the groups. */
static void run_groups(ex_winograd_work g, const float *filters, size_t worker, size_t workers,
                       ex_stream s)
{
    const size_t groups = groups_of(g.shape), end = groups * (worker + 1) / workers;
    for (size_t group = groups * worker / workers; group < end; group++) {
        ex_winograd_move(&g, group);
        run_group(&g, filters, s);
    }
}

static void run_workers(const ex_winograd_work *g, const float *filters, float *scratch,
                        size_t workers, size_t begin, size_t end)
{
    const ex_stream alone = {.threads = 1};
    for (size_t worker = begin; worker < end; worker++) {
        ex_winograd_work own =
            ex_winograd_begin(g->shape, g->x, scratch + worker * slot_of(g->shape));
        own.y = g->y;
        own.end = g->end;
        run_groups(own, filters, worker, workers, alone);
    }
}

void ex_winograd_conv(void *y, const void *x, const float *filters, const ex_winograd_end *what,
                      const ex_winograd_shape *shape, float *scratch, ex_stream s)
{
    const size_t workers = workers_of(shape, groups_of(shape), s.threads);
    ex_winograd_work g = ex_winograd_begin(shape, x, scratch);
    g.y = y;
    g.end = what;
    if (workers > 1)
        EX_SHARE(workers, products_of_all(&g), s,
                 run_workers(&g, filters, scratch, workers, begin, end));
    else
        run_groups(g, filters, 0, 1, s);
}
