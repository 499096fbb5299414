/* Convolution nodes.
 *
 * Training: convolution, norm (norm.c). Evaluation, and layers without a norm: one graph of
 * convolution, bias, residual and ReLU; a norm is folded into filters and bias. */
#include "cuda/cuda_impl.h"
#include "cuda/node_graph.h"

ex_conv_shape ex_cuda_conv_shape(const ex_cuda_plan *plan, int node, int images)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_map_shape in = ex_cuda_shape(plan, n->input);
    in.N = images;
    return ex_plan_conv_shape(n, in, n->K);
}

/* --- forward ---------------------------------------------------------------------------------- */

/* out = conv(input), + bias if it has one; if `tail`, + residual, through ReLU if it has one. */
static ex_status conv_step(ex_cuda_plan *plan, int node, bool tail, ex_cuda_ref out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_cuda_map *map = &plan->maps[node], *in = &plan->maps[n->input];
    const bool residual = tail && n->residual >= 0;
    const bool relu = tail && n->relu && out.buffer == map->ref.buffer; /* else it comes later */
    const int batch = plan->base.spec.batch;
    const bool wide = out.buffer == map->before_relu.buffer && ex_cuda_keeps(plan, node);
    if (map->bias.buffer != EX_BUFFER_NOTHING) {
        ex_dnn_graph g = ex_node_graph_fused(n, batch, ex_cuda_precision(plan), residual, relu);
        if (wide)
            g.tensor[EX_FUSED_Y].type = EX_GRAPH_F32;
        const ex_cuda_ref ref[EX_GRAPH_TENSORS] = {
            [EX_FUSED_X] = in->ref,
            [EX_FUSED_W] = map->weights,
            [EX_FUSED_B] = map->bias,
            [EX_FUSED_Y] = out,
            [EX_FUSED_RESIDUAL] = residual ? plan->maps[n->residual].ref : EX_CUDA_NO_REF};
        return ex_cuda_graph_add(plan, "conv forward", node, &g, ref);
    }
    if (residual || relu)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "layer %s of %s has neither a bias nor a norm",
                       ex_cuda_layer_of(plan, node)->name, plan->model->name);
    ex_dnn_graph g = ex_node_graph_conv(n, batch, ex_cuda_precision(plan), EX_GRAPH_CONV_FWD);
    if (wide)
        g.tensor[EX_NODE_OUT].type = EX_GRAPH_F32;
    const ex_cuda_ref ref[] = {
        [EX_NODE_A] = in->ref, [EX_NODE_B] = map->weights, [EX_NODE_OUT] = out};
    return ex_cuda_graph_add(plan, "conv forward", node, &g, ref);
}

/* The layer's own filters and bias. */
static ex_status plain_weights(ex_cuda_plan *plan, int node)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    const size_t floats = (size_t)l->channels * l->row;
    const ex_cuda_ref weight = ex_cuda_param(l->weight);
    EX_TRY(ex_cuda_type(plan) == EX_MAP_F32
               ? ex_cuda_aligned(plan, node, weight, floats, &map->weights)
               : ex_cuda_converted(plan, node, weight, EX_MAP_F32, floats, EX_MAP_BF16,
                                   &map->weights));
    map->bias = EX_CUDA_NO_REF;
    return l->bias == EX_NONE ? EX_OK
                              : ex_cuda_aligned(plan, node, ex_cuda_param(l->bias),
                                                (size_t)l->channels, &map->bias);
}

