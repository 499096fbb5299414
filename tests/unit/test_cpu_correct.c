/* Which nodes a fork computes itself on the CPU: convolutions behind the ablated layer are
 * corrected. That the results are right is shown by test_device_ablate and test_ablate. */
#include "base/memory.h"
#include "net_reference.h"
#include "test.h"

#include <stdio.h>

enum { IMAGES = 2 };

typedef struct forked {
    ex_model *model;
    ex_device *device;
    ex_lane *lane;
    ex_plan *from, *to;
    float *params, *stats;
    ex_dataset data;
    ex_samples feed;
} forked;

static void open_forked(forked *f, const char *model)
{
    assert_ok(
        ex_model_create(&f->model, model,
                        (ex_model_shape){.classes = 10, .channels = 3, .height = 32, .width = 32}));
    assert_ok(
        ex_device_open(&f->device, &(ex_device_options){.device = "cpu", .conv = EX_CONV_DIRECT}));
    assert_ok(ex_lane_create(&f->lane, f->device, f->model, 1));
    assert_ok(ex_alloc(&f->params, f->model->param_count, sizeof *f->params, "params"));
    assert_ok(ex_alloc(&f->stats, f->model->stat_count + 1, sizeof *f->stats, "stats"));
    ex_test_values(f->model, 5, f->params, f->stats);
    assert_ok(ex_lane_load(f->lane, f->params, f->stats));
    ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = IMAGES, .keep_nodes = true};
    assert_ok(ex_plan_create(&f->from, f->lane, &spec));
    spec.keep_nodes = false;
    assert_ok(ex_plan_create(&f->to, f->lane, &spec));
    ex_test_images(&f->data, f->model, IMAGES, 3);
    assert_ok(ex_samples_all(&f->feed, &f->data));
    assert_ok(ex_plan_load(f->from, &f->data, &f->feed));
    assert_ok(ex_plan_forward(f->from, 1, f->model->node_count - 1));
}

static void close_forked(forked *f)
{
    ex_plan_destroy(&f->from);
    ex_plan_destroy(&f->to);
    ex_lane_destroy(&f->lane);
    ex_device_close(&f->device);
    ex_model_destroy(&f->model);
    ex_samples_free(&f->feed);
    ex_dataset_close(&f->data);
    ex_free(&f->params);
    ex_free(&f->stats);
}

/* Nodes that the fork of the layer computes behind the layer's own. */
static int nodes_computed(forked *f, const char *layer)
{
    const int32_t channel = 1;
    const int index = ex_model_find_layer(f->model, layer);
    int next;
    assert_true(index >= 0);
    const ex_fork fork = {.layer = index, .channel = &channel, .variants = 1, .images = IMAGES};
    assert_ok(ex_plan_fork(f->to, f->from, &fork, &next));
    return next - f->model->layers[index].node - 1;
}

static void test_the_convolution_behind_a_block_or_inside_it_is_corrected(void **state)
{
    (void)state;
    forked f = {0};
    open_forked(&f, "resnet20");
    assert_int_equal(nodes_computed(&f, "layer1.block_0.conv_bn1.conv"), 1); /* conv2 */
    assert_int_equal(nodes_computed(&f, "layer1.block_0.conv_bn2.conv"), 1); /* the next conv1 */
    assert_int_equal(nodes_computed(&f, "layer1.block_2.conv_bn2.conv"), 2); /* shortcut, conv1 */
    close_forked(&f);
}

static void test_corrections_reach_through_a_pooling(void **state)
{
    (void)state;
    forked f = {0};
    open_forked(&f, "vgg11");
    assert_int_equal(nodes_computed(&f, "feature.conv_3"), 2); /* pooling, convolution */
    assert_int_equal(nodes_computed(&f, "feature.conv_2"), 1);
    close_forked(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_convolution_behind_a_block_or_inside_it_is_corrected),
        cmocka_unit_test(test_corrections_reach_through_a_pooling),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
