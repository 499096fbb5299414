/* Steps that a library runs: graphs of tensor operations, and matrix products. */
#include "cuda/cuda_impl.h"

#include <string.h>

static ex_status run_graph(ex_plan_core *plan, const ex_plan_step *step)
{
    (void)plan;
    return ex_cuda_library(ex_dnn_plan_run(step->own, step->at, step->at[step->count - 1]),
                           EX_CUDA_LESS_PLAN);
}

static void free_graph(void *own)
{
    ex_dnn_plan *dnn = own;
    ex_dnn_plan_destroy(&dnn);
}

static ex_status add_whole(ex_plan_core *plan, const char *what, int node, const ex_dnn_graph *g,
                           const ex_buffer_ref *ref)
{
    ex_dnn_plan *dnn;
    ex_plan_step *step;
    ex_buffer_ref workspace = EX_NO_REF;
    EX_TRY(ex_cuda_choose(&dnn, ex_cuda_lane_of(plan->base.lane), g));
    const ex_status status = ex_plan_step_add(plan, what, node, run_graph, &step);
    if (status != EX_OK) {
        ex_dnn_plan_destroy(&dnn);
        return status;
    }
    step->own = dnn;
    step->own_free = free_graph;
    for (int i = 0; i < g->tensor_count; i++)
        ex_plan_step_ref(plan, g->tensor[i].is_virtual ? EX_NO_REF : ref[i]);
    if (ex_dnn_plan_workspace(dnn))
        EX_TRY(ex_plan_buffer_add(plan, ex_dnn_plan_workspace(dnn), &workspace));
    ex_plan_step_ref(plan, workspace);
    return EX_OK;
}

/* A graph of the operation alone; each of its tensors has memory. */
static ex_dnn_graph single(const ex_dnn_graph *g, const ex_graph_op *op, const ex_buffer_ref *from,
                           ex_buffer_ref *ref)
{
    ex_dnn_graph one = {.precision = g->precision, .direct = g->direct};
    ex_graph_op moved = *op;
    const int in = ex_graph_op_inputs(op->kind), out = ex_graph_op_outputs(op->kind);
    for (int i = 0; i < in + out; i++) {
        int *const name = i < in ? &moved.in[i] : &moved.out[i - in];
        const ex_graph_tensor *t = &g->tensor[*name];
        const int at = ex_dnn_graph_tensor(&one, t->dim, t->type, false);
        ref[at] = from[*name];
        *name = at;
    }
    ex_dnn_graph_op(&one, moved);
    return one;
}

static ex_status add_apart(ex_plan_core *plan, const char *what, int node, const ex_dnn_graph *g,
                           const ex_buffer_ref *ref)
{
    ex_buffer_ref all[EX_GRAPH_TENSORS], some[EX_GRAPH_TENSORS];
    for (int i = 0; i < g->tensor_count; i++) {
        const ex_graph_tensor *t = &g->tensor[i];
        all[i] = ref[i];
        if (t->is_virtual)
            EX_TRY(ex_plan_buffer_add(
                plan, ex_graph_tensor_elements(t) * ex_graph_type_size(t->type), &all[i]));
    }
    for (int i = 0; i < g->op_count; i++) {
        const ex_dnn_graph one = single(g, &g->op[i], all, some);
        EX_TRY(add_whole(plan, what, node, &one, some));
    }
    return EX_OK;
}

ex_status ex_cuda_graph_add(ex_plan_core *plan, const char *what, int node, const ex_dnn_graph *g,
                            const ex_buffer_ref *ref)
{
    ex_dnn_graph asked = *g;
    asked.direct = plan->lane->base.device->options.conv == EX_CONV_DIRECT;
    const ex_status status = add_whole(plan, what, node, &asked, ref);
    return status == EX_ERR_UNSUPPORTED && g->op_count > 1
               ? add_apart(plan, what, node, &asked, ref)
               : status;
}

/* --- matrix products -------------------------------------------------------------------------- */

static ex_status run_product(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_blas_operands o = {.out = step->at[0],
                                .a = step->at[1],
                                .b = step->at[2],
                                .bias = step->at[3],
                                .ones = ex_cuda_plan_of(&plan->base)->ones,
                                .workspace = step->at[4]};
    return ex_cuda_library(ex_blas_plan_run(step->own, &o), EX_CUDA_LESS_PLAN);
}

static void free_product(void *own)
{
    ex_blas_plan *blas = own;
    ex_blas_plan_destroy(&blas);
}

ex_status ex_cuda_product_add(ex_plan_core *plan, const char *what, int node,
                              const ex_blas_product *p, ex_buffer_ref out, ex_buffer_ref a,
                              ex_buffer_ref b, ex_buffer_ref bias)
{
    ex_blas_handle *handle = ex_cuda_lane_of(plan->base.lane)->blas;
    ex_buffer_ref workspace;
    ex_plan_step *step;
    ex_blas_plan *blas = NULL;
    ex_cuda_plan *own = ex_cuda_plan_of(&plan->base);
    if ((p->kind == EX_BLAS_WGRAD || p->kind == EX_BLAS_SUM) && own->ones_count < (size_t)p->N)
        own->ones_count = (size_t)p->N;
    EX_TRY(ex_plan_buffer_add(plan, EX_CUDA_BLAS_WORKSPACE, &workspace));
    EX_TRY(ex_plan_step_add(plan, what, node, run_product, &step));
    EX_TRY(ex_cuda_library(ex_blas_plan_create(&blas, handle, p, EX_CUDA_BLAS_WORKSPACE),
                           EX_CUDA_LESS_PLAN));
    step->own = blas;
    step->own_free = free_product;
    ex_plan_step_ref(plan, out);
    ex_plan_step_ref(plan, a);
    ex_plan_step_ref(plan, b);
    ex_plan_step_ref(plan, bias);
    ex_plan_step_ref(plan, workspace);
    return EX_OK;
}
