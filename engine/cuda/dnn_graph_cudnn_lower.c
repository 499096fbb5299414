/* An ex_dnn_graph as cuDNN's operation graph. Operations compute in float32 whatever their tensors
 * are; whether tensor cores round on the way is a matter of the engine (dnn_graph_cudnn_engine.c).
 */
#include "cuda/dnn_graph_cudnn_impl.h"

typedef struct lowering {
    const ex_dnn_graph *graph;
    ex_cudnn_list *owned;
    cudnnBackendDescriptor_t tensor[EX_GRAPH_TENSORS];
} lowering;

static const cudnnDataType_t COMPUTE = CUDNN_DATA_FLOAT;
static const int64_t SPATIAL = 2;
static const float ONE = 1.0f, ZERO = 0.0f;

/* Shorthands for attributes. */
#define DESCRIPTOR(name, value) EX_CUDNN_ATTR(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, value)
#define INT64(name, value)      EX_CUDNN_ATTR(name, CUDNN_TYPE_INT64, 1, value)
#define PAIR(name, value)       EX_CUDNN_ATTR(name, CUDNN_TYPE_INT64, SPATIAL, value)
#define FLOAT(name, value)      EX_CUDNN_ATTR(name, CUDNN_TYPE_FLOAT, 1, value)
#define DATA_TYPE(name, value)  EX_CUDNN_ATTR(name, CUDNN_TYPE_DATA_TYPE, 1, value)

static cudnnDataType_t data_type(ex_graph_type type)
{
    return type == EX_GRAPH_F32 ? CUDNN_DATA_FLOAT : CUDNN_DATA_BFLOAT16;
}

static ex_status lower_tensor(lowering *l, int index)
{
    const ex_graph_tensor *t = &l->graph->tensor[index];
    const int64_t C = t->dim[1], H = t->dim[2], W = t->dim[3];
    const int64_t dim[] = {t->dim[0], C, H, W}, stride[] = {H * W * C, 1, W * C, C};
    const int64_t id = index + 1, alignment = 16;
    const cudnnDataType_t type = data_type(t->type);
    const bool is_virtual = t->is_virtual;
    EX_CUDNN_MAKE(&l->tensor[index], l->owned, CUDNN_BACKEND_TENSOR_DESCRIPTOR,
                  DATA_TYPE(CUDNN_ATTR_TENSOR_DATA_TYPE, &type),
                  INT64(CUDNN_ATTR_TENSOR_UNIQUE_ID, &id),
                  EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, dim),
                  EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, stride),
                  INT64(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, &alignment),
                  EX_CUDNN_ATTR(CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &is_virtual));
    return EX_OK;
}

/* --- convolutions ----------------------------------------------------------------------------- */

static ex_status convolution(lowering *l, const ex_graph_op *op, cudnnBackendDescriptor_t *out)
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

static ex_status lower_conv(lowering *l, const ex_graph_op *op, cudnnBackendDescriptor_t *out)
{
    cudnnBackendDescriptor_t window;
    const cudnnBackendDescriptor_t *a = &l->tensor[op->in[0]], *b = &l->tensor[op->in[1]];
    const cudnnBackendDescriptor_t *y = &l->tensor[op->out];
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

static ex_status lower_pointwise(lowering *l, const ex_graph_op *op, cudnnBackendDescriptor_t *out)
{
    const bool unary = op->kind == EX_GRAPH_RELU;
    const cudnnPointwiseMode_t mode = unary ? CUDNN_POINTWISE_RELU_FWD : CUDNN_POINTWISE_ADD;
    cudnnBackendDescriptor_t pointwise;
    EX_CUDNN_MAKE(&pointwise, l->owned, CUDNN_BACKEND_POINTWISE_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode),
                  DATA_TYPE(CUDNN_ATTR_POINTWISE_MATH_PREC, &COMPUTE));
    ex_cudnn_attribute attributes[] = {
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, &pointwise),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_XDESC, &l->tensor[op->in[0]]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_YDESC, &l->tensor[op->out]),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_POINTWISE_BDESC, unary ? NULL : &l->tensor[op->in[1]]),
    };
    return ex_cudnn_make(out, l->owned, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, attributes,
                         unary ? 3 : 4, EX_WHERE);
}

/* --- graphs ----------------------------------------------------------------------------------- */

static ex_status lower_op(lowering *l, const ex_graph_op *op, cudnnBackendDescriptor_t *out)
{
    switch (op->kind) {
    case EX_GRAPH_CONV_FWD:
    case EX_GRAPH_CONV_DGRAD:
    case EX_GRAPH_CONV_WGRAD:
        return lower_conv(l, op, out);
    case EX_GRAPH_BIAS:
    case EX_GRAPH_ADD:
    case EX_GRAPH_RELU:
        return lower_pointwise(l, op, out);
    }
    return EX_FAIL(EX_ERR_INTERNAL, "operation %d has no lowering", (int)op->kind);
}

ex_status ex_cudnn_lower(cudnnBackendDescriptor_t *out, ex_cudnn_list *owned, const ex_dnn_graph *g)
{
    lowering l = {.graph = g, .owned = owned};
    cudnnBackendDescriptor_t op[EX_GRAPH_OPS];
    EX_TRY(ex_dnn_graph_check(g));
    for (int i = 0; i < g->tensor_count; i++)
        EX_TRY(lower_tensor(&l, i));
    for (int i = 0; i < g->op_count; i++)
        EX_TRY(lower_op(&l, &g->op[i], &op[i]));
    EX_CUDNN_MAKE(out, owned, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR,
                  EX_CUDNN_ATTR(CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                g->op_count, op));
    return EX_OK;
}
