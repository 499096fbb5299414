/* Convolutions of the smallest maps, 2 x 2 pixels, and their gradients as matrix products
 * (toeplitz.h).
 *
 * oneDNN has nothing for them but the direct kernels, whose vectors have too few pixels to keep
 * them busy: they take two to four times as long, also in bf16, whose maps become float32 in the
 * sums before the products. */
#include "cpu/cpu_impl.h"
#include "toeplitz.h"

/* Below that the sums cost more than the products. */
enum { CHANNELS_MIN = 64 };

bool ex_cpu_conv_is_small(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return plan->lane->base.device->options.conv == EX_CONV_AUTO && n->R == 3 && n->S == 3 &&
           n->stride == 1 && n->pad == 1 && n->H == EX_TOEPLITZ_SIDE && n->W == EX_TOEPLITZ_SIDE &&
           n->C >= CHANNELS_MIN && n->K >= CHANNELS_MIN &&
           plan->maps[n->input].block == EX_TOEPLITZ_BLOCK &&
           plan->maps[node].block == EX_TOEPLITZ_BLOCK;
}

/* A buffer of nine matrices. */
static ex_status add_matrices(ex_plan_core *plan, int rows, int columns, ex_buffer_ref *out)
{
    const size_t floats = (size_t)rows * (size_t)columns;
    return ex_plan_buffer_add(plan, EX_TOEPLITZ_PRODUCTS * floats * sizeof(float), out);
}

/* *out = nine products of `a` and `b`, in a new buffer. */
static ex_status add_products(ex_plan_core *plan, const char *what, int node, ex_dnn_product p,
                              ex_buffer_ref a, ex_buffer_ref b, ex_buffer_ref *out)
{
    ex_dnn_op op;
    p.count = EX_TOEPLITZ_PRODUCTS;
    EX_TRY(add_matrices(plan, p.M, p.N, out));
    EX_TRY(ex_dnn_product_create(&op, ex_cpu_engine(plan), &p));
    EX_TRY(ex_cpu_op_add(plan, what, node, &op));
    ex_cpu_arg(plan, a, DNNL_ARG_SRC);
    ex_cpu_arg(plan, b, DNNL_ARG_WEIGHTS);
    ex_cpu_arg(plan, *out, DNNL_ARG_DST);
    return ex_cpu_op_end(plan);
}

/* A step with the tensors out and in. */
static ex_status add_call(ex_plan_core *plan, const char *what, int node, ex_plan_call call,
                          ex_buffer_ref out, ex_buffer_ref in)
{
    EX_TRY(ex_plan_step_add(plan, what, node, call, NULL));
    ex_plan_step_ref(plan, out);
    ex_plan_step_ref(plan, in);
    return EX_OK;
}

/* --- filters ---------------------------------------------------------------------------------- */

static ex_status run_filters(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_toeplitz_filters(step->at[0], step->at[1], n->K, n->C, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_small_filters(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_map *map = &plan->maps[node];
    EX_TRY(add_matrices(plan, n->K, n->C, &map->weights));
    plan->buffers.list[map->weights.buffer].own = ex_cpu_filters_stay(plan, node);
    return add_call(plan, "filter sums", node, run_filters, map->weights, map->folded);
}

/* --- maps ------------------------------------------------------------------------------------- */

static ex_status run_input(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_toeplitz_in(step->at[0], step->at[1], plan->maps[n->input].type, 0, plan->base.spec.batch,
                   n->C, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_input(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    EX_TRY(add_matrices(plan, plan->base.spec.batch, n->C, out));
    return add_call(plan, "map sums", node, run_input, *out, plan->maps[n->input].ref);
}

static ex_status run_gradient(ex_plan_core *plan, const ex_plan_step *step)
{
    ex_toeplitz_in(step->at[0], step->at[1], plan->maps[step->node].type, 1, plan->base.spec.batch,
                   plan->model->nodes[step->node].K, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_gradient(ex_plan_core *plan, int node, ex_buffer_ref dy, ex_buffer_ref *out)
{
    EX_TRY(add_matrices(plan, plan->base.spec.batch, plan->model->nodes[node].K, out));
    return add_call(plan, "map sums", node, run_gradient, *out, dy);
}

/* --- forward ---------------------------------------------------------------------------------- */

enum { OUT, PRODUCTS, BIAS, RESIDUAL };

static ex_status run_output(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_toeplitz_end end = {
        .bias = step->at[BIAS], .residual = step->at[RESIDUAL], .relu = step->relu};
    ex_toeplitz_out(step->at[OUT], step->shape.type, step->at[PRODUCTS], &end,
                    plan->base.spec.batch, plan->model->nodes[step->node].K, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_small_forward(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_plan_map *map = &plan->maps[node];
    const ex_dnn_product p = {
        .M = plan->base.spec.batch, .N = n->K, .K = n->C, .weights_transposed = true};
    ex_buffer_ref in, products;
    EX_TRY(add_input(plan, node, &in));
    EX_TRY(add_products(plan, "conv forward", node, p, in, map->weights, &products));
    EX_TRY(add_call(plan, "product sums", node, run_output, out, products));
    plan->steps[plan->step_count - 1].relu = c->relu;
    plan->steps[plan->step_count - 1].shape.type = c->wide ? EX_MAP_F32 : map->type;
    ex_plan_step_ref(plan, c->bias ? map->bias : EX_NO_REF);
    ex_plan_step_ref(plan, c->sum ? plan->maps[n->residual].ref : EX_NO_REF);
    return EX_OK;
}

/* --- gradients -------------------------------------------------------------------------------- */

static ex_status run_filters_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_toeplitz_filters_bwd(step->at[0], step->at[1], n->K, n->C, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status run_bias_backward(ex_plan_core *plan, const ex_plan_step *step)
{
    ex_toeplitz_bias_bwd(step->at[0], step->at[1], plan->base.spec.batch,
                         plan->model->nodes[step->node].K, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_small_weights(ex_plan_core *plan, int node, ex_buffer_ref dy, size_t bias)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_product p = {
        .M = n->K, .N = n->C, .K = plan->base.spec.batch, .src_transposed = true};
    ex_buffer_ref in, gradient, products;
    EX_TRY(add_gradient(plan, node, dy, &gradient));
    if (bias != EX_NONE)
        EX_TRY(add_call(plan, "bias gradient", node, run_bias_backward, ex_plan_grad(plan, bias),
                        gradient));
    EX_TRY(add_input(plan, node, &in));
    EX_TRY(add_products(plan, "conv backward weights", node, p, gradient, in, &products));
    return add_call(plan, "filter gradient", node, run_filters_backward,
                    ex_plan_grad(plan, ex_plan_layer_of(plan, node)->weight), products);
}

static ex_status run_input_gradient(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    const ex_toeplitz_end end = {.swapped = 1};
    ex_toeplitz_out(step->at[OUT], plan->maps[n->input].type, step->at[PRODUCTS], &end,
                    plan->base.spec.batch, n->C, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_small_data(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_dnn_product p = {.M = plan->base.spec.batch, .N = n->C, .K = n->K};
    ex_buffer_ref gradient, products, dx;
    EX_TRY(add_gradient(plan, node, dy, &gradient));
    EX_TRY(add_products(plan, "conv backward data", node, p, gradient, plan->maps[node].weights,
                        &products));
    EX_TRY(ex_plan_buffer_add(plan, ex_plan_map_bytes(plan, n->input), &dx));
    EX_TRY(add_call(plan, "product sums", node, run_input_gradient, dx, products));
    return ex_plan_gradient_give(plan, n->input, dx, -1);
}
