/* Convolution nodes.
 *
 * Training: convolution, norm (norm_library.c). Evaluation, training with frozen norms, and layers
 * without a norm: one graph of convolution, bias, residual and ReLU; a norm is folded into filters
 * and bias (plan_fold.c). */
#include "cuda/cuda_impl.h"
#include "cuda/node_graph.h"

/* --- forward ---------------------------------------------------------------------------------- */

/* out = conv(input), + bias if it has one; if `tail`, + residual, through ReLU if it has one. */
static ex_status conv_step(ex_plan_core *plan, int node, bool tail, ex_buffer_ref out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_plan_map *map = &plan->maps[node], *in = &plan->maps[n->input];
    const bool residual = tail && n->residual >= 0;
    const bool relu = tail && n->relu && out.buffer == map->ref.buffer; /* else it comes later */
    const int batch = plan->base.spec.batch;
    const bool wide = out.buffer == map->before_relu.buffer && ex_plan_keeps(plan, node);
    if (map->bias.buffer != EX_BUFFER_NOTHING) {
        ex_dnn_graph g = ex_node_graph_fused(n, batch, ex_cuda_precision(plan), residual, relu);
        if (wide)
            g.tensor[EX_FUSED_Y].type = EX_GRAPH_F32;
        const ex_buffer_ref ref[EX_GRAPH_TENSORS] = {
            [EX_FUSED_X] = in->ref,
            [EX_FUSED_W] = map->weights,
            [EX_FUSED_B] = map->bias,
            [EX_FUSED_Y] = out,
            [EX_FUSED_RESIDUAL] = residual ? plan->maps[n->residual].ref : EX_NO_REF};
        return ex_cuda_graph_add(plan, "conv forward", node, &g, ref);
    }
    if (residual || relu)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "layer %s of %s has neither a bias nor a norm",
                       ex_plan_layer_of(plan, node)->name, plan->model->name);
    ex_dnn_graph g = ex_node_graph_conv(n, batch, ex_cuda_precision(plan), EX_GRAPH_CONV_FWD);
    if (wide)
        g.tensor[EX_NODE_OUT].type = EX_GRAPH_F32;
    const ex_buffer_ref ref[] = {
        [EX_NODE_A] = in->ref, [EX_NODE_B] = map->weights, [EX_NODE_OUT] = out};
    return ex_cuda_graph_add(plan, "conv forward", node, &g, ref);
}

/* The layer's own filters and bias. */
static ex_status plain_weights(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    const size_t floats = (size_t)l->channels * l->row;
    const ex_buffer_ref weight = ex_plan_param(l->weight);
    EX_TRY(ex_cuda_type(plan) == EX_MAP_F32
               ? ex_cuda_aligned(plan, node, weight, floats, &map->weights)
               : ex_cuda_converted(plan, node, weight, EX_MAP_F32, floats, EX_MAP_BF16,
                                   &map->weights));
    map->bias = EX_NO_REF;
    return l->bias == EX_NONE ? EX_OK
                              : ex_cuda_aligned(plan, node, ex_plan_param(l->bias),
                                                (size_t)l->channels, &map->bias);
}

/* The folded filters, as the convolution reads them. */
static ex_status folded_weights(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    map->weights = map->folded;
    return ex_cuda_type(plan) == EX_MAP_F32
               ? EX_OK
               : ex_cuda_converted(plan, node, map->folded, EX_MAP_F32,
                                   (size_t)l->channels * l->row, EX_MAP_BF16, &map->weights);
}

ex_status ex_cuda_conv_prepare(ex_plan_core *plan, int node)
{
    if (ex_plan_folds(plan, node)) {
        EX_TRY(ex_plan_fold_prepare(plan, node));
        if (!ex_plan_refolds(plan, node)) {
            EX_TRY(folded_weights(plan, node));
            /* What bf16 filters were made of is not read again. */
            plan->buffers.list[plan->maps[node].folded.buffer].own = false;
            ex_plan_buffer_own(plan, plan->maps[node].weights);
        }
    }
    return ex_plan_correct_prepare(plan, node);
}

/* All of the node at once, but for what plans that fork want of it. */
static ex_status whole_step(ex_plan_core *plan, int node)
{
    EX_TRY(conv_step(plan, node, true, ex_plan_conv_output(plan, node)));
    return ex_plan_correct_forward(plan, node);
}

static ex_status folded_forward(ex_plan_core *plan, int node)
{
    if (ex_plan_refolds(plan, node)) {
        EX_TRY(ex_plan_fold_forward(plan, node));
        EX_TRY(folded_weights(plan, node));
    }
    return whole_step(plan, node);
}

