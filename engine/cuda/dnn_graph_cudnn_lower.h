/* What the files that lower operations share. */
#ifndef EX_CUDA_DNN_GRAPH_CUDNN_LOWER_H
#define EX_CUDA_DNN_GRAPH_CUDNN_LOWER_H

#include "cuda/dnn_graph_cudnn_impl.h"

/* An operation becomes at most so many of cuDNN's. */
enum { EX_CUDNN_PER_OP = 2 };

typedef struct ex_cudnn_lowering {
    const ex_dnn_graph *graph;
    ex_cudnn_list *owned;
    cudnnBackendDescriptor_t tensor[EX_GRAPH_TENSORS];
    cudnnBackendDescriptor_t op[EX_GRAPH_OPS * EX_CUDNN_PER_OP];
    int op_count;
} ex_cudnn_lowering;

/* Shorthands for attributes. */
#define DESCRIPTOR(name, value) EX_CUDNN_ATTR(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, value)
#define INT64(name, value)      EX_CUDNN_ATTR(name, CUDNN_TYPE_INT64, 1, value)
#define DATA_TYPE(name, value)  EX_CUDNN_ATTR(name, CUDNN_TYPE_DATA_TYPE, 1, value)

/* That a NaN stays one, and is the largest of a window. It can be told only by names that cuDNN 9
 * calls deprecated. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static const cudnnNanPropagation_t ex_cudnn_nan_stays = CUDNN_PROPAGATE_NAN;
static const cudnnBackendAttributeType_t ex_cudnn_nan_type = CUDNN_TYPE_NAN_PROPOGATION;
#pragma GCC diagnostic pop
#define NAN_STAYS(name) EX_CUDNN_ATTR(name, ex_cudnn_nan_type, 1, &ex_cudnn_nan_stays)

/* Each adds what operation number `index` of the graph becomes. */
ex_status ex_cudnn_lower_norm(ex_cudnn_lowering *l, int index);
ex_status ex_cudnn_lower_relu_bwd(ex_cudnn_lowering *l, int index);
ex_status ex_cudnn_lower_pool(ex_cudnn_lowering *l, int index);

/* Adds x (op) b -> y; b NULL: of x alone. */
ex_status ex_cudnn_lower_pointwise(ex_cudnn_lowering *l, cudnnPointwiseMode_t mode,
                                   const cudnnBackendDescriptor_t *x,
                                   const cudnnBackendDescriptor_t *b,
                                   const cudnnBackendDescriptor_t *y);
/* A tensor that the graph does not name: a number of the host, or a virtual map. */
typedef struct ex_cudnn_extra {
    int64_t id;
    int64_t dim[4]; /* N, C, H, W; NHWC */
    cudnnDataType_t type;
    bool is_virtual, of_host;
} ex_cudnn_extra;
ex_status ex_cudnn_lower_tensor(ex_cudnn_lowering *l, const ex_cudnn_extra *t,
                                cudnnBackendDescriptor_t *out);
/* *out: number `which` of those that ex_cudnn_op_scalars tells of the operation. */
ex_status ex_cudnn_lower_scalar(ex_cudnn_lowering *l, int index, int which,
                                cudnnBackendDescriptor_t *out);

#endif
