/* Our own Winograd kernels: the convolution, and the gradients of its input and filters, against
 * sums in float64. */
#include "base/memory.h"
#include "base/rng.h"
#include "bf16.h"
#include "test.h"
#include "winograd.h"

#include <math.h>
#include <string.h>

/* Where channel c of pixel (h, w) lies in blocks of 16. */
static size_t at(const ex_winograd_shape *s, int channels, int n, int c, int h, int w)
{
    const size_t pixels = (size_t)s->H * (size_t)s->W;
    return (((size_t)n * (size_t)(channels / 16) + (size_t)(c / 16)) * pixels +
            (size_t)(h * s->W + w)) *
               16 +
           (size_t)(c % 16);
}

typedef struct example {
    ex_winograd_shape s;
    int turned;
    ex_winograd_end end; /* bias: any, if it is to have one */
    float *x, *w, *bias, *before;
    double *expected;
    size_t in, out, filter;
} example;

static float *random_floats(size_t n, uint32_t which, ex_map_type type)
{
    float *values = ex_guard_floats(n);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = 11, .use = EX_RNG_TEST, .client = which});
    for (size_t i = 0; i < n; i++) {
        values[i] = 2.0f * ex_rng_uniform(&r) - 1.0f;
        if (type == EX_MAP_BF16)
            values[i] = ex_bf16_value_body(ex_bf16_bits_body(values[i]));
    }
    return values;
}

/* The filter's value between input channel c and output channel k: filters lie (K, 3, 3, C) of the
 * convolution whose gradient a turned one is. */
static double weight(const example *e, int k, int c, int r, int q)
{
    const size_t C = (size_t)(e->turned ? e->s.K : e->s.C);
    const size_t row = (size_t)(e->turned ? c : k), column = (size_t)(e->turned ? k : c);
    const size_t tap = (size_t)(e->turned ? 3 * (2 - r) + 2 - q : 3 * r + q);
    return e->w[(row * 9 + tap) * C + column];
}

static double sum_of(const example *e, int n, int k, int h, int w)
{
    double sum = 0.0;
    for (int r = 0; r < 3; r++)
        for (int q = 0; q < 3; q++) {
            const int row = h + r - 1, column = w + q - 1;
            if (row < 0 || row >= e->s.H || column < 0 || column >= e->s.W)
                continue;
            for (int c = 0; c < e->s.C; c++)
                sum += weight(e, k, c, r, q) * (double)e->x[at(&e->s, e->s.C, n, c, row, column)];
        }
    return sum;
}

static void open_example(example *e)
{
    const ex_winograd_shape *s = &e->s;
    const size_t pixels = (size_t)s->N * (size_t)s->H * (size_t)s->W;
    e->in = pixels * (size_t)s->C;
    e->out = pixels * (size_t)s->K;
    e->filter = 9 * (size_t)s->K * (size_t)s->C;
    e->x = random_floats(e->in, 1, s->in);
    e->w = random_floats(e->filter, 2, EX_MAP_F32);
    e->bias = random_floats((size_t)s->K, 3, EX_MAP_F32);
    e->before = random_floats(e->out, 4, s->out);
    assert_ok(ex_alloc(&e->expected, e->out, sizeof *e->expected, "sums"));
    if (e->end.bias)
        e->end.bias = e->bias;
    for (int n = 0; n < s->N; n++)
        for (int k = 0; k < s->K; k++)
            for (int h = 0; h < s->H; h++)
                for (int w = 0; w < s->W; w++) {
                    const size_t i = at(s, s->K, n, k, h, w);
                    double y = sum_of(e, n, k, h, w);
                    y += e->end.bias ? (double)e->bias[k] : 0.0;
                    y += e->end.add ? (double)e->before[i] : 0.0;
                    e->expected[i] = e->end.relu && y < 0.0 ? 0.0 : y;
                }
}

static void close_example(example *e)
{
    float *all[] = {e->x, e->w, e->bias, e->before};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ex_guard_free(all[i]);
    ex_free(&e->expected);
}

/* Values as a map of the type. */
static void *as_map(const float *values, size_t n, ex_map_type type)
{
    void *map;
    assert_ok(ex_alloc(&map, n * ex_map_type_bytes(type), 1, "map"));
    for (size_t i = 0; i < n; i++) {
        if (type == EX_MAP_BF16)
            ((uint16_t *)map)[i] = ex_bf16_bits_body(values[i]);
        else
            ((float *)map)[i] = values[i];
    }
    return map;
}

