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

/* --- memory ----------------------------------------------------------------------------------- */

/* A lane's values come first, and their sizes are the model's; what comes after is of plans. */
static ex_status alloc(void *out, ex_lane_core *lane, size_t bytes, const char *what)
{
    return ex_cuda_alloc(out, bytes, what, lane->velocity ? EX_CUDA_LESS_PLAN : EX_CUDA_LESS_LANE);
}

static ex_status zero(ex_lane_core *lane, void *at, size_t bytes)
{
    return bytes ? EX_CUDA(cudaMemsetAsync(at, 0, bytes, ex_cuda_lane_of(&lane->base)->stream))
                 : EX_OK;
}

static ex_status wait(ex_lane_core *lane)
{
    return ex_cuda_wait(ex_cuda_lane_of(&lane->base));
}

static const ex_lane_memory memory = {
    .alloc = alloc, .free = ex_cuda_free, .zero = zero, .wait = wait};

/* --- life ------------------------------------------------------------------------------------- */

static ex_status make_values(ex_cuda_lane *lane)
{
    const ex_model *m = lane->core.base.model;
    const size_t bytes = (m->param_count + m->stat_count) * sizeof(float);
    EX_TRY(ex_alloc(&lane->constants, (size_t)m->channel_count, sizeof(float), "constants"));
    EX_TRY(ex_cuda_stage_room(lane, bytes + FEED));
    return ex_lane_core_values(&lane->core);
}

ex_status ex_cuda_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads)
{
    ex_cuda_device *d = (ex_cuda_device *)device;
    ex_cuda_lane *lane;
    ex_status status;
    *out = NULL;
    EX_TRY(ex_alloc(&lane, 1, sizeof *lane, "lane"));
    *out = &lane->core.base;
    ex_lane_core_init(&lane->core, device, model, threads, &memory, &d->budget);
    lane->device = d;
    EX_TRY_GOTO(ex_cuda_enter(lane, "making a lane"), fail);
    EX_TRY_GOTO(EX_CUDA(cudaStreamCreateWithFlags(&lane->stream, cudaStreamNonBlocking)), fail);
    lane->core.stream.queue = lane->stream;
    EX_TRY_GOTO(ex_cuda_library(ex_dnn_handle_create(&lane->dnn, lane->stream), EX_CUDA_LESS_LANE),
                fail);
    EX_TRY_GOTO(
        ex_cuda_library(ex_blas_handle_create(&lane->blas, lane->stream), EX_CUDA_LESS_LANE), fail);
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
    ex_cuda_feed_free(&l->feed);
    ex_cuda_stage_free(&l->stage);
    ex_lane_core_close(&l->core);
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
    const ex_model *m = lane->core.base.model;
    for (int i = 0; i < m->layer_count; i++) {
        const ex_layer *l = &m->layers[i];
        for (size_t c = 0; c < (size_t)l->channels; c++)
            lane->constants[(size_t)l->first_channel + c] = ex_fork_constant(l, c, params, stats);
    }
    lane->constants_version = lane->core.version;
}

ex_status ex_cuda_lane_load(ex_lane *lane, const float *params, const float *stats)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    const size_t bytes = lane->model->param_count * sizeof(float);
    EX_TRY(ex_cuda_enter(l, "loading a lane"));
    l->core.version++;
    EX_TRY(ex_cuda_send(l, l->core.params, params, bytes));
    EX_TRY(ex_cuda_send(l, l->core.stats, stats, lane->model->stat_count * sizeof(float)));
    fill_constants(l, params, stats);
    return EX_CUDA(cudaMemsetAsync(l->core.velocity, 0, bytes, l->stream));
}

ex_status ex_cuda_lane_store(ex_lane *lane, float *params, float *stats)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    const size_t param_bytes = lane->model->param_count * sizeof(float);
    const size_t stat_bytes = lane->model->stat_count * sizeof(float);
    char *host;
    EX_TRY(ex_cuda_enter(l, "storing a lane"));
    EX_TRY(ex_cuda_stage_take(&host, l, param_bytes + stat_bytes));
    EX_TRY(ex_cuda_copy(l, host, l->core.params, param_bytes));
    EX_TRY(ex_cuda_copy(l, host + param_bytes, l->core.stats, stat_bytes));
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
    return ex_cuda_send(l, l->core.velocity, velocity, lane->model->param_count * sizeof(float));
}

ex_status ex_cuda_lane_store_velocity(ex_lane *lane, float *velocity)
{
    ex_cuda_lane *l = ex_cuda_lane_of(lane);
    EX_TRY(ex_cuda_enter(l, "storing a lane"));
    return ex_cuda_fetch(l, velocity, l->core.velocity, lane->model->param_count * sizeof(float));
}

/* Values that were trained here are read back. */
ex_status ex_cuda_constants(ex_cuda_lane *lane)
{
    const ex_model *m = lane->core.base.model;
    float *params = NULL, *stats = NULL;
    ex_status status;
    if (lane->constants_version == lane->core.version)
        return EX_OK;
    EX_TRY_GOTO(ex_alloc(&params, m->param_count, sizeof *params, "parameters"), done);
    EX_TRY_GOTO(ex_alloc(&stats, m->stat_count, sizeof *stats, "statistics"), done);
    EX_TRY_GOTO(ex_cuda_lane_store(&lane->core.base, params, stats), done);
    fill_constants(lane, params, stats);
done:
    ex_free(&params);
    ex_free(&stats);
    return status;
}
