/* What makes the nodes of a plan, in which layouts; its life. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <string.h>

enum { CACHE_LINE = 64 };

static ex_status choose_layouts(ex_plan_core *plan)
{
    const int last = plan->model->node_count - 1;
    for (int i = 0; i <= last; i++)
        plan->maps[i].type = ex_plan_bf16(plan) && i < last ? EX_MAP_BF16 : EX_MAP_F32;
    for (int i = 0; i <= last; i++) {
        const ex_node *n = &plan->model->nodes[i];
        ex_plan_map *map = &plan->maps[i];
        if (n->op == EX_OP_INPUT)
            continue; /* what its first reader prefers */
        ex_plan_map *in = &plan->maps[n->input];
        if (n->op == EX_OP_CONV) {
            EX_TRY(ex_cpu_conv_layouts(plan, i));
            continue;
        }
        in->block = in->block ? in->block : 1;
        map->block = n->op == EX_OP_LINEAR || n->K % in->block != 0 ? 1 : in->block;
    }
    return EX_OK;
}

static const ex_plan_parts parts = {
    .kernels = &ex_kernels_host,
    .align = CACHE_LINE,
    .in_place = true,
    .node = {[EX_OP_INPUT] = {NULL, ex_plan_input_forward, ex_plan_input_backward},
             [EX_OP_CONV] = {ex_cpu_conv_prepare, ex_cpu_conv_forward, ex_cpu_conv_backward},
             [EX_OP_LINEAR] = {ex_cpu_linear_prepare, ex_cpu_linear_forward,
                               ex_cpu_linear_backward},
             [EX_OP_MAXPOOL] = {NULL, ex_plan_pool_forward, ex_plan_pool_backward},
             [EX_OP_AVGPOOL] = {NULL, ex_plan_pool_forward, ex_plan_pool_backward},
             [EX_OP_SHORTCUT_A] = {NULL, ex_plan_shortcut_forward, ex_plan_shortcut_backward}},
    .layouts = choose_layouts,
    .corrects = ex_cpu_corrects,
    .columns = ex_cpu_columns,
    .bound = ex_cpu_bound,
};

/* --- lists ------------------------------------------------------------------------------------ */

static void set_segments(ex_cpu_plan *p)
{
    const ex_mask *mask = p->core.base.spec.mask;
    p->all = (ex_segment){.offset = 0, .length = p->core.model->param_count};
    p->core.segments = mask ? mask->params : &p->all;
    p->core.segment_count = mask ? mask->param_segments : 1;
    p->core.selected = mask ? mask->selected : NULL;
}

static ex_status make_lists(ex_cpu_plan *p)
{
    const ex_plan_spec *spec = &p->core.base.spec;
    const size_t batch = (size_t)spec->batch;
    EX_TRY(ex_alloc(&p->pad_index, batch, sizeof *p->pad_index, "feed of a plan"));
    EX_TRY(ex_alloc(&p->pad_label, batch, sizeof *p->pad_label, "feed of a plan"));
    EX_TRY(ex_alloc(&p->core.loss, batch, sizeof *p->core.loss, "results of a plan"));
    EX_TRY(ex_alloc(&p->core.predicted, batch, sizeof *p->core.predicted, "results of a plan"));
    EX_TRY(ex_alloc(&p->unchanged, batch, sizeof *p->unchanged, "variants of a plan"));
    memset(p->unchanged, 0xff, batch * sizeof *p->unchanged); /* -1 */
    p->core.unchanged = p->unchanged;
    p->core.affine = p->affine;
    set_segments(p);
    if (spec->use != EX_USE_TRAIN)
        return EX_OK;
    EX_TRY(ex_alloc(&p->rows, (size_t)p->core.model->channel_count, sizeof *p->rows,
                    "filters of a plan"));
    ex_plan_rows_list(p->rows, p->core.model, spec->mask);
    p->core.rows = p->rows;
    return EX_OK;
}

/* --- life ------------------------------------------------------------------------------------- */

static ex_status build(ex_cpu_plan *p)
{
    ex_plan_core *plan = &p->core;
    EX_TRY(make_lists(p));
    EX_TRY(ex_plan_core_build(plan));
    if (ex_profile_current())
        EX_TRY(ex_alloc(&plan->spent, (size_t)plan->step_count, sizeof *plan->spent, "profile"));
    return ex_plan_core_allocate(plan);
}

ex_status ex_cpu_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    ex_cpu_lane *l = ex_cpu_lane_of(lane);
    ex_cpu_plan *p;
    *out = NULL;
    ex_cpu_enter(&l->core);
    EX_TRY(ex_alloc(&p, 1, sizeof *p, "plan"));
    ex_plan_core_init(&p->core, &l->core, spec, &parts);
    *out = &p->core.base;
    const ex_status status = build(p);
    if (status != EX_OK)
        ex_cpu_plan_destroy(out);
    return status;
}

void ex_cpu_plan_destroy(ex_plan **plan)
{
    if (!*plan)
        return;
    ex_cpu_plan *p = ex_cpu_plan_of(*plan);
    ex_cpu_profile(&p->core);
    ex_plan_core_close(&p->core);
    ex_free(&p->core.loss);
    ex_free(&p->core.predicted);
    ex_free(&p->pad_index);
    ex_free(&p->pad_label);
    ex_free(&p->rows);
    ex_free(&p->unchanged);
    ex_free(&p);
    *plan = NULL;
}
