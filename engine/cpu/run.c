/* Running plans: training, gradients, evaluation. */
#include "cpu/cpu_impl.h"
#include "plan_checks.h"

#include <string.h>

/* --- feeding ---------------------------------------------------------------------------------- */

/* Points the plan at feed's samples [first, first + count); fewer than a batch are padded. */
static ex_status set_batch(ex_cpu_plan *p, const ex_samples *feed, size_t first, size_t count)
{
    ex_plan_core *plan = &p->core;
    const size_t batch = (size_t)plan->base.spec.batch;
    plan->index = feed->index + first;
    plan->label = feed->label + first;
    EX_TRY(ex_plan_check_samples(plan->model, plan->data, feed, first, count));
    if (count == batch)
        return EX_OK;
    for (size_t i = 0; i < batch; i++) {
        p->pad_index[i] = plan->index[i < count ? i : count - 1];
        p->pad_label[i] = plan->label[i < count ? i : count - 1];
    }
    plan->index = p->pad_index;
    plan->label = p->pad_label;
    return EX_OK;
}

/* Everything that is the same for each batch of a run. */
static ex_status begin(ex_cpu_plan *p, const ex_dataset *data)
{
    ex_plan_core *plan = &p->core;
    ex_cpu_enter(plan->lane);
    EX_TRY(ex_plan_check_data(plan->model, data));
    ex_plan_affine(p->affine, data);
    plan->data = data;
    plan->images = data->images;
    EX_TRY(ex_plan_bind(plan));
    return ex_plan_prepare(plan);
}

static const float *logits_of(const ex_plan_core *plan)
{
    return ex_plan_at(plan, plan->maps[plan->model->node_count - 1].ref);
}

/* --- training --------------------------------------------------------------------------------- */

static ex_status train_batch(ex_cpu_plan *p, const ex_samples *feed, size_t first,
                             ex_train_sums *sums)
{
    ex_plan_core *plan = &p->core;
    const size_t batch = (size_t)plan->base.spec.batch;
    EX_TRY(set_batch(p, feed, first, batch));
    EX_TRY(ex_plan_steps(plan, plan->prepared, plan->backward_step, true));
    EX_TRY(ex_plan_add_trained(sums, feed, first, batch, plan->loss, plan->predicted));
    EX_TRY(ex_plan_steps(plan, plan->backward_step, plan->step_count, true));
    plan->base.key.step++;
    return EX_OK;
}

/* Steps of feed's samples [first, end). */
static ex_status train_batches(ex_cpu_plan *p, const ex_dataset *data, const ex_samples *feed,
                               size_t first, size_t end, const ex_sgd_coeff *sgd,
                               ex_train_sums *sums)
{
    EX_TRY(begin(p, data));
    p->core.sgd = *sgd;
    p->core.lane->version++;
    for (; first < end; first += (size_t)p->core.base.spec.batch)
        EX_TRY(train_batch(p, feed, first, sums));
    p->core.version = p->core.lane->version; /* each step folds what the one before it changed */
    return EX_OK;
}

ex_status ex_cpu_train(ex_plan *plan, ex_plan *rest, const ex_dataset *data, const ex_samples *feed,
                       const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    const size_t whole = feed->count - feed->count % (size_t)plan->spec.batch;
    EX_TRY(train_batches(ex_cpu_plan_of(plan), data, feed, 0, whole, sgd, sums));
    if (!rest)
        return EX_OK;
    rest->key = plan->key;
    EX_TRY(train_batches(ex_cpu_plan_of(rest), data, feed, whole, feed->count, sgd, sums));
    plan->key = rest->key;
    return EX_OK;
}

ex_status ex_cpu_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_gradient *out)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    const ex_plan_core *core = &p->core;
    const ex_model *m = core->model;
    ex_train_sums sums = {0};
    EX_TRY(begin(p, data));
    EX_TRY(set_batch(p, feed, 0, feed->count));
    EX_TRY(ex_plan_steps(&p->core, core->prepared, core->step_count, false));
    EX_TRY(ex_plan_add_trained(&sums, feed, 0, feed->count, core->loss, core->predicted));
    out->loss = sums.loss / (double)feed->count;
    if (out->logits)
        memcpy(out->logits, logits_of(core), feed->count * (size_t)m->classes * sizeof(float));
    if (out->params)
        memcpy(out->params, ex_plan_at(core, core->grads), m->param_count * sizeof(float));
    if (out->params && plan->spec.mask)
        ex_plan_clear_unmasked(plan->spec.mask, out->params);
    if (out->input)
        ex_plan_input_planes(core, out->input, ex_plan_at(core, core->input_gradient));
    return EX_OK;
}

/* --- evaluation ------------------------------------------------------------------------------- */

ex_status ex_cpu_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_eval_sums *sums)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    ex_plan_core *core = &p->core;
    const size_t batch = (size_t)plan->spec.batch, classes = (size_t)core->model->classes;
    EX_TRY(begin(p, data));
    for (size_t first = 0; first < feed->count; first += batch) {
        const size_t count = feed->count - first < batch ? feed->count - first : batch;
        EX_TRY(set_batch(p, feed, first, count));
        EX_TRY(ex_plan_steps(core, core->prepared, core->step_count, true));
        ex_plan_add_evaluated(sums, core->label, count, core->loss, core->predicted);
        if (sums->logits)
            memcpy(sums->logits + first * classes, logits_of(core),
                   count * classes * sizeof(float));
    }
    return EX_OK;
}

ex_status ex_cpu_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    EX_TRY(begin(p, data));
    EX_TRY(set_batch(p, feed, 0, feed->count));
    return ex_plan_steps(&p->core, p->core.node_step[0], p->core.node_step[1], true);
}

ex_status ex_cpu_forward(ex_plan *plan, int first, int last)
{
    ex_plan_core *p = &ex_cpu_plan_of(plan)->core;
    ex_cpu_enter(p->lane);
    EX_TRY(ex_plan_bind(p));
    return first > last ? EX_OK
                        : ex_plan_steps(p, p->node_step[first], p->node_step[last + 1], true);
}

ex_status ex_cpu_logits(ex_plan *plan, float *logits, int rows)
{
    const ex_plan_core *p = &ex_cpu_plan_of(plan)->core;
    memcpy(logits, logits_of(p), (size_t)rows * (size_t)p->model->classes * sizeof *logits);
    return EX_OK;
}
