/* The operations of kernels.h by themselves, on the host: time, and bytes that must move.
 *
 * Maps are those of the model's first convolution, in the precision asked for; vectors are the
 * model's. Bytes count every operand once, read or written: what a single pass over the memory
 * would move. `segments_pack` of the whole vector is a copy, for comparison.
 *
 * What an operation leaves must have the same bits with one thread and with several, and must not
 * be what was there before. Whether they are the right bits is for the tests to say, which have
 * references. */
#include "operations.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <string.h>

enum { CALLS = 4 /* in a repetition */ };

static uint64_t outcome(operands *w, const operation *c, int threads)
{
    const int kept = w->s.threads;
    bench_operands_fill(w);
    w->s.threads = threads;
    c->call(w);
    w->s.threads = kept;
    return bench_operands_digest(w);
}

/* before: the digest of what bench_operands_fill leaves. */
static int count_wrong(operands *w, const operation *c, uint64_t before)
{
    const uint64_t alone = outcome(w, c, 1);
    const bool differs = outcome(w, c, w->s.threads > 1 ? w->s.threads : 2) != alone;
    if (differs)
        ex_log_warn("%s: other bits with several threads than with one", c->name);
    if (alone == before)
        ex_log_warn("%s: wrote nothing", c->name);
    return differs + (alone == before);
}

static void time_operation(bench_row *row, operands *w, const operation *c, int repetitions)
{
    row->name = c->name;
    row->bytes = bench_operation_bytes(c, w);
    for (int r = 0; r < repetitions; r++) {
        const double start = ex_now();
        for (int i = 0; i < CALLS; i++)
            c->call(w);
        row->seconds[r] = (ex_now() - start) / CALLS;
    }
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    operands w = {0};
    ex_status status;
    if (strcmp(f->device->backend->name, "cpu") != 0)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "kernels times the host's operations; use --device cpu, and on a GPU "
                       "--profile of excise train, or ncu");
    EX_TRY_GOTO(bench_operands_open(&w, f, o), done);
    EX_TRY_GOTO(
        ex_alloc(&result->rows, (size_t)bench_operation_count, sizeof *result->rows, "rows"), done);
    bench_operands_fill(&w);
    const uint64_t before = bench_operands_digest(&w);
    for (; result->row_count < bench_operation_count; result->row_count++) {
        bench_row *row = &result->rows[result->row_count];
        const operation *c = &bench_operations[result->row_count];
        EX_TRY_GOTO(
            ex_alloc(&row->seconds, (size_t)o->repetitions, sizeof *row->seconds, "repetitions"),
            done);
        row->wrong = count_wrong(&w, c, before);
        time_operation(row, &w, c, o->repetitions);
        result->wrong += row->wrong;
    }
    result->repetitions = o->repetitions;
done:
    bench_operands_close(&w);
    return status;
}

const bench_job bench_kernels = {.name = "kernels",
                                 .summary = "operations of kernels.h on the host, and bytes moved",
                                 .unit = "us",
                                 .per_second = 1e6,
                                 .parts = 1,
                                 .repetitions = 20,
                                 .run = run};
