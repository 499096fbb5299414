/* The graphs that a model's nodes are computed by: what the back end runs, and what the tests show
 * to have plans on GPUs that are not there. Tensors are numbered by the enums below, so that
 * whoever runs a graph knows where its pointers go. */
#ifndef EX_CUDA_NODE_GRAPH_H
#define EX_CUDA_NODE_GRAPH_H

#include "cuda/dnn_graph.h"

/* A convolution: two inputs and an output.
 *   EX_GRAPH_CONV_FWD    x (N, C, H, W), w (K, C, R, S) -> y (N, K, out_H, out_W)
 *   EX_GRAPH_CONV_DGRAD  dy, w -> dx
 *   EX_GRAPH_CONV_WGRAD  dy, x -> dw
 * In bf16 all are bf16, dw too. */
enum { EX_NODE_A, EX_NODE_B, EX_NODE_OUT };
ex_dnn_graph ex_node_graph_conv(const ex_node *n, int batch, ex_precision precision,
                                ex_graph_op_kind kind);

/* The same convolution forward with what follows it at evaluation: y = conv(x, w) + residual (y's
 * shape) if `residual`, + b, ReLU if `relu`. */
enum { EX_FUSED_X, EX_FUSED_W, EX_FUSED_B, EX_FUSED_Y, EX_FUSED_RESIDUAL };
ex_dnn_graph ex_node_graph_fused(const ex_node *n, int batch, ex_precision precision, bool residual,
                                 bool relu);

/* Training's norm of what the node's convolution computed, + residual, ReLU, as the node has them:
 * x (N, K, out_H, out_W) -> y. eps is the engine's. a, b: see dnn_graph.h. */
enum {
    EX_NORM_X,
    EX_NORM_SCALE,
    EX_NORM_SHIFT,
    EX_NORM_A,
    EX_NORM_B,
    EX_NORM_Y,
    EX_NORM_MEAN,
    EX_NORM_INVERSE,
    EX_NORM_MEAN_AGAIN,
    EX_NORM_VAR, /* unbiased */
    EX_NORM_RESIDUAL
};
ex_dnn_graph ex_node_graph_norm(const ex_node *n, int batch, ex_precision precision);

/* Its backward pass: g1, + g2 if `second`, through the ReLU if the node has one -> gated, which has
 * memory: in bf16 cuDNN 9.19 takes the graph only so. Then x, scale, mean, inverse -> dx, dscale,
 * dshift. `second` needs a ReLU: without, cuDNN takes no sum before a norm's backward pass. */
enum {
    EX_NORM_BWD_G1,
    EX_NORM_BWD_X,
    EX_NORM_BWD_SCALE,
    EX_NORM_BWD_MEAN,
    EX_NORM_BWD_INVERSE,
    EX_NORM_BWD_DX,
    EX_NORM_BWD_DSCALE,
    EX_NORM_BWD_DSHIFT,
    EX_NORM_BWD_Y,     /* with a ReLU */
    EX_NORM_BWD_GATED, /* with a ReLU */
    EX_NORM_BWD_G2
};
ex_dnn_graph ex_node_graph_norm_backward(const ex_node *n, int batch, ex_precision precision,
                                         bool second);

/* A pool: x -> y, and dy -> dx; `index` where it takes the largest. */
enum { EX_POOL_IN, EX_POOL_OUT, EX_POOL_INDEX };
ex_dnn_graph ex_node_graph_pool(const ex_node *n, int batch, ex_precision precision, bool backward);

#endif
