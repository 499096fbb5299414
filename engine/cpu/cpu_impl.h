/* Inside of the CPU back end.
 *
 * A plan is a list of steps, made once, in the order of execution: sections prepare (folded
 * norms), forward, backward, update. A step is a oneDNN primitive or a call, with references to
 * the tensors that it reads and writes. Where those tensors lie in the lane's arena follows from
 * the references alone: a buffer lives from the first step that names it to the last
 * (plan_buffers.h).
 *
 * Reading order: plan.c (what is built, in order), conv.c conv_small.c conv_rows.c fold.c norm.c
 * pool.c linear.c (the nodes), step.c (lists of steps and buffers), arena.c (memory), run.c (what
 * runs them), ablate.c.
 */
#ifndef EX_CPU_IMPL_H
#define EX_CPU_IMPL_H

#include "backend.h"
#include "cpu/dnnl_adapter.h"
#include "plan_buffers.h"
#include "plan_shapes.h"
#include "profile.h"

#include <pthread.h>

/* --- device ---------------------------------------------------------------------------------- */

/* A choice that was timed once: `key` says shape, pass and threads. */
typedef struct ex_cpu_choice {
    char key[112];
    ex_dnn_algorithm algorithm;
} ex_cpu_choice;

typedef struct ex_cpu_device {
    ex_device base;
    dnnl_engine_t engine;
    pthread_mutex_t timing; /* of choices; taken before lock */
    pthread_mutex_t lock;   /* of memory_used */
    ex_cpu_choice *choices;
    int choice_count, choice_room;
    size_t memory_used; /* bytes of all plans and arenas */
} ex_cpu_device;

/* Sets c->algorithm to the fastest; all lanes and plans of the device take the same one. Times them
 * in the lane's arena. */
struct ex_cpu_lane;
ex_status ex_cpu_choose(struct ex_cpu_lane *lane, ex_dnn_conv *c);
ex_status ex_cpu_algorithms_read(ex_device *device, const char *path);
ex_status ex_cpu_algorithms_write(const ex_device *device, const char *path);

/* --- lane ------------------------------------------------------------------------------------ */

typedef struct ex_cpu_plan ex_cpu_plan;

typedef struct ex_cpu_lane {
    ex_lane base;
    ex_cpu_device *device;
    dnnl_stream_t stream;
    float *params, *stats, *velocity;
    uint64_t version;                 /* counts changes of params and stats; never 0 */
    char *arena;                      /* scratch that the lane's plans share */
    size_t arena_bytes, arena_needed; /* by its plans; fewer bytes are there after a failure */
    unsigned arena_moves;             /* counts replacements, so that plans notice */
} ex_cpu_lane;

static inline ex_cpu_lane *ex_cpu_lane_of(const ex_lane *lane)
{
    return (ex_cpu_lane *)lane;
}

/* Every entry calls this: oneDNN's and our loops take their team from the calling thread. */
void ex_cpu_enter(const ex_cpu_lane *lane);
/* Makes the arena as large as the lane's plans need, with one that needs `arena` bytes.
 * EX_ERR_MEMORY beyond options.memory. `own` bytes are counted too, as the plan's. */
ex_status ex_cpu_reserve(ex_cpu_lane *lane, size_t arena, size_t own);
/* Makes the arena at least so large until the next plan is made. */
ex_status ex_cpu_borrow(ex_cpu_lane *lane, size_t bytes);
void ex_cpu_release(ex_cpu_lane *lane, size_t own);

/* --- buffers and steps ------------------------------------------------------------------------ */

/* A place in the plan's buffers or, negative, in a vector of the lane. */
enum {
    EX_CPU_PARAMS = EX_BUFFER_PARAMS,
    EX_CPU_STATS = EX_BUFFER_STATS,
    EX_CPU_NOTHING = EX_BUFFER_NOTHING
};

typedef ex_buffer_ref ex_cpu_ref;

#define EX_CPU_NO_REF ((ex_cpu_ref){.buffer = EX_CPU_NOTHING})

