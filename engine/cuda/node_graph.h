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

#endif
