/* bf16 on the GPU: maps and filters of convolutions in bf16, values, statistics, gradients of
 * values and logits in float32. Held against the same back end in float32. */
#include "device/device.h"
#include "net_fixture.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 8, IMAGES = 2, VARIANTS = 3, ROWS = IMAGES * VARIANTS };

/* Of a bf16 value; sums of many are as far off as a few of them. */
static const double ROUNDING = 1.0 / 256;

typedef struct setting {
    ex_net_fixture f;
    ex_device *device;
    ex_lane *lane;
} setting;

static void open_setting(setting *s, int which, ex_precision precision)
{
    const ex_device_options options = {
        .device = "cuda", .precision = precision, .conv = EX_CONV_DIRECT};
    ex_net_fixture_open(&s->f, which, BATCH, 1, EX_CONV_DIRECT);
    assert_ok(ex_device_open(&s->device, &options));
    assert_ok(ex_lane_create(&s->lane, s->device, s->f.model, 1));
    assert_ok(ex_lane_load(s->lane, s->f.params, s->f.stats));
}

static void close_setting(setting *s)
{
    ex_lane_destroy(&s->lane);
    ex_device_close(&s->device);
    ex_net_fixture_close(&s->f);
}

/* |a - b| / |b| */
static double distance(const float *a, const float *b, size_t n)
{
    double apart = 0.0, length = 0.0;
    for (size_t i = 0; i < n; i++) {
        apart += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        length += (double)b[i] * (double)b[i];
    }
    return sqrt(apart / length);
}

/* Near, and not the same: it was computed in bf16. */
static void assert_near(const char *what, const float *a, const float *b, size_t n, double bound)
{
    const double d = distance(a, b, n);
    if (!(d < bound && d > ROUNDING / 64))
        fail_msg("%s: bf16 is %g from float32, relative to its length; 0 to %g is expected", what,
                 d, bound);
}

enum { MODES = 2 };
static const ex_norm_mode modes[MODES] = {EX_NORM_TRAIN, EX_NORM_FROZEN};

typedef struct outcome {
    float *params[MODES], *input[MODES], *logits, *forked;
    double bytes[MODES];
} outcome;

static void gradients(setting *s, int mode, outcome *o)
{
    const ex_model *m = s->f.model;
    const size_t pixels = (size_t)(BATCH * m->in_channels * m->in_height * m->in_width);
    const ex_plan_spec spec = {
        .use = EX_USE_TRAIN, .batch = BATCH, .norm = modes[mode], .input_gradient = true};
    ex_gradient g = {.params = calloc(m->param_count, sizeof(float)),
                     .input = calloc(pixels, sizeof(float))};
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, s->lane, &spec));
    const ex_emulated_counts before = ex_emulated_count();
    assert_ok(ex_plan_gradient(plan, &s->f.data, &s->f.feed, &g));
    o->bytes[mode] = ex_emulated_count().moved - before.moved;
    o->params[mode] = g.params;
    o->input[mode] = g.input;
    ex_plan_destroy(&plan);
}

static void evaluate(setting *s, outcome *o)
{
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = BATCH};
    ex_plan *plan;
    o->logits = calloc((size_t)(BATCH * s->f.model->classes), sizeof(float));
    ex_eval_sums sums = {.logits = o->logits};
    assert_ok(ex_plan_create(&plan, s->lane, &spec));
    assert_ok(ex_plan_evaluate(plan, &s->f.data, &s->f.feed, &sums));
    ex_plan_destroy(&plan);
}

/* Forks of every layer, one after the other. */
static void fork_layers(setting *s, outcome *o)
{
    const ex_model *m = s->f.model;
    const int last = m->node_count - 1;
    const ex_samples feed = {.index = s->f.feed.index, .label = s->f.feed.label, .count = IMAGES};
    ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = IMAGES, .keep_nodes = true};
    ex_plan *from, *to;
    int next;
    o->forked = calloc((size_t)(ROWS * m->classes * m->layer_count), sizeof(float));
    assert_ok(ex_plan_create(&from, s->lane, &spec));
    spec = (ex_plan_spec){.use = EX_USE_EVALUATE, .batch = ROWS};
    assert_ok(ex_plan_create(&to, s->lane, &spec));
    assert_ok(ex_plan_load(from, &s->f.data, &feed));
    assert_ok(ex_plan_forward(from, 1, last));
    for (int layer = 0; layer < m->layer_count; layer++) {
        const int32_t channel[VARIANTS] = {0, -1, m->layers[layer].channels - 1};
        const ex_fork fork = {
            .layer = layer, .channel = channel, .variants = VARIANTS, .images = IMAGES};
        assert_ok(ex_plan_fork(to, from, &fork, &next));
        assert_ok(ex_plan_forward(to, next, last));
        assert_ok(ex_plan_logits(to, o->forked + (size_t)(layer * ROWS * m->classes), ROWS));
    }
    ex_plan_destroy(&from);
    ex_plan_destroy(&to);
}

