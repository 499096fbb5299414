/* A lane: a stream with its library handles, one copy of a model's values, and the scratch memory
 * that its plans share. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"
#include "fork.h"

#include <string.h>

enum { FEED = 1 << 18 }; /* bytes of the stage for a run's samples, after the values */

ex_status ex_cuda_enter(const ex_cuda_lane *lane, const char *phase)
{
    ex_cuda_phase(phase);
    return EX_CUDA(cudaSetDevice(lane->device->index));
}

ex_status ex_cuda_wait(ex_cuda_lane *lane)
{
    lane->stage.used = 0;
    return EX_CUDA(cudaStreamSynchronize(lane->stream));
}

ex_status ex_cuda_copy(const ex_cuda_lane *lane, void *to, const void *from, size_t bytes)
{
    if (bytes == 0)
        return EX_OK;
    return EX_CUDA(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, lane->stream));
}

static ex_status make_values(ex_cuda_lane *lane)
{
    const ex_model *m = lane->base.model;
    ex_cuda_device *device = lane->device;
    const size_t params = m->param_count * sizeof(float), stats = m->stat_count * sizeof(float);
    EX_TRY(ex_alloc(&lane->constants, (size_t)m->channel_count, sizeof(float), "constants"));
    EX_TRY(ex_cuda_stage_room(lane, params + stats + FEED));
    EX_TRY(ex_cuda_alloc(&lane->params, device, params, "parameters"));
    EX_TRY(ex_cuda_alloc(&lane->stats, device, stats, "statistics"));
    EX_TRY(ex_cuda_alloc(&lane->velocity, device, params, "velocity"));
    EX_TRY(EX_CUDA(cudaMemsetAsync(lane->params, 0, params, lane->stream)));
    if (stats)
        EX_TRY(EX_CUDA(cudaMemsetAsync(lane->stats, 0, stats, lane->stream)));
    return EX_CUDA(cudaMemsetAsync(lane->velocity, 0, params, lane->stream));
}

ex_status ex_cuda_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads)
{
    ex_cuda_lane *lane;
    ex_status status;
    *out = NULL;
    EX_CHECK_ARG(threads >= 1, "a lane needs at least one thread, not %d", threads);
    EX_TRY(ex_alloc(&lane, 1, sizeof *lane, "lane"));
    *out = &lane->base;
    lane->base = (ex_lane){.device = device, .model = model, .threads = threads};
    lane->device = (ex_cuda_device *)device;
    lane->version = lane->arena_moves = 1;
    EX_TRY_GOTO(ex_cuda_enter(lane, "making a lane"), fail);
    EX_TRY_GOTO(EX_CUDA(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking)), fail);
    EX_TRY_GOTO(ex_dnn_handle_create(&lane->dnn, lane->stream), fail);
    EX_TRY_GOTO(ex_blas_handle_create(&lane->blas, lane->stream), fail);
    EX_TRY_GOTO(make_values(lane), fail);
    return EX_OK;
fail:
    ex_cuda_lane_destroy(out);
    return status;
}

void ex_cuda_lane_destroy(ex_lane **lane)
{
    if (!*lane)
        return;
    ex_cuda_lane *l = ex_cuda_lane_of(*lane);
    (void)cudaSetDevice(l->device->index);
    if (l->stream)
        (void)cudaStreamSynchronize(l->stream);
    ex_cuda_account_back(l->device, l->arena_bytes);
    ex_cuda_feed_free(&l->feed);
    ex_cuda_stage_free(&l->stage);
    ex_cuda_free(&l->arena);
    ex_cuda_free(&l->params);
    ex_cuda_free(&l->stats);
    ex_cuda_free(&l->velocity);
    ex_free(&l->constants);
    ex_blas_handle_destroy(&l->blas);
    ex_dnn_handle_destroy(&l->dnn);
    if (l->stream)
        (void)cudaStreamDestroy(l->stream);
    ex_free(&l);
    *lane = NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

static void fill_constants(ex_cuda_lane *lane, const float *params, const float *stats)
{
    const ex_model *m = lane->base.model;
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *l = &m->layers[i];
        for (size_t c = 0; c < (size_t)l->channels; c++)
            lane->constants[(size_t)l->first_channel + c] = ex_fork_constant(l, c, params, stats);
    }
    lane->constants_version = lane->version;
}

