#include "io/model_file_impl.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

ex_status ex_model_file_example(ex_model **out, const char *architecture)
{
    const ex_model_shape any = {.classes = 10, .channels = 3, .height = 32, .width = 32};
    return ex_model_create(out, architecture, any);
}

int ex_model_file_count(const ex_safetensors *file, const ex_file_names *names,
                        const ex_model *example, ex_model_info *info)
{
    const ex_tensor_entry *first = NULL, *last = NULL;
    int found = 0;
    *info = (ex_model_info){0};
    for (int i = 0; i < example->tensor_count; i++) {
        char name[EX_FILE_NAME_MAX];
        last = ex_file_name(name, names, example->tensors[i].name) ? ex_safetensors_find(file, name)
                                                                   : NULL;
        found += last != NULL;
        first = i == 0 ? last : first;
    }
    if (first && last && first->ndim == 4 && first->shape[1] <= INT_MAX && last->ndim == 1 &&
        last->shape[0] <= INT_MAX) {
        snprintf(info->architecture, sizeof info->architecture, "%s", example->name);
        info->shape.channels = (int)first->shape[1];
        info->shape.classes = (int)last->shape[0];
    }
    return found;
}

ex_status ex_model_file_recognise(const ex_safetensors *file, const ex_file_names *names,
                                  ex_model_info *out)
{
    int most = 0; /* one architecture's tensors may be among another's */
    *out = (ex_model_info){0};
    for (const char *const *name = ex_model_names(); *name; name++) {
        ex_model_info info;
        ex_model *example;
        EX_TRY(ex_model_file_example(&example, *name));
        const int found = ex_model_file_count(file, names, example, &info);
        if (found == example->tensor_count && found > most && info.architecture[0]) {
            most = found;
            *out = info;
        }
        ex_model_destroy(&example);
    }
    return EX_OK;
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

ex_status ex_model_file_images(const ex_safetensors *file, const char *path, int *height,
                               int *width)
{
    EX_TRY(read_number(height, file, "height", path));
    return read_number(width, file, "width", path);
}

static ex_status describe(const ex_safetensors *file, ex_model_info *out, const char *path)
{
    const char *name = ex_safetensors_metadata(file, "model");
    if (!name)
        return ex_model_file_recognise(file, NULL, out);
    *out = (ex_model_info){0};
    snprintf(out->architecture, sizeof out->architecture, "%s", name);
    EX_TRY(read_number(&out->shape.classes, file, "classes", path));
    EX_TRY(read_number(&out->shape.channels, file, "channels", path));
    return ex_model_file_images(file, path, &out->shape.height, &out->shape.width);
}

ex_status ex_model_file_describe(const char *path, ex_model_info *out)
{
    ex_safetensors *file;
    EX_TRY(ex_safetensors_read(&file, path));
    const ex_status status = describe(file, out, path);
    ex_safetensors_close(&file);
    return status;
}
