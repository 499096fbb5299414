/* Inside of the CPU back end.
 *
 * Plans are those of plan_core.h; here are the steps that oneDNN computes, as primitives, and what
 * runs them. A primitive's step names its tensors with oneDNN's argument numbers.
 *
 * Reading order: plan.c (layouts, what makes which node), conv.c conv_small.c conv_tiles.c
 * conv_rows.c linear.c (the nodes), autotune.c (which algorithm is faster), step.c (primitives as
 * steps), run.c (what runs them), correct.c ablate.c. */
#ifndef EX_CPU_IMPL_H
#define EX_CPU_IMPL_H

#include "algorithms_cache.h"
#include "cpu/dnnl_adapter.h"
#include "plan_nodes.h"

/* --- device ---------------------------------------------------------------------------------- */

/* A choice that was timed once: `key` says shape, layouts, pass and threads. */
typedef struct ex_cpu_choice {
    char key[128];
    ex_dnn_algorithm algorithm;
} ex_cpu_choice;

typedef struct ex_cpu_device {
    ex_device base;
    dnnl_engine_t engine;
    pthread_mutex_t timing; /* of choices; taken before the budget's lock */
    ex_budget budget;
    ex_cpu_choice *choices;
    int choice_count, choice_room;
    ex_algorithms_cache cache; /* of choices, too */
} ex_cpu_device;

static inline ex_cpu_device *ex_cpu_device_of(const ex_lane_core *lane)
{
    return (ex_cpu_device *)lane->base.device;
}

ex_status ex_cpu_algorithms_read(ex_device *device, const char *path);
ex_status ex_cpu_algorithms_write(const ex_device *device, const char *path);

/* --- lane ------------------------------------------------------------------------------------ */

typedef struct ex_cpu_lane {
    ex_lane_core core;
    dnnl_stream_t stream;
} ex_cpu_lane;

static inline ex_cpu_lane *ex_cpu_lane_of(const ex_lane *lane)
{
    return (ex_cpu_lane *)lane;
}

/* Every entry calls this: oneDNN's and our loops take their team from the calling thread. */
void ex_cpu_enter(const ex_lane_core *lane);
/* Sets c->algorithm to the fastest; all lanes and plans of the device take the same one. Times them
 * in the lane's arena. */
ex_status ex_cpu_choose(ex_cpu_lane *lane, ex_dnn_conv *c);
/* Whether kernels of our own compute it, so that there is no primitive for it. */
bool ex_cpu_is_own(ex_dnn_algorithm algorithm);

/* --- plan ------------------------------------------------------------------------------------- */

typedef struct ex_cpu_plan {
    ex_plan_core core;
    float affine[2 * EX_CHANNELS_MAX];
    uint32_t *pad_index; /* (batch) a short feed, padded */
    uint16_t *pad_label;
    int32_t *rows, *unchanged; /* core.rows, core.unchanged */
    ex_segment all;            /* every parameter, where spec.mask is NULL */
} ex_cpu_plan;

static inline ex_cpu_plan *ex_cpu_plan_of(const ex_plan *plan)
{
    return (ex_cpu_plan *)plan;
}

