/* Timing a plan over the same images, again and again. */
#include "bench.h"

#include "base/memory.h"

ex_status bench_feed(bench_result *result, ex_federation *f, const bench_options *o,
                     const ex_plan_spec *spec, bench_once once, bench_check check, void *context)
{
    ex_status status;
    ex_trainer *central;
    ex_plan *plan = NULL;
    ex_samples feed = {0};
    EX_TRY(ex_federation_central(f, &central));
    EX_TRY_GOTO(ex_samples_all(&feed, &f->data->train), done);
    EX_TRY_GOTO(ex_plan_create(&plan, ex_trainer_lane(central), spec), done);
    EX_TRY_GOTO(once(result->seconds, result, plan, f, &feed, context), done); /* warm-up */
    while (result->repetitions < o->repetitions) {
        EX_TRY_GOTO(once(&result->seconds[result->repetitions], result, plan, f, &feed, context),
                    done);
        result->repetitions++;
    }
    result->images = feed.count;
    result->peak = ex_memory_peak();
    if (check)
        status = check(result, plan, f, o, &feed);
done:
    ex_plan_destroy(&plan);
    ex_samples_free(&feed);
    return status;
}
