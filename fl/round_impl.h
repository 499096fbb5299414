/* A round in progress, inside of fl/round*.c. */
#ifndef EX_ROUND_IMPL_H
#define EX_ROUND_IMPL_H

#include "federation.h"
#include "ordered.h"
#include "strategy.h"

/* What a client of the cohort took. */
typedef struct ex_round_outcome {
    ex_train_sums sums;
    double seconds;
    size_t processed;
} ex_round_outcome;

typedef struct ex_round_slot {
    float *params, *stats; /* the client's update, on the mask's segments */
} ex_round_slot;

/* Kept from round to round: to have it from the system anew took a tenth of the time of small
 * clients (vgg11, five steps of ten images each: 397 ms a visit, 354 without). */
struct ex_round_room {
    ex_round_slot *slots; /* (slot_count) */
    int slot_count;
    ex_aggregate sum;
};

/* A round in progress. Arrays of cohort_count follow the cohort; only this rank's part is used. */
typedef struct ex_round_work {
    ex_federation *f;
    const ex_round *round;
    const ex_mask *mask; /* of what is exchanged, never NULL */
    int *cohort, cohort_count;
    int first, count; /* of the cohort, those that this rank trains */
    size_t *samples;
    double *weight;
    ex_round_outcome *outcomes;
    ex_round_room *room; /* the federation's */
    ex_ordered ordered;
} ex_round_work;

/* Trains this rank's clients on the lanes and adds their updates (round_client.c). */
ex_status ex_round_train(ex_round_work *w);
void ex_round_slots_free(ex_round_room *room);
void ex_round_room_free(ex_round_room **room);
/* How many places the ranks need behind the sum of the updates (round_ranks.c). */
size_t ex_round_extra_places(const ex_round_work *w);
/* Joins the ranks' sums. `mine`: how this rank fared; the first rank's error is that of all. */
ex_status ex_round_join(ex_round_work *w, ex_status mine);

#endif
