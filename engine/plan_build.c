/* Compiling a model into a plan: tensors, steps, memory. */
#include "base/memory.h"
#include "plan_checks.h"
#include "plan_nodes.h"

/* --- tensors ---------------------------------------------------------------------------------- */

/* A convolution may be added to its residual in place where nothing else reads that. */
static bool in_place(const ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    return plan->parts->in_place && !ex_plan_trains(plan) && !plan->base.spec.keep_nodes &&
           n->op == EX_OP_CONV && n->residual >= 0 && n->residual != n->input &&
           !ex_plan_read_after(plan->model, n->residual, node) &&
           plan->maps[n->residual].block == plan->maps[node].block;
}

static ex_status make_tensors(ex_plan_core *plan)
{
    const int last = plan->model->node_count - 1;
    if (ex_plan_bf16(plan) && plan->model->nodes[last].op != EX_OP_LINEAR)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "%s does not end with a linear layer, whose logits are float32 in bf16 too; "
                       "use another --precision",
                       plan->model->name);
    EX_TRY(plan->parts->layouts(plan));
    plan->input_gradient_block = plan->maps[0].block;
    for (int i = 0; i <= last; i++) {
        ex_plan_map *map = &plan->maps[i];
        if (in_place(plan, i)) {
            map->ref = plan->maps[plan->model->nodes[i].residual].ref;
            continue;
        }
        EX_TRY(ex_plan_map_add(plan, i, &map->ref));
        plan->buffers.list[map->ref.buffer].own = plan->base.spec.keep_nodes;
        plan->buffers.list[map->ref.buffer].keep = i == last;
    }
    return EX_OK;
}

static void find_wanted(ex_plan_core *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_node *n = &plan->model->nodes[i];
        plan->maps[i].wanted = n->op == EX_OP_INPUT
                                   ? plan->base.spec.input_gradient
                                   : (n->layer >= 0 && ex_plan_layer_trained(plan, n->layer)) ||
                                         plan->maps[n->input].wanted ||
                                         (n->residual >= 0 && plan->maps[n->residual].wanted);
    }
}

/* --- steps ------------------------------------------------------------------------------------ */

static ex_status add_prepare(ex_plan_core *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        const ex_plan_add prepare = plan->parts->node[plan->model->nodes[i].op].prepare;
        if (prepare)
            EX_TRY(prepare(plan, i));
    }
    plan->prepared = plan->step_count;
    return EX_OK;
}

static ex_status add_forward(ex_plan_core *plan)
{
    for (int i = 0; i < plan->model->node_count; i++) {
        plan->node_step[i] = plan->step_count;
        EX_TRY(plan->parts->node[plan->model->nodes[i].op].forward(plan, i));
    }
    plan->node_step[plan->model->node_count] = plan->step_count;
    return EX_OK;
}

static ex_status run_loss(ex_plan_core *plan, const ex_plan_step *step)
{
    const int batch = plan->base.spec.batch;
    plan->k->softmax_xent(step->at[1], plan->loss, plan->predicted, step->at[0], plan->label, batch,
                          plan->model->classes, 1.0f / (float)batch, ex_plan_stream(plan));
    return EX_OK;
}

static ex_status add_loss(ex_plan_core *plan)
{
    const int last = plan->model->node_count - 1;
    ex_buffer_ref dlogits = EX_NO_REF;
    ex_plan_step *step;
    if (ex_plan_trains(plan)) {
        EX_TRY(ex_plan_map_add(plan, last, &dlogits));
        EX_TRY(ex_plan_gradient_give(plan, last, dlogits, -1));
    }
    plan->loss_step = plan->step_count;
    EX_TRY(ex_plan_step_add(plan, "loss", last, run_loss, &step));
    step->moved = (size_t)plan->base.spec.batch * (sizeof *plan->loss + sizeof *plan->predicted);
    ex_plan_step_ref(plan, plan->maps[last].ref);
    ex_plan_step_ref(plan, dlogits);
    plan->backward_step = plan->step_count;
    return EX_OK;
}

