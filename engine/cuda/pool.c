/* Nodes without weights: pooling and the option-A shortcut. */
#include "cuda/cuda_impl.h"
#include "cuda/node_graph.h"

static ex_dnn_graph graph_of(const ex_cuda_plan *plan, int node, bool backward)
{
    return ex_node_graph_pool(&plan->model->nodes[node], plan->base.spec.batch,
                              ex_cuda_precision(plan), backward);
}

ex_status ex_cuda_pool_forward(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cuda_map *map = &plan->maps[node];
    const ex_dnn_graph g = graph_of(plan, node, false);
    map->index = EX_CUDA_NO_REF;
    if (n->op == EX_OP_MAXPOOL) /* a byte a value: where in its window the largest lay */
        EX_TRY(ex_cuda_buffer_add(plan, ex_cuda_map_floats(plan, node), &map->index));
    const ex_cuda_ref ref[] = {[EX_POOL_IN] = plan->maps[n->input].ref,
                               [EX_POOL_OUT] = map->ref,
                               [EX_POOL_INDEX] = map->index};
    return ex_cuda_graph_add(plan, "pool forward", node, &g, ref);
}

ex_status ex_cuda_pool_backward(ex_cuda_plan *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    const ex_dnn_graph g = graph_of(plan, node, true);
    ex_cuda_ref dy, dx;
    EX_TRY(ex_cuda_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_cuda_map_add(plan, input, &dx));
    const ex_cuda_ref ref[] = {
        [EX_POOL_IN] = dy, [EX_POOL_OUT] = dx, [EX_POOL_INDEX] = plan->maps[node].index};
    EX_TRY(ex_cuda_graph_add(plan, "pool backward", node, &g, ref));
    return ex_cuda_gradient_give(plan, input, dx, -1);
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
