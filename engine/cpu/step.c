/* Primitives of oneDNN as steps of a plan. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

static ex_status run_primitive(ex_plan_core *plan, const ex_plan_step *step)
{
    const ex_cpu_primitive *p = step->own;
    return EX_DNN(dnnl_primitive_execute(p->op.primitive, ((const ex_cpu_lane *)plan->lane)->stream,
                                         step->count, p->args));
}

static void free_primitive(void *own)
{
    ex_cpu_primitive *p = own;
    for (int i = 0; i < EX_STEP_REFS; i++)
        if (p->args[i].memory)
            dnnl_memory_destroy(p->args[i].memory);
    ex_dnn_op_destroy(&p->op);
    ex_free(&p);
}

ex_status ex_cpu_op_add(ex_plan_core *plan, const char *what, int node, ex_dnn_op *op)
{
    ex_cpu_primitive *p = NULL;
    ex_plan_step *step;
    ex_status status = ex_alloc(&p, 1, sizeof *p, "primitive of a plan");
    if (status == EX_OK)
        status = ex_plan_step_add(plan, what, node, run_primitive, &step);
    if (status != EX_OK) {
        ex_free(&p);
        ex_dnn_op_destroy(op);
        return status;
    }
    p->op = *op;
    *op = (ex_dnn_op){0};
    step->own = p;
    step->own_free = free_primitive;
    return EX_OK;
}

void ex_cpu_arg(ex_plan_core *plan, ex_buffer_ref ref, int arg)
{
    const ex_plan_step *step = &plan->steps[plan->step_count - 1];
    ex_cpu_primitive *p = step->own;
    p->args[step->count].arg = arg;
    ex_plan_step_ref(plan, ref);
}

ex_status ex_cpu_op_end(ex_plan_core *plan)
{
    const ex_plan_step *step = &plan->steps[plan->step_count - 1];
    ex_cpu_primitive *p = step->own;
    const size_t scratchpad = ex_dnn_op_bytes(&p->op, DNNL_ARG_SCRATCHPAD);
    if (scratchpad) {
        ex_buffer_ref ref;
        EX_TRY(ex_plan_buffer_add(plan, scratchpad, &ref));
        ex_cpu_arg(plan, ref, DNNL_ARG_SCRATCHPAD);
    }
    for (int i = 0; i < step->count; i++)
        EX_TRY(ex_dnn_op_memory(&p->args[i].memory, &p->op, p->args[i].arg, ex_cpu_engine(plan)));
    return EX_OK;
}

ex_status ex_cpu_gradient_op(ex_plan_core *plan, const char *what, int node, ex_dnn_op *op,
                             ex_buffer_ref dy, ex_buffer_ref with, int arg)
{
    const size_t bytes = ex_dnn_op_bytes(op, DNNL_ARG_DIFF_SRC);
    ex_buffer_ref dx;
    EX_TRY(ex_cpu_op_add(plan, what, node, op));
    EX_TRY(ex_plan_buffer_add(plan, bytes, &dx));
    ex_cpu_arg(plan, dy, DNNL_ARG_DIFF_DST);
    if (with.buffer != EX_BUFFER_NOTHING)
        ex_cpu_arg(plan, with, arg);
    ex_cpu_arg(plan, dx, DNNL_ARG_DIFF_SRC);
    EX_TRY(ex_cpu_op_end(plan));
    return ex_plan_gradient_give(plan, plan->model->nodes[node].input, dx, -1);
}

ex_status ex_cpu_bound(ex_plan_core *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const ex_plan_step *step = &plan->steps[i];
        const ex_cpu_primitive *p = step->own;
        for (int j = 0; p && j < step->count; j++)
            EX_TRY(EX_DNN(dnnl_memory_set_data_handle(p->args[j].memory, step->at[j])));
    }
    return EX_OK;
}
