/* Convolution nodes.
 *
 * Training: convolution, norm (norm.c), residual. Evaluation, and training with frozen norms: the
 * norm is folded into filters and bias (fold.c), and convolution, bias, residual and ReLU are one
 * primitive. */
#include "cpu/cpu_impl.h"

ex_conv_shape ex_cpu_conv_shape(const ex_cpu_plan *plan, int node, int images)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_map_shape in = ex_cpu_input_shape(plan, n);
    in.N = images;
    return ex_plan_conv_shape(n, in, plan->maps[node].block);
}

static ex_dnn_conv conv_of(const ex_cpu_plan *plan, int node, ex_dnn_pass pass)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_dnn_conv){
        .pass = pass,
        .N = plan->base.spec.batch,
        .C = n->C,
        .K = n->K,
        .window = ex_cpu_window_of(n),
        .src_block = plan->maps[n->input].block,
        .dst_block = plan->maps[node].block,
        .bf16 = ex_cpu_bf16(plan),
    };
}

static ex_dnn_filter filter_of(const ex_node *n)
{
    return (ex_dnn_filter){.K = n->K, .C = n->C, .R = n->R, .S = n->S};
}

/* The op of the fastest algorithm; none where that is TILES. */
static ex_status conv_op(ex_cpu_plan *plan, ex_dnn_conv *c, ex_dnn_op *op)
{
    ex_cpu_lane *lane = plan->lane;
    *op = (ex_dnn_op){0};
    EX_TRY(ex_cpu_choose(lane, c));
    return c->algorithm == EX_DNN_TILES ? EX_OK : ex_dnn_conv_create(op, lane->device->engine, c);
}

ex_status ex_cpu_conv_layouts(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_map *in = &plan->maps[n->input], *map = &plan->maps[node];
    ex_dnn_op op;
    if (n->residual >= 0)
        map->block = plan->maps[n->residual].block;
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_FORWARD_TRAIN);
    EX_TRY(ex_dnn_conv_create(&op, plan->lane->device->engine, &c));
    if (!in->block)
        in->block = ex_dnn_op_block(&op, DNNL_ARG_SRC, n->C);
    if (!map->block)
        map->block = ex_dnn_op_block(&op, DNNL_ARG_DST, n->K);
    ex_dnn_op_destroy(&op);
    /* What no block describes (padded channels) is kept plain. */
    in->block = in->block ? in->block : 1;
    map->block = map->block ? map->block : 1;
    return EX_OK;
}

