/* Training steps that are recorded once and launched in groups.
 *
 * What differs between steps lies on the device: where the feed stands, and with it what is drawn
 * (ex_feed_state). So a group of steps can be recorded as a CUDA graph, and launched again and
 * again without the host's part of the work; steps that fill no group are queued one by one. */
#include "cuda/cuda_impl.h"

ex_status ex_cuda_state_upload(ex_cuda_plan *plan, size_t first)
{
    const ex_draws d = ex_plan_draws(&plan->core.base, (ex_rng_use)0);
    const ex_feed_state state = {.at = (uint32_t)first,
                                 .words = {d.counter[1], d.counter[2], d.counter[3]}};
    return ex_cuda_send(plan->lane, plan->state, &state, sizeof state);
}

static ex_status queue_step(ex_cuda_plan *plan)
{
    const ex_cuda_feed *f = &plan->lane->feed;
    const int batch = plan->core.base.spec.batch;
    const ex_stream s = ex_plan_stream(&plan->core);
    plan->core.index = plan->step_index;
    plan->core.label = plan->step_label;
    plan->core.loss = plan->step_loss;
    plan->core.predicted = plan->step_predicted;
    plan->core.k->feed_next(plan->step_index, plan->step_label, plan->state, f->index, f->label,
                            batch, s);
    EX_TRY(ex_cuda_steps(plan, plan->core.prepared, plan->core.step_count, true));
    plan->core.k->feed_log(f->loss, f->predicted, plan->state, plan->step_loss,
                           plan->step_predicted, batch, s);
    return ex_cuda_launches();
}

/* --- recording -------------------------------------------------------------------------------- */

static ex_cuda_recorded present(const ex_cuda_plan *plan)
{
    const ex_dataset *d = plan->core.data;
    return (ex_cuda_recorded){.arena_moves = plan->core.arena_moves,
                              .feed = plan->lane->feed.memory,
                              .feed_room = plan->lane->feed.room,
                              .images = plan->core.images,
                              .height = d->height,
                              .width = d->width,
                              .augment = d->augment,
                              .seed = plan->core.base.key.seed,
                              .sgd = plan->core.sgd};
}

static bool same_sgd(const ex_sgd_coeff *a, const ex_sgd_coeff *b)
{
    return a->lr == b->lr && a->momentum == b->momentum && a->weight_decay == b->weight_decay &&
           a->nesterov == b->nesterov;
}

/* By members: what lies between them has no value. */
static bool same_recorded(const ex_cuda_recorded *a, const ex_cuda_recorded *b)
{
    return a->arena_moves == b->arena_moves && a->feed == b->feed && a->feed_room == b->feed_room &&
           a->images == b->images && a->height == b->height && a->width == b->width &&
           a->augment.crop == b->augment.crop && a->augment.cutout == b->augment.cutout &&
           a->augment.flip == b->augment.flip && a->seed == b->seed && same_sgd(&a->sgd, &b->sgd);
}

static ex_status queue_group(ex_cuda_plan *plan, int first, int last)
{
    for (int i = first; i < last; i++)
        EX_TRY(queue_step(plan));
    return EX_OK;
}

static int group_steps(const ex_cuda_plan *plan)
{
    const int asked = plan->core.base.lane->device->options.steps_per_launch;
    return asked > 0 ? asked : EX_STEPS_PER_LAUNCH;
}

/* Launches a group, recorded anew if the last recording was for something else. */
static ex_status launch_group(ex_cuda_plan *plan)
{
    const ex_cuda_recorded now = present(plan);
    if (!plan->recording || !same_recorded(&now, &plan->recorded)) {
        ex_cuda_graph_free(&plan->recording);
        EX_TRY(ex_cuda_capture(&plan->recording, plan, queue_group, 0, group_steps(plan)));
        plan->recorded = now;
    }
    return EX_CUDA(cudaGraphLaunch(plan->recording, plan->lane->stream));
}

ex_status ex_cuda_queue_steps(ex_cuda_plan *plan, size_t steps)
{
    const size_t together = (size_t)group_steps(plan);
    while (steps > 0) {
        const bool group = plan->warm && together > 1 && steps >= together;
        EX_TRY(group ? launch_group(plan) : queue_step(plan));
        plan->warm = true;
        steps -= group ? together : 1;
    }
    return EX_OK;
}
