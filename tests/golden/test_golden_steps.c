/* One training step of every model against PyTorch: logits, loss, all gradients, running
 * statistics, momentum and parameters; and evaluation.
 *
 * Tolerances: EX_GOLDEN_DIRECT is ten times what PyTorch's float32 keeps of its float64. Values
 * that no cancellation spoils (logits, loss, statistics) are held closer. Winograd convolutions
 * carry errors some ten to a hundred times larger, so that a ReLU may turn, and with it a gradient
 * element; there only the rms of a tensor's errors says something. */
#include "golden_device.h"
#include "golden_net.h"
#include "test.h"

#if defined(EX_TEST_EMULATED)
#include "device/device.h"
#endif

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct step {
    const char *file, *model;
    int channels, size;
    const char *name;
    bool quick; /* and enough for the emulated device, where a step takes a second, or ten */
} step;

static const step steps[] = {
    {"resnet20_cifar", "resnet20", 3, 32, "train1", false},
    {"resnet20_cifar", "resnet20", 3, 32, "train7", false},
    {"resnet20_cifar", "resnet20", 3, 32, "train33", false}, /* Nesterov */
    {"resnet20_cifar", "resnet20", 3, 32, "frozen7", false},
    {"resnet20_fashion", "resnet20", 1, 28, "train1", false},
    {"resnet20_fashion", "resnet20", 1, 28, "train7", true},
    {"resnet20_fashion", "resnet20", 1, 28, "train33", false},
    {"resnet20_fashion", "resnet20", 1, 28, "frozen7", false},
    {"vgg11_cifar", "vgg11", 3, 32, "train1", false},
    {"vgg11_cifar", "vgg11", 3, 32, "train7", false},
    {"vgg11_cifar", "vgg11", 3, 32, "train33", false},
    {"vgg11_cifar", "vgg11", 3, 32, "frozen7", false},
    {"vgg11_fashion", "vgg11", 1, 28, "train1", false},
    {"vgg11_fashion", "vgg11", 1, 28, "train7", true},
    {"resnet20-projection_cifar", "resnet20-projection", 3, 32, "train7", false},
    {"resnet20-projection_cifar", "resnet20-projection", 3, 32, "frozen7", true},
    {"resnet18_cifar", "resnet18", 3, 32, "train7", false},
    {"resnet18_cifar", "resnet18", 3, 32, "frozen7", false},
    {"vgg11-head1_cifar", "vgg11-head1", 3, 32, "frozen7", true},
    {"cnn_cifar", "cnn", 3, 32, "train1", false},
    {"cnn_cifar", "cnn", 3, 32, "train7", true},
};
enum { STEPS = sizeof steps / sizeof *steps };

typedef struct bench {
    ex_golden_net net;
    ex_device *device;
    ex_lane *lane;
    ex_plan *plan;
    int batch;
} bench;

static const ex_golden_tolerance direct_values = {1e-5, 1e-5}, auto_values = {1e-4, 1e-4},
                                 auto_gradients = {1e-2, 0.3};

static void open_bench(bench *b, const step *s, ex_golden_setup setup)
{
    ex_golden_net_open(&b->net, s->file, s->model, s->channels, s->size);
    const int32_t *head = ex_golden_net_images(&b->net, s->name);
    b->batch = head[0];
    b->net.sgd.nesterov = head[3];
    b->device = ex_golden_device_open(setup.conv, setup.precision);
    assert_ok(ex_lane_create(&b->lane, b->device, b->net.model, setup.threads));
    assert_ok(ex_lane_load(b->lane, b->net.params, b->net.stats));
    assert_ok(ex_lane_load_velocity(b->lane, b->net.velocity));
    const ex_plan_spec spec = {.use = EX_USE_TRAIN,
                               .batch = b->batch,
                               .norm = head[2] ? EX_NORM_FROZEN : EX_NORM_TRAIN,
                               .input_gradient = true};
    assert_ok(ex_plan_create(&b->plan, b->lane, &spec));
    /* What setting.py draws the masks of dropout by. */
    b->plan->key =
        (ex_rng_key){.seed = UINT64_C(0x123456789), .client = 3, .round = 5, .epoch = 2, .step = 7};
}

static void close_bench(bench *b)
{
    ex_plan_destroy(&b->plan);
    ex_lane_destroy(&b->lane);
    ex_device_close(&b->device);
    ex_golden_net_close(&b->net);
}

