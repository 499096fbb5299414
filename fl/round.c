/* One round: clients train on lanes, their updates are added, the ranks' sums are joined, the mean
 * is applied.
 *
 * The global values are only read until everything has succeeded. At most lanes + 1 models are held
 * beside them, however many clients take part. */
#include "cohort.h"
#include "message.h"
#include "round_impl.h"
#include "share.h"

#include "base/clock.h"
#include "base/memory.h"
#include "base/range.h"

#include <math.h>

static ex_status choose_cohort(ex_round_work *w, const ex_strategy *strategy)
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

void ex_round_room_free(ex_round_room **room)
{
    if (!*room)
        return;
    ex_round_slots_free(*room);
    ex_aggregate_close(&(*room)->sum);
    ex_free(room);
}

static void work_close(ex_round_work *w)
{
    ex_free(&w->cohort);
    ex_free(&w->samples);
    ex_free(&w->weight);
    ex_free(&w->outcomes);
}

/* The mean into the global values, unless it would spoil them. */
static ex_status apply_mean(ex_round_work *w)
{
    const ex_config *c = &w->f->config;
    const bool momentum = c->aggregation == EX_AGGREGATION_FEDAVGM;
    if (w->room->sum.outside > 0)
        return EX_FAIL(EX_ERR_NUMERIC,
                       "round %d: %llu values of the updates are not finite, or above %d in "
                       "magnitude; lower the learning rate (now %g%s)",
                       ex_round_told(w->f, w->round->number),
                       (unsigned long long)w->room->sum.outside, EX_FIXED_MAX, w->round->lr,
                       momentum ? ", times server.lr of fedavgm" : "");
    const ex_global global = {.params = w->f->params,
                              .stats = w->f->stats,
                              .velocity = w->f->velocity,
                              .lr = c->server.lr,
                              .momentum = c->server.momentum};
    if (w->cohort_count > 0)
        w->room->sum.strategy->apply(&w->room->sum, &global);
    ex_share_keep(w->f);
    return EX_OK;
}

/* --- what it took --------------------------------------------------------------------------- */

static size_t record_message(const ex_round_work *w, ex_message_kind kind, int client)
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

static void summarize(const ex_round_work *w, double seconds, ex_round_result *r)
{
    ex_train_sums sums = {0};
    *r = (ex_round_result){.seconds = seconds, .cohort = w->cohort_count};
    for (int i = 0; i < w->cohort_count; i++) {
        const ex_round_outcome *o = &w->outcomes[i];
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

int ex_round_told(const ex_federation *f, int number)
{
    return number < f->config.rounds ? number + 1 : number - f->config.rounds + 1;
}

/* --- the round ------------------------------------------------------------------------------ */

/* What the other ranks must be told of, and what they need to join in. */
static ex_status begin_round(ex_round_work *w)
{
    const ex_strategy *strategy = ex_strategy_of((ex_aggregation)w->f->config.aggregation);
    if (!w->f->room)
        EX_TRY(ex_alloc(&w->f->room, 1, sizeof *w->f->room, "rounds"));
    w->room = w->f->room;
    EX_TRY(choose_cohort(w, strategy));
    EX_TRY(ex_ledger_reserve(w->f->ledger, w->cohort_count));
    EX_TRY(ex_aggregate_init(&w->room->sum, strategy, w->mask, ex_round_extra_places(w)));
    return w->f->share && ex_comm_rank(w->f->comm) == 0 ? ex_share_round(w->f, w->round) : EX_OK;
}

ex_status ex_federation_round(ex_federation *f, const ex_round *round, ex_round_result *result)
{
    const double start = ex_now();
    ex_round_work w = {.f = f, .round = round, .mask = round->mask ? round->mask : f->full};
    ex_range_begin("round %d", ex_round_told(f, round->number));
    ex_status status = begin_round(&w);
    if (status == EX_OK) {
        const ex_status mine = ex_round_train(&w);
        EX_TRY_GOTO(ex_round_join(&w, mine), done);
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
