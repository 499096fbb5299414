#include "model/model.h"
#include "test.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static ex_model *make(const char *name, int classes, int channels, int height, int width)
{
    ex_model *model;
    assert_ok(ex_model_create(&model, name, (ex_model_shape){classes, channels, height, width}));
    return model;
}

static const ex_tensor *find_tensor(const ex_model *model, const char *name)
{
    for (int i = 0; i < model->tensor_count; i++)
        if (strcmp(model->tensors[i].name, name) == 0)
            return &model->tensors[i];
    fail_msg("%s has no tensor %s", model->name, name);
    return NULL;
}

/* Parameters as published for 10 classes and 3 x 32 x 32; FLOPs of the convolutions as published
 * (81.1 and 305.5 million), in exact numbers, and the linear layers on top. */
static void test_models_have_the_published_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t params;
        int conv_channels, layers;
        double conv_flops, linear_flops;
    } expected[] = {
        {"resnet20", 269722, 688, 20, 81100800.0, 2.0 * 640},
        {"vgg11", 9491018, 2752, 10, 305528832.0, 2.0 * (512 * 512 + 5120)},
        /* As pytorch-cifar-models and pytorch-cifar print them; FLOPs of two shortcuts more. */
        {"resnet20-projection", 272474, 784, 22, 81100800.0 + 2.0 * (256 * 512 + 64 * 2048),
         2.0 * 640},
        {"resnet18", 11173962, 4800, 21, 1110835200.0, 2.0 * 5120},
        {"vgg11-head1", 9231114, 2752, 9, 305528832.0, 2.0 * 5120},
        {"vgg11-head3", 9756426, 2752, 11, 305528832.0, 2.0 * (2 * 512 * 512 + 5120)},
        {"cnn", 1626442, 96, 4, 2.0 * (900 * 32 * 27 + 784 * 64 * 288), 2.0 * (12544 * 128 + 1280)},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ex_model *m = make(expected[i].name, 10, 3, 32, 32);
        int conv_channels = 0;
        for (int l = 0; l < m->layer_count; l++)
            if (m->nodes[m->layers[l].node].op == EX_OP_CONV)
                conv_channels += m->layers[l].channels;
        assert_int_equal(m->param_count, expected[i].params);
        assert_int_equal(conv_channels, expected[i].conv_channels);
        const bool norms = strcmp(expected[i].name, "cnn") != 0;
        assert_int_equal(m->stat_count, norms ? 2 * expected[i].conv_channels : 0);
        assert_int_equal(m->layer_count, expected[i].layers);
        assert_true(ex_model_flops(m) == expected[i].conv_flops + expected[i].linear_flops);
        ex_model_destroy(&m);
        assert_null(m);
    }
}

