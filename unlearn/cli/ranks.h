/* Commands that several processes share: rank 0 runs them, the others serve it. */
#ifndef EX_CLI_RANKS_H
#define EX_CLI_RANKS_H

#include "cli.h"
#include "comm.h"

/* Joins the ranks that were started together, if there are several. `output`: the run folder. */
ex_status cli_join(ex_comm **comm, const ex_config *config, const char *output);
/* What a rank other than 0 does; takes the communicator. */
ex_status cli_serve(ex_comm **comm);
/* Whether rank 0 tells the user of the error that this process ends with. */
bool cli_reported(void);

#endif
