/* What a plan keeps on the device beside tensors: its mask, and the step that runs. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

#include <string.h>

/* Bytes of the parts of plan->lists. */
typedef struct layout {
    size_t state, segments, affine, rows, index, loss, predicted, label, selected;
    size_t unchanged, variants, ones, total;
} layout;

static size_t part(layout *l, size_t bytes)
{
    const size_t at = l->total;
    l->total += (bytes + EX_CUDA_ALIGN - 1) / EX_CUDA_ALIGN * EX_CUDA_ALIGN;
    return at;
}

static layout layout_of(const ex_cuda_plan *plan, size_t segments, size_t channels)
{
    const size_t rows = (size_t)plan->core.base.spec.batch;
    const size_t batch = ex_plan_trains(&plan->core) ? rows : 0, variants = rows - batch;
    layout l = {0};
    l.state = part(&l, sizeof *plan->state);
    l.segments = part(&l, segments * sizeof *plan->core.segments);
    l.affine = part(&l, sizeof plan->host_affine);
    l.rows = part(&l, channels * sizeof *plan->core.rows);
    l.index = part(&l, batch * sizeof *plan->step_index);
    l.loss = part(&l, batch * sizeof *plan->step_loss);
    l.predicted = part(&l, batch * sizeof *plan->step_predicted);
    l.label = part(&l, batch * sizeof *plan->step_label);
    l.selected = part(&l, channels);
    l.unchanged = part(&l, variants * sizeof *plan->core.unchanged);
    l.variants = part(&l, variants * (sizeof(int32_t) + sizeof(float)));
    l.ones = part(&l, plan->ones_count * sizeof *plan->ones);
    return l;
}

static void point_at_lists(ex_cuda_plan *plan, const layout *l, bool masked)
{
    char *const at = plan->lists;
    plan->state = (void *)(at + l->state);
    plan->core.words = plan->state->words;
    plan->core.segments = (void *)(at + l->segments);
    plan->affine = (void *)(at + l->affine);
    plan->core.affine = plan->affine;
    plan->core.rows = (void *)(at + l->rows);
    plan->step_index = (void *)(at + l->index);
    plan->step_loss = (void *)(at + l->loss);
    plan->step_predicted = (void *)(at + l->predicted);
    plan->step_label = (void *)(at + l->label);
    plan->core.selected = masked ? (void *)(at + l->selected) : NULL;
    plan->core.unchanged = (void *)(at + l->unchanged);
    plan->variants = at + l->variants;
    plan->ones = (void *)(at + l->ones);
}

ex_status ex_cuda_lists_upload(ex_cuda_plan *plan)
{
    const ex_mask *mask = plan->core.base.spec.mask;
    const ex_segment all = {.offset = 0, .length = plan->core.model->param_count};
    const size_t channels = mask ? (size_t)plan->core.model->channel_count : 0;
    plan->core.segment_count = mask ? mask->param_segments : 1;
    const layout l = layout_of(plan, plan->core.segment_count, channels);
    char *host;
    EX_TRY(ex_budget_take(plan->core.lane->budget, l.total));
    plan->lists_bytes = l.total;
    EX_TRY(ex_alloc(&host, l.total, 1, "lists of a plan"));
    memcpy(host + l.segments, mask ? mask->params : &all, plan->core.segment_count * sizeof all);
    memset(host + l.unchanged, 0xff, l.variants - l.unchanged); /* -1 */
    for (size_t i = 0; i < plan->ones_count; i++)
        ((float *)(void *)(host + l.ones))[i] = 1.0f;
    if (mask) {
        ex_plan_rows_list((void *)(host + l.rows), mask->model, mask);
        memcpy(host + l.selected, mask->selected, channels);
    }
    ex_lane_core *lane = plan->core.lane;
    ex_status status = lane->memory->alloc(&plan->lists, lane, l.total, "lists of a plan");
    if (status == EX_OK)
        status = ex_cuda_send(plan->lane, plan->lists, host, l.total);
    if (status == EX_OK)
        point_at_lists(plan, &l, mask != NULL);
    ex_free(&host);
    return status;
}
