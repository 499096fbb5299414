/* Where a plan's tensors lie: in the lane's vectors, its arena, or memory of the plan's own. */
#include "cpu/cpu_impl.h"

float *ex_cpu_at(const ex_cpu_plan *plan, ex_cpu_ref ref)
{
    const ex_cpu_lane *lane = plan->lane;
    if (ref.buffer == EX_CPU_PARAMS)
        return lane->params + ref.offset;
    if (ref.buffer == EX_CPU_STATS)
        return lane->stats + ref.offset;
    if (ref.buffer < 0)
        return NULL;
    return ex_plan_buffers_at(&plan->buffers, ref, plan->own, lane->arena);
}

ex_status ex_cpu_bind(ex_cpu_plan *plan)
{
    if (plan->lane->arena_bytes < plan->buffers.arena_bytes)
        EX_TRY(ex_cpu_reserve(plan->lane, plan->buffers.arena_bytes, 0));
    if (plan->arena_moves == plan->lane->arena_moves)
        return EX_OK;
    for (int i = 0; i < plan->step_count; i++) {
        ex_cpu_step *step = &plan->steps[i];
        for (int j = 0; j < step->count; j++) {
            step->at[j] = ex_cpu_at(plan, step->ref[j]);
            if (step->args[j].memory)
                EX_TRY(EX_DNN(dnnl_memory_set_data_handle(step->args[j].memory, step->at[j])));
        }
    }
    plan->arena_moves = plan->lane->arena_moves;
    return EX_OK;
}