ex_status ex_cuda_lane_load(ex_lane *lane, const float *params, const float *stats)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    const size_t bytes = lane->model->param_count * sizeof(float);
    EX_TRY(ex_cuda_enter(l, "loading a lane"));
    l->version++;
    EX_TRY(ex_cuda_send(l, l->params, params, bytes));
    EX_TRY(ex_cuda_send(l, l->stats, stats, lane->model->stat_count * sizeof(float)));
    fill_constants(l, params, stats);
    return EX_CUDA(cudaMemsetAsync(l->velocity, 0, bytes, l->stream));
}

ex_status ex_cuda_lane_store(ex_lane *lane, float *params, float *stats)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    const size_t param_bytes = lane->model->param_count * sizeof(float);
    const size_t stat_bytes = lane->model->stat_count * sizeof(float);
    char *host;
    EX_TRY(ex_cuda_enter(l, "storing a lane"));
    EX_TRY(ex_cuda_stage_take(&host, l, param_bytes + stat_bytes));
    EX_TRY(ex_cuda_copy(l, host, l->params, param_bytes));
    EX_TRY(ex_cuda_copy(l, host + param_bytes, l->stats, stat_bytes));
    EX_TRY(ex_cuda_wait(l));
    memcpy(params, host, param_bytes);
    if (stat_bytes)
        memcpy(stats, host + param_bytes, stat_bytes);
    return EX_OK;
}

ex_status ex_cuda_lane_load_velocity(ex_lane *lane, const float *velocity)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    EX_TRY(ex_cuda_enter(l, "loading a lane"));
    return ex_cuda_send(l, l->velocity, velocity, lane->model->param_count * sizeof(float));
}

ex_status ex_cuda_lane_store_velocity(ex_lane *lane, float *velocity)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    EX_TRY(ex_cuda_enter(l, "storing a lane"));
    return ex_cuda_fetch(l, velocity, l->velocity, lane->model->param_count * sizeof(float));
}

/* Values that were trained here are read back. */
ex_status ex_cuda_constants(ex_cuda_lane *lane)
{
    const ex_model *m = lane->base.model;
    float *params = NULL, *stats = NULL;
    ex_status status;
    if (lane->constants_version == lane->version)
        return EX_OK;
    EX_TRY_GOTO(ex_alloc(&params, m->param_count, sizeof *params, "parameters"), done);
    EX_TRY_GOTO(ex_alloc(&stats, m->stat_count, sizeof *stats, "statistics"), done);
    EX_TRY_GOTO(ex_cuda_lane_store(&lane->base, params, stats), done);
    fill_constants(lane, params, stats);
done:
    ex_free(&params);
    ex_free(&stats);
    return status;
}

/* --- the arena -------------------------------------------------------------------------------- */

/* The arena holds nothing between runs: the old one goes first, so that both are never there. */
static ex_status resize(ex_cuda_lane *lane, size_t bytes)
{
    if (bytes == lane->arena_bytes)
        return EX_OK;
    EX_TRY(ex_cuda_wait(lane));
    ex_cuda_free(&lane->arena);
    ex_cuda_account_back(lane->device, lane->arena_bytes);
    lane->arena_bytes = 0;
    lane->arena_moves++;
    EX_TRY(ex_cuda_account(lane->device, bytes));
    const ex_status status =
        ex_cuda_alloc(&lane->arena, lane->device, bytes, "scratch memory of a lane");
    if (status == EX_OK)
        lane->arena_bytes = bytes;
    else
        ex_cuda_account_back(lane->device, bytes);
    return status;
}

ex_status ex_cuda_reserve(ex_cuda_lane *lane, size_t arena, size_t own)
{
    const size_t needed = lane->arena_needed;
    EX_TRY(ex_cuda_account(lane->device, own));
    if (arena > needed)
        lane->arena_needed = arena;
    const ex_status status = resize(lane, lane->arena_needed);
    if (status != EX_OK) {
        ex_cuda_account_back(lane->device, own);
        lane->arena_needed = needed; /* ex_cuda_bind gets it back for the plans that are there */
    }
    return status;
}

ex_status ex_cuda_borrow(ex_cuda_lane *lane, size_t bytes)
{
    return bytes > lane->arena_bytes ? resize(lane, bytes) : EX_OK;
}
