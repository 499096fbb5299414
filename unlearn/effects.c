/* The table of effects in memory. It owns its arrays, never the model. */
#include "effects.h"

#include "base/memory.h"

#include <math.h>

ex_status ex_effects_alloc(ex_effects **out, const ex_model *model, int classes)
{
    *out = NULL;
    EX_CHECK_ARG(classes > 0 && classes <= model->classes,
                 "%d classes of effects; the model has %d", classes, model->classes);
    ex_status status;
    ex_effects *e;
    EX_TRY(ex_alloc(&e, 1, sizeof *e, "effects"));
    e->model = model;
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