static void check_gradients(bench *b, const step *s, ex_golden_tolerance values,
                            ex_golden_tolerance gradients)
{
    const ex_model *m = b->net.model;
    const size_t planes = (size_t)(b->batch * m->in_channels);
    const size_t pixels = planes * (size_t)(m->in_height * m->in_width);
    const size_t logits = (size_t)(b->batch * m->classes);
    ex_gradient g = {.logits = ex_guard_floats(logits),
                     .params = ex_guard_floats(m->param_count),
                     .input = ex_guard_floats(pixels)};
    assert_ok(ex_plan_gradient(b->plan, &b->net.data, &b->net.feed, &g));
    ex_golden_check_array(&b->net, s->name, "logits", values, g.logits, logits, (size_t)b->batch);
    const float loss = (float)g.loss;
    ex_golden_check_array(&b->net, s->name, "loss", values, &loss, 1, 1);
    const ex_golden_kind kind = {.name = "grad", .within = gradients};
    ex_golden_check_tensors(&b->net, s->name, kind, g.params);
    ex_golden_check_array(&b->net, s->name, "input", gradients, g.input, pixels, planes);
    ex_guard_check(g.logits, logits);
    ex_guard_check(g.params, m->param_count);
    ex_guard_check(g.input, pixels);
    ex_guard_free(g.logits);
    ex_guard_free(g.params);
    ex_guard_free(g.input);
}

static void check_lane_unchanged(bench *b)
{
    const ex_model *m = b->net.model;
    float *params = ex_guard_floats(m->param_count), *stats = ex_guard_floats(m->stat_count);
    assert_ok(ex_lane_store(b->lane, params, stats));
    assert_memory_equal(params, b->net.params, m->param_count * sizeof *params);
    assert_memory_equal(stats, b->net.stats, m->stat_count * sizeof *stats);
    ex_guard_free(params);
    ex_guard_free(stats);
}

static void check_update(bench *b, const step *s, ex_golden_tolerance values,
                         ex_golden_tolerance gradients)
{
    const ex_model *m = b->net.model;
    float *params = ex_guard_floats(m->param_count), *velocity = ex_guard_floats(m->param_count);
    float *stats = ex_guard_floats(m->stat_count);
    ex_train_sums sums = {0};
    assert_ok(ex_plan_train(b->plan, &b->net.data, &b->net.feed, &b->net.sgd, &sums));
    assert_ok(ex_lane_store(b->lane, params, stats));
    assert_ok(ex_lane_store_velocity(b->lane, velocity));
    assert_int_equal(sums.count, b->batch);
    const float mean = (float)(sums.loss / b->batch);
    ex_golden_check_array(&b->net, s->name, "loss", values, &mean, 1, 1);
    const ex_golden_kind kinds[] = {
        {.name = "velocity", .within = gradients},
        {.name = "param",
         .within = gradients,
         .scale_of = "velocity",
         .scale = (double)b->net.sgd.lr,
         .slack = 0x1p-23},
        {.name = "stat", .within = values},
    };
    ex_golden_check_tensors(&b->net, s->name, kinds[0], velocity);
    ex_golden_check_tensors(&b->net, s->name, kinds[1], params);
    ex_golden_check_tensors(&b->net, s->name, kinds[2], stats);
    ex_guard_check(params, m->param_count);
    ex_guard_check(stats, m->stat_count);
    ex_guard_check(velocity, m->param_count);
    ex_guard_free(params);
    ex_guard_free(stats);
    ex_guard_free(velocity);
}

static bool is_left_out(const step *s)
{
#if defined(EX_TEST_EMULATED)
    return !s->quick && !getenv("EXCISE_EVERY");
#else
    (void)s;
    return false;
#endif
}

static void check_all_steps(ex_golden_setup setup, ex_golden_tolerance values,
                            ex_golden_tolerance gradients)
{
    for (size_t i = 0; i < STEPS; i++) {
        if (is_left_out(&steps[i]))
            continue;
        /* The gradient behind a norm over 28 values is what little is left of them, rounded. */
        if (setup.precision != EX_FP32 && strncmp(steps[i].model, "vgg", 3) == 0 &&
            strcmp(steps[i].name, "train7") == 0)
            continue;
        print_message("%s %s\n", steps[i].file, steps[i].name);
        bench b;
        open_bench(&b, &steps[i], setup);
        check_gradients(&b, &steps[i], values, gradients);
        check_lane_unchanged(&b);
        check_update(&b, &steps[i], values, gradients);
        close_bench(&b);
    }
}

static void test_step_equals_pytorch_on_one_thread(void **state)
{
    (void)state;
    check_all_steps((ex_golden_setup){1, EX_CONV_DIRECT, EX_FP32}, direct_values, EX_GOLDEN_DIRECT);
}

static void test_step_equals_pytorch_on_two_threads(void **state)
{
    (void)state;
    check_all_steps((ex_golden_setup){2, EX_CONV_DIRECT, EX_FP32}, direct_values, EX_GOLDEN_DIRECT);
}

static void test_step_is_near_pytorch_with_chosen_algorithms(void **state)
{
    (void)state;
    check_all_steps((ex_golden_setup){2, EX_CONV_AUTO, EX_FP32}, auto_values, auto_gradients);
}

#if defined(EX_TEST_EMULATED)
/* By the emulated device's clock the library's norms and pools are faster than our kernels. */
static void test_step_by_the_librarys_norms_and_pools_equals_pytorch(void **state)
{
    (void)state;
    ex_emulated_set_clock(1.0, 0.1);
    check_all_steps((ex_golden_setup){1, EX_CONV_AUTO, EX_FP32}, direct_values, EX_GOLDEN_DIRECT);
}
#endif

