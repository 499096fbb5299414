/* Convolutions and their gradients by our own Winograd kernels (winograd.h), where they were timed
 * fastest: oneDNN's sum at three quarters of the speed, reorder filters slowly, and are there for
 * float32 alone. Maps of bf16 become float32 on the way into a tile and back on the way out. */
#include "cpu/cpu_impl.h"
#include "winograd.h"

static ex_winograd_shape shape_of(const ex_dnn_conv *c)
{
    const bool data = c->pass == EX_DNN_BACKWARD_DATA;
    const ex_map_type type = c->bf16 ? EX_MAP_BF16 : EX_MAP_F32;
    return (ex_winograd_shape){.N = c->N,
                               .C = data ? c->K : c->C,
                               .K = data ? c->C : c->K,
                               .H = c->window.H,
                               .W = c->window.W,
                               .in = type,
                               .out = c->wide ? EX_MAP_F32 : type};
}

bool ex_cpu_tiles_fit(const ex_dnn_conv *c)
{
    const ex_dnn_window *w = &c->window;
    const ex_winograd_shape shape = shape_of(c);
    const bool weights = c->pass == EX_DNN_BACKWARD_WEIGHTS;
    return !(weights && c->bias) && w->R == 3 && w->S == 3 && w->stride == 1 && w->pad == 1 &&
           c->src_block == EX_WINOGRAD_BLOCK && c->dst_block == EX_WINOGRAD_BLOCK &&
           ex_winograd_fits(&shape) && ex_winograd_is_fast();
}

/* --- steps ------------------------------------------------------------------------------------ */

enum { OUT, IN, FILTERS, SCRATCH, BIAS, FLAT = BIAS /* of a trial */ };

/* What the step holds. */
static ex_dnn_conv conv_of(const ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    return (ex_dnn_conv){.pass = (ex_dnn_pass)step->pass,
                         .N = plan->base.spec.batch,
                         .C = n->C,
                         .K = n->K,
                         .window = ex_cpu_window_of(n),
                         .sum = step->add,
                         .relu = step->relu,
                         .bf16 = ex_plan_bf16(plan),
                         .wide = step->from != step->to};
}

static ex_status run_filters(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_node *n = &plan->model->nodes[step->node];
    ex_winograd_filters(step->at[0], step->at[1], step->pass == EX_DNN_BACKWARD_DATA, n->K, n->C,
                        ex_plan_stream(plan));
    return EX_OK;
}

