/* A client's visit to a lane in a round, against its computation alone.
 *
 * A visit is what a round does for a client: it loads the global values, shuffles, trains, takes
 * the values back, makes the update of them and adds it to the sum; and the client's part of what
 * the round does once. Its computation is the same steps of a plan that is there already, on the
 * same lane, by turns. One lane of one thread; on the CPU by its processor time. */
#include "bench.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <string.h>

static double now(const ex_federation *f)
{
    const bool cpu = strcmp(f->device->backend->name, "cpu") == 0;
    return cpu ? ex_work_now(1) : ex_now();
}

/* Clients of `samples` images each, one after the other, and the rest of what a round needs. */
static ex_status add_clients(ex_federation *f, const bench_options *o)
{
    const ex_comm_options alone = {.ranks = {.size = 1}, .name = "local", .device = ""};
    f->config.batch_size = o->batch;
    f->lane_count = 1;
    EX_TRY(ex_comm_create(&f->comm, &alone));
    EX_TRY(ex_ledger_create(&f->ledger));
    EX_TRY(ex_mask_create_full(&f->full, f->model));
    EX_TRY(ex_alloc(&f->clients, BENCH_CLIENTS, sizeof *f->clients, "clients"));
    f->config.num_clients = BENCH_CLIENTS;
    for (int k = 0; k < BENCH_CLIENTS; k++) {
        ex_samples *s = &f->clients[k];
        EX_TRY(ex_samples_alloc(s, (size_t)o->samples));
        for (size_t i = 0; i < s->count; i++) {
            s->index[i] = (uint32_t)((size_t)k * s->count + i);
            s->label[i] = f->data->train.labels[s->index[i]];
        }
    }
    return EX_OK;
}

/* Full batches, and a last short one. */
enum { FULL, REST, PLANS };

typedef struct computation {
    ex_lane *lane;
    ex_plan *plan[PLANS]; /* NULL where a client has no such batches */
    size_t count[PLANS];  /* samples that each trains on */
} computation;

static ex_status open_computation(computation *c, ex_federation *f, const bench_options *o)
{
    const int rest = o->samples % o->batch;
    EX_TRY(ex_federation_lanes(f));
    *c = (computation){.lane = ex_trainer_lane(f->lanes[0]),
                       .count = {(size_t)(o->samples - rest), (size_t)rest}};
    for (int i = 0; i < PLANS; i++) {
        const ex_plan_spec spec = {
            .use = EX_USE_TRAIN, .batch = i == FULL ? o->batch : rest, .norm = EX_NORM_TRAIN};
        if (c->count[i])
            EX_TRY(ex_plan_create(&c->plan[i], c->lane, &spec));
    }
    return EX_OK;
}

/* All clients' steps. */
static ex_status compute(double *seconds, bench_result *result, const computation *c,
                         const ex_federation *f)
{
    double taken = 0.0, part;
    EX_TRY(ex_lane_load(c->lane, f->params, f->stats));
    for (int k = 0; k < BENCH_CLIENTS; k++)
        for (int i = 0; i < PLANS; i++) {
            const size_t first = i == FULL ? 0 : c->count[FULL];
            const ex_samples feed = {.index = f->clients[k].index + first,
                                     .label = f->clients[k].label + first,
                                     .count = c->count[i]};
            if (!c->plan[i])
                continue;
            const double start = now(f);
            EX_TRY(bench_train(&part, result, c->plan[i], f, &feed));
            taken += now(f) - start;
        }
    *seconds = taken;
    return EX_OK;
}

static ex_status visit(double *seconds, bench_result *result, ex_federation *f, int number)
{
    const ex_round round = {.number = number,
                            .clients = f->clients,
                            .norm = EX_NORM_TRAIN,
                            .lr = 0.01,
                            .local_epochs = 1};
    ex_round_result r;
    const double start = now(f);
    EX_TRY(ex_federation_round(f, &round, &r));
    *seconds = now(f) - start;
    if (r.cohort != BENCH_CLIENTS || r.samples != BENCH_CLIENTS * f->clients[0].count ||
        !isfinite(r.loss)) {
        ex_log_warn("a round of %d clients trained on %zu images, loss %g", r.cohort, r.samples,
                    r.loss);
        result->wrong++;
    }
    return EX_OK;
}

static ex_status measure(bench_result *result, ex_federation *f, const bench_options *o,
                         const computation *c)
{
    EX_TRY(visit(result->seconds, result, f, 0)); /* warm-up */
    EX_TRY(compute(result->base, result, c, f));
    while (result->repetitions < o->repetitions) {
        const int i = result->repetitions;
        EX_TRY(visit(&result->seconds[i], result, f, i + 1));
        EX_TRY(compute(&result->base[i], result, c, f));
        result->repetitions++;
    }
    result->images = BENCH_CLIENTS * f->clients[0].count;
    return EX_OK;
}

static ex_status run(bench_result *result, ex_federation *f, const bench_options *o)
{
    computation c = {0};
    EX_TRY(add_clients(f, o));
    ex_status status = open_computation(&c, f, o);
    if (status == EX_OK)
        status = measure(result, f, o, &c);
    for (int i = 0; i < PLANS; i++)
        ex_plan_destroy(&c.plan[i]);
    return status;
}

const bench_job bench_clients = {.name = "clients",
                                 .summary =
                                     "a small client's visit in a round, and its steps alone",
                                 .unit = "ms",
                                 .per_second = 1e3,
                                 .parts = BENCH_CLIENTS,
                                 .repetitions = 10,
                                 .base = "its steps alone",
                                 .run = run};
