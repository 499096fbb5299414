/* Convolutions that a fork corrects (plan_correct.c). */
#include "cuda/cuda_impl.h"

/* A corrected output reads and writes what the convolution's does, and in place of all input
 * channels one, as a plane of its own: with fewer channels than these little is saved. By count; no
 * GPU has been asked. */
enum { CHANNELS_MIN = 4 };

bool ex_cuda_corrects(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return !ex_plan_trains(plan) && n->op == EX_OP_CONV && n->C >= CHANNELS_MIN &&
           plan->model->nodes[n->input].op != EX_OP_INPUT;
}

/* (N, H * W, C) becomes (N, C, H * W). */
static ex_status run_transpose(ex_plan_core *plan, const ex_plan_step *step)
{
    plan->k->flatten_fwd(step->at[0], step->at[1], &step->shape, NULL, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_transpose(ex_plan_core *plan, int node, ex_buffer_ref to, ex_buffer_ref from,
                               ex_map_shape shape)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "filter columns", node, run_transpose, &step));
    step->shape = shape;
    ex_plan_step_ref(plan, to);
    ex_plan_step_ref(plan, from);
    return EX_OK;
}

/* (K, R, S, C) becomes (C, K, R, S), then (C, R, S, K). */
ex_status ex_cuda_columns(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const ex_plan_map *map = &plan->maps[node];
    const size_t floats = (size_t)l->channels * l->row;
    const ex_map_type type = ex_cuda_type(plan);
    const int taps = n->R * n->S;
    ex_buffer_ref between, filters = map->weights;
    if (l->scale == EX_NONE) {
        filters = ex_plan_param(l->weight);
        if (type != EX_MAP_F32)
            EX_TRY(ex_cuda_converted(plan, node, filters, EX_MAP_F32, floats, type, &filters));
    }
    EX_TRY(ex_plan_buffer_add(plan, floats * ex_map_type_bytes(type), &between));
    EX_TRY(add_transpose(
        plan, node, between, filters,
        (ex_map_shape){.N = 1, .C = n->C, .H = n->K, .W = taps, .block = n->C, .type = type}));
    return add_transpose(
        plan, node, map->columns, between,
        (ex_map_shape){.N = n->C, .C = taps, .H = n->K, .W = 1, .block = taps, .type = type});
}