/* A step that reorders filters from `in` into *out, a new buffer of so many bytes. */
static ex_status add_reorder(ex_cpu_plan *plan, int node, ex_dnn_op *reorder, ex_cpu_ref in,
                             size_t bytes, ex_cpu_ref *out)
{
    EX_TRY(ex_cpu_op_add(plan, "filter reorder", node, reorder));
    EX_TRY(ex_cpu_buffer_add(plan, bytes, out));
    ex_cpu_step_ref(plan, in, DNNL_ARG_FROM);
    ex_cpu_step_ref(plan, *out, DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

/* *out = the layer's filters in the layout that `op` of `c` reads; where they lie, if they lie so.
 */
static ex_status filter_in(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, const ex_dnn_op *op,
                           ex_cpu_ref *out)
{
    if (c->algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_filters(plan, node, c, out);
    ex_cpu_ref flat = plan->maps[node].folded;
    const size_t bytes = ex_dnn_op_bytes(op, DNNL_ARG_WEIGHTS);
    const dnnl_engine_t engine = plan->lane->device->engine;
    ex_dnn_filter f = filter_of(&plan->model->nodes[node]);
    ex_dnn_op reorder;
    const ex_status status = ex_dnn_filter_in(&reorder, engine, op, DNNL_ARG_WEIGHTS, &f);
    if (status == EX_ERR_UNSUPPORTED) {
        ex_dnn_op plain;
        EX_TRY(ex_dnn_filter_plain(&plain, engine, &f));
        EX_TRY(add_reorder(plan, node, &plain, flat,
                           ex_cpu_layer_of(plan, node)->row * sizeof(float) * (size_t)f.K, &flat));
        f.plain = true;
        EX_TRY(ex_dnn_filter_in(&reorder, engine, op, DNNL_ARG_WEIGHTS, &f));
    } else {
        EX_TRY(status);
    }
    *out = flat;
    return reorder.primitive ? add_reorder(plan, node, &reorder, flat, bytes, out) : EX_OK;
}

/* The convolution into `out` by `op` of `c`, which the plan takes over. */
static ex_status add_conv(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_dnn_op *op,
                          ex_cpu_ref out)
{
    const ex_cpu_map *map = &plan->maps[node];
    if (c->algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_forward(plan, node, c, out);
    EX_TRY(ex_cpu_op_add(plan, "conv forward", node, op));
    ex_cpu_step_ref(plan, plan->maps[plan->model->nodes[node].input].ref, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, map->weights, DNNL_ARG_WEIGHTS);
    if (c->bias)
        ex_cpu_step_ref(plan, map->bias, DNNL_ARG_BIAS);
    ex_cpu_step_ref(plan, out, DNNL_ARG_DST);
    return ex_cpu_op_end(plan);
}

/* --- evaluation ------------------------------------------------------------------------------- */

static ex_dnn_conv folded_of(const ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    ex_dnn_conv c = conv_of(plan, node, ex_cpu_forward_pass(plan));
    c.bias = l->scale != EX_NONE || l->bias != EX_NONE;
    c.sum = n->residual >= 0;
    c.wide = ex_cpu_conv_output(plan, node).buffer != plan->maps[node].ref.buffer;
    c.relu = n->relu && !c.wide;
    return c;
}

/* The values that the convolution has in common with its layer, or the folded ones. */
static ex_status set_values(ex_cpu_plan *plan, int node)
{
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    ex_cpu_map *map = &plan->maps[node];
    if (ex_cpu_folds(plan, node))
        return ex_cpu_fold_prepare(plan, node);
    map->folded = ex_cpu_param(l->weight);
    map->bias = l->bias == EX_NONE ? EX_CPU_NO_REF : ex_cpu_param(l->bias);
    return EX_OK;
}

ex_status ex_cpu_conv_prepare(ex_cpu_plan *plan, int node)
{
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_op op;
    ex_status status;
    EX_TRY(set_values(plan, node));
    if (plan->base.spec.use == EX_USE_TRAIN)
        return EX_OK;
    EX_TRY(ex_cpu_correct_prepare(plan, node));
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_filters(plan, node);
    ex_dnn_conv c = folded_of(plan, node);
    EX_TRY(conv_op(plan, &c, &op));
    EX_TRY_GOTO(filter_in(plan, node, &c, &op, &map->weights), done);
    if (map->weights.buffer >= 0)
        plan->buffers.list[map->weights.buffer].own = true;
done:
    ex_dnn_op_destroy(&op);
    return status;
}

/* Convolution, bias, residual and ReLU as `op` of `c`, which the plan takes over. */
static ex_status add_folded(ex_cpu_plan *plan, int node, const ex_dnn_conv *c, ex_dnn_op *op)
{
    EX_TRY(add_conv(plan, node, c, op, ex_cpu_conv_output(plan, node)));
    return ex_cpu_correct_forward(plan, node);
}

static ex_status small_folded(ex_cpu_plan *plan, int node, const ex_dnn_conv *c)
{
    if (plan->base.spec.use == EX_USE_TRAIN)
        EX_TRY(ex_cpu_small_filters(plan, node));
    EX_TRY(ex_cpu_small_forward(plan, node, c, ex_cpu_conv_output(plan, node)));
    return ex_cpu_correct_forward(plan, node);
}

static ex_status folded_forward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_map *map = &plan->maps[node];
    const bool trains = plan->base.spec.use == EX_USE_TRAIN;
    ex_dnn_conv c = folded_of(plan, node);
    ex_dnn_op op;
    const ex_cpu_ref output = ex_cpu_conv_output(plan, node);
    if (trains)
        EX_TRY(ex_cpu_fold_forward(plan, node));
    if (ex_cpu_conv_is_small(plan, node))
        return small_folded(plan, node, &c);
    if (n->residual >= 0 && output.buffer != plan->maps[n->residual].ref.buffer)
        EX_TRY(ex_cpu_copy_add(plan, node, output, c.wide ? EX_MAP_F32 : map->type,
                               plan->maps[n->residual].ref, plan->maps[n->residual].type,
                               ex_cpu_map_floats(plan, node)));
    EX_TRY(conv_op(plan, &c, &op));
    const ex_status status = trains ? filter_in(plan, node, &c, &op, &map->weights) : EX_OK;
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    return add_folded(plan, node, &c, &op);
}

/* --- training --------------------------------------------------------------------------------- */

static ex_status run_residual(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    if (step->relu)
        ex_kernels_host.add_relu_fwd(step->at[0], step->at[0], step->at[1], step->n,
                                     step->shape.type, ex_cpu_stream(plan));
    else
        ex_kernels_host.add_relu_bwd(step->at[0], step->at[0], step->at[1], NULL, step->n,
                                     step->shape.type, ex_cpu_stream(plan));
    return EX_OK;
}

static ex_status residual_add(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "residual", node, run_residual, &step));
    step->n = ex_cpu_map_floats(plan, node);
    step->shape.type = plan->maps[node].type;
    step->relu = n->relu;
    ex_cpu_step_ref(plan, plan->maps[node].ref, 0);
    ex_cpu_step_ref(plan, plan->maps[n->residual].ref, 0);
    return EX_OK;
}

/* Convolution and bias, into the map's inner value. */
static ex_status train_conv(ex_cpu_plan *plan, int node, ex_dnn_conv *c)
{
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_op op;
    if (ex_cpu_conv_is_small(plan, node)) {
        EX_TRY(ex_cpu_small_filters(plan, node));
        return ex_cpu_small_forward(plan, node, c, map->inner);
    }
    EX_TRY(conv_op(plan, c, &op));
    const ex_status status = filter_in(plan, node, c, &op, &map->weights);
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    return add_conv(plan, node, c, &op, map->inner);
}

static ex_status train_forward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    const bool norm = l->scale != EX_NONE;
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_FORWARD_TRAIN);
    c.bias = l->bias != EX_NONE;
    c.relu = n->relu && !norm && n->residual < 0;
    map->inner = map->ref;
    if (norm)
        EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_bytes(plan, node), &map->inner));
    EX_TRY(train_conv(plan, node, &c));
    if (norm)
        return ex_cpu_norm_forward(plan, node);
    return n->residual >= 0 ? residual_add(plan, node) : EX_OK;
}

