/* What the lanes of every back end have: a model's values, scratch memory that the lane's plans
 * share, and the budget of the device that both of them and the plans' own memory are taken from.
 */
#ifndef EX_LANE_CORE_H
#define EX_LANE_CORE_H

#include "backend.h"

#include <pthread.h>

/* --- budget ----------------------------------------------------------------------------------- */

/* Bytes of all plans and arenas of a device, which may be as many as its options.memory says. */
typedef struct ex_budget {
    const ex_device *device;
    pthread_mutex_t lock;
    size_t used;
} ex_budget;

void ex_budget_init(ex_budget *budget, const ex_device *device);
void ex_budget_close(ex_budget *budget);
/* EX_ERR_MEMORY beyond the limit. */
ex_status ex_budget_take(ex_budget *budget, size_t bytes);
/* Bytes that are still allowed; SIZE_MAX: any number. */
size_t ex_budget_left(ex_budget *budget);
void ex_budget_give_back(ex_budget *budget, size_t bytes);

/* --- lane ------------------------------------------------------------------------------------- */

typedef struct ex_lane_core ex_lane_core;

/* What a plan takes: of its lane's arena, where plans lie on each other, and memory of its own. In
 * the lane's list from ex_lane_reserve to ex_lane_release. */
typedef struct ex_lane_claim {
    size_t arena, own;
    struct ex_lane_claim *next;
} ex_lane_claim;

/* Memory where the lane computes. */
typedef struct ex_lane_memory {
    ex_status (*alloc)(void *out, ex_lane_core *lane, size_t bytes, const char *what);
    void (*free)(void *pointer); /* takes the address, sets NULL */
    ex_status (*zero)(ex_lane_core *lane, void *at, size_t bytes); /* in order with other work */
    ex_status (*wait)(ex_lane_core *lane);                         /* for all of its work */
} ex_lane_memory;

struct ex_lane_core {
    ex_lane base;
    const ex_lane_memory *memory;
    ex_budget *budget;
    ex_stream stream; /* where the lane's kernels run */
    float *params, *stats, *velocity;
    uint64_t version;      /* counts changes of params and stats; never 0 */
    ex_lane_claim *claims; /* of the plans that live */
    char *arena;           /* scratch that the lane's plans share */
    size_t arena_bytes;    /* that are there; 0 once a plan went, until another one runs */
    size_t arena_taken;    /* of the budget: the largest claim, or what was borrowed */
    unsigned arena_moves;  /* counts replacements, so that plans notice; never 0 */
};

/* Sets all but the values' memory, of a struct of zeros. */
void ex_lane_core_init(ex_lane_core *lane, ex_device *device, const ex_model *model, int threads,
                       const ex_lane_memory *memory, ex_budget *budget);
/* Makes params, stats and velocity, not zeroed unless the memory's alloc does. */
ex_status ex_lane_core_values(ex_lane_core *lane);
/* Frees values and arena. */
void ex_lane_core_close(ex_lane_core *lane);

/* Makes the arena as large as the lane's plans need, with one that claims so much, and takes the
 * budget for that and for the plan's own memory. EX_ERR_MEMORY beyond the budget. */
ex_status ex_lane_reserve(ex_lane_core *lane, ex_lane_claim *claim);
/* The plan goes, or was never made: what it alone needed leaves the budget. Allocates nothing, and
 * waits for nothing: the lane's work has ended. */
void ex_lane_release(ex_lane_core *lane, const ex_lane_claim *claim);
/* Makes the arena at least so large until the next plan is made or goes. After EX_ERR_MEMORY less
 * may be borrowed. */
ex_status ex_lane_borrow(ex_lane_core *lane, size_t bytes);

#endif