ex_status ex_cuda_conv_forward(ex_plan_core *plan, int node)
{
    ex_plan_map *map = &plan->maps[node];
    if (ex_plan_folds(plan, node))
        return folded_forward(plan, node);
    EX_TRY(plain_weights(plan, node));
    map->inner = map->ref;
    if (ex_plan_layer_of(plan, node)->scale == EX_NONE)
        return whole_step(plan, node);
    EX_TRY(ex_plan_map_add(plan, node, &map->inner));
    EX_TRY(conv_step(plan, node, false, map->inner));
    return ex_cuda_norm_forward(plan, node);
}

/* --- backward --------------------------------------------------------------------------------- */

/* The sums of dy. */
static ex_status bias_backward(ex_plan_core *plan, int node, ex_buffer_ref dy, size_t bias)
{
    const ex_buffer_ref to = ex_plan_grad(plan, bias);
    const size_t channels = (size_t)ex_plan_layer_of(plan, node)->channels;
    const ex_map_shape s = ex_plan_map_shape(plan, node);
    const ex_blas_product p = {
        .kind = EX_BLAS_SUM, .N = s.N * s.H * s.W, .K = s.C, .precision = ex_cuda_precision(plan)};
    ex_buffer_ref db;
    if (s.type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, dy, s.type, ex_plan_map_floats(plan, node), EX_MAP_F32,
                                 &dy));
    EX_TRY(ex_cuda_aligned_begin(plan, to, channels, &db));
    EX_TRY(ex_cuda_product_add(plan, "conv backward bias", node, &p, db, dy, EX_NO_REF, EX_NO_REF));
    return ex_cuda_aligned_end(plan, node, to, db, channels);
}

static ex_status weights_backward(ex_plan_core *plan, int node, ex_buffer_ref dy, size_t bias)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const ex_buffer_ref to = ex_plan_grad(plan, l->weight);
    const size_t floats = (size_t)l->channels * l->row;
    const ex_dnn_graph g =
        ex_node_graph_conv(n, plan->base.spec.batch, ex_cuda_precision(plan), EX_GRAPH_CONV_WGRAD);
    const ex_map_type type = ex_cuda_type(plan);
    ex_buffer_ref dw;
    EX_TRY(type == EX_MAP_F32 ? ex_cuda_aligned_begin(plan, to, floats, &dw)
                              : ex_plan_buffer_add(plan, floats * ex_map_type_bytes(type), &dw));
    const ex_buffer_ref ref[] = {
        [EX_NODE_A] = dy, [EX_NODE_B] = plan->maps[n->input].ref, [EX_NODE_OUT] = dw};
    EX_TRY(ex_cuda_graph_add(plan, "conv backward weights", node, &g, ref));
    EX_TRY(type == EX_MAP_F32
               ? ex_cuda_aligned_end(plan, node, to, dw, floats)
               : ex_plan_convert_add(plan, "convert", node, to, EX_MAP_F32, dw, type, floats));
    return bias == EX_NONE ? EX_OK : bias_backward(plan, node, dy, bias);
}

/* Gradients of the layer's values, given that of the convolution's output. */
static ex_status values_backward(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const size_t bias = ex_plan_bias_at(plan, node);
    EX_TRY(ex_plan_rows_are_few(plan, node) ? ex_plan_rows_backward(plan, node, dy, EX_NO_REF, bias)
                                            : weights_backward(plan, node, dy, bias));
    return ex_plan_folds(plan, node) ? ex_plan_fold_backward(plan, node) : EX_OK;
}

static ex_status data_backward(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_graph g =
        ex_node_graph_conv(n, plan->base.spec.batch, ex_cuda_precision(plan), EX_GRAPH_CONV_DGRAD);
    ex_buffer_ref dx;
    EX_TRY(ex_plan_map_add(plan, n->input, &dx));
    const ex_buffer_ref ref[] = {
        [EX_NODE_A] = dy, [EX_NODE_B] = plan->maps[node].weights, [EX_NODE_OUT] = dx};
    EX_TRY(ex_cuda_graph_add(plan, "conv backward data", node, &g, ref));
    return ex_plan_gradient_give(plan, n->input, dx, -1);
}

ex_status ex_cuda_conv_backward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const bool norm = ex_plan_layer_of(plan, node)->scale != EX_NONE && !ex_plan_folds(plan, node);
    ex_buffer_ref dy;
    EX_TRY(norm ? ex_cuda_norm_backward(plan, node, &dy) : ex_plan_conv_gradient(plan, node, &dy));
    if (ex_plan_layer_trained(plan, n->layer))
        EX_TRY(values_backward(plan, node, dy));
    return plan->maps[n->input].wanted ? data_backward(plan, node, dy) : EX_OK;
}
