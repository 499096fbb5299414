/* A lane: one copy of a model's values, and the scratch memory that its plans share. */
#include "base/bytes.h"
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <omp.h>
#include <string.h>

void ex_cpu_enter(const ex_cpu_lane *lane)
{
    omp_set_num_threads(lane->base.threads);
}

ex_status ex_cpu_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads)
{
    ex_cpu_lane *lane;
    ex_status status;
    *out = NULL;
    EX_CHECK_ARG(threads >= 1, "a lane needs at least one thread, not %d", threads);
    EX_TRY(ex_alloc(&lane, 1, sizeof *lane, "lane"));
    lane->base = (ex_lane){.device = device, .model = model, .threads = threads};
    lane->device = (ex_cpu_device *)device;
    lane->version = lane->arena_moves = 1;
    EX_TRY_GOTO(
        EX_DNN(dnnl_stream_create(&lane->stream, lane->device->engine, dnnl_stream_default_flags)),
        fail);
    EX_TRY_GOTO(ex_alloc(&lane->params, model->param_count, sizeof(float), "parameters"), fail);
    EX_TRY_GOTO(ex_alloc(&lane->stats, model->stat_count, sizeof(float), "statistics"), fail);
    EX_TRY_GOTO(ex_alloc(&lane->velocity, model->param_count, sizeof(float), "velocity"), fail);
    *out = &lane->base;
    return EX_OK;
fail:
    *out = &lane->base;
    ex_cpu_lane_destroy(out);
    return status;
}

void ex_cpu_lane_destroy(ex_lane **lane)
{
    if (!*lane)
        return;
    ex_cpu_lane *l = ex_cpu_lane_of(*lane);
    ex_cpu_release(l, l->arena_bytes);
    if (l->stream)
        dnnl_stream_destroy(l->stream);
    ex_free(&l->params);
    ex_free(&l->stats);
    ex_free(&l->velocity);
    ex_free(&l->arena);
    ex_free(&l);
    *lane = NULL;
}

ex_status ex_cpu_lane_load(ex_lane *lane, const float *params, const float *stats)
{
    ex_cpu_lane *l = ex_cpu_lane_of(lane);
    memcpy(l->params, params, lane->model->param_count * sizeof(float));
    memcpy(l->stats, stats, lane->model->stat_count * sizeof(float));
    memset(l->velocity, 0, lane->model->param_count * sizeof(float));
    l->version++;
    return EX_OK;
}

ex_status ex_cpu_lane_store(ex_lane *lane, float *params, float *stats)
{
    const ex_cpu_lane *l = ex_cpu_lane_of(lane);
    memcpy(params, l->params, lane->model->param_count * sizeof(float));
    memcpy(stats, l->stats, lane->model->stat_count * sizeof(float));
    return EX_OK;
}

ex_status ex_cpu_lane_load_velocity(ex_lane *lane, const float *velocity)
{
    memcpy(ex_cpu_lane_of(lane)->velocity, velocity, lane->model->param_count * sizeof(float));
    return EX_OK;
}

ex_status ex_cpu_lane_store_velocity(ex_lane *lane, float *velocity)
{
    memcpy(velocity, ex_cpu_lane_of(lane)->velocity, lane->model->param_count * sizeof(float));
    return EX_OK;
}

/* Takes `bytes` of the device's budget. */
static ex_status account(ex_cpu_device *device, size_t bytes)
{
    const size_t limit = device->base.options.memory;
    char needs[EX_BYTES_ROOM], in_use[EX_BYTES_ROOM], allowed[EX_BYTES_ROOM];
    pthread_mutex_lock(&device->lock);
    const size_t used = device->memory_used;
    const bool fits = limit == 0 || (used <= limit && bytes <= limit - used);
    if (fits)
        device->memory_used += bytes;
    pthread_mutex_unlock(&device->lock);
    if (fits)
        return EX_OK;
    return EX_FAIL(
        EX_ERR_MEMORY,
        "a plan needs %s beside the %s in use, but memory allows %s; lower batch_size or "
        "lanes, or raise --memory",
        ex_bytes_text(needs, (double)bytes), ex_bytes_text(in_use, (double)used),
        ex_bytes_text(allowed, (double)limit));
}

void ex_cpu_release(ex_cpu_lane *lane, size_t own)
{
    pthread_mutex_lock(&lane->device->lock);
    lane->device->memory_used -= own;
    pthread_mutex_unlock(&lane->device->lock);
}

/* The arena holds nothing between runs: the old one goes first, so that both are never there. */
static ex_status resize(ex_cpu_lane *lane, size_t bytes)
{
    if (bytes == lane->arena_bytes)
        return EX_OK;
    ex_free(&lane->arena);
    ex_cpu_release(lane, lane->arena_bytes);
    lane->arena_bytes = 0;
    lane->arena_moves++;
    EX_TRY(account(lane->device, bytes));
    const ex_status status = ex_alloc(&lane->arena, bytes, 1, "scratch memory of a lane");
    if (status == EX_OK)
        lane->arena_bytes = bytes;
    else
        ex_cpu_release(lane, bytes);
    return status;
}

ex_status ex_cpu_reserve(ex_cpu_lane *lane, size_t arena, size_t own)
{
    const size_t needed = lane->arena_needed;
    EX_TRY(account(lane->device, own));
    if (arena > needed)
        lane->arena_needed = arena;
    const ex_status status = resize(lane, lane->arena_needed);
    if (status != EX_OK) {
        ex_cpu_release(lane, own);
        lane->arena_needed = needed; /* ex_cpu_bind gets it back for the plans that are there */
    }
    return status;
}

ex_status ex_cpu_borrow(ex_cpu_lane *lane, size_t bytes)
{
    return bytes > lane->arena_bytes ? resize(lane, bytes) : EX_OK;
}
