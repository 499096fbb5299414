/* Tensor operations that the CUDA back end leaves to a library, as a short list of our own.
 *
 * A graph is a list of tensors and of operations on them, in order of execution. It says what is to
 * be computed; an executor says how. Two implement this header: dnn_graph_cudnn.c lowers a graph to
 * cuDNN's backend descriptors, and the tests have one of plain loops that runs on the emulated
 * device. What lies between two operations of a graph is virtual: it has no memory.
 *
 * Tensors lie NHWC, filters K,R,S,C; dimensions are told as N,C,H,W and K,C,R,S. Legend: kernels.h.
 *
 * A convolution whose filters have C / G channels is one of G groups: the g-th K / G filters read
 * the g-th C / G channels. This is where clients could be fused horizontally, their maps side by
 * side as (N, H, W, clients * C), each with filters of its own. Executors take such graphs; no plan
 * makes them yet, since whether they beat lanes has to be measured on a GPU. */
#ifndef EX_CUDA_DNN_GRAPH_H
#define EX_CUDA_DNN_GRAPH_H

#include "backend.h"

enum { EX_GRAPH_TENSORS = 14, EX_GRAPH_OPS = 5, EX_GRAPH_INS = 5, EX_GRAPH_OUTS = 5 };

typedef enum ex_graph_type { EX_GRAPH_F32, EX_GRAPH_BF16, EX_GRAPH_I8 } ex_graph_type;

typedef struct ex_graph_tensor {
    int dim[4];
    ex_graph_type type;
    bool is_virtual;
} ex_graph_tensor;

/* What an operation reads and writes: indexes into the graph's tensors, in the order given here.
 * Vectors are (1, C, 1, 1) of float32.
 *
 * A norm's statistics are the batch's: mean, inverse = 1 / sqrt(biased variance + eps), and once
 * more mean and the unbiased variance, for running statistics. a and b are asked for by libraries
 * and change nothing, as long as they are finite; where they are not, mean and variance are NaN.
 * What a pool's index holds is the library's business: the backward pass has to be its own. */
typedef enum ex_graph_op_kind {
    EX_GRAPH_CONV_FWD,    /* in: x, w        out: y   y = conv(x, w) */
    EX_GRAPH_CONV_DGRAD,  /* in: dy, w       out: dx  "=" */
    EX_GRAPH_CONV_WGRAD,  /* in: dy, x       out: dw  "=" */
    EX_GRAPH_BIAS,        /* in: x, b        out: y   y = x + b; b (1, C, 1, 1) */
    EX_GRAPH_ADD,         /* in: a, b        out: y   y = a + b, of one shape */
    EX_GRAPH_RELU,        /* in: x           out: y   y = max(x, 0); a NaN stays one */
    EX_GRAPH_RELU_BWD,    /* in: dy, y       out: dx  dx = dy where y > 0, else 0 * dy */
    EX_GRAPH_NORM_FWD,    /* in: x, scale, shift, a, b   out: y, mean, inverse, mean, variance
                             y = (x - mean) * inverse * scale + shift */
    EX_GRAPH_NORM_BWD,    /* in: dy, x, scale, mean, inverse   out: dx, dscale, dshift */
    EX_GRAPH_MAXPOOL_FWD, /* in: x          out: y, index of y's shape, one byte each */
    EX_GRAPH_MAXPOOL_BWD, /* in: dy, index  out: dx  windows that overlap add */
    EX_GRAPH_AVGPOOL_FWD, /* in: x          out: y   the mean of each window; no padding */
    EX_GRAPH_AVGPOOL_BWD, /* in: dy         out: dx */
} ex_graph_op_kind;

typedef struct ex_graph_op {
    ex_graph_op_kind kind;
    int in[EX_GRAPH_INS], out[EX_GRAPH_OUTS]; /* as many as the kind has */
    int R, S, stride, pad;                    /* convolutions and pools */
    float eps;                                /* norms */
} ex_graph_op;

typedef struct ex_dnn_graph {
    ex_graph_tensor tensor[EX_GRAPH_TENSORS];
    int tensor_count;
    ex_graph_op op[EX_GRAPH_OPS];
    int op_count;
    ex_precision precision; /* fp32: nothing is rounded for tensor cores; tf32, bf16: may be */
    bool direct;            /* convolutions without Winograd's or Fourier's transform */
} ex_dnn_graph;

/* Adds a tensor or an operation; the index of the tensor. An overfull graph is a bug: it stops. */
int ex_dnn_graph_tensor(ex_dnn_graph *g, const int dim[4], ex_graph_type type, bool is_virtual);
void ex_dnn_graph_op(ex_dnn_graph *g, ex_graph_op op);
/* The graph as text, the same for the same graph: a key for choices that are remembered. It needs
 * fewer than EX_GRAPH_TEXT bytes. */
enum { EX_GRAPH_TEXT = 1024 };
void ex_dnn_graph_describe(const ex_dnn_graph *g, char *text, size_t size);
/* EX_ERR_INTERNAL naming the operation whose tensors are missing or do not fit it, or that reads a
 * virtual tensor before it is written. Executors call it. */
ex_status ex_dnn_graph_check(const ex_dnn_graph *g);
/* Elements of a tensor, and bytes of one element. */
size_t ex_graph_tensor_elements(const ex_graph_tensor *t);
size_t ex_graph_type_size(ex_graph_type type);
/* How many tensors an operation reads and writes. */
int ex_graph_op_inputs(ex_graph_op_kind kind);
int ex_graph_op_outputs(ex_graph_op_kind kind);

/* --- executors -------------------------------------------------------------------------------- */

/* A lane's library handle, bound to its stream: neither serves two threads at once. */
typedef struct ex_dnn_handle ex_dnn_handle;
/* A graph compiled for a handle's device. */
typedef struct ex_dnn_plan ex_dnn_plan;

/* The library and its version, of which what ex_dnn_plan_store tells is a part: "cuDNN 9.19.0". */
void ex_dnn_library(char *text, size_t size);
/* stream: a cudaStream_t. */
ex_status ex_dnn_handle_create(ex_dnn_handle **out, void *stream);
void ex_dnn_handle_destroy(ex_dnn_handle **handle);

/* The candidates that the library has for a graph, best guess first, deterministic ones only:
 * *count of them, at least 1. EX_ERR_UNSUPPORTED naming the graph if there is none. */
ex_status ex_dnn_plan_count(int *count, ex_dnn_handle *handle, const ex_dnn_graph *g);
/* Candidate `index` of them; or, with `stored`, the one whose ex_dnn_plan_store gave that text.
 * EX_ERR_UNSUPPORTED if that candidate cannot be built: try the next. */
ex_status ex_dnn_plan_create(ex_dnn_plan **out, ex_dnn_handle *handle, const ex_dnn_graph *g,
                             int index, const char *stored);
void ex_dnn_plan_destroy(ex_dnn_plan **plan);
/* Text by which the same plan is made again, by this library version on this kind of GPU; freed by
 * ex_free. */
ex_status ex_dnn_plan_store(const ex_dnn_plan *plan, char **text);
size_t ex_dnn_plan_workspace(const ex_dnn_plan *plan); /* bytes */
/* Queues it on the handle's stream. data[i]: device memory of tensor i, aligned to 16 bytes, NULL
 * for virtual ones. Allocates nothing; may be captured into a CUDA graph. */
ex_status ex_dnn_plan_run(const ex_dnn_plan *plan, void *const *data, void *workspace);

#endif
