/* Forking: V variants of a batch, each with one channel of one layer ablated.
 *
 * The layer itself does not run again: a zeroed filter leaves the constant that its norm makes of 0
 * (plus the residual), a zeroed activation leaves 0. Tensors that are still to be read are copied.
 * Between two lanes, events order the reads after what `from` has queued, and whatever `from`
 * queues next after the reads. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "plan_checks.h"

#include <string.h>

/* In the lane's lists of losses and predictions, which nothing else uses at this time. */
static ex_status upload_variants(ex_cuda_plan *to, const ex_fork *f, const int32_t **channel,
                                 const float **fill)
{
    const ex_layer *l = &to->model->layers[f->layer];
    const size_t variants = (size_t)f->variants;
    ex_cuda_lane *lane = to->lane;
    EX_TRY(ex_cuda_feed_room(lane, variants));
    ex_cuda_feed *feed = &lane->feed;
    for (size_t v = 0; v < variants; v++)
        feed->host_loss[v] = f->ablation == EX_ABLATE_FILTER && f->channel[v] >= 0
                                 ? lane->constants[l->first_channel + f->channel[v]]
                                 : 0.0f;
    EX_TRY(ex_cuda_copy(lane, feed->predicted, f->channel, variants * sizeof *f->channel));
    EX_TRY(ex_cuda_copy(lane, feed->loss, feed->host_loss, variants * sizeof *feed->loss));
    *channel = feed->predicted;
    *fill = feed->loss;
    return EX_OK;
}

static ex_status ablate(ex_cuda_plan *to, const ex_cuda_plan *from, const ex_fork *f)
{
    const ex_node *n = &to->model->nodes[to->model->layers[f->layer].node];
    const int node = to->model->layers[f->layer].node;
    const bool residual = f->ablation == EX_ABLATE_FILTER && n->residual >= 0;
    ex_map_shape shape = ex_cuda_shape(from, node);
    const int32_t *channel;
    const float *fill;
    shape.N = f->images;
    EX_TRY(upload_variants(to, f, &channel, &fill));
    ex_kernels_cuda.channel_ablate(ex_cuda_at(to, to->maps[node].ref),
                                   ex_cuda_at(from, from->maps[node].ref),
                                   residual ? ex_cuda_at(from, from->maps[n->residual].ref) : NULL,
                                   channel, fill, n->relu, f->variants, &shape, ex_cuda_stream(to));
    return ex_cuda_launches();
}

static ex_status copy_live(ex_cuda_plan *to, const ex_cuda_plan *from, const ex_fork *f, int node)
{
    const size_t floats =
        ex_cuda_map_floats(from, node) / (size_t)from->base.spec.batch * (size_t)f->images;
    const float *in = ex_cuda_at(from, from->maps[node].ref);
    float *out = ex_cuda_at(to, to->maps[node].ref);
    for (int v = 0; v < f->variants; v++)
        EX_TRY(ex_cuda_copy(to->lane, out + (size_t)v * floats, in, floats * sizeof *out));
    return EX_OK;
}

static ex_status fork_tensors(ex_cuda_plan *to, const ex_cuda_plan *from, const ex_fork *f)
{
    const int layer_node = to->model->layers[f->layer].node;
    for (int node = 0; node < layer_node; node++)
        if (ex_plan_read_after(to->model, node, layer_node))
            EX_TRY(copy_live(to, from, f, node));
    return ablate(to, from, f);
}

/* `later` runs what it is given next after what `earlier` was given so far. */
static ex_status follow(const ex_cuda_lane *later, const ex_cuda_lane *earlier, cudaEvent_t event)
{
    EX_TRY(EX_CUDA(cudaEventRecord(event, earlier->stream)));
    return EX_CUDA(cudaStreamWaitEvent(later->stream, event, 0));
}

ex_status ex_cuda_fork(ex_plan *to, const ex_plan *from, const ex_fork *f, int *next)
{
    ex_cuda_plan *t = ex_cuda_plan_of(to);
    const ex_cuda_plan *s = (const ex_cuda_plan *)from;
    EX_TRY(ex_plan_check_fork(to, from, f));
    ex_cuda_lane *lane = t->lane;
    const bool crosses = lane != s->lane;
    EX_TRY(ex_cuda_enter(lane, "forking"));
    EX_TRY(ex_cuda_constants(lane));
    EX_TRY(ex_cuda_bind(t));
    EX_TRY(ex_cuda_prepare(t));
    if (crosses)
        EX_TRY(follow(lane, s->lane, lane->ready));
    EX_TRY(fork_tensors(t, s, f));
    if (crosses)
        EX_TRY(follow(s->lane, lane, lane->done));
    *next = t->model->layers[f->layer].node + 1;
    return EX_OK;
}
