/* What makes the nodes of a plan; its life. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

static ex_status choose_layouts(ex_plan_core *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        plan->maps[i].block = n->K;
        plan->maps[i].type = n->op == EX_OP_LINEAR ? EX_MAP_F32 : ex_cuda_type(plan);
    }
    return EX_OK;
}

static const ex_plan_parts parts = {
    .kernels = &ex_kernels_cuda,
    .align = EX_CUDA_ALIGN,
    .node = {[EX_OP_INPUT] = {NULL, ex_plan_input_forward, ex_plan_input_backward},
             [EX_OP_CONV] = {ex_cuda_conv_prepare, ex_cuda_conv_forward, ex_cuda_conv_backward},
             [EX_OP_LINEAR] = {NULL, ex_cuda_linear_forward, ex_cuda_linear_backward},
             [EX_OP_MAXPOOL] = {NULL, ex_cuda_pool_forward, ex_cuda_pool_backward},
             [EX_OP_AVGPOOL] = {NULL, ex_cuda_pool_forward, ex_cuda_pool_backward},
             [EX_OP_SHORTCUT_A] = {NULL, ex_plan_shortcut_forward, ex_plan_shortcut_backward}},
    .layouts = choose_layouts,
    .corrects = ex_cuda_corrects,
    .columns = ex_cuda_columns,
};

static ex_status build(ex_cuda_plan *p)
{
    if (!ex_plan_trains(&p->core))
        EX_TRY(ex_cuda_replays_create(p));
    if (p->core.base.spec.keep_nodes)
        EX_TRY(ex_cuda_readers_create(&p->readers));
    EX_TRY(ex_plan_core_build(&p->core));
    EX_TRY(ex_cuda_lists_upload(p));
    EX_TRY(ex_plan_core_allocate(&p->core));
    p->core.base.bytes += p->lists_bytes;
    return EX_OK;
}

ex_status ex_cuda_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    ex_cuda_plan *p;
    *out = NULL;
    EX_TRY(ex_cuda_enter(l, "making a plan"));
    EX_TRY(ex_alloc(&p, 1, sizeof *p, "plan"));
    ex_plan_core_init(&p->core, &l->core, spec, &parts);
    p->lane = l;
    *out = &p->core.base;
    const ex_status status = build(p);
    if (status != EX_OK)
        ex_cuda_plan_destroy(out);
    return status;
}

void ex_cuda_plan_destroy(ex_plan **plan)
{
    if (!*plan)
        return;
    ex_cuda_plan *p = ex_cuda_plan_of(*plan);
    (void)cudaSetDevice(p->lane->device->index);
    (void)cudaStreamSynchronize(p->lane->stream);
    ex_cuda_graph_free(&p->recording);
    ex_cuda_replays_free(p);
    ex_cuda_readers_destroy(&p->readers);
    ex_plan_core_close(&p->core);
    p->core.lane->memory->free(&p->lists);
    ex_budget_give_back(&p->lane->device->budget, p->lists_bytes);
    ex_free(&p);
    *plan = NULL;
}
