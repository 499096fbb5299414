#include "io/model_file.h"
#include "io/safetensors.h"
#include "temp.h"
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct values {
    ex_model *model;
    float *params, *stats;
} values;

static values make(const char *name, int classes, int channels, uint64_t seed)
{
    values v = {0};
    assert_ok(ex_model_create(&v.model, name, (ex_model_shape){classes, channels, 32, 32}));
    v.params = malloc(v.model->param_count * sizeof *v.params);
    v.stats = malloc(v.model->stat_count * sizeof *v.stats);
    ex_model_init(v.model, seed, v.params, v.stats);
    for (size_t i = 0; i < v.model->stat_count; i++)
        v.stats[i] += (float)(i % 97) / 128.0f;
    return v;
}

static void drop(values *v)
{
    free(v->params);
    free(v->stats);
    ex_model_destroy(&v->model);
}

static void test_values_come_back_bit_for_bit(void **state)
{
    (void)state;
    for (const char *const *name = ex_model_names(); *name; name++) {
        values v = make(*name, 10, 3, 1), back = make(*name, 10, 3, 2);
        const char *path = ex_temp_path("model.safetensors");
        int64_t batches = -1;
        assert_ok(ex_model_file_write(path, v.model, v.params, v.stats, 391, NULL));
        assert_ok(ex_model_file_read(path, back.model, back.params, back.stats, &batches));
        assert_memory_equal(v.params, back.params, v.model->param_count * sizeof *v.params);
        assert_memory_equal(v.stats, back.stats, v.model->stat_count * sizeof *v.stats);
        assert_int_equal(batches, v.model->stat_count ? 391 : 0); /* a counter of the norms */
        drop(&v);
        drop(&back);
    }
}

static void test_filters_lie_as_pytorch_has_them(void **state)
{
    (void)state;
    values v = make("resnet20", 10, 3, 1);
    const char *path = ex_temp_path("model.safetensors");
    ex_safetensors *file;
    assert_ok(ex_model_file_write(path, v.model, v.params, v.stats, 0, NULL));
    assert_ok(ex_safetensors_read(&file, path));
    const ex_tensor_entry *e = ex_safetensors_find(file, "layer2.block_0.conv_bn1.conv.weight");
    const ex_layer *layer =
        &v.model->layers[ex_model_find_layer(v.model, "layer2.block_0.conv_bn1.conv")];
    enum { K = 32, C = 16, R = 3, S = 3 };
    assert_true(e->ndim == 4 && e->shape[0] == K && e->shape[1] == C && e->shape[3] == S);
    const float *kcrs = e->data, *krsc = v.params + layer->weight;
    for (int k = 0; k < K; k++)
        for (int c = 0; c < C; c++)
            for (int r = 0; r < R; r++)
                for (int s = 0; s < S; s++)
                    assert_true(kcrs[((k * C + c) * R + r) * S + s] ==
                                krsc[((k * R + r) * S + s) * C + c]);
    const ex_tensor_entry *tracked = ex_safetensors_find(file, "conv_bn.bn.num_batches_tracked");
    assert_true(tracked->dtype == EX_DTYPE_I64 && tracked->ndim == 0);
    for (size_t i = 0; i < file->entry_count; i++) {
        const ex_tensor_entry *entry = &file->entries[i];
        assert_int_equal(((const unsigned char *)entry->data - file->data) %
                             (ptrdiff_t)ex_dtype_bytes(entry->dtype),
                         0);
    }
    ex_safetensors_close(&file);
    drop(&v);
}

static void test_metadata_describes_the_model(void **state)
{
    (void)state;
    values v = make("vgg11", 100, 1, 1);
    const char *path = ex_temp_path("model.safetensors");
    json_t *more = json_pack("{s:s, s:s}", "dataset", "mnist", "model", "other");
    ex_model_info info;
    ex_safetensors *file;
    assert_ok(ex_model_file_write(path, v.model, v.params, v.stats, 0, more));
    json_decref(more);
    assert_ok(ex_model_file_describe(path, &info));
    assert_string_equal(info.architecture, "vgg11");
    assert_int_equal(info.shape.classes, 100);
    assert_int_equal(info.shape.channels, 1);
    assert_int_equal(info.shape.height, 32);
    assert_int_equal(info.shape.width, 32);
    assert_ok(ex_safetensors_read(&file, path));
    assert_string_equal(ex_safetensors_metadata(file, "dataset"), "mnist");
    assert_string_equal(ex_safetensors_metadata(file, "format"), "pt");
    ex_safetensors_close(&file);
    drop(&v);
}

/* How a file is changed before it is written again. */
typedef void (*edit)(ex_tensor_entry *entries, size_t *count);

/* Writes the model's file without metadata, edited; returns its path. */
static const char *write_edited(const values *v, edit change)
{
    const char *path = ex_temp_path("edited.safetensors");
    ex_safetensors *file;
    assert_ok(ex_model_file_write(path, v->model, v->params, v->stats, 5, NULL));
    assert_ok(ex_safetensors_read(&file, path));
    size_t count = file->entry_count;
    ex_tensor_entry *entries = calloc(count + 4, sizeof *entries);
    memcpy(entries, file->entries, count * sizeof *entries);
    if (change)
        change(entries, &count);
    assert_ok(ex_safetensors_write(path, entries, count, NULL));
    free(entries);
    ex_safetensors_close(&file);
    return path;
}

