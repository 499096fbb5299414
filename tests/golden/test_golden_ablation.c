/* Algorithm 1 against PyTorch's plain loop: every channel's count and loss, by each strategy. */
#include "ablate.h"
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

/* Counts agree but for one probe image in at most one channel of two hundred. */
static void check_counts(const ex_golden_setting *s, const char *ablation, const ex_effects *e)
{
    const size_t channels = (size_t)s->f->model->channel_count;
    const int32_t *correct = ex_golden_ints(s->net.file, channels, "%s/correct", ablation);
    const float *loss_delta = ex_golden_floats(s->net.file, channels, "%s/loss_delta", ablation);
    const float *base = ex_golden_floats(s->net.file, 2, "ablation/baseline");
    assert_int_equal(e->baseline_correct[0], (int)base[0]);
    assert_true(fabs(e->baseline_loss[0] - (double)base[1]) < 1e-4 * (double)base[1]);
    size_t off = 0;
    for (size_t c = 0; c < channels; c++) {
        const int difference = abs(e->correct[c] - correct[c]);
        if (difference > 1)
            fail_msg("channel %zu: %d correct, PyTorch counts %d", c, e->correct[c], correct[c]);
        off += difference == 1;
        const double error = fabs(e->loss_delta[c] - (double)loss_delta[c]);
        if (!(error <= 2e-5 + 1e-4 * fabs((double)loss_delta[c])))
            fail_msg("channel %zu: loss changes by %.9g, PyTorch says %.9g", c, e->loss_delta[c],
                     (double)loss_delta[c]);
    }
    assert_true(off * 200 <= channels);
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
    check_counts(&s, ablation == EX_ABLATE_FILTER ? "filter" : "activation", e);
    ex_effects_destroy(&e);
    ex_samples_free(&probe);
    ex_golden_setting_close(&s);
}

static void test_naive_ablation_counts_what_pytorch_counts(void **state)
{
    (void)state;
    check_ablation(EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, EX_CONV_DIRECT, 1);
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

int main(void)
{
    const int missing = ex_golden_device_missing();
    if (missing)
        return missing;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_naive_ablation_counts_what_pytorch_counts),
        cmocka_unit_test(test_batched_ablation_counts_what_pytorch_counts),
        cmocka_unit_test(test_ablated_activations_count_what_pytorch_counts),
        cmocka_unit_test(test_ablation_on_streams_counts_what_pytorch_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
