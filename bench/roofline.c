/* A step taken apart: time, operations and bytes of every layer and pass, beside what the processor
 * can do.
 *
 * What is measured are the steps of a plan of the CPU back end, as --profile shows them. Operations
 * are those of convolutions and matrix products as the model is written, so that Winograd's may
 * pass the peak; bytes count every operand once, and operands that stay in a cache may pass it
 * too. Work in bf16 stands beside the peak of bf16 where the processor has instructions for it. */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- measuring -------------------------------------------------------------------------------- */

static ex_status run_feed(bench_result *result, ex_plan *plan, const ex_federation *f,
                          const ex_samples *feed)
{
    double unused;
    ex_eval_sums sums = {0};
    if (plan->spec.use == EX_USE_TRAIN)
        return bench_train(&unused, result, plan, f, feed);
    EX_TRY(ex_plan_evaluate(plan, &f->data->train, feed, &sums));
    result->wrong += !isfinite(sums.loss) || sums.count != feed->count;
    return EX_OK;
}

/* The plan hands in what its steps took when it goes: the first one, which warms up, to nobody. */
static ex_status run_plan(bench_result *result, const ex_federation *f, const bench_options *o,
                          ex_lane *lane, const ex_mask *mask, const ex_samples *feed, bool warm_up)
{
    const ex_plan_spec spec = {
        .use = o->use == BENCH_EVALUATE ? EX_USE_EVALUATE : EX_USE_TRAIN,
        .batch = o->batch,
        .norm = o->use == BENCH_MASKED ? (ex_norm_mode)o->norm : EX_NORM_TRAIN,
        .mask = mask,
    };
    ex_status status;
    ex_plan *plan;
    EX_TRY(ex_plan_create(&plan, lane, &spec));
    for (int i = 0; i < (warm_up ? 1 : o->repetitions); i++) {
        const double start = ex_work_now(o->threads);
        EX_TRY_GOTO(run_feed(result, plan, f, feed), done);
        result->roofline->seconds += ex_work_now(o->threads) - start;
        result->roofline->steps += BENCH_FEED_BATCHES;
    }
    status = EX_OK;
done:
    ex_plan_destroy(&plan);
    return status;
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static double forward_flop(const bench_roofline *r)
{
    double flop = 0.0;
    for (size_t i = 0; i < r->count; i++)
        if (starts_with(r->parts[i].name, "conv forward") ||
            starts_with(r->parts[i].name, "linear forward"))
            flop += r->parts[i].flop;
    return flop / (double)r->steps;
}

double bench_roofline_parts(const bench_roofline *r)
{
    double seconds = 0.0;
    for (size_t i = 0; i < r->count; i++)
        seconds += r->parts[i].total;
    return seconds;
}

/* Parts that are more than the whole, and operations that are not the model's, mean nothing. */
static void check(bench_result *result)
{
    const bench_roofline *r = result->roofline;
    const double parts = bench_roofline_parts(r), flop = forward_flop(r);
    if (parts > r->seconds) {
        ex_log_warn("the parts of a step took %g s, the steps %g s", parts, r->seconds);
        result->wrong++;
    }
    if (fabs(flop - r->expected) > 1e-9 * r->expected) {
        ex_log_warn("%g operations were counted in a forward pass; the model has %g", flop,
                    r->expected);
        result->wrong++;
    }
}

/* What the whole has, the parts have: first calls are calls here. */
static ex_status get_parts(bench_roofline *r)
{
    EX_TRY(ex_profile_rows(ex_profile_current(), &r->parts, &r->count));
    for (size_t i = 0; i < r->count; i++) {
        r->parts[i].total += r->parts[i].first;
        r->parts[i].calls += r->parts[i].first_calls;
    }
    return EX_OK;
}

static ex_status measure(bench_result *result, ex_federation *f, const bench_options *o,
                         const ex_mask *mask, const ex_samples *feed)
{
    bench_roofline *r = result->roofline;
    ex_trainer *central;
    EX_TRY(ex_federation_central(f, &central));
    ex_lane *lane = ex_trainer_lane(central);
    EX_TRY(run_plan(result, f, o, lane, mask, feed, true));
    r->seconds = 0.0;
    r->steps = 0;
    EX_TRY(ex_profile_begin());
    EX_TRY(run_plan(result, f, o, lane, mask, feed, false));
    EX_TRY(get_parts(r));
    r->expected = ex_model_flops(f->model) * o->batch;
    r->peak_flops = bench_peak_flops(o->threads);
    r->peak_bf16 = o->precision == EX_BF16 ? bench_peak_bf16(o->threads) : 0.0;
    return bench_peak_bytes(&r->peak_bytes, o->threads);
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    ex_status status;
    ex_samples feed = {0};
    ex_mask *mask = NULL;
    if (strcmp(f->device->backend->name, "cpu") != 0)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "roofline takes a step of the CPU apart; use --device cpu, and on a GPU "
                       "--profile of excise train, or ncu");
    EX_TRY(ex_alloc(&result->roofline, 1, sizeof *result->roofline, "roofline"));
    if (o->use == BENCH_MASKED)
        EX_TRY(bench_mask(&mask, f->model, o));
    EX_TRY_GOTO(ex_samples_all(&feed, &f->data->train), done);
    status = measure(result, f, o, mask, &feed);
done:
    ex_samples_free(&feed);
    ex_mask_destroy(&mask);
    EX_TRY(status);
    check(result);
    result->repetitions = o->repetitions;
    result->images = (size_t)o->batch;
    return EX_OK;
}

