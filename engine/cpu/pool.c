/* Pooling. */
#include "cpu/cpu_impl.h"

static ex_dnn_pool pool_of(const ex_plan_core *plan, int node, ex_dnn_pass pass)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_dnn_pool){.pass = pass,
                         .maximum = n->op == EX_OP_MAXPOOL,
                         .N = plan->base.spec.batch,
                         .C = n->C,
                         .block = plan->maps[n->input].block,
                         .window = ex_cpu_window_of(n),
                         .bf16 = ex_plan_bf16(plan)};
}

ex_status ex_cpu_pool_forward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_pool pool = pool_of(plan, node, ex_cpu_forward_pass(plan));
    ex_plan_map *map = &plan->maps[node];
    ex_dnn_op op;
    EX_TRY(ex_dnn_pool_create(&op, ex_cpu_engine(plan), &pool));
    const size_t workspace = ex_dnn_op_bytes(&op, DNNL_ARG_WORKSPACE);
    EX_TRY(ex_cpu_op_add(plan, "pool forward", node, &op));
    ex_cpu_arg(plan, plan->maps[n->input].ref, DNNL_ARG_SRC);
    ex_cpu_arg(plan, map->ref, DNNL_ARG_DST);
    map->workspace.buffer = EX_BUFFER_NOTHING;
    if (workspace) {
        EX_TRY(ex_plan_buffer_add(plan, workspace, &map->workspace));
        ex_cpu_arg(plan, map->workspace, DNNL_ARG_WORKSPACE);
    }
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_pool_backward(ex_plan_core *plan, int node)
{
    const ex_dnn_pool pool = pool_of(plan, node, EX_DNN_BACKWARD_DATA);
    const ex_plan_map *map = &plan->maps[node];
    ex_buffer_ref dy;
    ex_dnn_op op;
    EX_TRY(ex_plan_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_dnn_pool_create(&op, ex_cpu_engine(plan), &pool));
    return ex_cpu_gradient_op(plan, "pool backward", node, &op, dy, map->workspace,
                              DNNL_ARG_WORKSPACE);
}
