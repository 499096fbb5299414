#include "io/convert.h"

#include "base/memory.h"
#include "io/model_file_impl.h"

#include <stdio.h>
#include <string.h>

/* What the file looks like if it is read as one architecture. */
typedef struct match {
    ex_file_names names;
    ex_model_info info;
    int found, of; /* tensors, by name */
} match;

/* What all names begin with, up to a dot: "module." */
static void common_prefix(char prefix[EX_NAMING_PREFIX_MAX], const ex_safetensors *file)
{
    const char *first = file->entry_count ? file->entries[0].name : "";
    size_t length = strnlen(first, EX_NAMING_PREFIX_MAX - 1);
    for (size_t i = 0; i < file->entry_count; i++) {
        size_t same = 0;
        while (same < length && first[same] && first[same] == file->entries[i].name[same])
            same++;
        length = same;
    }
    while (length > 0 && first[length - 1] != '.')
        length--;
    snprintf(prefix, EX_NAMING_PREFIX_MAX, "%.*s", (int)length, first);
}

/* The naming under which the file holds most of the architecture's tensors. */
static ex_status find_names(match *best, const ex_safetensors *file, const char *architecture)
{
    ex_model *example;
    char prefix[EX_NAMING_PREFIX_MAX];
    *best = (match){.names = {.naming = ex_namings()}};
    EX_TRY(ex_model_file_example(&example, architecture));
    common_prefix(prefix, file);
    for (const ex_naming *n = ex_namings(); n->name; n++)
        for (int prefixed = 0; prefixed <= (*prefix != '\0'); prefixed++) {
            match m = {.names = {.naming = n}, .of = example->tensor_count};
            if (prefixed)
                memcpy(m.names.prefix, prefix, sizeof prefix);
            m.found = ex_model_file_count(file, &m.names, example, &m.info);
            if (m.found > best->found || best->of == 0)
                *best = m;
        }
    ex_model_destroy(&example);
    return EX_OK;
}

static bool is_whole(const match *m)
{
    return m->of > 0 && m->found == m->of;
}

/* The architecture all of whose tensors are there, the most there are; else the nearest. */
static ex_status find_architecture(match *best, const ex_safetensors *file)
{
    *best = (match){0};
    for (const char *const *name = ex_model_names(); *name; name++) {
        match m;
        EX_TRY(find_names(&m, file, *name));
        const bool better = is_whole(&m) == is_whole(best) ? m.found > best->found : is_whole(&m);
        if (best->of == 0 || better)
            *best = m;
    }
    return EX_OK;
}

static ex_status fail_unknown(const ex_safetensors *file, const char *path)
{
    char seen[256] = "", known[1024] = "";
    for (size_t i = 0; i < file->entry_count && i < 4; i++)
        ex_append(seen, sizeof seen, "%s%.50s", i ? ", " : "", file->entries[i].name);
    for (const ex_naming *n = ex_namings(); n->name; n++)
        ex_append(known, sizeof known, "%s%s: %s", n == ex_namings() ? "" : "; ", n->name,
                  n->about);
    return EX_FAIL(EX_ERR_INPUT,
                   "%s: its %zu tensors (%s%s) are under no known naming; rename them to one of "
                   "these: %s",
                   path, file->entry_count, seen, file->entry_count > 4 ? ", ..." : "", known);
}

/* --- the size of the images ------------------------------------------------------------------- */

/* Sides of images that are usual, the data sets' own first: tried where nothing tells the size. */
static const int usual_sizes[] = {32, 28, 64, 96, 128, 160, 192, 224, 256, 48, 24, 16};

/* The architecture for images of this size, if the file holds its tensors. */
static ex_status try_size(ex_model **out, const ex_safetensors *file, const char *path,
                          const match *m, int height, int width)
{
    ex_model_shape shape = m->info.shape;
    shape.height = height;
    shape.width = width;
    const ex_status made = ex_model_create(out, m->info.architecture, shape);
    if (made != EX_OK) /* what the file tells, not what the user asked for */
        return EX_FAIL(made == EX_ERR_CONFIG ? EX_ERR_INPUT : made, "%s: %s", path,
                       ex_error_message());
    const ex_status fits = ex_model_file_check_fit(file, path, &m->names, *out);
    if (fits != EX_OK)
        ex_model_destroy(out);
    return fits;
}

static ex_status try_usual_sizes(ex_model **out, const ex_safetensors *file, const char *path,
                                 const match *m)
{
    ex_status status = EX_ERR_INPUT;
    for (size_t i = 0; i < sizeof usual_sizes / sizeof *usual_sizes && status == EX_ERR_INPUT; i++)
        status = try_size(out, file, path, m, usual_sizes[i], usual_sizes[i]);
    return status;
}

ex_status ex_convert_sized(bool *sized, const char *architecture, ex_model_shape shape)
{
    size_t params[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        ex_model *model;
        shape.height = shape.width = usual_sizes[i];
        EX_TRY(ex_model_create(&model, architecture, shape));
        params[i] = model->param_count;
        ex_model_destroy(&model);
    }
    *sized = params[0] != params[1];
    return EX_OK;
}

/* What to do about a file whose tensors do not fit, as the end of the message. */
static void advise(char *advice, size_t room, const ex_safetensors *file, const char *path,
                   const match *m, bool told)
{
    ex_model *model;
    bool sized;
    match better;
    *advice = '\0';
    if (find_architecture(&better, file) != EX_OK)
        return;
    if (is_whole(&better) && strcmp(better.info.architecture, m->info.architecture) != 0)
        snprintf(advice, room, "; all tensors of %s are there: --arch %s", better.info.architecture,
                 better.info.architecture);
    else if (ex_convert_sized(&sized, m->info.architecture, m->info.shape) != EX_OK || !sized)
        return;
    else if (told && try_usual_sizes(&model, file, path, m) == EX_OK) {
        snprintf(advice, room, "; it fits images of that size: --shape %dx%dx%d",
                 model->in_channels, model->in_height, model->in_width);
        ex_model_destroy(&model);
    } else
        snprintf(advice, room,
                 "; %s depends on the size of the images: name it by --shape CxHxW, such as "
                 "--shape 3x40x40",
                 m->info.architecture);
}

