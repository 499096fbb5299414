/* An ex_dnn_graph as cuDNN's operation graph. Operations compute in float32 whatever their tensors
 * are; whether tensor cores round on the way is a matter of the engine (dnn_graph_cudnn_engine.c).
 */
#include "cuda/dnn_graph_cudnn_lower.h"

static const cudnnDataType_t COMPUTE = CUDNN_DATA_FLOAT;
static const int64_t SPATIAL = 2;
static const float ONE = 1.0f, ZERO = 0.0f;

#define PAIR(name, value)  EX_CUDNN_ATTR(name, CUDNN_TYPE_INT64, SPATIAL, value)
#define FLOAT(name, value) EX_CUDNN_ATTR(name, CUDNN_TYPE_FLOAT, 1, value)

static const cudnnDataType_t TYPES[] = {[EX_GRAPH_F32] = CUDNN_DATA_FLOAT,
                                        [EX_GRAPH_BF16] = CUDNN_DATA_BFLOAT16,
                                        [EX_GRAPH_I8] = CUDNN_DATA_INT8};

ex_status ex_cudnn_lower_tensor(ex_cudnn_lowering *l, const ex_cudnn_extra *t,
                                cudnnBackendDescriptor_t *out)
{
    const int64_t C = t->dim[1], H = t->dim[2], W = t->dim[3];
    const int64_t stride[] = {H * W * C, 1, W * C, C}, alignment = 16;
    EX_CUDNN_MAKE(
        out, l->owned, CUDNN_BACKEND_TENSOR_DESCRIPTOR,
        DATA_TYPE(CUDNN_ATTR_TENSOR_DATA_TYPE, &t->type),
        INT64(CUDNN_ATTR_TENSOR_UNIQUE_ID, &t->id),
        EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, t->dim),
        EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride),
        INT64(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &alignment),
        EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->is_virtual),
        EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &t->of_host));
    return EX_OK;
}

static ex_status lower_tensor(ex_cudnn_lowering *l, int index)
{
    const ex_graph_tensor *t = &l->graph->tensor[index];
    return ex_cudnn_lower_tensor(
        l,
        &(ex_cudnn_extra){.id = index + 1,
                          .dim = {t->dim[0], t->dim[1], t->dim[2], t->dim[3]},
                          .type = TYPES[t->type],
                          .is_virtual = t->is_virtual},
        &l->tensor[index]);
}

/* --- convolutions ----------------------------------------------------------------------------- */

static ex_status convolution(ex_cudnn_lowering *l, const ex_graph_op *op,
                             cudnnBackendDescriptor_t *out)
{
    const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
    const int64_t dilation[] = {1, 1}, stride[] = {op->stride, op->stride},
                  pad[] = {op->pad, op->pad};
    EX_CUDNN_MAKE(
        out, l->owned, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR,
        DATA_TYPE(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, &COMPUTE),
        EX_CUDNN_ATTR(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode),
        INT64(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, &SPATIAL),
        PAIR(CUDNN_ATTR_CONVOLUTION_DILATIONS, dilation),
        PAIR(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, stride),
        PAIR(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, pad),
        PAIR(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, pad));
    return EX_OK;
}

static ex_status lower_conv(ex_cudnn_lowering *l, const ex_graph_op *op)
{
    cudnnBackendDescriptor_t window, *out = &l->op[l->op_count++];
    const cudnnBackendDescriptor_t *a = &l->tensor[op->in[0]], *b = &l->tensor[op->in[1]];
    const cudnnBackendDescriptor_t *y = &l->tensor[op->out[0]];
    EX_TRY(convolution(l, op, &window));
    if (op->kind == EX_GRAPH_CONV_FWD)
        EX_CUDNN_MAKE(out, l->owned, CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, &window),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, a),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, b),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, y),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, &ONE),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA, &ZERO));
    else if (op->kind == EX_GRAPH_CONV_DGRAD)
        EX_CUDNN_MAKE(out, l->owned, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, &window),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, a),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, b),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, y),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, &ONE),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA, &ZERO));
    else
        EX_CUDNN_MAKE(out, l->owned, CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC, &window),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY, a),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, b),
                      DESCRIPTOR(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW, y),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA, &ONE),
                      FLOAT(CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA, &ZERO));
    return EX_OK;
}

/* --- pointwise operations --------------------------------------------------------------------- */

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const cudnnBackendAttributeName_t POINTWISE_NAN = CUDNN_ATTR_POINTWISE_NAN_PROPAGATION;
#pragma GCC diagnostic pop

ex_status ex_cudnn_lower_pointwise(ex_cudnn_lowering *l, cudnnPointwiseMode_t mode,
                                   const cudnnBackendDescriptor_t *x,
                                   const cudnnBackendDescriptor_t *b,
                                   const cudnnBackendDescriptor_t *y)
{
    cudnnBackendDescriptor_t pointwise;
    const ex_cudnn_attribute what[] = {
        EX_CUDNN_ATTR(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode),
        DATA_TYPE(CUDNN_ATTR_POINTWISE_MATH_PREC, &COMPUTE),
        NAN_STAYS(POINTWISE_NAN), /* else a ReLU may make 0 of it */
    };
    EX_TRY(ex_cudnn_make(&pointwise, l->owned, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, what,
                         mode == CUDNN_POINTWISE_RELU_FWD ? 3 : 2, EX_WHERE));
    const ex_cudnn_attribute attributes[] = {
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, &pointwise),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b),
    };
    return ex_cudnn_make(&l->op[l->op_count++], l->owned,
                         CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, attributes, b ? 4 : 3,
                         EX_WHERE);
}

/* --- graphs ----------------------------------------------------------------------------------- */

static ex_status lower_op(ex_cudnn_lowering *l, int index)
{
    const ex_graph_op *op = &l->graph->op[index];
    const cudnnBackendDescriptor_t *in = &l->tensor[op->in[0]], *out = &l->tensor[op->out[0]];
    switch (op->kind) {
    case EX_GRAPH_CONV_FWD:
    case EX_GRAPH_CONV_DGRAD:
    case EX_GRAPH_CONV_WGRAD:
        return lower_conv(l, op);
    case EX_GRAPH_BIAS:
    case EX_GRAPH_ADD:
        return ex_cudnn_lower_pointwise(l, CUDNN_POINTWISE_ADD, in, &l->tensor[op->in[1]], out);
    case EX_GRAPH_RELU:
        return ex_cudnn_lower_pointwise(l, CUDNN_POINTWISE_RELU_FWD, in, NULL, out);
    case EX_GRAPH_RELU_BWD:
        return ex_cudnn_lower_relu_bwd(l, index);
    case EX_GRAPH_NORM_FWD:
    case EX_GRAPH_NORM_BWD:
        return ex_cudnn_lower_norm(l, index);
    case EX_GRAPH_MAXPOOL_FWD:
    case EX_GRAPH_MAXPOOL_BWD:
    case EX_GRAPH_AVGPOOL_FWD:
    case EX_GRAPH_AVGPOOL_BWD:
        return ex_cudnn_lower_pool(l, index);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "operation %d has no lowering", (int)op->kind);
}

ex_status ex_cudnn_lower(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned, const ex_dnn_graph *g)
{
    ex_cudnn_lowering l = {.graph = g, .owned = owned};
    EX_TRY(ex_dnn_graph_check(g));
    for (int i = 0; i < g->tensor_count; i++)
        EX_TRY(lower_tensor(&l, i));
    for (int i = 0; i < g->op_count; i++)
        EX_TRY(lower_op(&l, i));
    EX_CUDNN_MAKE(out, owned, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                l.op_count, l.op));
    return EX_OK;
}
