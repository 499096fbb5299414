/* A preamble that says what was measured where, a table, a JSON object. */
#include "bench.h"

#include "base/memory.h"
#include "version.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct summary {
    double median, min, max; /* in the job's unit */
    double base;             /* median of what the job compares with, in its unit; 0: nothing */
    double images_per_second;
    double
        gflops; /* of convolutions and linear layers as the model is written; NAN if not defined */
} summary;

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the seconds. */
static double median_of(double *seconds, size_t n)
{
    qsort(seconds, n, sizeof *seconds, compare);
    return 0.5 * (seconds[(n - 1) / 2] + seconds[n / 2]);
}

static summary summarize(const bench_job *job, const bench_result *r)
{
    const size_t n = (size_t)r->repetitions;
    const double median = median_of(r->seconds, n);
    const double scale = job->per_second / job->parts;
    return (summary){.median = median * scale,
                     .min = r->seconds[0] * scale,
                     .max = r->seconds[n - 1] * scale,
                     .base = r->base ? median_of(r->base, n) * scale : 0.0,
                     .images_per_second = (double)r->images / median};
}

static const char *shape_text(const bench_options *o)
{
    return o->shape == BENCH_CIFAR ? "3x32x32" : "1x28x28";
}

static bool trains_masked(const bench_job *job, const bench_options *o)
{
    return job == &bench_masked || (job == &bench_roofline_job && o->use == BENCH_MASKED);
}

static void print_preamble(const bench_job *job, const ex_federation *f, const bench_options *o,
                           const bench_result *r)
{
    json_t *libraries = ex_version_libraries();
    const char *name, *separator = "";
    json_t *version;
    printf("# excise-bench %s: %s\n", job->name, job->summary);
    printf("# excise %s%s%s; ", ex_version(), *ex_version_commit() ? ", commit " : "",
           ex_version_commit());
    json_object_foreach(libraries, name, version)
    {
        printf("%s%s %s", separator, name,
               json_is_string(version) ? json_string_value(version) : "not built in");
        separator = ", ";
    }
    json_decref(libraries);
    printf("\n# device %s: %s\n", f->device->name, f->device->description);
    printf("# precision %s, conv %s, threads %d\n", bench_choice("--precision", o->precision),
           bench_choice("--conv", o->conv), o->threads);
    if (o->memory)
        printf("# plans in at most %zu bytes\n", o->memory);
    printf("# model %s: %zu values, %d channels; images %s\n", f->model->name,
           f->model->param_count, f->model->channel_count, shape_text(o));
    if (job == &bench_ablate)
        printf("# strategy %s, lanes %d, probe %d\n", bench_choice("--strategy", o->strategy),
               o->lanes, o->probe);
    else if (job == &bench_kernels)
        printf("# batch %d; maps of the first convolution, vectors of the model\n", o->batch);
    else if (job == &bench_clients)
        printf("# batch %d, %d clients of %d images in a repetition, on one lane of one thread\n",
               o->batch, BENCH_CLIENTS, o->samples);
    else
        printf("# batch %d, %d batches in a repetition\n", o->batch, BENCH_FEED_BATCHES);
    if (job == &bench_roofline_job)
        printf("# use %s, %d repetitions\n", bench_choice("--use", o->use), r->repetitions);
    if (trains_masked(job, o))
        printf("# delta %g, bn %s, last layers %d (0: all)\n", o->delta,
               bench_choice("--bn", o->norm), o->last_layers);
}

static double selection_share(const bench_selection *s)
{
    return (double)s->both / s->selected;
}

static void print_table(const bench_job *job, const ex_federation *f, const bench_result *r,
                        const summary *s)
{
    printf("#%-9s %-12s %11s %11s %11s %11s %11s %7s\n", "job", "model", "repetitions", "median",
           "min", "max", "rate", "#wrong");
    printf("#%-9s %-12s %11s %11s %11s %11s %11s %7s\n", "", "", "count", job->unit, job->unit,
           job->unit, "img/s", "count");
    printf(" %-9s %-12s %11d %11.4g %11.4g %11.4g %11.5g %7d\n", job->name, f->model->name,
           r->repetitions, s->median, s->min, s->max, s->images_per_second, r->wrong);
    if (job->base)
        printf(" %-22s %11d %11.4g  by turns: ratio %.3f\n", job->base, r->repetitions, s->base,
               s->median / s->base);
    if (job == &bench_masked)
        printf("# the paper's estimate %.3f of a full step, the floor of exact gradients %.3f\n",
               r->paper, r->floor);
    if (r->selection.selected)
        printf("# of %d channels selected, float32 selects %d too: %.3f\n", r->selection.selected,
               r->selection.both, selection_share(&r->selection));
}