static ex_status add_backward(ex_plan_core *plan)
{
    for (int i = plan->model->node_count - 1; i >= 0; i--)
        if (plan->maps[i].wanted)
            EX_TRY(plan->parts->node[plan->model->nodes[i].op].backward(plan, i));
    return EX_OK;
}

static ex_status run_sgd(ex_plan_core *plan, const ex_plan_step *step)
{
    plan->k->sgd_segments(plan->lane->params, plan->lane->velocity, step->at[0], plan->segments,
                          plan->segment_count, plan->sgd, ex_plan_stream(plan));
    return EX_OK;
}

enum { SGD_PASSES = 5 }; /* gradients read; values and velocity read and written */

static ex_status add_update(ex_plan_core *plan)
{
    const ex_mask *mask = plan->base.spec.mask;
    ex_plan_step *step;
    for (int i = 0; i < plan->model->node_count; i++)
        EX_TRY(ex_plan_norm_update(plan, i));
    EX_TRY(ex_plan_step_add(plan, "sgd", -1, run_sgd, &step));
    step->update = true;
    step->moved =
        SGD_PASSES * sizeof(float) * (mask ? mask->param_count : plan->model->param_count);
    ex_plan_step_ref(plan, plan->grads);
    return EX_OK;
}

static ex_status add_steps(ex_plan_core *plan)
{
    const bool trains = ex_plan_trains(plan);
    if (trains) {
        find_wanted(plan);
        EX_TRY(ex_plan_buffer_add(plan, plan->model->param_count * sizeof(float), &plan->grads));
        plan->buffers.list[plan->grads.buffer].keep = true;
    }
    EX_TRY(add_prepare(plan));
    EX_TRY(add_forward(plan));
    EX_TRY(add_loss(plan));
    if (!trains)
        return EX_OK;
    EX_TRY(add_backward(plan));
    return add_update(plan);
}

/* --- life ------------------------------------------------------------------------------------- */

void ex_plan_core_init(ex_plan_core *plan, ex_lane_core *lane, const ex_plan_spec *spec,
                       const ex_plan_parts *parts)
{
    plan->base = (ex_plan){.lane = &lane->base, .spec = *spec};
    plan->lane = lane;
    plan->model = lane->base.model;
    plan->parts = parts;
    plan->k = parts->kernels;
}

ex_status ex_plan_core_build(ex_plan_core *plan)
{
    const size_t nodes = (size_t)plan->model->node_count;
    EX_TRY(ex_alloc(&plan->maps, nodes, sizeof *plan->maps, "tensors of a plan"));
    EX_TRY(ex_alloc(&plan->node_step, nodes + 1, sizeof *plan->node_step, "steps of a plan"));
    EX_TRY(make_tensors(plan));
    return add_steps(plan);
}

ex_status ex_plan_core_allocate(ex_plan_core *plan)
{
    ex_plan_buffers *b = &plan->buffers;
    ex_lane_core *lane = plan->lane;
    EX_TRY(ex_plan_buffers_place(b, plan->step_count));
    plan->claim = (ex_lane_claim){.arena = b->arena_bytes, .own = b->own_bytes};
    EX_TRY(ex_lane_reserve(lane, &plan->claim));
    EX_TRY(lane->memory->alloc(&plan->own, lane, b->own_bytes, "memory of a plan"));
    plan->base.bytes = b->arena_bytes + b->own_bytes;
    return EX_OK;
}

void ex_plan_core_close(ex_plan_core *plan)
{
    for (int i = 0; i < plan->step_count; i++)
        if (plan->steps[i].own)
            plan->steps[i].own_free(plan->steps[i].own);
    plan->lane->memory->free(&plan->own);
    ex_lane_release(plan->lane, &plan->claim);
    ex_free(&plan->steps);
    ex_free(&plan->spent);
    ex_plan_buffers_free(&plan->buffers);
    ex_free(&plan->maps);
    ex_free(&plan->node_step);
}
