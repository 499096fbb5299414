#include "base/memory.h"
#include "io/model_file_impl.h"

#include <stdio.h>
#include <string.h>

/* What is being written. The counters come first, so that all data is aligned. */
typedef struct content {
    ex_tensor_entry *entries;
    size_t count;
    char (*names)[EX_FILE_NAME_MAX]; /* of the entries */
    float *values;                   /* params, then stats, in the file's order of axes */
} content;

static void content_free(content *c)
{
    ex_free(&c->entries);
    ex_free(&c->names);
    ex_free(&c->values);
}

static ex_status content_alloc(content *c, const ex_model *m)
{
    const size_t most = (size_t)m->layer_count + (size_t)m->tensor_count;
    EX_TRY(ex_alloc(&c->entries, most, sizeof *c->entries, "model file"));
    EX_TRY(ex_alloc(&c->names, most, sizeof *c->names, "model file"));
    return ex_alloc(&c->values, m->param_count + m->stat_count, sizeof *c->values, "model file");
}

/* Adds an entry under the file's name for our tensor `ours`. */
static ex_status add_entry(content *c, const ex_file_names *names, const char *ours,
                           ex_tensor_entry entry)
{
    char *name = c->names[c->count];
    if (!ex_file_name(name, names, ours))
        return EX_FAIL(EX_ERR_INPUT, "the naming \"%s\" has no name for %s; take another",
                       names->naming->name, ours);
    entry.name = name;
    c->entries[c->count++] = entry;
    return EX_OK;
}

static ex_status add_counters(content *c, const ex_file_names *names, const ex_model *m,
                              const int64_t *batches)
{
    for (int i = 0; i < m->layer_count; i++) {
        const char *norm = m->layers[i].norm_name;
        if (!norm[0])
            continue;
        char counter[2 * EX_NAME_MAX];
        snprintf(counter, sizeof counter, "%s." EX_TRACKED, norm);
        EX_TRY(add_entry(c, names, counter,
                         (ex_tensor_entry){.dtype = EX_DTYPE_I64, .data = batches}));
    }
    return EX_OK;
}

static ex_status add_tensors(content *c, const ex_file_names *names, const ex_model *m,
                             const float *params, const float *stats)
{
    for (int i = 0; i < m->tensor_count; i++) {
        const ex_tensor *t = &m->tensors[i];
        const int stat = t->kind == EX_TENSOR_STAT;
        float *values = c->values + (stat ? m->param_count : 0) + t->offset;
        ex_layout_to_file(values, (stat ? stats : params) + t->offset, t);
        ex_tensor_entry entry = {.dtype = EX_DTYPE_F32, .ndim = t->ndim, .data = values};
        for (int a = 0; a < t->ndim; a++)
            entry.shape[a] = (size_t)t->shape[a];
        EX_TRY(add_entry(c, names, t->name, entry));
    }
    return EX_OK;
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

ex_status ex_model_file_write_as(const char *path, const ex_file_names *names,
                                 const ex_model *model, const float *params, const float *stats,
                                 int64_t batches, const json_t *metadata)
{
    ex_status status;
    content c = {0};
    json_t *all = make_metadata(model, metadata);
    EX_TRY_GOTO(content_alloc(&c, model), done);
    EX_TRY_GOTO(add_counters(&c, names, model, &batches), done);
    EX_TRY_GOTO(add_tensors(&c, names, model, params, stats), done);
    status = ex_safetensors_write(path, c.entries, c.count, all);
done:
    json_decref(all);
    content_free(&c);
    return status;
}

ex_status ex_model_file_write(const char *path, const ex_model *model, const float *params,
                              const float *stats, int64_t batches, const json_t *metadata)
{
    return ex_model_file_write_as(path, NULL, model, params, stats, batches, metadata);
}
