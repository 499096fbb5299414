/* Convolutions that are corrected instead of run, behind an ablated channel.
 *
 * A convolution is linear: where one channel of its input changed, its output changes by that
 * channel's contribution alone. A plan to fork from keeps what that takes: the outputs before the
 * ReLU, float32, and the filters by input channel. A plan to fork to has room for the differences.
 *
 * Corrected outputs are those of the convolution up to rounding, not bit for bit. */
#include "cuda/cuda_impl.h"

/* A corrected output reads and writes what the convolution's does, and in place of all input
 * channels one, as a plane of its own: with fewer channels than these little is saved. By count; no
 * GPU has been asked. */
enum { CHANNELS_MIN = 4 };

bool ex_cuda_corrects(const ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return !ex_cuda_trains(plan) && n->op == EX_OP_CONV && n->C >= CHANNELS_MIN &&
           plan->model->nodes[n->input].op != EX_OP_INPUT;
}

bool ex_cuda_keeps(const ex_cuda_plan *plan, int node)
{
    return plan->base.spec.keep_nodes && ex_cuda_corrects(plan, node);
}

ex_cuda_ref ex_cuda_conv_output(const ex_cuda_plan *plan, int node)
{
    const ex_cuda_map *map = &plan->maps[node];
    return ex_cuda_keeps(plan, node) ? map->before_relu : map->ref;
}

/* --- a plan to fork from ---------------------------------------------------------------------- */

static ex_status add_own(ex_cuda_plan *plan, size_t bytes, ex_cuda_ref *out)
{
    EX_TRY(ex_cuda_buffer_add(plan, bytes, out));
    plan->buffers.list[out->buffer].own = true;
    return EX_OK;
}

/* (N, H * W, C) becomes (N, C, H * W). */
static ex_status run_transpose(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    ex_kernels_cuda.flatten_fwd(step->at[0], step->at[1], &step->shape, NULL, ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status add_transpose(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                               ex_map_shape shape)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "filter columns", node, run_transpose, &step));
    step->shape = shape;
    ex_cuda_step_ref(plan, to);
    ex_cuda_step_ref(plan, from);
    return EX_OK;
}

/* (K, R, S, C) becomes (C, K, R, S), then (C, R, S, K). */
static ex_status add_columns(ex_cuda_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cuda_layer_of(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    const size_t floats = (size_t)l->channels * l->row;
    const ex_map_type type = ex_cuda_type(plan);
    const size_t bytes = floats * ex_map_type_bytes(type);
    const int taps = n->R * n->S;
    ex_cuda_ref between, filters = map->weights;
    if (l->scale == EX_NONE) {
        filters = ex_cuda_param(l->weight);
        if (type != EX_MAP_F32)
            EX_TRY(ex_cuda_converted(plan, node, filters, EX_MAP_F32, floats, type, &filters));
    }
    EX_TRY(add_own(plan, bytes, &map->columns));
    EX_TRY(ex_cuda_buffer_add(plan, bytes, &between));
    EX_TRY(add_transpose(
        plan, node, between, filters,
        (ex_map_shape){.N = 1, .C = n->C, .H = n->K, .W = taps, .block = n->C, .type = type}));
    return add_transpose(
        plan, node, map->columns, between,
        (ex_map_shape){.N = n->C, .C = taps, .H = n->K, .W = 1, .block = taps, .type = type});
}

ex_status ex_cuda_correct_prepare(ex_cuda_plan *plan, int node)
{
    ex_cuda_map *map = &plan->maps[node];
    if (!ex_cuda_keeps(plan, node))
        return EX_OK;
    map->before_relu = map->ref;
    if (plan->model->nodes[node].relu || map->type != EX_MAP_F32)
        EX_TRY(add_own(plan, ex_cuda_map_floats(plan, node) * sizeof(float), &map->before_relu));
    return add_columns(plan, node);
}

/* An update that changes nothing but for the ReLU and the type. */
static ex_status run_relu(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_channel_change none = {.channel = plan->unchanged, .V = 1};
    const ex_conv_shape shape = ex_cuda_conv_shape(plan, step->node, plan->base.spec.batch);
    ex_kernels_cuda.conv_channel_update(step->at[0], step->at[1], NULL, &none, &shape,
                                        plan->model->nodes[step->node].relu, NULL,
                                        ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_correct_forward(ex_cuda_plan *plan, int node)
{
    const ex_cuda_ref output = ex_cuda_conv_output(plan, node);
    ex_cuda_map *map = &plan->maps[node];
    if (!ex_cuda_corrects(plan, node))
        return EX_OK;
    if (!plan->base.spec.keep_nodes) {
        /* Live where the convolution would run. */
        const ex_conv_shape shape = ex_cuda_conv_shape(plan, node, plan->base.spec.batch);
        EX_TRY(ex_cuda_buffer_add(plan,
                                  ex_kernels_cuda.conv_channel_scratch(&shape, 1) * sizeof(float),
                                  &map->differences));
        ex_plan_buffers_use(&plan->buffers, map->differences, plan->step_count - 1);
        return EX_OK;
    }
    if (output.buffer == map->ref.buffer)
        return EX_OK;
    EX_TRY(ex_cuda_step_add(plan, "relu", node, run_relu, NULL));
    ex_cuda_step_ref(plan, map->ref);
    ex_cuda_step_ref(plan, output);
    return EX_OK;
}

/* --- from one to the other -------------------------------------------------------------------- */

void ex_cuda_correct(const ex_cuda_plan *to, const ex_cuda_plan *from, int node, int images,
                     const ex_channel_change *change)
{
    const ex_conv_shape shape = ex_cuda_conv_shape(from, node, images);
    ex_kernels_cuda.conv_channel_update(
        ex_cuda_at(to, to->maps[node].ref), ex_cuda_at(from, ex_cuda_conv_output(from, node)),
        ex_cuda_at(from, from->maps[node].columns), change, &shape, to->model->nodes[node].relu,
        ex_cuda_at(to, to->maps[node].differences), ex_cuda_stream(to));
}
