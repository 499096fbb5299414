/* Graphs: nodes with their order, made ready to launch, and launched. */
#include "state.h"

using namespace emulated;

namespace
{

/* The nodes go into the graph that is being captured. */
cudaError_t embed(stream &s, const graph_exec &g)
{
    capture &c = *s.capturing;
    if (c.invalid)
        return cudaErrorStreamCaptureInvalidated;
    const size_t first = c.nodes.size();
    const std::vector<size_t> before = s.frontier;
    for (const node &n : g.nodes) {
        node copy = n;
        for (size_t &i : copy.after)
            i += first;
        if (copy.after.empty())
            copy.after = before;
        c.nodes.push_back(copy);
    }
    for (size_t i = first; i < c.nodes.size(); i++)
        s.frontier.push_back(i);
    return cudaSuccess;
}

/* Roots come after the stream's earlier work and the graph's previous launch; the stream's later
 * work after all nodes. */
cudaError_t launch(graph_exec &g, stream &s)
{
    counts().graph_launches++;
    if (s.capturing)
        return embed(s, g);
    task mark;
    mark.what = "graph";
    const cudaError_t error = queue(s, mark, {g.last});
    if (error != cudaSuccess)
        return error;
    std::vector<work_ref> works;
    for (const node &n : g.nodes) {
        std::vector<work_ref> after = {s.last};
        for (const size_t i : n.after)
            after.push_back(works[i]);
        works.push_back(schedule_add(n.todo, n.lane, after));
        counts().graph_works += n.todo.kind != effect::none;
    }
    const cudaError_t joined = queue(s, mark, works);
    g.last = s.last;
    return joined;
}

cudaError_t instantiate(cudaGraphExec_t *out, cudaGraph_t handle)
{
    *out = nullptr;
    const graph *const g = the().graphs.find(handle);
    if (!g)
        return cudaErrorInvalidValue;
    *out = the().execs.add({g->nodes, nullptr});
    return cudaSuccess;
}

} // namespace

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *pGraphExec, cudaGraph_t graph, unsigned long long)
{
    return call("cudaGraphInstantiate", PLAIN, [&] { return instantiate(pGraphExec, graph); });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *pGraphExec, cudaGraph_t graph,
                                          unsigned long long)
{
    return call("cudaGraphInstantiateWithFlags", PLAIN,
                [&] { return instantiate(pGraphExec, graph); });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    return call("cudaGraphLaunch", PLAIN, [&] {
        auto *const g = the().execs.find(graphExec);
        auto *const s = find_stream(stream);
        if (!g)
            return cudaErrorInvalidValue;
        return s ? launch(*g, *s) : cudaErrorInvalidResourceHandle;
    });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t graphExec, cudaStream_t stream)
{
    return call("cudaGraphUpload", PLAIN, [&] {
        return the().execs.find(graphExec) && find_stream(stream) ? cudaSuccess
                                                                  : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *numNodes)
{
    return call("cudaGraphGetNodes", PLAIN, [&] {
        const auto *const g = the().graphs.find(graph);
        if (!g)
            return cudaErrorInvalidValue;
        if (nodes)
            return cudaErrorNotSupported; /* only their number */
        *numNodes = g->nodes.size();
        return cudaSuccess;
    });
}

/* Launches under way go on. */
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graphExec)
{
    return call("cudaGraphExecDestroy", RELEASES, [&] {
        return the().execs.remove(graphExec) ? cudaSuccess : cudaErrorInvalidValue;
    });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    return call("cudaGraphDestroy", RELEASES,
                [&] { return the().graphs.remove(graph) ? cudaSuccess : cudaErrorInvalidValue; });
}
