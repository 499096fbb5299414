/* Convolutions of maps of 2 x 2 pixels are made of matrix products on the CPU: the sums around them
 * against the definition, and plans of a model that has such maps against oneDNN's direct
 * convolutions. */
#include "base/memory.h"
#include "bf16.h"
#include "host.h"
#include "model/builder.h"
#include "net_reference.h"
#include "test.h"
#include "toeplitz.h"

#include <math.h>
#include <stdio.h>

/* --- the sums, with products made here -------------------------------------------------------- */

enum { SIDE = EX_TOEPLITZ_SIDE, NINE = EX_TOEPLITZ_PRODUCTS };

/* Where channel c of pixel (h, w) lies in blocks of 16. */
static size_t at(int n, int c, int h, int w, int C)
{
    return (((size_t)n * (size_t)(C / 16) + (size_t)(c / 16)) * 4 + (size_t)(2 * h + w)) * 16 +
           (size_t)(c % 16);
}

static size_t tap(int k, int r, int s, int c, int C)
{
    return ((size_t)(k * 3 + r) * 3 + (size_t)s) * (size_t)C + (size_t)c;
}

static float *random_floats(size_t n, uint64_t seed)
{
    float *values = ex_guard_floats(n);
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_TEST});
    for (size_t i = 0; i < n; i++)
        values[i] = 2.0f * ex_rng_uniform(&r) - 1.0f;
    return values;
}

/* out (9, M, N) = sum over i of a (9; m, i) times b (9; i, n), given the steps of both. */
static void multiply(float *out, const float *a, size_t a_row, size_t a_step, const float *b,
                     size_t b_row, size_t b_step, int M, int N, int K)
{
    const size_t a_size = (size_t)M * (size_t)K, b_size = (size_t)K * (size_t)N;
    for (size_t t = 0; t < NINE; t++)
        for (size_t m = 0; m < (size_t)M; m++)
            for (size_t n = 0; n < (size_t)N; n++) {
                double sum = 0.0;
                for (size_t i = 0; i < (size_t)K; i++)
                    sum += (double)a[t * a_size + m * a_row + i * a_step] *
                           (double)b[t * b_size + i * b_row + n * b_step];
                out[(t * (size_t)M + m) * (size_t)N + n] = (float)sum;
            }
}

typedef struct small {
    int N, C, K;
    float *x, *w, *dy, *bias, *residual, *xs, *ws, *dys;
} small;

static void open_small(small *s, int threads)
{
    const size_t N = (size_t)s->N, C = (size_t)s->C, K = (size_t)s->K;
    const ex_stream stream = {.threads = threads};
    s->x = random_floats(N * C * 4, 1);
    s->w = random_floats(K * C * 9, 2);
    s->dy = random_floats(N * K * 4, 3);
    s->bias = random_floats(K, 4);
    s->residual = random_floats(N * K * 4, 5);
    s->xs = ex_guard_floats(NINE * N * C);
    s->ws = ex_guard_floats(NINE * K * C);
    s->dys = ex_guard_floats(NINE * N * K);
    ex_toeplitz_in(s->xs, s->x, EX_MAP_F32, 0, s->N, s->C, stream);
    ex_toeplitz_in(s->dys, s->dy, EX_MAP_F32, 1, s->N, s->K, stream);
    ex_toeplitz_filters(s->ws, s->w, s->K, s->C, stream);
    ex_guard_check(s->xs, NINE * N * C);
    ex_guard_check(s->dys, NINE * N * K);
    ex_guard_check(s->ws, NINE * K * C);
}

static void close_small(small *s)
{
    float *all[] = {s->x, s->w, s->dy, s->bias, s->residual, s->xs, s->ws, s->dys};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        ex_guard_free(all[i]);
}

/* Adds to the three sums what one pair of pixels gives by the definition. */
typedef void (*visitor)(double *out, const small *s, int n, int k, int c, int h, int w, int r,
                        int q);

