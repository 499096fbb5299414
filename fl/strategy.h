/* How the updates of a round become the next global model: a vtable, chosen by the key
 * `aggregation`.
 *
 * An update is a client's values minus the global ones, on the mask's segments, parameters and
 * running statistics alike. They are added in fixed point (accumulate_fixed in kernels.h), so that
 * neither the order of clients nor how they are dealt to processes changes a bit. Against a sum in
 * float64 the mean over K clients is off by at most K * 2^-41: for ten, 5e-12. Every rank applies
 * the same sum to the same values, so that what follows may be in floating point. */
#ifndef EX_STRATEGY_H
#define EX_STRATEGY_H

#include "config.h"
#include "model/mask.h"

typedef struct ex_strategy ex_strategy;

/* The gathering of one round. */
typedef struct ex_aggregate {
    const ex_strategy *strategy;
    const ex_mask *mask; /* what is averaged; not owned */
    size_t size;         /* mask->param_count + mask->stat_count */
    size_t room;         /* places that there is memory for */
    int64_t *sum;        /* (size) packed: selected parameters, then selected statistics */
    uint64_t outside;    /* values that were not finite, or too large, and are not in the sum */
} ex_aggregate;

/* The global model, as a strategy changes it. Flat vectors, none owned. */
typedef struct ex_global {
    float *params, *stats;
    float *velocity;     /* (param_count) kept from round to round; NULL unless keeps_velocity */
    double lr, momentum; /* the keys server.lr and server.momentum */
} ex_global;

struct ex_strategy {
    const char *name;
    bool keeps_velocity;
    /* weight (cohort) of each client's update, from its samples (cohort), none of them 0; they add
     * up to 1. */
    void (*weigh)(double *weight, const size_t *samples, int cohort, ex_weighting weighting);
    /* Adds one update; params, stats: flat vectors, read on the segments only. */
    void (*add)(ex_aggregate *a, const float *params, const float *stats, double weight);
    /* Changes the global values on the segments; every other byte stays, of the velocity too. */
    void (*apply)(const ex_aggregate *a, const ex_global *global);
};

extern const ex_strategy ex_strategy_fedavg, ex_strategy_fedavgm;

const ex_strategy *ex_strategy_of(ex_aggregation choice);

/* *a: all zeros, or a gathering that is over, whose memory is used again where it is enough. The sum
 * has `extra` more places behind its own, for what travels with it; all are 0. */
ex_status ex_aggregate_init(ex_aggregate *a, const ex_strategy *strategy, const ex_mask *mask,
                            size_t extra);
void ex_aggregate_close(ex_aggregate *a);

/* --- for strategies ------------------------------------------------------------------------- */

/* A weighted mean's weigh and add. */
void ex_strategy_weigh(double *weight, const size_t *samples, int cohort, ex_weighting weighting);
void ex_strategy_add(ex_aggregate *a, const float *params, const float *stats, double weight);

/* A place of the sum as the mean update that it stands for. */
static inline double ex_aggregate_mean(int64_t sum)
{
    return (double)sum * (1.0 / (double)((int64_t)1 << EX_FIXED_BITS));
}

/* flat += the means in `sum`, which follow the segments; gives where those end in the sum. */
const int64_t *ex_aggregate_move(float *flat, const int64_t *sum, const ex_segment *segments,
                                 size_t count);

#endif
