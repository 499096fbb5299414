/* A run folder: config.yaml, metrics.jsonl, model.safetensors, effects.csv, mask.json, ledger.json,
 * report.json, algorithms.json, checkpoint/. Files are written whole: beside, synced, renamed.
 * metrics.jsonl is appended a line at a time. */
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

/* What ex_run_open would refuse, without touching anything. */
ex_status ex_run_check(const char *path, ex_run_mode mode);
/* Makes the folder (and its parents); nothing is written before the first file is. */
ex_status ex_run_open(ex_run **out, const char *path, ex_run_mode mode);
void ex_run_close(ex_run **run);
/* Gives up: removes what a run writes, and the folder if ex_run_open made it. NULL-safe. */
void ex_run_discard(ex_run **run);
/* "RUN/name"; valid until the next call in this thread. */
const char *ex_run_path(const ex_run *run, const char *name);
/* Appends one compact JSON object as a line of metrics.jsonl, flushed. Steals the reference. */
ex_status ex_run_metrics(ex_run *run, json_t *line);

/* Checkpoint after a complete round: values and a JSON state, an object whose integer "round"
 * counts the complete rounds and names the file (checkpoint/round-N.bin), written atomically as
 * one; the length of metrics.jsonl goes with it. The two newest are kept. `state` is only read. */
ex_status ex_run_checkpoint(ex_run *run, const float *params, size_t param_count,
                            const float *stats, size_t stat_count, const json_t *state);
/* Reads the newest back and cuts metrics.jsonl to its length then. *state is a new reference. A
 * damaged one is named in a warning and the one before it taken; EX_ERR_INPUT if there is none, or
 * if it is of a model of another size. */
ex_status ex_run_restore(ex_run *run, float *params, size_t param_count, float *stats,
                         size_t stat_count, json_t **state);

#endif
