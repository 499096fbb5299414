/* Running training plans. Every step of a run is queued without waiting for the one before; losses
 * are read when the last one ran. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "plan_checks.h"

ex_status ex_cuda_reserve(ex_plan *plan, const ex_dataset *data, size_t samples)
{
    ex_cuda_lane *lane = ex_cuda_plan_of(plan)->lane;
    const uint8_t *images;
    EX_TRY(ex_cuda_enter(lane, "preparing a run"));
    EX_TRY(ex_plan_check_data(lane->core.base.model, data));
    EX_TRY(ex_cuda_images(&images, lane, data));
    return ex_cuda_feed_reserve(lane, samples);
}

/* Queues the next `steps` steps of the feed, the first at its sample `first`. */
static ex_status queue(ex_cuda_plan *p, const ex_dataset *data, const ex_sgd_coeff *sgd,
                       size_t first, size_t steps)
{
    EX_TRY(ex_cuda_start(p, data));
    p->core.sgd = *sgd;
    p->lane->core.version++;
    EX_TRY(ex_cuda_state_upload(p, first));
    EX_TRY(ex_cuda_queue_steps(p, steps));
    p->core.base.key.step += (uint32_t)steps;
    p->core.version = p->core.lane->version; /* each step folds what the one before it changed */
    return EX_OK;
}

/* What came out of a plan's steps, of the feed's samples [first, end). */
static ex_status add(ex_train_sums *sums, const ex_cuda_plan *p, const ex_samples *feed,
                     size_t first, size_t end)
{
    const size_t batch = (size_t)p->core.base.spec.batch;
    const ex_cuda_feed *f = &p->lane->feed;
    for (; first < end; first += batch)
        EX_TRY(ex_plan_add_trained(sums, feed, first, batch, f->host_loss + first,
                                   f->host_predicted + first));
    return EX_OK;
}

ex_status ex_cuda_train(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                        const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan), *last = rest ? ex_cuda_plan_of(rest) : NULL;
    const size_t steps = feed->count / (size_t)plan->spec.batch;
    const size_t whole = steps * (size_t)plan->spec.batch;
    EX_TRY(ex_cuda_enter(p->lane, "training"));
    EX_TRY(ex_plan_check_samples(p->core.model, data, feed, 0, feed->count));
    EX_TRY(ex_cuda_ready(p, data));
    if (last)
        EX_TRY(ex_cuda_ready(last, data));
    EX_TRY(ex_cuda_feed_upload(p->lane, feed, 1, 0));
    EX_TRY(queue(p, data, sgd, 0, steps));
    if (last) {
        rest->key = plan->key;
        EX_TRY(queue(last, data, sgd, whole, 1));
        plan->key = rest->key;
    }
    EX_TRY(ex_cuda_feed_read(p->lane, feed->count));
    EX_TRY(add(sums, p, feed, 0, whole));
    return last ? add(sums, last, feed, whole, feed->count) : EX_OK;
}

/* --- gradients -------------------------------------------------------------------------------- */

static ex_status read_input(ex_cuda_plan *plan, float *out)
{
    const ex_plan_core *core = &plan->core;
    const size_t bytes = ex_plan_map_bytes(core, 0);
    void *in;
    EX_TRY(ex_alloc(&in, bytes, 1, "gradient of the input"));
    const ex_status status =
        ex_cuda_fetch(plan->lane, in, ex_plan_at(core, core->input_gradient), bytes);
    if (status == EX_OK)
        ex_plan_input_planes(core, out, in);
    ex_free(&in);
    return status;
}

static ex_status read_gradient(ex_cuda_plan *plan, ex_gradient *out)
{
    const ex_plan_core *core = &plan->core;
    const int last = core->model->node_count - 1;
    if (out->logits)
        EX_TRY(ex_cuda_fetch(plan->lane, out->logits, ex_plan_at(core, core->maps[last].ref),
                             ex_plan_map_floats(core, last) * sizeof(float)));
    if (out->params)
        EX_TRY(ex_cuda_fetch(plan->lane, out->params, ex_plan_at(core, core->grads),
                             core->model->param_count * sizeof(float)));
    if (out->params && core->base.spec.mask)
        ex_plan_clear_unmasked(core->base.spec.mask, out->params);
    return out->input ? read_input(plan, out->input) : EX_OK;
}

ex_status ex_cuda_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    ex_cuda_feed *f = &p->lane->feed;
    ex_train_sums sums = {0};
    EX_TRY(ex_cuda_enter(p->lane, "computing gradients"));
    EX_TRY(ex_cuda_begin(p, data, feed, 0));
    EX_TRY(ex_cuda_state_upload(p, 0));
    ex_cuda_batch(p, 0);
    EX_TRY(ex_cuda_steps(p, p->core.prepared, p->core.step_count, false));
    EX_TRY(ex_cuda_feed_read(p->lane, feed->count));
    EX_TRY(ex_plan_add_trained(&sums, feed, 0, feed->count, f->host_loss, f->host_predicted));
    out->loss = sums.loss / (double)feed->count;
    return read_gradient(p, out);
}
