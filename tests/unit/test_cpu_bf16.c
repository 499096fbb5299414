/* bf16 on the CPU: maps of half the size, everything else float32, against float64 and against the
 * same in fp32. A value of a map is off by up to 2^-9 of itself; what that makes of logits and
 * gradients is bounded here by their size as a whole. */
#include "net_fixture.h"
#include "test.h"

#include <dnnl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IMAGES = 12 };

static const ex_sgd_coeff SGD = {.lr = 0.05f, .momentum = 0.9f, .weight_decay = 5e-4f};

static ex_status open_bf16(ex_device **device)
{
    return ex_device_open(device, &(ex_device_options){.device = "cpu", .precision = EX_BF16});
}

/* rms(a - b) / rms(b) */
static double distance(const float *a, const float *b, size_t n)
{
    double errors = 0.0, values = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)a[i] - (double)b[i];
        errors += d * d;
        values += (double)b[i] * (double)b[i];
    }
    return sqrt(errors / values);
}

static void check_distance(const char *what, int which, const float *a, const float *b, size_t n,
                           double most)
{
    const double found = distance(a, b, n);
    print_message("model %d: %s %.2e, at most %.1e\n", which, what, found, most);
    if (!(found <= most))
        fail_msg("%s are %.2e of their size from what they should be, at most %.1e", what, found,
                 most);
}

static ex_plan *plan_of(ex_lane *lane, ex_plan_spec spec)
{
    ex_plan *plan;
    assert_ok(ex_plan_create(&plan, lane, &spec));
    return plan;
}

/* In a process that oneDNN takes for one on a processor of AVX2. */
static void test_a_processor_without_avx512_is_refused_with_what_is_missing(void **state)
{
    (void)state;
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        ex_device *device;
        if (dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx2) != dnnl_success)
            _exit(77);
        const ex_status status = open_bf16(&device);
        _exit(status == EX_ERR_UNSUPPORTED && !device &&
                      strstr(ex_error_message(), "bf16 needs a processor with AVX-512") &&
                      strstr(ex_error_message(), "this one has AVX2: use --precision fp32")
                  ? 0
                  : 1);
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 77));
}

static void test_logits_are_those_of_float64_within_the_rounding_of_maps(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        for (int keep = 0; keep < 2; keep++) {
            ex_net_fixture f;
            ex_net_fixture_open_as(&f, which, IMAGES, 1 + keep, EX_CONV_AUTO, EX_BF16);
            const size_t n = (size_t)(IMAGES * f.model->classes);
            const ex_net net = ex_net_fixture_net(&f, false);
            double *logits = malloc(n * sizeof *logits);
            float *expected = malloc(n * sizeof *expected);
            ex_eval_sums sums = {.logits = ex_guard_floats(n)};
            const double loss = ex_net_loss(&net, f.input, f.feed.label, IMAGES, logits);
            for (size_t i = 0; i < n; i++)
                expected[i] = (float)logits[i];
            ex_plan *plan = plan_of(
                f.lane, (ex_plan_spec){.use = EX_USE_EVALUATE, .batch = 16, .keep_nodes = keep});
            assert_ok(ex_plan_evaluate(plan, &f.data, &f.feed, &sums));
            check_distance("logits", which, sums.logits, expected, n, 0.02);
            assert_true(fabs(sums.loss / IMAGES - loss) < 0.01 * (1.0 + loss));
            ex_guard_check(sums.logits, n);
            ex_plan_destroy(&plan);
            ex_guard_free(sums.logits), free(logits), free(expected);
            ex_net_fixture_close(&f);
        }
}

typedef struct gradients {
    float *logits, *params, *input;
    size_t logit_count, param_count, input_count;
} gradients;

static gradients gradients_of(int which, ex_precision precision, ex_norm_mode norm)
{
    ex_net_fixture f;
    ex_net_fixture_open_as(&f, which, IMAGES, 1, EX_CONV_AUTO, precision);
    const ex_model *m = f.model;
    gradients g = {.logit_count = (size_t)(IMAGES * m->classes),
                   .param_count = m->param_count,
                   .input_count = (size_t)(IMAGES * m->in_channels * m->in_height * m->in_width)};
    g.logits = ex_guard_floats(g.logit_count);
    g.params = ex_guard_floats(g.param_count);
    g.input = ex_guard_floats(g.input_count);
    ex_plan *plan = plan_of(
        f.lane,
        (ex_plan_spec){.use = EX_USE_TRAIN, .batch = IMAGES, .norm = norm, .input_gradient = true});
    assert_ok(
        ex_plan_gradient(plan, &f.data, &f.feed,
                         &(ex_gradient){.logits = g.logits, .params = g.params, .input = g.input}));
    ex_guard_check(g.logits, g.logit_count), ex_guard_check(g.params, g.param_count);
    ex_guard_check(g.input, g.input_count);
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
    return g;
}

static void gradients_free(gradients *g)
{
    ex_guard_free(g->logits), ex_guard_free(g->params), ex_guard_free(g->input);
}

