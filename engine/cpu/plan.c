/* Compiling a model into a plan: layouts, tensors, steps, memory. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"
#include "plan_checks.h"

#include <string.h>

static bool trains(const ex_cpu_plan *plan)
{
    return plan->base.spec.use == EX_USE_TRAIN;
}

/* --- layouts and tensors ---------------------------------------------------------------------- */

static ex_status choose_layouts(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        ex_cpu_map *map = &plan->maps[i];
        if (n->op == EX_OP_INPUT)
            continue; /* what its first reader prefers */
        ex_cpu_map *in = &plan->maps[n->input];
        if (n->op == EX_OP_CONV) {
            EX_TRY(ex_cpu_conv_layouts(plan, i));
            continue;
        }
        in->block = in->block ? in->block : 1;
        map->block = n->op == EX_OP_LINEAR || n->K % in->block != 0 ? 1 : in->block;
    }
    return EX_OK;
}

static ex_status choose_types(ex_cpu_plan *plan)
{
    const int last = plan->model->node_count - 1;
    for (int i = 0; i <= last; i++)
        plan->maps[i].type = ex_cpu_bf16(plan) && i < last ? EX_MAP_BF16 : EX_MAP_F32;
    if (ex_cpu_bf16(plan) && plan->model->nodes[last].op != EX_OP_LINEAR)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s does not end with a linear layer, whose logits are float32; use "
                       "--precision fp32",
                       plan->model->name);
    return EX_OK;
}

static void count_readers(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        if (n->input >= 0)
            plan->maps[n->input].readers++;
        if (n->residual >= 0)
            plan->maps[n->residual].readers++;
    }
}

/* Evaluation adds a convolution to its residual in place where nothing else reads that. */
static bool in_place(const ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return !trains(plan) && !plan->base.spec.keep_nodes && n->op == EX_OP_CONV &&
           n->residual >= 0 && n->residual != n->input &&
           !ex_plan_read_after(plan->model, n->residual, node) &&
           plan->maps[n->residual].block == plan->maps[node].block;
}

static ex_status make_tensors(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        ex_cpu_map *map = &plan->maps[i];
        if (in_place(plan, i)) {
            map->ref = plan->maps[plan->model->nodes[i].residual].ref;
            continue;
        }
        EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_bytes(plan, i), &map->ref));
        plan->buffers.list[map->ref.buffer].own = plan->base.spec.keep_nodes;
        plan->buffers.list[map->ref.buffer].keep = i == plan->model->node_count - 1;
    }
    return EX_OK;
}

static void find_wanted(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        plan->maps[i].wanted = n->op == EX_OP_INPUT
                                   ? plan->base.spec.input_gradient
                                   : (n->layer >= 0 && ex_cpu_layer_trained(plan, n->layer)) ||
                                         plan->maps[n->input].wanted ||
                                         (n->residual >= 0 && plan->maps[n->residual].wanted);
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

static ex_status run_gather(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_dataset *d = plan->data;
    const ex_augment augment = {.crop = d->augment.crop,
                                .flip = d->augment.flip,
                                .cutout = d->augment.cutout,
                                .draws = ex_plan_draws(&plan->base, EX_RNG_AUGMENT)};
    const bool varied = trains(plan) && (augment.crop || augment.flip || augment.cutout);
    const ex_gather_shape g = {.N = plan->base.spec.batch,
                               .C = d->channels,
                               .H = d->height,
                               .W = d->width,
                               .out_H = step->shape.H,
                               .out_W = step->shape.W,
                               .top = (step->shape.H - d->height) / 2,
                               .left = (step->shape.W - d->width) / 2,
                               .block = step->shape.block,
                               .type = step->shape.type,
                               .scale = plan->scale,
                               .shift = plan->shift,
                               .augment = varied ? &augment : NULL};
    ex_kernels_host.batch_gather(step->at[0], d->images, plan->index, &g, ex_cpu_stream(plan));
    return EX_OK;
}

static ex_status add_gather(ex_cpu_plan *plan, int node)
{
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "gather", node, run_gather, &step));
    step->shape = (ex_map_shape){.H = plan->model->in_height,
                                 .W = plan->model->in_width,
                                 .block = plan->maps[node].block,
                                 .type = plan->maps[node].type};
    step->moved = ex_cpu_map_floats(plan, node); /* a byte each */
    ex_cpu_step_ref(plan, plan->maps[node].ref, 0);
    return EX_OK;
}

