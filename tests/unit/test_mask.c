#include "io/file.h"
#include "model/mask.h"
#include "temp.h"
#include "test.h"

#include <stdlib.h>
#include <string.h>

static ex_model *make_model(void)
{
    ex_model *model;
    assert_ok(ex_model_create(&model, "resnet20", (ex_model_shape){10, 3, 32, 32}));
    return model;
}

static void test_full_mask_is_one_segment_of_each_vector(void **state)
{
    (void)state;
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *m;
        ex_mask *mask;
        assert_ok(ex_model_create(&m, *name, (ex_model_shape){10, 3, 32, 32}));
        assert_ok(ex_mask_create_full(&mask, m));
        assert_int_equal(mask->param_segments, 1);
        assert_int_equal(mask->stat_segments, m->stat_count > 0); /* cnn has no norms */
        assert_int_equal(mask->params[0].offset, 0);
        assert_int_equal(mask->params[0].length, m->param_count);
        assert_true(m->stat_count == 0 || mask->stats[0].length == m->stat_count);
        assert_int_equal(mask->param_count, m->param_count);
        assert_int_equal(mask->stat_count, m->stat_count);
        assert_int_equal(mask->channel_count, m->channel_count);
        ex_mask_destroy(&mask);
        assert_null(mask);
        ex_model_destroy(&m);
    }
}

static void test_empty_mask_has_no_segments(void **state)
{
    (void)state;
    ex_model *m = make_model();
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    assert_int_equal(mask->param_segments + mask->stat_segments, 0);
    assert_ok(ex_mask_seal(mask));
    assert_int_equal(mask->param_segments + mask->stat_segments, 0);
    assert_int_equal(mask->channel_count, 0);
    ex_mask_destroy(&mask);
    ex_model_destroy(&m);
}

/* Marks, by the layer's offsets rather than by the tensor table, what a channel stands for. */
static void mark_channel(const ex_layer *layer, size_t channel, uint8_t *params, uint8_t *stats)
{
    memset(params + layer->weight + channel * layer->row, 1, layer->row);
    if (layer->bias != EX_NONE)
        params[layer->bias + channel] = 1;
    if (layer->scale == EX_NONE)
        return;
    params[layer->scale + channel] = params[layer->shift + channel] = 1;
    stats[layer->mean + channel] = stats[layer->var + channel] = 1;
}

static void check_segments(const ex_segment *segments, size_t count, const uint8_t *expected,
                           size_t n, size_t covered)
{
    uint8_t *found = calloc(n, 1);
    size_t end = 0, sum = 0;
    for (size_t i = 0; i < count; i++) {
        assert_true(segments[i].length > 0);
        if (i > 0) /* sorted, disjoint, and merged where they touch */
            assert_true(segments[i].offset > end);
        end = segments[i].offset + segments[i].length;
        assert_true(end <= n);
        memset(found + segments[i].offset, 1, segments[i].length);
        sum += segments[i].length;
    }
    assert_memory_equal(found, expected, n);
    assert_int_equal(sum, covered);
    free(found);
}

static void test_segments_are_exactly_the_selected_channels(void **state)
{
    (void)state;
    ex_model *m = make_model();
    uint8_t *params = malloc(m->param_count), *stats = malloc(m->stat_count);
    srand(1);
    for (int trial = 0; trial < 20; trial++) {
        ex_mask *mask;
        assert_ok(ex_mask_create(&mask, m));
        memset(params, 0, m->param_count);
        memset(stats, 0, m->stat_count);
        int selected = 0;
        for (int l = 0; l < m->layer_count; l++) {
            int in_layer = 0;
            for (int k = 0; k < m->layers[l].channels; k++) {
                if (rand() % 20 > trial)
                    continue;
                assert_ok(ex_mask_select(mask, l, k));
                assert_ok(ex_mask_select(mask, l, k)); /* twice is once */
                mark_channel(&m->layers[l], (size_t)k, params, stats);
                in_layer++;
            }
            assert_int_equal(ex_mask_layer_count(mask, l), in_layer);
            selected += in_layer;
        }
        assert_ok(ex_mask_seal(mask));
        assert_int_equal(mask->channel_count, selected);
        check_segments(mask->params, mask->param_segments, params, m->param_count,
                       mask->param_count);
        check_segments(mask->stats, mask->stat_segments, stats, m->stat_count, mask->stat_count);
        ex_mask_destroy(&mask);
    }
    free(params);
    free(stats);
    ex_model_destroy(&m);
}

