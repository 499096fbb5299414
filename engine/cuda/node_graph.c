#include "cuda/node_graph.h"

/* bf16 tensors in bf16, where they are not sums. */
static ex_graph_type value_type(ex_precision precision)
{
    return precision == EX_BF16 ? EX_GRAPH_BF16 : EX_GRAPH_F32;
}

static int add_tensor(ex_dnn_graph *g, int a, int b, int c, int d, ex_graph_type type)
{
    return ex_dnn_graph_tensor(g, (const int[]){a, b, c, d}, type, false);
}

static int add_input(ex_dnn_graph *g, const ex_node *n, int batch)
{
    return add_tensor(g, batch, n->C, n->H, n->W, value_type(g->precision));
}

static int add_output(ex_dnn_graph *g, const ex_node *n, int batch)
{
    return add_tensor(g, batch, n->K, n->out_H, n->out_W, value_type(g->precision));
}

static int add_filter(ex_dnn_graph *g, const ex_node *n)
{
    return add_tensor(g, n->K, n->C, n->R, n->S, value_type(g->precision));
}

static ex_graph_op windowed(const ex_node *n, ex_graph_op_kind kind)
{
    return (ex_graph_op){.kind = kind, .R = n->R, .S = n->S, .stride = n->stride, .pad = n->pad};
}

ex_dnn_graph ex_node_graph_conv(const ex_node *n, int batch, ex_precision precision,
                                ex_graph_op_kind kind)
{
    ex_dnn_graph g = {.precision = precision};
    ex_graph_op op = windowed(n, kind);
    if (kind == EX_GRAPH_CONV_FWD) {
        op.in[0] = add_input(&g, n, batch);
        op.in[1] = add_filter(&g, n);
        op.out[0] = add_output(&g, n, batch);
    } else if (kind == EX_GRAPH_CONV_DGRAD) {
        op.in[0] = add_output(&g, n, batch);
        op.in[1] = add_filter(&g, n);
        op.out[0] = add_input(&g, n, batch);
    } else {
        op.in[0] = add_output(&g, n, batch);
        op.in[1] = add_input(&g, n, batch);
        /* For a float32 sum of bf16 tensors cuDNN 9.19 has no engine on sm_80 and sm_90. */
        op.out[0] = add_filter(&g, n);
    }
    ex_dnn_graph_op(&g, op);
    return g;
}

/* One more operation on `in` and `other` (or -1), into a virtual tensor, or into y if `last`. */
static int then(ex_dnn_graph *g, ex_graph_op_kind kind, int in, int other, bool last)
{
    const int out =
        last ? EX_FUSED_Y : ex_dnn_graph_tensor(g, g->tensor[EX_FUSED_Y].dim, EX_GRAPH_F32, true);
    ex_dnn_graph_op(g, (ex_graph_op){.kind = kind, .in = {in, other}, .out = {out}});
    return out;
}

ex_dnn_graph ex_node_graph_fused(const ex_node *n, int batch, ex_precision precision, bool residual,
                                 bool relu)
{
    ex_dnn_graph g = {.precision = precision};
    ex_graph_op conv = windowed(n, EX_GRAPH_CONV_FWD);
    conv.in[0] = add_input(&g, n, batch);
    conv.in[1] = add_filter(&g, n);
    add_tensor(&g, 1, n->K, 1, 1, EX_GRAPH_F32);
    add_output(&g, n, batch);
    if (residual)
        add_output(&g, n, batch);
    int sum = ex_dnn_graph_tensor(&g, g.tensor[EX_FUSED_Y].dim, EX_GRAPH_F32, true);
    conv.out[0] = sum;
    ex_dnn_graph_op(&g, conv);
    /* In this order cuDNN has compiled kernels for it, in fp32 too; not with the bias first. */
    if (residual)
        sum = then(&g, EX_GRAPH_ADD, sum, EX_FUSED_RESIDUAL, false);
    sum = then(&g, EX_GRAPH_BIAS, sum, EX_FUSED_B, !relu);
    if (relu)
        then(&g, EX_GRAPH_RELU, sum, -1, true);
    return g;
}

/* --- norms ------------------------------------------------------------------------------------ */

static void add_vectors(ex_dnn_graph *g, const ex_node *n, int count)
{
    for (int i = 0; i < count; i++)
        add_tensor(g, 1, n->K, 1, 1, EX_GRAPH_F32);
}

static int add_between(ex_dnn_graph *g, const ex_node *n, int batch)
{
    return ex_dnn_graph_tensor(g, (const int[]){batch, n->K, n->out_H, n->out_W}, EX_GRAPH_F32,
                               true);
}

