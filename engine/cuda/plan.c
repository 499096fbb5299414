/* Compiling a model into a plan: tensors, steps, memory. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

/* --- tensors ---------------------------------------------------------------------------------- */

static ex_status make_tensors(ex_cuda_plan *plan)
{
    const int last = plan->model->node_count - 1;
    if (ex_cuda_type(plan) != EX_MAP_F32 && plan->model->nodes[last].op != EX_OP_LINEAR)
        return EX_FAIL(
            EX_ERR_UNSUPPORTED,
            "%s does not end in a linear layer, whose logits are float32 in bf16 too; use "
            "--precision fp32 or tf32",
            plan->model->name);
    for (int i = 0; i <= last; i++) {
        ex_cuda_map *map = &plan->maps[i];
        const bool linear = plan->model->nodes[i].op == EX_OP_LINEAR;
        map->type = linear ? EX_MAP_F32 : ex_cuda_type(plan);
        EX_TRY(ex_cuda_map_add(plan, i, &map->ref));
        plan->buffers.list[map->ref.buffer].own = plan->base.spec.keep_nodes;
        plan->buffers.list[map->ref.buffer].keep = i == last;
    }
    return EX_OK;
}

static void find_wanted(ex_cuda_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        plan->maps[i].wanted = n->op == EX_OP_INPUT
                                   ? plan->base.spec.input_gradient
                                   : (n->layer >= 0 && ex_cuda_layer_trained(plan, n->layer)) ||
                                         plan->maps[n->input].wanted ||
                                         (n->residual >= 0 && plan->maps[n->residual].wanted);
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

static ex_status run_gather(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const ex_dataset *d = plan->data;
    const ex_augment augment = {.crop = d->augment.crop,
                                .flip = d->augment.flip,
                                .cutout = d->augment.cutout,
                                .draws = ex_cuda_draws(plan, EX_RNG_AUGMENT)};
    const bool varied = ex_cuda_trains(plan) && (augment.crop || augment.flip || augment.cutout);
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
                               .scale = plan->affine,
                               .shift = plan->affine + d->channels,
                               .augment = varied ? &augment : NULL};
    ex_kernels_cuda.batch_gather(step->at[0], plan->images, plan->index, &g, ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status add_gather(ex_cuda_plan *plan, int node)
{
    ex_cuda_step *step;
    EX_TRY(ex_cuda_step_add(plan, "gather", node, run_gather, &step));
    step->shape = ex_cuda_shape(plan, node);
    ex_cuda_step_ref(plan, plan->maps[node].ref);
    return EX_OK;
}

static ex_status add_node_forward(ex_cuda_plan *plan, int node)
{
    switch (plan->model->nodes[node].op) {
    case EX_OP_INPUT:
        return add_gather(plan, node);
    case EX_OP_CONV:
        return ex_cuda_conv_forward(plan, node);
    case EX_OP_LINEAR:
        return ex_cuda_linear_forward(plan, node);
    case EX_OP_MAXPOOL:
    case EX_OP_AVGPOOL:
        return ex_cuda_pool_forward(plan, node);
    case EX_OP_SHORTCUT_A:
        return ex_cuda_shortcut_forward(plan, node);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "node %d is of no kind", node);
}

static ex_status add_forward(ex_cuda_plan *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        plan->node_step[i] = plan->step_count;
        EX_TRY(add_node_forward(plan, i));
    }
    plan->node_step[plan->model->node_count] = plan->step_count;
    return EX_OK;
}

static ex_status run_loss(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    const int batch = plan->base.spec.batch;
    ex_kernels_cuda.softmax_xent(step->at[1], plan->loss, plan->predicted, step->at[0], plan->label,
                                 batch, plan->model->classes, 1.0f / (float)batch,
                                 ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status add_loss(ex_cuda_plan *plan)
{
    const int last = plan->model->node_count - 1;
    ex_cuda_ref dlogits = EX_CUDA_NO_REF;
    if (ex_cuda_trains(plan)) {
        EX_TRY(ex_cuda_map_add(plan, last, &dlogits));
        EX_TRY(ex_cuda_gradient_give(plan, last, dlogits, -1));
    }
    plan->loss_step = plan->step_count;
    EX_TRY(ex_cuda_step_add(plan, "loss", last, run_loss, NULL));
    ex_cuda_step_ref(plan, plan->maps[last].ref);
    ex_cuda_step_ref(plan, dlogits);
    return EX_OK;
}

static ex_status add_node_backward(ex_cuda_plan *plan, int node)
{
    switch (plan->model->nodes[node].op) {
    case EX_OP_INPUT:
        EX_TRY(ex_cuda_gradient_sum(plan, node, false, &plan->input_gradient));
        plan->buffers.list[plan->input_gradient.buffer].keep = true;
        return EX_OK;
    case EX_OP_CONV:
        return ex_cuda_conv_backward(plan, node);
    case EX_OP_LINEAR:
        return ex_cuda_linear_backward(plan, node);
    case EX_OP_MAXPOOL:
    case EX_OP_AVGPOOL:
        return ex_cuda_pool_backward(plan, node);
    case EX_OP_SHORTCUT_A:
        return ex_cuda_shortcut_backward(plan, node);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "node %d is of no kind", node);
}

static ex_status run_sgd(ex_cuda_plan *plan, const ex_cuda_step *step)
{
    ex_kernels_cuda.sgd_segments(plan->lane->params, plan->lane->velocity, step->at[0],
                                 plan->segments, plan->segment_count, plan->sgd,
                                 ex_cuda_stream(plan));
    return EX_OK;
}

static ex_status add_update(ex_cuda_plan *plan)
{
    ex_cuda_step *step;
    for (int i = 0; i < plan->model->node_count; i++)
        EX_TRY(ex_cuda_norm_update(plan, i));
    EX_TRY(ex_cuda_step_add(plan, "sgd", -1, run_sgd, &step));
    step->update = true;
    ex_cuda_step_ref(plan, plan->grads);
    return EX_OK;
}

static ex_status build_training(ex_cuda_plan *plan)
{
    find_wanted(plan);
    EX_TRY(ex_cuda_buffer_add(plan, plan->model->param_count * sizeof(float), &plan->grads));
    plan->buffers.list[plan->grads.buffer].keep = true;
    EX_TRY(add_forward(plan));
    EX_TRY(add_loss(plan));
    for (int i = plan->model->node_count - 1; i >= 0; i--)
        if (plan->maps[i].wanted)
            EX_TRY(add_node_backward(plan, i));
    return add_update(plan);
}

static ex_status build_evaluation(ex_cuda_plan *plan)
{
    EX_TRY(ex_cuda_replays_create(plan));
    if (plan->base.spec.keep_nodes)
        EX_TRY(ex_cuda_readers_create(&plan->readers));
    for (int i = 0; i < plan->model->node_count; i++)
        if (plan->model->nodes[i].op == EX_OP_CONV) {
            EX_TRY(ex_cuda_conv_prepare(plan, i));
            EX_TRY(ex_cuda_correct_prepare(plan, i));
        }
    plan->prepared = plan->step_count;
    EX_TRY(add_forward(plan));
    return add_loss(plan);
}

/* --- life ------------------------------------------------------------------------------------- */

static ex_status allocate(ex_cuda_plan *plan)
{
    ex_plan_buffers *b = &plan->buffers;
    EX_TRY(ex_plan_buffers_place(b, plan->step_count));
    EX_TRY(ex_cuda_reserve(plan->lane, b->arena_bytes, b->own_bytes));
    const ex_status status =
        ex_cuda_alloc(&plan->own, plan->lane->device, b->own_bytes, "memory of a plan");
    if (status != EX_OK) {
        ex_cuda_account_back(plan->lane->device, b->own_bytes);
        return status;
    }
    plan->base.bytes = b->arena_bytes + b->own_bytes;
    return EX_OK;
}

static ex_status build(ex_cuda_plan *plan)
{
    const size_t nodes = (size_t)plan->model->node_count;
    EX_TRY(ex_alloc(&plan->maps, nodes, sizeof *plan->maps, "tensors of a plan"));
    EX_TRY(ex_alloc(&plan->node_step, nodes + 1, sizeof *plan->node_step, "steps of a plan"));
    EX_TRY(make_tensors(plan));
    EX_TRY(ex_cuda_trains(plan) ? build_training(plan) : build_evaluation(plan));
    EX_TRY(ex_cuda_lists_upload(plan));
    return allocate(plan);
}

ex_status ex_cuda_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    ex_cuda_plan *plan;
    *out = NULL;
    EX_CHECK_ARG(spec->batch >= 1, "a plan needs a batch of at least 1, not %d", spec->batch);
    EX_TRY(ex_cuda_enter(ex_cuda_lane_of(lane), "making a plan"));
    EX_TRY(ex_alloc(&plan, 1, sizeof *plan, "plan"));
    plan->base = (ex_plan){.lane = lane, .spec = *spec};
    plan->lane = ex_cuda_lane_of(lane);
    plan->model = lane->model;
    *out = &plan->base;
    const ex_status status = build(plan);
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
    ex_cuda_steps_free(p);
    if (p->own)
        ex_cuda_account_back(p->lane->device, p->buffers.own_bytes);
    ex_cuda_free(&p->own);
    ex_cuda_free(&p->lists);
    ex_plan_buffers_free(&p->buffers);
    ex_free(&p->maps);
    ex_free(&p->node_step);
    ex_free(&p);
    *plan = NULL;
}
