/* Several ranks work on one federation: rank 0 runs the program, the others serve it.
 *
 * Only rank 0 decides, evaluates, ablates and writes. Before a round it tells the others what the
 * round is, and what of it they do not hold yet: global values that are not those of the round
 * before, samples, mask, algorithms. Then every rank trains its part of the cohort, one sum joins
 * them, and all hold the same new model. Between rounds rank 0 tells the others that it lives. An
 * error of any rank becomes that of all. */
#ifndef EX_SHARE_H
#define EX_SHARE_H

#include "federation.h"
#include "pulse.h"

#include <limits.h>

/* For ranks other than 0: opens what rank 0 opens, and does its rounds until it lets them go. Takes
 * the communicator. *reported: rank 0 tells the user of the error. */
ex_status ex_federation_serve(ex_comm **comm, bool *reported);
/* For rank 0: lets the others go, and destroys the communicator. NULL-safe. */
void ex_share_dismiss(ex_comm **comm);

/* --- inside of fl/ -------------------------------------------------------------------------- */

struct ex_share {
    uint64_t values, clients, algorithms; /* digests of what all ranks hold; 0: nothing yet */
    ex_mask *mask;                        /* the round's that was told last; NULL: everything */
    ex_norm_mode norm;
    ex_samples *samples; /* (num_clients) ranks other than 0: the round's */
    ex_status trouble;   /* this rank cannot do the round that the others do */
    ex_pulse *pulse;     /* rank 0's sign of life between rounds; NULL on the others */
    char file[PATH_MAX]; /* of this rank's own, for algorithms; "": not made yet */
};

/* Rank 0 is not yet taken for alone (ex_share_rest). */
ex_status ex_share_create(ex_share **out, const ex_federation *f, ex_comm *comm);
void ex_share_destroy(ex_share **share, int num_clients);
/* Rank 0: tells the others to open a federation with its configuration. */
ex_status ex_share_open(ex_comm *comm, const ex_config *config);
/* Rank 0: tells the others of the round that it now begins. The communicator is the round's until
 * ex_share_rest. */
ex_status ex_share_round(ex_federation *f, const ex_round *round);
/* All ranks, after a round: its values need not be sent. */
void ex_share_keep(ex_federation *f);
/* All ranks: the round is over. Rank 0 works alone until the next, and tells the others so. */
void ex_share_rest(ex_federation *f);
/* What client `client` trains in a round. */
ex_fit ex_round_fit(const ex_federation *f, const ex_round *round, int client);
/* Opens on each rank, and agrees on how that went. */
ex_status ex_federation_join(ex_federation **out, const ex_config *config, ex_comm **comm);

#endif
