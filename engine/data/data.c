/* The table of data sets, and how each is opened. A new one is an ex_source and a row in
 * SOURCE_LIST. */
#include "base/memory.h"
#include "base/rng.h"
#include "data/dataset.h"
#include "data/folders.h"
#include "data/images.h"
#include "data/synthetic.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { CIFAR_TRAIN_FILES = 5, SYNTHETIC_TRAIN = 4000, SYNTHETIC_TEST = 1000 };

typedef struct ex_source {
    int classes;
    float mean[EX_CHANNELS_MAX], std[EX_CHANNELS_MAX]; /* of the training images, in 0..1 */
    const char *first_file; /* its presence marks a folder; NULL: no files */
    const char *subfolder;  /* of the official archive, or NULL */
    ex_status (*open)(ex_data *data, const char *folder, const ex_data_options *options);
} ex_source;

static ex_status need_file(char path[PATH_MAX], const char *folder, const char *name)
{
    if (!ex_data_find_file(path, folder, name))
        return EX_FAIL(EX_ERR_INPUT, "%s has no %s, plain or with .gz", folder, name);
    return EX_OK;
}

static ex_status open_idx_pair(ex_dataset *d, const char *folder, const char *images,
                               const char *labels)
{
    char image_path[PATH_MAX], label_path[PATH_MAX];
    EX_TRY(need_file(image_path, folder, images));
    EX_TRY(need_file(label_path, folder, labels));
    return ex_idx_read(d, image_path, label_path);
}

static ex_status open_idx(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)options;
    EX_TRY(
        open_idx_pair(&data->train, folder, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"));
    EX_TRY(open_idx_pair(&data->test, folder, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"));
    if (data->train.height != data->test.height || data->train.width != data->test.width)
        return EX_FAIL(EX_ERR_INPUT, "%s: training images are %d x %d, but test images %d x %d",
                       folder, data->train.height, data->train.width, data->test.height,
                       data->test.width);
    return EX_OK;
}

/* The training batches are those there are, from 1 on without a gap. */
static ex_status open_cifar10(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)options;
    char test[PATH_MAX], train[CIFAR_TRAIN_FILES][PATH_MAX];
    const char *paths[CIFAR_TRAIN_FILES], *test_path = test;
    int count = 0;
    while (count < CIFAR_TRAIN_FILES) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", count + 1);
        if (!ex_data_find_file(train[count], folder, name))
            break;
        paths[count] = train[count];
        count++;
    }
    EX_TRY(need_file(test, folder, "test_batch.bin"));
    EX_TRY(ex_cifar10_read(&data->train, paths, count));
    return ex_cifar10_read(&data->test, &test_path, 1);
}

static ex_status open_cifar100(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)options;
    char train[PATH_MAX], test[PATH_MAX];
    EX_TRY(need_file(train, folder, "train.bin"));
    EX_TRY(need_file(test, folder, "test.bin"));
    EX_TRY(ex_cifar100_read(&data->train, train));
    return ex_cifar100_read(&data->test, test);
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static ex_status open_synthetic(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)folder;
    EX_TRY(ex_synthetic_make(&data->train, larger(options->train_limit, SYNTHETIC_TRAIN), 0));
    return ex_synthetic_make(&data->test, larger(options->test_limit, SYNTHETIC_TEST), 1);
}

static ex_status open_pictures(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)folder;
    return ex_images_open(data, options);
}

/* Computed from the files; .1307 and .3081 in PyTorch's MNIST example. */
static const ex_source mnist = {.classes = 10,
                                .mean = {0.13066f},
                                .std = {0.30811f},
                                .first_file = "train-images-idx3-ubyte",
                                .open = open_idx};
/* Computed from the files of Debian's package. */
static const ex_source fashion_mnist = {.classes = 10,
                                        .mean = {0.28604f},
                                        .std = {0.35302f},
                                        .first_file = "train-images-idx3-ubyte",
                                        .open = open_idx};
/* Computed from the files; the same as most recipes for CIFAR-10 have. */
static const ex_source cifar10 = {.classes = 10,
                                  .mean = {0.49139968f, 0.48215841f, 0.44653091f},
                                  .std = {0.24703223f, 0.24348513f, 0.26158784f},
                                  .first_file = "data_batch_1.bin",
                                  .subfolder = "cifar-10-batches-bin",
                                  .open = open_cifar10};
/* As published with most recipes for CIFAR-100. */
static const ex_source cifar100 = {.classes = 100,
                                   .mean = {0.50707516f, 0.48654887f, 0.44091784f},
                                   .std = {0.26733429f, 0.25643846f, 0.27615047f},
                                   .first_file = "train.bin",
                                   .subfolder = "cifar-100-binary",
                                   .open = open_cifar100};
/* Tells all by itself. */
static const ex_source pictures = {.open = open_pictures};
/* What the first 4,000 samples have, rounded. */
static const ex_source synthetic = {.classes = 10,
                                    .mean = {0.5f, 0.5f, 0.5f},
                                    .std = {0.15f, 0.15f, 0.15f},
                                    .open = open_synthetic};

#define SOURCE_LIST(X)                                                                             \
    X("mnist", mnist)                                                                              \
    X("fashion-mnist", fashion_mnist)                                                              \
    X("cifar10", cifar10)                                                                          \
    X("cifar100", cifar100)                                                                        \
    X("folder", pictures)                                                                          \
    X("synthetic", synthetic)

const char *const *ex_dataset_names(void)
{
    static const char *const names[] = {
#define X(name, source) name,
        SOURCE_LIST(X)
#undef X
            NULL,
    };
    return names;
}

static ex_status find_source(const ex_source **out, const char *name)
{
    static const ex_source *const sources[] = {
#define X(text, source) &source,
        SOURCE_LIST(X)
#undef X
    };
    char known[256] = "";
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        *out = sources[i];
        if (strcmp(ex_dataset_names()[i], name) == 0)
            return EX_OK;
        ex_append(known, sizeof known, "%s%s", i ? ", " : "", ex_dataset_names()[i]);
    }
    return EX_FAIL(EX_ERR_CONFIG, "dataset is \"%s\"; one of %s", name, known);
}

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

static ex_status open_files(ex_data *data, const char *name, const ex_source *source,
                            const ex_data_options *options)
{
    char folder[PATH_MAX] = "";
    if (source->first_file)
        EX_TRY(
            ex_data_find_folder(folder, name, options->dir, source->first_file, source->subfolder));
    const ex_status status = source->open(data, folder, options);
    if (status == EX_ERR_INPUT && source->first_file)
        return EX_FAIL(status, "%s; to fetch the files again, run scripts/get_data.sh %s",
                       ex_error_message(), name);
    return status;
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
    EX_TRY(find_source(&source, name));
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
    }
    ex_free(data);
}