enum { EX_CPU_REFS = 12 };

typedef struct ex_cpu_step ex_cpu_step;
typedef ex_status (*ex_cpu_call)(ex_cpu_plan *plan, const ex_cpu_step *step);

struct ex_cpu_step {
    const char *what; /* for the profile */
    int node;         /* -1: none */
    bool update;      /* changes the lane's values: training only, not ex_plan_gradient */
    ex_cpu_call call;
    int count;
    ex_cpu_ref ref[EX_CPU_REFS];
    float *at[EX_CPU_REFS]; /* of ref, set by ex_cpu_bind */
    ex_dnn_op op;
    dnnl_exec_arg_t args[EX_CPU_REFS]; /* of op, parallel to ref */
    /* What calls need beside tensors. */
    size_t n;
    ex_map_shape shape;
    int K, block, stride, relu;
    ex_map_type from;     /* of what a copy reads */
    size_t moved;         /* bytes beside those of ref, for the profile */
    ex_profile_row spent; /* when profiling; its name is made in the end */
};

/* A tensor of the graph. */
typedef struct ex_cpu_map {
    ex_cpu_ref ref;
    int block;
    ex_map_type type; /* of ref, inner and the gradients; logits are float32 always */
    ex_cpu_ref inner; /* training: the value before the norm; linear: the rows that it reads */
    ex_cpu_ref mean, var, workspace;
    ex_cpu_ref folded;      /* filters with the norm in them (K, R, S, C), where it is folded */
    ex_cpu_ref bias;        /* of the convolution, folded or the layer's own, or nothing */
    ex_cpu_ref weights;     /* as the forward convolution reads them */
    ex_cpu_ref before_relu; /* a plan to fork from: the convolution's output, float32 (correct.c) */
    ex_cpu_ref columns;     /* the same: filters (C, R, S, K), of the maps' type */
    ex_cpu_ref differences; /* a plan to fork to: scratch */
    int readers;            /* nodes that read the tensor */
    bool wanted;            /* training: something at or before the node wants a gradient */
    ex_cpu_ref gradient[4]; /* contributions of the tensor's readers */
    int shortcut[4];        /* the node whose shortcut the contribution passes, or -1 */
    int gradients;
} ex_cpu_map;

struct ex_cpu_plan {
    ex_plan base;
    ex_cpu_lane *lane;
    const ex_model *model;
    ex_plan_buffers buffers;
    ex_cpu_step *steps;
    int step_count, step_room;
    ex_cpu_map *maps; /* (node_count) */
    int *node_step;   /* (node_count + 1) forward steps of node n: [node_step[n], node_step[n+1]) */
    int prepared;     /* steps [0, prepared) fold norms, when the lane's values were changed */
    int loss_step, backward_step;
    ex_cpu_ref grads, loss, predicted, input_gradient;
    int input_gradient_block; /* its layout; its channels are padded to a multiple */
    char *own;
    int32_t *rows;  /* (channel_count) a layer's selected channels, from its first_channel on */
    ex_segment all; /* every parameter, where spec.mask is NULL */
    unsigned arena_moves; /* of the lane when the steps were bound */
    uint64_t version;     /* of the lane's values when the norms were folded */
    float scale[EX_CHANNELS_MAX], shift[EX_CHANNELS_MAX];
    uint32_t *pad_index; /* (batch) a short feed, padded */
    uint16_t *pad_label;
    /* Of the run in progress. */
    const ex_dataset *data;
    const uint32_t *index;
    const uint16_t *label;
    ex_sgd_coeff sgd;
    bool profiled;
};

static inline ex_cpu_plan *ex_cpu_plan_of(const ex_plan *plan)
{
    return (ex_cpu_plan *)plan;
}

static inline ex_stream ex_cpu_stream(const ex_cpu_plan *plan)
{
    return (ex_stream){.threads = plan->lane->base.threads};
}

