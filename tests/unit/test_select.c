/* Selection of channels, on effects made by hand. */
#include "model_fixture.h"
#include "select.h"
#include "test.h"

#include <math.h>

/* Class 3 of 100 probes, where no channel has an effect. */
static ex_effects *flat_table(void)
{
    ex_effects *e;
    assert_ok(ex_effects_alloc(&e, resnet20, 2));
    for (int i = 0; i < 2; i++) {
        e->class_label[i] = i ? 3 : 8;
        e->probe[i] = e->baseline_correct[i] = 100;
        for (int c = 0; c < resnet20->channel_count; c++)
            e->correct[i * resnet20->channel_count + c] = 100;
    }
    return e;
}

static int *correct_of(ex_effects *e, int class_index, int layer)
{
    return e->correct + class_index * resnet20->channel_count +
           resnet20->layers[layer].first_channel;
}

static double *loss_of(ex_effects *e, int class_index, int layer)
{
    return e->loss_delta + class_index * resnet20->channel_count +
           resnet20->layers[layer].first_channel;
}

static void test_count_rounds_and_never_selects_none(void **state)
{
    (void)state;
    assert_int_equal(ex_select_count(0.05, 16), 1); /* 0.8 */
    assert_int_equal(ex_select_count(0.05, 32), 2); /* 1.6 */
    assert_int_equal(ex_select_count(0.05, 64), 3); /* 3.2 */
    assert_int_equal(ex_select_count(0.01, 16), 1); /* 0.16 */
    assert_int_equal(ex_select_count(0.01, 512), 5);
    assert_int_equal(ex_select_count(1.0, 10), 10);
    assert_int_equal(ex_select_count(2.0, 10), 10);
}

static void test_highest_effects_of_the_class_are_selected_in_every_layer(void **state)
{
    (void)state;
    ex_effects *e = flat_table();
    for (int l = 0; l < resnet20->layer_count; l++) {
        correct_of(e, 1, l)[2] = 10, correct_of(e, 1, l)[5] = 20;
        correct_of(e, 0, l)[1] = 0; /* another class */
    }
    ex_mask *mask;
    assert_ok(ex_select_important(&mask, e, 3, 0.05, EX_LAYERS_ALL));
    for (int l = 0; l < resnet20->layer_count; l++) {
        const uint8_t *selected = ex_mask_layer(mask, l);
        const int k = ex_select_count(0.05, resnet20->layers[l].channels);
        assert_int_equal(ex_mask_layer_count(mask, l), k);
        assert_int_equal(selected[2], 1);
        assert_int_equal(selected[5], k > 1);
        assert_int_equal(selected[0], k > 2); /* then ties: the lowest index */
        assert_int_equal(selected[1], 0);
    }
    assert_true(mask->param_count > 0 && mask->stat_count > 0); /* sealed */
    ex_mask_destroy(&mask);
    ex_effects_destroy(&e);
}

static void test_ties_go_to_the_larger_loss_then_to_the_lower_index(void **state)
{
    (void)state;
    ex_effects *e = flat_table();
    const int l = 15; /* 64 channels */
    assert_int_equal(resnet20->layers[l].channels, 64);
    int *correct = correct_of(e, 1, l);
    double *loss = loss_of(e, 1, l);
    correct[10] = correct[20] = correct[30] = correct[40] = 50;
    loss[10] = 0.1, loss[20] = 0.3, loss[30] = 0.2, loss[40] = 0.1;
    loss[50] = 9.0; /* no effect in the count, so it comes last */
    ex_mask *mask;
    assert_ok(ex_select_important(&mask, e, 3, 0.05, EX_LAYERS_ALL));
    const uint8_t *selected = ex_mask_layer(mask, l);
    for (int c = 0; c < 64; c++)
        assert_int_equal(selected[c], c == 10 || c == 20 || c == 30);
    ex_mask_destroy(&mask);
    /* A loss that is no number counts as the largest; it must not unsettle the order. */
    loss[40] = NAN;
    assert_ok(ex_select_important(&mask, e, 3, 0.05, EX_LAYERS_ALL));
    selected = ex_mask_layer(mask, l);
    for (int c = 0; c < 64; c++)
        assert_int_equal(selected[c], c == 20 || c == 30 || c == 40);
    ex_mask_destroy(&mask);
    ex_effects_destroy(&e);
}