static void test_pack_then_unpack_restores_the_selected_and_leaves_the_rest(void **state)
{
    (void)state;
    ex_model *m = make_model();
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    for (int l = 0; l < m->layer_count; l++)
        assert_ok(ex_mask_select(mask, l, (7 * l + 3) % m->layers[l].channels));
    assert_ok(ex_mask_seal(mask));
    float *flat = malloc(m->param_count * sizeof *flat);
    float *other = malloc(m->param_count * sizeof *other);
    float *packed = malloc(mask->param_count * sizeof *packed);
    uint8_t *expected = calloc(m->param_count, 1), *stats = calloc(m->stat_count, 1);
    for (size_t i = 0; i < m->param_count; i++) {
        flat[i] = (float)i;
        other[i] = -1.0f;
    }
    for (int l = 0; l < m->layer_count; l++)
        mark_channel(&m->layers[l], (size_t)((7 * l + 3) % m->layers[l].channels), expected, stats);
    size_t at = 0;
    for (size_t s = 0; s < mask->param_segments; s++) {
        const ex_segment g = mask->params[s];
        memcpy(packed + at, flat + g.offset, g.length * sizeof *flat);
        memcpy(other + g.offset, packed + at, g.length * sizeof *flat);
        at += g.length;
    }
    assert_int_equal(at, mask->param_count);
    for (size_t i = 0; i < m->param_count; i++)
        assert_true(other[i] == (expected[i] ? (float)i : -1.0f));
    free(flat);
    free(other);
    free(packed);
    free(expected);
    free(stats);
    ex_mask_destroy(&mask);
    ex_model_destroy(&m);
}

static void test_channels_out_of_range_are_refused(void **state)
{
    (void)state;
    ex_model *m = make_model();
    ex_mask *mask;
    assert_ok(ex_mask_create(&mask, m));
    assert_status(ex_mask_select(mask, -1, 0), EX_ERR_USAGE);
    assert_status(ex_mask_select(mask, m->layer_count, 0), EX_ERR_USAGE);
    assert_status(ex_mask_select(mask, 0, 16), EX_ERR_USAGE);
    assert_message("conv_bn.conv has 0 to 15");
    assert_status(ex_mask_select(mask, 0, -1), EX_ERR_USAGE);
    ex_mask_destroy(&mask);
    ex_model_destroy(&m);
}

static void test_mask_file_restores_the_mask(void **state)
{
    (void)state;
    ex_model *m = make_model();
    ex_mask *mask, *again;
    assert_ok(ex_mask_create(&mask, m));
    assert_ok(ex_mask_select(mask, 0, 15));
    assert_ok(ex_mask_select(mask, 0, 2));
    assert_ok(ex_mask_select(mask, m->layer_count - 1, 9));
    assert_ok(ex_mask_seal(mask));
    const char *path = ex_temp_path("mask.json");
    assert_ok(ex_mask_write(mask, path));
    assert_ok(ex_mask_read(&again, m, path));
    assert_memory_equal(mask->selected, again->selected, (size_t)m->channel_count);
    assert_int_equal(mask->param_segments, again->param_segments);
    assert_memory_equal(mask->params, again->params, mask->param_segments * sizeof *mask->params);
    assert_int_equal(mask->stat_count, again->stat_count);
    json_t *root;
    assert_ok(ex_json_read(&root, path));
    const json_t *stem = json_object_get(json_object_get(root, "layers"), "conv_bn.conv");
    assert_int_equal(json_array_size(stem), 2);
    assert_int_equal(json_integer_value(json_array_get(stem, 1)), 15);
    json_decref(root);
    ex_mask_destroy(&again);
    ex_mask_destroy(&mask);
    ex_model_destroy(&m);
}

static void test_mask_files_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"{\"model\":", "bad.json:1:"},
        {"[]", "no mask"},
        {"{\"model\":\"vgg11\",\"channels_total\":698,\"layers\":{}}", "a mask of vgg11"},
        {"{\"model\":\"resnet20\",\"channels_total\":697,\"layers\":{}}", "with 697 channels"},
        {"{\"model\":\"resnet20\",\"channels_total\":698}", "\"layers\""},
        {"{\"model\":\"resnet20\",\"channels_total\":698,\"layers\":{\"fc\":[1]}}", "\"fc\""},
        {"{\"model\":\"resnet20\",\"channels_total\":698,\"layers\":{\"linear\":3}}", "a list"},
        {"{\"model\":\"resnet20\",\"channels_total\":698,\"layers\":{\"linear\":[10]}}", "0 to 9"},
        {"{\"model\":\"resnet20\",\"channels_total\":698,\"layers\":{\"linear\":[0,-1]}}",
         "entry 1"},
        {"{\"model\":\"resnet20\",\"channels_total\":698,\"layers\":{\"linear\":[\"a\"]}}",
         "entry 0"},
    };
    ex_model *m = make_model();
    ex_mask *mask;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *path = ex_temp_write("bad.json", bad[i].text, strlen(bad[i].text), 0);
        assert_status(ex_mask_read(&mask, m, path), EX_ERR_INPUT);
        assert_message(bad[i].message);
        assert_message("bad.json");
        assert_null(mask);
    }
    assert_status(ex_mask_read(&mask, m, ex_temp_path("none.json")), EX_ERR_INPUT);
    ex_model_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_mask_is_one_segment_of_each_vector),
        cmocka_unit_test(test_empty_mask_has_no_segments),
        cmocka_unit_test(test_segments_are_exactly_the_selected_channels),
        cmocka_unit_test(test_pack_then_unpack_restores_the_selected_and_leaves_the_rest),
        cmocka_unit_test(test_channels_out_of_range_are_refused),
        cmocka_unit_test(test_mask_file_restores_the_mask),
        cmocka_unit_test(test_mask_files_that_do_not_fit_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
