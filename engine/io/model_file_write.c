#include "base/memory.h"
#include "io/model_file_impl.h"

#include <stdio.h>
#include <string.h>

enum { TRACKED_NAME_MAX = EX_NAME_MAX + 32 };

/* What is being written. The counters come first, so that all data is aligned. */
typedef struct content {
    ex_tensor_entry *entries;
    size_t count;
    char (*tracked_names)[TRACKED_NAME_MAX]; /* (layer_count) */
    float *values;                           /* params, then stats, in the file's order of axes */
} content;

static void content_free(content *c)
{
    ex_free(&c->entries);
    ex_free(&c->tracked_names);
    ex_free(&c->values);
}

static ex_status content_alloc(content *c, const ex_model *m)
{
    const size_t layers = (size_t)m->layer_count;
    EX_TRY(
        ex_alloc(&c->entries, layers + (size_t)m->tensor_count, sizeof *c->entries, "model file"));
    EX_TRY(ex_alloc(&c->tracked_names, layers, sizeof *c->tracked_names, "model file"));
    return ex_alloc(&c->values, m->param_count + m->stat_count, sizeof *c->values, "model file");
}

static void add_counters(content *c, const ex_model *m, const int64_t *batches)
{
    for (int i = 0; i < m->layer_count; i++) {
        const char *norm = m->layers[i].norm_name;
        if (!norm[0])
            continue;
        snprintf(c->tracked_names[i], TRACKED_NAME_MAX, "%s.%s", norm, EX_TRACKED);
        c->entries[c->count++] =
            (ex_tensor_entry){.name = c->tracked_names[i], .dtype = EX_DTYPE_I64, .data = batches};
    }
}

static void add_tensors(content *c, const ex_model *m, const float *params, const float *stats)
{
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        const int stat = t->kind == EX_TENSOR_STAT;
        float *values = c->values + (stat ? m->param_count : 0) + t->offset;
        ex_layout_to_file(values, (stat ? stats : params) + t->offset, t);
        ex_tensor_entry *e = &c->entries[c->count++];
        *e = (ex_tensor_entry){
            .name = t->name, .dtype = EX_DTYPE_F32, .ndim = t->ndim, .data = values};
        for (int a = 0; a < t->ndim; a++)
            e->shape[a] = (size_t)t->shape[a];
    }
}

static void set_number(json_t *object, const char *key, int value)
{
    json_object_set_new(object, key, json_sprintf("%d", value));
}

/* "format" is what other readers of the format look for. */
static json_t *make_metadata(const ex_model *m, const json_t *more)
{
    json_t *metadata = json_object();
    json_object_set_new(metadata, "format", json_string("pt"));
    json_object_set_new(metadata, "writer", json_string("excise " EXCISE_VERSION));
    json_object_set_new(metadata, "model", json_string(m->name));
    set_number(metadata, "classes", m->classes);
    set_number(metadata, "channels", m->in_channels);
    set_number(metadata, "height", m->in_height);
    set_number(metadata, "width", m->in_width);
    if (more)
        json_object_update_missing(metadata, (json_t *)more);
    return metadata;
}

ex_status ex_model_file_write(const char *path, const ex_model *model, const float *params,
                              const float *stats, int64_t batches, const json_t *metadata)
{
    ex_status status;
    content c = {0};
    json_t *all = make_metadata(model, metadata);
    EX_TRY_GOTO(content_alloc(&c, model), done);
    add_counters(&c, model, &batches);
    add_tensors(&c, model, params, stats);
    status = ex_safetensors_write(path, c.entries, c.count, all);
done:
    json_decref(all);
    content_free(&c);
    return status;
}
