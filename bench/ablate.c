/* Ablation of the whole model: every channel of every layer judged on the probe set.
 *
 * The counts are held against the definition, computed here by pruning the values, for one channel
 * of each layer; and all repetitions must give the same table. What is selected can be held against
 * what float32 selects. */
#include "ablate.h"
#include "bench.h"
#include "select.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Two logits closer than this may change places: by the order of summation in fp32; in tf32 and
 * bf16 by sums that fall on the other side of a rounding, 2^-12 and 2^-9 of a map's value, in one
 * of the two ways to compute them and not in the other. */
static const float TIE[] = {[EX_FP32] = 1e-4f, [EX_TF32] = 1e-2f, [EX_BF16] = 5e-2f};

typedef struct ablation {
    ex_federation *f;
    ex_samples probe;
    int *labels, label_count; /* classes that the probe set holds */
    float *logits;            /* (probe, classes) */
    float *params;            /* (param_count) a copy that is pruned */
} ablation;

static ex_status open_ablation(ablation *a, ex_federation *f)
{
    const ex_model *m = f->model;
    a->f = f;
    EX_TRY(ex_samples_all(&a->probe, &f->data->train));
    EX_TRY(ex_alloc(&a->labels, (size_t)m->classes, sizeof *a->labels, "classes"));
    /* Synthetic sample i is of class i mod classes. */
    a->label_count = (int)a->probe.count < m->classes ? (int)a->probe.count : m->classes;
    for (int k = 0; k < a->label_count; k++)
        a->labels[k] = k;
    EX_TRY(ex_alloc(&a->logits, a->probe.count * (size_t)m->classes, sizeof *a->logits, "logits"));
    EX_TRY(ex_alloc(&a->params, m->param_count, sizeof *a->params, "pruned values"));
    memcpy(a->params, f->params, m->param_count * sizeof *a->params);
    return EX_OK;
}

static void close_ablation(ablation *a)
{
    ex_samples_free(&a->probe);
    ex_free(&a->labels);
    ex_free(&a->logits);
    ex_free(&a->params);
}

/* --- against the definition ----------------------------------------------------------------- */

static ex_status evaluate_pruned(ablation *a, const ex_layer *l, int channel)
{
    const size_t c = (size_t)channel, row = l->weight + c * l->row;
    const float *params = a->f->params;
    ex_trainer *central;
    ex_eval_sums sums = {.logits = a->logits};
    EX_TRY(ex_federation_central(a->f, &central));
    memset(a->params + row, 0, l->row * sizeof *params);
    if (l->bias != EX_NONE)
        a->params[l->bias + c] = 0.0f;
    EX_TRY(ex_lane_load(ex_trainer_lane(central), a->params, a->f->stats));
    EX_TRY(ex_trainer_evaluate(central, &a->f->data->train, &a->probe, &sums));
    memcpy(a->params + row, params + row, l->row * sizeof *params);
    if (l->bias != EX_NONE)
        a->params[l->bias + c] = params[l->bias + c];
    return EX_OK;
}

/* Right predictions in a->logits, and those too close to call. */
static void judge(const ablation *a, int *correct, int *close)
{
    const int classes = a->f->model->classes;
    const float tie = TIE[a->f->device->options.precision];
    *correct = *close = 0;
    for (size_t i = 0; i < a->probe.count; i++) {
        const float *row = a->logits + i * (size_t)classes;
        const int label = a->probe.label[i];
        float rival = -INFINITY;
        for (int k = 0; k < classes; k++)
            if (k != label)
                rival = fmaxf(rival, row[k]);
        *correct += row[label] > rival;
        *close += fabsf(row[label] - rival) < tie;
    }
}

static int counted(const ex_effects *e, int channel)
{
    int correct = 0;
    for (int i = 0; i < e->classes; i++)
        correct += e->correct[i * e->model->channel_count + channel];
    return correct;
}

static ex_status check(bench_result *result, ablation *a, const ex_effects *e)
{
    for (int i = 0; i < e->model->layer_count; i++) {
        const ex_layer *l = &e->model->layers[i];
        const int channel = i * 7 % l->channels; /* not always the first */
        int correct, close;
        EX_TRY(evaluate_pruned(a, l, channel));
        judge(a, &correct, &close);
        const int found = counted(e, l->first_channel + channel);
        if (abs(found - correct) > close) {
            ex_log_warn("%s, channel %d: %d images right, %d by the definition", l->name, channel,
                        found, correct);
            result->wrong++;
        }
    }
    return EX_OK;
}

