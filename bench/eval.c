/* Evaluation of a batch: forward with folded norms, images gathered from bytes, counts; one lane.
 */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>

/* The counts of every pass must be those of the first; (size_t)-1 before it. */
static ex_status once(double *seconds, bench_result *result, ex_plan *plan, const ex_federation *f,
                      const ex_samples *feed, void *context)
{
    size_t *correct = context;
    ex_eval_sums sums = {0};
    const double start = ex_now();
    EX_TRY(ex_plan_evaluate(plan, &f->data->train, feed, &sums));
    *seconds = ex_now() - start;
    if (*correct == (size_t)-1)
        *correct = sums.correct;
    if (!isfinite(sums.loss) || sums.count != feed->count || sums.correct != *correct) {
        ex_log_warn("loss %g, %zu of %zu images right, %zu in the first pass", sums.loss,
                    sums.correct, sums.count, *correct);
        result->wrong++;
    }
    return EX_OK;
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = o->batch};
    size_t correct = (size_t)-1;
    return bench_feed(result, f, o, &spec, once, NULL, &correct);
}

const bench_job bench_eval = {.name = "eval",
                              .summary = "evaluation of a batch: forward and counts",
                              .unit = "ms",
                              .per_second = 1e3,
                              .parts = BENCH_FEED_BATCHES,
                              .repetitions = 20,
                              .run = run};