static inline size_t ex_cpu_map_floats(const ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (size_t)plan->base.spec.batch * (size_t)n->K * (size_t)n->out_H * (size_t)n->out_W;
}

static inline size_t ex_cpu_map_bytes(const ex_cpu_plan *plan, int node)
{
    return ex_cpu_map_floats(plan, node) * ex_map_type_bytes(plan->maps[node].type);
}

/* Whether maps are bf16. Filters then are too where convolutions and linear layers read them; the
 * lane's values, statistics, gradients of values and logits stay float32. */
static inline bool ex_cpu_bf16(const ex_cpu_plan *plan)
{
    return plan->lane->device->base.options.precision == EX_BF16;
}

static inline const ex_layer *ex_cpu_layer_of(const ex_cpu_plan *plan, int node)
{
    return &plan->model->layers[plan->model->nodes[node].layer];
}

static inline ex_dnn_window ex_cpu_window_of(const ex_node *n)
{
    return (ex_dnn_window){.H = n->H,
                           .W = n->W,
                           .out_H = n->out_H,
                           .out_W = n->out_W,
                           .R = n->R,
                           .S = n->S,
                           .stride = n->stride,
                           .pad = n->pad};
}

/* The map that the node reads. */
static inline ex_map_shape ex_cpu_input_shape(const ex_cpu_plan *plan, const ex_node *n)
{
    return (ex_map_shape){.N = plan->base.spec.batch,
                          .C = n->C,
                          .H = n->H,
                          .W = n->W,
                          .block = plan->maps[n->input].block,
                          .type = plan->maps[n->input].type};
}
/* Of a CONV node and so many images. */
ex_conv_shape ex_cpu_conv_shape(const ex_cpu_plan *plan, int node, int images);

/* The pass of a plan's forward steps. */
static inline ex_dnn_pass ex_cpu_forward_pass(const ex_cpu_plan *plan)
{
    return plan->base.spec.use == EX_USE_TRAIN ? EX_DNN_FORWARD_TRAIN : EX_DNN_FORWARD;
}

/* A new buffer; its bytes are rounded up to cache lines. */
ex_status ex_cpu_buffer_add(ex_cpu_plan *plan, size_t bytes, ex_cpu_ref *out);
/* A new step at the end of the list; *out is valid until the next one is added. */
ex_status ex_cpu_step_add(ex_cpu_plan *plan, const char *what, int node, ex_cpu_call call,
                          ex_cpu_step **out);
/* Adds a tensor to the last step; for a primitive, as its argument `arg`. */
void ex_cpu_step_ref(ex_cpu_plan *plan, ex_cpu_ref ref, int arg);
/* A new step that runs `op`, which the plan takes over (also on failure). An op without a
 * primitive adds nothing, and its references must not be added. */
ex_status ex_cpu_op_add(ex_cpu_plan *plan, const char *what, int node, ex_dnn_op *op);
/* Ends a primitive's step: its scratchpad and memory objects. */
ex_status ex_cpu_op_end(ex_cpu_plan *plan);
/* out = in, n values. */
ex_status ex_cpu_copy_add(ex_cpu_plan *plan, int node, ex_cpu_ref out, ex_map_type out_type,
                          ex_cpu_ref in, ex_map_type in_type, size_t n);

/* Points every step at its tensors; cheap when the arena has not moved. */
ex_status ex_cpu_bind(ex_cpu_plan *plan);
float *ex_cpu_at(const ex_cpu_plan *plan, ex_cpu_ref ref);

/* --- nodes ------------------------------------------------------------------------------------ */

/* Chooses the layout of a convolution's tensor, and of its input where that is still open. */
ex_status ex_cpu_conv_layouts(ex_cpu_plan *plan, int node);
/* Forward steps of a node; backward steps, given the gradients that its readers left in its map. */
ex_status ex_cpu_conv_forward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_conv_backward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_conv_prepare(ex_cpu_plan *plan, int node); /* evaluation: fold, before forward */
/* Whether the convolution and its gradients are made of matrix products: conv_small.c. */
bool ex_cpu_conv_is_small(const ex_cpu_plan *plan, int node);
/* Of such a node: what the products read of the filters, kept in the map's weights; the convolution
 * into `out`, with c's bias, sum (of the residual) and ReLU; the gradients of filters and of the
 * bias at `bias`, EX_NONE for none; that of the input, left there. */
