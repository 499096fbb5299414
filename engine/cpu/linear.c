/* Linear nodes: filters are read from the flat vector as they lie, or made bf16 first. The input is
 * flattened first where its layout is another than the rows', and in training where values are
 * dropped. */
#include "cpu/cpu_impl.h"

static ex_dnn_linear linear_of(const ex_plan_core *plan, int node, ex_dnn_pass pass)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    return (ex_dnn_linear){.pass = pass,
                           .N = plan->base.spec.batch,
                           .C = (int)l->row,
                           .K = l->channels,
                           .bf16 = ex_plan_bf16(plan),
                           .wide = plan->maps[node].type == EX_MAP_F32,
                           .relu = pass < EX_DNN_BACKWARD_DATA && plan->model->nodes[node].relu};
}

/* --- filters ---------------------------------------------------------------------------------- */

/* *out = the filters as `op` reads them: a new buffer, or where they lie. */
static ex_status filters_in(ex_plan_core *plan, int node, const ex_dnn_op *op,
                            const ex_dnn_linear *linear, ex_buffer_ref *out)
{
    const size_t bytes = ex_dnn_op_bytes(op, DNNL_ARG_WEIGHTS);
    const ex_buffer_ref flat = ex_plan_param(ex_plan_layer_of(plan, node)->weight);
    ex_dnn_op reorder;
    *out = flat;
    EX_TRY(ex_dnn_linear_weights(&reorder, ex_cpu_engine(plan), op, linear));
    if (!reorder.primitive)
        return EX_OK;
    EX_TRY(ex_cpu_op_add(plan, "filter reorder", node, &reorder));
    EX_TRY(ex_plan_buffer_add(plan, bytes, out));
    ex_cpu_arg(plan, flat, DNNL_ARG_FROM);
    ex_cpu_arg(plan, *out, DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_linear_prepare(ex_plan_core *plan, int node)
{
    const ex_dnn_linear linear = linear_of(plan, node, ex_cpu_forward_pass(plan));
    ex_buffer_ref *weights = &plan->maps[node].weights;
    ex_dnn_op op;
    if (ex_plan_trains(plan))
        return EX_OK;
    EX_TRY(ex_dnn_linear_create(&op, ex_cpu_engine(plan), &linear));
    const ex_status status = filters_in(plan, node, &op, &linear, weights);
    ex_dnn_op_destroy(&op);
    if (status == EX_OK && weights->buffer >= 0)
        ex_plan_buffer_own(plan, *weights);
    return status;
}

/* A primitive of the layer, and in *weights the filters that it reads. */
static ex_status layer_op(ex_plan_core *plan, int node, ex_dnn_pass pass, ex_dnn_op *op,
                          ex_buffer_ref *weights)
{
    const ex_dnn_linear linear = linear_of(plan, node, pass);
    EX_TRY(ex_dnn_linear_create(op, ex_cpu_engine(plan), &linear));
    const ex_status status = filters_in(plan, node, op, &linear, weights);
    if (status != EX_OK)
        ex_dnn_op_destroy(op);
    return status;
}

/* --- the layer -------------------------------------------------------------------------------- */

ex_status ex_cpu_linear_forward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    const ex_dnn_pass pass = ex_cpu_forward_pass(plan);
    const ex_dnn_linear linear = linear_of(plan, node, pass);
    ex_dnn_op op;
    map->inner = plan->maps[n->input].ref; /* the rows that the layer reads */
    if (ex_plan_flattens(plan, node))
        EX_TRY(ex_plan_flatten_forward(plan, node, map->inner, &map->inner));
    EX_TRY(ex_plan_trains(plan) ? layer_op(plan, node, pass, &op, &map->weights)
                                : ex_dnn_linear_create(&op, ex_cpu_engine(plan), &linear));
    EX_TRY(ex_cpu_op_add(plan, "linear forward", node, &op));
    ex_cpu_arg(plan, map->inner, DNNL_ARG_SRC);
    ex_cpu_arg(plan, map->weights, DNNL_ARG_WEIGHTS);
    ex_cpu_arg(plan, ex_plan_param(l->bias), DNNL_ARG_BIAS);
    ex_cpu_arg(plan, map->ref, DNNL_ARG_DST);
    return ex_cpu_op_end(plan);
}

/* The gradient of float32 logits in the type of the products. */
static ex_status narrow(ex_plan_core *plan, int node, ex_buffer_ref *dy)
{
    const size_t n = ex_plan_map_floats(plan, node);
    const ex_buffer_ref wide = *dy;
    if (!ex_plan_bf16(plan) || plan->maps[node].type == EX_MAP_BF16)
        return EX_OK;
    EX_TRY(ex_plan_buffer_add(plan, n * ex_map_type_bytes(EX_MAP_BF16), dy));
    return ex_plan_convert_add(plan, "copy", node, *dy, EX_MAP_BF16, wide, EX_MAP_F32, n);
}

static ex_status weights_backward(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const ex_dnn_linear linear = linear_of(plan, node, EX_DNN_BACKWARD_WEIGHTS);
    ex_dnn_op op;
    EX_TRY(ex_dnn_linear_create(&op, ex_cpu_engine(plan), &linear));
    EX_TRY(ex_cpu_op_add(plan, "linear backward weights", node, &op));
    ex_cpu_arg(plan, plan->maps[node].inner, DNNL_ARG_SRC);
    ex_cpu_arg(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_arg(plan, ex_plan_grad(plan, l->weight), DNNL_ARG_DIFF_WEIGHTS);
    ex_cpu_arg(plan, ex_plan_grad(plan, l->bias), DNNL_ARG_DIFF_BIAS);
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_linear_backward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_buffer_ref dy, dx, weights;
    ex_dnn_op op;
    EX_TRY(ex_plan_gradient_sum(plan, node, n->relu, &dy));
    EX_TRY(narrow(plan, node, &dy));
    if (ex_plan_layer_trained(plan, n->layer))
        EX_TRY(weights_backward(plan, node, dy));
    if (!plan->maps[n->input].wanted)
        return EX_OK;
    EX_TRY(layer_op(plan, node, EX_DNN_BACKWARD_DATA, &op, &weights));
    EX_TRY(ex_cpu_op_add(plan, "linear backward data", node, &op));
    EX_TRY(ex_plan_buffer_add(plan, ex_plan_map_bytes(plan, n->input), &dx));
    ex_cpu_arg(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_arg(plan, weights, DNNL_ARG_WEIGHTS);
    ex_cpu_arg(plan, dx, DNNL_ARG_DIFF_SRC);
    EX_TRY(ex_cpu_op_end(plan));
    if (ex_plan_flattens(plan, node))
        EX_TRY(ex_plan_flatten_backward(plan, node, dx, &dx));
    return ex_plan_gradient_give(plan, n->input, dx, -1);
}
