/* One round: clients train on lanes, their updates are added, the ranks' sums are joined, the mean
 * is applied.
 *
 * The global values are only read until everything has succeeded. At most lanes + 1 models are held
 * beside them, however many clients take part. Behind the sum of the updates travel, to every rank:
 * how each rank fared, how many values were outside, and what each client took. */
#include "cohort.h"
#include "federation.h"
#include "message.h"
#include "ordered.h"
#include "share.h"
#include "strategy.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/range.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

ex_fit ex_round_fit(const ex_federation *f, const ex_round *round, int client)
{
    const ex_config *c = &f->config;
    return (ex_fit){
        .data = &f->data->train,
        .samples = &round->clients[client],
        .epochs = round->local_epochs,
        .batch_size = c->batch_size,
        .sgd = {.lr = (float)round->lr,
                .momentum = (float)c->momentum,
                .weight_decay = (float)c->weight_decay},
        .norm = round->norm,
        .mask = round->mask,
        .key = {.seed = f->seed, .client = (uint32_t)client, .round = (uint32_t)round->number},
    };
}

static ex_status train_client(const work *w, int member, ex_trainer *trainer, slot *s)
{
    const double start = ex_now();
    const ex_federation *f = w->f;
    const int client = w->cohort[member];
    outcome *out = &w->outcomes[member];
    const ex_fit fit = ex_round_fit(f, w->round, client);
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
    ex_range_begin("client %d", w->cohort[w->first + item]);
    const ex_status status =
        train_client(w, w->first + item, w->f->lanes[lane], &w->slots[item % w->slot_count]);
    ex_range_end();
    if (status == EX_OK)
        ex_ordered_leave(&w->ordered, item, add_update, w);
    else
        ex_ordered_give_up(&w->ordered);
    return status;
}

/* --- the round ------------------------------------------------------------------------------ */

static ex_status choose_cohort(work *w, const ex_strategy *strategy)
{
    const ex_config *c = &w->f->config;
    const size_t room = (size_t)c->num_clients;
    EX_TRY(ex_alloc(&w->cohort, room, sizeof *w->cohort, "cohort"));
    EX_TRY(
        ex_cohort(w->cohort, &w->cohort_count, c, w->f->seed, w->round->clients, w->round->number));
    const int rank = ex_comm_rank(w->f->comm), size = ex_comm_size(w->f->comm);
    w->first = (int)((int64_t)w->cohort_count * rank / size);
    w->count = (int)((int64_t)w->cohort_count * (rank + 1) / size) - w->first;
    EX_TRY(ex_alloc(&w->samples, room, sizeof *w->samples, "cohort"));
    EX_TRY(ex_alloc(&w->weight, room, sizeof *w->weight, "cohort"));
    EX_TRY(ex_alloc(&w->outcomes, room, sizeof *w->outcomes, "cohort"));
    for (int i = 0; i < w->cohort_count; i++)
        w->samples[i] = w->round->clients[w->cohort[i]].count;
    strategy->weigh(w->weight, w->samples, w->cohort_count, (ex_weighting)c->weighting);
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
    if (w->f->share && w->f->share->trouble != EX_OK)
        return w->f->share->trouble;
    EX_TRY(ex_federation_lanes(w->f));
    EX_TRY(make_slots(w));
    EX_TRY(ex_ordered_init(&w->ordered, w->slot_count));
    char label[32];
    snprintf(label, sizeof label, "round %d", w->round->number + 1);
    ex_progress_begin(label, passes(w), "img");
    const ex_status status = ex_lanes_run(w->f->lane_count, w->count, run_item, w);
    ex_progress_end();
    ex_ordered_close(&w->ordered);
    return status;
}

/* --- the ranks ------------------------------------------------------------------------------ */

/* Of a client, behind the sum. Seconds and loss travel as their bits: one rank has them, the others
 * add 0. */
enum { LOSS, CORRECT, COUNT, SECONDS, PROCESSED, OUTCOME };

/* The places behind the sum: statuses (ranks), outside (1), outcomes (cohort, OUTCOME). */
static size_t extra_places(const work *w)
{
    return (size_t)ex_comm_size(w->f->comm) + 1 + (size_t)w->cohort_count * OUTCOME;
}

