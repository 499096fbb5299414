/* Epochs of steps on one lane: shuffled order, last short batch, plans compiled once.
 *
 * Plans are found again by what they compute, the mask by its contents: each plan refers to a copy
 * of its mask that the trainer owns, so a caller's mask may go, or another take its address. */
#include "trainer.h"

#include "base/log.h"
#include "base/memory.h"

#include <string.h>

enum {
    PLANS_MAX = 64,       /* unequal clients each have a last batch of their own size */
    EVALUATE_BATCH = 128, /* more gains nothing on a CPU core, whose caches it leaves */
    BATCHES_A_STEP = 2,   /* that are evaluated in the time of a training step, and so at once */
};

typedef struct slot {
    ex_plan *plan;
    ex_mask *mask; /* the plan's, or NULL */
    uint64_t used; /* trainer's clock when last asked for */
} slot;

struct ex_trainer {
    ex_lane *lane;
    slot slots[PLANS_MAX];
    int slot_count;
    uint64_t clock;
    int evaluate_batch; /* EVALUATE_BATCH, halved as often as memory was short */
    ex_samples feed;    /* an epoch's order; room for feed_room samples */
    uint32_t *order;
    size_t feed_room;
};

ex_status ex_trainer_create(ex_trainer **out, ex_lane *lane)
{
    EX_TRY(ex_alloc(out, 1, sizeof **out, "trainer"));
    (*out)->lane = lane;
    (*out)->evaluate_batch = EVALUATE_BATCH;
    return EX_OK;
}

static void slot_close(slot *s)
{
    ex_plan_destroy(&s->plan);
    ex_mask_destroy(&s->mask);
}

static void feed_free(ex_trainer *t)
{
    ex_samples_free(&t->feed);
    ex_free(&t->order);
    t->feed_room = 0;
}

void ex_trainer_destroy(ex_trainer **t)
{
    if (!*t)
        return;
    ex_trainer_drop_plans(*t);
    feed_free(*t);
    ex_lane_destroy(&(*t)->lane);
    ex_free(t);
}

ex_lane *ex_trainer_lane(ex_trainer *t)
{
    return t->lane;
}

void ex_trainer_drop_plans(ex_trainer *t)
{
    while (t->slot_count > 0)
        slot_close(&t->slots[--t->slot_count]);
    t->evaluate_batch = EVALUATE_BATCH;
}

/* --- plans ---------------------------------------------------------------------------------- */

static bool same_mask(const ex_mask *a, const ex_mask *b)
{
    if (!a || !b)
        return a == b;
    return a->model == b->model &&
           memcmp(a->selected, b->selected, (size_t)a->model->channel_count) == 0;
}

static bool same_plan(const slot *s, const ex_plan_spec *spec)
{
    const ex_plan_spec *have = &s->plan->spec;
    return have->use == spec->use && have->batch == spec->batch && have->norm == spec->norm &&
           same_mask(s->mask, spec->mask);
}

static ex_status mask_copy(ex_mask **out, const ex_mask *mask)
{
    ex_status status = EX_OK;
    EX_TRY(ex_mask_create(out, mask->model));
    memcpy((*out)->selected, mask->selected, (size_t)mask->model->channel_count);
    EX_TRY_GOTO(ex_mask_seal(*out), fail);
    return EX_OK;
fail:
    ex_mask_destroy(out);
    return status;
}

static ex_status slot_open(slot *s, ex_lane *lane, ex_plan_spec spec)
{
    *s = (slot){0};
    if (spec.mask) {
        EX_TRY(mask_copy(&s->mask, spec.mask));
        spec.mask = s->mask;
    }
    const ex_status status = ex_plan_create(&s->plan, lane, &spec);
    if (status != EX_OK)
        slot_close(s);
    return status;
}

/* Whether there was a plan other than `keep`, of which the one used longest ago is gone. */
static bool drop_oldest(ex_trainer *t, const ex_plan *keep)
{
    int oldest = -1;
    for (int i = 0; i < t->slot_count; i++)
        if (t->slots[i].plan != keep && (oldest < 0 || t->slots[i].used < t->slots[oldest].used))
            oldest = i;
    if (oldest < 0)
        return false;
    slot_close(&t->slots[oldest]);
    t->slots[oldest] = t->slots[--t->slot_count];
    return true;
}

