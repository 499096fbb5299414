/* Gradients of tensors that several nodes read.
 *
 * Going backward, each reader leaves its contribution in the tensor's map. When the node's own turn
 * comes all its readers had theirs, and one pass sums the contributions, through the ReLU where
 * the node has one of its own. A contribution that passes a shortcut is added at that point too,
 * so that no tensor of zeros is made for it. */
#include "plan_nodes.h"

bool ex_plan_layer_trained(const ex_plan_core *plan, int layer)
{
    const ex_mask *mask = plan->base.spec.mask;
    return !mask || ex_mask_layer_count(mask, layer) > 0;
}

ex_status ex_plan_gradient_give(ex_plan_core *plan, int node, ex_buffer_ref gradient, int shortcut)
{
    ex_plan_map *map = &plan->maps[node];
    if (!map->wanted)
        return EX_OK;
    if (map->gradients == EX_READERS_MAX)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "a node of %s is read by more than %d others",
                       plan->model->name, EX_READERS_MAX);
    map->gradient[map->gradients] = gradient;
    map->shortcut[map->gradients++] = shortcut;
    return EX_OK;
}

static ex_status run_zero(ex_plan_core *plan, const ex_plan_step *step)
{
    return plan->lane->memory->zero(plan->lane, step->at[0], step->n);
}

static ex_status run_sum(ex_plan_core *plan, const ex_plan_step *step)
{
    plan->k->add_relu_bwd(step->at[0], step->at[0], step->at[1], step->at[2], step->n,
                          step->shape.type, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status run_shortcut(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    plan->k->shortcut_a_bwd(step->at[0], step->at[1], &step->shape, n->K,
                            plan->maps[step->node].block, n->stride, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_shortcut(ex_plan_core *plan, int node, ex_buffer_ref sum, ex_buffer_ref dy)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "shortcut backward", node, run_shortcut, &step));
    step->shape = ex_plan_map_shape(plan, plan->model->nodes[node].input);
    ex_plan_step_ref(plan, sum);
    ex_plan_step_ref(plan, dy);
    return EX_OK;
}

/* sum = (sum + other) where y > 0; other and y may be nothing. */
static ex_status add_sum(ex_plan_core *plan, int node, ex_buffer_ref sum, ex_buffer_ref other,
                         ex_buffer_ref y)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "gradient sum", node, run_sum, &step));
    step->n = ex_plan_map_floats(plan, node);
    step->shape = ex_plan_map_shape(plan, node);
    ex_plan_step_ref(plan, sum);
    ex_plan_step_ref(plan, other);
    ex_plan_step_ref(plan, y);
    return EX_OK;
}

/* The first contribution that is a tensor of its own, moved to the front; zeros if there is none.
 */
static ex_status first_tensor(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    ex_plan_map *map = &plan->maps[node];
    ex_plan_step *step;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0)
            continue;
        *out = map->gradient[i];
        map->gradients--;
        map->gradient[i] = map->gradient[map->gradients];
        map->shortcut[i] = map->shortcut[map->gradients];
        return EX_OK;
    }
    EX_TRY(ex_plan_map_add(plan, node, out));
    EX_TRY(ex_plan_step_add(plan, "zero", node, run_zero, &step));
    step->n = ex_plan_map_bytes(plan, node);
    ex_plan_step_ref(plan, *out);
    return EX_OK;
}

ex_status ex_plan_gradient_pair(ex_plan_core *plan, int node, ex_buffer_ref *sum,
                                ex_buffer_ref *waiting)
{
    const ex_plan_map *map = &plan->maps[node];
    EX_TRY(first_tensor(plan, node, sum));
    *waiting = EX_NO_REF;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0) {
            EX_TRY(add_shortcut(plan, map->shortcut[i], *sum, map->gradient[i]));
        } else {
            if (waiting->buffer != EX_BUFFER_NOTHING)
                EX_TRY(add_sum(plan, node, *sum, *waiting, EX_NO_REF));
            *waiting = map->gradient[i];
        }
    }
    return EX_OK;
}

ex_status ex_plan_gradient_sum(ex_plan_core *plan, int node, bool relu, ex_buffer_ref *out)
{
    ex_buffer_ref waiting;
    EX_TRY(ex_plan_gradient_pair(plan, node, out, &waiting));
    if (relu || waiting.buffer != EX_BUFFER_NOTHING)
        EX_TRY(add_sum(plan, node, *out, waiting, relu ? plan->maps[node].ref : EX_NO_REF));
    return EX_OK;
}

ex_status ex_plan_conv_gradient(ex_plan_core *plan, int node, ex_buffer_ref *dy)
{
    const ex_node *n = &plan->model->nodes[node];
    EX_TRY(ex_plan_gradient_sum(plan, node, n->relu, dy));
    return n->residual >= 0 ? ex_plan_gradient_give(plan, n->residual, *dy, -1) : EX_OK;
}
