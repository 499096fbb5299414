#include "plan_fork.h"

static bool corrects(const void *plan, int node)
{
    const ex_plan_core *p = plan;
    return p->parts->corrects(p, node);
}

ex_status ex_fork_begin(ex_fork_job *j, ex_plan_core *to, const ex_plan_core *from,
                        const ex_fork *f)
{
    *j = (ex_fork_job){.to = to, .from = from, .f = f};
    for (int node = 0; node < to->model->node_count; node++)
        if (to->maps[node].block != from->maps[node].block)
            return EX_FAIL(EX_ERR_INTERNAL, "the plans of a fork differ in the layout of node %d",
                           node);
    return ex_fork_decide(&j->deeds, to->model, f, corrects, to);
}

/* Through the layer's ReLU, unless a residual is added first. */
float ex_fork_fill(const ex_fork_job *j, float constant)
{
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    const float value = j->f->ablation == EX_ABLATE_FILTER ? constant : 0.0f;
    const bool relu = j->deeds.constant && j->to->model->nodes[l->node].relu;
    return relu && value < 0.0f ? 0.0f : value;
}

static void *tensor(const ex_plan_core *plan, int node)
{
    return ex_plan_at(plan, plan->maps[node].ref);
}

/* What becomes of a node's map that has one channel changed. */
static ex_channel_change change_of(const ex_fork_job *j, int node)
{
    const ex_node *n = &j->to->model->nodes[node];
    ex_channel_change c = {
        .in = tensor(j->from, node), .channel = j->channel, .fill = j->fill, .V = j->f->variants};
    if (node == j->deeds.node && !j->deeds.constant) {
        c.residual = tensor(j->from, n->residual);
        c.relu = n->relu;
    }
    return c;
}

static void ablate(const ex_fork_job *j, int node, const ex_channel_change *c)
{
    ex_map_shape shape = ex_plan_map_shape(j->from, node);
    shape.N = j->f->images;
    j->to->k->channel_ablate(tensor(j->to, node), c->in, c->residual, c->channel, c->fill, c->relu,
                             c->V, &shape, ex_plan_stream(j->to));
}

static void correct(const ex_fork_job *j, int node)
{
    const ex_plan_core *to = j->to, *from = j->from;
    const ex_channel_change change = change_of(j, to->model->nodes[node].input);
    const ex_conv_shape shape = ex_plan_conv_of(from, node, j->f->images);
    to->k->conv_channel_update(tensor(to, node), ex_plan_at(from, ex_plan_conv_output(from, node)),
                               ex_plan_at(from, from->maps[node].columns), &change, &shape,
                               to->model->nodes[node].relu,
                               ex_plan_at(to, to->maps[node].differences), ex_plan_stream(to));
}

static ex_status do_node(const ex_fork_job *j, int node)
{
    const ex_deed deed = (ex_deed)j->deeds.deed[node];
    if (deed == EX_DEED_RUN)
        return ex_plan_steps(j->to, j->to->node_step[node], j->to->node_step[node + 1], true);
    if (!ex_fork_wants(&j->deeds, node))
        return EX_OK;
    if (deed == EX_DEED_CORRECTED) {
        correct(j, node);
        return EX_OK;
    }
    ex_channel_change change = change_of(j, node);
    if (deed == EX_DEED_SAME)
        change.channel = j->to->unchanged;
    ablate(j, node, &change);
    return EX_OK;
}

ex_status ex_fork_run(const ex_fork_job *j)
{
    for (int node = 0; node < j->deeds.next; node++)
        EX_TRY(do_node(j, node));
    return EX_OK;
}
