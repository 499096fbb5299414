/* Running plans: training, gradients, evaluation. */
#include "base/clock.h"
#include "cpu/cpu_impl.h"
#include "plan_checks.h"

#include <string.h>

/* --- feeding ---------------------------------------------------------------------------------- */

ex_status ex_cpu_feed(ex_cpu_plan *plan, const ex_dataset *data, const ex_samples *feed,
                      size_t first, size_t count)
{
    const size_t batch = (size_t)plan->base.spec.batch;
    plan->data = data;
    plan->index = feed->index + first;
    plan->label = feed->label + first;
    EX_TRY(ex_plan_check_samples(plan->model, data, feed, first, count));
    if (count == batch)
        return EX_OK;
    for (size_t i = 0; i < batch; i++) {
        plan->pad_index[i] = plan->index[i < count ? i : count - 1];
        plan->pad_label[i] = plan->label[i < count ? i : count - 1];
    }
    plan->index = plan->pad_index;
    plan->label = plan->pad_label;
    return EX_OK;
}

/* Everything that is the same for each batch of a run. */
static ex_status begin(ex_cpu_plan *plan, const ex_dataset *data)
{
    ex_cpu_enter(plan->lane);
    EX_TRY(ex_plan_check_data(plan->model, data));
    for (int c = 0; c < data->channels; c++) {
        plan->scale[c] = 1.0f / (255.0f * data->std[c]);
        plan->shift[c] = -data->mean[c] / data->std[c];
    }
    return ex_cpu_bind(plan);
}

ex_status ex_cpu_steps(ex_cpu_plan *plan, int first, int last, bool update)
{
    const int threads = plan->lane->base.threads;
    for (int i = first; i < last; i++) {
        ex_cpu_step *step = &plan->steps[i];
        if (step->update && !update)
            continue;
        if (!plan->profiled) {
            EX_TRY(step->call(plan, step));
            continue;
        }
        const double start = ex_work_now(threads);
        EX_TRY(step->call(plan, step));
        ex_profile_count_warm(&step->spent, ex_work_now(threads) - start);
    }
    return EX_OK;
}

ex_status ex_cpu_prepare(ex_cpu_plan *plan)
{
    if (plan->version == plan->lane->version)
        return EX_OK;
    EX_TRY(ex_cpu_steps(plan, 0, plan->prepared, true));
    plan->version = plan->lane->version;
    return EX_OK;
}

/* --- training --------------------------------------------------------------------------------- */

static ex_status add_loss(const ex_cpu_plan *plan, const ex_samples *feed, size_t first,
                          ex_train_sums *sums)
{
    return ex_plan_add_trained(sums, feed, first, (size_t)plan->base.spec.batch,
                               ex_cpu_at(plan, plan->loss),
                               (const int32_t *)(const void *)ex_cpu_at(plan, plan->predicted));
}

static ex_status train_batch(ex_cpu_plan *plan, const ex_dataset *data, const ex_samples *feed,
                             size_t first, ex_train_sums *sums)
{
    EX_TRY(ex_cpu_feed(plan, data, feed, first, (size_t)plan->base.spec.batch));
    EX_TRY(ex_cpu_steps(plan, plan->prepared, plan->backward_step, true));
    EX_TRY(add_loss(plan, feed, first, sums));
    EX_TRY(ex_cpu_steps(plan, plan->backward_step, plan->step_count, true));
    plan->base.key.step++;
    return EX_OK;
}

ex_status ex_cpu_train(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                       const ex_sgd_coeff *sgd, ex_train_sums *sums)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    const size_t batch = (size_t)plan->spec.batch;
    EX_CHECK_ARG(plan->spec.use == EX_USE_TRAIN, "the plan is not for training");
    EX_CHECK_ARG(feed->count % batch == 0, "%zu samples are no multiple of the batch %zu",
                 feed->count, batch);
    EX_TRY(begin(p, data));
    EX_TRY(ex_cpu_prepare(p));
    p->sgd = *sgd;
    p->lane->version++;
    for (size_t first = 0; first < feed->count; first += batch)
        EX_TRY(train_batch(p, data, feed, first, sums));
    p->version = p->lane->version; /* each step folds what the one before it changed */
    return EX_OK;
}

/* out (N, C, H, W) plain, from a map whose channels are padded to a multiple of its block. */
static void copy_plain(float *out, const void *in, const ex_map_shape *s)
{
    const size_t bytes = ex_map_type_bytes(s->type);
    const size_t pixels = (size_t)s->H * (size_t)s->W, block = (size_t)s->block;
    const size_t image = (size_t)s->C * pixels,
                 padded = (image + pixels * block - 1) / (pixels * block) * pixels * block;
    for (size_t i = 0; i < (size_t)s->N * image; i++) {
        const size_t n = i / image, c = i % image / pixels, p = i % pixels;
        const size_t at = n * padded + c / block * pixels * block + p * block + c % block;
        ex_kernels_host.convert(out + i, EX_MAP_F32, (const char *)in + at * bytes, s->type, 1,
                                (ex_stream){.threads = 1});
    }
}

