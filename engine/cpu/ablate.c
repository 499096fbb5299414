/* Forking: V variants of a batch, each with one channel of one layer ablated. What is done about
 * each node is decided in fork.c; corrections are made in correct.c. Tensors that are still to be
 * read are copied. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"
#include "fork.h"
#include "plan_checks.h"

#include <string.h>

typedef struct fork_job {
    ex_cpu_plan *to;
    const ex_cpu_plan *from;
    const ex_fork *f;
    const ex_node *nodes;
    ex_fork_deeds deeds;
    float *fill;   /* (V) */
    float *pooled; /* (V) fill through the layer's ReLU */
} fork_job;

static void set_fill(const fork_job *j)
{
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    const ex_cpu_lane *lane = j->to->lane;
    for (int v = 0; v < j->f->variants; v++) {
        const int c = j->f->channel[v];
        j->fill[v] = j->f->ablation == EX_ABLATE_FILTER && c >= 0
                         ? ex_fork_constant(l, (size_t)c, lane->params, lane->stats)
                         : 0.0f;
        j->pooled[v] = j->nodes[l->node].relu && j->fill[v] < 0.0f ? 0.0f : j->fill[v];
    }
}

static bool corrects(const void *plan, int node)
{
    return ex_cpu_corrects(plan, node);
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
    if (node == j->deeds.node && !j->deeds.constant) {
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
    const ex_deed d = (ex_deed)j->deeds.deed[node];
    if (d == EX_DEED_RUN)
        return ex_cpu_steps(j->to, j->to->node_step[node], j->to->node_step[node + 1], true);
    if (!ex_fork_wants(&j->deeds, node))
        return EX_OK;
    if (d == EX_DEED_SAME) {
        copy(j, node);
    } else if (d == EX_DEED_CORRECTED) {
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
                  .nodes = to->lane->model->nodes};
    ex_cpu_enter(j.to->lane);
    EX_TRY(ex_cpu_bind(j.to));
    EX_TRY(ex_cpu_prepare(j.to));
    EX_TRY(check_layouts(&j));
    EX_TRY_GOTO(ex_fork_decide(&j.deeds, j.to->model, f, corrects, j.to), done);
    EX_TRY_GOTO(ex_alloc(&j.fill, (size_t)f->variants, sizeof *j.fill, "fork"), done);
    EX_TRY_GOTO(ex_alloc(&j.pooled, (size_t)f->variants, sizeof *j.pooled, "fork"), done);
    set_fill(&j);
    for (int node = 0; node < j.deeds.next; node++)
        EX_TRY_GOTO(do_node(&j, node), done);
    *next = j.deeds.next;
done:
    ex_fork_deeds_free(&j.deeds);
    ex_free(&j.fill);
    ex_free(&j.pooled);
    return status;
}
