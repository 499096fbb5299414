/* What several subcommands have to say: parts of reports, results on stdout and in files of their
 * own, and how a run that was stopped goes on. Those that give JSON give new references. */
#ifndef EX_CLI_OUTPUT_H
#define EX_CLI_OUTPUT_H

#include "federation.h"

enum { CLI_CLASS_ROOM = 160, CLI_NUMBER_ROOM = 32 };

/* text = "0.8732", or "-" where there was nothing to measure it on. Gives text. */
const char *cli_measured(char text[CLI_NUMBER_ROOM], double value, size_t samples);

/* {"accuracy", "loss", "count", "per_class": [...]}, and {"forget", "retain"} if label >= 0. */
json_t *cli_accuracy(const ex_accuracy *a, int label);
/* ex_version_libraries with the CUDA module loaded, if that can be, and "mpi", which no result
 * depends on: what the program could use here, where a report tells what it did use.
 * ex_error_message then says why the CUDA module could not be loaded. */
json_t *cli_libraries(void);
/* {"schema", "version", "libraries", "model", "dataset", "seed", "device", "device_description",
 * "precision"}: what a result depends on. */
json_t *cli_provenance(const ex_federation *f);
/* {"compute_s", "client_s", "bytes_up", "bytes_down", "samples", "stored_samples", "rounds"} */
json_t *cli_cost(const ex_cost *cost);
/* text = "1 (Trouser)", or "1" where the class has no name, of an object with "class" and
 * "class_name". Gives text. */
const char *cli_class(char text[CLI_CLASS_ROOM], const json_t *object);
/* [name of class 0, ...], or null where there are none. */
json_t *cli_class_names(const ex_federation *f);
/* The error of a run that can go on: adds to the message what is kept and how it goes on. `unit`:
 * "round" or "epoch"; `complete` of them are in the checkpoint. Gives status. */
ex_status cli_stopped(ex_status status, const char *resume, const char *unit, int complete);
/* One object on stdout, indented. EX_ERR_MEMORY if it is NULL or not whole. */
ex_status cli_print_json(const json_t *json);
/* Whether a file of results can be written to `path`: EX_ERR_EXISTS if it is there and not to be
 * overwritten, EX_ERR_USAGE if it is a folder or its own folder is missing. */
ex_status cli_check_target(const char *path, bool overwrite);
/* The same of --profile's FILE.csv, which replaces an earlier profile and nothing else. */
ex_status cli_check_profile(const char *path);
/* logits (test samples, classes) and labels of the test samples, in their order, as .safetensors.
 */
ex_status cli_write_logits(ex_federation *f, const char *path);

#endif
