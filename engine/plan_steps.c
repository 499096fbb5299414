/* A plan's buffers and steps: growing the lists, pointing them at memory, running them. */
#include "base/clock.h"
#include "base/memory.h"
#include "plan_core.h"

enum { FIRST_ROOM = 64 };

/* --- tensors ---------------------------------------------------------------------------------- */

ex_map_shape ex_plan_map_shape(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (ex_map_shape){.N = plan->base.spec.batch,
                          .C = n->K,
                          .H = n->out_H,
                          .W = n->out_W,
                          .block = plan->maps[node].block,
                          .type = plan->maps[node].type};
}

size_t ex_plan_map_floats(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return (size_t)plan->base.spec.batch * (size_t)n->K * (size_t)n->out_H * (size_t)n->out_W;
}

size_t ex_plan_map_bytes(const ex_plan_core *plan, int node)
{
    return ex_plan_map_floats(plan, node) * ex_map_type_bytes(plan->maps[node].type);
}

ex_conv_shape ex_plan_conv_of(const ex_plan_core *plan, int node, int images)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_map_shape in = ex_plan_map_shape(plan, n->input);
    in.N = images;
    return ex_plan_conv_shape(n, in, plan->maps[node].block);
}

ex_status ex_plan_buffer_add(ex_plan_core *plan, size_t bytes, ex_buffer_ref *out)
{
    return ex_plan_buffers_add(&plan->buffers, bytes, plan->parts->align, out);
}

ex_status ex_plan_map_add(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    return ex_plan_buffer_add(plan, ex_plan_map_bytes(plan, node), out);
}

void ex_plan_buffer_own(ex_plan_core *plan, ex_buffer_ref ref)
{
    plan->buffers.list[ref.buffer].own = true;
}

/* --- steps ------------------------------------------------------------------------------------ */

ex_status ex_plan_step_add(ex_plan_core *plan, const char *what, int node, ex_plan_call call,
                           ex_plan_step **out)
{
    EX_TRY(ex_grow(&plan->steps, plan->step_count, &plan->step_room, FIRST_ROOM,
                   sizeof *plan->steps, "steps of a plan"));
    ex_plan_step *step = &plan->steps[plan->step_count++];
    *step = (ex_plan_step){.what = what, .node = node, .call = call};
    if (out)
        *out = step;
    return EX_OK;
}

void ex_plan_step_ref(ex_plan_core *plan, ex_buffer_ref ref)
{
    ex_plan_step *step = &plan->steps[plan->step_count - 1];
    step->ref[step->count++] = ref;
    ex_plan_buffers_use(&plan->buffers, ref, plan->step_count - 1);
}

static ex_status run_convert(ex_plan_core *plan, const ex_plan_step *step)
{
    plan->k->convert(step->at[0], step->to, step->at[1], step->from, step->n, ex_plan_stream(plan));
    return EX_OK;
}

ex_status ex_plan_convert_add(ex_plan_core *plan, const char *what, int node, ex_buffer_ref to,
                              ex_map_type to_type, ex_buffer_ref from, ex_map_type from_type,
                              size_t n)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, what, node, run_convert, &step));
    step->n = n;
    step->to = to_type;
    step->from = from_type;
    ex_plan_step_ref(plan, to);
    ex_plan_step_ref(plan, from);
    return EX_OK;
}

/* --- running ---------------------------------------------------------------------------------- */

void *ex_plan_at(const ex_plan_core *plan, ex_buffer_ref ref)
{
    const ex_lane_core *lane = plan->lane;
    if (ref.buffer == EX_BUFFER_PARAMS)
        return lane->params + ref.offset;
    if (ref.buffer == EX_BUFFER_STATS)
        return lane->stats + ref.offset;
    if (ref.buffer < 0)
        return NULL;
    return ex_plan_buffers_at(&plan->buffers, ref, plan->own, lane->arena);
}

ex_status ex_plan_bind(ex_plan_core *plan)
{
    if (plan->lane->arena_bytes < plan->buffers.arena_bytes)
        EX_TRY(ex_lane_borrow(plan->lane, plan->buffers.arena_bytes));
    if (plan->arena_moves == plan->lane->arena_moves)
        return EX_OK;
    for (int i = 0; i < plan->step_count; i++)
        for (int j = 0; j < plan->steps[i].count; j++)
            plan->steps[i].at[j] = ex_plan_at(plan, plan->steps[i].ref[j]);
    if (plan->parts->bound)
        EX_TRY(plan->parts->bound(plan));
    plan->arena_moves = plan->lane->arena_moves;
    return EX_OK;
}

static ex_status run_measured(ex_plan_core *plan, int i)
{
    const int threads = plan->lane->base.threads;
    const double start = ex_work_now(threads);
    EX_TRY(plan->steps[i].call(plan, &plan->steps[i]));
    ex_profile_count_warm(&plan->spent[i], ex_work_now(threads) - start);
    return EX_OK;
}

ex_status ex_plan_steps(ex_plan_core *plan, int first, int last, bool update)
{
    for (int i = first; i < last; i++) {
        const ex_plan_step *step = &plan->steps[i];
        if (!step->update || update)
            EX_TRY(plan->spent ? run_measured(plan, i) : step->call(plan, step));
    }
    return EX_OK;
}

ex_status ex_plan_prepare(ex_plan_core *plan)
{
    if (plan->version == plan->lane->version)
        return EX_OK;
    EX_TRY(ex_plan_steps(plan, 0, plan->prepared, true));
    plan->version = plan->lane->version;
    return EX_OK;
}