static ex_status add_prepare(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        if (plan->model->nodes[i].op == EX_OP_CONV)
            EX_TRY(ex_cpu_conv_prepare(plan, i));
        else if (plan->model->nodes[i].op == EX_OP_LINEAR)
            EX_TRY(ex_cpu_linear_prepare(plan, i));
    }
    plan->prepared = plan->step_count;
    return EX_OK;
}

static ex_status add_forward(ex_cpu_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        plan->node_step[i] = plan->step_count;
        switch (plan->model->nodes[i].op) {
        case EX_OP_INPUT:
            EX_TRY(add_gather(plan, i));
            break;
        case EX_OP_CONV:
            EX_TRY(ex_cpu_conv_forward(plan, i));
            break;
        case EX_OP_LINEAR:
            EX_TRY(ex_cpu_linear_forward(plan, i));
            break;
        case EX_OP_MAXPOOL:
        case EX_OP_AVGPOOL:
            EX_TRY(ex_cpu_pool_forward(plan, i));
            break;
        case EX_OP_SHORTCUT_A:
            EX_TRY(ex_cpu_shortcut_forward(plan, i));
            break;
        }
    }
    plan->node_step[plan->model->node_count] = plan->step_count;
    return EX_OK;
}

static ex_status run_loss(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const int batch = plan->base.spec.batch;
    ex_kernels_host.softmax_xent(step->at[3], step->at[0], (int32_t *)(void *)step->at[1],
                                 step->at[2], plan->label, batch, plan->model->classes,
                                 1.0f / (float)batch, ex_cpu_stream(plan));
    return EX_OK;
}

static ex_status add_loss(ex_cpu_plan *plan)
{
    const int last = plan->model->node_count - 1;
    const size_t rows = (size_t)plan->base.spec.batch * sizeof(float);
    ex_cpu_ref dlogits = {.buffer = EX_CPU_NOTHING};
    EX_TRY(ex_cpu_buffer_add(plan, rows, &plan->loss));
    EX_TRY(ex_cpu_buffer_add(plan, rows, &plan->predicted));
    plan->buffers.list[plan->loss.buffer].keep = plan->buffers.list[plan->predicted.buffer].keep =
        true;
    if (trains(plan)) {
        EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_floats(plan, last) * sizeof(float), &dlogits));
        EX_TRY(ex_cpu_gradient_give(plan, last, dlogits, -1));
    }
    plan->loss_step = plan->step_count;
    EX_TRY(ex_cpu_step_add(plan, "loss", last, run_loss, NULL));
    ex_cpu_step_ref(plan, plan->loss, 0);
    ex_cpu_step_ref(plan, plan->predicted, 0);
    ex_cpu_step_ref(plan, plan->maps[last].ref, 0);
    ex_cpu_step_ref(plan, dlogits, 0);
    plan->backward_step = plan->step_count;
    return EX_OK;
}

static ex_status add_backward(ex_cpu_plan *plan)
{
    for (int i = plan->model->node_count - 1; i >= 0; i--) {
        if (!plan->maps[i].wanted)
            continue;
        switch (plan->model->nodes[i].op) {
        case EX_OP_INPUT:
            EX_TRY(ex_cpu_gradient_sum(plan, i, false, &plan->input_gradient));
            plan->buffers.list[plan->input_gradient.buffer].keep = true;
            break;
        case EX_OP_CONV:
            EX_TRY(ex_cpu_conv_backward(plan, i));
            break;
        case EX_OP_LINEAR:
            EX_TRY(ex_cpu_linear_backward(plan, i));
            break;
        case EX_OP_MAXPOOL:
        case EX_OP_AVGPOOL:
            EX_TRY(ex_cpu_pool_backward(plan, i));
            break;
        case EX_OP_SHORTCUT_A:
            EX_TRY(ex_cpu_shortcut_backward(plan, i));
            break;
        }
    }
    return EX_OK;
}

static ex_status run_sgd(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    const ex_mask *mask = plan->base.spec.mask;
    ex_kernels_host.sgd_segments(plan->lane->params, plan->lane->velocity, step->at[0],
                                 mask ? mask->params : &plan->all, mask ? mask->param_segments : 1,
                                 plan->sgd, ex_cpu_stream(plan));
    return EX_OK;
}

enum { SGD_PASSES = 5 }; /* gradients read; values and velocity read and written */

