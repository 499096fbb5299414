/* Gradients of tensors that several nodes read.
 *
 * Going backward, each reader leaves its contribution in the tensor's map. When the node's own turn
 * comes all its readers had theirs, and one pass sums the contributions, through the ReLU where
 * the node has one of its own. A contribution that passes a shortcut is added at that point too,
 * so that no tensor of zeros is made for it. */
#include "cpu/cpu_impl.h"

#include <string.h>

enum { READERS_MAX = sizeof((ex_cpu_map){0}.gradient) / sizeof(ex_cpu_ref) };

bool ex_cpu_layer_trained(const ex_cpu_plan *plan, int layer)
{
    const ex_mask *mask = plan->base.spec.mask;
    return !mask || ex_mask_layer_count(mask, layer) > 0;
}

ex_status ex_cpu_gradient_give(ex_cpu_plan *plan, int node, ex_cpu_ref gradient, int shortcut)
{
    ex_cpu_map *map = &plan->maps[node];
    if (!map->wanted)
        return EX_OK;
    if (map->gradients == READERS_MAX)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "a node of %s is read by more than %d others",
                       plan->model->name, (int)READERS_MAX);
    map->gradient[map->gradients] = gradient;
    map->shortcut[map->gradients++] = shortcut;
    return EX_OK;
}

static ex_status run_zero(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    (void)plan;
    memset(step->at[0], 0, step->n * ex_map_type_bytes(step->shape.type));
    return EX_OK;
}

static ex_status run_sum(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    ex_kernels_host.add_relu_bwd(step->at[0], step->at[0], step->at[1], step->at[2], step->n,
                                 step->shape.type, ex_cpu_stream(plan));
    return EX_OK;
}

static ex_status run_shortcut(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    ex_kernels_host.shortcut_a_bwd(step->at[0], step->at[1], &step->shape, step->K, step->block,
                                   step->stride, ex_cpu_stream(plan));
    return EX_OK;
}

static ex_status add_shortcut(ex_cpu_plan *plan, int node, ex_cpu_ref sum, ex_cpu_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "shortcut backward", node, run_shortcut, &step));
    step->shape = ex_cpu_input_shape(plan, n);
    step->K = n->K;
    step->block = plan->maps[node].block;
    step->stride = n->stride;
    ex_cpu_step_ref(plan, sum, 0);
    ex_cpu_step_ref(plan, dy, 0);
    return EX_OK;
}

/* sum = (sum + other) where y > 0; other and y may be nothing. */
static ex_status add_sum(ex_cpu_plan *plan, int node, ex_cpu_ref sum, ex_cpu_ref other,
                         ex_cpu_ref y)
{
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "gradient sum", node, run_sum, &step));
    step->n = ex_cpu_map_floats(plan, node);
    step->shape.type = plan->maps[node].type;
    ex_cpu_step_ref(plan, sum, 0);
    ex_cpu_step_ref(plan, other, 0);
    ex_cpu_step_ref(plan, y, 0);
    return EX_OK;
}

/* The first contribution that is a tensor of its own, moved to the front; zeros if there is none.
 */
static ex_status first_tensor(ex_cpu_plan *plan, int node, ex_cpu_ref *out)
{
    ex_cpu_map *map = &plan->maps[node];
    ex_cpu_step *step;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0)
            continue;
        *out = map->gradient[i];
        map->gradients--;
        map->gradient[i] = map->gradient[map->gradients];
        map->shortcut[i] = map->shortcut[map->gradients];
        return EX_OK;
    }
    EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_bytes(plan, node), out));
    EX_TRY(ex_cpu_step_add(plan, "zero", node, run_zero, &step));
    step->n = ex_cpu_map_floats(plan, node);
    step->shape.type = plan->maps[node].type;
    ex_cpu_step_ref(plan, *out, 0);
    return EX_OK;
}

ex_status ex_cpu_gradient_op(ex_cpu_plan *plan, const char *what, int node, ex_dnn_op *op,
                             ex_cpu_ref dy, ex_cpu_ref with, int arg)
{
    const size_t bytes = ex_dnn_op_bytes(op, DNNL_ARG_DIFF_SRC);
    ex_cpu_ref dx;
    EX_TRY(ex_cpu_op_add(plan, what, node, op));
    EX_TRY(ex_cpu_buffer_add(plan, bytes, &dx));
    ex_cpu_step_ref(plan, dy, DNNL_ARG_DIFF_DST);
    if (with.buffer != EX_CPU_NOTHING)
        ex_cpu_step_ref(plan, with, arg);
    ex_cpu_step_ref(plan, dx, DNNL_ARG_DIFF_SRC);
    EX_TRY(ex_cpu_op_end(plan));
    return ex_cpu_gradient_give(plan, plan->model->nodes[node].input, dx, -1);
}

ex_status ex_cpu_gradient_pair(ex_cpu_plan *plan, int node, ex_cpu_ref *sum, ex_cpu_ref *waiting)
{
    const ex_cpu_map *map = &plan->maps[node];
    EX_TRY(first_tensor(plan, node, sum));
    *waiting = EX_CPU_NO_REF;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0) {
            EX_TRY(add_shortcut(plan, map->shortcut[i], *sum, map->gradient[i]));
        } else {
            if (waiting->buffer != EX_CPU_NOTHING)
                EX_TRY(add_sum(plan, node, *sum, *waiting, EX_CPU_NO_REF));
            *waiting = map->gradient[i];
        }
    }
    return EX_OK;
}

ex_status ex_cpu_gradient_sum(ex_cpu_plan *plan, int node, bool relu, ex_cpu_ref *out)
{
    ex_cpu_ref waiting;
    EX_TRY(ex_cpu_gradient_pair(plan, node, out, &waiting));
    if (relu || waiting.buffer != EX_CPU_NOTHING)
        EX_TRY(add_sum(plan, node, *out, waiting, relu ? plan->maps[node].ref : EX_CPU_NO_REF));
    return EX_OK;
}
