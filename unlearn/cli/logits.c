/* The logits of the test samples as a file, to hold a model against another program's. */
#include "output.h"

#include "base/memory.h"
#include "io/safetensors.h"

#include <string.h>

static ex_status write_file(const char *path, const ex_samples *s, const float *logits,
                            size_t classes)
{
    int64_t *labels;
    EX_TRY(ex_alloc(&labels, s->count, sizeof *labels, "labels"));
    for (size_t i = 0; i < s->count; i++)
        labels[i] = s->label[i];
    const ex_tensor_entry entries[] = {
        {.name = "labels", .dtype = EX_DTYPE_I64, .ndim = 1, .shape = {s->count}, .data = labels},
        {.name = "logits",
         .dtype = EX_DTYPE_F32,
         .ndim = 2,
         .shape = {s->count, classes},
         .data = logits},
    };
    const ex_status status = ex_safetensors_write(path, entries, 2, NULL);
    ex_free(&labels);
    return status;
}

ex_status cli_write_logits(ex_federation *f, const char *path)
{
    const ex_dataset *test = &f->data->test;
    const size_t classes = (size_t)f->model->classes;
    ex_trainer *trainer;
    ex_samples all = {0};
    ex_eval_sums sums = {0};
    ex_status status;
    EX_TRY_GOTO(ex_samples_all(&all, test), done);
    EX_TRY_GOTO(ex_alloc(&sums.logits, all.count * classes, sizeof *sums.logits, "logits"), done);
    EX_TRY_GOTO(ex_federation_central(f, &trainer), done);
    EX_TRY_GOTO(ex_trainer_evaluate(trainer, test, &all, &sums), done);
    status = write_file(path, &all, sums.logits, classes);
done:
    ex_free(&sums.logits);
    ex_samples_free(&all);
    return status;
}
