/* Plans that are made of our own kernels, Winograd's and those for few filters, against oneDNN's
 * direct convolutions. */
#include "base/memory.h"
#include "force_algorithm.h"
#include "model/builder.h"
#include "net_reference.h"
#include "temp.h"
#include "test.h"
#include "winograd.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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
    side by[2]; /* ours; direct convolutions */
} pair;

static void open_side(side *s, const ex_model *m, ex_conv_choice conv, int threads,
                      ex_precision precision)
{
    const ex_device_options o = {.device = "cpu", .conv = conv, .precision = precision};
    assert_ok(ex_device_open(&s->device, &o));
    assert_ok(ex_lane_create(&s->lane, s->device, m, threads));
}

/* Four convolutions, two of them perhaps alike; in training the gradients of their inputs, and of
 * the filters where there is none of a bias; rows: those of the filters alone, three of them at
 * least. */
static int least_forced(const char *name, const ex_plan_spec *spec)
{
    if (strcmp(name, "rows") == 0)
        return 3;
    return spec->use == EX_USE_EVALUATE ? 4 : spec->norm == EX_NORM_TRAIN ? 7 : 6;
}

/* A side whose plans of `spec` are of tiles or rows: from the file of one whose plan was timed. */
static void open_ours(side *s, const char *name, const ex_model *m, const ex_plan_spec *spec,
                      int threads, ex_precision precision)
{
    const char *path = ex_temp_path("algorithms.json");
    ex_plan *plan;
    open_side(s, m, EX_CONV_AUTO, threads, precision);
    assert_ok(ex_plan_create(&plan, s->lane, spec));
    ex_plan_destroy(&plan);
    assert_ok(ex_device_write_algorithms(s->device, path));
    ex_lane_destroy(&s->lane);
    ex_device_close(&s->device);
    assert_true(ex_test_force_algorithm(path, name) >= least_forced(name, spec));
    open_side(s, m, EX_CONV_AUTO, threads, precision);
    assert_ok(ex_device_read_algorithms(s->device, path));
}

static void open_pair(pair *p, const char *name, const ex_plan_spec *spec, int threads,
                      ex_precision precision)
{
    make_model(&p->model);
    ex_test_images(&p->data, p->model, IMAGES, 3);
    assert_ok(ex_samples_all(&p->feed, &p->data));
    open_ours(&p->by[0], name, p->model, spec, threads, precision);
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

static void check_training(const char *name)
{
    for (int i = 0; i < 4; i++) {
        const ex_plan_spec spec = {
            .use = EX_USE_TRAIN, .batch = IMAGES, .norm = i % 2 ? EX_NORM_FROZEN : EX_NORM_TRAIN};
        pair p = {0};
        open_pair(&p, name, &spec, 1 + i / 2, EX_FP32);
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

static void test_training_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    if (!ex_winograd_is_fast())
        skip(); /* plans do without them */
    check_training("tiles");
}

static void test_training_with_gradients_by_rows_agrees_too(void **state)
{
    (void)state;
    check_training("rows");
}

/* Also in a batch that is not full, and after the values have changed. */
static void test_evaluation_agrees_with_direct_convolutions(void **state)
{
    (void)state;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = 4};
    pair p = {0};
    if (!ex_winograd_is_fast())
        skip();
    open_pair(&p, "tiles", &spec, 1, EX_FP32);
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
static void check_bf16_training(const char *name)
{
    for (int i = 0; i < 2; i++) {
        const ex_plan_spec spec = {
            .use = EX_USE_TRAIN, .batch = IMAGES, .norm = i ? EX_NORM_FROZEN : EX_NORM_TRAIN};
        pair p = {0};
        open_pair(&p, name, &spec, 1, EX_BF16);
        train(&p, &p.by[0], &spec);
        train(&p, &p.by[1], &spec);
        const side *a = &p.by[0], *b = &p.by[1];
        const double logits = distance(a->logits, b->logits, IMAGES * CLASSES),
                     gradient = distance(a->gradient, b->gradient, p.model->param_count),
                     params = distance(a->params, b->params, p.model->param_count);
        print_message("%s, %d: logits %.1e, gradient %.1e, parameters %.1e\n", name, i, logits,
                      gradient, params);
        assert_true(logits < 0.01);
        assert_true(gradient < 0.05);
        assert_true(params < 1e-3);
        close_pair(&p);
    }
}

static void test_bf16_training_is_near_that_by_direct_convolutions(void **state)
{
    (void)state;
    if (!has_bf16())
        skip();
    check_bf16_training("rows");
    if (ex_winograd_is_fast())
        check_bf16_training("tiles");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_training_agrees_with_direct_convolutions),
        cmocka_unit_test(test_training_with_gradients_by_rows_agrees_too),
        cmocka_unit_test(test_evaluation_agrees_with_direct_convolutions),
        cmocka_unit_test(test_bf16_training_is_near_that_by_direct_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
