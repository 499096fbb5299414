/* Norms of training by the library's graphs, where they are faster than our kernels (plan_norm.c).
 */
#include "cuda/cuda_impl.h"
#include "cuda/node_graph.h"

/* --- the contest ------------------------------------------------------------------------------ */

/* Of the contest: what our kernels are told beside the graphs' tensors. */
typedef struct own_norm {
    ex_map_shape shape;
    bool residual, relu, second;
    ex_stream stream;
} own_norm;

static ex_status run_own(const ex_cuda_timed *work, void *const *data, void *scratch)
{
    const own_norm *o = work->what;
    ex_norm_train n = {.shape = o->shape, .eps = EX_NORM_EPS, .relu = o->relu, .scratch = scratch};
    if (work->pass == 0) {
        n.scale = data[EX_NORM_SCALE];
        n.shift = data[EX_NORM_SHIFT];
        n.mean = data[EX_NORM_MEAN];
        n.var = data[EX_NORM_VAR];
        ex_kernels_cuda.norm_train_fwd(data[EX_NORM_Y], data[EX_NORM_X],
                                       o->residual ? data[EX_NORM_RESIDUAL] : NULL, &n, o->stream);
        return ex_cuda_launches();
    }
    n.scale = n.shift = data[EX_NORM_BWD_SCALE];
    n.mean = data[EX_NORM_BWD_MEAN];
    n.var = data[EX_NORM_BWD_INVERSE];
    const ex_norm_train_gradient g = {.dx = data[EX_NORM_BWD_DX],
                                      .g1 = data[EX_NORM_BWD_G1],
                                      .g2 = o->second ? data[EX_NORM_BWD_G2] : NULL,
                                      .x = data[EX_NORM_BWD_X],
                                      .y = o->residual && o->relu ? data[EX_NORM_BWD_Y] : NULL,
                                      .dscale = data[EX_NORM_BWD_DSCALE],
                                      .dshift = data[EX_NORM_BWD_DSHIFT],
                                      .keep = o->residual || o->second};
    ex_kernels_cuda.norm_train_bwd(&g, &n, o->stream);
    return ex_cuda_launches();
}

/* How many readers of the node leave a tensor of its gradient; a shortcut adds to another's. */
static int readers(const ex_model *m, int node)
{
    int count = 0;
    for (int i = node + 1; i < m->node_count; i++)
        count += (m->nodes[i].input == node && m->nodes[i].op != EX_OP_SHORTCUT_A) +
                 (m->nodes[i].residual == node);
    return count;
}

static ex_status decide(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const int batch = plan->base.spec.batch;
    ex_plan_map *map = &plan->maps[node];
    const own_norm own = {.shape = ex_plan_map_shape(plan, node),
                          .residual = n->residual >= 0,
                          .relu = n->relu,
                          .second = readers(plan->model, node) > 1,
                          .stream = ex_plan_stream(plan)};
    map->library = false;
    if (own.second && !n->relu)
        return EX_OK;
    if (own.shape.N * own.shape.H * own.shape.W == 1) /* no unbiased variance: n / (n - 1) */
        return EX_OK;
    ex_cuda_contest c = {
        .graph = {ex_node_graph_norm(n, batch, ex_cuda_precision(plan))},
        .passes = map->wanted ? 2 : 1,
        .own = {.run = run_own,
                .what = &own,
                .scratch = ex_kernels_cuda.norm_train_scratch(&own.shape) * sizeof(float)}};
    if (map->wanted)
        c.graph[1] = ex_node_graph_norm_backward(n, batch, ex_cuda_precision(plan), own.second);
    return ex_cuda_prefer_library(&map->library, ex_cuda_lane_of(plan->base.lane), &c);
}

/* --- steps ------------------------------------------------------------------------------------ */

