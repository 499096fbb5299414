/* Checkpoints of an unlearning run. Inside of unlearn/. */
#ifndef EX_PROGRESS_H
#define EX_PROGRESS_H

#include "report.h"

/* Where a run's effects come from, and what effects.csv does not hold of them. */
typedef struct ex_effects_origin {
    bool measured, given; /* neither: there are none yet */
    double baseline_loss; /* of the class; NAN: not known */
} ex_effects_origin;

/* *digest = that of the model that the run began with, as the state of its checkpoint tells.
 * EX_ERR_INPUT, naming `where` it was read, if it does not. */
ex_status ex_unlearning_digest(uint64_t *digest, const json_t *state, const char *where);
/* Writes a checkpoint after u->trace_count epochs or rounds, as ex_run_checkpoint; does nothing
 * without a run. */
ex_status ex_unlearning_checkpoint(const ex_unlearning *u);
/* Takes up where the newest one stopped: values, ledger, trace and what was measured before.
 * u->before is allocated where it was. As ex_run_restore, and EX_ERR_INPUT for a state that is none
 * of an unlearning run. */
ex_status ex_unlearning_restore(ex_unlearning *u, ex_effects_origin *origin);

#endif
