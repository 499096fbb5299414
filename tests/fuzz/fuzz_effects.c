/* effects.csv for the tiny model. What is read is consistent and comes back from being written and
 * read again. */
#include "fuzz.h"

#include "effects.h"

#include <math.h>
#include <string.h>

static const uint64_t DIGEST = 0x0123456789abcdef;

static void check_table(const ex_effects *e)
{
    const int channels = e->model->channel_count;
    FUZZ_CHECK(e->precision >= -1 && e->precision <= EX_BF16 && e->seed >= -1, "preamble");
    FUZZ_CHECK(e->classes >= 1 && e->classes <= e->model->classes, "%d classes", e->classes);
    for (int i = 0; i < e->classes; i++) {
        FUZZ_CHECK(ex_effects_class_index(e, e->class_label[i]) == i, "class %d", i);
        FUZZ_CHECK(e->probe[i] >= 1 && e->baseline_correct[i] <= e->probe[i], "class %d", i);
        for (int c = 0; c < channels; c++) {
            const int correct = e->correct[i * channels + c];
            FUZZ_CHECK(correct >= 0 && correct <= e->probe[i], "class %d, channel %d", i, c);
            FUZZ_CHECK(fabs(ex_effect(e, i, c)) <= 1.0, "class %d, channel %d", i, c);
        }
    }
}

static void check_same(const ex_effects *a, const ex_effects *b)
{
    const int cells = a->classes * a->model->channel_count;
    FUZZ_CHECK(a->classes == b->classes && a->ablation == b->ablation && a->digest == b->digest &&
                   a->precision == b->precision && a->seed == b->seed,
               "preamble");
    for (int i = 0; i < a->classes; i++)
        FUZZ_CHECK(a->class_label[i] == b->class_label[i] && a->probe[i] == b->probe[i] &&
                       a->baseline_correct[i] == b->baseline_correct[i],
                   "class %d", i);
    for (int i = 0; i < cells; i++) {
        const double x = a->loss_delta[i], y = b->loss_delta[i];
        FUZZ_CHECK(a->correct[i] == b->correct[i], "cell %d", i);
        FUZZ_CHECK(isnan(x) ? isnan(y) : memcmp(&x, &y, sizeof x) == 0, "cell %d", i);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const ex_model *m = fuzz_model();
    ex_effects *e, *again;
    const char *path = fuzz_write("in", data, size);
    fuzz_memory_begin(((size_t)1 << 18) + 8 * size);
    const ex_status status = ex_effects_read(&e, m, DIGEST, path);
    fuzz_memory_end();
    fuzz_check_status(status, EX_ERR_INPUT);
    FUZZ_CHECK((status == EX_OK) == (e != NULL), "%p", (void *)e);
    if (status != EX_OK)
        return 0;
    check_table(e);
    int order[8];
    FUZZ_CHECK(m->channel_count <= 8, "the tiny model has grown");
    for (int i = 0; i < e->classes; i++)
        FUZZ_OK(ex_effects_rank(order, e, i, 0, m->channel_count));
    const char *copy = fuzz_path("out");
    FUZZ_OK(ex_effects_write(e, copy));
    FUZZ_OK(ex_effects_read(&again, m, DIGEST, copy));
    check_same(e, again);
    ex_effects_destroy(&e);
    ex_effects_destroy(&again);
    return 0;
}
