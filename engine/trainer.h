/* Training and evaluation of a model on lanes: epochs, shuffling, last short batches.
 *
 * A trainer belongs to one lane and keeps the plans it has compiled, keyed by batch size, mask and
 * norm mode, so that the rounds of a run compile each once. Clients and the server use the same. */
#ifndef EX_TRAINER_H
#define EX_TRAINER_H

#include "backend.h"
#include "base/rng.h"

typedef struct ex_trainer ex_trainer;

typedef struct ex_fit {
    const ex_dataset *data;
    const ex_samples *samples; /* count > 0 */
    int epochs, batch_size;    /* the last batch of an epoch may be shorter, as PyTorch's loader has it */
    ex_sgd_coeff sgd;
    ex_norm_mode norm;
    const ex_mask *mask; /* NULL = everything */
    ex_rng_key key;      /* seed, client, round; epoch k shuffles at EX_RNG_SHUFFLE, epoch first_epoch + k */
    int first_epoch;
} ex_fit;

ex_status ex_trainer_create(ex_trainer **out, ex_lane *lane);
void ex_trainer_destroy(ex_trainer **t);
ex_lane *ex_trainer_lane(ex_trainer *t);
/* Trains the lane's values in place. Stops between steps when ex_interrupted(): EX_ERR_INTERRUPTED. Adds to
 * *sums the samples of the last epoch only (its loss and accuracy), sums->count included; *processed
 * (may be NULL) counts the samples of all epochs. */
ex_status ex_trainer_fit(ex_trainer *t, const ex_fit *fit, ex_train_sums *sums, size_t *processed);
ex_status ex_trainer_evaluate(ex_trainer *t, const ex_dataset *data, const ex_samples *samples,
                              ex_eval_sums *sums);

/* A work item run by one of several lanes' threads; `lane` counts from 0. */
typedef ex_status (*ex_lane_work)(void *context, int item, int lane);
/* Runs items 0..count-1, handed out in order, on `lanes` threads. The first error (by item) stops
 * the handing out and is returned, its message adopted. */
ex_status ex_lanes_run(int lanes, int count, ex_lane_work work, void *context);

/* Set by SIGINT and SIGTERM (ex_interrupt_install), polled between steps and rounds. */
void ex_interrupt_install(void);
bool ex_interrupted(void);

#endif
