/* The calls of plans: what they are given is checked here, for all back ends. */
#include "backend.h"
#include "plan_checks.h"

static const ex_backend *backend_of(const ex_plan *plan)
{
    return plan->lane->device->backend;
}

ex_status ex_plan_create(ex_plan **out, ex_lane *lane, const ex_plan_spec *spec)
{
    *out = NULL;
    EX_CHECK_ARG(spec->batch >= 1, "a plan needs a batch of at least 1, not %d", spec->batch);
    return lane->device->backend->plan_create(out, lane, spec);
}

void ex_plan_destroy(ex_plan **plan)
{
    if (*plan)
        backend_of(*plan)->plan_destroy(plan);
}

/* --- training --------------------------------------------------------------------------------- */

static ex_status check_trains(const ex_plan *plan)
{
    EX_CHECK_ARG(plan->spec.use == EX_USE_TRAIN, "the plan is not for training");
    return EX_OK;
}

ex_status ex_plan_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                        const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    return ex_plan_train_epoch(plan, NULL, data, feed, sgd, sums);
}

static ex_status check_rest(const ex_plan *plan, const ex_plan *rest, size_t left)
{
    EX_TRY(check_trains(rest));
    EX_CHECK_ARG(rest->lane == plan->lane, "the last samples would be trained on another lane");
    EX_CHECK_ARG((size_t)rest->spec.batch == left, "%zu samples are left over, not %d", left,
                 rest->spec.batch);
    return EX_OK;
}

ex_status ex_plan_train_epoch(ex_plan *plan, ex_plan *rest, const ex_dataset *data,
                              const ex_samples *feed, const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    const size_t batch = (size_t)plan->spec.batch;
    EX_TRY(check_trains(plan));
    if (rest)
        EX_TRY(check_rest(plan, rest, feed->count % batch));
    else
        EX_CHECK_ARG(feed->count % batch == 0, "%zu samples are no multiple of the batch %zu",
                     feed->count, batch);
    return backend_of(plan)->plan_train(plan, rest, data, feed, sgd, sums);
}

ex_status ex_plan_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_gradient *out)
{
    EX_TRY(check_trains(plan));
    EX_CHECK_ARG(feed->count == (size_t)plan->spec.batch, "expected %d samples, found %zu",
                 plan->spec.batch, feed->count);
    EX_CHECK_ARG(!out->input || plan->spec.input_gradient, "the plan has no input gradient");
    return backend_of(plan)->plan_gradient(plan, data, feed, out);
}

ex_status ex_plan_reserve(ex_plan *plan, const ex_dataset *data, size_t samples)
{
    EX_TRY(check_trains(plan));
    const ex_backend *backend = backend_of(plan);
    return backend->plan_reserve ? backend->plan_reserve(plan, data, samples) : EX_OK;
}

/* --- evaluation ------------------------------------------------------------------------------- */

static ex_status check_evaluates(const ex_plan *plan)
{
    EX_CHECK_ARG(plan->spec.use == EX_USE_EVALUATE, "the plan is not for evaluation");
    return EX_OK;
}

ex_status ex_plan_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                           ex_eval_sums *sums)
{
    EX_TRY(check_evaluates(plan));
    return backend_of(plan)->plan_evaluate(plan, data, feed, sums);
}

ex_status ex_plan_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed)
{
    EX_TRY(check_evaluates(plan));
    EX_CHECK_ARG(feed->count >= 1 && feed->count <= (size_t)plan->spec.batch,
                 "expected 1 to %d samples, found %zu", plan->spec.batch, feed->count);
    return backend_of(plan)->plan_load(plan, data, feed);
}

ex_status ex_plan_forward(ex_plan *plan, int first, int last)
{
    const int nodes = plan->lane->model->node_count;
    EX_TRY(check_evaluates(plan));
    EX_CHECK_ARG(first >= 1 && last < nodes, "nodes %d to %d of %d", first, last, nodes);
    return backend_of(plan)->plan_forward(plan, first, last);
}

ex_status ex_plan_fork(ex_plan *to, const ex_plan *from, const ex_fork *fork, int *next)
{
    EX_TRY(ex_plan_check_fork(to, from, fork));
    return backend_of(to)->plan_fork(to, from, fork, next);
}

ex_status ex_plan_logits(ex_plan *plan, float *logits, int rows)
{
    EX_CHECK_ARG(rows >= 0 && rows <= plan->spec.batch, "%d rows of a batch of %d", rows,
                 plan->spec.batch);
    return backend_of(plan)->plan_logits(plan, logits, rows);
}