static void visit(double *out, const small *s, visitor add)
{
    for (int n = 0; n < s->N; n++)
        for (int k = 0; k < s->K; k++)
            for (int c = 0; c < s->C; c++)
                for (int h = 0; h < SIDE; h++)
                    for (int w = 0; w < SIDE; w++)
                        for (int r = 0; r < 3; r++)
                            for (int q = 0; q < 3; q++)
                                if (h + r - 1 >= 0 && h + r - 1 < SIDE && w + q - 1 >= 0 &&
                                    w + q - 1 < SIDE)
                                    add(out, s, n, k, c, h, w, r, q);
}

static void add_output(double *out, const small *s, int n, int k, int c, int h, int w, int r, int q)
{
    out[at(n, k, h, w, s->K)] +=
        (double)s->x[at(n, c, h + r - 1, w + q - 1, s->C)] * (double)s->w[tap(k, r, q, c, s->C)];
}

static void add_input(double *out, const small *s, int n, int k, int c, int h, int w, int r, int q)
{
    out[at(n, c, h + r - 1, w + q - 1, s->C)] +=
        (double)s->dy[at(n, k, h, w, s->K)] * (double)s->w[tap(k, r, q, c, s->C)];
}

static void add_filter(double *out, const small *s, int n, int k, int c, int h, int w, int r, int q)
{
    out[tap(k, r, q, c, s->C)] +=
        (double)s->dy[at(n, k, h, w, s->K)] * (double)s->x[at(n, c, h + r - 1, w + q - 1, s->C)];
}

/* `end` applied to what the definition gives; then compared. */
static void check(const float *actual, const small *s, visitor add, const ex_toeplitz_end *end,
                  size_t floats)
{
    double *sum;
    float *expected = ex_guard_floats(floats);
    assert_ok(ex_alloc(&sum, floats, sizeof *sum, "sums"));
    visit(sum, s, add);
    for (size_t i = 0; i < floats; i++) {
        const size_t k = i / 64 % (size_t)(s->K / 16) * 16 + i % 16;
        double y = sum[i];
        y += end && end->bias ? (double)end->bias[k] : 0.0;
        y += end && end->residual ? (double)((const float *)end->residual)[i] : 0.0;
        expected[i] = (float)(end && end->relu && y < 0.0 ? 0.0 : y);
    }
    assert_close(actual, expected, floats, 2e-5, 1e-5);
    ex_guard_check(actual, floats);
    ex_guard_free(expected);
    ex_free(&sum);
}

static void check_case(small s, int threads)
{
    const ex_stream stream = {.threads = threads};
    open_small(&s, threads);
    const size_t N = (size_t)s.N, C = (size_t)s.C, K = (size_t)s.K;
    const size_t most = (N > K ? N : K) * (C > K ? C : K);
    float *products = ex_guard_floats(NINE * most), *y = ex_guard_floats(N * K * 4),
          *dx = ex_guard_floats(N * C * 4), *dw = ex_guard_floats(K * C * 9),
          *dbias = ex_guard_floats(K);
    multiply(products, s.xs, C, 1, s.ws, 1, C, s.N, s.K, s.C);
    const ex_toeplitz_end ends[] = {
        {0}, {.bias = s.bias, .relu = 1}, {.bias = s.bias, .residual = s.residual}};
    for (int i = 0; i < 3; i++) {
        ex_toeplitz_out(y, EX_MAP_F32, products, &ends[i], s.N, s.K, stream);
        check(y, &s, add_output, &ends[i], N * K * 4);
    }
    multiply(products, s.dys, K, 1, s.ws, C, 1, s.N, s.C, s.K);
    ex_toeplitz_out(dx, EX_MAP_F32, products, &(ex_toeplitz_end){.swapped = 1}, s.N, s.C, stream);
    check(dx, &s, add_input, NULL, N * C * 4);
    multiply(products, s.dys, 1, K, s.xs, C, 1, s.K, s.C, s.N);
    ex_toeplitz_filters_bwd(dw, products, s.K, s.C, stream);
    check(dw, &s, add_filter, NULL, K * C * 9);
    ex_toeplitz_bias_bwd(dbias, s.dys, s.N, s.K, stream);
    for (int k = 0; k < s.K; k++) {
        double sum = 0.0;
        for (int i = 0; i < 4 * s.N; i++)
            sum += (double)s.dy[at(i / 4, k, i / 2 % 2, i % 2, s.K)];
        assert_float_equal(dbias[k], sum, 1e-5);
    }
    float *buffers[] = {products, y, dx, dw, dbias};
    for (int i = 0; i < 5; i++)
        ex_guard_free(buffers[i]);
    close_small(&s);
}

