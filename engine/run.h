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
    EX_RUN_OVERWRITE, /* removes the files of an earlier run first (nothing else); refuses a folder
                         that holds others and no run: EX_ERR_EXISTS */
    EX_RUN_RESUME,    /* needs a checkpoint there, or a run that was stopped before its first:
                         EX_ERR_INPUT */
} ex_run_mode;

/* Where nothing else is said, what writes fails with EX_ERR_IO, and what reads with the codes of
 * ex_file_read_code; EX_ERR_MEMORY may be anywhere. */

/* What ex_run_open would refuse, without touching anything: also what could not be written later,
 * since a folder stands in a file's place, or the reverse (EX_ERR_INPUT). EX_ERR_USAGE for a path
 * that is empty. */
ex_status ex_run_check(const char *path, ex_run_mode mode);
/* Makes the folder (and its parents); nothing is written before the first file is. What a killed
 * process left half written there is removed. Until ex_run_close nobody else can open it:
 * EX_ERR_EXISTS. As ex_run_check, and EX_ERR_INPUT for a folder that cannot be made or written to,
 * EX_ERR_USAGE for a path that is too long. */
ex_status ex_run_open(ex_run **out, const char *path, ex_run_mode mode);
void ex_run_close(ex_run **run);
/* Whether another process, or an ex_run of this one, has it open now. */
bool ex_run_busy(const char *path);
/* Gives up: removes what a run writes, and the folder if ex_run_open made it. NULL-safe. */
void ex_run_discard(ex_run **run);
/* A finished run that goes on is not finished: removes report.json, then the model and ledger that
 * it speaks of. The checkpoints hold the values. */
ex_status ex_run_reopen(ex_run *run);
/* The status of a run that is under way: exit status 2 says that nothing was written, so the codes
 * with that become EX_ERR_BACKEND, with the same message. */
ex_status ex_run_failed(ex_status status);
/* "RUN/name"; valid until the next call in this thread. */
const char *ex_run_path(const ex_run *run, const char *name);
/* Appends one compact JSON object as a line of metrics.jsonl, flushed. Steals the reference. */
ex_status ex_run_metrics(ex_run *run, json_t *line);

/* What a checkpoint holds beside its state: the caller's arrays. */
typedef struct ex_run_values {
    float *params, *stats, *velocity; /* velocity (param_count), or NULL: none */
    size_t param_count, stat_count;
} ex_run_values;

/* Checkpoint after a complete round: values and a JSON state, an object whose integer "round"
 * counts the complete rounds and names the file (checkpoint/round-N.bin), written atomically as
 * one; the length of metrics.jsonl goes with it. The two newest are kept. All is only read.
 * EX_ERR_USAGE for a state without a round. */
ex_status ex_run_checkpoint(ex_run *run, const ex_run_values *values, const json_t *state);
/* *round = the complete rounds that the newest is named for, damaged or not; -1: there is none. An
 * error if that cannot be told. */
ex_status ex_run_newest(const char *path, long *round);
/* Whether there is one; also where that cannot be told, which ex_run_check and ex_run_peek report.
 */
bool ex_run_has_checkpoint(const char *path);
/* The state of the newest checkpoint that is whole, as a new reference; the values are only
 * checked. Damaged ones are passed over. EX_ERR_INPUT if none is left. */
ex_status ex_run_peek(const char *path, json_t **state);
/* Of a state that ex_run_peek or ex_run_restore gave: the complete rounds, and the command whose
 * run it is ("train"), NULL if it does not tell; as long as the state. */
int ex_run_state_round(const json_t *state);
const char *ex_run_state_command(const json_t *state);
/* Reads the newest back and cuts metrics.jsonl to its length then. *state is a new reference. A
 * velocity that is asked for and not there is zero. A damaged checkpoint is named in a warning and
 * renamed to round-N.bin.damaged, and the one before it taken; EX_ERR_INPUT if there is none,
 * EX_ERR_CONFIG if it is of a model of another size. */
ex_status ex_run_restore(ex_run *run, const ex_run_values *values, json_t **state);

#endif
