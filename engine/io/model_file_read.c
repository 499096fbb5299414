#include "base/memory.h"
#include "io/model_file_impl.h"

#include <string.h>

static ex_status copy_values(const char *path, const ex_safetensors *file,
                             const ex_file_names *names, const ex_model *m, float *params,
                             float *stats)
{
    float *buffer;
    ex_status status = EX_OK;
    EX_TRY(ex_alloc(&buffer, m->param_count + m->stat_count, sizeof *buffer, path));
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        char name[EX_FILE_NAME_MAX];
        const ex_tensor_entry *e =
            ex_file_name(name, names, t->name) ? ex_safetensors_find(file, name) : NULL;
        if (!e) {
            status = EX_FAIL(EX_ERR_INTERNAL, "%s: %s was there before", path, t->name);
            break;
        }
        if (!ex_dtype_to_float(buffer, e->data, t->size, e->dtype)) {
            status = EX_FAIL(EX_ERR_INPUT,
                             "%s: tensor %s is of type %s; F32, F16, BF16 or F64 is "
                             "expected",
                             path, e->name, ex_dtype_name(e->dtype));
            break;
        }
        ex_layout_from_file((t->kind == EX_TENSOR_STAT ? stats : params) + t->offset, buffer, t);
    }
    ex_free(&buffer);
    return status;
}

static ex_status check_values(const char *path, const ex_model *m, const float *params,
                              const float *stats)
{
    const ex_status status = ex_model_check_finite(m, params, stats);
    if (status != EX_OK)
        return EX_FAIL(status, "%s: %s", path, ex_error_message());
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *layer = &m->layers[i];
        for (int k = 0; layer->var != EX_NONE && k < layer->channels; k++)
            if (stats[layer->var + (size_t)k] < 0.0f)
                return EX_FAIL(EX_ERR_INPUT,
                               "%s: %s.running_var is %g at index %d; variances are "
                               "not negative",
                               path, layer->norm_name, (double)stats[layer->var + (size_t)k], k);
    }
    return EX_OK;
}

/* The first norm's counter, or 0. */
static int64_t tracked_batches(const ex_safetensors *file)
{
    for (size_t i = 0; i < file->entry_count; i++) {
        const ex_tensor_entry *e = &file->entries[i];
        int64_t value;
        if (ex_model_file_tracked(e->name) && e->dtype == EX_DTYPE_I64 && e->count == 1) {
            memcpy(&value, e->data, sizeof value);
            return value;
        }
    }
    return 0;
}

ex_status ex_model_file_take(const ex_safetensors *file, const char *path,
                             const ex_file_names *names, const ex_model *model, float *params,
                             float *stats, int64_t *batches)
{
    EX_TRY(ex_model_file_check_fit(file, path, names, model));
    EX_TRY(copy_values(path, file, names, model, params, stats));
    EX_TRY(check_values(path, model, params, stats));
    if (batches)
        *batches = tracked_batches(file);
    return EX_OK;
}

ex_status ex_model_file_read(const char *path, const ex_model *model, float *params, float *stats,
                             int64_t *batches)
{
    ex_safetensors *file;
    EX_TRY(ex_safetensors_read(&file, path));
    const ex_status status = ex_model_file_take(file, path, NULL, model, params, stats, batches);
    ex_safetensors_close(&file);
    return status;
}
