/* A plan: steps, the tensors that they name, and the nodes of a model that make them. */
#ifndef EX_CUDA_PLAN_H
#define EX_CUDA_PLAN_H

#include "cuda/lane.h"
#include "cuda/timing.h"
#include "plan_buffers.h"
#include "plan_shapes.h"
#include "table_cuda.h"

/* --- steps ------------------------------------------------------------------------------------ */

typedef ex_buffer_ref ex_cuda_ref;

#define EX_CUDA_NO_REF ((ex_cuda_ref){.buffer = EX_BUFFER_NOTHING})

enum {
    EX_CUDA_REFS = EX_GRAPH_TENSORS + 2,
    EX_CUDA_ALIGN = 256,
    EX_CUDA_BLAS_WORKSPACE = 4 << 20,
    EX_CUDA_RECORDED = 8, /* training steps a launch */
};

typedef struct ex_cuda_plan ex_cuda_plan;
typedef struct ex_cuda_step ex_cuda_step;
typedef ex_status (*ex_cuda_call)(ex_cuda_plan *plan, const ex_cuda_step *step);

struct ex_cuda_step {
    const char *what; /* for messages */
    int node;         /* -1: none */
    bool update;      /* changes the lane's values: training only, not ex_plan_gradient */
    ex_cuda_call call;
    int count;
    ex_cuda_ref ref[EX_CUDA_REFS];
    void *at[EX_CUDA_REFS]; /* of ref, set by ex_cuda_bind */
    ex_dnn_plan *dnn;       /* its tensors are the first refs, its workspace the last */
    ex_blas_plan *blas;
    /* What calls need beside tensors. */
    size_t n;
    ex_map_shape shape;
    int relu;
    ex_map_type to, from; /* of what is converted */
};

/* A tensor of the graph. */
typedef struct ex_cuda_map {
    ex_cuda_ref ref;
    ex_map_type type;  /* of the tensor, and of its gradients */
    ex_cuda_ref inner; /* training: the value before the norm; linear: the rows that it reads */
    ex_cuda_ref mean, var, index;
    bool library; /* training: norm or pool by the library's graphs, with what they hand on: */
    ex_cuda_ref norm_scale, norm_mean, norm_inverse;
    ex_cuda_ref weights, bias; /* as the forward convolution reads them */
    ex_cuda_ref before_relu;   /* a plan to fork from: the convolution's output (correct.c) */
    ex_cuda_ref columns;       /* the same: filters (C, R, S, K) */
    ex_cuda_ref differences;   /* a plan to fork to: scratch */
    bool wanted;               /* training: something at or before the node wants a gradient */
    ex_cuda_ref gradient[4];   /* contributions of the tensor's readers */
    int shortcut[4];           /* the node whose shortcut the contribution passes, or -1 */
    int gradients;
} ex_cuda_map;

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

struct ex_cuda_plan {
    ex_plan base;
    ex_cuda_lane *lane;
    const ex_model *model;
    ex_plan_buffers buffers;
    ex_cuda_step *steps;
    int step_count, step_room;
    ex_cuda_map *maps; /* (node_count) */
    int *node_step; /* (node_count + 1) forward steps of node n: [node_step[n], node_step[n+1]) */
    int prepared;   /* steps [0, prepared) fold the norms */
    int loss_step;
    ex_cuda_ref grads, input_gradient;
    char *own;
    /* The mask on the device. */
    void *lists;
    const ex_segment *segments;
    size_t segment_count;
    const uint8_t *selected; /* (channel_count), or NULL: all */
    const int32_t *rows;     /* (channel_count) a layer's channels, from its first_channel on */
    float *affine;           /* (2, C) scale and shift of the images' bytes */
    /* Of the step that runs, in training: its samples, and what came out. */
    ex_feed_state *state;
    uint32_t *step_index;                   /* (batch) */
    float *step_loss;                       /* (batch) */
    int32_t *step_predicted;                /* (batch) */
    uint16_t *step_label;                   /* (batch) */
    cudaGraphExec_t recording;              /* of EX_CUDA_RECORDED steps; NULL: none */
    ex_cuda_recorded recorded;              /* what it was made for */
    bool warm;                              /* a step ran: libraries have loaded what they need */
    float host_affine[2 * EX_CHANNELS_MAX]; /* what lies in `affine` */
    /* Of evaluation. */
    ex_cuda_replay *replays;  /* (node_count) */
    ex_cuda_readers *readers; /* of a plan to fork from; NULL: it is none */
    const int32_t *unchanged; /* (batch) -1 */
    void *variants;       /* of a fork, (V) int32_t channels and then (V) floats that fill them */
    unsigned arena_moves; /* of the lane when the steps were bound */
    uint64_t version;     /* of the lane's values when the norms were folded */
    /* Of the batch that is queued. */
    const ex_dataset *data;
    const uint8_t *images;
    const uint32_t *index;
    const uint16_t *label;
    float *loss;
    int32_t *predicted;
    ex_sgd_coeff sgd;
};

