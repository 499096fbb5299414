/* Captured work: what a plan queues becomes a CUDA graph, and is launched by one call from then on.
 *
 * The nodes of an evaluation plan from some node to the end are run again and again: batch after
 * batch, and in an ablation for each group of variants of a layer. The first run queues them one by
 * one, so that libraries load what they need; the second one captures them. */
#include "base/memory.h"
#include "cuda/cuda_impl.h"

ex_status ex_cuda_capture_work(cudaGraphExec_t *out, const ex_cuda_lane *lane,
                               ex_status (*work)(void *context), void *context)
{
    const cudaStream_t stream = lane->stream;
    cudaGraph_t graph = NULL;
    *out = NULL;
    EX_TRY(EX_CUDA(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal)));
    ex_status status = work(context);
    const cudaError_t ended = cudaStreamEndCapture(stream, &graph); /* also after a failure */
    if (status == EX_OK)
        status = ex_cuda_check(ended, "cudaStreamEndCapture", EX_WHERE);
    else
        (void)cudaGetLastError();
    if (status == EX_OK)
        status = EX_CUDA(cudaGraphInstantiate(out, graph, 0));
    if (graph)
        (void)cudaGraphDestroy(graph);
    if (status == EX_OK)
        status = EX_CUDA(cudaGraphUpload(*out, stream));
    if (status != EX_OK)
        ex_cuda_graph_free(out);
    return status;
}

typedef struct part {
    ex_cuda_plan *plan;
    ex_cuda_work work;
    int first, last;
} part;

static ex_status queue_part(void *context)
{
    const part *p = context;
    return p->work(p->plan, p->first, p->last);
}

ex_status ex_cuda_capture(cudaGraphExec_t *out, ex_cuda_plan *plan, ex_cuda_work work, int first,
                          int last)
{
    part p = {.plan = plan, .work = work, .first = first, .last = last};
    return ex_cuda_capture_work(out, plan->lane, queue_part, &p);
}

void ex_cuda_graph_free(cudaGraphExec_t *graph)
{
    if (*graph)
        (void)cudaGraphExecDestroy(*graph);
    *graph = NULL;
}

ex_status ex_cuda_replays_create(ex_cuda_plan *plan)
{
    return ex_alloc(&plan->replays, (size_t)plan->core.model->node_count, sizeof *plan->replays,
                    "recordings of a plan");
}

void ex_cuda_replays_free(ex_cuda_plan *plan)
{
    for (int i = 0; plan->replays && i < plan->core.model->node_count; i++)
        ex_cuda_graph_free(&plan->replays[i].graph);
    ex_free(&plan->replays);
}

static ex_status queue_nodes(ex_cuda_plan *plan, int first, int last)
{
    return ex_cuda_steps(plan, plan->core.node_step[first], plan->core.node_step[last + 1], true);
}

ex_status ex_cuda_nodes(ex_cuda_plan *plan, int first, int last)
{
    ex_cuda_replay *r = &plan->replays[first];
    if (last != plan->core.model->node_count - 1)
        return queue_nodes(plan, first, last);
    if (r->arena_moves != plan->core.arena_moves) /* the addresses in it are of another time */
        ex_cuda_graph_free(&r->graph);
    if (!r->graph && !r->warm) {
        r->warm = true;
        return queue_nodes(plan, first, last);
    }
    if (!r->graph)
        EX_TRY(ex_cuda_capture(&r->graph, plan, queue_nodes, first, last));
    r->arena_moves = plan->core.arena_moves;
    return EX_CUDA(cudaGraphLaunch(r->graph, plan->lane->stream));
}