static void test_tensors_carry_the_names_and_shapes_of_the_paper(void **state)
{
    (void)state;
    static const struct {
        const char *model, *tensor;
        int ndim, shape[4];
    } expected[] = {
        {"resnet20", "conv_bn.conv.weight", 4, {16, 3, 3, 3}},
        {"resnet20", "conv_bn.bn.running_var", 1, {16}},
        {"resnet20", "layer1.block_0.conv_bn1.bn.bias", 1, {16}},
        {"resnet20", "layer2.block_0.conv_bn1.conv.weight", 4, {32, 16, 3, 3}},
        {"resnet20", "layer3.block_2.conv_bn2.conv.weight", 4, {64, 64, 3, 3}},
        {"resnet20", "layer3.block_2.conv_bn2.bn.running_mean", 1, {64}},
        {"resnet20", "linear.weight", 2, {10, 64}},
        {"resnet20", "linear.bias", 1, {10}},
        {"resnet18", "conv_bn.conv.weight", 4, {64, 3, 3, 3}},
        {"resnet18", "layer2.block_0.shortcut.conv.weight", 4, {128, 64, 1, 1}},
        {"resnet18", "layer4.block_0.shortcut.bn.running_mean", 1, {512}},
        {"resnet18", "layer4.block_1.conv_bn2.conv.weight", 4, {512, 512, 3, 3}},
        {"resnet20-projection", "layer3.block_0.shortcut.conv.weight", 4, {64, 32, 1, 1}},
        {"vgg11-head1", "feature.conv_2.bias", 1, {256}},
        {"vgg11-head3", "classifier.linear_2.weight", 2, {10, 512}},
        {"cnn", "feature.conv_1.weight", 4, {64, 32, 3, 3}},
        {"cnn", "feature.conv_1.bias", 1, {64}},
        {"cnn", "classifier.linear_0.weight", 2, {128, 12544}},
        {"cnn", "classifier.linear_1.bias", 1, {10}},
        {"vgg11-head1", "classifier.linear_0.weight", 2, {10, 512}},
        {"vgg11", "feature.conv_0.weight", 4, {64, 3, 3, 3}},
        {"vgg11", "feature.bn_3.weight", 1, {256}},
        {"vgg11", "feature.conv_7.weight", 4, {512, 512, 3, 3}},
        {"vgg11", "classifier.linear_0.weight", 2, {512, 512}},
        {"vgg11", "classifier.linear_1.bias", 1, {10}},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        ex_model *m = make(expected[i].model, 10, 3, 32, 32);
        const ex_tensor *t = find_tensor(m, expected[i].tensor);
        assert_int_equal(t->ndim, expected[i].ndim);
        for (int a = 0; a < t->ndim; a++)
            assert_int_equal(t->shape[a], expected[i].shape[a]);
        ex_model_destroy(&m);
    }
}

static void test_tensors_tile_both_vectors(void **state)
{
    (void)state;
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *m = make(*name, 10, 1, 28, 28);
        uint8_t *covered[2] = {calloc(m->param_count, 1), calloc(m->stat_count, 1)};
        const size_t counts[2] = {m->param_count, m->stat_count};
        for (int i = 0; i < m->tensor_count; i++) {
            const ex_tensor *t = &m->tensors[i];
            const int vector = t->kind == EX_TENSOR_STAT;
            assert_true(t->offset + t->size <= counts[vector]);
            assert_int_equal(t->shape[0], m->layers[t->layer].channels);
            for (size_t j = 0; j < t->size; j++)
                covered[vector][t->offset + j]++;
        }
        for (int v = 0; v < 2; v++) {
            for (size_t j = 0; j < counts[v]; j++)
                assert_int_equal(covered[v][j], 1);
            free(covered[v]);
        }
        ex_model_destroy(&m);
    }
}

static void check_layer_offsets(const ex_model *m, const ex_layer *layer)
{
    char name[2 * EX_NAME_MAX];
    snprintf(name, sizeof name, "%s.weight", layer->name);
    const ex_tensor *weight = find_tensor(m, name);
    assert_int_equal(layer->weight, weight->offset);
    assert_int_equal(layer->row * (size_t)layer->channels, weight->size);
    if (!layer->norm_name[0]) {
        assert_true(layer->scale == EX_NONE && layer->mean == EX_NONE);
        return;
    }
    static const char *const suffixes[4] = {"weight", "bias", "running_mean", "running_var"};
    const size_t offsets[4] = {layer->scale, layer->shift, layer->mean, layer->var};
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "%s.%s", layer->norm_name, suffixes[i]);
        assert_int_equal(offsets[i], find_tensor(m, name)->offset);
    }
}

static void test_layers_point_at_their_tensors(void **state)
{
    (void)state;
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *m = make(*name, 7, 4, 16, 16);
        int channels = 0;
        for (int l = 0; l < m->layer_count; l++) {
            const ex_layer *layer = &m->layers[l];
            assert_int_equal(layer->first_channel, channels);
            assert_int_equal(m->nodes[layer->node].layer, l);
            assert_int_equal(m->nodes[layer->node].K, layer->channels);
            assert_int_equal(ex_model_find_layer(m, layer->name), l);
            check_layer_offsets(m, layer);
            channels += layer->channels;
        }
        assert_int_equal(m->channel_count, channels);
        assert_int_equal(ex_model_find_layer(m, "layer9"), -1);
        ex_model_destroy(&m);
    }
}

