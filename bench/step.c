/* A training step: forward, backward, SGD with momentum, images gathered from bytes; one lane. */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>

/* Small, so that a thousand steps on the same images stay finite. */
static const ex_sgd_coeff SGD = {.lr = 0.01f, .momentum = 0.9f, .weight_decay = 5e-4f};

ex_status bench_train(double *seconds, bench_result *result, ex_plan *plan, const ex_federation *f,
                      const ex_samples *feed)
{
    ex_train_sums sums = {0};
    const double start = ex_now();
    const ex_status status = ex_plan_train(plan, &f->data->train, feed, &SGD, &sums);
    *seconds = ex_now() - start;
    if (status != EX_OK && status != EX_ERR_NUMERIC)
        return status;
    if (status == EX_ERR_NUMERIC || !isfinite(sums.loss) || sums.count != feed->count) {
        ex_log_warn("a loss is not finite, or images are missing");
        result->wrong++;
    }
    return EX_OK;
}

static ex_status once(double *seconds, bench_result *result, ex_plan *plan, const ex_federation *f,
                      const ex_samples *feed, void *context)
{
    (void)context;
    return bench_train(seconds, result, plan, f, feed);
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = o->batch, .norm = EX_NORM_TRAIN};
    return bench_feed(result, f, o, &spec, once, NULL);
}

const bench_job bench_step = {.name = "step",
                              .summary = "a training step: forward, backward, SGD",
                              .unit = "ms",
                              .per_second = 1e3,
                              .parts = BENCH_FEED_BATCHES,
                              .repetitions = 10,
                              .run = run};
