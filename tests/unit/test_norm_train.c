/* Fused batch norm against its definition in double precision. */
#include "norm_train.h"
#include "test.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef struct data {
    ex_map_shape shape;
    size_t floats;
    float *x, *residual, *g1, *g2, *y, *dx, *g; /* maps */
    float *vectors, *scale, *shift, *mean, *var, *dscale, *dshift, *scratch;
} data;

/* Values far from 0, so that a variance by cancelling squares would be seen. */
static void data_open(data *d, ex_map_shape shape)
{
    const size_t C = (size_t)shape.C;
    *d = (data){.shape = shape, .floats = (size_t)(shape.N * shape.C * shape.H * shape.W)};
    float **maps[] = {&d->x, &d->residual, &d->g1, &d->g2, &d->y, &d->dx, &d->g};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++)
        *maps[i] = ex_guard_floats(d->floats);
    d->vectors = ex_guard_floats(6 * C);
    float **vectors[] = {&d->scale, &d->shift, &d->mean, &d->var, &d->dscale, &d->dshift};
    for (size_t i = 0; i < 6; i++)
        *vectors[i] = d->vectors + i * C;
    d->scratch = ex_guard_floats(ex_norm_train_scratch(&shape));
    uint32_t random = 1;
    for (size_t i = 0; i < d->floats; i++) {
        float v[4];
        for (int j = 0; j < 4; j++) {
            random = random * 1664525u + 1013904223u;
            v[j] = (float)(random >> 8) / (float)(1 << 24) - 0.5f;
        }
        d->x[i] = 30.0f + v[0];
        d->residual[i] = v[1];
        d->g1[i] = v[2];
        d->g2[i] = v[3];
    }
    for (size_t c = 0; c < C; c++) {
        d->scale[c] = 0.5f + 0.1f * (float)c;
        d->shift[c] = 0.2f - 0.05f * (float)c;
        d->mean[c] = 29.9f;
        d->var[c] = 0.1f;
    }
}

static void data_close(data *d)
{
    float *maps[] = {d->x, d->residual, d->g1, d->g2, d->y, d->dx, d->g};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        ex_guard_check(maps[i], d->floats);
        ex_guard_free(maps[i]);
    }
    ex_guard_check(d->vectors, 6 * (size_t)d->shape.C);
    ex_guard_check(d->scratch, ex_norm_train_scratch(&d->shape));
    ex_guard_free(d->vectors);
    ex_guard_free(d->scratch);
}

static size_t at(const ex_map_shape *s, int n, int c, int p)
{
    const int pixels = s->H * s->W;
    return (size_t)(n * s->C * pixels + c / s->block * pixels * s->block + p * s->block +
                    c % s->block);
}

/* One channel's results into expected (floats of y, g and dx; dscale and dshift). */
static void reference(const data *d, const ex_norm_train *n, bool residual, bool second, int c,
                      float *y, float *g, float *dx, double sums[2], double stats[2])
{
    const ex_map_shape *s = &d->shape;
    const int pixels = s->H * s->W;
    const double count = s->N * pixels;
    double mean = 0.0, var = 0.0;
    for (int i = 0; i < s->N * pixels; i++)
        mean += (double)d->x[at(s, i / pixels, c, i % pixels)] / count;
    for (int i = 0; i < s->N * pixels; i++)
        var += pow((double)d->x[at(s, i / pixels, c, i % pixels)] - mean, 2.0) / count;
    if (n->frozen) {
        mean = (double)d->mean[c];
        var = (double)d->var[c];
    }
    stats[0] = mean;
    stats[1] = var;
    const double r = 1.0 / sqrt(var + (double)n->eps);
    sums[0] = sums[1] = 0.0;
    for (int i = 0; i < s->N * pixels; i++) {
        const size_t k = at(s, i / pixels, c, i % pixels);
        double v = ((double)d->x[k] - mean) * r * (double)d->scale[c] + (double)d->shift[c];
        v += residual ? (double)d->residual[k] : 0.0;
        y[k] = n->relu && v < 0.0 ? 0.0f : (float)v;
        g[k] = n->relu && v <= 0.0 ? 0.0f : d->g1[k] + (second ? d->g2[k] : 0.0f);
        sums[0] += (double)g[k];
        sums[1] += (double)g[k] * ((double)d->x[k] - mean) * r;
    }
    for (int i = 0; i < s->N * pixels; i++) {
        const size_t k = at(s, i / pixels, c, i % pixels);
        const double batch =
            n->frozen ? 0.0 : sums[0] / count + ((double)d->x[k] - mean) * r * sums[1] / count;
        dx[k] = (float)((double)d->scale[c] * r * ((double)g[k] - batch));
    }
}

