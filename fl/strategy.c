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

ex_status ex_aggregate_init(ex_aggregate *a, const ex_strategy *strategy, const ex_mask *mask,
                            size_t extra)
{
    *a = (ex_aggregate){
        .strategy = strategy, .mask = mask, .size = mask->param_count + mask->stat_count};
    return ex_alloc(&a->sum, a->size + extra, sizeof *a->sum, "sum of updates");
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

/* Adds to a->sum from `at` on; gives where the segments end there. */
static size_t add_segments(ex_aggregate *a, size_t at, const float *flat,
                           const ex_segment *segments, size_t count, double weight)
{
    const ex_stream here = {.threads = 1};
    for (size_t i = 0; i < count; i++) {
        const ex_segment s = segments[i];
        ex_kernels_host.accumulate_fixed(a->sum + at, &a->outside, flat + s.offset, weight,
                                         s.length, here);
        at += s.length;
    }
    return at;
}

static void fedavg_add(ex_aggregate *a, const float *params, const float *stats, double weight)
{
    const ex_mask *m = a->mask;
    const size_t at = add_segments(a, 0, params, m->params, m->param_segments, weight);
    add_segments(a, at, stats, m->stats, m->stat_segments, weight);
}

static const int64_t *apply_segments(float *flat, const int64_t *sum, const ex_segment *segments,
                                     size_t count)
{
    const double unit = 1.0 / (double)((int64_t)1 << EX_FIXED_BITS);
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < segments[i].length; j++) {
            float *value = &flat[segments[i].offset + j];
            *value = (float)((double)*value + (double)*sum++ * unit);
        }
    return sum;
}

static void fedavg_apply(const ex_aggregate *a, float *params, float *stats)
{
    const ex_mask *m = a->mask;
    const int64_t *sum = apply_segments(params, a->sum, m->params, m->param_segments);
    apply_segments(stats, sum, m->stats, m->stat_segments);
}

const ex_strategy ex_strategy_fedavg = {
    .name = "fedavg",
    .weigh = fedavg_weigh,
    .add = fedavg_add,
    .apply = fedavg_apply,
};
