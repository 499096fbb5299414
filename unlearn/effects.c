/* The table of effects in memory. It owns its arrays, never the model. */
#include "effects.h"

#include "base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

ex_status ex_effects_alloc(ex_effects **out, const ex_model *model, int classes)
{
    *out = NULL;
    EX_CHECK_ARG(classes > 0 && classes <= model->classes,
                 "%d classes of effects; the model has %d", classes, model->classes);
    ex_status status;
    ex_effects *e;
    EX_TRY(ex_alloc(&e, 1, sizeof *e, "effects"));
    e->model = model;
    e->precision = -1;
    e->seed = -1;
    e->classes = classes;
    const size_t rows = (size_t)classes, cells = rows * (size_t)model->channel_count;
    EX_TRY_GOTO(ex_alloc(&e->class_label, rows, sizeof *e->class_label, "effects"), fail);
    EX_TRY_GOTO(ex_alloc(&e->probe, rows, sizeof *e->probe, "effects"), fail);
    EX_TRY_GOTO(ex_alloc(&e->baseline_correct, rows, sizeof *e->baseline_correct, "effects"), fail);
    EX_TRY_GOTO(ex_alloc(&e->baseline_loss, rows, sizeof *e->baseline_loss, "effects"), fail);
    EX_TRY_GOTO(ex_alloc(&e->correct, cells, sizeof *e->correct, "effects"), fail);
    EX_TRY_GOTO(ex_alloc(&e->loss_delta, cells, sizeof *e->loss_delta, "effects"), fail);
    *out = e;
    return EX_OK;
fail:
    ex_effects_destroy(&e);
    return status;
}

void ex_effects_destroy(ex_effects **e)
{
    if (*e) {
        ex_free(&(*e)->class_label);
        ex_free(&(*e)->probe);
        ex_free(&(*e)->baseline_correct);
        ex_free(&(*e)->baseline_loss);
        ex_free(&(*e)->correct);
        ex_free(&(*e)->loss_delta);
    }
    ex_free(e);
}

int ex_effects_class_index(const ex_effects *e, int label)
{
    for (int i = 0; i < e->classes; i++)
        if (e->class_label[i] == label)
            return i;
    return -1;
}

ex_status ex_effects_find_class(int *row, const ex_effects *e, int label)
{
    *row = ex_effects_class_index(e, label);
    return *row >= 0 ? EX_OK
                     : EX_FAIL(EX_ERR_INPUT,
                               "the table of effects does not cover class %d; run `excise ablate "
                               "--class %d` or with --class all",
                               label, label);
}

ex_status ex_effects_check_digest(const char *file, uint64_t measured, uint64_t model)
{
    if (measured == model)
        return EX_OK;
    return EX_FAIL(EX_ERR_INPUT,
                   "%s%sthe effects were measured on a model with digest %016" PRIx64
                   "; this one has %016" PRIx64 ": run `excise ablate` on it",
                   file ? file : "", file ? ":1: " : "", measured, model);
}

/* What a channel is ranked by. Counts are integers, so that ties are ties. */
typedef struct rank {
    int correct;
    double loss_delta; /* never NaN */
    int channel;
} rank;

static int by_effect(const void *left, const void *right)
{
    const rank *a = left, *b = right;
    if (a->correct != b->correct) /* fewer left correct: a higher effect */
        return a->correct < b->correct ? -1 : 1;
    if (a->loss_delta != b->loss_delta)
        return a->loss_delta > b->loss_delta ? -1 : 1;
    return a->channel < b->channel ? -1 : 1;
}

ex_status ex_effects_rank(int *order, const ex_effects *e, int class_index, int first, int count)
{
    rank *ranks;
    EX_TRY(ex_alloc(&ranks, (size_t)count, sizeof *ranks, "ranks"));
    for (int i = 0; i < count; i++) {
        const size_t cell =
            (size_t)class_index * (size_t)e->model->channel_count + (size_t)(first + i);
        const double delta = e->loss_delta[cell];
        ranks[i] = (rank){e->correct[cell], isnan(delta) ? INFINITY : delta, first + i};
    }
    qsort(ranks, (size_t)count, sizeof *ranks, by_effect);
    for (int i = 0; i < count; i++)
        order[i] = ranks[i].channel;
    ex_free(&ranks);
    return EX_OK;
}
