/* What an ablation may not depend on (classes beside it, lanes, memory), and what it removes. */
#include "ablation_fixture.h"
#include "test.h"

#include <math.h>
#include <string.h>

static void test_one_pass_over_all_classes_equals_a_pass_for_each(void **state)
{
    (void)state;
    int all[10];
    for (int k = 0; k < 10; k++)
        all[k] = k;
    ex_test_ablation b = ex_test_ablation_open("resnet20", 2, all, 10, 5);
    ex_effects *together, *alone;
    b.f->config.unlearn.strategy = EX_STRATEGY_BATCHED;
    b.f->config.unlearn.probe = 5;
    assert_ok(ex_ablate(&together, b.f, -1));
    assert_int_equal(together->classes, 10);
    const int channels = b.f->model->channel_count;
    for (int k = 0; k < 10; k += 3) {
        assert_ok(ex_ablate(&alone, b.f, k));
        assert_int_equal(alone->classes, 1);
        const int i = ex_effects_class_index(together, k);
        assert_int_equal(alone->probe[0], together->probe[i]);
        assert_int_equal(alone->baseline_correct[0], together->baseline_correct[i]);
        for (int flat = 0; flat < channels; flat++) {
            const int cell = i * channels + flat;
            assert_true(fabs(alone->loss_delta[flat] - together->loss_delta[cell]) <
                        EX_TEST_LOSS_ROUNDING * (1.0 + fabs(alone->loss_delta[flat])));
            if (alone->correct[flat] != together->correct[cell]) { /* only close calls may differ */
                ex_test_ablation_define(&b, flat);
                ex_test_ablation_cell(&b, together, i, flat);
                ex_test_ablation_cell(&b, alone, 0, flat);
            }
        }
        ex_effects_destroy(&alone);
    }
    ex_effects_destroy(&together);
    assert_true(ex_ledger_cost(b.f->ledger, "ablation").compute_s > 0.0);
    assert_int_equal(ex_ledger_cost(b.f->ledger, "ablation").stored_samples, 50);
    ex_test_ablation_close(&b);
}

static void test_lanes_do_not_change_a_bit(void **state)
{
    (void)state;
    const int label = 1;
    ex_effects *e[2];
    ex_test_ablation b[2];
    for (int i = 0; i < 2; i++) {
        b[i] = ex_test_ablation_open("resnet20", i ? 3 : 1, &label, 1, 20);
        const ex_ablate_limits limits = {.chunk = 8, .variants = 4};
        e[i] = ex_test_ablation_measure(&b[i], EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1,
                                        limits);
    }
    const size_t channels = (size_t)b[0].f->model->channel_count;
    assert_int_equal(e[0]->digest, e[1]->digest);
    assert_memory_equal(e[0]->correct, e[1]->correct, channels * sizeof *e[0]->correct);
    assert_memory_equal(e[0]->loss_delta, e[1]->loss_delta, channels * sizeof *e[0]->loss_delta);
    for (int i = 0; i < 2; i++) {
        ex_effects_destroy(&e[i]);
        ex_test_ablation_close(&b[i]);
    }
}

/* Batches shrink until they fit, down to what cannot fit at all. */
static void test_a_memory_limit_shrinks_batches_and_keeps_the_numbers(void **state)
{
    (void)state;
    const int label = 1;
    const ex_ablate_limits limits = {.chunk = 20, .variants = 16};
    enum { CHANNELS = 688 + 10 }; /* of resnet20 */
    /* Of 24 MiB most are taken before ablation starts; the batches asked for take about 12. */
    static const size_t room[3] = {0, (size_t)24 << 20, 1};
    ex_effects *e[3];
    for (int i = 0; i < 3; i++) {
        ex_test_ablation b = ex_test_ablation_open("resnet20", 2, &label, 1, 20);
        b.f->config.unlearn.strategy = EX_STRATEGY_BATCHED;
        b.f->device->options.memory = room[i];
        assert_status(ex_ablate_samples(&e[i], b.f, &b.probe, &label, 1, limits),
                      i < 2 ? EX_OK : EX_ERR_MEMORY);
        if (i > 0)
            assert_message("memory allows"); /* larger ones were tried */
        ex_test_ablation_close(&b);
    }
    assert_null(e[2]);
    assert_int_equal(e[0]->baseline_correct[0], e[1]->baseline_correct[0]);
    for (int flat = 0; flat < CHANNELS; flat++) {
        const double loss = e[0]->loss_delta[flat];
        assert_true(fabs(e[1]->loss_delta[flat] - loss) <
                    EX_TEST_LOSS_ROUNDING * (1.0 + fabs(loss)));
    }
    ex_effects_destroy(&e[0]);
    ex_effects_destroy(&e[1]);
}