ex_status ex_cpu_small_filters(ex_cpu_plan *plan, int node);
ex_status ex_cpu_small_forward(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_cpu_ref out);
ex_status ex_cpu_small_weights(ex_cpu_plan *plan, int node, ex_cpu_ref dy, size_t bias);
ex_status ex_cpu_small_data(ex_cpu_plan *plan, int node, ex_cpu_ref dy);
/* conv_tiles.c. Whether our own Winograd kernels can compute `c`, a forward convolution or an
 * input's gradient; their shape of it. */
bool ex_cpu_tiles_fit(const ex_dnn_conv *c);
/* *out = a new buffer with what they read of the filters for c's pass. */
ex_status ex_cpu_tiles_filters(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_cpu_ref *out);
/* The convolution into `out`, with the map's weights; the input's gradient, left there. */
ex_status ex_cpu_tiles_forward(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_cpu_ref out);
ex_status ex_cpu_tiles_data(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_cpu_ref dy);
/* Whether the step is one of those two, and so multiplies. */
bool ex_cpu_tiles_multiply(const ex_cpu_step *step);
/* To time one: the floats of four tensors that it wants; it, on them. */
enum { EX_CPU_TILES_TENSORS = 4 };
void ex_cpu_tiles_trial_floats(size_t floats[EX_CPU_TILES_TENSORS], const ex_dnn_conv *c);
void ex_cpu_tiles_try(float *const at[EX_CPU_TILES_TENSORS], const ex_dnn_conv *c, ex_stream s);
/* Whether the node's norm is folded into its filters. */
bool ex_cpu_folds(const ex_cpu_plan *plan, int node);
/* Buffers for the folded values; folds those that are kept from run to run: in section prepare. */
ex_status ex_cpu_fold_prepare(ex_cpu_plan *plan, int node);
/* Training: folds what the last step may have changed. */
ex_status ex_cpu_fold_forward(ex_cpu_plan *plan, int node);
/* Turns the folded filters' and bias's gradients, which lie at the weight's and the norm's shift's
 * place in plan->grads, into those of the layer's values. */
ex_status ex_cpu_fold_backward(ex_cpu_plan *plan, int node);
/* Evaluation: whether a fork corrects the convolution instead of running it, where one channel of
 * its input changed. */
bool ex_cpu_corrects(const ex_cpu_plan *plan, int node);
/* What that takes: in section prepare; and after the convolution's own step, its last one. */
ex_status ex_cpu_correct_prepare(ex_cpu_plan *plan, int node);
ex_status ex_cpu_correct_forward(ex_cpu_plan *plan, int node);
/* Where the convolution's step writes: the node's tensor, or what is still without its ReLU. */
ex_cpu_ref ex_cpu_conv_output(const ex_cpu_plan *plan, int node);
/* The node's tensor of `to` from what `from` has, given the change of the node's input. */
void ex_cpu_correct(ex_cpu_plan *to, const ex_cpu_plan *from, int node, int images,
                    const ex_channel_change *change);
/* Lists the mask's channels in plan->rows. */
ex_status ex_cpu_rows_list(ex_cpu_plan *plan);
/* Whether so few of the layer's filters are trained that ex_cpu_rows_backward is faster. */
bool ex_cpu_rows_are_few(const ex_cpu_plan *plan, int node);
/* The step for their gradients alone, into plan->grads. */
ex_status ex_cpu_rows_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy);
ex_status ex_cpu_linear_prepare(ex_cpu_plan *plan, int node); /* evaluation: filters as bf16 */
ex_status ex_cpu_linear_forward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_linear_backward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_pool_forward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_pool_backward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_shortcut_forward(ex_cpu_plan *plan, int node);
ex_status ex_cpu_shortcut_backward(ex_cpu_plan *plan, int node);

