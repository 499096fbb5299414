/* A step of masked training against a full one, by turns on one lane. The full step is that of
 * `step`: every value, norms by the batch. */
#include "bench.h"

#include "select.h"

/* The share delta of each layer's channels, evenly spread. */
static ex_status make_mask(ex_mask **out, const ex_model *m, const bench_options *o)
{
    ex_status status;
    ex_mask *mask;
    const int first =
        o->last_layers && o->last_layers < m->layer_count ? m->layer_count - o->last_layers : 0;
    *out = NULL;
    EX_TRY(ex_mask_create(&mask, m));
    for (int i = first; i < m->layer_count; i++) {
        const int channels = m->layers[i].channels, count = ex_select_count(o->delta, channels);
        for (int j = 0; j < count; j++)
            EX_TRY_GOTO(ex_mask_select(mask, i, j * channels / count), done);
    }
    EX_TRY_GOTO(ex_mask_seal(mask), done);
    *out = mask;
    mask = NULL;
done:
    ex_mask_destroy(&mask);
    return status;
}

static ex_status measure(bench_result *result, ex_plan *masked, ex_plan *full,
                         const ex_federation *f, const bench_options *o, const ex_samples *feed)
{
    EX_TRY(bench_train(result->seconds, result, masked, f, feed)); /* warm-up */
    EX_TRY(bench_train(result->base, result, full, f, feed));
    while (result->repetitions < o->repetitions) {
        const int i = result->repetitions;
        EX_TRY(bench_train(&result->seconds[i], result, masked, f, feed));
        EX_TRY(bench_train(&result->base[i], result, full, f, feed));
        result->repetitions++;
    }
    result->images = feed->count;
    return EX_OK;
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    ex_status status;
    ex_trainer *central;
    ex_plan *masked = NULL, *full = NULL;
    ex_mask *mask = NULL;
    ex_samples feed = {0};
    ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = o->batch, .norm = EX_NORM_TRAIN};
    EX_TRY(ex_federation_central(f, &central));
    ex_lane *lane = ex_trainer_lane(central);
    EX_TRY_GOTO(make_mask(&mask, f->model, o), done);
    EX_TRY_GOTO(ex_samples_all(&feed, &f->data->train), done);
    EX_TRY_GOTO(ex_plan_create(&full, lane, &spec), done);
    spec.mask = mask;
    spec.norm = (ex_norm_mode)o->norm;
    EX_TRY_GOTO(ex_plan_create(&masked, lane, &spec), done);
    status = measure(result, masked, full, f, o, &feed);
done:
    ex_plan_destroy(&masked);
    ex_plan_destroy(&full);
    ex_samples_free(&feed);
    ex_mask_destroy(&mask);
    return status;
}

const bench_job bench_masked = {.name = "masked",
                                .summary = "a step that trains selected channels, and a full one",
                                .unit = "ms",
                                .per_second = 1e3,
                                .parts = BENCH_FEED_BATCHES,
                                .repetitions = 10,
                                .base = "full step",
                                .run = run};
