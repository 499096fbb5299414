/* The budget of a device, and the values and scratch memory of a lane. */
#include "lane_core.h"

#include "base/bytes.h"

/* --- budget ----------------------------------------------------------------------------------- */

void ex_budget_init(ex_budget *budget, const ex_device *device)
{
    pthread_mutex_init(&budget->lock, NULL);
    budget->device = device;
    budget->used = 0;
}

void ex_budget_close(ex_budget *budget)
{
    pthread_mutex_destroy(&budget->lock);
}

ex_status ex_budget_take(ex_budget *budget, size_t bytes)
{
    char needed[EX_BYTES_ROOM], in_use[EX_BYTES_ROOM], allowed[EX_BYTES_ROOM];
    const size_t limit = budget->device->options.memory;
    pthread_mutex_lock(&budget->lock);
    const size_t used = budget->used;
    const bool fits = limit == 0 || (used <= limit && bytes <= limit - used);
    if (fits)
        budget->used += bytes;
    pthread_mutex_unlock(&budget->lock);
    if (fits)
        return EX_OK;
    return EX_FAIL(
        EX_ERR_MEMORY,
        "a plan needs %s beside the %s in use, but memory allows %s; lower batch_size or "
        "lanes, or raise --memory",
        ex_bytes_text(needed, (double)bytes), ex_bytes_text(in_use, (double)used),
        ex_bytes_text(allowed, (double)limit));
}

size_t ex_budget_left(ex_budget *budget)
{
    const size_t limit = budget->device->options.memory;
    pthread_mutex_lock(&budget->lock);
    const size_t used = budget->used;
    pthread_mutex_unlock(&budget->lock);
    if (limit == 0)
        return SIZE_MAX;
    return used < limit ? limit - used : 0;
}

void ex_budget_give_back(ex_budget *budget, size_t bytes)
{
    pthread_mutex_lock(&budget->lock);
    budget->used -= bytes;
    pthread_mutex_unlock(&budget->lock);
}

/* --- values ----------------------------------------------------------------------------------- */

void ex_lane_core_init(ex_lane_core *lane, ex_device *device, const ex_model *model, int threads,
                       const ex_lane_memory *memory, ex_budget *budget)
{
    lane->base = (ex_lane){.device = device, .model = model, .threads = threads};
    lane->memory = memory;
    lane->budget = budget;
    lane->stream = (ex_stream){.threads = threads};
    lane->version = lane->arena_moves = 1;
}

ex_status ex_lane_core_values(ex_lane_core *lane)
{
    const ex_model *m = lane->base.model;
    const size_t params = m->param_count * sizeof(float), stats = m->stat_count * sizeof(float);
    EX_TRY(lane->memory->alloc(&lane->params, lane, params, "parameters"));
    EX_TRY(lane->memory->alloc(&lane->stats, lane, stats, "statistics"));
    EX_TRY(lane->memory->alloc(&lane->velocity, lane, params, "velocity"));
    EX_TRY(lane->memory->zero(lane, lane->params, params));
    EX_TRY(lane->memory->zero(lane, lane->stats, stats));
    return lane->memory->zero(lane, lane->velocity, params);
}

void ex_lane_core_close(ex_lane_core *lane)
{
    ex_budget_give_back(lane->budget, lane->arena_taken);
    lane->memory->free(&lane->params);
    lane->memory->free(&lane->stats);
    lane->memory->free(&lane->velocity);
    lane->memory->free(&lane->arena);
}

/* --- arena ------------------------------------------------------------------------------------ */

static size_t largest_claim(const ex_lane_core *lane)
{
    size_t largest = 0;
    for (const ex_lane_claim *c = lane->claims; c; c = c->next)
        largest = c->arena > largest ? c->arena : largest;
    return largest;
}

/* The arena goes, and of the budget what is more than `taken`. */
static void drop_arena(ex_lane_core *lane, size_t taken)
{
    lane->memory->free(&lane->arena);
    lane->arena_bytes = 0;
    lane->arena_moves++;
    if (lane->arena_taken > taken) {
        ex_budget_give_back(lane->budget, lane->arena_taken - taken);
        lane->arena_taken = taken;
    }
}

/* Of bytes that the budget has. The arena holds nothing between runs: the old one goes first, so
 * that both are never there. */
static ex_status make_arena(ex_lane_core *lane, size_t bytes)
{
    if (bytes == lane->arena_bytes && bytes == lane->arena_taken)
        return EX_OK;
    EX_TRY(lane->memory->wait(lane));
    drop_arena(lane, bytes);
    EX_TRY(lane->memory->alloc(&lane->arena, lane, bytes, "scratch memory of a lane"));
    lane->arena_bytes = bytes;
    return EX_OK;
}

ex_status ex_lane_reserve(ex_lane_core *lane, ex_lane_claim *claim)
{
    const size_t largest = largest_claim(lane);
    const size_t needed = claim->arena > largest ? claim->arena : largest;
    if (lane->arena_taken > needed) { /* of trials, which are over */
        EX_TRY(lane->memory->wait(lane));
        drop_arena(lane, needed);
    }
    const size_t more = needed - lane->arena_taken;
    EX_TRY(ex_budget_take(lane->budget, claim->own + more));
    lane->arena_taken += more;
    claim->next = lane->claims;
    lane->claims = claim;
    return make_arena(lane, needed);
}

void ex_lane_release(ex_lane_core *lane, const ex_lane_claim *claim)
{
    ex_lane_claim **at = &lane->claims;
    while (*at && *at != claim)
        at = &(*at)->next;
    if (*at) {
        *at = claim->next;
        ex_budget_give_back(lane->budget, claim->own);
    }
    const size_t largest = largest_claim(lane);
    if (lane->arena_taken > largest)
        drop_arena(lane, largest); /* the next run makes it again, as small as it may be */
}

ex_status ex_lane_borrow(ex_lane_core *lane, size_t bytes)
{
    const size_t taken = lane->arena_taken;
    if (bytes <= lane->arena_bytes)
        return EX_OK;
    if (bytes <= taken)
        return make_arena(lane, taken);
    EX_TRY(ex_budget_take(lane->budget, bytes - taken));
    lane->arena_taken = bytes;
    const ex_status status = make_arena(lane, bytes);
    if (status != EX_OK) { /* who borrows less, or a plan, is asked for no more than that */
        ex_budget_give_back(lane->budget, bytes - taken);
        lane->arena_taken = taken;
    }
    return status;
}
