/* Whether a file holds a model's tensors: all of them, of the right shapes, and nothing else. */
#include "base/log.h"
#include "base/memory.h"
#include "io/model_file_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum {
    NAMED_MAX = 3, /* tensors of each kind that a message names */
    TOLD_MAX = 40, /* and the log */
};

/* A list in a message: the first few, and how many in all. */
typedef struct finding {
    const char *kind;
    bool tell; /* in the log too, a line each */
    int count;
    char text[3 * 160];
} finding;

__attribute__((format(printf, 2, 3))) static void note(finding *f, const char *format, ...)
{
    char line[160];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (f->count < NAMED_MAX)
        ex_append(f->text, sizeof f->text, "%s%s", f->count ? ", " : "", line);
    if (f->tell && f->count < TOLD_MAX)
        ex_log("  %-16s %s", f->kind, line);
    f->count++;
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
    note(f, "%s is %s, expected %s", e->name, found, expected);
}

size_t ex_model_file_tracked(const char *name)
{
    static const char ending[] = "." EX_TRACKED;
    const size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && strcmp(name + length - tail, ending) == 0 ? length - tail : 0;
}

static const ex_tensor_entry *find(const ex_safetensors *file, const ex_file_names *names,
                                   const char *ours)
{
    char name[EX_FILE_NAME_MAX];
    return ex_file_name(name, names, ours) ? ex_safetensors_find(file, name) : NULL;
}

/* Notes the entries that are neither a tensor of the model nor the counter of one of its norms. */
static ex_status note_extra(finding *extra, const ex_safetensors *file, const ex_file_names *names,
                            const ex_model *m)
{
    bool *expected; /* (entry_count) */
    const ex_tensor_entry *e;
    EX_TRY(ex_alloc(&expected, file->entry_count, sizeof *expected, "tensors"));
    for (int i = 0; i < m->tensor_count; i++)
        if ((e = find(file, names, m->tensors[i].name)))
            expected[e - file->entries] = true;
    for (int i = 0; i < m->layer_count; i++) {
        char counter[2 * EX_NAME_MAX];
        snprintf(counter, sizeof counter, "%s." EX_TRACKED, m->layers[i].norm_name);
        if (m->layers[i].norm_name[0] && (e = find(file, names, counter)))
            expected[e - file->entries] = true;
    }
    for (size_t i = 0; i < file->entry_count; i++)
        if (!expected[i])
            note(extra, "%.100s", file->entries[i].name);
    ex_free(&expected);
    return EX_OK;
}

static void tell(char *text, size_t room, const finding *f)
{
    if (f->count)
        ex_append(text, room, "%s %d tensor%s %s (%s)", *text ? "," : ":", f->count,
                  f->count == 1 ? "" : "s", f->kind, f->text);
    if (f->tell && f->count > TOLD_MAX)
        ex_log("  %-16s and %d more", f->kind, f->count - TOLD_MAX);
}

/* What the file is instead, as the end of the message; "" where that is not to be seen. */
static void tell_instead(char *text, size_t room, const char *path, const ex_safetensors *file,
                         const ex_model *m)
{
    ex_model_info info;
    int height = 0, width = 0;
    *text = '\0';
    if (ex_model_file_recognise(file, NULL, &info) == EX_OK && info.architecture[0] &&
        (strcmp(info.architecture, m->name) != 0 || info.shape.classes != m->classes ||
         info.shape.channels != m->in_channels))
        snprintf(text, room, "; it looks like %s with %d classes and %d input channels",
                 info.architecture, info.shape.classes, info.shape.channels);
    else if (ex_model_file_images(file, path, &height, &width) == EX_OK && height > 0 &&
             width > 0 && (height != m->in_height || width != m->in_width))
        snprintf(text, room, "; it was made for images of %d x %d", height, width);
}

static ex_status fail_fit(const char *path, const ex_safetensors *file, const ex_file_names *names,
                          const ex_model *m, const finding *missing, const finding *extra,
                          const finding *other)
{
    char instead[160], what[3 * (sizeof missing->text + 40)] = "";
    tell_instead(instead, sizeof instead, path, file, m);
    tell(what, sizeof what, missing);
    tell(what, sizeof what, extra);
    tell(what, sizeof what, other);
    return EX_FAIL(EX_ERR_INPUT,
                   "%s does not fit %s with %d classes for images of %d x %d x %d%s%s%s", path,
                   m->name, m->classes, m->in_channels, m->in_height, m->in_width, what, instead,
                   !names && missing->count && extra->count
                       ? "; names of PyTorch collections go through `excise convert`"
                       : "");
}

static ex_status check_fit(const ex_safetensors *file, const char *path, const ex_file_names *names,
                           const ex_model *m, bool in_log)
{
    finding missing = {.kind = "missing", .tell = in_log};
    finding extra = {.kind = "not expected", .tell = in_log};
    finding other = {.kind = "of another shape", .tell = in_log};
    for (int i = 0; i < m->tensor_count; i++) {
        char name[EX_FILE_NAME_MAX];
        const bool named = ex_file_name(name, names, m->tensors[i].name);
        const ex_tensor_entry *e = named ? ex_safetensors_find(file, name) : NULL;
        if (!e)
            note(&missing, "%.100s", named ? name : m->tensors[i].name);
        else if (!same_shape(e, &m->tensors[i]))
            note_shape(&other, e, &m->tensors[i]);
    }
    EX_TRY(note_extra(&extra, file, names, m));
    if (missing.count + extra.count + other.count)
        return fail_fit(path, file, names, m, &missing, &extra, &other);
    return EX_OK;
}

ex_status ex_model_file_check_fit(const ex_safetensors *file, const char *path,
                                  const ex_file_names *names, const ex_model *m)
{
    return check_fit(file, path, names, m, false);
}

ex_status ex_model_file_tell_fit(const ex_safetensors *file, const char *path,
                                 const ex_file_names *names, const ex_model *m)
{
    return check_fit(file, path, names, m, true);
}
