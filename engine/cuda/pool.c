/* Pooling. Training takes the library's pools where they are faster than our kernels. */
#include "cuda/cuda_impl.h"
#include "cuda/node_graph.h"

/* --- by the library's graphs ------------------------------------------------------------------ */

/* Of the contest: what our kernels are told beside the graphs' tensors. */
typedef struct own_pool {
    ex_pool_shape shape;
    bool largest;
    ex_stream stream;
} own_pool;

static ex_status run_own(const ex_cuda_timed *work, void *const *data, void *scratch)
{
    const own_pool *o = work->what;
    void *const in = data[EX_POOL_IN], *const out = data[EX_POOL_OUT];
    (void)scratch;
    if (o->largest && work->pass == 0)
        ex_kernels_cuda.maxpool_fwd(out, data[EX_POOL_INDEX], in, &o->shape, o->stream);
    else if (o->largest)
        ex_kernels_cuda.maxpool_bwd(out, in, data[EX_POOL_INDEX], &o->shape, o->stream);
    else if (work->pass == 0)
        ex_kernels_cuda.avgpool_fwd(out, in, &o->shape, o->stream);
    else
        ex_kernels_cuda.avgpool_bwd(out, in, &o->shape, o->stream);
    return ex_cuda_launches();
}

static ex_dnn_graph graph_of(const ex_plan_core *plan, int node, bool backward)
{
    return ex_node_graph_pool(&plan->model->nodes[node], plan->base.spec.batch,
                              ex_cuda_precision(plan), backward);
}

static ex_status decide(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_plan_map *map = &plan->maps[node];
    const own_pool own = {.shape = ex_plan_pool_shape(plan, node),
                          .largest = n->op == EX_OP_MAXPOOL,
                          .stream = ex_plan_stream(plan)};
    const ex_cuda_contest c = {.graph = {graph_of(plan, node, false), graph_of(plan, node, true)},
                               .passes = map->wanted ? 2 : 1,
                               .own = {.run = run_own, .what = &own}};
    map->library = false;
    return ex_plan_trains(plan)
               ? ex_cuda_prefer_library(&map->library, ex_cuda_lane_of(plan->base.lane), &c)
               : EX_OK;
}

static ex_status add_library(ex_plan_core *plan, int node, const char *what, bool backward,
                             ex_buffer_ref out, ex_buffer_ref in)
{
    const ex_dnn_graph g = graph_of(plan, node, backward);
    const ex_buffer_ref ref[] = {
        [EX_POOL_IN] = in, [EX_POOL_OUT] = out, [EX_POOL_INDEX] = plan->maps[node].workspace};
    return ex_cuda_graph_add(plan, what, node, &g, ref);
}

/* --- steps ------------------------------------------------------------------------------------ */

ex_status ex_cuda_pool_forward(ex_plan_core *plan, int node)
{
    const ex_plan_map *map = &plan->maps[node];
    EX_TRY(decide(plan, node));
    if (!map->library)
        return ex_plan_pool_forward(plan, node);
    EX_TRY(ex_plan_pool_index(plan, node));
    return add_library(plan, node, "pool forward", false, map->ref,
                       plan->maps[plan->model->nodes[node].input].ref);
}

ex_status ex_cuda_pool_backward(ex_plan_core *plan, int node)
{
    const int input = plan->model->nodes[node].input;
    ex_buffer_ref dy, dx;
    if (!plan->maps[node].library)
        return ex_plan_pool_backward(plan, node);
    EX_TRY(ex_plan_gradient_sum(plan, node, false, &dy));
    EX_TRY(ex_plan_map_add(plan, input, &dx));
    EX_TRY(add_library(plan, node, "pool backward", true, dx, dy));
    return ex_plan_gradient_give(plan, input, dx, -1);
}