static void test_sums_and_products_are_the_convolution_and_its_gradients(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        check_case((small){.N = 1, .C = 16, .K = 16}, threads);
        check_case((small){.N = 5, .C = 32, .K = 48}, threads);
        check_case((small){.N = 3, .C = 80, .K = 16}, threads);
        check_case((small){.N = 2, .C = 128, .K = 128}, threads); /* filters that threads share */
    }
}

typedef struct kernel_results {
    float *at[5];
    size_t floats[5];
} kernel_results;

/* Each of the kernels, with enough to do for threads to share. */
static kernel_results results_by(int threads, const small *s)
{
    const ex_stream stream = {.threads = threads};
    const size_t maps = (size_t)(s->N * s->C), filters = (size_t)(s->K * s->C);
    kernel_results r = {
        .floats = {NINE * maps, 4 * maps, NINE * filters, NINE * filters, (size_t)s->C}};
    for (int i = 0; i < 5; i++) {
        assert_true(i == 4 || r.floats[i] >= EX_PARALLEL_MIN);
        r.at[i] = ex_guard_floats(r.floats[i]);
    }
    assert_true(maps >= EX_PARALLEL_MIN);
    ex_toeplitz_in(r.at[0], s->x, EX_MAP_F32, 0, s->N, s->C, stream);
    ex_toeplitz_out(r.at[1], EX_MAP_F32, r.at[0], &(ex_toeplitz_end){.relu = 1}, s->N, s->C,
                    stream);
    ex_toeplitz_filters(r.at[2], s->w, s->K, s->C, stream);
    ex_toeplitz_filters_bwd(r.at[3], r.at[2], s->K, s->C, stream);
    ex_toeplitz_bias_bwd(r.at[4], r.at[0], s->N, s->C, stream);
    for (int i = 0; i < 5; i++)
        ex_guard_check(r.at[i], r.floats[i]);
    return r;
}

static void test_threads_change_no_bit(void **state)
{
    small s = {.N = 1024, .C = 128, .K = 128};
    (void)state;
    s.x = random_floats(4 * (size_t)(s.N * s.C), 7);
    s.w = random_floats(NINE * (size_t)(s.K * s.C), 8);
    kernel_results one = results_by(1, &s);
    for (int threads = 2; threads <= 3; threads++) {
        kernel_results more = results_by(threads, &s);
        for (int i = 0; i < 5; i++) {
            assert_memory_equal(more.at[i], one.at[i], one.floats[i] * sizeof(float));
            ex_guard_free(more.at[i]);
        }
    }
    for (int i = 0; i < 5; i++)
        ex_guard_free(one.at[i]);
    ex_guard_free(s.x);
    ex_guard_free(s.w);
}

/* Maps of bf16 give what the same values of float32 give, rounded at the end. */
static void test_bf16_maps_are_those_of_float32_rounded(void **state)
{
    enum { COUNT = 3 * 32, PLACES = COUNT * 4 };
    static const ex_stream stream = {.threads = 1};
    float *x = random_floats(PLACES, 6), *wide = ex_guard_floats(NINE * COUNT),
          *narrow = ex_guard_floats(NINE * COUNT), *y = ex_guard_floats(PLACES);
    uint16_t bits[PLACES], out[PLACES];
    (void)state;
    for (size_t i = 0; i < PLACES; i++) {
        bits[i] = ex_bf16_bits_body(x[i]);
        x[i] = ex_bf16_value_body(bits[i]);
    }
    for (int swapped = 0; swapped < 2; swapped++) {
        ex_toeplitz_in(wide, x, EX_MAP_F32, swapped, 3, 32, stream);
        ex_toeplitz_in(narrow, bits, EX_MAP_BF16, swapped, 3, 32, stream);
        assert_memory_equal(wide, narrow, NINE * COUNT * sizeof *wide);
        const ex_toeplitz_end end = {.swapped = swapped, .residual = x},
                              end16 = {.swapped = swapped, .residual = bits};
        ex_toeplitz_out(y, EX_MAP_F32, wide, &end, 3, 32, stream);
        ex_toeplitz_out(out, EX_MAP_BF16, wide, &end16, 3, 32, stream);
        for (size_t i = 0; i < PLACES; i++)
            assert_int_equal(out[i], ex_bf16_bits_body(y[i]));
    }
    float *all[] = {x, wide, narrow, y};
    for (int i = 0; i < 4; i++)
        ex_guard_free(all[i]);
}