static void test_gradients_are_those_of_fp32_within_a_few_percent(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        for (int frozen = 0; frozen < 2; frozen++) {
            const ex_norm_mode norm = frozen ? EX_NORM_FROZEN : EX_NORM_TRAIN;
            gradients a = gradients_of(which, EX_BF16, norm),
                      b = gradients_of(which, EX_FP32, norm);
            check_distance("logits", which, a.logits, b.logits, a.logit_count, 0.02);
            check_distance("gradients of values", which, a.params, b.params, a.param_count, 0.2);
            check_distance("gradients of images", which, a.input, b.input, a.input_count, 0.2);
            gradients_free(&a), gradients_free(&b);
        }
}

/* --- training --------------------------------------------------------------------------------- */

enum { STEPS = 30 };

static void train(double *loss, int which, ex_precision precision)
{
    ex_net_fixture f;
    ex_net_fixture_open_as(&f, which, IMAGES, 1, EX_CONV_AUTO, precision);
    ex_plan *plan = plan_of(f.lane, (ex_plan_spec){.use = EX_USE_TRAIN, .batch = IMAGES});
    for (int i = 0; i < STEPS; i++) {
        ex_train_sums sums = {0};
        assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
        loss[i] = sums.loss / IMAGES;
    }
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
}

static void test_training_follows_fp32_step_by_step(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        double loss[STEPS], wide[STEPS], worst = 0.0;
        train(loss, which, EX_BF16);
        train(wide, which, EX_FP32);
        for (int i = 0; i < STEPS; i++)
            worst = fmax(worst, fabs(loss[i] - wide[i]) / wide[0]);
        print_message("model %d: loss %.4f to %.4f, fp32 to %.4f; at most %.4f apart\n", which,
                      loss[0], loss[STEPS - 1], wide[STEPS - 1], worst);
        assert_true(wide[STEPS - 1] < 0.7 * wide[0]); /* else nothing was compared */
        assert_true(loss[STEPS - 1] < 0.7 * loss[0]);
        assert_true(worst < 0.05);
    }
}

static void test_steps_repeat_bit_for_bit(void **state)
{
    (void)state;
    float *params[2];
    size_t n = 0;
    for (int t = 0; t < 2; t++) {
        ex_net_fixture f;
        ex_net_fixture_open_as(&f, 0, IMAGES, 1, EX_CONV_DIRECT, EX_BF16);
        ex_train_sums sums = {0};
        ex_plan *plan = plan_of(f.lane, (ex_plan_spec){.use = EX_USE_TRAIN, .batch = IMAGES});
        for (int i = 0; i < 3; i++)
            assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
        n = f.model->param_count;
        params[t] = malloc(n * sizeof(float));
        float *stats = malloc((f.model->stat_count + 1) * sizeof(float));
        assert_ok(ex_lane_store(f.lane, params[t], stats));
        free(stats);
        ex_plan_destroy(&plan);
        ex_net_fixture_close(&f);
    }
    assert_memory_equal(params[0], params[1], n * sizeof(float));
    free(params[0]), free(params[1]);
}

static bool inside(const ex_segment *segments, size_t count, size_t i)
{
    for (size_t s = 0; s < count; s++)
        if (i >= segments[s].offset && i < segments[s].offset + segments[s].length)
            return true;
    return false;
}

/* The float32 values that a mask leaves alone are never written, whatever the maps are. */
static void check_mask(int which, ex_norm_mode norm)
{
    ex_net_fixture f;
    ex_net_fixture_open_as(&f, which, IMAGES, 1, EX_CONV_DIRECT, EX_BF16);
    const ex_model *m = f.model;
    ex_mask *mask;
    ex_train_sums sums = {0};
    float *params = malloc(m->param_count * sizeof *params);
    float *stats = malloc((m->stat_count + 1) * sizeof *stats);
    size_t moved = 0;
    assert_ok(ex_mask_create(&mask, m));
    for (int layer = 0; layer < m->layer_count; layer += 2)
        for (int c = 0; c < m->layers[layer].channels; c += 5)
            assert_ok(ex_mask_select(mask, layer, c));
    assert_ok(ex_mask_seal(mask));
    ex_plan *plan = plan_of(
        f.lane, (ex_plan_spec){.use = EX_USE_TRAIN, .batch = IMAGES, .norm = norm, .mask = mask});
    for (int i = 0; i < 3; i++)
        assert_ok(ex_plan_train(plan, &f.data, &f.feed, &SGD, &sums));
    assert_ok(ex_lane_store(f.lane, params, stats));
    for (size_t i = 0; i < m->param_count; i++) {
        if (inside(mask->params, mask->param_segments, i))
            moved += params[i] != f.params[i];
        else
            assert_memory_equal(params + i, f.params + i, sizeof *params);
    }
    for (size_t i = 0; i < m->stat_count; i++)
        if (!inside(mask->stats, mask->stat_segments, i))
            assert_memory_equal(stats + i, f.stats + i, sizeof *stats);
    assert_true(moved > 0);
    ex_plan_destroy(&plan);
    ex_mask_destroy(&mask);
    free(params), free(stats);
    ex_net_fixture_close(&f);
}

