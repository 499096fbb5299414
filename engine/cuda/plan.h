/* A plan (plan_core.h) as this back end has it: steps that libraries run, and what it keeps on the
 * device to run them without the host. */
#ifndef EX_CUDA_PLAN_H
#define EX_CUDA_PLAN_H

#include "cuda/lane.h"
#include "cuda/timing.h"
#include "plan_nodes.h"
#include "table_cuda.h"

enum {
    EX_CUDA_ALIGN = 256,
    EX_CUDA_BLAS_WORKSPACE = 4 << 20,
};

_Static_assert((int)EX_STEP_REFS >= (int)EX_GRAPH_TENSORS + 1, "a graph's tensors and workspace");

/* What a recorded group of steps holds fast: other values need another recording. */
typedef struct ex_cuda_recorded {
    unsigned arena_moves;
    const void *feed;
    size_t feed_room; /* by which its lists lie */
    const uint8_t *images;
    int height, width;
    ex_augmentation augment;
    uint64_t seed;
    ex_sgd_coeff sgd;
} ex_cuda_recorded;

/* Nodes from one on to the last, as a CUDA graph. */
typedef struct ex_cuda_replay {
    cudaGraphExec_t graph; /* NULL: none */
    unsigned arena_moves;  /* of the plan when it was captured */
    bool warm;             /* the nodes ran: libraries have loaded what they need */
} ex_cuda_replay;

typedef struct ex_cuda_readers ex_cuda_readers;

typedef struct ex_cuda_plan {
    ex_plan_core core;
    ex_cuda_lane *lane; /* core.lane */
    /* On the device: the mask's lists of core, and ... */
    void *lists;
    size_t lists_bytes; /* of the device's budget */
    float *affine;      /* core.affine */
    float *ones;        /* (ones_count) of 1, for products that sum rows */
    size_t ones_count;
    /* ... of the step that runs, in training: its samples, and what came out. */
    ex_feed_state *state;
    uint32_t *step_index;                   /* (batch) */
    float *step_loss;                       /* (batch) */
    int32_t *step_predicted;                /* (batch) */
    uint16_t *step_label;                   /* (batch) */
    cudaGraphExec_t recording;              /* of steps_per_launch steps; NULL: none */
    ex_cuda_recorded recorded;              /* what it was made for */
    bool warm;                              /* a step ran: libraries have loaded what they need */
    float host_affine[2 * EX_CHANNELS_MAX]; /* what lies in `affine` */
    /* Of evaluation. */
    ex_cuda_replay *replays;  /* (node_count) */
    ex_cuda_readers *readers; /* of a plan to fork from; NULL: it is none */
    void *variants; /* of a fork, (V) int32_t channels and then (V) floats that fill them */
} ex_cuda_plan;

static inline ex_cuda_plan *ex_cuda_plan_of(const ex_plan *plan)
{
    return (ex_cuda_plan *)plan;
}

static inline ex_precision ex_cuda_precision(const ex_plan_core *plan)
{
    return plan->base.lane->device->options.precision;
}

/* Of maps, and of filters as convolutions read them; what linear layers read and write is float32.
 */
static inline ex_map_type ex_cuda_type(const ex_plan_core *plan)
{
    return ex_plan_bf16(plan) ? EX_MAP_BF16 : EX_MAP_F32;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* *out = the n values at `from` in a new buffer, as `type`. */
ex_status ex_cuda_converted(ex_plan_core *plan, int node, ex_buffer_ref from, ex_map_type from_type,
                            size_t n, ex_map_type type, ex_buffer_ref *out);
/* *out = the n floats at `from` where libraries may read them: there, or in an aligned copy. */
ex_status ex_cuda_aligned(ex_plan_core *plan, int node, ex_buffer_ref from, size_t n,
                          ex_buffer_ref *out);
/* *out = where a library may write n floats that belong to `to`; ex_cuda_aligned_end brings them
 * there after the step that wrote. */
ex_status ex_cuda_aligned_begin(ex_plan_core *plan, ex_buffer_ref to, size_t n, ex_buffer_ref *out);
ex_status ex_cuda_aligned_end(ex_plan_core *plan, int node, ex_buffer_ref to, ex_buffer_ref from,
                              size_t n);
/* A step that runs a graph on tensors ref[0], ref[1], ...: virtual ones' are not read. Where no
 * candidate of the library takes the whole graph, a step for each of its operations. Whether its
 * convolutions are direct is the device's choice. */
ex_status ex_cuda_graph_add(ex_plan_core *plan, const char *what, int node, const ex_dnn_graph *g,
                            const ex_buffer_ref *ref);
/* A step for a matrix product. */
ex_status ex_cuda_product_add(ex_plan_core *plan, const char *what, int node,
                              const ex_blas_product *p, ex_buffer_ref out, ex_buffer_ref a,
                              ex_buffer_ref b, ex_buffer_ref bias);
/* *out = the plan that the device has chosen for a graph. */
ex_status ex_cuda_choose(ex_dnn_plan **out, ex_cuda_lane *lane, const ex_dnn_graph *g);
/* Graphs, a forward pass and its backward pass, that kernels of ours can compute as well; passes
 * hand each other what only their own kind understands, so that one answer holds for all. */
enum { EX_CUDA_PASSES = 2 };
typedef struct ex_cuda_contest {
    ex_dnn_graph graph[EX_CUDA_PASSES];
    int passes;
    ex_cuda_timed own; /* runs our kernels for a pass */
} ex_cuda_contest;
/* *library: whether the device takes the library's plans, then ex_cuda_choose gives them. Timed
 * once, as convolutions are; never where these are direct. */
ex_status ex_cuda_prefer_library(bool *library, ex_cuda_lane *lane, const ex_cuda_contest *c);
void ex_cuda_choices_free(ex_cuda_device *device);

/* Work that is captured instead of run, from something `first` to `last`. */
typedef ex_status (*ex_cuda_work)(ex_cuda_plan *plan, int first, int last);
/* *out = what `work` queues on the plan's lane, ready to be launched. */
ex_status ex_cuda_capture(cudaGraphExec_t *out, ex_cuda_plan *plan, ex_cuda_work work, int first,
                          int last);

/* Queues the steps [first, last); those that update only if `update`. */
ex_status ex_cuda_steps(ex_cuda_plan *plan, int first, int last, bool update);

/* --- nodes ------------------------------------------------------------------------------------ */

ex_status ex_cuda_conv_prepare(ex_plan_core *plan, int node); /* folds */
ex_status ex_cuda_conv_forward(ex_plan_core *plan, int node);
ex_status ex_cuda_conv_backward(ex_plan_core *plan, int node);
/* ex_plan_norm_forward and _backward, or the same by the library's graphs, if they are faster. */
ex_status ex_cuda_norm_forward(ex_plan_core *plan, int node);
ex_status ex_cuda_norm_backward(ex_plan_core *plan, int node, ex_buffer_ref *out);
bool ex_cuda_corrects(const ex_plan_core *plan, int node);
ex_status ex_cuda_columns(ex_plan_core *plan, int node);
ex_status ex_cuda_linear_forward(ex_plan_core *plan, int node);
ex_status ex_cuda_linear_backward(ex_plan_core *plan, int node);
ex_status ex_cuda_pool_forward(ex_plan_core *plan, int node);
ex_status ex_cuda_pool_backward(ex_plan_core *plan, int node);
/* Puts the plan's mask on the device, and makes room for its step. */
ex_status ex_cuda_lists_upload(ex_cuda_plan *plan);

#endif
