/* A lane: one copy of a model's values, and the scratch memory that its plans share. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <omp.h>
#include <string.h>

void ex_cpu_enter(const ex_lane_core *lane)
{
    omp_set_num_threads(lane->base.threads);
}

/* --- memory ----------------------------------------------------------------------------------- */

static ex_status alloc(void *out, ex_lane_core *lane, size_t bytes, const char *what)
{
    (void)lane;
    return ex_alloc(out, bytes, 1, what);
}

static ex_status zero(ex_lane_core *lane, void *at, size_t bytes)
{
    (void)lane;
    memset(at, 0, bytes);
    return EX_OK;
}

static ex_status wait(ex_lane_core *lane)
{
    (void)lane; /* nothing is queued */
    return EX_OK;
}

static const ex_lane_memory memory = {.alloc = alloc, .free = ex_free, .zero = zero, .wait = wait};

/* --- life ------------------------------------------------------------------------------------- */

ex_status ex_cpu_lane_create(ex_lane **out, ex_device *device, const ex_model *model, int threads)
{
    ex_cpu_device *d = (ex_cpu_device *)device;
    ex_cpu_lane *lane;
    ex_status status;
    *out = NULL;
    EX_TRY(ex_alloc(&lane, 1, sizeof *lane, "lane"));
    *out = &lane->core.base;
    ex_lane_core_init(&lane->core, device, model, threads, &memory, &d->budget);
    EX_TRY_GOTO(EX_DNN(dnnl_stream_create(&lane->stream, d->engine, dnnl_stream_default_flags)),
                fail);
    EX_TRY_GOTO(ex_lane_core_values(&lane->core), fail);
    (*out)->host_params = lane->core.params;
    (*out)->host_stats = lane->core.stats;
    return EX_OK;
fail:
    ex_cpu_lane_destroy(out);
    return status;
}

void ex_cpu_lane_destroy(ex_lane **lane)
{
    if (!*lane)
        return;
    ex_cpu_lane *l = ex_cpu_lane_of(*lane);
    if (l->stream)
        dnnl_stream_destroy(l->stream);
    ex_lane_core_close(&l->core);
    ex_free(&l);
    *lane = NULL;
}

/* --- values ----------------------------------------------------------------------------------- */

ex_status ex_cpu_lane_load(ex_lane *lane, const float *params, const float *stats)
{
    ex_lane_core *l = &ex_cpu_lane_of(lane)->core;
    memcpy(l->params, params, lane->model->param_count * sizeof(float));
    memcpy(l->stats, stats, lane->model->stat_count * sizeof(float));
    memset(l->velocity, 0, lane->model->param_count * sizeof(float));
    l->version++;
    return EX_OK;
}

ex_status ex_cpu_lane_store(ex_lane *lane, float *params, float *stats)
{
    const ex_lane_core *l = &ex_cpu_lane_of(lane)->core;
    memcpy(params, l->params, lane->model->param_count * sizeof(float));
    memcpy(stats, l->stats, lane->model->stat_count * sizeof(float));
    return EX_OK;
}

ex_status ex_cpu_lane_load_velocity(ex_lane *lane, const float *velocity)
{
    ex_lane_core *l = &ex_cpu_lane_of(lane)->core;
    memcpy(l->velocity, velocity, lane->model->param_count * sizeof(float));
    return EX_OK;
}

ex_status ex_cpu_lane_store_velocity(ex_lane *lane, float *velocity)
{
    const ex_lane_core *l = &ex_cpu_lane_of(lane)->core;
    memcpy(velocity, l->velocity, lane->model->param_count * sizeof(float));
    return EX_OK;
}
