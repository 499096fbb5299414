/* Steps that copy, and where libraries read and write what need not be aligned; queueing steps. */
#include "cuda/cuda_impl.h"

enum { ALIGNED_FLOATS = 4 };

static ex_status run_copy(ex_plan_core *plan, const ex_plan_step *step)
{
    return ex_cuda_copy(ex_cuda_lane_of(plan->base.lane), step->at[0], step->at[1],
                        step->n * sizeof(float));
}

static ex_status add_copy(ex_plan_core *plan, int node, ex_buffer_ref to, ex_buffer_ref from,
                          size_t n)
{
    ex_plan_step *step;
    EX_TRY(ex_plan_step_add(plan, "copy", node, run_copy, &step));
    step->n = n;
    ex_plan_step_ref(plan, to);
    ex_plan_step_ref(plan, from);
    return EX_OK;
}

ex_status ex_cuda_converted(ex_plan_core *plan, int node, ex_buffer_ref from, ex_map_type from_type,
                            size_t n, ex_map_type type, ex_buffer_ref *out)
{
    EX_TRY(ex_plan_buffer_add(plan, n * ex_map_type_bytes(type), out));
    return ex_plan_convert_add(plan, "convert", node, *out, type, from, from_type, n);
}

/* Everything begins aligned; offsets into the flat vectors may not be. */
static bool is_aligned(ex_buffer_ref ref)
{
    return ref.offset % ALIGNED_FLOATS == 0;
}

ex_status ex_cuda_aligned(ex_plan_core *plan, int node, ex_buffer_ref from, size_t n,
                          ex_buffer_ref *out)
{
    *out = from;
    if (is_aligned(from))
        return EX_OK;
    EX_TRY(ex_plan_buffer_add(plan, n * sizeof(float), out));
    return add_copy(plan, node, *out, from, n);
}

ex_status ex_cuda_aligned_begin(ex_plan_core *plan, ex_buffer_ref to, size_t n, ex_buffer_ref *out)
{
    *out = to;
    return is_aligned(to) ? EX_OK : ex_plan_buffer_add(plan, n * sizeof(float), out);
}

ex_status ex_cuda_aligned_end(ex_plan_core *plan, int node, ex_buffer_ref to, ex_buffer_ref from,
                              size_t n)
{
    return is_aligned(to) ? EX_OK : add_copy(plan, node, to, from, n);
}

ex_status ex_cuda_steps(ex_cuda_plan *plan, int first, int last, bool update)
{
    EX_TRY(ex_plan_steps(&plan->core, first, last, update));
    return ex_cuda_launches();
}