/* What every executor relies on: inputs come first and have the shape that is read. */
static void check_nodes(const ex_model *m)
{
    assert_int_equal(m->nodes[0].op, EX_OP_INPUT);
    for (int i = 1; i < m->node_count; i++) {
        const ex_node *n = &m->nodes[i], *in = &m->nodes[n->input];
        assert_true(n->input >= 0 && n->input < i);
        assert_true(n->C == in->K && n->H == in->out_H && n->W == in->out_W);
        if (n->residual >= 0) {
            const ex_node *r = &m->nodes[n->residual];
            assert_true(n->residual < i && r->K == n->K);
            assert_true(r->out_H == n->out_H && r->out_W == n->out_W);
        }
        if (n->op == EX_OP_LINEAR || n->op == EX_OP_SHORTCUT_A)
            continue;
        assert_int_equal(n->out_H, (n->H + 2 * n->pad - n->R) / n->stride + 1);
        assert_int_equal(n->out_W, (n->W + 2 * n->pad - n->S) / n->stride + 1);
    }
    const ex_node *last = &m->nodes[m->node_count - 1];
    assert_true(last->op == EX_OP_LINEAR && last->K == m->classes && last->out_H == 1);
}

static void test_graphs_fit_together_at_any_image_size(void **state)
{
    (void)state;
    static const int sizes[][2] = {{8, 8}, {9, 11}, {16, 16}, {28, 28}, {32, 32}, {33, 8}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        const int height = sizes[i][0], width = sizes[i][1];
        for (int channels = 1; channels <= 4; channels++) {
            ex_model *m = make("resnet20", 10, channels, height, width);
            check_nodes(m);
            const ex_node *pool = &m->nodes[m->node_count - 2];
            assert_int_equal(pool->op, EX_OP_AVGPOOL);
            assert_int_equal(pool->R, (height + 3) / 4); /* ceil of ceil of half */
            assert_int_equal(pool->S, (width + 3) / 4);
            ex_model_destroy(&m);
        }
    }
    ex_model *vgg = make("vgg11", 10, 1, 28, 28);
    assert_int_equal(vgg->in_height, 32);
    assert_int_equal(vgg->in_width, 32);
    check_nodes(vgg);
    ex_model_destroy(&vgg);
}

static void test_bad_names_and_shapes_are_refused(void **state)
{
    (void)state;
    ex_model *m;
    const ex_model_shape cifar = {10, 3, 32, 32};
    assert_status(ex_model_create(&m, "resnet2", cifar), EX_ERR_CONFIG);
    assert_message("one of resnet20, resnet20-projection");
    assert_null(m);
    static const ex_model_shape bad[] = {{1, 3, 32, 32},  {65536, 3, 32, 32}, {10, 0, 32, 32},
                                         {10, 5, 32, 32}, {10, 3, 7, 32},     {10, 3, 32, 1 << 20}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_status(ex_model_create(&m, "resnet20", bad[i]), EX_ERR_CONFIG);
    assert_status(ex_model_create(&m, "vgg11", (ex_model_shape){10, 3, 33, 32}), EX_ERR_CONFIG);
    assert_message("at most 32 x 32");
}

static void check_uniform(const float *values, size_t n, double bound)
{
    double sum = 0, squares = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        sum += (double)values[i];
        squares += (double)values[i] * (double)values[i];
        largest = fmax(largest, fabs((double)values[i]));
    }
    const double deviation = bound / sqrt(3.0);
    assert_true(largest <= bound * (1 + 1e-6));
    if (n < 400)
        return;
    assert_true(largest > 0.97 * bound);
    assert_true(fabs(sum / (double)n) < 5 * deviation / sqrt((double)n));
    assert_true(fabs(sqrt(squares / (double)n) / deviation - 1.0) < 0.1);
}