/* --- showing ---------------------------------------------------------------------------------- */

static double rate(double work, double seconds)
{
    return seconds > 0.0 ? work / seconds : 0.0;
}

/* What the parts' work is set against. */
static double peak_of(const bench_roofline *r)
{
    return r->peak_bf16 > 0.0 ? r->peak_bf16 : r->peak_flops;
}

const char *bench_roofline_peak(const bench_roofline *r)
{
    return r->peak_bf16 > 0.0 ? "bf16" : "fp32";
}

static json_t *show(const char *name, const ex_profile_row *part, const bench_roofline *r)
{
    const double steps = (double)r->steps, ms = part->total / steps * 1e3;
    const double share = 100.0 * part->total / r->seconds;
    const double flops = rate(part->flop, part->total), bytes = rate(part->bytes, part->total);
    const double of_flops = 100.0 * flops / peak_of(r), of_bytes = 100.0 * bytes / r->peak_bytes;
    printf(" %-56s %6.4g %9.4g %6.2f %9.4g %9.4g %6.1f %9.4g %9.4g %6.1f\n", name,
           (double)part->calls / steps, ms, share, part->flop / steps * 1e-9, flops * 1e-9,
           of_flops, part->bytes / steps * 1e-6, bytes * 1e-9, of_bytes);
    return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "name", name, "calls",
                     (double)part->calls / steps, "ms", ms, "percent", share, "flop",
                     part->flop / steps, "gflop_per_second", flops * 1e-9, "percent_of_peak",
                     of_flops, "bytes", part->bytes / steps, "gb_per_second", bytes * 1e-9,
                     "percent_of_triad", of_bytes);
}

json_t *bench_roofline_report(const bench_roofline *r, int wrong)
{
    json_t *rows = json_array();
    ex_profile_row whole = {.calls = r->steps, .total = r->seconds};
    const ex_profile_row outside = {.calls = r->steps,
                                    .total = r->seconds - bench_roofline_parts(r)};
    printf("# peak %.4g GFLOP/s (multiply-adds of float32), ", r->peak_flops * 1e-9);
    if (r->peak_bf16 > 0.0)
        printf("%.4g GFLOP/s (of bf16, vdpbf16ps), ", r->peak_bf16 * 1e-9);
    printf("%.4g GB/s (triad): the best of a few loops; lower than they are where other work holds "
           "the cores\n# the column peak is of %s's\n",
           r->peak_bytes * 1e-9, bench_roofline_peak(r));
    printf("#%-56s %6s %9s %6s %9s %9s %6s %9s %9s %6s\n", "part", "calls", "time", "share", "work",
           "rate", "peak", "moved", "rate", "triad");
    printf("#%-56s %6s %9s %6s %9s %9s %6s %9s %9s %6s\n", "", "a step", "ms", "%", "GFLOP",
           "GFLOP/s", "%", "MB", "GB/s", "%");
    for (size_t i = 0; i < r->count; i++) {
        whole.flop += r->parts[i].flop;
        whole.bytes += r->parts[i].bytes;
        json_array_append_new(rows, show(r->parts[i].name, &r->parts[i], r));
    }
    json_array_append_new(rows, show("(outside of them)", &outside, r));
    json_array_append_new(rows, show("(the whole step)", &whole, r));
    printf("# #wrong %d\n", wrong);
    return rows;
}

const bench_job bench_roofline_job = {.name = "roofline",
                                      .summary =
                                          "a step by layer and pass, beside the processor's peaks",
                                      .unit = "ms",
                                      .per_second = 1e3,
                                      .parts = 1,
                                      .repetitions = 10,
                                      .run = run};
