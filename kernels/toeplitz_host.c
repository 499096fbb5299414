/* The sums before and behind the products of toeplitz.h: sixteen channels at a time.
 *
 * The bodies are apart from the clones: clang lets no function that is compiled for wider vectors
 * call one with a vector among its arguments. */
#include "toeplitz.h"

#include "wide.h"

enum { SIDE = EX_TOEPLITZ_SIDE, PIXELS = SIDE * SIDE, TAPS = 3 };

/* --- filters ---------------------------------------------------------------------------------- */

EX_INLINE void combine_taps(ex_wide u[TAPS], ex_wide w0, ex_wide w1, ex_wide w2)
{
    u[0] = w1;
    u[1] = w2 - w1;
    u[2] = w0 - w1;
}

/* Units are filters and blocks of channels. */
EX_INLINE void filters_in_body(float *restrict out, const float *restrict in, size_t C,
                               size_t product, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit * EX_WIDE / C, c = unit * EX_WIDE % C;
        const float *w = in + k * TAPS * TAPS * C + c;
        ex_wide u[TAPS][TAPS], v[TAPS];
        for (size_t r = 0; r < TAPS; r++)
            combine_taps(u[r], ex_wide_load(w + TAPS * r * C), ex_wide_load(w + (TAPS * r + 1) * C),
                         ex_wide_load(w + (TAPS * r + 2) * C));
        for (size_t j = 0; j < TAPS; j++) {
            combine_taps(v, u[0][j], u[1][j], u[2][j]);
            for (size_t i = 0; i < TAPS; i++)
                ex_wide_store(out + (TAPS * i + j) * product + unit * EX_WIDE, v[i]);
        }
    }
}

EX_CLONES static void filters_in(float *out, const float *in, size_t C, size_t product,
                                 size_t begin, size_t end)
{
    filters_in_body(out, in, C, product, begin, end);
}

void ex_toeplitz_filters(float *out, const float *filters, int K, int C, ex_stream s)
{
    const size_t product = (size_t)K * (size_t)C;
    EX_SHARE(product / EX_WIDE, product * EX_TOEPLITZ_PRODUCTS, s,
             filters_in(out, filters, (size_t)C, product, begin, end));
}

EX_INLINE void separate_taps(ex_wide w[TAPS], ex_wide g0, ex_wide g1, ex_wide g2)
{
    w[0] = g2;
    w[1] = g0 - g1 - g2;
    w[2] = g1;
}

EX_INLINE void filters_out_body(float *restrict out, const float *restrict products, size_t C,
                                size_t product, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t k = unit * EX_WIDE / C, c = unit * EX_WIDE % C;
        const float *g = products + unit * EX_WIDE;
        float *w = out + k * TAPS * TAPS * C + c;
        ex_wide u[TAPS][TAPS], v[TAPS];
        for (size_t i = 0; i < TAPS; i++, g += TAPS * product)
            separate_taps(u[i], ex_wide_load(g), ex_wide_load(g + product),
                          ex_wide_load(g + 2 * product));
        for (size_t j = 0; j < TAPS; j++) {
            separate_taps(v, u[0][j], u[1][j], u[2][j]);
            for (size_t r = 0; r < TAPS; r++)
                ex_wide_store(w + (TAPS * r + j) * C, v[r]);
        }
    }
}

EX_CLONES static void filters_out(float *out, const float *products, size_t C, size_t product,
                                  size_t begin, size_t end)
{
    filters_out_body(out, products, C, product, begin, end);
}

void ex_toeplitz_filters_bwd(float *filters, const float *products, int K, int C, ex_stream s)
{
    const size_t product = (size_t)K * (size_t)C;
    EX_SHARE(product / EX_WIDE, product * EX_TOEPLITZ_PRODUCTS, s,
             filters_out(filters, products, (size_t)C, product, begin, end));
}

/* The product of index 0 has the sum of the pixels. */
EX_INLINE void sum_rows_body(float *restrict bias, const float *restrict dy, size_t N, size_t K,
                             size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        ex_wide sum = {0};
        for (size_t n = 0; n < N; n++)
            sum += ex_wide_load(dy + n * K + unit * EX_WIDE);
        ex_wide_store(bias + unit * EX_WIDE, sum);
    }
}

EX_CLONES static void sum_rows(float *bias, const float *dy, size_t N, size_t K, size_t begin,
                               size_t end)
{
    sum_rows_body(bias, dy, N, K, begin, end);
}

