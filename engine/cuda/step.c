/* A plan's steps: growing the list, pointing it at memory, queueing it. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

enum { FIRST_ROOM = 64, ALIGNED_FLOATS = 4 };

ex_status ex_cuda_buffer_add(ex_cuda_plan *plan, size_t bytes, ex_cuda_ref *out)
{
    return ex_plan_buffers_add(&plan->buffers, bytes, EX_CUDA_ALIGN, out);
}

ex_status ex_cuda_map_add(ex_cuda_plan *plan, int node, ex_cuda_ref *out)
{
    return ex_cuda_buffer_add(
        plan, ex_cuda_map_floats(plan, node) * ex_map_type_bytes(plan->maps[node].type), out);
}

ex_status ex_cuda_step_add(ex_cuda_plan *plan, const char *what, int node, ex_cuda_call call,
                           ex_cuda_step **out)
{
    EX_TRY(ex_grow(&plan->steps, plan->step_count, &plan->step_room, FIRST_ROOM,
                   sizeof *plan->steps, "steps of a plan"));
    ex_cuda_step *step = &plan->steps[plan->step_count++];
    *step = (ex_cuda_step){.what = what, .node = node, .call = call};
    if (out)
        *out = step;
    return EX_OK;
}

void ex_cuda_step_ref(ex_cuda_plan *plan, ex_cuda_ref ref)
{
    ex_cuda_step *step = &plan->steps[plan->step_count - 1];
    step->ref[step->count++] = ref;
    ex_plan_buffers_use(&plan->buffers, ref, plan->step_count - 1);
}

void ex_cuda_steps_free(ex_cuda_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        ex_dnn_plan_destroy(&plan->steps[i].dnn);
        ex_blas_plan_destroy(&plan->steps[i].blas);
    }
    ex_free(&plan->steps);
    plan->step_count = 0;
}

/* --- copies ----------------------------------------------------------------------------------- */

static ex_status run_copy(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    return ex_cuda_copy(plan->lane, step->at[0], step->at[1], step->n * sizeof(float));
}

ex_status ex_cuda_copy_add(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from, size_t n)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "copy", node, run_copy, &step));
    step->n = n;
    ex_cuda_step_ref(plan, to);
    ex_cuda_step_ref(plan, from);
    return EX_OK;
}

static ex_status run_convert(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    ex_kernels_cuda.convert(step->at[0], step->to, step->at[1], step->from, step->n,
                            ex_cuda_stream(plan));
    return EX_OK;
}

ex_status ex_cuda_convert_add(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_map_type to_type,
                              ex_cuda_ref from, ex_map_type from_type, size_t n)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "convert", node, run_convert, &step));
    step->to = to_type;
    step->from = from_type;
    step->n = n;
    ex_cuda_step_ref(plan, to);
    ex_cuda_step_ref(plan, from);
    return EX_OK;
}

ex_status ex_cuda_converted(ex_cuda_plan *plan, int node, ex_cuda_ref from, ex_map_type from_type,
                            size_t n, ex_map_type type, ex_cuda_ref *out)
{
    EX_TRY(ex_cuda_buffer_add(plan, n * ex_map_type_bytes(type), out));
    return ex_cuda_convert_add(plan, node, *out, type, from, from_type, n);
}

/* Everything begins aligned; offsets into the flat vectors may not be. */
static bool is_aligned(ex_cuda_ref ref)
{
    return ref.offset % ALIGNED_FLOATS == 0;
}

ex_status ex_cuda_aligned(ex_cuda_plan *plan, int node, ex_cuda_ref from, size_t n,
                          ex_cuda_ref *out)
{
    *out = from;
    if (is_aligned(from))
        return EX_OK;
    EX_TRY(ex_cuda_buffer_add(plan, n * sizeof(float), out));
    return ex_cuda_copy_add(plan, node, *out, from, n);
}

ex_status ex_cuda_aligned_begin(ex_cuda_plan *plan, ex_cuda_ref to, size_t n, ex_cuda_ref *out)
{
    *out = to;
    return is_aligned(to) ? EX_OK : ex_cuda_buffer_add(plan, n * sizeof(float), out);
}

ex_status ex_cuda_aligned_end(ex_cuda_plan *plan, int node, ex_cuda_ref to, ex_cuda_ref from,
                              size_t n)
{
    return is_aligned(to) ? EX_OK : ex_cuda_copy_add(plan, node, to, from, n);
}

/* --- running ---------------------------------------------------------------------------------- */

float *ex_cuda_at(const ex_cuda_plan *plan, ex_cuda_ref ref)
{
    const ex_cuda_lane *lane = plan->lane;
    if (ref.buffer == EX_BUFFER_PARAMS)
        return lane->params + ref.offset;
    if (ref.buffer == EX_BUFFER_STATS)
        return lane->stats + ref.offset;
    if (ref.buffer < 0)
        return NULL;
    return ex_plan_buffers_at(&plan->buffers, ref, plan->own, lane->arena);
}

ex_status ex_cuda_bind(ex_cuda_plan *plan)
{
    if (plan->lane->arena_bytes < plan->buffers.arena_bytes)
        EX_TRY(ex_cuda_reserve(plan->lane, plan->buffers.arena_bytes, 0));
    if (plan->arena_moves == plan->lane->arena_moves)
        return EX_OK;
    for (int i = 0; i < plan->step_count; i++)
        for (int j = 0; j < plan->steps[i].count; j++)
            plan->steps[i].at[j] = ex_cuda_at(plan, plan->steps[i].ref[j]);
    plan->arena_moves = plan->lane->arena_moves;
    return EX_OK;
}

ex_status ex_cuda_steps(ex_cuda_plan *plan, int first, int last, bool update)
{
    for (int i = first; i < last; i++) {
        const ex_cuda_step *step = &plan->steps[i];
        if (!step->update || update)
            EX_TRY(step->call(plan, step));
    }
    return ex_cuda_launches();
}