static void test_init_draws_from_kaiming_bounds_and_neutral_norms(void **state)
{
    (void)state;
    ex_model *m = make("resnet20", 10, 3, 32, 32);
    float *params = ex_guard_floats(m->param_count), *stats = ex_guard_floats(m->stat_count);
    ex_model_init(m, 5, params, stats);
    ex_guard_check(params, m->param_count);
    ex_guard_check(stats, m->stat_count);
    for (int l = 0; l < m->layer_count; l++) {
        const ex_layer *layer = &m->layers[l];
        const double bound = 1.0 / sqrt((double)layer->row);
        check_uniform(params + layer->weight, layer->row * (size_t)layer->channels, bound);
        if (layer->bias != EX_NONE)
            check_uniform(params + layer->bias, (size_t)layer->channels, bound);
        for (int k = 0; layer->scale != EX_NONE && k < layer->channels; k++) {
            assert_true(params[layer->scale + (size_t)k] == 1.0f);
            assert_true(params[layer->shift + (size_t)k] == 0.0f);
            assert_true(stats[layer->mean + (size_t)k] == 0.0f);
            assert_true(stats[layer->var + (size_t)k] == 1.0f);
        }
    }
    ex_guard_free(params);
    ex_guard_free(stats);
    ex_model_destroy(&m);
}

static void test_digest_tells_seeds_values_and_architectures_apart(void **state)
{
    (void)state;
    ex_model *m = make("resnet20", 10, 1, 16, 16), *other = make("resnet20", 10, 1, 16, 17);
    float *params = calloc(m->param_count, sizeof *params);
    float *stats = calloc(m->stat_count, sizeof *stats);
    ex_model_init(m, 1, params, stats);
    const uint64_t first = ex_model_digest(m, params, stats);
    ex_model_init(m, 2, params, stats);
    assert_true(first != ex_model_digest(m, params, stats));
    ex_model_init(m, 1, params, stats);
    assert_true(first == ex_model_digest(m, params, stats));
    assert_true(first != ex_model_digest(other, params, stats));
    stats[m->stat_count - 1] += 1e-6f;
    assert_true(first != ex_model_digest(m, params, stats));
    free(params);
    free(stats);
    ex_model_destroy(&m);
    ex_model_destroy(&other);
}

static void test_values_that_are_not_finite_are_named(void **state)
{
    (void)state;
    ex_model *m = make("resnet20", 10, 1, 16, 16);
    float *params = calloc(m->param_count, sizeof *params);
    float *stats = calloc(m->stat_count, sizeof *stats);
    ex_model_init(m, 1, params, stats);
    assert_ok(ex_model_check_finite(m, params, stats));
    const ex_layer *layer = &m->layers[3];
    stats[layer->var + 7] = INFINITY;
    assert_status(ex_model_check_finite(m, params, stats), EX_ERR_INPUT);
    assert_message("layer1.block_1.conv_bn1.bn.running_var");
    assert_message("index 7 of 16");
    params[layer->weight + 3 * layer->row] = NAN;
    assert_status(ex_model_check_finite(m, params, stats), EX_ERR_INPUT);
    assert_message("layer1.block_1.conv_bn1.conv.weight");
    assert_message("(channel 3)");
    free(params);
    free(stats);
    ex_model_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models_have_the_published_sizes),
        cmocka_unit_test(test_tensors_carry_the_names_and_shapes_of_the_paper),
        cmocka_unit_test(test_tensors_tile_both_vectors),
        cmocka_unit_test(test_layers_point_at_their_tensors),
        cmocka_unit_test(test_graphs_fit_together_at_any_image_size),
        cmocka_unit_test(test_bad_names_and_shapes_are_refused),
        cmocka_unit_test(test_init_draws_from_kaiming_bounds_and_neutral_norms),
        cmocka_unit_test(test_digest_tells_seeds_values_and_architectures_apart),
        cmocka_unit_test(test_values_that_are_not_finite_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