/* --- what is removed ----------------------------------------------------------------------- */

/* A channel whose norm has scale 0 emits its shift, whatever its filter is: without the filter
 * nothing changes, without the activation the constant is gone. */
static void test_filter_ablation_keeps_the_constant_of_the_norm(void **state)
{
    (void)state;
    const int label = 2;
    ex_test_ablation b = ex_test_ablation_open("resnet20", 1, &label, 1, 8);
    const int picked[3] = {0, 4, 11};
    for (int i = 0; i < 3; i++) {
        const ex_layer *l = &b.f->model->layers[picked[i]];
        b.f->params[l->scale + 1] = 0.0f;
        b.f->params[l->shift + 1] = 4.0f;
    }
    const ex_ablate_limits limits = {0};
    ex_effects *filter =
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    ex_effects *map =
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_ACTIVATION, &label, 1, limits);
    for (int i = 0; i < 3; i++) {
        const int flat = b.f->model->layers[picked[i]].first_channel + 1;
        assert_int_equal(filter->correct[flat], filter->baseline_correct[0]);
        assert_true(fabs(filter->loss_delta[flat]) <
                    EX_TEST_LOSS_ROUNDING * (1.0 + filter->baseline_loss[0]));
        assert_true(fabs(map->loss_delta[flat]) > 100 * EX_TEST_LOSS_ROUNDING);
    }
    /* A linear layer has neither norm nor residual: both ablations are one. */
    const ex_layer *head = &b.f->model->layers[b.f->model->layer_count - 1];
    for (int c = 0; c < head->channels; c++) {
        const int flat = head->first_channel + c;
        assert_int_equal(filter->correct[flat], map->correct[flat]);
        assert_true(fabs(filter->loss_delta[flat] - map->loss_delta[flat]) < 1e-12);
    }
    ex_effects_destroy(&filter);
    ex_effects_destroy(&map);
    ex_test_ablation_close(&b);
}

static void test_activation_ablation_is_the_same_in_every_strategy(void **state)
{
    (void)state;
    const int label = 6;
    ex_test_ablation b = ex_test_ablation_open("resnet20", 2, &label, 1, 8);
    const ex_ablate_limits limits = {0};
    ex_effects *e[3];
    for (int s = 0; s < 3; s++)
        e[s] = ex_test_ablation_measure(&b, (ex_strategy_choice)s, EX_ABLATE_ACTIVATION, &label, 1,
                                        limits);
    for (int s = 1; s < 3; s++)
        for (int flat = 0; flat < b.f->model->channel_count; flat++)
            assert_true(fabs(e[s]->loss_delta[flat] - e[0]->loss_delta[flat]) <
                        EX_TEST_LOSS_ROUNDING * (1.0 + fabs(e[0]->loss_delta[flat])));
    /* Behind a norm whose shift and mean are not zero, the map differs from the filter. */
    ex_effects *filter =
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    int differ = 0;
    for (int flat = 0; flat < b.f->model->channel_count; flat++)
        differ +=
            fabs(filter->loss_delta[flat] - e[2]->loss_delta[flat]) > 100 * EX_TEST_LOSS_ROUNDING;
    assert_true(differ > 20);
    ex_effects_destroy(&filter);
    for (int s = 0; s < 3; s++)
        ex_effects_destroy(&e[s]);
    ex_test_ablation_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_pass_over_all_classes_equals_a_pass_for_each),
        cmocka_unit_test(test_lanes_do_not_change_a_bit),
        cmocka_unit_test(test_a_memory_limit_shrinks_batches_and_keeps_the_numbers),
        cmocka_unit_test(test_filter_ablation_keeps_the_constant_of_the_norm),
        cmocka_unit_test(test_activation_ablation_is_the_same_in_every_strategy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
