/* Images in memory: bytes, planar (count, C, H, W), with one label each.
 *
 * A set of samples (ex_samples) is a list of image indexes with the labels they are used under. A
 * client's share, the server's samples, a probe set, a perturbed set, an epoch's order: each is
 * one. */
#ifndef EX_DATASET_H
#define EX_DATASET_H

#include "base/status.h"
#include "data/classes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { EX_CHANNELS_MAX = 4 };

/* What training makes of its images at random (kernels.h, ex_augment): pixels that they move by,
 * side of the square that is cut out, mirroring. Evaluation sees them as they are. */
typedef struct ex_augmentation {
    int crop, cutout;
    bool flip;
} ex_augmentation;

typedef struct ex_dataset {
    char name[32];
    int classes, channels, height, width;
    size_t count;
    uint8_t *images;                                   /* (count, channels, height, width) */
    uint16_t *labels;                                  /* (count), each < classes */
    float mean[EX_CHANNELS_MAX], std[EX_CHANNELS_MAX]; /* of values in 0..1 */
    ex_augmentation augment;
    /* Names these bytes of images, as long as the process lives: what copies of them are known by.
     * 0: not named, copies are compared by contents. Whoever changes images in place calls
     * ex_dataset_changed. */
    uint64_t generation;
} ex_dataset;

typedef struct ex_data {
    ex_dataset train, test;
    ex_class_names names; /* of the classes, where they have some */
} ex_data;

typedef struct ex_data_options {
    const char *dir;    /* folder of the files; NULL: search the usual places (folders.h) */
    size_t train_limit; /* keep so many training samples, drawn by seed, order kept; 0 = all */
    size_t test_limit;  /* same for the test samples */
    uint64_t seed;
    /* Of values in 0..1, (mean_count) and (std_count): one for each channel or one for all; 0 = the
     * data set's own. */
    const double *mean, *std;
    size_t mean_count, std_count;
    ex_augmentation augment; /* of the training images */
    bool grey;               /* folder: one channel instead of three */
    double test_share;       /* folder, without parts of its own */
} ex_data_options;

/* name: one of ex_dataset_names; `folder` is of pictures (images.h). A missing, truncated or
 * corrupt file is EX_ERR_INPUT naming the file, what was expected and how to get it; an unknown
 * name or a limit beyond what there is, EX_ERR_CONFIG. options NULL: all samples from the usual
 * places. */
ex_status ex_data_open(ex_data **out, const char *name, const ex_data_options *options);
void ex_data_close(ex_data **data);
const char *const *ex_dataset_names(void);

/* Parsers, of plain and gzipped files alike. They fill in counts, sizes and arrays; the caller sets
 * dataset->classes before (labels are checked against it), name, mean and std. After an error
 * nothing is left allocated. ex_idx_read: one channel, from a pair of files. */
ex_status ex_idx_read(ex_dataset *dataset, const char *image_path, const char *label_path);
/* CIFAR-10 binary layout: records of 1 label byte and 3 x 32 x 32 bytes; several files appended. */
ex_status ex_cifar10_read(ex_dataset *dataset, const char *const *paths, int path_count);
/* CIFAR-100: 2 label bytes a record, of which the second (fine, 100 classes) counts. */
ex_status ex_cifar100_read(ex_dataset *dataset, const char *path);
void ex_dataset_close(ex_dataset *dataset); /* frees the arrays */
/* The images are others than before: a generation that no data set had. */
void ex_dataset_changed(ex_dataset *dataset);

typedef struct ex_samples {
    uint32_t *index; /* (count) */
    uint16_t *label; /* (count) */
    size_t count;
} ex_samples;

/* Room for `count` samples, zeroed. */
ex_status ex_samples_alloc(ex_samples *out, size_t count);
void ex_samples_free(ex_samples *s);
/* Every sample of a data set under its own label. */
ex_status ex_samples_all(ex_samples *out, const ex_dataset *d);
ex_status ex_samples_copy(ex_samples *out, const ex_samples *s);
/* Those of class `label` (keep = 1), or all others (keep = 0), in order. */
ex_status ex_samples_of_class(ex_samples *out, const ex_samples *s, int label, int keep);
/* a followed by b. */
ex_status ex_samples_join(ex_samples *out, const ex_samples *a, const ex_samples *b);

#endif