static inline ex_cuda_plan *ex_cuda_plan_of(const ex_plan *plan)
{
    return (ex_cuda_plan *)plan;
}

static inline bool ex_cuda_trains(const ex_cuda_plan *plan)
{
    return plan->base.spec.use == EX_USE_TRAIN;
}

static inline ex_precision ex_cuda_precision(const ex_cuda_plan *plan)
{
    return plan->lane->device->base.options.precision;
}

/* Of maps, and of filters as convolutions read them; what linear layers read and write is float32.
 */
static inline ex_map_type ex_cuda_type(const ex_cuda_plan *plan)
{
    return ex_cuda_precision(plan) == EX_BF16 ? EX_MAP_BF16 : EX_MAP_F32;
}

static inline ex_stream ex_cuda_stream(const ex_cuda_plan *plan)
{
    return (ex_stream){.threads = 1, .queue = plan->lane->stream};
}

static inline ex_map_shape ex_cuda_shape(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_map_shape){.N = plan->base.spec.batch,
                          .C = n->K,
                          .H = n->out_H,
                          .W = n->out_W,
                          .block = n->K,
                          .type = plan->maps[node].type};
}
/* Of a CONV node and so many images. */
ex_conv_shape ex_cuda_conv_shape(const ex_cuda_plan *plan, int node, int images);

static inline size_t ex_cuda_map_floats(const ex_cuda_plan *plan, int node)
{
    const ex_map_shape s = ex_cuda_shape(plan, node);
    return (size_t)s.N * (size_t)s.C * (size_t)s.H * (size_t)s.W;
}

static inline const ex_layer *ex_cuda_layer_of(const ex_cuda_plan *plan, int node)
{
    return &plan->model->layers[plan->model->nodes[node].layer];
}

/* The layer's value at `offset` of the parameters; and its gradient. */
static inline ex_cuda_ref ex_cuda_param(size_t offset)
{
    return (ex_cuda_ref){.buffer = EX_BUFFER_PARAMS, .offset = offset};
}

static inline ex_cuda_ref ex_cuda_grad(const ex_cuda_plan *plan, size_t offset)
{
    return (ex_cuda_ref){.buffer = plan->grads.buffer, .offset = offset};
}

/* A new buffer of so many bytes; for a map. */
ex_status ex_cuda_buffer_add(ex_cuda_plan *plan, size_t bytes, ex_cuda_ref *out);
ex_status ex_cuda_map_add(ex_cuda_plan *plan, int node, ex_cuda_ref *out);
/* A new step at the end of the list; *out (may be NULL) is valid until the next one is added. */
ex_status ex_cuda_step_add(ex_cuda_plan *plan, const char *what, int node, ex_cuda_call call,
                           ex_cuda_step **out);
/* Adds a tensor to the last step. */
void ex_cuda_step_ref(ex_cuda_plan *plan, ex_cuda_ref ref);
/* to = from, n floats. */
ex_status ex_cuda_copy_add(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                           size_t n);
/* to = from, n values of another type. */
ex_status ex_cuda_convert_add(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_map_type to_type,
                              ex_cuda_ref from, ex_map_type from_type, size_t n);
/* *out = the n values at `from` in a new buffer, as `type`. */
ex_status ex_cuda_converted(ex_cuda_plan *plan, int node, ex_cuda_ref from, ex_map_type from_type,
                            size_t n, ex_map_type type, ex_cuda_ref *out);
/* *out = the n floats at `from` where libraries may read them: there, or in an aligned copy. */
ex_status ex_cuda_aligned(ex_cuda_plan *plan, int node, ex_cuda_ref from, size_t n,
                          ex_cuda_ref *out);
/* *out = where a library may write n floats that belong to `to`; ex_cuda_aligned_end brings them
 * there after the step that wrote. */
ex_status ex_cuda_aligned_begin(ex_cuda_plan *plan, ex_cuda_ref to, size_t n, ex_cuda_ref *out);
ex_status ex_cuda_aligned_end(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                              size_t n);
float *ex_cuda_at(const ex_cuda_plan *plan, ex_cuda_ref ref);
/* Work that is captured instead of run, from something `first` to `last`. */
typedef ex_status (*ex_cuda_work)(ex_cuda_plan *plan, int first, int last);
/* *out = what `work` queues on the plan's lane, ready to be launched. */
ex_status ex_cuda_capture(cudaGraphExec_t *out, ex_cuda_plan *plan, ex_cuda_work work, int first,
                          int last);
