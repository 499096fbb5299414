/* A model file written here is read by an independent reader (read_model_file.py, numpy). */
#include "io/model_file.h"
#include "temp.h"
#include "test.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

enum { SKIP = 77, BATCHES = 17 };

static const char *python; /* one that has numpy */

static int run(const char *command)
{
    const int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static const char *find_python(void)
{
    static const char *const candidates[] = {"python3", "/usr/bin/python3"};
    for (int i = 0; i < 2; i++) {
        char command[128];
        snprintf(command, sizeof command, "%s -c 'import numpy' 2>/dev/null", candidates[i]);
        if (run(command) == 0)
            return candidates[i];
    }
    return NULL;
}

static void write_table(const char *path, const ex_model *m)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        fprintf(file, "%s %zu", t->name,
                t->offset + (t->kind == EX_TENSOR_STAT ? m->param_count : 0));
        for (int a = 0; a < t->ndim; a++)
            fprintf(file, " %d", t->shape[a]);
        fprintf(file, "\n");
    }
    assert_int_equal(fclose(file), 0);
}

static void test_python_reads_what_is_written(void **state)
{
    (void)state;
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model *m;
        assert_ok(ex_model_create(&m, *name, (ex_model_shape){10, 3, 32, 32}));
        const size_t count = m->param_count + m->stat_count;
        float *values = malloc(count * sizeof *values);
        for (size_t i = 0; i < count; i++)
            values[i] = (float)(i % 1000003);
        const char *model = ex_temp_path("model.safetensors"), *table = ex_temp_path("table.txt");
        const char *vectors = ex_temp_write("vectors.f32", values, count * sizeof *values, 0);
        assert_ok(ex_model_file_write(model, m, values, values + m->param_count, BATCHES, NULL));
        write_table(table, m);
        char command[2048];
        snprintf(command, sizeof command, "%s '%s/../golden/read_model_file.py' '%s' '%s' '%s'",
                 python, EXCISE_TEST_DATA, model, vectors, table);
        assert_int_equal(run(command), 0);
        free(values);
        ex_model_destroy(&m);
    }
}

int main(void)
{
    python = find_python();
    if (!python) {
        puts("skipped: no python3 with numpy");
        return SKIP;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_python_reads_what_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
