/* Algorithm 1 against PyTorch's plain loop: every channel's count and loss, by each strategy. */
#include "ablate.h"
#include "close_call.h"
#include "golden_device.h"
#include "golden_federation.h"
#include "golden_formula.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>

static void load_trained(ex_golden_setting *s)
{
    const ex_model *m = s->f->model;
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        float *vector = t->kind == EX_TENSOR_STAT ? s->f->stats : s->f->params;
        ex_golden_from_torch(vector, t,
                             ex_golden_floats(s->net.file, t->size, "value/%s", t->name));
    }
}

/* The plans that tell how close a call is, whichever strategy counted. */
typedef struct judge {
    ex_plan *from, *to;
    float *logits; /* (probe, classes) */
} judge;

static void judge_open(judge *j, const ex_golden_setting *s, const ex_samples *probe)
{
    ex_trainer *central;
    const int batch = (int)probe->count, last = s->f->model->node_count - 1;
    ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = batch, .keep_nodes = true};
    assert_ok(ex_federation_central(s->f, &central));
    assert_ok(ex_plan_create(&j->from, ex_trainer_lane(central), &spec));
    spec.keep_nodes = false;
    assert_ok(ex_plan_create(&j->to, ex_trainer_lane(central), &spec));
    assert_ok(ex_plan_load(j->from, &s->f->data->train, probe));
    assert_ok(ex_plan_forward(j->from, 1, last));
    j->logits = ex_guard_floats(probe->count * (size_t)s->f->model->classes);
}

static void judge_close(judge *j)
{
    ex_plan_destroy(&j->from);
    ex_plan_destroy(&j->to);
    ex_guard_free(j->logits);
}

/* Images without the channel whose label and best rival are as good as equal. */
static int close_calls(const judge *j, const ex_samples *probe, const ex_model *m, int flat,
                       ex_ablation ablation)
{
    int next, close = 0;
    const ex_layer *layer = ex_model_layer_of(m, flat);
    const int32_t channel = flat - layer->first_channel;
    const ex_fork fork = {.layer = (int)(layer - m->layers),
                          .ablation = ablation,
                          .channel = &channel,
                          .variants = 1,
                          .images = (int)probe->count};
    assert_ok(ex_plan_fork(j->to, j->from, &fork, &next));
    if (next < m->node_count)
        assert_ok(ex_plan_forward(j->to, next, m->node_count - 1));
    assert_ok(ex_plan_logits(j->to, j->logits, fork.images));
    for (size_t i = 0; i < probe->count; i++) {
        const float *row = j->logits + i * (size_t)m->classes;
        close += ex_test_close_call(row, m->classes, probe->label[i]);
    }
    return close;
}

/* Counts agree but for images that are too close to call. */
static void check_counts(const ex_golden_setting *s, const char *ablation, const ex_effects *e,
                         const judge *j, const ex_samples *probe)
{
    const size_t channels = (size_t)s->f->model->channel_count;
    const int32_t *correct = ex_golden_ints(s->net.file, channels, "%s/correct", ablation);
    const float *loss_delta = ex_golden_floats(s->net.file, channels, "%s/loss_delta", ablation);
    const float *base = ex_golden_floats(s->net.file, 2, "ablation/baseline");
    assert_int_equal(e->baseline_correct[0], (int)base[0]);
    assert_true(fabs(e->baseline_loss[0] - (double)base[1]) < 1e-4 * (double)base[1]);
    for (size_t c = 0; c < channels; c++) {
        const int difference = abs(e->correct[c] - correct[c]);
        if (difference > 0 && difference > close_calls(j, probe, s->f->model, (int)c, e->ablation))
            fail_msg("channel %zu: %d correct, PyTorch counts %d, and it is no close call", c,
                     e->correct[c], correct[c]);
        const double error = fabs(e->loss_delta[c] - (double)loss_delta[c]);
        if (!(error <= 2e-5 + 1e-4 * fabs((double)loss_delta[c])))
            fail_msg("channel %zu: loss changes by %.9g, PyTorch says %.9g", c, e->loss_delta[c],
                     (double)loss_delta[c]);
    }
}

static void check_ablation(ex_strategy_choice strategy, ex_ablation ablation, ex_conv_choice conv,
                           int lanes)
{
    ex_golden_setting s;
    ex_golden_setting_open(&s, conv, lanes);
    load_trained(&s);
    const int32_t *setup = ex_golden_ints(s.net.file, 4, "ablation/setup");
    const size_t probe_count = (size_t)setup[1];
    const int32_t *index = ex_golden_ints(s.net.file, probe_count, "ablation/index");
    ex_dataset *train = &s.f->data->train;
    assert_int_equal(setup[2], EX_GOLDEN_POOL);
    ex_formula_learnable(train->images, train->labels, (uint32_t)setup[3], EX_GOLDEN_POOL,
                         EX_GOLDEN_CHANNELS, EX_GOLDEN_SIZE);
    ex_samples probe;
    assert_ok(ex_samples_alloc(&probe, probe_count));
    for (size_t i = 0; i < probe_count; i++) {
        probe.index[i] = (uint32_t)index[i];
        probe.label[i] = train->labels[index[i]];
        assert_int_equal(probe.label[i], setup[0]);
    }
    s.f->config.unlearn.strategy = (int)strategy;
    s.f->config.unlearn.ablate = (int)ablation;
    const int label = setup[0];
    ex_effects *e;
    assert_ok(ex_ablate_samples(&e, s.f, &probe, &label, 1, (ex_ablate_limits){0}));
    judge j;
    judge_open(&j, &s, &probe);
    check_counts(&s, ablation == EX_ABLATE_FILTER ? "filter" : "activation", e, &j, &probe);
    judge_close(&j);
    ex_effects_destroy(&e);
    ex_samples_free(&probe);
    ex_golden_setting_close(&s);
}

#if !defined(EX_TEST_EMULATED) /* there a minute has room for what shares most */

static void test_naive_ablation_counts_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, EX_CONV_DIRECT, 1);
    check_ablation(EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, EX_CONV_AUTO, 1);
}

static void test_batched_ablation_counts_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, EX_CONV_DIRECT, 1);
    check_ablation(EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, EX_CONV_AUTO, 2);
}

static void test_ablated_activations_count_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_NAIVE, EX_ABLATE_ACTIVATION, EX_CONV_DIRECT, 1);
    check_ablation(EX_STRATEGY_BATCHED, EX_ABLATE_ACTIVATION, EX_CONV_DIRECT, 2);
}

static void test_ablation_on_streams_counts_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_STREAMS, EX_ABLATE_FILTER, EX_CONV_DIRECT, 2);
}

#else

static void test_batched_ablation_counts_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, EX_CONV_DIRECT, 2);
}

#endif

int main(void)
{
    const int missing = ex_golden_device_missing();
    if (missing)
        return missing;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batched_ablation_counts_what_pytorch_counts),
#if !defined(EX_TEST_EMULATED)
        cmocka_unit_test(test_naive_ablation_counts_what_pytorch_counts),
        cmocka_unit_test(test_ablated_activations_count_what_pytorch_counts),
        cmocka_unit_test(test_ablation_on_streams_counts_what_pytorch_counts),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
