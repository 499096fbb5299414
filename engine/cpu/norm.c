/* Batch norm of training plans, by the batch's statistics, with residual, ReLU and the sum of
 * gradients fused in. Frozen norms are folded instead (fold.c). */
#include "cpu/cpu_impl.h"

static ex_map_shape shape_of(const ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_map_shape){.N = plan->base.spec.batch,
                          .C = n->K,
                          .H = n->out_H,
                          .W = n->out_W,
                          .block = plan->maps[node].block,
                          .type = plan->maps[node].type};
}

/* The statistics to normalise by: the batch's own. */
static ex_status add_statistics(ex_cpu_plan *plan, int node)
{
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    ex_cpu_map *map = &plan->maps[node];
    EX_TRY(ex_cpu_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->mean));
    return ex_cpu_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->var);
}

/* Tensors that both passes name first. */
enum { MEAN, VAR, SCRATCH, FIRST_FREE };

static ex_norm_train norm_of(const ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_layer *l = ex_cpu_layer_of(plan, step->node);
    return (ex_norm_train){.shape = step->shape,
                           .scale = plan->lane->params + l->scale,
                           .shift = plan->lane->params + l->shift,
                           .mean = step->at[MEAN],
                           .var = step->at[VAR],
                           .eps = EX_NORM_EPS,
                           .relu = step->relu,
                           .scratch = step->at[SCRATCH]};
}

static ex_status add_norm(ex_cpu_plan *plan, const char *what, int node, ex_cpu_call call)
{
    const ex_cpu_map *map = &plan->maps[node];
    const ex_map_shape shape = shape_of(plan, node);
    ex_cpu_ref scratch;
    ex_cpu_step *step;
    EX_TRY(ex_cpu_buffer_add(plan, ex_kernels_host.norm_train_scratch(&shape) * sizeof(float),
                             &scratch));
    EX_TRY(ex_cpu_step_add(plan, what, node, call, &step));
    step->shape = shape;
    step->relu = plan->model->nodes[node].relu;
    ex_cpu_step_ref(plan, map->mean, 0);
    ex_cpu_step_ref(plan, map->var, 0);
    ex_cpu_step_ref(plan, scratch, 0);
    return EX_OK;
}

static ex_status run_forward(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_norm_train n = norm_of(plan, step);
    ex_kernels_host.norm_train_fwd(step->at[FIRST_FREE], step->at[FIRST_FREE + 1],
                                   step->at[FIRST_FREE + 2], &n, ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_norm_forward(ex_cpu_plan *plan, int node)
{
    const int residual = plan->model->nodes[node].residual;
    const ex_cpu_map *map = &plan->maps[node];
    EX_TRY(add_statistics(plan, node));
    EX_TRY(add_norm(plan, "norm forward", node, run_forward));
    ex_cpu_step_ref(plan, map->ref, 0);
    ex_cpu_step_ref(plan, map->inner, 0);
    ex_cpu_step_ref(plan, residual < 0 ? EX_CPU_NO_REF : plan->maps[residual].ref, 0);
    return EX_OK;
}

static ex_status run_backward(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_layer *l = ex_cpu_layer_of(plan, step->node);
    const ex_norm_train n = norm_of(plan, step);
    float *const *at = step->at + FIRST_FREE;
    const ex_norm_train_gradient g = {.dx = at[0],
                                      .g1 = at[1],
                                      .g2 = at[2],
                                      .x = at[3],
                                      .y = at[4],
                                      .dscale = at[5] + l->scale,
                                      .dshift = at[5] + l->shift,
                                      .keep = at[0] != at[1] || at[2]};
    ex_kernels_host.norm_train_bwd(&g, &n, ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_norm_backward(ex_cpu_plan *plan, int node, ex_cpu_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_cpu_map *map = &plan->maps[node];
    const bool residual = n->residual >= 0;
    ex_cpu_ref g1, g2;
    EX_TRY(ex_cpu_gradient_pair(plan, node, &g1, &g2));
    *out = g1;
    if (residual) { /* which wants g itself */
        EX_TRY(ex_cpu_gradient_give(plan, n->residual, g1, -1));
        EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_bytes(plan, node), out));
    }
    EX_TRY(add_norm(plan, "norm backward", node, run_backward));
    ex_cpu_step_ref(plan, *out, 0);
    ex_cpu_step_ref(plan, g1, 0);
    ex_cpu_step_ref(plan, g2, 0);
    ex_cpu_step_ref(plan, map->inner, 0);
    ex_cpu_step_ref(plan, residual && n->relu ? map->ref : EX_CPU_NO_REF, 0);
    ex_cpu_step_ref(plan, plan->grads, 0);
    return EX_OK;
}

static ex_status run_running(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_layer *l = ex_cpu_layer_of(plan, step->node);
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
    if (n->op != EX_OP_CONV || ex_cpu_layer_of(plan, node)->scale == EX_NONE ||
        plan->base.spec.norm == EX_NORM_FROZEN || !ex_cpu_layer_trained(plan, n->layer))
        return EX_OK;
    EX_TRY(ex_cpu_step_add(plan, "running statistics", node, run_running, &step));
    step->update = true;
    step->n = (size_t)plan->base.spec.batch * (size_t)n->out_H * (size_t)n->out_W;
    ex_cpu_step_ref(plan, plan->maps[node].mean, 0);
    ex_cpu_step_ref(plan, plan->maps[node].var, 0);
    return EX_OK;
}
