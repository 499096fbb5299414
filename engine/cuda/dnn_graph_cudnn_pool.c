/* Pools as cuDNN's resampling. */
#include "cuda/dnn_graph_cudnn_lower.h"

enum { SPATIAL = 2 };

static ex_status window(ex_cudnn_lowering *l, const ex_graph_op *op, bool largest,
                        cudnnBackendDescriptor_t *out)
{
    const cudnnResampleMode_t mode =
        largest ? CUDNN_RESAMPLE_MAXPOOL : CUDNN_RESAMPLE_AVGPOOL_INCLUDE_PADDING;
    const cudnnPaddingMode_t padding = largest ? CUDNN_NEG_INF_PAD : CUDNN_ZERO_PAD;
    const cudnnDataType_t compute = CUDNN_DATA_FLOAT;
    const int64_t dimensions = SPATIAL;
    const cudnnFraction_t size[SPATIAL] = {{op->R, 1}, {op->S, 1}};
    const cudnnFraction_t pad[SPATIAL] = {{op->pad, 1}, {op->pad, 1}};
    const cudnnFraction_t stride[SPATIAL] = {{op->stride, 1}, {op->stride, 1}};
    EX_CUDNN_MAKE(
        out, l->owned, CUDNN_BACKEND_RESAMPLE_DESCRIPTOR,
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_MODE, CUDNN_TYPE_RESAMPLE_MODE, 1, &mode),
        DATA_TYPE(CUDNN_ATTR_RESAMPLE_COMP_TYPE, &compute),
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_PADDING_MODE, CUDNN_TYPE_PADDING_MODE, 1, &padding),
        NAN_STAYS(CUDNN_ATTR_RESAMPLE_NAN_PROPAGATION),
        INT64(CUDNN_ATTR_RESAMPLE_SPATIAL_DIMS, &dimensions),
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_WINDOW_DIMS, CUDNN_TYPE_FRACTION, SPATIAL, size),
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_PRE_PADDINGS, CUDNN_TYPE_FRACTION, SPATIAL, pad),
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_POST_PADDINGS, CUDNN_TYPE_FRACTION, SPATIAL, pad),
        EX_CUDNN_ATTR(CUDNN_ATTR_RESAMPLE_STRIDES, CUDNN_TYPE_FRACTION, SPATIAL, stride));
    return EX_OK;
}

ex_status ex_cudnn_lower_pool(ex_cudnn_lowering *l, int index)
{
    const ex_graph_op *op = &l->graph->op[index];
    const cudnnBackendDescriptor_t *in = &l->tensor[op->in[0]], *to = &l->tensor[op->out[0]];
    const bool largest = op->kind == EX_GRAPH_MAXPOOL_FWD || op->kind == EX_GRAPH_MAXPOOL_BWD;
    cudnnBackendDescriptor_t resample, *out = &l->op[l->op_count++];
    EX_TRY(window(l, op, largest, &resample));
    if (op->kind == EX_GRAPH_MAXPOOL_FWD || op->kind == EX_GRAPH_AVGPOOL_FWD) {
        const ex_cudnn_attribute attributes[] = {
            DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_DESC, &resample),
            DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_XDESC, in),
            DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_YDESC, to),
            DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_FWD_IDXDESC,
                       largest ? &l->tensor[op->out[1]] : NULL),
        };
        return ex_cudnn_make(out, l->owned, CUDNN_BACKEND_OPERATION_RESAMPLE_FWD_DESCRIPTOR,
                             attributes, largest ? 4 : 3, EX_WHERE);
    }
    const ex_cudnn_attribute attributes[] = {
        DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DESC, &resample),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DYDESC, in),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_DXDESC, to),
        DESCRIPTOR(CUDNN_ATTR_OPERATION_RESAMPLE_BWD_IDXDESC,
                   largest ? &l->tensor[op->in[1]] : NULL),
    };
    return ex_cudnn_make(out, l->owned, CUDNN_BACKEND_OPERATION_RESAMPLE_BWD_DESCRIPTOR, attributes,
                         largest ? 4 : 3, EX_WHERE);
}
