/* excise train --dry-run: what a run would take. */
#ifndef EX_CLI_DRY_RUN_H
#define EX_CLI_DRY_RUN_H

#include "cli.h"

/* Trains a step or two on every lane, says what memory and traffic the run would take, and writes
 * nothing. */
ex_status cli_dry_run(const ex_config *config, const cli_args *args);

#endif
