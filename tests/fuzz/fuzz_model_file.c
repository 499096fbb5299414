/* Model files: what they tell of their architecture, and their values for the tiny model. What is
 * read is finite and comes back bit by bit from being written and read again. */
#include "fuzz.h"

#include "io/model_file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Enough for the values of the largest model that a description may lead to making. */
static void check_description(const char *path, size_t size)
{
    ex_model_info info;
    ex_model *model = NULL;
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size);
    const ex_status status = ex_model_file_describe(path, &info);
    if (status == EX_OK && info.architecture[0]) {
        const ex_status made = ex_model_create(&model, info.architecture, info.shape);
        fuzz_check_status(made, EX_ERR_CONFIG);
        FUZZ_CHECK((made == EX_OK) == (model != NULL), "%p", (void *)model);
        ex_model_destroy(&model);
    } else {
        fuzz_check_status(status, EX_ERR_INPUT);
    }
    fuzz_memory_end();
}

static float *new_values(size_t count)
{
    float *values = malloc(count * sizeof *values);
    FUZZ_CHECK(values, "memory");
    for (size_t i = 0; i < count; i++)
        values[i] = NAN; /* what is not filled is seen */
    return values;
}

static void check_values(const ex_model *m, const float *params, const float *stats)
{
    for (size_t i = 0; i < m->param_count; i++)
        FUZZ_CHECK(isfinite(params[i]), "parameter %zu", i);
    for (size_t i = 0; i < m->stat_count; i++)
        FUZZ_CHECK(isfinite(stats[i]), "statistic %zu", i);
    for (size_t i = 0; i < m->stat_count / 2; i++)
        FUZZ_CHECK(stats[m->layers[0].var + i] >= 0.0f, "variance %zu", i);
}

static void check_round_trip(const ex_model *m, const float *params, const float *stats,
                             int64_t batches)
{
    const char *path = fuzz_path("out");
    float *params2 = new_values(m->param_count), *stats2 = new_values(m->stat_count);
    int64_t batches2 = -1;
    FUZZ_OK(ex_model_file_write(path, m, params, stats, batches, NULL));
    FUZZ_OK(ex_model_file_read(path, m, params2, stats2, &batches2));
    FUZZ_CHECK(memcmp(params, params2, m->param_count * sizeof *params) == 0, "parameters");
    FUZZ_CHECK(memcmp(stats, stats2, m->stat_count * sizeof *stats) == 0, "statistics");
    FUZZ_CHECK(batches == batches2, "%lld batches", (long long)batches2);
    free(params2);
    free(stats2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ex_model *m = fuzz_model();
    const char *path = fuzz_write("in", data, size);
    check_description(path, size);
    float *params = new_values(m->param_count), *stats = new_values(m->stat_count);
    int64_t batches = 0;
    fuzz_memory_begin(((size_t)1 << 18) + 512 * size);
    const ex_status status = ex_model_file_read(path, m, params, stats, &batches);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    if (status == EX_OK) {
        check_values(m, params, stats);
        check_round_trip(m, params, stats, batches);
    }
    free(params);
    free(stats);
    return 0;
}