static ex_status run_conv(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_dnn_conv c = conv_of(plan, step);
    const ex_winograd_shape shape = shape_of(&c);
    const ex_winograd_end end = {.bias = step->at[BIAS], .add = c.sum, .relu = c.relu};
    ex_winograd_conv(step->at[OUT], step->at[IN], step->at[FILTERS], &end, &shape,
                     step->at[SCRATCH], ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_tiles_filters(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_step *step;
    EX_TRY(ex_plan_buffer_add(plan, ex_winograd_filter_floats(n->K, n->C) * sizeof(float), out));
    EX_TRY(ex_plan_step_add(plan, "filter transform", node, run_filters, &step));
    step->pass = (int)c->pass;
    ex_plan_step_ref(plan, *out);
    ex_plan_step_ref(plan, plan->maps[node].folded);
    return EX_OK;
}

static ex_status add_conv(ex_plan_core *plan, const char *what, int node, const ex_dnn_conv *c,
                          ex_buffer_ref out, ex_buffer_ref in, ex_buffer_ref filters)
{
    const ex_winograd_shape shape = shape_of(c);
    ex_buffer_ref scratch;
    ex_plan_step *step;
    const size_t floats = ex_winograd_scratch_floats(&shape, ex_plan_stream(plan).threads);
    EX_TRY(ex_plan_buffer_add(plan, floats * sizeof(float), &scratch));
    EX_TRY(ex_plan_step_add(plan, what, node, run_conv, &step));
    step->pass = (int)c->pass;
    step->add = c->sum;
    step->relu = c->relu;
    step->from = shape.in;
    step->to = shape.out;
    ex_plan_step_ref(plan, out);
    ex_plan_step_ref(plan, in);
    ex_plan_step_ref(plan, filters);
    ex_plan_step_ref(plan, scratch);
    ex_plan_step_ref(plan, c->bias ? plan->maps[node].bias : EX_NO_REF);
    return EX_OK;
}

ex_status ex_cpu_tiles_forward(ex_plan_core *plan, int node, const ex_dnn_conv *c,
                               ex_buffer_ref out)
{
    return add_conv(plan, "conv forward", node, c, out,
                    plan->maps[plan->model->nodes[node].input].ref, plan->maps[node].weights);
}

ex_status ex_cpu_tiles_data(ex_plan_core *plan, int node, const ex_dnn_conv *c, ex_buffer_ref dy,
                            ex_buffer_ref filters)
{
    const int input = plan->model->nodes[node].input;
    ex_buffer_ref dx;
    EX_TRY(ex_plan_buffer_add(plan, ex_plan_map_bytes(plan, input), &dx));
    EX_TRY(add_conv(plan, "conv backward data", node, c, dx, dy, filters));
    return ex_plan_gradient_give(plan, input, dx, -1);
}

enum { DW, X, DY };

static ex_dnn_conv weights_of(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_dnn_conv){.pass = EX_DNN_BACKWARD_WEIGHTS,
                         .N = plan->base.spec.batch,
                         .C = n->C,
                         .K = n->K,
                         .window = ex_cpu_window_of(n),
                         .bf16 = ex_plan_bf16(plan)};
}

static ex_status run_weights(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_dnn_conv c = weights_of(plan, step->node);
    const ex_winograd_shape shape = shape_of(&c);
    ex_winograd_weights(step->at[DW], step->at[X], step->at[DY], &shape, step->at[SCRATCH],
                        ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_tiles_weights(ex_plan_core *plan, int node, ex_buffer_ref dy)
{
    const ex_dnn_conv c = weights_of(plan, node);
    const ex_winograd_shape shape = shape_of(&c);
    ex_buffer_ref scratch;
    const size_t floats = ex_winograd_weights_scratch_floats(&shape, ex_plan_stream(plan).threads);
    EX_TRY(ex_plan_buffer_add(plan, floats * sizeof(float), &scratch));
    EX_TRY(ex_plan_step_add(plan, "conv backward weights", node, run_weights, NULL));
    ex_plan_step_ref(plan, ex_plan_grad(plan, ex_plan_layer_of(plan, node)->weight));
    ex_plan_step_ref(plan, plan->maps[plan->model->nodes[node].input].ref);
    ex_plan_step_ref(plan, dy);
    ex_plan_step_ref(plan, scratch);
    return EX_OK;
}

bool ex_cpu_tiles_multiply(const ex_plan_step *step)
{
    return step->call == run_conv || step->call == run_weights;
}

/* --- a trial ---------------------------------------------------------------------------------- */

/* Of y, x, filters and scratch, or dw, x, dy and scratch, in this order. */
void ex_cpu_tiles_trial_floats(size_t floats[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c,
                               ex_stream stream)
{
    const ex_winograd_shape s = shape_of(c);
    const size_t pixels = (size_t)s.N * (size_t)s.H * (size_t)s.W;
    const size_t filters = (size_t)s.K * (size_t)s.C * (size_t)(c->window.R * c->window.S);
    /* Behind those, what the filters are made of. */
    floats[FLAT] = ex_cpu_pass_makes_filters(c->pass) ? filters : 0;
    if (c->pass == EX_DNN_BACKWARD_WEIGHTS) {
        floats[DW] = filters;
        floats[X] = pixels * (size_t)s.C;
        floats[DY] = pixels * (size_t)s.K;
        floats[SCRATCH] = ex_winograd_weights_scratch_floats(&s, stream.threads);
        return;
    }
    floats[OUT] = pixels * (size_t)s.K;
    floats[IN] = pixels * (size_t)s.C;
    floats[FILTERS] = ex_winograd_filter_floats(s.K, s.C);
    floats[SCRATCH] = ex_winograd_scratch_floats(&s, stream.threads);
}

void ex_cpu_tiles_try(float *const at[EX_CPU_TRIAL_TENSORS], const ex_dnn_conv *c, ex_stream s)
{
    const ex_winograd_shape shape = shape_of(c);
    const ex_winograd_end end = {.add = c->sum, .relu = c->relu};
    if (ex_cpu_pass_makes_filters(c->pass))
        ex_winograd_filters(at[FILTERS], at[FLAT], c->pass == EX_DNN_BACKWARD_DATA, c->K, c->C, s);
    if (c->pass == EX_DNN_BACKWARD_WEIGHTS)
        ex_winograd_weights(at[DW], at[X], at[DY], &shape, at[SCRATCH], s);
    else
        ex_winograd_conv(at[OUT], at[IN], at[FILTERS], &end, &shape, at[SCRATCH], s);
}
