/* Forking: V variants of a batch, each with one channel of one layer ablated.
 *
 * The layer itself does not run again: a zeroed filter leaves the constant that its norm makes of
 * 0 (plus the residual), a zeroed activation leaves 0. Tensors that are still to be read are
 * copied. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"
#include "plan_checks.h"

#include <math.h>
#include <string.h>

/* What channel c of the layer's norm makes of a filter of zeros; 0 without a norm. */
static float constant(const ex_cpu_lane *lane, const ex_layer *l, int c)
{
    if (l->scale == EX_NONE || c < 0)
        return 0.0f;
    const float r =
        lane->params[l->scale + (size_t)c] / sqrtf(lane->stats[l->var + (size_t)c] + EX_NORM_EPS);
    return fmaf(-lane->stats[l->mean + (size_t)c], r, lane->params[l->shift + (size_t)c]);
}

static void ablate(ex_cpu_plan *to, const ex_cpu_plan *from, const ex_fork *f, const float *fill)
{
    const ex_layer *l = &to->model->layers[f->layer];
    const ex_node *n = &to->model->nodes[l->node];
    const bool residual = f->ablation == EX_ABLATE_FILTER && n->residual >= 0;
    const ex_map_shape shape = {
        .N = f->images, .C = n->K, .H = n->out_H, .W = n->out_W, .block = to->maps[l->node].block};
    ex_kernels_host.channel_ablate(
        ex_cpu_at(to, to->maps[l->node].ref), ex_cpu_at(from, from->maps[l->node].ref),
        residual ? ex_cpu_at(from, from->maps[n->residual].ref) : NULL, f->channel, fill, n->relu,
        f->variants, &shape, ex_cpu_stream(to));
}

static void copy_live(ex_cpu_plan *to, const ex_cpu_plan *from, const ex_fork *f, int node)
{
    const size_t floats =
        ex_cpu_map_floats(from, node) / (size_t)from->base.spec.batch * (size_t)f->images;
    const float *in = ex_cpu_at(from, from->maps[node].ref);
    float *out = ex_cpu_at(to, to->maps[node].ref);
    for (int v = 0; v < f->variants; v++)
        memcpy(out + (size_t)v * floats, in, floats * sizeof *out);
}

ex_status ex_cpu_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    ex_cpu_plan *t = ex_cpu_plan_of(to);
    const ex_cpu_plan *s = (const ex_cpu_plan *)from;
    EX_TRY(ex_plan_check_fork(to, from, f));
    const ex_layer *l = &t->model->layers[f->layer];
    float *fill;
    ex_cpu_enter(t->lane);
    EX_TRY(ex_cpu_bind(t));
    EX_TRY(ex_cpu_prepare(t));
    for (int node = 0; node <= l->node; node++)
        if (t->maps[node].block != s->maps[node].block)
            return EX_FAIL(EX_ERR_INTERNAL, "the plans of a fork differ in the layout of node %d",
                           node);
    EX_TRY(ex_alloc(&fill, (size_t)f->variants, sizeof *fill, "fork"));
    for (int v = 0; v < f->variants; v++)
        fill[v] = f->ablation == EX_ABLATE_FILTER ? constant(t->lane, l, f->channel[v]) : 0.0f;
    for (int node = 0; node < l->node; node++)
        if (ex_plan_read_after(t->model, node, l->node))
            copy_live(t, s, f, node);
    ablate(t, s, f, fill);
    ex_free(&fill);
    *next = l->node + 1;
    return EX_OK;
}
