/* Evaluation of a batch: forward with folded norms, images gathered from bytes, counts; one lane.
 */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"

#include <math.h>

/* The counts of every pass must be those of the first. */
static ex_status repeat(bench_result *result, size_t *correct, ex_plan *plan,
                        const ex_federation *f, const ex_samples *feed)
{
    ex_eval_sums sums = {0};
    const double start = ex_now();
    EX_TRY(ex_plan_evaluate(plan, &f->data->train, feed, &sums));
    result->seconds[result->repetitions] = ex_now() - start;
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
    ex_status status;
    ex_trainer *central;
    ex_plan *plan = NULL;
    ex_samples feed = {0};
    size_t correct = (size_t)-1;
    const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = o->batch};
    EX_TRY(ex_federation_central(f, &central));
    EX_TRY_GOTO(ex_samples_all(&feed, &f->data->train), done);
    EX_TRY_GOTO(ex_plan_create(&plan, ex_trainer_lane(central), &spec), done);
    EX_TRY_GOTO(repeat(result, &correct, plan, f, &feed), done); /* warm-up: timed again below */
    while (result->repetitions < o->repetitions) {
        EX_TRY_GOTO(repeat(result, &correct, plan, f, &feed), done);
        result->repetitions++;
    }
    result->images = feed.count;
done:
    ex_plan_destroy(&plan);
    ex_samples_free(&feed);
    return status;
}

const bench_job bench_eval = {.name = "eval",
                              .summary = "evaluation of a batch: forward and counts",
                              .unit = "ms",
                              .per_second = 1e3,
                              .parts = BENCH_FEED_BATCHES,
                              .repetitions = 20,
                              .run = run};