static void remove_counters(ex_tensor_entry *entries, size_t *count)
{
    size_t kept = 0;
    for (size_t i = 0; i < *count; i++)
        if (!strstr(entries[i].name, "num_batches_tracked"))
            entries[kept++] = entries[i];
    *count = kept;
}

static void test_files_without_metadata_or_counters_are_read(void **state)
{
    (void)state;
    values v = make("resnet20", 7, 1, 1), back = make("resnet20", 7, 1, 2);
    int64_t batches = -1;
    ex_model_info info;
    const char *path = write_edited(&v, remove_counters);
    assert_ok(ex_model_file_read(path, back.model, back.params, back.stats, &batches));
    assert_int_equal(batches, 0);
    assert_memory_equal(v.params, back.params, v.model->param_count * sizeof *v.params);
    assert_ok(ex_model_file_describe(path, &info));
    assert_string_equal(info.architecture, "resnet20");
    assert_int_equal(info.shape.classes, 7);
    assert_int_equal(info.shape.channels, 1);
    assert_int_equal(info.shape.height, 0);
    drop(&v);
    drop(&back);
}

static void remove_one(ex_tensor_entry *entries, size_t *count)
{
    entries[19] = entries[--*count];
}

static void add_stranger(ex_tensor_entry *entries, size_t *count)
{
    static const float one = 1.0f;
    entries[(*count)++] =
        (ex_tensor_entry){.name = "fc.weight", .dtype = EX_DTYPE_F32, .data = &one};
}

static void flatten_bias(ex_tensor_entry *entries, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(entries[i].name, "linear.bias") == 0) {
            entries[i].ndim = 2;
            entries[i].shape[1] = 1;
        }
}

static void make_integer(ex_tensor_entry *entries, size_t *count)
{
    for (size_t i = 0; i < *count; i++)
        if (strcmp(entries[i].name, "linear.bias") == 0)
            entries[i].dtype = EX_DTYPE_U32;
}

static void expect_refused(const values *v, edit change, const char *a, const char *b)
{
    values back = make(v->model->name, v->model->classes, v->model->in_channels, 2);
    const char *path = write_edited(v, change);
    assert_status(ex_model_file_read(path, back.model, back.params, back.stats, NULL),
                  EX_ERR_INPUT);
    assert_message("edited.safetensors");
    assert_message(a);
    assert_message(b);
    drop(&back);
}

static void test_tensors_that_do_not_fit_are_named(void **state)
{
    (void)state;
    values v = make("resnet20", 10, 3, 1);
    expect_refused(&v, remove_one, "1 tensor missing", "conv_bn.conv.weight");
    expect_refused(&v, add_stranger, "1 tensor not expected", "fc.weight");
    expect_refused(&v, flatten_bias, "linear.bias is 10 x 1, expected 10",
                   "1 tensor of another shape");
    expect_refused(&v, make_integer, "linear.bias is of type U32", "F32");
    v.params[v.model->layers[2].scale + 1] = NAN;
    expect_refused(&v, NULL, "layer1.block_0.conv_bn2.bn.weight holds", "index 1");
    v.params[v.model->layers[2].scale + 1] = 1.0f;
    v.stats[v.model->layers[2].var + 3] = -0.5f;
    expect_refused(&v, NULL, "layer1.block_0.conv_bn2.bn.running_var is -0.5", "index 3");
    drop(&v);
}

static void test_another_architecture_is_recognised(void **state)
{
    (void)state;
    values vgg = make("vgg11", 100, 1, 1), v = make("resnet20", 10, 3, 2);
    const char *path = ex_temp_path("vgg.safetensors");
    assert_ok(ex_model_file_write(path, vgg.model, vgg.params, vgg.stats, 0, NULL));
    assert_status(ex_model_file_read(path, v.model, v.params, v.stats, NULL), EX_ERR_INPUT);
    assert_message("it looks like vgg11 with 100 classes and 1 input channels");
    values more = make("vgg11", 10, 1, 3);
    assert_status(ex_model_file_read(path, more.model, more.params, more.stats, NULL),
                  EX_ERR_INPUT);
    assert_message("classifier.linear_1.bias is 100, expected 10");
    drop(&vgg);
    drop(&more);
    drop(&v);
}

static void test_metadata_out_of_range_is_refused(void **state)
{
    (void)state;
    const char *path = ex_temp_path("meta.safetensors");
    static const char *const bad[] = {"0", "-1", "65536", "ten", "", "10x", "99999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        ex_model_info info;
        json_t *metadata = json_pack("{s:s, s:s}", "model", "resnet20", "classes", bad[i]);
        assert_ok(ex_safetensors_write(path, NULL, 0, metadata));
        json_decref(metadata);
        assert_status(ex_model_file_describe(path, &info), EX_ERR_INPUT);
        assert_message("classes in the metadata");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_come_back_bit_for_bit),
        cmocka_unit_test(test_filters_lie_as_pytorch_has_them),
        cmocka_unit_test(test_metadata_describes_the_model),
        cmocka_unit_test(test_files_without_metadata_or_counters_are_read),
        cmocka_unit_test(test_tensors_that_do_not_fit_are_named),
        cmocka_unit_test(test_another_architecture_is_recognised),
        cmocka_unit_test(test_metadata_out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