ex_status ex_cpu_conv_forward(ex_cpu_plan *plan, int node)
{
    return plan->base.spec.use == EX_USE_EVALUATE || ex_cpu_folds(plan, node)
               ? folded_forward(plan, node)
               : train_forward(plan, node);
}

static ex_status weights_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    const ex_dnn_filter f = filter_of(n);
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_BACKWARD_WEIGHTS);
    ex_cpu_ref dw = ex_cpu_grad(plan, l->weight);
    ex_dnn_op op, reorder;
    const size_t dbias = ex_cpu_folds(plan, node) ? l->shift : l->bias;
    c.bias = dbias != EX_NONE;
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_weights(plan, node, dy, dbias);
    EX_TRY(conv_op(plan, &c, &op));
    const size_t bytes = ex_dnn_op_bytes(&op, DNNL_ARG_DIFF_WEIGHTS);
    const ex_status status =
        ex_dnn_filter_out(&reorder, plan->lane->device->engine, &op, DNNL_ARG_DIFF_WEIGHTS, &f);
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    EX_TRY(ex_cpu_op_add(plan, "conv backward weights", node, &op));
    if (reorder.primitive)
        EX_TRY(ex_cpu_buffer_add(plan, bytes, &dw));
    ex_cpu_step_ref(plan, plan->maps[n->input].ref, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_step_ref(plan, dw, DNNL_ARG_DIFF_WEIGHTS);
    if (c.bias)
        ex_cpu_step_ref(plan, ex_cpu_grad(plan, dbias), DNNL_ARG_DIFF_BIAS);
    EX_TRY(ex_cpu_op_end(plan));
    if (!reorder.primitive)
        return EX_OK;
    EX_TRY(ex_cpu_op_add(plan, "gradient reorder", node, &reorder));
    ex_cpu_step_ref(plan, dw, DNNL_ARG_FROM);
    ex_cpu_step_ref(plan, ex_cpu_grad(plan, l->weight), DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

/* Images have too few channels for oneDNN's fast kernels: 200 times slower than with the channels
 * padded to the block of the maps behind. */
static int input_gradient_block(const ex_cpu_plan *plan, int node)
{
    const int block = plan->maps[node].block;
    const bool only = plan->maps[plan->model->nodes[node].input].readers == 1;
    return only && (block == 16 || block == 8) ? block : plan->maps[0].block;
}

/* The filters are reordered anew, also where the forward convolution reads the same layout: kept
 * from there they would be live while the weights' gradients need most memory. */
static ex_status data_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_BACKWARD_DATA);
    ex_cpu_ref weights;
    ex_dnn_op op;
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_data(plan, node, dy);
    if (plan->model->nodes[n->input].op == EX_OP_INPUT)
        c.src_block = plan->input_gradient_block = input_gradient_block(plan, node);
    EX_TRY(conv_op(plan, &c, &op));
    if (c.algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_data(plan, node, &c, dy);
    const ex_status status = filter_in(plan, node, &c, &op, &weights);
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    return ex_cpu_gradient_op(plan, "conv backward data", node, &op, dy, weights, DNNL_ARG_WEIGHTS);
}

/* Gradients of the layer's values, given that of the convolution's output. */
static ex_status values_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy)
{
    EX_TRY(ex_cpu_rows_are_few(plan, node) ? ex_cpu_rows_backward(plan, node, dy)
                                           : weights_backward(plan, node, dy));
    return ex_cpu_folds(plan, node) ? ex_cpu_fold_backward(plan, node) : EX_OK;
}

ex_status ex_cpu_conv_backward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_ref dy;
    if (ex_cpu_layer_of(plan, node)->scale != EX_NONE && !ex_cpu_folds(plan, node)) {
        EX_TRY(ex_cpu_norm_backward(plan, node, &dy));
    } else {
        EX_TRY(ex_cpu_gradient_sum(plan, node, n->relu, &dy));
        if (n->residual >= 0)
            EX_TRY(ex_cpu_gradient_give(plan, n->residual, dy, -1));
    }
    if (ex_cpu_layer_trained(plan, n->layer))
        EX_TRY(values_backward(plan, node, dy));
    return plan->maps[n->input].wanted ? data_backward(plan, node, dy) : EX_OK;
}
