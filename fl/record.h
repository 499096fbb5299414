/* What a federation leaves in the folder of a run, whatever it was run for. */
#ifndef EX_RECORD_H
#define EX_RECORD_H

#include "federation.h"
#include "run.h"

/* The federation's arrays as a checkpoint takes them; velocity (param_count) may be NULL. */
ex_run_values ex_federation_values(const ex_federation *f, float *velocity);
/* algorithms.json, then the checkpoint of `state` (run.h), whose reference it takes over, with the
 * configuration in it as "config" (ex_config_kept); NULL stands for a state that memory was short for. */
ex_status ex_federation_checkpoint(const ex_federation *f, ex_run *run, float *velocity,
                                   json_t *state);
/* That so many training samples must be kept for what is under way, in the open ledger phase. */
void ex_federation_stored(const ex_federation *f, size_t samples);
/* model.safetensors, ledger.json, algorithms.json, and report.json last: a folder that has one is
 * complete. */
ex_status ex_federation_results(const ex_federation *f, const ex_run *run, const json_t *report);

#endif
