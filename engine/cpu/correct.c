/* Convolutions that a fork corrects (plan_correct.c). */
#include "cpu/cpu_impl.h"

/* Work of an output beside its products, in multiply-adds: it is read and written. */
enum { MOVES = 8, VECTOR = 16 };

bool ex_cpu_corrects(const ex_plan_core *plan, int node)
{
    const ex_model *m = plan->model;
    const ex_node *n = &m->nodes[node];
    if (ex_plan_trains(plan) || n->op != EX_OP_CONV || m->nodes[n->input].op == EX_OP_INPUT ||
        plan->maps[node].block % VECTOR != 0)
        return false;
    return n->R * n->S * n->C > 2 * (n->R * n->S + MOVES);
}

ex_status ex_cpu_columns(ex_plan_core *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_plan_map *map = &plan->maps[node];
    const ex_dnn_filter f = {
        .K = n->K, .C = n->C, .R = n->R, .S = n->S, .bf16 = ex_plan_bf16(plan)};
    ex_dnn_op reorder;
    EX_TRY(ex_dnn_filter_columns(&reorder, ex_cpu_engine(plan), &f));
    if (!reorder.primitive) /* the same order, for a single channel or filter */
        return ex_plan_convert_add(plan, "copy", node, map->columns, map->type, map->folded,
                                   EX_MAP_F32, (size_t)n->K * ex_plan_layer_of(plan, node)->row);
    EX_TRY(ex_cpu_op_add(plan, "filter columns", node, &reorder));
    ex_cpu_arg(plan, map->folded, DNNL_ARG_FROM);
    ex_cpu_arg(plan, map->columns, DNNL_ARG_TO);
    return ex_cpu_op_end(plan);
}
