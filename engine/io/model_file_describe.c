#include "io/model_file_impl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

void ex_model_file_recognise(const ex_safetensors *file, ex_model_info *out)
{
    const ex_model_shape any = {.classes = 10, .channels = 3, .height = 32, .width = 32};
    *out = (ex_model_info){0};
    for (const char *const *name = ex_model_names(); *name && !out->architecture[0]; name++) {
        ex_model *m;
        if (ex_model_create(&m, *name, any) != EX_OK)
            continue;
        const ex_tensor_entry *first = ex_safetensors_find(file, m->tensors[0].name), *last = NULL;
        int found = 0;
        for (int i = 0; i < m->tensor_count; i++) {
            last = ex_safetensors_find(file, m->tensors[i].name);
            found += last != NULL;
        }
        if (found == m->tensor_count && first->ndim == 4 && first->shape[1] <= INT_MAX &&
            last->ndim == 1 && last->shape[0] <= INT_MAX) {
            snprintf(out->architecture, sizeof out->architecture, "%s", *name);
            out->shape.channels = (int)first->shape[1];
            out->shape.classes = (int)last->shape[0];
        }
        ex_model_destroy(&m);
    }
}

/* *out = the number under `key`, 0 if there is none. */
static ex_status read_number(int *out, const ex_safetensors *file, const char *key,
                             const char *path)
{
    const char *text = ex_safetensors_metadata(file, key);
    *out = 0;
    if (!text)
        return EX_OK;
    char *end;
    const long value = strtol(text, &end, 10);
    if (end == text || *end || value < 1 || value > 65535)
        return EX_FAIL(EX_ERR_INPUT, "%s: %s in the metadata is \"%.32s\"; 1 to 65535 is expected",
                       path, key, text);
    *out = (int)value;
    return EX_OK;
}

static ex_status describe(const ex_safetensors *file, ex_model_info *out, const char *path)
{
    const char *name = ex_safetensors_metadata(file, "model");
    if (!name) {
        ex_model_file_recognise(file, out);
        return EX_OK;
    }
    *out = (ex_model_info){0};
    snprintf(out->architecture, sizeof out->architecture, "%s", name);
    EX_TRY(read_number(&out->shape.classes, file, "classes", path));
    EX_TRY(read_number(&out->shape.channels, file, "channels", path));
    EX_TRY(read_number(&out->shape.height, file, "height", path));
    return read_number(&out->shape.width, file, "width", path);
}

ex_status ex_model_file_describe(const char *path, ex_model_info *out)
{
    ex_safetensors *file;
    EX_TRY(ex_safetensors_read(&file, path));
    const ex_status status = describe(file, out, path);
    ex_safetensors_close(&file);
    return status;
}
