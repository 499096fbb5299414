/* Nodes without weights: pooling and the option-A shortcut. */
#include "cpu/cpu_impl.h"

static ex_dnn_pool pool_of(const ex_cpu_plan *plan, int node, ex_dnn_pass pass)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_dnn_pool){.pass = pass,
                         .maximum = n->op == EX_OP_MAXPOOL,
                         .N = plan->base.spec.batch,
                         .C = n->C,
                         .block = plan->maps[n->input].block,
                         .window = ex_cpu_window_of(n),
                         .bf16 = ex_cpu_bf16(plan)};
}

ex_status ex_cpu_pool_forward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_pool pool = pool_of(plan, node, ex_cpu_forward_pass(plan));
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_op op;
    EX_TRY(ex_dnn_pool_create(&op, plan->lane->device->engine, &pool));
    const size_t workspace = ex_dnn_op_bytes(&op, DNNL_ARG_WORKSPACE);
    EX_TRY(ex_cpu_op_add(plan, "pool forward", node, &op));
    ex_cpu_step_ref(plan, plan->maps[n->input].ref, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, map->ref, DNNL_ARG_DST);
    map->workspace.buffer = EX_CPU_NOTHING;
    if (workspace) {
        EX_TRY(ex_cpu_buffer_add(plan, workspace, &map->workspace));
        ex_cpu_step_ref(plan, map->workspace, DNNL_ARG_WORKSPACE);
    }
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_pool_backward(ex_cpu_plan *plan, int node)
{
    const ex_dnn_pool pool = pool_of(plan, node, EX_DNN_BACKWARD_DATA);
    const ex_cpu_map *map = &plan->maps[node];
    ex_cpu_ref dy;
    ex_dnn_op op;
    EX_TRY(ex_cpu_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_dnn_pool_create(&op, plan->lane->device->engine, &pool));
    return ex_cpu_gradient_op(plan, "pool backward", node, &op, dy, map->workspace,
                              DNNL_ARG_WORKSPACE);
}

static ex_status run_shortcut(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    ex_kernels_host.shortcut_a_fwd(step->at[0], step->at[1], &step->shape, step->K, step->block,
                                   step->stride, ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_shortcut_forward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "shortcut", node, run_shortcut, &step));
    step->shape = ex_cpu_input_shape(plan, n);
    step->K = n->K;
    step->block = plan->maps[node].block;
    step->stride = n->stride;
    ex_cpu_step_ref(plan, plan->maps[node].ref, 0);
    ex_cpu_step_ref(plan, plan->maps[n->input].ref, 0);
    return EX_OK;
}

ex_status ex_cpu_shortcut_backward(ex_cpu_plan *plan, int node)
{
    ex_cpu_ref dy;
    EX_TRY(ex_cpu_gradient_sum(plan, node, false, &dy));
    return ex_cpu_gradient_give(plan, plan->model->nodes[node].input, dy, node);
}