/* keep: a plan that has to stay, or NULL. */
static ex_status plan_get(ex_plan **out, ex_trainer *t, const ex_plan_spec *spec,
                          const ex_plan *keep)
{
    t->clock++;
    for (int i = 0; i < t->slot_count; i++)
        if (same_plan(&t->slots[i], spec)) {
            t->slots[i].used = t->clock;
            *out = t->slots[i].plan;
            return EX_OK;
        }
    if (t->slot_count == PLANS_MAX)
        drop_oldest(t, keep);
    slot made;
    ex_status status;
    /* Short of memory, a plan that waits for its next use makes room. */
    while ((status = slot_open(&made, t->lane, *spec)) == EX_ERR_MEMORY && drop_oldest(t, keep))
        continue;
    EX_TRY(status);
    made.used = t->clock;
    t->slots[t->slot_count++] = made;
    *out = made.plan;
    return EX_OK;
}

/* --- training ------------------------------------------------------------------------------- */

static ex_status feed_reserve(ex_trainer *t, size_t count)
{
    if (t->feed_room >= count)
        return EX_OK;
    feed_free(t);
    EX_TRY(ex_samples_alloc(&t->feed, count));
    EX_TRY(ex_alloc(&t->order, count, sizeof *t->order, "order of an epoch"));
    t->feed_room = count;
    return EX_OK;
}

static void feed_shuffle(ex_trainer *t, const ex_fit *fit, int epoch)
{
    const ex_samples *s = fit->samples;
    ex_rng_key key = fit->key;
    key.use = EX_RNG_SHUFFLE;
    key.epoch = (uint32_t)epoch;
    ex_rng r = ex_rng_at(key);
    for (size_t i = 0; i < s->count; i++)
        t->order[i] = (uint32_t)i;
    ex_rng_shuffle(&r, t->order, s->count);
    for (size_t i = 0; i < s->count; i++) {
        t->feed.index[i] = s->index[t->order[i]];
        t->feed.label[i] = s->label[t->order[i]];
    }
}

static ex_samples slice(const ex_samples *s, size_t first, size_t count)
{
    return (ex_samples){.index = s->index + first, .label = s->label + first, .count = count};
}

static ex_status stopped(void)
{
    return EX_FAIL(EX_ERR_INTERRUPTED, "interrupted by a signal");
}

static ex_status train_plan(ex_plan **out, ex_trainer *t, const ex_fit *fit, size_t batch,
                            const ex_plan *keep)
{
    const ex_plan_spec spec = {
        .use = EX_USE_TRAIN, .batch = (int)batch, .norm = fit->norm, .mask = fit->mask};
    return plan_get(out, t, &spec, keep);
}

/* The plans of an epoch: of its batches, and of what the last one is short of, or NULL. */
typedef struct epoch_plans {
    ex_plan *plan, *rest;
    bool apart; /* memory holds one of them only: rest is made when plan has run, in its place */
} epoch_plans;

static ex_status get_plans(epoch_plans *out, ex_trainer *t, const ex_fit *fit)
{
    const size_t count = fit->samples->count, asked = (size_t)fit->batch_size;
    const size_t batch = count < asked ? count : asked, left = count % batch;
    *out = (epoch_plans){0};
    EX_TRY(train_plan(&out->plan, t, fit, batch, NULL));
    if (left == 0)
        return EX_OK;
    const ex_status status = train_plan(&out->rest, t, fit, left, out->plan);
    out->apart = status == EX_ERR_MEMORY;
    return out->apart ? EX_OK : status;
}

/* What is trained in one call: so many steps, and with the last of them what is left over. */
static size_t next_part(const ex_trainer *t, const ex_plan *plan, size_t left)
{
    const size_t batch = (size_t)plan->spec.batch;
    const size_t group = batch * (size_t)t->lane->device->steps_a_run;
    return left < group + batch ? left : group;
}

/* Steps over feed[first, end), which end with one of rest if it is not NULL. */
static ex_status run_steps(ex_trainer *t, const ex_fit *fit, ex_plan *plan, ex_plan *rest,
                           size_t first, size_t end, ex_train_sums *sums)
{
    while (first < end) {
        const ex_samples part = slice(&t->feed, first, next_part(t, plan, end - first));
        ex_plan *const last = first + part.count == end ? rest : NULL;
        if (ex_interrupted())
            return stopped();
        EX_TRY(ex_plan_train_epoch(plan, last, fit->data, &part, &fit->sgd, sums));
        ex_progress_add((double)part.count);
        first += part.count;
    }
    return EX_OK;
}

