/* One round: clients train on lanes, their updates are added in client order, the mean is applied.
 *
 * The global values are only read until everything has succeeded. At most lanes + 1 models are held
 * beside them, however many clients take part. */
#include "cohort.h"
#include "federation.h"
#include "message.h"
#include "ordered.h"
#include "strategy.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"

#include <math.h>
#include <stdio.h>

typedef struct outcome {
    ex_train_sums sums;
    double seconds;
    size_t processed;
} outcome;

typedef struct slot {
    float *params, *stats; /* what the client has trained, then its update on the mask's segments */
} slot;

/* A round in progress. Arrays of cohort_count follow the cohort; only this rank's part is used. */
typedef struct work {
    ex_federation *f;
    const ex_round *round;
    const ex_mask *mask; /* of what is exchanged, never NULL */
    int *cohort, cohort_count;
    int first, count; /* of the cohort, those that this rank trains */
    size_t *samples;
    double *weight;
    outcome *outcomes;
    slot *slots;
    int slot_count;
    ex_ordered ordered;
    ex_aggregate sum;
} work;

/* --- a client ------------------------------------------------------------------------------- */

static void subtract(float *values, const float *from, const ex_segment *segments, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t end = segments[i].offset + segments[i].length;
        for (size_t j = segments[i].offset; j < end; j++)
            values[j] -= from[j];
    }
}

static ex_fit fit_of(const work *w, int client)
{
    const ex_config *c = &w->f->config;
    return (ex_fit){
        .data = &w->f->data->train,
        .samples = &w->round->clients[client],
        .epochs = w->round->local_epochs,
        .batch_size = c->batch_size,
        .sgd = {.lr = (float)w->round->lr,
                .momentum = (float)c->momentum,
                .weight_decay = (float)c->weight_decay},
        .norm = w->round->norm,
        .mask = w->round->mask,
        .key = {.seed = c->seed, .client = (uint32_t)client, .round = (uint32_t)w->round->number},
    };
}

static ex_status train_client(const work *w, int member, ex_trainer *trainer, slot *s)
{
    const double start = ex_now();
    const ex_federation *f = w->f;
    const int client = w->cohort[member];
    outcome *out = &w->outcomes[member];
    const ex_fit fit = fit_of(w, client);
    ex_lane *lane = ex_trainer_lane(trainer);
    EX_TRY(ex_lane_load(lane, f->params, f->stats));
    const ex_status status = ex_trainer_fit(trainer, &fit, &out->sums, &out->processed);
    if (status == EX_ERR_NUMERIC)
        return EX_FAIL(status, "round %d, client %d, %s", w->round->number + 1, client,
                       ex_error_message());
    EX_TRY(status);
    EX_TRY(ex_lane_store(lane, s->params, s->stats));
    subtract(s->params, f->params, w->mask->params, w->mask->param_segments);
    subtract(s->stats, f->stats, w->mask->stats, w->mask->stat_segments);
    out->seconds = ex_now() - start;
    return EX_OK;
}

static void add_update(void *context, int item)
{
    work *w = context;
    const slot *s = &w->slots[item % w->slot_count];
    w->sum.strategy->add(&w->sum, s->params, s->stats, w->weight[w->first + item]);
}

static ex_status run_item(void *context, int item, int lane)
{
    work *w = context;
    if (!ex_ordered_enter(&w->ordered, item))
        return EX_OK; /* another item's error is what will be reported */
    const ex_status status =
        train_client(w, w->first + item, w->f->lanes[lane], &w->slots[item % w->slot_count]);
    if (status == EX_OK)
        ex_ordered_leave(&w->ordered, item, add_update, w);
    else
        ex_ordered_give_up(&w->ordered);
    return status;
}

/* --- the round ------------------------------------------------------------------------------ */

static ex_status choose_cohort(work *w)
{
    const ex_config *c = &w->f->config;
    const size_t room = (size_t)c->num_clients;
    EX_TRY(ex_alloc(&w->cohort, room, sizeof *w->cohort, "cohort"));
    EX_TRY(ex_cohort(w->cohort, &w->cohort_count, c, w->round->clients, w->round->number));
    const int rank = w->f->comm->rank, size = w->f->comm->size;
    w->first = (int)((int64_t)w->cohort_count * rank / size);
    w->count = (int)((int64_t)w->cohort_count * (rank + 1) / size) - w->first;
    EX_TRY(ex_alloc(&w->samples, room, sizeof *w->samples, "cohort"));
    EX_TRY(ex_alloc(&w->weight, room, sizeof *w->weight, "cohort"));
    EX_TRY(ex_alloc(&w->outcomes, room, sizeof *w->outcomes, "cohort"));
    for (int i = 0; i < w->cohort_count; i++)
        w->samples[i] = w->round->clients[w->cohort[i]].count;
    w->sum.strategy->weigh(w->weight, w->samples, w->cohort_count, (ex_weighting)c->weighting);
    return EX_OK;
}

static ex_status make_slots(work *w)
{
    const ex_model *m = w->f->model;
    const int most = w->f->lane_count + 1;
    w->slot_count = w->count < most ? w->count : most;
    EX_TRY(ex_alloc(&w->slots, (size_t)w->slot_count, sizeof *w->slots, "updates"));
    for (int i = 0; i < w->slot_count; i++) {
        EX_TRY(ex_alloc(&w->slots[i].params, m->param_count, sizeof(float), "update"));
        EX_TRY(ex_alloc(&w->slots[i].stats, m->stat_count, sizeof(float), "update"));
    }
    return EX_OK;
}

