/* Batch norm of training plans by the batch's statistics, with residual, ReLU and the sum of
 * gradients fused in. Frozen norms are folded: plan_fold.c. */
#include "plan_nodes.h"

/* The statistics to normalise by. */
static ex_status add_statistics(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    EX_TRY(ex_plan_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->mean));
    return ex_plan_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->var);
}

/* Tensors that both passes name first. */
enum { MEAN, VAR, SCRATCH, FIRST_FREE };

static ex_norm_train norm_of(const ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    return (ex_norm_train){.shape = step->shape,
                           .scale = plan->lane->params + l->scale,
                           .shift = plan->lane->params + l->shift,
                           .mean = step->at[MEAN],
                           .var = step->at[VAR],
                           .eps = EX_NORM_EPS,
                           .relu = step->relu,
                           .scratch = step->at[SCRATCH]};
}

static ex_status add_norm(ex_plan_core *plan, const char *what, int node, ex_plan_call call)
{
    const ex_plan_map *map = &plan->maps[node];
    const ex_map_shape shape = ex_plan_map_shape(plan, node);
    ex_buffer_ref scratch;
    ex_plan_step *step;
    EX_TRY(ex_plan_buffer_add(plan, plan->k->norm_train_scratch(&shape) * sizeof(float), &scratch));
    EX_TRY(ex_plan_step_add(plan, what, node, call, &step));
    step->shape = shape;
    step->relu = plan->model->nodes[node].relu;
    ex_plan_step_ref(plan, map->mean);
    ex_plan_step_ref(plan, map->var);
    ex_plan_step_ref(plan, scratch);
    return EX_OK;
}

static ex_status run_forward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_norm_train n = norm_of(plan, step);
    void *const *at = step->at + FIRST_FREE;
    plan->k->norm_train_fwd(at[0], at[1], at[2], &n, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_norm_forward(ex_plan_core *plan, int node)
{
    const int residual = plan->model->nodes[node].residual;
    const ex_plan_map *map = &plan->maps[node];
    EX_TRY(add_statistics(plan, node));
    EX_TRY(add_norm(plan, "norm forward", node, run_forward));
    ex_plan_step_ref(plan, map->ref);
    ex_plan_step_ref(plan, map->inner);
    ex_plan_step_ref(plan, residual < 0 ? EX_NO_REF : plan->maps[residual].ref);
    return EX_OK;
}

static ex_status run_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    const ex_norm_train n = norm_of(plan, step);
    void *const *at = step->at + FIRST_FREE;
    float *grads = at[5];
    ex_planes planes = {.out = at[6]};
    planes.channel = ex_plan_trained_channels(plan, step->node, &planes.channels);
    const ex_norm_train_gradient g = {.dx = at[0],
                                      .g1 = at[1],
                                      .g2 = at[2],
                                      .x = at[3],
                                      .y = at[4],
                                      .dscale = grads + l->scale,
                                      .dshift = grads + l->shift,
                                      .keep = at[0] != at[1] || at[2],
                                      .planes = planes.out ? &planes : NULL};
    plan->k->norm_train_bwd(&g, &n, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_norm_backward(ex_plan_core *plan, int node, ex_buffer_ref planes,
                                ex_buffer_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_plan_map *map = &plan->maps[node];
    const bool residual = n->residual >= 0;
    ex_buffer_ref g1, g2;
    EX_TRY(ex_plan_gradient_pair(plan, node, &g1, &g2));
    *out = g1;
    if (residual) { /* which wants g itself */
        EX_TRY(ex_plan_gradient_give(plan, n->residual, g1, -1));
        EX_TRY(ex_plan_map_add(plan, node, out));
    }
    EX_TRY(add_norm(plan, "norm backward", node, run_backward));
    ex_plan_step_ref(plan, *out);
    ex_plan_step_ref(plan, g1);
    ex_plan_step_ref(plan, g2);
    ex_plan_step_ref(plan, map->inner);
    ex_plan_step_ref(plan, residual && n->relu ? map->ref : EX_NO_REF);
    ex_plan_step_ref(plan, plan->grads);
    ex_plan_step_ref(plan, planes);
    return EX_OK;
}

static ex_status run_running(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    float *stats = plan->lane->stats;
    plan->k->norm_running(stats + l->mean, stats + l->var, step->at[0], step->at[1],
                          plan->selected ? plan->selected + l->first_channel : NULL, step->n,
                          EX_NORM_MOMENTUM, l->channels, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_norm_update(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_step *step;
    if (n->op != EX_OP_CONV || ex_plan_layer_of(plan, node)->scale == EX_NONE ||
        plan->base.spec.norm == EX_NORM_FROZEN || !ex_plan_layer_trained(plan, n->layer))
        return EX_OK;
    EX_TRY(ex_plan_step_add(plan, "running statistics", node, run_running, &step));
    step->update = true;
    step->n = plan->maps[node].unbiased
                  ? SIZE_MAX
                  : (size_t)plan->base.spec.batch * (size_t)n->out_H * (size_t)n->out_W;
    ex_plan_step_ref(plan, plan->maps[node].mean);
    ex_plan_step_ref(plan, plan->maps[node].var);
    return EX_OK;
}
