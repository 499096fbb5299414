/* Convolution nodes.
 *
 * Training: convolution, norm (plan_norm.c), residual. Evaluation, and training with frozen norms:
 * the norm is folded into filters and bias (plan_fold.c), and convolution, bias, residual and ReLU
 * are one primitive, or one of our own (conv_small.c, conv_tiles.c); gradients of filters may be
 * too (conv_rows.c). */
#include "cpu/cpu_impl.h"

static ex_dnn_conv conv_of(const ex_plan_core *plan, int node, ex_dnn_pass pass)
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
        .bf16 = ex_plan_bf16(plan),
    };
}

static ex_dnn_filter filter_of(const ex_node *n)
{
    return (ex_dnn_filter){.K = n->K, .C = n->C, .R = n->R, .S = n->S};
}

/* The op of the fastest algorithm; none where that is ours. */
static ex_status conv_op(ex_plan_core *plan, ex_dnn_conv *c, ex_dnn_op *op)
{
    *op = (ex_dnn_op){0};
    EX_TRY(ex_cpu_choose(ex_cpu_lane_of(plan->base.lane), c));
    return ex_cpu_is_own(c->algorithm) ? EX_OK : ex_dnn_conv_create(op, ex_cpu_engine(plan), c);
}

ex_status ex_cpu_conv_layouts(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_map *in = &plan->maps[n->input], *map = &plan->maps[node];
    ex_dnn_op op;
    if (n->residual >= 0)
        map->block = plan->maps[n->residual].block;
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_FORWARD_TRAIN);
    EX_TRY(ex_dnn_conv_create(&op, ex_cpu_engine(plan), &c));
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

