/* What each back end checks before it runs a plan, and what it counts afterwards: the same words
 * and the same sums on all of them. Functions of samples get host pointers. */
#ifndef EX_PLAN_CHECKS_H
#define EX_PLAN_CHECKS_H

#include "backend.h"

/* EX_ERR_INPUT unless the model takes the data set's images. */
ex_status ex_plan_check_data(const ex_model *model, const ex_dataset *data);
/* EX_ERR_INPUT naming the first of feed's samples [first, first + count) that is no image of the
 * data set or no class of the model. */
ex_status ex_plan_check_samples(const ex_model *model, const ex_dataset *data,
                                const ex_samples *feed, size_t first, size_t count);
/* EX_ERR_USAGE unless `f` can be forked from `from` to `to`. */
ex_status ex_plan_check_fork(const ex_plan *to, const ex_plan *from, const ex_fork *f);

/* Adds the step of feed's samples [first, first + batch), whose losses and predictions are (batch),
 * to *sums. EX_ERR_NUMERIC naming step and sample for a loss that is not finite. */
ex_status ex_plan_add_trained(ex_train_sums *sums, const ex_samples *feed, size_t first,
                              size_t batch, const float *loss, const int32_t *predicted);
/* Adds `count` samples, under the labels `label`, to all of *sums but the logits. */
void ex_plan_add_evaluated(ex_eval_sums *sums, const uint16_t *label, size_t count,
                           const float *loss, const int32_t *predicted);

/* Whether a node after `node` reads the tensor of node `tensor`. */
bool ex_plan_read_after(const ex_model *model, int tensor, int node);

#endif