/* Norm of the map's inner value into the node's tensor, with the node's residual and ReLU. */
ex_status ex_cpu_norm_forward(ex_cpu_plan *plan, int node);
/* *out = gradient with respect to the norm's input, given that of the node's tensor. */
ex_status ex_cpu_norm_backward(ex_cpu_plan *plan, int node, ex_cpu_ref *out);
/* Running statistics; after the loss was seen to be finite. */
ex_status ex_cpu_norm_update(ex_cpu_plan *plan, int node);

/* What the node's readers left, summed into one buffer but for the last one, *waiting, which may be
 * nothing: for who can add it on the way. */
ex_status ex_cpu_gradient_pair(ex_cpu_plan *plan, int node, ex_cpu_ref *sum, ex_cpu_ref *waiting);
/* Sums what the node's readers left into one buffer, *out, through its ReLU if `relu`. */
ex_status ex_cpu_gradient_sum(ex_cpu_plan *plan, int node, bool relu, ex_cpu_ref *out);
/* Leaves a contribution to the gradient of `node`. */
ex_status ex_cpu_gradient_give(ex_cpu_plan *plan, int node, ex_cpu_ref gradient, int shortcut);
/* A step that runs `op`, which the plan takes over, from dy to a new gradient of the node's input,
 * and leaves that there. `with`: one more tensor that the op reads as `arg`, or nothing. */
ex_status ex_cpu_gradient_op(ex_cpu_plan *plan, const char *what, int node, ex_dnn_op *op,
                             ex_cpu_ref dy, ex_cpu_ref with, int arg);
/* Whether the plan updates channels of the layer. */
bool ex_cpu_layer_trained(const ex_cpu_plan *plan, int layer);
/* The layer's value at `offset` of the parameters; and its gradient. */
static inline ex_cpu_ref ex_cpu_param(size_t offset)
{
    return (ex_cpu_ref){.buffer = EX_CPU_PARAMS, .offset = offset};
}

static inline ex_cpu_ref ex_cpu_grad(const ex_cpu_plan *plan, size_t offset)
{
    return (ex_cpu_ref){.buffer = plan->grads.buffer, .offset = offset};
}

/* --- back end --------------------------------------------------------------------------------- */

ex_status ex_cpu_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads);
void ex_cpu_lane_destroy(ex_lane **lane);
ex_status ex_cpu_lane_load(ex_lane *lane, const float *params, const float *stats);
ex_status ex_cpu_lane_store(ex_lane *lane, float *params, float *stats);
ex_status ex_cpu_lane_load_velocity(ex_lane *lane, const float *velocity);
ex_status ex_cpu_lane_store_velocity(ex_lane *lane, float *velocity);

ex_status ex_cpu_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec);
void ex_cpu_plan_destroy(ex_plan **plan);
ex_status ex_cpu_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                       const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status ex_cpu_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_gradient *out);
ex_status ex_cpu_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_eval_sums *sums);
ex_status ex_cpu_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
ex_status ex_cpu_forward(ex_plan *plan, int first, int last);
ex_status ex_cpu_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
ex_status ex_cpu_logits(ex_plan *plan, float *logits, int rows);

/* Sets the plan's data set and samples; `feed` may be shorter than the batch only if `pad`. */
ex_status ex_cpu_feed(ex_cpu_plan *plan, const ex_dataset *data, const ex_samples *feed,
                      size_t first, size_t count);
/* Steps [first, last), without those that update unless `update`. */
ex_status ex_cpu_steps(ex_cpu_plan *plan, int first, int last, bool update);
/* Folds the norms if the lane's values changed since. */
ex_status ex_cpu_prepare(ex_cpu_plan *plan);
/* Hands what the plan's steps took to the profile, by layer and kind of step. */
void ex_cpu_profile(const ex_cpu_plan *plan);

extern const ex_backend ex_backend_cpu;

#endif
