/* Pools by the kernels of the table. */
#include "plan_nodes.h"

ex_pool_shape ex_plan_pool_shape(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_pool_shape){.in = ex_plan_map_shape(plan, n->input),
                           .out_H = n->out_H,
                           .out_W = n->out_W,
                           .R = n->R,
                           .S = n->S,
                           .stride = n->stride,
                           .pad = n->pad};
}

static ex_status run_forward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_pool_shape p = ex_plan_pool_shape(plan, step->node);
    if (plan->model->nodes[step->node].op == EX_OP_MAXPOOL)
        plan->k->maxpool_fwd(step->at[0], step->at[2], step->at[1], &p, ex_plan_stream(plan));
    else
        plan->k->avgpool_fwd(step->at[0], step->at[1], &p, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status run_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_pool_shape p = ex_plan_pool_shape(plan, step->node);
    if (plan->model->nodes[step->node].op == EX_OP_MAXPOOL)
        plan->k->maxpool_bwd(step->at[0], step->at[1], step->at[2], &p, ex_plan_stream(plan));
    else
        plan->k->avgpool_bwd(step->at[0], step->at[1], &p, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_pool(ex_plan_core *plan, int node, const char *what, ex_plan_call call,
                          ex_buffer_ref out, ex_buffer_ref in)
{
    EX_TRY(ex_plan_step_add(plan, what, node, call, NULL));
    ex_plan_step_ref(plan, out);
    ex_plan_step_ref(plan, in);
    ex_plan_step_ref(plan, plan->maps[node].workspace);
    return EX_OK;
}

ex_status ex_plan_pool_index(ex_plan_core *plan, int node)
{
    ex_plan_map *map = &plan->maps[node];
    map->workspace = EX_NO_REF;
    return plan->model->nodes[node].op == EX_OP_MAXPOOL && ex_plan_trains(plan)
               ? ex_plan_buffer_add(plan, ex_plan_map_floats(plan, node), &map->workspace)
               : EX_OK;
}

ex_status ex_plan_pool_forward(ex_plan_core *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    EX_TRY(ex_plan_pool_index(plan, node));
    return add_pool(plan, node, "pool forward", run_forward, plan->maps[node].ref,
                    plan->maps[input].ref);
}

ex_status ex_plan_pool_backward(ex_plan_core *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    ex_buffer_ref dy, dx;
    EX_TRY(ex_plan_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_plan_map_add(plan, input, &dx));
    EX_TRY(add_pool(plan, node, "pool backward", run_backward, dx, dy));
    return ex_plan_gradient_give(plan, input, dx, -1);
}
