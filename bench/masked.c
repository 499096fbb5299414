/* A step of masked training against a full one, by turns on one lane. The full step is that of
 * `step`: every value, norms by the batch.
 *
 * When they are timed, masked steps must leave every bit outside of the mask and change what is in
 * it, and the masked gradient must be what a full step under the same norms has there. */
#include "bench.h"

#include "base/log.h"
#include "base/memory.h"
#include "select.h"

#include <math.h>
#include <string.h>

/* The first layer that channels are selected in. */
static int first_layer(const ex_model *m, const bench_options *o)
{
    return o->last_layers && o->last_layers < m->layer_count ? m->layer_count - o->last_layers : 0;
}

ex_status bench_mask(ex_mask **out, const ex_model *m, const bench_options *o)
{
    ex_status status;
    ex_mask *mask;
    const int first = first_layer(m, o);
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

/* --- what it could cost ----------------------------------------------------------------------- */

/* The paper's Table 2. */
static double paper_share(double delta)
{
    return (1.0 + 5.0 * delta) / 6.0;
}

/* Of a full step, by operations of convolutions and matrix products: a third is the forward pass, a
 * third gradients of maps, which are wanted down to the first trained layer, and a third gradients
 * of filters, of which the share delta of the trained layers' is wanted. Where every layer is
 * trained that is (2 + delta) / 3, the images' own gradient counted on both sides. */
static ex_status floor_share(double *out, const ex_model *m, int first, double delta)
{
    double all = 0.0, maps = 0.0, trained = 0.0;
    bool *wanted; /* a trained layer is at the node or before it */
    EX_TRY(ex_alloc(&wanted, (size_t)m->node_count, sizeof *wanted, "nodes"));
    for (int i = 1; i < m->node_count; i++) {
        const ex_node *n = &m->nodes[i];
        wanted[i] =
            n->layer >= first || wanted[n->input] || (n->residual >= 0 && wanted[n->residual]);
        if (n->layer < 0)
            continue;
        const ex_layer *l = &m->layers[n->layer];
        const double flop = 2.0 * (double)l->row * l->channels * n->out_H * n->out_W;
        all += flop;
        maps += wanted[n->input] || first == 0 ? flop : 0.0;
        trained += n->layer >= first ? flop : 0.0;
    }
    *out = (all + maps + delta * trained) / (3.0 * all);
    ex_free(&wanted);
    return EX_OK;
}

/* --- what it must give ------------------------------------------------------------------------ */

/* The norm of the difference, as a share of the gradient's. Both plans sum the same products, in
 * another order or by Winograd's transform: on the CPU that gave up to 7e-7 on resnet20, and 1.3e-4
 * on vgg11, where few values decide which of a pool is the largest. In tf32 and bf16 maps that were
 * computed another way are also rounded to other neighbours. */
static const double GRADIENT_APART[] = {[EX_FP32] = 1e-3, [EX_TF32] = 1e-2, [EX_BF16] = 1e-2};

typedef struct values {
    float *params, *stats;
} values;

static void free_values(values *v)
{
    ex_free(&v->params);
    ex_free(&v->stats);
}

static ex_status store(values *out, ex_lane *lane)
{
    EX_TRY(ex_alloc(&out->params, lane->model->param_count, sizeof(float), "values"));
    EX_TRY(ex_alloc(&out->stats, lane->model->stat_count, sizeof(float), "values"));
    return ex_lane_store(lane, out->params, out->stats);
}

/* Values outside of the segments that differ; *moved: those inside that do. */
static size_t count_changes(size_t *moved, const float *before, const float *after, size_t n,
                            const ex_segment *segments, size_t segment_count)
{
    size_t outside = 0, s = 0;
    for (size_t i = 0; i < n; i++) {
        while (s < segment_count && i >= segments[s].offset + segments[s].length)
            s++;
        const bool inside = s < segment_count && i >= segments[s].offset;
        const bool differs = memcmp(&before[i], &after[i], sizeof *before) != 0;
        outside += differs && !inside;
        *moved += differs && inside;
    }
    return outside;
}

static ex_status check_values(bench_result *result, ex_plan *masked, const ex_federation *f,
                              const ex_samples *feed)
{
    const ex_mask *mask = masked->spec.mask;
    const ex_model *m = f->model;
    ex_status status;
    values before = {0}, after = {0};
    double unused;
    size_t moved = 0, outside;
    EX_TRY_GOTO(store(&before, masked->lane), done);
    EX_TRY_GOTO(bench_train(&unused, result, masked, f, feed), done);
    EX_TRY_GOTO(store(&after, masked->lane), done);
    outside = count_changes(&moved, before.stats, after.stats, m->stat_count, mask->stats,
                            mask->stat_segments);
    moved = 0; /* frozen statistics stay; values must not */
    outside += count_changes(&moved, before.params, after.params, m->param_count, mask->params,
                             mask->param_segments);
    if (outside > 0 || moved == 0) {
        ex_log_warn("masked steps changed %zu values outside of the mask, and %zu of the %zu in it",
                    outside, moved, mask->param_count);
        result->wrong++;
    }
done:
    free_values(&before);
    free_values(&after);
    return status;
}

/* The norm of what the two differ by within the mask, as a share of the second one's there; and
 * what the first has outside of it, which must be nothing. */
static double gradients_apart(const float *masked, const float *full, const ex_mask *mask)
{
    double difference = 0.0, size = 0.0, outside = 0.0;
    size_t s = 0;
    for (size_t i = 0; i < mask->model->param_count; i++) {
        while (s < mask->param_segments && i >= mask->params[s].offset + mask->params[s].length)
            s++;
        const bool inside = s < mask->param_segments && i >= mask->params[s].offset;
        const double by = (double)masked[i] - (inside ? full[i] : 0.0f);
        *(inside ? &difference : &outside) += by * by;
        size += inside ? (double)full[i] * full[i] : 0.0;
    }
    return outside == 0.0 ? sqrt(difference / size) : INFINITY;
}

static ex_status check_gradient(bench_result *result, ex_plan *masked, ex_plan *full,
                                const ex_federation *f, const ex_samples *feed)
{
    const ex_samples batch = {
        .index = feed->index, .label = feed->label, .count = (size_t)masked->spec.batch};
    const double allowed = GRADIENT_APART[f->device->options.precision];
    const size_t n = f->model->param_count;
    ex_status status;
    ex_gradient ours = {0}, reference = {0};
    masked->key = full->key = (ex_rng_key){0}; /* both drop the same values */
    EX_TRY_GOTO(ex_alloc(&ours.params, n, sizeof(float), "gradients"), done);
    EX_TRY_GOTO(ex_alloc(&reference.params, n, sizeof(float), "gradients"), done);
    EX_TRY_GOTO(ex_lane_load(masked->lane, f->params, f->stats), done);
    EX_TRY_GOTO(ex_plan_gradient(masked, &f->data->train, &batch, &ours), done);
    EX_TRY_GOTO(ex_plan_gradient(full, &f->data->train, &batch, &reference), done);
    const double apart = gradients_apart(ours.params, reference.params, masked->spec.mask);
    if (!(apart <= allowed)) {
        ex_log_warn("the masked gradient differs from the full one by %g of it; %g is in order",
                    apart, allowed);
        result->wrong++;
    }
done:
    ex_free(&ours.params);
    ex_free(&reference.params);
    return status;
}

static ex_status check(bench_result *result, ex_plan *masked, const ex_federation *f,
                       const ex_samples *feed)
{
    ex_plan_spec spec = masked->spec;
    ex_plan *full;
    spec.mask = NULL;
    EX_TRY(check_values(result, masked, f, feed));
    EX_TRY(ex_plan_create(&full, masked->lane, &spec));
    const ex_status status = check_gradient(result, masked, full, f, feed);
    ex_plan_destroy(&full);
    return status;
}

/* --- measuring -------------------------------------------------------------------------------- */

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
    result->peak = ex_memory_peak();
    return check(result, masked, f, feed);
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
    EX_TRY_GOTO(bench_mask(&mask, f->model, o), done);
    result->paper = paper_share(o->delta);
    EX_TRY_GOTO(floor_share(&result->floor, f->model, first_layer(f->model, o), o->delta), done);
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