/* --- plans ------------------------------------------------------------------------------------ */

enum { CLASSES = 3, IMAGES = 6 };

/* Maps of 2 x 2 pixels behind a pool, with and without norm, bias, residual and ReLU. */
static void make_model(ex_model **out)
{
    assert_ok(ex_alloc(out, 1, sizeof **out, "model"));
    ex_builder b = {.model = *out};
    const ex_conv_spec wide = {.K = 64, .R = 3, .stride = 1, .pad = 1, .relu = true};
    ex_conv_spec c = wide;
    int x = ex_builder_input(&b, 2, 4, 4);
    c.norm = "stem.bn";
    x = ex_builder_conv(&b, x, "stem", c);
    x = ex_builder_pool(&b, x, EX_OP_MAXPOOL, 2);
    c.norm = "a.bn";
    int y = ex_builder_conv(&b, x, "a", c);
    c.norm = "b.bn", c.residual = x, c.K = 64;
    y = ex_builder_conv(&b, y, "b", c);
    c = wide, c.bias = true, c.K = 80, c.norm = "c.bn";
    y = ex_builder_conv(&b, y, "c", c);
    c = wide, c.bias = true, c.relu = false;
    y = ex_builder_conv(&b, y, "d", c);
    y = ex_builder_global_pool(&b, y);
    ex_builder_linear(&b, y, "linear", CLASSES, false);
    assert_ok(b.status);
    (*out)->classes = CLASSES;
    snprintf((*out)->name, sizeof(*out)->name, "small");
}

typedef struct side {
    ex_device *device;
    ex_lane *lane;
    float *params, *stats, *gradient, *logits, *input;
} side;

typedef struct pair {
    ex_model *model;
    ex_dataset data;
    ex_samples feed;
    side by[2]; /* products; direct convolutions */
} pair;

static void open_pair(pair *p, int threads)
{
    make_model(&p->model);
    ex_test_images(&p->data, p->model, IMAGES, 3);
    assert_ok(ex_samples_all(&p->feed, &p->data));
    for (int i = 0; i < 2; i++) {
        side *s = &p->by[i];
        const ex_device_options o = {.device = "cpu", .conv = i ? EX_CONV_DIRECT : EX_CONV_AUTO};
        assert_ok(ex_device_open(&s->device, &o));
        assert_ok(ex_lane_create(&s->lane, s->device, p->model, threads));
        s->params = ex_guard_floats(p->model->param_count);
        s->stats = ex_guard_floats(p->model->stat_count);
        s->gradient = ex_guard_floats(p->model->param_count);
        s->logits = ex_guard_floats(IMAGES * CLASSES);
        s->input = ex_guard_floats(IMAGES * 2 * 4 * 4);
        ex_test_values(p->model, 5, s->params, s->stats);
        assert_ok(ex_lane_load(s->lane, s->params, s->stats));
    }
}

static void close_pair(pair *p)
{
    for (int i = 0; i < 2; i++) {
        side *s = &p->by[i];
        float *all[] = {s->params, s->stats, s->gradient, s->logits, s->input};
        ex_lane_destroy(&s->lane);
        ex_device_close(&s->device);
        for (int j = 0; j < 5; j++)
            ex_guard_free(all[j]);
    }
    ex_samples_free(&p->feed);
    ex_dataset_close(&p->data);
    ex_model_destroy(&p->model);
}

