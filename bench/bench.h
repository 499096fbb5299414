/* excise-bench: what its jobs share. One file per job; a job measures, report.c prints.
 *
 * Everything runs on data made in memory, so that a figure depends on the machine and on the
 * options alone. */
#ifndef EX_BENCH_H
#define EX_BENCH_H

#include "federation.h"
#include "profile.h"

#include <jansson.h>

enum {
    BENCH_FEED_BATCHES = 8, /* batches in one call to the engine: a repetition */
    BENCH_CLIENTS = 10,     /* clients in a round: a repetition of `clients` */
};

typedef struct bench_options {
    const char *model;
    const char *device; /* auto, cpu, cuda or cuda:N */
    int shape;          /* bench_shape */
    int batch, threads;
    int lanes; /* 0 = as many as threads */
    int probe;
    int strategy;    /* ex_strategy_choice */
    int conv;        /* ex_conv_choice */
    int norm;        /* masked steps: ex_norm_mode */
    int samples;     /* clients: images of each */
    int use;         /* roofline: bench_use */
    int precision;   /* ex_precision */
    double delta;    /* share of each layer's channels that is selected */
    int last_layers; /* masked steps: layers that channels are selected in, from the end; 0 = all */
    size_t memory;   /* bytes that plans may take in all; 0 = no limit */
    int repetitions; /* 0 = the job's own default */
    bool selection;  /* ablate: compare with what float32 selects */
    bool json, help;
} bench_options;

/* What roofline takes apart. */
typedef enum bench_use { BENCH_TRAIN, BENCH_EVALUATE, BENCH_MASKED } bench_use;

typedef enum bench_shape { BENCH_CIFAR, BENCH_FASHION, BENCH_SHAPES } bench_shape;

/* One of several things that a job measures. */
typedef struct bench_row {
    const char *name;
    double *seconds; /* (repetitions) */
    double bytes;    /* that one of it must move */
    int wrong;
} bench_row;

/* What a step consists of, and what the processor could do: roofline.c. */
typedef struct bench_roofline {
    double peak_flops, peak_bytes; /* a second, of all threads; flops: of float32 */
    double peak_bf16;              /* flops of bf16; 0: not measured, or not to be had */
    ex_profile_row *parts;         /* (count) over all steps, by falling time */
    size_t count, steps;
    double seconds;  /* of all steps, what is in no part included */
    double expected; /* flop of a forward pass as the model is written */
} bench_roofline;

/* Channels that an ablation selects, over all classes and layers. */
typedef struct bench_selection {
    int selected; /* 0: not asked for */
    int both;     /* of them, those that float32 selects too */
} bench_selection;

/* Seconds of every repetition, and what is wrong with the results. */
typedef struct bench_result {
    double *seconds; /* (repetitions) */
    double *base;    /* (repetitions) of what the job compares with, by turns; NULL: nothing */
    int repetitions; /* measured so far; options->repetitions in the end */
    bench_row *rows; /* (row_count) instead of `seconds`, where the job measures several things */
    int row_count;
    bench_roofline *roofline; /* instead of both, where the job takes a step apart */
    size_t images;            /* that a repetition computes */
    size_t peak; /* resident bytes at most before results were checked; 0: nothing was, or alike */
    double paper, floor;       /* masked: of a full step, by the paper and by exact gradients */
    bench_selection selection; /* ablate */
    int wrong;                 /* results that are not what they must be; a cause each in the log */
} bench_result;

typedef struct bench_job {
    const char *name, *summary;
    const char *unit;  /* of a timing in the table */
    double per_second; /* how many of it are a second */
    int parts;         /* a timing is a repetition's time divided by this */
    int repetitions;   /* default */
    const char *base;  /* what it is compared with by turns, or NULL */
    ex_status (*run)(bench_result *result, ex_federation *f, const bench_options *o);
} bench_job;

extern const bench_job bench_step, bench_eval, bench_ablate, bench_masked, bench_kernels,
    bench_roofline_job, bench_clients;
/* NULL-terminated. */
extern const bench_job *const bench_jobs[];

/* step.c: trains the plan on the feed once; counts what is wrong in *result. */
ex_status bench_train(double *seconds, bench_result *result, ex_plan *plan, const ex_federation *f,
                      const ex_samples *feed);

/* options.c. EX_ERR_USAGE naming what is accepted. argv[0] is the job's name. */
ex_status bench_parse(bench_options *o, int argc, char **argv);
void bench_print_options(void);
/* The option's value as it is given on the command line ("batched"). */
const char *bench_choice(const char *option, int value);

/* setup.c: a federation without clients: `images` training images of 10 classes, a model after a
 * few steps of training (so that its predictions and running statistics mean something), a device.
 */
ex_status bench_open(ex_federation **out, const bench_options *o, size_t images);
/* The same model, values and images on a second such device, in float32: what results are held
 * against. It is gone before `f`. */
ex_status bench_open_fp32(ex_federation **out, const ex_federation *f, const bench_options *o);
void bench_close_fp32(ex_federation **other);

/* feed.c: repeats BENCH_FEED_BATCHES batches, all training images, through a plan of `spec` on the
 * central lane, after one untimed time. `once` runs the plan over `feed`, gives the seconds, and
 * counts in result->wrong what it must not give; `context` is its own. `check` (NULL: none) looks
 * at the plan's results when all is timed. */
typedef ex_status (*bench_once)(double *seconds, bench_result *result, ex_plan *plan,
                                const ex_federation *f, const ex_samples *feed, void *context);
typedef ex_status (*bench_check)(bench_result *result, ex_plan *plan, const ex_federation *f,
                                 const bench_options *o, const ex_samples *feed);
ex_status bench_feed(bench_result *result, ex_federation *f, const bench_options *o,
                     const ex_plan_spec *spec, bench_once once, bench_check check, void *context);

/* masked.c: the share delta of the channels of each of the last layers, evenly spread. */
ex_status bench_mask(ex_mask **out, const ex_model *m, const bench_options *o);

/* peak.c: operations, and bytes of main memory, that `threads` threads get through in a second: a
 * loop of multiply-adds on registers, and the triad a[i] = b[i] + s * c[i]. bf16: products of bf16
 * summed in float32 by AVX-512's instruction for them (not AMX); 0 without it. */
double bench_peak_flops(int threads);
double bench_peak_bf16(int threads);
ex_status bench_peak_bytes(double *out, int threads);

/* roofline.c: the lines of the table; their array for the JSON object, a new reference. */
json_t *bench_roofline_report(const bench_roofline *r, int wrong);
double bench_roofline_parts(const bench_roofline *r); /* seconds */
/* The precision of the peak that work is set against. */
const char *bench_roofline_peak(const bench_roofline *r);

/* report.c: a preamble of `#` lines, the table, a JSON object in the last line where asked for. */
void bench_report(const bench_job *job, const ex_federation *f, const bench_options *o,
                  const bench_result *result);

#endif
