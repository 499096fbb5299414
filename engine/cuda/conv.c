/* Convolution nodes.
 *
 * Training: convolution, norm (norm.c). Evaluation, and layers without a norm: one graph of
 * convolution, bias, residual and ReLU; a norm is folded into filters and bias. */
#include "cuda/cuda_impl.h"

/* --- forward ---------------------------------------------------------------------------------- */

/* A graph that grows by one operation after the other, each on the last one's output. */
typedef struct chain {
    ex_cuda_plan *plan;
    int node;
    ex_dnn_graph g;
    ex_cuda_ref ref[EX_GRAPH_TENSORS], out;
    int left; /* operations still to come */
    int last; /* the last one's output */
} chain;

static int chain_tensor(chain *c, int tensor, ex_cuda_ref ref)
{
    c->ref[tensor] = ref;
    return tensor;
}

static void chain_op(chain *c, ex_graph_op op)
{
    const bool inner = --c->left > 0;
    const int y = chain_tensor(c, ex_cuda_graph_map(c->plan, &c->g, c->node, inner),
                               inner ? EX_CUDA_NO_REF : c->out);
    op.out[0] = y;
    op.out[1] = -1;
    ex_dnn_graph_op(&c->g, op);
    c->last = y;
}

/* out = conv(input), + bias if it has one; if `tail`, + residual, through ReLU if it has one. */
static ex_status conv_step(ex_cuda_plan *plan, int node, bool tail, ex_cuda_ref out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_cuda_map *map = &plan->maps[node];
    const bool bias = map->bias.buffer != EX_BUFFER_NOTHING;
    const bool residual = tail && n->residual >= 0, relu = tail && n->relu;
    chain c = {.plan = plan,
               .node = node,
               .g = ex_cuda_graph_begin(plan),
               .out = out,
               .left = 1 + bias + residual + relu};
    const int x =
        chain_tensor(&c, ex_cuda_graph_map(plan, &c.g, n->input, false), plan->maps[n->input].ref);
    const int w = chain_tensor(&c, ex_cuda_graph_filter(&c.g, n), map->weights);
    chain_op(&c, (ex_graph_op){.kind = EX_GRAPH_CONV_FWD,
                               .in = {x, w},
                               .R = n->R,
                               .S = n->S,
                               .stride = n->stride,
                               .pad = n->pad});
    if (bias) {
        const int b = chain_tensor(&c, ex_cuda_graph_channels(&c.g, n->K), map->bias);
        chain_op(&c, (ex_graph_op){.kind = EX_GRAPH_BIAS, .in = {c.last, b}});
    }
    if (residual) {
        const int r = chain_tensor(&c, ex_cuda_graph_map(plan, &c.g, n->residual, false),
                                   plan->maps[n->residual].ref);
        chain_op(&c, (ex_graph_op){.kind = EX_GRAPH_ADD, .in = {c.last, r}});
    }
    if (relu)
        chain_op(&c, (ex_graph_op){.kind = EX_GRAPH_RELU, .in = {c.last, -1}});
    return ex_cuda_graph_add(plan, "conv forward", node, &c.g, c.ref);
}

/* The layer's own filters and bias. */
static ex_status plain_weights(ex_cuda_plan *plan, int node)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    EX_TRY(ex_cuda_aligned(plan, node, ex_cuda_param(l->weight), (size_t)l->channels * l->row,
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
    const size_t channels = (size_t)l->channels;
    if (l->scale == EX_NONE)
        return EX_OK;
    EX_TRY(ex_cuda_buffer_add(plan, channels * l->row * sizeof(float), &map->weights));
    EX_TRY(ex_cuda_buffer_add(plan, channels * sizeof(float), &map->bias));
    plan->buffers.list[map->weights.buffer].own = plan->buffers.list[map->bias.buffer].own = true;
    EX_TRY(ex_cuda_step_add(plan, "norm fold", node, run_fold, NULL));
    ex_cuda_step_ref(plan, map->weights);
    ex_cuda_step_ref(plan, map->bias);
    return EX_OK;
}

ex_status ex_cuda_conv_forward(ex_cuda_plan *plan, int node)
{
    const bool norm = ex_cuda_layer_of(plan, node)->scale != EX_NONE;
    ex_cuda_map *map = &plan->maps[node];
    if (norm && !ex_cuda_trains(plan))
        return conv_step(plan, node, true, map->ref);
    EX_TRY(plain_weights(plan, node));
    map->inner = map->ref;
    if (!norm)
        return conv_step(plan, node, true, map->ref);
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
    ex_dnn_graph g = ex_cuda_graph_begin(plan);
    ex_cuda_ref ref[EX_GRAPH_TENSORS], db;
    EX_TRY(ex_cuda_aligned_begin(plan, to, channels, &db));
    const int in = ex_cuda_graph_map(plan, &g, node, false);
    const int out = ex_cuda_graph_channels(&g, l->channels);
    ref[in] = dy;
    ref[out] = db;
    ex_dnn_graph_op(&g,
                    (ex_graph_op){.kind = EX_GRAPH_BIAS_GRAD, .in = {in, -1}, .out = {out, -1}});
    EX_TRY(ex_cuda_graph_add(plan, "conv backward bias", node, &g, ref));
    return ex_cuda_aligned_end(plan, node, to, db, channels);
}

static ex_status weights_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    const ex_cuda_ref to = ex_cuda_grad(plan, l->weight);
    const size_t floats = (size_t)l->channels * l->row;
    ex_dnn_graph g = ex_cuda_graph_begin(plan);
    ex_cuda_ref ref[EX_GRAPH_TENSORS], dw;
    EX_TRY(ex_cuda_aligned_begin(plan, to, floats, &dw));
    const int in = ex_cuda_graph_map(plan, &g, node, false);
    const int x = ex_cuda_graph_map(plan, &g, n->input, false);
    const int out = ex_cuda_graph_filter(&g, n);
    ref[in] = dy;
    ref[x] = plan->maps[n->input].ref;
    ref[out] = dw;
    ex_dnn_graph_op(&g, (ex_graph_op){.kind = EX_GRAPH_CONV_WGRAD,
                                      .in = {in, x},
                                      .out = {out, -1},
                                      .R = n->R,
                                      .S = n->S,
                                      .stride = n->stride,
                                      .pad = n->pad});
    EX_TRY(ex_cuda_graph_add(plan, "conv backward weights", node, &g, ref));
    EX_TRY(ex_cuda_aligned_end(plan, node, to, dw, floats));
    return l->bias == EX_NONE ? EX_OK : bias_backward(plan, node, dy);
}

static ex_status data_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_dnn_graph g = ex_cuda_graph_begin(plan);
    ex_cuda_ref ref[EX_GRAPH_TENSORS], dx;
    EX_TRY(ex_cuda_map_add(plan, n->input, &dx));
    const int in = ex_cuda_graph_map(plan, &g, node, false);
    const int w = ex_cuda_graph_filter(&g, n);
    const int out = ex_cuda_graph_map(plan, &g, n->input, false);
    ref[in] = dy;
    ref[w] = plan->maps[node].weights;
    ref[out] = dx;
    ex_dnn_graph_op(&g, (ex_graph_op){.kind = EX_GRAPH_CONV_DGRAD,
                                      .in = {in, w},
                                      .out = {out, -1},
                                      .R = n->R,
                                      .S = n->S,
                                      .stride = n->stride,
                                      .pad = n->pad});
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
