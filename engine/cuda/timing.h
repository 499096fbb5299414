/* How long work of a lane takes, by events; nothing else may lie in the lane's arena. */
#ifndef EX_CUDA_TIMING_H
#define EX_CUDA_TIMING_H

#include "cuda/lane.h"

/* Work on a graph's tensors: `data` as ex_dnn_plan_run takes it. */
typedef struct ex_cuda_timed {
    ex_status (*run)(const struct ex_cuda_timed *work, void *const *data, void *scratch);
    const void *what; /* of run's */
    int pass;
    size_t scratch; /* bytes */
} ex_cuda_timed;

/* *milliseconds of some runs in a recording, after others to warm up. */
ex_status ex_cuda_time(float *milliseconds, ex_cuda_lane *lane, const ex_dnn_graph *g,
                       const ex_cuda_timed *work);
/* *out = the fastest of the first `count` candidates; those that cannot be built or run, or whose
 * memory does not fit beside others, are passed over. */
ex_status ex_cuda_fastest(ex_dnn_plan **out, float *milliseconds, ex_cuda_lane *lane,
                          const ex_dnn_graph *g, int count);

#endif
