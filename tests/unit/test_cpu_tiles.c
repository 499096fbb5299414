/* Our own Winograd kernels: the convolution and the gradient of its input against sums in float64,
 * and plans that are made of them against oneDNN's direct convolutions. */
#include "base/memory.h"
#include "bf16.h"
#include "model/builder.h"
#include "net_reference.h"
#include "temp.h"
#include "test.h"
#include "winograd.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- the convolution -------------------------------------------------------------------------- */

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
    {.s = {.N = 5, .C = 64, .K = 64, .H = 16, .W = 16}}, /* groups that threads take */
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

/* --- plans ------------------------------------------------------------------------------------ */

enum { CLASSES = 3, IMAGES = 5, CHANNELS = 2, SIDE = 8 };

/* With and without norm, bias, residual and ReLU. */
static void make_model(ex_model **out)
{
    assert_ok(ex_alloc(out, 1, sizeof **out, "model"));
    ex_builder b = {.model = *out};
    const ex_conv_spec wide = {.K = 32, .R = 3, .stride = 1, .pad = 1, .relu = true};
    ex_conv_spec c = wide;
    int x = ex_builder_input(&b, CHANNELS, SIDE, SIDE);
    c.norm = "stem.bn";
    x = ex_builder_conv(&b, x, "stem", c);
    c.norm = "a.bn";
    int y = ex_builder_conv(&b, x, "a", c);
    c.norm = "b.bn", c.residual = x;
    y = ex_builder_conv(&b, y, "b", c);
    c = wide, c.bias = true, c.K = 64, c.norm = "c.bn";
    y = ex_builder_conv(&b, y, "c", c);
    c = wide, c.bias = true, c.relu = false;
    y = ex_builder_conv(&b, y, "d", c);
    y = ex_builder_global_pool(&b, y);
    ex_builder_linear(&b, y, "linear", CLASSES, false);
    assert_ok(b.status);
    (*out)->classes = CLASSES;
    snprintf((*out)->name, sizeof(*out)->name, "tiles");
}

typedef struct side {
    ex_device *device;
    ex_lane *lane;
    float *params, *stats, *gradient, *logits;
} side;

typedef struct pair {
    ex_model *model;
    ex_dataset data;
    ex_samples feed;
    side by[2]; /* tiles; direct convolutions */
} pair;

static void open_side(side *s, const ex_model *m, ex_conv_choice conv, int threads,
                      ex_precision precision)
{
    const ex_device_options o = {.device = "cpu", .conv = conv, .precision = precision};
    assert_ok(ex_device_open(&s->device, &o));
    assert_ok(ex_lane_create(&s->lane, s->device, m, threads));
}

/* Every convolution that tiles can make is to be made of them, whatever is fastest here. */
static int force_tiles(const char *path)
{
    int forced = 0;
    const char *key;
    json_t *value, *root = json_load_file(path, 0, NULL);
    json_object_foreach(json_object_get(root, "algorithms"), key, value)
    {
        if ((strncmp(key, "weights", 7) == 0 && strstr(key, " bias")) || strstr(key, " c2 "))
            continue;
        assert_int_equal(json_string_set(value, "tiles"), 0);
        forced++;
    }
    assert_int_equal(json_dump_file(root, path, 0), 0);
    json_decref(root);
    return forced;
}

/* A side whose plans of `spec` are of tiles: from the file of one whose plan was timed. */
static void open_tiles(side *s, const ex_model *m, const ex_plan_spec *spec, int threads,
                       ex_precision precision)
{
    const char *path = ex_temp_path("algorithms.json");
    ex_plan *plan;
    open_side(s, m, EX_CONV_AUTO, threads, precision);
    assert_ok(ex_plan_create(&plan, s->lane, spec));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(s->device, path));
    ex_lane_destroy(&s->lane);
    ex_device_close(&s->device);
    /* Four convolutions, two of them perhaps alike; in training the gradients of their inputs, and
     * of the filters where there is none of a bias. */
    const int least = spec->use == EX_USE_EVALUATE ? 4 : spec->norm == EX_NORM_TRAIN ? 7 : 6;
    assert_true(force_tiles(path) >= least);
    open_side(s, m, EX_CONV_AUTO, threads, precision);
    assert_ok(ex_device_read_algorithms(s->device, path));
}

static void open_pair(pair *p, const ex_plan_spec *spec, int threads, ex_precision precision)
{
    make_model(&p->model);
    ex_test_images(&p->data, p->model, IMAGES, 3);
    assert_ok(ex_samples_all(&p->feed, &p->data));
    open_tiles(&p->by[0], p->model, spec, threads, precision);
    open_side(&p->by[1], p->model, EX_CONV_DIRECT, threads, precision);
    for (int i = 0; i < 2; i++) {
        side *s = &p->by[i];
        s->params = ex_guard_floats(p->model->param_count);
        s->stats = ex_guard_floats(p->model->stat_count);
        s->gradient = ex_guard_floats(p->model->param_count);
        s->logits = ex_guard_floats(IMAGES * CLASSES);
        ex_test_values(p->model, 5, s->params, s->stats);
        assert_ok(ex_lane_load(s->lane, s->params, s->stats));
    }
}

