/* A model's forward pass in double precision, written from model.h alone: the oracle of the back
 * ends' tests. Slow; for models of a few channels and pixels. */
#ifndef EX_NET_REFERENCE_H
#define EX_NET_REFERENCE_H

#include "backend.h"

typedef struct ex_net {
    const ex_model *model;
    const double *params, *stats;
    bool batch_statistics; /* normalise by the batch, as in training */
    int layer, channel;    /* ablated channel; layer -1: none */
    ex_ablation ablation;
    double *batch_mean, *batch_var; /* (stat_count) at the layer's offsets, or NULL */
} ex_net;

/* Mean loss of `images` (N, C, H, W) under `label`; logits (N, classes) or NULL. */
double ex_net_loss(const ex_net *net, const double *images, const uint16_t *label, int N,
                   double *logits);

/* Models for tests, by number: each op, norm or none, with and without residual, channel counts
 * that oneDNN blocks and some that it does not. */
enum { EX_TEST_MODELS = 4 };
void ex_test_model(ex_model **out, int which);

/* `count` random images for the model, labels in turn; freed by ex_dataset_close. */
void ex_test_images(ex_dataset *out, const ex_model *model, int count, uint64_t seed);
/* The network's input that the data set's images index[0..N) make, (N, C, H, W). */
void ex_test_input(double *out, const ex_model *model, const ex_dataset *d, const uint32_t *index,
                   int N);
/* Random values such that norms are neither trivial nor extreme. */
void ex_test_values(const ex_model *model, uint64_t seed, float *params, float *stats);

#endif
