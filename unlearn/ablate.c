/* Algorithm 1: the effect of every channel. Which strategy computes it is a row of a table; here is
 * what all of them share: the probe set, the sums and what becomes of them. */
#include "ablate.h"
#include "record.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>

static const ex_ablate_strategy *const strategies[] = {
    [EX_STRATEGY_NAIVE] = &ex_ablate_naive,
    [EX_STRATEGY_STREAMS] = &ex_ablate_streams,
    [EX_STRATEGY_BATCHED] = &ex_ablate_batched,
};

/* Sums of losses become means, and changes of the mean. */
static void finish(ex_effects *e)
{
    for (int i = 0; i < e->classes; i++) {
        double *delta = e->loss_delta + (size_t)i * (size_t)e->model->channel_count;
        e->baseline_loss[i] /= e->probe[i];
        for (int c = 0; c < e->model->channel_count; c++)
            delta[c] = delta[c] / e->probe[i] - e->baseline_loss[i];
    }
}

/* Nothing can be told apart by changes of a loss that is none. */
static ex_status check_finite(const ex_effects *e)
{
    for (int i = 0; i < e->classes; i++)
        if (!isfinite(e->baseline_loss[i]))
            return EX_FAIL(EX_ERR_NUMERIC,
                           "the model's loss on the probe samples of class %d is not finite: its "
                           "training has diverged, and it has nothing to forget",
                           e->class_label[i]);
    return EX_OK;
}

/* A class that the model does not know loses nothing by any channel. */
static void warn_of_ties(const ex_effects *e)
{
    for (int i = 0; i < e->classes; i++)
        if (e->baseline_correct[i] == 0)
            ex_log_warn(
                "the model takes none of the %d probe samples of class %d for what they are: "
                "every effect is 0 or below, and selection goes by the loss alone",
                e->probe[i], e->class_label[i]);
}

/* Fills class_of and the table's counts of probe samples. */
static ex_status count_probe(ex_effects *e, int *class_of, const ex_samples *probe,
                             const int *labels)
{
    for (int k = 0; k < e->model->classes; k++)
        class_of[k] = -1;
    for (int i = 0; i < e->classes; i++) {
        e->class_label[i] = labels[i];
        class_of[labels[i]] = i;
    }
    for (size_t i = 0; i < probe->count; i++)
        if (class_of[probe->label[i]] >= 0)
            e->probe[class_of[probe->label[i]]]++;
    for (int i = 0; i < e->classes; i++)
        if (!e->probe[i])
            return EX_FAIL(EX_ERR_INPUT, "the probe set holds no sample of class %d", labels[i]);
    return EX_OK;
}

ex_status ex_ablate_samples(ex_effects **out, ex_federation *f, const ex_samples *probe,
                            const int *labels, int label_count, ex_ablate_limits limits)
{
    *out = NULL;
    ex_status status;
    ex_effects *e = NULL;
    int *class_of = NULL;
    const ex_ablate_strategy *strategy = strategies[f->config.unlearn.strategy];
    EX_TRY_GOTO(ex_effects_alloc(&e, f->model, label_count), done);
    EX_TRY_GOTO(ex_alloc(&class_of, (size_t)f->model->classes, sizeof *class_of, "classes"), done);
    EX_TRY_GOTO(count_probe(e, class_of, probe, labels), done);
    e->ablation = (ex_ablation)f->config.unlearn.ablate;
    e->digest = ex_model_digest(f->model, f->params, f->stats);
    e->precision = f->config.precision;
    e->seed = (int64_t)ex_config_unlearn_seed(&f->config);

    const ex_ablate_job job = {
        .f = f, .probe = probe, .class_of = class_of, .e = e, .limits = limits};
    ex_progress_begin("ablating", f->model->channel_count, "channels");
    status = strategy->run(&job);
    ex_progress_end();
    if (status != EX_OK)
        goto done;
    finish(e);
    EX_TRY_GOTO(check_finite(e), done);
    warn_of_ties(e);
    *out = e;
    e = NULL;
done:
    ex_effects_destroy(&e);
    ex_free(&class_of);
    return status;
}

/* The class asked for, or every class that the training set holds. */
static ex_status choose_labels(int *labels, int *count, const ex_federation *f, int label)
{
    const ex_dataset *train = &f->data->train;
    const int classes = f->model->classes;
    EX_CHECK_ARG(label < classes, "class %d; 0 to %d, or all, are expected", label, classes - 1);
    *count = 0;
    if (label >= 0) {
        labels[(*count)++] = label;
        return EX_OK;
    }
    for (int k = 0; k < classes; k++) {
        size_t i = 0;
        while (i < train->count && train->labels[i] != k)
            i++;
        if (i < train->count)
            labels[(*count)++] = k;
        else
            ex_log_warn("no training sample of class %d: its effects are not measured", k);
    }
    return EX_OK;
}

ex_status ex_ablate(ex_effects **out, ex_federation *f, int label)
{
    *out = NULL;
    ex_status status;
    int *labels = NULL, label_count = 0;
    ex_samples probe = {0};
    const ex_ablate_limits limits = {.variants = f->config.unlearn.variants};
    EX_TRY(ex_alloc(&labels, (size_t)f->model->classes, sizeof *labels, "classes"));
    EX_TRY_GOTO(choose_labels(labels, &label_count, f, label), done);
    EX_TRY_GOTO(ex_probe_make(&probe, f, labels, label_count, f->config.unlearn.probe), done);
    EX_TRY_GOTO(ex_ledger_begin(f->ledger, "ablation"), done);
    const double start = ex_now();
    status = ex_ablate_samples(out, f, &probe, labels, label_count, limits);
    const double seconds = ex_now() - start;
    ex_ledger_compute(f->ledger, seconds);
    ex_federation_stored(f, probe.count); /* on the server */
    ex_ledger_end(f->ledger);
    if (status == EX_OK)
        ex_log("ablated %d channels on %zu images (%s): %.2f s", f->model->channel_count,
               probe.count, strategies[f->config.unlearn.strategy]->name, seconds);
done:
    ex_free(&labels);
    ex_samples_free(&probe);
    return status;
}
