/* What plans are on every back end: a list of steps, made once, in the order of execution: sections
 * prepare (folded norms), forward, loss, backward, update. A step runs something on the lane: a
 * kernel of the back end's table, or something of a library's. It names the tensors that it reads
 * and writes; where those lie in the lane's arena follows from the names alone: a buffer lives from
 * the first step that names it to the last (plan_buffers.h).
 *
 * Written here once: the order of the nodes, what each passes to which other and which gradients
 * are wanted, and every step that is a kernel of the table. A back end adds what its libraries
 * compute (ex_plan_parts), and runs the steps.
 *
 * Reading order: plan_build.c (what is built, in order), plan_nodes.h: plan_nodes.c plan_norm.c
 * plan_fold.c plan_gradient.c plan_rows.c plan_pool.c (steps that all back ends make),
 * plan_correct.c plan_fork.c (forks), plan_steps.c (lists of steps and buffers). */
#ifndef EX_PLAN_CORE_H
#define EX_PLAN_CORE_H

#include "lane_core.h"
#include "plan_buffers.h"
#include "plan_shapes.h"
#include "profile.h"

typedef struct ex_plan_core ex_plan_core;

/* --- steps ------------------------------------------------------------------------------------ */

#define EX_NO_REF ((ex_buffer_ref){.buffer = EX_BUFFER_NOTHING})

enum { EX_STEP_REFS = 16, EX_READERS_MAX = 4 };

typedef struct ex_plan_step ex_plan_step;
typedef ex_status (*ex_plan_call)(ex_plan_core *plan, const ex_plan_step *step);

struct ex_plan_step {
    const char *what; /* for messages and the profile */
    int node;         /* -1: none */
    bool update;      /* changes the lane's values: training only, not ex_plan_gradient */
    ex_plan_call call;
    int count;
    ex_buffer_ref ref[EX_STEP_REFS];
    void *at[EX_STEP_REFS]; /* of ref, set by ex_plan_bind */
    void *own;              /* the library's, freed by own_free; or NULL */
    void (*own_free)(void *own);
    /* What calls need beside tensors. */
    size_t n;
    ex_map_shape shape;
    int relu, add, pass;  /* add: onto what is there */
    ex_map_type to, from; /* of what is converted, or written and read */
    size_t moved;         /* bytes beside those of ref, for the profile */
};

/* A tensor of the graph. */
typedef struct ex_plan_map {
    ex_buffer_ref ref;
    int block;
    ex_map_type type;    /* of ref, and of its gradients; logits are float32 always */
    ex_buffer_ref inner; /* training: the value before the norm; linear: the rows that it reads */
    ex_buffer_ref mean, var;
    bool unbiased; /* var is: as of a batch without end */
    bool library;  /* training: norm or pool by the library's graphs, with what they hand on: */
    ex_buffer_ref norm_scale, norm_mean, norm_inverse;
    ex_buffer_ref workspace;   /* what a pool's gradient needs of the forward pass */
    ex_buffer_ref folded;      /* filters with the norm in them (K, R, S, C), where it is folded */
    ex_buffer_ref weights;     /* as the forward convolution or product reads them */
    ex_buffer_ref turned;      /* as the input's gradient reads them, where they are kept */
    ex_buffer_ref bias;        /* of the convolution, folded or the layer's own, or nothing */
    ex_buffer_ref before_relu; /* a plan to fork from: the convolution's output, float32 */
    ex_buffer_ref columns;     /* the same: filters (C, R, S, K), of the maps' type */
    ex_buffer_ref differences; /* a plan to fork to: scratch */
    bool wanted;               /* training: something at or before the node wants a gradient */
    ex_buffer_ref gradient[EX_READERS_MAX]; /* contributions of the tensor's readers */
    int shortcut[EX_READERS_MAX]; /* the node whose shortcut the contribution passes, or -1 */
    int gradients;
} ex_plan_map;

/* --- plans ------------------------------------------------------------------------------------ */

/* Adds the steps of a node; backward, given the gradients that its readers left in its map. */
typedef ex_status (*ex_plan_add)(ex_plan_core *plan, int node);

/* What a back end makes its own way. */
typedef struct ex_plan_parts {
    const ex_kernels *kernels;
    size_t align;  /* of buffers, in bytes */
    bool in_place; /* evaluation: a convolution may be added to its residual where that lies */
    struct {
        ex_plan_add prepare; /* what runs once for the lane's values; or NULL */
        ex_plan_add forward, backward;
    } node[EX_OPS];
    /* Chooses type and block of every map. */
    ex_status (*layouts)(ex_plan_core *plan);
    /* Whether a fork corrects a convolution instead of running it, where one channel of its input
     * changed. */
    bool (*corrects)(const ex_plan_core *plan, int node);
    ex_plan_add columns; /* steps that fill the map's columns */
    /* After ex_plan_bind moved the steps' tensors; or NULL. */
    ex_status (*bound)(ex_plan_core *plan);
} ex_plan_parts;

