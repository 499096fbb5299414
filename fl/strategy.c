/* The table of strategies, and what they share: the weighted mean of updates in fixed point. */
#include "strategy.h"

#include "base/memory.h"

#include <string.h>

static const ex_strategy *const strategies[] = {
    [EX_AGGREGATION_FEDAVG] = &ex_strategy_fedavg,
    [EX_AGGREGATION_FEDAVGM] = &ex_strategy_fedavgm,
};

const ex_strategy *ex_strategy_of(ex_aggregation choice)
{
    return strategies[choice];
}

ex_status ex_aggregate_init(ex_aggregate *a, const ex_strategy *strategy, const ex_mask *mask,
                            size_t extra)
{
    const size_t size = mask->param_count + mask->stat_count, places = size + extra;
    if (a->room < places) {
        ex_aggregate_close(a);
        EX_TRY(ex_alloc(&a->sum, places, sizeof *a->sum, "sum of updates"));
        a->room = places;
    } else {
        memset(a->sum, 0, places * sizeof *a->sum);
    }
    a->strategy = strategy;
    a->mask = mask;
    a->size = size;
    a->outside = 0;
    return EX_OK;
}

void ex_aggregate_close(ex_aggregate *a)
{
    ex_free(&a->sum);
    a->room = 0;
}

/* --- the mean ------------------------------------------------------------------------------- */

void ex_strategy_weigh(double *weight, const size_t *samples, int cohort, ex_weighting weighting)
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

void ex_strategy_add(ex_aggregate *a, const float *params, const float *stats, double weight)
{
    const ex_mask *m = a->mask;
    const size_t at = add_segments(a, 0, params, m->params, m->param_segments, weight);
    add_segments(a, at, stats, m->stats, m->stat_segments, weight);
}

const int64_t *ex_aggregate_move(float *flat, const int64_t *sum, const ex_segment *segments,
                                 size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < segments[i].length; j++) {
            float *value = &flat[segments[i].offset + j];
            *value = (float)((double)*value + ex_aggregate_mean(*sum++));
        }
    return sum;
}
