/* Linear nodes: filters are read from the flat vector as they lie. The input is flattened first
 * where its layout is another than the rows', and in training where values are dropped. */
#include "cuda/cuda_impl.h"

static ex_blas_product product_of(const ex_plan_core *plan, int node, ex_blas_kind kind)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    return (ex_blas_product){.kind = kind,
                             .N = plan->base.spec.batch,
                             .C = (int)l->row,
                             .K = l->channels,
                             .precision = ex_cuda_precision(plan)};
}

static size_t weight_floats(const ex_layer *l)
{
    return (size_t)l->channels * l->row;
}

static ex_status run_relu(ex_plan_core *plan, const ex_plan_step *step)
{
    plan->k->add_relu_fwd(step->at[0], step->at[0], NULL, step->n, EX_MAP_F32,
                          ex_plan_stream(plan));
    return EX_OK;
}

/* In place, by a kernel of ours: a NaN stays one. */
static ex_status add_relu(ex_plan_core *plan, int node)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "linear ReLU", node, run_relu, &step));
    step->n = ex_plan_map_floats(plan, node);
    ex_plan_step_ref(plan, plan->maps[node].ref);
    return EX_OK;
}

ex_status ex_cuda_linear_forward(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    const ex_blas_product p = product_of(plan, node, EX_BLAS_FWD);
    const int input = plan->model->nodes[node].input;
    const ex_map_type type = plan->maps[input].type;
    map->inner = plan->maps[input].ref; /* the rows that the layer reads */
    if (ex_plan_flattens(plan, node))
        EX_TRY(ex_plan_flatten_forward(plan, node, map->inner, &map->inner));
    if (type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, map->inner, type, ex_plan_map_floats(plan, input),
                                 EX_MAP_F32, &map->inner));
    EX_TRY(ex_cuda_aligned(plan, node, ex_plan_param(l->weight), weight_floats(l), &map->weights));
    EX_TRY(ex_cuda_aligned(plan, node, ex_plan_param(l->bias), (size_t)l->channels, &map->bias));
    EX_TRY(ex_cuda_product_add(plan, "linear forward", node, &p, map->ref, map->inner, map->weights,
                               map->bias));
    return plan->model->nodes[node].relu ? add_relu(plan, node) : EX_OK;
}

static ex_status weights_backward(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const ex_blas_product p = product_of(plan, node, EX_BLAS_WGRAD);
    const ex_buffer_ref weight = ex_plan_grad(plan, l->weight), bias = ex_plan_grad(plan, l->bias);
    const size_t floats = weight_floats(l), channels = (size_t)l->channels;
    ex_buffer_ref dw, db;
    EX_TRY(ex_cuda_aligned_begin(plan, weight, floats, &dw));
    EX_TRY(ex_cuda_aligned_begin(plan, bias, channels, &db));
    EX_TRY(ex_cuda_product_add(plan, "linear backward weights", node, &p, dw, dy,
                               plan->maps[node].inner, db));
    EX_TRY(ex_cuda_aligned_end(plan, node, weight, dw, floats));
    return ex_cuda_aligned_end(plan, node, bias, db, channels);
}

ex_status ex_cuda_linear_backward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_blas_product p = product_of(plan, node, EX_BLAS_DGRAD);
    ex_buffer_ref dy, dx;
    EX_TRY(ex_plan_gradient_sum(plan, node, n->relu, &dy));
    if (ex_plan_layer_trained(plan, n->layer))
        EX_TRY(weights_backward(plan, node, dy));
    if (!plan->maps[n->input].wanted)
        return EX_OK;
    const ex_map_type type = plan->maps[n->input].type;
    const size_t floats = ex_plan_map_floats(plan, n->input);
    EX_TRY(ex_plan_buffer_add(plan, floats * sizeof(float), &dx));
    EX_TRY(ex_cuda_product_add(plan, "linear backward data", node, &p, dx, dy,
                               plan->maps[node].weights, EX_NO_REF));
    if (type != EX_MAP_F32)
        EX_TRY(ex_cuda_converted(plan, node, dx, EX_MAP_F32, floats, type, &dx));
    if (ex_plan_flattens(plan, node))
        EX_TRY(ex_plan_flatten_backward(plan, node, dx, &dx));
    return ex_plan_gradient_give(plan, n->input, dx, -1);
}