static void train(const pair *p, side *s, const ex_plan_spec *spec)
{
    const ex_sgd_coeff sgd = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};
    ex_gradient g = {.logits = s->logits, .params = s->gradient, .input = s->input};
    ex_train_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_lane_load(s->lane, s->params, s->stats));
    assert_ok(ex_plan_create(&plan, s->lane, spec));
    assert_ok(ex_plan_gradient(plan, &p->data, &p->feed, &g));
    assert_ok(ex_plan_train(plan, &p->data, &p->feed, &sgd, &sums));
    assert_ok(ex_plan_train(plan, &p->data, &p->feed, &sgd, &sums));
    ex_plan_destroy(&plan);
    assert_ok(ex_lane_store(s->lane, s->params, s->stats));
}

static void compare(const pair *p)
{
    const side *a = &p->by[0], *b = &p->by[1];
    assert_close(a->logits, b->logits, IMAGES * CLASSES, 1e-5, 1e-5);
    assert_close(a->gradient, b->gradient, p->model->param_count, 2e-5, 1e-4);
    assert_close(a->input, b->input, IMAGES * 2 * 4 * 4, 2e-5, 1e-4);
    assert_close(a->params, b->params, p->model->param_count, 2e-5, 1e-4);
    assert_close(a->stats, b->stats, p->model->stat_count, 2e-5, 1e-4);
}

static void test_training_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        const ex_plan_spec spec = {.use = EX_USE_TRAIN,
                                   .batch = IMAGES,
                                   .norm = i % 2 ? EX_NORM_FROZEN : EX_NORM_TRAIN,
                                   .input_gradient = true};
        pair p = {0};
        open_pair(&p, 1 + i / 2);
        train(&p, &p.by[0], &spec);
        train(&p, &p.by[1], &spec);
        compare(&p);
        close_pair(&p);
    }
}

static void test_masked_training_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        pair p = {0};
        ex_mask *mask;
        open_pair(&p, 1);
        assert_ok(ex_mask_create(&mask, p.model));
        for (int layer = 1; layer < 4; layer++)
            for (int c = 0; c < 40; c += layer) /* many rows and few */
                assert_ok(ex_mask_select(mask, layer, c));
        assert_ok(ex_mask_seal(mask));
        const ex_plan_spec spec = {.use = EX_USE_TRAIN,
                                   .batch = IMAGES,
                                   .norm = i ? EX_NORM_FROZEN : EX_NORM_TRAIN,
                                   .mask = mask,
                                   .input_gradient = true};
        train(&p, &p.by[0], &spec);
        train(&p, &p.by[1], &spec);
        compare(&p);
        ex_mask_destroy(&mask);
        close_pair(&p);
    }
}

/* Also in a batch that is not full, and after the values have changed. */
static void test_evaluation_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    pair p = {0};
    open_pair(&p, 1);
    for (int i = 0; i < 2; i++) {
        side *s = &p.by[i];
        const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 4};
        ex_plan *plan;
        ex_eval_sums sums = {.logits = s->logits};
        assert_ok(ex_plan_create(&plan, s->lane, &spec));
        assert_ok(ex_plan_evaluate(plan, &p.data, &p.feed, &sums));
        ex_test_values(p.model, 6, s->params, s->stats);
        assert_ok(ex_lane_load(s->lane, s->params, s->stats));
        sums = (ex_eval_sums){.logits = s->gradient};
        assert_ok(ex_plan_evaluate(plan, &p.data, &p.feed, &sums));
        ex_plan_destroy(&plan);
    }
    assert_close(p.by[0].logits, p.by[1].logits, IMAGES * CLASSES, 1e-5, 1e-5);
    assert_close(p.by[0].gradient, p.by[1].gradient, IMAGES * CLASSES, 1e-5, 1e-5);
    assert_true(fabsf(p.by[0].logits[0] - p.by[0].gradient[0]) > 1e-4f);
    close_pair(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_and_products_are_the_convolution_and_its_gradients),
        cmocka_unit_test(test_threads_change_no_bit),
        cmocka_unit_test(test_bf16_maps_are_those_of_float32_rounded),
        cmocka_unit_test(test_training_agrees_with_direct_convolutions),
        cmocka_unit_test(test_masked_training_agrees_with_direct_convolutions),
        cmocka_unit_test(test_evaluation_agrees_with_direct_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
