/* Who takes part in a round. */
#ifndef EX_COHORT_H
#define EX_COHORT_H

#include "config.h"

/* cohort (num_clients) gets the round's clients in ascending order, *count of them:
 * clients_per_round drawn by seed (0: all), less those that have no sample in this round. */
ex_status ex_cohort(int *cohort, int *count, const ex_config *config, uint64_t seed,
                    const ex_samples *clients, int round);

#endif
