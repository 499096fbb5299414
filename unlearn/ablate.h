/* Inside of the ablation: what a strategy is given, and how it counts. For unlearn/ and its tests.
 *
 * While a strategy runs, the table holds sums: baseline_loss and loss_delta are sums of per-sample
 * losses. ex_ablate_samples turns them into means. */
#ifndef EX_ABLATE_H
#define EX_ABLATE_H

#include "effects.h"

/* How much is computed at a time; results do not depend on it beyond rounding. 0 = the default. */
typedef struct ex_ablate_limits {
    int chunk;    /* probe images whose maps are kept at a time */
    int variants; /* ablated channels in one batch */
} ex_ablate_limits;

typedef struct ex_ablate_job {
    ex_federation *f;
    const ex_samples *probe;
    const int *class_of; /* (model->classes) row of a label in the table, or -1 */
    ex_effects *e;
    ex_ablate_limits limits;
} ex_ablate_job;

/* A way to compute the same numbers. */
typedef struct ex_ablate_strategy {
    const char *name;
    ex_status (*run)(const ex_ablate_job *job);
} ex_ablate_strategy;

extern const ex_ablate_strategy ex_ablate_naive, ex_ablate_streams, ex_ablate_batched;

/* One channel at a time on one lane, for what no change of the values can express. */
ex_status ex_ablate_single(const ex_ablate_job *job);

enum { EX_ABLATE_BASELINE = -1 };
/* Adds the images' outcome to the sums of `channel` (counted through all layers) or of the
 * baseline. A prediction is the lowest index among the largest logits; a row with a NaN is never
 * correct. logits (images, classes of the model); label (images). Safe from several threads for
 * different channels. */
void ex_ablate_tally(const ex_ablate_job *job, int channel, const float *logits,
                     const uint16_t *label, int images);

/* The effects on probe samples that are given, of the classes in `labels`. */
ex_status ex_ablate_samples(ex_effects **out, ex_federation *f, const ex_samples *probe,
                            const int *labels, int label_count, ex_ablate_limits limits);

#endif