void ex_toeplitz_bias_bwd(float *bias, const float *dy, int N, int K, ex_stream s)
{
    EX_SHARE((size_t)K / EX_WIDE, (size_t)N * (size_t)K, s,
             sum_rows(bias, dy, (size_t)N, (size_t)K, begin, end));
}

/* --- maps ------------------------------------------------------------------------------------- */

/* Units are images and blocks of channels; out lies (9, units, 16). `first`, `second`: the indices
 * that x0 and x1 go to, 2 and 1 unless swapped. */
EX_INLINE void map_in_body(float *restrict out, const void *in, ex_map_type type, size_t product,
                           size_t first, size_t second, size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const size_t x = unit * PIXELS * EX_WIDE;
        ex_wide a[SIDE][TAPS];
        for (size_t h = 0; h < SIDE; h++) {
            const ex_wide x0 = ex_wide_get(in, x + SIDE * h * EX_WIDE, type),
                          x1 = ex_wide_get(in, x + (SIDE * h + 1) * EX_WIDE, type);
            a[h][0] = x0 + x1;
            a[h][first] = x0;
            a[h][second] = x1;
        }
        for (size_t j = 0; j < TAPS; j++) {
            float *to = out + j * product + unit * EX_WIDE;
            ex_wide_store(to, a[0][j] + a[1][j]);
            ex_wide_store(to + first * TAPS * product, a[0][j]);
            ex_wide_store(to + second * TAPS * product, a[1][j]);
        }
    }
}

EX_CLONES static void map_in(float *out, const void *in, ex_map_type of, size_t product,
                             int swapped, size_t begin, size_t end)
{
    if (swapped)
        EX_TYPED(of, type, map_in_body(out, in, type, product, 1, 2, begin, end));
    else
        EX_TYPED(of, type, map_in_body(out, in, type, product, 2, 1, begin, end));
}

void ex_toeplitz_in(float *out, const void *in, ex_map_type type, int swapped, int N, int C,
                    ex_stream s)
{
    const size_t units = (size_t)N * (size_t)C / EX_WIDE;
    EX_SHARE(units, units * EX_WIDE * EX_TOEPLITZ_PRODUCTS, s,
             map_in(out, in, type, units * EX_WIDE, swapped, begin, end));
}

typedef struct gathering {
    void *out;
    ex_map_type type;
    const float *products;
    ex_toeplitz_end end;
    size_t product, blocks; /* floats of a product; blocks of channels */
} gathering;

EX_INLINE void finish(const gathering *g, ex_wide y, size_t block, size_t at, ex_map_type type)
{
    if (g->end.bias)
        y += ex_wide_load(g->end.bias + block * EX_WIDE);
    if (g->end.residual)
        y += ex_wide_get(g->end.residual, at, type);
    ex_wide_put(g->out, at, g->end.relu ? ex_wide_where_positive(y, y) : y, type);
}

EX_INLINE void map_out_body(const gathering *g, ex_map_type type, size_t first, size_t second,
                            size_t begin, size_t end)
{
    for (size_t unit = begin; unit < end; unit++) {
        const float *m = g->products + unit * EX_WIDE;
        ex_wide q[SIDE][TAPS];
        for (size_t j = 0; j < TAPS; j++, m += g->product) {
            const ex_wide both = ex_wide_load(m);
            q[0][j] = both + ex_wide_load(m + first * TAPS * g->product);
            q[1][j] = both + ex_wide_load(m + second * TAPS * g->product);
        }
        for (size_t h = 0; h < SIDE; h++) {
            const size_t at = (unit * PIXELS + h * SIDE) * EX_WIDE, block = unit % g->blocks;
            finish(g, q[h][0] + q[h][first], block, at, type);
            finish(g, q[h][0] + q[h][second], block, at + EX_WIDE, type);
        }
    }
}

EX_CLONES static void map_out(const gathering *g, size_t begin, size_t end)
{
    if (g->end.swapped)
        EX_TYPED(g->type, type, map_out_body(g, type, 2, 1, begin, end));
    else
        EX_TYPED(g->type, type, map_out_body(g, type, 1, 2, begin, end));
}

void ex_toeplitz_out(void *out, ex_map_type type, const float *products, const ex_toeplitz_end *e,
                     int N, int K, ex_stream s)
{
    const size_t units = (size_t)N * (size_t)K / EX_WIDE;
    const gathering g = {.out = out,
                         .type = type,
                         .products = products,
                         .end = *e,
                         .product = units * EX_WIDE,
                         .blocks = (size_t)K / EX_WIDE};
    EX_SHARE(units, units * EX_WIDE * EX_TOEPLITZ_PRODUCTS, s, map_out(&g, begin, end));
}
