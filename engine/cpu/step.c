/* Growing a plan's lists of buffers and steps, and running single steps. */
#include "base/memory.h"
#include "cpu/cpu_impl.h"

#include <string.h>

enum { CACHE_LINE = 64, FIRST_ROOM = 64 };

ex_status ex_cpu_buffer_add(ex_cpu_plan *plan, size_t bytes, ex_cpu_ref *out)
{
    return ex_plan_buffers_add(&plan->buffers, bytes, CACHE_LINE, out);
}

ex_status ex_cpu_step_add(ex_cpu_plan *plan, const char *what, int node, ex_cpu_call call,
                          ex_cpu_step **out)
{
    EX_TRY(ex_grow(&plan->steps, plan->step_count, &plan->step_room, FIRST_ROOM,
                   sizeof *plan->steps, "steps of a plan"));
    ex_cpu_step *step = &plan->steps[plan->step_count++];
    *step = (ex_cpu_step){.what = what, .node = node, .call = call};
    if (out)
        *out = step;
    return EX_OK;
}

void ex_cpu_step_ref(ex_cpu_plan *plan, ex_cpu_ref ref, int arg)
{
    const int index = plan->step_count - 1;
    ex_cpu_step *step = &plan->steps[index];
    step->args[step->count].arg = arg;
    step->ref[step->count++] = ref;
    ex_plan_buffers_use(&plan->buffers, ref, index);
}

static ex_status run_primitive(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    return EX_DNN(
        dnnl_primitive_execute(step->op.primitive, plan->lane->stream, step->count, step->args));
}

ex_status ex_cpu_op_add(ex_cpu_plan *plan, const char *what, int node, ex_dnn_op *op)
{
    ex_cpu_step *step;
    const ex_status status = ex_cpu_step_add(plan, what, node, run_primitive, &step);
    if (status != EX_OK) {
        ex_dnn_op_destroy(op);
        return status;
    }
    step->op = *op;
    *op = (ex_dnn_op){0};
    return EX_OK;
}

ex_status ex_cpu_op_end(ex_cpu_plan *plan)
{
    ex_cpu_step *step = &plan->steps[plan->step_count - 1];
    const size_t scratchpad = ex_dnn_op_bytes(&step->op, DNNL_ARG_SCRATCHPAD);
    if (scratchpad) {
        ex_cpu_ref ref;
        EX_TRY(ex_cpu_buffer_add(plan, scratchpad, &ref));
        ex_cpu_step_ref(plan, ref, DNNL_ARG_SCRATCHPAD);
    }
    for (int i = 0; i < step->count; i++)
        EX_TRY(ex_dnn_op_memory(&step->args[i].memory, &step->op, step->args[i].arg,
                                plan->lane->device->engine));
    return EX_OK;
}

static ex_status run_copy(ex_cpu_plan *plan, const ex_cpu_step *step)
{
    ex_kernels_host.convert(step->at[0], step->shape.type, step->at[1], step->from, step->n,
                            ex_cpu_stream(plan));
    return EX_OK;
}

ex_status ex_cpu_copy_add(ex_cpu_plan *plan, int node, ex_cpu_ref out, ex_map_type out_type,
                          ex_cpu_ref in, ex_map_type in_type, size_t n)
{
    ex_cpu_step *step;
    EX_TRY(ex_cpu_step_add(plan, "copy", node, run_copy, &step));
    step->n = n;
    step->shape.type = out_type;
    step->from = in_type;
    ex_cpu_step_ref(plan, out, 0);
    ex_cpu_step_ref(plan, in, 0);
    return EX_OK;
}
