/* What the steps of a plan took, by layer and kind of step. */
#include "cpu/cpu_impl.h"

#include <stdio.h>

/* "conv forward, layer1.block_0.conv_bn1.conv"; nodes without a layer go by their number. */
static void name_step(char *name, size_t room, const ex_model *m, const ex_plan_step *step)
{
    const int layer = step->node >= 0 ? m->nodes[step->node].layer : -1;
    if (layer >= 0)
        snprintf(name, room, "%s, %s", step->what, m->layers[layer].name);
    else if (step->node > 0)
        snprintf(name, room, "%s, node %d", step->what, step->node);
    else
        snprintf(name, room, "%s", step->what);
}

/* As the model is written: Winograd's convolutions need fewer. */
static double flop_of(const ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_cpu_primitive *p = step->own;
    const int rows = ex_plan_rows_computed(plan, step);
    const bool multiplies = p ? ex_dnn_op_multiplies(&p->op) : ex_cpu_tiles_multiply(step);
    if (step->node < 0 || (!multiplies && rows == 0))
        return 0.0;
    const ex_node *n = &plan->model->nodes[step->node];
    const ex_layer *l = ex_plan_layer_of(plan, step->node);
    const double pixels = (double)plan->base.spec.batch * n->out_H * n->out_W;
    return 2.0 * (double)l->row * (rows ? rows : l->channels) * pixels;
}

/* Of a tensor of ours; places in a vector of the lane, or in the gradients, do not tell. */
static size_t tensor_bytes(const ex_plan_core *plan, ex_buffer_ref ref)
{
    return ref.buffer >= 0 && ref.buffer != plan->grads.buffer
               ? plan->buffers.list[ref.buffer].bytes
               : 0;
}

static size_t bytes_of(const ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_cpu_primitive *p = step->own;
    size_t bytes = step->moved;
    for (int i = 0; i < step->count; i++) {
        if (!p)
            bytes += tensor_bytes(plan, step->ref[i]);
        else if (p->args[i].arg != DNNL_ARG_SCRATCHPAD)
            bytes += ex_dnn_op_bytes(&p->op, p->args[i].arg);
    }
    return bytes;
}

void ex_cpu_profile(const ex_plan_core *plan)
{
    char name[256];
    ex_profile *profile = ex_profile_current();
    if (!profile || !plan->spent)
        return;
    for (int i = 0; i < plan->step_count; i++) {
        ex_profile_row row = plan->spent[i];
        name_step(name, sizeof name, plan->model, &plan->steps[i]);
        const double calls = (double)(row.calls + row.first_calls);
        row.name = name;
        row.flop = calls * flop_of(plan, &plan->steps[i]);
        row.bytes = calls * (double)bytes_of(plan, &plan->steps[i]);
        ex_profile_add(profile, &row);
    }
}