static inline dnnl_engine_t ex_cpu_engine(const ex_plan_core *plan)
{
    return ex_cpu_device_of(plan->lane)->engine;
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

/* The pass of a plan's forward steps. */
static inline ex_dnn_pass ex_cpu_forward_pass(const ex_plan_core *plan)
{
    return ex_plan_trains(plan) ? EX_DNN_FORWARD_TRAIN : EX_DNN_FORWARD;
}

/* --- primitives as steps ---------------------------------------------------------------------- */

/* A step's own. */
typedef struct ex_cpu_primitive {
    ex_dnn_op op;
    dnnl_exec_arg_t args[EX_STEP_REFS]; /* parallel to the step's refs */
} ex_cpu_primitive;

/* A new step that runs `op`, which the plan takes over (also on failure). */
ex_status ex_cpu_op_add(ex_plan_core *plan, const char *what, int node, ex_dnn_op *op);
/* Adds a tensor to it, as the primitive's argument `arg`. */
void ex_cpu_arg(ex_plan_core *plan, ex_buffer_ref ref, int arg);
/* Ends the step: its scratchpad and memory objects. */
ex_status ex_cpu_op_end(ex_plan_core *plan);
/* A step that runs `op`, which the plan takes over, from dy to a new gradient of the node's input,
 * and leaves that there. `with`: one more tensor that the op reads as `arg`, or nothing. */
ex_status ex_cpu_gradient_op(ex_plan_core *plan, const char *what, int node, ex_dnn_op *op,
                             ex_buffer_ref dy, ex_buffer_ref with, int arg);
/* Points primitives at the steps' tensors (ex_plan_parts.bound). */
ex_status ex_cpu_bound(ex_plan_core *plan);

/* --- nodes ------------------------------------------------------------------------------------ */

/* Chooses the layout of a convolution's tensor, and of its input where that is still open. */
ex_status ex_cpu_conv_layouts(ex_plan_core *plan, int node);
ex_status ex_cpu_conv_prepare(ex_plan_core *plan, int node);
ex_status ex_cpu_conv_forward(ex_plan_core *plan, int node);
ex_status ex_cpu_conv_backward(ex_plan_core *plan, int node);
/* Whether the node's filters, the same in every step, are made ready in section prepare and kept:
 * in evaluation, and where a mask leaves the whole layer alone. Trained layers share the memory for
 * that, one after another; where memory has a limit, a masked plan does so with all. */
bool ex_cpu_filters_stay(const ex_plan_core *plan, int node);
/* Whether the pass's filters are made ready in every step, since training changes them. */
static inline bool ex_cpu_pass_makes_filters(ex_dnn_pass pass)
{
    return pass == EX_DNN_FORWARD_TRAIN || pass == EX_DNN_BACKWARD_DATA;
}
/* The ops, `count` of them, that bring filters as they lie in the parameters into the layout that
 * `op` reads, in turn. */
enum { EX_CPU_REORDERS_MAX = 2 };
ex_status ex_cpu_filter_reorders(ex_dnn_op reorders[EX_CPU_REORDERS_MAX], int *count,
                                 dnnl_engine_t engine, const ex_dnn_op *op, const ex_dnn_filter *f);
/* Whether the convolution and its gradients are made of matrix products: conv_small.c. */
bool ex_cpu_conv_is_small(const ex_plan_core *plan, int node);
/* Of such a node: what the products read of the filters, kept in the map's weights; the convolution
 * into `out`, with c's bias, sum (of the residual) and ReLU; the gradients of filters and of the
 * bias at `bias`, EX_NONE for none; that of the input, left there. */
ex_status ex_cpu_small_filters(ex_plan_core *plan, int node);
ex_status ex_cpu_small_forward(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref out);
ex_status ex_cpu_small_weights(ex_plan_core *plan, int node, ex_buffer_ref dy, size_t bias);
ex_status ex_cpu_small_data(ex_plan_core *plan, int node, ex_buffer_ref dy);
/* conv_tiles.c. Whether our own Winograd kernels can compute `c`. */
bool ex_cpu_tiles_fit(const ex_dnn_conv *c);
/* *out = a new buffer with what they read of the filters for c's pass. */
ex_status ex_cpu_tiles_filters(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref *out);
/* The convolution into `out`, with the map's weights; the input's gradient, left there, with
 * `filters`, made for it. */
ex_status ex_cpu_tiles_forward(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref out);
ex_status ex_cpu_tiles_data(ex_plan_core *plan, int node, const ex_dnn_conv *c, ex_buffer_ref dy,
                            ex_buffer_ref filters);
/* The gradient of the filters, without one of a bias, into plan->grads. */
ex_status ex_cpu_tiles_weights(ex_plan_core *plan, int node, ex_buffer_ref dy);
/* Whether the step is one of those three, and so multiplies. */
bool ex_cpu_tiles_multiply(const ex_plan_step *step);
/* conv_rows.c. Whether gradients of all filters can be had from the kernel for few of them, which
 * is faster where the library has no good one: strides in bf16. */
bool ex_cpu_rows_fit(const ex_dnn_conv *c);
/* To time kernels of our own, with what makes their filters ready where the pass does: the floats
 * of the tensors that they want; they, on them. */
enum { EX_CPU_TRIAL_TENSORS = 5 };
void ex_cpu_tiles_trial_floats(size_t floats[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c,
                               ex_stream stream);
void ex_cpu_tiles_try(float *const at[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream s);
void ex_cpu_rows_trial_floats(size_t floats[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c,
                              ex_stream stream);
void ex_cpu_rows_try(float *const at[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream s);
bool ex_cpu_corrects(const ex_plan_core *plan, int node);
ex_status ex_cpu_columns(ex_plan_core *plan, int node);
ex_status ex_cpu_linear_prepare(ex_plan_core *plan, int node); /* evaluation: filters as bf16 */
ex_status ex_cpu_linear_forward(ex_plan_core *plan, int node);
ex_status ex_cpu_linear_backward(ex_plan_core *plan, int node);

/* --- back end --------------------------------------------------------------------------------- */

ex_status ex_cpu_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads);
void ex_cpu_lane_destroy(ex_lane **lane);
ex_status ex_cpu_lane_load(ex_lane *lane, const float *params, const float *stats);
ex_status ex_cpu_lane_store(ex_lane *lane, float *params, float *stats);
ex_status ex_cpu_lane_load_velocity(ex_lane *lane, const float *velocity);
ex_status ex_cpu_lane_store_velocity(ex_lane *lane, float *velocity);

ex_status ex_cpu_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec);
void ex_cpu_plan_destroy(ex_plan **plan);
ex_status ex_cpu_train(ex_plan *plan, ex_plan *rest, const ex_dataset *data, const ex_samples *feed,
                       const ex_sgd_coeff *sgd, ex_train_sums *sums);
ex_status ex_cpu_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_gradient *out);
ex_status ex_cpu_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_eval_sums *sums);
ex_status ex_cpu_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed);
ex_status ex_cpu_forward(ex_plan *plan, int first, int last);
ex_status ex_cpu_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next);
ex_status ex_cpu_logits(ex_plan *plan, float *logits, int rows);

/* Hands what the plan's steps took to the profile, by layer and kind of step. */
void ex_cpu_profile(const ex_plan_core *plan);

extern const ex_backend ex_backend_cpu;

#endif