struct ex_plan_core {
    ex_plan base;
    ex_lane_core *lane;
    const ex_model *model;
    const ex_plan_parts *parts;
    const ex_kernels *k; /* parts->kernels */
    ex_plan_buffers buffers;
    ex_plan_step *steps;
    int step_count, step_room;
    ex_profile_row *spent; /* (step_count) when profiling, else NULL; names are made in the end */
    ex_plan_map *maps;     /* (node_count) */
    int *node_step; /* (node_count + 1) forward steps of node n: [node_step[n], node_step[n+1]) */
    int prepared;   /* steps [0, prepared) fold norms, when the lane's values were changed */
    int loss_step, backward_step;
    ex_buffer_ref grads, input_gradient;
    int input_gradient_block; /* its layout; its channels are padded to a multiple */
    char *own;                /* memory of the plan's own */
    ex_lane_claim claim;
    unsigned arena_moves;     /* of the lane when the steps were bound */
    uint64_t version;         /* of the lane's values when the norms were folded */
    /* Where the kernels read lists: the mask, or everything that there is. */
    const ex_segment *segments;
    size_t segment_count;
    const uint8_t *selected;  /* (channel_count), or NULL: all */
    const int32_t *rows;      /* (channel_count) a layer's channels, from its first_channel on */
    const int32_t *unchanged; /* (batch) -1, of a plan for evaluation */
    const uint32_t *words;    /* what the step's number adds to draws (ex_draws.at), or NULL */
    /* Of the run in progress: its data and coefficients, and the samples of the step that runs. */
    const ex_dataset *data;
    const uint8_t *images;
    const float *affine; /* (2, C) scale and shift of the images' bytes */
    const uint32_t *index;
    const uint16_t *label;
    float *loss;        /* (batch) */
    int32_t *predicted; /* (batch) */
    ex_sgd_coeff sgd;
};

static inline bool ex_plan_trains(const ex_plan_core *plan)
{
    return plan->base.spec.use == EX_USE_TRAIN;
}

/* Whether maps are bf16. Filters then are too where libraries read them; the lane's values,
 * statistics, gradients of values and logits stay float32. */
static inline bool ex_plan_bf16(const ex_plan_core *plan)
{
    return plan->lane->base.device->options.precision == EX_BF16;
}

static inline const ex_layer *ex_plan_layer_of(const ex_plan_core *plan, int node)
{
    return &plan->model->layers[plan->model->nodes[node].layer];
}

static inline ex_stream ex_plan_stream(const ex_plan_core *plan)
{
    return plan->lane->stream;
}

/* Of the node's tensor. */
ex_map_shape ex_plan_map_shape(const ex_plan_core *plan, int node);
size_t ex_plan_map_floats(const ex_plan_core *plan, int node);
size_t ex_plan_map_bytes(const ex_plan_core *plan, int node);
/* Of a CONV node and so many images. */
ex_conv_shape ex_plan_conv_of(const ex_plan_core *plan, int node, int images);

/* The value at `offset` of the parameters; and its gradient. */
static inline ex_buffer_ref ex_plan_param(size_t offset)
{
    return (ex_buffer_ref){.buffer = EX_BUFFER_PARAMS, .offset = offset};
}

static inline ex_buffer_ref ex_plan_grad(const ex_plan_core *plan, size_t offset)
{
    return (ex_buffer_ref){.buffer = plan->grads.buffer, .offset = offset};
}

/* --- life ------------------------------------------------------------------------------------- */

/* For the first member of a plan, which is all zeros. */
void ex_plan_core_init(ex_plan_core *plan, ex_lane_core *lane, const ex_plan_spec *spec,
                       const ex_plan_parts *parts);
/* Makes steps and tensors; places them, and takes their memory. */
ex_status ex_plan_core_build(ex_plan_core *plan);
ex_status ex_plan_core_allocate(ex_plan_core *plan);
void ex_plan_core_close(ex_plan_core *plan);

/* --- making steps ----------------------------------------------------------------------------- */

/* A new buffer of so many bytes; one for the node's tensor, or a gradient of it. */
ex_status ex_plan_buffer_add(ex_plan_core *plan, size_t bytes, ex_buffer_ref *out);
ex_status ex_plan_map_add(ex_plan_core *plan, int node, ex_buffer_ref *out);
/* Puts the buffer into the plan's own memory: it survives other plans. */
void ex_plan_buffer_own(ex_plan_core *plan, ex_buffer_ref ref);
/* A new step at the end of the list; *out (may be NULL) is valid until the next one is added. */
ex_status ex_plan_step_add(ex_plan_core *plan, const char *what, int node, ex_plan_call call,
                           ex_plan_step **out);
/* Adds a tensor to the last step. */
void ex_plan_step_ref(ex_plan_core *plan, ex_buffer_ref ref);
/* to = from, n values. */
ex_status ex_plan_convert_add(ex_plan_core *plan, const char *what, int node, ex_buffer_ref to,
                              ex_map_type to_type, ex_buffer_ref from, ex_map_type from_type,
                              size_t n);

/* --- running ---------------------------------------------------------------------------------- */

void *ex_plan_at(const ex_plan_core *plan, ex_buffer_ref ref);
/* Points every step at its tensors; cheap when the arena has not moved. */
ex_status ex_plan_bind(ex_plan_core *plan);
/* Runs the steps [first, last), without those that update unless `update`. */
ex_status ex_plan_steps(ex_plan_core *plan, int first, int last, bool update);
/* Folds the norms if the lane's values changed since. */
ex_status ex_plan_prepare(ex_plan_core *plan);

#endif