static outcome run(setting *s, int which, ex_precision precision)
{
    outcome o = {0};
    open_setting(s, which, precision);
    for (int mode = 0; mode < MODES; mode++)
        gradients(s, mode, &o);
    evaluate(s, &o);
    fork_layers(s, &o);
    return o;
}

static void outcome_free(outcome *o)
{
    for (int mode = 0; mode < MODES; mode++) {
        free(o->params[mode]);
        free(o->input[mode]);
    }
    free(o->logits);
    free(o->forked);
}

static void test_results_are_those_of_float32_but_for_rounding(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        setting a, b;
        ex_emulated_reset(1);
        outcome narrow = run(&a, which, EX_BF16), wide = run(&b, which, EX_FP32);
        const ex_model *m = a.f.model;
        const size_t classes = (size_t)m->classes;
        assert_near("logits", narrow.logits, wide.logits, BATCH * classes, 4 * ROUNDING);
        assert_near("forked logits", narrow.forked, wide.forked,
                    ROWS * classes * (size_t)m->layer_count, 4 * ROUNDING);
        for (int mode = 0; mode < MODES; mode++) {
            assert_near("gradient", narrow.params[mode], wide.params[mode], m->param_count,
                        24 * ROUNDING);
            assert_near("gradient of the input", narrow.input[mode], wide.input[mode],
                        (size_t)(BATCH * m->in_channels * m->in_height * m->in_width),
                        48 * ROUNDING);
            /* With frozen norms dy is summed, of a copy in float32. */
            assert_true(narrow.bytes[mode] < (mode ? 1.0 : 0.8) * wide.bytes[mode]);
        }
        outcome_free(&narrow);
        outcome_free(&wide);
        close_setting(&a);
        close_setting(&b);
        assert_string_equal(ex_emulated_leaks(), "");
    }
}

/* The loss of a step after some; *first: of the first one. */
static double train(int which, ex_precision precision, ex_norm_mode norm, bool masked,
                    double *first)
{
    enum { STEPS = 12 };
    const ex_sgd_coeff sgd = {.lr = 0.05f, .momentum = 0.9f};
    setting s;
    ex_train_sums sums = {0};
    ex_mask *mask;
    ex_plan *plan;
    ex_emulated_reset(1);
    open_setting(&s, which, precision);
    const ex_model *m = s.f.model;
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 0; layer < m->layer_count; layer++)
        for (int c = 0; c < m->layers[layer].channels; c++)
            if (c % (layer % 2 ? 8 : 1) == 0) /* few rows, and all */
                assert_ok(ex_mask_select(mask, layer, c));
    assert_ok(ex_mask_seal(mask));
    const ex_plan_spec spec = {
        .use = EX_USE_TRAIN, .batch = BATCH, .norm = norm, .mask = masked ? mask : NULL};
    assert_ok(ex_plan_create(&plan, s.lane, &spec));
    for (int i = 0; i < STEPS; i++) {
        sums = (ex_train_sums){0};
        assert_ok(ex_plan_train(plan, &s.f.data, &s.f.feed, &sgd, &sums));
        if (i == 0)
            *first = sums.loss;
    }
    ex_plan_destroy(&plan);
    ex_mask_destroy(&mask);
    close_setting(&s);
    return sums.loss;
}

/* Steps far smaller than a bf16 value add up: the values themselves are float32. */
static void test_training_goes_as_in_float32_masked_and_not(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        for (int form = 0; form < 2 * MODES; form++) {
            const ex_norm_mode norm = modes[form / 2];
            const bool masked = form % 2;
            double first, narrow, wide;
            wide = train(which, EX_FP32, norm, masked, &first);
            narrow = train(which, EX_BF16, norm, masked, &first);
            const double goal = norm == EX_NORM_FROZEN ? 1.0 : 0.95; /* which learns slower */
            if (!(narrow < goal * first && fabs(narrow - wide) < 0.03 * first))
                fail_msg("model %d, form %d: loss %g, then %g in bf16 and %g in float32", which,
                         form, first, narrow, wide);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_are_those_of_float32_but_for_rounding),
        cmocka_unit_test(test_training_goes_as_in_float32_masked_and_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
