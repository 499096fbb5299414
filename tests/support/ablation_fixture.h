/* Ablations for tests: a small federation with a probe set, and Algorithm 1's definition of what a
 * channel's effect is, computed beside the strategies. */
#ifndef EX_ABLATION_FIXTURE_H
#define EX_ABLATION_FIXTURE_H

#include "ablate.h"

/* Kernels sum in another order for another batch size; what that may change in a loss, relatively.
 */
#define EX_TEST_LOSS_ROUNDING 2e-4

typedef struct ex_test_ablation {
    ex_federation *f;
    ex_samples probe;
    float *logits; /* (probe, classes) of the reference */
    float *params; /* a copy to prune */
    ex_lane *lane; /* of the reference */
    ex_plan *plan; /* for the whole probe set at once: nothing is padded */
} ex_test_ablation;

/* Synthetic data of ten classes, `probe` samples of each class in `labels`; resnet20 is trained
 * first, the others are as they were initialised. */
ex_test_ablation ex_test_ablation_open(const char *model, int lanes, const int *labels,
                                       int label_count, int probe);
void ex_test_ablation_close(ex_test_ablation *b);
ex_effects *ex_test_ablation_measure(ex_test_ablation *b, ex_strategy_choice strategy,
                                     ex_ablation ablation, const int *labels, int label_count,
                                     ex_ablate_limits limits);
/* Fills b->logits by the definition: the channel's filter and bias are zero, the whole model runs.
 */
void ex_test_ablation_define(ex_test_ablation *b, int flat);
/* Holds a cell against the definition, which has run for its channel. */
void ex_test_ablation_cell(ex_test_ablation *b, const ex_effects *e, int class_index, int flat);
/* Whether the tables disagree on a channel: in a count, or in a loss beyond rounding. */
bool ex_test_ablation_differ(ex_effects *const *tables, int count, int classes, int flat);

#endif
