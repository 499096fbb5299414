/* The clients of a round: each trains on a lane; updates are added in the order of the cohort. */
#include "round_impl.h"
#include "share.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/range.h"

#include <stdio.h>
#include <string.h>

/* out = values - from on the segments; out may be values. */
static void subtract(float *out, const float *values, const float *from, const ex_segment *segments,
                     size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const size_t end = segments[i].offset + segments[i].length;
        for (size_t j = segments[i].offset; j < end; j++)
            out[j] = values[j] - from[j];
    }
}

/* The update in the slot, of the values that the lane holds. */
static ex_status take_update(const ex_round_work *w, ex_lane *lane, ex_round_slot *s)
{
    const ex_federation *f = w->f;
    const ex_mask *m = w->mask;
    const float *params = lane->host_params, *stats = lane->host_stats;
    if (!params) {
        EX_TRY(ex_lane_store(lane, s->params, s->stats));
        params = s->params, stats = s->stats;
    }
    subtract(s->params, params, f->params, m->params, m->param_segments);
    subtract(s->stats, stats, f->stats, m->stats, m->stat_segments);
    return EX_OK;
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

static ex_status train_client(const ex_round_work *w, int member, ex_trainer *trainer,
                              ex_round_slot *s)
{
    const double start = ex_now();
    const ex_federation *f = w->f;
    const int client = w->cohort[member];
    ex_round_outcome *out = &w->outcomes[member];
    const ex_fit fit = ex_round_fit(f, w->round, client);
    ex_lane *lane = ex_trainer_lane(trainer);
    EX_TRY(ex_lane_load(lane, f->params, f->stats));
    const ex_status status = ex_trainer_fit(trainer, &fit, &out->sums, &out->processed);
    if (status == EX_ERR_NUMERIC)
        return EX_FAIL(status, "round %d, client %d, %s", ex_round_told(f, w->round->number),
                       client, ex_error_message());
    EX_TRY(status);
    EX_TRY(take_update(w, lane, s));
    out->seconds = ex_now() - start;
    return EX_OK;
}

static void add_update(void *context, int item)
{
    ex_round_work *w = context;
    const ex_round_slot *s = &w->room->slots[item % w->room->slot_count];
    w->room->sum.strategy->add(&w->room->sum, s->params, s->stats, w->weight[w->first + item]);
}

static ex_status run_item(void *context, int item, int lane)
{
    ex_round_work *w = context;
    if (!ex_ordered_enter(&w->ordered, item))
        return EX_OK; /* another item's error is what will be reported */
    ex_range_begin("client %d", w->cohort[w->first + item]);
    const ex_status status = train_client(w, w->first + item, w->f->lanes[lane],
                                          &w->room->slots[item % w->room->slot_count]);
    ex_range_end();
    if (status == EX_OK)
        ex_ordered_leave(&w->ordered, item, add_update, w);
    else
        ex_ordered_give_up(&w->ordered);
    return status;
}

/* --- all of this rank ----------------------------------------------------------------------- */

static ex_status make_slots(ex_round_work *w)
{
    const ex_model *m = w->f->model;
    const int most = w->f->lane_count + 1, count = w->count < most ? w->count : most;
    ex_round_room *room = w->room;
    ex_status status;
    if (room->slots && room->slot_count >= count)
        return EX_OK;
    ex_round_slots_free(room);
    EX_TRY(ex_alloc(&room->slots, (size_t)count, sizeof *room->slots, "updates"));
    room->slot_count = count;
    for (int i = 0; i < count; i++) {
        ex_round_slot *s = &room->slots[i];
        EX_TRY_GOTO(ex_alloc(&s->params, m->param_count, sizeof(float), "update"), fail);
        EX_TRY_GOTO(ex_alloc(&s->stats, m->stat_count, sizeof(float), "update"), fail);
    }
    return EX_OK;
fail:
    ex_round_slots_free(room);
    return status;
}

static double passes(const ex_round_work *w)
{
    double samples = 0;
    for (int i = w->first; i < w->first + w->count; i++)
        samples += (double)w->samples[i];
    return samples * w->round->local_epochs;
}

/* The plans of this rank's clients, so that none has to be made in an epoch, where it would hold up
 * the other lanes. A last batch has a plan of its own, and clients of unequal numbers of samples as
 * many as they are: those beyond PREPARED come when they are needed. */
static ex_status prepare_lane(void *context, ex_trainer *trainer)
{
    enum { PREPARED = 32 };
    const ex_round_work *w = context;
    size_t known[PREPARED];
    int count = 0;
    for (int i = w->first; i < w->first + w->count && count < PREPARED; i++) {
        const ex_fit fit = ex_round_fit(w->f, w->round, w->cohort[i]);
        bool is_known = fit.samples->count == 0;
        for (int k = 0; k < count; k++)
            is_known = is_known || known[k] == fit.samples->count;
        if (is_known)
            continue;
        known[count++] = fit.samples->count;
        EX_TRY(ex_trainer_prepare(trainer, &fit));
    }
    return EX_OK;
}

void ex_round_slots_free(ex_round_room *room)
{
    for (int i = 0; room->slots && i < room->slot_count; i++) {
        ex_free(&room->slots[i].params);
        ex_free(&room->slots[i].stats);
    }
    ex_free(&room->slots);
    room->slot_count = 0;
}

static ex_status train_all(ex_round_work *w)
{
    const bool prepares = ex_device_has_memory(w->f->device);
    EX_TRY(ex_federation_lanes_with(w->f, prepares ? prepare_lane : NULL, w));
    EX_TRY(make_slots(w));
    EX_TRY(ex_ordered_init(&w->ordered, w->room->slot_count));
    char label[32];
    snprintf(label, sizeof label, "round %d", ex_round_told(w->f, w->round->number));
    ex_progress_begin(label, passes(w), "img");
    const ex_status status = ex_lanes_run(w->f->lane_count, w->count, run_item, w);
    ex_progress_end();
    ex_ordered_close(&w->ordered);
    return status;
}

/* As if nothing had been trained. */
static ex_status begin_anew(ex_round_work *w)
{
    const ex_strategy *strategy = w->room->sum.strategy;
    ex_round_slots_free(w->room);
    memset(w->outcomes, 0, (size_t)w->cohort_count * sizeof *w->outcomes);
    ex_aggregate_close(&w->room->sum);
    return ex_aggregate_init(&w->room->sum, strategy, w->mask, ex_round_extra_places(w));
}

ex_status ex_round_train(ex_round_work *w)
{
    ex_status status;
    if (w->f->share && w->f->share->trouble != EX_OK)
        return w->f->share->trouble;
    while ((status = train_all(w)) == EX_ERR_MEMORY && ex_federation_fewer_lanes(w->f))
        EX_TRY(begin_anew(w));
    return status;
}
