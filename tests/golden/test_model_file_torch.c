/* A resnet20 saved by PyTorch (make_model_file.py) is read with the values that PyTorch printed. */
#include "io/model_file.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILE_PATH   EXCISE_TEST_DATA "/files/resnet20_torch.safetensors"
#define VALUES_PATH EXCISE_TEST_DATA "/files/resnet20_torch.txt"

/* Where element `index` (PyTorch's axes) lies in the tensor's vector: filters K,R,S,C. */
static size_t locate(const ex_tensor *t, const size_t *index)
{
    if (t->ndim == 1)
        return t->offset + index[0];
    const size_t C = (size_t)t->shape[1];
    if (t->ndim == 2)
        return t->offset + index[0] * C + index[1];
    const size_t R = (size_t)t->shape[2], S = (size_t)t->shape[3];
    return t->offset + ((index[0] * R + index[2]) * S + index[3]) * C + index[1];
}

static const ex_tensor *find_tensor(const ex_model *m, const char *name)
{
    for (int i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return &m->tensors[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

/* Compares one line "tensor i0 i1 ... value". */
static void check_line(char *line, const ex_model *m, const float *params, const float *stats)
{
    const ex_tensor *t = find_tensor(m, strtok(line, " "));
    size_t index[4];
    for (int i = 0; i < t->ndim; i++)
        index[i] = strtoul(strtok(NULL, " "), NULL, 10);
    const float expected = strtof(strtok(NULL, " \n"), NULL);
    const float found = (t->kind == EX_TENSOR_STAT ? stats : params)[locate(t, index)];
    if (found != expected)
        fail_msg("%s: %a, expected %a", t->name, (double)found, (double)expected);
}

static void test_values_of_a_pytorch_file_are_where_they_belong(void **state)
{
    (void)state;
    ex_model_info info;
    ex_model *m;
    int64_t batches;
    assert_ok(ex_model_file_describe(FILE_PATH, &info));
    assert_string_equal(info.architecture, "resnet20");
    assert_true(info.shape.classes == 10 && info.shape.channels == 3 && info.shape.height == 0);
    info.shape.height = info.shape.width = 32;
    assert_ok(ex_model_create(&m, info.architecture, info.shape));
    float *params = ex_guard_floats(m->param_count), *stats = ex_guard_floats(m->stat_count);
    assert_ok(ex_model_file_read(FILE_PATH, m, params, stats, &batches));
    ex_guard_check(params, m->param_count);
    ex_guard_check(stats, m->stat_count);
    assert_int_equal(batches, 1);
    FILE *values = fopen(VALUES_PATH, "r");
    assert_non_null(values);
    char line[256];
    int lines = 0;
    for (; fgets(line, sizeof line, values); lines++)
        check_line(line, m, params, stats);
    fclose(values);
    assert_int_equal(lines, 3 * m->tensor_count);
    ex_guard_free(params);
    ex_guard_free(stats);
    ex_model_destroy(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_of_a_pytorch_file_are_where_they_belong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
