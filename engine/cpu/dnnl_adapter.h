/* The only place, with dnnl_impl.h and the dnnl_*.c files, that knows one oneDNN version from
 * another (2.6 and 3.x differ in how primitives and memory descriptions are made).
 *
 * An op is a primitive with the description it was made from. All data are float32, but for maps
 * and filters where `bf16` says so; the memory of an op's temporary results is the caller's (user
 * scratchpad). Layouts of maps are given as kernels.h's `block`, 1, 8 or 16; 0 lets oneDNN choose.
 * Arguments are named by oneDNN's DNNL_ARG_ numbers. */
#ifndef EX_CPU_DNNL_ADAPTER_H
#define EX_CPU_DNNL_ADAPTER_H

#include "base/status.h"

#include <dnnl.h>
#include <stdbool.h>

/* Calls oneDNN; a failure becomes EX_ERR_BACKEND (or EX_ERR_MEMORY) with the call's text. */
#define EX_DNN(call) ex_dnn_check((call), EX_WHERE, #call)

ex_status ex_dnn_check(dnnl_status_t s, const char *where, const char *call);

typedef struct ex_dnn_op {
    dnnl_primitive_desc_t pd;
    dnnl_primitive_t primitive; /* NULL: nothing to do */
} ex_dnn_op;

void ex_dnn_op_destroy(ex_dnn_op *op);
/* Whether it multiplies: a convolution or a matrix product. */
bool ex_dnn_op_multiplies(const ex_dnn_op *op);
/* Bytes that the op's argument takes; 0 if it has none. */
size_t ex_dnn_op_bytes(const ex_dnn_op *op, int arg);
/* Layout of a map argument of C channels as `block`; 0 if it is none of those. */
int ex_dnn_op_block(const ex_dnn_op *op, int arg, int C);
/* Memory object for the op's argument, without data yet. */
ex_status ex_dnn_op_memory(dnnl_memory_t *out, const ex_dnn_op *op, int arg, dnnl_engine_t engine);

typedef enum ex_dnn_pass {
    EX_DNN_FORWARD_TRAIN,
    EX_DNN_FORWARD, /* for inference */
    EX_DNN_BACKWARD_DATA,
    EX_DNN_BACKWARD_WEIGHTS,
} ex_dnn_pass;

/* R x S windows over maps of H x W, `pad` zeros around. */
typedef struct ex_dnn_window {
    int H, W, out_H, out_W, R, S, stride, pad;
} ex_dnn_window;

/* Ways to the same convolution. PIXELS: direct on maps described as NHWC, which is another
 * implementation; the same memory where a block holds every channel. TILES: Winograd too, but ours
 * (conv_tiles.c), and ROWS: ours for few filters (conv_rows.c); no op is made of these. */
typedef enum ex_dnn_algorithm {
    EX_DNN_DIRECT,
    EX_DNN_PIXELS,
    EX_DNN_WINOGRAD,
    EX_DNN_TILES,
    EX_DNN_ROWS, /* gradients of filters alone */
    EX_DNN_ALGORITHMS
} ex_dnn_algorithm;

typedef struct ex_dnn_conv {
    ex_dnn_pass pass;
    ex_dnn_algorithm algorithm;
    int N, C, K;
    ex_dnn_window window;
    int src_block, dst_block;
    bool bias; /* forward adds it, the weights' pass gives its gradient */
    bool sum;  /* forward: added to what dst holds */
    bool relu; /* forward, after bias and sum */
    bool bf16; /* maps and filters; bias and gradients of filters and bias stay float32 */
    bool wide; /* forward, with bf16: dst is float32 all the same */
} ex_dnn_conv;

/* EX_ERR_UNSUPPORTED if oneDNN has no implementation (Winograd has many limits). */
ex_status ex_dnn_conv_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_conv *c);

typedef struct ex_dnn_linear {
    ex_dnn_pass pass;
    int N, C, K; /* src (N, C), weights (K, C), dst (N, K), all row-major */
    bool relu;   /* forward */
    bool bf16;   /* as a convolution's; weights as oneDNN likes: ex_dnn_linear_weights */
    bool wide;   /* forward, with bf16: dst is float32 all the same */
} ex_dnn_linear;

/* Always with a bias. */
ex_status ex_dnn_linear_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_linear *l);
/* The weights (K, C) of float32 as `op` reads them; out->primitive stays NULL if it reads those. */
ex_status ex_dnn_linear_weights(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op,
                                const ex_dnn_linear *l);

/* `count` products at once: dst (count, M, N) = src (count, M, K) times weights (count, K, N), all
 * row-major; or from the transpose of each src, (count, K, M), or of each weights, (count, N, K).
 */
typedef struct ex_dnn_product {
    int count, M, N, K;
    bool src_transposed, weights_transposed;
} ex_dnn_product;

ex_status ex_dnn_product_create(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_product *p);

/* Filters between K,R,S,C and the layout of argument `arg` (weights or their gradient) of `op`.
 * out->primitive stays NULL if the layouts are the same. EX_ERR_UNSUPPORTED for some of Winograd's
 * layouts, which oneDNN makes from K,C,R,S only: ex_dnn_filter_plain gives that. */
typedef struct ex_dnn_filter {
    int K, C, R, S;
    bool plain; /* ex_dnn_filter_in reads K,C,R,S */
    bool bf16;  /* ex_dnn_filter_columns gives bf16 */
} ex_dnn_filter;

ex_status ex_dnn_filter_in(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                           const ex_dnn_filter *f);
ex_status ex_dnn_filter_out(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_op *op, int arg,
                            const ex_dnn_filter *f);
/* K,R,S,C to C,R,S,K. */
ex_status ex_dnn_filter_columns(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f);
/* K,R,S,C to K,C,R,S. */
ex_status ex_dnn_filter_plain(ex_dnn_op *out, dnnl_engine_t engine, const ex_dnn_filter *f);

/* Whether this processor computes in bf16, by whatever instructions. */
bool ex_dnn_has_bf16(dnnl_engine_t engine);
bool ex_dnn_is_bf16_native(void);
/* "oneDNN 2.6.3" of the library that is loaded. */
void ex_dnn_version(char *text, size_t size);
/* Name of the instruction set that oneDNN uses. */
const char *ex_dnn_isa(void);

#endif
