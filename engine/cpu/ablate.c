/* Forking: V variants of a batch, each with one channel of one layer ablated.
 *
 * The layer itself does not run again: a zeroed filter leaves the constant that its norm makes of
 * 0 (plus the residual), a zeroed activation leaves 0. Nor do the convolutions that read nothing
 * else that changed: they are corrected (correct.c), also through a pooling, whose map changes in
 * the same channel. What else reads the ablated map alone runs here; the first node that reads more
 * than one changed channel is left to the caller. Tensors that are still to be read are copied. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"
#include "plan_checks.h"

#include <math.h>
#include <string.h>

/* What a fork does about a node, and so what the node's tensor is. */
typedef enum deed {
    SAME,    /* copies of what `from` has */
    ABLATED, /* the layer's own node: copies, one channel replaced */
    POOLED,  /* the same behind a pooling of a channel that is constant */
    CORRECTED,
    RUN, /* on the variants */
} deed;

typedef struct fork_job {
    ex_cpu_plan *to;
    const ex_cpu_plan *from;
    const ex_fork *f;
    const ex_node *nodes;
    int node, next; /* the layer's; the first one that is left */
    bool constant;  /* the replaced channel has one value */
    uint8_t *deed;  /* (node_count) */
    float *fill;    /* (V) */
    float *pooled;  /* (V) fill through the layer's ReLU */
} fork_job;

/* What channel c of the layer's norm makes of a filter of zeros; 0 without a norm. */
static float constant(const ex_cpu_lane *lane, const ex_layer *l, int c)
{
    if (l->scale == EX_NONE || c < 0)
        return 0.0f;
    const float r =
        lane->params[l->scale + (size_t)c] / sqrtf(lane->stats[l->var + (size_t)c] + EX_NORM_EPS);
    return fmaf(-lane->stats[l->mean + (size_t)c], r, lane->params[l->shift + (size_t)c]);
}

static void set_fill(const fork_job *j)
{
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    for (int v = 0; v < j->f->variants; v++) {
        j->fill[v] =
            j->f->ablation == EX_ABLATE_FILTER ? constant(j->to->lane, l, j->f->channel[v]) : 0.0f;
        j->pooled[v] = j->nodes[j->node].relu && j->fill[v] < 0.0f ? 0.0f : j->fill[v];
    }
}

/* --- what is to be done ----------------------------------------------------------------------- */

/* One channel differs from what `from` has, or more of them do. */
static bool thin(const fork_job *j, int node)
{
    return node >= 0 && (j->deed[node] == ABLATED || j->deed[node] == POOLED);
}

static bool thick(const fork_job *j, int node)
{
    return node >= 0 && (j->deed[node] == CORRECTED || j->deed[node] == RUN);
}

static deed deed_of(const fork_job *j, int node)
{
    const ex_node *n = &j->nodes[node];
    if (!thin(j, n->input))
        return thin(j, n->residual) ? RUN : SAME;
    if (!thin(j, n->residual) && ex_cpu_corrects(j->to, node))
        return CORRECTED;
    return j->constant && (n->op == EX_OP_MAXPOOL || n->op == EX_OP_AVGPOOL) ? POOLED : RUN;
}

static void decide(fork_job *j)
{
    const int count = j->to->model->node_count;
    for (int i = 0; i < j->node; i++)
        j->deed[i] = SAME;
    j->deed[j->node] = ABLATED;
    for (j->next = j->node + 1; j->next < count; j->next++) {
        if (thick(j, j->nodes[j->next].input) || thick(j, j->nodes[j->next].residual))
            return;
        j->deed[j->next] = (uint8_t)deed_of(j, j->next);
    }
}

/* Whether a node that runs, here or later, reads the tensor. */
static bool wanted(const fork_job *j, int node)
{
    for (int i = node + 1; i < j->next; i++)
        if (j->deed[i] == RUN && (j->nodes[i].input == node || j->nodes[i].residual == node))
            return true;
    return node == j->to->model->node_count - 1 ||
           ex_plan_read_after(j->to->model, node, j->next - 1);
}

