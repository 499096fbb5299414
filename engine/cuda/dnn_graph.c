/* Graphs as data: building, describing and checking them. */
#include "cuda/dnn_graph.h"

#include <stdio.h>
#include <stdlib.h>

/* What each kind of operation is called, how many tensors it reads and writes. */
static const struct {
    const char *name;
    int in, out;
    bool window; /* has R, S, stride and pad */
    bool eps;
} KINDS[] = {
    [EX_GRAPH_CONV_FWD] = {"conv_fwd", 2, 1, true, false},
    [EX_GRAPH_CONV_DGRAD] = {"conv_dgrad", 2, 1, true, false},
    [EX_GRAPH_CONV_WGRAD] = {"conv_wgrad", 2, 1, true, false},
    [EX_GRAPH_BIAS] = {"bias", 2, 1, false, false},
    [EX_GRAPH_ADD] = {"add", 2, 1, false, false},
    [EX_GRAPH_RELU] = {"relu", 1, 1, false, false},
    [EX_GRAPH_RELU_BWD] = {"relu_bwd", 2, 1, false, false},
    [EX_GRAPH_NORM_FWD] = {"norm_fwd", 5, 5, false, true},
    [EX_GRAPH_NORM_BWD] = {"norm_bwd", 5, 3, false, false},
    [EX_GRAPH_MAXPOOL_FWD] = {"maxpool_fwd", 1, 2, true, false},
    [EX_GRAPH_MAXPOOL_BWD] = {"maxpool_bwd", 2, 1, true, false},
    [EX_GRAPH_AVGPOOL_FWD] = {"avgpool_fwd", 1, 1, true, false},
    [EX_GRAPH_AVGPOOL_BWD] = {"avgpool_bwd", 1, 1, true, false},
};

int ex_graph_op_inputs(ex_graph_op_kind kind)
{
    return KINDS[kind].in;
}

int ex_graph_op_outputs(ex_graph_op_kind kind)
{
    return KINDS[kind].out;
}

size_t ex_graph_type_size(ex_graph_type type)
{
    return type == EX_GRAPH_F32 ? 4 : type == EX_GRAPH_BF16 ? 2 : 1;
}

size_t ex_graph_tensor_elements(const ex_graph_tensor *t)
{
    return (size_t)t->dim[0] * (size_t)t->dim[1] * (size_t)t->dim[2] * (size_t)t->dim[3];
}

static void stop_if_full(int count, int most, const char *what)
{
    if (count < most)
        return;
    fprintf(stderr, "ex_dnn_graph: more than %d %s\n", most, what);
    abort();
}

int ex_dnn_graph_tensor(ex_dnn_graph *g, const int dim[4], ex_graph_type type, bool is_virtual)
{
    stop_if_full(g->tensor_count, EX_GRAPH_TENSORS, "tensors");
    g->tensor[g->tensor_count] = (ex_graph_tensor){
        .dim = {dim[0], dim[1], dim[2], dim[3]}, .type = type, .is_virtual = is_virtual};
    return g->tensor_count++;
}

void ex_dnn_graph_op(ex_dnn_graph *g, ex_graph_op op)
{
    stop_if_full(g->op_count, EX_GRAPH_OPS, "operations");
    g->op[g->op_count++] = op;
}

static void describe_op(const ex_graph_op *op, char *text, size_t size)
{
    ex_append(text, size, "; %s", KINDS[op->kind].name);
    for (int i = 0; i < KINDS[op->kind].in; i++)
        ex_append(text, size, " %d", op->in[i]);
    ex_append(text, size, " >");
    for (int i = 0; i < KINDS[op->kind].out; i++)
        ex_append(text, size, " %d", op->out[i]);
    if (KINDS[op->kind].window)
        ex_append(text, size, " %dx%d/%d+%d", op->R, op->S, op->stride, op->pad);
    if (KINDS[op->kind].eps)
        ex_append(text, size, " eps %g", (double)op->eps);
}

void ex_dnn_graph_describe(const ex_dnn_graph *g, char *text, size_t size)
{
    static const char *const TYPES[] = {"f32", "bf16", "i8"};
    static const char *const PRECISIONS[] = {"fp32", "tf32", "bf16"};
    text[0] = '\0';
    ex_append(text, size, "%s%s", PRECISIONS[g->precision], g->direct ? " direct" : "");
    for (int i = 0; i < g->tensor_count; i++) {
        const ex_graph_tensor *t = &g->tensor[i];
        ex_append(text, size, " %d%s:%s[%d,%d,%d,%d]", i, t->is_virtual ? "v" : "", TYPES[t->type],
                  t->dim[0], t->dim[1], t->dim[2], t->dim[3]);
    }
    for (int i = 0; i < g->op_count; i++)
        describe_op(&g->op[i], text, size);
}