/* The convolution's result as floats, in memory of the caller. */
static float *result_of(const example *e, int threads)
{
    const ex_stream stream = {.threads = threads};
    const int K = e->turned ? e->s.C : e->s.K, C = e->turned ? e->s.K : e->s.C;
    const size_t filters = ex_winograd_filter_floats(K, C),
                 scratch = ex_winograd_scratch_floats(&e->s, threads);
    float *u = ex_guard_floats(filters), *work = ex_guard_floats(scratch),
          *result = ex_guard_floats(e->out);
    void *x = as_map(e->x, e->in, e->s.in), *y = as_map(e->before, e->out, e->s.out);
    assert_true(ex_winograd_fits(&e->s));
    ex_winograd_filters(u, e->w, e->turned, K, C, stream);
    ex_winograd_conv(y, x, u, &e->end, &e->s, work, stream);
    ex_guard_check(u, filters);
    ex_guard_check(work, scratch);
    for (size_t i = 0; i < e->out; i++)
        result[i] =
            e->s.out == EX_MAP_BF16 ? ex_bf16_value_body(((uint16_t *)y)[i]) : ((float *)y)[i];
    ex_guard_free(u);
    ex_guard_free(work);
    ex_free(&x);
    ex_free(&y);
    return result;
}

/* rms of the error over the rms of what is expected. */
static double error_of(const example *e, const float *result)
{
    double error = 0.0, size = 0.0;
    for (size_t i = 0; i < e->out; i++) {
        const double d = (double)result[i] - e->expected[i];
        error += d * d;
        size += e->expected[i] * e->expected[i];
    }
    return sqrt(error / size);
}

static const example examples[] = {
    {.s = {.N = 1, .C = 16, .K = 32, .H = 4, .W = 4}},
    {.s = {.N = 3, .C = 32, .K = 64, .H = 8, .W = 12}, .end = {.relu = 1}},
    {.s = {.N = 9, .C = 16, .K = 32, .H = 16, .W = 16},
     .end = {.add = 1}}, /* two groups of tiles */
    {.s = {.N = 2, .C = 48, .K = 32, .H = 4, .W = 8}, .turned = 1},
    {.s = {.N = 2, .C = 64, .K = 96, .H = 8, .W = 4}, .end = {.add = 1, .relu = 1}, .turned = 1},
    {.s = {.N = 1, .C = 16, .K = 16, .H = 8, .W = 12},
     .end = {.relu = 1}}, /* a panel of 16 alone */
    {.s = {.N = 9, .C = 48, .K = 16, .H = 16, .W = 16}, .end = {.add = 1}},
    {.s = {.N = 3, .C = 32, .K = 48, .H = 8, .W = 4}}, /* one behind another */
    {.s = {.N = 3, .C = 16, .K = 48, .H = 12, .W = 8}, .turned = 1},
    {.s = {.N = 5, .C = 64, .K = 64, .H = 16, .W = 16}},  /* groups that threads take */
    {.s = {.N = 9, .C = 144, .K = 64, .H = 16, .W = 16}}, /* too many filters for that */
};

/* As oneDNN's Winograd is held to in test_cpu_winograd. */
static void test_convolution_is_the_definition(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++)
        for (int biased = 0; biased < 2; biased++) {
            static const float any = 0.0f;
            example e = examples[i];
            e.end.bias = biased ? &any : NULL;
            open_example(&e);
            float *one = result_of(&e, 1), *three = result_of(&e, 3);
            const double error = error_of(&e, one);
            print_message("%zu: rms of the error %.1e\n", i, error);
            if (!(error < 5e-6))
                fail_msg("example %zu: the error is above 5e-6", i);
            assert_memory_equal(one, three, e.out * sizeof *one);
            ex_guard_free(one);
            ex_guard_free(three);
            close_example(&e);
        }
}

/* Their rounding is 2^-8 of a value at most, and Winograd's error is far below. */
static void test_bf16_maps_are_rounded_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        example e = examples[i];
        e.s.in = EX_MAP_BF16;
        e.s.out = i % 2 ? EX_MAP_BF16 : EX_MAP_F32;
        open_example(&e);
        float *result = result_of(&e, 1);
        const double bound = e.s.out == EX_MAP_BF16 ? 1.0 / 256 : 0.0, own = 4e-6 * e.s.C;
        for (size_t j = 0; j < e.out; j++)
            if (!(fabs((double)result[j] - e.expected[j]) <= bound * fabs(e.expected[j]) + own))
                fail_msg("example %zu, value %zu: %g, expected %g", i, j, (double)result[j],
                         e.expected[j]);
        ex_guard_free(result);
        close_example(&e);
    }
}

/* An image's result does not depend on what else is in its batch. */
static void test_batch_does_not_change_bits(void **state)
{
    (void)state;
    example e = {.s = {.N = 7, .C = 32, .K = 32, .H = 12, .W = 16}};
    open_example(&e);
    float *all = result_of(&e, 1);
    const size_t in = e.in / 7, out = e.out / 7;
    for (size_t n = 0; n < 7; n++) {
        example one = e;
        one.s.N = 1;
        one.in = in;
        one.out = out;
        one.x = e.x + n * in;
        float *alone = result_of(&one, 1);
        assert_memory_equal(alone, all + n * out, out * sizeof *alone);
        ex_guard_free(alone);
    }
    ex_guard_free(all);
    close_example(&e);
}

