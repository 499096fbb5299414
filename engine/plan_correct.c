/* Convolutions that are corrected instead of run, behind an ablated channel.
 *
 * A convolution is linear: where one channel of its input changed, its output changes by that
 * channel's contribution alone. A plan to fork from keeps what that takes: the outputs before the
 * ReLU, float32, and the filters by input channel. A plan to fork to has room for the differences.
 *
 * Corrected outputs are those of the convolution up to rounding, not bit for bit. */
#include "plan_nodes.h"

bool ex_plan_keeps(const ex_plan_core *plan, int node)
{
    return plan->base.spec.keep_nodes && plan->parts->corrects(plan, node);
}

ex_buffer_ref ex_plan_conv_output(const ex_plan_core *plan, int node)
{
    const ex_plan_map *map = &plan->maps[node];
    return ex_plan_keeps(plan, node) ? map->before_relu : map->ref;
}

static ex_status add_own(ex_plan_core *plan, size_t bytes, ex_buffer_ref *out)
{
    EX_TRY(ex_plan_buffer_add(plan, bytes, out));
    ex_plan_buffer_own(plan, *out);
    return EX_OK;
}

ex_status ex_plan_correct_prepare(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    if (!ex_plan_keeps(plan, node))
        return EX_OK;
    map->before_relu = map->ref;
    if (plan->model->nodes[node].relu || map->type != EX_MAP_F32)
        EX_TRY(add_own(plan, ex_plan_map_floats(plan, node) * sizeof(float), &map->before_relu));
    EX_TRY(
        add_own(plan, (size_t)l->channels * l->row * ex_map_type_bytes(map->type), &map->columns));
    return plan->parts->columns(plan, node);
}

/* An update that changes nothing but for the ReLU, and the type. */
static ex_status run_relu(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_channel_change none = {.channel = plan->unchanged, .V = 1};
    const ex_conv_shape shape = ex_plan_conv_of(plan, step->node, plan->base.spec.batch);
    plan->k->conv_channel_update(step->at[0], step->at[1], NULL, &none, &shape,
                                 plan->model->nodes[step->node].relu, NULL, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_correct_forward(ex_plan_core *plan, int node)
{
    const ex_buffer_ref output = ex_plan_conv_output(plan, node);
    ex_plan_map *map = &plan->maps[node];
    if (!plan->parts->corrects(plan, node))
        return EX_OK;
    if (!plan->base.spec.keep_nodes) {
        /* Live where the convolution would run. */
        const ex_conv_shape shape = ex_plan_conv_of(plan, node, plan->base.spec.batch);
        EX_TRY(ex_plan_buffer_add(plan, plan->k->conv_channel_scratch(&shape, 1) * sizeof(float),
                                  &map->differences));
        ex_plan_buffers_use(&plan->buffers, map->differences, plan->step_count - 1);
        return EX_OK;
    }
    if (output.buffer == map->ref.buffer)
        return EX_OK;
    EX_TRY(ex_plan_step_add(plan, "relu", node, run_relu, NULL));
    ex_plan_step_ref(plan, map->ref);
    ex_plan_step_ref(plan, output);
    return EX_OK;
}
