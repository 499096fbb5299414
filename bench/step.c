/* A training step: forward, backward, SGD with momentum, images gathered from bytes; one lane.
 *
 * When it is timed, a step from the model's values is held against the same one on a second device:
 * float32, direct convolutions, one thread. */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>

/* Small, so that a thousand steps on the same images stay finite. */
static const ex_sgd_coeff SGD = {.lr = 0.01f, .momentum = 0.9f, .weight_decay = 5e-4f};

/* What the two updates may differ by, as a share of the second one's norm, and the losses by, as a
 * share of the loss. fp32: the order of summation and Winograd's transform, which gave 6e-6 on
 * resnet20 and 1e-3 on vgg11, where few values decide which of a pool is the largest. bf16 and
 * tf32: every map is rounded, to 8 and 11 bits, and gradients are sums of both signs over them;
 * bf16 gave 0.04 to 0.17 (least at large batches), the losses 3e-3. A step that leaves out a layer
 * or takes another batch differs by about 1. */
static const double UPDATE_APART[] = {[EX_FP32] = 1e-2, [EX_TF32] = 0.1, [EX_BF16] = 0.5};
static const double LOSS_APART[] = {[EX_FP32] = 1e-4, [EX_TF32] = 1e-2, [EX_BF16] = 2e-2};

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

/* --- against a second device ------------------------------------------------------------------ */

/* The model's values after its first step. */
typedef struct stepped {
    float *params, *stats;
    double loss; /* of the step's batch, before it */
} stepped;

static void free_stepped(stepped *s)
{
    ex_free(&s->params);
    ex_free(&s->stats);
}

static ex_status take_step(stepped *out, ex_plan *plan, const ex_federation *f,
                           const ex_samples *feed)
{
    const ex_model *m = f->model;
    const ex_samples first = {
        .index = feed->index, .label = feed->label, .count = (size_t)plan->spec.batch};
    ex_train_sums sums = {0};
    EX_TRY(ex_alloc(&out->params, m->param_count, sizeof *out->params, "values"));
    EX_TRY(ex_alloc(&out->stats, m->stat_count, sizeof *out->stats, "values"));
    EX_TRY(ex_lane_load(plan->lane, f->params, f->stats));
    plan->key = (ex_rng_key){0}; /* both drop the same values */
    const ex_status status = ex_plan_train(plan, &f->data->train, &first, &SGD, &sums);
    if (status != EX_ERR_NUMERIC)
        EX_TRY(status);
    out->loss = status == EX_OK ? sums.loss : (double)NAN;
    return ex_lane_store(plan->lane, out->params, out->stats);
}

static ex_status take_reference_step(stepped *out, const ex_federation *f, const bench_options *o,
                                     const ex_plan_spec *spec, const ex_samples *feed)
{
    bench_options plain = *o;
    ex_status status;
    ex_federation *other;
    ex_trainer *central;
    ex_plan *plan = NULL;
    plain.conv = EX_CONV_DIRECT;
    plain.threads = 1;
    EX_TRY(bench_open_fp32(&other, f, &plain));
    EX_TRY_GOTO(ex_federation_central(other, &central), done);
    EX_TRY_GOTO(ex_plan_create(&plan, ex_trainer_lane(central), spec), done);
    status = take_step(out, plan, other, feed);
done:
    ex_plan_destroy(&plan);
    bench_close_fp32(&other);
    return status;
}

/* The norm of a's change less b's, as a share of that of b's change, from the same start. */
static double apart(const float *a, const float *b, const float *start, size_t n)
{
    double difference = 0.0, change = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double by = (double)b[i] - start[i];
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        change += by * by;
    }
    return n > 0 ? sqrt(difference / change) : 0.0;
}

static ex_status check(bench_result *result, ex_plan *plan, const ex_federation *f,
                       const bench_options *o, const ex_samples *feed)
{
    const ex_model *m = f->model;
    ex_status status;
    stepped ours = {0}, reference = {0};
    EX_TRY_GOTO(take_step(&ours, plan, f, feed), done);
    EX_TRY_GOTO(take_reference_step(&reference, f, o, &plan->spec, feed), done);
    const double loss = fabs(ours.loss - reference.loss) / reference.loss;
    const double params = apart(ours.params, reference.params, f->params, m->param_count);
    const double stats = apart(ours.stats, reference.stats, f->stats, m->stat_count);
    /* As "not within", so that a NaN is wrong too. */
    if (!(loss <= LOSS_APART[o->precision] && params <= UPDATE_APART[o->precision] &&
          stats <= UPDATE_APART[o->precision])) {
        ex_log_warn("the first step differs from that of float32, direct convolutions and one "
                    "thread: loss by %g, update of the values by %g, of the statistics by %g of "
                    "themselves; %g, %g and %g are in order",
                    loss, params, stats, LOSS_APART[o->precision], UPDATE_APART[o->precision],
                    UPDATE_APART[o->precision]);
        result->wrong++;
    }
done:
    free_stepped(&ours);
    free_stepped(&reference);
    return status;
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    const ex_plan_spec spec = {.use = EX_USE_TRAIN, .batch = o->batch, .norm = EX_NORM_TRAIN};
    return bench_feed(result, f, o, &spec, once, check, NULL);
}

const bench_job bench_step = {.name = "step",
                              .summary = "a training step: forward, backward, SGD",
                              .unit = "ms",
                              .per_second = 1e3,
                              .parts = BENCH_FEED_BATCHES,
                              .repetitions = 10,
                              .run = run};
