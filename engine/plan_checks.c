#include "plan_checks.h"

#include <math.h>

ex_status ex_plan_check_data(const ex_model *m, const ex_dataset *d)
{
    if (d->channels != m->in_channels || d->height > m->in_height || d->width > m->in_width)
        return EX_FAIL(EX_ERR_INPUT,
                       "%s takes images of %d x %d x %d, data set %s has %d x %d x %d; make the "
                       "model for this data set",
                       m->name, m->in_channels, m->in_height, m->in_width, d->name, d->channels,
                       d->height, d->width);
    return EX_OK;
}

ex_status ex_plan_check_samples(const ex_model *m, const ex_dataset *d, const ex_samples *feed,
                                size_t first, size_t count)
{
    for (size_t i = first; i < first + count; i++)
        if (feed->index[i] >= d->count || feed->label[i] >= m->classes)
            return EX_FAIL(EX_ERR_INPUT,
                           "sample %zu is image %u under label %u, but %s has %zu images and %s %d "
                           "classes",
                           i, feed->index[i], feed->label[i], d->name, d->count, m->name,
                           m->classes);
    return EX_OK;
}

ex_status ex_plan_check_fork(const ex_plan *to, const ex_plan *from, const ex_fork *f)
{
    const ex_model *m = to->lane->model;
    EX_CHECK_ARG(to->spec.use == EX_USE_EVALUATE && from->spec.use == EX_USE_EVALUATE,
                 "a fork needs two plans for evaluation");
    EX_CHECK_ARG(from->spec.keep_nodes, "the plan to fork from was made without keep_nodes");
    EX_CHECK_ARG(to != from && m == from->lane->model, "a fork needs two plans of one model");
    EX_CHECK_ARG(f->layer >= 0 && f->layer < m->layer_count, "layer %d of %d", f->layer,
                 m->layer_count);
    EX_CHECK_ARG(f->images >= 1 && f->images <= from->spec.batch, "%d images of a batch of %d",
                 f->images, from->spec.batch);
    EX_CHECK_ARG(f->variants >= 0 && f->variants <= to->spec.batch / f->images,
                 "%d variants of %d images do not fit a batch of %d", f->variants, f->images,
                 to->spec.batch);
    for (int v = 0; v < f->variants; v++)
        EX_CHECK_ARG(f->channel[v] >= -1 && f->channel[v] < m->layers[f->layer].channels,
                     "channel %d of layer %s", f->channel[v], m->layers[f->layer].name);
    return EX_OK;
}

ex_status ex_plan_add_trained(ex_train_sums *sums, const ex_samples *feed, size_t first,
                              size_t batch, const float *loss, const int32_t *predicted)
{
    for (size_t i = 0; i < batch; i++) {
        if (!isfinite(loss[i]))
            return EX_FAIL(
                EX_ERR_NUMERIC,
                "the loss is %g in step %zu (sample %zu of the feed, image %u); lower lr",
                (double)loss[i], first / batch, first + i, feed->index[first + i]);
        sums->loss += (double)loss[i];
        sums->correct += predicted[i] == feed->label[first + i];
    }
    sums->count += batch;
    return EX_OK;
}

void ex_plan_add_evaluated(ex_eval_sums *sums, const uint16_t *label, size_t count,
                           const float *loss, const int32_t *predicted)
{
    for (size_t i = 0; i < count; i++) {
        const bool correct = predicted[i] == label[i] && !isnan(loss[i]);
        sums->loss += (double)loss[i];
        sums->correct += correct;
        if (sums->class_count)
            sums->class_count[label[i]]++;
        if (sums->class_correct)
            sums->class_correct[label[i]] += correct;
    }
    sums->count += count;
}

bool ex_plan_read_after(const ex_model *model, int tensor, int node)
{
    for (int i = node + 1; i < model->node_count; i++)
        if (model->nodes[i].input == tensor || model->nodes[i].residual == tensor)
            return true;
    return false;
}