static void work_close(work *w)
{
    for (int i = 0; w->slots && i < w->slot_count; i++) {
        ex_free(&w->slots[i].params);
        ex_free(&w->slots[i].stats);
    }
    ex_free(&w->slots);
    ex_free(&w->cohort);
    ex_free(&w->samples);
    ex_free(&w->weight);
    ex_free(&w->outcomes);
    ex_aggregate_close(&w->sum);
}

static double passes(const work *w)
{
    double samples = 0;
    for (int i = w->first; i < w->first + w->count; i++)
        samples += (double)w->samples[i];
    return samples * w->round->local_epochs;
}

static ex_status train_all(work *w)
{
    EX_TRY(ex_ordered_init(&w->ordered, w->slot_count));
    char label[32];
    snprintf(label, sizeof label, "round %d", w->round->number + 1);
    ex_progress_begin(label, passes(w), "img");
    const ex_status status = ex_lanes_run(w->f->lane_count, w->count, run_item, w);
    ex_progress_end();
    ex_ordered_close(&w->ordered);
    return status;
}

/* The mean over all ranks into the global values, unless it would spoil them. */
static ex_status apply_mean(work *w)
{
    if (w->cohort_count == 0)
        return EX_OK;
    EX_TRY(ex_comm_sum(w->f->comm, w->sum.sum, w->sum.size));
    for (size_t i = 0; i < w->sum.size; i++)
        if (!isfinite(w->sum.sum[i]))
            return EX_FAIL(EX_ERR_NUMERIC,
                           "round %d: the mean of the updates is not finite; lower the learning "
                           "rate (now %g)",
                           w->round->number + 1, w->round->lr);
    w->sum.strategy->apply(&w->sum, w->f->params, w->f->stats);
    return EX_OK;
}

/* --- what it took --------------------------------------------------------------------------- */

static size_t record_message(const work *w, ex_message_kind kind, int client)
{
    static const char *const names[] = {
        [EX_MESSAGE_MODEL] = "model", [EX_MESSAGE_UPDATE] = "update", [EX_MESSAGE_MASK] = "mask"};
    const ex_message m = {.kind = kind,
                          .round = (uint32_t)w->round->number,
                          .client = (uint32_t)client,
                          .mask = w->mask};
    const size_t bytes = ex_message_bytes(&m);
    ex_ledger_message(w->f->ledger, names[kind], kind == EX_MESSAGE_UPDATE ? EX_UP : EX_DOWN,
                      client, bytes);
    return bytes;
}

static ex_status summarize(const work *w, double seconds, ex_round_result *r)
{
    enum { LOSS, CORRECT, COUNT, SECONDS, UP, DOWN, SAMPLES, SUMS };
    double sums[SUMS] = {0};
    for (int i = w->first; i < w->first + w->count; i++) {
        const outcome *o = &w->outcomes[i];
        const int client = w->cohort[i];
        if (w->round->send_mask)
            sums[DOWN] += (double)record_message(w, EX_MESSAGE_MASK, client);
        sums[DOWN] += (double)record_message(w, EX_MESSAGE_MODEL, client);
        sums[UP] += (double)record_message(w, EX_MESSAGE_UPDATE, client);
        ex_ledger_client(w->f->ledger, client, o->seconds, o->processed);
        sums[LOSS] += o->sums.loss;
        sums[CORRECT] += (double)o->sums.correct;
        sums[COUNT] += (double)o->sums.count;
        sums[SECONDS] += o->seconds;
        sums[SAMPLES] += (double)o->processed;
    }
    ex_ledger_compute(w->f->ledger, seconds);
    ex_ledger_round(w->f->ledger);
    EX_TRY(ex_comm_sum(w->f->comm, sums, SUMS));
    *r = (ex_round_result){
        .loss = sums[COUNT] > 0 ? sums[LOSS] / sums[COUNT] : NAN,
        .accuracy = sums[COUNT] > 0 ? sums[CORRECT] / sums[COUNT] : NAN,
        .seconds = seconds,
        .client_seconds = sums[SECONDS],
        .bytes_up = (size_t)sums[UP],
        .bytes_down = (size_t)sums[DOWN],
        .samples = (size_t)sums[SAMPLES],
        .cohort = w->cohort_count,
    };
    return EX_OK;
}

ex_status ex_federation_round(ex_federation *f, const ex_round *round, ex_round_result *result)
{
    const double start = ex_now();
    work w = {.f = f, .round = round, .mask = round->mask ? round->mask : f->full};
    const ex_strategy *strategy;
    ex_status status;
    EX_TRY(ex_strategy_find(&strategy, "fedavg"));
    EX_TRY_GOTO(ex_federation_lanes(f), done);
    EX_TRY_GOTO(ex_aggregate_init(&w.sum, strategy, w.mask), done);
    EX_TRY_GOTO(choose_cohort(&w), done);
    EX_TRY_GOTO(make_slots(&w), done);
    EX_TRY_GOTO(train_all(&w), done);
    EX_TRY_GOTO(apply_mean(&w), done);
    EX_TRY_GOTO(summarize(&w, ex_now() - start, result), done);
done:
    work_close(&w);
    return status;
}
