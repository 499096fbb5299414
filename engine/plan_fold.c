/* Norms by fixed statistics, folded into the filters and the bias of their convolution: all of them
 * in evaluation, and in training where norms are frozen.
 *
 * Training folds anew in every step, since the values move. Where a mask leaves most filters as
 * they are, the folded ones are kept: whole layers are folded when the lane's values were changed
 * from outside, and in every step the selected filters alone. */
#include "plan_nodes.h"

bool ex_plan_folds(const ex_plan_core *plan, int node)
{
    const ex_plan_spec *spec = &plan->base.spec;
    return plan->model->nodes[node].op == EX_OP_CONV &&
           ex_plan_layer_of(plan, node)->scale != EX_NONE &&
           (spec->use == EX_USE_EVALUATE || spec->norm == EX_NORM_FROZEN);
}

bool ex_plan_refolds(const ex_plan_core *plan, int node)
{
    return ex_plan_trains(plan) && ex_plan_folds(plan, node) &&
           ex_plan_layer_trained(plan, plan->model->nodes[node].layer);
}

size_t ex_plan_bias_at(const ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    return ex_plan_folds(plan, node) ? l->shift : l->bias;
}

/* --- forward ---------------------------------------------------------------------------------- */

static void fold(const ex_plan_core *plan, const ex_plan_step *step, const int32_t *channel,
                 int channels)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    const float *params = plan->lane->params, *stats = plan->lane->stats;
    plan->k->norm_fold(step->at[0], step->at[1], params + l->weight,
                       l->bias == EX_NONE ? NULL : params + l->bias, params + l->scale,
                       params + l->shift, stats + l->mean, stats + l->var, EX_NORM_EPS, channel,
                       channels, l->row, ex_plan_stream(plan));
}

static ex_status run_fold(ex_plan_core *plan, const ex_plan_step *step)
{
    fold(plan, step, NULL, ex_plan_layer_of(plan, step->node)->channels);
    return EX_OK;
}

static ex_status run_fold_changed(ex_plan_core *plan, const ex_plan_step *step)
{
    int channels;
    const int32_t *channel = ex_plan_trained_channels(plan, step->node, &channels);
    fold(plan, step, channel, channels);
    return EX_OK;
}

static ex_status add_fold(ex_plan_core *plan, int node, ex_plan_call call)
{
    EX_TRY(ex_plan_step_add(plan, "norm fold", node, call, NULL));
    ex_plan_step_ref(plan, plan->maps[node].folded);
    ex_plan_step_ref(plan, plan->maps[node].bias);
    return EX_OK;
}

ex_status ex_plan_fold_prepare(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    EX_TRY(ex_plan_buffer_add(plan, (size_t)l->channels * l->row * sizeof(float), &map->folded));
    EX_TRY(ex_plan_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->bias));
    if (ex_plan_trains(plan) && !plan->base.spec.mask)
        return EX_OK;
    ex_plan_buffer_own(plan, map->bias);
    /* Evaluation keeps the filters as the convolution reads them instead, and so may a back end
     * where a mask leaves the layer as it is: it takes this back then. */
    plan->buffers.list[map->folded.buffer].own = ex_plan_trains(plan);
    return add_fold(plan, node, run_fold);
}

ex_status ex_plan_fold_forward(ex_plan_core *plan, int node)
{
    return ex_plan_refolds(plan, node) ? add_fold(plan, node, run_fold_changed) : EX_OK;
}

/* --- backward --------------------------------------------------------------------------------- */

static ex_status run_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
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
    int channels;
    const int32_t *channel = ex_plan_trained_channels(plan, step->node, &channels);
    plan->k->norm_fold_bwd(&g, channel, channels, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_fold_backward(ex_plan_core *plan, int node)
{
    EX_TRY(ex_plan_step_add(plan, "norm fold backward", node, run_backward, NULL));
    ex_plan_step_ref(plan, plan->grads);
    return EX_OK;
}
