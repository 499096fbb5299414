/* The table of strategies, and FedAvg:
 *   new = old + sum_k weight_k * (client_k - old)      (McMahan et al. 2017) */
#include "strategy.h"

#include "base/memory.h"

#include <string.h>

static const ex_strategy *const strategies[] = {&ex_strategy_fedavg};

ex_status ex_strategy_find(const ex_strategy **out, const char *name)
{
    for (size_t i = 0; i < sizeof strategies / sizeof *strategies; i++)
        if (strcmp(strategies[i]->name, name) == 0) {
            *out = strategies[i];
            return EX_OK;
        }
    return EX_FAIL(EX_ERR_CONFIG, "strategy \"%s\"; one of fedavg", name);
}

ex_status ex_aggregate_init(ex_aggregate *a, const ex_strategy *strategy, const ex_mask *mask)
{
    *a = (ex_aggregate){
        .strategy = strategy, .mask = mask, .size = mask->param_count + mask->stat_count};
    return ex_alloc(&a->sum, a->size, sizeof *a->sum, "sum of updates");
}

void ex_aggregate_close(ex_aggregate *a)
{
    ex_free(&a->sum);
}

/* --- fedavg --------------------------------------------------------------------------------- */

static void fedavg_weigh(double *weight, const size_t *samples, int cohort, ex_weighting weighting)
{
    size_t total = 0;
    for (int k = 0; k < cohort; k++)
        total += samples[k];
    for (int k = 0; k < cohort; k++)
        weight[k] =
            weighting == EX_WEIGHTING_UNIFORM ? 1.0 / cohort : (double)samples[k] / (double)total;
}

static double *add_segments(double *sum, const float *flat, const ex_segment *segments,
                            size_t count, double weight)
{
    const ex_stream here = {.threads = 1};
    for (size_t i = 0; i < count; i++) {
        const ex_segment s = segments[i];
        ex_kernels_host.accumulate(sum, flat + s.offset, weight, s.length, here);
        sum += s.length;
    }
    return sum;
}

static void fedavg_add(ex_aggregate *a, const float *params, const float *stats, double weight)
{
    const ex_mask *m = a->mask;
    double *sum = add_segments(a->sum, params, m->params, m->param_segments, weight);
    add_segments(sum, stats, m->stats, m->stat_segments, weight);
}

static const double *apply_segments(float *flat, const double *sum, const ex_segment *segments,
                                    size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < segments[i].length; j++) {
            float *value = &flat[segments[i].offset + j];
            *value = (float)((double)*value + *sum++);
        }
    return sum;
}

static void fedavg_apply(const ex_aggregate *a, float *params, float *stats)
{
    const ex_mask *m = a->mask;
    const double *sum = apply_segments(params, a->sum, m->params, m->param_segments);
    apply_segments(stats, sum, m->stats, m->stat_segments);
}

const ex_strategy ex_strategy_fedavg = {
    .name = "fedavg",
    .weigh = fedavg_weigh,
    .add = fedavg_add,
    .apply = fedavg_apply,
};