void ex_cuda_graph_free(cudaGraphExec_t *graph);

/* Points every step at its tensors; cheap when the arena has not moved. */
ex_status ex_cuda_bind(ex_cuda_plan *plan);
/* Queues the steps [first, last); those that update only if `update`. */
ex_status ex_cuda_steps(ex_cuda_plan *plan, int first, int last, bool update);
void ex_cuda_steps_free(ex_cuda_plan *plan);

/* A step that runs a graph on tensors ref[0], ref[1], ...: virtual ones' are not read. Where no
 * candidate of the library takes the whole graph, a step for each of its operations. Whether its
 * convolutions are direct is the device's choice. */
ex_status ex_cuda_graph_add(ex_cuda_plan *plan, const char *what, int node, const ex_dnn_graph *g,
                            const ex_cuda_ref *ref);
/* A step for a matrix product. */
ex_status ex_cuda_product_add(ex_cuda_plan *plan, const char *what, int node,
                              const ex_blas_product *p, ex_cuda_ref out, ex_cuda_ref a,
                              ex_cuda_ref b, ex_cuda_ref bias);
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

/* --- nodes ------------------------------------------------------------------------------------ */

/* Forward steps of a node; backward steps, given the gradients that its readers left in its map. */
ex_status ex_cuda_conv_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_conv_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_conv_prepare(ex_cuda_plan *plan, int node); /* evaluation: fold, before forward */
/* Whether a fork corrects the convolution instead of running it, where one channel of its input
 * changed. */
bool ex_cuda_corrects(const ex_cuda_plan *plan, int node);
/* Whether the plan keeps what that takes: it is one to fork from. */
bool ex_cuda_keeps(const ex_cuda_plan *plan, int node);
/* What that takes: in section prepare; and after the convolution's own step, its last one. */
ex_status ex_cuda_correct_prepare(ex_cuda_plan *plan, int node);
ex_status ex_cuda_correct_forward(ex_cuda_plan *plan, int node);
/* Where the convolution's step writes: the node's tensor, or what is still without its ReLU. */
ex_cuda_ref ex_cuda_conv_output(const ex_cuda_plan *plan, int node);
/* The node's tensor of `to` from what `from` has, given the change of the node's input. */
void ex_cuda_correct(const ex_cuda_plan *to, const ex_cuda_plan *from, int node, int images,
                     const ex_channel_change *change);
/* Puts the plan's mask on the device. */
ex_status ex_cuda_lists_upload(ex_cuda_plan *plan);
/* Whether so few of the layer's filters are trained that ex_cuda_rows_backward is faster. */
bool ex_cuda_rows_are_few(const ex_cuda_plan *plan, int node);
/* The step for their gradients alone, into plan->grads. */
ex_status ex_cuda_rows_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy);
ex_status ex_cuda_linear_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_linear_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_pool_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_pool_backward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_shortcut_forward(ex_cuda_plan *plan, int node);
ex_status ex_cuda_shortcut_backward(ex_cuda_plan *plan, int node);

/* Norm of the map's inner value into the node's tensor, with the node's residual and ReLU. */
ex_status ex_cuda_norm_forward(ex_cuda_plan *plan, int node);
/* *out = gradient with respect to the norm's input, given that of the node's tensor. */
ex_status ex_cuda_norm_backward(ex_cuda_plan *plan, int node, ex_cuda_ref *out);
/* The same by the library's graphs, if they are faster: *taken; backward then has to be, too. */
ex_status ex_cuda_norm_library_forward(ex_cuda_plan *plan, int node, bool *taken);
ex_status ex_cuda_norm_library_backward(ex_cuda_plan *plan, int node, ex_cuda_ref *out);
/* Running statistics. */
ex_status ex_cuda_norm_update(ex_cuda_plan *plan, int node);

/* What the node's readers left, summed into one buffer but for the last one, *waiting, which may be
 * nothing: for who can add it on the way. */
ex_status ex_cuda_gradient_pair(ex_cuda_plan *plan, int node, ex_cuda_ref *sum,
                                ex_cuda_ref *waiting);
/* Sums what the node's readers left into one buffer, *out, through its ReLU if `relu`. */
ex_status ex_cuda_gradient_sum(ex_cuda_plan *plan, int node, bool relu, ex_cuda_ref *out);
/* Leaves a contribution to the gradient of `node`. */
ex_status ex_cuda_gradient_give(ex_cuda_plan *plan, int node, ex_cuda_ref gradient, int shortcut);
/* Whether the plan updates channels of the layer. */
bool ex_cuda_layer_trained(const ex_cuda_plan *plan, int layer);

#endif
