/* Norms by fixed statistics, folded into the filters and the bias of their convolution: all of them
 * in evaluation, and in training where norms are frozen.
 *
 * Training folds anew in every step, since the values move. Where a mask leaves most filters as
 * they are, the folded ones are kept: whole layers are folded when the lane's values were changed
 * from outside, and in every step the selected filters alone. */
#include "cpu/cpu_impl.h"

bool ex_cpu_folds(const ex_plan_core *plan, int node)
{
    const ex_plan_spec *spec = &plan->base.spec;
    return plan->model->nodes[node].op == EX_OP_CONV &&
           ex_plan_layer_of(plan, node)->scale != EX_NONE &&
           (spec->use == EX_USE_EVALUATE || spec->norm == EX_NORM_FROZEN);
}

/* --- forward ---------------------------------------------------------------------------------- */

/* `count` filters from the first one on. */
static void fold(const ex_plan_core *plan, const ex_plan_step *step, size_t first, int count)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    const float *params = plan->lane->params, *stats = plan->lane->stats;
    const size_t at = first * l->row;
    float *weight = step->at[0], *bias = step->at[1];
    ex_kernels_host.norm_fold(weight + at, bias + first, params + l->weight + at,
                              l->bias == EX_NONE ? NULL : params + l->bias + first,
                              params + l->scale + first, params + l->shift + first,
                              stats + l->mean + first, stats + l->var + first, EX_NORM_EPS, count,
                              l->row, ex_plan_stream(plan));
}

static ex_status run_fold(ex_plan_core *plan, const ex_plan_step *step)
{
    fold(plan, step, 0, ex_plan_layer_of(plan, step->node)->channels);
    return EX_OK;
}

static ex_status run_fold_selected(ex_plan_core *plan, const ex_plan_step *step)
{
    const int layer = plan->model->nodes[step->node].layer;
    const int32_t *row = plan->rows + plan->model->layers[layer].first_channel;
    for (int i = 0; i < ex_mask_layer_count(plan->base.spec.mask, layer); i++)
        fold(plan, step, (size_t)row[i], 1);
    return EX_OK;
}

static ex_status add_fold(ex_plan_core *plan, int node, ex_plan_call call)
{
    EX_TRY(ex_plan_step_add(plan, "norm fold", node, call, NULL));
    ex_plan_step_ref(plan, plan->maps[node].folded);
    ex_plan_step_ref(plan, plan->maps[node].bias);
    return EX_OK;
}

static bool kept(const ex_plan_core *plan)
{
    return !ex_plan_trains(plan) || plan->base.spec.mask;
}

ex_status ex_cpu_fold_prepare(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    EX_TRY(ex_plan_buffer_add(plan, (size_t)l->channels * l->row * sizeof(float), &map->folded));
    EX_TRY(ex_plan_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->bias));
    if (!kept(plan))
        return EX_OK;
    ex_plan_buffer_own(plan, map->bias);
    /* Those that stay as they are are kept in the convolution's layout instead. */
    plan->buffers.list[map->folded.buffer].own = !ex_cpu_filters_stay(plan, node);
    return add_fold(plan, node, run_fold);
}

ex_status ex_cpu_fold_forward(ex_plan_core *plan, int node)
{
    if (!kept(plan))
        return add_fold(plan, node, run_fold);
    return ex_plan_layer_trained(plan, plan->model->nodes[node].layer)
               ? add_fold(plan, node, run_fold_selected)
               : EX_OK;
}

/* --- backward --------------------------------------------------------------------------------- */

static ex_status run_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const int layer = plan->model->nodes[step->node].layer;
    const ex_layer *l = &plan->model->layers[layer];
    const ex_mask *mask = plan->base.spec.mask;
    const float *params = plan->lane->params, *stats = plan->lane->stats;
    float *grads = step->at[0];
    const bool biased = l->bias != EX_NONE;
    const ex_norm_fold_gradient g = {.dweight = grads + l->weight,
                                     .dscale = grads + l->scale,
                                     .dbias = biased ? grads + l->bias : NULL,
                                     .dshift = grads + l->shift,
                                     .weight = params + l->weight,
                                     .bias = biased ? params + l->bias : NULL,
                                     .scale = params + l->scale,
                                     .mean = stats + l->mean,
                                     .var = stats + l->var,
                                     .eps = EX_NORM_EPS,
                                     .row = l->row};
    ex_kernels_host.norm_fold_bwd(&g, mask ? plan->rows + l->first_channel : NULL,
                                  mask ? ex_mask_layer_count(mask, layer) : l->channels,
                                  ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_fold_backward(ex_plan_core *plan, int node)
{
    EX_TRY(ex_plan_step_add(plan, "norm fold backward", node, run_backward, NULL));
    ex_plan_step_ref(plan, plan->grads);
    return EX_OK;
}