/* Gradients of what the mask leaves alone are not computed: they are 0. */
static void copy_gradients(const ex_cpu_plan *plan, float *out)
{
    const ex_mask *mask = plan->base.spec.mask;
    const ex_segment *segments = mask ? mask->params : &plan->all;
    const size_t count = mask ? mask->param_segments : 1;
    const float *grads = ex_cpu_at(plan, plan->grads);
    memset(out, 0, plan->model->param_count * sizeof *out);
    for (size_t i = 0; i < count; i++)
        memcpy(out + segments[i].offset, grads + segments[i].offset,
               segments[i].length * sizeof *out);
}

ex_status ex_cpu_gradient(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_gradient *out)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    const ex_model *m = p->model;
    ex_train_sums sums = {0};
    EX_CHECK_ARG(plan->spec.use == EX_USE_TRAIN, "the plan is not for training");
    EX_CHECK_ARG(feed->count == (size_t)plan->spec.batch, "expected %d samples, found %zu",
                 plan->spec.batch, feed->count);
    EX_CHECK_ARG(!out->input || plan->spec.input_gradient, "the plan has no input gradient");
    EX_TRY(begin(p, data));
    EX_TRY(ex_cpu_prepare(p));
    EX_TRY(ex_cpu_feed(p, data, feed, 0, feed->count));
    EX_TRY(ex_cpu_steps(p, p->prepared, p->step_count, false));
    EX_TRY(add_loss(p, feed, 0, &sums));
    out->loss = sums.loss / (double)feed->count;
    if (out->logits)
        memcpy(out->logits, ex_cpu_at(p, p->maps[m->node_count - 1].ref),
               ex_cpu_map_floats(p, m->node_count - 1) * sizeof(float));
    if (out->params)
        copy_gradients(p, out->params);
    if (out->input)
        copy_plain(out->input, ex_cpu_at(p, p->input_gradient),
                   &(ex_map_shape){.N = plan->spec.batch,
                                   .C = m->in_channels,
                                   .H = m->in_height,
                                   .W = m->in_width,
                                   .block = p->input_gradient_block,
                                   .type = p->maps[0].type});
    return EX_OK;
}

/* --- evaluation ------------------------------------------------------------------------------- */

static void add_evaluated(const ex_cpu_plan *plan, size_t first, size_t count, ex_eval_sums *sums)
{
    const int last = plan->model->node_count - 1;
    const size_t classes = (size_t)plan->model->classes;
    ex_plan_add_evaluated(sums, plan->label, count, ex_cpu_at(plan, plan->loss),
                          (const int32_t *)(const void *)ex_cpu_at(plan, plan->predicted));
    if (sums->logits)
        memcpy(sums->logits + first * classes, ex_cpu_at(plan, plan->maps[last].ref),
               count * classes * sizeof(float));
}

ex_status ex_cpu_evaluate(ex_plan *plan, const ex_dataset *data, const ex_samples *feed,
                          ex_eval_sums *sums)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    const size_t batch = (size_t)plan->spec.batch;
    EX_CHECK_ARG(plan->spec.use == EX_USE_EVALUATE, "the plan is not for evaluation");
    EX_TRY(begin(p, data));
    EX_TRY(ex_cpu_prepare(p));
    for (size_t first = 0; first < feed->count; first += batch) {
        const size_t count = feed->count - first < batch ? feed->count - first : batch;
        EX_TRY(ex_cpu_feed(p, data, feed, first, count));
        EX_TRY(ex_cpu_steps(p, p->prepared, p->step_count, true));
        add_evaluated(p, first, count, sums);
    }
    return EX_OK;
}

ex_status ex_cpu_load(ex_plan *plan, const ex_dataset *data, const ex_samples *feed)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    EX_CHECK_ARG(plan->spec.use == EX_USE_EVALUATE, "the plan is not for evaluation");
    EX_CHECK_ARG(feed->count >= 1 && feed->count <= (size_t)plan->spec.batch,
                 "expected 1 to %d samples, found %zu", plan->spec.batch, feed->count);
    EX_TRY(begin(p, data));
    EX_TRY(ex_cpu_prepare(p));
    EX_TRY(ex_cpu_feed(p, data, feed, 0, feed->count));
    return ex_cpu_steps(p, p->node_step[0], p->node_step[1], true);
}

ex_status ex_cpu_forward(ex_plan *plan, int first, int last)
{
    ex_cpu_plan *p = ex_cpu_plan_of(plan);
    EX_CHECK_ARG(plan->spec.use == EX_USE_EVALUATE, "the plan is not for evaluation");
    EX_CHECK_ARG(first >= 1 && last < p->model->node_count, "nodes %d to %d of %d", first, last,
                 p->model->node_count);
    ex_cpu_enter(p->lane);
    EX_TRY(ex_cpu_bind(p));
    return first > last ? EX_OK
                        : ex_cpu_steps(p, p->node_step[first], p->node_step[last + 1], true);
}

ex_status ex_cpu_logits(ex_plan *plan, float *logits, int rows)
{
    const ex_cpu_plan *p = ex_cpu_plan_of(plan);
    EX_CHECK_ARG(rows >= 0 && rows <= plan->spec.batch, "%d rows of a batch of %d", rows,
                 plan->spec.batch);
    memcpy(logits, ex_cpu_at(p, p->maps[p->model->node_count - 1].ref),
           (size_t)rows * (size_t)p->model->classes * sizeof *logits);
    return EX_OK;
}