ex_dnn_graph ex_node_graph_norm(const ex_node *n, int batch, ex_precision precision)
{
    const bool residual = n->residual >= 0;
    ex_dnn_graph g = {.precision = precision};
    add_output(&g, n, batch);
    add_vectors(&g, n, EX_NORM_Y - EX_NORM_SCALE);
    add_output(&g, n, batch);
    add_vectors(&g, n, EX_NORM_RESIDUAL - EX_NORM_MEAN);
    if (residual)
        add_output(&g, n, batch);
    int sum = residual || n->relu ? add_between(&g, n, batch) : EX_NORM_Y;
    ex_dnn_graph_op(
        &g,
        (ex_graph_op){.kind = EX_GRAPH_NORM_FWD,
                      .in = {EX_NORM_X, EX_NORM_SCALE, EX_NORM_SHIFT, EX_NORM_A, EX_NORM_B},
                      .out = {sum, EX_NORM_MEAN, EX_NORM_INVERSE, EX_NORM_MEAN_AGAIN, EX_NORM_VAR},
                      .eps = EX_NORM_EPS});
    if (residual) {
        const int both = n->relu ? add_between(&g, n, batch) : EX_NORM_Y;
        ex_dnn_graph_op(
            &g, (ex_graph_op){.kind = EX_GRAPH_ADD, .in = {sum, EX_NORM_RESIDUAL}, .out = {both}});
        sum = both;
    }
    if (n->relu)
        ex_dnn_graph_op(&g, (ex_graph_op){.kind = EX_GRAPH_RELU, .in = {sum}, .out = {EX_NORM_Y}});
    return g;
}

ex_dnn_graph ex_node_graph_norm_backward(const ex_node *n, int batch, ex_precision precision,
                                         bool second)
{
    ex_dnn_graph g = {.precision = precision};
    int dy = EX_NORM_BWD_G1;
    add_output(&g, n, batch);
    add_output(&g, n, batch);
    add_vectors(&g, n, EX_NORM_BWD_DX - EX_NORM_BWD_SCALE);
    add_output(&g, n, batch);
    add_vectors(&g, n, EX_NORM_BWD_Y - EX_NORM_BWD_DSCALE);
    if (n->relu) {
        add_output(&g, n, batch);
        add_output(&g, n, batch);
        if (second) {
            add_output(&g, n, batch);
            dy = add_between(&g, n, batch);
            ex_dnn_graph_op(&g, (ex_graph_op){.kind = EX_GRAPH_ADD,
                                              .in = {EX_NORM_BWD_G1, EX_NORM_BWD_G2},
                                              .out = {dy}});
        }
        ex_dnn_graph_op(&g, (ex_graph_op){.kind = EX_GRAPH_RELU_BWD,
                                          .in = {dy, EX_NORM_BWD_Y},
                                          .out = {EX_NORM_BWD_GATED}});
        dy = EX_NORM_BWD_GATED;
    }
    ex_dnn_graph_op(&g,
                    (ex_graph_op){.kind = EX_GRAPH_NORM_BWD,
                                  .in = {dy, EX_NORM_BWD_X, EX_NORM_BWD_SCALE, EX_NORM_BWD_MEAN,
                                         EX_NORM_BWD_INVERSE},
                                  .out = {EX_NORM_BWD_DX, EX_NORM_BWD_DSCALE, EX_NORM_BWD_DSHIFT}});
    return g;
}

/* --- pools ------------------------------------------------------------------------------------ */

ex_dnn_graph ex_node_graph_pool(const ex_node *n, int batch, ex_precision precision, bool backward)
{
    const bool largest = n->op == EX_OP_MAXPOOL;
    ex_dnn_graph g = {.precision = precision};
    ex_graph_op op = windowed(n, largest ? EX_GRAPH_MAXPOOL_FWD : EX_GRAPH_AVGPOOL_FWD);
    if (backward) {
        op.kind = largest ? EX_GRAPH_MAXPOOL_BWD : EX_GRAPH_AVGPOOL_BWD;
        op.in[0] = add_output(&g, n, batch);
        op.out[0] = add_input(&g, n, batch);
    } else {
        op.in[0] = add_input(&g, n, batch);
        op.out[0] = add_output(&g, n, batch);
    }
    if (largest)
        *(backward ? &op.in[1] : &op.out[1]) =
            add_tensor(&g, batch, n->K, n->out_H, n->out_W, EX_GRAPH_I8);
    ex_dnn_graph_op(&g, op);
    return g;
}
