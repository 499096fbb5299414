/* What is built from steps, against PyTorch: a round of FedAvg over unequal clients, masked steps
 * on the server, and a masked round.
 *
 * A client's batch is all that it has, so that its order does not matter. The tolerance is that of
 * a single step: rounds.py keeps seeds where several steps do not amplify rounding. */
#include "golden_device.h"
#include "golden_federation.h"
#include "golden_formula.h"
#include "test.h"

#include <string.h>

/* The case's images and labels; shares (EX_GOLDEN_CLIENTS) get theirs, all gets every sample. */
static void give_shares(ex_golden_setting *s, const char *name, ex_samples *shares, ex_samples *all)
{
    ex_dataset *train = &s->f->data->train;
    const int32_t seed = *ex_golden_ints(s->net.file, 1, "%s/case", name);
    const int32_t *clients = ex_golden_ints(s->net.file, EX_GOLDEN_CLIENTS, "clients");
    const uint8_t *label = ex_golden_bytes(s->net.file, EX_GOLDEN_SHARES, "%s/label", name);
    ex_formula_images(train->images, (uint32_t)seed, EX_GOLDEN_SHARES, EX_GOLDEN_CHANNELS,
                      EX_GOLDEN_SIZE);
    assert_ok(ex_samples_alloc(all, EX_GOLDEN_SHARES));
    uint32_t at = 0;
    for (int k = 0; k < EX_GOLDEN_CLIENTS; k++) {
        assert_ok(ex_samples_alloc(&shares[k], (size_t)clients[k]));
        for (size_t i = 0; i < shares[k].count; i++, at++) {
            shares[k].index[i] = all->index[at] = at;
            shares[k].label[i] = all->label[at] = label[at];
        }
    }
    assert_int_equal(at, EX_GOLDEN_SHARES);
}

static void free_shares(ex_samples *shares, ex_samples *all)
{
    for (int k = 0; k < EX_GOLDEN_CLIENTS; k++)
        ex_samples_free(&shares[k]);
    ex_samples_free(all);
}

static ex_mask *golden_mask(const ex_golden_setting *s)
{
    const ex_model *m = s->f->model;
    const uint8_t *selected = ex_golden_bytes(s->net.file, (size_t)m->channel_count, "mask");
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    for (int l = 0; l < m->layer_count; l++)
        for (int c = 0; c < m->layers[l].channels; c++)
            if (selected[m->layers[l].first_channel + c])
                assert_ok(ex_mask_select(mask, l, c));
    assert_ok(ex_mask_seal(mask));
    return mask;
}

/* New values near PyTorch's, in units of each tensor's change. */
static void check_values(const ex_golden_setting *s, const char *name, const float *params,
                         const float *stats)
{
    ex_golden_kind kind = {.name = "param",
                           .within = EX_GOLDEN_DIRECT,
                           .scale_of = "change",
                           .scale = 1.0,
                           .slack = 0x1p-22};
    ex_golden_check_tensors(&s->net, name, kind, params);
    kind.name = "stat";
    ex_golden_check_tensors(&s->net, name, kind, stats);
}

static void check_unmasked_bits(const float *now, const float *before, size_t count,
                                const ex_segment *segments, size_t segment_count)
{
    size_t at = 0;
    for (size_t i = 0; i <= segment_count; i++) {
        const size_t end = i < segment_count ? segments[i].offset : count;
        assert_memory_equal(now + at, before + at, (end - at) * sizeof *now);
        if (i < segment_count)
            at = end + segments[i].length;
    }
}

static void run_round(ex_golden_setting *s, const char *name, const ex_mask *mask)
{
    ex_samples shares[EX_GOLDEN_CLIENTS], all;
    give_shares(s, name, shares, &all);
    const float *setup = ex_golden_floats(s->net.file, 2, "%s/setup", name);
    const ex_round round = {.clients = shares,
                            .mask = mask,
                            .norm = EX_NORM_TRAIN,
                            .lr = (double)setup[1],
                            .local_epochs = (int)setup[0]};
    ex_round_result result;
    assert_ok(ex_federation_round(s->f, &round, &result));
    assert_int_equal(result.cohort, EX_GOLDEN_CLIENTS);
    assert_int_equal(result.samples, EX_GOLDEN_SHARES * (size_t)setup[0]);
    check_values(s, name, s->f->params, s->f->stats);
    free_shares(shares, &all);
}

static void test_fedavg_round_over_unequal_clients_equals_pytorch(void **state)
{
    (void)state;
    for (int lanes = 1; lanes <= 2; lanes++) {
        ex_golden_setting s;
        ex_golden_setting_open(&s, EX_CONV_DIRECT, lanes);
        s.f->config.weighting = EX_WEIGHTING_SAMPLES;
        run_round(&s, "fedavg", NULL);
        ex_golden_setting_close(&s);
    }
}

static void test_masked_round_equals_pytorch_and_leaves_other_bits(void **state)
{
    (void)state;
    ex_golden_setting s;
    ex_golden_setting_open(&s, EX_CONV_DIRECT, 2);
    s.f->config.weighting = EX_WEIGHTING_UNIFORM;
    ex_mask *mask = golden_mask(&s);
    run_round(&s, "de", mask);
    const ex_model *m = s.f->model;
    check_unmasked_bits(s.f->params, s.net.params, m->param_count, mask->params,
                        mask->param_segments);
    check_unmasked_bits(s.f->stats, s.net.stats, m->stat_count, mask->stats, mask->stat_segments);
    ex_mask_destroy(&mask);
    ex_golden_setting_close(&s);
}

static void test_masked_steps_equal_pytorch_and_leave_other_bits(void **state)
{
    (void)state;
    ex_golden_setting s;
    ex_golden_setting_open(&s, EX_CONV_DIRECT, 1);
    const ex_model *m = s.f->model;
    ex_samples shares[EX_GOLDEN_CLIENTS], all;
    give_shares(&s, "ce", shares, &all);
    const float *setup = ex_golden_floats(s.net.file, 3, "ce/setup");
    ex_mask *mask = golden_mask(&s);
    ex_trainer *central;
    assert_ok(ex_federation_central(s.f, &central));
    ex_lane *lane = ex_trainer_lane(central);
    ex_plan *plan;
    assert_ok(ex_plan_create(
        &plan, lane, &(ex_plan_spec){.use = EX_USE_TRAIN, .batch = (int)setup[0], .mask = mask}));
    all.count = (size_t)(setup[0] * setup[1]);
    s.net.sgd.lr = setup[2];
    ex_train_sums sums = {0};
    assert_ok(ex_plan_train(plan, &s.f->data->train, &all, &s.net.sgd, &sums));
    assert_ok(ex_lane_store(lane, s.f->params, s.f->stats));
    check_values(&s, "ce", s.f->params, s.f->stats);
    check_unmasked_bits(s.f->params, s.net.params, m->param_count, mask->params,
                        mask->param_segments);
    check_unmasked_bits(s.f->stats, s.net.stats, m->stat_count, mask->stats, mask->stat_segments);
    ex_plan_destroy(&plan);
    ex_mask_destroy(&mask);
    free_shares(shares, &all);
    ex_golden_setting_close(&s);
}

int main(void)
{
    const int missing = ex_golden_device_missing();
    if (missing)
        return missing;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fedavg_round_over_unequal_clients_equals_pytorch),
        cmocka_unit_test(test_masked_round_equals_pytorch_and_leaves_other_bits),
        cmocka_unit_test(test_masked_steps_equal_pytorch_and_leave_other_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
