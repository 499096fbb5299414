/* Running evaluation plans, and what all runs begin with. */
#include "cuda/cuda_impl.h"
#include "plan_checks.h"

#include <string.h>

static ex_status upload_affine(ex_cuda_plan *plan, const ex_dataset *d)
{
    float affine[2 * EX_CHANNELS_MAX] = {0};
    ex_plan_affine(affine, d);
    if (memcmp(affine, plan->host_affine, sizeof affine) == 0)
        return EX_OK;
    EX_TRY(ex_cuda_send(plan->lane, plan->affine, affine, sizeof affine));
    memcpy(plan->host_affine, affine, sizeof affine);
    return EX_OK;
}

ex_status ex_cuda_prepare(ex_cuda_plan *plan)
{
    EX_TRY(ex_plan_prepare(&plan->core));
    const ex_status status = ex_cuda_launches();
    if (status != EX_OK)
        plan->core.version = 0; /* no lane's: the next run folds anew */
    return status;
}

ex_status ex_cuda_ready(ex_cuda_plan *plan, const ex_dataset *data)
{
    EX_TRY(ex_plan_check_data(plan->core.model, data));
    EX_TRY(ex_plan_bind(&plan->core));
    plan->core.data = data;
    return ex_cuda_images(&plan->core.images, plan->lane, data);
}

ex_status ex_cuda_start(ex_cuda_plan *plan, const ex_dataset *data)
{
    EX_TRY(upload_affine(plan, data));
    EX_TRY(ex_cuda_readers_wait(plan));
    return ex_cuda_prepare(plan);
}

ex_status ex_cuda_begin(ex_cuda_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        size_t more)
{
    EX_TRY(ex_cuda_ready(plan, data));
    EX_TRY(ex_plan_check_samples(plan->core.model, data, feed, 0, feed->count));
    EX_TRY(ex_cuda_feed_upload(plan->lane, feed, (size_t)plan->core.base.spec.batch, more));
    return ex_cuda_start(plan, data);
}

void ex_cuda_batch(ex_cuda_plan *plan, size_t first)
{
    const ex_cuda_feed *f = &plan->lane->feed;
    plan->core.index = f->index + first;
    plan->core.label = f->label + first;
    plan->core.loss = f->loss + first;
    plan->core.predicted = f->predicted + first;
}

static const float *logits_of(const ex_cuda_plan *plan)
{
    return ex_plan_at(&plan->core, plan->core.maps[plan->core.model->node_count - 1].ref);
}

/* Gathers a batch, runs the nodes behind it, and the loss. */
static ex_status queue_batch(ex_cuda_plan *p, size_t first)
{
    ex_cuda_batch(p, first);
    EX_TRY(ex_cuda_steps(p, p->core.node_step[0], p->core.node_step[1], true));
    EX_TRY(ex_cuda_nodes(p, 1, p->core.model->node_count - 1));
    return ex_cuda_steps(p, p->core.loss_step, p->core.step_count, true);
}

ex_status ex_cuda_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_eval_sums *sums)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    const ex_cuda_feed *f = &p->lane->feed;
    const size_t batch = (size_t)plan->spec.batch, classes = (size_t)p->core.model->classes;
    const size_t row = classes * sizeof(float), rows = sums->logits ? feed->count : 0;
    float *logits = NULL;
    EX_TRY(ex_cuda_enter(p->lane, "evaluating"));
    EX_TRY(ex_cuda_begin(p, data, feed, rows * row));
    EX_TRY(ex_cuda_stage_take(&logits, p->lane, rows * row));
    for (size_t first = 0; first < feed->count; first += batch) {
        const size_t count = feed->count - first < batch ? feed->count - first : batch;
        EX_TRY(queue_batch(p, first));
        if (rows)
            EX_TRY(ex_cuda_copy(p->lane, logits + first * classes, logits_of(p), count * row));
    }
    EX_TRY(ex_cuda_readers_ran(p));
    EX_TRY(ex_cuda_feed_read(p->lane, feed->count));
    if (rows)
        memcpy(sums->logits, logits, rows * row);
    ex_plan_add_evaluated(sums, feed->label, feed->count, f->host_loss, f->host_predicted);
    return EX_OK;
}

ex_status ex_cuda_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    EX_TRY(ex_cuda_enter(p->lane, "loading a batch"));
    EX_TRY(ex_cuda_begin(p, data, feed, 0));
    ex_cuda_batch(p, 0);
    EX_TRY(ex_cuda_steps(p, p->core.node_step[0], p->core.node_step[1], true));
    return ex_cuda_readers_ran(p);
}

ex_status ex_cuda_forward(ex_plan *plan, int first, int last)
{
    ex_cuda_plan *p = ex_cuda_plan_of(plan);
    EX_TRY(ex_cuda_enter(p->lane, "running nodes"));
    EX_TRY(ex_plan_bind(&p->core));
    if (first > last)
        return EX_OK;
    EX_TRY(ex_cuda_readers_wait(p));
    EX_TRY(ex_cuda_nodes(p, first, last));
    return ex_cuda_readers_ran(p);
}

ex_status ex_cuda_logits(ex_plan *plan, float *logits, int rows)
{
    const ex_cuda_plan *p = ex_cuda_plan_of(plan);
    EX_TRY(ex_cuda_enter(p->lane, "reading logits"));
    return ex_cuda_fetch(p->lane, logits, logits_of(p),
                         (size_t)rows * (size_t)p->core.model->classes * sizeof *logits);
}