static ex_status add_update(ex_cpu_plan *plan)
{
    ex_cpu_step *step;
    for (int i = 0; i < plan->model->node_count; i++)
        EX_TRY(ex_cpu_norm_update(plan, i));
    EX_TRY(ex_cpu_step_add(plan, "sgd", -1, run_sgd, &step));
    step->update = true;
    plan->all = (ex_segment){.offset = 0, .length = plan->model->param_count};
    step->moved = SGD_PASSES * sizeof(float) *
                  (plan->base.spec.mask ? plan->base.spec.mask->param_count : plan->all.length);
    ex_cpu_step_ref(plan, plan->grads, 0);
    return EX_OK;
}

static ex_status build_training(ex_cpu_plan *plan)
{
    EX_TRY(ex_cpu_rows_list(plan));
    find_wanted(plan);
    EX_TRY(ex_cpu_buffer_add(plan, plan->model->param_count * sizeof(float), &plan->grads));
    plan->buffers.list[plan->grads.buffer].keep = true;
    EX_TRY(add_prepare(plan));
    EX_TRY(add_forward(plan));
    EX_TRY(add_loss(plan));
    EX_TRY(add_backward(plan));
    return add_update(plan);
}

static ex_status build_evaluation(ex_cpu_plan *plan)
{
    EX_TRY(add_prepare(plan));
    EX_TRY(add_forward(plan));
    return add_loss(plan);
}

/* --- life ------------------------------------------------------------------------------------- */

static ex_status allocate(ex_cpu_plan *plan)
{
    EX_TRY(ex_plan_buffers_place(&plan->buffers, plan->step_count));
    EX_TRY(ex_cpu_reserve(plan->lane, plan->buffers.arena_bytes, plan->buffers.own_bytes));
    const ex_status status = ex_alloc(&plan->own, plan->buffers.own_bytes, 1, "memory of a plan");
    if (status != EX_OK) {
        ex_cpu_release(plan->lane, plan->buffers.own_bytes);
        return status;
    }
    plan->base.bytes = plan->buffers.arena_bytes + plan->buffers.own_bytes;
    return EX_OK;
}

static ex_status build(ex_cpu_plan *plan)
{
    const size_t nodes = (size_t)plan->model->node_count, batch = (size_t)plan->base.spec.batch;
    EX_TRY(ex_alloc(&plan->maps, nodes, sizeof *plan->maps, "tensors of a plan"));
    EX_TRY(ex_alloc(&plan->node_step, nodes + 1, sizeof *plan->node_step, "steps of a plan"));
    EX_TRY(ex_alloc(&plan->pad_index, batch, sizeof *plan->pad_index, "feed of a plan"));
    EX_TRY(ex_alloc(&plan->pad_label, batch, sizeof *plan->pad_label, "feed of a plan"));
    EX_TRY(choose_types(plan));
    EX_TRY(choose_layouts(plan));
    count_readers(plan);
    plan->input_gradient_block = plan->maps[0].block;
    EX_TRY(make_tensors(plan));
    EX_TRY(trains(plan) ? build_training(plan) : build_evaluation(plan));
    return allocate(plan);
}

ex_status ex_cpu_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    ex_cpu_plan *plan;
    *out = NULL;
    EX_CHECK_ARG(spec->batch >= 1, "a plan needs a batch of at least 1, not %d", spec->batch);
    ex_cpu_enter(ex_cpu_lane_of(lane));
    EX_TRY(ex_alloc(&plan, 1, sizeof *plan, "plan"));
    plan->base = (ex_plan){.lane = lane, .spec = *spec};
    plan->lane = ex_cpu_lane_of(lane);
    plan->model = lane->model;
    plan->profiled = ex_profile_current() != NULL;
    *out = &plan->base;
    const ex_status status = build(plan);
    if (status != EX_OK)
        ex_cpu_plan_destroy(out);
    return status;
}

void ex_cpu_plan_destroy(ex_plan **plan)
{
    if (!*plan)
        return;
    ex_cpu_plan *p = ex_cpu_plan_of(*plan);
    ex_cpu_profile(p);
    for (int i = 0; i < p->step_count; i++) {
        for (int j = 0; j < p->steps[i].count; j++)
            if (p->steps[i].args[j].memory)
                dnnl_memory_destroy(p->steps[i].args[j].memory);
        ex_dnn_op_destroy(&p->steps[i].op);
    }
    if (p->own)
        ex_cpu_release(p->lane, p->buffers.own_bytes);
    ex_free(&p->own);
    ex_free(&p->steps);
    ex_plan_buffers_free(&p->buffers);
    ex_free(&p->maps);
    ex_free(&p->node_step);
    ex_free(&p->rows);
    ex_free(&p->pad_index);
    ex_free(&p->pad_label);
    ex_free(&p);
    *plan = NULL;
}
