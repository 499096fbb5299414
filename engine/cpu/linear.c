/* Linear nodes: filters are read from the flat vector as they lie. */
#include "cpu/cpu_impl.h"

static ex_dnn_linear linear_of(const ex_cpu_plan *plan, int node, ex_dnn_pass pass)
{
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    return (ex_dnn_linear){.pass = pass,
                           .N = plan->base.spec.batch,
                           .C = (int)l->row,
                           .K = l->channels,
                           .relu = pass < EX_DNN_BACKWARD_DATA && plan->model->nodes[node].relu};
}

ex_status ex_cpu_linear_forward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    const ex_node *in = &plan->model->nodes[n->input];
    const ex_dnn_linear linear = linear_of(plan, node, ex_cpu_forward_pass(plan));
    ex_dnn_op op;
    if (in->out_H * in->out_W != 1 && plan->maps[n->input].block != 1)
        return EX_FAIL(EX_ERR_UNSUPPORTED,
                       "layer %s: a linear layer needs a 1 x 1 map before it, found %d x %d",
                       l->name, in->out_H, in->out_W);
    EX_TRY(ex_dnn_linear_create(&op, plan->lane->device->engine, &linear));
    EX_TRY(ex_cpu_op_add(plan, "linear forward", node, &op));
    ex_cpu_step_ref(plan, plan->maps[n->input].ref, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, ex_cpu_param(l->weight), DNNL_ARG_WEIGHTS);
    ex_cpu_step_ref(plan, ex_cpu_param(l->bias), DNNL_ARG_BIAS);
    ex_cpu_step_ref(plan, plan->maps[node].ref, DNNL_ARG_DST);
    return ex_cpu_op_end(plan);
}

static ex_status weights_backward(ex_cpu_plan *plan, int node, ex_cpu_ref dy)
{
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    const ex_dnn_linear linear = linear_of(plan, node, EX_DNN_BACKWARD_WEIGHTS);
    ex_dnn_op op;
    EX_TRY(ex_dnn_linear_create(&op, plan->lane->device->engine, &linear));
    EX_TRY(ex_cpu_op_add(plan, "linear backward weights", node, &op));
    ex_cpu_step_ref(plan, plan->maps[plan->model->nodes[node].input].ref, DNNL_ARG_SRC);
    ex_cpu_step_ref(plan, dy, DNNL_ARG_DIFF_DST);
    ex_cpu_step_ref(plan, ex_cpu_grad(plan, l->weight), DNNL_ARG_DIFF_WEIGHTS);
    ex_cpu_step_ref(plan, ex_cpu_grad(plan, l->bias), DNNL_ARG_DIFF_BIAS);
    return ex_cpu_op_end(plan);
}

ex_status ex_cpu_linear_backward(ex_cpu_plan *plan, int node)
{
    const ex_node *n = &plan->model->nodes[node];
    const ex_layer *l = ex_cpu_layer_of(plan, node);
    const ex_dnn_linear linear = linear_of(plan, node, EX_DNN_BACKWARD_DATA);
    ex_cpu_ref dy;
    ex_dnn_op op;
    EX_TRY(ex_cpu_gradient_sum(plan, node, n->relu, &dy));
    if (ex_cpu_layer_trained(plan, n->layer))
        EX_TRY(weights_backward(plan, node, dy));
    if (!plan->maps[n->input].wanted)
        return EX_OK;
    EX_TRY(ex_dnn_linear_create(&op, plan->lane->device->engine, &linear));
    return ex_cpu_gradient_op(plan, "linear backward data", node, &op, dy, ex_cpu_param(l->weight),
                              DNNL_ARG_WEIGHTS);
}