static ex_status run_fold(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_layer *l = ex_cuda_layer_of(plan, step->node);
    const float *params = plan->lane->params, *stats = plan->lane->stats;
    ex_kernels_cuda.norm_fold(step->at[0], step->at[1], params + l->weight,
                              l->bias == EX_NONE ? NULL : params + l->bias, params + l->scale,
                              params + l->shift, stats + l->mean, stats + l->var, EX_NORM_EPS,
                              l->channels, l->row, ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_conv_prepare(ex_cuda_plan *plan, int node)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    const size_t channels = (size_t)l->channels, floats = channels * l->row;
    ex_cuda_ref folded;
    if (l->scale == EX_NONE)
        return EX_OK;
    EX_TRY(ex_cuda_buffer_add(plan, floats * sizeof(float), &folded));
    EX_TRY(ex_cuda_buffer_add(plan, channels * sizeof(float), &map->bias));
    EX_TRY(ex_cuda_step_add(plan, "norm fold", node, run_fold, NULL));
    ex_cuda_step_ref(plan, folded);
    ex_cuda_step_ref(plan, map->bias);
    map->weights = folded;
    if (ex_cuda_type(plan) != EX_MAP_F32)
        EX_TRY(
            ex_cuda_converted(plan, node, folded, EX_MAP_F32, floats, EX_MAP_BF16, &map->weights));
    plan->buffers.list[map->weights.buffer].own = plan->buffers.list[map->bias.buffer].own = true;
    return EX_OK;
}

/* All of the node at once, but for what plans that fork want of it. */
static ex_status whole_step(ex_cuda_plan *plan, int node)
{
    EX_TRY(conv_step(plan, node, true, ex_cuda_conv_output(plan, node)));
    return ex_cuda_correct_forward(plan, node);
}

ex_status ex_cuda_conv_forward(ex_cuda_plan *plan, int node)
{
    const bool norm = ex_cuda_layer_of(plan, node)->scale != EX_NONE;
    ex_cuda_map *map = &plan->maps[node];
    if (norm && !ex_cuda_trains(plan))
        return whole_step(plan, node);
    EX_TRY(plain_weights(plan, node));
    map->inner = map->ref;
    if (!norm)
        return whole_step(plan, node);
    EX_TRY(ex_cuda_map_add(plan, node, &map->inner));
    EX_TRY(conv_step(plan, node, false, map->inner));
    return ex_cuda_norm_forward(plan, node);
}

/* --- backward --------------------------------------------------------------------------------- */

static ex_status bias_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    const ex_cuda_ref to = ex_cuda_grad(plan, l->bias);
    const size_t channels = (size_t)l->channels;
    const ex_map_shape s = ex_cuda_shape(plan, node);
    const ex_blas_product p = {
        .kind = EX_BLAS_SUM, .N = s.N * s.H * s.W, .K = s.C, .precision = ex_cuda_precision(plan)};
    ex_cuda_ref db;
    if (s.type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, dy, s.type, ex_cuda_map_floats(plan, node), EX_MAP_F32,
                                 &dy));
    EX_TRY(ex_cuda_aligned_begin(plan, to, channels, &db));
    EX_TRY(ex_cuda_product_add(plan, "conv backward bias", node, &p, db, dy, EX_CUDA_NO_REF,
                               EX_CUDA_NO_REF));
    return ex_cuda_aligned_end(plan, node, to, db, channels);
}

static ex_status weights_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    const ex_cuda_ref to = ex_cuda_grad(plan, l->weight);
    const size_t floats = (size_t)l->channels * l->row;
    const ex_dnn_graph g =
        ex_node_graph_conv(n, plan->base.spec.batch, ex_cuda_precision(plan), EX_GRAPH_CONV_WGRAD);
    const ex_map_type type = ex_cuda_type(plan);
    ex_cuda_ref dw;
    EX_TRY(type == EX_MAP_F32 ? ex_cuda_aligned_begin(plan, to, floats, &dw)
                              : ex_cuda_buffer_add(plan, floats * ex_map_type_bytes(type), &dw));
    const ex_cuda_ref ref[] = {
        [EX_NODE_A] = dy, [EX_NODE_B] = plan->maps[n->input].ref, [EX_NODE_OUT] = dw};
    EX_TRY(ex_cuda_graph_add(plan, "conv backward weights", node, &g, ref));
    EX_TRY(type == EX_MAP_F32 ? ex_cuda_aligned_end(plan, node, to, dw, floats)
                              : ex_cuda_convert_add(plan, node, to, EX_MAP_F32, dw, type, floats));
    return l->bias == EX_NONE ? EX_OK : bias_backward(plan, node, dy);
}

static ex_status data_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_graph g =
        ex_node_graph_conv(n, plan->base.spec.batch, ex_cuda_precision(plan), EX_GRAPH_CONV_DGRAD);
    ex_cuda_ref dx;
    EX_TRY(ex_cuda_map_add(plan, n->input, &dx));
    const ex_cuda_ref ref[] = {
        [EX_NODE_A] = dy, [EX_NODE_B] = plan->maps[node].weights, [EX_NODE_OUT] = dx};
    EX_TRY(ex_cuda_graph_add(plan, "conv backward data", node, &g, ref));
    return ex_cuda_gradient_give(plan, n->input, dx, -1);
}

ex_status ex_cuda_conv_backward(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cuda_ref dy;
    if (ex_cuda_layer_of(plan, node)->scale != EX_NONE) {
        EX_TRY(ex_cuda_norm_backward(plan, node, &dy));
    } else {
        EX_TRY(ex_cuda_gradient_sum(plan, node, n->relu, &dy));
        if (n->residual >= 0)
            EX_TRY(ex_cuda_gradient_give(plan, n->residual, dy, -1));
    }
    if (ex_cuda_layer_trained(plan, n->layer))
        EX_TRY(ex_cuda_rows_are_few(plan, node) ? ex_cuda_rows_backward(plan, node, dy)
                                                : weights_backward(plan, node, dy));
    return plan->maps[n->input].wanted ? data_backward(plan, node, dy) : EX_OK;
}
