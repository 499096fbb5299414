#include "fork.h"

#include "base/memory.h"
#include "plan_checks.h"

#include <math.h>

/* One channel differs from what `from` has, or more of them do. */
static bool thin(const ex_fork_deeds *d, int node)
{
    return node >= 0 && (d->deed[node] == EX_DEED_ABLATED || d->deed[node] == EX_DEED_POOLED);
}

static bool thick(const ex_fork_deeds *d, int node)
{
    return node >= 0 && (d->deed[node] == EX_DEED_CORRECTED || d->deed[node] == EX_DEED_RUN);
}

static ex_deed deed_of(const ex_fork_deeds *d, int node, ex_fork_corrects corrects,
                       const void *plan)
{
    const ex_node *n = &d->model->nodes[node];
    if (!thin(d, n->input))
        return thin(d, n->residual) ? EX_DEED_RUN : EX_DEED_SAME;
    if (!thin(d, n->residual) && corrects(plan, node))
        return EX_DEED_CORRECTED;
    const bool pools = n->op == EX_OP_MAXPOOL || n->op == EX_OP_AVGPOOL;
    return d->constant && pools ? EX_DEED_POOLED : EX_DEED_RUN;
}

ex_status ex_fork_decide(ex_fork_deeds *out, const ex_model *model, const ex_fork *f,
                         ex_fork_corrects corrects, const void *plan)
{
    const int node = model->layers[f->layer].node;
    *out = (ex_fork_deeds){.model = model, .node = node};
    out->constant = f->ablation == EX_ABLATE_ACTIVATION || model->nodes[node].residual < 0;
    EX_TRY(ex_alloc(&out->deed, (size_t)model->node_count, 1, "fork"));
    for (int i = 0; i < node; i++)
        out->deed[i] = EX_DEED_SAME;
    out->deed[node] = EX_DEED_ABLATED;
    for (out->next = node + 1; out->next < model->node_count; out->next++) {
        const ex_node *n = &model->nodes[out->next];
        if (thick(out, n->input) || thick(out, n->residual))
            break;
        out->deed[out->next] = (uint8_t)deed_of(out, out->next, corrects, plan);
    }
    return EX_OK;
}

void ex_fork_deeds_free(ex_fork_deeds *deeds)
{
    ex_free(&deeds->deed);
}

bool ex_fork_wants(const ex_fork_deeds *d, int node)
{
    const ex_node *nodes = d->model->nodes;
    for (int i = node + 1; i < d->next; i++)
        if (d->deed[i] == EX_DEED_RUN && (nodes[i].input == node || nodes[i].residual == node))
            return true;
    return node == d->model->node_count - 1 || ex_plan_read_after(d->model, node, d->next - 1);
}

float ex_fork_constant(const ex_layer *l, size_t c, const float *params, const float *stats)
{
    if (l->scale == EX_NONE)
        return 0.0f;
    const float r = params[l->scale + c] / sqrtf(stats[l->var + c] + EX_NORM_EPS);
    return fmaf(-stats[l->mean + c], r, params[l->shift + c]);
}
