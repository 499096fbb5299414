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
    int epochs;
    int batch_size; /* the last batch of an epoch may be shorter, as PyTorch's loader has it */
    ex_sgd_coeff sgd;
    ex_norm_mode norm;
    const ex_mask *mask; /* NULL = everything */
    ex_rng_key key;      /* seed, client, round; epoch k draws as epoch first_epoch + k */
    int first_epoch;
} ex_fit;

/* Owns the lane from here on; on an error it stays the caller's. */
ex_status ex_trainer_create(ex_trainer **out, ex_lane *lane);
void ex_trainer_destroy(ex_trainer **t);
ex_lane *ex_trainer_lane(ex_trainer *t);
/* Drops the plans that wait for their next use, which then makes them anew. */
void ex_trainer_drop_plans(ex_trainer *t);
/* Makes the plans that ex_trainer_fit would, and what they run on: the device has chosen its
 * algorithms then, and an epoch on it takes no memory. Where memory holds the plan of an epoch's
 * batches but not that of a shorter last one beside it, each epoch makes both in turn. */
ex_status ex_trainer_prepare(ex_trainer *t, const ex_fit *fit);
/* Trains the lane's values in place; momentum goes on from the call before, ex_lane_load clears it.
 * The mask is only read during the call. Looks at ex_interrupted() every few steps:
 * EX_ERR_INTERRUPTED. A loss that is not finite: EX_ERR_NUMERIC saying where. Adds to *sums the
 * samples of the last epoch only (its loss and accuracy), sums->count included; *processed (may be
 * NULL) counts the samples of all complete epochs. */
ex_status ex_trainer_fit(ex_trainer *t, const ex_fit *fit, ex_train_sums *sums, size_t *processed);
/* Adds to *sums, and fills sums->logits. Short of memory fewer images are evaluated at once, down to
 * one, which changes logits by rounding alone. */
ex_status ex_trainer_evaluate(ex_trainer *t, const ex_dataset *data, const ex_samples *samples,
                              ex_eval_sums *sums);

/* A work item run by one of several lanes' threads; `lane` counts from 0. */
typedef ex_status (*ex_lane_work)(void *context, int item, int lane);
/* Runs items 0..count-1, handed out in order, on `lanes` threads; with one lane, in the caller's.
 * An error stops the handing out; the first by item is returned, its message adopted, whatever the
 * timing: all items before it have run. */
ex_status ex_lanes_run(int lanes, int count, ex_lane_work work, void *context);

/* Set by SIGINT and SIGTERM after ex_interrupt_install (which clears it), polled between steps and
 * rounds. A second signal has its default effect. */
void ex_interrupt_install(void);
bool ex_interrupted(void);
/* Between hold and release ex_interrupted() is false: what must not be lost comes to its end, and
 * the stop after it. May be nested, by any threads. */
void ex_interrupt_hold(void);
void ex_interrupt_release(void);
/* The same without a signal: true asks for the stop, false takes that back. Safe in a signal
 * handler. */
void ex_interrupt_set(bool on);

#endif
