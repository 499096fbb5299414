/* Convolutions that are corrected instead of run, behind an ablated channel.
 *
 * A convolution is linear: where one channel of its input changed, its output changes by that
 * channel's contribution alone. A plan to fork from keeps what that takes: the outputs before the
 * ReLU, and the filters by input channel. A plan to fork to has room for the differences.
 *
 * Corrected outputs are those of the convolution up to rounding, not bit for bit. */
#include "cpu/cpu_impl.h"

/* Work of an output beside its products, in multiply-adds: it is read and written. */
enum { MOVES = 8, VECTOR = 16 };

bool ex_cpu_corrects(const ex_cpu_plan *plan, int node)
{
    const ex_model *m = plan->model;
    const ex_node *n = &m->nodes[node];
    if (plan->base.spec.use != EX_USE_EVALUATE || n->op != EX_OP_CONV ||
        m->nodes[n->input].op == EX_OP_INPUT || plan->maps[node].block % VECTOR != 0)
        return false;
    return n->R * n->S * n->C > 2 * (n->R * n->S + MOVES);
}

ex_cpu_ref ex_cpu_conv_output(const ex_cpu_plan *plan, int node)
{
    const ex_cpu_map *map = &plan->maps[node];
    return plan->base.spec.keep_nodes && ex_cpu_corrects(plan, node) ? map->before_relu : map->ref;
}

ex_status ex_cpu_correct_prepare(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    ex_cpu_map *map = &plan->maps[node];
    ex_dnn_op reorder;
    if (!plan->base.spec.keep_nodes || !ex_cpu_corrects(plan, node))
        return EX_OK;
    const size_t floats = (size_t)n->K * ex_cpu_layer_of(plan, node)->row;
    const ex_dnn_filter f = {.K = n->K, .C = n->C, .R = n->R, .S = n->S, .bf16 = ex_cpu_bf16(plan)};
    map->before_relu = map->ref;
    if (n->relu || map->type != EX_MAP_F32) {
        EX_TRY(ex_cpu_buffer_add(plan, ex_cpu_map_floats(plan, node) * sizeof(float),
                                 &map->before_relu));
        plan->buffers.list[map->before_relu.buffer].own = true;
    }
    EX_TRY(ex_cpu_buffer_add(plan, floats * ex_map_type_bytes(map->type), &map->columns));
    plan->buffers.list[map->columns.buffer].own = true;
    EX_TRY(ex_dnn_filter_columns(&reorder, plan->lane->device->engine, &f));
    if (!reorder.primitive) /* the same order, for a single channel or filter */
        return ex_cpu_copy_add(plan, node, map->columns, map->type, map->folded, EX_MAP_F32,
                               floats);
    EX_TRY(ex_cpu_op_add(plan, "filter columns", node, &reorder));
    ex_cpu_step_ref(plan, map->folded, DNNL_ARG_FROM);
    ex_cpu_step_ref(plan, map->columns, DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}

/* An update that changes nothing but for the ReLU, and the type. */
static ex_status run_relu(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    static const int32_t unchanged = -1;
    const ex_channel_change none = {.channel = &unchanged, .V = 1};
    const ex_conv_shape shape = ex_cpu_conv_shape(plan, step->node, plan->base.spec.batch);
    ex_kernels_host.conv_channel_update(step->at[0], step->at[1], NULL, &none, &shape,
                                        plan->model->nodes[step->node].relu, NULL,
                                        ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_correct_forward(ex_cpu_plan *plan, int node)
{
    const ex_cpu_ref output = ex_cpu_conv_output(plan, node);
    ex_cpu_map *map = &plan->maps[node];
    if (!ex_cpu_corrects(plan, node))
        return EX_OK;
    if (!plan->base.spec.keep_nodes) {
        /* Live where the convolution would run. */
        const ex_conv_shape shape = ex_cpu_conv_shape(plan, node, plan->base.spec.batch);
        EX_TRY(ex_cpu_buffer_add(plan,
                                 ex_kernels_host.conv_channel_scratch(&shape, 1) * sizeof(float),
                                 &map->differences));
        ex_plan_buffers_use(&plan->buffers, map->differences, plan->step_count - 1);
        return EX_OK;
    }
    if (output.buffer == map->ref.buffer)
        return EX_OK;
    EX_TRY(ex_cpu_step_add(plan, "relu", node, run_relu, NULL));
    ex_cpu_step_ref(plan, map->ref, 0);
    ex_cpu_step_ref(plan, output, 0);
    return EX_OK;
}

void ex_cpu_correct(ex_cpu_plan *to, const ex_cpu_plan *from, int node, int images,
                    const ex_channel_change *change)
{
    const ex_conv_shape shape = ex_cpu_conv_shape(from, node, images);
    ex_kernels_host.conv_channel_update(
        ex_cpu_at(to, to->maps[node].ref), ex_cpu_at(from, ex_cpu_conv_output(from, node)),
        ex_cpu_at(from, from->maps[node].columns), change, &shape, to->model->nodes[node].relu,
        ex_cpu_at(to, to->maps[node].differences), ex_cpu_stream(to));
}
