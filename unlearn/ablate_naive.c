/* Algorithm 1 to the letter: for each channel a pruned copy of the values, and the whole model over
 * the whole probe set. The reference that the fast strategies are held against, in counts and in
 * time.
 *
 * Pruning is a change of values: the filter row and the bias become zero. An activation that is
 * zero behind norm, residual and ReLU has no such values; there one channel at a time is ablated by
 * a fork. */
#include "ablate.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

typedef struct naive {
    const ex_ablate_job *job;
    ex_trainer *trainer;
    float *params; /* (param_count) the copy that is pruned */
    float *logits; /* (probe, classes) */
} naive;

static ex_status measure(naive *n, int channel)
{
    const ex_ablate_job *job = n->job;
    ex_eval_sums sums = {.logits = n->logits};
    EX_TRY(ex_lane_load(ex_trainer_lane(n->trainer), n->params, job->f->stats));
    EX_TRY(ex_trainer_evaluate(n->trainer, &job->f->data->train, job->probe, &sums));
    ex_ablate_tally(job, channel, n->logits, job->probe->label, (int)job->probe->count);
    return EX_OK;
}

static ex_status measure_pruned(naive *n, const ex_layer *layer, int channel)
{
    const float *params = n->job->f->params;
    const size_t row = layer->weight + (size_t)channel * layer->row;
    memset(n->params + row, 0, layer->row * sizeof *params);
    if (layer->bias != EX_NONE)
        n->params[layer->bias + (size_t)channel] = 0.0f;
    const ex_status status = measure(n, layer->first_channel + channel);
    memcpy(n->params + row, params + row, layer->row * sizeof *params);
    if (layer->bias != EX_NONE)
        n->params[layer->bias + (size_t)channel] = params[layer->bias + (size_t)channel];
    ex_progress_add(1.0);
    return status;
}

/* The first run makes the plan; where that finds no memory, plans go that wait for another use. */
static ex_status measure_baseline(naive *n)
{
    const ex_status status = measure(n, EX_ABLATE_BASELINE);
    if (status != EX_ERR_MEMORY)
        return status;
    ex_federation_drop_plans(n->job->f);
    return measure(n, EX_ABLATE_BASELINE);
}

static ex_status measure_all(naive *n)
{
    const ex_model *m = n->job->f->model;
    EX_TRY(measure_baseline(n));
    for (int i = 0; i < m->layer_count; i++)
        for (int c = 0; c < m->layers[i].channels; c++) {
            if (ex_interrupted())
                return EX_FAIL(EX_ERR_INTERRUPTED, "interrupted while ablating");
            EX_TRY(measure_pruned(n, &m->layers[i], c));
        }
    return EX_OK;
}

static ex_status run(const ex_ablate_job *job)
{
    if (job->e->ablation == EX_ABLATE_ACTIVATION)
        return ex_ablate_single(job);
    ex_federation *f = job->f;
    ex_status status;
    naive n = {.job = job};
    EX_TRY_GOTO(ex_federation_central(f, &n.trainer), done);
    EX_TRY_GOTO(ex_alloc(&n.params, f->model->param_count, sizeof *n.params, "pruned values"),
                done);
    EX_TRY_GOTO(ex_alloc(&n.logits, job->probe->count * (size_t)f->model->classes, sizeof *n.logits,
                         "logits"),
                done);
    memcpy(n.params, f->params, f->model->param_count * sizeof *n.params);
    EX_TRY_GOTO(measure_all(&n), done);
    status = ex_lane_load(ex_trainer_lane(n.trainer), f->params, f->stats);
done:
    ex_free(&n.params);
    ex_free(&n.logits);
    return status;
}

const ex_ablate_strategy ex_ablate_naive = {.name = "naive", .run = run};
