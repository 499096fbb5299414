#include "cuda/timing.h"

#include "cuda/cuda_impl.h"

enum {
    RUNS = 5,       /* of each, that are timed together */
    FILLING = 0x3c, /* bytes of floats of 0.0115 */
};

static size_t rounded(size_t bytes)
{
    return (bytes + EX_CUDA_ALIGN - 1) / EX_CUDA_ALIGN * EX_CUDA_ALIGN;
}

static size_t tensor_bytes(const ex_graph_tensor *t)
{
    return t->is_virtual ? 0 : ex_graph_tensor_elements(t) * ex_graph_type_size(t->type);
}

/* A pool's index has to lie in its window: the first value's does. */
static int filling(const ex_graph_tensor *t)
{
    return t->type == EX_GRAPH_I8 ? 0 : FILLING;
}

/* Lays the graph's tensors and the workspace into the arena. */
static ex_status lay_out(ex_cuda_lane *lane, const ex_dnn_graph *g, size_t workspace, void **data,
                         void **scratch)
{
    size_t bytes = rounded(workspace), at = bytes;
    for (int i = 0; i < g->tensor_count; i++)
        bytes += rounded(tensor_bytes(&g->tensor[i]));
    EX_TRY(ex_lane_borrow(&lane->core, bytes));
    *scratch = lane->core.arena;
    for (int i = 0; i < g->tensor_count; i++) {
        const ex_graph_tensor *t = &g->tensor[i];
        data[i] = t->is_virtual ? NULL : lane->core.arena + at;
        if (data[i])
            EX_TRY(EX_CUDA(cudaMemsetAsync(data[i], filling(t), tensor_bytes(t), lane->stream)));
        at += rounded(tensor_bytes(t));
    }
    return EX_OK;
}

typedef struct repeated {
    const ex_cuda_timed *work;
    void *data[EX_GRAPH_TENSORS], *scratch;
} repeated;

static ex_status repeat(void *context)
{
    const repeated *r = context;
    for (int run = 0; run < RUNS; run++)
        EX_TRY(r->work->run(r->work, r->data, r->scratch));
    return EX_OK;
}

/* The second of two launches: the host queues it, and the events, while the first one runs. */
static ex_status time_launches(float *milliseconds, const ex_cuda_lane *lane, cudaGraphExec_t runs,
                               cudaEvent_t start, cudaEvent_t end)
{
    EX_TRY(EX_CUDA(cudaGraphLaunch(runs, lane->stream)));
    EX_TRY(EX_CUDA(cudaEventRecord(start, lane->stream)));
    EX_TRY(EX_CUDA(cudaGraphLaunch(runs, lane->stream)));
    EX_TRY(EX_CUDA(cudaEventRecord(end, lane->stream)));
    EX_TRY(EX_CUDA(cudaEventSynchronize(end)));
    return EX_CUDA(cudaEventElapsedTime(milliseconds, start, end));
}

/* By a recording, as steps run it: one by one, small layers would be as fast as the host launches
 * them. The first run is by itself, so that libraries load what they need. */
static ex_status time_between(float *milliseconds, ex_cuda_lane *lane, const ex_dnn_graph *g,
                              const ex_cuda_timed *work, cudaEvent_t start, cudaEvent_t end)
{
    repeated r = {.work = work};
    cudaGraphExec_t runs;
    EX_TRY(lay_out(lane, g, work->scratch, r.data, &r.scratch));
    ex_status status = work->run(work, r.data, r.scratch);
    if (status == EX_ERR_UNSUPPORTED) /* unless it broke the device */
        EX_TRY(EX_CUDA(cudaStreamSynchronize(lane->stream)));
    EX_TRY(status);
    status = ex_cuda_capture_work(&runs, lane, repeat, &r);
    if (status == EX_ERR_BACKEND) { /* of no use to steps, which are recorded */
        status = EX_FAIL(EX_ERR_UNSUPPORTED, "%s", ex_error_message());
        EX_TRY(EX_CUDA(cudaStreamSynchronize(lane->stream)));
    }
    EX_TRY(status);
    status = time_launches(milliseconds, lane, runs, start, end);
    ex_cuda_graph_free(&runs);
    return status;
}

ex_status ex_cuda_time(float *milliseconds, ex_cuda_lane *lane, const ex_dnn_graph *g,
                       const ex_cuda_timed *work)
{
    cudaEvent_t start = NULL, end = NULL;
    ex_status status;
    EX_TRY_GOTO(EX_CUDA(cudaEventCreate(&start)), done);
    EX_TRY_GOTO(EX_CUDA(cudaEventCreate(&end)), done);
    status = time_between(milliseconds, lane, g, work, start, end);
done:
    if (start)
        (void)cudaEventDestroy(start);
    if (end)
        (void)cudaEventDestroy(end);
    return status;
}

/* --- candidates of the library ---------------------------------------------------------------- */

/* A candidate that was built and does not run is as good as one that cannot be built. */
static ex_status run_plan(const ex_cuda_timed *work, void *const *data, void *scratch)
{
    const ex_status status =
        ex_cuda_library(ex_dnn_plan_run(work->what, data, scratch), EX_CUDA_LESS_PLAN);
    return status == EX_ERR_BACKEND ? EX_FAIL(EX_ERR_UNSUPPORTED, "%s", ex_error_message())
                                    : status;
}

static ex_status time_plan(float *milliseconds, ex_cuda_lane *lane, const ex_dnn_graph *g,
                           const ex_dnn_plan *plan)
{
    const ex_cuda_timed work = {
        .run = run_plan, .what = plan, .scratch = ex_dnn_plan_workspace(plan)};
    return ex_cuda_time(milliseconds, lane, g, &work);
}

ex_status ex_cuda_fastest(ex_dnn_plan **out, float *milliseconds, ex_cuda_lane *lane,
                          const ex_dnn_graph *g, int count)
{
    ex_dnn_plan *plan = NULL;
    ex_status status = EX_ERR_UNSUPPORTED;
    float taken;
    *out = NULL;
    for (int i = 0; i < count; i++) {
        status =
            ex_cuda_library(ex_dnn_plan_create(&plan, lane->dnn, g, i, NULL), EX_CUDA_LESS_PLAN);
        if (status == EX_OK)
            status = time_plan(&taken, lane, g, plan);
        if (status == EX_ERR_UNSUPPORTED || status == EX_ERR_MEMORY) {
            ex_dnn_plan_destroy(&plan);
            continue;
        }
        EX_TRY_GOTO(status, fail);
        if (!*out || taken < *milliseconds) {
            ex_dnn_plan *const slower = *out;
            *out = plan;
            *milliseconds = taken;
            plan = slower;
        }
        ex_dnn_plan_destroy(&plan);
    }
    return *out ? EX_OK : status;
fail:
    ex_dnn_plan_destroy(&plan);
    ex_dnn_plan_destroy(out);
    return status;
}
