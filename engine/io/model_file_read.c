#include "base/memory.h"
#include "io/model_file_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { NAMED_MAX = 3 /* tensors of each kind that a message names */ };

/* A list in a message: the first few, and how many in all. */
typedef struct finding {
    int count;
    char text[3 * 160];
} finding;

__attribute__((format(printf, 2, 3))) static void note(finding *f, const char *format, ...)
{
    const size_t used = strlen(f->text);
    if (f->count++ >= NAMED_MAX)
        return;
    va_list args;
    va_start(args, format);
    const int n = snprintf(f->text + used, sizeof f->text - used, used ? ", " : "");
    if (n >= 0)
        vsnprintf(f->text + used + n, sizeof f->text - used - (size_t)n, format, args);
    va_end(args);
}

static void format_shape(char *out, size_t room, const size_t *shape, int ndim)
{
    out[0] = '\0';
    for (int i = 0; i < ndim; i++)
        ex_append(out, room, "%s%zu", i ? " x " : "", shape[i]);
    if (ndim == 0)
        snprintf(out, room, "a scalar");
}

static bool same_shape(const ex_tensor_entry *e, const ex_tensor *t)
{
    bool same = e->ndim == t->ndim;
    for (int i = 0; same && i < t->ndim; i++)
        same = e->shape[i] == (size_t)t->shape[i];
    return same;
}

static void note_shape(finding *f, const ex_tensor_entry *e, const ex_tensor *t)
{
    char found[96], expected[96];
    size_t shape[4];
    for (int i = 0; i < t->ndim; i++)
        shape[i] = (size_t)t->shape[i];
    format_shape(found, sizeof found, e->shape, e->ndim);
    format_shape(expected, sizeof expected, shape, t->ndim);
    note(f, "%s is %s, not %s", e->name, found, expected);
}

/* Length of the norm's name if the entry is its counter, else 0. */
static size_t tracked_prefix(const char *name)
{
    static const char ending[] = "." EX_TRACKED;
    const size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && strcmp(name + length - tail, ending) == 0 ? length - tail : 0;
}

static bool is_expected(const ex_model *m, const char *name)
{
    for (int i = 0; i < m->tensor_count; i++)
        if (strcmp(m->tensors[i].name, name) == 0)
            return true;
    const size_t prefix = tracked_prefix(name);
    for (int i = 0; prefix && i < m->layer_count; i++)
        if (strlen(m->layers[i].norm_name) == prefix &&
            strncmp(m->layers[i].norm_name, name, prefix) == 0)
            return true;
    return false;
}

static ex_status fail_fit(const char *path, const ex_safetensors *file, const ex_model *m,
                          const finding *missing, const finding *extra, const finding *other)
{
    char looks[160] = "";
    ex_model_info info;
    ex_model_file_recognise(file, &info);
    if (info.architecture[0])
        snprintf(looks, sizeof looks, "; it looks like %s with %d classes and %d input channels",
                 info.architecture, info.shape.classes, info.shape.channels);
    return EX_FAIL(EX_ERR_INPUT,
                   "%s does not fit %s with %d classes and %d input channels: %d tensors missing "
                   "(%s), %d not expected (%s), %d of another shape (%s)%s",
                   path, m->name, m->classes, m->in_channels, missing->count, missing->text,
                   extra->count, extra->text, other->count, other->text, looks);
}

static ex_status check_fit(const char *path, const ex_safetensors *file, const ex_model *m)
{
    finding missing = {0}, extra = {0}, other = {0};
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor_entry *e = ex_safetensors_find(file, m->tensors[i].name);
        if (!e)
            note(&missing, "%s", m->tensors[i].name);
        else if (!same_shape(e, &m->tensors[i]))
            note_shape(&other, e, &m->tensors[i]);
    }
    for (size_t i = 0; i < file->entry_count; i++)
        if (!is_expected(m, file->entries[i].name))
            note(&extra, "%.100s", file->entries[i].name);
    if (missing.count + extra.count + other.count)
        return fail_fit(path, file, m, &missing, &extra, &other);
    return EX_OK;
}

static ex_status copy_values(const char *path, const ex_safetensors *file, const ex_model *m,
                             float *params, float *stats)
{
    float *buffer;
    ex_status status = EX_OK;
    EX_TRY(ex_alloc(&buffer, m->param_count + m->stat_count, sizeof *buffer, path));
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        const ex_tensor_entry *e = ex_safetensors_find(file, t->name);
        if (!ex_dtype_to_float(buffer, e->data, t->size, e->dtype)) {
            status = EX_FAIL(EX_ERR_INPUT,
                             "%s: tensor %s is of type %s; F32, F16, BF16 or F64 is "
                             "expected",
                             path, t->name, ex_dtype_name(e->dtype));
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
        if (tracked_prefix(e->name) && e->dtype == EX_DTYPE_I64 && e->count == 1) {
            memcpy(&value, e->data, sizeof value);
            return value;
        }
    }
    return 0;
}

ex_status ex_model_file_read(const char *path, const ex_model *model, float *params, float *stats,
                             int64_t *batches)
{
    ex_status status;
    ex_safetensors *file;
    EX_TRY(ex_safetensors_read(&file, path));
    EX_TRY_GOTO(check_fit(path, file, model), done);
    EX_TRY_GOTO(copy_values(path, file, model, params, stats), done);
    EX_TRY_GOTO(check_values(path, model, params, stats), done);
    if (batches)
        *batches = tracked_batches(file);
done:
    ex_safetensors_close(&file);
    return status;
}
