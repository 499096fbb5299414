/* The paper's models under limits of memory, with convolutions that are timed and chosen: plans
 * never hold more, and the counts stay. Small models, every strategy and device:
 * test_device_ablate_memory. */
#include "ablation_fixture.h"
#include "held_memory.h"
#include "test.h"

static const int label = 5;

static ex_test_ablation open_watched(const char *model, int probe)
{
    ex_trainer *central;
    ex_test_ablation b = ex_test_ablation_open(model, 2, &label, 1, probe);
    b.f->device->options.conv = EX_CONV_AUTO;
    ex_federation_drop_plans(b.f); /* of training */
    assert_ok(ex_federation_lanes(b.f));
    assert_ok(ex_federation_central(b.f, &central));
    for (int i = 0; i < b.f->lane_count; i++)
        ex_test_held_watch(ex_trainer_lane(b.f->lanes[i]));
    ex_test_held_watch(ex_trainer_lane(central));
    ex_test_held_again();
    return b;
}

static ex_effects *measure(ex_test_ablation *b)
{
    return ex_test_ablation_measure(b, EX_STRATEGY_BATCHED, EX_ABLATE_FILTER, &label, 1,
                                    (ex_ablate_limits){0});
}

static void compare(ex_test_ablation *b, ex_effects *const *tables)
{
    for (int flat = 0; flat < b->f->model->channel_count; flat++) {
        if (!ex_test_ablation_differ(tables, 2, 1, flat))
            continue;
        ex_test_ablation_define(b, flat); /* only close calls may differ */
        ex_test_ablation_cell(b, tables[0], 0, flat);
        ex_test_ablation_cell(b, tables[1], 0, flat);
    }
}

/* Limits in percent of what is held without one. */
static void check(const char *model, int probe, const int *percent, int count)
{
    ex_test_ablation b = open_watched(model, probe);
    ex_effects *tables[2] = {measure(&b)};
    const size_t most = ex_test_held_most(), before = b.plan->bytes; /* the definition's */
    for (int i = 0; i < count; i++) {
        const size_t limit = most / 100 * (size_t)percent[i];
        b.f->device->options.memory = before + limit;
        ex_test_held_again();
        tables[1] = measure(&b);
        assert_in_range(ex_test_held_most(), 1, limit);
        assert_int_equal(ex_test_held(), 0);
        compare(&b, tables);
        ex_effects_destroy(&tables[1]);
    }
    ex_effects_destroy(&tables[0]);
    ex_test_ablation_close(&b);
}

static void test_resnet20_counts_the_same_under_any_limit(void **state)
{
    (void)state;
    check("resnet20", 40, (const int[]){60, 30, 25}, 3);
}

static void test_vgg11_counts_the_same_under_any_limit(void **state)
{
    (void)state;
    check("vgg11", 2, (const int[]){90, 65}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_resnet20_counts_the_same_under_any_limit),
        cmocka_unit_test(test_vgg11_counts_the_same_under_any_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