static void check(ex_map_shape shape, bool frozen, bool relu, bool residual, bool second)
{
    data d;
    data_open(&d, shape);
    const ex_norm_train n = {.shape = shape,
                             .scale = d.scale,
                             .shift = d.shift,
                             .mean = d.mean,
                             .var = d.var,
                             .eps = 1e-5f,
                             .frozen = frozen,
                             .relu = relu,
                             .scratch = d.scratch};
    const bool keep = residual || second;
    float *y = malloc(d.floats * sizeof *y), *g = malloc(d.floats * sizeof *g);
    float *dx = malloc(d.floats * sizeof *dx);
    double(*sums)[2] = malloc((size_t)shape.C * sizeof *sums);
    double(*stats)[2] = malloc((size_t)shape.C * sizeof *stats);
    for (int c = 0; c < shape.C; c++)
        reference(&d, &n, residual, second, c, y, g, dx, sums[c], stats[c]);
    const ex_stream s = {.threads = 1};
    ex_norm_train_fwd_host(d.y, d.x, residual ? d.residual : NULL, &n, s);
    assert_close(d.y, y, d.floats, 2e-5, 2e-5);
    const ex_norm_train_gradient gradient = {.dx = residual ? d.dx : d.g1,
                                             .dscale = d.dscale,
                                             .dshift = d.dshift,
                                             .g1 = d.g1,
                                             .g2 = second ? d.g2 : NULL,
                                             .x = d.x,
                                             .y = residual && relu ? d.y : NULL,
                                             .keep = keep};
    ex_norm_train_bwd_host(&gradient, &n, s);
    assert_close(gradient.dx, dx, d.floats, 5e-5, 5e-5);
    if (residual)
        assert_close(d.g1, g, d.floats, 1e-7, 1e-6);
    for (int c = 0; c < shape.C; c++) {
        const float expected[4] = {(float)stats[c][0], (float)stats[c][1], (float)sums[c][0],
                                   (float)sums[c][1]};
        const float actual[4] = {d.mean[c], d.var[c], d.dshift[c], d.dscale[c]};
        assert_close(actual, expected, 4, 1e-4, 1e-5);
    }
    free(y);
    free(g);
    free(dx);
    free(sums);
    free(stats);
    data_close(&d);
}

static void test_forward_and_backward_match_the_definition(void **state)
{
    static const ex_map_shape shapes[] = {
        {4, 32, 8, 8, 16}, {3, 16, 5, 3, 16}, {4, 24, 3, 3, 8}, {2, 5, 7, 5, 1}, {6, 3, 1, 3, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned bits = 0; bits < 16; bits++)
            check(shapes[i], bits & 1, bits & 2, bits & 4, bits & 8);
}

static void test_threads_do_not_change_bits(void **state)
{
    enum { TEAMS = 2 };
    (void)state;
    data d[TEAMS];
    for (int i = 0; i < TEAMS; i++) {
        data_open(&d[i], (ex_map_shape){33, 32, 14, 14, 16});
        const ex_norm_train n = {.shape = d[i].shape,
                                 .scale = d[i].scale,
                                 .shift = d[i].shift,
                                 .mean = d[i].mean,
                                 .var = d[i].var,
                                 .eps = 1e-5f,
                                 .relu = 1,
                                 .scratch = d[i].scratch};
        const ex_stream s = {.threads = 1 + 2 * i};
        ex_norm_train_fwd_host(d[i].y, d[i].x, d[i].residual, &n, s);
        const ex_norm_train_gradient g = {.dx = d[i].dx,
                                          .dscale = d[i].dscale,
                                          .dshift = d[i].dshift,
                                          .g1 = d[i].g1,
                                          .g2 = d[i].g2,
                                          .x = d[i].x,
                                          .y = d[i].y,
                                          .keep = 1};
        ex_norm_train_bwd_host(&g, &n, s);
    }
    assert_memory_equal(d[0].y, d[1].y, d[0].floats * sizeof(float));
    assert_memory_equal(d[0].dx, d[1].dx, d[0].floats * sizeof(float));
    assert_memory_equal(d[0].vectors, d[1].vectors, 6 * 32 * sizeof(float));
    for (int i = 0; i < TEAMS; i++)
        data_close(&d[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_and_backward_match_the_definition),
        cmocka_unit_test(test_threads_do_not_change_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