/* A step that reorders filters from `in` into *out, a new buffer. */
static ex_status add_reorder(ex_plan_core *plan, int node, ex_dnn_op *reorder, ex_buffer_ref in,
                             ex_buffer_ref *out)
{
    const size_t bytes = ex_dnn_op_bytes(reorder, DNNL_ARG_TO);
    EX_TRY(ex_cpu_op_add(plan, "filter reorder", node, reorder));
    EX_TRY(ex_plan_buffer_add(plan, bytes, out));
    ex_cpu_arg(plan, in, DNNL_ARG_FROM);
    ex_cpu_arg(plan, *out, DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_filter_reorders(ex_dnn_op reorders[EX_CPU_REORDERS_MAX], int *count,
                                 dnnl_engine_t engine, const ex_dnn_op *op, const ex_dnn_filter *f)
{
    ex_dnn_filter plain = *f;
    ex_status status = ex_dnn_filter_in(&reorders[0], engine, op, DNNL_ARG_WEIGHTS, f);
    *count = status == EX_OK && reorders[0].primitive;
    if (status != EX_ERR_UNSUPPORTED)
        return status;
    EX_TRY(ex_dnn_filter_plain(&reorders[0], engine, f));
    plain.plain = true;
    status = ex_dnn_filter_in(&reorders[1], engine, op, DNNL_ARG_WEIGHTS, &plain);
    if (status != EX_OK)
        ex_dnn_op_destroy(&reorders[0]);
    else
        *count = 1 + (reorders[1].primitive != NULL);
    return status;
}

/* *out = the layer's filters in the layout that `op` of `c` reads; where they lie, if they lie so.
 */
static ex_status filter_in(ex_plan_core *plan, int node, const ex_dnn_conv *c, const ex_dnn_op *op,
                           ex_buffer_ref *out)
{
    if (c->algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_filters(plan, node, c, out);
    const ex_dnn_filter f = filter_of(&plan->model->nodes[node]);
    ex_dnn_op reorders[EX_CPU_REORDERS_MAX];
    int count;
    ex_status status = ex_cpu_filter_reorders(reorders, &count, ex_cpu_engine(plan), op, &f);
    *out = plan->maps[node].folded;
    for (int i = 0; i < count; i++)
        if (status == EX_OK)
            status = add_reorder(plan, node, &reorders[i], *out, out);
        else
            ex_dnn_op_destroy(&reorders[i]);
    return status;
}

/* The convolution into `out` by `op` of `c`, which the plan takes over. */
static ex_status add_conv(ex_plan_core *plan, int node, const ex_dnn_conv *c, ex_dnn_op *op,
                          ex_buffer_ref out)
{
    const ex_plan_map *map = &plan->maps[node];
    if (c->algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_forward(plan, node, c, out);
    EX_TRY(ex_cpu_op_add(plan, "conv forward", node, op));
    ex_cpu_arg(plan, plan->maps[plan->model->nodes[node].input].ref, DNNL_ARG_SRC);
    ex_cpu_arg(plan, map->weights, DNNL_ARG_WEIGHTS);
    if (c->bias)
        ex_cpu_arg(plan, map->bias, DNNL_ARG_BIAS);
    ex_cpu_arg(plan, out, DNNL_ARG_DST);
    return ex_cpu_op_end(plan);
}

/* --- what is computed ------------------------------------------------------------------------- */

bool ex_cpu_filters_stay(const ex_plan_core *plan, int node)
{
    return !ex_plan_trains(plan) || (plan->lane->base.device->options.memory == 0 &&
                                     !ex_plan_layer_trained(plan, plan->model->nodes[node].layer));
}

/* Filters that stay as they are are those of evaluation to the convolution. */
static ex_dnn_pass forward_pass(const ex_plan_core *plan, int node)
{
    return ex_cpu_filters_stay(plan, node) ? EX_DNN_FORWARD : EX_DNN_FORWARD_TRAIN;
}

/* Convolution, bias, residual and ReLU. */
static ex_dnn_conv folded_of(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_dnn_conv c = conv_of(plan, node, forward_pass(plan, node));
    c.bias = l->scale != EX_NONE || l->bias != EX_NONE;
    c.sum = n->residual >= 0;
    c.wide = ex_plan_conv_output(plan, node).buffer != plan->maps[node].ref.buffer;
    c.relu = n->relu && !c.wide;
    return c;
}

/* Convolution and bias, before what is a step of its own in training. */
static ex_dnn_conv trained_of(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_dnn_conv c = conv_of(plan, node, forward_pass(plan, node));
    c.bias = l->bias != EX_NONE;
    c.relu = n->relu && l->scale == EX_NONE && n->residual < 0;
    return c;
}

static bool is_folded(const ex_plan_core *plan, int node)
{
    return !ex_plan_trains(plan) || ex_plan_folds(plan, node);
}

static int readers_of(const ex_model *m, int tensor)
{
    int count = 0;
    for (int i = 0; i < m->node_count; i++)
        count += (m->nodes[i].input == tensor) + (m->nodes[i].residual == tensor);
    return count;
}

/* Images have too few channels for oneDNN's fast kernels: 200 times slower than with the channels
 * padded to the block of the maps behind. */
static int input_gradient_block(const ex_plan_core *plan, int node)
{
    const int block = plan->maps[node].block;
    const bool only = readers_of(plan->model, plan->model->nodes[node].input) == 1;
    return only && (block == 16 || block == 8) ? block : plan->maps[0].block;
}

/* Chosen as where its filters are made in every step, also for the few layers in the midst of
 * trained ones that a mask leaves alone. */
static ex_dnn_conv data_of(const ex_plan_core *plan, int node)
{
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_BACKWARD_DATA);
    if (plan->model->nodes[plan->model->nodes[node].input].op == EX_OP_INPUT)
        c.src_block = input_gradient_block(plan, node);
    return c;
}

/* --- evaluation ------------------------------------------------------------------------------- */

/* The values that the convolution has in common with its layer, or the folded ones. */
static ex_status set_values(ex_plan_core *plan, int node)
{
    const ex_layer *l = ex_plan_layer_of(plan, node);
    ex_plan_map *map = &plan->maps[node];
    if (ex_plan_folds(plan, node)) {
        EX_TRY(ex_plan_fold_prepare(plan, node));
        /* Filters that stay as they are are kept in the convolution's layout instead. */
        if (ex_cpu_filters_stay(plan, node))
            plan->buffers.list[map->folded.buffer].own = false;
        return EX_OK;
    }
    map->folded = ex_plan_param(l->weight);
    map->bias = l->bias == EX_NONE ? EX_NO_REF : ex_plan_param(l->bias);
    return EX_OK;
}

/* *out = the filters as `c` reads them, in memory of the plan's own. */
static ex_status keep_filters(ex_plan_core *plan, int node, ex_dnn_conv c, ex_buffer_ref *out)
{
    ex_dnn_op op;
    EX_TRY(conv_op(plan, &c, &op));
    const ex_status status = filter_in(plan, node, &c, &op, out);
    ex_dnn_op_destroy(&op);
    if (status == EX_OK && out->buffer >= 0)
        ex_plan_buffer_own(plan, *out);
    return status;
}

ex_status ex_cpu_conv_prepare(ex_plan_core *plan, int node)
{
    ex_plan_map *map = &plan->maps[node];
    EX_TRY(set_values(plan, node));
    if (!ex_plan_trains(plan))
        EX_TRY(ex_plan_correct_prepare(plan, node));
    if (!ex_cpu_filters_stay(plan, node))
        return EX_OK;
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_filters(plan, node);
    const ex_dnn_conv c = is_folded(plan, node) ? folded_of(plan, node) : trained_of(plan, node);
    EX_TRY(keep_filters(plan, node, c, &map->weights));
    return plan->maps[plan->model->nodes[node].input].wanted
               ? keep_filters(plan, node, data_of(plan, node), &map->turned)
               : EX_OK;
}

/* Convolution, bias, residual and ReLU as `op` of `c`, which the plan takes over. */
static ex_status add_folded(ex_plan_core *plan, int node, const ex_dnn_conv *c, ex_dnn_op *op)
{
    EX_TRY(add_conv(plan, node, c, op, ex_plan_conv_output(plan, node)));
    return ex_plan_correct_forward(plan, node);
}

static ex_status small_folded(ex_plan_core *plan, int node, const ex_dnn_conv *c)
{
    if (!ex_cpu_filters_stay(plan, node))
        EX_TRY(ex_cpu_small_filters(plan, node));
    EX_TRY(ex_cpu_small_forward(plan, node, c, ex_plan_conv_output(plan, node)));
    return ex_plan_correct_forward(plan, node);
}

static ex_status folded_forward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_map *map = &plan->maps[node];
    const bool made = !ex_cpu_filters_stay(plan, node);
    ex_dnn_conv c = folded_of(plan, node);
    ex_dnn_op op;
    const ex_buffer_ref output = ex_plan_conv_output(plan, node);
    if (made)
        EX_TRY(ex_plan_fold_forward(plan, node));
    if (ex_cpu_conv_is_small(plan, node))
        return small_folded(plan, node, &c);
    if (n->residual >= 0 && output.buffer != plan->maps[n->residual].ref.buffer)
        EX_TRY(ex_plan_convert_add(plan, "copy", node, output, c.wide ? EX_MAP_F32 : map->type,
                                   plan->maps[n->residual].ref, plan->maps[n->residual].type,
                                   ex_plan_map_floats(plan, node)));
    EX_TRY(conv_op(plan, &c, &op));
    const ex_status status = made ? filter_in(plan, node, &c, &op, &map->weights) : EX_OK;
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    return add_folded(plan, node, &c, &op);
}

/* --- training --------------------------------------------------------------------------------- */

static ex_status run_residual(ex_plan_core *plan, const ex_plan_step *step)
{
    if (step->relu)
        ex_kernels_host.add_relu_fwd(step->at[0], step->at[0], step->at[1], step->n,
                                     step->shape.type, ex_plan_stream(plan));
    else
        ex_kernels_host.add_relu_bwd(step->at[0], step->at[0], step->at[1], NULL, step->n,
                                     step->shape.type, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status residual_add(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "residual", node, run_residual, &step));
    step->n = ex_plan_map_floats(plan, node);
    step->shape.type = plan->maps[node].type;
    step->relu = n->relu;
    ex_plan_step_ref(plan, plan->maps[node].ref);
    ex_plan_step_ref(plan, plan->maps[n->residual].ref);
    return EX_OK;
}

/* Convolution and bias, into the map's inner value. */
static ex_status train_conv(ex_plan_core *plan, int node, ex_dnn_conv *c)
{
    ex_plan_map *map = &plan->maps[node];
    ex_dnn_op op;
    const bool made = !ex_cpu_filters_stay(plan, node);
    if (ex_cpu_conv_is_small(plan, node)) {
        if (made)
            EX_TRY(ex_cpu_small_filters(plan, node));
        return ex_cpu_small_forward(plan, node, c, map->inner);
    }
    EX_TRY(conv_op(plan, c, &op));
    const ex_status status = made ? filter_in(plan, node, c, &op, &map->weights) : EX_OK;
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    return add_conv(plan, node, c, &op, map->inner);
}

static ex_status train_forward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const bool norm = ex_plan_layer_of(plan, node)->scale != EX_NONE;
    ex_plan_map *map = &plan->maps[node];
    ex_dnn_conv c = trained_of(plan, node);
    map->inner = map->ref;
    if (norm)
        EX_TRY(ex_plan_buffer_add(plan, ex_plan_map_bytes(plan, node), &map->inner));
    EX_TRY(train_conv(plan, node, &c));
    if (norm)
        return ex_plan_norm_forward(plan, node);
    return n->residual >= 0 ? residual_add(plan, node) : EX_OK;
}

ex_status ex_cpu_conv_forward(ex_plan_core *plan, int node)
{
    return is_folded(plan, node) ? folded_forward(plan, node) : train_forward(plan, node);
}

static ex_status weights_backward(ex_plan_core *plan, int node, ex_buffer_ref dy, size_t bias)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const ex_dnn_filter f = filter_of(n);
    ex_dnn_conv c = conv_of(plan, node, EX_DNN_BACKWARD_WEIGHTS);
    ex_buffer_ref dw = ex_plan_grad(plan, l->weight);
    ex_dnn_op op, reorder;
    c.bias = bias != EX_NONE;
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_weights(plan, node, dy, bias);
    EX_TRY(conv_op(plan, &c, &op));
    if (c.algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_weights(plan, node, dy);
    if (c.algorithm == EX_DNN_ROWS)
        return ex_plan_rows_backward(plan, node, dy, EX_NO_REF, bias);
    const size_t bytes = ex_dnn_op_bytes(&op, DNNL_ARG_DIFF_WEIGHTS);
    const ex_status status =
        ex_dnn_filter_out(&reorder, ex_cpu_engine(plan), &op, DNNL_ARG_DIFF_WEIGHTS, &f);
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    EX_TRY(ex_cpu_op_add(plan, "conv backward weights", node, &op));
    if (reorder.primitive)
        EX_TRY(ex_plan_buffer_add(plan, bytes, &dw));
    ex_cpu_arg(plan, plan->maps[n->input].ref, DNNL_ARG_SRC);
    ex_cpu_arg(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_arg(plan, dw, DNNL_ARG_DIFF_WEIGHTS);
    if (c.bias)
        ex_cpu_arg(plan, ex_plan_grad(plan, bias), DNNL_ARG_DIFF_BIAS);
    EX_TRY(ex_cpu_op_end(plan));
    if (!reorder.primitive)
        return EX_OK;
    EX_TRY(ex_cpu_op_add(plan, "gradient reorder", node, &reorder));
    ex_cpu_arg(plan, dw, DNNL_ARG_FROM);
    ex_cpu_arg(plan, ex_plan_grad(plan, l->weight), DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

/* Filters that training changes are reordered anew, also where the forward convolution reads the
 * same layout: kept from there they would be live while the weights' gradients need most memory. */
static ex_status data_backward(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_dnn_conv c = data_of(plan, node);
    ex_buffer_ref weights = plan->maps[node].turned;
    ex_dnn_op op;
    if (ex_cpu_conv_is_small(plan, node))
        return ex_cpu_small_data(plan, node, dy);
    if (plan->model->nodes[n->input].op == EX_OP_INPUT)
        plan->input_gradient_block = c.src_block;
    EX_TRY(conv_op(plan, &c, &op));
    const ex_status status =
        ex_cpu_filters_stay(plan, node) ? EX_OK : filter_in(plan, node, &c, &op, &weights);
    if (status != EX_OK) {
        ex_dnn_op_destroy(&op);
        return status;
    }
    if (c.algorithm == EX_DNN_TILES)
        return ex_cpu_tiles_data(plan, node, &c, dy, weights);
    return ex_cpu_gradient_op(plan, "conv backward data", node, &op, dy, weights, DNNL_ARG_WEIGHTS);
}

/* Of layers that read images, in whose layout a filter of 3 channels takes about as long as the
 * library's kernel for 16 of them, and half as long as that for 64. */
enum { FEW_OF_IMAGES = 32 };

static bool rows_are_few(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const int block = plan->maps[n->input].block;
    if (!ex_plan_rows_are_few(plan, node))
        return false;
    if (block == 1)
        return FEW_OF_IMAGES * ex_mask_layer_count(plan->base.spec.mask, n->layer) <= n->K;
    return block % 16 == 0; /* other layouts have no fast kernel */
}

/* Gradients of the layer's values, given that of the convolution's output, and, for those of few
 * filters, its planes or nothing. */
static ex_status values_backward(ex_plan_core *plan, int node, bool few, ex_buffer_ref dy,
                                 ex_buffer_ref planes)
{
    const size_t bias = ex_plan_bias_at(plan, node);
    EX_TRY(few ? ex_plan_rows_backward(plan, node, dy, planes, bias)
               : weights_backward(plan, node, dy, bias));
    return ex_plan_folds(plan, node) ? ex_plan_fold_backward(plan, node) : EX_OK;
}

ex_status ex_cpu_conv_backward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const bool norm = ex_plan_layer_of(plan, node)->scale != EX_NONE && !ex_plan_folds(plan, node);
    const bool trained = ex_plan_layer_trained(plan, n->layer);
    const bool few = trained && rows_are_few(plan, node);
    ex_buffer_ref dy, planes = EX_NO_REF;
    if (norm && few)
        EX_TRY(ex_plan_rows_scratch(plan, node, &planes));
    EX_TRY(norm ? ex_plan_norm_backward(plan, node, planes, &dy)
                : ex_plan_conv_gradient(plan, node, &dy));
    if (trained)
        EX_TRY(values_backward(plan, node, few, dy, planes));
    return plan->maps[n->input].wanted ? data_backward(plan, node, dy) : EX_OK;
}
