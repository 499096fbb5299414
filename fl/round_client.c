/* The clients of a round: each trains on a lane; updates are added in the order of the cohort. */
#include "round_impl.h"
#include "share.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/range.h"

#include <stdio.h>

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
    ex_round_work *w = context;
    const ex_round_slot *s = &w->slots[item % w->slot_count];
    w->sum.strategy->add(&w->sum, s->params, s->stats, w->weight[w->first + item]);
}

static ex_status run_item(void *context, int item, int lane)
{
    ex_round_work *w = context;
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

/* --- all of this rank ----------------------------------------------------------------------- */

static ex_status make_slots(ex_round_work *w)
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

static double passes(const ex_round_work *w)
{
    double samples = 0;
    for (int i = w->first; i < w->first + w->count; i++)
        samples += (double)w->samples[i];
    return samples * w->round->local_epochs;
}

ex_status ex_round_train(ex_round_work *w)
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
