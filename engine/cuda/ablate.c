/* Forking (plan_fork.h) where kernels read the device's memory, and other lanes fork too. */
#include "cuda/cuda_impl.h"
#include "plan_fork.h"

/* Channels and what fills them, by one copy. */
static ex_status upload_variants(ex_fork_job *j, ex_cuda_plan *to)
{
    const ex_layer *l = &j->to->model->layers[j->f->layer];
    const size_t variants = (size_t)j->f->variants;
    const size_t bytes = variants * (sizeof *j->channel + sizeof *j->fill);
    int32_t *channel;
    EX_TRY(ex_cuda_stage_take(&channel, to->lane, bytes));
    float *fill = (float *)(channel + variants);
    for (size_t v = 0; v < variants; v++) {
        const int32_t c = channel[v] = j->f->channel[v];
        fill[v] = ex_fork_fill(j, c < 0 ? 0.0f : to->lane->constants[l->first_channel + c]);
    }
    j->channel = to->variants;
    j->fill = (const float *)(j->channel + variants);
    return ex_cuda_copy(to->lane, to->variants, channel, bytes);
}

static ex_status queue_fork(ex_fork_job *j, ex_cuda_plan *to, const ex_cuda_plan *from)
{
    if (j->f->variants == 0)
        return EX_OK;
    EX_TRY(upload_variants(j, to));
    EX_TRY(ex_cuda_readers_begin(from, to->lane));
    ex_status status = ex_fork_run(j);
    if (status == EX_OK)
        status = ex_cuda_launches();
    /* After an error too: what was queued before it reads the maps. */
    const ex_status end = ex_cuda_readers_end(from, to->lane);
    return status != EX_OK ? status : end;
}

ex_status ex_cuda_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    ex_cuda_plan *t = ex_cuda_plan_of(to);
    const ex_cuda_plan *source = ex_cuda_plan_of(from);
    ex_fork_job j = {0};
    ex_status status;
    EX_TRY(ex_cuda_enter(t->lane, "forking"));
    EX_TRY(ex_cuda_constants(t->lane));
    EX_TRY(ex_plan_bind(&t->core));
    EX_TRY(ex_cuda_prepare(t));
    EX_TRY_GOTO(ex_fork_begin(&j, &t->core, &source->core, f), done);
    EX_TRY_GOTO(queue_fork(&j, t, source), done);
    *next = j.deeds.next;
done:
    ex_fork_deeds_free(&j.deeds);
    return status;
}
