/* Batch norm of training, and the ReLU's backward pass that cuDNN fuses with it: as a product with
 * a mask of y > 0. Its own backward ReLU stands alone in cuDNN 9.19: beside a norm no engine takes
 * it. */
#include "cuda/dnn_graph_cudnn_lower.h"

static const float ONE = 1.0f, ZERO = 0.0f;

int ex_cudnn_op_scalars(const ex_graph_op *op, const float *value[EX_CUDNN_SCALARS])
{
    switch (op->kind) {
    case EX_GRAPH_NORM_FWD:
        value[0] = &op->eps;
        value[1] = &ONE; /* the running statistics become the batch's */
        return 2;
    case EX_GRAPH_RELU_BWD:
        value[0] = &ZERO;
        return 1;
    default:
        return 0;
    }
}

int64_t ex_cudnn_scalar_id(int op, int which)
{
    return EX_GRAPH_TENSORS + 1 + op * EX_CUDNN_SCALARS + which;
}

static int64_t mask_id(int op)
{
    return ex_cudnn_scalar_id(EX_GRAPH_OPS, 0) + op;
}

ex_status ex_cudnn_lower_scalar(ex_cudnn_lowering *l, int index, int which,
                                cudnnBackendDescriptor_t *out)
{
    return ex_cudnn_lower_tensor(l,
                                 &(ex_cudnn_extra){.id = ex_cudnn_scalar_id(index, which),
                                                   .dim = {1, 1, 1, 1},
                                                   .type = CUDNN_DATA_FLOAT,
                                                   .of_host = true},
                                 out);
}

ex_status ex_cudnn_lower_relu_bwd(ex_cudnn_lowering *l, int index)
{
    const ex_graph_op *op = &l->graph->op[index];
    const int *dim = l->graph->tensor[op->out[0]].dim;
    const cudnnBackendDescriptor_t *dy = &l->tensor[op->in[0]], *y = &l->tensor[op->in[1]];
    cudnnBackendDescriptor_t zero, mask;
    EX_TRY(ex_cudnn_lower_scalar(l, index, 0, &zero));
    EX_TRY(ex_cudnn_lower_tensor(l,
                                 &(ex_cudnn_extra){.id = mask_id(index),
                                                   .dim = {dim[0], dim[1], dim[2], dim[3]},
                                                   .type = CUDNN_DATA_BOOLEAN,
                                                   .is_virtual = true},
                                 &mask));
    EX_TRY(ex_cudnn_lower_pointwise(l, CUDNN_POINTWISE_CMP_GT, y, &zero, &mask));
    return ex_cudnn_lower_pointwise(l, CUDNN_POINTWISE_MUL, dy, &mask, &l->tensor[op->out[0]]);
}

static ex_status lower_forward(ex_cudnn_lowering *l, int index, cudnnBackendDescriptor_t *out)
{
    const ex_graph_op *op = &l->graph->op[index];
    const cudnnBackendDescriptor_t *t = l->tensor;
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    const cudnnBackendNormFwdPhase_t phase = CUDNN_NORM_FWD_TRAINING;
    cudnnBackendDescriptor_t eps, factor;
    EX_TRY(ex_cudnn_lower_scalar(l, index, 0, &eps));
    EX_TRY(ex_cudnn_lower_scalar(l, index, 1, &factor));
    EX_CUDNN_MAKE(
        out, l->owned, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR,
        EX_CUDNN_ATTR(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode),
        EX_CUDNN_ATTR(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE, 1, &phase),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, &t[op->in[0]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, &t[op->in[1]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, &t[op->in[2]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, &t[op->in[3]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, &t[op->in[4]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, &eps),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, &factor),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, &t[op->out[0]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, &t[op->out[1]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, &t[op->out[2]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, &t[op->out[3]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, &t[op->out[4]]));
    return EX_OK;
}

static ex_status lower_backward(ex_cudnn_lowering *l, int index, cudnnBackendDescriptor_t *out)
{
    const ex_graph_op *op = &l->graph->op[index];
    const cudnnBackendDescriptor_t *t = l->tensor;
    const cudnnBackendNormMode_t mode = CUDNN_BATCH_NORM;
    EX_CUDNN_MAKE(out, l->owned, CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE, 1, &mode),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, &t[op->in[0]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, &t[op->in[1]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, &t[op->in[2]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, &t[op->in[3]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, &t[op->in[4]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, &t[op->out[0]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, &t[op->out[1]]),
                  DESCRIPTOR(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, &t[op->out[2]]));
    return EX_OK;
}

ex_status ex_cudnn_lower_norm(ex_cudnn_lowering *l, int index)
{
    cudnnBackendDescriptor_t *out = &l->op[l->op_count++];
    return l->graph->op[index].kind == EX_GRAPH_NORM_FWD ? lower_forward(l, index, out)
                                                         : lower_backward(l, index, out);
}
