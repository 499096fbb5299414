/* Linear nodes: filters are read from the flat vector as they lie. The input is flattened first
 * where its layout is another than the rows', and in training where values are dropped. */
#include "cuda/cuda_impl.h"

static ex_blas_product product_of(const ex_cuda_plan *plan, int node, ex_blas_kind kind)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    return (ex_blas_product){.kind = kind,
                             .N = plan->base.spec.batch,
                             .C = (int)l->row,
                             .K = l->channels,
                             .relu = kind == EX_BLAS_FWD && plan->model->nodes[node].relu,
                             .precision = ex_cuda_precision(plan)};
}

static size_t weight_floats(const ex_layer *l)
{
    return (size_t)l->channels * l->row;
}

/* --- flattening and dropout ------------------------------------------------------------------- */

static bool flattens(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_cuda_trains(plan) && n->dropout > 0.0f) || (n->H * n->W != 1 && n->C != 1);
}

static ex_status run_flatten(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_dropout d = ex_cuda_dropout(plan, step->node);
    ex_kernels_cuda.flatten_fwd(step->at[0], step->at[1], &step->shape, d.rate > 0.0f ? &d : NULL,
                                ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status run_flatten_backward(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_dropout d = ex_cuda_dropout(plan, step->node);
    ex_kernels_cuda.flatten_bwd(step->at[0], step->at[1], &step->shape, d.rate > 0.0f ? &d : NULL,
                                ex_cuda_stream(plan));
    return EX_OK;
}

/* A step from `in` to *out, a new buffer of as many floats. */
static ex_status add_flatten(ex_cuda_plan *plan, int node, const char *what, ex_cuda_call call,
                             ex_cuda_ref in, ex_cuda_ref *out)
{
    const int input = plan->model->nodes[node].input;
    ex_cuda_step *step;
    EX_TRY(ex_cuda_map_add(plan, input, out));
    EX_TRY(ex_cuda_step_add(plan, what, node, call, &step));
    step->shape = ex_cuda_shape(plan, input);
    ex_cuda_step_ref(plan, *out);
    ex_cuda_step_ref(plan, in);
    return EX_OK;
}

/* --- the layer -------------------------------------------------------------------------------- */

ex_status ex_cuda_linear_forward(ex_cuda_plan *plan, int node)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    const ex_blas_product p = product_of(plan, node, EX_BLAS_FWD);
    const int input = plan->model->nodes[node].input;
    const ex_map_type type = plan->maps[input].type;
    map->inner = plan->maps[input].ref; /* the rows that the layer reads */
    if (flattens(plan, node))
        EX_TRY(add_flatten(plan, node, "flatten", run_flatten, map->inner, &map->inner));
    if (type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, map->inner, type, ex_cuda_map_floats(plan, input),
                                 EX_MAP_F32, &map->inner));
    EX_TRY(ex_cuda_aligned(plan, node, ex_cuda_param(l->weight), weight_floats(l), &map->weights));
    EX_TRY(ex_cuda_aligned(plan, node, ex_cuda_param(l->bias), (size_t)l->channels, &map->bias));
    return ex_cuda_product_add(plan, "linear forward", node, &p, map->ref, map->inner, map->weights,
                               map->bias);
}

static ex_status weights_backward(ex_cuda_plan *plan, int node, ex_cuda_ref dy)
{
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    const ex_blas_product p = product_of(plan, node, EX_BLAS_WGRAD);
    const ex_cuda_ref weight = ex_cuda_grad(plan, l->weight), bias = ex_cuda_grad(plan, l->bias);
    const size_t floats = weight_floats(l), channels = (size_t)l->channels;
    ex_cuda_ref dw, db;
    EX_TRY(ex_cuda_aligned_begin(plan, weight, floats, &dw));
    EX_TRY(ex_cuda_aligned_begin(plan, bias, channels, &db));
    EX_TRY(ex_cuda_product_add(plan, "linear backward weights", node, &p, dw, dy,
                               plan->maps[node].inner, db));
    EX_TRY(ex_cuda_aligned_end(plan, node, weight, dw, floats));
    return ex_cuda_aligned_end(plan, node, bias, db, channels);
}

ex_status ex_cuda_linear_backward(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_blas_product p = product_of(plan, node, EX_BLAS_DGRAD);
    ex_cuda_ref dy, dx;
    EX_TRY(ex_cuda_gradient_sum(plan, node, n->relu, &dy));
    if (ex_cuda_layer_trained(plan, n->layer))
        EX_TRY(weights_backward(plan, node, dy));
    if (!plan->maps[n->input].wanted)
        return EX_OK;
    const ex_map_type type = plan->maps[n->input].type;
    const size_t floats = ex_cuda_map_floats(plan, n->input);
    EX_TRY(ex_cuda_buffer_add(plan, floats * sizeof(float), &dx));
    EX_TRY(ex_cuda_product_add(plan, "linear backward data", node, &p, dx, dy,
                               plan->maps[node].weights, EX_CUDA_NO_REF));
    if (type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, dx, EX_MAP_F32, floats, type, &dx));
    if (flattens(plan, node))
        EX_TRY(add_flatten(plan, node, "flatten backward", run_flatten_backward, dx, &dx));
    return ex_cuda_gradient_give(plan, n->input, dx, -1);
}
