/* Gradients of tensors that several nodes read.
 *
 * Going backward, each reader leaves its contribution in the tensor's map. When the node's own turn
 * comes all its readers had theirs, and one pass sums the contributions, through the ReLU where
 * the node has one of its own. A contribution that passes a shortcut is added at that point too,
 * so that no tensor of zeros is made for it. */
#include "cuda/cuda_impl.h"

enum { READERS_MAX = sizeof((ex_cuda_map){0}.gradient) / sizeof(ex_cuda_ref) };

bool ex_cuda_layer_trained(const ex_cuda_plan *plan, int layer)
{
    const ex_mask *mask = plan->base.spec.mask;
    return !mask || ex_mask_layer_count(mask, layer) > 0;
}

ex_status ex_cuda_gradient_give(ex_cuda_plan *plan, int node, ex_cuda_ref gradient, int shortcut)
{
    ex_cuda_map *map = &plan->maps[node];
    if (!map->wanted)
        return EX_OK;
    if (map->gradients == READERS_MAX)
        return EX_FAIL(EX_ERR_UNSUPPORTED, "a node of %s is read by more than %d others",
                       plan->model->name, (int)READERS_MAX);
    map->gradient[map->gradients] = gradient;
    map->shortcut[map->gradients++] = shortcut;
    return EX_OK;
}

static ex_status run_zero(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    return EX_CUDA(cudaMemsetAsync(step->at[0], 0, step->n, plan->lane->stream));
}

static ex_status run_sum(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    ex_kernels_cuda.add_relu_bwd(step->at[0], step->at[0], step->at[1], step->at[2], step->n,
                                 step->shape.type, ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status run_shortcut(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_kernels_cuda.shortcut_a_bwd(step->at[0], step->at[1], &step->shape, n->K, n->K, n->stride,
                                   ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status add_shortcut(ex_cuda_plan *plan, int node, ex_cuda_ref sum, ex_cuda_ref dy)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "shortcut backward", node, run_shortcut, &step));
    step->shape = ex_cuda_shape(plan, plan->model->nodes[node].input);
    ex_cuda_step_ref(plan, sum);
    ex_cuda_step_ref(plan, dy);
    return EX_OK;
}

/* sum = (sum + other) where y > 0; other and y may be nothing. */
static ex_status add_sum(ex_cuda_plan *plan, int node, ex_cuda_ref sum, ex_cuda_ref other,
                         ex_cuda_ref y)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "gradient sum", node, run_sum, &step));
    step->n = ex_cuda_map_floats(plan, node);
    step->shape = ex_cuda_shape(plan, node);
    ex_cuda_step_ref(plan, sum);
    ex_cuda_step_ref(plan, other);
    ex_cuda_step_ref(plan, y);
    return EX_OK;
}

/* The first contribution that is a tensor of its own, moved to the front; zeros if there is none.
 */
static ex_status first_tensor(ex_cuda_plan *plan, int node, ex_cuda_ref *out)
{
    ex_cuda_map *map = &plan->maps[node];
    ex_cuda_step *step;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0)
            continue;
        *out = map->gradient[i];
        map->gradients--;
        map->gradient[i] = map->gradient[map->gradients];
        map->shortcut[i] = map->shortcut[map->gradients];
        return EX_OK;
    }
    EX_TRY(ex_cuda_map_add(plan, node, out));
    EX_TRY(ex_cuda_step_add(plan, "zero", node, run_zero, &step));
    step->n = ex_cuda_map_floats(plan, node) * ex_map_type_bytes(plan->maps[node].type);
    ex_cuda_step_ref(plan, *out);
    return EX_OK;
}

ex_status ex_cuda_gradient_pair(ex_cuda_plan *plan, int node, ex_cuda_ref *sum,
                                ex_cuda_ref *waiting)
{
    const ex_cuda_map *map = &plan->maps[node];
    EX_TRY(first_tensor(plan, node, sum));
    *waiting = EX_CUDA_NO_REF;
    for (int i = 0; i < map->gradients; i++) {
        if (map->shortcut[i] >= 0) {
            EX_TRY(add_shortcut(plan, map->shortcut[i], *sum, map->gradient[i]));
        } else {
            if (waiting->buffer != EX_BUFFER_NOTHING)
                EX_TRY(add_sum(plan, node, *sum, *waiting, EX_CUDA_NO_REF));
            *waiting = map->gradient[i];
        }
    }
    return EX_OK;
}

ex_status ex_cuda_gradient_sum(ex_cuda_plan *plan, int node, bool relu, ex_cuda_ref *out)
{
    ex_cuda_ref waiting;
    EX_TRY(ex_cuda_gradient_pair(plan, node, out, &waiting));
    if (relu || waiting.buffer != EX_BUFFER_NOTHING)
        EX_TRY(add_sum(plan, node, *out, waiting, relu ? plan->maps[node].ref : EX_CUDA_NO_REF));
    return EX_OK;
}
