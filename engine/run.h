/* A run folder: config.yaml, metrics.jsonl, model.safetensors, effects.csv, mask.json, ledger.json,
 * report.json, checkpoint/. Files are written whole: beside, synced, renamed. metrics.jsonl is
 * appended a line at a time. */
#ifndef EX_RUN_H
#define EX_RUN_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct ex_run ex_run;

typedef enum ex_run_mode {
    EX_RUN_NEW,       /* refuses a folder that is not empty: EX_ERR_EXISTS */
    EX_RUN_OVERWRITE, /* removes the files of an earlier run first (nothing else) */
    EX_RUN_RESUME,    /* needs a checkpoint there */
} ex_run_mode;

/* Makes the folder (and its parents); nothing is written before the first file is. */
ex_status ex_run_open(ex_run **out, const char *path, ex_run_mode mode);
void ex_run_close(ex_run **run);
/* "RUN/name"; valid until the next call in this thread. */
const char *ex_run_path(const ex_run *run, const char *name);
/* Appends one compact JSON object as a line of metrics.jsonl, flushed. Steals the reference. */
ex_status ex_run_metrics(ex_run *run, json_t *line);

/* Checkpoint after a complete round: values and a JSON state (round, ledger, bytes of metrics.jsonl
 * so far), in checkpoint/, atomically as a pair. */
ex_status ex_run_checkpoint(ex_run *run, const float *params, size_t param_count, const float *stats,
                            size_t stat_count, json_t *state);
/* Reads it back and cuts metrics.jsonl to its length then. *state is a new reference. */
ex_status ex_run_restore(ex_run *run, float *params, size_t param_count, float *stats,
                         size_t stat_count, json_t **state);

#endif