/* s: of the one timing; rows: of several. */
static void print_json(const bench_job *job, const ex_federation *f, const bench_options *o,
                       const bench_result *r, const summary *s, json_t *rows)
{
    json_t *json =
        json_pack("{s:i, s:s, s:s, s:s, s:i, s:i, s:s, s:s, s:i, s:s, s:i}", "schema", 1, "job",
                  job->name, "model", f->model->name, "shape", shape_text(o), "batch", o->batch,
                  "threads", o->threads, "conv", bench_choice("--conv", o->conv), "precision",
                  bench_choice("--precision", o->precision), "repetitions", r->repetitions, "unit",
                  job->unit, "wrong", r->wrong);
    if (rows) {
        json_object_set(json, job->name, rows);
    } else {
        json_object_set_new(json, "median", json_real(s->median));
        json_object_set_new(json, "min", json_real(s->min));
        json_object_set_new(json, "max", json_real(s->max));
        json_object_set_new(json, "images_per_second", json_real(s->images_per_second));
    }
    if (r->roofline) {
        json_object_set_new(json, "use", json_string(bench_choice("--use", o->use)));
        json_object_set_new(json, "peak_gflop_per_second",
                            json_real(r->roofline->peak_flops * 1e-9));
        json_object_set_new(json, "peak_bf16_gflop_per_second",
                            r->roofline->peak_bf16 > 0.0 ? json_real(r->roofline->peak_bf16 * 1e-9)
                                                         : json_null());
        json_object_set_new(json, "peak_precision", json_string(bench_roofline_peak(r->roofline)));
        json_object_set_new(json, "peak_gb_per_second", json_real(r->roofline->peak_bytes * 1e-9));
        json_object_set_new(json, "forward_flop", json_real(r->roofline->expected));
    }
    if (job == &bench_ablate) {
        json_object_del(json, "batch"); /* chosen by the strategy */
        json_object_set_new(json, "strategy", json_string(bench_choice("--strategy", o->strategy)));
        json_object_set_new(json, "lanes", json_integer(o->lanes));
        json_object_set_new(json, "probe", json_integer(o->probe));
        json_object_set_new(json, "channels", json_integer(f->model->channel_count));
        if (r->selection.selected)
            json_object_set_new(json, "selection",
                                json_pack("{s:f, s:i, s:i, s:f}", "delta", o->delta, "selected",
                                          r->selection.selected, "both", r->selection.both, "share",
                                          selection_share(&r->selection)));
    }
    if (trains_masked(job, o)) {
        json_object_set_new(json, "delta", json_real(o->delta));
        json_object_set_new(json, "bn", json_string(bench_choice("--bn", o->norm)));
        json_object_set_new(json, "last_layers", json_integer(o->last_layers));
    }
    if (job == &bench_masked) {
        json_object_set_new(json, "paper", json_real(r->paper));
        json_object_set_new(json, "floor", json_real(r->floor));
        json_object_set_new(json, "full", json_real(s->base));
        json_object_set_new(json, "ratio", json_real(s->median / s->base));
    }
    if (job == &bench_clients) {
        json_object_set_new(json, "samples", json_integer(o->samples));
        json_object_set_new(json, "compute", json_real(s->base));
        json_object_set_new(json, "ratio", json_real(s->median / s->base));
    }
    const size_t peak = r->peak ? r->peak : ex_memory_peak();
    json_object_set_new(json, "memory", json_integer((json_int_t)o->memory));
    json_object_set_new(json, "peak_mib", json_real((double)peak / (1 << 20)));
    json_object_set_new(json, "version", json_string(ex_version()));
    json_object_set_new(json, "commit",
                        *ex_version_commit() ? json_string(ex_version_commit()) : json_null());
    json_object_set_new(json, "libraries", ex_version_libraries());
    json_object_set_new(json, "device", json_string(f->device->name));
    json_object_set_new(json, "device_description", json_string(f->device->description));
    json_dumpf(json, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6));
    printf("\n");
    json_decref(json);
}

/* --- jobs of several rows --------------------------------------------------------------------- */

/* *s and the GB/s of the median. */
static double summarize_row(summary *s, const bench_job *job, const bench_row *row, int repetitions)
{
    const double median = median_of(row->seconds, (size_t)repetitions);
    s->median = median * job->per_second;
    s->min = row->seconds[0] * job->per_second;
    s->max = row->seconds[repetitions - 1] * job->per_second;
    return row->bytes / median * 1e-9;
}

static json_t *report_rows(const bench_job *job, const bench_result *r)
{
    json_t *rows = json_array();
    printf("#%-19s %11s %11s %11s %11s %9s %9s %7s\n", job->name, "repetitions", "median", "min",
           "max", "moved", "rate", "#wrong");
    printf("#%-19s %11s %11s %11s %11s %9s %9s %7s\n", "", "count", job->unit, job->unit, job->unit,
           "MB", "GB/s", "count");
    for (int i = 0; i < r->row_count; i++) {
        const bench_row *row = &r->rows[i];
        summary s;
        const double rate = summarize_row(&s, job, row, r->repetitions);
        printf(" %-19s %11d %11.4g %11.4g %11.4g %9.4g %9.4g %7d\n", row->name, r->repetitions,
               s.median, s.min, s.max, row->bytes * 1e-6, rate, row->wrong);
        json_array_append_new(rows,
                              json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:i}", "name", row->name,
                                        "median", s.median, "min", s.min, "max", s.max, "bytes",
                                        row->bytes, "gb_per_second", rate, "wrong", row->wrong));
    }
    return rows;
}

void bench_report(const bench_job *job, const ex_federation *f, const bench_options *o,
                  const bench_result *result)
{
    summary s = {0};
    json_t *rows = NULL;
    print_preamble(job, f, o, result);
    if (result->roofline) {
        rows = bench_roofline_report(result->roofline, result->wrong);
    } else if (result->rows) {
        rows = report_rows(job, result);
    } else {
        s = summarize(job, result);
        print_table(job, f, result, &s);
    }
    if (o->json)
        print_json(job, f, o, result, &s, rows);
    json_decref(rows);
}
