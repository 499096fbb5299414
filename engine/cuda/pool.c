/* Nodes without weights: pooling and the option-A shortcut. */
#include "cuda/cuda_impl.h"

static ex_graph_op pool_op(const ex_node *n, bool backward)
{
    const ex_graph_op_kind most = backward ? EX_GRAPH_MAXPOOL_BWD : EX_GRAPH_MAXPOOL_FWD;
    const ex_graph_op_kind mean = backward ? EX_GRAPH_AVGPOOL_BWD : EX_GRAPH_AVGPOOL_FWD;
    return (ex_graph_op){.kind = n->op == EX_OP_MAXPOOL ? most : mean,
                         .in = {-1, -1},
                         .out = {-1, -1},
                         .R = n->R,
                         .S = n->S,
                         .stride = n->stride,
                         .pad = n->pad};
}

/* Where in its window each largest value lay: a byte a value. */
static int graph_index(const ex_cuda_plan *plan, ex_dnn_graph *g, int node)
{
    const ex_map_shape s = ex_cuda_shape(plan, node);
    return ex_dnn_graph_tensor(g, (const int[4]){s.N, s.C, s.H, s.W}, EX_GRAPH_S8, false);
}

ex_status ex_cuda_pool_forward(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cuda_map *map = &plan->maps[node];
    ex_dnn_graph g = ex_cuda_graph_begin(plan);
    ex_cuda_ref ref[EX_GRAPH_TENSORS];
    ex_graph_op op = pool_op(n, false);
    op.in[0] = ex_cuda_graph_map(plan, &g, n->input, false);
    op.out[0] = ex_cuda_graph_map(plan, &g, node, false);
    ref[op.in[0]] = plan->maps[n->input].ref;
    ref[op.out[0]] = map->ref;
    if (n->op == EX_OP_MAXPOOL) {
        EX_TRY(ex_cuda_buffer_add(plan, ex_cuda_map_floats(plan, node), &map->index));
        op.out[1] = graph_index(plan, &g, node);
        ref[op.out[1]] = map->index;
    }
    ex_dnn_graph_op(&g, op);
    return ex_cuda_graph_add(plan, "pool forward", node, &g, ref);
}

ex_status ex_cuda_pool_backward(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_dnn_graph g = ex_cuda_graph_begin(plan);
    ex_cuda_ref ref[EX_GRAPH_TENSORS], dy, dx;
    ex_graph_op op = pool_op(n, true);
    EX_TRY(ex_cuda_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_cuda_map_add(plan, n->input, &dx));
    op.in[0] = ex_cuda_graph_map(plan, &g, node, false);
    op.out[0] = ex_cuda_graph_map(plan, &g, n->input, false);
    ref[op.in[0]] = dy;
    ref[op.out[0]] = dx;
    if (n->op == EX_OP_MAXPOOL) {
        op.in[1] = graph_index(plan, &g, node);
        ref[op.in[1]] = plan->maps[node].index;
    }
    ex_dnn_graph_op(&g, op);
    EX_TRY(ex_cuda_graph_add(plan, "pool backward", node, &g, ref));
    return ex_cuda_gradient_give(plan, n->input, dx, -1);
}

static ex_status run_shortcut(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_kernels_cuda.shortcut_a_fwd(step->at[0], step->at[1], &step->shape, n->K, n->K, n->stride,
                                   ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_shortcut_forward(ex_cuda_plan *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "shortcut", node, run_shortcut, &step));
    step->shape = ex_cuda_shape(plan, input);
    ex_cuda_step_ref(plan, plan->maps[node].ref);
    ex_cuda_step_ref(plan, plan->maps[input].ref);
    return EX_OK;
}

ex_status ex_cuda_shortcut_backward(ex_cuda_plan *plan, int node)
{
    ex_cuda_ref dy;
    EX_TRY(ex_cuda_gradient_sum(plan, node, false, &dy));
    return ex_cuda_gradient_give(plan, plan->model->nodes[node].input, dy, node);
}