static int64_t bits_of(double value)
{
    int64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static double value_of(int64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void pack_outcomes(const work *w, int64_t *at)
{
    for (int i = w->first; i < w->first + w->count; i++) {
        const outcome *o = &w->outcomes[i];
        int64_t *place = at + (size_t)i * OUTCOME;
        place[LOSS] = bits_of(o->sums.loss);
        place[CORRECT] = (int64_t)o->sums.correct;
        place[COUNT] = (int64_t)o->sums.count;
        place[SECONDS] = bits_of(o->seconds);
        place[PROCESSED] = (int64_t)o->processed;
    }
}

static void unpack_outcomes(work *w, const int64_t *at)
{
    for (int i = 0; i < w->cohort_count; i++, at += OUTCOME)
        w->outcomes[i] = (outcome){.sums = {.loss = value_of(at[LOSS]),
                                            .correct = (size_t)at[CORRECT],
                                            .count = (size_t)at[COUNT]},
                                   .seconds = value_of(at[SECONDS]),
                                   .processed = (size_t)at[PROCESSED]};
}

/* Joins the ranks' sums. `mine`: how this rank fared; the first rank's error is that of all. */
static ex_status join_ranks(work *w, ex_status mine)
{
    ex_comm *comm = w->f->comm;
    int64_t *statuses = w->sum.sum + w->sum.size, *outside = statuses + ex_comm_size(comm);
    statuses[ex_comm_rank(comm)] = (int64_t)mine;
    *outside = (int64_t)w->sum.outside;
    pack_outcomes(w, outside + 1);
    EX_TRY(ex_comm_sum(comm, w->sum.sum, w->sum.size + extra_places(w)));
    EX_TRY(ex_comm_settle(comm, statuses));
    w->sum.outside = (uint64_t)*outside;
    unpack_outcomes(w, outside + 1);
    return EX_OK;
}

/* The mean into the global values, unless it would spoil them. */
static ex_status apply_mean(work *w)
{
    if (w->sum.outside > 0)
        return EX_FAIL(EX_ERR_NUMERIC,
                       "round %d: %llu values of the updates are not finite, or above %d in "
                       "magnitude; lower the learning rate (now %g)",
                       w->round->number + 1, (unsigned long long)w->sum.outside, EX_FIXED_MAX,
                       w->round->lr);
    if (w->cohort_count > 0)
        w->sum.strategy->apply(&w->sum, w->f->params, w->f->stats);
    ex_share_keep(w->f);
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

static void summarize(const work *w, double seconds, ex_round_result *r)
{
    ex_train_sums sums = {0};
    *r = (ex_round_result){.seconds = seconds, .cohort = w->cohort_count};
    for (int i = 0; i < w->cohort_count; i++) {
        const outcome *o = &w->outcomes[i];
        const int client = w->cohort[i];
        if (w->round->send_mask)
            r->bytes_down += record_message(w, EX_MESSAGE_MASK, client);
        r->bytes_down += record_message(w, EX_MESSAGE_MODEL, client);
        r->bytes_up += record_message(w, EX_MESSAGE_UPDATE, client);
        ex_ledger_client(w->f->ledger, client, o->seconds, o->processed);
        r->client_seconds += o->seconds;
        r->samples += o->processed;
        sums.loss += o->sums.loss;
        sums.correct += o->sums.correct;
        sums.count += o->sums.count;
    }
    ex_ledger_compute(w->f->ledger, seconds);
    ex_ledger_round(w->f->ledger);
    r->loss = sums.count > 0 ? sums.loss / (double)sums.count : (double)NAN;
    r->accuracy = sums.count > 0 ? (double)sums.correct / (double)sums.count : (double)NAN;
}

/* What the other ranks must be told of, and what they need to join in. */
static ex_status begin_round(work *w, const ex_strategy *strategy)
{
    EX_TRY(choose_cohort(w, strategy));
    EX_TRY(ex_aggregate_init(&w->sum, strategy, w->mask, extra_places(w)));
    return w->f->share && ex_comm_rank(w->f->comm) == 0 ? ex_share_round(w->f, w->round) : EX_OK;
}

ex_status ex_federation_round(ex_federation *f, const ex_round *round, ex_round_result *result)
{
    const double start = ex_now();
    work w = {.f = f, .round = round, .mask = round->mask ? round->mask : f->full};
    const ex_strategy *strategy;
    EX_TRY(ex_strategy_find(&strategy, "fedavg"));
    ex_range_begin("round %d", round->number + 1);
    ex_status status = begin_round(&w, strategy);
    if (status == EX_OK) {
        const ex_status mine = train_all(&w);
        EX_TRY_GOTO(join_ranks(&w, mine), done);
        EX_TRY_GOTO(apply_mean(&w), done);
        summarize(&w, ex_now() - start, result);
    } else if (ex_comm_rank(f->comm) != 0) {
        ex_comm_abort(f->comm); /* the others wait for a sum that this rank cannot join */
    }
done:
    ex_share_rest(f);
    work_close(&w);
    ex_range_end();
    return status;
}
