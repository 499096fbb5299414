/* Where a plan's buffers lie.
 *
 * A buffer is live from the first step that names it to the last. Largest first, each is placed at
 * the lowest offset where it overlaps no buffer that is live at the same time. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <stdlib.h>

static bool live_together(const ex_cpu_buffer *a, const ex_cpu_buffer *b)
{
    return a->first <= b->last && b->first <= a->last;
}

static size_t lowest_offset(const ex_cpu_buffer *b, ex_cpu_buffer *const *placed, int count)
{
    size_t offset = 0;
    for (int i = 0; i < count; i++) {
        const ex_cpu_buffer *p = placed[i];
        if (live_together(b, p) && offset < p->offset + p->bytes && p->offset < offset + b->bytes) {
            offset = p->offset + p->bytes;
            i = -1; /* what was passed before may be in the way now */
        }
    }
    return offset;
}

static int larger_first(const void *left, const void *right)
{
    const ex_cpu_buffer *a = *(ex_cpu_buffer *const *)left, *b = *(ex_cpu_buffer *const *)right;
    if (a->bytes != b->bytes)
        return a->bytes < b->bytes ? 1 : -1;
    return a < b ? -1 : a > b; /* qsort is not stable */
}

ex_status ex_cpu_arena_plan(ex_cpu_plan *plan)
{
    ex_cpu_buffer **shared;
    int count = 0;
    EX_TRY(ex_alloc(&shared, (size_t)plan->buffer_count, sizeof *shared, "placing buffers"));
    plan->arena_bytes = plan->own_bytes = 0;
    for (int i = 0; i < plan->buffer_count; i++) {
        ex_cpu_buffer *b = &plan->buffers[i];
        if (b->keep)
            b->last = plan->step_count;
        if (b->own) {
            b->offset = plan->own_bytes;
            plan->own_bytes += b->bytes;
        } else if (b->first <= b->last) {
            shared[count++] = b;
        }
    }
    qsort(shared, (size_t)count, sizeof *shared, larger_first);
    for (int i = 0; i < count; i++) {
        ex_cpu_buffer *b = shared[i];
        b->offset = lowest_offset(b, shared, i);
        if (plan->arena_bytes < b->offset + b->bytes)
            plan->arena_bytes = b->offset + b->bytes;
    }
    ex_free(&shared);
    return EX_OK;
}

float *ex_cpu_at(const ex_cpu_plan *plan, ex_cpu_ref ref)
{
    const ex_cpu_lane *lane = plan->lane;
    if (ref.buffer == EX_CPU_PARAMS)
        return lane->params + ref.offset;
    if (ref.buffer == EX_CPU_STATS)
        return lane->stats + ref.offset;
    if (ref.buffer < 0)
        return NULL;
    const ex_cpu_buffer *b = &plan->buffers[ref.buffer];
    return (float *)(void *)((b->own ? plan->own : lane->arena) + b->offset) + ref.offset;
}

ex_status ex_cpu_bind(ex_cpu_plan *plan)
{
    if (plan->lane->arena_bytes < plan->arena_bytes)
        EX_TRY(ex_cpu_reserve(plan->lane, plan->arena_bytes, 0));
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