/* dw of x and dy, the latter as drawn for `before`. */
static double *weights_expected(const example *e)
{
    const ex_winograd_shape *s = &e->s;
    double *dw;
    assert_ok(ex_alloc(&dw, e->filter, sizeof *dw, "sums"));
    for (int k = 0; k < s->K; k++)
        for (int i = 0; i < 9; i++)
            for (int c = 0; c < s->C; c++)
                for (int n = 0; n < s->N; n++)
                    for (int h = 0; h < s->H; h++)
                        for (int w = 0; w < s->W; w++) {
                            const int row = h + i / 3 - 1, column = w + i % 3 - 1;
                            if (row < 0 || row >= s->H || column < 0 || column >= s->W)
                                continue;
                            dw[(k * 9 + i) * s->C + c] +=
                                (double)e->x[at(s, s->C, n, c, row, column)] *
                                (double)e->before[at(s, s->K, n, k, h, w)];
                        }
    return dw;
}

static float *weights_of(const example *e, int threads)
{
    const size_t floats = ex_winograd_weights_scratch_floats(&e->s, threads);
    float *dw = ex_guard_floats(e->filter), *scratch = ex_guard_floats(floats);
    void *x = as_map(e->x, e->in, e->s.in), *dy = as_map(e->before, e->out, e->s.out);
    ex_winograd_weights(dw, x, dy, &e->s, scratch, (ex_stream){.threads = threads});
    ex_guard_check(dw, e->filter);
    ex_guard_check(scratch, floats);
    ex_guard_free(scratch);
    ex_free(&x);
    ex_free(&dy);
    return dw;
}

static void test_gradient_of_filters_is_the_definition(void **state)
{
    static const ex_winograd_shape shapes[] = {
        {.N = 1, .C = 32, .K = 32, .H = 4, .W = 4},
        {.N = 3, .C = 64, .K = 32, .H = 8, .W = 12},
        {.N = 9, .C = 32, .K = 32, .H = 16, .W = 16}, /* two groups of tiles */
        {.N = 5, .C = 32, .K = 64, .H = 4, .W = 8, .in = EX_MAP_BF16, .out = EX_MAP_BF16},
        {.N = 3, .C = 16, .K = 16, .H = 8, .W = 12},
        {.N = 9, .C = 48, .K = 16, .H = 16, .W = 16},
        {.N = 2, .C = 16, .K = 48, .H = 8, .W = 4},
        {.N = 13, .C = 16, .K = 16, .H = 32, .W = 32}, /* 13 groups in 8 parts */
        {.N = 9, .C = 64, .K = 144, .H = 16, .W = 16},
    };
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        example e = {.s = shapes[i]};
        open_example(&e);
        double error = 0.0, size = 0.0, *expected = weights_expected(&e);
        float *one = weights_of(&e, 1), *three = weights_of(&e, 3);
        for (size_t j = 0; j < e.filter; j++) {
            error += (one[j] - expected[j]) * (one[j] - expected[j]);
            size += expected[j] * expected[j];
        }
        print_message("%zu: rms of the error %.1e\n", i, sqrt(error / size));
        if (!(sqrt(error / size) < 5e-6))
            fail_msg("shape %zu: the error is above 5e-6", i);
        assert_memory_equal(one, three, e.filter * sizeof *one);
        ex_guard_free(one);
        ex_guard_free(three);
        ex_free(&expected);
        close_example(&e);
    }
}

static void test_other_shapes_do_not_fit(void **state)
{
    (void)state;
    assert_true(ex_winograd_fits(&(ex_winograd_shape){.N = 1, .C = 16, .K = 16, .H = 4, .W = 4}));
    assert_false(ex_winograd_fits(&(ex_winograd_shape){.N = 1, .C = 16, .K = 24, .H = 4, .W = 4}));
    assert_false(ex_winograd_fits(&(ex_winograd_shape){.N = 1, .C = 8, .K = 32, .H = 4, .W = 4}));
    assert_false(ex_winograd_fits(&(ex_winograd_shape){.N = 1, .C = 16, .K = 32, .H = 6, .W = 4}));
    assert_false(ex_winograd_fits(&(ex_winograd_shape){.N = 1, .C = 16, .K = 32, .H = 4, .W = 7}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_is_the_definition),
        cmocka_unit_test(test_bf16_maps_are_rounded_once),
        cmocka_unit_test(test_batch_does_not_change_bits),
        cmocka_unit_test(test_gradient_of_filters_is_the_definition),
        cmocka_unit_test(test_other_shapes_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
