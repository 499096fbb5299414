/* The table of data sets, and how each is opened. A new one is an ex_source and a row in
 * SOURCE_LIST. */
#include "data/source.h"

#include "base/log.h"
#include "data/folders.h"
#include "data/images.h"
#include "data/synthetic.h"

#include <stdio.h>
#include <string.h>

enum { CIFAR_TRAIN_FILES = 5, SYNTHETIC_TRAIN = 4000, SYNTHETIC_TEST = 1000 };

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

/* The training batches that are there, from 1 on without a gap: fewer than the archive has may be
 * meant so, and are told of; a gap is none of anybody's making. */
static ex_status find_batches(char train[][PATH_MAX], int *count, const char *folder)
{
    *count = 0;
    for (int i = 0; i < CIFAR_TRAIN_FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "data_batch_%d.bin", i + 1);
        if (!ex_data_find_file(train[*count], folder, name))
            continue;
        if (*count < i)
            return EX_FAIL(EX_ERR_INPUT, "%s has %s, but no data_batch_%d.bin before it", folder,
                           name, *count + 1);
        ++*count;
    }
    if (*count < CIFAR_TRAIN_FILES)
        ex_log_warn("%s has %d of the %d training files of CIFAR-10, without data_batch_%d.bin: "
                    "fewer samples to train on",
                    folder, *count, CIFAR_TRAIN_FILES, *count + 1);
    return EX_OK;
}

static ex_status open_cifar10(ex_data *data, const char *folder, const ex_data_options *options)
{
    (void)options;
    char test[PATH_MAX], train[CIFAR_TRAIN_FILES][PATH_MAX];
    const char *paths[CIFAR_TRAIN_FILES], *test_path = test;
    int count;
    EX_TRY(find_batches(train, &count, folder));
    for (int i = 0; i < count; i++)
        paths[i] = train[i];
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

/* As the data set's authors call them. */
static const char *const fashion_names[] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                            "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                            "Bag",         "Ankle boot"};
static const char *const cifar10_names[] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                            "dog",      "frog",       "horse", "ship", "truck"};

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
                                        .class_names = fashion_names,
                                        .first_file = "train-images-idx3-ubyte",
                                        .open = open_idx};
/* Computed from the files; the same as most recipes for CIFAR-10 have. */
static const ex_source cifar10 = {.classes = 10,
                                  .mean = {0.49139968f, 0.48215841f, 0.44653091f},
                                  .std = {0.24703223f, 0.24348513f, 0.26158784f},
                                  .class_names = cifar10_names,
                                  .first_file = "data_batch_1.bin",
                                  .subfolder = "cifar-10-batches-bin",
                                  .open = open_cifar10};
/* As published with most recipes for CIFAR-100. */
static const ex_source cifar100 = {.classes = 100,
                                   .mean = {0.50707516f, 0.48654887f, 0.44091784f},
                                   .std = {0.26733429f, 0.25643846f, 0.27615047f},
                                   .names_file = "fine_label_names.txt",
                                   .first_file = "train.bin",
                                   .subfolder = "cifar-100-binary",
                                   .open = open_cifar100};
/* Tells all by itself. */
static const ex_source pictures = {.open = open_pictures, .read_names = ex_images_classes};
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

ex_status ex_source_find(const ex_source **out, const char *name)
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
