/* A model with the start values of a golden file, its images, and the comparison of flat vectors
 * with what PyTorch computed. */
#ifndef EX_GOLDEN_NET_H
#define EX_GOLDEN_NET_H

#include "backend.h"
#include "golden.h"

typedef struct ex_golden_net {
    ex_golden *file;
    ex_model *model;
    float *params, *stats, *velocity; /* before the step */
    ex_dataset data;                  /* images of the case opened last */
    ex_samples feed;                  /* all of them, in order */
    ex_sgd_coeff sgd;
} ex_golden_net;

/* Opens tests/data/golden/FILE.gold and fills the start values, checked against the generator's
 * checksums. (channels, size): of the stored images. */
void ex_golden_net_open(ex_golden_net *net, const char *file, const char *model, int channels,
                        int size);
void ex_golden_net_close(ex_golden_net *net);
/* Makes the images of a case ("train7"), checked against the generator's checksum. Returns the
 * case's numbers: batch, seed, frozen, nesterov. */
const int32_t *ex_golden_net_images(ex_golden_net *net, const char *name);
/* Room for `count` images of the net's shape under labels that the caller sets. */
void ex_golden_net_room(ex_golden_net *net, size_t count);

/* rms: of a tensor's errors, in units of the rms of its reference. element: of a single element, in
 * units of (rms + |reference|). */
typedef struct ex_golden_tolerance {
    double rms, element;
} ex_golden_tolerance;

/* What PyTorch's own float32 keeps ten times over (steps.py refuses other cases). */
#define EX_GOLDEN_DIRECT ((ex_golden_tolerance){1e-4, 1e-3})

typedef struct ex_golden_kind {
    const char *name; /* grad, velocity, param or stat */
    ex_golden_tolerance within;
    const char *scale_of; /* take the rms from this kind instead ("velocity"), times scale */
    double scale;
    double slack; /* |reference| times this is allowed besides: rounding */
} ex_golden_kind;

/* Compares every tensor of the kind with the arrays CASE/KIND/TENSOR; names each that is off, then
 * fails. vector: flat, (param_count) or (stat_count) for "stat". */
void ex_golden_check_tensors(const ex_golden_net *net, const char *name, ex_golden_kind kind,
                             const float *vector);
/* Compares `count` floats with the array CASE/KIND or, where it is a summary, with that of a tensor
 * of `rows` rows. */
void ex_golden_check_array(const ex_golden_net *net, const char *name, const char *kind,
                           ex_golden_tolerance within, const float *values, size_t count,
                           size_t rows);
/* *out = a conv weight in PyTorch's order, any other tensor as it is. out (tensor->size). */
void ex_golden_to_torch(float *out, const ex_tensor *tensor, const float *vector);
/* The reverse, into the flat vector. values (tensor->size). */
void ex_golden_from_torch(float *vector, const ex_tensor *tensor, const float *values);

#endif
