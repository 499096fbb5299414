/* Parts of reports that several subcommands write. All give new references. */
#ifndef EX_CLI_OUTPUT_H
#define EX_CLI_OUTPUT_H

#include "federation.h"

/* {"accuracy", "loss", "count", "per_class": [...]}, and {"forget", "retain"} if label >= 0. */
json_t *cli_accuracy(const ex_accuracy *a, int label);
/* {"schema", "version", "libraries", "model", "dataset", "seed", "device", "device_description",
 * "precision"}: what a result depends on. */
json_t *cli_provenance(const ex_federation *f);
/* {"compute_s", "client_s", "bytes_up", "bytes_down", "samples", "stored_samples", "rounds"} */
json_t *cli_cost(const ex_cost *cost);
/* The error of a run that can go on: adds to the message what is kept and how it goes on. `unit`:
 * "round" or "epoch"; `complete` of them are in the checkpoint. Gives status. */
ex_status cli_stopped(ex_status status, const char *resume, const char *unit, int complete);
/* One object on stdout, indented. EX_ERR_MEMORY if it is NULL or not whole. */
ex_status cli_print_json(const json_t *json);
/* "1.2 MB" into text. */
void cli_format_bytes(double bytes, char *text, size_t room);
/* Whether a file of results can be written to `path`: EX_ERR_EXISTS if it is there and not to be
 * overwritten, EX_ERR_USAGE if it is a folder or its own folder is missing. */
ex_status cli_check_target(const char *path, bool overwrite);
/* The same of --profile's FILE.csv, which replaces an earlier profile and nothing else. */
ex_status cli_check_profile(const char *path);
/* logits (test samples, classes) and labels of the test samples, in their order, as .safetensors.
 */
ex_status cli_write_logits(ex_federation *f, const char *path);

#endif