/* --- timings -------------------------------------------------------------------------------- */

/* Cells of the two tables that differ. */
static int differences(const ex_effects *a, const ex_effects *b)
{
    int count = 0;
    for (int i = 0; i < a->classes * a->model->channel_count; i++)
        count += a->correct[i] != b->correct[i] || !isfinite(b->loss_delta[i]);
    return count;
}

static void drop(const char *text, bool warning)
{
    (void)text;
    (void)warning;
}

/* Without its warning of classes that the model does not know, as this one, hardly trained, may
 * well not. */
static ex_status ablate_once(ex_effects **out, double *seconds, const ablation *a)
{
    const ex_log_sink sink = ex_log_sink_get();
    const double start = ex_now();
    ex_log_sink_set(drop);
    const ex_status status =
        ex_ablate_samples(out, a->f, &a->probe, a->labels, a->label_count, (ex_ablate_limits){0});
    ex_log_sink_set(sink);
    *seconds = ex_now() - start;
    return status;
}

static ex_status repeat(bench_result *result, ablation *a, const bench_options *o,
                        const ex_effects *first)
{
    while (result->repetitions < o->repetitions) {
        ex_effects *e;
        EX_TRY(ablate_once(&e, &result->seconds[result->repetitions], a));
        const int count = differences(first, e);
        ex_effects_destroy(&e);
        if (count)
            ex_log_warn("%d counts differ from the first pass, or losses are not finite", count);
        result->wrong += count;
        result->repetitions++;
    }
    return EX_OK;
}

/* --- against float32 ------------------------------------------------------------------------ */

/* Adds the channels that both select, class by class, as the methods of unlearning do. */
static ex_status count_selected(bench_selection *s, const ex_effects *e, const ex_effects *other,
                                double delta)
{
    for (int i = 0; i < e->classes; i++) {
        ex_mask *ours = NULL, *theirs = NULL;
        ex_status status;
        EX_TRY_GOTO(ex_select_important(&ours, e, e->class_label[i], delta, EX_LAYERS_ALL), next);
        EX_TRY_GOTO(ex_select_important(&theirs, other, e->class_label[i], delta, EX_LAYERS_ALL),
                    next);
        s->selected += ours->channel_count;
        for (int c = 0; c < e->model->channel_count; c++)
            s->both += ours->selected[c] && theirs->selected[c];
    next:
        ex_mask_destroy(&ours);
        ex_mask_destroy(&theirs);
        EX_TRY(status);
    }
    return EX_OK;
}

static ex_status compare_selection(bench_result *result, const ablation *a, const bench_options *o,
                                   const ex_effects *e)
{
    ex_status status;
    ablation other = *a;
    ex_effects *theirs = NULL;
    double unused;
    EX_TRY(bench_open_fp32(&other.f, a->f, o));
    EX_TRY_GOTO(ablate_once(&theirs, &unused, &other), done);
    status = count_selected(&result->selection, e, theirs, o->delta);
done:
    ex_effects_destroy(&theirs);
    bench_close_fp32(&other.f);
    return status;
}

/* The first pass warms up, unless it takes the same plan through the whole model hundreds of times
 * anyway: then it is a repetition. */
static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    ex_status status;
    ablation a = {0};
    ex_effects *first = NULL;
    EX_TRY_GOTO(open_ablation(&a, f), done);
    EX_TRY_GOTO(ablate_once(&first, &result->seconds[0], &a), done);
    if (o->strategy == EX_STRATEGY_NAIVE)
        result->repetitions = 1;
    EX_TRY_GOTO(repeat(result, &a, o, first), done);
    result->images = a.probe.count * (size_t)f->model->channel_count;
    result->peak = ex_memory_peak();
    EX_TRY_GOTO(check(result, &a, first), done);
    if (o->selection)
        status = compare_selection(result, &a, o, first);
done:
    ex_effects_destroy(&first);
    close_ablation(&a);
    return status;
}

const bench_job bench_ablate = {.name = "ablate",
                                .summary = "the effect of every channel of the model",
                                .unit = "s",
                                .per_second = 1,
                                .parts = 1,
                                .repetitions = 3,
                                .run = run};