/* --- doing it --------------------------------------------------------------------------------- */

static void copy(const fork_job *j, int node)
{
    const size_t bytes =
        ex_cpu_map_bytes(j->from, node) / (size_t)j->from->base.spec.batch * (size_t)j->f->images;
    const void *in = ex_cpu_at(j->from, j->from->maps[node].ref);
    char *out = (char *)ex_cpu_at(j->to, j->to->maps[node].ref);
    for (int v = 0; v < j->f->variants; v++)
        memcpy(out + (size_t)v * bytes, in, bytes);
}

/* What becomes of a thin node's map. */
static ex_channel_change change_of(const fork_job *j, int node)
{
    const int residual = j->nodes[node].residual;
    ex_channel_change c = {.in = ex_cpu_at(j->from, j->from->maps[node].ref),
                           .channel = j->f->channel,
                           .fill = j->pooled,
                           .V = j->f->variants};
    if (node == j->node && !j->constant) {
        c.residual = ex_cpu_at(j->from, j->from->maps[residual].ref);
        c.fill = j->fill;
        c.relu = j->nodes[node].relu;
    }
    return c;
}

static void ablate(const fork_job *j, int node)
{
    const ex_node *n = &j->nodes[node];
    const ex_channel_change c = change_of(j, node);
    const ex_map_shape shape = {.N = j->f->images,
                                .C = n->K,
                                .H = n->out_H,
                                .W = n->out_W,
                                .block = j->to->maps[node].block,
                                .type = j->to->maps[node].type};
    ex_kernels_host.channel_ablate(ex_cpu_at(j->to, j->to->maps[node].ref), c.in, c.residual,
                                   c.channel, c.fill, c.relu, c.V, &shape, ex_cpu_stream(j->to));
}

static ex_status do_node(const fork_job *j, int node)
{
    const deed d = (deed)j->deed[node];
    if (d == RUN)
        return ex_cpu_steps(j->to, j->to->node_step[node], j->to->node_step[node + 1], true);
    if (!wanted(j, node))
        return EX_OK;
    if (d == SAME) {
        copy(j, node);
    } else if (d == CORRECTED) {
        const ex_channel_change change = change_of(j, j->nodes[node].input);
        ex_cpu_correct(j->to, j->from, node, j->f->images, &change);
    } else {
        ablate(j, node);
    }
    return EX_OK;
}

static ex_status check_layouts(const fork_job *j)
{
    for (int node = 0; node < j->to->model->node_count; node++)
        if (j->to->maps[node].block != j->from->maps[node].block)
            return EX_FAIL(EX_ERR_INTERNAL, "the plans of a fork differ in the layout of node %d",
                           node);
    return EX_OK;
}

ex_status ex_cpu_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    ex_status status;
    EX_TRY(ex_plan_check_fork(to, from, f));
    fork_job j = {.to = ex_cpu_plan_of(to),
                  .from = (const ex_cpu_plan *)from,
                  .f = f,
                  .nodes = to->lane->model->nodes,
                  .node = to->lane->model->layers[f->layer].node};
    j.constant = f->ablation == EX_ABLATE_ACTIVATION || j.nodes[j.node].residual < 0;
    ex_cpu_enter(j.to->lane);
    EX_TRY(ex_cpu_bind(j.to));
    EX_TRY(ex_cpu_prepare(j.to));
    EX_TRY(check_layouts(&j));
    EX_TRY_GOTO(ex_alloc(&j.deed, (size_t)j.to->model->node_count, 1, "fork"), done);
    EX_TRY_GOTO(ex_alloc(&j.fill, (size_t)f->variants, sizeof *j.fill, "fork"), done);
    EX_TRY_GOTO(ex_alloc(&j.pooled, (size_t)f->variants, sizeof *j.pooled, "fork"), done);
    set_fill(&j);
    decide(&j);
    for (int node = 0; node < j.next; node++)
        EX_TRY_GOTO(do_node(&j, node), done);
    *next = j.next;
done:
    ex_free(&j.deed);
    ex_free(&j.fill);
    ex_free(&j.pooled);
    return status;
}
