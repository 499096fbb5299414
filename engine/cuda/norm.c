/* Batch norm of training plans, with residual, ReLU and the sum of gradients fused in. */
#include "cuda/cuda_impl.h"

/* The statistics to normalise by: the batch's own, or the lane's. */
static ex_status add_statistics(ex_cuda_plan *plan, int node)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    if (plan->base.spec.norm == EX_NORM_FROZEN) {
        map->mean = (ex_cuda_ref){.buffer = EX_BUFFER_STATS, .offset = l->mean};
        map->var = (ex_cuda_ref){.buffer = EX_BUFFER_STATS, .offset = l->var};
        return EX_OK;
    }
    EX_TRY(ex_cuda_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->mean));
    return ex_cuda_buffer_add(plan, (size_t)l->channels * sizeof(float), &map->var);
}

/* Tensors that both passes name first. */
enum { MEAN, VAR, SCRATCH, FIRST_FREE };

static ex_norm_train norm_of(const ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_layer *l = ex_cuda_layer_of(plan, step->node);
    return (ex_norm_train){.shape = step->shape,
                           .scale = plan->lane->params + l->scale,
                           .shift = plan->lane->params + l->shift,
                           .mean = step->at[MEAN],
                           .var = step->at[VAR],
                           .eps = EX_NORM_EPS,
                           .frozen = plan->base.spec.norm == EX_NORM_FROZEN,
                           .relu = step->relu,
                           .scratch = step->at[SCRATCH]};
}

static ex_status add_norm(ex_cuda_plan *plan, const char *what, int node, ex_cuda_call call)
{
    const ex_cuda_map *map = &plan->maps[node];
    const ex_map_shape shape = ex_cuda_shape(plan, node);
    ex_cuda_ref scratch;
    ex_cuda_step *step;
    EX_TRY(ex_cuda_buffer_add(plan, ex_kernels_cuda.norm_train_scratch(&shape) * sizeof(float),
                              &scratch));
    EX_TRY(ex_cuda_step_add(plan, what, node, call, &step));
    step->shape = shape;
    step->relu = plan->model->nodes[node].relu;
    ex_cuda_step_ref(plan, map->mean);
    ex_cuda_step_ref(plan, map->var);
    ex_cuda_step_ref(plan, scratch);
    return EX_OK;
}

static ex_status run_forward(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_norm_train n = norm_of(plan, step);
    ex_kernels_cuda.norm_train_fwd(step->at[FIRST_FREE], step->at[FIRST_FREE + 1],
                                   step->at[FIRST_FREE + 2], &n, ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_norm_forward(ex_cuda_plan *plan, int node)
{
    const int residual = plan->model->nodes[node].residual;
    const ex_cuda_map *map = &plan->maps[node];
    bool library;
    EX_TRY(ex_cuda_norm_library_forward(plan, node, &library));
    if (library)
        return EX_OK;
    EX_TRY(add_statistics(plan, node));
    EX_TRY(add_norm(plan, "norm forward", node, run_forward));
    ex_cuda_step_ref(plan, map->ref);
    ex_cuda_step_ref(plan, map->inner);
    ex_cuda_step_ref(plan, residual < 0 ? EX_CUDA_NO_REF : plan->maps[residual].ref);
    return EX_OK;
}

static ex_status run_backward(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_layer *l = ex_cuda_layer_of(plan, step->node);
    const ex_norm_train n = norm_of(plan, step);
    void *const *at = step->at + FIRST_FREE;
    float *grads = at[5];
    const ex_norm_train_gradient g = {.dx = at[0],
                                      .g1 = at[1],
                                      .g2 = at[2],
                                      .x = at[3],
                                      .y = at[4],
                                      .dscale = grads + l->scale,
                                      .dshift = grads + l->shift,
                                      .keep = at[0] != at[1] || at[2]};
    ex_kernels_cuda.norm_train_bwd(&g, &n, ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_norm_backward(ex_cuda_plan *plan, int node, ex_cuda_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_cuda_map *map = &plan->maps[node];
    const bool residual = n->residual >= 0;
    ex_cuda_ref g1, g2;
    if (map->library)
        return ex_cuda_norm_library_backward(plan, node, out);
    EX_TRY(ex_cuda_gradient_pair(plan, node, &g1, &g2));
    *out = g1;
    if (residual) { /* which wants g itself */
        EX_TRY(ex_cuda_gradient_give(plan, n->residual, g1, -1));
        EX_TRY(ex_cuda_map_add(plan, node, out));
    }
    EX_TRY(add_norm(plan, "norm backward", node, run_backward));
    ex_cuda_step_ref(plan, *out);
    ex_cuda_step_ref(plan, g1);
    ex_cuda_step_ref(plan, g2);
    ex_cuda_step_ref(plan, map->inner);
    ex_cuda_step_ref(plan, residual && n->relu ? map->ref : EX_CUDA_NO_REF);
    ex_cuda_step_ref(plan, plan->grads);
    return EX_OK;
}

static ex_status run_running(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_layer *l = ex_cuda_layer_of(plan, step->node);
    float *stats = plan->lane->stats;
    const uint8_t *selected = plan->selected ? plan->selected + l->first_channel : NULL;
    ex_kernels_cuda.norm_running(stats + l->mean, stats + l->var, step->at[0], step->at[1],
                                 selected, step->n, EX_NORM_MOMENTUM, l->channels,
                                 ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_norm_update(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cuda_step *step;
    if (n->op != EX_OP_CONV || ex_cuda_layer_of(plan, node)->scale == EX_NONE ||
        plan->base.spec.norm == EX_NORM_FROZEN || !ex_cuda_layer_trained(plan, n->layer))
        return EX_OK;
    EX_TRY(ex_cuda_step_add(plan, "running statistics", node, run_running, &step));
    step->update = true;
    /* The library's variance is unbiased already: as of a batch without end. */
    step->n = plan->maps[node].library
                  ? SIZE_MAX
                  : (size_t)plan->base.spec.batch * (size_t)n->out_H * (size_t)n->out_W;
    ex_cuda_step_ref(plan, plan->maps[node].mean);
    ex_cuda_step_ref(plan, plan->maps[node].var);
    return EX_OK;
}