static void test_layers_choose_convolutions_or_the_head(void **state)
{
    (void)state;
    ex_effects *e = flat_table();
    ex_mask *all, *conv, *head;
    assert_ok(ex_select_important(&all, e, 3, 0.05, EX_LAYERS_ALL));
    assert_ok(ex_select_important(&conv, e, 3, 0.05, EX_LAYERS_CONV));
    assert_ok(ex_select_important(&head, e, 3, 0.05, EX_LAYERS_HEAD));
    assert_int_equal(head->channel_count, 1);
    assert_int_equal(all->channel_count, conv->channel_count + 1);
    assert_int_equal(ex_mask_layer_count(conv, resnet20->layer_count - 1), 0);
    assert_int_equal(ex_mask_layer_count(head, resnet20->layer_count - 1), 1);
    ex_mask_destroy(&all);
    ex_mask_destroy(&conv);
    ex_mask_destroy(&head);
    assert_status(ex_select_important(&all, e, 4, 0.05, EX_LAYERS_ALL), EX_ERR_INPUT);
    assert_message("does not cover class 4");
    assert_status(ex_select_important(&all, e, 3, 0.0, EX_LAYERS_ALL), EX_ERR_USAGE);
    assert_status(ex_select_important(&all, e, 3, NAN, EX_LAYERS_ALL), EX_ERR_USAGE);
    ex_effects_destroy(&e);
}

static void test_random_selection_has_the_same_counts_and_is_uniform(void **state)
{
    (void)state;
    enum { DRAWS = 4000, MOST = 64 };
    int hits[2][MOST] = {{0}};
    const int layers[2] = {0, 15}; /* 16 and 64 channels: 1 and 3 selected */
    for (uint64_t seed = 0; seed < DRAWS; seed++) {
        ex_mask *mask;
        assert_ok(ex_select_random(&mask, resnet20, 0.05, EX_LAYERS_ALL, seed));
        for (int l = 0; l < resnet20->layer_count; l++)
            assert_int_equal(ex_mask_layer_count(mask, l),
                             ex_select_count(0.05, resnet20->layers[l].channels));
        for (int i = 0; i < 2; i++)
            for (int c = 0; c < resnet20->layers[layers[i]].channels; c++)
                hits[i][c] += ex_mask_layer(mask, layers[i])[c];
        ex_mask_destroy(&mask);
    }
    for (int i = 0; i < 2; i++) {
        const int channels = resnet20->layers[layers[i]].channels;
        const double p = (double)ex_select_count(0.05, channels) / channels;
        const double deviation = sqrt(DRAWS * p * (1 - p));
        for (int c = 0; c < channels; c++)
            assert_true(fabs(hits[i][c] - DRAWS * p) < 5 * deviation);
    }
}

static void test_random_selection_repeats_with_its_seed(void **state)
{
    (void)state;
    ex_mask *a, *b, *c;
    assert_ok(ex_select_random(&a, resnet20, 0.2, EX_LAYERS_CONV, 5));
    assert_ok(ex_select_random(&b, resnet20, 0.2, EX_LAYERS_CONV, 5));
    assert_ok(ex_select_random(&c, resnet20, 0.2, EX_LAYERS_CONV, 6));
    assert_memory_equal(a->selected, b->selected, (size_t)resnet20->channel_count);
    assert_memory_not_equal(a->selected, c->selected, (size_t)resnet20->channel_count);
    /* Layers of the same width draw on their own. */
    assert_memory_not_equal(ex_mask_layer(a, 1), ex_mask_layer(a, 2), 16);
    ex_mask_destroy(&a);
    ex_mask_destroy(&b);
    ex_mask_destroy(&c);
}

static void test_head_is_the_row_and_bias_of_the_class(void **state)
{
    (void)state;
    ex_mask *mask;
    assert_ok(ex_select_head(&mask, resnet20, 7));
    const ex_layer *head = &resnet20->layers[resnet20->layer_count - 1];
    assert_int_equal(mask->channel_count, 1);
    assert_int_equal(mask->stat_count, 0);
    assert_int_equal(mask->param_count, 64 + 1);
    assert_int_equal(mask->params[0].offset, head->weight + 7 * 64);
    ex_mask_destroy(&mask);
    assert_status(ex_select_head(&mask, resnet20, 10), EX_ERR_USAGE);
    assert_status(ex_select_head(&mask, resnet20, -1), EX_ERR_USAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_rounds_and_never_selects_none),
        cmocka_unit_test(test_highest_effects_of_the_class_are_selected_in_every_layer),
        cmocka_unit_test(test_ties_go_to_the_larger_loss_then_to_the_lower_index),
        cmocka_unit_test(test_layers_choose_convolutions_or_the_head),
        cmocka_unit_test(test_random_selection_has_the_same_counts_and_is_uniform),
        cmocka_unit_test(test_random_selection_repeats_with_its_seed),
        cmocka_unit_test(test_head_is_the_row_and_bias_of_the_class),
    };
    return cmocka_run_group_tests(tests, ex_model_fixture_open, ex_model_fixture_close);
}
