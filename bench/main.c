/* excise-bench: dispatch and exit status. `excise bench NAME` runs it. */
#include "bench.h"

#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const bench_job *const bench_jobs[] = {
    &bench_step,    &bench_eval,         &bench_masked,  &bench_ablate,
    &bench_kernels, &bench_roofline_job, &bench_clients, NULL};

static void print_help(void)
{
    printf("excise bench: measures the engine on data made in memory\n\n"
           "Usage: excise bench NAME [options]\n\nBenchmarks:\n");
    for (int i = 0; bench_jobs[i]; i++)
        printf("  %-8s %s (%d repetitions)\n", bench_jobs[i]->name, bench_jobs[i]->summary,
               bench_jobs[i]->repetitions);
    printf("\nOptions:\n");
    bench_print_options();
    printf(
        "\nExamples:\n"
        "  excise bench step --model resnet20 --batch 128\n"
        "  excise bench masked --delta 0.05 --bn frozen\n"
        "  excise bench ablate --strategy streams --probe 64 --json\n"
        "  excise bench roofline --model vgg11 --use evaluate --threads 1\n"
        "  excise bench clients --batch 10 --samples 50 --shape 1x28x28\n\n"
        "Median, minimum and maximum are over repetitions. #wrong counts results that are not\n"
        "what they must be. Exit status: 0 done; 1 failed, or a result is wrong; 2 bad usage.\n");
}

static const bench_job *find_job(const char *name)
{
    for (int i = 0; bench_jobs[i]; i++)
        if (strcmp(bench_jobs[i]->name, name) == 0)
            return bench_jobs[i];
    return NULL;
}

static size_t images_needed(const bench_job *job, const bench_options *o)
{
    if (job == &bench_clients)
        return (size_t)o->samples * BENCH_CLIENTS;
    return job == &bench_ablate ? (size_t)o->probe : (size_t)o->batch * BENCH_FEED_BATCHES;
}

/* *wrong: whether a result is. */
static ex_status measure(const bench_job *job, bench_options *o, bool *wrong)
{
    ex_federation *f = NULL;
    bench_result result = {0};
    ex_status status;
    if (!o->repetitions)
        o->repetitions = job->repetitions;
    if (!o->lanes)
        o->lanes = o->threads;
    EX_TRY_GOTO(
        ex_alloc(&result.seconds, (size_t)o->repetitions, sizeof *result.seconds, "repetitions"),
        done);
    if (job->base)
        EX_TRY_GOTO(
            ex_alloc(&result.base, (size_t)o->repetitions, sizeof *result.base, "repetitions"),
            done);
    EX_TRY_GOTO(bench_open(&f, o, images_needed(job, o)), done);
    EX_TRY_GOTO(job->run(&result, f, o), done);
    bench_report(job, f, o, &result);
    *wrong = result.wrong > 0;
done:
    ex_federation_close(&f);
    ex_free(&result.seconds);
    ex_free(&result.base);
    for (int i = 0; i < result.row_count; i++)
        ex_free(&result.rows[i].seconds);
    ex_free(&result.rows);
    if (result.roofline)
        ex_free(&result.roofline->parts);
    ex_free(&result.roofline);
    ex_profile_drop();
    return status;
}

static ex_status run(int argc, char **argv, bool *wrong)
{
    bench_options o;
    char known[128] = "";
    for (int i = 0; bench_jobs[i]; i++)
        ex_append(known, sizeof known, "%s%s", i ? ", " : "", bench_jobs[i]->name);
    if (argc < 2)
        return EX_FAIL(EX_ERR_USAGE,
                       "a benchmark is expected, one of %s; see `excise bench --help`", known);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help();
        return EX_OK;
    }
    const bench_job *job = find_job(argv[1]);
    if (!job)
        return EX_FAIL(EX_ERR_USAGE, "unknown benchmark \"%s\"; one of %s", argv[1], known);
    EX_TRY(bench_parse(&o, argc - 1, argv + 1));
    if (o.help) {
        print_help();
        return EX_OK;
    }
    return measure(job, &o, wrong);
}

int main(int argc, char **argv)
{
    bool wrong = false;
    ex_log_set_level(EX_LOG_QUIET);
    ex_status status = run(argc, argv, &wrong);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EX_OK)
        status = EX_FAIL(EX_ERR_IO, "the result cannot be written to stdout: %s", strerror(errno));
    if (status != EX_OK)
        fprintf(stderr, "excise: error: %s\n", ex_error_message());
    return status != EX_OK ? ex_status_exit_code(status) : wrong;
}
