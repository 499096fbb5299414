/* Whom an ablation asks, and how it counts the answers. */
#include "ablation_fixture.h"
#include "test.h"

#include <math.h>
#include <string.h>

static void test_tally_counts_ties_and_nans_as_stated(void **state)
{
    (void)state;
    ex_model *m;
    ex_effects *e;
    assert_ok(ex_model_create(&m, "resnet20", (ex_model_shape){3, 3, 16, 16}));
    assert_ok(ex_effects_alloc(&e, m, 2));
    const int class_of[3] = {0, -1, 1};
    const ex_ablate_job job = {.class_of = class_of, .e = e};
    const float logits[6][3] = {{1, 1, 0},   {0, 2, 2},   {-1, -2, -0.5f},
                                {5, NAN, 0}, {500, 0, 0}, {0, 9, 0}};
    const uint16_t label[6] = {0, 2, 2, 0, 0, 1};
    ex_ablate_tally(&job, 7, logits[0], label, 1); /* a tie goes to the lowest index: right */
    assert_int_equal(e->correct[7], 1);
    assert_true(fabs(e->loss_delta[7] - log(2 + exp(-1))) < 1e-12);
    ex_ablate_tally(&job, 7, logits[1], label + 1, 1); /* a tie goes to the lowest index: wrong */
    assert_int_equal(e->correct[m->channel_count + 7], 0);
    ex_ablate_tally(&job, 7, logits[2], label + 2, 1);
    assert_int_equal(e->correct[m->channel_count + 7], 1);
    ex_ablate_tally(&job, 8, logits[4], label + 4, 1); /* far apart: no overflow */
    assert_int_equal(e->correct[8], 1);
    assert_true(e->loss_delta[8] < 1e-100);
    ex_ablate_tally(&job, 8, logits[3], label + 3, 1); /* never correct with a NaN */
    assert_int_equal(e->correct[8], 1);
    assert_true(isnan(e->loss_delta[8]));
    ex_ablate_tally(&job, 8, logits[5], label + 5, 1); /* a class that is not probed */
    assert_int_equal(e->correct[8], 1);
    ex_ablate_tally(&job, EX_ABLATE_BASELINE, logits[0], label, 1);
    assert_int_equal(e->baseline_correct[0], 1);
    ex_effects_destroy(&e);
    ex_model_destroy(&m);
}

static void test_probe_set_is_the_servers_then_topped_up(void **state)
{
    (void)state;
    ex_config c;
    ex_config_default(&c);
    snprintf(c.dataset, sizeof c.dataset, "synthetic");
    snprintf(c.model, sizeof c.model, "resnet20");
    snprintf(c.device, sizeof c.device, "cpu");
    c.train_samples = 400, c.test_samples = 100, c.server.samples = 100, c.num_clients = 2;
    ex_federation *f;
    assert_ok(ex_federation_open(&f, &c));
    ex_samples held, probe, both;
    const int label = 4, two[2] = {9, 4};
    assert_ok(ex_samples_of_class(&held, &f->server, label, 1));
    assert_true(held.count > 0 && held.count < 40);
    const int more = (int)held.count + 3;
    assert_ok(ex_probe_make(&probe, f, &label, 1, more));
    assert_int_equal(probe.count, more);
    for (size_t i = 0; i < probe.count; i++) {
        assert_int_equal(probe.label[i], label);
        assert_int_equal(f->data->train.labels[probe.index[i]], label);
        int server = 0;
        for (size_t j = 0; j < held.count; j++)
            server += held.index[j] == probe.index[i];
        assert_int_equal(server, i < held.count);
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(probe.index[i], probe.index[j]);
    }
    /* Another class beside it changes nothing. */
    assert_ok(ex_probe_make(&both, f, two, 2, more));
    assert_memory_equal(both.index + both.count - probe.count, probe.index,
                        probe.count * sizeof *probe.index);
    ex_samples_free(&both);
    ex_samples_free(&probe);
    /* All there are, where there are fewer. */
    assert_ok(ex_probe_make(&probe, f, &label, 1, 100000));
    size_t all = 0;
    for (size_t i = 0; i < f->data->train.count; i++)
        all += f->data->train.labels[i] == label;
    assert_int_equal(probe.count, all);
    ex_samples_free(&probe);
    ex_samples_free(&held);
    ex_federation_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tally_counts_ties_and_nans_as_stated),
        cmocka_unit_test(test_probe_set_is_the_servers_then_topped_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