static ex_status library_forward(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const size_t channels = (size_t)l->channels;
    ex_plan_map *map = &plan->maps[node];
    const ex_buffer_ref mean = {.buffer = EX_BUFFER_STATS, .offset = l->mean};
    const ex_buffer_ref var = {.buffer = EX_BUFFER_STATS, .offset = l->var};
    ex_buffer_ref *const made[] = {&map->norm_mean, &map->norm_inverse, &map->mean, &map->var};
    ex_buffer_ref ref[EX_GRAPH_TENSORS] = {[EX_NORM_X] = map->inner, [EX_NORM_Y] = map->ref};
    EX_TRY(ex_cuda_aligned(plan, node, ex_plan_param(l->scale), channels, &map->norm_scale));
    EX_TRY(ex_cuda_aligned(plan, node, ex_plan_param(l->shift), channels, &ref[EX_NORM_SHIFT]));
    EX_TRY(ex_cuda_aligned(plan, node, mean, channels, &ref[EX_NORM_A]));
    EX_TRY(ex_cuda_aligned(plan, node, var, channels, &ref[EX_NORM_B]));
    ref[EX_NORM_SCALE] = map->norm_scale;
    for (int i = 0; i < 4; i++) {
        EX_TRY(ex_plan_buffer_add(plan, channels * sizeof(float), made[i]));
        ref[EX_NORM_MEAN + i] = *made[i];
    }
    if (n->residual >= 0)
        ref[EX_NORM_RESIDUAL] = plan->maps[n->residual].ref;
    map->unbiased = true;
    const ex_dnn_graph g = ex_node_graph_norm(n, plan->base.spec.batch, ex_cuda_precision(plan));
    return ex_cuda_graph_add(plan, "norm forward", node, &g, ref);
}

ex_status ex_cuda_norm_forward(ex_plan_core *plan, int node)
{
    EX_TRY(decide(plan, node));
    return plan->maps[node].library ? library_forward(plan, node)
                                    : ex_plan_norm_forward(plan, node);
}

static ex_status library_backward(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_plan_layer_of(plan, node);
    const size_t channels = (size_t)l->channels;
    const ex_plan_map *map = &plan->maps[node];
    const ex_buffer_ref scale = ex_plan_grad(plan, l->scale), shift = ex_plan_grad(plan, l->shift);
    ex_buffer_ref ref[EX_GRAPH_TENSORS] = {[EX_NORM_BWD_X] = map->inner,
                                           [EX_NORM_BWD_SCALE] = map->norm_scale,
                                           [EX_NORM_BWD_MEAN] = map->norm_mean,
                                           [EX_NORM_BWD_INVERSE] = map->norm_inverse};
    ex_buffer_ref passed, waiting;
    EX_TRY(ex_plan_gradient_pair(plan, node, &ref[EX_NORM_BWD_G1], &waiting));
    const bool second = waiting.buffer != EX_BUFFER_NOTHING;
    passed = ref[EX_NORM_BWD_G1];
    EX_TRY(ex_plan_map_add(plan, node, out));
    ref[EX_NORM_BWD_DX] = *out;
    if (n->relu) {
        EX_TRY(ex_plan_map_add(plan, node, &passed));
        ref[EX_NORM_BWD_Y] = map->ref;
        ref[EX_NORM_BWD_GATED] = passed;
        ref[EX_NORM_BWD_G2] = waiting;
    }
    EX_TRY(ex_cuda_aligned_begin(plan, scale, channels, &ref[EX_NORM_BWD_DSCALE]));
    EX_TRY(ex_cuda_aligned_begin(plan, shift, channels, &ref[EX_NORM_BWD_DSHIFT]));
    const ex_dnn_graph g =
        ex_node_graph_norm_backward(n, plan->base.spec.batch, ex_cuda_precision(plan), second);
    EX_TRY(ex_cuda_graph_add(plan, "norm backward", node, &g, ref));
    EX_TRY(ex_cuda_aligned_end(plan, node, scale, ref[EX_NORM_BWD_DSCALE], channels));
    EX_TRY(ex_cuda_aligned_end(plan, node, shift, ref[EX_NORM_BWD_DSHIFT], channels));
    return n->residual >= 0 ? ex_plan_gradient_give(plan, n->residual, passed, -1) : EX_OK;
}

ex_status ex_cuda_norm_backward(ex_plan_core *plan, int node, ex_buffer_ref *out)
{
    return plan->maps[node].library ? library_backward(plan, node, out)
                                    : ex_plan_norm_backward(plan, node, EX_NO_REF, out);
}