static void close_pair(pair *p)
{
    for (int i = 0; i < 2; i++) {
        side *s = &p->by[i];
        float *all[] = {s->params, s->stats, s->gradient, s->logits};
        ex_lane_destroy(&s->lane);
        ex_device_close(&s->device);
        for (int j = 0; j < 4; j++)
            ex_guard_free(all[j]);
    }
    ex_samples_free(&p->feed);
    ex_dataset_close(&p->data);
    ex_model_destroy(&p->model);
}

static void train(const pair *p, side *s, const ex_plan_spec *spec)
{
    const ex_sgd_coeff sgd = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 1e-3f};
    ex_gradient g = {.logits = s->logits, .params = s->gradient};
    ex_train_sums sums = {0};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, s->lane, spec));
    assert_ok(ex_plan_gradient(plan, &p->data, &p->feed, &g));
    assert_ok(ex_plan_train(plan, &p->data, &p->feed, &sgd, &sums));
    assert_ok(ex_plan_train(plan, &p->data, &p->feed, &sgd, &sums));
    ex_plan_destroy(&plan);
    assert_ok(ex_lane_store(s->lane, s->params, s->stats));
}

static void test_training_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    if (!ex_winograd_is_fast())
        skip(); /* plans do without them */
    for (int i = 0; i < 4; i++) {
        const ex_plan_spec spec = {
            .use = EX_USE_TRAIN, .batch = IMAGES, .norm = i % 2 ? EX_NORM_FROZEN : EX_NORM_TRAIN};
        pair p = {0};
        open_pair(&p, &spec, 1 + i / 2, EX_FP32);
        train(&p, &p.by[0], &spec);
        train(&p, &p.by[1], &spec);
        const side *a = &p.by[0], *b = &p.by[1];
        assert_close(a->logits, b->logits, IMAGES * CLASSES, 1e-5, 1e-4);
        assert_close(a->gradient, b->gradient, p.model->param_count, 1e-4, 1e-3);
        assert_close(a->params, b->params, p.model->param_count, 1e-4, 1e-3);
        assert_close(a->stats, b->stats, p.model->stat_count, 1e-4, 1e-3);
        close_pair(&p);
    }
}

/* Also in a batch that is not full, and after the values have changed. */
static void test_evaluation_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 4};
    pair p = {0};
    if (!ex_winograd_is_fast())
        skip();
    open_pair(&p, &spec, 1, EX_FP32);
    for (int i = 0; i < 2; i++) {
        side *s = &p.by[i];
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
    assert_close(p.by[0].logits, p.by[1].logits, IMAGES * CLASSES, 1e-5, 1e-4);
    assert_close(p.by[0].gradient, p.by[1].gradient, IMAGES * CLASSES, 1e-5, 1e-4);
    assert_true(fabsf(p.by[0].logits[0] - p.by[0].gradient[0]) > 1e-4f);
    close_pair(&p);
}

static bool has_bf16(void)
{
    ex_device *device = NULL;
    const ex_status status =
        ex_device_open(&device, &(ex_device_options){.device = "cpu", .precision = EX_BF16});
    ex_device_close(&device);
    return status == EX_OK;
}

/* rms of what they differ by over that of the second. */
static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0.0, all = 0.0;
    for (size_t i = 0; i < n; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / all);
}

/* Maps and filters are rounded at other places: by 2^-9 each. */
static void test_bf16_training_is_near_that_by_direct_convolutions(void **state)
{
    (void)state;
    if (!ex_winograd_is_fast() || !has_bf16())
        skip();
    for (int i = 0; i < 2; i++) {
        const ex_plan_spec spec = {
            .use = EX_USE_TRAIN, .batch = IMAGES, .norm = i ? EX_NORM_FROZEN : EX_NORM_TRAIN};
        pair p = {0};
        open_pair(&p, &spec, 1, EX_BF16);
        train(&p, &p.by[0], &spec);
        train(&p, &p.by[1], &spec);
        const side *a = &p.by[0], *b = &p.by[1];
        const double logits = distance(a->logits, b->logits, IMAGES * CLASSES),
                     gradient = distance(a->gradient, b->gradient, p.model->param_count),
                     params = distance(a->params, b->params, p.model->param_count);
        print_message("%d: logits %.1e, gradient %.1e, parameters %.1e\n", i, logits, gradient,
                      params);
        assert_true(logits < 0.01);
        assert_true(gradient < 0.05);
        assert_true(params < 1e-3);
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convolution_is_the_definition),
        cmocka_unit_test(test_bf16_maps_are_rounded_once),
        cmocka_unit_test(test_batch_does_not_change_bits),
        cmocka_unit_test(test_gradient_of_filters_is_the_definition),
        cmocka_unit_test(test_other_shapes_do_not_fit),
        cmocka_unit_test(test_training_agrees_with_direct_convolutions),
        cmocka_unit_test(test_evaluation_agrees_with_direct_convolutions),
        cmocka_unit_test(test_bf16_training_is_near_that_by_direct_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
