/* What back ends make plans of, beside what their libraries compute: steps that are kernels of the
 * table, and what passes between nodes. Each function adds to the end of the plan's steps. */
#ifndef EX_PLAN_NODES_H
#define EX_PLAN_NODES_H

#include "plan_core.h"

/* INPUT and SHORTCUT_A nodes. */
ex_status ex_plan_input_forward(ex_plan_core *plan, int node);
ex_status ex_plan_input_backward(ex_plan_core *plan, int node);
ex_status ex_plan_shortcut_forward(ex_plan_core *plan, int node);
ex_status ex_plan_shortcut_backward(ex_plan_core *plan, int node);

/* Norm of the map's inner value into the node's tensor, with the node's residual and ReLU. */
ex_status ex_plan_norm_forward(ex_plan_core *plan, int node);
/* *out = gradient with respect to the norm's input, given that of the node's tensor. planes: of it,
 * what ex_plan_rows_backward reads (on the host), or nothing. */
ex_status ex_plan_norm_backward(ex_plan_core *plan, int node, ex_buffer_ref planes,
                                ex_buffer_ref *out);
/* Running statistics; after the loss was seen to be finite. */
ex_status ex_plan_norm_update(ex_plan_core *plan, int node);

/* Norms by fixed statistics, put into the filters and the bias of their convolution (plan_fold.c).
 * Whether the node's is; and whether every step of training folds it anew, at least in part. */
bool ex_plan_folds(const ex_plan_core *plan, int node);
bool ex_plan_refolds(const ex_plan_core *plan, int node);
/* Buffers for the folded values, the map's folded and bias; folds those that are kept from run to
 * run: in section prepare. */
ex_status ex_plan_fold_prepare(ex_plan_core *plan, int node);
/* Training: folds what the last step may have changed. */
ex_status ex_plan_fold_forward(ex_plan_core *plan, int node);
/* Turns the folded filters' and bias's gradients, which lie at the weight's and the norm's shift's
 * place in plan->grads, into those of the layer's values. */
ex_status ex_plan_fold_backward(ex_plan_core *plan, int node);
/* Where in the parameters lies what has the sums of a convolution's dy as its gradient: its bias,
 * or the shift of a folded norm; EX_NONE: nowhere. */
size_t ex_plan_bias_at(const ex_plan_core *plan, int node);

/* Whether a LINEAR node's input is brought into rows first: where its layout is another, and in
 * training where values are dropped. */
bool ex_plan_flattens(const ex_plan_core *plan, int node);
/* *out = the rows of `in`, or the gradient of the map from that of its rows, in a new buffer. */
ex_status ex_plan_flatten_forward(ex_plan_core *plan, int node, ex_buffer_ref in,
                                  ex_buffer_ref *out);
ex_status ex_plan_flatten_backward(ex_plan_core *plan, int node, ex_buffer_ref in,
                                   ex_buffer_ref *out);

/* Whether the plan updates channels of the layer. */
bool ex_plan_layer_trained(const ex_plan_core *plan, int layer);
/* What the node's readers left, summed into one buffer but for the last one, *waiting, which may be
 * nothing: for who can add it on the way. */
ex_status ex_plan_gradient_pair(ex_plan_core *plan, int node, ex_buffer_ref *sum,
                                ex_buffer_ref *waiting);
/* Sums what the node's readers left into one buffer, *out, through its ReLU if `relu`. */
ex_status ex_plan_gradient_sum(ex_plan_core *plan, int node, bool relu, ex_buffer_ref *out);
/* Leaves a contribution to the gradient of `node`. */
ex_status ex_plan_gradient_give(ex_plan_core *plan, int node, ex_buffer_ref gradient, int shortcut);
/* *dy = the gradient of what a convolution without a norm computes, through the node's ReLU; its
 * residual gets its part. */
ex_status ex_plan_conv_gradient(ex_plan_core *plan, int node, ex_buffer_ref *dy);

/* A pool by the kernels of the table. The taps that a maximum's gradient goes back by, a byte a
 * value of the map, are its workspace where the plan trains: ex_plan_pool_index makes it. */
ex_pool_shape ex_plan_pool_shape(const ex_plan_core *plan, int node);
ex_status ex_plan_pool_index(ex_plan_core *plan, int node);
ex_status ex_plan_pool_forward(ex_plan_core *plan, int node);
ex_status ex_plan_pool_backward(ex_plan_core *plan, int node);

/* Where the kernels read which of the layer's channels a step changes, NULL for all; how many. */
const int32_t *ex_plan_trained_channels(const ex_plan_core *plan, int node, int *count);
/* Whether so few of the layer's filters are trained that ex_plan_rows_backward is faster. */
bool ex_plan_rows_are_few(const ex_plan_core *plan, int node);
/* *out = a new buffer for the step's scratch memory, in front of which planes of dy may be put. */
ex_status ex_plan_rows_scratch(ex_plan_core *plan, int node, ex_buffer_ref *out);
/* The step for the gradients of the filters that are trained alone, into plan->grads; the sums of
 * dy go to `bias` there, EX_NONE: nowhere. planes: scratch memory with dy's, or nothing. */
ex_status ex_plan_rows_backward(ex_plan_core *plan, int node, ex_buffer_ref dy,
                                ex_buffer_ref planes, size_t bias);
/* How many filters the step computes the gradients of; 0 if it is none of those. */
int ex_plan_rows_computed(const ex_plan_core *plan, const ex_plan_step *step);
/* rows (channel_count): each layer's selected channels, from its first_channel on; NULL: all. */
void ex_plan_rows_list(int32_t *rows, const ex_model *m, const ex_mask *mask);

/* --- forks ------------------------------------------------------------------------------------ */

/* Whether the plan keeps what correcting the convolution takes: it is one to fork from. */
bool ex_plan_keeps(const ex_plan_core *plan, int node);
/* What that takes: in section prepare; and after the convolution's own step, its last one. */
ex_status ex_plan_correct_prepare(ex_plan_core *plan, int node);
ex_status ex_plan_correct_forward(ex_plan_core *plan, int node);
/* Where the convolution's step writes: the node's tensor, or what is still without its ReLU. */
ex_buffer_ref ex_plan_conv_output(const ex_plan_core *plan, int node);

/* --- for callers ------------------------------------------------------------------------------ */

/* affine (2, C): scale and shift of the data set's bytes. */
void ex_plan_affine(float *affine, const ex_dataset *data);
/* out (N, C, H, W), of the network's input, from its gradient as the plan has it, on the host. */
void ex_plan_input_planes(const ex_plan_core *plan, float *out, const void *in);
/* Gradients of what the mask leaves alone are not computed: they are 0. */
void ex_plan_clear_unmasked(const ex_mask *mask, float *grads);

#endif