static ex_status run_epoch(ex_trainer *t, const ex_fit *fit, int epoch, ex_train_sums *sums)
{
    const size_t count = fit->samples->count;
    epoch_plans p;
    feed_shuffle(t, fit, epoch);
    EX_TRY(get_plans(&p, t, fit));
    p.plan->key = fit->key;
    p.plan->key.epoch = (uint32_t)epoch;
    p.plan->key.step = 0;
    if (!p.apart)
        return run_steps(t, fit, p.plan, p.rest, 0, count, sums);
    const size_t left = count % (size_t)fit->batch_size;
    EX_TRY(run_steps(t, fit, p.plan, NULL, 0, count - left, sums));
    const ex_rng_key key = p.plan->key;
    EX_TRY(train_plan(&p.rest, t, fit, left, NULL));
    p.rest->key = key;
    return run_steps(t, fit, p.rest, NULL, count - left, count, sums);
}

ex_status ex_trainer_prepare(ex_trainer *t, const ex_fit *fit)
{
    epoch_plans p;
    if (fit->samples->count == 0)
        return EX_OK;
    EX_TRY(get_plans(&p, t, fit));
    return ex_plan_reserve(p.plan, fit->data, next_part(t, p.plan, fit->samples->count));
}

/* The steps before the one that failed have been added to sums. */
static ex_status diverged(const ex_fit *fit, int epoch, const ex_train_sums *sums)
{
    const size_t batch = (size_t)fit->batch_size;
    return EX_FAIL(EX_ERR_NUMERIC,
                   "epoch %d, step %zu of %zu: the loss is not finite; lower the learning rate "
                   "(now %g)",
                   epoch + 1, sums->count / batch + 1, (fit->samples->count + batch - 1) / batch,
                   (double)fit->sgd.lr);
}

ex_status ex_trainer_fit(ex_trainer *t, const ex_fit *fit, ex_train_sums *sums, size_t *processed)
{
    EX_CHECK_ARG(fit->samples->count > 0 && fit->batch_size > 0 && fit->epochs >= 0,
                 "%zu samples, batches of %d, %d epochs", fit->samples->count, fit->batch_size,
                 fit->epochs);
    EX_TRY(feed_reserve(t, fit->samples->count));
    ex_train_sums epoch_sums = {0};
    for (int k = 0; k < fit->epochs; k++) {
        const int epoch = fit->first_epoch + k;
        epoch_sums = (ex_train_sums){0};
        const ex_status status = run_epoch(t, fit, epoch, &epoch_sums);
        if (status == EX_ERR_NUMERIC)
            return diverged(fit, epoch, &epoch_sums);
        EX_TRY(status);
        if (processed)
            *processed += fit->samples->count;
    }
    sums->loss += epoch_sums.loss;
    sums->correct += epoch_sums.correct;
    sums->count += epoch_sums.count;
    return EX_OK;
}

/* --- evaluation ----------------------------------------------------------------------------- */

/* Halves the batch until a plan finds memory. It stays so, as does what took the memory; only a
 * batch of 1 that fails too leaves it as it was. */
static ex_status evaluate_plan(ex_plan **out, ex_trainer *t)
{
    const int wanted = t->evaluate_batch;
    ex_status status;
    for (;;) {
        const ex_plan_spec spec = {.use = EX_USE_EVALUATE, .batch = t->evaluate_batch};
        status = plan_get(out, t, &spec, NULL);
        if (status != EX_ERR_MEMORY || t->evaluate_batch == 1)
            break;
        t->evaluate_batch /= 2;
    }
    if (status != EX_OK)
        t->evaluate_batch = wanted;
    else if (t->evaluate_batch < wanted)
        ex_log("memory is short: %d images are evaluated at once, not %d", t->evaluate_batch,
               wanted);
    return status;
}

ex_status ex_trainer_evaluate(ex_trainer *t, const ex_dataset *data, const ex_samples *samples,
                              ex_eval_sums *sums)
{
    ex_plan *plan;
    EX_TRY(evaluate_plan(&plan, t));
    const size_t group =
        (size_t)EVALUATE_BATCH * BATCHES_A_STEP * (size_t)t->lane->device->steps_a_run;
    float *const logits = sums->logits;
    ex_status status = EX_OK;
    for (size_t done = 0; done < samples->count && status == EX_OK; done += group) {
        const size_t left = samples->count - done;
        const ex_samples part = slice(samples, done, left < group ? left : group);
        if (logits)
            sums->logits = logits + done * (size_t)t->lane->model->classes;
        status = ex_interrupted() ? stopped() : ex_plan_evaluate(plan, data, &part, sums);
    }
    sums->logits = logits;
    return status;
}