/* --- bf16 ----------------------------------------------------------------------------------- */

/* Maps of 8 bits, in up to twenty layers one behind the other, some of whose ReLUs turn: of a
 * tensor's errors only the rms says something. */
static const ex_golden_tolerance bf16_values = {3e-2, 1.0}, bf16_gradients = {0.5, 1e3};

static void test_step_in_bf16_is_near_pytorch(void **state)
{
    (void)state;
    if (!ex_golden_device_has(EX_BF16))
        skip();
    check_all_steps((ex_golden_setup){1, EX_CONV_AUTO, EX_BF16}, bf16_values, bf16_gradients);
}

/* --- tf32 ----------------------------------------------------------------------------------- */

/* Operands of 11 bits where bf16's have 8: an eighth of its rounding, of which a quarter is
 * allowed. The emulated device computes in float32. */
#if defined(EX_TEST_EMULATED)
#define TF32_VALUES    direct_values
#define TF32_GRADIENTS EX_GOLDEN_DIRECT
#else
static const ex_golden_tolerance tf32_values = {7.5e-3, 0.25}, tf32_gradients = {0.125, 250.0};
#define TF32_VALUES    tf32_values
#define TF32_GRADIENTS tf32_gradients
#endif

static void test_step_in_tf32_is_near_pytorch(void **state)
{
    (void)state;
    if (!ex_golden_device_has(EX_TF32))
        skip();
    check_all_steps((ex_golden_setup){1, EX_CONV_DIRECT, EX_TF32}, TF32_VALUES, TF32_GRADIENTS);
}

/* --- evaluation ----------------------------------------------------------------------------- */

static void check_evaluation(ex_golden_net *net, ex_golden_setup setup, int batch,
                             ex_golden_tolerance within)
{
    const size_t count = net->feed.count, classes = (size_t)net->model->classes;
    ex_device *device = ex_golden_device_open(setup.conv, setup.precision);
    ex_lane *lane;
    ex_plan *plan;
    assert_ok(ex_lane_create(&lane, device, net->model, setup.threads));
    assert_ok(ex_lane_load(lane, net->params, net->stats));
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = batch};
    assert_ok(ex_plan_create(&plan, lane, &spec));
    ex_eval_sums sums = {.logits = ex_guard_floats(count * classes)};
    assert_ok(ex_plan_evaluate(plan, &net->data, &net->feed, &sums));
    ex_guard_check(sums.logits, count * classes);
    ex_golden_check_array(net, "eval", "logits", within, sums.logits, count * classes, count);
    const float loss = (float)sums.loss;
    ex_golden_check_array(net, "eval", "loss", within, &loss, 1, 1);
    assert_int_equal(sums.count, count);
    assert_int_equal(sums.correct, *ex_golden_ints(net->file, 1, "eval/correct"));
    ex_guard_free(sums.logits);
    ex_plan_destroy(&plan);
    ex_lane_destroy(&lane);
    ex_device_close(&device);
}

static void test_evaluation_equals_pytorch_at_any_batch(void **state)
{
    (void)state;
    const step *last = NULL;
    for (size_t i = 0; i < STEPS; i++) {
        const step *s = &steps[i];
        if (last && strcmp(last->file, s->file) == 0)
            continue;
        last = s;
        ex_golden_net net;
        ex_golden_net_open(&net, s->file, s->model, s->channels, s->size);
        ex_golden_net_images(&net, "eval");
        for (int batch = 1; batch <= 33; batch = batch == 1 ? 7 : batch + 26)
            for (int threads = 1; threads <= 2; threads++)
                check_evaluation(&net, (ex_golden_setup){threads, EX_CONV_DIRECT, EX_FP32}, batch,
                                 direct_values);
        check_evaluation(&net, (ex_golden_setup){2, EX_CONV_AUTO, EX_FP32}, 33, auto_values);
        ex_golden_net_close(&net);
    }
}

int main(void)
{
    const int missing = ex_golden_device_missing();
    if (missing)
        return missing;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_equals_pytorch_on_one_thread),
        cmocka_unit_test(test_step_equals_pytorch_on_two_threads),
        cmocka_unit_test(test_step_is_near_pytorch_with_chosen_algorithms),
        cmocka_unit_test(test_step_in_bf16_is_near_pytorch),
        cmocka_unit_test(test_step_in_tf32_is_near_pytorch),
        cmocka_unit_test(test_evaluation_equals_pytorch_at_any_batch),
    };
#if defined(EX_TEST_EMULATED) /* of these the first one: threads change nothing there */
    const struct CMUnitTest library[] = {
        cmocka_unit_test(test_step_by_the_librarys_norms_and_pools_equals_pytorch),
        cmocka_unit_test(test_step_in_tf32_is_near_pytorch),
    };
    const int failed = cmocka_run_group_tests(library, NULL, NULL);
    return failed + _cmocka_run_group_tests("one step", tests, 1, NULL, NULL);
#else
    return cmocka_run_group_tests(tests, NULL, NULL);
#endif
}
