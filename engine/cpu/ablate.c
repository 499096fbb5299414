/* Forking (plan_fork.h) where kernels read the host's memory. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"
#include "plan_fork.h"

/* fill (V) */
static void set_fill(ex_fork_job *j, float *fill)
{
    const ex_lane_core *lane = j->to->lane;
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    for (int v = 0; v < j->f->variants; v++) {
        const int c = j->f->channel[v];
        fill[v] = ex_fork_fill(
            j, c < 0 ? 0.0f : ex_fork_constant(l, (size_t)c, lane->params, lane->stats));
    }
    j->channel = j->f->channel;
    j->fill = fill;
}

ex_status ex_cpu_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    ex_plan_core *t = &ex_cpu_plan_of(to)->core;
    float *fill = NULL;
    ex_fork_job j = {0};
    ex_status status;
    ex_cpu_enter(t->lane);
    EX_TRY(ex_plan_bind(t));
    EX_TRY(ex_plan_prepare(t));
    EX_TRY_GOTO(ex_fork_begin(&j, t, &ex_cpu_plan_of(from)->core, f), done);
    EX_TRY_GOTO(ex_alloc(&fill, (size_t)f->variants, sizeof *fill, "fork"), done);
    set_fill(&j, fill);
    EX_TRY_GOTO(ex_fork_run(&j), done);
    *next = j.deeds.next;
done:
    ex_fork_deeds_free(&j.deeds);
    ex_free(&fill);
    return status;
}
