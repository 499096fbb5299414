/* Opening a data set: its files, the samples kept of it, its normalisation, its classes' names. */
#include "base/memory.h"
#include "base/rng.h"
#include "data/folders.h"
#include "data/source.h"
#include "io/file.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static ex_status check_limit(const ex_dataset *d, size_t limit, const char *key)
{
    if (limit > d->count)
        return EX_FAIL(EX_ERR_CONFIG, "%s is %zu, but %s has %zu such samples", key, limit, d->name,
                       d->count);
    return EX_OK;
}

/* Keeps `limit` samples, drawn by seed, in their order (selection sampling: Knuth, algorithm S). */
static ex_status draw_subset(ex_dataset *d, size_t limit, uint64_t seed, uint32_t part)
{
    if (limit == 0 || limit == d->count)
        return EX_OK;
    const size_t bytes = (size_t)d->channels * (size_t)d->height * (size_t)d->width;
    uint8_t *images;
    EX_TRY(ex_alloc(&images, limit, bytes, "images"));
    ex_rng r = ex_rng_at((ex_rng_key){.seed = seed, .use = EX_RNG_SUBSET, .step = part});
    size_t kept = 0;
    for (size_t i = 0; kept < limit; i++) {
        if (ex_rng_below(&r, (uint32_t)(d->count - i)) >= limit - kept)
            continue;
        memcpy(images + kept * bytes, d->images + i * bytes, bytes);
        d->labels[kept++] = d->labels[i];
    }
    ex_free(&d->images);
    d->images = images;
    d->count = limit;
    return EX_OK;
}

static void describe(ex_dataset *d, const char *name, const ex_source *source)
{
    snprintf(d->name, sizeof d->name, "%s", name);
    d->classes = source->classes;
    memcpy(d->mean, source->mean, sizeof d->mean);
    memcpy(d->std, source->std, sizeof d->std);
}

/* Puts the numbers that the user gave in the place of the data set's own. */
static ex_status normalise(float *out, const ex_dataset *d, const double *values, size_t count,
                           const char *key)
{
    if (count > 1 && count != (size_t)d->channels)
        return EX_FAIL(
            EX_ERR_CONFIG,
            "%s has %zu numbers, but images of %s have %d channels; give one for each or "
            "one for all",
            key, count, d->name, d->channels);
    for (int c = 0; count > 0 && c < d->channels; c++)
        out[c] = (float)values[count == 1 ? 0 : c];
    return EX_OK;
}

static ex_status finish(ex_dataset *d, const ex_data_options *o)
{
    EX_TRY(normalise(d->mean, d, o->mean, o->mean_count, "normalize.mean"));
    return normalise(d->std, d, o->std, o->std_count, "normalize.std");
}

static ex_status find_folder(char folder[PATH_MAX], const char *name, const ex_source *source,
                             const char *dir)
{
    *folder = '\0';
    return source->first_file
               ? ex_data_find_folder(folder, name, dir, source->first_file, source->subfolder)
               : EX_OK;
}

static ex_status open_names(ex_class_names *out, const ex_source *source, const char *folder,
                            const char *dir)
{
    char path[PATH_MAX];
    *out = (ex_class_names){.count = source->classes};
    if (source->class_names)
        return ex_class_names_copy(out, source->class_names, source->classes);
    if (source->read_names)
        return source->read_names(out, dir);
    if (!source->names_file)
        return EX_OK;
    EX_TRY(ex_path_join(path, folder, source->names_file));
    return ex_class_names_read(out, path, source->classes);
}

ex_status ex_class_names_open(ex_class_names *out, const char *dataset, const char *dir)
{
    char folder[PATH_MAX] = "";
    const ex_source *source;
    *out = (ex_class_names){0};
    EX_TRY(ex_source_find(&source, dataset));
    if (source->names_file)
        EX_TRY(find_folder(folder, dataset, source, dir));
    return open_names(out, source, folder, dir);
}

static ex_status open_files(ex_data *data, const char *name, const ex_source *source,
                            const ex_data_options *options)
{
    char folder[PATH_MAX];
    EX_TRY(find_folder(folder, name, source, options->dir));
    const ex_status status = source->open(data, folder, options);
    if (status == EX_ERR_INPUT && source->first_file)
        return EX_FAIL(status,
                       "%s; to fetch the files again, run scripts/get_data.sh %s (installed: "
                       "excise-get-data %s)",
                       ex_error_message(), name, name);
    EX_TRY(status);
    return open_names(&data->names, source, folder, options->dir);
}

ex_status ex_data_open(ex_data **out, const char *name, const ex_data_options *options)
{
    static const ex_data_options defaults = {0};
    ex_status status;
    const ex_source *source;
    ex_data *data;
    *out = NULL;
    if (!options)
        options = &defaults;
    EX_TRY(ex_source_find(&source, name));
    EX_TRY(ex_alloc(&data, 1, sizeof *data, "data set"));
    describe(&data->train, name, source);
    describe(&data->test, name, source);
    EX_TRY_GOTO(open_files(data, name, source, options), fail);
    EX_TRY_GOTO(finish(&data->train, options), fail);
    EX_TRY_GOTO(finish(&data->test, options), fail);
    data->train.augment = options->augment;
    EX_TRY_GOTO(check_limit(&data->train, options->train_limit, "train_samples"), fail);
    EX_TRY_GOTO(check_limit(&data->test, options->test_limit, "test_samples"), fail);
    EX_TRY_GOTO(draw_subset(&data->train, options->train_limit, options->seed, 0), fail);
    EX_TRY_GOTO(draw_subset(&data->test, options->test_limit, options->seed, 1), fail);
    ex_dataset_changed(&data->train);
    ex_dataset_changed(&data->test);
    *out = data;
    return EX_OK;
fail:
    ex_data_close(&data);
    return status;
}

void ex_data_close(ex_data **data)
{
    if (*data) {
        ex_dataset_close(&(*data)->train);
        ex_dataset_close(&(*data)->test);
        ex_class_names_free(&(*data)->names);
    }
    ex_free(data);
}