/* Adds to the reason that is in the message. */
static ex_status fail_fit(const ex_safetensors *file, const char *path, const match *m, int height,
                          int width, bool told)
{
    char reason[2048], advice[2 * EX_NAME_MAX + 128];
    ex_model_shape shape = m->info.shape;
    ex_model *model;
    snprintf(reason, sizeof reason, "%s", ex_error_message());
    shape.height = height;
    shape.width = width;
    if (ex_model_create(&model, m->info.architecture, shape) == EX_OK)
        (void)ex_model_file_tell_fit(file, path, &m->names, model); /* its message is the reason */
    ex_model_destroy(&model);
    advise(advice, sizeof advice, file, path, m, told);
    return EX_FAIL(EX_ERR_INPUT, "%s (names as in %s%s%s)%s", reason, m->names.naming->name,
                   m->names.prefix[0] ? ", after " : "", m->names.prefix, advice);
}

/* For images of the size that is asked for, else that of the file's metadata, else a usual one. */
static ex_status fitting_model(ex_model **out, const ex_safetensors *file, const char *path,
                               const match *found, const ex_model_shape *images)
{
    match m = *found;
    int height, width;
    if (images) {
        height = images->height;
        width = images->width;
        if (images->channels > 0)
            m.info.shape.channels = images->channels;
    } else {
        EX_TRY(ex_model_file_images(file, path, &height, &width));
    }
    const bool told = height > 0 && width > 0;
    ex_status status =
        told ? try_size(out, file, path, &m, height, width) : try_usual_sizes(out, file, path, &m);
    if (status == EX_ERR_INPUT && !told) { /* what is told of is the first */
        height = width = usual_sizes[0];
        status = try_size(out, file, path, &m, height, width);
    }
    return status == EX_ERR_INPUT ? fail_fit(file, path, &m, height, width, told) : status;
}

/* --- reading ---------------------------------------------------------------------------------- */

static ex_status take(ex_converted *out, const ex_safetensors *file, const char *path,
                      const match *m, const ex_model_shape *images)
{
    EX_TRY(fitting_model(&out->model, file, path, m, images));
    const ex_model *model = out->model;
    out->names = m->names;
    EX_TRY(ex_alloc(&out->params, model->param_count, sizeof *out->params, "model"));
    EX_TRY(ex_alloc(&out->stats, model->stat_count, sizeof *out->stats, "model"));
    return ex_model_file_take(file, path, &out->names, model, out->params, out->stats,
                              &out->batches);
}

static ex_status read_as(ex_converted *out, const ex_safetensors *file, const char *path,
                         const char *architecture, const ex_model_shape *images)
{
    match m;
    EX_TRY(architecture ? find_names(&m, file, architecture) : find_architecture(&m, file));
    if (m.found == 0)
        return fail_unknown(file, path);
    if (!m.info.architecture[0]) { /* the first or last tensor is missing: any shape will do */
        const char *name = architecture ? architecture : "resnet20";
        snprintf(m.info.architecture, sizeof m.info.architecture, "%s", name);
        m.info.shape = (ex_model_shape){.classes = 10, .channels = 3};
    }
    return take(out, file, path, &m, images);
}

ex_status ex_convert_read(ex_converted *out, const char *path, const char *architecture,
                          const ex_model_shape *images)
{
    ex_safetensors *file;
    *out = (ex_converted){0};
    EX_TRY(ex_safetensors_read(&file, path));
    const ex_status status = read_as(out, file, path, architecture, images);
    ex_safetensors_close(&file);
    if (status != EX_OK)
        ex_convert_close(out);
    return status;
}

static ex_status names_of(ex_file_names *out, const ex_safetensors *file, const char *path,
                          const ex_model *model)
{
    match held, m;
    EX_TRY(find_architecture(&held, file));
    EX_TRY(find_names(&m, file, model->name));
    *out = m.names;
    if (is_whole(&held) && strcmp(held.info.architecture, model->name) != 0)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s holds a %s, but the model is a %s; name the file that the model came "
                       "from, or a naming",
                       path, held.info.architecture, model->name);
    if (m.found == 0)
        return fail_unknown(file, path);
    return m.found < m.of ? ex_model_file_tell_fit(file, path, &m.names, model) : EX_OK;
}

ex_status ex_convert_names(ex_file_names *out, const char *path, const ex_model *model)
{
    ex_safetensors *file;
    EX_TRY(ex_safetensors_read(&file, path));
    const ex_status status = names_of(out, file, path, model);
    ex_safetensors_close(&file);
    return status;
}

void ex_convert_close(ex_converted *c)
{
    ex_model_destroy(&c->model);
    ex_free(&c->params);
    ex_free(&c->stats);
}

ex_status ex_convert_write(const ex_converted *c, const char *path, const ex_file_names *names)
{
    json_t *metadata = json_object();
    const ex_file_names *told = names ? names : &c->names;
    json_object_set_new(metadata, "naming", json_string(told->naming->name));
    json_object_set_new(metadata, "prefix", json_string(told->prefix));
    const ex_status status =
        ex_model_file_write_as(path, names, c->model, c->params, c->stats, c->batches, metadata);
    json_decref(metadata);
    return status;
}
