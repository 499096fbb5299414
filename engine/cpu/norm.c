/* Batch norm of training plans, with the ReLU fused where no residual comes between. */
#include "cpu/cpu_impl.h"

static const ex_layer *layer_of(const ex_cpu_plan *plan, int node)
{
    return &plan->model->layers[plan->model->nodes[node].layer];
}

static ex_dnn_norm norm_of(const ex_cpu_plan *plan, int node, bool backward)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_dnn_norm){
        .shape = {.N = plan->base.spec.batch,
                  .C = n->K,
                  .H = n->out_H,
                  .W = n->out_W,
                  .block = plan->maps[node].block},
        .backward = backward,
        .frozen = plan->base.spec.norm == EX_NORM_FROZEN,
        .relu = n->relu && n->residual < 0,
        .eps = EX_NORM_EPS,
    };
}

/* The statistics to normalise by: the batch's own, or the lane's. */
static ex_status add_statistics(ex_cpu_plan *plan, int node)
{
    const ex_layer *l = layer_of(plan, node);
    ex_cpu_map *map = &plan->maps[node];
    if (plan->base.spec.norm == EX_NORM_FROZEN) {
        map->mean = (ex_cpu_ref){.buffer = EX_CPU_STATS, .offset = l->mean};
        map->var = (ex_cpu_ref){.buffer = EX_CPU_STATS, .offset = l->var};
        return EX_OK;
    }
    EX_TRY(ex_cpu_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->mean));
    return ex_cpu_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->var);
}

ex_status ex_cpu_norm_forward(ex_cpu_plan *plan, int node)
{
    const ex_layer *l = layer_of(plan, node);
    const ex_dnn_norm n = norm_of(plan, node, false);
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_op op;
    EX_TRY(add_statistics(plan, node));
    EX_TRY(ex_dnn_norm_create(&op, plan->lane->device->engine, &n));
    const size_t workspace = ex_dnn_op_bytes(&op, DNNL_ARG_WORKSPACE);
    EX_TRY(ex_cpu_op_add(plan, "norm forward", node, &op));
    ex_cpu_step_ref(plan, map->inner, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, map->mean, DNNL_ARG_MEAN);
    ex_cpu_step_ref(plan, map->var, DNNL_ARG_VARIANCE);
    ex_cpu_step_ref(plan, ex_cpu_param(l->scale), DNNL_ARG_SCALE);
    ex_cpu_step_ref(plan, ex_cpu_param(l->shift), DNNL_ARG_SHIFT);
    ex_cpu_step_ref(plan, map->ref, DNNL_ARG_DST);
    map->workspace.buffer = EX_CPU_NOTHING;
    if (workspace) {
        EX_TRY(ex_cpu_buffer_add(plan, workspace, &map->workspace));
        ex_cpu_step_ref(plan, map->workspace, DNNL_ARG_WORKSPACE);
    }
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_norm_backward(ex_cpu_plan *plan, int node, ex_cpu_ref *out)
{
    const ex_node *node_ = &plan->model->nodes[node];
    const ex_layer *l = layer_of(plan, node);
    const ex_dnn_norm n = norm_of(plan, node, true);
    const ex_cpu_map *map = &plan->maps[node];
    ex_cpu_ref dy;
    ex_dnn_op op;
    EX_TRY(ex_cpu_gradient_sum(plan, node, node_->relu && !n.relu, &dy));
    if (node_->residual >= 0)
        EX_TRY(ex_cpu_gradient_give(plan, node_->residual, dy, -1));
    EX_TRY(ex_dnn_norm_create(&op, plan->lane->device->engine, &n));
    EX_TRY(ex_cpu_op_add(plan, "norm backward", node, &op));
    EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_floats(plan, node) * sizeof(float), out));
    ex_cpu_step_ref(plan, map->inner, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, map->mean, DNNL_ARG_MEAN);
    ex_cpu_step_ref(plan, map->var, DNNL_ARG_VARIANCE);
    ex_cpu_step_ref(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_step_ref(plan, ex_cpu_param(l->scale), DNNL_ARG_SCALE);
    ex_cpu_step_ref(plan, ex_cpu_param(l->shift), DNNL_ARG_SHIFT);
    ex_cpu_step_ref(plan, *out, DNNL_ARG_DIFF_SRC);
    ex_cpu_step_ref(plan, ex_cpu_grad(plan, l->scale), DNNL_ARG_DIFF_SCALE);
    ex_cpu_step_ref(plan, ex_cpu_grad(plan, l->shift), DNNL_ARG_DIFF_SHIFT);
    if (map->workspace.buffer != EX_CPU_NOTHING)
        ex_cpu_step_ref(plan, map->workspace, DNNL_ARG_WORKSPACE);
    return ex_cpu_op_end(plan);
}

static ex_status run_running(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_layer *l = layer_of(plan, step->node);
    const ex_mask *mask = plan->base.spec.mask;
    float *stats = plan->lane->stats;
    const uint8_t *selected =
        mask ? ex_mask_layer(mask, plan->model->nodes[step->node].layer) : NULL;
    ex_kernels_host.norm_running(stats + l->mean, stats + l->var, step->at[0], step->at[1],
                                 selected, step->n, EX_NORM_MOMENTUM, l->channels,
                                 ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_norm_update(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_step *step;
    if (n->op != EX_OP_CONV || layer_of(plan, node)->scale == EX_NONE ||
        plan->base.spec.norm == EX_NORM_FROZEN || !ex_cpu_layer_trained(plan, n->layer))
        return EX_OK;
    EX_TRY(ex_cpu_step_add(plan, "running statistics", node, run_running, &step));
    step->update = true;
    step->n = (size_t)plan->base.spec.batch * (size_t)n->out_H * (size_t)n->out_W;
    ex_cpu_step_ref(plan, plan->maps[node].mean, 0);
    ex_cpu_step_ref(plan, plan->maps[node].var, 0);
    return EX_OK;
}