static void test_mask_leaves_unmasked_bytes_of_the_float32_values_identical(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++) {
        check_mask(which, EX_NORM_TRAIN);
        check_mask(which, EX_NORM_FROZEN);
    }
}

/* --- ablation, memory ------------------------------------------------------------------------- */

enum { VARIANTS = 4, PROBE = 6 };

/* Forks against the same variants of the float64 reference. */
static void check_forks(int which)
{
    ex_net_fixture f;
    ex_net_fixture_open_as(&f, which, PROBE, 1, EX_CONV_AUTO, EX_BF16);
    const ex_model *m = f.model;
    const int last = m->node_count - 1, rows = PROBE * m->classes;
    const size_t n = (size_t)(VARIANTS * rows);
    ex_plan *from =
        plan_of(f.lane, (ex_plan_spec){.use = EX_USE_EVALUATE, .batch = PROBE, .keep_nodes = true});
    ex_plan *to =
        plan_of(f.lane, (ex_plan_spec){.use = EX_USE_EVALUATE, .batch = VARIANTS * PROBE});
    float *logits = ex_guard_floats(n), *expected = ex_guard_floats(n);
    double *wide = malloc((size_t)rows * sizeof *wide), worst = 0.0;
    assert_ok(ex_plan_load(from, &f.data, &f.feed));
    assert_ok(ex_plan_forward(from, 1, last));
    for (int i = 0; i < 2 * m->layer_count; i++) {
        const int layer = i / 2, channels = m->layers[layer].channels;
        const int32_t channel[VARIANTS] = {0, -1, channels - 1, channels / 2};
        const ex_fork fork = {.layer = layer,
                              .ablation = i % 2 ? EX_ABLATE_ACTIVATION : EX_ABLATE_FILTER,
                              .channel = channel,
                              .variants = VARIANTS,
                              .images = PROBE};
        int next;
        assert_ok(ex_plan_fork(to, from, &fork, &next));
        assert_ok(ex_plan_forward(to, next, last));
        assert_ok(ex_plan_logits(to, logits, VARIANTS * PROBE));
        for (int v = 0; v < VARIANTS; v++) {
            ex_net net = ex_net_fixture_net(&f, false);
            net.layer = channel[v] < 0 ? -1 : layer;
            net.channel = channel[v];
            net.ablation = fork.ablation;
            ex_net_loss(&net, f.input, f.feed.label, PROBE, wide);
            for (int j = 0; j < rows; j++)
                expected[v * rows + j] = (float)wide[j];
        }
        worst = fmax(worst, distance(logits, expected, n));
    }
    print_message("model %d: logits of forks %.2e\n", which, worst);
    assert_true(worst < 0.02);
    ex_guard_check(logits, n);
    ex_guard_free(logits), ex_guard_free(expected), free(wide);
    ex_plan_destroy(&from), ex_plan_destroy(&to);
    ex_net_fixture_close(&f);
}

static void test_forks_are_the_variants_within_the_rounding_of_maps(void **state)
{
    (void)state;
    for (int which = 0; which < EX_TEST_MODELS; which++)
        check_forks(which);
}

static size_t bytes_of(ex_precision precision, ex_use use)
{
    enum { BATCH = 256 };
    ex_net_fixture f;
    ex_net_fixture_open_as(&f, 0, 1, 1, EX_CONV_DIRECT, precision);
    ex_plan *plan = plan_of(f.lane, (ex_plan_spec){.use = use, .batch = BATCH});
    const size_t bytes = plan->bytes;
    ex_plan_destroy(&plan);
    ex_net_fixture_close(&f);
    return bytes;
}

/* What dry runs report and limits are held against. */
static void test_plans_count_maps_at_half_the_size(void **state)
{
    (void)state;
    for (int use = 0; use < 2; use++) {
        const double ratio =
            (double)bytes_of(EX_BF16, (ex_use)use) / (double)bytes_of(EX_FP32, (ex_use)use);
        print_message("use %d: %.2f of fp32's memory\n", use, ratio);
        assert_true(ratio > 0.45 && ratio < 0.65);
    }
}

int main(void)
{
    const struct CMUnitTest first[] = {
        cmocka_unit_test(test_a_processor_without_avx512_is_refused_with_what_is_missing),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_logits_are_those_of_float64_within_the_rounding_of_maps),
        cmocka_unit_test(test_gradients_are_those_of_fp32_within_a_few_percent),
        cmocka_unit_test(test_training_follows_fp32_step_by_step),
        cmocka_unit_test(test_steps_repeat_bit_for_bit),
        cmocka_unit_test(test_mask_leaves_unmasked_bytes_of_the_float32_values_identical),
        cmocka_unit_test(test_forks_are_the_variants_within_the_rounding_of_maps),
        cmocka_unit_test(test_plans_count_maps_at_half_the_size),
    };
    ex_device *device;
    /* Before oneDNN has looked at the processor. */
    const int failed = cmocka_run_group_tests(first, NULL, NULL);
    if (open_bf16(&device) != EX_OK) {
        fprintf(stderr, "skipped: %s\n", ex_error_message());
        return failed ? failed : 77;
    }
    ex_device_close(&device);
    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
