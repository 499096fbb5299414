/* Effects by ablation: every strategy gives what the definition says, channel by channel. */
#include "ablation_fixture.h"
#include "test.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Every channel by four ways; the definition decides wherever they disagree. */
static void test_every_strategy_gives_the_definition_on_resnet20(void **state)
{
    (void)state;
    enum { CLASSES = 10 };
    const int labels[CLASSES] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
    ex_test_ablation b = ex_test_ablation_open("resnet20", 2, labels, CLASSES, 2);
    ex_effects *tables[4];
    const ex_ablate_limits odd = {.chunk = 7, .variants = 5}, standard = {0};
    tables[0] = ex_test_ablation_measure(&b, EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, labels, CLASSES,
                                         standard);
    tables[1] = ex_test_ablation_measure(&b, EX_STRATEGY_STREAMS, EX_ABLATE_FILTER, labels, CLASSES,
                                         standard);
    tables[2] = ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, labels, CLASSES,
                                         standard);
    tables[3] =
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, labels, CLASSES, odd);
    int distinct = 0;
    for (int flat = 0; flat < b.f->model->channel_count; flat++) {
        const bool doubt = ex_test_ablation_differ(tables, 4, CLASSES, flat);
        for (int i = 0; i < CLASSES; i++)
            distinct += tables[0]->correct[i * b.f->model->channel_count + flat] !=
                        tables[0]->baseline_correct[i];
        if (flat % 7 && !doubt) /* the definition takes long: for some, and where there is doubt */
            continue;
        ex_test_ablation_define(&b, flat);
        for (int t = 0; t < 4; t++)
            for (int i = 0; i < CLASSES; i++)
                ex_test_ablation_cell(&b, tables[t], i, flat);
    }
    assert_true(distinct > 10); /* the model is trained enough for channels to matter */
    for (int t = 0; t < 4; t++) {
        assert_int_equal(tables[t]->probe[0], 2);
        assert_int_equal(tables[t]->digest, ex_model_digest(b.f->model, b.f->params, b.f->stats));
        ex_effects_destroy(&tables[t]);
    }
    ex_test_ablation_close(&b);
}

static void check_every_layer(const char *model, int probe)
{
    const int label = 5;
    ex_test_ablation b = ex_test_ablation_open(model, 2, &label, 1, probe);
    const ex_ablate_limits limits = {.chunk = 4, .variants = 16};
    ex_effects *e =
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, limits);
    const ex_model *m = b.f->model;
    for (int l = 0; l < m->layer_count; l++) { /* the first, the last and one between */
        const int first = m->layers[l].first_channel, channels = m->layers[l].channels;
        const int picked[3] = {first, first + channels / 3, first + channels - 1};
        for (int i = 0; i < 3; i++) {
            ex_test_ablation_define(&b, picked[i]);
            ex_test_ablation_cell(&b, e, 0, picked[i]);
        }
    }
    ex_effects_destroy(&e);
    ex_test_ablation_close(&b);
}

static void test_vgg11_batched_gives_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("vgg11", 4);
}

static void test_biased_convolutions_give_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("vgg11-head1", 2);
}

static void test_layers_without_norms_give_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("cnn", 4);
}

static void test_resnet18_batched_gives_the_definition_in_every_layer(void **state)
{
    (void)state;
    check_every_layer("resnet18", 1);
}

static void test_projection_shortcuts_batched_equal_naive_in_every_channel(void **state)
{
    (void)state;
    const int label = 2;
    ex_test_ablation b = ex_test_ablation_open("resnet20-projection", 1, &label, 1, 3);
    const ex_ablate_limits standard = {0};
    ex_effects *tables[2] = {
        ex_test_ablation_measure(&b, EX_STRATEGY_NAIVE, EX_ABLATE_FILTER, &label, 1, standard),
        ex_test_ablation_measure(&b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1, standard),
    };
    for (int flat = 0; flat < b.f->model->channel_count; flat++) {
        if (!ex_test_ablation_differ(tables, 2, 1, flat))
            continue;
        ex_test_ablation_define(&b, flat); /* only close calls may differ */
        ex_test_ablation_cell(&b, tables[0], 0, flat);
        ex_test_ablation_cell(&b, tables[1], 0, flat);
    }
    ex_effects_destroy(&tables[0]);
    ex_effects_destroy(&tables[1]);
    ex_test_ablation_close(&b);
}

static void test_a_signal_stops_every_strategy(void **state)
{
    (void)state;
    const int label = 2;
    const ex_ablate_limits standard = {0};
    ex_test_ablation b = ex_test_ablation_open("resnet20-projection", 1, &label, 1, 3);
    for (int s = EX_STRATEGY_NAIVE; s <= EX_STRATEGY_BATCHED; s++) {
        ex_effects *e = NULL;
        b.f->config.unlearn.strategy = (ex_strategy_choice)s;
        ex_interrupt_install();
        raise(SIGINT);
        assert_status(ex_ablate_samples(&e, b.f, &b.probe, &label, 1, standard),
                      EX_ERR_INTERRUPTED);
        if (s != EX_STRATEGY_NAIVE) /* whose evaluations stop by themselves */
            assert_message("interrupted while ablating");
        assert_null(e);
    }
    ex_interrupt_install();
    ex_test_ablation_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_strategy_gives_the_definition_on_resnet20),
        cmocka_unit_test(test_vgg11_batched_gives_the_definition_in_every_layer),
        cmocka_unit_test(test_biased_convolutions_give_the_definition_in_every_layer),
        cmocka_unit_test(test_layers_without_norms_give_the_definition_in_every_layer),
        cmocka_unit_test(test_resnet18_batched_gives_the_definition_in_every_layer),
        cmocka_unit_test(test_projection_shortcuts_batched_equal_naive_in_every_channel),
        cmocka_unit_test(test_a_signal_stops_every_strategy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
